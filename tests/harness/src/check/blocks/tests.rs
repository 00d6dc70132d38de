//! Each planted fault of blocking is found, and a good run has none.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::check;
use super::*;
use crate::history::{Attempt, SessionId};

const ROOM: &str = "alice~bob";

fn entry(room: &str, seq: u64, from: &str, fields: Value) -> Entry {
    let mut frame = fields;
    frame["room"] = room.into();
    frame["seq"] = seq.into();
    frame["from"] = from.into();
    frame["client_id"] = format!("{from}-{seq}").into();
    if frame["ordinal"].is_null() {
        frame["ordinal"] = seq.into();
    }
    Entry::read(&frame).expect("an entry")
}

fn text(seq: u64, from: &str) -> Entry {
    entry(ROOM, seq, from, json!({ "text": format!("{from} {seq}") }))
}

fn sent(entry: &Entry) -> Event {
    Event::Sent {
        device: format!("{}/phone", entry.from).into(),
        session: SessionId(1),
        room: entry.room.clone(),
        client_id: entry.client_id.clone().expect("an id"),
        text: entry.text,
        said: None,
    }
}

fn acked(entry: &Entry) -> Event {
    let Event::Sent { device, session, room, client_id, .. } = sent(entry) else { panic!("sent") };
    Event::Acked { device, session, room, client_id, seq: entry.seq }
}

fn refused(id: &str) -> Event {
    let (device, client_id) = ("bob/phone".into(), id.into());
    Event::Refused { device, client_id, code: "not_allowed".into(), temporary: false }
}

/// Alice blocks Bob, or not any more.
fn says(number: u64, is_on: bool) -> [Event; 2] {
    let wanted = Wanted::Block { user: "alice".into(), other: "bob".into(), is_on };
    let attempt = Attempt(SessionId(1), number);
    let done = Deed::Done { wanted: wanted.clone(), attempt };
    [Event::Deed(Deed::Asked { wanted, attempt }), Event::Deed(done)]
}

fn told(device: &str, is_on: bool) -> Event {
    Event::Deed(Deed::BlockTold { device: device.into(), other: "bob".into(), is_on })
}

fn blocks(others: &[&str]) -> Event {
    let others = others.iter().map(|other| Arc::from(*other)).collect();
    Event::Deed(Deed::Blocks { user: "alice".into(), others })
}

fn settled() -> Event {
    Event::Settled { device: "alice/phone".into(), room: ROOM.into() }
}

fn log(entries: &[Entry]) -> Event {
    let room = entries[0].room.clone();
    Event::Final { room, entries: entries.to_vec() }
}

/// Bob writes; Alice blocks him, and he is refused; she takes it back, and he writes.
fn good() -> Vec<Event> {
    let (first, last) = (text(1, "bob"), text(2, "bob"));
    let mut events = vec![sent(&first), acked(&first)];
    events.extend(says(1, true));
    events.push(told("alice/phone", true));
    events.extend([sent(&text(9, "bob")), refused("bob-9")]);
    events.extend(says(2, false));
    events.push(told("alice/phone", false));
    events.extend([sent(&last), acked(&last), log(&[first, last]), blocks(&[]), settled()]);
    events
}

fn judge(events: Vec<Event>) -> Vec<String> {
    let history = History { events, times: Vec::new() };
    let mut found = BTreeSet::new();
    super::check(&history, &Facts::gather(&history), &mut found);
    found.iter().map(ToString::to_string).collect()
}

fn has(events: Vec<Event>, words: &str) {
    let found = judge(events);
    assert!(found.iter().any(|it| it.contains(words)), "{words} is not in {found:#?}");
}

fn replaced(at: &Event, by: Option<Event>) -> Vec<Event> {
    let mut events = good();
    let index = events.iter().rposition(|event| event == at).expect("an event of the good run");
    events.splice(index..=index, by);
    events
}

