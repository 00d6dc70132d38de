//! Each planted fault of what is unread is found, and a good run has none.

use super::*;
use crate::check::check;
use crate::check::tests::number;
use crate::history::{Act, Attempt, Entry, Said, SessionId};

const ROOM: &str = "alice~bob";

fn entry(seq: u64, from: &str, act: Option<Act>, said: Said) -> Entry {
    Entry {
        room: ROOM.into(),
        seq,
        from: from.into(),
        client_id: None,
        digest: seq,
        text: match act {
            None | Some(Act::Edits(_)) => seq,
            Some(_) => 0,
        },
        ordinal: 0,
        said: (said != Said::default()).then(|| Box::new(said)),
        time_ms: 0,
        change: None,
        act: act.map(Box::new),
        rules: Vec::new(),
        now: None,
        words: 0,
    }
}

fn names(users: &[&str]) -> Said {
    Said { mentions: users.iter().map(|user| (*user).into()).collect(), ..Said::default() }
}

/// As it is taken: Bob reads the first one. Then Alice says something, something silent that mentions him, something in a thread, and what
/// she deletes; she mentions him, and edits her first message so that it does.
fn taken() -> Vec<Entry> {
    let silent = Said { silent: true, ..names(&["bob"]) };
    let reply = Said { thread: Some(1), ..Said::default() };
    let mut log = vec![
        entry(1, "alice", None, Said::default()),
        entry(2, "alice", None, Said::default()),
        entry(3, "alice", None, silent),
        entry(4, "alice", None, reply),
        entry(5, "alice", None, names(&["bob"])),
        entry(6, "alice", None, names(&["bob"])),
        entry(7, "alice", Some(Act::Deletes(5)), Said::default()),
        entry(8, "alice", Some(Act::Edits(1)), names(&["bob"])),
    ];
    number(&mut log);
    log
}

/// As a history shows it in the end.
fn shown() -> Vec<Entry> {
    let mut log = taken();
    (log[4].act, log[4].text) = (Some(Box::new(Act::DeletedBy(7))), 0);
    log[4].said = None;
    log[0].text = 8;
    log[0].said = Some(Box::new(names(&["bob"])));
    for at in [0, 1, 2, 3, 5] {
        let edits = if at == 0 { vec![8] } else { Vec::new() };
        let replies = (at == 0).then_some((1, 4));
        let now = crate::history::Now { as_of: 8, edits, replies, ..Default::default() };
        log[at].now = Some(Box::new(now));
    }
    log
}

fn mark(read: u64, unread_from: u64) -> Mark {
    Mark { room: ROOM.into(), user: "bob".into(), read, unread_from, ..Mark::default() }
}

fn kept(number: u64, mark: &Mark) -> [Event; 2] {
    let (mark, attempt) = (mark.clone(), Attempt(SessionId(1), number));
    [Event::MarkSent { mark: mark.clone(), attempt }, Event::MarkKept { mark, attempt }]
}

fn received(entry: &Entry) -> Event {
    let (device, session) = ("bob/phone".into(), SessionId(1));
    Event::Received { device, session, entry: entry.clone() }
}

fn told(mark: Mark, read_ordinal: u64) -> Event {
    let mark = Mark { read_ordinal: Some(read_ordinal), ..mark };
    Event::MarkTold { device: "bob/phone".into(), mark }
}

/// The end of a run in which Bob has read up to `read`.
fn end(read: u64, listed: Listed) -> Vec<Event> {
    let (user, room): (Arc<str>, Room) = ("bob".into(), ROOM.into());
    let mut events = vec![Event::Final { room: room.clone(), entries: shown() }];
    events.push(Event::FinalMark { mark: mark(read, 0) });
    events.push(Event::Listed { user, room: room.clone(), listed });
    events.push(Event::Settled { device: "bob/phone".into(), room });
    events
}

/// What the list says where Bob has read the first entry.
fn listed() -> Listed {
    let (seq, ordinal, read, read_ordinal) = (8, 4, 1, 1);
    let (unread, mentions) = (2, 2);
    Listed {
        seq,
        ordinal,
        read,
        read_ordinal,
        unread_from: 0,
        unread,
        unread_exact: true,
        mentions,
        ..Listed::default()
    }
}

fn good() -> Vec<Event> {
    let mut events: Vec<Event> = taken().iter().map(received).collect();
    events.extend(kept(1, &mark(1, 0)));
    events.push(told(mark(1, 0), 1));
    events
}

fn judge(events: Vec<Event>) -> Vec<String> {
    let found = check(&History { events, times: Vec::new() });
    found.iter().map(ToString::to_string).collect()
}

fn is_found(events: Vec<Event>, words: &str) {
    let found = judge(events);
    assert!(found.iter().any(|it| it.contains(words)), "{words} is not in {found:#?}");
}

fn ends(mut events: Vec<Event>, read: u64, listed: Listed) -> Vec<Event> {
    events.extend(end(read, listed));
    events
}

#[test]
fn a_good_run_has_no_violation() {
    assert_eq!(judge(ends(good(), 1, listed())), [""; 0]);
    // A device that loads all, and is not told by which text the edited message mentions.
    let mut events: Vec<Event> = kept(1, &mark(1, 0)).into();
    let (device, room): (Device, Room) = ("bob/phone".into(), ROOM.into());
    events.push(Event::ListLoaded { device: device.clone(), room, listed: listed() });
    events.push(Event::MarkTold { device: device.clone(), mark: mark(1, 0) });
    let loaded = |entry| Event::Loaded { device: device.clone(), entry };
    events.extend(shown().into_iter().map(loaded));
    assert_eq!(judge(ends(events, 1, listed())), [""; 0]);
}

