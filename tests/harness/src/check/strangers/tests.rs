//! Each planted fault of first messages is found, and a good run has none.

use serde_json::{Value, json};

use super::*;
use crate::history::SessionId;

const ROOM: &str = "alice~bob";

fn entry(seq: u64, from: &str, fields: Value) -> Entry {
    let mut frame = fields;
    frame["room"] = ROOM.into();
    frame["seq"] = seq.into();
    frame["from"] = from.into();
    frame["client_id"] = format!("{from}-{seq}").into();
    frame["ordinal"] = seq.into();
    Entry::read(&frame).expect("an entry")
}

fn text(seq: u64, from: &str) -> Entry {
    entry(seq, from, json!({ "text": format!("{from} {seq}") }))
}

/// It is sent, and taken.
fn taken(entry: &Entry) -> [Event; 2] {
    let sent = Event::Sent {
        device: format!("{}/phone", entry.from).into(),
        session: SessionId(1),
        room: entry.room.clone(),
        client_id: entry.client_id.clone().expect("an id"),
        text: entry.text,
        said: None,
    };
    let Event::Sent { device, session, room, client_id, .. } = sent.clone() else { panic!("sent") };
    [sent, Event::Acked { device, session, room, client_id, seq: entry.seq }]
}

fn refused(id: &str) -> [Event; 2] {
    let (device, client_id) = (Device::from("bob/phone"), id.into());
    let [sent, _] = taken(&text(99, "bob"));
    let Event::Sent { session, room, .. } = sent else { panic!("sent") };
    let client_id: crate::history::ClientId = client_id;
    let sent = Event::Sent {
        device: device.clone(),
        session,
        room,
        client_id: client_id.clone(),
        text: 1,
        said: None,
    };
    [sent, Event::Refused { device, client_id, code: "not_accepted".into(), temporary: false }]
}

fn log(entries: Vec<Entry>) -> Event {
    Event::Final { room: ROOM.into(), entries }
}

fn asked(number: u64, wanted: Wanted) -> [Event; 2] {
    let attempt = Attempt(SessionId(1), number);
    let done = Deed::Done { wanted: wanted.clone(), attempt };
    [Event::Deed(Deed::Asked { wanted, attempt }), Event::Deed(done)]
}

/// Alice wants to be asked, or not any more.
fn asks(number: u64, is_on: bool) -> [Event; 2] {
    asked(number, Wanted::AskStrangers { user: "alice".into(), is_on })
}

fn contact(number: u64, is_on: bool) -> [Event; 2] {
    asked(number, Wanted::Contact { user: "alice".into(), other: "bob".into(), is_on })
}

fn requests(user: &str, rooms: &[&str]) -> Event {
    let rooms = rooms.iter().map(|room| Room::from(*room)).collect();
    Event::Deed(Deed::Requests { user: user.into(), rooms })
}

fn looks(number: u64, is_shown: bool) -> [Event; 2] {
    let (user, room, attempt) = (|| "bob".into(), || ROOM.into(), Attempt(SessionId(9), number));
    let looks = Deed::Looks { user: user(), room: room(), attempt };
    [Event::Deed(looks), Event::Deed(Deed::Sees { user: user(), room: room(), attempt, is_shown })]
}

fn types(number: u64) -> [Event; 2] {
    asked(number, Wanted::Type { user: "alice".into(), room: ROOM.into() })
}

fn told_typing() -> Event {
    let (device, user) = ("bob/phone".into(), "alice".into());
    Event::Deed(Deed::TypingTold { device, room: ROOM.into(), user })
}

/// A new session, and what it sees.
fn sees_here(is_told: bool) -> Vec<Event> {
    let (device, session) = (|| Device::from("bob/phone"), SessionId(3));
    let seen = Event::Deed(Deed::SeenHere { device: device(), other: "alice".into() });
    let mut events = vec![
        Event::Closed { device: device(), session, code: None },
        Event::Opened { device: device(), session, cursor: None },
    ];
    events.extend(is_told.then_some(seen));
    events
}

fn judge(events: Vec<Event>) -> Vec<String> {
    let times = (0..events.len() as u64).map(|at| Duration::from_secs(30 * at)).collect();
    let history = History { events, times };
    let facts = Facts::gather(&history);
    let mut found = BTreeSet::new();
    super::check(&history, &facts, &Apart::gather(&history, &facts), &mut found);
    found.iter().map(ToString::to_string).collect()
}

fn has(events: Vec<Event>, words: &str) {
    let found = judge(events);
    assert!(found.iter().any(|it| it.contains(words)), "{words} is not in {found:#?}");
}

