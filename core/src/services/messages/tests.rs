//! What history does not show of a message.

use serde_json::Value;
use weft_proto::kind::{Attachment, Attachments, Deleted, File, FileFacts, Text};
use weft_proto::{FileId, History};
use weft_storage::Batch;
use weft_storage::tables::message::ReactionCount;

use super::super::testing::{World, add, code, create, remove, room, text, user};
use super::*;

fn edit(target: u64, text: &str) -> Body {
    Body::Edit(Edit { target, text: text.into(), ranges: Vec::new() })
}

/// `team` of alice and bob: her message 2 and its edits 3 and 5; bob is removed by 4.
async fn world() -> World {
    let mut world = World::new().await;
    world.one("team", "alice", create(&["bob"], History::All)).await;
    for body in [text("one"), edit(2, "two"), remove("bob"), edit(2, "three")] {
        world.one("team", "alice", body).await;
    }
    write(&world, 2, &Message { edits: vec![3, 5], ..Message::default() }, &[]).await;
    world
}

/// Writes what became of a message of `team`, and who has put `+` on it.
async fn write(world: &World, target: u64, row: &Message, reacted: &[&str]) {
    let mut batch = Batch::new(rand::random());
    batch.set(message::key(&room("team"), target), row.encode());
    for name in reacted {
        batch.set(reaction::key(&room("team"), target, "+", &user(name)), reaction::encode(9));
    }
    world.store.commit(batch).await.expect("commit");
}

fn ask(world: &World, who: &str, target: u64) -> svc::ReadVersions {
    svc::ReadVersions { token: world.token(who), room: "team".into(), target, after: 0 }
}

/// Seqs and texts.
fn told(page: &svc::Versions) -> Vec<(u64, String)> {
    let read = |bytes: &bytes::Bytes| {
        let version: Value = serde_json::from_slice(bytes).expect("json");
        assert!(version["time"].as_u64().is_some_and(|time| time > 0), "{version}");
        (version["seq"].as_u64().expect("seq"), version["text"].as_str().expect("text").to_owned())
    };
    page.versions.iter().map(read).collect()
}

#[tokio::test]
async fn the_texts_that_a_message_has_had_are_read_as_far_as_one_may() {
    let world = world().await;
    let all = world.context.versions(ask(&world, "alice", 2)).await.expect("versions");
    let expected = [(2, "one"), (3, "two"), (5, "three")].map(|(seq, text)| (seq, text.to_owned()));
    assert_eq!((told(&all), all.more), (expected.to_vec(), false));
    let after = svc::ReadVersions { after: 2, ..ask(&world, "alice", 2) };
    let after = world.context.versions(after).await.expect("versions");
    assert_eq!(told(&after), expected[1..]);
    let left = world.context.versions(ask(&world, "bob", 2)).await.expect("versions");
    assert_eq!(told(&left), expected[..2], "bob left before the last one");
    for (who, target, expected) in [
        ("alice", 1, ErrorCode::NotFound),
        ("alice", 3, ErrorCode::NotFound),
        ("alice", 9, ErrorCode::NotFound),
        ("bob", 5, ErrorCode::NotFound),
        ("carol", 2, ErrorCode::NoSuchRoom),
    ] {
        let asked = world.context.versions(ask(&world, who, target)).await;
        assert_eq!(code(asked), expected, "{who} {target}");
    }
}

#[tokio::test]
async fn a_deleted_message_has_no_versions_and_no_reactions() {
    let mut world = world().await;
    world.one("team", "alice", Body::Deleted(Deleted { by: 7, thread: None })).await;
    // Of an edit of a deleted message there is no row.
    world.one("team", "alice", Body::Deleted(Deleted { by: 7, thread: None })).await;
    write(&world, 6, &Message { deleted_by: 7, ..Message::default() }, &[]).await;
    for (target, expected) in [(6, ErrorCode::Deleted), (7, ErrorCode::NotFound)] {
        assert_eq!(code(world.context.versions(ask(&world, "alice", target)).await), expected);
        let reactions = reactions(&world, "alice", target, "", 0);
        assert_eq!(code(world.context.reactions(reactions).await), expected);
    }
}

