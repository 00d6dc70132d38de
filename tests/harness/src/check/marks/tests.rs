//! Each planted fault of a mark is found, and a good run has none.

use super::*;
use crate::check::check;
use crate::check::tests::number;
use crate::history::{Act, Attempt, OfThread, Said, SessionId};

const ROOM: &str = "alice~bob";
const GROUP: &str = "team";

fn mark(room: &str, user: &str, read: u64, delivered: u64) -> Mark {
    Mark { room: room.into(), user: user.into(), read, delivered, ..Mark::default() }
}

fn of_bob(read: u64, delivered: u64) -> Mark {
    mark(ROOM, "bob", read, delivered)
}

fn told(device: &str, mark: Mark) -> Event {
    Event::MarkTold { device: device.into(), mark }
}

fn kept(read: u64, delivered: u64) -> Vec<Event> {
    let mark = of_bob(read, delivered);
    let attempt = Attempt(SessionId(1), read);
    vec![Event::MarkSent { mark: mark.clone(), attempt }, Event::MarkKept { mark, attempt }]
}

fn settled(device: &str, room: &str) -> Event {
    Event::Settled { device: device.into(), room: room.into() }
}

fn cursor(number: u64) -> Cursor {
    format!("{:016x}.{number:024x}", 7).into()
}

fn at_cursor(device: &str, number: u64) -> Event {
    Event::Cursor { device: device.into(), session: SessionId(1), cursor: cursor(number) }
}

fn opened(device: &str, number: u64) -> Event {
    let cursor = Some(cursor(number));
    Event::Opened { device: device.into(), session: SessionId(2), cursor }
}

/// An entry of Alice's.
fn entry(seq: u64, change: Option<Change>, act: Option<Act>, text: u64) -> Entry {
    Entry {
        room: ROOM.into(),
        seq,
        from: "alice".into(),
        client_id: None,
        digest: seq,
        text,
        ordinal: seq,
        said: None,
        time_ms: 0,
        change: change.map(Box::new),
        act: act.map(Box::new),
        rules: Vec::new(),
        now: None,
        words: 0,
    }
}

/// Bob reads up to 5 of a room in which Alice has written up to 3, and edited it.
fn good() -> Vec<Event> {
    let mut entries: Vec<Entry> = (1..=3).map(|seq| entry(seq, None, None, seq)).collect();
    entries.push(entry(4, None, Some(Act::Edits(3)), 4));
    entries.push(entry(5, None, Some(Act::Deletes(2)), 0));
    number(&mut entries);
    let mut events = kept(2, 4);
    events.extend([
        told("alice/phone", of_bob(2, 4)),
        at_cursor("alice/phone", 1),
        told("bob/phone", of_bob(2, 4)),
    ]);
    events.extend(kept(5, 0));
    events.extend([
        told("bob/phone", of_bob(5, 5)),
        told("alice/phone", of_bob(5, 5)),
        opened("alice/phone", 1),
        told("alice/phone", of_bob(5, 5)),
        Event::Final { room: ROOM.into(), entries },
        Event::FinalMark { mark: of_bob(5, 5) },
        Event::FinalMark { mark: mark(ROOM, "alice", 3, 3) },
        settled("alice/phone", ROOM),
        settled("bob/phone", ROOM),
    ]);
    events
}

fn judge(events: Vec<Event>) -> Vec<Violation> {
    check(&History { events, times: Vec::new() })
        .into_iter()
        .filter(|violation| matches!(violation, Violation::WrongMark { .. }))
        .collect()
}

/// The good run without one event, or with another one in its place.
fn with(at: &Event, by: Option<Event>) -> Vec<Violation> {
    let mut events = good();
    let index = events.iter().rposition(|event| event == at).expect("an event of the good run");
    events.splice(index..=index, by);
    judge(events)
}

fn is_of(found: &[Violation], by: Option<&str>) -> bool {
    !found.is_empty()
        && found
            .iter()
            .all(|it| matches!(it, Violation::WrongMark { device, .. } if device.as_deref() == by))
}

