//! What one session (or HTTP request) has sent and core has not answered yet: when it is published
//! again, and when that is given up. Pure: the time is handed in.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use weft_proto::{ApiError, ClientId, ErrorCode, RoomId};

use crate::budget::Permit;

/// While NATS is away, resends look for it so often.
const AWAY_PAUSE: Duration = Duration::from_secs(1);

/// A command for a room's log.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) room: RoomId,
    pub(crate) client_id: ClientId,
    /// The body in its JSON form.
    pub(crate) payload: Bytes,
}

impl Command {
    /// What it takes of the edge's outbox: its bytes and about what is kept beside them.
    pub(crate) fn cost(&self) -> usize {
        self.payload.len() + 512
    }
}

/// One publication of a command.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// The command's number in the outbox.
    pub(crate) number: u64,
    /// From 0.
    pub(crate) attempt: u32,
    /// The command to the same room before it, where that one is unanswered.
    pub(crate) after: Option<ClientId>,
    pub(crate) command: Command,
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
pub(crate) struct Patience {
    pub(crate) resend_after: Duration,
    pub(crate) give_up_after: Duration,
}

struct Pending {
    request_id: u64,
    last: Attempt,
    given_up_at: Instant,
    /// When it is published again, or given up.
    due_at: Instant,
    _permit: Permit,
}

/// Unanswered commands, in the order in which they were sent. Dropping it abandons them.
pub(crate) struct Outbox {
    pending: VecDeque<Pending>,
    next_number: u64,
    patience: Patience,
    /// No later than the first `due_at`.
    due_at: Option<Instant>,
}

impl Outbox {
    pub(crate) fn new(patience: Patience) -> Self {
        Self { pending: VecDeque::new(), next_number: 0, patience, due_at: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Takes a command in; publish what is returned.
    pub(crate) fn add(
        &mut self,
        request_id: u64,
        command: Command,
        permit: Permit,
        now: Instant,
    ) -> Attempt {
        let number = self.next_number;
        self.next_number += 1;
        let after = self.before(self.pending.len(), &command.room);
        let after = after.map(|index| self.pending[index].last.command.client_id);
        let attempt = Attempt { number, attempt: 0, after, command };
        let due_at = now + self.patience.resend_after;
        self.pending.push_back(Pending {
            request_id,
            last: attempt.clone(),
            given_up_at: now + self.patience.give_up_after,
            due_at,
            _permit: permit,
        });
        self.due_at = Some(self.due_at.map_or(due_at, |at| at.min(due_at)));
        attempt
    }

    /// The command has its answer: the client's request id. `None` where it was answered before.
    pub(crate) fn settle(&mut self, number: u64) -> Option<u64> {
        let pending = self.remove(number)?;
        Some(pending.request_id)
    }

    /// An attempt was refused before core saw it: request id and error. Of an earlier attempt
    /// nothing is known, so the refusal of a later one says no more than `unknown`.
    pub(crate) fn refuse(&mut self, number: u64, error: ApiError) -> Option<(u64, ApiError)> {
        let pending = self.remove(number)?;
        if pending.last.attempt == 0 {
            return Some((pending.request_id, error));
        }
        let mut unknown = unknown();
        unknown.retry_after_ms = error.retry_after_ms;
        Some((pending.request_id, unknown))
    }

    /// Core has not applied what the command comes after: both are to be published again, in order
    /// (or the command alone, where the one before it was answered meanwhile).
    pub(crate) fn in_order(&mut self, number: u64) -> Vec<Attempt> {
        let Some(index) = self.index(number) else { return Vec::new() };
        let before = self.before(index, &self.pending[index].last.command.room);
        before.into_iter().chain([index]).map(|index| self.next_attempt(index)).collect()
    }

    /// The index of the last command to the room that stands before an index.
    fn before(&self, index: usize, room: &RoomId) -> Option<usize> {
        self.pending.range(..index).rposition(|pending| pending.last.command.room == *room)
    }

    fn next_attempt(&mut self, index: usize) -> Attempt {
        let before = self.before(index, &self.pending[index].last.command.room);
        let after = before.map(|index| self.pending[index].last.command.client_id);
        let last = &mut self.pending[index].last;
        last.attempt += 1;
        last.after = after;
        last.clone()
    }

    /// When [`due`](Self::due) has to be called, at the latest.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        self.due_at
    }

    /// What has come due, in the order in which it was sent. While NATS is away (not
    /// `is_connected`) nothing is published: it would only fill the client's queue, and soon after
    /// its return everything is due.
    pub(crate) fn due(&mut self, now: Instant, is_connected: bool) -> Vec<Due> {
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
            let wait = if is_connected {
                self.patience.resend_after * 2_u32.pow((pending.last.attempt + 1).min(16))
            } else {
                AWAY_PAUSE
            };
            pending.due_at = (now + wait).min(pending.given_up_at);
            if is_connected {
                due.push(Due::Publish(self.next_attempt(index)));
            }
        }
        self.due_at = self.pending.iter().map(|pending| pending.due_at).min();
        due
    }

    fn index(&self, number: u64) -> Option<usize> {
        self.pending.binary_search_by_key(&number, |pending| pending.last.number).ok()
    }

