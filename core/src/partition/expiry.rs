//! Entries whose time in their room is over (`storage/src/tables/expiry.rs`). The owner of the room's partition tells
//! itself that some are, by its own log (`duties.rs`), and decides it as it decides everything: by the room's rule as it
//! is then. So what a rule that was taken back a moment before lets be stays.
//!
//! What is deleted is the front of the log, some of it with a command: entries that two clocks, this owner's and that of
//! the server which has stored the command, say to be old enough. In the same commit the room begins later, so nobody reads what
//! is half there. An entry goes by its own time: the edits of a message that has expired stay until they are that old, and
//! so do the replies of a thread.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use tracing::error;
use weft_proto::{Body, RoomId};
use weft_storage::tables::expiry;
use weft_storage::tables::file_reference::ReferenceKey;
use weft_storage::tables::head::{self, Head};
use weft_storage::tables::log::{self, Limit, Logged};
use weft_storage::tables::message::{self, Message};
use weft_storage::{Batch, Error, Snapshot};

use super::command::{Command, Incoming};
use super::state::State;

/// Entries that one command deletes at the most.
pub const PIECE_ENTRIES: u64 = 2_000;
/// Mentions and files whose rows it deletes, but for those of the last message. Each is a key of its own, or two.
const PIECE_KEYS: usize = 500;

/// What a run of commands finds to have expired, by room.
pub type FoundExpired = HashMap<RoomId, Expired>;

/// Entries of a room that have expired, those that come first.
#[derive(Debug)]
pub struct Expired {
    /// The room's rule, and its first entry, as they were when it was looked at.
    retention_days: u32,
    seqs: Range<u64>,
    /// How many messages the room had up to them.
    ordinal: u64,
    /// What became of those messages that mention somebody, or have files.
    with_keys: Vec<(u64, Message)>,
    /// When the next entry was taken; `None`: it has expired, too, or there was none.
    next_ms: Option<u64>,
}

/// What a commit deletes of a room.
pub struct Deletion {
    room: RoomId,
    pub seqs: Range<u64>,
    /// Who is mentioned, and by which seq.
    mentions: Vec<(String, u64)>,
    references: Vec<ReferenceKey>,
    now_ms: u64,
}

