//! Filling a page of entries, and finding the place of a position in a room.

use std::ops::Range;

use weft_proto::entry::MessageNow;
use weft_proto::svc::LogEntry;
use weft_proto::{EventHead, Position, RoomId, UserId};
use weft_storage::tables::log::{self, Limit, Logged};
use weft_storage::tables::thread;
use weft_storage::{Error, Snapshot};

use super::at_once::{AtOnce, READ_AT_ONCE};
use super::messages;
use crate::absent;

/// How much a page carries. It ends after the entry that passes `bytes_max`.
#[derive(Clone, Copy)]
pub(super) struct PageLimit {
    pub(super) entries_max: usize,
    pub(super) bytes_max: usize,
}

pub(super) struct PageBuilder {
    limit: PageLimit,
    entries: Vec<LogEntry>,
    bytes: usize,
    /// Entries of different rooms that are read together.
    at_once: AtOnce,
    /// Who reads messages as they are now, and when; `None`: as they were taken.
    reader: Option<(UserId, u64)>,
    /// With which message the thread begins of which the page is; `None`: it is of the room.
    thread: Option<u64>,
}

impl PageBuilder {
    /// An empty page; it takes at least one entry.
    pub(super) fn new(limit: PageLimit) -> Self {
        let (entries, at_once) = (Vec::new(), AtOnce::default());
        Self { limit, entries, bytes: 0, at_once, reader: None, thread: None }
    }

    /// Messages are shown as they are now, for this user and at this time.
    pub(super) fn merged(self, reader: UserId, now_ms: u64) -> Self {
        Self { reader: Some((reader, now_ms)), ..self }
    }

    /// Only entries of a thread are shown.
    pub(super) fn of_thread(self, thread: Option<u64>) -> Self {
        Self { thread, ..self }
    }

    pub(super) fn is_full(&self) -> bool {
        !self.entries.is_empty()
            && (self.entries.len() >= self.limit.entries_max || self.bytes >= self.limit.bytes_max)
    }

    /// Adds entries of any rooms (where messages are shown as they are now: of one room), in their order,
    /// until the page is full; how many are done, those among them that are missing. Large ones are read
    /// few at once.
    pub(super) async fn add_each(
        &mut self,
        snapshot: &dyn Snapshot,
        wanted: &[(RoomId, u64)],
    ) -> Result<usize, Error> {
        let mut added = 0;
        while added < wanted.len() && !self.is_full() {
            let through = wanted.len().min(added + self.at_once.count().min(self.wanted()));
            let before = self.bytes;
            let some = &wanted[added..through];
            let read = log::get_many(snapshot, some).await?;
            let is_there: Vec<bool> = read.iter().map(Option::is_some).collect();
            let read = read.into_iter().flatten().collect();
            let mut shown = self.now(snapshot, &some[0].0, read).await?.into_iter();
            for ((room, seq), is_there) in some.iter().zip(is_there) {
                if self.is_full() {
                    return Ok(added);
                }
                if !is_there {
                    absent::note(snapshot, room, *seq..seq + 1).await?;
                } else if let Some((logged, now)) = shown.next() {
                    self.push(logged, now);
                } else {
                    // Its newest text is one too many to be held at once: it is read again.
                    break;
                }
                added += 1;
            }
            self.at_once.adapt(self.bytes - before);
        }
        Ok(added)
    }

    /// How many entries to read next.
    pub(super) fn wanted(&self) -> usize {
        self.limit.entries_max.saturating_sub(self.entries.len()).clamp(1, READ_AT_ONCE)
    }

    fn push(&mut self, logged: Logged, now: Option<MessageNow>) {
        let Logged { position, entry, .. } = logged;
        let frame = now.map_or_else(|| entry.to_frame(), |now| entry.to_frame_now(&now)).into();
        let head = EventHead::of(&entry, position, None);
        let entry = LogEntry { head: head.to_string(), frame };
        self.bytes += entry.head.len() + entry.frame.len();
        self.entries.push(entry);
    }