#[tokio::test]
async fn many_large_versions_come_in_pages() {
    let mut world = World::new().await;
    world.one("team", "alice", create(&[], History::All)).await;
    // 600 kB as JSON each, and almost nothing in the store.
    let large = "\u{1}".repeat(100_000);
    world.one("team", "alice", text(&large)).await;
    for _ in 3..=8 {
        world.one("team", "alice", edit(2, &large)).await;
    }
    world.one("team", "alice", edit(2, "small")).await;
    write(&world, 2, &Message { edits: (3..=9).collect(), ..Message::default() }, &[]).await;
    let (mut read, mut after, mut more) = (Vec::new(), 0, true);
    while more {
        let page = svc::ReadVersions { after, ..ask(&world, "alice", 2) };
        let page = world.context.versions(page).await.expect("versions");
        assert!(prost::Message::encoded_len(&page) < 1_100_000);
        read.extend(told(&page).into_iter().map(|(seq, _)| seq));
        (after, more) = (*read.last().expect("one"), page.more);
    }
    assert_eq!(read, (2..=9).collect::<Vec<_>>());
}

fn reactions(world: &World, who: &str, target: u64, after: &str, limit: u32) -> svc::ListReactions {
    let (token, room, emoji) = (world.token(who), "team".into(), "+".into());
    svc::ListReactions { token, room, target, emoji, after: after.into(), limit }
}

#[tokio::test]
async fn who_has_reacted_is_listed_in_pages() {
    let mut world = world().await;
    world.one("team", "alice", add("carol")).await;
    let row = Message {
        reactions: vec![ReactionCount { emoji: "+".into(), count: 3 }],
        ..Message::default()
    };
    write(&world, 2, &row, &["dave", "alice", "carol"]).await;
    let told = async |after: &str, limit| {
        let page = world.context.reactions(reactions(&world, "carol", 2, after, limit)).await;
        let page = page.expect("a page");
        (page.users.join(" "), page.more)
    };
    assert_eq!(told("", 0).await, ("alice carol dave".into(), false));
    assert_eq!(told("", 2).await, ("alice carol".into(), true));
    assert_eq!(told("carol", 2).await, ("dave".into(), false));
    let other = svc::ListReactions { emoji: "-".into(), ..reactions(&world, "alice", 2, "", 0) };
    assert!(world.context.reactions(other).await.expect("a page").users.is_empty());
    // What became of messages is not for those who left.
    let left = world.context.reactions(reactions(&world, "bob", 2, "", 0)).await;
    assert_eq!(code(left), ErrorCode::NotMember);
    for (emoji, expected) in [("", ErrorCode::BadRequest), ("a\0b", ErrorCode::BadRequest)] {
        let asked = reactions(&world, "alice", 2, "", 0);
        let asked = svc::ListReactions { emoji: emoji.into(), ..asked };
        assert_eq!(code(world.context.reactions(asked).await), expected);
    }
}