/// Bob says so much to Alice, who wants to be asked.
fn writes(count: u64) -> (Vec<Event>, Vec<Entry>) {
    let mut events: Vec<Event> = asks(1, true).into();
    let entries: Vec<Entry> = (1..=count).map(|seq| text(seq, "bob")).collect();
    events.extend(entries.iter().flat_map(taken));
    (events, entries)
}

#[test]
fn a_good_run_has_no_violation() {
    let (mut events, mut entries) = writes(ENTRIES_MAX);
    events.extend(refused("bob-more"));
    events.extend(looks(1, false));
    events.extend(types(2));
    events.extend(sees_here(false));
    events.push(requests("bob", &[]));
    events.push(requests("alice", &[ROOM]));
    // She answers: from then on everything is shown.
    let answer = text(21, "alice");
    events.extend(taken(&answer));
    let more = text(22, "bob");
    events.extend(taken(&more));
    events.extend(looks(2, true));
    events.extend(types(3));
    events.push(told_typing());
    events.extend(sees_here(true));
    events.push(requests("alice", &[]));
    entries.extend([answer, more]);
    events.push(log(entries));
    assert_eq!(judge(events), [""; 0]);
}

#[test]
fn more_than_a_stranger_may_say_is_found() {
    let (events, entries) = writes(ENTRIES_MAX + 1);
    has([&events[..], &[log(entries)]].concat(), "21 is of bob, whom alice has not accepted");
    // Who is a contact by then, or perhaps, may say more.
    for count in [1, 2] {
        let (mut events, entries) = writes(ENTRIES_MAX + 1);
        events.splice(2..2, contact(2, true).into_iter().take(count));
        assert_eq!(judge([&events[..], &[log(entries)]].concat()), [""; 0]);
    }
    // What is taken back may be.
    let (mut events, mut entries) = writes(ENTRIES_MAX);
    let delete = entry(21, "bob", json!({ "kind": "delete", "target": 1 }));
    events.extend(taken(&delete));
    entries.push(delete);
    assert_eq!(judge([&events[..], &[log(entries)]].concat()), [""; 0]);
}

#[test]
fn who_is_refused_though_nobody_has_to_accept_it_is_found() {
    let words = "refused, though nobody has to accept it";
    let (mut events, entries) = writes(ENTRIES_MAX - 1);
    events.extend(refused("bob-more"));
    has([&events[..], &[log(entries)]].concat(), words);
    for accepts in [contact(2, true), asks(2, false), taken(&text(21, "alice"))] {
        let (mut events, mut entries) = writes(ENTRIES_MAX);
        events.extend(accepts);
        events.extend(refused("bob-more"));
        entries.push(text(21, "alice"));
        has([&events[..], &[log(entries)]].concat(), words);
    }
    let wanted = Wanted::AskStrangers { user: "alice".into(), is_on: true };
    let refused = Deed::Refused { wanted, attempt: Attempt(SessionId(1), 7), code: "bad".into() };
    has([&asks(1, true)[..], &[Event::Deed(refused)]].concat(), "refused with bad");
}

#[test]
fn what_a_stranger_is_shown_of_a_request_is_found() {
    let (events, entries) = writes(1);
    let with = |more: Vec<Event>| [&events[..], &more, &[log(entries.clone())]].concat();
    has(with(looks(1, true).into()), "shown how far the other one has read it: true");
    has(with([&types(2)[..], &[told_typing()]].concat()), "that they type");
    has(with(sees_here(true)), "that they are here");
    has(with(vec![requests("alice", &[])]), "a request: false");
    has(with(vec![requests("bob", &[ROOM])]), "a request: true");
}

#[test]
fn what_is_not_shown_after_acceptance_is_found() {
    for accepts in [contact(2, true), asks(2, false), taken(&text(2, "alice"))] {
        let (mut events, entries) = writes(1);
        events.extend(accepts);
        let log = log([&entries[..], &[text(2, "alice")]].concat());
        let with = |more: Vec<Event>| [&events[..], &more, std::slice::from_ref(&log)].concat();
        has(with(looks(1, false).into()), "shown how far the other one has read it: false");
        has(with(vec![requests("alice", &[ROOM])]), "a request: true");
        assert_eq!(judge(with(looks(1, true).into())), [""; 0]);
        // What is seen by a session that began before is nothing new.
        assert_eq!(judge(with(sees_here(true))), [""; 0]);
    }
    // A contact that is none any more, before an answer: a request again.
    let (mut events, entries) = writes(1);
    events.extend(contact(2, true));
    events.extend(contact(3, false));
    let with = |more: Vec<Event>| [&events[..], &more, &[log(entries.clone())]].concat();
    has(with(looks(1, true).into()), "shown how far the other one has read it: true");
    assert_eq!(judge(with(looks(1, false).into())), [""; 0]);
}
