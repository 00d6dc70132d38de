//! Each planted fault is found, and a good run has none.

use super::*;

const ROOM: &str = "alice~bob";

fn entry(seq: u64, client_id: &str) -> Entry {
    Entry {
        room: ROOM.into(),
        seq,
        from: "alice".into(),
        client_id: Some(client_id.into()),
        digest: crate::history::hash(&format!("{seq} {client_id}")),
        text: crate::history::hash(client_id),
    }
}

fn sent(client_id: &str) -> Event {
    Event::Sent {
        device: "alice/phone".into(),
        session: SessionId(1),
        room: ROOM.into(),
        client_id: client_id.into(),
        text: crate::history::hash(client_id),
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

fn synced(session: u64) -> Event {
    Event::Synced { device: "bob/phone".into(), session: SessionId(session), recovered: true }
}

fn resync(session: u64) -> Event {
    Event::Synced { device: "bob/phone".into(), session: SessionId(session), recovered: false }
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
    check(&History { events })
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
    let events = vec![sent("a"), acked("a", 2), sent("b"), last(&[(1, "b"), (2, "a")])];
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
fn an_entry_that_was_refused_or_changed_is_found() {
    let events = vec![sent("a"), refused("a", false), last(&[(1, "a")])];
    let kept = Violation::RefusedButKept { room: ROOM.into(), client_id: "a".into() };
    assert_eq!(judge(events), [kept]);
    let mut changed = entry(1, "a");
    changed.text = 7;
    let events = vec![sent("a"), received(2, changed)];
    assert_eq!(judge(events), [Violation::Forged { room: ROOM.into(), seq: 1 }]);
}
