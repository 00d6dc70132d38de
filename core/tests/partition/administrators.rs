//! What administrators of the installation do in any room: close it, open it again, delete a message; and that it is told
//! in their log, in the same commit.

use weft_proto::kind::{
    Add, Close, Delete, Deleted, Edit, Join, Leave, Link, React, Rename, Update,
};
use weft_proto::{Body, JoinRule, LinkToken, Role, RoomId};
use weft_storage::Batch;
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::admin_log::{self, AdminLog};
use weft_storage::tables::head::{self, Head};
use weft_storage::tables::open_group;

use crate::create;
use crate::messages::{code, entries};
use crate::support::{Fault, World, id, text, user_id};

fn close(closed: bool) -> Body {
    Body::Close(Close { closed, reason: Some("spam".into()) })
}

fn delete(target: u64) -> Body {
    Body::Delete(Delete { target, reason: Some("against the rules".into()) })
}

fn edit(target: u64) -> Body {
    Body::Edit(Edit { target, text: "other".into(), ranges: vec![] })
}

fn mark(read: u64) -> Body {
    Body::from_json(format!(r#"{{"kind":"mark","read":{read}}}"#).as_bytes()).expect("a mark")
}

fn token() -> LinkToken {
    LinkToken::new("0123456789012345678901").expect("a token")
}

pub async fn make_administrator(world: &World, name: &str, account: Account) {
    let mut batch = Batch::new(rand::random());
    batch.set(account::key(&user_id(name)), account.encode());
    world.engine.inner.commit(batch).await.expect("commit");
}

async fn world() -> World {
    let world = World::new(&["ann", "bob", "cem", "root"]).await;
    make_administrator(&world, "root", Account { is_admin: true, ..Account::default() }).await;
    world
}

async fn taken(world: &World, from: &str, room: &str, number: u128, body: Body) -> u64 {
    let answer = world.send(from, room, Some(id(number)), &body).await;
    answer["seq"].as_u64().unwrap_or_else(|| panic!("refused: {answer}"))
}

/// What the administrators' log says: by whom, what, where, and why; oldest first.
async fn told(world: &World) -> Vec<(String, String, String, u64, String)> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let rows = admin_log::page_before(&*snapshot, None, 100).await.expect("read");
    let told = |it: AdminLog| (it.by, it.action, it.room, it.seq, it.reason);
    rows.into_iter().rev().map(|(_, row)| told(row)).collect()
}

fn row(action: &str, room: &str, seq: u64, reason: &str) -> (String, String, String, u64, String) {
    ("root".into(), action.into(), room.into(), seq, reason.into())
}

async fn is_closed(world: &World, room: &str) -> bool {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let row = snapshot.get(head::key(&RoomId::new(room).expect("id"))).await.expect("read");
    let (_, Head { closed, .. }) = head::decode(&row.expect("a head")).expect("whole");
    closed
}

/// The open groups that are found.
async fn found(world: &World) -> Vec<RoomId> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let page = open_group::page_after(&*snapshot, "team", None, 10).await.expect("read");
    page.into_iter().map(|(_, room)| room).collect()
}

