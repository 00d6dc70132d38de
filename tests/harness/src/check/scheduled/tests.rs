//! Each planted fault of a scheduled message is found, and a good run has none.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::history::{Attempt, Entry, SessionId, hash};

const ROOM: &str = "alice~bob";

fn message(seq: u64, from: &str, text: &str, time: u64) -> Entry {
    let frame = json!({ "room": ROOM, "seq": seq, "from": from, "text": text, "time": time, "ordinal": seq });
    Entry::read(&frame).expect("an entry")
}

fn asks(number: u64, wanted: Wanted, done: bool) -> Vec<Event> {
    let attempt = Attempt(SessionId(1), number);
    let answer = Deed::Done { wanted: wanted.clone(), attempt };
    let mut events = vec![Event::Deed(Deed::Asked { wanted, attempt })];
    events.extend(done.then_some(Event::Deed(answer)));
    events
}

fn schedules(id: &str) -> Wanted {
    Wanted::Schedule {
        user: "alice".into(),
        room: ROOM.into(),
        id: id.into(),
        at_ms: 100,
        text: hash(id),
    }
}

fn takes_back(id: &str) -> Wanted {
    Wanted::Unschedule { user: "alice".into(), room: ROOM.into(), id: id.into() }
}

fn one(id: &str, became: Became) -> Told {
    Told { room: ROOM.into(), id: id.into(), became }
}

fn told(device: &str, id: &str, became: Became) -> Event {
    Event::Deed(Deed::ScheduleTold { device: device.into(), told: one(id, became) })
}

fn listed(all: &[Told]) -> Event {
    Event::Deed(Deed::Scheduled { user: Arc::from("alice"), all: all.to_vec() })
}

fn log(entries: &[Entry]) -> Event {
    Event::Final { room: ROOM.into(), entries: entries.to_vec() }
}

fn settled() -> Event {
    Event::Settled { device: "alice/phone".into(), room: ROOM.into() }
}

/// Alice schedules one that is sent, one that she takes back, and one that fails.
fn good() -> Vec<Event> {
    let mut events = asks(1, schedules("a"), true);
    events.extend(asks(2, schedules("b"), true));
    events.extend(asks(3, schedules("c"), true));
    events.extend(asks(4, takes_back("b"), true));
    for id in ["a", "b", "c"] {
        events.push(told("alice/phone", id, Became::Waiting));
    }
    events.push(told("alice/phone", "b", Became::Cancelled));
    events.push(told("alice/phone", "a", Became::Sent(1)));
    events.push(told("alice/phone", "c", Became::Failed));
    events.push(log(&[message(1, "alice", "a", 101)]));
    events.extend([listed(&[one("c", Became::Failed)]), settled()]);
    events
}

fn judge(events: Vec<Event>) -> Vec<String> {
    let history = History { events, times: Vec::new() };
    let mut found = BTreeSet::new();
    check(&history, &Facts::gather(&history), &mut found);
    found.iter().map(ToString::to_string).collect()
}

/// The good run with another event in the place of one.
fn is_found(at: &Event, by: Option<Event>, words: &str) {
    let mut events = good();
    let index = events.iter().rposition(|event| event == at).expect("an event of the good run");
    events.splice(index..=index, by);
    let found = judge(events);
    assert!(found.iter().any(|it| it.contains(words)), "{words} is not in {found:#?}");
}

#[test]
fn a_good_run_has_no_violation() {
    assert_eq!(judge(good()), [""; 0]);
    // Where no answer came, it may be sent or not, and so where one that was taken back had no answer.
    for (kept, back) in [(false, false), (true, false)] {
        for is_sent in [true, false] {
            let mut events = asks(1, schedules("a"), kept);
            if kept {
                events.extend(asks(2, takes_back("a"), back));
            }
            let entries = [message(1, "alice", "a", 101)];
            events.extend([log(&entries[..usize::from(is_sent)]), listed(&[])]);
            assert_eq!(judge(events), [""; 0]);
        }
    }
}

#[test]
fn one_that_is_sent_twice_early_late_or_by_nobody_is_found() {
    let last = log(&[message(1, "alice", "a", 101)]);
    let with = |entry| Some(log(&[message(1, "alice", "a", 101), entry]));
    is_found(
        &last,
        with(message(2, "alice", "a", 102)),
        "2 is a scheduled message that was sent at 1",
    );
    is_found(&last, Some(log(&[message(1, "alice", "a", 99)])), "is of 99, before its time 100");
    is_found(&last, with(message(2, "alice", "b", 102)), "one at 2 that was taken back");
    is_found(&last, with(message(2, "alice", "z", 102)), "who has scheduled no such message");
    is_found(&last, with(message(2, "bob", "c", 102)), "who has scheduled no such message");
    is_found(&last, with(message(2, "alice", "c", 102)), "one at 2 that is Failed in the end");
    is_found(&last, Some(log(&[])), "one that was sent at 1, which is not there");
}

#[test]
fn one_that_is_lost_is_found() {
    let events = [asks(1, schedules("a"), true), vec![log(&[]), listed(&[])]].concat();
    let found = judge(events);
    assert!(found.len() == 1 && found[0].contains("lost one"), "{found:#?}");
    let waits = listed(&[one("a", Became::Waiting)]);
    let events = [asks(1, schedules("a"), true), vec![log(&[]), waits]].concat();
    let found = judge(events);
    assert!(found.len() == 1 && found[0].contains("one that waits"), "{found:#?}");
    let back = listed(&[one("b", Became::Waiting), one("c", Became::Failed)]);
    is_found(
        &listed(&[one("c", Became::Failed)]),
        Some(back),
        "that was taken back and is Waiting",
    );
}

#[test]
fn a_device_that_is_told_otherwise_or_not_at_all_is_found() {
    let phone = "alice/phone";
    is_found(&told(phone, "a", Became::Sent(1)), None, "alice/phone has for alice");
    is_found(&told(phone, "c", Became::Failed), None, "Some(Waiting), not Some(Failed)");
    is_found(&told(phone, "b", Became::Cancelled), None, "Some(Waiting), not None");
    let other = told(phone, "a", Became::Sent(7));
    is_found(&told(phone, "a", Became::Sent(1)), Some(other), "Sent(7), but it is at Some(1)");
    let leaked = told("bob/phone", "a", Became::Sent(1));
    is_found(&told(phone, "a", Became::Sent(1)), Some(leaked), "what they have not scheduled");
}
