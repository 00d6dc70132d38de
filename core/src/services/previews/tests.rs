use weft_proto::History;
use weft_proto::kind::LinkPreview;
use weft_runtime::Clock as _;
use weft_storage::tables::applied::{self, Applied};
use weft_storage::tables::journal::Journal;

use super::super::testing::{World, code, create, room, text};
use super::*;

/// As the owner writes it: the journal of partition 1, with all entries of `team` and these kinds.
async fn journal(world: &World, commit_no: u64, kinds: &[(u64, &str)], age_ms: u64) {
    let entry = |(seq, kind): &(u64, &str)| JournalEntry {
        room: "team".into(),
        seq: *seq,
        kind: (*kind).to_owned(),
        ..JournalEntry::default()
    };
    let entries = kinds.iter().map(entry).collect();
    let time_ms = world.clock.now_ms() - age_ms;
    let row = Journal { entries, time_ms, ..Journal::default() };
    let mut batch = Batch::new(rand::random());
    batch.set(journal::key(1, commit_no), row.encode());
    let applied = Applied { commit_no: Some(commit_no), ..Applied::default() };
    batch.set(applied::key(1), applied.encode());
    world.store.commit(batch).await.expect("commit");
}

async fn change(world: &World, seq: u64, row: &Message) {
    let mut batch = Batch::new(rand::random());
    batch.set(message::key(&room("team"), seq), row.encode());
    world.store.commit(batch).await.expect("commit");
}

async fn found(world: &World, after: u64) -> svc::FoundLinks {
    world.context.preview_links(svc::FindLinks { partition: 1, after }).await.expect("links")
}

fn urls(found: &svc::FoundLinks) -> Vec<(u64, Option<u64>, &str)> {
    found.links.iter().map(|link| (link.seq, link.edit, &*link.url)).collect()
}

#[tokio::test]
async fn links_are_found_where_messages_are_to_have_a_preview() {
    let mut world = World::new().await;
    world.one("team", "alice", create(&["bob"], History::All)).await;
    for body in [
        "https://a.org/ and https://b.org/",
        "no link",
        "https://c.org/",
        "https://d.org/",
        "<https://e.org/>",
    ] {
        world.one("team", "bob", text(body)).await;
    }
    let edit = |target, text: &str| Body::Edit(Edit { target, text: text.into(), ranges: vec![] });
    world.one("team", "bob", edit(3, "now https://f.org/")).await;
    change(&world, 3, &Message { edits: vec![7], ..Message::default() }).await;
    let kinds = [
        (1, "create"),
        (2, "message"),
        (3, "message"),
        (4, "message"),
        (5, "message"),
        (6, "message"),
        (7, "edit"),
    ];
    journal(&world, 1, &kinds, 0).await;
    let all = found(&world, 0).await;
    let wanted = [
        (2, None, "https://a.org/"),
        (3, Some(7), "https://f.org/"),
        (4, None, "https://c.org/"),
        (5, None, "https://d.org/"),
    ];
    assert_eq!((urls(&all), all.through, all.more), (wanted.to_vec(), 1, false));
    assert_eq!(urls(&found(&world, 1).await), []);
    // What has one gets no other, nor what somebody turned off, nor what was deleted.
    let preview =
        Some(message::Preview { seq: 9, url: "https://a.org/".into(), file: String::new() });
    change(&world, 2, &Message { preview, ..Message::default() }).await;
    change(&world, 4, &Message { previews_off: true, ..Message::default() }).await;
    change(&world, 5, &Message { deleted_by: 8, ..Message::default() }).await;
    assert_eq!(urls(&found(&world, 0).await), wanted[1..2]);
    // What is old has none, and whoever was away for too long begins anew.
    journal(&world, 2, &[(2, "message")], 20 * 60_000).await;
    change(&world, 2, &Message::default()).await;
    let old = found(&world, 1).await;
    assert_eq!((urls(&old), old.through), (vec![], 2));
    assert!(found(&world, 3).await.expired);
    assert_eq!(
        code(world.context.preview_links(svc::FindLinks { partition: 9, after: 0 }).await),
        ErrorCode::BadRequest
    );
}

#[tokio::test]
async fn rooms_without_previews_have_no_links() {
    let mut world = World::new().await;
    world.one("team", "alice", create(&["bob"], History::All)).await;
    world.one("team", "bob", text("https://a.org/")).await;
    journal(&world, 1, &[(2, "message")], 0).await;
    assert_eq!(urls(&found(&world, 0).await).len(), 1);
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let row = snapshot.get(head::key(&room("team"))).await.expect("read").expect("a head");
    let (position, mut row) = head::decode(&row).expect("whole");
    row.previews_off = true;
    let mut batch = Batch::new(rand::random());
    head::put_again(&mut batch, &room("team"), position, &row);
    world.store.commit(batch).await.expect("commit");
    assert_eq!(urls(&found(&world, 0).await), []);
    let put = svc::PutPreview { room: "team".into(), seq: 2, edit: None, link: None };
    assert_eq!(code(world.context.preview_put(put).await.map(|_| ())), ErrorCode::NotFound);
}

#[tokio::test]
async fn an_owner_is_told_of_a_page_in_the_name_of_who_wrote_the_message() {
    let mut world = World::new().await;
    world.one("team", "alice", create(&["bob"], History::All)).await;
    world.one("team", "bob", text("https://a.org/")).await;
    let link = |title: &str, url: &str| {
        Some(LinkPreview { url: url.into(), title: title.into(), ..LinkPreview::default() })
    };
    let put = |seq, edit, link| svc::PutPreview { room: "team".into(), seq, edit, link };
    let told =
        world.context.preview_put(put(2, None, link("T", "https://a.org/"))).await.expect("told");
    assert_eq!((told.sender.as_str(), told.room.as_str(), told.partition), ("bob", "team", 0));
    assert_eq!(
        told.body.to_json(),
        br#"{"kind":"preview","target":2,"url":"https://a.org/","title":"T"}"#
    );
    for (wrong, why) in [
        (put(2, None, link("T", "https://b.org/")), ErrorCode::NotFound),
        (put(2, Some(3), link("T", "https://a.org/")), ErrorCode::NotFound),
        (put(1, None, link("T", "https://a.org/")), ErrorCode::NotFound),
        (put(9, None, link("T", "https://a.org/")), ErrorCode::NotFound),
        (put(2, None, link("", "https://a.org/")), ErrorCode::BadRequest),
        (put(2, None, link(&"x".repeat(201), "https://a.org/")), ErrorCode::TooLong),
    ] {
        assert_eq!(code(world.context.preview_put(wrong).await.map(|_| ())), why);
    }
}

#[tokio::test]
async fn an_image_is_nobodys_and_goes_where_no_message_has_it() {
    let world = World::new().await;
    let begun = world.context.preview_image(svc::BeginImage { size: 7 }).await.expect("begun");
    assert_eq!((&*begun.owner, begun.state()), ("", FileState::Uploading));
    let id = FileId::new(&begun.file).expect("id");
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let listed = file_due::due(&*snapshot, None, u64::MAX - 1, 9).await.expect("listed");
    assert_eq!(listed, [(begun.until_ms, id)]);
    for size in [0, 33 << 20] {
        assert_eq!(
            code(world.context.preview_image(svc::BeginImage { size }).await),
            ErrorCode::BadRequest
        );
    }
}
