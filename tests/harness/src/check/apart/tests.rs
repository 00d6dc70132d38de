//! Marks that are told to who must hear nothing of them are found, and those that who hears of the other one lacks.

use super::super::{Violation, check};
use super::*;
use crate::history::{Attempt, Deed, Entry, SessionId, Wanted};

const ROOM: &str = "alice~bob";

fn mark(read: u64) -> Mark {
    Mark { room: ROOM.into(), user: "bob".into(), read, ..Mark::default() }
}

fn said(read: u64) -> Event {
    Event::MarkSent { mark: mark(read), attempt: Attempt(SessionId(2), read) }
}

fn kept(read: u64) -> Event {
    Event::MarkKept { mark: mark(read), attempt: Attempt(SessionId(2), read) }
}

fn told(read: u64) -> Event {
    Event::MarkTold { device: "alice/phone".into(), mark: mark(read) }
}

fn asked(number: u64, wanted: Wanted) -> [Event; 2] {
    let attempt = Attempt(SessionId(1), number);
    let done = Deed::Done { wanted: wanted.clone(), attempt };
    [Event::Deed(Deed::Asked { wanted, attempt }), Event::Deed(done)]
}

/// Alice blocks Bob, or not any more.
fn blocks(number: u64, is_on: bool) -> [Event; 2] {
    asked(number, Wanted::Block { user: "alice".into(), other: "bob".into(), is_on })
}

/// Bob wants to be asked, or not any more.
fn asks(number: u64, is_on: bool) -> [Event; 2] {
    asked(number, Wanted::AskStrangers { user: "bob".into(), is_on })
}

fn judge(events: Vec<Event>) -> Vec<String> {
    let found = check(&History { events, times: Vec::new() });
    let of_marks = found.iter().filter(|it| matches!(it, Violation::WrongMark { .. }));
    of_marks.map(ToString::to_string).filter(|it| !it.contains("never said")).collect()
}

fn has(events: Vec<Event>, words: &str) {
    let found = judge(events);
    assert!(found.iter().any(|it| it.contains(words)), "{words} is not in {found:#?}");
}

#[test]
fn a_mark_that_is_told_though_they_hear_nothing_of_each_other_is_found() {
    for apart in [blocks, asks] {
        let mut events: Vec<Event> = vec![said(1)];
        events.extend(apart(1, true));
        // It may have been on its way.
        events.extend([told(1), said(2)]);
        assert_eq!(judge(events.clone()), [""; 0]);
        events.push(told(2));
        has(events.clone(), "what was said while they hear nothing of it");
        events.pop();
        events.extend(apart(2, false));
        events.push(told(2));
        assert_eq!(judge(events), [""; 0]);
    }
}

/// The end: what the store has, and what Alice's device knows by then.
fn end(read: u64) -> [Event; 3] {
    let entry = |seq: u64| {
        let frame = serde_json::json!({ "room": ROOM, "seq": seq, "from": "alice", "text": "x", "ordinal": seq });
        Entry::read(&frame).expect("an entry")
    };
    let log = Event::Final { room: ROOM.into(), entries: (1..=3).map(entry).collect() };
    let settled = Event::Settled { device: "alice/phone".into(), room: ROOM.into() };
    [log, Event::FinalMark { mark: mark(read) }, settled]
}

#[test]
fn a_mark_that_is_not_told_though_they_hear_of_each_other_again_is_found() {
    for apart in [blocks, asks] {
        let mut events: Vec<Event> = apart(1, true).into();
        events.extend([said(2), kept(2)]);
        // It is told with the next one.
        assert_eq!(judge([&events[..], &end(2)].concat()), [""; 0]);
        events.extend(apart(2, false));
        assert_eq!(judge([&events[..], &end(2)].concat()), [""; 0]);
        events.extend([said(3), kept(3)]);
        has([&events[..], &end(3)].concat(), "alice/phone has for bob in alice~bob Seqs");
        events.push(told(3));
        assert_eq!(judge([&events[..], &end(3)].concat()), [""; 0]);
    }
}
