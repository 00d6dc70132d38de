//! Promises about searching: what is found has the word that was looked for, is as the message is, and is for who looks; and in the end
//! everything that a user's history shows with a word is found, and nothing else.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Violation;
use super::facts::{Facts, RoomFacts};
use super::tries::known_at;
use crate::history::{Act, Attempt, Change, Deed, Entry, Event, History, Room, WORDS};

pub(super) fn check(history: &History, facts: &Facts<'_>, found: &mut BTreeSet<Violation>) {
    let known = Known(known_at(history));
    let mut asked: HashMap<Attempt, usize> = HashMap::new();
    for (at, event) in history.events.iter().enumerate() {
        match event {
            Event::Deed(Deed::Searches { attempt, .. }) => {
                asked.insert(*attempt, at);
            }
            Event::Deed(Deed::Finds { user, word, attempt, entries }) => {
                let Some(asked) = asked.get(attempt) else { continue };
                for entry in entries {
                    let Some(of) = facts.rooms.get(&entry.room) else { continue };
                    let wrong = wrong_entry(entry, *word, (of, facts, &known, *asked));
                    let wrong = wrong.or_else(|| {
                        is_outside(&entry.room, user, (of, facts, &known), (*asked, at))
                            .then(|| "though they are not in its room".to_owned())
                    });
                    found.extend(wrong.map(|what| wrong_message(user, entry, what)));
                }
            }
            Event::Deed(Deed::FoundAll { user, word, places }) => {
                judge_all(history, facts, (user, *word, places), found);
            }
            _ => {}
        }
    }
}

fn wrong_message(user: &str, entry: &Entry, what: String) -> Violation {
    let (room, seq) = (entry.room.clone(), entry.seq);
    Violation::WrongMessage { reader: format!("{user}, who searches,").into(), room, seq, what }
}

/// When it was known first that entries are there.
struct Known<'a>(HashMap<(&'a Room, u64), usize>);

impl Known<'_> {
    fn is_before(&self, room: &Room, seq: u64, at: usize) -> bool {
        self.0.get(&(room, seq)).is_some_and(|known| *known < at)
    }
}

