//! What becomes of previews of links: when a message gets one, and with what it goes.

use serde_json::{Value, json};
use weft_nats::IngestMessage;
use weft_proto::kind::{Delete, Edit, LinkPreview, Preview, PreviewImage, Unpreview, Update};
use weft_proto::svc::FileState;
use weft_proto::{Body, ClientId, FileId, RoomId};
use weft_runtime::Clock as _;
use weft_storage::Batch;
use weft_storage::tables::file::{self, File, Image};
use weft_storage::tables::file_reference;
use weft_storage::tables::message::{self, Message};

use crate::create;
use crate::support::{START_MS, World, text, user_id};

const DAY_MS: u64 = 86_400_000;

fn room(name: &str) -> RoomId {
    RoomId::new(name).expect("id")
}

async fn send(world: &World, from: &str, to: &str, number: u128, body: Body) -> Value {
    let id = ClientId::from_parts(world.clock.now_ms(), number);
    world.send(from, to, Some(id), &body).await
}

async fn taken(world: &World, from: &str, to: &str, number: u128, body: Body) -> u64 {
    let answer = send(world, from, to, number, body).await;
    answer["seq"].as_u64().unwrap_or_else(|| panic!("refused: {answer}"))
}

async fn code(world: &World, from: &str, to: &str, number: u128, body: Body) -> String {
    let answer = send(world, from, to, number, body).await;
    answer["error"]["code"].as_str().unwrap_or_else(|| panic!("not refused: {answer}")).to_owned()
}

fn preview(target: u64, edit: Option<u64>, url: &str, image: Option<FileId>) -> Body {
    let image = image.map(|id| PreviewImage { id: id.to_string(), facts: None });
    let link = LinkPreview { url: url.into(), title: "T".into(), image, ..LinkPreview::default() };
    Body::Preview(Preview::new(target, edit, link).expect("a preview"))
}

/// The owner tells itself so, in the name of ann.
fn tell(world: &World, name: &str, body: &Body) {
    world.log.publish(IngestMessage::of_owner(&user_id("ann"), &room(name), body.to_json().into()));
}

/// What a room has at a seq.
async fn kind(world: &World, name: &str, seq: u64) -> &'static str {
    world.entries(name).await[seq as usize - 1].body.kind().word
}

async fn row(world: &World, name: &str, seq: u64) -> Message {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let row = snapshot.get(message::key(&room(name), seq)).await.expect("read");
    row.map(|row| Message::decode(&row).expect("a row")).unwrap_or_default()
}

async fn image(world: &World, number: u128, owner: &str) -> FileId {
    let row = File {
        owner: owner.into(),
        name: "preview.webp".into(),
        size: 9,
        state: FileState::Ready.into(),
        created_ms: START_MS,
        content_type: "image/webp".into(),
        image: Some(Image { width: 2, height: 1, ..Image::default() }),
        ..File::default()
    };
    let id = FileId::from_parts(START_MS, number);
    let mut batch = Batch::new(rand::random());
    batch.set(file::key(id), row.encode());
    world.store.commit(batch).await.expect("commit");
    id
}

async fn references(world: &World, id: FileId) -> Vec<(String, u64, u64)> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let rows = file_reference::first(&*snapshot, id, 99).await.expect("read");
    rows.into_iter()
        .map(|((_, (room, seq)), row)| (room.to_string(), seq, row.expires_ms))
        .collect()
}

fn edit(target: u64, text: &str) -> Body {
    Body::Edit(Edit { target, text: text.into(), ranges: vec![] })
}

