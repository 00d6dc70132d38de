//! Rows of the version after this one: an owner that can't read all of a row neither guesses nor
//! rewrites it.

use std::time::Duration;

use bytes::Bytes;
use weft_core::Error;
use weft_proto::kind::Rename;
use weft_proto::{Body, RoomId};
use weft_storage::tables::{head, log, member};
use weft_storage::{Batch, Outcome};

use crate::create;
use crate::support::{World, id, text, user_id};

/// Field 99, a text.
const MORE: &[u8] = &[0x9a, 0x06, 0x01, b'x'];

async fn get(world: &World, key: &Bytes) -> Bytes {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    snapshot.get(key.clone()).await.expect("get").expect("row")
}

/// What an owner says and leaves in the store that meets a row changed like this.
async fn meets(key: Bytes, change: impl FnOnce(&[u8]) -> Vec<u8>, body: Body) -> String {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    assert_eq!(world.send("ann", "team", Some(id(1)), &create(&["bob"])).await["seq"], 1);
    owner.leave().await.expect("leave");
    let newer: Bytes = change(&get(&world, &key).await).into();
    let mut batch = Batch::new([5; 16]);
    batch.set(key.clone(), newer.clone());
    assert!(matches!(world.store.commit(batch).await, Ok(Outcome::Committed(_))));
    let owner = world.own("n2").await;
    world.publish("bob", "team", Some(id(2)), &body);
    let ended = tokio::time::timeout(Duration::from_secs(60), owner.task).await;
    let error = ended.expect("it goes on").expect("join").expect_err("it goes on");
    assert!(matches!(error, Error::Store(_)) && !error.is_retryable(), "{error}");
    assert_eq!(get(&world, &key).await, newer, "rewritten");
    let team = RoomId::new("team").expect("id");
    let snapshot = world.store.snapshot().await.expect("snapshot");
    assert!(log::get_many(&*snapshot, &[(team, 2)]).await.expect("read")[0].is_none());
    error.to_string()
}

fn team() -> RoomId {
    RoomId::new("team").expect("id")
}

#[tokio::test(start_paused = true)]
async fn an_unknown_role_is_no_stranger() {
    let key = member::key(&team(), &user_id("bob"));
    // Field 1, the role: 9.
    let regent = |row: &[u8]| [&row[..1], &[0x08, 9], &row[3..]].concat();
    let error = meets(key, regent, text("hello")).await;
    assert!(error.contains("a role that this Weft does not know"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_field_of_a_head_is_not_lost() {
    let error = meets(head::key(&team()), |row| [row, MORE].concat(), text("hello")).await;
    assert!(error.contains("head: the record has a field"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_field_of_a_member_is_not_lost() {
    let key = member::key(&team(), &user_id("ann"));
    let rename = Body::Rename(Rename { title: "N".into() });
    let error = meets(key, |row| [row, MORE].concat(), rename).await;
    assert!(error.contains("member: the record has a field"), "{error}");
}
