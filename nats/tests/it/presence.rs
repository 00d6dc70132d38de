//! The bucket of users: what edges write, presence nodes see.

use std::time::Duration;

use tokio::time::timeout;
use weft_nats::assets::{AssetOptions, ensure};
use weft_nats::presence::{keys_of, probe};
use weft_nats::{Bus, Error, UserChange, UserKeys, UserWatch};
use weft_proto::presence::{DevicePresence, EdgePresence};

use crate::common::{Fixture, PATIENCE, node, user};

fn here(number: u64, device: &str) -> EdgePresence {
    let devices = vec![DevicePresence { device: device.into(), idle: false }];
    EdgePresence { boot: "b".into(), number, devices, ..EdgePresence::default() }
}

async fn take(watch: &mut UserWatch, count: usize) -> Vec<UserChange> {
    let mut changes = Vec::new();
    while changes.len() < count {
        let taken = timeout(PATIENCE, watch.take(&mut changes, count)).await;
        assert!(taken.expect("in time"), "the watch goes on");
    }
    changes
}

#[tokio::test]
async fn what_edges_write_presence_nodes_see() {
    let fixture = Fixture::new(1).await;
    let (edge, presence) = (fixture.bus("edge", "e1").await, fixture.bus("presence", "p1").await);
    let (mut early, present) = UserWatch::open(&presence).await.expect("watch");
    assert_eq!(present, []);
    let mut keys = UserKeys::start(&edge, &node("e1")).await.expect("keys");
    let (alice, bob) = (user("alice"), user("bob"));
    let all = [(alice.clone(), here(1, "phone")), (bob.clone(), here(2, "desk"))];
    keys.put(&all).await.expect("stored");
    let change =
        |(user, here): (_, EdgePresence)| UserChange { user, edge: node("e1"), here: Some(here) };
    assert_eq!(take(&mut early, 2).await, all.clone().map(change));
    let seen = early.probe().await.expect("probe");
    assert!(early.has_shown(seen) && seen.last_seq() == 2);

    // Whoever comes later sees what is there, and that somebody has left.
    let left = EdgePresence { boot: "b".into(), number: 3, ..EdgePresence::default() };
    keys.put(&[(bob.clone(), left.clone())]).await.expect("stored");
    let (late, mut present) = UserWatch::open(&presence).await.expect("watch");
    present.sort_by(|a, b| a.user.cmp(&b.user));
    assert_eq!(present, [change(all[0].clone()), change((bob, left))]);
    assert!(late.has_shown(probe(&presence).await.expect("probe")));
    assert!(!early.has_shown(probe(&presence).await.expect("probe")), "it has not looked yet");
    let admin = fixture.bus("admin", "a1").await;
    assert_eq!(keys_of(&admin, &alice).await.expect("keys"), [(node("e1"), here(1, "phone"))]);
    assert_eq!(keys_of(&admin, &user("nobody")).await.expect("keys"), []);
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_an_error() {
    let fixture = Fixture::bare(1).await;
    let (edge, presence) = (fixture.bus("edge", "e1").await, fixture.bus("presence", "p1").await);
    let mut keys = UserKeys::start(&edge, &node("e1")).await.expect("keys");
    let all = [(user("alice"), here(1, "phone"))];
    let put = timeout(Duration::from_secs(2), keys.put(&all)).await;
    match put.expect("said at once") {
        Err(Error::NotStored { missing, .. }) => assert_eq!(missing, [0]),
        other => panic!("{other:?}"),
    }
    assert!(UserWatch::open(&presence).await.is_err());
}

/// The bucket forgets everything, and has other keys than before.
async fn make_anew(fixture: &Fixture, others: &mut UserKeys, count: u64) {
    fixture.ask("STREAM.DELETE.KV_WEFT_PRESENCE", "").await;
    let core = fixture.bus("core", "c").await;
    ensure(&core, &AssetOptions { partitions: 1, ..AssetOptions::default() }).await.expect("made");
    let keys: Vec<_> = (0..count).map(|n| (user(&format!("u{n}")), here(n, "desk"))).collect();
    // Their connection may be another one than before, and become one at any moment.
    let stored =
        async { while others.has_all().await.is_err() || others.put(&keys).await.is_err() {} };
    timeout(PATIENCE, stored).await.expect("stored");
}

async fn break_the_connection(fixture: &mut Fixture, bus: &Bus) {
    let mut connection = bus.connection();
    let before = connection.borrow().generation;
    fixture.kill().await;
    fixture.restart().await;
    let anew = connection.wait_for(|now| now.connected && now.generation > before);
    timeout(PATIENCE, anew).await.expect("in time").expect("open");
}

#[tokio::test]
async fn a_bucket_that_lost_what_it_had_is_noticed() {
    let mut fixture = Fixture::new(1).await;
    let (edge, presence) = (fixture.bus("edge", "e1").await, fixture.bus("presence", "p1").await);
    let other = fixture.bus("edge", "e2").await;
    let mut keys = UserKeys::start(&edge, &node("e1")).await.expect("keys");
    let mut others = UserKeys::start(&other, &node("e2")).await.expect("keys");
    assert!(keys.has_all().await.expect("nothing is asked"), "nothing was written");
    let alice = [(user("alice"), here(1, "phone"))];
    let left = EdgePresence { boot: "b".into(), number: 2, ..EdgePresence::default() };
    let bob_left = [(user("bob"), left)];
    for all in [&alice, &bob_left] {
        keys.put(all).await.expect("stored");
        break_the_connection(&mut fixture, &edge).await;
        assert!(keys.has_all().await.expect("asked"), "the bucket has kept it");
        assert!(keys.has_all().await.expect("nothing is asked"));
    }
    let admin = fixture.bus("admin", "a1").await;
    assert_eq!(keys_of(&admin, &user("alice")).await.expect("keys").len(), 1);

    // Others have written more than was there before: no sequence tells.
    make_anew(&fixture, &mut others, 50).await;
    break_the_connection(&mut fixture, &edge).await;
    // Over the new connection nothing counts as written before that was found out.
    assert!(keys.put(&alice).await.is_err());
    assert!(!keys.has_all().await.expect("asked"), "it lacks what was written");
    assert!(keys.has_all().await.expect("nothing is asked"), "it is said once");

    // The connection stays: the next write tells.
    keys.put(&alice).await.expect("stored");
    let (watch, _) = UserWatch::open(&presence).await.expect("watch");
    assert!(watch.has_shown(watch.probe().await.expect("probe")));
    make_anew(&fixture, &mut others, 1).await;
    assert!(!watch.has_shown(watch.probe().await.expect("probe")), "it may show nothing any more");
    assert!(keys.has_all().await.expect("nothing is asked"), "it can't know yet");
    keys.put(&bob_left).await.expect("stored");
    assert!(!keys.has_all().await.expect("nothing is asked"), "the sequence went back");
}
