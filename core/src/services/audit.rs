//! What changed in a partition: the question by which edges find out what the wire lost.
//!
//! The journal is written in the commit itself, so it speaks of everything that was committed,
//! published or not; and one snapshot of the store is all that an answer needs. So any core node
//! gives it, whoever owns the partition.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use weft_proto::{ApiError, ClientId, Partition, Position, RoomId, RoomKind, StoreId, UserId, svc};
use weft_storage::tables::applied;
use weft_storage::tables::group_invitation;
use weft_storage::tables::head;
use weft_storage::tables::journal::{
    self, Commits, JournalDraft, JournalEntry, JournalMark, JournalRelation, JournalScheduled,
};
use weft_storage::tables::scheduled::{self, ScheduledKey};
use weft_storage::tables::thread_follower::{self, FollowerKey};
use weft_storage::tables::{draft, mark, relation, setting};
use weft_storage::{Error, Snapshot};

use super::Context;
use super::failure::Failure;
use super::relations::hidden_rooms;
use crate::{drafts, invitations, marks, relations, settings};

/// Journal rows read at once. A row has at most 100 kB.
const ROWS_AT_ONCE: usize = 32;

/// How much one page carries. It ends after the journal row that passes one of these.
#[derive(Clone, Copy, Debug)]
pub struct AuditLimit {
    /// Journal rows: commits.
    pub rows_max: usize,
    /// Entries of all rows together.
    pub entries_max: usize,
    /// What rooms and users take in the answer, about. With one more row it has to stay below what
    /// NATS takes as one message (2 MB).
    pub bytes_max: usize,
}

impl Default for AuditLimit {
    fn default() -> Self {
        Self { rows_max: 512, entries_max: 20_000, bytes_max: 1_000_000 }
    }
}

impl Context {
    /// What a partition has committed after a commit number. It names rooms and users
    /// alone, and is for edges: no user's token goes with it.
    ///
    /// # Errors
    /// [`BadRequest`](weft_proto::ErrorCode::BadRequest) for a partition that the store does not have, or the store's.
    pub async fn audit(&self, request: svc::Audit) -> Result<svc::AuditPage, Failure> {
        let partition = self.partition(request.partition)?;
        let snapshot = self.store.snapshot().await?;
        let limit = AuditLimit::default();
        Ok(audit(&*snapshot, self.store_id, partition, request.since, limit).await?)
    }
}

/// What `partition` has committed after number `since`, as of `snapshot`; with `None` only the number of
/// its newest commit.
///
/// A room is named with its **head**: seq and position as they are in the snapshot. Without `more`
/// that is the room's last entry among those that were read, since every entry up to the snapshot
/// is in its journal. With `more` the head may be after them. It is right all the same: the
/// entry is committed, so a session that lacks it has to get it; and seq and position belong
/// together, so whoever has synced up to the position has the entry. A position of one and a seq of
/// another entry would be wrong: a session would be thought to have what it lacks.
///
/// # Errors
/// Those of the store.
pub async fn audit(
    snapshot: &dyn Snapshot,
    store: StoreId,
    partition: Partition,
    since: Option<u64>,
    limit: AuditLimit,
) -> Result<svc::AuditPage, Error> {
    let row = applied::read(snapshot, partition).await?;
    let mut page = svc::AuditPage {
        store: store.0.to_be_bytes().to_vec(),
        through: row.last_commit_no(),
        read_version: snapshot.read_version().0.to_vec(),
        ..svc::AuditPage::default()
    };
    let Some(since) = since else { return Ok(page) };
    let mut changes = Changes::default();
    match changes.read(snapshot, partition, since, limit).await? {
        Reach::Newest => {}
        Reach::Through(through) => (page.through, page.more) = (through, true),
        Reach::Unknown => {
            page.unknown = true;
            return Ok(page);
        }
    }
    page.changes = changes.told(snapshot).await?;
    page.rooms = changes.with_heads(snapshot).await?;
    Ok(page)
}

/// How far a page goes.
enum Reach {
    /// To the newest commit.
    Newest,
    /// To this one: a limit was reached.
    Through(u64),
    /// Nowhere: the journal is deleted there, the store went back, or is another one.
    Unknown,
}

