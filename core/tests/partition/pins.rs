//! Which messages are pinned, also those that are planned and not yet committed.

use weft_core::partition::quota::QuotaLimits;
use weft_proto::kind::{Add, Delete, Pin, Unpin};
use weft_proto::{Body, Role, RoomId};
use weft_storage::tables::message::Pinned;
use weft_storage::tables::pin;

use crate::create;
use crate::messages::{code, rows};
use crate::support::{START_MS, World, grown, id, text, user_id};

fn pin(target: u64) -> Body {
    Body::Pin(Pin { target })
}

fn unpin(target: u64) -> Body {
    Body::Unpin(Unpin { target })
}

/// Message and `pin`, as the table has them; the messages' rows say the same.
async fn pinned(world: &World, room: &str) -> Vec<(u64, u64)> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let listed = pin::of_room(&*snapshot, &RoomId::new(room).expect("id")).await.expect("read");
    let listed: Vec<_> = listed.into_iter().map(|((_, seq), row)| (seq, row.seq)).collect();
    let rows = rows(world, room).await;
    let told = rows.iter().filter_map(|(seq, row)| Some((*seq, row.pinned.as_ref()?.seq)));
    assert_eq!(told.collect::<Vec<_>>(), listed);
    listed
}

#[tokio::test]
async fn admins_pin_in_groups_and_both_users_in_direct_rooms() {
    let world = World::new(&["ann", "bob", "cem"]).await;
    let owner = world.own("n1").await;
    world.send("ann", "team", Some(id(1)), &create(&["bob"])).await;
    world.send("bob", "team", Some(id(2)), &text("one")).await;
    assert_eq!(code(&world, "bob", "team", 3, pin(2)).await, "forbidden");
    assert_eq!(code(&world, "cem", "team", 4, pin(2)).await, "no_such_room");
    assert_eq!(code(&world, "ann", "team", 5, unpin(2)).await, "unchanged");
    assert_eq!(world.send("ann", "team", Some(id(6)), &pin(2)).await["seq"], 3);
    let row = rows(&world, "team").await[&2].clone();
    assert_eq!(row.pinned, Some(Pinned { seq: 3, by: "ann".into(), time_ms: START_MS }));
    for (number, body, expected) in [
        (7, pin(2), "unchanged"),
        (8, pin(1), "not_found"),
        (9, pin(3), "not_found"),
        (10, pin(99), "not_found"),
    ] {
        assert_eq!(code(&world, "ann", "team", number, body).await, expected, "{number}");
    }
    assert_eq!(pinned(&world, "team").await, [(2, 3)]);
    assert_eq!(code(&world, "bob", "team", 11, unpin(2)).await, "forbidden");
    assert_eq!(world.send("ann", "team", Some(id(12)), &unpin(2)).await["seq"], 4);
    assert!(pinned(&world, "team").await.is_empty());
    let direct = "ann~bob";
    world.send("ann", direct, Some(id(20)), &text("one")).await;
    assert_eq!(world.send("bob", direct, Some(id(21)), &pin(1)).await["seq"], 2);
    assert_eq!(pinned(&world, direct).await, [(1, 2)]);
    // What is deleted is pinned no more, and can't be again.
    let delete = Body::Delete(Delete::of(1));
    assert_eq!(world.send("ann", direct, Some(id(22)), &delete).await["seq"], 3);
    assert!(pinned(&world, direct).await.is_empty());
    assert_eq!(code(&world, "bob", direct, 23, pin(1)).await, "deleted");
    assert_eq!(code(&world, "bob", direct, 24, unpin(1)).await, "deleted");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn nobody_pins_what_they_may_not_read() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    let create = Body::from_json(br#"{"kind":"create","title":"T","history":"joined"}"#);
    world.send("ann", "team", Some(id(1)), &create.expect("a body")).await;
    world.send("ann", "team", Some(id(2)), &text("before")).await;
    let add = Body::Add(Add { user: user_id("bob"), role: Role::Admin });
    world.send("ann", "team", Some(id(3)), &add).await;
    assert_eq!(code(&world, "bob", "team", 4, pin(2)).await, "not_found");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_room_has_a_hundred_pins_those_underway_included() {
    let mut world = World::new(&["ann", "bob"]).await;
    world.quota = QuotaLimits { rate_per_s: 1_000_000, burst: 1_000_000 };
    let owner = world.own("n1").await;
    let room = "ann~bob";
    for number in 1..=102 {
        world.send("ann", room, Some(id(number)), &text("x")).await;
    }
    for seq in 1..=98 {
        world.send("ann", room, Some(id(200 + u128::from(seq))), &pin(seq)).await;
    }
    world.gate(false);
    let before = *world.engine.commits.borrow();
    let mut sent = vec![world.publish("ann", room, Some(id(300)), &pin(99))];
    grown(&world.engine.commits, before).await;
    let body = |target| Body::Delete(Delete::of(target));
    for (number, body) in
        (301..).zip([pin(100), pin(101), unpin(1), pin(101), pin(102), body(2), pin(102)])
    {
        sent.push(world.publish("ann", room, Some(id(number)), &body));
    }
    world.gate(true);
    let mut codes = Vec::new();
    for token in sent {
        let answer = world.bus.answer_to(&token).await;
        codes.push(answer["error"]["code"].as_str().unwrap_or("ok").to_owned());
    }
    let (ok, full) = ("ok", "limit_reached");
    assert_eq!(codes, [ok, ok, full, ok, ok, full, ok, ok]);
    let pinned: Vec<u64> = pinned(&world, room).await.into_iter().map(|(seq, _)| seq).collect();
    assert_eq!(pinned, (3..=102).collect::<Vec<_>>());
    owner.leave().await.expect("leave");
}
