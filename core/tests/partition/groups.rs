//! Nobody is put into groups without end, and who puts others there pays for each.

use bytes::Bytes;
use weft_core::partition::quota::QuotaLimits;
use weft_proto::kind::{Add, Leave};
use weft_proto::limits::GROUPS_PER_USER_MAX;
use weft_proto::{Body, Role, RoomId};
use weft_storage::Batch;
use weft_storage::tables::user_room;

use crate::create;
use crate::support::{World, id, text, user_id};

#[tokio::test]
async fn who_is_in_as_many_groups_as_one_may_be_is_put_into_no_more() {
    let world = World::new(&["mallory", "victim", "bob"]).await;
    let mut batch = Batch::new([7; 16]);
    for number in 0..GROUPS_PER_USER_MAX - 1 {
        let room = RoomId::new(&format!("g{number}")).expect("id");
        batch.set(user_room::key(&user_id("victim"), &room), Bytes::new());
    }
    world.store.commit(batch).await.expect("commit");
    let owner = world.own("n1").await;
    let send = async |number: u128, room: &str, body: Body| {
        let answer = world.send("mallory", room, Some(id(number)), &body).await;
        answer["error"]["code"].as_str().map(str::to_owned)
    };
    assert_eq!(send(1, "last", create(&["victim", "bob"])).await, None);
    let refused = Some("too_many_groups".to_owned());
    assert_eq!(send(2, "more", create(&["victim", "bob"])).await, refused);
    assert_eq!(send(3, "more", create(&["bob"])).await, None);
    let add = |name: &str| Body::Add(Add { user: user_id(name), role: Role::Member });
    assert_eq!(send(4, "more", add("victim")).await, refused);
    // Whoever leaves one makes room.
    world.send("victim", "last", Some(id(5)), &Body::Leave(Leave {})).await;
    assert_eq!(send(6, "more", add("victim")).await, None);
    assert_eq!(send(7, "more", text("welcome")).await, None);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn groups_of_strangers_are_paid_for_by_the_head() {
    let names: Vec<String> = (0..100).map(|number| format!("user-{number:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world = World::new(&names).await;
    world.quota = QuotaLimits { rate_per_s: 50, burst: 200 };
    let owner = world.own("n1").await;
    let mut taken = 0;
    for number in 0..20 {
        let body = create(&names[1..]);
        let answer = world.send(names[0], &format!("g{number}"), Some(id(number)), &body).await;
        if answer["error"]["code"] == "rate_limited" {
            assert!(answer["error"]["retry_after_ms"].as_u64().is_some_and(|wait| wait > 0));
        } else {
            taken += 1;
        }
    }
    assert_eq!(taken, 1, "the second one comes two seconds later");
    // Others, and ordinary texts, are not held back.
    assert_eq!(world.send(names[1], "g0", Some(id(1)), &text("why?")).await["seq"], 2);
    for number in 100..140 {
        let answer = world.send(names[0], "user-000~user-001", Some(id(number)), &text("x")).await;
        assert_eq!(answer["type"], "ack", "{answer}");
    }
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn how_soon_a_quota_is_used_up_does_not_tell_that_there_is_a_group() {
    let names: Vec<String> = (0..100).map(|number| format!("user-{number:03}")).collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.push("mallory");
    names.push("eve");
    let mut world = World::new(&names).await;
    world.quota = QuotaLimits { rate_per_s: 1, burst: 120 };
    let owner = world.own("n1").await;
    let made = world.send(names[0], "team", Some(id(0)), &create(&names[1..100])).await;
    assert_eq!(made["type"], "ack", "{made}");
    let mut refused = Vec::new();
    for (from, room) in [("mallory", "team"), ("eve", "nowhere")] {
        let mut codes = Vec::new();
        for number in 1..=125 {
            let answer = world.send(from, room, Some(id(number)), &text("x")).await;
            codes.push(answer["error"]["code"].as_str().unwrap_or_default().to_owned());
        }
        refused.push(codes);
    }
    assert_eq!(refused[0], refused[1]);
    assert_eq!(refused[0].last().map(String::as_str), Some("rate_limited"));
    owner.leave().await.expect("leave");
}
