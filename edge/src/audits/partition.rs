//! What an edge has audited of one partition, and when it asks again. Pure: time is handed in.
//!
//! Two places are kept. Everything of the partition's commits up to number `audited` is in the
//! mailboxes of those whom it concerns (or was covered by their sync); and everything of the
//! partition at or before the position `safe` is so. `safe` never goes back.

use std::time::Duration;

use tokio::time::Instant;
use weft_proto::svc::AuditPage;
use weft_proto::{Position, Tick, TickName};

use crate::sabotage::{self, Rule};

/// When to ask.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Without a reason.
    pub every: Duration,
    /// Between two answers, whatever the reasons.
    pub pause: Duration,
    /// How long a new subscription may take until the last server knows it.
    pub after_subscribing: Duration,
    /// After a question without an answer.
    pub retry: Duration,
    /// How long the next tick is waited for where the last one said that nothing has changed: it
    /// may say so again, and spare the question.
    pub tick_patience: Duration,
}

impl Pace {
    /// Asks every so often without a reason; the rest follows.
    #[must_use]
    pub fn every(every: Duration) -> Self {
        let at_most = |limit: Duration| limit.min(every / 3);
        Self {
            every,
            pause: at_most(Duration::from_secs(5)),
            after_subscribing: at_most(Duration::from_secs(1)),
            retry: at_most(Duration::from_secs(1)),
            tick_patience: at_most(Duration::from_millis(1_500)),
        }
    }
}

/// Since when, and until when, something asks for an audit.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    /// The first reason is satisfied by a look from here on.
    first: Instant,
    /// All reasons are.
    last: Instant,
}

/// One partition, as an edge has audited it.
#[derive(Debug)]
pub struct PartitionAudit {
    pace: Pace,
    /// `None` before the baseline.
    audited: Option<u64>,
    safe: Position,
    /// The newest tick.
    tick: Option<TickName>,
    /// The last tick said that nothing has changed; the next one is waited for until here.
    idle_until: Option<Instant>,
    /// When something said last that all is well.
    checked_at: Instant,
    answered_at: Option<Instant>,
    wanted: Option<Wanted>,
    /// There is no baseline yet, or an answer had more: asked without a pause, from here on.
    ask_at: Option<Instant>,
    retry_at: Option<Instant>,
    /// The number of the question that is underway.
    underway: Option<u64>,
}

/// What a page that was expected says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Page {
    /// Where the partition stands: from here on all is audited.
    Baseline,
    /// Rooms have changed.
    Rooms,
    /// What has changed can't be told.
    Unknown,
    /// It was not expected, or is malformed.
    Ignored,
}

impl PartitionAudit {
    pub(super) fn new(pace: Pace, now: Instant) -> Self {
        Self {
            pace,
            audited: None,
            safe: Position::MIN,
            tick: None,
            idle_until: None,
            checked_at: now,
            answered_at: None,
            wanted: None,
            ask_at: Some(now),
            retry_at: None,
            underway: None,
        }
    }

    /// Forgets what was audited: a new baseline is asked for at once.
    pub(super) fn restart(&mut self, now: Instant) {
        *self = Self { tick: self.tick, ..Self::new(self.pace, now) };
    }

    /// Everything at or before it is in the mailboxes; `None` before the baseline.
    pub(super) fn safe(&self) -> Option<Position> {
        self.audited.map(|_| self.safe)
    }

    /// The owner's sign of life. `is_other`: of another store than what was audited, where it is as if
    /// anything had been lost.
    pub(super) fn on_tick(&mut self, tick: &Tick, is_other: bool, now: Instant) {
        let newest = tick.name();
        match self.tick {
            // Of an owner that was replaced, or late.
            Some(seen) if !newest.is_after(&seen) => return,
            Some(seen) if !newest.is_next_after(&seen) => self.want(now),
            _ => {}
        }
        self.tick = Some(newest);
        self.idle_until = None;
        if is_other {
            return self.want(now);
        }
        // Without a read version it says nothing of what is committed.
        if self.audited != Some(tick.commit_no) && !sabotage::is_out(Rule::AuditedIsSafe) {
            return;
        }
        // Nothing was committed since what was audited.
        if let Some(position) = Position::from_slice(&tick.read_version) {
            self.safe = self.safe.max(position);
            self.checked_at = now;
            self.idle_until = Some(now + self.pace.tick_patience);
            self.satisfy(now);
        }
    }

    /// Something may have been lost.
    pub(super) fn on_loss(&mut self, now: Instant) {
        self.want(now);
    }

    /// A subscription was made, which may miss what is published soon.
    pub(super) fn on_subscribed(&mut self, now: Instant) {
        self.want(now + self.pace.after_subscribing);
    }

    fn want(&mut self, from: Instant) {
        let wanted = self.wanted.get_or_insert(Wanted { first: from, last: from });
        wanted.first = wanted.first.min(from);
        wanted.last = wanted.last.max(from);
    }

