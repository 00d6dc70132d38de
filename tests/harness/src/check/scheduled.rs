//! Promises about messages that are sent later: each is in its room once, not before its time, and not where it was answered
//! that it is taken back; none is lost; and each device ends with what became of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Violation;
use super::facts::{Facts, user_of};
use super::newest::Newest;
use super::tries::{Try, tries};
use crate::history::{
    Became, ClientId, Deed, Device, Event, History, Room, Scheduled as Told, Wanted,
};

/// A room, and the id of the `schedule`.
type Key<'a> = (&'a Room, &'a ClientId);

/// What is known of one.
#[derive(Default)]
struct Of<'a> {
    user: &'a str,
    at_ms: u64,
    text: u64,
    asked: Vec<Try>,
    taken_back: Vec<Try>,
    /// The seqs at which the room has its text.
    seqs: Vec<u64>,
    /// What devices were told.
    told: Vec<Became>,
    /// In the end its user finds that it waits, or has failed.
    listed: Option<Became>,
}

pub(super) fn check(history: &History, facts: &Facts<'_>, found: &mut BTreeSet<Violation>) {
    let mut all = gather(history);
    if all.is_empty() {
        return;
    }
    let by_text: HashMap<u64, Key<'_>> = all.iter().map(|(key, of)| (of.text, *key)).collect();
    judge_entries(facts, &by_text, &mut all, found);
    let listers = take_told(history, &mut all, found);
    for (key, of) in all.iter().filter(|(_, of)| listers.contains(of.user)) {
        found.extend(of.wrong(key.0, facts).map(|what| wrong(*key, of.user, None, what)));
    }
    judge_devices(history, &all, facts, found);
}

fn gather(history: &History) -> BTreeMap<Key<'_>, Of<'_>> {
    let mut all: BTreeMap<Key<'_>, Of<'_>> = BTreeMap::new();
    for (wanted, attempt) in tries(history) {
        match wanted {
            Wanted::Schedule { user, room, id, at_ms, text } => {
                let of = all.entry((room, id)).or_default();
                (of.user, of.at_ms, of.text) = (user, *at_ms, *text);
                of.asked.push(attempt);
            }
            Wanted::Unschedule { room, id, .. } => {
                all.entry((room, id)).or_default().taken_back.push(attempt);
            }
            _ => {}
        }
    }
    all
}

/// What is in a room without a client id was scheduled.
fn judge_entries<'a>(
    facts: &Facts<'a>,
    by_text: &HashMap<u64, Key<'a>>,
    all: &mut BTreeMap<Key<'a>, Of<'a>>,
    found: &mut BTreeSet<Violation>,
) {
    for (room, of_room) in &facts.rooms {
        for seq in of_room.standing.keys() {
            let Some(entry) = of_room.taken(*seq) else { continue };
            if entry.client_id.is_some() || !entry.is_message() {
                continue;
            }
            let mut say = |what: String| {
                found.insert(Violation::NotAllowed { room: (*room).clone(), seq: *seq, what });
            };
            let key = by_text.get(&entry.text).filter(|(of, _)| of == room);
            let of = key.and_then(|key| all.get_mut(key)).filter(|of| *entry.from == *of.user);
            let Some(of) = of else {
                say(format!("is in the name of {}, who has scheduled no such message", entry.from));
                continue;
            };
            if entry.time_ms < of.at_ms {
                say(format!("is of {}, before its time {}", entry.time_ms, of.at_ms));
            }
            if let Some(first) = of.seqs.first() {
                say(format!("is a scheduled message that was sent at {first} already"));
            }
            of.seqs.push(*seq);
        }
    }
}

/// Takes in what users are told, who says only what is their own. Who was asked in the end.
fn take_told<'a>(
    history: &'a History,
    all: &mut BTreeMap<Key<'a>, Of<'a>>,
    found: &mut BTreeSet<Violation>,
) -> BTreeSet<&'a str> {
    let mut listers = BTreeSet::new();
    let mut take = |user: &str, device: Option<&Device>, told: &'a Told, is_last: bool| {
        let key = (&told.room, &told.id);
        match all.get_mut(&key).filter(|of| of.user == user) {
            Some(of) if is_last => of.listed = Some(told.became),
            Some(of) => of.told.push(told.became),
            None => {
                let what = format!("what they have not scheduled: {told:?}");
                found.insert(wrong(key, user, device, what));
            }
        }
    };
    for event in &history.events {
        match event {
            Event::Deed(Deed::ScheduleTold { device, told }) => {
                take(user_of(device), Some(device), told, false);
            }
            Event::Deed(Deed::ScheduledLoaded { device, all }) => {
                all.iter().for_each(|told| take(user_of(device), Some(device), told, false));
            }
            Event::Deed(Deed::Scheduled { user, all }) => {
                listers.insert(&**user);
                all.iter().for_each(|told| take(user, None, told, true));
            }
            _ => {}
        }
    }
    listers
}

