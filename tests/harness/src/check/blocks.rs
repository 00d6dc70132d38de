//! Promises about blocking: from the answer on nothing is written in the room of the two, and nobody is put into a group by
//! whom they block; nobody is refused whom nobody blocks; and each device ends with what its user has said. That marks of
//! the one are not told to the other is in `apart`.
//!
//! What was underway at once may have come in each order, and an attempt without an answer at any time for a while.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::Violation;
use super::facts::{Facts, user_of};
use super::newest::Newest;
use super::tries::{Try, is_never, is_sure, known_at, tries};
use crate::history::{Act, Change, Deed, Device, Entry, Event, History, Room, Wanted};

/// Who blocks whom.
pub(super) type Pair<'a> = (&'a str, &'a str);

/// What was said of each pair, each attempt for itself.
pub(super) struct Blocks<'a> {
    said: BTreeMap<Pair<'a>, Vec<(bool, Try)>>,
    /// Of whom somebody has said that they are a contact, or none: devices are told of that what is blocked, too.
    contacts: BTreeSet<Pair<'a>>,
}

impl<'a> Blocks<'a> {
    pub(super) fn gather(history: &'a History) -> Self {
        let mut all = Self { said: BTreeMap::new(), contacts: BTreeSet::new() };
        for (wanted, attempt) in tries(history) {
            match wanted {
                Wanted::Block { user, other, is_on } => {
                    all.said.entry((user, other)).or_default().push((*is_on, attempt));
                }
                Wanted::Contact { user, other, .. } => {
                    all.contacts.insert((user, other));
                }
                _ => {}
            }
        }
        all
    }

    /// The direct rooms of those who ever blocked each other.
    pub(super) fn rooms(&self) -> HashSet<String> {
        let room = |(a, b): &Pair<'_>| if a < b { format!("{a}~{b}") } else { format!("{b}~{a}") };
        self.said.keys().map(room).collect()
    }

    fn said<'s>(&'s self, pair: Pair<'s>) -> &'s [(bool, Try)] {
        self.said.get(&pair).map_or(&[], Vec::as_slice)
    }

    /// True where the first one blocks the second at each moment from one event to another.
    fn is_sure(&self, pair: Pair<'_>, from: usize, to: usize) -> bool {
        is_sure(self.said(pair), from, to)
    }

    /// True where the first one can't have blocked the second at any moment between two events.
    fn is_never(&self, pair: Pair<'_>, from: usize, to: usize) -> bool {
        is_never(self.said(pair), from, to)
    }

    /// True where one of the two blocks the other at each moment from one event to another.
    pub(super) fn is_sure_of_one(&self, (a, b): Pair<'_>, from: usize, to: usize) -> bool {
        self.is_sure((a, b), from, to) || self.is_sure((b, a), from, to)
    }

    /// True where neither of the two can have blocked the other at any moment between two events.
    pub(super) fn is_never_of_one(&self, (a, b): Pair<'_>, from: usize, to: usize) -> bool {
        self.is_never((a, b), from, to) && self.is_never((b, a), from, to)
    }
}

/// The two different users of a direct room.
pub(super) fn pair_of(room: &Room) -> Option<Pair<'_>> {
    room.split_once('~').filter(|(a, b)| a != b)
}

pub(super) fn check(history: &History, facts: &Facts<'_>, found: &mut BTreeSet<Violation>) {
    let blocks = Blocks::gather(history);
    if blocks.said.is_empty() {
        return;
    }
    judge_entries(history, facts, &blocks, found);
    judge_refusals(history, &blocks, found);
    judge_devices(history, &blocks, found);
}

fn judge_entries(
    history: &History,
    facts: &Facts<'_>,
    blocks: &Blocks<'_>,
    found: &mut BTreeSet<Violation>,
) {
    let known = known_at(history);
    for (room, of) in &facts.rooms {
        for (seq, entry) in &of.standing {
            let send = entry.client_id.as_ref().and_then(|id| facts.sends.get(id));
            let Some(sent_at) = send.and_then(|send| send.first_sent_at) else { continue };
            let known_at = known.get(&(*room, *seq)).copied().unwrap_or(usize::MAX);
            let what = wrong_entry(room, entry, |pair| blocks.is_sure(pair, sent_at, known_at));
            if let Some(what) = what {
                found.insert(Violation::NotAllowed { room: (*room).clone(), seq: *seq, what });
            }
        }
    }
}