    /// A look at this instant satisfies what was wanted until then.
    fn satisfy(&mut self, now: Instant) {
        match &mut self.wanted {
            Some(wanted) if wanted.first > now => {}
            // Which one is the next is not kept.
            Some(wanted) if wanted.last > now => wanted.first = wanted.last,
            wanted => *wanted = None,
        }
    }

    /// When [`due`](Self::due) says something, if nothing changes. `None`: a question is underway.
    pub(super) fn due_at(&self) -> Option<Instant> {
        if self.underway.is_some() {
            return None;
        }
        let at = if let Some(at) = self.ask_at {
            at
        } else {
            let regular = self.checked_at + self.pace.every;
            let earliest = self.answered_at.map(|at| at + self.pace.pause);
            let wanted =
                self.wanted.map(|wanted| earliest.map_or(wanted.first, |at| at.max(wanted.first)));
            let at = wanted.map_or(regular, |at| at.min(regular));
            self.idle_until.map_or(at, |until| until.max(at))
        };
        Some(self.retry_at.map_or(at, |retry_at| retry_at.max(at)))
    }

    /// Begins a question, where it is time: since which commit number. `None` inside: where the
    /// partition stands.
    pub(super) fn due(&mut self, number: u64, now: Instant) -> Option<Option<u64>> {
        if self.due_at().is_none_or(|at| at > now) {
            return None;
        }
        self.underway = Some(number);
        self.satisfy(now);
        Some(self.audited)
    }

    /// There was no answer.
    pub(super) fn failed(&mut self, number: u64, now: Instant) {
        if self.underway == Some(number) {
            self.underway = None;
            self.retry_at = Some(now + self.pace.retry);
            self.want(now);
        }
    }

