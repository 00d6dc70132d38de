//! What search nodes ask for. The index proposes, this decides: messages for the index as they are in one snapshot, and
//! of those that were found what their reader may see now.
//!
//! An index may be behind, or wrong in any way: nobody sees by it what history would not show them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use prost::Message as _;
use tracing::error;
use weft_proto::kind::Attachment;
use weft_proto::kind::formatting::{Mentions, Range, Style};
use weft_proto::{Body, RoomId, svc};
use weft_storage::tables::head::{self, Head};
use weft_storage::tables::log::{self, Limit, Logged};
use weft_storage::tables::message::{self, Message};
use weft_storage::tables::user_room;
use weft_storage::{Error, Snapshot};

use super::Context;
use super::access::Access;
use super::at_once::AtOnce;
use super::failure::Failure;
use super::messages::newest_texts;
use super::page::{PageBuilder, PageLimit};
use super::rooms::{room_after, room_page};
use crate::absent;

/// Messages of a page of all messages, about.
const WALK_MESSAGES: usize = 500;
/// Entries, and rooms, that such a page looks at, about.
const WALK_ENTRIES: usize = 2_000;
const WALK_ROOMS: usize = 256;
/// Entries that it reads at once.
const WALK_AT_ONCE: Limit = Limit { entries_max: 64, bytes_max: 200_000 };

impl Context {
    /// What became of messages by these entries.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`](weft_proto::ErrorCode::BadId), or the store's.
    pub async fn index_changed(
        &self,
        request: svc::ReadChanged,
    ) -> Result<svc::ChangedMessages, Failure> {
        let snapshot = self.store.snapshot().await?;
        let store = self.store_id.0.to_be_bytes().to_vec();
        let mut page = svc::ChangedMessages { store, ..svc::ChangedMessages::default() };
        let (mut bytes, mut at_once) = (0, AtOnce::default());
        let mut left = &*request.places;
        // So many are read one by one: something among them can't be read.
        let mut alone = 0_usize;
        while let Some(first) = left.first() {
            let left_bytes = self.limits.page.bytes_max.saturating_sub(bytes);
            if left_bytes == 0 {
                break;
            }
            let room = RoomId::new(&first.room)?;
            let count = if alone > 0 { 1 } else { at_once.count() };
            let same = left.iter().take(count).take_while(|place| place.room == first.room);
            let seqs: Vec<u64> = same.map(|place| place.seq).collect();
            alone = alone.saturating_sub(1);
            let read = match changed(&*snapshot, &room, (&seqs, left_bytes)).await {
                Err(Error::Corrupt(what)) if seqs.len() == 1 => {
                    error!(%room, seq = seqs[0], what, "an entry can't be read: it is not found");
                    vec![(seqs[0], None)]
                }
                Err(Error::Corrupt(_)) => {
                    alone = seqs.len();
                    continue;
                }
                read => read?,
            };
            let bytes_before = bytes;
            let mut done = 0;
            for (seq, message) in read {
                if bytes >= self.limits.page.bytes_max {
                    break;
                }
                done += 1;
                match message {
                    Some(message) => {
                        bytes += message.encoded_len();
                        page.messages.push(message);
                    }
                    None => page.deleted.push(svc::Place { room: room.to_string(), seq }),
                }
            }
            at_once.adapt(bytes - bytes_before);
            page.done += u32::try_from(done).unwrap_or(u32::MAX);
            left = &left[done..];
        }
        Ok(page)
    }

