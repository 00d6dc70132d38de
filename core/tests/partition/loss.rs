//! A store that went back is not served until that is accepted.

use weft_core::Error;
use weft_core::partition::loss::Acceptance;
use weft_core::partition::take::read_row;
use weft_proto::StoreId;
use weft_storage::tables::layout::{self, Layout};

use crate::support::{World, id, text};

async fn accept(world: &World, new_id: u64) -> Acceptance {
    let prepare = Acceptance::prepare(&world.store, StoreId(new_id), [5; 16]);
    prepare.await.expect("prepare")
}

async fn store_id(world: &World) -> u64 {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let row = snapshot.get(layout::key()).await.expect("get").expect("a layout");
    Layout::decode(&row).expect("layout").store_id
}

#[tokio::test]
async fn an_owner_goes_on_behind_what_is_lost_once_that_is_accepted() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    world.send("alice", "alice~bob", Some(id(1)), &text("kept")).await;
    owner.leave().await.expect("leave");
    // What a store of later has applied, and trimmed.
    for number in 2..=8 {
        world.publish("alice", "alice~bob", Some(id(number)), &text("lost"));
    }
    world.trim(7, 8).await;
    let refused = world.own("n2").await.task.await.expect("join").expect_err("refused");
    assert!(matches!(refused, Error::StoreBehind { applied: 1, trimmed: 8, .. }), "{refused:?}");
    assert!(refused.to_string().contains("`weft admin accept-loss`"), "{refused}");

    let acceptance = accept(&world, 42).await;
    assert_eq!((acceptance.id_before, acceptance.id), (StoreId(7), StoreId(42)));
    assert_eq!(acceptance.applied, [(0, 1)]);
    assert_eq!(store_id(&world).await, 7, "looking changes nothing");
    acceptance.commit(&world.store).await.expect("commit");
    assert_eq!(store_id(&world).await, 42);

    let owner = world.own("n3").await;
    let row = read_row(&world.store, 0).await.expect("row");
    assert_eq!((row.stream_seq, row.loss_accepted), (8, false));
    assert_eq!(world.send("alice", "alice~bob", Some(id(9)), &text("new")).await["seq"], 2);
    owner.leave().await.expect("leave");
    assert_eq!(world.entries("alice~bob").await.len(), 2);
    // Accepted once is not accepted for ever.
    world.trim(42, 98).await;
    let refused = world.own("n4").await.task.await.expect("join").expect_err("refused");
    assert!(matches!(refused, Error::StoreBehind { .. }), "{refused:?}");
}

#[tokio::test]
async fn where_nothing_is_lost_nothing_is_left_out() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    world.send("alice", "alice~bob", Some(id(1)), &text("x")).await;
    owner.leave().await.expect("leave");
    let waiting = world.publish("alice", "alice~bob", Some(id(2)), &text("y"));
    accept(&world, 42).await.commit(&world.store).await.expect("commit");
    let owner = world.own("n2").await;
    assert_eq!(world.bus.answer_to(&waiting).await["seq"], 2);
    owner.leave().await.expect("leave");
    assert!(!read_row(&world.store, 0).await.expect("row").loss_accepted);
}

#[tokio::test]
async fn who_owns_a_partition_loses_it_when_a_loss_is_accepted() {
    let world = World::new(&["alice", "bob"]).await;
    let acceptance = accept(&world, 42).await;
    let owner = world.own("n1").await;
    let changed = acceptance.commit(&world.store).await.expect_err("the partition was taken");
    assert!(changed.to_string().contains("nothing was done"), "{changed}");
    accept(&world, 42).await.commit(&world.store).await.expect("commit");
    world.publish("alice", "alice~bob", Some(id(1)), &text("x"));
    let lost = owner.task.await.expect("join");
    assert!(matches!(lost, Err(Error::Lost(0))), "{lost:?}");
}