/// Rooms with an entry among the rows that were read: whom such entries concern, each user with the
/// first one.
#[derive(Default)]
struct Changes {
    rooms: BTreeMap<String, BTreeMap<String, u64>>,
    /// In which rooms marks of which users were moved, and whether others hear of it.
    marks: BTreeMap<(String, String), bool>,
    /// Of which users settings were changed, and of which rooms.
    settings: BTreeSet<(String, String)>,
    /// Of which users drafts were changed, and for which rooms: with the length of the longest frame.
    drafts: BTreeMap<(String, String), u64>,
    /// Of which users it was changed what others are to them, and whether that changed whom they see.
    relations: BTreeMap<(String, String), bool>,
    /// What has changed of what is scheduled: of which users, in which rooms, and under which ids.
    scheduled: BTreeSet<(String, String, String)>,
    /// Of whom one has accepted what the other one writes, by writing.
    sights: BTreeSet<(String, String)>,
    /// Who was invited, or is so no more, and to which groups.
    invitations: BTreeSet<(String, String)>,
    /// Of which users marks of threads were moved: in which room, and of which thread.
    threads: BTreeSet<(String, String, u64)>,
    rows: usize,
    /// Marks, settings, drafts and relations count, too.
    entries: usize,
    bytes: usize,
}

impl Changes {
    /// Reads commits after `since`, to their end or until a limit is reached.
    async fn read(
        &mut self,
        snapshot: &dyn Snapshot,
        partition: Partition,
        since: u64,
        limit: AuditLimit,
    ) -> Result<Reach, Error> {
        let mut after = since;
        loop {
            let page = journal::follow(snapshot, partition, after, ROWS_AT_ONCE).await?;
            let Some(Commits { rows, is_last }) = page else { return Ok(Reach::Unknown) };
            for (commit_no, row) in rows {
                self.rows += 1;
                row.entries.into_iter().for_each(|entry| self.add(entry));
                row.marks.into_iter().for_each(|mark| self.add_mark(mark));
                row.settings.into_iter().for_each(|setting| self.add_setting(setting));
                row.drafts.into_iter().for_each(|draft| self.add_draft(draft));
                row.relations.into_iter().for_each(|relation| self.add_relation(relation));
                row.scheduled.into_iter().for_each(|changed| self.add_scheduled(changed));
                row.invitations.into_iter().for_each(|changed| self.add_invitation(changed));
                row.sights.into_iter().for_each(|sight| self.add_sight(sight));
                if self.is_full(limit) {
                    return Ok(Reach::Through(commit_no));
                }
                after = commit_no;
            }
            if is_last {
                return Ok(Reach::Newest);
            }
        }
    }

    fn add(&mut self, entry: JournalEntry) {
        /// Of a room or a user, beside the name: seq, position, tags and lengths.
        const BESIDE_NAME: usize = 32;
        self.entries += 1;
        let JournalEntry { room, seq, users, .. } = entry;
        if !self.rooms.contains_key(&room) {
            self.bytes += room.len() + BESIDE_NAME;
        }
        let concerned = self.rooms.entry(room).or_default();
        for user in users {
            if let Entry::Vacant(first) = concerned.entry(user) {
                self.bytes += first.key().len() + BESIDE_NAME;
                first.insert(seq);
            }
        }
    }

    fn add_mark(&mut self, JournalMark { room, user, thread, own }: JournalMark) {
        /// Of a mark, beside its names: two heads and two frames.
        const BESIDE_NAMES: usize = 400;
        self.entries += 1;
        // Each is in both heads and both frames, and in the group's frame.
        let bytes = 5 * (room.len() + user.len()) + BESIDE_NAMES;
        let is_new = match thread {
            0 => match self.marks.entry((room, user)) {
                Entry::Vacant(slot) => {
                    slot.insert(!own);
                    true
                }
                Entry::Occupied(mut is_told) => {
                    *is_told.get_mut() |= !own;
                    false
                }
            },
            root => self.threads.insert((user, room, root)),
        };
        if is_new {
            self.bytes += bytes;
        }
    }