#[test]
fn a_good_run_has_no_violation() {
    assert_eq!(judge(good()), []);
}

#[test]
fn a_mark_that_was_answered_and_is_not_there_is_found() {
    let events: Vec<Event> = good()
        .into_iter()
        .filter(|event| !matches!(event, Event::MarkTold { .. } | Event::Settled { .. }))
        .map(|event| match event {
            Event::FinalMark { mark } if *mark.user == *"bob" => {
                Event::FinalMark { mark: of_bob(2, 4) }
            }
            event => event,
        })
        .collect();
    assert!(is_of(&judge(events), None));
}

#[test]
fn a_mark_that_was_answered_and_that_nobody_tells_in_the_end_is_found() {
    let found = with(&Event::FinalMark { mark: of_bob(5, 5) }, None);
    assert!(found.iter().any(|it| is_of(std::slice::from_ref(it), None)), "{found:?}");
    // Of who has left nothing is told.
    let change = |change| Some(change);
    let joined = change(Change::Joined(vec!["alice".into(), "bob".into()]));
    let log =
        vec![entry(1, joined, None, 0), entry(2, change(Change::Left("bob".into())), None, 0)];
    let mut events = kept(1, 0);
    events.push(Event::FinalMark { mark: mark(ROOM, "alice", 2, 2) });
    events.push(Event::Final { room: ROOM.into(), entries: log });
    assert_eq!(judge(events), []);
}

#[test]
fn a_mark_that_is_refused_without_a_reason_is_found() {
    let mut events = good();
    events.push(Event::MarkRefused { mark: of_bob(5, 5), code: "not_found".into() });
    assert!(is_of(&judge(events), None));
    // In a group, too.
    let joined = Some(Change::Joined(vec!["alice".into(), "bob".into()]));
    let log = vec![entry(1, joined, None, 0), entry(2, None, None, 2)];
    let refused = Event::MarkRefused { mark: of_bob(2, 0), code: "not_found".into() };
    let last = Event::Final { room: ROOM.into(), entries: log };
    assert!(is_of(&judge(vec![refused, last]), None));
    // Who was removed meanwhile is refused.
    let joined = Some(Change::Joined(vec!["alice".into(), "bob".into()]));
    let left = Some(Change::Left("bob".into()));
    let log = vec![entry(1, joined, None, 0), entry(2, None, None, 2), entry(3, left, None, 0)];
    let refused = Event::MarkRefused { mark: of_bob(2, 0), code: "not_member".into() };
    let last = Event::Final { room: ROOM.into(), entries: log };
    assert_eq!(judge(vec![refused, last]), []);
}

#[test]
fn a_mark_of_a_thread_is_refused_where_none_can_begin_and_nowhere_else() {
    let reply = Entry {
        said: Some(Box::new(Said { thread: Some(1), ..Said::default() })),
        ..entry(3, None, None, 3)
    };
    let log = || {
        let mut log = vec![
            entry(1, None, None, 1),
            entry(2, None, Some(Act::Reacts(1, "+".into(), true)), 0),
            reply.clone(),
            entry(4, None, Some(Act::DeletedBy(5)), 0),
            entry(5, None, Some(Act::Deletes(4)), 0),
        ];
        number(&mut log);
        log
    };
    let refused = |root| {
        let thread = Some(OfThread { root, follow: None });
        let mark = Mark { thread, ..of_bob(5, 0) };
        let refused = Event::MarkRefused { mark, code: "not_found".into() };
        vec![refused, Event::Final { room: ROOM.into(), entries: log() }]
    };
    assert!(is_of(&judge(refused(1)), None));
    for root in [2, 3, 4, 5] {
        assert_eq!(judge(refused(root)), [], "{root}");
    }
    // Somebody saw that it was a message.
    let mut events = refused(4);
    let message = Entry { ordinal: 2, ..entry(4, None, None, 4) };
    events.push(Event::Loaded { device: "bob/phone".into(), entry: message });
    assert!(is_of(&judge(events), None));
}

