//! Who is kept out of a group, also by what is planned and not yet committed.

use weft_proto::kind::{Add, Ban, ChangeRole, Leave, Unban};
use weft_proto::{Body, Membership, Role, RoomId};
use weft_storage::tables::ban;

use crate::create;
use crate::messages::code;
use crate::support::{World, grown, id, text, user_id};

fn ban(name: &str) -> Body {
    Body::Ban(Ban { user: user_id(name), removed: false })
}

fn unban(name: &str) -> Body {
    Body::Unban(Unban { user: user_id(name) })
}

fn add(name: &str) -> Body {
    Body::Add(Add { user: user_id(name), role: Role::Member })
}

/// Who is banned, and by which entry.
async fn banned(world: &World) -> Vec<(String, u64)> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let room = RoomId::new("team").expect("id");
    let page = ban::page_after(&*snapshot, &room, None, 100).await.expect("read");
    page.into_iter().map(|((_, user), row)| (user.to_string(), row.seq)).collect()
}

#[tokio::test]
async fn who_is_banned_is_out_and_stays_out() {
    let world = World::new(&["ann", "bob", "cem", "dia"]).await;
    let owner = world.own("n1").await;
    let send = async |from: &str, number: u128, body: Body| {
        world.send(from, "team", Some(id(number)), &body).await["seq"].as_u64().expect("an ack")
    };
    send("ann", 1, create(&["bob", "cem"])).await;
    send("ann", 2, Body::ChangeRole(ChangeRole { user: user_id("cem"), role: Role::Admin })).await;
    for (from, number, body, expected) in [
        ("bob", 10, ban("dia"), "forbidden"),
        ("bob", 11, unban("dia"), "forbidden"),
        ("cem", 12, ban("ann"), "forbidden"),
        ("cem", 13, ban("cem"), "bad_request"),
        ("cem", 14, ban("zoe"), "no_such_user"),
        ("cem", 15, unban("bob"), "unchanged"),
    ] {
        assert_eq!(code(&world, from, "team", number, body).await, expected, "{number}");
    }
    // A sender can't say whether it ends a membership.
    let removed = Body::Ban(Ban { user: user_id("dia"), removed: true });
    assert_eq!(send("cem", 20, removed).await, 3);
    assert_eq!(send("cem", 21, ban("bob")).await, 4);
    let (event, head) = world.bus.event("team", 3).await;
    assert!(event.also.is_empty() && head.membership == Membership::Stays, "dia hears nothing");
    let (event, head) = world.bus.event("team", 4).await;
    assert_eq!((event.also, head.membership), (vec![user_id("bob")], Membership::Leaves));
    assert!(head.leaves(&user_id("bob")) && !head.leaves(&user_id("ann")));
    assert_eq!(banned(&world).await, [("bob".into(), 4), ("dia".into(), 3)]);
    for (from, number, body, expected) in [
        ("bob", 30, text("x"), "not_member"),
        ("ann", 31, add("bob"), "banned"),
        ("ann", 32, add("dia"), "banned"),
        ("ann", 33, ban("dia"), "unchanged"),
    ] {
        assert_eq!(code(&world, from, "team", number, body).await, expected, "{number}");
    }
    owner.leave().await.expect("leave");
    let owner = world.own("n2").await;
    assert_eq!(code(&world, "ann", "team", 40, add("bob")).await, "banned");
    send("ann", 41, unban("bob")).await;
    send("ann", 42, add("bob")).await;
    send("bob", 43, text("back")).await;
    assert_eq!(banned(&world).await, [("dia".into(), 3)]);
    let entries = world.entries("team").await;
    assert_eq!(entries[3].body, Body::Ban(Ban { user: user_id("bob"), removed: true }));
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn the_rooms_order_decides_within_a_commit() {
    let world = World::new(&["ann", "bob", "dia"]).await;
    let owner = world.own("n1").await;
    world.send("ann", "team", Some(id(1)), &create(&["bob"])).await;
    world.gate(false);
    let before = *world.engine.commits.borrow();
    let mut sent = vec![world.publish("bob", "team", Some(id(2)), &text("before"))];
    grown(&world.engine.commits, before).await;
    let leave = Body::Leave(Leave {});
    for (number, (from, body)) in (3..).zip([
        ("bob", text("still there")),
        ("ann", ban("bob")),
        ("bob", text("too late")),
        ("ann", add("bob")),
        ("ann", ban("dia")),
        ("ann", add("dia")),
        ("ann", unban("bob")),
        ("ann", add("bob")),
        ("bob", text("back")),
        ("bob", leave),
        ("ann", ban("bob")),
        ("ann", ban("bob")),
    ]) {
        sent.push(world.publish(from, "team", Some(id(number)), &body));
    }
    world.gate(true);
    let mut answers = Vec::new();
    for token in sent {
        let answer = world.bus.answer_to(&token).await;
        let code = answer["error"]["code"].as_str().map(str::to_owned);
        answers.push(code.unwrap_or_else(|| answer["seq"].to_string()));
    }
    let expected = [
        "2",
        "3",
        "4",
        "not_member",
        "banned",
        "5",
        "banned",
        "6",
        "7",
        "8",
        "9",
        "10",
        "unchanged",
    ];
    assert_eq!(answers, expected);
    assert_eq!(banned(&world).await, [("bob".into(), 10), ("dia".into(), 5)]);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn members_of_large_groups_are_banned_as_well() {
    let names: Vec<String> = (0..102).map(|number| format!("m{number}")).collect();
    let users: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = World::new(&users).await;
    let owner = world.own("n1").await;
    world.send("m0", "team", Some(id(1)), &create(&users[1..100])).await;
    world.send("m0", "team", Some(id(2)), &add("m100")).await;
    owner.leave().await.expect("leave");
    let owner = world.own("n2").await;
    assert_eq!(world.send("m0", "team", Some(id(3)), &ban("m7")).await["seq"], 3);
    assert_eq!(world.send("m0", "team", Some(id(4)), &ban("m101")).await["seq"], 4);
    let entries = world.entries("team").await;
    assert_eq!(entries[2].body, Body::Ban(Ban { user: user_id("m7"), removed: true }));
    assert_eq!(entries[3].body, Body::Ban(Ban { user: user_id("m101"), removed: false }));
    for name in ["m7", "m101"] {
        assert_eq!(code(&world, "m0", "team", 5, add(name)).await, "banned");
    }
    owner.leave().await.expect("leave");
}
