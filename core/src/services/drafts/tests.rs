//! Which drafts a user is told, on which pages.

use serde_json::Value;
use weft_proto::ErrorCode;
use weft_proto::limits::TEXT_CHARS_MAX;
use weft_storage::Batch;

use super::super::testing::{World, code, room, user};
use super::*;

fn ask(world: &World, who: &str, after: &str, limit: u32) -> svc::ListDrafts {
    svc::ListDrafts { token: world.token(who), after: after.into(), limit }
}

/// Rooms and versions, and whether there are more.
async fn told(world: &World, after: &str, limit: u32) -> (Vec<(String, u64)>, bool) {
    let page = world.context.drafts(ask(world, "alice", after, limit)).await.expect("a page");
    let read = |frame: &bytes::Bytes| {
        let draft: Value = serde_json::from_slice(frame).expect("json");
        assert_eq!(draft["type"], "draft");
        assert!(draft["text"].as_str().is_some_and(|text| !text.is_empty()));
        let room = draft["room"].as_str().expect("room").to_owned();
        (room, draft["version"].as_u64().expect("version"))
    };
    (page.drafts.iter().map(read).collect(), page.more)
}

#[tokio::test]
async fn drafts_are_listed_by_room_without_those_that_are_dismissed() {
    let world = World::new().await;
    for (name, version, text) in [("a", 1, "x"), ("b", 2, "x"), ("c", 3, "x"), ("d", 4, "x")] {
        world.draft("alice", name, version, text).await;
    }
    world.draft("alice", "b", 9, "").await;
    world.draft("bob", "a", 5, "his").await;
    let all = [("a", 1), ("c", 3), ("d", 4)].map(|(room, version)| (room.to_owned(), version));
    assert_eq!(told(&world, "", 0).await, (all.to_vec(), false));
    assert_eq!(told(&world, "", 2).await, (all[..2].to_vec(), true));
    assert_eq!(told(&world, "c", 2).await, (all[2..].to_vec(), false));
    assert_eq!(code(world.context.drafts(ask(&world, "alice", "a b", 0)).await), ErrorCode::BadId);
    let mut batch = Batch::new(rand::random());
    batch.set(draft::key(&user("alice"), &room("a")), bytes::Bytes::from_static(b"x"));
    world.store.commit(batch).await.expect("commit");
    assert_eq!(told(&world, "", 0).await, (all[1..].to_vec(), false), "one hides no other");
}

#[tokio::test]
async fn a_page_of_long_drafts_ends_and_goes_on() {
    let world = World::new().await;
    let long = "é".repeat(TEXT_CHARS_MAX);
    for number in 0..6 {
        world.draft("alice", &format!("g{number}"), number + 1, &long).await;
    }
    let (mut after, mut found, mut pages) = (String::new(), Vec::new(), 0);
    loop {
        let (drafts, more) = told(&world, &after, 0).await;
        pages += 1;
        after = drafts.last().expect("a draft").0.clone();
        found.extend(drafts.into_iter().map(|(_, version)| version));
        if !more {
            break;
        }
    }
    assert_eq!((found, pages), ((1..=6).collect(), 3));
}