    /// A part of all messages, by room and seq.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`](weft_proto::ErrorCode::BadId), or the store's.
    pub async fn index_walk(
        &self,
        request: svc::WalkMessages,
    ) -> Result<svc::WalkedMessages, Failure> {
        let snapshot = self.store.snapshot().await?;
        let store = self.store_id.0.to_be_bytes().to_vec();
        let mut page = svc::WalkedMessages { store, ..svc::WalkedMessages::default() };
        let mut walk = Walk { snapshot: &*snapshot, messages: Vec::new(), bytes: 0, entries: 0 };
        let mut at = match request.after {
            None => None,
            Some(place) => Some((RoomId::new(&place.room)?, place.seq)),
        };
        if let Some((room, seq)) = &mut at
            && let Some(row) = snapshot.get(head::key(room)).await?
        {
            let (_, head) = head::decode(&row)?;
            *seq = walk.room(room, *seq, &head, self.limits.page.bytes_max).await?;
        }
        let mut rooms = 0;
        let mut is_last = false;
        while !walk.is_full(self.limits.page.bytes_max) && rooms < WALK_ROOMS && !is_last {
            let after = at.as_ref().map(|(room, _)| room);
            let next = head::page_after(&*snapshot, after, 1).await?.pop();
            match next {
                Some((room, head)) => {
                    let seq = walk.room(&room, 0, &head, self.limits.page.bytes_max).await?;
                    at = Some((room, seq));
                    rooms += 1;
                }
                None => is_last = true,
            }
        }
        page.messages = walk.messages;
        let place = |(room, seq): (RoomId, u64)| svc::Place { room: room.to_string(), seq };
        page.through = at.filter(|_| !is_last).map(place);
        Ok(page)
    }

    /// A part of all rooms.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`](weft_proto::ErrorCode::BadId), or the store's.
    pub async fn index_rooms(
        &self,
        request: svc::ListIndexed,
    ) -> Result<svc::IndexedRooms, Failure> {
        let after = room_after(&request.after)?;
        let snapshot = self.store.snapshot().await?;
        let rooms = head::page_after(&*snapshot, after.as_ref(), self.limits.rows_max).await?;
        let more = rooms.len() == self.limits.rows_max;
        let room = |(room, head): (RoomId, Head)| svc::IndexedRoom {
            room: room.to_string(),
            seq: head.seq,
            first_seq: head.first_seq,
        };
        Ok(svc::IndexedRooms { rooms: rooms.into_iter().map(room).collect(), more })
    }

