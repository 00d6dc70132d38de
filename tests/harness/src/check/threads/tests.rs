//! Each planted fault of a thread is found, and a good run has none.

use super::*;
use crate::check::check;
use crate::check::tests::number;
use crate::history::{Attempt, Said, SessionId};

const ROOM: &str = "alice~bob";

fn entry(seq: u64, from: &str, said: Said) -> Entry {
    Entry {
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
    }
}

fn reply(silent: bool) -> Said {
    Said { thread: Some(1), silent, ..Said::default() }
}

/// Bob begins a thread, in which Alice says four things: one is silent, and one she deletes.
fn log() -> Vec<Entry> {
    let mut log = vec![
        entry(1, "bob", Said::default()),
        entry(2, "alice", reply(false)),
        entry(3, "alice", reply(true)),
        entry(4, "alice", reply(false)),
        entry(5, "alice", reply(false)),
        entry(6, "alice", Said::default()),
    ];
    (log[3].act, log[3].text) = (Some(Box::new(Act::DeletedBy(6))), 0);
    (log[5].act, log[5].text) = (Some(Box::new(Act::Deletes(4))), 0);
    log[0].now = Some(Box::new(crate::history::Now {
        as_of: 6,
        replies: Some((3, 5)),
        ..Default::default()
    }));
    number(&mut log);
    log
}

fn said(number: u64, read: u64, follow: Option<bool>) -> [Event; 2] {
    let thread = Some(OfThread { root: 1, follow });
    let mark = Mark { room: ROOM.into(), user: "bob".into(), read, thread, ..Mark::default() };
    let attempt = Attempt(SessionId(1), number);
    [Event::MarkSent { mark: mark.clone(), attempt }, Event::MarkKept { mark, attempt }]
}

/// What Bob is told who has read the first entry by writing it.
fn followed() -> Followed {
    Followed { root: 1, replies: (3, 5), read: 1, unread: 2, unread_exact: true }
}

fn judge(said: &[[Event; 2]], threads: Vec<Followed>) -> Vec<String> {
    judge_log(log(), said, threads)
}

fn judge_log(log: Vec<Entry>, said: &[[Event; 2]], threads: Vec<Followed>) -> Vec<String> {
    let (user, room): (Arc<str>, Room) = ("bob".into(), ROOM.into());
    let mark = Mark { room: room.clone(), user: user.clone(), read: 1, ..Mark::default() };
    // The entries were there before anything was said of the thread.
    let mut events: Vec<Event> = said.iter().flatten().cloned().collect();
    events.push(Event::Final { room: room.clone(), entries: log });
    events.push(Event::FinalMark { mark });
    events.push(Event::Threads { user, room, threads });
    let found = check(&History { events, times: Vec::new() });
    let texts = found.iter().map(ToString::to_string);
    texts.filter(|text| text.starts_with("wrong count")).collect()
}

fn is_found(said: &[[Event; 2]], threads: Vec<Followed>, words: &str) {
    let found = judge(said, threads);
    assert!(found.len() == 1 && found[0].contains(words), "{words} is not in {found:#?}");
}

#[test]
fn a_good_run_has_no_violation() {
    assert_eq!(judge(&[], vec![followed()]), [""; 0]);
    let read = Followed { read: 2, unread: 1, ..followed() };
    assert_eq!(judge(&[said(1, 2, None)], vec![read]), [""; 0]);
    assert_eq!(judge(&[said(1, 0, Some(false))], Vec::new()), [""; 0]);
    let anew = [said(1, 0, Some(false)), said(2, 0, Some(true))];
    assert_eq!(judge(&anew, vec![Followed { read: 5, unread: 0, ..followed() }]), [""; 0]);
}

#[test]
fn a_wrong_count_of_a_thread_is_found() {
    // As if what was deleted or silent counted.
    is_found(&[], vec![Followed { unread: 3, ..followed() }], "2 unread");
    is_found(&[], vec![Followed { replies: (4, 5), ..followed() }], "not (3, 5)");
    is_found(&[], vec![Followed { replies: (3, 4), ..followed() }], "not (3, 5)");
}

#[test]
fn a_mark_of_a_thread_that_is_lost_or_that_nobody_said_is_found() {
    // The replies' acks are not in this history: an entry is known to be there by nothing else.
    let mut lost = log();
    for (entry, id) in lost.iter_mut().zip(["a", "b", "c", "d", "e", "f"]) {
        entry.client_id = Some(id.into());
    }
    let (user, room): (Arc<str>, Room) = ("bob".into(), ROOM.into());
    let (device, session) = (crate::history::Device::from("alice/phone"), SessionId(2));
    let (client_id, seq) = (crate::history::ClientId::from("b"), 2);
    let sent = Event::Sent {
        device: device.clone(),
        session,
        room: room.clone(),
        client_id: client_id.clone(),
        text: 2,
        said: Some(Box::new(reply(false))),
    };
    let acked = Event::Acked { device, session, room: room.clone(), client_id, seq };
    let mut events = vec![sent, acked];
    events.extend(said(1, 5, None));
    let mark = Mark { room: room.clone(), user: user.clone(), read: 1, ..Mark::default() };
    events.push(Event::Final { room: room.clone(), entries: lost });
    events.push(Event::FinalMark { mark });
    events.push(Event::Threads { user, room, threads: vec![followed()] });
    let found = check(&History { events, times: Vec::new() });
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(found.iter().any(|it| it.contains("read up to 1, not 5 to 5")), "{found:#?}");
    let forged = Followed { read: 5, unread: 0, ..followed() };
    is_found(&[], vec![forged], "read up to 5, not 1 to 1");
}

#[test]
fn a_thread_that_is_followed_or_left_against_what_was_answered_is_found() {
    is_found(&[], Vec::new(), "no thread 1, which they follow");
    is_found(&[said(1, 0, Some(false))], vec![followed()], "the thread 1, which they do not");
    let anew = [said(1, 0, Some(false)), said(2, 0, Some(true))];
    is_found(&anew, Vec::new(), "no thread 1, which they follow");
    // Of what was underway at once each order is allowed for.
    let [[a, b], [c, d]] = anew;
    let at_once = [[a, c], [b, d]];
    assert_eq!(judge(&at_once, Vec::new()), [""; 0]);
    assert_eq!(judge(&at_once, vec![followed()]), [""; 0]);
}

#[test]
fn who_has_left_follows_no_thread_that_goes_on_without_them() {
    use crate::history::Change;
    let mut left = log();
    left[0].change = Some(Box::new(Change::Joined(vec!["alice".into(), "bob".into()])));
    let mut there = left.clone();
    // Bob leaves before the first reply, or after the last one.
    let leave = |entry: &mut Entry| entry.change = Some(Box::new(Change::Left("bob".into())));
    let mut first = entry(2, "bob", Said::default());
    leave(&mut first);
    first.text = 0;
    left[1] = first;
    leave(&mut there[5]);
    left.truncate(2);
    left.push(entry(3, "alice", reply(false)));
    number(&mut left);
    let one = Followed { replies: (1, 3), unread: 1, read: 2, ..followed() };
    assert_eq!(judge_log(left.clone(), &[], Vec::new()), [""; 0]);
    let found = judge_log(left, &[], vec![one]);
    assert!(found.iter().any(|it| it.contains("the thread 1, which they do not")), "{found:?}");
    let found = judge_log(there, &[], Vec::new());
    assert!(found.iter().any(|it| it.contains("no thread 1, which they follow")), "{found:?}");
}
