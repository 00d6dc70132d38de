//! What goes out on a socket, whatever the wire does.

use serde_json::json;
use weft_proto::kind::{Add, Remove};
use weft_proto::{Body, Role};

use crate::client::Client;
use crate::common::{World, eventually, room, user};

fn add(name: &str) -> Body {
    Body::Add(Add { user: user(name), role: Role::Member })
}

/// Nothing came but the answer.
async fn is_quiet(client: &mut Client) {
    let id = client.begin(json!({ "type": "ping" })).await;
    let frame = client.next().await;
    assert_eq!((&frame["type"], &frame["id"]), (&json!("pong"), &json!(id)), "{frame}");
}

#[tokio::test]
async fn a_hole_is_filled_before_the_next_entry() {
    let world = World::new().await;
    let room = room("alice~bob");
    let mut client = world.session("alice").await;
    world.core.say(&room, "1").await;
    assert_eq!(client.seqs(1).await, [1]);
    // Seven are lost: three pages.
    for seq in 2..=8 {
        world.core.text(&room, &seq.to_string());
    }
    world.core.say(&room, "9").await;
    assert_eq!(client.seqs(8).await, [2, 3, 4, 5, 6, 7, 8, 9]);
    // Once more the same, and it is not put out again.
    let head = world.core.text(&room, "10");
    for _ in 0..3 {
        world.core.publish(&head, &["alice"]).await;
    }
    assert_eq!(client.seqs(1).await, [10]);
    world.core.say(&room, "11").await;
    assert_eq!(client.seqs(1).await, [11]);
}

#[tokio::test]
async fn what_was_lost_before_the_first_event_is_found() {
    let world = World::new().await;
    let room = room("alice~bob");
    world.core.text(&room, "before");
    let mut client = world.session("alice").await;
    world.core.text(&room, "lost");
    world.core.say(&room, "heard").await;
    assert_eq!(client.seqs(2).await, [2, 3]);
}

/// Else the first entry would look like a hole after what the device has.
#[tokio::test]
async fn what_is_new_comes_after_the_word_that_something_is_left_out() {
    let world = World::new().await;
    let group = room("team");
    world.core.commit(&group, "bob", add("alice"));
    let (_, pushes) = world.resume("alice", None).await;
    let cursor = pushes[0]["cursor"].as_str().expect("cursor").to_owned();
    world.core.text(&group, "missed");
    world.core.leave_unrecovered_and_say(&group, "meanwhile");
    let (mut client, pushes) = world.resume("alice", Some(&cursor)).await;
    assert_eq!(pushes.len(), 1, "{pushes:?}");
    assert_eq!(pushes[0]["resync"], "too_far_behind");
    let entry = client.next_or_close().await.expect("an entry");
    assert_eq!((&entry["seq"], &entry["text"]), (&json!(3), &json!("meanwhile")));
    let synced = client.next_or_close().await.expect("the end of the sync");
    assert_eq!((&synced["type"], &synced["recovered"]), (&json!("synced"), &json!(true)));
    assert!(synced["cursor"].as_str() > pushes[0]["cursor"].as_str(), "{synced}");
    world.core.say(&group, "live").await;
    assert_eq!(client.seqs(1).await, [4]);
}

#[tokio::test]
async fn all_groups_are_followed_page_by_page() {
    let world = World::new().await;
    let groups: Vec<_> = (0..7).map(|number| room(&format!("group-{number}"))).collect();
    for group in &groups {
        world.core.commit(group, "bob", add("alice"));
    }
    let mut client = world.session("alice").await;
    for group in &groups {
        world.core.say(group, "hello").await;
    }
    assert_eq!(client.seqs(7).await, [2; 7]);
}

#[tokio::test]
async fn a_joined_group_starts_at_the_joining_and_ends_at_the_leaving() {
    let world = World::new().await;
    let group = room("team");
    world.core.text(&group, "before");
    let mut alice = world.session("alice").await;
    let joining = world.core.commit(&group, "bob", add("alice"));
    // Published while the edge does not listen yet: two pages.
    for number in 0..5 {
        world.core.text(&group, &number.to_string());
    }
    world.core.publish(&joining, &["alice"]).await;
    assert_eq!(alice.seqs(6).await, [2, 3, 4, 5, 6, 7]);
    world.core.say(&group, "live").await;
    assert_eq!(alice.seqs(1).await, [8]);

    let leaving = world.core.commit(&group, "bob", Body::Remove(Remove { user: user("alice") }));
    world.core.publish(&leaving, &["alice"]).await;
    assert_eq!(alice.seqs(1).await, [9]);
    world.core.say(&group, "secret").await;
    world.core.publish(&leaving, &["alice"]).await;
    let again = world.core.commit(&group, "bob", add("alice"));
    world.core.publish(&again, &["alice"]).await;
    assert_eq!(alice.seqs(1).await, [11], "nothing between");
    is_quiet(&mut alice).await;
}

#[tokio::test]
async fn a_leaving_during_an_outage_ends_the_group() {
    let mut world = World::new().await;
    let group = room("team");
    world.core.commit(&group, "bob", add("alice"));
    let mut alice = world.session("alice").await;
    world.core.say(&group, "2").await;
    assert_eq!(alice.seqs(1).await, [2]);
    world.kill_nats().await;
    // The event of the leaving never comes.
    world.core.commit(&group, "bob", Body::Remove(Remove { user: user("alice") }));
    world.restart_nats().await;
    let removed = alice.next().await;
    assert_eq!(removed["kind"], "remove", "{removed}");
    eventually("core is back", async || world.edge_bus.flush().await.is_ok()).await;
    world.core.say(&group, "secret").await;
    world.core.bus.flush().await.expect("flush");
    world.edge_bus.flush().await.expect("flush");
    is_quiet(&mut alice).await;
}

#[tokio::test]
async fn all_devices_hear_the_same() {
    let world = World::new().await;
    let room = room("alice~bob");
    let mut devices = Vec::new();
    for _ in 0..3 {
        devices.push(world.session("alice").await);
    }
    for number in 0..50 {
        world.core.say(&room, &number.to_string()).await;
    }
    for device in &mut devices {
        assert_eq!(device.seqs(50).await, (1..=50).collect::<Vec<_>>());
    }
    // One goes; the feed stays for the others.
    drop(devices.pop());
    world.core.say(&room, "51").await;
    for device in &mut devices {
        assert_eq!(device.seqs(1).await, [51]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_is_joined_while_it_closes() {
    let world = World::new().await;
    let room = room("alice~bob");
    let mut last = Some(world.session("alice").await);
    for seq in 1..=50 {
        // The only session of the feed goes in the instant in which the next one comes.
        let leaving = last.take();
        let (mut client, ()) = tokio::join!(world.session("alice"), async { drop(leaving) });
        world.core.say(&room, &seq.to_string()).await;
        assert_eq!(client.seqs(1).await, [seq]);
        last = Some(client);
    }
}
