//! Each planted fault is found, and a good run has none.

use super::super::check;
use super::*;

const ROOM: &str = "team";

fn entry(seq: u64, from: &str, text: &str) -> Entry {
    let mut frame = serde_json::json!({ "room": ROOM, "seq": seq, "from": from, "ordinal": 0 });
    frame["text"] = text.into();
    Entry::read(&frame).expect("an entry")
}

fn of_kind(seq: u64, from: &str, fields: serde_json::Value) -> Entry {
    let mut frame = fields;
    frame["room"] = ROOM.into();
    frame["seq"] = seq.into();
    frame["from"] = from.into();
    frame["ordinal"] = 0.into();
    Entry::read(&frame).expect("an entry")
}

/// Alice's group: Bob is banned and comes back, Carol leaves.
fn good() -> Vec<Entry> {
    let kind = |seq, from, fields| of_kind(seq, from, fields);
    let user = |kind: &str, user: &str| serde_json::json!({ "kind": kind, "user": user });
    let update = |field: &str, value: serde_json::Value| {
        let mut fields = serde_json::json!({ "kind": "update" });
        fields[field] = value;
        fields
    };
    let members = serde_json::json!({ "kind": "create", "members": ["bob", "carol"] });
    let mut ban = user("ban", "bob");
    ban["removed"] = true.into();
    vec![
        kind(1, "alice", members),
        entry(2, "bob", "hello"),
        kind(3, "alice", ban),
        kind(4, "alice", user("unban", "bob")),
        kind(5, "bob", serde_json::json!({ "kind": "join" })),
        kind(6, "alice", update("write", "admins".into())),
        entry(7, "alice", "only I write"),
        kind(8, "alice", update("write", "all".into())),
        kind(9, "alice", update("archived", true.into())),
        kind(10, "carol", serde_json::json!({ "kind": "leave" })),
        kind(11, "alice", update("archived", false.into())),
        entry(12, "bob", "again"),
        kind(13, "root", close(true)),
        kind(14, "bob", serde_json::json!({ "kind": "leave" })),
        kind(15, "root", serde_json::json!({ "kind": "delete", "target": 12 })),
        kind(16, "root", close(false)),
        entry(17, "alice", "open again"),
    ]
}

fn close(closed: bool) -> serde_json::Value {
    serde_json::json!({ "kind": "close", "closed": closed })
}

fn found(log: Vec<Entry>, shown: Vec<Event>) -> Vec<String> {
    let root = Event::Deed(Deed::Administers { user: "root".into() });
    let mut events = vec![root, Event::Final { room: ROOM.into(), entries: log }];
    events.extend(shown);
    let violations = check(&History { events, times: Vec::new() });
    let of_rules = |it: Violation| match it {
        Violation::NotAllowed { seq, what, .. } => Some(format!("{seq} {what}")),
        _ => None,
    };
    violations.into_iter().filter_map(of_rules).collect()
}

/// The good log with one entry replaced.
fn with(seq: u64, entry: Entry) -> Vec<String> {
    let mut log = good();
    log[seq as usize - 1] = entry;
    found(log, Vec::new())
}

#[test]
fn a_group_that_follows_its_rules_is_right() {
    let shown = |user: &str, last: usize| Event::Shown {
        user: user.into(),
        room: ROOM.into(),
        entries: good()[..last].to_vec(),
    };
    assert_eq!(found(good(), vec![shown("bob", 14), shown("carol", 10)]), [""; 0]);
    assert_eq!(
        found(good(), vec![shown("carol", 11)]),
        ["11 is shown to carol, who had left before it"]
    );
}

#[test]
fn what_the_log_does_not_allow_is_found() {
    let join = || serde_json::json!({ "kind": "join" });
    let add = serde_json::json!({ "kind": "add", "user": "bob" });
    for (seq, entry, what) in [
        (4, entry(4, "bob", "still here"), "4 is of bob, who is no member"),
        (2, entry(2, "mallory", "hello"), "2 is of mallory, who is no member"),
        (4, of_kind(4, "bob", join()), "4 brings in bob, who is banned"),
        (4, of_kind(4, "alice", add.clone()), "4 brings in bob, who is banned"),
        (2, of_kind(2, "alice", add), "2 brings in bob, who is a member"),
        (7, entry(7, "carol", "me, too"), "7 is written by carol in a group that is read-only"),
        (10, entry(10, "alice", "hello?"), "10 is in a group that is archived"),
        (10, of_kind(10, "dave", join()), "10 is in a group that is archived"),
        (
            2,
            of_kind(2, "alice", serde_json::json!({ "kind": "remove", "user": "dave" })),
            "2 takes out dave, who is no member",
        ),
        (14, entry(14, "bob", "still here"), "14 is in a room that is closed"),
        (14, of_kind(14, "dave", join()), "14 is in a room that is closed"),
        (14, entry(14, "alice", "I own it"), "14 is in a room that is closed"),
        (
            16,
            of_kind(16, "alice", close(false)),
            "16 closes the room, or opens it, by alice, who is no administrator",
        ),
    ] {
        let found = with(seq, entry);
        assert!(found.iter().any(|it| it == what), "{what}: {found:?}");
    }
}

#[test]
fn a_message_in_a_direct_room_that_is_closed_is_found() {
    let log = |room: &str| {
        let mut log = vec![
            entry(1, "alice", "hello"),
            of_kind(2, "root", close(true)),
            entry(3, "bob", "too late"),
            of_kind(4, "root", close(false)),
            entry(5, "bob", "in time"),
        ];
        log.iter_mut().for_each(|entry| entry.room = room.into());
        log
    };
    let room = "alice~bob";
    let root = Event::Deed(Deed::Administers { user: "root".into() });
    let events = vec![root, Event::Final { room: room.into(), entries: log(room) }];
    let found = check(&History { events, times: Vec::new() });
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    let wanted = "not allowed: alice~bob 3 is in a room that is closed";
    assert!(found.iter().any(|it| it == wanted), "{found:#?}");
    assert!(!found.iter().any(|it| it.contains("alice~bob 5")), "{found:#?}");
}
