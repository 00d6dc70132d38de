//! What one session (or HTTP request) has sent and core has not answered yet: when it is published
//! again, and when that is given up. Pure: the time is handed in.
//!
//! It is published again by evidence. That the log has it under a sequence proves nothing, but then
//! the partition's ticks tell what became of it: the log has lost it, or it is applied and the
//! answer is lost. A slow core is neither, and more of the same would make it slower. Without that
//! sequence there are only timers, which double.
//!
//! How many commands to one room are underway at once depends on how the last ones were answered
//! (`windows`); the others are held.

mod windows;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use weft_proto::{ApiError, ClientId, ErrorCode, RoomId, UserId};
use weft_runtime::Share;

use self::windows::Windows;
use crate::sabotage::{self, Rule};
use crate::ticks::{LastTick, Ticks};

/// How often evidence is looked for (or NATS, while that is away).
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Acknowledged commands that are remembered, so that a resend that crosses its `ack` is known.
const ACKED_MAX: usize = 32;

/// A command for a room's log.
#[derive(Clone, Debug)]
pub struct Command {
    pub room: RoomId,
    /// Whoever sends it again names it by this.
    pub client_id: ClientId,
    /// The sender gave no id: it is this edge's.
    pub is_made: bool,
    /// The body in its JSON form.
    pub payload: Bytes,
}

impl Command {
    fn is(&self, room: &RoomId, client_id: &ClientId) -> bool {
        self.client_id == *client_id && self.room == *room
    }

    /// What it takes of the edge's outbox: its bytes and about what is kept beside them.
    pub(crate) fn cost(&self) -> usize {
        self.payload.len() + 512
    }
}

/// One publication of a command.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub number: u64,
    /// From 0.
    pub attempt: u32,
    /// The command to the same room before it, where that one is unanswered.
    pub after: Option<ClientId>,
    pub command: Command,
}

/// What has to be done about a command at its time.
#[derive(Debug)]
pub(crate) enum Due {
    /// Publish it again.
    Publish(Attempt),
    /// Answer `unknown`.
    GiveUp {
        /// The client's id of the request.
        request_id: u64,
    },
}

/// When to publish again, and when to give up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SendTimeouts {
    pub(crate) resend_after: Duration,
    pub(crate) give_up_after: Duration,
}

impl SendTimeouts {
    fn look_pause(&self) -> Duration {
        LOOK_PAUSE.min(self.resend_after)
    }
}

struct Pending {
    request_id: u64,
    added_at: Instant,
    last: Attempt,
    /// The session had sent it before, and the one before was unanswered, or just acknowledged. It
    /// has no place in the order: what comes after it comes after what was sent first.
    is_resend: bool,
    /// Attempts that were not answered: any of them may still be committed.
    open: Vec<u32>,
    published_at: Instant,
    /// The place of its last attempt among all that the outbox published; 0: there was none yet.
    published: u64,
    /// It waits for the room's window, or for the one before it, which core wants first and which is
    /// on its way again. See [`Outbox::may_go`].
    is_held: bool,
    evidence: Evidence,
    given_up_at: Instant,
    /// When it is looked at again, or given up.
    due_at: Instant,
    _share: Share<UserId>,
}

impl Pending {
    /// The same entry, not the same request.
    fn is_same(&self, command: &Command) -> bool {
        self.last.command.is(&command.room, &command.client_id)
    }
}

/// What is known of the last attempt.
#[derive(Clone, Copy, Default, Debug)]
struct Evidence {
    stream_seq: Option<u64>,
    /// The number of the newest tick when that was first looked at: later ones were made when the
    /// log had it.
    looked_at: Option<u64>,
    /// The number of the first tick seen by which it is applied.
    applied_at: Option<u64>,
}

impl Evidence {
    /// True where the log, which had it, has lost it, or where it was applied and its answer must
    /// have come.
    fn is_against(&mut self, stream_seq: u64, tick: Option<LastTick>) -> bool {
        let looked_at = *self.looked_at.get_or_insert(tick.map_or(0, |tick| tick.count));
        let Some(tick) = tick else { return false };
        if tick.applied >= stream_seq {
            return tick.count > *self.applied_at.get_or_insert(tick.count);
        }
        tick.count > looked_at && tick.last_seq < stream_seq
    }
}

/// Unanswered commands, in the order in which they were sent. Dropping it abandons them.
pub(crate) struct Outbox {
    pending: VecDeque<Pending>,
    next_number: u64,
    /// Acknowledged of late.
    acked: VecDeque<(RoomId, ClientId)>,
    windows: Windows,
    /// How many attempts were made.
    published: u64,
    patience: SendTimeouts,
    /// No later than the first `due_at`.
    due_at: Option<Instant>,
}