impl Of<'_> {
    /// Where it is, as the log says; where that message was deleted, as devices were told.
    fn sent(&self) -> Option<u64> {
        let mut told = self.told.iter().filter_map(|told| match told {
            Became::Sent(seq) => Some(*seq),
            _ => None,
        });
        self.seqs.first().copied().or_else(|| told.next_back())
    }

    fn wrong(&self, room: &Room, facts: &Facts<'_>) -> Option<String> {
        let is = |became: &Became| matches!(became, Became::Sent(seq) if Some(*seq) != self.sent());
        if let Some(told) = self.told.iter().find(|told| is(told)) {
            return Some(format!("{told:?}, but it is at {:?}", self.sent()));
        }
        let is_taken_back = self.taken_back.iter().any(|it| it.done.is_some());
        let sent = self.sent();
        if let Some(seq) = sent {
            let entry = facts.rooms.get(room).and_then(|of| of.standing.get(&seq));
            if entry.is_none_or(|entry| *entry.from != *self.user || entry.client_id.is_some()) {
                return Some(format!("one that was sent at {seq}, which is not there"));
            }
            if is_taken_back {
                return Some(format!("one at {seq} that was taken back"));
            }
            return self.listed.map(|listed| format!("one at {seq} that is {listed:?} in the end"));
        }
        if is_taken_back {
            return self.listed.map(|listed| format!("one that was taken back and is {listed:?}"));
        }
        let is_kept = self.asked.iter().any(|it| it.done.is_some());
        match self.listed {
            None if is_kept && self.taken_back.is_empty() => Some("lost one".to_owned()),
            Some(Became::Waiting) => Some(format!("one that waits, of {}", self.at_ms)),
            _ => None,
        }
    }

    /// What the user's devices have to know in the end.
    fn became(&self) -> Option<Became> {
        self.sent().map(Became::Sent).or(self.listed)
    }
}

fn judge_devices(
    history: &History,
    all: &BTreeMap<Key<'_>, Of<'_>>,
    facts: &Facts<'_>,
    found: &mut BTreeSet<Violation>,
) {
    let mut knows: HashMap<&Device, Newest<'_, Key<'_>, Became>> = HashMap::new();
    for event in &history.events {
        match event {
            Event::Deed(Deed::ScheduleTold { device, told }) => {
                knows.entry(device).or_default().tell((&told.room, &told.id), told.became);
            }
            Event::Deed(Deed::ScheduledLoaded { device, all }) => {
                let loaded = all.iter().map(|told| ((&told.room, &told.id), told.became));
                knows.entry(device).or_default().load(|_| true, loaded.collect());
            }
            Event::Opened { device, .. }
            | Event::Synced { device, .. }
            | Event::Cursor { device, .. }
            | Event::LoadedAll { device, .. } => knows.entry(device).or_default().step(event),
            Event::Settled { device, room } if facts.rooms.contains_key(room) => {
                let Some(knows) = knows.get(device) else { continue };
                for (key, of) in all.iter().filter(|((of, _), _)| *of == room) {
                    if of.user != user_of(device) {
                        continue;
                    }
                    let known = knows.get(key);
                    // What is over is not listed: who loads does not hear of it.
                    let is_wrong = match (known, of.became()) {
                        (Some(known), Some(became)) => known != became,
                        (Some(known), None) => {
                            known != Became::Cancelled && !of.taken_back.is_empty()
                        }
                        (None, became) => became == Some(Became::Failed),
                    };
                    if is_wrong {
                        let what = format!("{known:?}, not {:?}", of.became());
                        found.insert(wrong(*key, of.user, Some(device), what));
                    }
                }
            }
            _ => {}
        }
    }
}

fn wrong((room, id): Key<'_>, user: &str, device: Option<&Device>, what: String) -> Violation {
    let (room, user) = (room.clone(), user.into());
    let what = format!("of the scheduled message {id}: {what}");
    Violation::WrongMark { room, user, device: device.cloned(), what }
}

#[cfg(test)]
mod tests;
