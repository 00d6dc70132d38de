//! When something was done that has no place in a room's log, or against such a thing.

use std::collections::HashMap;

use super::facts::Facts;
use crate::history::{Attempt, Entry, Event, History};

/// Something that was done between two events; without the second one, at any time after the first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) seq: u64,
    pub(super) sent: usize,
    pub(super) answered: Option<usize>,
}

impl Done {
    pub(super) fn is_before(&self, other: &Self) -> bool {
        self.answered.is_some_and(|answered| answered < other.sent)
    }

    /// The sending of an entry that is in its room.
    pub(super) fn of(facts: &Facts<'_>, entry: &Entry) -> Self {
        let send = entry.client_id.as_ref().and_then(|id| facts.sends.get(id));
        let sent = send.and_then(|send| send.first_sent_at).unwrap_or(0);
        let answered = send.and_then(|send| send.acks.first()).map(|(at, ..)| *at);
        Self { seq: entry.seq, sent, answered }
    }
}

/// The events at which marks and settings were answered.
pub(super) fn answered(history: &History) -> HashMap<Attempt, usize> {
    let events = history.events.iter().enumerate();
    let answers = events.filter_map(|(at, event)| match event {
        Event::MarkKept { attempt, .. } | Event::SettingKept { attempt, .. } => {
            Some((*attempt, at))
        }
        _ => None,
    });
    answers.collect()
}
