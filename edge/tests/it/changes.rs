//! What changes beside entries, as marks: it comes once, and what the wire loses is found. And marks on
//! their way to core.

use std::time::Duration;

use serde_json::{Value, json};
use weft_edge::Limits;
use weft_proto::kind::{Create, Leave, Mark};
use weft_proto::{Body, History};

use crate::client::Client;
use crate::common::{World, room, user};

/// Audits often.
async fn world() -> World {
    let audit_every = Some(Duration::from_millis(500));
    World::with(Limits { audit_every, ..Limits::default() }).await
}

/// The next change: its key and number.
async fn change(client: &mut Client) -> (String, u64) {
    let frame = client.next().await;
    read(&frame).unwrap_or_else(|| panic!("no change: {frame}"))
}

fn read(frame: &Value) -> Option<(String, u64)> {
    Some((frame["key"].as_str()?.to_owned(), frame["number"].as_u64()?))
}

/// Waits for a cursor; what changes come before it.
async fn until_cursor(client: &mut Client) -> Vec<(String, u64)> {
    let before = client.cursor.clone();
    let mut changes = Vec::new();
    while client.cursor == before {
        changes.extend(read(&client.any().await));
    }
    changes
}

fn told(key: &str, number: u64) -> (String, u64) {
    (key.to_owned(), number)
}

#[tokio::test]
async fn a_change_comes_once_and_a_lost_one_is_found() {
    let world = world().await;
    let (mut alice, start) = {
        let (client, _) = world.resume("alice", None).await;
        let start = client.cursor.clone();
        (client, start)
    };
    let first = world.core.change("mark/a~b/a", "alice", 1);
    world.core.publish_change(&first).await;
    world.core.publish_change(&first).await;
    assert_eq!(change(&mut alice).await, told("mark/a~b/a", 1));
    // Nothing comes again, not by an audit either; and a cursor covers it.
    assert_eq!(until_cursor(&mut alice).await, []);
    world.core.change("mark/a~b/a", "alice", 2);
    world.core.change("mark/a~c/a", "alice", 3);
    let mut found = until_cursor(&mut alice).await;
    found.sort();
    assert_eq!(found, [told("mark/a~b/a", 2), told("mark/a~c/a", 3)]);
    // What came before something newer on the wire is not told after it.
    world.core.publish_change(&first).await;
    let last = world.core.change("mark/a~b/a", "alice", 4);
    world.core.publish_change(&last).await;
    assert_eq!(change(&mut alice).await, told("mark/a~b/a", 4));
    assert_eq!(until_cursor(&mut alice).await, []);

    // A sync brings the newest of each, before its end.
    let (_, pushes) = world.resume("alice", Some(&start)).await;
    let mut brought: Vec<_> = pushes.iter().filter_map(read).collect();
    brought.sort();
    assert_eq!(brought, [told("mark/a~b/a", 4), told("mark/a~c/a", 3)]);
    let (_, pushes) = world.resume("alice", Some(&alice.cursor)).await;
    assert_eq!(pushes.len(), 1, "{pushes:?}");
}

#[tokio::test]
async fn a_group_hears_what_has_no_position_and_an_audit_repeats_it() {
    let world = world().await;
    let create = Body::Create(Create {
        title: "Team".into(),
        members: vec![user("alice")],
        history: History::All,
    });
    world.core.commit(&room("team"), "bob", create);
    let mut alice = world.session("alice").await;
    let first = world.core.change_group("team", 1);
    world.core.publish_change(&first).await;
    assert_eq!(change(&mut alice).await, told("marks/team", 1));
    assert_eq!(change(&mut alice).await, told("marks/team", 1));
    world.core.change_group("team", 2);
    assert_eq!(change(&mut alice).await, told("marks/team", 2));
}

