//! An owner between taking and losing its partition: reads its ingest log, plans, commits, acts.
//!
//! At most one commit is underway; meanwhile the next one is planned, command by command, and goes
//! out as soon as the first is done: so batches are as large as the store is slow, and no command
//! waits for a timer. Client ids of planned entries stay in memory until a lookup that began after
//! their commit has taken over (see [`State::forget_settled`]).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use weft_proto::svc::Change;
use weft_proto::{Membership, Position, RoomId, RoomKind};
use weft_runtime::when_some;
use weft_storage::Outcome;

use super::Worker;
use super::retry::Retry;
use crate::error::Error;
use crate::metrics;
use crate::partition::clocks::Agreement;
use crate::partition::command::Incoming;
use crate::partition::evidence::{Evidence, evidence};
use crate::partition::followers;
use crate::partition::group_marks::GroupMark;
use crate::partition::groups::GroupCounts;
use crate::partition::load::load;
use crate::partition::marks::MovedMark;
use crate::partition::plan::{Closing, Guards, Plan, PlannedEntry, Sealed};
use crate::partition::ports::CommandLog;
use crate::partition::publish::{Act, Publisher, event};
use crate::partition::quarantine;
use crate::partition::sabotage::{self, Rule};
use crate::partition::state::State;
use crate::partition::take::reopen_log;
use crate::partition::trimming::PIECE_PAUSE;
use crate::partition::unheard::Unheard;
use crate::partition::watch::{Finding, Reading};
use crate::partition::{drafts, invitations, relations, scheduled, settings};

/// Messages taken from the log at once: one lookup serves them all.
const RUN_MAX: usize = 512;
/// With this many bytes of payload no further one is taken.
const RUN_BYTES_MAX: usize = 4 << 20;
/// How long an orderly leave waits for the last events to be stored.
const LEAVE_PATIENCE: Duration = Duration::from_secs(2);

/// A commit that the store has not answered.
pub(super) struct Underway {
    sealed: Sealed,
    since: Instant,
    outcome: BoxFuture<'static, Result<Outcome, weft_storage::Error>>,
}

/// The owner between taking and losing its partition.
pub(super) struct Owned<L> {
    pub(super) worker: Worker<L>,
    pub(super) guards: Guards,
    /// What the log lacks up to here is skipped.
    pub(super) holes_through: u64,
    pub(super) state: State,
    pub(super) plan: Plan,
    /// Read from the log, not planned yet.
    pub(super) waiting: VecDeque<Incoming>,
    pub(super) underway: Option<Underway>,
    /// The number of the last commit that is done.
    pub(super) settled: u64,
    pub(super) publisher: Publisher,
    pub(super) unheard: Unheard,
    /// What the watch has to know, and what it finds.
    pub(super) reading: Arc<Reading>,
    pub(super) findings: mpsc::Receiver<Finding>,
    pub(super) agreement: Agreement,
    /// When a piece of the journal was last deleted.
    pub(super) journal_trimmed_at: Option<Instant>,
}

/// Takes note of who was put into a group, and of who is out of one.
fn count_groups(groups: &GroupCounts, entries: &[PlannedEntry]) {
    for PlannedEntry { entry, concerned, .. } in entries {
        match entry.body.membership() {
            Membership::Stays => {}
            Membership::Joins => concerned.iter().for_each(|user| groups.add(user)),
            Membership::Leaves => concerned.iter().for_each(|user| groups.remove(user)),
        }
    }
}

/// The outcome of the commit underway; waits for ever where there is none.
async fn outcome(underway: &mut Option<Underway>) -> Result<Outcome, weft_storage::Error> {
    when_some(underway.as_mut().map(|underway| &mut underway.outcome)).await
}

