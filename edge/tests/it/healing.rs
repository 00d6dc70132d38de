//! What the wire loses in silence is found all the same, and cursors say how far.

use std::time::Duration;

use serde_json::json;
use weft_edge::Limits;
use weft_proto::kind::{Add, Create, Remove};
use weft_proto::{Body, Role};

use crate::client::Client;
use crate::common::{World, eventually, room, user};

/// Audits often.
async fn world() -> World {
    let audit_every = Some(Duration::from_millis(500));
    World::with(Limits { audit_every, ..Limits::default() }).await
}

fn add(name: &str) -> Body {
    Body::Add(Add { user: user(name), role: Role::Member })
}

/// Nothing is missing: a new session from the newest cursor gets these alone.
async fn resumes_with(world: &World, name: &str, client: &Client, seqs: &[u64]) {
    let (_, pushes) = world.resume(name, Some(&client.cursor)).await;
    let came: Vec<u64> = pushes.iter().filter_map(|push| push["seq"].as_u64()).collect();
    assert_eq!(came, seqs, "{pushes:?}");
}

#[tokio::test]
async fn the_last_entry_of_a_room_is_found() {
    let world = world().await;
    let (direct, group) = (room("alice~bob"), room("team"));
    world.core.commit(&group, "bob", add("alice"));
    let mut alice = world.session("alice").await;
    world.core.say(&group, "2").await;
    assert_eq!(alice.seqs(1).await, [2]);
    for number in 3..=9 {
        world.core.text(&group, &number.to_string());
    }
    assert_eq!(alice.seqs(7).await, [3, 4, 5, 6, 7, 8, 9]);
    // A room of which nothing ever came.
    world.core.text(&direct, "1");
    assert_eq!(alice.seqs(1).await, [1]);
    alice.until_cursor().await;
    resumes_with(&world, "alice", &alice, &[]).await;
}

#[tokio::test]
async fn a_cursor_follows_what_was_put_out_and_nothing_else() {
    let world = world().await;
    let room = room("alice~bob");
    let (mut alice, mut bob) = (world.session("alice").await, world.session("bob").await);
    let head = world.core.text(&room, "1");
    world.core.publish(&head, &["alice", "bob"]).await;
    for client in [&mut alice, &mut bob] {
        assert_eq!(client.until_cursor().await, [1]);
    }
    resumes_with(&world, "alice", &alice, &[]).await;
    // What can't be read holds the cursor back.
    let before = alice.cursor.clone();
    world.core.fail(true);
    let reads = world.core.reads();
    world.core.text(&room, "lost");
    eventually("repairs are tried", async || world.core.reads() > reads + 3).await;
    let pong = alice.request(json!({ "type": "ping" })).await;
    assert_eq!((&pong["type"], &alice.cursor), (&json!("pong"), &before));
    world.core.fail(false);
    assert_eq!(alice.until_cursor().await, [2]);
    assert_eq!(bob.until_cursor().await, [2]);
    resumes_with(&world, "bob", &bob, &[]).await;
}

#[tokio::test]
async fn memberships_are_found() {
    let world = world().await;
    let (team, club) = (room("team"), room("club"));
    let mut alice = world.session("alice").await;
    world.core.text(&team, "before");
    // All of it is lost: added, removed and added again, and what was said between.
    world.core.commit(&team, "bob", add("alice"));
    world.core.text(&team, "3");
    world.core.commit(&team, "bob", Body::Remove(Remove { user: user("alice") }));
    world.core.text(&team, "secret");
    world.core.commit(&team, "bob", add("alice"));
    world.core.text(&team, "7");
    assert_eq!(alice.seqs(5).await, [2, 3, 4, 6, 7]);
    world.core.say(&team, "live").await;
    assert_eq!(alice.seqs(1).await, [8]);
    let create = Body::Create(Create {
        title: "Club".into(),
        members: vec![user("alice")],
        history: weft_proto::History::All,
    });
    world.core.commit(&club, "bob", create);
    assert_eq!(alice.seqs(1).await, [1]);
    world.core.say(&club, "live").await;
    assert_eq!(alice.seqs(1).await, [2]);
    // Removed: the last that comes.
    world.core.commit(&team, "bob", Body::Remove(Remove { user: user("alice") }));
    let removed = alice.next().await;
    assert_eq!((&removed["kind"], &removed["seq"]), (&json!("remove"), &json!(9)));
    world.core.say(&team, "secret").await;
    world.core.text(&club, "3");
    assert_eq!(alice.seqs(1).await, [3]);
    alice.until_cursor().await;
    resumes_with(&world, "alice", &alice, &[]).await;
}

#[tokio::test]
async fn a_session_follows_so_many_groups_and_no_more() {
    let world = World::with(Limits { session_groups_max: 2, ..Limits::default() }).await;
    let create = || {
        Body::Create(Create {
            title: "Club".into(),
            members: vec![user("alice")],
            history: weft_proto::History::All,
        })
    };
    world.core.commit(&room("one"), "bob", create());
    world.core.commit(&room("two"), "bob", create());
    let mut alice = world.session("alice").await;
    let mut carol = world.session("carol").await;
    // One more than it may follow, while it lives and at its start.
    world.core.commit(&room("three"), "bob", create());
    assert_eq!(alice.close_code().await, 4003);
    let mut alice = world.socket().await;
    alice.send(&json!({ "id": 1, "type": "hello", "token": crate::common::token("alice") })).await;
    assert_eq!(alice.close_code().await, 4003);
    assert_eq!(carol.request(json!({ "type": "ping" })).await["type"], "pong");
}

#[tokio::test]
async fn nobody_syncs_before_the_baselines() {
    let world = World::begin(Limits::default(), |core| core.fail_audits(true)).await;
    let (status, error) = world.get("/readyz", None).await;
    assert_eq!((status, &error["error"]["code"]), (503, &json!("unavailable")));
    let mut alice = world.socket().await;
    let token = crate::common::token("alice");
    eventually("the keys are there", async || world.get("/v1/rooms", Some(&token)).await.0 == 200)
        .await;
    alice.send(&json!({ "id": 1, "type": "hello", "token": token })).await;
    assert_eq!(alice.next().await["type"], "welcome");
    // The first page says that there is no cursor; the sync from the new one waits.
    eventually("a sync has begun", async || world.core.syncs() == 1).await;
    assert_eq!(alice.request(json!({ "type": "ping" })).await["type"], "pong");
    assert_eq!(world.core.syncs(), 1);
    world.core.fail_audits(false);
    assert_eq!(alice.until_synced().await.len(), 1);
    world.ready().await;
}

#[tokio::test]
async fn another_store_makes_sessions_begin_anew() {
    let world = world().await;
    let room = room("alice~bob");
    let mut alice = world.session("alice").await;
    world.core.say(&room, "1").await;
    assert_eq!(alice.until_cursor().await, [1]);
    world.core.be_another_store();
    let synced = alice.next().await;
    assert_eq!(
        (&synced["type"], &synced["resync"]),
        (&json!("synced"), &json!("other_store")),
        "{synced}"
    );
    world.core.text(&room, "lost");
    assert_eq!(alice.until_cursor().await, [2]);
}