    fn remove(&mut self, number: u64) -> Option<Pending> {
        let pending = self.pending.remove(self.index(number)?);
        if self.pending.is_empty() {
            self.due_at = None;
        }
        pending
    }
}

/// The answer to a command that nobody answered.
pub(crate) fn unknown() -> ApiError {
    ApiError::new(
        ErrorCode::Unknown,
        "no answer in time: it may or may not stand; send it again with the same client id",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::budget::Budget;

    const PATIENCE: Patience =
        Patience { resend_after: Duration::from_secs(5), give_up_after: Duration::from_secs(60) };

    fn command() -> Command {
        Command {
            room: RoomId::new("team").expect("id"),
            client_id: ClientId::from_parts(1, 2),
            payload: Bytes::from_static(b"{}"),
        }
    }

    fn outbox(count: u64, now: Instant) -> (Outbox, Arc<Budget>) {
        let budget = Arc::new(Budget::new(count as usize * command().cost()));
        let mut outbox = Outbox::new(PATIENCE);
        for request_id in 0..count {
            let permit = budget.permit(command().cost()).expect("permit");
            assert_eq!(outbox.add(request_id + 100, command(), permit, now).number, request_id);
        }
        (outbox, budget)
    }

    #[tokio::test(start_paused = true)]
    async fn resends_double_and_end_after_a_minute() {
        let start = Instant::now();
        let (mut outbox, budget) = outbox(1, start);
        let mut seen = Vec::new();
        while let Some(at) = outbox.due_at() {
            assert!(outbox.due(at - Duration::from_millis(1), true).is_empty());
            for due in outbox.due(at, true) {
                seen.push((at - start).as_secs());
                match due {
                    Due::Publish(attempt) => assert_eq!(attempt.attempt as usize, seen.len()),
                    Due::GiveUp { request_id } => assert_eq!(request_id, 100),
                }
            }
        }
        assert_eq!(seen, [5, 15, 35, 60]);
        assert!(budget.permit(command().cost()).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_uses_up_no_attempts() {
        let start = Instant::now();
        let (mut outbox, _budget) = outbox(1, start);
        let mut now = start;
        while now - start < Duration::from_secs(40) {
            now = outbox.due_at().expect("pending");
            assert!(outbox.due(now, false).is_empty());
        }
        now = outbox.due_at().expect("pending");
        assert!(now - start <= Duration::from_secs(42));
        let due = outbox.due(now, true);
        assert!(matches!(&due[..], [Due::Publish(attempt)] if attempt.attempt == 1), "{due:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_settles_once_and_order_is_kept() {
        let start = Instant::now();
        let (mut outbox, _budget) = outbox(5, start);
        assert_eq!(outbox.settle(1), Some(101));
        assert_eq!(outbox.settle(1), None);
        assert_eq!(outbox.settle(77), None);
        let due = outbox.due(start + PATIENCE.resend_after, true);
        let numbers: Vec<u64> = due
            .iter()
            .map(|due| match due {
                Due::Publish(attempt) => attempt.number,
                Due::GiveUp { .. } => panic!("too soon"),
            })
            .collect();
        assert_eq!(numbers, [0, 2, 3, 4]);
        for number in numbers {
            assert!(outbox.settle(number).is_some());
        }
        assert_eq!(outbox.due_at(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_names_the_one_before_it_until_that_is_answered() {
        let start = Instant::now();
        let budget = Arc::new(Budget::new(10 * command().cost()));
        let mut outbox = Outbox::new(PATIENCE);
        let mut add = |number: u64, room: &str| {
            let room = RoomId::new(room).expect("id");
            let client_id = ClientId::from_parts(1, number.into());
            let command = Command { room, client_id, ..command() };
            let permit = budget.permit(command.cost()).expect("permit");
            outbox.add(number, command, permit, start).after
        };
        let id = |number: u64| Some(ClientId::from_parts(1, number.into()));
        assert_eq!(add(0, "team"), None);
        assert_eq!(add(1, "other"), None);
        assert_eq!(add(2, "team"), id(0));
        assert_eq!(add(3, "team"), id(2));
        let numbers = |attempts: Vec<Attempt>| {
            attempts.into_iter().map(|a| (a.number, a.attempt, a.after)).collect::<Vec<_>>()
        };
        assert_eq!(numbers(outbox.in_order(3)), [(2, 1, id(0)), (3, 1, id(2))]);
        assert_eq!(outbox.settle(0), Some(0));
        assert_eq!(numbers(outbox.in_order(2)), [(2, 2, None)]);
        assert_eq!(outbox.settle(2), Some(2));
        assert_eq!(numbers(outbox.in_order(3)), [(3, 2, None)]);
        assert_eq!(numbers(outbox.in_order(2)), []);
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_first_attempts_refusal_is_a_no() {
        let start = Instant::now();
        let (mut outbox, _budget) = outbox(2, start);
        let full = ApiError::new(ErrorCode::Overloaded, "full").retry_after_ms(250);
        let (id, error) = outbox.refuse(0, full.clone()).expect("pending");
        assert_eq!((id, error.code), (100, ErrorCode::Overloaded));
        outbox.due(start + PATIENCE.resend_after, true);
        let (id, error) = outbox.refuse(1, full).expect("pending");
        assert_eq!((id, error.code), (101, ErrorCode::Unknown));
        assert_eq!(error.retry_after_ms, Some(250));
    }
}