    /// Adds what there is of `first..=last` of a room, oldest first, until the page is full. The first
    /// seq that it does not speak of: `last + 1` where it speaks of all.
    pub(super) async fn add(
        &mut self,
        snapshot: &dyn Snapshot,
        room: &RoomId,
        first: u64,
        last: u64,
    ) -> Result<u64, Error> {
        let mut next = first;
        while next <= last && !self.is_full() {
            let end = last.saturating_add(1);
            let read = self.read(snapshot, room, next..end, false).await?;
            if read.is_empty() {
                self.note_absent(snapshot, room, next..end).await?;
                return Ok(end);
            }
            for (logged, now) in self.now(snapshot, room, read).await? {
                if self.is_full() {
                    break;
                }
                let seq = logged.entry.seq;
                if next < seq {
                    self.note_absent(snapshot, room, next..seq).await?;
                }
                next = seq + 1;
                self.push(logged, now);
            }
        }
        let is_end =
            next <= last && !self.has_more(snapshot, room, next..last.saturating_add(1)).await?;
        Ok(if is_end { last.saturating_add(1) } else { next })
    }

    /// Adds the last ones of what there is of `first..=last`, newest first, until the page is full. The first
    /// seq that it speaks of: `first` where it speaks of all.
    pub(super) async fn add_back(
        &mut self,
        snapshot: &dyn Snapshot,
        room: &RoomId,
        first: u64,
        last: u64,
    ) -> Result<u64, Error> {
        let mut lowest = last.saturating_add(1);
        while lowest > first && !self.is_full() {
            let read = self.read(snapshot, room, first..lowest, true).await?;
            if read.is_empty() {
                self.note_absent(snapshot, room, first..lowest).await?;
                lowest = first;
            }
            for (logged, now) in self.now(snapshot, room, read).await? {
                if self.is_full() {
                    break;
                }
                let seq = logged.entry.seq;
                if seq + 1 < lowest {
                    self.note_absent(snapshot, room, seq + 1..lowest).await?;
                }
                lowest = seq;
                self.push(logged, now);
            }
        }
        let is_end = lowest > first && !self.has_more(snapshot, room, first..lowest).await?;
        Ok(if is_end { first } else { lowest })
    }

    /// False where a thread has no entry with these seqs. A room has some wherever there may be some.
    async fn has_more(
        &self,
        snapshot: &dyn Snapshot,
        room: &RoomId,
        seqs: Range<u64>,
    ) -> Result<bool, Error> {
        let Some(root) = self.thread else { return Ok(true) };
        Ok(!thread::replies(snapshot, (room, root), seqs, (1, false)).await?.is_empty())
    }

    /// The first entries with these seqs that the page is of, or in reverse the last ones, newest first; none:
    /// there are no further ones.
    async fn read(
        &self,
        snapshot: &dyn Snapshot,
        room: &RoomId,
        seqs: Range<u64>,
        reverse: bool,
    ) -> Result<Vec<Logged>, Error> {
        let limit = Limit { entries_max: self.wanted(), bytes_max: self.limit.bytes_max };
        match (self.thread, reverse) {
            (Some(root), _) => read_thread(snapshot, (room, root), seqs, (limit, reverse)).await,
            (None, false) => log::read(snapshot, room, seqs, limit).await,
            (None, true) => log::read_back(snapshot, room, seqs, limit).await,
        }
    }

    /// Notes what a room lacks. What a thread has not is in the room.
    async fn note_absent(
        &self,
        snapshot: &dyn Snapshot,
        room: &RoomId,
        seqs: Range<u64>,
    ) -> Result<(), Error> {
        match self.thread {
            Some(_) => Ok(()),
            None => absent::note(snapshot, room, seqs).await,
        }
    }

    /// The entries as the page shows them.
    async fn now(
        &self,
        snapshot: &dyn Snapshot,
        room: &RoomId,
        read: Vec<Logged>,
    ) -> Result<Vec<(Logged, Option<MessageNow>)>, Error> {
        match &self.reader {
            Some((reader, now_ms)) => {
                let read = (read, self.limit.bytes_max);
                messages::now(snapshot, room, (reader, *now_ms), read).await
            }
            None => Ok(read.into_iter().map(|logged| (logged, None)).collect()),
        }
    }

