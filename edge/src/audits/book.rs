//! What an edge has audited of all partitions: pure, so that a simulation can drive it.
//!
//! The wiring around it: ask what is [`due`](Book::due); when an answer has come, wait until what
//! is underway on the wire has arrived, call [`on_page`](Book::on_page), and put the notices into
//! the mailboxes; only then read [`cursor`](Book::cursor) and put markers after them.

use tokio::time::Instant;
use weft_proto::svc::AuditPage;
use weft_proto::{Cursor, Partition, StoreId, Tick};

use super::partition::{Pace, Page, PartitionAudit};

/// A question that is to be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ask {
    /// Of this partition.
    pub partition: Partition,
    /// As in [`svc::Audit`](weft_proto::svc::Audit).
    pub since: Option<u64>,
    number: u64,
}

/// What an answer means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// The rooms of the page have changed: put the notices into the mailboxes.
    Rooms,
    /// What has changed can't be told: all partitions get a new baseline.
    Anew,
    /// Every partition has its baseline: syncs that begin from now on are followed without a hole.
    /// Sessions that synced before have to sync again.
    Ready,
}

/// All partitions, as an edge has audited them.
#[derive(Debug)]
pub struct Book {
    partitions: Vec<PartitionAudit>,
    /// The store that the baselines are of.
    store: Option<StoreId>,
    next_number: u64,
}

impl Book {
    /// Nothing is audited yet; baselines are asked for at once.
    #[must_use]
    pub fn new(partitions: Partition, pace: Pace, now: Instant) -> Self {
        let partitions = (0..partitions).map(|_| PartitionAudit::new(pace, now)).collect();
        Self { partitions, store: None, next_number: 0 }
    }

    /// Everything at or before it is in the mailboxes of all sessions that synced after the
    /// baselines. `None`: there is a partition without a baseline.
    #[must_use]
    pub fn cursor(&self) -> Option<Cursor> {
        let safe = self.partitions.iter().map(PartitionAudit::safe);
        let position = safe.min().flatten()?;
        Some(Cursor { store: self.store?, position })
    }

    /// A partition's owner has ticked. A tick of another store than the baselines', whose commit numbers
    /// and positions are others, proves nothing; its next answer begins anew.
    pub fn on_tick(&mut self, partition: Partition, tick: &Tick, now: Instant) {
        let ticks = tick.store_id.map(StoreId);
        let is_other = ticks.zip(self.store).is_some_and(|(ticks, own)| ticks != own);
        if let Some(audit) = self.partitions.get_mut(usize::from(partition)) {
            audit.on_tick(tick, is_other, now);
        }
    }

    /// Anything may have been lost.
    pub fn on_loss(&mut self, now: Instant) {
        self.partitions.iter_mut().for_each(|audit| audit.on_loss(now));
    }

    /// A subscription was made that gets entries of this partition; `None`: of all of them.
    pub fn on_subscribed(&mut self, partition: Option<Partition>, now: Instant) {
        for (number, audit) in (0..).zip(&mut self.partitions) {
            if partition.is_none_or(|only| only == number) {
                audit.on_subscribed(now);
            }
        }
    }

    /// When something is due, if nothing changes.
    #[must_use]
    pub fn due_at(&self) -> Option<Instant> {
        self.partitions.iter().filter_map(PartitionAudit::due_at).min()
    }

    /// What is to be asked now. Each is then answered by [`on_page`](Self::on_page) or
    /// [`failed`](Self::failed).
    pub fn due(&mut self, now: Instant) -> Vec<Ask> {
        let mut asks = Vec::new();
        for (partition, audit) in (0..).zip(&mut self.partitions) {
            let number = self.next_number;
            if let Some(since) = audit.due(number, now) {
                self.next_number += 1;
                asks.push(Ask { partition, since, number });
            }
        }
        asks
    }

    /// A question got no answer.
    pub fn failed(&mut self, ask: Ask, now: Instant) {
        if let Some(audit) = self.partitions.get_mut(usize::from(ask.partition)) {
            audit.failed(ask.number, now);
        }
    }

    /// A question was answered.
    pub fn on_page(&mut self, ask: Ask, page: &AuditPage, now: Instant) -> Found {
        let Some(audit) = self.partitions.get_mut(usize::from(ask.partition)) else {
            return Found::Nothing;
        };
        let Ok(store) = page.store.as_slice().try_into().map(u64::from_be_bytes).map(StoreId)
        else {
            audit.failed(ask.number, now);
            return Found::Nothing;
        };
        let found = audit.on_page(ask.number, page, now);
        if found == Page::Ignored {
            return Found::Nothing;
        }
        let is_other = *self.store.get_or_insert(store) != store;
        match found {
            _ if is_other => self.restart(now),
            Page::Unknown => self.restart(now),
            Page::Baseline if self.cursor().is_some() => Found::Ready,
            Page::Rooms => Found::Rooms,
            Page::Baseline | Page::Ignored => Found::Nothing,
        }
    }

