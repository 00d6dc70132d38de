//! Which files a message may have, what its entry says of them, and what becomes of them with it.

use serde_json::{Value, json};
use weft_proto::kind::{Delete, Edit, Leave};
use weft_proto::svc::FileState;
use weft_proto::{Body, ClientId, FileId};
use weft_runtime::Clock as _;
use weft_storage::Batch;
use weft_storage::tables::deletion::{self, Deletion};
use weft_storage::tables::file::{self, DYING_MS, File, Image};
use weft_storage::tables::file_due::{self, DueFile};
use weft_storage::tables::file_reference;

use crate::create;
use crate::expiry::{expire, keeps};
use crate::support::{START_MS, World, id, text, user_id};

const DAY_MS: u64 = 86_400_000;

pub fn file(number: u128) -> FileId {
    FileId::from_parts(START_MS, number)
}

/// As core's services write it.
pub async fn put(
    world: &World,
    number: u128,
    owner: &str,
    state: FileState,
    image: bool,
) -> FileId {
    let row = File {
        owner: owner.into(),
        name: format!("{number}.png"),
        size: 9,
        state: state.into(),
        created_ms: START_MS,
        content_type: "image/png".into(),
        image: image.then(|| Image {
            width: 2,
            height: 1,
            thumbhash: vec![10],
            has_thumbnails: true,
            ..Image::default()
        }),
        ..File::default()
    };
    let mut batch = Batch::new(rand::random());
    batch.set(file::key(file(number)), row.encode());
    world.store.commit(batch).await.expect("commit");
    file(number)
}

/// What a client sends; `more`: other fields.
fn with_files(kind: &str, files: &[FileId], more: Value) -> Body {
    let files: Vec<Value> = files.iter().map(|id| json!({ "id": id.to_string() })).collect();
    let mut body = json!({ "kind": kind, "files": files });
    for (field, value) in more.as_object().expect("fields") {
        body[field] = value.clone();
    }
    Body::from_json(body.to_string().as_bytes()).expect("a body")
}

fn update(mut fields: Value) -> Body {
    fields["kind"] = "update".into();
    Body::from_json(fields.to_string().as_bytes()).expect("a body")
}

async fn send(world: &World, from: &str, to: &str, number: u128, body: Body) -> Value {
    let id = ClientId::from_parts(world.clock.now_ms(), number);
    world.send(from, to, Some(id), &body).await
}

async fn taken(world: &World, from: &str, to: &str, number: u128, body: Body) -> u64 {
    let answer = send(world, from, to, number, body).await;
    answer["seq"].as_u64().unwrap_or_else(|| panic!("refused: {answer}"))
}

async fn refused(world: &World, from: &str, to: &str, number: u128, body: Body) -> String {
    let answer = send(world, from, to, number, body).await;
    answer["error"]["code"].as_str().unwrap_or_else(|| panic!("not refused: {answer}")).to_owned()
}

/// The messages that have a file, and until when.
async fn references(world: &World, id: FileId) -> Vec<(String, u64, u64)> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let rows = file_reference::first(&*snapshot, id, 99).await.expect("read");
    rows.into_iter()
        .map(|((_, (room, seq)), row)| (room.to_string(), seq, row.expires_ms))
        .collect()
}

/// When files are looked at.
async fn listed(world: &World) -> Vec<DueFile> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    file_due::due(&*snapshot, None, u64::MAX - 1, 99).await.expect("read")
}