/// Looks what has expired in the rooms of which a run of commands says that something has.
///
/// # Errors
/// Those of the store.
pub async fn load(
    snapshot: &dyn Snapshot,
    run: &[Incoming],
    now_ms: u64,
) -> Result<FoundExpired, Error> {
    let mut found = FoundExpired::new();
    for Incoming { command, stored_at_ms, .. } in run {
        let Ok(Command { room, body: Body::Expire(_), .. }) = command else { continue };
        if found.contains_key(room) {
            continue;
        }
        match look(snapshot, room, now_ms.min(*stored_at_ms)).await {
            Ok(expired) => found.extend(expired.map(|expired| (room.clone(), expired))),
            // One damaged room holds up no other.
            Err(Error::Corrupt(what)) => {
                error!(%room, what, "what has expired can't be read: it stays")
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

async fn look(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    now_ms: u64,
) -> Result<Option<Expired>, Error> {
    let Some(row) = snapshot.get(head::key(room)).await? else { return Ok(None) };
    let (_, head) = head::decode(&row)?;
    let Some(kept_from_ms) = expiry::kept_from_ms(&head, now_ms) else { return Ok(None) };
    let first = head.first_seq.max(1);
    let piece = first..(head.seq + 1).min(first + PIECE_ENTRIES);
    let mut end = first_kept(snapshot, room, piece.clone(), kept_from_ms).await?;
    let rows = message::scan(snapshot, room, first..end, usize::MAX).await?;
    let (mut with_keys, mut count) = (Vec::new(), 0);
    for (seq, row) in rows {
        let keys = row.mentions.len() + 2 * row.files.len();
        if keys == 0 {
            continue;
        }
        if count >= PIECE_KEYS {
            end = seq;
            break;
        }
        count += keys;
        with_keys.push((seq, row));
    }
    let one = Limit { entries_max: 1, bytes_max: usize::MAX };
    let last = log::read_back(snapshot, room, first..end, one).await?.pop();
    let ordinal = last.map_or(head.expired_ordinal, |last| last.entry.ordinal);
    let next = log::read(snapshot, room, end..head.seq + 1, one).await?.pop();
    let next_ms = next.map(|next| next.entry.time_ms).filter(|time_ms| *time_ms >= kept_from_ms);
    let retention_days = head.retention_days;
    Ok(Some(Expired { retention_days, seqs: first..end, ordinal, with_keys, next_ms }))
}

/// The seq up to which all entries of these were taken before a time. Times never go back. What is missing in a damaged
/// store has none: the next entry speaks for it.
async fn first_kept(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    seqs: Range<u64>,
    kept_from_ms: u64,
) -> Result<u64, Error> {
    let one = Limit { entries_max: 1, bytes_max: usize::MAX };
    let is_kept = |logged: &Logged| logged.entry.time_ms >= kept_from_ms;
    // The last one tells most often.
    match log::read_back(snapshot, room, seqs.clone(), one).await?.pop() {
        None => return Ok(seqs.start),
        Some(last) if !is_kept(&last) => return Ok(last.entry.seq + 1),
        Some(_) => {}
    }
    // All before `low` have expired, and from `high` on none.
    let (mut low, mut high) = (seqs.start, seqs.end - 1);
    while low < high {
        let middle = low + (high - low) / 2;
        match log::read(snapshot, room, middle..seqs.end, one).await?.pop() {
            Some(logged) if !is_kept(&logged) => low = logged.entry.seq + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

impl Expired {
    /// True where the room is as it was when it was looked at, but for entries that came since.
    #[must_use]
    pub fn is_of(&self, head: &Head) -> bool {
        head.retention_days == self.retention_days && head.first_seq.max(1) == self.seqs.start
    }

    /// Under which hour the room is to be listed, when these are deleted; 0: it has no entry then.
    #[must_use]
    pub fn next_hour(&self, head: &Head, now_ms: u64) -> u32 {
        match self.next_ms {
            Some(time_ms) => expiry::hour_of_end(head, time_ms),
            None if self.seqs.end > head.seq => 0,
            // More has expired, or has come since.
            None => expiry::hour_of(now_ms),
        }
    }

    /// Lets the room begin after these.
    pub fn apply(&self, head: &mut Head) {
        if !self.seqs.is_empty() {
            (head.first_seq, head.expired_ordinal) = (self.seqs.end, self.ordinal);
        }
    }

    /// What the commit deletes; `None`: nothing. What commits that the lookup has not seen made of the messages counts.
    #[must_use]
    pub fn deletion(&self, state: &State, room: &RoomId, now_ms: u64) -> Option<Deletion> {
        if self.seqs.is_empty() {
            return None;
        }
        let written = state.messages.rows.iter();
        let written = written.filter(|((of, seq), _)| of == room && self.seqs.contains(seq));
        let written = written.map(|((_, seq), row)| (*seq, row));
        let rows = self.with_keys.iter().map(|(seq, row)| (*seq, row)).chain(written);
        let (mut mentions, mut references) = (BTreeSet::new(), BTreeSet::new());
        for (seq, row) in rows {
            let mentioned = row.mentions.iter().filter(|it| it.seq != 0);
            mentions.extend(mentioned.map(|it| (it.user.clone(), it.seq)));
            references.extend(row.file_ids().map(|file| (file, (room.clone(), seq))));
        }
        let (mentions, references) = (mentions.into_iter().collect(), references.into_iter());
        let references = references.collect();
        let (room, seqs) = (room.clone(), self.seqs.clone());
        Some(Deletion { room, seqs, mentions, references, now_ms })
    }
}

impl Deletion {
    /// How many keys it removes one by one.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.mentions.len() + 2 * self.references.len()
    }

    /// Deletes it: after whatever else the commit writes.
    pub fn write(&self, batch: &mut Batch) {
        let mentions = self.mentions.iter().map(|(who, seq)| (&**who, *seq));
        let references = (&*self.references, self.now_ms);
        expiry::delete(batch, &self.room, &self.seqs, mentions, references);
    }
}