    fn restart(&mut self, now: Instant) -> Found {
        self.store = None;
        self.partitions.iter_mut().for_each(|audit| audit.restart(now));
        Found::Anew
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use weft_proto::Position;

    use super::*;

    fn page(store: u64, through: u64, version: u64) -> AuditPage {
        AuditPage {
            store: store.to_be_bytes().to_vec(),
            through,
            read_version: Position::new(version, 0).0.to_vec(),
            ..AuditPage::default()
        }
    }

    fn cursor(store: u64, version: u64) -> Option<Cursor> {
        Some(Cursor { store: StoreId(store), position: Position::new(version, 0) })
    }

    fn ready(now: Instant) -> Book {
        let mut book = Book::new(2, Pace::every(Duration::from_secs(15)), now);
        let asks = book.due(now);
        assert_eq!(asks.iter().map(|ask| ask.partition).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(book.on_page(asks[0], &page(1, 5, 100), now), Found::Nothing);
        assert_eq!(book.cursor(), None);
        assert_eq!(book.on_page(asks[1], &page(1, 6, 101), now), Found::Ready);
        assert_eq!(book.cursor(), cursor(1, 100));
        book
    }

    #[tokio::test(start_paused = true)]
    async fn the_cursor_is_that_of_the_partition_furthest_behind() {
        let start = Instant::now();
        let mut book = ready(start);
        let read_version = Position::new(300, 0).0.to_vec();
        let tick = Tick { epoch: 1, number: 1, commit_no: 5, read_version, ..Tick::default() };
        book.on_tick(0, &tick, start);
        book.on_tick(7, &tick, start);
        assert_eq!(book.cursor(), cursor(1, 101));
        let now = start + Duration::from_secs(60);
        book.on_subscribed(Some(1), now - Duration::from_secs(10));
        let asks = book.due(now);
        assert_eq!(book.on_page(asks[1], &page(1, 6, 400), now), Found::Rooms);
        assert_eq!(book.cursor(), cursor(1, 300));
    }

    #[tokio::test(start_paused = true)]
    async fn a_tick_of_another_store_proves_nothing_and_is_looked_into() {
        let start = Instant::now();
        let read_version = Position::new(300, 0).0.to_vec();
        // As many commits as were audited, in an epoch that was there before.
        let tick = Tick { epoch: 1, number: 1, commit_no: 5, read_version, ..Tick::default() };
        let of = |store, number| Tick { store_id: Some(store), number, ..tick.clone() };
        let mut book = ready(start);
        book.on_tick(0, &of(2, 1), start);
        assert_eq!(book.cursor(), cursor(1, 100));
        let now = start + Duration::from_secs(5);
        let asks = book.due(now);
        assert_eq!(asks.iter().map(|ask| ask.partition).collect::<Vec<_>>(), [0]);
        assert_eq!(book.on_page(asks[0], &page(2, 5, 300), now), Found::Anew);
        // Its own store's, and one that names none, prove what they say.
        for tick in [of(1, 1), tick.clone()] {
            let mut book = ready(start);
            book.on_tick(0, &tick, start);
            assert_eq!(book.cursor(), cursor(1, 101));
            assert_eq!(book.due(start + Duration::from_secs(5)), []);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn another_store_or_a_store_that_cannot_tell_begins_anew() {
        let start = Instant::now();
        let unknown = AuditPage { unknown: true, ..page(1, 3, 90) };
        for answer in [page(2, 9, 50), unknown] {
            let mut book = ready(start);
            let now = start + Duration::from_secs(15);
            let asks = book.due(now);
            assert_eq!(book.on_page(asks[0], &answer, now), Found::Anew);
            assert_eq!(book.cursor(), None);
            // What was asked before says nothing any more.
            assert_eq!(book.on_page(asks[1], &page(1, 7, 200), now), Found::Nothing);
            let asks = book.due(now);
            assert!(asks.len() == 2 && asks.iter().all(|ask| ask.since.is_none()), "{asks:?}");
            book.on_page(asks[0], &page(2, 9, 50), now);
            assert_eq!(book.on_page(asks[1], &page(2, 9, 51), now), Found::Ready);
            assert_eq!(book.cursor(), cursor(2, 50));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_cannot_be_read_is_none() {
        let now = Instant::now();
        let mut book = Book::new(1, Pace::every(Duration::from_secs(15)), now);
        let ask = book.due(now)[0];
        let malformed = AuditPage { store: vec![1], ..page(1, 5, 100) };
        assert_eq!(book.on_page(ask, &malformed, now), Found::Nothing);
        assert_eq!(book.due_at(), Some(now + Duration::from_secs(1)));
    }
}