    /// The rooms in which the caller may search, and what they see of them. Former members see nothing.
    ///
    /// # Errors
    /// [`ErrorCode::NoSuchRoom`](weft_proto::ErrorCode::NoSuchRoom) and
    /// [`ErrorCode::NotMember`](weft_proto::ErrorCode::NotMember) for the one room that was asked for,
    /// [`ErrorCode::BadId`](weft_proto::ErrorCode::BadId), those of the token, or the store's.
    pub async fn searchable(
        &self,
        request: svc::ListSearchable,
    ) -> Result<svc::SearchableRooms, Failure> {
        let snapshot = self.store.snapshot().await?;
        let caller = self.caller(&*snapshot, &request).await?;
        let user = &caller.user;
        if let Some(room) = room_after(&request.room)? {
            let access = Access::of(&*snapshot, &room, user).await?;
            access.member_role()?;
            let rooms = vec![searchable_room(&room, &access)];
            return Ok(svc::SearchableRooms { user: user.to_string(), rooms, more: false });
        }
        let range = user_room::range_after(user, room_after(&request.after)?.as_ref());
        let (rooms, more) = room_page(&*snapshot, range, self.limits.rows_max).await?;
        let all = Access::of_each(&*snapshot, &rooms, user).await?;
        let mut page = svc::SearchableRooms { user: user.to_string(), more, rooms: Vec::new() };
        for (room, access) in rooms.iter().zip(all) {
            match access {
                Ok(access) if access.role.is_some() && caller.sees(room) => {
                    page.rooms.push(searchable_room(room, &access))
                }
                // Its page ends by it.
                Ok(_) | Err(Failure::Refused(_)) => {
                    page.rooms
                        .push(svc::SearchableRoom { room: room.to_string(), parts: Vec::new() });
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(page)
    }

    /// Messages that were found, as history would show them to the caller now; those that it would not are left out.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`](weft_proto::ErrorCode::BadId), those of the token, or the store's.
    pub async fn found_entries(
        &self,
        request: svc::ReadFound,
    ) -> Result<svc::FoundEntries, Failure> {
        let snapshot = self.store.snapshot().await?;
        let caller = self.caller(&*snapshot, &request).await?;
        let places = request.places.iter().map(|it| Ok((RoomId::new(&it.room)?, it.seq)));
        let places: Vec<(RoomId, u64)> = places.collect::<Result<_, Failure>>()?;
        let mut rooms: Vec<RoomId> = places.iter().map(|(room, _)| room.clone()).collect();
        rooms.retain(|room| caller.sees(room));
        rooms.sort_unstable();
        rooms.dedup();
        let user = caller.user;
        let access = Access::of_each(&*snapshot, &rooms, &user).await?;
        let access: HashMap<&RoomId, Access> = rooms
            .iter()
            .zip(access)
            .filter_map(|(room, access)| Some((room, access.ok().filter(|it| it.role.is_some())?)))
            .collect();
        let limit = PageLimit { entries_max: places.len().max(1), ..self.limits.page };
        let mut page = PageBuilder::new(limit).merged(user, self.clock.now_ms());
        let mut done = 0;
        while done < places.len() && !page.is_full() {
            let (room, seq) = &places[done];
            let is_seen = access
                .get(room)
                .is_some_and(|access| access.visible.contains(*seq) && *seq <= access.head.seq);
            if is_seen {
                done += page.add_each(&*snapshot, &places[done..=done]).await?;
            } else {
                done += 1;
            }
        }
        let done = u32::try_from(done).unwrap_or(u32::MAX);
        Ok(svc::FoundEntries { done, entries: page.into_entries() })
    }
}

/// The messages that these entries are, or change; 0: none.
async fn targets(snapshot: &dyn Snapshot, room: &RoomId, seqs: &[u64]) -> Result<Vec<u64>, Error> {
    let wanted: Vec<_> = seqs.iter().map(|seq| (room.clone(), *seq)).collect();
    let read = log::get_many(snapshot, &wanted).await?;
    let target = |(seq, logged): (&u64, Option<Logged>)| match logged.map(|it| it.entry.body) {
        Some(Body::Edit(edit)) => edit.target,
        Some(Body::Delete(delete)) => delete.target,
        // An edit of a deleted message, or one that has expired, is no message: it is not in the index either.
        _ => *seq,
    };
    Ok(seqs.iter().zip(read).map(target).collect())
}

/// What became of messages by these entries, in their order; `None`: the message is deleted. Of those whose texts have
/// more than `bytes_max` only the first ones are given, at least one.
async fn changed(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    (seqs, bytes_max): (&[u64], usize),
) -> Result<Vec<(u64, Option<svc::IndexedMessage>)>, Error> {
    let targets = targets(snapshot, room, seqs).await?;
    let mut unique = targets.clone();
    unique.sort_unstable();
    unique.dedup();
    let wanted: Vec<_> = unique.iter().map(|seq| (room.clone(), *seq)).collect();
    let read: Vec<Logged> = log::get_many(snapshot, &wanted).await?.into_iter().flatten().collect();
    let is_text: HashSet<u64> =
        read.iter().filter(|it| is_text(it)).map(|it| it.entry.seq).collect();
    let rows = message::get_many(snapshot, room, &unique).await?.into_iter().collect();
    let messages = indexed(snapshot, room, &rows, (read, bytes_max)).await?;
    let mut now: HashMap<u64, svc::IndexedMessage> =
        messages.into_iter().map(|message| (message.seq, message)).collect();
    let is_done = |target: &u64| !is_text.contains(target) || now.contains_key(target);
    let done = targets.iter().take_while(|target| is_done(target)).count();
    // Of a message that changed twice the second one says it.
    let told = targets[..done].iter().enumerate().map(|(index, target)| {
        let is_last = !targets[index + 1..done].contains(target);
        (*target, if is_last { now.remove(target) } else { now.get(target).cloned() })
    });
    Ok(told.collect())
}

fn is_text(logged: &Logged) -> bool {
    logged.entry.body.as_message().is_some()
}

/// The messages among these entries, with their newest texts. It ends before the first one that has no place.
async fn indexed(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    rows: &BTreeMap<u64, Message>,
    (mut read, bytes_max): (Vec<Logged>, usize),
) -> Result<Vec<svc::IndexedMessage>, Error> {
    let mut texts = newest_texts(snapshot, room, rows, (&mut read, bytes_max)).await?;
    let message = |logged: Logged| {
        let entry = logged.entry;
        let message = entry.body.as_message()?;
        let (text, ranges) = match texts.remove(&entry.seq) {
            Some(newest) => newest,
            None => (message.text.clone(), message.extras().ranges.clone()),
        };
        let Mentions { users, everyone } = Mentions::of(&ranges);
        let mut has: BTreeSet<&str> = entry.body.files().iter().map(word_of).collect();
        has.extend(has_link(&text, &ranges).then_some("link"));
        let names = entry.body.files().iter().filter_map(|it| it.facts.as_ref());
        let names = names.map(|facts| facts.name.clone());
        Some(svc::IndexedMessage {
            room: room.to_string(),
            seq: entry.seq,
            time_ms: entry.time_ms,
            from: entry.from.to_string(),
            thread: message.extras().thread.unwrap_or_default(),
            texts: std::iter::once(text).chain(names).collect(),
            mentions: users.iter().map(ToString::to_string).collect(),
            mentions_everyone: everyone,
            has: has.into_iter().map(str::to_owned).collect(),
        })
    };
    Ok(read.into_iter().filter_map(message).collect())
}

/// By which word a message with the file is looked for.
fn word_of(file: &Attachment) -> &'static str {
    let is_image = file.facts.as_ref().is_some_and(|facts| facts.width.is_some());
    if is_image { "image" } else { "file" }
}

fn has_link(text: &str, ranges: &[Range]) -> bool {
    let is_link = |range: &Range| range.style == i32::from(Style::Link);
    text.contains("https://") || text.contains("http://") || ranges.iter().any(is_link)
}

fn searchable_room(room: &RoomId, access: &Access) -> svc::SearchableRoom {
    let parts = access.visible.within(1, u64::MAX).flat_map(|(first, last)| [first, last]);
    svc::SearchableRoom { room: room.to_string(), parts: parts.collect() }
}

/// A part of all messages while it is read.
struct Walk<'a> {
    snapshot: &'a dyn Snapshot,
    messages: Vec<svc::IndexedMessage>,
    bytes: usize,
    entries: usize,
}

impl Walk<'_> {
    fn is_full(&self, bytes_max: usize) -> bool {
        self.messages.len() >= WALK_MESSAGES
            || self.bytes >= bytes_max
            || self.entries >= WALK_ENTRIES
    }

