//! What was asked for that has no place in a room's log, each attempt for itself.

use std::collections::HashMap;
use std::time::Duration;

use crate::history::{Attempt, Deed, Event, History, Room, Wanted};

/// Who has no answer hears of it within a minute, and what is on the way by then waits for whatever is broken: after this
/// long an attempt has come or never does.
const ATTEMPT_LIFE: Duration = Duration::from_secs(150);

/// By the numbers of events.
#[derive(Clone, Copy, Debug)]
pub(super) struct Try {
    pub(super) asked: usize,
    /// The answer was that it is done.
    pub(super) done: Option<usize>,
    /// From here on it can't take effect any more.
    over: usize,
}

impl Try {
    /// What an entry does that was sent, and known to be there, at these events.
    pub(super) fn of_entry(sent: usize, known: usize) -> Self {
        Self { asked: sent, done: Some(known), over: known }
    }

    /// It took effect before an event, or never.
    pub(super) fn is_over_before(&self, at: usize) -> bool {
        self.over < at
    }
}

/// In the order in which they were made.
pub(super) fn tries(history: &History) -> impl Iterator<Item = (&Wanted, Try)> {
    let mut answers: HashMap<Attempt, (usize, bool)> = HashMap::new();
    for (at, event) in history.events.iter().enumerate() {
        match event {
            Event::Deed(Deed::Done { attempt, .. }) => answers.insert(*attempt, (at, true)),
            Event::Deed(Deed::Refused { attempt, .. }) => answers.insert(*attempt, (at, false)),
            _ => None,
        };
    }
    let events = history.events.iter().enumerate();
    events.filter_map(move |(asked, event)| {
        let Event::Deed(Deed::Asked { wanted, attempt }) = event else { return None };
        let answer = answers.get(attempt).copied();
        let done = answer.filter(|(_, is_done)| *is_done).map(|(at, _)| at);
        let over = answer.map_or_else(|| dies(history, asked), |(at, _)| at);
        Some((wanted, Try { asked, done, over }))
    })
}

/// The first event so late that an attempt without an answer is over.
fn dies(history: &History, asked: usize) -> usize {
    let Some(time) = history.times.get(asked) else { return usize::MAX };
    let end = *time + ATTEMPT_LIFE;
    let over = history.times.partition_point(|time| *time <= end);
    if over < history.times.len() { over } else { usize::MAX }
}

/// True where what is turned on and off was on at each moment from one event to another.
pub(super) fn is_sure(said: &[(bool, Try)], from: usize, to: usize) -> bool {
    let may_end = |on: &Try, (is_on, it): &(bool, Try)| {
        !is_on && it.asked < to && !it.is_over_before(on.asked)
    };
    let holds = |(is_on, on): &(bool, Try)| {
        *is_on && on.done.is_some_and(|done| done < from) && !said.iter().any(|it| may_end(on, it))
    };
    said.iter().any(holds)
}

/// True where what is turned on and off can't have been on at any moment between two events.
pub(super) fn is_never(said: &[(bool, Try)], from: usize, to: usize) -> bool {
    let ends = |on: &Try, (is_on, it): &(bool, Try)| {
        !is_on && on.is_over_before(it.asked) && it.done.is_some_and(|done| done < from)
    };
    let may_hold =
        |(is_on, on): &(bool, Try)| *is_on && on.asked < to && !said.iter().any(|it| ends(on, it));
    !said.iter().any(may_hold)
}

/// When somebody knew first that an entry is there.
pub(super) fn known_at(history: &History) -> HashMap<(&Room, u64), usize> {
    let mut known = HashMap::new();
    for (at, event) in history.events.iter().enumerate() {
        let place = match event {
            Event::Acked { room, seq, .. } => (room, *seq),
            Event::Received { entry, .. } | Event::Loaded { entry, .. } => (&entry.room, entry.seq),
            _ => continue,
        };
        known.entry(place).or_insert(at);
    }
    known
}
