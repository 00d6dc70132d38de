//! Each planted fault of what a device is told of a thread is found, and a good run has none.

use super::*;
use crate::check::check;
use crate::check::tests::number;
use crate::history::{Cursor, Entry, Said, SessionId};

const ROOM: &str = "alice~bob";

/// Bob says something, and Alice answers in a thread, three times.
fn log() -> Vec<Entry> {
    let reply = Said { thread: Some(1), ..Said::default() };
    let entry = |(seq, from, said): (u64, &str, Said)| Entry {
        room: ROOM.into(),
        seq,
        from: from.into(),
        client_id: None,
        digest: seq,
        text: seq,
        ordinal: 0,
        said: (said != Said::default()).then(|| Box::new(said)),
        time_ms: 0,
        change: None,
        act: None,
        rules: Vec::new(),
        now: None,
        words: 0,
    };
    let rows = [("bob", Said::default()), ("alice", reply.clone()), ("alice", reply.clone())];
    let rows = rows.into_iter().chain([("alice", reply)]).zip(1..);
    let mut log: Vec<Entry> = rows.map(|((from, said), seq)| entry((seq, from, said))).collect();
    log[0].now = Some(Box::new(crate::history::Now {
        as_of: 4,
        replies: Some((3, 4)),
        ..Default::default()
    }));
    number(&mut log);
    log
}

fn told(device: &str, read: u64, following: bool) -> Event {
    let thread = Some(OfThread { root: 1, follow: Some(following) });
    let mark = Mark { room: ROOM.into(), user: "bob".into(), read, thread, ..Mark::default() };
    Event::MarkTold { device: device.into(), mark }
}

fn cursor(number: u64) -> Cursor {
    format!("{:016x}.{number:024x}", 7).into()
}

fn at_cursor() -> Event {
    Event::Cursor { device: "bob/phone".into(), session: SessionId(1), cursor: cursor(1) }
}

fn opened() -> Event {
    let cursor = Some(cursor(1));
    Event::Opened { device: "bob/phone".into(), session: SessionId(2), cursor }
}

fn followed(read: u64, unread: u64) -> Followed {
    Followed { root: 1, replies: (3, 4), read, unread, unread_exact: true }
}

/// Bob is made to follow the thread, and reads it up to 3.
fn good() -> Vec<Event> {
    let (device, room): (Device, Room) = ("bob/phone".into(), ROOM.into());
    let (session, user): (_, Arc<str>) = (SessionId(1), "bob".into());
    let received = |mut entry: Entry| {
        entry.now = None;
        Event::Received { device: device.clone(), session, entry }
    };
    let mut events: Vec<Event> = log().into_iter().map(received).collect();
    let thread = Some(OfThread { root: 1, follow: None });
    let (room_of, attempt) = (room.clone(), crate::history::Attempt(session, 1));
    let mark = Mark { room: room_of, user: user.clone(), read: 3, thread, ..Mark::default() };
    events.push(told("bob/phone", 1, true));
    events.push(Event::MarkSent { mark: mark.clone(), attempt });
    events.push(Event::MarkKept { mark, attempt });
    events.push(told("bob/phone", 3, true));
    let last = Mark { room: room.clone(), user: user.clone(), read: 1, ..Mark::default() };
    events.extend([
        Event::Final { room: room.clone(), entries: log() },
        Event::FinalMark { mark: last },
        Event::Threads { user, room: room.clone(), threads: vec![followed(3, 1)] },
        Event::Settled { device, room },
    ]);
    events
}

fn judge(events: Vec<Event>) -> Vec<String> {
    let found = check(&History { events, times: Vec::new() });
    let texts = found.iter().map(ToString::to_string);
    texts.filter(|text| text.contains("thread")).collect()
}

/// The good run with other events in the place of the last word on the thread.
fn with(by: impl IntoIterator<Item = Event>) -> Vec<String> {
    let (mut events, last) = (good(), told("bob/phone", 3, true));
    let index = events.iter().rposition(|event| *event == last).expect("the last word");
    events.splice(index..=index, by);
    judge(events)
}

fn is_found(by: impl IntoIterator<Item = Event>, words: &str) {
    let found = with(by);
    assert!(found.len() == 1 && found[0].contains(words), "{words} is not in {found:#?}");
}

#[test]
fn a_good_run_has_no_violation() {
    let last = || told("bob/phone", 3, true);
    assert_eq!(with([last()]), [""; 0]);
    assert_eq!(with([at_cursor(), last(), opened(), last()]), [""; 0]);
    let threads = vec![followed(3, 1)];
    let loaded = Event::ThreadsLoaded { device: "bob/phone".into(), room: ROOM.into(), threads };
    assert_eq!(with([opened(), loaded]), [""; 0]);
    // A frame is at least as new as what is loaded after it.
    let threads = vec![followed(1, 3)];
    let older = Event::ThreadsLoaded { device: "bob/phone".into(), room: ROOM.into(), threads };
    assert_eq!(with([last(), older]), [""; 0]);
}

#[test]
fn a_device_that_lacks_a_mark_of_a_thread_is_found() {
    is_found([], "the thread 1 read up to 1, not 3");
    is_found([at_cursor(), told("bob/phone", 3, true), opened()], "read up to 1, not 3");
    is_found([told("bob/phone", 4, true)], "read up to 4, not 3");
}

#[test]
fn a_device_that_does_not_know_what_is_followed_is_found() {
    is_found([told("bob/phone", 3, false)], "no thread 1, which they follow");
    let (device, room) = ("bob/phone".into(), ROOM.into());
    let events = [opened(), Event::ThreadsLoaded { device, room, threads: Vec::new() }];
    is_found(events, "no thread 1, which they follow");
    let mut events = good();
    for event in &mut events {
        if let Event::Threads { threads, .. } = event {
            threads.clear();
        }
    }
    let found = judge(events);
    let words = "bob/phone has for bob in alice~bob the thread 1, which they do not follow";
    assert!(found.iter().any(|it| it.contains(words)), "{found:#?}");
}

#[test]
fn a_wrong_count_of_what_is_unread_in_a_thread_is_found() {
    let mut events = good();
    let reply = |event: &&Event| matches!(event, Event::Received { entry, .. } if entry.seq == 4);
    let index = events.iter().position(|event| reply(&event)).expect("the last reply");
    let Event::Received { entry, .. } = &mut events[index] else { return };
    entry.said = Some(Box::new(Said { thread: Some(1), silent: true, ..Said::default() }));
    let found = judge(events);
    assert!(found.iter().any(|it| it.contains("0 unread in the thread 1, not 1")), "{found:#?}");
}

#[test]
fn a_device_that_is_told_of_anothers_threads_is_found() {
    let last = told("bob/phone", 3, true);
    is_found([last, told("alice/phone", 3, true)], "a thread that is not theirs");
}