/// From when the session hears of it: by the wire, an audit or a sync.
#[tokio::test]
async fn who_has_turned_off_read_receipts_hears_of_nobody_how_far_they_have_read() {
    let world = world().await;
    let (core, team) = (&world.core, room("team"));
    let members = vec![user("alice"), user("cem")];
    let create = Body::Create(Create { title: "Team".into(), members, history: History::All });
    core.commit(&team, "bob", create);
    let (mut alice, mut cem) = (world.session("alice").await, world.session("cem").await);
    let setting = "setting/alice/alice~alice";
    let hears = async |client: &mut Client, number: u64| {
        let marks = core.change_group("team", number);
        core.publish_change(&marks).await;
        core.say(&team, "next").await;
        // What an audit repeats is the same.
        let mut heard = false;
        loop {
            let frame = client.next().await;
            match read(&frame) {
                Some((key, of)) => heard |= key == "marks/team" && of == number,
                None => return heard,
            }
        }
    };
    assert!(hears(&mut alice, 1).await);
    let off = core.change_receipts("alice", false, 2);
    core.publish_change(&off).await;
    assert_eq!(change(&mut alice).await, told(setting, 2));
    assert!(!hears(&mut alice, 3).await);
    // On again, lost on the wire.
    core.change_receipts("alice", true, 4);
    assert_eq!(change(&mut alice).await, told(setting, 4));
    assert!(hears(&mut alice, 5).await);
    core.change_receipts("alice", false, 6);
    let (mut resumed, pushes) = world.resume("alice", Some(&alice.cursor)).await;
    assert!(pushes.iter().filter_map(read).any(|it| it == told(setting, 6)), "{pushes:?}");
    assert!(!hears(&mut resumed, 7).await);
    let (mut anew, _) = world.resume("alice", None).await;
    assert!(!hears(&mut anew, 8).await);
    for number in [1, 3, 5, 7, 8] {
        while read(&cem.next().await) != Some(told("marks/team", number)) {}
    }
}

/// Not even what came while their leaving was looked into.
#[tokio::test]
async fn who_has_left_a_group_hears_no_change_of_it() {
    let world = World::new().await;
    let (core, team) = (&world.core, room("team"));
    let members = vec![user("alice"), user("cem")];
    let create = Body::Create(Create { title: "Team".into(), members, history: History::All });
    core.commit(&team, "bob", create);
    let (mut alice, mut cem) = (world.session("alice").await, world.session("cem").await);
    // The one before is missing: it is read first.
    core.text(&team, "lost");
    let leaves = core.commit(&team, "alice", Body::Leave(Leave {}));
    let told_later = core.change_group("team", 1);
    core.publish(&leaves, &["alice"]).await;
    core.publish_change(&told_later).await;
    core.say(&room("alice~bob"), "hi").await;
    assert_eq!(alice.seqs(3).await, [2, 3, 1]);
    assert_eq!(cem.seqs(2).await, [2, 3]);
    assert_eq!(change(&mut cem).await, told("marks/team", 1));
}

#[tokio::test]
async fn marks_that_come_together_go_as_one_and_each_is_answered() {
    let world = World::new().await;
    let mut alice = world.session("alice").await;
    let mark = |field: &str, seq: u64| json!({ "type": "mark", "room": "alice~bob", field: seq });
    world.core.stall(true);
    let mut requests = Vec::new();
    for seq in 1..=20 {
        requests.push(alice.begin(mark("read", seq)).await);
    }
    requests.push(alice.begin(mark("delivered", 30)).await);
    requests.push(alice.begin(mark("unread_from", 7)).await);
    // Sends do not wait for them.
    let pong = alice.request(json!({ "type": "ping" })).await;
    assert_eq!(pong["type"], "pong");
    world.core.stall(false);
    let answers = alice.answers(&requests).await;
    assert!(answers.iter().all(|answer| answer["type"] == "done"), "{answers:?}");
    let read = |seq| Mark { read: Some(seq), ..Mark::default() };
    let (all, back) = (
        Mark { delivered: Some(30), ..read(20) },
        Mark { unread_from: Some(7), ..Mark::default() },
    );
    assert_eq!(world.core.marks(), [read(1), all, back]);

    // Of those that go as one, each is answered by what it asks for.
    let requests = [
        alice.begin(mark("read", 21)).await,
        alice.begin(mark("read", 22)).await,
        alice.begin(mark("read", 101)).await,
    ];
    let answers = alice.answers(&requests).await;
    for answer in answers {
        let is_refused = answer["error"]["code"] == "not_found";
        assert_eq!(is_refused, answer["id"] == requests[2], "{answer}");
    }
    let token = crate::common::token("alice");
    let body = br#"{"read":23}"#;
    let path = "/v1/rooms/alice~bob/mark";
    let (status, _) =
        crate::client::http(world.edge.local_addr(), "POST", path, Some(&token), body).await;
    assert_eq!(status, 204);
    let (status, error) = crate::client::http(
        world.edge.local_addr(),
        "POST",
        path,
        Some(&token),
        br#"{"read":23,"room":"team"}"#,
    )
    .await;
    assert_eq!((status, &error["error"]["code"]), (400, &json!("bad_request")));
}