impl<L: CommandLog> Owned<L> {
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<(), Error> {
        // Told from the first moment on: a gauge that appears later looks like one that is missing.
        metrics::ROOMS.of(self.worker.partition).set(0.0);
        let mut ended = self.work(&stop).await;
        metrics::ROOMS.of(self.worker.partition).set(0.0);
        if matches!(ended, Err(Error::LogBack { .. }))
            && let Err(error) = self.plan_waiting(&stop).await
        {
            ended = Err(error);
        }
        match &ended {
            // What was read and not planned stays in the log for the next owner.
            Ok(()) => self.waiting.clear(),
            // The log has lost what was read: this owner alone still has it.
            Err(Error::LogBack { .. }) => {}
            Err(Error::LogHole { .. }) => self.waiting.clear(),
            // Of what is planned nothing is committed, and the cache may be half changed.
            Err(Error::Poison { .. } | Error::TooMuch { .. }) => {
                self.waiting.clear();
                self.drop_plan();
            }
            Err(_) => return ended,
        }
        self.leave(&stop).await.and(ended)
    }

    /// Works until it is told to stop.
    async fn work(&mut self, stop: &CancellationToken) -> Result<(), Error> {
        let second = Duration::from_secs(1);
        let mut seconds = interval_at(Instant::now() + second, second);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.commit_if_ready()?;
            let reads = self.waiting.is_empty() && self.takes_more();
            self.reading.set_waits(reads);
            // Outcomes first: they free the next commit, and senders wait for them.
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                done = outcome(&mut self.underway) => self.settle(done, stop).await?,
                Some(finding) = self.findings.recv() => self.on_finding(finding, stop).await?,
                message = self.worker.log.next(), if reads => self.on_messages(message, stop).await?,
                () = self.publisher.ended() => return Err(Error::Stopped),
                _ = seconds.tick() => self.on_second(stop).await?,
            }
        }
    }

    /// True where the plan takes a further command.
    fn takes_more(&self) -> bool {
        let is_alone =
            !self.plan.is_empty() && self.worker.quarantine.is_alone(self.plan.stream_seq());
        !is_alone && !self.plan.is_full()
    }

    /// Begins the plan anew, with nothing.
    fn drop_plan(&mut self) {
        let no = self.settled + 1 + u64::from(self.underway.is_some());
        let floor_hour = self.guards.applied.floor_hour;
        let id = (self.worker.new_batch_id)();
        self.plan = Plan::new(no, id, self.worker.partition, floor_hour);
    }

    /// Sends the plan to the store where nothing is underway.
    fn commit_if_ready(&mut self) -> Result<(), Error> {
        if self.underway.is_none() && !self.plan.is_empty() && self.agreement.holds() {
            self.commit()?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Error> {
        let next_no = self.settled + 2;
        let floor_hour = self.guards.applied.floor_hour;
        let id = (self.worker.new_batch_id)();
        let next = Plan::new(next_no, id, self.worker.partition, floor_hour);
        let plan = std::mem::replace(&mut self.plan, next);
        let closing = Closing {
            published: self.publisher.published(),
            now_ms: self.worker.clocks.now_ms(),
            relayed_before_ms: self.reading.outside_since_ms(),
            journal_trimmable: self.journal_trimmable(),
        };
        let mut sealed = quarantine::closed(self.worker.partition, plan.commands(), || {
            plan.seal(&self.state, &self.guards, closing)
        })?;
        if sealed.applied.trimmed_up_to > self.guards.applied.trimmed_up_to {
            self.journal_trimmed_at = Some(Instant::now());
        }
        self.plan.raise_floor(sealed.applied.floor_hour);
        if sabotage::is_out(Rule::AnswersAfterCommit) {
            self.publisher.answer_now(std::mem::take(&mut sealed.answers));
        }
        let (store, batch) = (self.worker.store.clone(), sealed.batch.clone());
        let outcome = Box::pin(async move { store.commit(batch).await });
        self.underway = Some(Underway { sealed, since: Instant::now(), outcome });
        Ok(())
    }

    /// Up to which commit number the journal may be deleted now.
    fn journal_trimmable(&self) -> u64 {
        let rests = self.journal_trimmed_at.is_some_and(|at| at.elapsed() < PIECE_PAUSE);
        if rests { 0 } else { self.reading.journal_trimmable() }
    }

    /// Takes what the log has ready, and plans it.
    async fn on_messages(
        &mut self,
        first: Result<weft_nats::IngestMessage, Error>,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        self.reading.set_waits(false);
        let (partition, partitions) = (self.worker.partition, self.worker.partitions);
        let mut next = first.map(Some);
        let mut run_bytes = 0;
        loop {
            match next {
                Ok(Some(message)) => {
                    self.reading.set_read(message.stream_seq);
                    run_bytes += message.payload.len();
                    let incoming = self.worker.quarantine.decode(message, partition, partitions)?;
                    self.waiting.push_back(incoming);
                }
                Ok(None) => break,
                Err(error) => {
                    self.read_anew(&error, stop).await?;
                    break;
                }
            }
            if self.waiting.len() >= RUN_MAX || run_bytes >= RUN_BYTES_MAX {
                break;
            }
            next = self.worker.log.try_next();
        }
        self.plan_waiting(stop).await
    }

    /// Looks the waiting commands up and plans as many as fit.
    async fn plan_waiting(&mut self, stop: &CancellationToken) -> Result<(), Error> {
        // Entries carry this owner's time.
        if self.waiting.is_empty() || !self.agreement.holds() {
            return Ok(());
        }
        let settled = self.settled + u64::from(sabotage::is_out(Rule::Pipelining));
        self.state.forget_settled(settled);
        let (partition, groups) = (self.worker.partition, Arc::clone(&self.worker.groups));
        let run = self.waiting.make_contiguous();
        let mut retry = Retry::default();
        let now_ms = self.worker.clocks.now_ms();
        let found = loop {
            let looked_up = match self.worker.store.snapshot().await {
                Ok(snapshot) => {
                    if let Err(error) = Box::pin(scheduled::resolve(&*snapshot, run)).await {
                        Err(error)
                    } else {
                        // Boxed: what is looked up grows, and the owner's future lives on stacks.
                        let by = (&*groups, now_ms);
                        Box::pin(load(&*snapshot, &mut self.state, partition, run, by)).await
                    }
                }
                Err(error) => Err(error),
            };
            match looked_up {
                Ok(found) => break found,
                Err(error) if error.is_retryable() => retry.pause(&error, stop).await?,
                Err(error) => return Err(error.into()),
            }
        };
        let now_ms = self.worker.clocks.now_ms();
        // The clock may have been set while the store was read.
        if !self.agreement.holds() {
            return Ok(());
        }
        while self.takes_more()
            && let Some(incoming) = self.waiting.pop_front()
        {
            let Self { plan, state, worker, .. } = self;
            let message = (incoming.stream_seq, incoming.stored_at_ms);
            quarantine::caught(worker.partition, message, || {
                plan.take(state, &worker.quota, &found, now_ms, incoming);
            })?;
        }
        Ok(())
    }

    /// Ends the commit underway: settles its outcome, then acts.
    async fn settle(
        &mut self,
        mut done: Result<Outcome, weft_storage::Error>,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        self.reading.set_waits(false);
        let Some(Underway { sealed, since, .. }) = self.underway.take() else { return Ok(()) };
        let mut retry = Retry::default();
        let position = loop {
            let error = match done {
                Ok(Outcome::Committed(position)) => break position,
                // A commit that was tried again can be rejected by its own first attempt.
                Ok(Outcome::Rejected { .. }) => None,
                Err(error) if error.is_retryable() => Some(error),
                Err(error @ weft_storage::Error::Limit { .. }) => {
                    return Err(quarantine::refused(self.worker.partition, &sealed, error));
                }
                Err(error) => return Err(error.into()),
            };
            let (store, before) = (&self.worker.store, &self.guards.applied);
            match evidence(store, self.worker.partition, before, &sealed).await {
                Ok(Evidence::Done(position)) => break position,
                // The row is as it was: so it was the other guard, and the layout has changed.
                Ok(Evidence::Undone) if error.is_none() => {
                    return Err(Error::LayoutChanged(self.worker.partition));
                }
                Ok(Evidence::Undone) => {
                    retry.pause(&"the commit was not taken", stop).await?;
                    done = self.worker.store.commit(sealed.batch.clone()).await;
                }
                Ok(Evidence::Foreign) => return Err(Error::Lost(self.worker.partition)),
                Err(unreadable) if unreadable.is_retryable() => {
                    retry.pause(error.as_ref().unwrap_or(&unreadable), stop).await?;
                    done = Err(unreadable);
                }
                Err(unreadable) => return Err(unreadable.into()),
            }
        };
        self.count(&sealed, since);
        self.act(sealed, position, stop).await?;
        self.plan_waiting(stop).await
    }

    /// Counts a commit that is done.
    fn count(&self, sealed: &Sealed, since: Instant) {
        metrics::COMMIT_DURATION.record_time(since.elapsed());
        metrics::COMMIT_COMMANDS.record(sealed.commands.count as f64);
        metrics::COMMIT_BYTES.record(sealed.batch.size_bytes() as f64);
        metrics::COMMANDS.add(sealed.commands.count as u64);
        let trimmed = sealed.applied.trimmed_up_to - self.guards.applied.trimmed_up_to;
        metrics::TRIMMED.add("journal", trimmed);
        metrics::TRIMMED.add("entry", sealed.expired);
        for planned in &sealed.entries {
            metrics::count_entry(&planned.entry.body);
        }
        sealed.administered.iter().for_each(|action| metrics::ADMIN_ACTIONS.increment(action));
        metrics::MARKS.add((sealed.marks.len() + sealed.followers.len()) as u64);
        metrics::SETTINGS.add(sealed.settings.len() as u64);
        metrics::DRAFTS.add(sealed.drafts.len() as u64);
        metrics::RELATIONS.add(sealed.relations.len() as u64);
        scheduled::states(&sealed.scheduled).for_each(|state| metrics::SCHEDULED.increment(state));
        if sealed.commands.stored_at_ms > 0 {
            let took_ms = self.worker.clocks.now_ms().saturating_sub(sealed.commands.stored_at_ms);
            metrics::COMMAND_DURATION.record_time(Duration::from_millis(took_ms));
        }
    }

    async fn act(
        &mut self,
        sealed: Sealed,
        position: Position,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        self.settled = sealed.no;
        self.state.settle(sealed.no, position, sealed.rooms.iter());
        // A store may lose its newest sync group to a power cut, and begins each commit of a
        // partition after the one before it was answered: so what the one before has applied is
        // kept for good, and what this one has, the log may have to give once more.
        self.reading.set_trimmable(self.guards.applied.stream_seq);
        (self.guards.applied, self.guards.minute) = (sealed.applied, sealed.minute);
        sealed.unheard.iter().for_each(|(sender, code)| self.unheard.note(sender, *code));
        let stream_seq = self.guards.applied.stream_seq;
        let commit_no = self.guards.applied.last_commit_no();
        count_groups(&self.worker.groups, &sealed.entries);
        let (mut changes, group_marks) = self.told_of(&sealed.marks, position);
        changes.extend(settings::told(&sealed.settings, position));
        changes.extend(drafts::told(&sealed.drafts, position));
        changes.extend(relations::told(&sealed.relations, position));
        changes.extend(relations::told_sights(&sealed.sights, position));
        changes.extend(scheduled::told(&sealed.scheduled, position));
        changes.extend(invitations::told(&sealed.invitations, position));
        changes.extend(followers::told(&sealed.followers, position));
        changes.extend(sealed.told);
        let events = sealed.entries.into_iter().map(|planned| {
            let position = self.state.position(planned.place).unwrap_or(position);
            let before = self.state.position(planned.place_before);
            event(self.worker.partition, &planned.entry, position, before, planned.concerned)
        });
        let (events, answers) = (events.collect(), sealed.answers);
        let act = Act { commit_no, events, answers, changes, group_marks };
        self.reading.set_applied(stream_seq);
        self.publisher.act(act, stop).await
    }

    /// What users and groups are told of marks that a commit has moved.
    fn told_of(&self, marks: &[MovedMark], position: Position) -> (Vec<Change>, Vec<GroupMark>) {
        let changes = marks.iter().flat_map(|MovedMark { key: (room, user), row, order }| {
            let at = position.with_order(*order);
            crate::marks::changes(room, user, (at, row.is_told.then_some(at)), &row.mark)
        });
        let is_told = |room: &RoomId| {
            let is_large = self.state.rooms.get(room).is_none_or(|room| room.head.large);
            room.kind() == RoomKind::Group && !is_large
        };
        let told = marks.iter().filter(|moved| moved.row.is_told && is_told(&moved.key.0));
        let group_mark = |MovedMark { key: (room, user), row, .. }: &MovedMark| {
            (room.clone(), user.clone(), row.mark.read)
        };
        (changes.collect(), told.map(group_mark).collect())
    }

    /// Nothing to do for a second: what is published becomes known to the store, and what is applied
    /// is followed by a commit, so that the log can be trimmed. What waits for clocks that agree is
    /// tried again.
    async fn on_second(&mut self, stop: &CancellationToken) -> Result<(), Error> {
        metrics::ROOMS.of(self.worker.partition).set(self.state.rooms.bytes() as f64);
        if let Some(refused) = self.unheard.tell(Instant::now()) {
            let partition = self.worker.partition;
            warn!(partition, refused, "commands without Weft-Reply were refused: nobody was told");
        }
        if !self.waiting.is_empty() && self.takes_more() {
            return self.plan_waiting(stop).await;
        }
        let is_idle = self.underway.is_none() && self.plan.is_empty();
        let applied = &self.guards.applied;
        let is_behind = self.publisher.published() > applied.published_up_to
            || self.reading.trimmable() < applied.stream_seq
            || self.journal_trimmable().min(applied.published_up_to) > applied.trimmed_up_to;
        // A commit notes its minute, and deletes what is old.
        if is_idle && is_behind && self.agreement.holds() {
            self.commit()?;
        }
        Ok(())
    }

    /// Does what the watch asks for.
    async fn on_finding(
        &mut self,
        finding: Finding,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        let partition = self.worker.partition;
        match finding {
            Finding::Back { read, last_seq } => Err(Error::LogBack { partition, read, last_seq }),
            // It has made progress since.
            Finding::Stalled { read } if read < self.reading.read() => Ok(()),
            Finding::Stalled { .. } => self.read_anew(&"the reader stalls", stop).await,
            Finding::Replaced => Err(Error::Lost(partition)),
        }
    }

    /// The log's reader has ended, or brings nothing: goes on after the last message that was read.
    async fn read_anew(
        &mut self,
        why: &(impl std::fmt::Display + Sync),
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        self.reading.set_waits(false);
        warn!(partition = self.worker.partition, %why, "reading the ingest log anew");
        metrics::LOG_READS_ANEW.increment();
        let (read, taken) = (self.reading.read(), (&self.guards.applied, self.holes_through));
        let Worker { partition, log, store, .. } = &mut self.worker;
        let mut retry = Retry::default();
        loop {
            match reopen_log(log, store, taken, *partition, read).await {
                Err(error @ (Error::Lost(_) | Error::LogBack { .. } | Error::LogHole { .. })) => {
                    return Err(error);
                }
                Err(error) if error.is_retryable() => retry.pause(&error, stop).await?,
                reopened => return reopened,
            }
        }
    }

    /// The orderly end: finish the commit, answer, publish, say so to the store.
    async fn leave(mut self, stop: &CancellationToken) -> Result<(), Error> {
        // `stop` may be cancelled already; the acts still have to get through.
        let patience = CancellationToken::new();
        while self.underway.is_some() || !self.plan.is_empty() {
            self.commit_if_ready()?;
            if self.underway.is_none() {
                // The clocks differ: what is planned stays in the log for the next owner.
                self.drop_plan();
                break;
            }
            let done = outcome(&mut self.underway).await;
            match timeout(LEAVE_PATIENCE, self.settle(done, &patience)).await {
                Ok(settled) => settled?,
                Err(_) => return Ok(()),
            }
        }
        let applied = self.guards.applied.stream_seq;
        let committed = self.guards.applied.last_commit_no();
        if timeout(LEAVE_PATIENCE, self.publisher.published_up_to(committed)).await.is_err() {
            debug!(partition = self.worker.partition, "left before every event was published");
        }
        let is_behind = self.publisher.published() > self.guards.applied.published_up_to;
        if is_behind && self.agreement.holds() {
            self.commit()?;
            let done = outcome(&mut self.underway).await;
            self.settle(done, stop).await?;
        }
        info!(partition = self.worker.partition, applied, "partition left");
        Ok(())
    }
}
