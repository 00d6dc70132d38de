//! Who finds which pinned messages, and as they are now.

use serde_json::Value;
use weft_proto::kind::{self, Edit};
use weft_proto::{Body, ErrorCode, History};
use weft_storage::Batch;
use weft_storage::tables::message::{self, Message, Pinned};

use super::super::testing::{World, add, code, create, remove, room, text};
use super::*;

/// `team` of alice: her messages 2 to 5, of which 4, 2 and 3 are pinned by 6, 7 and 8; 3 is edited by 9.
/// Dave is added after that by 10, and bob was there and left.
async fn world(history: History) -> World {
    let mut world = World::new().await;
    world.one("team", "alice", create(&["bob"], history)).await;
    for number in 2..=5 {
        world.one("team", "alice", text(&format!("{number}"))).await;
    }
    let mut batch = Batch::new(rand::random());
    for (target, seq) in [(4, 6), (2, 7), (3, 8)] {
        world.one("team", "alice", Body::Pin(kind::Pin { target })).await;
        let pinned = Pinned { seq, by: "alice".into(), time_ms: 7 };
        let edits = if target == 3 { vec![9] } else { Vec::new() };
        let row = Message { pinned: Some(pinned), edits, ..Message::default() };
        batch.set(message::key(&room("team"), target), row.encode());
        batch.set(pin::key(&room("team"), target), pin::encode(seq));
    }
    let edit = Edit { target: 3, text: "three".into(), ranges: Vec::new() };
    world.one("team", "alice", Body::Edit(edit)).await;
    world.store.commit(batch).await.expect("commit");
    world.one("team", "alice", add("dave")).await;
    world.one("team", "alice", remove("bob")).await;
    world
}

fn ask(world: &World, who: &str, before: u64, limit: u32) -> svc::ListPins {
    svc::ListPins { token: world.token(who), room: "team".into(), before, limit }
}

/// Seqs and texts, and whether there are more.
async fn told(world: &World, who: &str, before: u64, limit: u32) -> (Vec<(u64, String)>, bool) {
    let page = world.context.pins(ask(world, who, before, limit)).await.expect("a page");
    let read = |frame: &bytes::Bytes| {
        let entry: Value = serde_json::from_slice(frame).expect("json");
        let pinned = &entry["pinned"];
        assert_eq!((&pinned["by"], &pinned["time"]), (&"alice".into(), &7.into()), "{entry}");
        assert!(pinned["seq"].as_u64().is_some_and(|seq| (6..=8).contains(&seq)), "{entry}");
        (entry["seq"].as_u64().expect("seq"), entry["text"].as_str().expect("text").to_owned())
    };
    (page.entries.iter().map(read).collect(), page.more)
}

#[tokio::test]
async fn pinned_messages_are_listed_as_they_are_now_the_last_pinned_first() {
    let world = world(History::All).await;
    let all = [(3, "three"), (2, "2"), (4, "4")].map(|(seq, text)| (seq, text.to_owned()));
    assert_eq!(told(&world, "alice", 0, 0).await, (all.to_vec(), false));
    assert_eq!(told(&world, "dave", 0, 2).await, (all[..2].to_vec(), true));
    assert_eq!(told(&world, "dave", 7, 2).await, (all[2..].to_vec(), false));
    assert_eq!(code(world.context.pins(ask(&world, "bob", 0, 0)).await), ErrorCode::NotMember);
    assert_eq!(code(world.context.pins(ask(&world, "carol", 0, 0)).await), ErrorCode::NoSuchRoom);
    // One that a damaged store lacks is left out.
    world.remove_entries("team", &[2]).await;
    assert_eq!(told(&world, "alice", 0, 0).await.0, [all[0].clone(), all[2].clone()]);
}

#[tokio::test]
async fn who_sees_a_group_from_the_own_joining_on_sees_pins_from_there_on() {
    let world = world(History::Joined).await;
    assert_eq!(told(&world, "dave", 0, 0).await, (Vec::new(), false));
    assert_eq!(told(&world, "alice", 0, 0).await.0.len(), 3);
}