/// Why the entry should not be there. `blocks`: who surely blocked whom when it was sent.
fn wrong_entry(room: &Room, entry: &Entry, blocks: impl Fn(Pair<'_>) -> bool) -> Option<String> {
    let from = &*entry.from;
    if let Some((a, b)) = pair_of(room) {
        let is_of_them = from == a || from == b;
        let takes_back = matches!(entry.act.as_deref(), Some(Act::Deletes(_)));
        let is_blocked = is_of_them && !takes_back && (blocks((a, b)) || blocks((b, a)));
        return is_blocked.then(|| format!("is of {from}, though one of the two blocks the other"));
    }
    let Some(Change::Joined(users)) = entry.change.as_deref() else { return None };
    let kept_out = users.iter().find(|user| ***user != *from && blocks((user, from)));
    kept_out.map(|user| format!("brings in {user}, who blocks {from}"))
}

/// Nobody is refused whom nobody blocks.
fn judge_refusals(history: &History, blocks: &Blocks<'_>, found: &mut BTreeSet<Violation>) {
    let mut sent: HashMap<&str, (usize, &Room)> = HashMap::new();
    for (at, event) in history.events.iter().enumerate() {
        match event {
            Event::Sent { client_id, room, .. } => {
                sent.entry(client_id).or_insert((at, room));
            }
            Event::Refused { client_id, code, device, .. } if &**code == "not_allowed" => {
                let Some((sent_at, room)) = sent.get(&**client_id) else { continue };
                let Some((a, b)) = pair_of(room) else { continue };
                if [(a, b), (b, a)].iter().all(|pair| blocks.is_never(*pair, *sent_at, at)) {
                    let what = format!("{client_id} refused, though nobody blocks the other");
                    found.insert(wrong(room, user_of(device), Some(device), what));
                }
            }
            Event::Deed(Deed::Refused {
                wanted: Wanted::Block { user, other, .. }, code, ..
            }) => {
                let what = format!("refused with {code} what {other} is to them");
                found.insert(wrong(&Room::from(&**user), user, None, what));
            }
            _ => {}
        }
    }
}

fn judge_devices(history: &History, blocks: &Blocks<'_>, found: &mut BTreeSet<Violation>) {
    let mut last: HashMap<&str, BTreeSet<&str>> = HashMap::new();
    let mut knows: HashMap<&Device, Newest<'_, &str, bool>> = HashMap::new();
    for (at, event) in history.events.iter().enumerate() {
        match event {
            Event::Deed(Deed::BlockTold { device, other, is_on }) => {
                let pair = (user_of(device), &**other);
                let is_said = blocks.said(pair).iter().any(|(said, _)| said == is_on);
                if !is_said && (*is_on || !blocks.contacts.contains(&pair)) {
                    let what = format!("of {other} what they never said: {is_on}");
                    found.insert(wrong(&Room::from(&**other), user_of(device), Some(device), what));
                }
                knows.entry(device).or_default().tell(other, *is_on);
            }
            Event::Deed(Deed::BlocksLoaded { device, others }) => {
                let loaded = others.iter().map(|other| (&**other, true)).collect();
                knows.entry(device).or_default().load(|_| true, loaded);
            }
            Event::Deed(Deed::Blocks { user, others }) => {
                let others: BTreeSet<&str> = others.iter().map(|other| &**other).collect();
                for pair in blocks.said.keys().filter(|(whose, _)| *whose == &**user) {
                    let is_on = others.contains(pair.1);
                    let is_wrong = if is_on {
                        blocks.is_never(*pair, at, at)
                    } else {
                        blocks.is_sure(*pair, at, at)
                    };
                    if is_wrong {
                        let what =
                            format!("{} blocked: {is_on}, against what was answered", pair.1);
                        found.insert(wrong(&Room::from(pair.1), user, None, what));
                    }
                }
                last.insert(user, others);
            }
            Event::Opened { device, .. }
            | Event::Synced { device, .. }
            | Event::Cursor { device, .. }
            | Event::LoadedAll { device, .. } => knows.entry(device).or_default().step(event),
            Event::Settled { device, room } => {
                let user = user_of(device);
                let (Some(last), Some((a, b))) = (last.get(user), pair_of(room)) else { continue };
                let other = if a == user { b } else { a };
                let known = knows.get(device).and_then(|knows| knows.get(&other));
                let (known, is) = (known.unwrap_or(false), last.contains(other));
                if known != is {
                    let what = format!("{other} blocked: {known}, not {is}");
                    found.insert(wrong(room, user, Some(device), what));
                }
            }
            _ => {}
        }
    }
}

fn wrong(room: &Room, user: &str, device: Option<&Device>, what: String) -> Violation {
    let (room, user) = (room.clone(), user.into());
    Violation::WrongMark { room, user, device: device.cloned(), what }
}

#[cfg(test)]
mod tests;
