//! Whether a direct room is a request to one of its two: by what that one has said of strangers and of the other one, and by
//! what they have written there.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::blocks::{Pair, pair_of};
use super::facts::{Facts, user_of};
use super::tries::{Try, is_never, is_sure, known_at, tries};
use crate::history::{Deed, Entry, Event, History, Room, Wanted};

/// What was said, each attempt for itself. What underway at once was may have come in each order.
pub(super) struct Requests<'a> {
    /// Who wants strangers to ask.
    asks: BTreeMap<&'a str, Vec<(bool, Try)>>,
    contacts: BTreeMap<Pair<'a>, Vec<(bool, Try)>>,
    wrote: HashMap<(&'a Room, &'a str), Wrote>,
}

/// From which events on a user has written in a room.
#[derive(Clone, Copy)]
struct Wrote {
    perhaps: usize,
    surely: usize,
}

/// Who has ever said that strangers have to ask.
pub(super) fn askers(history: &History) -> HashSet<&str> {
    let said = history.events.iter().filter_map(|event| match event {
        Event::Deed(Deed::Asked { wanted: Wanted::AskStrangers { user, is_on: true }, .. }) => {
            Some(&**user)
        }
        _ => None,
    });
    said.collect()
}

impl<'a> Requests<'a> {
    pub(super) fn gather(history: &'a History, facts: &Facts<'a>) -> Self {
        let (mut asks, mut contacts) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
        for (wanted, attempt) in tries(history) {
            match wanted {
                Wanted::AskStrangers { user, is_on } => {
                    asks.entry(&**user).or_default().push((*is_on, attempt));
                }
                Wanted::Contact { user, other, is_on } => {
                    contacts.entry((&**user, &**other)).or_default().push((*is_on, attempt));
                }
                _ => {}
            }
        }
        let wrote = if asks.is_empty() { HashMap::new() } else { wrote(history, facts) };
        Self { asks, contacts, wrote }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.asks.is_empty()
    }

    fn wrote(&self, room: &Room, user: &str) -> Wrote {
        let never = Wrote { perhaps: usize::MAX, surely: usize::MAX };
        self.wrote.get(&(room, user)).copied().unwrap_or(never)
    }

    fn said_of_contact<'s>(&'s self, pair: Pair<'s>) -> &'s [(bool, Try)] {
        self.contacts.get(&pair).map_or(&[], Vec::as_slice)
    }

    /// True where the room is a request of the second one to the first one at each moment from one event to another.
    pub(super) fn is_sure(&self, room: &Room, pair: Pair<'_>, from: usize, to: usize) -> bool {
        let asks = self.asks.get(pair.0).is_some_and(|said| is_sure(said, from, to));
        asks && is_never(self.said_of_contact(pair), from, to)
            && self.wrote(room, pair.0).perhaps >= to
    }

    /// True where it can't have been one at any moment between two events.
    pub(super) fn is_never(&self, room: &Room, pair: Pair<'_>, from: usize, to: usize) -> bool {
        let never_asks = self.asks.get(pair.0).is_none_or(|said| is_never(said, from, to));
        never_asks
            || is_sure(self.said_of_contact(pair), from, to)
            || self.wrote(room, pair.0).surely < from
    }
}

fn wrote<'a>(history: &'a History, facts: &Facts<'a>) -> HashMap<(&'a Room, &'a str), Wrote> {
    let mut wrote: HashMap<(&Room, &str), Wrote> = HashMap::new();
    let never = Wrote { perhaps: usize::MAX, surely: usize::MAX };
    for (at, event) in history.events.iter().enumerate() {
        let Event::Sent { device, room, .. } = event else { continue };
        let wrote = wrote.entry((room, user_of(device))).or_insert(never);
        wrote.perhaps = wrote.perhaps.min(at);
    }
    let known = known_at(history);
    for (room, of) in facts.rooms.iter().filter(|(room, _)| pair_of(room).is_some()) {
        let is_text =
            |entry: &&&Entry| entry.is_message() && !entry.is_silent() && entry.thread().is_none();
        for entry in of.standing.values().filter(is_text) {
            let Some(at) = known.get(&(*room, entry.seq)) else { continue };
            let wrote = wrote.entry((*room, &*entry.from)).or_insert(never);
            wrote.surely = wrote.surely.min(*at);
        }
    }
    wrote
}