    /// Reads on in a room after a seq; up to where it has read.
    async fn room(
        &mut self,
        room: &RoomId,
        after: u64,
        head: &Head,
        bytes_max: usize,
    ) -> Result<u64, Error> {
        let mut after = after.max(head.first_seq.saturating_sub(1));
        while after < head.seq && !self.is_full(bytes_max) {
            let seqs = after + 1..head.seq + 1;
            let read = match log::read(self.snapshot, room, seqs.clone(), WALK_AT_ONCE).await {
                // One damaged entry hides no other.
                Err(Error::Corrupt(_)) => match self.read_one(room, after + 1).await? {
                    Some(one) => vec![one],
                    None => {
                        after += 1;
                        continue;
                    }
                },
                read => read?,
            };
            let Some(last) = read.last().map(|logged| logged.entry.seq) else {
                absent::note(self.snapshot, room, seqs).await?;
                return Ok(head.seq);
            };
            let first = read[0].entry.seq;
            let rows = message::scan(self.snapshot, room, first..last + 1, usize::MAX).await?;
            let rows = rows.into_iter().collect();
            let texts: Vec<u64> =
                read.iter().filter(|it| is_text(it)).map(|it| it.entry.seq).collect();
            let messages = indexed(self.snapshot, room, &rows, (read, bytes_max)).await?;
            // Where it ends before all, the others are read again.
            let mut through = if messages.len() == texts.len() { last } else { after };
            for message in messages {
                if self.is_full(bytes_max) {
                    through = self.messages.last().map_or(after, |it| it.seq);
                    break;
                }
                through = through.max(message.seq);
                self.bytes += message.encoded_len();
                self.messages.push(message);
            }
            self.entries += usize::try_from(through - after).unwrap_or(usize::MAX);
            after = through;
        }
        Ok(after)
    }

    /// The entry, if it can be read.
    async fn read_one(&self, room: &RoomId, seq: u64) -> Result<Option<Logged>, Error> {
        match log::get_many(self.snapshot, &[(room.clone(), seq)]).await {
            Ok(read) => Ok(read.into_iter().flatten().next()),
            Err(Error::Corrupt(what)) => {
                error!(%room, seq, what, "an entry can't be read: it is not found");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