impl Outbox {
    pub(crate) fn new(patience: SendTimeouts) -> Self {
        Self {
            pending: VecDeque::new(),
            next_number: 0,
            acked: VecDeque::new(),
            windows: Windows::new(),
            published: 0,
            patience,
            due_at: None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// True where the command is unanswered: it may be in the log.
    pub(crate) fn has(&self, command: &Command) -> bool {
        self.pending.iter().any(|pending| pending.is_same(command))
    }

    /// What they take of the edge's outbox.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.pending.iter().map(|pending| pending.last.command.cost()).sum()
    }

    /// Takes a command in; publish what is returned. `None`: it has to wait for those before it, and
    /// [`due`](Self::due) brings it.
    pub(crate) fn add(
        &mut self,
        request_id: u64,
        command: Command,
        share: Share<UserId>,
        now: Instant,
    ) -> Option<Attempt> {
        let number = self.next_number;
        self.next_number += 1;
        let is_resend =
            self.acked.iter().any(|(room, id)| command.is(room, id)) || self.has(&command);
        let due_at = now + self.patience.look_pause();
        self.pending.push_back(Pending {
            request_id,
            added_at: now,
            last: Attempt { number, attempt: 0, after: None, command },
            is_resend,
            open: Vec::new(),
            published_at: now,
            published: 0,
            is_held: true,
            evidence: Evidence::default(),
            given_up_at: now + self.patience.give_up_after,
            due_at,
            _share: share,
        });
        self.due_at = Some(self.due_at.map_or(due_at, |at| at.min(due_at)));
        let index = self.pending.len() - 1;
        self.may_go(index).then(|| self.next_attempt(index, now))
    }

    /// The log has an attempt, under this sequence.
    pub(crate) fn stored(&mut self, number: u64, attempt: u32, stream_seq: u64) {
        let Some(index) = self.index(number) else { return };
        let pending = &mut self.pending[index];
        if pending.last.attempt == attempt {
            pending.evidence.stream_seq = Some(stream_seq);
        }
    }

    /// The command is acknowledged: the client's request id, and when the command was added. `None`
    /// where it was answered before.
    pub(crate) fn settle(&mut self, number: u64) -> Option<(u64, Instant)> {
        let pending = self.remove(number)?;
        let Command { room, client_id, .. } = pending.last.command;
        self.windows.widen(&room);
        self.wake(&room);
        self.acked.truncate(ACKED_MAX - 1);
        self.acked.push_front((room, client_id));
        Some((pending.request_id, pending.added_at))
    }

    /// An attempt (command, attempt) was refused, by core or before core saw it: request id and
    /// error. Where there are others of which nothing was heard it says no more than `unknown`: one
    /// of them may be committed.
    pub(crate) fn refuse(
        &mut self,
        (number, attempt): (u64, u32),
        error: ApiError,
    ) -> Option<(u64, ApiError)> {
        let mut pending = self.remove(number)?;
        self.windows.narrow(&pending.last.command.room);
        self.wake(&pending.last.command.room);
        pending.open.retain(|open| *open != attempt);
        if pending.open.is_empty() {
            return Some((pending.request_id, error));
        }
        let mut unknown = unknown();
        unknown.retry_after_ms = error.retry_after_ms;
        Some((pending.request_id, unknown))
    }

    /// Core has not applied what this attempt comes after: both are to be published again, in order
    /// (or the command alone, where the one before it was answered meanwhile).
    ///
    /// Where the one before it is on its way again already, or waits itself, the command waits for
    /// that one's answer. If a whole row were published again with each such answer, the attempts
    /// would double from round to round for as long as core refuses the first of the row: to
    /// whoever is no member of the room, all of them.
    pub(crate) fn in_order(&mut self, number: u64, attempt: u32, now: Instant) -> Vec<Attempt> {
        let Some(index) = self.index(number) else { return Vec::new() };
        self.pending[index].open.retain(|open| *open != attempt);
        let pending = &self.pending[index];
        // A later attempt is on its way, which is answered too; or the command waits already.
        if pending.last.attempt != attempt || pending.is_held {
            return Vec::new();
        }
        let before = self.before(index);
        if let Some(before) = before.map(|before| &self.pending[before])
            && (before.is_held || before.published > pending.published)
        {
            self.pending[index].is_held = true;
            return Vec::new();
        }
        before.into_iter().chain([index]).map(|index| self.next_attempt(index, now)).collect()
    }

    /// The index of the last command to the room that is before an index.
    ///
    /// A resend does not count: it may be answered by what is committed already, before all that the
    /// session has sent since. It has itself the place of what it repeats.
    fn before(&self, index: usize) -> Option<usize> {
        let command = &self.pending[index].last.command;
        let first = |pending: &Pending| !pending.is_resend && pending.is_same(command);
        let place = match self.pending[index].is_resend {
            true => self.pending.range(..index).position(first)?,
            false => index,
        };
        self.pending
            .range(..place)
            .rposition(|pending| !pending.is_resend && pending.last.command.room == command.room)
    }

    /// The client id of the command before an index.
    fn after(&self, index: usize) -> Option<ClientId> {
        let before = self.before(index).filter(|_| !sabotage::is_out(Rule::PredecessorNamed));
        before.map(|index| self.pending[index].last.command.client_id)
    }

    /// True where a held command may be published: nothing of the room is before it, or that is
    /// published and the room's window has a place.
    fn may_go(&self, index: usize) -> bool {
        let Some(before) = self.before(index) else { return true };
        let room = &self.pending[index].last.command.room;
        !self.pending[before].is_held && self.underway(room) < self.windows.of(room)
    }

    /// How many commands to a room are published and unanswered.
    fn underway(&self, room: &RoomId) -> usize {
        let is_underway =
            |pending: &&Pending| !pending.is_held && pending.last.command.room == *room;
        self.pending.iter().filter(is_underway).count()
    }

    /// Has [`due`](Self::due) look at once at those whose turn it may be, now that one before them
    /// is answered.
    fn wake(&mut self, room: &RoomId) {
        let places = self.windows.of(room).saturating_sub(self.underway(room)).max(1);
        let held = |next: &&mut Pending| next.is_held && next.last.command.room == *room;
        for next in self.pending.iter_mut().filter(held).take(places) {
            next.due_at = next.published_at;
            self.due_at = self.due_at.map(|due_at| due_at.min(next.due_at));
        }
    }

    fn next_attempt(&mut self, index: usize, now: Instant) -> Attempt {
        let after = self.after(index);
        self.published += 1;
        let pending = &mut self.pending[index];
        let is_first = pending.published == 0;
        (pending.published, pending.is_held) = (self.published, false);
        (pending.published_at, pending.evidence) = (now, Evidence::default());
        pending.last.attempt += u32::from(!is_first);
        pending.open.push(pending.last.attempt);
        pending.last.after = after;
        pending.last.clone()
    }

    /// When [`due`](Self::due) has to be called, at the latest.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        self.due_at
    }

