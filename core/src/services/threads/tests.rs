//! What is unread in threads.

use weft_proto::{Body, ErrorCode, History};
use weft_storage::Batch;
use weft_storage::tables::mark::Mark;

use super::super::testing::{World, code, create, remove, room, text, user};
use super::*;

fn reply(root: u64) -> Body {
    let json = format!(r#"{{"text":"a reply","thread":{root}}}"#);
    Body::from_json(json.as_bytes()).expect("a body")
}

/// `team` of alice and bob. Thread 2 has her replies 4, 6 and 8, thread 3 his replies 5 and 7.
async fn world() -> World {
    let mut world = World::new().await;
    world.one("team", "alice", create(&["bob"], History::All)).await;
    for _ in 2..=3 {
        world.one("team", "alice", text("root")).await;
    }
    for (from, root) in [("alice", 2), ("bob", 3), ("alice", 2), ("bob", 3), ("alice", 2)] {
        world.one("team", from, reply(root)).await;
    }
    let mut batch = Batch::new(rand::random());
    for (root, replies, last_reply) in [(2, 3, 8), (3, 2, 7)] {
        let thread = Some(Thread { replies, last_reply });
        let row = Message { thread, ..Message::default() };
        batch.set(message::key(&room("team"), root), row.encode());
    }
    world.store.commit(batch).await.expect("commit");
    world
}

async fn follow(world: &World, who: &str, root: u64, follows: bool, read: u64) {
    world.follow(who, "team", root, (follows, read)).await;
}

fn ask(world: &World, who: &str, before: u64, limit: u32) -> svc::ListThreads {
    svc::ListThreads { token: world.token(who), room: "team".into(), before, limit }
}

/// Root, read and unread of each, and whether there are more.
async fn told(world: &World, who: &str, before: u64, limit: u32) -> (Vec<(u64, u64, u64)>, bool) {
    let page = world.context.threads(ask(world, who, before, limit)).await.expect("a page");
    (page.threads.iter().map(|it| (it.root, it.read, it.unread)).collect(), page.more)
}

#[tokio::test]
async fn followed_threads_are_listed_with_what_is_unread() {
    let world = world().await;
    assert_eq!(told(&world, "bob", 0, 0).await, (vec![], false));
    follow(&world, "bob", 2, true, 4).await;
    assert_eq!(told(&world, "bob", 0, 0).await, (vec![(2, 4, 2)], false));
    // Own replies are read, and what is before them. Who joined has read the room up to there.
    follow(&world, "bob", 3, true, 0).await;
    assert_eq!(told(&world, "bob", 0, 0).await, (vec![(3, 1, 0), (2, 4, 2)], false));
    assert_eq!(told(&world, "bob", 0, 1).await, (vec![(3, 1, 0)], true));
    assert_eq!(told(&world, "bob", 3, 1).await, (vec![(2, 4, 2)], false));
    follow(&world, "bob", 3, false, 0).await;
    assert_eq!(told(&world, "bob", 0, 1).await, (vec![(2, 4, 2)], false));
    assert_eq!(
        code(world.context.threads(ask(&world, "carol", 0, 0)).await),
        ErrorCode::NoSuchRoom
    );
}

#[tokio::test]
async fn who_has_read_the_room_has_read_its_threads() {
    let mut world = world().await;
    follow(&world, "bob", 2, true, 4).await;
    let mut batch = Batch::new(rand::random());
    let mark = |read| Mark { read, ..Mark::default() };
    weft_storage::tables::mark::put(&mut batch, 0, (&room("team"), &user("bob")), &mark(6));
    world.store.commit(batch).await.expect("commit");
    assert_eq!(told(&world, "bob", 0, 0).await, (vec![(2, 6, 1)], false));
    world.one("team", "alice", remove("bob")).await;
    assert_eq!(code(world.context.threads(ask(&world, "bob", 0, 0)).await), ErrorCode::NotMember);
}

#[tokio::test]
async fn many_unread_replies_are_counted_up_to_a_limit() {
    let mut world = world().await;
    for _ in 0..UNREAD_MAX {
        world.one("team", "alice", reply(2)).await;
    }
    let row = Message {
        thread: Some(Thread { replies: 3 + UNREAD_MAX as u64, last_reply: 8 + UNREAD_MAX as u64 }),
        ..Message::default()
    };
    let mut batch = Batch::new(rand::random());
    batch.set(message::key(&room("team"), 2), row.encode());
    world.store.commit(batch).await.expect("commit");
    for (read, unread, has_more) in [(8, 1_000, false), (6, 1_000, true)] {
        follow(&world, "bob", 2, true, read).await;
        let page = world.context.threads(ask(&world, "bob", 0, 0)).await.expect("a page");
        let thread = &page.threads[0];
        assert_eq!((thread.unread, thread.has_more_unread), (unread, has_more));
    }
}

/// There may be any number of these.
#[tokio::test]
async fn silent_replies_are_looked_at_up_to_the_limit_too() {
    let mut world = world().await;
    let silent = Body::from_json(br#"{"text":"x","thread":2,"silent":true}"#).expect("a body");
    for _ in 0..UNREAD_MAX {
        world.one("team", "alice", silent.clone()).await;
    }
    let row = Message {
        thread: Some(Thread { replies: 3 + UNREAD_MAX as u64, last_reply: 8 + UNREAD_MAX as u64 }),
        ..Message::default()
    };
    let mut batch = Batch::new(rand::random());
    batch.set(message::key(&room("team"), 2), row.encode());
    world.store.commit(batch).await.expect("commit");
    for (read, has_more) in [(8, false), (4, true)] {
        follow(&world, "bob", 2, true, read).await;
        let page = world.context.threads(ask(&world, "bob", 0, 0)).await.expect("a page");
        let thread = &page.threads[0];
        assert_eq!((thread.unread, thread.has_more_unread), (0, has_more));
    }
}