    fn add_setting(&mut self, JournalMark { room, user, .. }: JournalMark) {
        /// Of a setting, beside its names: a head and a frame.
        const BESIDE_NAMES: usize = 150;
        self.entries += 1;
        let bytes = 2 * (room.len() + user.len()) + BESIDE_NAMES;
        if self.settings.insert((user, room)) {
            self.bytes += bytes;
        }
    }

    fn add_invitation(&mut self, JournalMark { room, user, .. }: JournalMark) {
        /// Of an invitation, beside its names: a head and a frame.
        const BESIDE_NAMES: usize = 250;
        self.entries += 1;
        let bytes = 2 * (room.len() + user.len()) + BESIDE_NAMES;
        if self.invitations.insert((user, room)) {
            self.bytes += bytes;
        }
    }

    fn add_scheduled(&mut self, JournalScheduled { room, user, id }: JournalScheduled) {
        /// Of a scheduled message, beside its names: a head and a frame.
        const BESIDE_NAMES: usize = 250;
        self.entries += 1;
        let bytes = 2 * (room.len() + user.len() + id.len()) + BESIDE_NAMES;
        if self.scheduled.insert((user, room, id)) {
            self.bytes += bytes;
        }
    }

    fn add_draft(&mut self, JournalDraft { room, user, frame_bytes }: JournalDraft) {
        /// Of a draft, beside its names and its frame: a head.
        const BESIDE: usize = 150;
        self.entries += 1;
        let names_bytes = 2 * (room.len() + user.len());
        let longest = match self.drafts.entry((user, room)) {
            Entry::Vacant(slot) => {
                self.bytes += names_bytes + BESIDE;
                slot.insert(0)
            }
            Entry::Occupied(slot) => slot.into_mut(),
        };
        let longer = frame_bytes.saturating_sub(*longest);
        *longest += longer;
        self.bytes += usize::try_from(longer).unwrap_or(usize::MAX / 2);
    }

    fn add_relation(&mut self, JournalRelation { user, other, sight }: JournalRelation) {
        /// Of a relation, beside its names: three heads and a frame.
        const BESIDE_NAMES: usize = 250;
        self.entries += 1;
        let bytes = 5 * (user.len() + other.len()) + BESIDE_NAMES;
        match self.relations.entry((user, other)) {
            Entry::Vacant(first) => {
                first.insert(sight);
                self.bytes += bytes;
            }
            Entry::Occupied(mut known) => *known.get_mut() |= sight,
        }
    }

    fn add_sight(&mut self, JournalRelation { user, other, .. }: JournalRelation) {
        /// Beside the names: two heads.
        const BESIDE_NAMES: usize = 200;
        self.entries += 1;
        let bytes = 4 * (user.len() + other.len()) + BESIDE_NAMES;
        if self.sights.insert((user, other)) {
            self.bytes += bytes;
        }
    }

    fn is_full(&self, limit: AuditLimit) -> bool {
        self.rows >= limit.rows_max
            || self.entries >= limit.entries_max
            || self.bytes >= limit.bytes_max
    }

    /// What those hear of the marks who hear of them when they move: as the marks are in the snapshot.
    async fn told(&self, snapshot: &dyn Snapshot) -> Result<Vec<svc::Change>, Error> {
        let bad = |error: ApiError| Error::Corrupt(format!("journal: {error}"));
        let ids = |(room, user): &(String, String)| Ok((RoomId::new(room)?, UserId::new(user)?));
        let marks = self.marks.keys().map(ids).collect::<Result<Vec<_>, _>>().map_err(bad)?;
        let held = mark::held(snapshot, &marks).await?;
        let off = self.receipts_off(snapshot, &marks).await?;
        let for_others = marks.iter().zip(self.marks.values()).filter(|(_, is_told)| **is_told);
        let apart = hidden_rooms(snapshot, for_others.map(|((room, _), _)| room)).await?;
        let (mut told, mut groups) = (Vec::new(), BTreeMap::<&RoomId, Vec<_>>::new());
        for (((room, user), held), is_told) in marks.iter().zip(&held).zip(self.marks.values()) {
            let Some(position) = held.position else { continue };
            let is_hidden = apart.contains(room) || marks::is_hidden(room, user, &off);
            let is_told = *is_told && !is_hidden;
            // For others at their own place: so they hear nothing of what came later.
            let told_at = is_told.then(|| held.mark.told_at(position));
            told.extend(marks::changes(room, user, (position, told_at), &held.mark));
            if is_told && room.kind() == RoomKind::Group {
                groups.entry(room).or_default().push((user, held.mark.read));
            }
        }
        let heads = snapshot.get_many(groups.keys().map(|room| head::key(room)).collect()).await?;
        for ((room, read), row) in groups.into_iter().zip(heads) {
            let (_, head) = head::decode(&row.ok_or_else(|| no_head(room.as_str()))?)?;
            if !head.large {
                told.push(marks::group_change(room, read));
            }
        }
        told.extend(self.threads_told(snapshot).await?);
        told.extend(self.settings_told(snapshot).await?);
        told.extend(self.drafts_told(snapshot).await?);
        told.extend(self.relations_told(snapshot).await?);
        told.extend(self.scheduled_told(snapshot).await?);
        told.extend(self.invitations_told(snapshot).await?);
        told.extend(self.sights_told(snapshot.read_version())?);
        Ok(told)
    }

