//! Members' lists of rooms are in the order of the newest entries, whatever becomes of the rooms.

use std::collections::BTreeSet;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use weft_proto::kind::{Add, Leave, React, Remove};
use weft_proto::{Body, ClientId, Role, RoomId};
use weft_runtime::Clock as _;
use weft_storage::tables::activity::{self, ActivityBucket};
use weft_storage::tables::{head, member};

use crate::create;
use crate::support::{World, id, text, user_id};

/// The rows that there are.
async fn rows(world: &World, users: &[String]) -> BTreeSet<Bytes> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let mut rows = BTreeSet::new();
    for user in users {
        let range = activity::range_from(&user_id(user), ActivityBucket::LARGE);
        let found = snapshot.scan(range, usize::MAX, false).await.expect("scan");
        rows.extend(found.into_iter().map(|(key, _)| key));
    }
    rows
}

/// Those that there have to be, by the heads and the members of all rooms.
async fn expected(world: &World) -> BTreeSet<Bytes> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let mut rows = BTreeSet::new();
    for (room, head) in head::page_after(&*snapshot, None, 1_000).await.expect("heads") {
        let members = match room.direct_users() {
            Some((low, high)) => vec![low, high],
            None => {
                let all = member::all(&*snapshot, &room).await.expect("members").into_iter();
                all.filter(|(_, row)| row.role().is_some()).map(|(user, _)| user).collect()
            }
        };
        let bucket = ActivityBucket::of(&head);
        rows.extend(members.iter().map(|user| activity::key(user, bucket, &room)));
    }
    rows
}

fn any_body(random: &mut StdRng, users: &[String]) -> Body {
    let user = user_id(&users[random.random_range(1..users.len())]);
    match random.random_range(0..6) {
        0 => Body::Add(Add { user, role: Role::Member }),
        1 => Body::Remove(Remove { user }),
        2 => Body::Leave(Leave {}),
        3 => Body::React(React { target: random.random_range(1..5), emoji: "+".into() }),
        _ => text("x"),
    }
}

#[tokio::test(start_paused = true)]
async fn each_member_has_one_row_of_a_room_where_its_newest_entry_says() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let users: Vec<String> = (0..6).map(|number| format!("u{number}")).collect();
    let names: Vec<&str> = users.iter().map(String::as_str).collect();
    let world = World::new(&names).await;
    let mut owner = world.own("n0").await;
    let rooms = ["team", "crew", "u0~u1", "u2~u2"];
    for (number, room) in rooms.iter().enumerate().take(2) {
        world.send("u0", room, Some(id(number as u128)), &create(&["u1"])).await;
    }
    let mut taken = 0;
    for number in 10..400 {
        let (room, sender) = (random.random_range(0..4), random.random_range(0..3));
        let body = any_body(&mut random, &users);
        let id = ClientId::from_parts(world.clock.now_ms(), number);
        let token = world.publish(names[sender], rooms[room], Some(id), &body);
        if random.random_bool(0.3) {
            world.clock.advance_ms(random.random_range(0..3) * 1_200_000);
        }
        let answer = world.bus.answer_to(&token).await;
        taken += u32::from(answer["error"].is_null());
        if number % 50 == 0 {
            owner.crash().await;
            owner = world.own(&format!("n{number}")).await;
        }
        assert_eq!(rows(&world, &users).await, expected(&world).await, "after {body:?}");
    }
    assert!(taken > 20, "{taken} were taken");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_group_that_becomes_large_is_moved_once() {
    let users: Vec<String> = (0..103).map(|number| format!("u{number:03}")).collect();
    let names: Vec<&str> = users.iter().map(String::as_str).collect();
    let world = World::new(&names).await;
    let owner = world.own("n1").await;
    world.send("u000", "crowd", Some(id(1)), &create(&names[1..100])).await;
    let add = |number: usize| Body::Add(Add { user: user_id(names[number]), role: Role::Member });
    let large = RoomId::new("crowd").expect("id");
    let row = |user: &str| activity::key(&user_id(user), ActivityBucket::LARGE, &large);
    world.clock.advance_ms(3_600_000);
    for number in 100..103 {
        world.send("u000", "crowd", Some(id(number as u128)), &add(number)).await;
        assert_eq!(rows(&world, &users).await, expected(&world).await);
    }
    assert!(rows(&world, &users).await.contains(&row("u102")));
    world.clock.advance_ms(3_600_000);
    let before = rows(&world, &users).await;
    world.send("u001", "crowd", Some(id(200)), &text("x")).await;
    assert_eq!(rows(&world, &users).await, before);
    world.send("u001", "crowd", Some(id(201)), &Body::Leave(Leave {})).await;
    assert!(!rows(&world, &users).await.contains(&row("u001")));
    assert_eq!(rows(&world, &users).await, expected(&world).await);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_head_names_the_newest_entry_that_a_list_shows() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    let room = RoomId::new("team").expect("id");
    let react = |target| Body::React(React { target, emoji: "+".into() });
    let edit = Body::from_json(br#"{"kind":"edit","target":2,"text":"y"}"#).expect("a body");
    let delete = Body::from_json(br#"{"kind":"delete","target":2}"#).expect("a body");
    for (number, (body, shown)) in (1..).zip([
        (create(&["bob"]), 1),
        (text("x"), 2),
        (react(2), 2),
        (edit, 2),
        (Body::Remove(Remove { user: user_id("bob") }), 5),
        (delete, 5),
    ]) {
        let answer = world.send("ann", "team", Some(id(number)), &body).await;
        assert_eq!(answer["type"], "ack", "{answer}");
        let snapshot = world.store.snapshot().await.expect("snapshot");
        let row = snapshot.get(head::key(&room)).await.expect("get").expect("a head");
        assert_eq!(head::decode(&row).expect("a head").1.preview_seq, shown, "{body:?}");
    }
    owner.leave().await.expect("leave");
}