#[tokio::test]
async fn a_preview_goes_with_its_link_and_comes_once() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    taken(&world, "ann", "team", 1, create(&["bob"])).await;
    let first = image(&world, 1, "").await;
    let target = taken(&world, "ann", "team", 2, text("look: https://a.org/")).await;
    let told = preview(target, None, "https://a.org/", Some(first));
    tell(&world, "team", &told);
    // Twice is as once.
    tell(&world, "team", &told);
    let next = taken(&world, "bob", "team", 3, text("x")).await;
    assert_eq!(next, target + 2);
    let entry = &world.entries("team").await[target as usize];
    let expires_ms = START_MS + 30 * DAY_MS;
    let body: Value = serde_json::from_slice(&entry.body.to_json()).expect("json");
    let facts = json!({
        "id": first.to_string(), "name": "preview.webp", "size": 9, "content_type": "image/webp",
        "expires": expires_ms, "width": 2, "height": 1,
    });
    assert_eq!(
        body,
        json!({ "kind": "preview", "target": target, "url": "https://a.org/", "title": "T", "image": facts })
    );
    assert_eq!((entry.from.as_str(), entry.ordinal), ("ann", 1), "it is no message");
    assert_eq!(references(&world, first).await, [("team".into(), target, expires_ms)]);

    taken(&world, "ann", "team", 4, edit(target, "still https://a.org/")).await;
    assert_eq!(kind(&world, "team", target + 1).await, "preview");
    let other = taken(&world, "ann", "team", 5, edit(target, "now https://b.org/")).await;
    assert_eq!(kind(&world, "team", target + 1).await, "deleted");
    assert_eq!(
        (references(&world, first).await, row(&world, "team", target).await.files),
        (vec![], vec![])
    );
    // What was read of an earlier text comes too late.
    tell(&world, "team", &told);
    let second = image(&world, 2, "").await;
    tell(&world, "team", &preview(target, Some(other), "https://b.org/", Some(second)));
    taken(&world, "bob", "team", 6, text("y")).await;
    assert_eq!(kind(&world, "team", other + 1).await, "preview");
    assert_eq!(references(&world, second).await.len(), 1);

    taken(&world, "ann", "team", 7, Body::Delete(Delete::of(target))).await;
    assert_eq!(kind(&world, "team", other + 1).await, "deleted");
    assert_eq!(
        (references(&world, second).await, row(&world, "team", target).await.preview),
        (vec![], None)
    );
    tell(&world, "team", &preview(target, Some(other), "https://b.org/", None));
    let last = taken(&world, "bob", "team", 8, text("z")).await;
    assert_eq!(world.entries("team").await.len() as u64, last);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn it_is_removed_by_who_may_and_never_comes_again() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    taken(&world, "ann", "team", 1, create(&["bob"])).await;
    let target = taken(&world, "ann", "team", 2, text("https://a.org/")).await;
    let told = preview(target, None, "https://a.org/", None);
    // Nobody sends it, and nobody's file is what it shows.
    assert_eq!(code(&world, "ann", "team", 3, told.clone()).await, "bad_request");
    let anns = image(&world, 1, "ann").await;
    tell(&world, "team", &preview(target, None, "https://a.org/", Some(anns)));
    tell(&world, "team", &told);
    let off = Body::Unpreview(Unpreview { target });
    assert_eq!(code(&world, "bob", "team", 4, off.clone()).await, "forbidden");
    assert_eq!(kind(&world, "team", target + 1).await, "preview");
    assert!(references(&world, anns).await.is_empty());
    let removed = taken(&world, "ann", "team", 5, off.clone()).await;
    assert_eq!(removed, target + 2);
    assert_eq!(kind(&world, "team", target + 1).await, "deleted");
    assert_eq!(code(&world, "ann", "team", 6, off).await, "unchanged");
    tell(&world, "team", &told);
    let again = taken(&world, "ann", "team", 7, edit(target, "https://c.org/")).await;
    tell(&world, "team", &preview(target, Some(again), "https://c.org/", None));
    assert_eq!(again, removed + 1);

    // An admin removes that of a member's message, before it has come.
    let bobs = taken(&world, "bob", "team", 8, text("https://b.org/")).await;
    assert_eq!(bobs, again + 1);
    taken(&world, "ann", "team", 9, Body::Unpreview(Unpreview { target: bobs })).await;
    tell(&world, "team", &preview(bobs, None, "https://b.org/", None));
    let none = taken(&world, "bob", "team", 10, text("no link")).await;
    assert_eq!(none, bobs + 2);
    for missing in [1, none + 7] {
        let body = Body::Unpreview(Unpreview { target: missing });
        assert_eq!(code(&world, "ann", "team", 10 + u128::from(missing), body).await, "not_found");
    }
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_room_may_have_none() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    taken(&world, "ann", "team", 1, create(&["bob"])).await;
    let off = |previews| Body::Update(Update { previews: Some(previews), ..Update::default() });
    assert_eq!(code(&world, "bob", "team", 2, off(false)).await, "forbidden");
    assert_eq!(code(&world, "ann", "team", 3, off(true)).await, "unchanged");
    for (number, to, from) in [(10, "team", "ann"), (20, "ann~bob", "bob")] {
        if to != "team" {
            taken(&world, "ann", to, number, text("hi")).await;
        }
        taken(&world, from, to, number + 1, off(false)).await;
        let target = taken(&world, "ann", to, number + 2, text("https://a.org/")).await;
        tell(&world, to, &preview(target, None, "https://a.org/", None));
        let on = taken(&world, from, to, number + 3, off(true)).await;
        assert_eq!(on, target + 1, "{to}");
        tell(&world, to, &preview(target, None, "https://a.org/", None));
        taken(&world, "ann", to, number + 4, text("x")).await;
        assert_eq!(kind(&world, to, on + 1).await, "preview", "{to}");
    }
    owner.leave().await.expect("leave");
}