    /// Counts an answer.
    pub(super) fn on_page(&mut self, number: u64, page: &AuditPage, now: Instant) -> Page {
        if self.underway != Some(number) {
            return Page::Ignored;
        }
        let Some(read_version) = Position::from_slice(&page.read_version) else {
            self.failed(number, now);
            return Page::Ignored;
        };
        self.underway = None;
        self.retry_at = None;
        // What was audited never falls: a store that says so has lost commits, and can't tell which.
        if page.unknown || self.audited.is_some_and(|audited| page.through < audited) {
            return Page::Unknown;
        }
        let was_baseline = self.audited.is_none();
        self.audited = Some(page.through);
        if page.more {
            self.ask_at = Some(now);
            return Page::Rooms;
        }
        self.ask_at = None;
        self.checked_at = now;
        self.answered_at = Some(now);
        self.safe = self.safe.max(read_version);
        if was_baseline { Page::Baseline } else { Page::Rooms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn tick(epoch: u64, number: u64, commit_no: u64, version: u64) -> Tick {
        let read_version = Position::new(version, 0).0.to_vec();
        // More is applied than committed: there are refusals too.
        let (applied, last_seq) = (commit_no + 50, commit_no + 60);
        Tick { epoch, number, applied, last_seq, read_version, commit_no, ..Tick::default() }
    }

    fn page(through: u64, version: u64) -> AuditPage {
        let read_version = Position::new(version, 0).0.to_vec();
        AuditPage { through, read_version, ..AuditPage::default() }
    }

    fn safe(version: u64) -> Option<Position> {
        Some(Position::new(version, 0))
    }

    /// With a baseline at commit 10, version 100, and a first tick of epoch 1.
    fn audited(now: Instant) -> PartitionAudit {
        let mut audit = PartitionAudit::new(Pace::every(Duration::from_secs(15)), now);
        assert_eq!(audit.safe(), None);
        assert_eq!(audit.due(0, now), Some(None));
        assert_eq!(audit.on_page(0, &page(10, 100), now), Page::Baseline);
        assert_eq!(audit.safe(), safe(100));
        audit.on_tick(&tick(1, 1, 11, 101), false, now);
        audit
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_reason_it_asks_now_and_then() {
        let start = Instant::now();
        let mut audit = audited(start);
        assert_eq!(audit.due_at(), Some(start + 15 * SECOND));
        assert_eq!(audit.due(1, start + 14 * SECOND), None);
        assert_eq!(audit.due(1, start + 15 * SECOND), Some(Some(10)));
        assert_eq!(audit.due_at(), None);
        // Answers to no question are none.
        assert_eq!(audit.on_page(0, &page(99, 999), start), Page::Ignored);
        let answered_at = start + 16 * SECOND;
        assert_eq!(audit.on_page(1, &page(20, 200), answered_at), Page::Rooms);
        assert_eq!(audit.safe(), safe(200));
        assert_eq!(audit.due_at(), Some(answered_at + 15 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn ticks_of_an_idle_partition_spare_the_question() {
        let start = Instant::now();
        let mut audit = audited(start);
        audit.on_subscribed(start);
        for number in 2_u32..100 {
            let now = start + SECOND * number;
            assert_eq!(audit.due(7, now), None);
            audit.on_tick(&tick(1, number.into(), 10, 100 + u64::from(number)), false, now);
            assert_eq!(audit.safe(), safe(100 + u64::from(number)));
        }
        // Something else was committed: no word about what.
        let now = start + 100 * SECOND;
        audit.on_tick(&tick(1, 100, 11, 999), false, now);
        assert_eq!(audit.safe(), safe(199));
        assert_eq!(audit.due_at(), Some(start + 99 * SECOND + 15 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_tick_and_a_new_epoch_are_losses() {
        let start = Instant::now();
        for lossy in [tick(1, 3, 11, 0), tick(2, 1, 11, 0), tick(2, 7, 11, 0)] {
            let mut audit = audited(start);
            audit.on_tick(&lossy, false, start + 6 * SECOND);
            assert_eq!(audit.due(1, start + 6 * SECOND), Some(Some(10)), "{lossy:?}");
        }
        for fine in [tick(1, 2, 11, 0), tick(1, 1, 11, 0), tick(0, 9, 11, 0)] {
            let mut audit = audited(start);
            audit.on_tick(&fine, false, start + 6 * SECOND);
            assert_eq!(audit.due_at(), Some(start + 15 * SECOND), "{fine:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_owners_ticks_count_for_nothing() {
        let start = Instant::now();
        let mut audit = audited(start);
        audit.on_tick(&tick(3, 5, 11, 0), false, start);
        audit.on_tick(&tick(2, 99, 10, 500), false, start);
        audit.on_tick(&tick(3, 5, 10, 500), false, start);
        assert_eq!(audit.safe(), safe(100));
    }

    #[tokio::test(start_paused = true)]
    async fn reasons_are_answered_at_most_so_often() {
        let start = Instant::now();
        let mut audit = audited(start);
        let now = start + SECOND;
        audit.on_loss(now);
        assert_eq!(audit.due_at(), Some(start + 5 * SECOND));
        let now = start + 5 * SECOND;
        assert_eq!(audit.due(1, now), Some(Some(10)));
        // While it is underway there is another reason, and one that is to come.
        audit.on_loss(now + SECOND);
        audit.on_subscribed(now + SECOND);
        let answered_at = now + SECOND;
        audit.on_page(1, &page(11, 200), answered_at);
        assert_eq!(audit.due(2, answered_at + 5 * SECOND), Some(Some(11)));
        audit.on_page(2, &page(11, 300), answered_at + 5 * SECOND);
        assert_eq!(audit.due_at(), Some(answered_at + 20 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn a_subscription_is_audited_when_it_stands() {
        let start = Instant::now();
        let mut audit = audited(start);
        let now = start + 10 * SECOND;
        audit.on_subscribed(now);
        audit.on_subscribed(now + SECOND / 2);
        assert_eq!(audit.due_at(), Some(now + SECOND));
        assert_eq!(audit.due(1, now + SECOND), Some(Some(10)));
        audit.on_page(1, &page(10, 200), now + SECOND);
        // The second one did not stand yet.
        assert_eq!(audit.due_at(), Some(now + 6 * SECOND));
        audit.on_tick(&tick(1, 2, 10, 201), false, now + SECOND);
        audit.on_tick(&tick(1, 3, 11, 202), false, now + SECOND);
        assert_eq!(audit.due_at(), Some(now + 6 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn more_is_asked_for_at_once_and_counts_at_its_end() {
        let start = Instant::now();
        let mut audit = audited(start);
        let now = start + 15 * SECOND;
        assert_eq!(audit.due(1, now), Some(Some(10)));
        let more = AuditPage { more: true, ..page(12, 200) };
        assert_eq!(audit.on_page(1, &more, now), Page::Rooms);
        assert_eq!(audit.safe(), safe(100));
        assert_eq!(audit.due(2, now), Some(Some(12)));
        audit.failed(2, now);
        assert_eq!(audit.due_at(), Some(now + SECOND));
        assert_eq!(audit.due(3, now + SECOND), Some(Some(12)));
        assert_eq!(audit.on_page(3, &page(13, 201), now + SECOND), Page::Rooms);
        assert_eq!(audit.safe(), safe(201));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_audited_never_falls() {
        let start = Instant::now();
        let mut audit = audited(start);
        let now = start + 15 * SECOND;
        assert_eq!(audit.due(1, now), Some(Some(10)));
        assert_eq!(audit.on_page(1, &page(9, 200), now), Page::Unknown);
        assert_eq!(audit.safe(), safe(100));
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_is_tried_again_soon() {
        let start = Instant::now();
        let mut audit = audited(start);
        let now = start + 15 * SECOND;
        assert_eq!(audit.due(1, now), Some(Some(10)));
        audit.failed(1, now);
        assert_eq!(audit.due_at(), Some(now + SECOND));
        assert_eq!(audit.due(2, now + SECOND), Some(Some(10)));
        let malformed = AuditPage { read_version: vec![1], ..page(11, 0) };
        assert_eq!(audit.on_page(2, &malformed, now + SECOND), Page::Ignored);
        assert_eq!(audit.due_at(), Some(now + 2 * SECOND));
    }
}