#[test]
fn a_good_run_has_no_violation() {
    assert_eq!(judge(good()), [""; 0]);
    let whole: Vec<_> = check(&History { events: good(), times: Vec::new() });
    let of_blocks = whole.iter().filter(|it| it.to_string().contains("block"));
    assert_eq!(of_blocks.collect::<Vec<_>>(), [] as [&Violation; 0]);
    // What is sent while the block is underway, or while it is taken back, may have been taken.
    let [ask, done] = says(1, true);
    let [end, ended] = says(2, false);
    for at in [1, 4] {
        let mut events = vec![ask.clone(), done.clone(), end.clone(), ended.clone()];
        events.insert(at, sent(&text(1, "bob")));
        events.extend([acked(&text(1, "bob")), log(&[text(1, "bob")]), blocks(&[])]);
        assert_eq!(judge(events), [""; 0], "sent at {at}");
    }
    let events = [ask, done, sent(&text(1, "bob")), end, acked(&text(1, "bob")), ended];
    assert_eq!(judge([&events[..], &[log(&[text(1, "bob")])]].concat()), [""; 0]);
}

#[test]
fn what_is_written_after_a_block_was_answered_is_found() {
    for from in ["bob", "alice"] {
        let late = text(1, from);
        let mut events: Vec<Event> = says(1, true).into();
        events.extend([sent(&late), acked(&late), log(&[late])]);
        has(events, &format!("alice~bob 1 is of {from}, though one of the two blocks the other"));
    }
    // Who takes back what they have written may.
    let (first, deletes) =
        (text(1, "bob"), entry(ROOM, 2, "bob", json!({ "kind": "delete", "target": 1 })));
    let mut events = vec![sent(&first), acked(&first)];
    events.extend(says(1, true));
    events.extend([sent(&deletes), acked(&deletes), log(&[first, deletes])]);
    assert_eq!(judge(events), [""; 0]);
}

#[test]
fn who_is_put_into_a_group_by_whom_they_block_is_found() {
    let create = entry("team", 1, "bob", json!({ "kind": "create", "members": [], "ordinal": 0 }));
    let add = entry("team", 2, "bob", json!({ "kind": "add", "user": "alice", "ordinal": 0 }));
    let mut events: Vec<Event> = says(1, true).into();
    events.extend([sent(&create), acked(&create), sent(&add), acked(&add), log(&[create, add])]);
    has(events, "team 2 brings in alice, who blocks bob");
}

#[test]
fn who_is_refused_though_nobody_blocks_them_is_found() {
    let mut events = good();
    events.splice(0..0, [sent(&text(8, "bob")), refused("bob-8")]);
    has(events, "bob-8 refused, though nobody blocks the other");
    let mut events = good();
    events.extend([sent(&text(8, "bob")), refused("bob-8")]);
    has(events, "bob-8 refused, though nobody blocks the other");
}

#[test]
fn a_block_that_is_lost_or_not_known_to_a_device_is_found() {
    has(replaced(&blocks(&[]), Some(blocks(&["bob"]))), "bob blocked: true, against what");
    let mut events: Vec<Event> = says(1, true).into();
    events.extend([told("alice/phone", true), blocks(&[])]);
    has(events, "bob blocked: false, against what was answered");
    let last = told("alice/phone", false);
    has(
        replaced(&last, None),
        "alice/phone has for alice in alice~bob bob blocked: true, not false",
    );
    has(replaced(&last, Some(told("bob/phone", false))), "what they never said");
    let asked = Wanted::Block { user: "alice".into(), other: "bob".into(), is_on: true };
    let attempt = Attempt(SessionId(1), 7);
    let refused = Deed::Refused { wanted: asked.clone(), attempt, code: "internal".into() };
    let events = vec![Event::Deed(Deed::Asked { wanted: asked, attempt }), Event::Deed(refused)];
    has(events, "refused with internal what bob is to them");
}
