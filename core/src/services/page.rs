//! Filling a page of entries, and finding where a position stands in a room.

use weft_proto::svc::LogEntry;
use weft_proto::{EventHead, Position, RoomId};
use weft_storage::tables::log::{self, Limit, Logged};
use weft_storage::{Error, Snapshot};

/// Entries read at once. An entry may have 400 kB, and compressed much less: so a page that ends
/// after a few large ones must not have read all.
pub(super) const READ_AT_ONCE: usize = 32;
/// Entries of different rooms that are read at once in the beginning: nobody knows how large they
/// are.
const READ_FIRST: usize = 4;
/// Where those that were read together had less, twice as many come next.
const READ_MORE_BYTES: usize = 64_000;

/// How much a page carries. It ends after the entry that passes `bytes_max`.
#[derive(Clone, Copy)]
pub(super) struct PageLimit {
    pub(super) entries_max: usize,
    pub(super) bytes_max: usize,
}

/// A page under construction.
pub(super) struct Page {
    limit: PageLimit,
    entries: Vec<LogEntry>,
    bytes: usize,
    /// Entries of different rooms to read next.
    at_once: usize,
}

impl Page {
    /// An empty page; it takes at least one entry.
    pub(super) fn new(limit: PageLimit) -> Self {
        Self { limit, entries: Vec::new(), bytes: 0, at_once: READ_FIRST }
    }

    pub(super) fn is_full(&self) -> bool {
        !self.entries.is_empty()
            && (self.entries.len() >= self.limit.entries_max || self.bytes >= self.limit.bytes_max)
    }

    /// Adds entries of any rooms, in their order, until the page is full; how many it added. Large
    /// ones are read few at once.
    pub(super) async fn add_each(
        &mut self,
        snapshot: &dyn Snapshot,
        wanted: &[(RoomId, u64)],
    ) -> Result<usize, Error> {
        let mut added = 0;
        while added < wanted.len() && !self.is_full() {
            let through = wanted.len().min(added + self.at_once.min(self.wanted()));
            let before = self.bytes;
            let some = &wanted[added..through];
            for (logged, (room, seq)) in log::get_many(snapshot, some).await?.into_iter().zip(some)
            {
                if self.is_full() {
                    return Ok(added);
                }
                self.push(logged.ok_or_else(|| missing(room, *seq))?);
                added += 1;
            }
            let is_small = self.bytes - before < READ_MORE_BYTES;
            self.at_once = if is_small { self.at_once * 2 } else { READ_FIRST }.min(READ_AT_ONCE);
        }
        Ok(added)
    }

    /// How many entries to read next.
    pub(super) fn wanted(&self) -> usize {
        self.limit.entries_max.saturating_sub(self.entries.len()).clamp(1, READ_AT_ONCE)
    }

    pub(super) fn push(&mut self, logged: Logged) {
        let Logged { position, entry, .. } = logged;
        let frame = entry.to_frame().into();
        let head = EventHead::of(&entry, position, None);
        let entry = LogEntry { head: head.to_string(), frame };
        self.bytes += entry.head.len() + entry.frame.len();
        self.entries.push(entry);
    }

    /// Adds `first..=last` of a room, oldest first, until the page is full. The first seq that it
    /// did not add: `last + 1` where all are in.
    pub(super) async fn add(
        &mut self,
        snapshot: &dyn Snapshot,
        room: &RoomId,
        first: u64,
        last: u64,
    ) -> Result<u64, Error> {
        let mut next = first;
        while next <= last && !self.is_full() {
            let limit = Limit { entries_max: self.wanted(), bytes_max: self.limit.bytes_max };
            let read = log::read(snapshot, room, next..last.saturating_add(1), limit).await?;
            check_dense(room, next, read.first())?;
            for logged in read {
                if self.is_full() {
                    break;
                }
                check_dense(room, next, Some(&logged))?;
                self.push(logged);
                next += 1;
            }
        }
        Ok(next)
    }

    /// Adds the last ones of `first..=last`, until the page is full; the page was empty. The first
    /// seq that it added: `last + 1` where there is none.
    pub(super) async fn add_back(
        &mut self,
        snapshot: &dyn Snapshot,
        room: &RoomId,
        first: u64,
        last: u64,
    ) -> Result<u64, Error> {
        let mut lowest = last.saturating_add(1);
        while lowest > first && !self.is_full() {
            let limit = Limit { entries_max: self.wanted(), bytes_max: self.limit.bytes_max };
            let read = log::read_back(snapshot, room, first..lowest, limit).await?;
            check_dense(room, lowest - 1, read.first())?;
            for logged in read {
                if self.is_full() {
                    break;
                }
                check_dense(room, lowest - 1, Some(&logged))?;
                self.push(logged);
                lowest -= 1;
            }
        }
        self.entries.reverse();
        Ok(lowest)
    }

    pub(super) fn into_entries(self) -> Vec<LogEntry> {
        self.entries
    }
}

/// A log is dense: a page that skipped something would be taken for the truth.
fn check_dense(room: &RoomId, seq: u64, found: Option<&Logged>) -> Result<(), Error> {
    match found {
        Some(logged) if logged.entry.seq == seq => Ok(()),
        _ => Err(missing(room, seq)),
    }
}

pub(super) fn missing(room: &RoomId, seq: u64) -> Error {
    Error::Corrupt(format!("log: entry {seq} of room {room} is missing"))
}

/// The first seq of `1..=last` whose entry stands behind `after` in commit order; `last + 1` where
/// none does. Reads about 2 log2(n) entries, n = how many stand behind it: positions grow with seqs.
pub(super) async fn first_after(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    last: u64,
    after: Position,
) -> Result<u64, Error> {
    // The entry at `low` stands at or before it (or `low` is 0), the one at `high` behind it (or
    // `high` is last + 1).
    let (mut low, mut high) = (0, last.saturating_add(1));
    let mut step = 1;
    while high > step {
        let probe = high - step;
        if position_of(snapshot, room, probe).await? <= after {
            low = probe;
            break;
        }
        high = probe;
        step = step.saturating_mul(2);
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if position_of(snapshot, room, middle).await? <= after {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(high)
}

async fn position_of(snapshot: &dyn Snapshot, room: &RoomId, seq: u64) -> Result<Position, Error> {
    let found = log::get_many(snapshot, &[(room.clone(), seq)]).await?;
    match found.into_iter().next().flatten() {
        Some(logged) => Ok(logged.position),
        None => Err(missing(room, seq)),
    }
}