    /// Who has turned off read receipts: of those whose marks others may hear of, and of these.
    async fn receipts_off(
        &self,
        snapshot: &dyn Snapshot,
        marks: &[(RoomId, UserId)],
    ) -> Result<BTreeSet<UserId>, Error> {
        let told = marks.iter().zip(self.marks.values()).filter(|(_, is_told)| **is_told);
        let partners: Vec<UserId> =
            told.clone().filter_map(|((room, user), _)| marks::partner(room, user)).collect();
        let users = told.map(|((_, user), _)| user).chain(&partners);
        setting::receipts_off(snapshot, users).await
    }

    /// What users hear of their threads.
    async fn threads_told(&self, snapshot: &dyn Snapshot) -> Result<Vec<svc::Change>, Error> {
        let bad = |error: ApiError| Error::Corrupt(format!("journal: {error}"));
        let at = |(user, room, root): &(String, String, u64)| -> Result<FollowerKey, ApiError> {
            Ok((UserId::new(user)?, (RoomId::new(room)?, *root)))
        };
        let wanted = self.threads.iter().map(at).collect::<Result<Vec<_>, _>>().map_err(bad)?;
        let rows = thread_follower::get_many(snapshot, &wanted).await?;
        let told = wanted.iter().zip(rows).filter_map(|(at, row)| {
            let (position, row) = row?;
            Some(marks::thread_change(at, position, &row))
        });
        Ok(told.collect())
    }

    /// What users hear of how they want rooms to be.
    async fn settings_told(&self, snapshot: &dyn Snapshot) -> Result<Vec<svc::Change>, Error> {
        let bad = |error: ApiError| Error::Corrupt(format!("journal: {error}"));
        let ids = |(user, room): &(String, String)| Ok((UserId::new(user)?, RoomId::new(room)?));
        let keys = self.settings.iter().map(ids).collect::<Result<Vec<_>, _>>().map_err(bad)?;
        let rows = setting::get_many(snapshot, &keys).await?;
        let told = keys.iter().zip(rows).filter_map(|((user, room), row)| {
            let (position, setting) = row?;
            Some(settings::change(user, room, position, &setting))
        });
        Ok(told.collect())
    }

    /// What users hear of their being invited.
    async fn invitations_told(&self, snapshot: &dyn Snapshot) -> Result<Vec<svc::Change>, Error> {
        let bad = |error: ApiError| Error::Corrupt(format!("journal: {error}"));
        let ids = |(user, room): &(String, String)| Ok((UserId::new(user)?, RoomId::new(room)?));
        let keys = self.invitations.iter().map(ids).collect::<Result<Vec<_>, _>>().map_err(bad)?;
        let rows = group_invitation::get_many(snapshot, &keys).await?;
        let told = keys.iter().zip(rows).filter_map(|(key, row)| {
            let (position, row) = row?;
            Some(invitations::change(key, position, &row))
        });
        Ok(told.collect())
    }

