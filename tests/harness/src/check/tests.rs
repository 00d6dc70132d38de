//! Each planted fault is found, and a good run has none.

use super::*;
use crate::history::{Act, Change, ClientId, Deed, Device, Entry, Event, SessionId};

const ROOM: &str = "alice~bob";

fn entry(seq: u64, client_id: &str) -> Entry {
    Entry {
        room: ROOM.into(),
        seq,
        from: "alice".into(),
        client_id: Some(client_id.into()),
        digest: crate::history::hash(&format!("{seq} {client_id}")),
        text: crate::history::hash(client_id),
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

/// Says in each entry how many messages the log has up to it.
pub(super) fn number(log: &mut [Entry]) {
    let deleted: Vec<u64> = log
        .iter()
        .filter_map(|entry| match entry.act.as_deref() {
            Some(Act::Deletes(target)) => Some(*target),
            _ => None,
        })
        .collect();
    let mut ordinal = 0;
    for entry in log {
        let is_message = entry.is_message() || deleted.contains(&entry.seq);
        let is_apart = entry.is_silent() || entry.thread().is_some();
        ordinal += u64::from(is_message && !is_apart);
        entry.ordinal = ordinal;
    }
}

fn sent(client_id: &str) -> Event {
    Event::Sent {
        device: "alice/phone".into(),
        session: SessionId(1),
        room: ROOM.into(),
        client_id: client_id.into(),
        text: crate::history::hash(client_id),
        said: None,
    }
}

fn acked(client_id: &str, seq: u64) -> Event {
    Event::Acked {
        device: "alice/phone".into(),
        session: SessionId(1),
        room: ROOM.into(),
        client_id: client_id.into(),
        seq,
    }
}

fn refused(client_id: &str, temporary: bool) -> Event {
    Event::Refused {
        device: "alice/phone".into(),
        client_id: client_id.into(),
        code: "too_long".into(),
        temporary,
    }
}

fn received(session: u64, entry: Entry) -> Event {
    Event::Received { device: "bob/phone".into(), session: SessionId(session), entry }
}

fn bob() -> Device {
    "bob/phone".into()
}

fn cursor(number: u64) -> crate::history::Cursor {
    format!("{:016x}.{number:024x}", 7).into()
}

fn opened(session: u64, number: u64) -> Event {
    Event::Opened { device: bob(), session: SessionId(session), cursor: Some(cursor(number)) }
}

fn told(session: u64, number: u64) -> Event {
    Event::Cursor { device: bob(), session: SessionId(session), cursor: cursor(number) }
}

fn synced(session: u64) -> Event {
    let (device, session) = (bob(), SessionId(session));
    Event::Synced { device, session, recovered: true, cursor: cursor(1) }
}

fn resync(session: u64) -> Event {
    let (device, session) = (bob(), SessionId(session));
    Event::Synced { device, session, recovered: false, cursor: cursor(0) }
}

fn loaded(entry: Entry) -> Event {
    Event::Loaded { device: "bob/phone".into(), entry }
}

fn settled() -> Event {
    Event::Settled { device: "bob/phone".into(), room: ROOM.into() }
}

fn last(entries: &[(u64, &str)]) -> Event {
    let entries = entries.iter().map(|(seq, client_id)| entry(*seq, client_id)).collect();
    Event::Final { room: ROOM.into(), entries }
}

fn good() -> Vec<Event> {
    vec![
        sent("a"),
        received(2, entry(1, "a")),
        acked("a", 1),
        sent("b"),
        acked("b", 2),
        received(2, entry(2, "b")),
        sent("c"),
        // The socket is cut; the answer was lost; a resend gets the same ack.
        sent("c"),
        acked("c", 3),
        received(3, entry(2, "b")),
        received(3, entry(3, "c")),
        synced(3),
        refused("d", true),
        last(&[(1, "a"), (2, "b"), (3, "c")]),
        settled(),
    ]
}

fn judge(events: Vec<Event>) -> Vec<Violation> {
    check(&History { events, times: Vec::new() })
}

/// The good run with one event replaced.
fn with(at: &Event, by: Vec<Event>) -> Vec<Violation> {
    let mut events = good();
    let index = events.iter().position(|event| event == at).expect("an event of the good run");
    events.splice(index..=index, by);
    judge(events)
}

#[test]
fn a_good_run_has_no_violation() {
    assert_eq!(judge(good()), []);
    assert_eq!(judge(Vec::new()), []);
}

#[test]
fn a_lost_ack_is_found() {
    let whole = last(&[(1, "a"), (2, "b"), (3, "c")]);
    let found = with(&whole, vec![last(&[(1, "a"), (2, "b")])]);
    let lost = Violation::LostAck { room: ROOM.into(), seq: 3, client_id: "c".into() };
    assert!(found.contains(&lost), "{found:?}");
    assert!(found.contains(&Violation::Vanished { room: ROOM.into(), seq: 3 }), "{found:?}");
    // Even where nobody read the room in the end.
    let found = judge(vec![sent("a"), acked("a", 1)]);
    let lost = Violation::LostAck { room: ROOM.into(), seq: 1, client_id: "a".into() };
    assert_eq!(found, [lost]);
}

#[test]
fn a_false_ack_is_found() {
    let found = with(&acked("b", 2), vec![acked("b", 1)]);
    let false_ack = Violation::FalseAck {
        room: ROOM.into(),
        seq: 1,
        client_id: "b".into(),
        found: Some("a".into()),
    };
    assert!(found.contains(&false_ack), "{found:?}");
}

#[test]
fn two_acks_of_one_client_id_are_found() {
    let found = with(&acked("c", 3), vec![acked("c", 3), acked("c", 4)]);
    let two = Violation::TwoAcks { room: ROOM.into(), client_id: "c".into(), seqs: (3, 4) };
    assert!(found.contains(&two), "{found:?}");
}

#[test]
fn a_doubled_client_id_is_found() {
    let whole = last(&[(1, "a"), (2, "b"), (3, "c")]);
    let found = with(&whole, vec![last(&[(1, "a"), (2, "b"), (3, "c"), (4, "c")])]);
    let doubled = Violation::Doubled { room: ROOM.into(), client_id: "c".into(), seqs: (3, 4) };
    assert!(found.contains(&doubled), "{found:?}");
}

#[test]
fn a_hole_is_found() {
    let whole = last(&[(1, "a"), (2, "b"), (3, "c")]);
    let found = with(&whole, vec![last(&[(1, "a"), (3, "c")])]);
    let hole = Violation::Hole { room: ROOM.into(), expected: 2, found: 3 };
    assert!(found.contains(&hole), "{found:?}");
}

#[test]
fn two_orders_are_found() {
    let found = with(&received(2, entry(2, "b")), vec![received(2, entry(2, "x"))]);
    assert!(found.contains(&Violation::TwoOrders { room: ROOM.into(), seq: 2 }), "{found:?}");
}

#[test]
fn an_order_against_the_acks_is_found() {
    let mut later = sent("b");
    let Event::Sent { session, .. } = &mut later else { unreachable!() };
    *session = SessionId(9);
    let events = vec![sent("a"), acked("a", 2), later, last(&[(1, "b"), (2, "a")])];
    let reordered = Violation::AckedLaterFirst { room: ROOM.into(), acked: 2, later: 1 };
    assert_eq!(judge(events), [reordered]);
}

#[test]
fn a_gap_on_a_socket_is_found() {
    let found = with(&received(2, entry(2, "b")), vec![received(2, entry(3, "c"))]);
    let gap = Violation::SocketGap {
        device: "bob/phone".into(),
        session: SessionId(2),
        room: ROOM.into(),
        expected: 2,
        found: 3,
    };
    assert!(found.contains(&gap), "{found:?}");
}

#[test]
fn a_cursor_ahead_is_found() {
    let events = vec![received(1, entry(1, "a")), received(2, entry(3, "c")), synced(2)];
    let ahead = Violation::CursorAhead {
        device: "bob/phone".into(),
        session: SessionId(2),
        room: ROOM.into(),
        missing: 2,
    };
    assert_eq!(judge(events), [ahead]);
}

#[test]
fn who_loads_anew_begins_anew() {
    let after_a_resync = vec![
        received(2, entry(1, "a")),
        resync(2),
        received(2, entry(3, "c")),
        synced(2),
        loaded(entry(2, "b")),
        last(&[(1, "a"), (2, "b"), (3, "c")]),
        settled(),
    ];
    assert_eq!(judge(after_a_resync.clone()), []);
    let mut not_loaded = after_a_resync;
    not_loaded.retain(|event| !matches!(event, Event::Loaded { .. }));
    let missing = Violation::NotDelivered { device: "bob/phone".into(), room: ROOM.into(), seq: 2 };
    assert_eq!(judge(not_loaded), [missing]);
}

#[test]
fn an_entry_that_a_device_never_got_is_found() {
    let found = with(&received(3, entry(3, "c")), vec![]);
    let missing = Violation::NotDelivered { device: "bob/phone".into(), room: ROOM.into(), seq: 3 };
    assert_eq!(found, [missing]);
}

#[test]
fn a_cursor_ahead_of_the_last_entry_is_found_by_resuming() {
    let run = |resumed: Vec<Event>| {
        let before = vec![
            received(1, entry(1, "a")),
            told(1, 5),
            received(1, entry(2, "b")),
            told(1, 6),
            received(1, entry(3, "c")),
            opened(2, 5),
        ];
        let whole = last(&[(1, "a"), (2, "b"), (3, "c")]);
        judge([before, resumed, vec![synced_at(2, 7), whole, settled()]].concat())
    };
    // What came after the cursor it resumes from comes again.
    assert_eq!(run(vec![received(2, entry(2, "b")), received(2, entry(3, "c"))]), []);
    let missing = |seq| Violation::NotDelivered { device: bob(), room: ROOM.into(), seq };
    assert_eq!(run(vec![]), [missing(2)]);
    // The first entry of a resumed socket goes on where the cursor was.
    let gap = Violation::SocketGap {
        device: bob(),
        session: SessionId(2),
        room: ROOM.into(),
        expected: 2,
        found: 3,
    };
    let ahead = Violation::CursorAhead {
        device: bob(),
        session: SessionId(2),
        room: ROOM.into(),
        missing: 2,
    };
    assert_eq!(run(vec![received(2, entry(3, "c"))]), [gap, ahead, missing(2)]);
}

fn synced_at(session: u64, number: u64) -> Event {
    let (device, session) = (bob(), SessionId(session));
    Event::Synced { device, session, recovered: true, cursor: cursor(number) }
}

#[test]
fn a_pushed_cursor_ahead_of_a_hole_is_found() {
    let events = vec![received(1, entry(1, "a")), received(1, entry(3, "c")), told(1, 5)];
    let ahead = Violation::CursorAhead {
        device: bob(),
        session: SessionId(1),
        room: ROOM.into(),
        missing: 2,
    };
    assert!(judge(events).contains(&ahead));
}

#[test]
fn a_cursor_that_goes_back_is_found() {
    assert_eq!(judge(vec![opened(1, 4), synced_at(1, 5), told(1, 5), told(1, 6)]), []);
    let back = |from, to| Violation::CursorBack {
        device: bob(),
        session: SessionId(1),
        cursors: (cursor(from), cursor(to)),
    };
    assert_eq!(judge(vec![told(1, 6), told(1, 5)]), [back(6, 5)]);
    assert_eq!(judge(vec![opened(1, 6), synced_at(1, 5)]), [back(6, 5)]);
    assert_eq!(judge(vec![told(1, 6), told(2, 5)]), [], "of another socket");
}

#[test]
fn what_one_session_sends_keeps_its_order() {
    let run = |middle: Vec<Event>| {
        let ab = vec![sent("a"), sent("b")];
        judge([ab, middle, vec![last(&[(1, "b"), (2, "a")])]].concat())
    };
    let broken = Violation::SessionOrder {
        session: SessionId(1),
        room: ROOM.into(),
        first: "a".into(),
        second: "b".into(),
        seqs: (2, 1),
    };
    assert_eq!(run(vec![]), std::slice::from_ref(&broken));
    // Resends keep it too.
    assert_eq!(run(vec![sent("a"), sent("b")]), [broken]);
    // What was refused is sent anew, after it.
    assert_eq!(run(vec![refused("a", true), sent("a")]), []);
}

#[test]
fn a_refusal_that_was_lost_with_its_socket_explains_an_order() {
    let mut entries: Vec<Entry> =
        ["m1", "m2", "m3", "b", "a"].into_iter().zip(1..).map(|(id, seq)| entry(seq, id)).collect();
    let mut change = |seq: usize, change| entries[seq - 1].change = Some(Box::new(change));
    change(1, Change::Joined(vec!["bob".into(), "alice".into()]));
    change(2, Change::Left("alice".into()));
    change(3, Change::Joined(vec!["alice".into()]));
    let run = |known: usize, sends: &[&str]| {
        let got = entries[..known].iter().map(|entry| received(2, entry.clone()));
        let sends = sends.iter().map(|id| sent(id));
        let whole = Event::Final { room: ROOM.into(), entries: entries.clone() };
        judge(got.chain(sends).chain([whole]).collect())
    };
    // It may have come to core when she was no member.
    assert_eq!(run(1, &["a", "b", "a"]), []);
    assert_eq!(run(2, &["a", "b", "a"]), []);
    // She was one all the time, or there was one attempt only.
    for broken in [run(3, &["a", "b", "a"]), run(1, &["a", "b"])] {
        assert!(matches!(&broken[..], [Violation::SessionOrder { .. }]), "{broken:?}");
    }
}

#[test]
fn a_reaction_may_have_been_refused_because_it_was_there_already() {
    // What is known when they are sent, what undoes it, what is sent after it, and it.
    let acts = [("on", Some(true)), ("off", Some(false)), ("b", None), ("a", Some(true))];
    let run = |known: usize, other: &str| {
        let mut entries: Vec<Entry> =
            acts.iter().zip(1..).map(|((id, _), seq)| entry(seq, id)).collect();
        for (entry, (id, act)) in entries.iter_mut().zip(acts) {
            let emoji = if id == "off" { other } else { "+1" };
            entry.act = act.map(|is_on| Box::new(Act::Reacts(1, emoji.to_owned(), is_on)));
        }
        let got = entries[..known].iter().map(|entry| received(2, entry.clone()));
        let mut events: Vec<Event> = got.collect();
        events.extend(["a", "b", "a"].map(sent));
        events.push(Event::Final { room: ROOM.into(), entries });
        let is_order = |it: &Violation| matches!(it, Violation::SessionOrder { .. });
        judge(events).iter().any(is_order)
    };
    assert!(!run(1, "+1"));
    assert!(run(2, "+1"), "that was undone before it was sent");
    assert!(run(1, "heart"), "nothing undid it");
}

/// Alice makes the group with Bob, removes him, and takes him back.
fn comings_and_goings() -> Vec<Entry> {
    let mut entries: Vec<Entry> = (1..=8).map(|seq| entry(seq, &format!("m{seq}"))).collect();
    let mut change = |seq: usize, change| entries[seq - 1].change = Some(Box::new(change));
    change(1, Change::Joined(vec!["bob".into(), "alice".into()]));
    change(3, Change::Left("bob".into()));
    change(6, Change::Joined(vec!["bob".into()]));
    change(7, Change::Left("bob".into()));
    entries
}

#[test]
fn a_member_gets_what_was_said_while_a_member() {
    let entries = comings_and_goings();
    let whole = Event::Final { room: ROOM.into(), entries: entries.clone() };
    let run = |seqs: &[usize]| {
        let got = seqs.iter().map(|seq| received(2, entries[seq - 1].clone()));
        judge(got.chain([told(2, 9), whole.clone(), settled()]).collect())
    };
    assert_eq!(run(&[1, 2, 3, 6, 7]), []);
    let missing = |seq| Violation::NotDelivered { device: bob(), room: ROOM.into(), seq };
    assert_eq!(run(&[1, 2, 3]), [missing(6)]);
    let gap = Violation::SocketGap {
        device: bob(),
        session: SessionId(2),
        room: ROOM.into(),
        expected: 3,
        found: 6,
    };
    assert!(run(&[1, 2, 6, 7]).contains(&gap));
    let leaked = |seq| Violation::Leaked { device: bob(), room: ROOM.into(), seq };
    assert_eq!(run(&[1, 2, 3, 6, 7, 8]), [leaked(8)]);
    // The room goes on at the joining: what was said meanwhile is for `history`.
    assert_eq!(run(&[1, 2, 3, 5, 6, 7]), [leaked(5)]);
}

#[test]
fn the_story_of_a_violation_is_what_concerns_it() {
    let mut events = good();
    events.retain(|event| *event != received(3, entry(3, "c")));
    let history = History { events, times: Vec::new() };
    let found = check(&history);
    let story: Vec<&Event> =
        found[0].story(&history).iter().map(|at| &history.events[*at]).collect();
    let whole = last(&[(1, "a"), (2, "b"), (3, "c")]);
    assert_eq!(story, [&synced(3), &whole, &settled()], "{found:?}");
    let lost = Violation::LostAck { room: ROOM.into(), seq: 2, client_id: ClientId::from("b") };
    let story = lost.story(&history);
    assert_eq!(story.len(), 4, "sent, acked, received, the last reading: {story:?}");
    let line = history.line(story[0]);
    assert_eq!(line.trim_start(), "0.000 alice/phone sends b to alice~bob on session 1");
}

#[test]
fn an_entry_that_was_refused_or_changed_is_found() {
    let events = vec![sent("a"), refused("a", false), last(&[(1, "a")])];
    let kept = Violation::RefusedButKept { room: ROOM.into(), client_id: "a".into() };
    assert_eq!(judge(events), [kept]);
    let mut changed = entry(1, "a");
    changed.text = 7;
    let events = vec![sent("a"), received(2, changed)];
    assert_eq!(judge(events), [Violation::Forged { room: ROOM.into(), seq: 1 }]);
}

#[test]
fn an_entry_that_was_taken_at_two_times_is_found() {
    let later = Entry { time_ms: 7, ..entry(1, "a") };
    let events = vec![received(2, entry(1, "a")), received(3, later)];
    let two_orders = Violation::TwoOrders { room: ROOM.into(), seq: 1 };
    let found = |events| check(&History { events, times: Vec::new() });
    assert!(found(events.clone()).contains(&two_orders));
    let aged = Event::Deed(Deed::Aged { room: ROOM.into(), up_to: 1 });
    assert!(!found([&[aged], &events[..]].concat()).contains(&two_orders));
}
