//! Each planted fault of a file is found, and a good run has none.

use serde_json::{Value, json};

use super::*;
use crate::history::{Entry, Said, SessionId};

const ROOM: &str = "alice~bob";
const FILE: &str = "01kfile";

fn entry(seq: u64, from: &str, fields: Value) -> Entry {
    let mut frame = fields;
    for (name, value) in [("room", json!(ROOM)), ("seq", json!(seq)), ("from", json!(from))] {
        frame[name] = value;
    }
    (frame["client_id"], frame["ordinal"]) = (format!("{from}-{seq}").into(), seq.into());
    Entry::read(&frame).expect("an entry")
}

fn message() -> Entry {
    entry(1, "alice", json!({ "kind": "file", "text": "see this", "files": [{ "id": FILE }] }))
}

fn delete() -> Entry {
    entry(2, "alice", json!({ "kind": "delete", "target": 1 }))
}

fn sent(entry: &Entry) -> Event {
    Event::Sent {
        device: format!("{}/phone", entry.from).into(),
        session: SessionId(1),
        room: entry.room.clone(),
        client_id: entry.client_id.clone().expect("an id"),
        text: entry.text,
        said: entry.said.clone(),
    }
}

fn acked(entry: &Entry) -> Event {
    let Event::Sent { device, session, room, client_id, .. } = sent(entry) else { panic!("sent") };
    Event::Acked { device, session, room, client_id, seq: entry.seq }
}

fn uploaded(is_as_sent: bool) -> Event {
    let (user, file, sha256) = ("alice".into(), FILE.into(), "9f86".into());
    Event::Deed(Deed::Uploaded { user, file, sha256, is_as_sent })
}

fn whole(sha256: &str) -> Got {
    Got::Whole(sha256.into())
}

fn fetches(number: u64) -> Event {
    let (user, room) = ("bob".into(), ROOM.into());
    Event::Deed(Deed::Fetches { user, room, seq: 1, attempt: Attempt(SessionId(3), number) })
}

fn fetched(number: u64, user: &str, got: Got) -> Event {
    let (user, room, file) = (user.into(), ROOM.into(), FILE.into());
    let attempt = Attempt(SessionId(3), number);
    Event::Deed(Deed::Fetched { user, room, seq: 1, file, attempt, got })
}

fn bob(number: u64, got: Got) -> [Event; 2] {
    [fetches(number), fetched(number, "bob", got)]
}

fn log(entries: &[Entry]) -> Event {
    Event::Final { room: ROOM.into(), entries: entries.to_vec() }
}

/// It is uploaded, sent, and kept.
fn begin() -> Vec<Event> {
    vec![uploaded(true), sent(&message()), acked(&message())]
}

fn judge(events: Vec<Event>) -> Vec<String> {
    let history = History { events, times: Vec::new() };
    let mut found = BTreeSet::new();
    super::check(&history, &Facts::gather(&history), &mut found);
    found.iter().map(ToString::to_string).collect()
}

fn has(more: Vec<Event>, words: &str) {
    let found = judge([begin(), more].concat());
    assert!(found.iter().any(|it| it.contains(words)), "{words} is not in {found:#?}");
}

#[test]
fn a_good_run_has_no_violation() {
    let mut events = begin();
    events.extend(bob(1, whole("9f86")));
    events.extend([log(&[message()]), Event::Deed(Deed::FilesRead)]);
    events.extend(bob(2, whole("9f86")));
    assert_eq!(judge(events), [""; 0]);
    // While it is deleted, it is there or not; afterwards it is not.
    let mut events = begin();
    events.push(sent(&delete()));
    events.extend([bob(1, whole("9f86")), bob(2, Got::NotFound)].concat());
    events.push(acked(&delete()));
    events.extend(bob(3, Got::NotFound));
    let gone = entry(1, "alice", json!({ "kind": "deleted", "by": 2 }));
    events.extend([log(&[gone, delete()]), Event::Deed(Deed::FilesRead)]);
    assert_eq!(judge(events), [""; 0]);
}

#[test]
fn other_bytes_are_found() {
    has([log(&[message()])].into_iter().chain(bob(1, whole("0000"))).collect(), "other bytes");
    let half = Got::Broken("half of its bytes".to_owned());
    has([log(&[message()])].into_iter().chain(bob(1, half)).collect(), "half of its bytes");
    has(vec![uploaded(false)], "told as other bytes than were sent");
}

#[test]
fn a_file_that_is_lost_is_found() {
    let end = [log(&[message()]), Event::Deed(Deed::FilesRead)];
    has(end.to_vec(), "no file 01kfile of 1 in the end");
    has([&bob(1, Got::NotFound)[..], &end].concat(), "not the file of 1, which is there");
    // An upload that was finished may be sent, unless it was discarded.
    let other =
        entry(7, "alice", json!({ "kind": "file", "text": "x", "files": [{ "id": FILE }] }));
    let (device, client_id) = ("alice/phone".into(), other.client_id.clone().expect("an id"));
    let refused = Event::Refused { device, client_id, code: "not_found".into(), temporary: false };
    has(vec![sent(&other), refused.clone()], "refused, though [\"01kfile\"] were uploaded");
    let discards = Event::Deed(Deed::Discards { user: "alice".into(), file: FILE.into() });
    assert_eq!(judge([begin(), vec![discards, sent(&other), refused]].concat()), [""; 0]);
}

#[test]
fn a_file_that_is_shown_to_whom_it_must_not_be_is_found() {
    let with_log = |mut events: Vec<Event>| {
        events.push(log(&[message(), delete()]));
        events
    };
    let mut events = vec![sent(&delete()), acked(&delete())];
    events.extend(bob(1, whole("9f86")));
    has(with_log(events), "the file of 1, which was deleted");
    let carol = vec![fetches(1), fetched(1, "carol", whole("9f86"))];
    has(with_log(carol), "the file of 1, which they may not see");
    let refused = vec![fetches(1), fetched(1, "carol", Got::NotFound)];
    assert_eq!(judge(with_log([begin(), refused].concat())), [""; 0]);
}

#[test]
fn an_entry_says_which_files_were_sent() {
    let said = |files: &[&str]| {
        let files = files.iter().map(|file| (*file).into()).collect();
        Some(Box::new(Said { files, ..Said::default() }))
    };
    assert_eq!(message().said, said(&[FILE]));
    assert_eq!(message().files(), [FILE.into()]);
}
