//! Read receipts that a user has turned off: the owner tells nobody else of their marks, nor them of others'.

use serde_json::{Value, json};
use weft_nats::MadeBy;
use weft_proto::kind::{Mark, Setting as Asked};
use weft_proto::svc::Change;
use weft_proto::{Body, ChangeHead, Position, RoomId};
use weft_storage::Batch;
use weft_storage::tables::change::{self, Changed};
use weft_storage::tables::journal::{self, JournalMark};
use weft_storage::tables::setting;

use crate::create;
use crate::support::{World, id, text, user_id};

fn room(name: &str) -> RoomId {
    RoomId::new(name).expect("id")
}

fn read(seq: u64) -> Body {
    Body::Mark(Mark { read: Some(seq), ..Mark::default() })
}

async fn done(world: &World, who: &str, name: &str, number: u128, body: &Body) {
    let answer = world.send_made((who, name), (id(number), MadeBy::Edge), body).await;
    assert_eq!(answer, json!({ "type": "done" }));
}

/// Turns them on or off.
async fn turn(world: &World, who: &str, number: u128, receipts: bool) {
    let body = Body::Setting(Asked { receipts: Some(receipts), ..Asked::default() });
    done(world, who, &format!("{who}~{who}"), number, &body).await;
}

/// Of which marks of others the syncs of a user are told.
async fn others(world: &World, who: &str) -> Vec<(Position, Changed)> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let range = change::range(&user_id(who), Position::MIN, Position::MAX);
    let rows = snapshot.scan(range, usize::MAX, false).await.expect("scan");
    let rows = rows.iter().map(|(key, value)| change::decode(key, value).expect("row"));
    let is_other =
        |(_, it): &(_, Changed)| matches!(it, Changed::Mark(_, whose) if whose.as_str() != who);
    rows.filter(is_other).collect()
}

/// Whether the mark of the newest commit is for its user alone.
async fn is_own(world: &World) -> bool {
    let row = weft_core::partition::take::read_row(&world.store, 0).await.expect("row");
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let page = journal::follow(&*snapshot, 0, row.last_commit_no() - 1, 9).await.expect("read");
    let (_, row) = page.expect("a page").rows.remove(0);
    let [JournalMark { own, .. }] = &row.marks[..] else { panic!("one mark: {row:?}") };
    *own
}

/// How often somebody was told a mark of another one: of a direct room, and a group.
fn told(world: &World) -> usize {
    world.bus.changes_like(|it: &Change, said: &Value| {
        let is_other = said["type"] == "mark" && it.users.iter().any(|user| said["user"] != **user);
        is_other || said["type"] == "marks"
    })
}

/// A direct room and a group with five entries each.
async fn fill(world: &World) {
    for number in 1..=5 {
        world.send("ann", "ann~bob", Some(id(number)), &text("x")).await;
    }
    world.send("ann", "team", Some(id(6)), &create(&["bob", "cem"])).await;
    for number in 7..=10 {
        world.send("ann", "team", Some(id(number)), &text("x")).await;
    }
}

#[tokio::test]
async fn while_they_are_off_nobody_else_is_told() {
    let world = World::new(&["ann", "bob", "cem"]).await;
    let owner = world.own("n1").await;
    fill(&world).await;
    done(&world, "bob", "ann~bob", 20, &read(1)).await;
    let before = others(&world, "ann").await;
    assert_eq!((before.len(), told(&world)), (1, 1));

    turn(&world, "bob", 21, false).await;
    let off = ChangeHead::setting(&user_id("bob"), &room("bob~bob"), Position::MIN, Some(false));
    let change = world.bus.change_that(|_, said| said["receipts"] == false).await;
    let head: ChangeHead = change.head.parse().expect("a head");
    assert_eq!(
        (change.users, head.key, head.receipts),
        (vec!["bob".into()], off.key, off.receipts)
    );
    for (number, name) in [(22, "ann~bob"), (23, "team")] {
        done(&world, "bob", name, number, &read(3)).await;
        assert!(is_own(&world).await, "{name}");
    }
    // Nor is who has turned them off.
    done(&world, "ann", "ann~bob", 24, &read(5)).await;
    world.send("bob", "ann~bob", Some(id(11)), &text("x")).await;
    done(&world, "ann", "ann~bob", 25, &read(6)).await;
    assert!(is_own(&world).await && others(&world, "bob").await.is_empty());
    // The others of the group go on.
    done(&world, "cem", "team", 26, &read(3)).await;
    assert!(!is_own(&world).await);
    assert_eq!(others(&world, "ann").await, before);
    let of_cem = |said: &Value| said["marks"] == json!([{ "user": "cem", "read": 3 }]);
    world.bus.change_that(|_, said| of_cem(said)).await;
    assert_eq!(told(&world), 2);

    // On again, the next mark is told, in the place of the one before.
    turn(&world, "bob", 27, true).await;
    assert_eq!((others(&world, "ann").await, told(&world)), (before.clone(), 2));
    done(&world, "ann", "ann~bob", 28, &read(6)).await;
    done(&world, "bob", "ann~bob", 29, &read(6)).await;
    world.send("ann", "ann~bob", Some(id(12)), &text("x")).await;
    done(&world, "bob", "ann~bob", 30, &read(7)).await;
    assert!(!is_own(&world).await);
    let after = others(&world, "ann").await;
    assert!(after.len() == 1 && after[0].0 > before[0].0, "{after:?}");
    let to_ann = |it: &Change, said: &Value| it.users == ["ann"] && said["read"] == 7;
    world.bus.change_that(to_ann).await;
    assert_eq!(told(&world), 3);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn below_its_feature_level_a_store_does_not_take_it() {
    let world = World::new(&["ann", "bob", "cem"]).await;
    world.set_level(3).await;
    let owner = world.own("n1").await;
    let body = Body::Setting(Asked { receipts: Some(false), ..Asked::default() });
    let answer = world.send_made(("bob", "bob~bob"), (id(1), MadeBy::Edge), &body).await;
    assert_eq!(answer["error"]["code"], "unknown_type");
    owner.leave().await.expect("leave");
}

/// Who can't be asked has not said that others may see it.
#[tokio::test]
async fn where_the_setting_can_not_be_read_nobody_else_is_told() {
    let world = World::new(&["ann", "bob", "cem"]).await;
    let owner = world.own("n1").await;
    fill(&world).await;
    let mut batch = Batch::new(rand::random());
    batch.set(setting::of_user(&user_id("bob")), "damaged");
    world.store.commit(batch).await.expect("commit");
    done(&world, "bob", "ann~bob", 20, &read(1)).await;
    done(&world, "bob", "team", 21, &read(3)).await;
    assert!(is_own(&world).await && others(&world, "ann").await.is_empty());
    assert_eq!(told(&world), 0);
    owner.leave().await.expect("leave");
}
