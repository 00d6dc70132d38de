//! Each planted fault of a search is found, and a good run has none.

use serde_json::{Value, json};

use super::*;
use crate::history::SessionId;

const ROOM: &str = "alice~bob";
const TEAM: &str = "team";

fn entry(room: &str, seq: u64, from: &str, fields: Value) -> Entry {
    let mut frame = fields;
    for (name, value) in [("room", json!(room)), ("seq", json!(seq)), ("from", json!(from))] {
        frame[name] = value;
    }
    (frame["client_id"], frame["ordinal"]) = (format!("{room}-{seq}").into(), seq.into());
    Entry::read(&frame).expect("an entry")
}

fn text(seq: u64, text: &str) -> Entry {
    entry(ROOM, seq, "alice", json!({ "text": text }))
}

/// It is sent, taken and seen.
fn taken(entry: &Entry) -> [Event; 3] {
    let device: crate::history::Device = format!("{}/phone", entry.from).into();
    let (session, client_id) = (SessionId(1), entry.client_id.clone().expect("an id"));
    let room = || entry.room.clone();
    let sent = Event::Sent {
        device: device.clone(),
        session,
        room: room(),
        client_id: client_id.clone(),
        text: entry.text,
        said: None,
    };
    let acked = Event::Acked { device, session, room: room(), client_id, seq: entry.seq };
    [sent, acked, Event::Received { device: "bob/phone".into(), session, entry: entry.clone() }]
}

/// Bob searches for the first word, and finds this.
fn finds(number: u64, entries: &[Entry]) -> [Event; 2] {
    let (user, attempt) = (|| "bob".into(), Attempt(SessionId(5), number));
    let finds = Deed::Finds { user: user(), word: 0, attempt, entries: entries.to_vec() };
    [Event::Deed(Deed::Searches { user: user(), attempt }), Event::Deed(finds)]
}

fn log(entries: &[Entry]) -> Event {
    Event::Final { room: entries[0].room.clone(), entries: entries.to_vec() }
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

fn edit(seq: u64, to: &str) -> Entry {
    entry(ROOM, seq, "alice", json!({ "kind": "edit", "target": 1, "text": to }))
}

fn delete(seq: u64) -> Entry {
    entry(ROOM, seq, "alice", json!({ "kind": "delete", "target": 1 }))
}

#[test]
fn a_good_run_has_no_violation() {
    let (first, other) = (text(1, "a kestrel"), edit(2, "another kestrel"));
    let mut events = taken(&first).to_vec();
    events.extend(finds(1, std::slice::from_ref(&first)));
    // While the edit is underway, either text may be shown.
    let [sent, acked, seen] = taken(&other);
    events.push(sent);
    events.extend(finds(2, std::slice::from_ref(&first)));
    events.extend(finds(3, &[text(1, "another kestrel")]));
    events.extend([acked, seen]);
    events.extend(finds(4, &[text(1, "another kestrel")]));
    let gone = delete(3);
    let [sent, acked, seen] = taken(&gone);
    events.push(sent);
    events.extend(finds(5, &[text(1, "another kestrel")]));
    events.extend([acked, seen]);
    events.extend(finds(6, &[]));
    events.push(log(&[first, other, gone]));
    assert_eq!(judge(events), [""; 0]);
}

#[test]
fn what_is_found_otherwise_than_it_is_is_found() {
    let (first, other, gone) = (text(1, "a kestrel"), edit(2, "another kestrel"), delete(3));
    let all = [first.clone(), other.clone(), gone.clone()];
    let with = |so_far: &[&Entry], found: Entry| {
        let mut events: Vec<Event> = so_far.iter().copied().flat_map(taken).collect();
        events.extend(finds(1, &[found]));
        events.push(log(&all));
        events
    };
    has(with(&[&first], text(1, "a bird")), "without kestrel");
    has(with(&[&first], text(1, "my kestrel")), "with a text that it has not had since 1");
    has(with(&[&first, &other], first.clone()), "with a text that it has not had since 2");
    has(with(&[&first, &other, &gone], text(1, "another kestrel")), "though 3 had deleted it");
    let deleted = entry(ROOM, 1, "alice", json!({ "kind": "deleted", "by": 3 }));
    has(with(&[&first], deleted), "though it is no message that is there");
}

#[test]
fn what_is_found_by_who_may_not_see_it_is_found() {
    let words = "though they are not in its room";
    let foreign = entry("alice~carol", 1, "alice", json!({ "text": "a kestrel" }));
    let mut events = taken(&foreign).to_vec();
    events.extend(finds(1, std::slice::from_ref(&foreign)));
    has([&events[..], &[log(&[foreign])]].concat(), words);
    let create = entry(TEAM, 1, "alice", json!({ "kind": "create", "members": ["bob"] }));
    let said = entry(TEAM, 2, "alice", json!({ "text": "a kestrel" }));
    let leave = entry(TEAM, 3, "bob", json!({ "kind": "leave" }));
    let back = entry(TEAM, 4, "alice", json!({ "kind": "add", "user": "bob" }));
    let all = [create, said.clone(), leave, back];
    let found = |after: usize| {
        let mut events: Vec<Event> = all[..after].iter().flat_map(taken).collect();
        events.extend(finds(1, std::slice::from_ref(&said)));
        events.extend(all[after..].iter().flat_map(taken));
        events.push(log(&all));
        events
    };
    for after in [2, 4] {
        assert_eq!(judge(found(after)), [""; 0]);
    }
    has(found(3), words);
}

#[test]
fn a_search_that_is_no_plain_scan_is_found() {
    let shown = [text(1, "a kestrel"), text(2, "a bird"), text(3, "the kestrel")];
    let end = |places: &[(&str, u64)]| {
        let places = places.iter().map(|(room, seq)| (Room::from(*room), *seq)).collect();
        let entries = shown.to_vec();
        vec![
            log(&shown),
            Event::Shown { user: "bob".into(), room: ROOM.into(), entries },
            Event::Deed(Deed::FoundAll { user: "bob".into(), word: 0, places }),
        ]
    };
    assert_eq!(judge(end(&[(ROOM, 3), (ROOM, 1)])), [""; 0]);
    has(end(&[(ROOM, 3)]), "bob has alice~bob 1 not found by a search: kestrel");
    has(end(&[(ROOM, 3), (ROOM, 2), (ROOM, 1)]), "2 found by a search, and not by a scan");
    has(end(&[(ROOM, 3), (ROOM, 3), (ROOM, 1)]), "kestrel found twice");
}
