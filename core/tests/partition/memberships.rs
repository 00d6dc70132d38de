//! When users were members of a group, as the owner writes it.

use weft_proto::kind::{Add, Leave};
use weft_proto::{Body, History, Role, RoomId};
use weft_storage::Batch;
use weft_storage::tables::layout::{self, FEATURE_LEVEL, Layout};
use weft_storage::tables::member::{self, Member};

use crate::create;
use crate::support::{World, grown, id, text, user_id};

fn add(name: &str) -> Body {
    Body::Add(Add { user: user_id(name), role: Role::Member })
}

async fn row(world: &World, who: &str) -> Member {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let key = member::key(&RoomId::new("team").expect("id"), &user_id(who));
    Member::decode(&snapshot.get(key).await.expect("read").expect("a row")).expect("whole")
}

async fn memberships(world: &World, who: &str) -> Vec<(u64, u64)> {
    row(world, who).await.memberships().collect()
}

#[tokio::test]
async fn who_comes_and_goes_is_known_by_any_owner() {
    let world = World::new(&["ann", "bob"]).await;
    let mut number = 0;
    let mut send = async |from: &str, body: Body| {
        number += 1;
        world.send(from, "team", Some(id(number)), &body).await["seq"].as_u64().expect("an ack")
    };
    let owner = world.own("n1").await;
    assert_eq!(send("ann", create(&["bob"])).await, 1);
    assert_eq!(send("bob", Body::Leave(Leave {})).await, 2);
    assert_eq!(send("ann", add("bob")).await, 3);
    assert_eq!(send("bob", Body::Leave(Leave {})).await, 4);
    owner.leave().await.expect("leave");
    let owner = world.own("n2").await;
    assert_eq!(send("ann", text("five")).await, 5);
    assert_eq!(send("ann", add("bob")).await, 6);
    let expected = [(1, 2), (3, 4), (6, u64::MAX)];
    assert_eq!(memberships(&world, "bob").await, expected);
    assert!(row(&world, "bob").await.knows_from(1));
    let history = |seq| {
        let row = row(&world, "bob");
        async move { row.await.sees(History::Joined, seq) }
    };
    assert!(history(4).await && !history(5).await && history(6).await);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn who_comes_and_goes_within_a_commit_is_known_too() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    world.send("ann", "team", Some(id(1)), &create(&["bob"])).await;
    world.gate(false);
    let before = *world.engine.commits.borrow();
    let mut sent = vec![world.publish("bob", "team", Some(id(2)), &Body::Leave(Leave {}))];
    grown(&world.engine.commits, before).await;
    for (number, (from, body)) in (3..).zip([
        ("ann", add("bob")),
        ("bob", Body::Leave(Leave {})),
        ("ann", text("five")),
        ("ann", add("bob")),
    ]) {
        sent.push(world.publish(from, "team", Some(id(number)), &body));
    }
    world.gate(true);
    for token in sent {
        let answer = world.bus.answer_to(&token).await;
        assert!(answer["error"].is_null(), "{answer}");
    }
    assert_eq!(memberships(&world, "bob").await, [(1, 2), (3, 4), (6, u64::MAX)]);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_large_groups_members_come_and_go_as_well() {
    let names: Vec<String> = (0..101).map(|number| format!("m{number}")).collect();
    let users: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = World::new(&users).await;
    let owner = world.own("n1").await;
    world.send("m0", "team", Some(id(1)), &create(&users[1..100])).await;
    world.send("m0", "team", Some(id(2)), &add("m100")).await;
    world.send("m7", "team", Some(id(3)), &Body::Leave(Leave {})).await;
    owner.leave().await.expect("leave");
    let owner = world.own("n2").await;
    assert_eq!(world.send("m0", "team", Some(id(4)), &add("m7")).await["seq"], 4);
    assert_eq!(memberships(&world, "m7").await, [(1, 3), (4, u64::MAX)]);
    assert_eq!(world.send("m7", "team", Some(id(5)), &text("back")).await["seq"], 5);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn below_level_3_the_last_membership_alone_is_written() {
    let world = World::new(&["ann", "bob"]).await;
    let mut batch = Batch::new([8; 16]);
    let row_of_before = Layout { feature_level: FEATURE_LEVEL.min(2), ..Layout::new(1, 7) };
    batch.set(layout::key(), row_of_before.encode());
    world.store.commit(batch).await.expect("commit");
    let owner = world.own("n1").await;
    world.send("ann", "team", Some(id(1)), &create(&["bob"])).await;
    world.send("bob", "team", Some(id(2)), &Body::Leave(Leave {})).await;
    world.send("ann", "team", Some(id(3)), &add("bob")).await;
    assert_eq!(row(&world, "bob").await, Member::new(Some(Role::Member), 3, 0));
    owner.leave().await.expect("leave");
}