/// What is wrong with a message as it was found by who asked at this event.
fn wrong_entry(
    entry: &Entry,
    word: usize,
    (of, facts, known, asked): (&RoomFacts<'_>, &Facts<'_>, &Known<'_>, usize),
) -> Option<String> {
    if !entry.is_message() {
        return Some("though it is no message that is there".to_owned());
    }
    if !entry.has_word(word) {
        return Some(format!("without {}", WORDS[word].0));
    }
    let target = |other: &&Entry, is_edit: bool| match other.act.as_deref() {
        Some(Act::Edits(target)) => is_edit && *target == entry.seq,
        Some(Act::Deletes(target)) => !is_edit && *target == entry.seq,
        _ => false,
    };
    let later = || of.standing.range(entry.seq..).map(|(_, other)| *other);
    let is_known = |other: &&Entry| known.is_before(&entry.room, other.seq, asked);
    if let Some(delete) = later().find(|other| target(other, false) && is_known(other)) {
        return Some(format!("though {} had deleted it", delete.seq));
    }
    // Edits whose texts are deleted with their message are no edits any more in the end, but somebody saw them.
    let seen = of.seen.range(entry.seq..).flat_map(|(_, seen)| seen.iter().copied());
    let edits: Vec<&Entry> = seen.filter(|other| target(other, true)).collect();
    let newest_known = edits.iter().rev().find(|other| is_known(other)).map(|edit| edit.seq);
    let text = |seq: u64| text_of(seq, of, facts);
    let first = newest_known.unwrap_or(entry.seq);
    let may_be = edits.iter().map(|edit| edit.seq).filter(|seq| *seq >= first);
    let may_be: Vec<Option<u64>> = std::iter::once(first).chain(may_be).map(text).collect();
    let is_one = may_be.iter().any(|text| text.is_none_or(|text| text == entry.text));
    (!is_one).then(|| format!("with a text that it has not had since {first}"))
}

/// The text with which an entry was taken, where somebody saw it or its sending.
fn text_of(seq: u64, of: &RoomFacts<'_>, facts: &Facts<'_>) -> Option<u64> {
    if let Some(taken) = of.taken(seq) {
        return Some(taken.text);
    }
    let send = facts.sends.get(of.standing.get(&seq)?.client_id.as_ref()?)?;
    Some(send.text)
}

/// True where the user was not in the room at any moment between two events.
fn is_outside(
    room: &Room,
    user: &str,
    (of, facts, known): (&RoomFacts<'_>, &Facts<'_>, &Known<'_>),
    (asked, answered): (usize, usize),
) -> bool {
    if let Some((a, b)) = room.split_once('~') {
        return a != user && b != user;
    }
    let changes = of.standing.values().filter_map(|entry| {
        let joins = match entry.change.as_deref()? {
            Change::Joined(users) => users.iter().any(|one| **one == *user).then_some(true),
            Change::Left(one) => (**one == *user).then_some(false),
        };
        Some((entry, joins?))
    });
    let mut is_in = false;
    for (entry, joins) in changes {
        let sent = entry.client_id.as_ref().and_then(|id| facts.sends.get(id));
        let sent = sent.and_then(|send| send.first_sent_at).unwrap_or(0);
        match joins {
            true if sent <= answered => is_in = true,
            false if known.is_before(room, entry.seq, asked) => is_in = false,
            _ => {}
        }
    }
    !is_in
}

/// Search over everything is a plain scan of what the user's history shows.
fn judge_all(
    history: &History,
    facts: &Facts<'_>,
    (user, word, places): (&str, usize, &[(Room, u64)]),
    found: &mut BTreeSet<Violation>,
) {
    let is: BTreeSet<(&Room, u64)> = places.iter().map(|(room, seq)| (room, *seq)).collect();
    if is.len() != places.len() {
        let room = places.first().map_or_else(|| Room::from("none"), |(room, _)| room.clone());
        let what = format!("{} found twice", WORDS[word].0);
        found.insert(Violation::WrongCount { room, user: user.into(), device: None, what });
    }
    let should = scan(history, user, word);
    let should: BTreeSet<(&Room, u64)> = should
        .into_iter()
        .filter(|(room, _)| facts.rooms.get(*room).is_some_and(|of| of.has_member(user)))
        .collect();
    // Nothing is said of rooms that nobody read in the end.
    let read: HashSet<&Room> = shown(history, user).map(|(room, _)| room).collect();
    let more = is.difference(&should).filter(|(room, _)| read.contains(room));
    let more = more.map(|place| (place, "found by a search, and not by a scan"));
    let less = should.difference(&is).map(|place| (place, "not found by a search"));
    for ((room, seq), what) in more.chain(less) {
        let what = format!("{what}: {}", WORDS[word].0);
        let (reader, room) = (user.into(), (*room).clone());
        found.insert(Violation::WrongMessage { reader, room, seq: *seq, what });
    }
}

fn shown<'a>(history: &'a History, user: &str) -> impl Iterator<Item = (&'a Room, &'a [Entry])> {
    history.events.iter().filter_map(move |event| match event {
        Event::Shown { user: whose, room, entries } if **whose == *user => {
            Some((room, &entries[..]))
        }
        _ => None,
    })
}

/// The messages with a word that a user's histories show, of rooms in which they are and were.
pub fn scan<'a>(history: &'a History, user: &str, word: usize) -> BTreeSet<(&'a Room, u64)> {
    let of_room = |(room, entries): (&'a Room, &'a [Entry])| {
        let has = move |entry: &&Entry| entry.is_message() && entry.has_word(word);
        entries.iter().filter(has).map(move |entry| (room, entry.seq))
    };
    shown(history, user).flat_map(of_room).collect()
}

#[cfg(test)]
mod tests;
