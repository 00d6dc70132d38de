//! Each planted fault is found, and a good run has none.

use super::super::check;
use super::super::tests::number;
use super::*;
use crate::history::{SessionId, hash};

const ROOM: &str = "alice~bob";

fn entry(seq: u64, from: &str, text: &str) -> Entry {
    Entry {
        room: ROOM.into(),
        seq,
        from: from.into(),
        client_id: None,
        digest: seq,
        text: if text.is_empty() { 0 } else { hash(text) },
        ordinal: seq,
        said: None,
        time_ms: 0,
        change: None,
        act: None,
        rules: Vec::new(),
        now: None,
        words: 0,
    }
}

fn act(seq: u64, from: &str, text: &str, act: Act) -> Entry {
    Entry { act: Some(Box::new(act)), ..entry(seq, from, text) }
}

fn reacts(seq: u64, from: &str, target: u64, is_on: bool) -> Entry {
    act(seq, from, "", Act::Reacts(target, "+".into(), is_on))
}

/// What is sent, as it comes on a socket: the first message is edited twice, and has two reactions, of
/// which one is taken off; the second one is deleted with its edit.
fn pushed() -> Vec<Entry> {
    vec![
        entry(1, "alice", "one"),
        entry(2, "bob", "two"),
        act(3, "alice", "one!", Act::Edits(1)),
        reacts(4, "bob", 1, true),
        act(5, "bob", "two!", Act::Edits(2)),
        reacts(6, "alice", 1, true),
        act(7, "bob", "", Act::Deletes(2)),
        act(8, "alice", "one!!", Act::Edits(1)),
        reacts(9, "alice", 1, false),
    ]
}

/// What a history shows of it in the end.
fn shown(user: &str) -> Vec<Entry> {
    let mut all = pushed();
    let reactions = vec![("+".to_owned(), 1, user == "bob")];
    let now = Now { as_of: 9, edits: vec![3, 8], reactions, ..Now::default() };
    all[0] = Entry { now: Some(Box::new(now)), ..entry(1, "alice", "one!!") };
    all[1] = act(2, "bob", "", Act::DeletedBy(7));
    all[4] = act(5, "bob", "", Act::DeletedBy(7));
    number(&mut all);
    all
}

fn by(user: &str, entries: Vec<Entry>) -> Event {
    Event::Shown { user: user.into(), room: ROOM.into(), entries }
}

fn received(entry: Entry) -> Event {
    Event::Received { device: "bob/phone".into(), session: SessionId(1), entry }
}

fn loaded(entry: Entry) -> Event {
    Event::Loaded { device: "bob/phone".into(), entry }
}

fn judge(events: Vec<Event>) -> Vec<String> {
    let whole = Event::Final { room: ROOM.into(), entries: shown("alice") };
    let settled = Event::Settled { device: "bob/phone".into(), room: ROOM.into() };
    let events = events.into_iter().chain([whole, settled]).collect();
    let found = check(&History { events, times: Vec::new() });
    found.iter().map(ToString::to_string).collect()
}

fn is_wrong(events: Vec<Event>, words: &str) {
    let found = judge(events);
    assert!(found.len() == 1 && found[0].contains(words), "{found:#?}");
}

#[test]
fn a_good_run_has_no_violation() {
    let live = || pushed().into_iter().map(received);
    assert_eq!(
        judge(live().chain([by("alice", shown("alice")), by("bob", shown("bob"))]).collect()),
        [""; 0]
    );
    // A device that loads all, and one that loads some and is told the rest.
    assert_eq!(judge(shown("bob").into_iter().map(loaded).collect()), [""; 0]);
    let reactions = vec![("+".into(), 1, true)];
    let now = Now { as_of: 4, edits: vec![3], reactions, ..Now::default() };
    let first = Entry { now: Some(Box::new(now)), ..entry(1, "alice", "one!") };
    let rest = live().skip(4);
    let mut some: Vec<Event> = vec![loaded(first), loaded(pushed()[1].clone())];
    some.extend(pushed()[2..4].iter().cloned().map(loaded));
    assert_eq!(judge(some.into_iter().chain(rest).collect()), [""; 0]);
}

#[test]
fn a_wrong_count_is_found() {
    let mut wrong = shown("bob");
    wrong[0].now.as_mut().expect("shown").reactions[0].1 = 2;
    let all = || pushed().into_iter().map(received);
    is_wrong(all().chain([by("bob", wrong)]).collect(), "bob has alice~bob 1 with the reactions");
    let mut own = shown("bob");
    own[0].now.as_mut().expect("shown").reactions[0].2 = false;
    is_wrong(all().chain([by("bob", own)]).collect(), "a wrong word on their own");
    // The device was told of a reaction that nobody else has.
    let mut twice: Vec<Event> = shown("bob").into_iter().map(loaded).collect();
    let Event::Loaded { entry, .. } = &mut twice[0] else { panic!("loaded") };
    entry.now.as_mut().expect("shown").as_of = 5;
    is_wrong(twice, "bob/phone has alice~bob 1 with the edits");
}

#[test]
fn a_deletion_that_does_not_last_is_found() {
    let mut text = shown("bob");
    text[1] = pushed()[1].clone();
    let all = || pushed().into_iter().map(received);
    is_wrong(all().chain([by("bob", text)]).collect(), "2 though 7 deletes it");
    let mut edit = shown("bob");
    edit[4] = pushed()[4].clone();
    is_wrong(all().chain([by("bob", edit)]).collect(), "5 with the text of an edit");
    // The device keeps what the deletion should have taken.
    let kept = pushed().into_iter().filter(|entry| entry.seq != 7).map(received);
    let found = judge(kept.collect());
    assert!(found.iter().any(|it| it.contains("bob/phone has alice~bob 2 though")), "{found:#?}");
}

#[test]
fn a_lost_edit_is_found() {
    let mut lost = shown("bob");
    lost[0].now.as_mut().expect("shown").edits.pop();
    lost[0].text = hash("one!");
    let all = || pushed().into_iter().map(received);
    is_wrong(all().chain([by("bob", lost)]).collect(), "with the edits [3], not [3, 8]");
    let missed = pushed().into_iter().filter(|entry| entry.seq != 8).map(received);
    let found = judge(missed.collect());
    assert!(found.iter().any(|it| it.contains("with the edits [3], not [3, 8]")), "{found:#?}");
}

#[test]
fn frames_are_told_apart_by_what_never_changes() {
    let read = |json: serde_json::Value| Entry::read_shown(&json, 9).expect("an entry");
    let frame = |more: serde_json::Value| {
        let mut frame = serde_json::json!({
            "type": "entry", "room": ROOM, "seq": 1, "ordinal": 1, "from": "alice", "time": 5,
        });
        let fields = frame.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        frame
    };
    let taken = read(frame(serde_json::json!({ "kind": "message", "text": "x" })));
    let now = read(frame(serde_json::json!({
        "kind": "message", "text": "y", "edited_at": 7, "edits": [2],
        "reactions": [{ "emoji": "+", "count": 1, "own": true }],
    })));
    let left = read(frame(serde_json::json!({ "kind": "deleted", "by": 3 })));
    assert!(taken.digest == now.digest && taken.digest == left.digest);
    assert!(taken.is_as_taken() && !now.is_as_taken() && !left.is_as_taken());
    assert_eq!(now.now.expect("shown").reactions, [("+".to_owned(), 1, true)]);
    let other = frame(serde_json::json!({ "kind": "message", "text": "x", "ordinal": 2 }));
    assert_ne!(taken.digest, read(other).digest);
}