/// Small messages, each with a large edit: a page ends with the first of them, and so does its reading.
#[tokio::test]
async fn a_page_holds_no_more_edits_than_it_shows() {
    let mut world = World::new().await;
    world.one("team", "alice", create(&[], History::All)).await;
    let large = "x".repeat(90_000);
    for seq in 2..=21 {
        world.one("team", "alice", text("small")).await;
        let row = Message { edits: vec![seq + 20], edited_at_ms: 1, ..Message::default() };
        write(&world, seq, &row, &[]).await;
    }
    for seq in 2..=21 {
        world.one("team", "alice", edit(seq, &large)).await;
    }
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let limit = log::Limit { entries_max: 20, bytes_max: usize::MAX };
    let read = log::read(&*snapshot, &room("team"), 2..22, limit).await.expect("read");
    let shown =
        now(&*snapshot, &room("team"), (&user("alice"), 0), (read, 100_000)).await.expect("now");
    assert_eq!(shown.len(), TEXTS_AT_ONCE);
    // And page by page all of them come.
    let (mut after, mut seqs) = (1, Vec::new());
    while seqs.len() < 20 {
        let request = svc::ReadLog {
            token: world.token("alice"),
            room: "team".into(),
            after: Some(after),
            to: 21,
            merged: true,
            ..svc::ReadLog::default()
        };
        let page = world.context.log_read(request).await.expect("a page");
        for entry in &page.entries {
            let frame: Value = serde_json::from_slice(&entry.frame).expect("json");
            assert_eq!(frame["text"].as_str().map(str::len), Some(90_000));
            seqs.push(frame["seq"].as_u64().expect("seq"));
        }
        assert!(page.through > after, "it goes on");
        after = page.through;
    }
    assert_eq!(seqs, (2..=21).collect::<Vec<_>>());
}

/// Where few have reacted, all rows are scanned, else those that may be the reader's are read: they are told the
/// same.
#[tokio::test]
async fn readers_are_told_which_reactions_are_their_own() {
    let world = world().await;
    let others: Vec<String> = (0..20).map(|number| format!("u{number}")).collect();
    for count in [0, 1, 7, 8, 20] {
        for is_own in [false, true] {
            let mut names: Vec<&str> = others[..count].iter().map(String::as_str).collect();
            names.extend(is_own.then_some("alice"));
            let of = |emoji: &str, count: usize| ReactionCount {
                emoji: emoji.into(),
                count: u32::try_from(count).expect("small"),
            };
            let mut reactions = vec![of("-", 1), of("+", names.len())];
            reactions.retain(|it| it.count > 0);
            let row = Message { reactions, ..Message::default() };
            write(&world, 2, &row, &names).await;
            let request = svc::ReadLog {
                token: world.token("alice"),
                room: "team".into(),
                after: Some(1),
                limit: 1,
                merged: true,
                ..svc::ReadLog::default()
            };
            let page = world.context.log_read(request).await.expect("a page");
            let shown: Value = serde_json::from_slice(&page.entries[0].frame).expect("json");
            let own = |it: &Value| (it["emoji"] == "+").then(|| it["own"].as_bool());
            let told = shown["reactions"].as_array().expect("reactions").iter().find_map(own);
            let expected = (!names.is_empty()).then_some(Some(is_own));
            assert_eq!(told, expected, "{count} others: {shown}");
        }
        let mut batch = Batch::new(rand::random());
        let all = reaction::range(&room("team"), 2);
        batch.clear_range(all.start, all.end);
        world.store.commit(batch).await.expect("commit");
    }
}

#[tokio::test]
async fn history_says_that_files_have_expired() {
    let mut world = World::new().await;
    world.one("team", "alice", create(&[], History::All)).await;
    let expires = world.context.clock.now_ms() + 1_000;
    let facts = Some(Box::new(FileFacts { expires, ..FileFacts::default() }));
    let files = vec![Attachment { id: FileId::from_parts(1, 2), facts }];
    let caption = Text { text: "a".into(), ..Text::default() };
    world.one("team", "alice", Body::File(File(Attachments { caption, files }))).await;
    let read = async |world: &World, merged| {
        let (token, room) = (world.token("alice"), "team".into());
        let request =
            svc::ReadLog { token, room, after: Some(1), merged, ..svc::ReadLog::default() };
        let page = world.context.log_read(request).await.expect("read");
        let frame: Value = serde_json::from_slice(&page.entries[0].frame).expect("json");
        frame["files"][0]["expired"].clone()
    };
    assert_eq!(read(&world, true).await, Value::Null);
    world.clock.advance_ms(1_000);
    assert_eq!(read(&world, true).await, true);
    assert_eq!(read(&world, false).await, Value::Null, "as it was taken");
}