#[tokio::test]
async fn in_a_closed_group_nothing_is_said_until_an_administrator_opens_it() {
    let world = world().await;
    let owner = world.own("n1").await;
    taken(&world, "ann", "team", 1, create(&["bob"])).await;
    taken(&world, "bob", "team", 2, text("x")).await;
    let open = Update { join: Some(JoinRule::Open), ..Update::default() };
    taken(&world, "ann", "team", 3, Body::Update(open.clone())).await;
    assert_eq!(taken(&world, "root", "team", 4, close(true)).await, 4);
    assert_eq!(taken(&world, "root", "team", 4, close(true)).await, 4, "sent again");
    assert_eq!(code(&world, "root", "team", 5, close(true)).await, "unchanged");
    assert!(is_closed(&world, "team").await);
    assert_eq!(found(&world).await, [] as [RoomId; 0], "nobody finds it");
    let (event, _) = world.bus.event("team", 4).await;
    assert!(event.also.is_empty(), "it concerns all members alike");

    let add = Body::Add(Add { user: user_id("cem"), role: Role::Member });
    let link = Body::Link(Link { link: token(), expires_at: None, uses: None });
    let unlike = [
        text("y"),
        edit(2),
        Body::React(React { target: 2, emoji: "+".into() }),
        Body::Delete(Delete::of(2)),
        Body::Rename(Rename { title: "T".into() }),
        Body::Update(Update { archived: Some(true), ..Update::default() }),
        add,
        link,
    ];
    // Another owner knows it from the store.
    owner.leave().await.expect("leave");
    let owner = world.own("n2").await;
    for (number, body) in (10..).zip(unlike) {
        for from in ["ann", "bob"] {
            let number = number + if from == "ann" { 100 } else { 0 };
            let said = code(&world, from, "team", number, body.clone()).await;
            assert!(
                said == "closed" || (from, &*said) == ("bob", "forbidden"),
                "{from} {number}: {said}"
            );
        }
    }
    assert_eq!(code(&world, "cem", "team", 30, Body::Join(Join { link: None })).await, "closed");
    assert_eq!(code(&world, "ann", "team", 31, create(&[])).await, "room_exists");
    let marked = world.send("ann", "team", None, &mark(4)).await;
    assert_eq!(marked["type"], "done", "{marked}");
    taken(&world, "bob", "team", 32, Body::Leave(Leave {})).await;
    assert_eq!(taken(&world, "root", "team", 33, close(false)).await, 6);
    assert!(!is_closed(&world, "team").await);
    assert_eq!(found(&world).await.len(), 1);
    taken(&world, "ann", "team", 34, text("back")).await;
    assert_eq!(
        told(&world).await,
        [row("close", "team", 4, "spam"), row("reopen", "team", 6, "spam")]
    );
    // Members read entries: why is not for them.
    let why = |it: &weft_proto::Entry| String::from_utf8(it.body.to_json()).expect("text");
    let texts: Vec<String> =
        entries(&world, "team").await.iter().map(|it| why(&it.entry)).collect();
    assert_eq!(texts[3], r#"{"kind":"close","closed":true}"#);
    assert!(!texts.join("").contains("spam"), "{texts:?}");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_direct_room_is_closed_for_both() {
    let world = world().await;
    let owner = world.own("n1").await;
    assert_eq!(code(&world, "root", "ann~bob", 1, close(true)).await, "no_such_room");
    taken(&world, "ann", "ann~bob", 2, text("x")).await;
    assert_eq!(taken(&world, "root", "ann~bob", 3, close(true)).await, 2);
    let (event, _) = world.bus.event("ann~bob", 2).await;
    assert_eq!(event.also, [user_id("ann"), user_id("bob")]);
    for from in ["ann", "bob"] {
        assert_eq!(code(&world, from, "ann~bob", 4, text("y")).await, "closed");
    }
    assert_eq!(code(&world, "cem", "ann~bob", 4, text("y")).await, "not_member");
    assert_eq!(code(&world, "root", "ann~bob", 5, text("y")).await, "not_member");
    assert_eq!(taken(&world, "root", "ann~bob", 6, close(false)).await, 3);
    taken(&world, "bob", "ann~bob", 7, text("back")).await;
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn an_administrator_deletes_a_message_anywhere_also_a_late_one() {
    let mut world = world().await;
    world.edit_window = std::time::Duration::from_secs(60);
    let owner = world.own("n1").await;
    taken(&world, "ann", "team", 1, create(&["bob"])).await;
    taken(&world, "bob", "team", 2, text("bad")).await;
    taken(&world, "bob", "team", 3, edit(2)).await;
    taken(&world, "ann", "ann~bob", 4, text("bad, too")).await;
    world.clock.advance_ms(3_600_000);
    owner.leave().await.expect("leave");
    // The edits are read from the store.
    let owner = world.own("n2").await;
    assert_eq!(taken(&world, "root", "team", 5, delete(2)).await, 4);
    assert_eq!(taken(&world, "root", "ann~bob", 6, delete(1)).await, 2);
    assert_eq!(code(&world, "root", "team", 7, delete(2)).await, "deleted");
    assert_eq!(code(&world, "root", "team", 8, delete(1)).await, "not_found");
    assert_eq!(code(&world, "root", "nowhere", 9, delete(1)).await, "no_such_room");
    let left = entries(&world, "team").await;
    for seq in [2, 3] {
        let body = &left[seq - 1].entry.body;
        assert!(matches!(body, Body::Deleted(Deleted { by: 4, .. })), "{body:?}");
    }
    let why = "against the rules";
    assert_eq!(
        told(&world).await,
        [row("delete", "team", 2, why), row("delete", "ann~bob", 1, why)]
    );
    // Without a reason it is an ordinary one, by who has no right to it.
    taken(&world, "bob", "team", 10, text("x")).await;
    let ordinary = Body::Delete(Delete::of(5));
    assert_eq!(code(&world, "root", "team", 11, ordinary).await, "no_such_room");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn who_is_no_administrator_learns_nothing_of_a_room() {
    let world = world().await;
    let suspended = Account { is_admin: true, suspended_ms: 1, ..Account::default() };
    make_administrator(&world, "cem", suspended).await;
    let owner = world.own("n1").await;
    taken(&world, "ann", "team", 1, create(&["bob"])).await;
    taken(&world, "bob", "team", 2, text("x")).await;
    for (number, (from, room)) in (10..).zip([
        ("ann", "team"),
        ("bob", "team"),
        ("cem", "team"),
        ("cem", "nowhere"),
        ("cem", "ann~bob"),
        ("nobody", "team"),
    ]) {
        for (n, body) in [close(true), close(false), delete(2)].into_iter().enumerate() {
            let number = number * 10 + n as u128;
            assert_eq!(code(&world, from, room, number, body).await, "forbidden", "{from} {room}");
        }
    }
    assert_eq!(told(&world).await, []);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn what_is_told_is_told_once_whatever_becomes_of_the_commit() {
    for fault in [Fault::UndoneUnknown, Fault::DoneUnknown] {
        let world = world().await;
        let owner = world.own("n1").await;
        taken(&world, "ann", "team", 1, create(&["bob"])).await;
        world.fail_next(&[fault]);
        assert_eq!(taken(&world, "root", "team", 2, close(true)).await, 2);
        assert_eq!(told(&world).await, [row("close", "team", 2, "spam")]);
        owner.leave().await.expect("leave");
    }
}