    /// What users hear of what they have scheduled.
    async fn scheduled_told(&self, snapshot: &dyn Snapshot) -> Result<Vec<svc::Change>, Error> {
        let bad = |error: ApiError| Error::Corrupt(format!("journal: {error}"));
        let key = |(user, room, id): &(String, String, String)| -> Result<ScheduledKey, ApiError> {
            Ok((UserId::new(user)?, RoomId::new(room)?, ClientId::parse(id)?))
        };
        let keys = self.scheduled.iter().map(key).collect::<Result<Vec<_>, _>>().map_err(bad)?;
        let rows = scheduled::get_many(snapshot, &keys).await?;
        let told = keys.iter().zip(rows).filter_map(|(key, row)| {
            let (position, row) = row?;
            Some(crate::scheduled::change(key, position, &row))
        });
        Ok(told.collect())
    }

    /// What users hear of what they have typed.
    ///
    /// One that is longer than the journal says was changed by a later commit than those that were read: the page
    /// that has that one tells it, and this one does not grow.
    async fn drafts_told(&self, snapshot: &dyn Snapshot) -> Result<Vec<svc::Change>, Error> {
        let bad = |error: ApiError| Error::Corrupt(format!("journal: {error}"));
        let mut told = Vec::new();
        for ((user, room), longest) in &self.drafts {
            let key = (UserId::new(user).map_err(bad)?, RoomId::new(room).map_err(bad)?);
            let row = draft::get_many(snapshot, std::slice::from_ref(&key)).await?.remove(0);
            let Some((position, kept)) = row else { continue };
            let frame = drafts::frame(&key.1, &kept);
            if frame.len() as u64 <= *longest {
                told.push(drafts::change(&key.0, &key.1, position, frame));
            }
        }
        Ok(told)
    }

    /// What users hear of what others are to them, and their edges of whom they see.
    async fn relations_told(&self, snapshot: &dyn Snapshot) -> Result<Vec<svc::Change>, Error> {
        let bad = |error: ApiError| Error::Corrupt(format!("journal: {error}"));
        let ids = |(user, other): &(String, String)| Ok((UserId::new(user)?, UserId::new(other)?));
        let keys = self.relations.keys().map(ids).collect::<Result<Vec<_>, _>>().map_err(bad)?;
        let rows = relation::get_many(snapshot, &keys).await?;
        let told = keys.iter().zip(self.relations.values()).zip(rows);
        let told = told.filter_map(|((key, sight), row)| {
            let (position, relation) = row?;
            Some(relations::changes(key, position, &relation, *sight))
        });
        Ok(told.flatten().collect())
    }

    /// What edges hear of whom two see, who both have written. It is nowhere but in the journal: so it is told as of now.
    fn sights_told(&self, now: Position) -> Result<Vec<svc::Change>, Error> {
        let bad = |error: ApiError| Error::Corrupt(format!("journal: {error}"));
        let ids = |(user, other): &(String, String)| Ok((UserId::new(user)?, UserId::new(other)?));
        let both = self.sights.iter().map(ids).collect::<Result<Vec<_>, _>>().map_err(bad)?;
        Ok(both.iter().flat_map(|both| relations::sights(both, now)).collect())
    }

    async fn with_heads(self, snapshot: &dyn Snapshot) -> Result<Vec<svc::ChangedRoom>, Error> {
        let bad = |error| Error::Corrupt(format!("journal: {error}"));
        let ids = self.rooms.keys().map(|id| RoomId::new(id)).collect::<Result<Vec<_>, _>>();
        let keys = ids.map_err(bad)?.iter().map(head::key).collect();
        let heads = snapshot.get_many(keys).await?;
        self.rooms
            .into_iter()
            .zip(heads)
            .map(|((room, concerned), head)| {
                let head = head.ok_or_else(|| no_head(&room))?;
                let (position, head) = head::decode(&head)?;
                let concerned = concerned
                    .into_iter()
                    .map(|(user, seq)| svc::ConcernedUser { user, seq })
                    .collect();
                let position = position.0.to_vec();
                Ok(svc::ChangedRoom { room, seq: head.seq, position, concerned })
            })
            .collect()
    }
}

fn no_head(room: &str) -> Error {
    Error::Corrupt(format!("head: {room} has none"))
}

#[cfg(test)]
mod tests;
