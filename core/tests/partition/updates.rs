//! What a group is beside its title, and what follows from it.

use serde_json::Value;
use weft_proto::kind::{Add, ChangeRole, Delete, Edit, Leave, React, Rename, Update};
use weft_proto::{Body, JoinRule, Role, RoomId, WriteRule};
use weft_storage::tables::head::{self, Head};

use crate::create;
use crate::messages::code;
use crate::support::{World, grown, id, text, user_id};

fn update(fields: Update) -> Body {
    Body::Update(fields)
}

fn slow(seconds: u32) -> Body {
    update(Update { slow_mode_s: Some(seconds), ..Update::default() })
}

fn archived(archived: bool) -> Body {
    update(Update { archived: Some(archived), ..Update::default() })
}

fn limit(members: u32) -> Body {
    update(Update { members_max: Some(members), ..Update::default() })
}

fn writers(rule: WriteRule) -> Body {
    update(Update { write: Some(rule), ..Update::default() })
}

fn add(name: &str) -> Body {
    Body::Add(Add { user: user_id(name), role: Role::Member })
}

fn role(name: &str, role: Role) -> Body {
    Body::ChangeRole(ChangeRole { user: user_id(name), role })
}

fn react(target: u64) -> Body {
    Body::React(React { target, emoji: "+".into() })
}

fn edit(target: u64) -> Body {
    Body::Edit(Edit { target, text: "other".into(), ranges: vec![] })
}

async fn head(world: &World) -> Head {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let row = snapshot.get(head::key(&RoomId::new("team").expect("id"))).await.expect("read");
    head::decode(&row.expect("a head")).expect("whole").1
}

async fn taken(world: &World, from: &str, number: u128, body: Body) -> u64 {
    let answer = world.send(from, "team", Some(id(number)), &body).await;
    answer["seq"].as_u64().unwrap_or_else(|| panic!("refused: {answer}"))
}

