//! What a newer core says travels on as it is: a session gets what its edge does not understand.

use std::time::Duration;

use serde_json::{Value, json};
use weft_edge::Limits;
use weft_proto::kind::Add;
use weft_proto::{Body, Role};

use crate::common::{World, room, user};

/// Audits often.
async fn world() -> World {
    let audit_every = Some(Duration::from_millis(500));
    World::with(Limits { audit_every, ..Limits::default() }).await
}

fn is_newer(frame: &Value, seq: u64) {
    let seen = (&frame["kind"], &frame["seq"], &frame["tempo"]["bpm"]);
    assert_eq!(seen, (&json!("dance"), &json!(seq), &json!([120])), "{frame}");
}

#[tokio::test]
async fn an_unknown_kind_comes_live_repaired_and_by_a_sync() {
    let world = world().await;
    let team = room("team");
    let add = Body::Add(Add { user: user("alice"), role: Role::Member });
    world.core.commit(&team, "bob", add);
    let mut alice = world.session("alice").await;
    world.core.say(&team, "2").await;
    assert_eq!(alice.seqs(1).await, [2]);
    alice.until_cursor().await;
    let before = alice.cursor.clone();
    let live = world.core.commit_newer(&team, None);
    world.core.publish(&live, &[]).await;
    is_newer(&alice.next_or_close().await.expect("open"), 3);
    // Lost on the wire: an audit finds it.
    world.core.commit_newer(&team, None);
    is_newer(&alice.next_or_close().await.expect("open"), 4);
    world.core.say(&team, "5").await;
    assert_eq!(alice.seqs(1).await, [5]);
    let (_, pushes) = world.resume("alice", Some(&before)).await;
    let entries: Vec<&Value> = pushes.iter().filter(|push| push["type"] == "entry").collect();
    assert_eq!(entries.len(), 3, "{pushes:?}");
    is_newer(entries[0], 3);
    is_newer(entries[1], 4);
}

#[tokio::test]
async fn who_joins_by_an_unknown_kind_gets_what_follows() {
    let world = world().await;
    let club = room("club");
    let mut alice = world.session("alice").await;
    world.core.text(&club, "before");
    let joining = world.core.commit_newer(&club, Some("alice"));
    world.core.publish(&joining, &["alice"]).await;
    is_newer(&alice.next_or_close().await.expect("open"), 2);
    world.core.say(&club, "3").await;
    assert_eq!(alice.seqs(1).await, [3]);
}

#[tokio::test]
async fn an_unknown_role_is_told_as_it_is() {
    let world = world().await;
    let mut alice = world.session("alice").await;
    let rooms = alice.request(json!({ "type": "rooms" })).await;
    assert_eq!(rooms["rooms"][0]["role"], "regent", "{rooms}");
}