#[test]
fn a_wrong_count_in_the_list_is_found() {
    let with = |change: fn(&mut Listed)| {
        let mut listed = listed();
        change(&mut listed);
        ends(good(), 1, listed)
    };
    // As if what was deleted, what is silent or the reply counted.
    is_found(with(|it| it.unread = 3), "the service has for bob in alice~bob 3 unread, not 2");
    is_found(with(|it| it.unread = 1), "1 unread, not 2");
    is_found(with(|it| (it.unread, it.unread_exact) = (1, false)), "1 unread, not 2");
    is_found(with(|it| it.mentions = 3), "the mentions 3, not 2");
    is_found(with(|it| it.mentions = 1), "the mentions 1, not 2");
    is_found(with(|it| it.read_ordinal = 0), "the read_ordinal 0, not 1");
    is_found(with(|it| it.read = 0), "the read 0, not 1");
    is_found(with(|it| it.ordinal = 5), "the ordinal 5, not 4");
    let lost = ends(good(), 1, listed()).into_iter().map(|event| match event {
        Event::Listed { user, listed, .. } => {
            Event::Listed { user, room: "bob~carol".into(), listed }
        }
        event => event,
    });
    is_found(lost.collect(), "no such room in the list");
    let at_most = with(|it| (it.unread, it.unread_exact) = (3, false));
    assert_eq!(judge(at_most), [""; 0]);
}

#[test]
fn an_ordinal_that_counts_what_does_not_count_is_found() {
    let events = ends(good(), 1, listed()).into_iter().map(|event| match event {
        Event::Final { room, mut entries } => {
            entries.iter_mut().skip(3).for_each(|entry| entry.ordinal += 1);
            Event::Final { room, entries }
        }
        event => event,
    });
    is_found(events.collect(), "the ordinal 3 at 4, not 2");
}

#[test]
fn a_device_that_counts_otherwise_is_found() {
    let without = |seq: u64| {
        let events = good().into_iter().filter(
            move |event| !matches!(event, Event::Received { entry, .. } if entry.seq == seq),
        );
        events.collect::<Vec<_>>()
    };
    // The deletion came to it as another entry.
    let mut resurrected = without(7);
    resurrected.push(received(&entry(7, "alice", Some(Act::Pins(1, true)), Said::default())));
    is_found(ends(resurrected, 1, listed()), "bob/phone has for bob in alice~bob 3 unread, not 2");
    let mut unnamed = without(6);
    let mut six = taken().remove(5);
    six.said = None;
    unnamed.push(received(&six));
    is_found(ends(unnamed, 1, listed()), "1 to 1 mentions, not 2");
    let mut wrong_frame = good();
    wrong_frame.pop();
    wrong_frame.push(told(mark(1, 0), 2));
    is_found(ends(wrong_frame, 1, listed()), "the read_ordinal 2, not 1, in the frame");
    let mut lost = good();
    lost.pop();
    is_found(ends(lost, 1, listed()), "bob/phone has for bob in alice~bob Own");
}

/// Bob has read all, and wants it to be unread from 6 on.
fn unread() -> (Vec<Event>, Listed) {
    let mut events = good();
    events.extend(kept(2, &mark(8, 0)));
    events.push(told(mark(8, 0), 4));
    events.extend(kept(3, &mark(0, 6)));
    events.push(told(mark(8, 6), 3));
    let (read, read_ordinal, unread_from) = (8, 3, 6);
    (events, Listed { read, read_ordinal, unread_from, unread: 1, mentions: 2, ..listed() })
}

#[test]
fn a_lost_mark_of_unread_is_found() {
    let (events, listed) = unread();
    assert_eq!(judge(ends(events.clone(), 8, listed.clone())), [""; 0]);
    let (read_ordinal, unread, mentions) = (4, 0, 0);
    let lost = Listed { unread_from: 0, read_ordinal, unread, mentions, ..listed };
    is_found(
        ends(events.clone(), 8, lost.clone()),
        "unread_from 0 in the end, against what was answered of 6",
    );
    is_found(ends(events.clone(), 8, lost.clone()), "bob/phone has for bob in alice~bob Own");
    // A later read ends it, or one that was underway at the same time.
    let mut over = events.clone();
    over.extend(kept(4, &mark(7, 0)));
    over.push(told(mark(8, 0), 4));
    assert_eq!(judge(ends(over, 8, lost.clone())), [""; 0]);
    let [sent, done] = kept(4, &mark(7, 0));
    let mut over = vec![sent];
    over.extend(events);
    over.extend([done, told(mark(8, 0), 4)]);
    assert_eq!(judge(ends(over, 8, lost)), [""; 0]);
}

#[test]
fn a_mark_of_unread_that_is_over_or_that_nobody_said_is_found() {
    let (mut events, listed) = unread();
    let other =
        Listed { unread_from: 5, read_ordinal: 2, unread: 1, mentions: 2, ..listed.clone() };
    is_found(ends(events.clone(), 8, other), "unread_from 5 in the end");
    events.extend(kept(4, &mark(8, 0)));
    is_found(ends(events, 8, listed), "unread_from 6 in the end");
}