#[tokio::test]
async fn what_an_update_names_changes_and_the_rest_stays() {
    let world = World::new(&["ann", "bob", "cem"]).await;
    let owner = world.own("n1").await;
    taken(&world, "ann", 1, create(&["bob", "cem"])).await;
    taken(&world, "ann", 2, role("bob", Role::Admin)).await;
    let topic = |topic: &str| update(Update { topic: Some(topic.into()), ..Update::default() });
    taken(&world, "bob", 3, topic("tea")).await;
    taken(&world, "bob", 4, slow(10)).await;
    let open = Update { join: Some(JoinRule::Open), ..Update::default() };
    for (from, number, body, expected) in [
        ("cem", 10, topic("x"), "forbidden"),
        ("cem", 11, archived(true), "forbidden"),
        ("bob", 12, update(open.clone()), "forbidden"),
        ("bob", 13, archived(true), "forbidden"),
        ("bob", 14, limit(5), "forbidden"),
        ("bob", 15, topic("tea"), "unchanged"),
        ("ann", 16, archived(false), "unchanged"),
        ("ann", 17, limit(10_000), "unchanged"),
    ] {
        assert_eq!(code(&world, from, "team", number, body).await, expected, "{from} {number}");
    }
    taken(&world, "ann", 20, update(Update { members_max: Some(3), ..open })).await;
    let now = head(&world).await;
    assert_eq!((&*now.topic, now.slow_mode_s, now.members_max()), ("tea", 10, 3));
    assert_eq!((now.join_rule(), now.write_rule()), (JoinRule::Open, WriteRule::All));
    taken(&world, "ann", 21, topic("")).await;
    taken(&world, "ann", 22, limit(100_000)).await;
    assert_eq!(head(&world).await.members_max(), 100_000);
    taken(&world, "ann", 23, limit(10_000)).await;
    let now = head(&world).await;
    assert_eq!((&*now.topic, now.slow_mode_s, now.members_max()), ("", 10, 10_000));
    assert_eq!((now.ordinal, now.members_limit), (0, 0), "nothing of it is unread");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn what_is_so_already_is_no_entry() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    taken(&world, "ann", 1, create(&["bob"])).await;
    let rename = |title: &str| Body::Rename(Rename { title: title.into() });
    let title = head(&world).await.title;
    for (number, from, body, expected) in [
        (2, "ann", rename(&title), "unchanged"),
        (3, "bob", rename(&title), "forbidden"),
        (4, "ann", role("ann", Role::Owner), "unchanged"),
        (5, "ann", role("bob", Role::Member), "unchanged"),
        (6, "bob", role("bob", Role::Member), "forbidden"),
        (7, "ann", role("ann", Role::Member), "forbidden"),
    ] {
        assert_eq!(code(&world, from, "team", number, body).await, expected, "{number}");
    }
    assert_eq!(taken(&world, "ann", 8, rename("other")).await, 2);
    assert_eq!(code(&world, "ann", "team", 9, rename("other")).await, "unchanged");
    assert_eq!(taken(&world, "ann", 10, role("bob", Role::Admin)).await, 3);
    assert_eq!(code(&world, "bob", "team", 11, rename("other")).await, "unchanged");
    // An edit is an entry whatever it says: what the text was is not looked at.
    assert_eq!(taken(&world, "ann", 12, text("other")).await, 4);
    assert_eq!(taken(&world, "ann", 13, edit(4)).await, 5);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn below_level_4_groups_are_not_updated() {
    let world = World::new(&["ann"]).await;
    world.set_level(3).await;
    let owner = world.own("n1").await;
    taken(&world, "ann", 1, create(&[])).await;
    assert_eq!(code(&world, "ann", "team", 2, slow(1)).await, "unknown_type");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn in_a_read_only_group_members_read_react_and_take_back() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    taken(&world, "ann", 1, create(&["bob"])).await;
    taken(&world, "bob", 2, text("mine")).await;
    taken(&world, "ann", 3, writers(WriteRule::Admins)).await;
    assert_eq!(code(&world, "bob", "team", 4, text("x")).await, "forbidden");
    assert_eq!(code(&world, "bob", "team", 5, edit(2)).await, "forbidden");
    taken(&world, "ann", 6, text("news")).await;
    taken(&world, "bob", 7, react(4)).await;
    taken(&world, "bob", 8, Body::Delete(Delete::of(2))).await;
    taken(&world, "ann", 9, role("bob", Role::Admin)).await;
    taken(&world, "bob", 10, text("an admin now")).await;
    taken(&world, "ann", 11, role("bob", Role::Member)).await;
    taken(&world, "ann", 12, writers(WriteRule::All)).await;
    taken(&world, "bob", 13, text("all write again")).await;
    owner.leave().await.expect("leave");
}

fn refused(answer: &Value) -> (&str, u64) {
    let error = &answer["error"];
    (error["code"].as_str().unwrap_or("none"), error["retry_after_ms"].as_u64().unwrap_or_default())
}

#[tokio::test]
async fn slow_mode_is_exact_over_takings_and_within_a_commit() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    taken(&world, "ann", 1, create(&["bob"])).await;
    taken(&world, "bob", 2, text("before")).await;
    taken(&world, "ann", 3, slow(10)).await;
    world.gate(false);
    let before = *world.engine.commits.borrow();
    // The first one counts from when it is slow; the second one is in the plan after it.
    let first = world.publish("bob", "team", Some(id(4)), &text("one"));
    grown(&world.engine.commits, before).await;
    let second = world.publish("bob", "team", Some(id(5)), &text("two"));
    let third = world.publish("bob", "team", Some(id(6)), &text("three"));
    world.gate(true);
    assert_eq!(world.bus.answer_to(&first).await["type"], "ack");
    for token in [second, third] {
        let answer = world.bus.answer_to(&token).await;
        assert_eq!(refused(&answer), ("slow_mode", 10_000));
        assert_eq!(answer["error"]["temporary"], true);
    }
    world.clock.advance_ms(4_000);
    owner.crash().await;
    let owner = world.own("n2").await;
    let send = async |from: &str, number: u128, body: Body| {
        world.send(from, "team", Some(id(number)), &body).await
    };
    assert_eq!(refused(&send("bob", 7, text("x")).await), ("slow_mode", 6_000));
    // What was acknowledged is so still.
    assert_eq!(send("bob", 4, text("one")).await["type"], "ack");
    taken(&world, "bob", 8, react(4)).await;
    taken(&world, "ann", 9, text("owners are not slow")).await;
    taken(&world, "ann", 10, text("owners are not slow")).await;
    // Who comes back has still written.
    taken(&world, "bob", 11, Body::Leave(Leave {})).await;
    taken(&world, "ann", 12, add("bob")).await;
    assert_eq!(refused(&send("bob", 13, text("x")).await), ("slow_mode", 6_000));
    world.clock.advance_ms(5_999);
    assert_eq!(refused(&send("bob", 14, text("x")).await), ("slow_mode", 1));
    world.clock.advance_ms(1);
    taken(&world, "bob", 14, text("x")).await;
    taken(&world, "ann", 15, slow(0)).await;
    taken(&world, "bob", 16, text("as fast as before")).await;
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn slow_mode_holds_in_large_groups() {
    let names: Vec<String> = (0..102).map(|number| format!("m{number}")).collect();
    let users: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = World::new(&users).await;
    let owner = world.own("n1").await;
    taken(&world, "m0", 1, create(&users[1..100])).await;
    taken(&world, "m0", 2, add("m100")).await;
    taken(&world, "m0", 3, slow(10)).await;
    taken(&world, "m7", 4, text("x")).await;
    owner.leave().await.expect("leave");
    let owner = world.own("n2").await;
    assert_eq!(code(&world, "m7", "team", 5, text("x")).await, "slow_mode");
    taken(&world, "m8", 6, text("x")).await;
    assert_eq!(code(&world, "m8", "team", 7, text("x")).await, "slow_mode");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn in_an_archived_group_nobody_says_or_changes_anything() {
    let world = World::new(&["ann", "bob", "cem"]).await;
    let owner = world.own("n1").await;
    taken(&world, "ann", 1, create(&["bob"])).await;
    taken(&world, "bob", 2, text("mine")).await;
    taken(&world, "ann", 3, archived(true)).await;
    for (from, number, body) in [
        ("ann", 10, text("x")),
        ("bob", 11, text("x")),
        ("bob", 12, edit(2)),
        ("bob", 13, react(2)),
        ("ann", 14, Body::Rename(Rename { title: "x".into() })),
        ("ann", 15, add("cem")),
        ("ann", 17, slow(5)),
        ("ann", 18, archived(true)),
    ] {
        assert_eq!(code(&world, from, "team", number, body).await, "archived", "{number}");
    }
    assert_eq!(code(&world, "bob", "team", 20, archived(false)).await, "forbidden");
    taken(&world, "bob", 21, Body::Delete(Delete::of(2))).await;
    // Who wants to leave may, as the last owner, too.
    taken(&world, "ann", 16, role("bob", Role::Admin)).await;
    taken(&world, "bob", 22, Body::Leave(Leave {})).await;
    let back = Update { archived: Some(false), topic: Some("again".into()), ..Update::default() };
    taken(&world, "ann", 23, update(back)).await;
    taken(&world, "ann", 24, add("bob")).await;
    taken(&world, "bob", 25, text("hello")).await;
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_group_takes_nobody_beyond_its_limit_and_keeps_who_is_there() {
    let world = World::new(&["ann", "bob", "cem", "dia"]).await;
    let owner = world.own("n1").await;
    taken(&world, "ann", 1, create(&["bob", "cem"])).await;
    taken(&world, "ann", 2, limit(2)).await;
    assert_eq!(code(&world, "ann", "team", 3, add("dia")).await, "room_full");
    taken(&world, "cem", 4, text("still here")).await;
    taken(&world, "cem", 5, Body::Leave(Leave {})).await;
    assert_eq!(code(&world, "ann", "team", 6, add("dia")).await, "room_full");
    taken(&world, "bob", 7, Body::Leave(Leave {})).await;
    taken(&world, "ann", 8, add("dia")).await;
    assert_eq!(code(&world, "ann", "team", 9, add("bob")).await, "room_full");
    owner.leave().await.expect("leave");
}
