//! Writes an entry that was allowed: the room's state, and the rows.

use std::sync::Arc;

use bytes::Bytes;
use weft_proto::{Body, ClientId, Entry, RoomId, RoomKind, UserId};
use weft_storage::tables::activity::ActivityBucket;
use weft_storage::tables::head::Head;
use weft_storage::tables::journal::JournalEntry;
use weft_storage::tables::{expiry, inbox, log, member, user_room};

use super::{Plan, PlannedEntry};
use crate::partition::activity;
use crate::partition::rooms::{Members, Room};
use crate::partition::rules::{self, Change};
use crate::partition::sabotage;
use crate::partition::state::Place;

/// How an entry is written.
#[derive(Clone, Copy)]
pub(super) struct Writing {
    pub(super) now_ms: u64,
    /// The head names the newest entry that lists of rooms show.
    pub(super) has_previews: bool,
    /// Its members' lists of rooms are kept in order.
    pub(super) has_activity: bool,
}

impl Plan {
    /// Adds an entry that was allowed.
    pub(super) fn write(
        &mut self,
        id: &RoomId,
        room: &mut Room,
        change: Change,
        (from, client_id, body): (UserId, Option<ClientId>, Body),
        writing: Writing,
    ) {
        let is_first = room.head.seq == 0;
        let bucket_before = (!is_first).then(|| ActivityBucket::of(&room.head));
        room.touched = self.no;
        rules::apply(room, &change);
        let head = &mut room.head;
        head.seq += 1;
        head.ordinal += u64::from(body.counts());
        head.time_ms = head.time_ms.max(writing.now_ms);
        if writing.has_previews && body.is_preview() {
            head.preview_seq = head.seq;
        }
        let is_rule = change.update.as_ref().is_some_and(|it| it.retention_days.is_some());
        self.list_expiry(id, head, is_rule, writing.now_ms);
        sabotage::panic_on(&body);
        let entry = Entry {
            room: id.clone(),
            seq: head.seq,
            ordinal: head.ordinal,
            from,
            client_id,
            time_ms: head.time_ms,
            body,
        };
        let order = self.order();
        head.seq += sabotage::misplaced(&entry.body);
        log::put(&mut self.batch, order, &entry);
        self.write_members(id, is_first, &change);
        if writing.has_activity {
            activity::write(&mut self.batch, (id, room), bucket_before, &change);
        }
        for user in &change.concerned {
            inbox::put(&mut self.batch, user, order, id, entry.seq);
        }
        let place = Place::In(self.no, order);
        let place_before = std::mem::replace(&mut room.place, place);
        if self.rooms.insert(id.clone()) {
            self.head_bytes += room.head.title.len() + room.head.topic.len();
        }
        let (entry, concerned) = (Arc::new(entry), change.concerned);
        let planned = PlannedEntry { entry, place, place_before, concerned };
        let row = journal_entry(&planned);
        self.journal_bytes += row.size_bytes();
        self.journal.push(row);
        self.entries.push(planned);
    }

    /// Lists the room by when its first entry expires: where it had none, and where its rule is another one. Then it
    /// is looked at soon, which finds out when that is.
    fn list_expiry(&mut self, id: &RoomId, head: &mut Head, is_rule: bool, now_ms: u64) {
        let hour = match (head.retention_days, is_rule) {
            (0, _) => 0,
            (_, true) => expiry::hour_of(now_ms),
            (_, false) if head.expiry_hour == 0 => expiry::hour_of_end(head, head.time_ms),
            (_, false) => return,
        };
        expiry::list(&mut self.batch, self.partition, id, head, hour);
    }

    /// Gives all members of a small group a pointer to the next entry: a core that knows no later level
    /// finds it by that alone, and may be the one that answers a sync.
    pub(super) fn fan_out(&mut self, id: &RoomId, room: &Room, change: &Change) {
        let Members::All(all) = &room.members else { return };
        if room.head.large {
            return;
        }
        let (order, seq) = (self.order(), room.head.seq + 1);
        for user in all.keys().filter(|user| !change.concerned.contains(user)) {
            inbox::put(&mut self.batch, user, order, id, seq);
        }
    }

    /// The place of the next entry in the commit.
    fn order(&self) -> u16 {
        // A plan takes FULL_COMMANDS at the most.
        u16::try_from(self.entries.len()).unwrap_or(u16::MAX)
    }

    fn write_members(&mut self, id: &RoomId, is_first: bool, change: &Change) {
        if id.kind() == RoomKind::Direct && is_first {
            for user in &change.concerned {
                self.batch.set(user_room::key(user, id), Bytes::new());
            }
        }
        for (user, row) in &change.members {
            self.batch.set(member::key(id, user), row.encode());
            if row.role().is_some() {
                self.batch.set(user_room::key(user, id), Bytes::new());
            } else {
                self.batch.clear(user_room::key(user, id));
            }
        }
    }
}

fn journal_entry(planned: &PlannedEntry) -> JournalEntry {
    let PlannedEntry { entry, concerned, .. } = planned;
    // A direct room's id names its users.
    let users = match entry.room.kind() {
        RoomKind::Direct => Vec::new(),
        RoomKind::Group => concerned.iter().map(ToString::to_string).collect(),
    };
    let (room, from) = (entry.room.as_str().to_owned(), entry.from.as_str().to_owned());
    let kind = entry.body.kind().word.to_owned();
    JournalEntry { room, seq: entry.seq, users, kind, from }
}