    pub(super) fn into_entries(self) -> Vec<LogEntry> {
        self.entries
    }

    /// The entries after [`add_back`](Self::add_back), oldest first.
    pub(super) fn into_entries_reversed(mut self) -> Vec<LogEntry> {
        self.entries.reverse();
        self.entries
    }
}

/// The replies of a thread with these seqs, as [`PageBuilder::read`].
async fn read_thread(
    snapshot: &dyn Snapshot,
    at: (&RoomId, u64),
    mut seqs: Range<u64>,
    (limit, reverse): (Limit, bool),
) -> Result<Vec<Logged>, Error> {
    let (mut read, mut bytes) = (Vec::new(), 0);
    while read.is_empty() && seqs.start < seqs.end {
        let rows =
            thread::replies(snapshot, at, seqs.clone(), (limit.entries_max, reverse)).await?;
        let Some((last, _)) = rows.last() else { break };
        if reverse {
            seqs.end = *last;
        } else {
            seqs.start = last + 1;
        }
        let wanted: Vec<(RoomId, u64)> =
            rows.into_iter().map(|(seq, _)| (at.0.clone(), seq)).collect();
        let (mut left, mut at_once) = (&*wanted, AtOnce::default());
        while !left.is_empty() && bytes < limit.bytes_max {
            let (some, rest) = left.split_at(left.len().min(at_once.count()));
            let bytes_before = bytes;
            for (logged, (room, seq)) in log::get_many(snapshot, some).await?.into_iter().zip(some)
            {
                match logged {
                    Some(logged) => {
                        if let Some(message) = logged.entry.body.as_message() {
                            bytes += message.text.len();
                        }
                        read.push(logged);
                    }
                    None => absent::note(snapshot, room, *seq..seq + 1).await?,
                }
            }
            at_once.adapt(bytes - bytes_before);
            left = rest;
        }
    }
    Ok(read)
}

/// The seq from which on a room has nothing at or before `after` in commit order: of `first..=last`;
/// `last + 1` where all that there is is at or before it. Positions grow with seqs.
pub(super) async fn first_after(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    seqs: (u64, u64),
    after: Position,
) -> Result<u64, Error> {
    first_that_is_not(snapshot, room, seqs, |found| found.position <= after).await
}

/// The seq from which on a room has nothing that was taken before a time: of `first..=last`; `last + 1`
/// where all of it was. Times never go back.
pub(super) async fn first_at(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    seqs: (u64, u64),
    time_ms: u64,
) -> Result<u64, Error> {
    first_that_is_not(snapshot, room, seqs, |found| found.entry.time_ms < time_ms).await
}

/// The seq of the first entry of `first..=last` that is not `before`; `last + 1` where all are. Reads
/// about 2 log2(n) entries, n = how many are not: whatever is `before` comes first.
async fn first_that_is_not(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    (first, last): (u64, u64),
    before: impl Fn(&Logged) -> bool + Sync,
) -> Result<u64, Error> {
    // Up to `low` everything is before it, from `high` on nothing is.
    let (mut low, mut high) = (first.saturating_sub(1).min(last), last.saturating_add(1));
    // In growing steps back from the end, then by halves.
    let mut step = 1_u64;
    while high - low > 1 {
        let probe = high.saturating_sub(step).max(low + 1);
        match first_if(snapshot, room, probe..high, &before).await? {
            Some(seq) => {
                low = seq;
                break;
            }
            None => high = probe,
        }
        step = step.saturating_mul(2);
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match first_if(snapshot, room, middle..high, &before).await? {
            Some(seq) => low = seq,
            None => high = middle,
        }
    }
    Ok(high)
}

/// The seq of the first entry that there is in `seqs`, where it is `before`. What is missing has
/// neither position nor time: the next one speaks for it.
async fn first_if(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    seqs: Range<u64>,
    before: impl Fn(&Logged) -> bool,
) -> Result<Option<u64>, Error> {
    let limit = Limit { entries_max: 1, bytes_max: 0 };
    let found = log::read(snapshot, room, seqs, limit).await?.pop();
    Ok(found.filter(before).map(|found| found.entry.seq))
}