#[tokio::test]
async fn a_message_has_what_its_sender_has_uploaded() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    taken(&world, "ann", "team", 1, create(&["bob"])).await;
    let image = put(&world, 1, "ann", FileState::Ready, true).await;
    let other = put(&world, 2, "ann", FileState::Ready, false).await;
    let bobs = put(&world, 3, "bob", FileState::Ready, true).await;
    put(&world, 4, "ann", FileState::Uploading, true).await;
    put(&world, 5, "ann", FileState::Dying, true).await;

    let claims = json!([{ "id": image.to_string(), "name": "x.exe", "size": 1, "content_type": "a/b", "expires": 1 }]);
    let body = with_files("image", &[image], json!({ "text": "look", "files": claims }));
    let seq = taken(&world, "ann", "team", 2, body.clone()).await;
    let expires_ms = START_MS + 30 * DAY_MS;
    let entries = world.entries("team").await;
    let taken_as: Value = serde_json::from_slice(&entries[1].body.to_json()).expect("json");
    let facts = json!({
        "id": image.to_string(), "name": "1.png", "size": 9, "content_type": "image/png",
        "expires": expires_ms, "width": 2, "height": 1, "thumbhash": "Cg==", "thumbnails": true,
    });
    assert_eq!(taken_as, json!({ "kind": "image", "text": "look", "files": [facts] }));
    assert_eq!(entries[1].ordinal, 1, "it counts as a message");
    assert_eq!(references(&world, image).await, [("team".into(), seq, expires_ms)]);
    assert_eq!(listed(&world).await, [(expires_ms, image)]);
    // A resend is the same message, whatever the file is by now.
    put(&world, 1, "ann", FileState::Dying, true).await;
    assert_eq!(taken(&world, "ann", "team", 2, body).await, seq);
    put(&world, 1, "ann", FileState::Ready, true).await;

    let both = with_files("file", &[image, other], json!({}));
    taken(&world, "ann", "team", 3, both).await;
    for (number, kind, files, code) in [
        (10, "image", vec![image, other], "bad_request"),
        (11, "file", vec![bobs], "not_found"),
        (12, "file", vec![image, file(4)], "not_found"),
        (13, "file", vec![file(5)], "not_found"),
        (14, "file", vec![file(6)], "not_found"),
    ] {
        let body = with_files(kind, &files, json!({}));
        assert_eq!(refused(&world, "ann", "team", number, body).await, code, "{files:?}");
    }
    assert_eq!(references(&world, bobs).await, []);
    assert_eq!(references(&world, other).await.len(), 1);
    assert_eq!(world.entries("team").await.len(), 3);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn who_reads_a_message_forwards_its_files() {
    let world = World::new(&["ann", "bob", "cem"]).await;
    let owner = world.own("n1").await;
    taken(&world, "ann", "team", 1, create(&["bob"])).await;
    taken(&world, "bob", "other", 2, create(&["cem"])).await;
    let image = put(&world, 1, "ann", FileState::Ready, true).await;
    let another = put(&world, 2, "ann", FileState::Ready, true).await;
    let seq = taken(&world, "ann", "team", 3, with_files("image", &[image], json!({}))).await;
    let forward = |id, room: &str, seq: u64| {
        with_files("image", &[id], json!({ "forwarded": { "room": room, "seq": seq } }))
    };
    let code = async |who: &str, number, body| refused(&world, who, "other", number, body).await;
    assert_eq!(code("bob", 10, with_files("image", &[image], json!({}))).await, "not_found");
    assert_eq!(code("bob", 11, forward(another, "team", seq)).await, "not_found");
    assert_eq!(code("cem", 12, forward(image, "team", seq)).await, "not_found");
    world.clock.advance_ms(DAY_MS);
    let forwarded = taken(&world, "bob", "other", 4, forward(image, "team", seq)).await;
    let entry = world.entries("other").await.pop().expect("an entry");
    let shown: Value = serde_json::from_slice(&entry.body.to_json()).expect("json");
    assert_eq!(shown["forwarded"], json!({ "from": "ann" }));
    // Its time is that of the new message.
    let (first, second) = (START_MS + 30 * DAY_MS, START_MS + 31 * DAY_MS);
    let both = [("other".into(), forwarded, second), ("team".into(), seq, first)];
    assert_eq!(references(&world, image).await, both);
    // From there on to others, and not from where its time is over.
    world.clock.advance_ms(29 * DAY_MS);
    assert_eq!(code("bob", 13, forward(image, "team", seq)).await, "not_found");
    taken(&world, "cem", "other", 5, forward(image, "other", forwarded)).await;
    // A deleted one has none.
    let delete = Body::Delete(Delete::of(forwarded));
    taken(&world, "bob", "other", 6, delete).await;
    assert_eq!(code("cem", 14, forward(image, "other", forwarded)).await, "not_found");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_deleted_message_has_no_files_and_an_edited_one_keeps_them() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    taken(&world, "ann", "team", 1, create(&["bob"])).await;
    let one = put(&world, 1, "ann", FileState::Ready, true).await;
    let two = put(&world, 2, "ann", FileState::Ready, true).await;
    let seq = taken(&world, "ann", "team", 2, with_files("file", &[one, two], json!({}))).await;
    let again = taken(&world, "ann", "team", 3, with_files("file", &[two], json!({}))).await;
    let edit = Edit { target: seq, text: "a caption".into(), ranges: vec![] };
    taken(&world, "ann", "team", 4, Body::Edit(edit)).await;
    assert_eq!(references(&world, one).await.len(), 1);
    taken(&world, "ann", "team", 5, Body::Delete(Delete::of(seq))).await;
    let expires_ms = START_MS + 30 * DAY_MS;
    assert_eq!(references(&world, one).await, []);
    assert_eq!(references(&world, two).await, [("team".into(), again, expires_ms)]);
    let soon = START_MS + DYING_MS;
    assert_eq!(
        listed(&world).await,
        [(soon, one), (soon, two), (expires_ms, one), (expires_ms, two)]
    );
    // In the same run, too: what is not committed yet.
    let three = put(&world, 3, "ann", FileState::Ready, true).await;
    let sent = world.publish("ann", "team", Some(id(6)), &with_files("file", &[three], json!({})));
    let deleted = world.publish("ann", "team", Some(id(7)), &Body::Delete(Delete::of(again + 3)));
    assert_eq!(world.bus.answer_to(&sent).await["seq"], again + 3);
    assert_eq!(world.bus.answer_to(&deleted).await["seq"], again + 4);
    assert_eq!(references(&world, three).await, []);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_caption_may_be_emptied_and_a_text_may_not() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    taken(&world, "ann", "team", 1, create(&["bob"])).await;
    let one = put(&world, 1, "ann", FileState::Ready, true).await;
    let more = json!({ "text": "a caption" });
    let image = taken(&world, "ann", "team", 2, with_files("image", &[one], more)).await;
    let words = taken(&world, "ann", "team", 3, text("words")).await;
    let emptied = |target| Body::Edit(Edit { target, text: String::new(), ranges: vec![] });
    taken(&world, "ann", "team", 4, emptied(image)).await;
    assert_eq!(references(&world, one).await.len(), 1);
    assert_eq!(refused(&world, "ann", "team", 5, emptied(words)).await, "bad_request");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_message_that_is_sent_later_has_its_senders_files() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    let image = put(&world, 1, "ann", FileState::Ready, true).await;
    let other = put(&world, 2, "ann", FileState::Ready, false).await;
    let bobs = put(&world, 3, "bob", FileState::Ready, true).await;
    let dying = put(&world, 4, "ann", FileState::Dying, true).await;
    let at = START_MS + 3_600_000;
    let later = |kind: &str, file| {
        with_files("schedule", &[file], json!({ "at": at, "message_kind": kind, "text": "" }))
    };
    let room = "ann~bob";
    for (number, file, code) in
        [(1, bobs, "not_found"), (2, dying, "not_found"), (3, other, "bad_request")]
    {
        assert_eq!(refused(&world, "ann", room, number, later("image", file)).await, code);
    }
    for (number, kind, file) in [(4, "image", image), (5, "file", other)] {
        let done = send(&world, "ann", room, number, later(kind, file)).await;
        assert_eq!(done["type"], "done", "{done}");
    }
    assert_eq!(references(&world, image).await, []);
    world.clock.advance_ms(3_600_000);
    let expires_ms = world.clock.now_ms() + 30 * DAY_MS;
    while world.entries(room).await.len() < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    for (seq, file) in [(1, image), (2, other)] {
        assert_eq!(references(&world, file).await, [(room.to_owned(), seq, expires_ms)]);
    }
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn files_go_with_messages_that_expire() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    taken(&world, "ann", "team", 1, create(&["bob"])).await;
    let one = put(&world, 1, "ann", FileState::Ready, true).await;
    let old = taken(&world, "ann", "team", 2, with_files("file", &[one], json!({}))).await;
    world.clock.advance_ms(3 * DAY_MS);
    let young = taken(&world, "ann", "team", 3, with_files("file", &[one], json!({}))).await;
    taken(&world, "ann", "team", 4, text("last")).await;
    assert_eq!(references(&world, one).await.len(), 2);
    taken(&world, "ann", "team", 5, keeps(2)).await;
    expire(&world, "team", 6).await;
    let kept = [("team".into(), young, START_MS + 33 * DAY_MS)];
    assert_eq!(references(&world, one).await, kept, "{old} has expired");
    assert!(listed(&world).await.contains(&(world.clock.now_ms() + DYING_MS, one)));
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_room_says_for_how_long_its_messages_have_files() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    taken(&world, "ann", "team", 1, create(&["bob"])).await;
    let one = put(&world, 1, "ann", FileState::Ready, true).await;
    let first = taken(&world, "ann", "team", 2, with_files("file", &[one], json!({}))).await;
    let days = |days: u32| update(json!({ "file_days": days }));
    assert_eq!(refused(&world, "bob", "team", 10, days(3)).await, "forbidden");
    taken(&world, "ann", "team", 3, days(3)).await;
    assert_eq!(refused(&world, "ann", "team", 11, days(3)).await, "unchanged");
    let second = taken(&world, "ann", "team", 4, with_files("file", &[one], json!({}))).await;
    let (long, short) = (START_MS + 30 * DAY_MS, START_MS + 3 * DAY_MS);
    let both = [("team".into(), first, long), ("team".into(), second, short)];
    assert_eq!(references(&world, one).await, both, "what was said of a message stays");
    // Either of two.
    taken(&world, "ann", "ann~bob", 5, text("hi")).await;
    taken(&world, "bob", "ann~bob", 6, days(1)).await;
    let direct = taken(&world, "ann", "ann~bob", 7, with_files("file", &[one], json!({}))).await;
    let of_direct = ("ann~bob".to_owned(), direct, START_MS + DAY_MS);
    assert!(references(&world, one).await.contains(&of_direct));
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_groups_avatar_is_an_image_of_who_made_it_one() {
    let world = World::new(&["ann", "bob", "cem"]).await;
    let owner = world.own("n1").await;
    taken(&world, "ann", "team", 1, create(&["bob", "cem"])).await;
    let admin = json!({ "kind": "role", "user": "bob", "role": "admin" }).to_string();
    taken(&world, "ann", "team", 2, Body::from_json(admin.as_bytes()).expect("a body")).await;
    let one = put(&world, 1, "bob", FileState::Ready, true).await;
    let two = put(&world, 2, "ann", FileState::Ready, true).await;
    let plain = put(&world, 3, "bob", FileState::Ready, false).await;
    let cems = put(&world, 4, "cem", FileState::Ready, true).await;
    let dying = put(&world, 5, "bob", FileState::Dying, true).await;
    let avatar = |id: &str| update(json!({ "avatar": id }));
    let of = |id: FileId| avatar(&id.to_string());
    for (number, who, body, code) in [
        (10, "cem", of(cems), "forbidden"),
        (11, "bob", of(cems), "not_found"),
        (12, "bob", of(dying), "not_found"),
        (13, "bob", of(file(6)), "not_found"),
        (14, "bob", of(plain), "bad_request"),
        (15, "bob", avatar(""), "unchanged"),
    ] {
        assert_eq!(refused(&world, who, "team", number, body).await, code, "{number}");
    }
    taken(&world, "ann", "ann~bob", 20, text("hi")).await;
    assert_eq!(refused(&world, "bob", "ann~bob", 21, of(one)).await, "bad_request");

    taken(&world, "bob", "team", 22, of(one)).await;
    assert_eq!(references(&world, one).await, [("team".into(), 0, 0)]);
    assert_eq!(listed(&world).await, [], "it has no end");
    assert_eq!(refused(&world, "ann", "team", 23, of(one)).await, "unchanged");
    // Who changes something else beside it needs not have made it.
    let both = update(json!({ "avatar": one.to_string(), "topic": "tea" }));
    taken(&world, "ann", "team", 24, both).await;
    // Another one, and back, in one run.
    let sent = [
        world.publish("ann", "team", Some(id(25)), &of(two)),
        world.publish("bob", "team", Some(id(26)), &of(one)),
        world.publish("ann", "team", Some(id(27)), &of(two)),
    ];
    for answer in &sent {
        assert!(world.bus.answer_to(answer).await["seq"].is_u64());
    }
    assert_eq!(references(&world, one).await, []);
    assert_eq!(references(&world, two).await, [("team".into(), 0, 0)]);
    let soon = START_MS + DYING_MS;
    assert_eq!(listed(&world).await, [(soon, one), (soon, two)]);

    // A group in which nobody is any more has none.
    for (number, who) in [(30, "bob"), (31, "cem"), (32, "ann")] {
        assert_eq!(references(&world, two).await.len(), 1);
        taken(&world, who, "team", number, Body::Leave(Leave {})).await;
    }
    assert_eq!(references(&world, two).await, []);
    owner.leave().await.expect("leave");
}

#[tokio::test(start_paused = true)]
async fn files_of_a_deleted_users_notebook_go_with_it() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    let one = put(&world, 1, "ann", FileState::Ready, true).await;
    let body = || with_files("file", &[one], json!({}));
    // More messages than are looked at together.
    for number in 1..=120 {
        taken(&world, "ann", "ann~ann", number, body()).await;
    }
    let seq = taken(&world, "ann", "ann~bob", 200, body()).await;
    let mut batch = Batch::new(rand::random());
    let key = deletion::key(&user_id("ann"));
    batch.set(key.clone(), Deletion { asked_ms: START_MS, ..Deletion::default() }.encode());
    world.store.commit(batch).await.expect("commit");
    world.clock.advance_ms(10 * 60_000);
    let is_left = async || {
        let snapshot = world.store.snapshot().await.expect("snapshot");
        snapshot.get(key.clone()).await.expect("read").is_some()
    };
    while is_left().await {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    assert!(world.entries("ann~ann").await.is_empty());
    let to_bob = [("ann~bob".into(), seq, START_MS + 30 * DAY_MS)];
    assert_eq!(references(&world, one).await, to_bob, "what she wrote to others stays");
    let soon = START_MS + 10 * 60_000 + DYING_MS;
    assert!(listed(&world).await.contains(&(soon, one)));
    owner.leave().await.expect("leave");
}
