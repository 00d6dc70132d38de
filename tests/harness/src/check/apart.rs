//! Promises about two who hear nothing of each other but the entries of their direct room, because one blocks the other, or has
//! not accepted yet that they write: neither is told how far the other one has read.

use std::collections::{BTreeSet, HashMap};

use super::Violation;
use super::blocks::{Blocks, pair_of};
use super::facts::{Facts, user_of};
use super::requests::Requests;
use crate::history::{Event, History, Mark, Room};

pub(super) struct Apart<'a> {
    blocks: Blocks<'a>,
    pub(super) requests: Requests<'a>,
}

impl<'a> Apart<'a> {
    pub(super) fn gather(history: &'a History, facts: &Facts<'a>) -> Self {
        Self { blocks: Blocks::gather(history), requests: Requests::gather(history, facts) }
    }

    /// True where the two hear nothing of each other at each moment from one event to another.
    pub(super) fn is_sure(&self, room: &Room, from: usize, to: usize) -> bool {
        let Some((a, b)) = pair_of(room) else { return false };
        self.blocks.is_sure_of_one((a, b), from, to)
            || [(a, b), (b, a)].iter().any(|pair| self.requests.is_sure(room, *pair, from, to))
    }

    /// True where they hear of each other at each moment.
    pub(super) fn is_never(&self, room: &Room, from: usize, to: usize) -> bool {
        let Some((a, b)) = pair_of(room) else { return true };
        self.blocks.is_never_of_one((a, b), from, to)
            && [(a, b), (b, a)].iter().all(|pair| self.requests.is_never(room, *pair, from, to))
    }
}

/// What one of the two has said in such a time is not told to the other one in it.
pub(super) fn check(
    history: &History,
    facts: &Facts<'_>,
    apart: &Apart<'_>,
    found: &mut BTreeSet<Violation>,
) {
    // When each place was said, by room and user.
    let mut said: HashMap<(&Room, &str, u64), Vec<usize>> = HashMap::new();
    for (at, event) in history.events.iter().enumerate() {
        match event {
            Event::MarkSent {
                mark: Mark { room, user, read, delivered, thread: None, .. },
                ..
            } => {
                for seq in [read, delivered] {
                    said.entry((room, user, *seq)).or_default().push(at);
                }
            }
            Event::MarkTold { device, mark: mark @ Mark { room, user, thread: None, .. } } => {
                if pair_of(room).is_none() || user_of(device) == &**user {
                    continue;
                }
                let is_hidden = |seq: &u64| {
                    let of = facts.rooms.get(room).and_then(|of| of.standing.get(seq));
                    let wrote = of.is_some_and(|entry| entry.from == *user);
                    let said = said.get(&(room, user, *seq)).map_or(&[][..], Vec::as_slice);
                    let all = said.iter().all(|sent| apart.is_sure(room, *sent, at));
                    *seq > 0 && !wrote && !said.is_empty() && all
                };
                if [mark.read, mark.delivered].iter().any(is_hidden) {
                    let what = format!("what was said while they hear nothing of it: {mark}");
                    let (room, user) = (room.clone(), user.clone());
                    let device = Some(device.clone());
                    found.insert(Violation::WrongMark { room, user, device, what });
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