#[test]
fn a_mark_that_nobody_said_is_found() {
    let last = Event::FinalMark { mark: mark(ROOM, "alice", 3, 3) };
    let forged = Event::FinalMark { mark: mark(ROOM, "alice", 4, 4) };
    let found = with(&last, Some(forged));
    assert!(found.iter().any(|it| is_of(std::slice::from_ref(it), None)), "{found:?}");
}

#[test]
fn a_device_that_lacks_a_mark_is_found() {
    // Alice's forgets it with what came after its cursor, and gets it again by the resume.
    let again = told("alice/phone", of_bob(5, 5));
    assert!(is_of(&with(&again, None), Some("alice/phone")));
    let own = told("bob/phone", of_bob(5, 5));
    assert!(is_of(&with(&own, None), Some("bob/phone")));
}

#[test]
fn a_device_that_was_told_too_much_is_found() {
    let again = told("alice/phone", of_bob(5, 5));
    let more = told("alice/phone", of_bob(5, 6));
    assert!(is_of(&with(&again, Some(more)), Some("alice/phone")));
}

#[test]
fn of_a_group_a_device_knows_its_own_users_marks() {
    let last = || {
        let marks = ["alice", "bob"].map(|user| mark(GROUP, user, 7, 0));
        let said =
            marks.clone().map(|mark| Event::MarkSent { mark, attempt: Attempt(SessionId(1), 1) });
        said.into_iter().chain(marks.map(|mark| Event::FinalMark { mark })).collect::<Vec<_>>()
    };
    let mut events = last();
    events.push(told("alice/phone", mark(GROUP, "alice", 7, 0)));
    events.push(settled("alice/phone", GROUP));
    assert_eq!(judge(events), []);
    let mut events = last();
    events.push(told("alice/phone", mark(GROUP, "bob", 7, 0)));
    events.push(settled("alice/phone", GROUP));
    assert!(is_of(&judge(events), Some("alice/phone")));
}

#[test]
fn who_writes_or_joins_has_read_up_to_there() {
    let joined =
        |users: &[&str]| Some(Change::Joined(users.iter().map(|user| (*user).into()).collect()));
    let mut log = [
        entry(1, joined(&["alice", "bob"]), None, 0),
        entry(2, None, None, 7),
        entry(3, None, Some(Act::Reacts(2, "+".into(), true)), 0),
        entry(4, joined(&["carol"]), None, 0),
        entry(5, None, Some(Act::DeletedBy(7)), 0),
        entry(6, None, Some(Act::DeletedBy(7)), 0),
        entry(7, None, Some(Act::Deletes(5)), 0),
    ];
    number(&mut log);
    let read = |count: usize, user| read_by_writing(&log[..count], user);
    assert_eq!([read(1, "bob"), read(7, "bob"), read(7, "carol"), read(7, "dave")], [1, 1, 4, 0]);
    assert_eq!([read(2, "alice"), read(3, "alice"), read(4, "alice")], [2, 2, 4]);
    // The edit of the deleted message is no message.
    assert_eq!(read(7, "alice"), 5);
}

#[test]
fn who_has_turned_off_read_receipts_tells_and_hears_none() {
    let off = |user: &str| Event::ReceiptsOff { user: user.into() };
    let quiet = |event: &Event| match event {
        Event::MarkTold { device, mark } => user_of(device) == &*mark.user,
        _ => true,
    };
    for user in ["alice", "bob"] {
        let mut events: Vec<Event> = good().into_iter().filter(quiet).collect();
        events.insert(0, off(user));
        assert_eq!(judge(events), [], "{user}");
        let mut events = good();
        events.insert(0, off(user));
        let found = judge(events);
        let words = "alice/phone has for bob in alice~bob what is told to nobody";
        assert!(found.iter().any(|it| it.to_string().contains(words)), "{found:?}");
    }
    // Up to where they have read is known by their own devices.
    let mut events: Vec<Event> = good().into_iter().filter(quiet).collect();
    events.insert(0, off("bob"));
    events.retain(|event| *event != told("bob/phone", of_bob(5, 5)));
    assert!(is_of(&judge(events), Some("bob/phone")));
}
