//! Where a user has marked a room as unread: what holds in the end is one of the values that the answered commands
//! allow, in whichever order those came that were underway at once.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use super::done::{Done, answered};
use super::facts::{Facts, RoomFacts};
use super::unread::Lists;
use crate::history::{Change, Entry, Event, History, Mark, Room};

type Key<'a> = (&'a str, &'a Room);

/// What a user said of a room, each attempt for itself.
#[derive(Default)]
struct SaidOf {
    unread: Vec<Done>,
    /// What they have read by a mark, and by what they wrote.
    read: Vec<Done>,
    wrote: Vec<Done>,
}

pub(super) fn check(
    history: &History,
    facts: &Facts<'_>,
    lists: &Lists<'_>,
    found: &mut BTreeSet<Violation>,
) {
    let mut said = gather(history);
    for (key, listed) in lists {
        let Some(of) = facts.rooms.get(key.1) else { continue };
        let mut said = said.remove(key).unwrap_or_default();
        said.wrote = wrote(facts, of, key.0);
        let wrong = match listed.unread_from {
            0 => said.lost(),
            from => (!said.may_be(from)).then_some(from),
        };
        if let Some(from) = wrong {
            let is = listed.unread_from;
            found.insert(Violation::WrongMark {
                room: key.1.clone(),
                user: key.0.into(),
                device: None,
                what: format!("unread_from {is} in the end, against what was answered of {from}"),
            });
        }
    }
}

fn gather(history: &History) -> BTreeMap<Key<'_>, SaidOf> {
    let answered = answered(history);
    let mut said: BTreeMap<Key<'_>, SaidOf> = BTreeMap::new();
    for (sent, event) in history.events.iter().enumerate() {
        let Event::MarkSent { mark: mark @ Mark { thread: None, .. }, attempt } = event else {
            continue;
        };
        let of = said.entry((&*mark.user, &mark.room)).or_default();
        let answered = answered.get(attempt).copied();
        for (to, seq) in [(&mut of.read, mark.read), (&mut of.unread, mark.unread_from)] {
            to.extend((seq > 0).then_some(Done { seq, sent, answered }));
        }
    }
    said
}

/// What the user has read by sending it, or by joining.
fn wrote(facts: &Facts<'_>, of: &RoomFacts<'_>, user: &str) -> Vec<Done> {
    let counts = |entry: &Entry| {
        let before = of.standing.get(&(entry.seq - 1)).map_or(0, |before| before.ordinal);
        entry.ordinal > before
    };
    let reads = |entry: &&&Entry| match entry.change.as_deref() {
        Some(Change::Joined(users)) => *entry.from == *user || users.iter().any(|it| **it == *user),
        Some(Change::Left(_)) => *entry.from == *user,
        None => *entry.from == *user && counts(entry),
    };
    of.standing.values().filter(reads).map(|entry| Done::of(facts, entry)).collect()
}

impl SaidOf {
    /// What ends an `unread_from`: a read of it or of later ones, and what is written.
    fn ends(&self, from: u64) -> impl Iterator<Item = &Done> {
        self.read.iter().filter(move |it| it.seq >= from).chain(&self.wrote)
    }

    /// True where it may be so in the end: somebody said it, and nothing that was answered has ended it since.
    fn may_be(&self, from: u64) -> bool {
        let is_ended =
            |unread: &Done| self.ends(from).any(|it| it.answered.is_some() && unread.is_before(it));
        self.unread.iter().any(|unread| unread.seq == from && !is_ended(unread))
    }

    /// One that was answered and must have taken effect, which nothing can have ended.
    fn lost(&self) -> Option<u64> {
        let is_lost = |unread: &&Done| {
            let read = || self.read.iter().chain(&self.wrote);
            // Where it was not read by then, it was unread already.
            let counts = read().any(|it| it.seq >= unread.seq && it.is_before(unread));
            let may_end = |it: &Done| !it.is_before(unread);
            let other = self.unread.iter().filter(|it| it.seq != unread.seq);
            let may_be_over = self.ends(unread.seq).chain(other).any(may_end);
            unread.answered.is_some() && counts && !may_be_over
        };
        self.unread.iter().find(is_lost).map(|unread| unread.seq)
    }
}