    /// What has come due, in the order in which it was sent. While NATS is away (not
    /// `is_connected`) nothing is published: it would only fill the client's queue, and soon after
    /// its return everything is due.
    pub(crate) fn due(&mut self, now: Instant, is_connected: bool, ticks: &Ticks) -> Vec<Due> {
        let mut due = Vec::new();
        self.pending.retain_mut(|pending| {
            let is_over = now >= pending.given_up_at;
            if is_over {
                due.push(Due::GiveUp { request_id: pending.request_id });
            }
            !is_over
        });
        for index in 0..self.pending.len() {
            let pending = &mut self.pending[index];
            if now < pending.due_at {
                continue;
            }
            pending.due_at = (now + self.patience.look_pause()).min(pending.given_up_at);
            let is_to_publish = if pending.is_held {
                self.may_go(index)
            } else {
                pending.is_lost(now, self.patience, ticks)
            };
            if is_connected && is_to_publish {
                due.push(Due::Publish(self.next_attempt(index, now)));
            }
        }
        self.due_at = self.pending.iter().map(|pending| pending.due_at).min();
        due
    }

    fn index(&self, number: u64) -> Option<usize> {
        self.pending.binary_search_by_key(&number, |pending| pending.last.number).ok()
    }

    fn remove(&mut self, number: u64) -> Option<Pending> {
        let index = self.index(number)?;
        let removed = self.pending.remove(index)?;
        if self.pending.is_empty() {
            self.due_at = None;
        }
        Some(removed)
    }
}

impl Pending {
    /// True where the last attempt, or its answer, counts as lost.
    fn is_lost(&mut self, now: Instant, patience: SendTimeouts, ticks: &Ticks) -> bool {
        if sabotage::is_out(Rule::EvidenceFirst) {
            return true;
        }
        if let Some(stream_seq) = self.evidence.stream_seq {
            return self.evidence.is_against(stream_seq, ticks.of(&self.last.command.room));
        }
        // Attempts that were answered say that core is there: they make nobody wait longer.
        let unheard = u32::try_from(self.open.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let wait = patience.resend_after * 2_u32.pow(unheard.min(16));
        now >= self.published_at + wait
    }
}

/// The answer to a command that nobody answered.
pub(crate) fn unknown() -> ApiError {
    ApiError::new(
        ErrorCode::Unknown,
        "no answer in time: it may or may not be committed; send it again with the same client id",
    )
}

#[cfg(test)]
mod tests;
