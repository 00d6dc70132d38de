//! Who is alive: a silent node counts as dead after the TTL, an outage takes nobody with it.

use std::time::{Duration, Instant};

use weft_nats::nodes::live_nodes;
use weft_nats::{Bus, NodeInfo, Registration};

use crate::common::{Fixture, PATIENCE, node};

async fn join(bus: &Bus, name: &str) -> Registration {
    let info = NodeInfo { boot: format!("boot-{name}"), ..NodeInfo::default() };
    Registration::join(bus, "core", &node(name), info).await.expect("join")
}

/// Waits until `registration` sees exactly these cores.
async fn sees(registration: &Registration, names: &[&str]) {
    let wanted: Vec<_> = names.iter().map(|name| node(name)).collect();
    let mut live = registration.live("core");
    let seen = live.wait_for(|nodes| nodes.keys().eq(wanted.iter()));
    if tokio::time::timeout(PATIENCE, seen).await.is_err() {
        panic!("wanted {names:?}, saw {:?}", *registration.live("core").borrow());
    }
}

#[tokio::test]
async fn nodes_come_change_and_leave() {
    let fixture = Fixture::new(1).await;
    let (a, b) = (fixture.bus("core", "a").await, fixture.bus("core", "b").await);
    let first = join(&a, "a").await;
    sees(&first, &["a"]).await;
    let second = join(&b, "b").await;
    sees(&first, &["a", "b"]).await;
    sees(&second, &["a", "b"]).await;
    assert!(first.live("edge").borrow().is_empty());
    second.update(|info| info.sessions = 7);
    let mut live = first.live("core");
    let changed = live.wait_for(|nodes| nodes.get(&node("b")).is_some_and(|n| n.sessions == 7));
    tokio::time::timeout(PATIENCE, changed).await.expect("in time").expect("open");
    let started = Instant::now();
    second.leave().await;
    sees(&first, &["a"]).await;
    assert!(started.elapsed() < Duration::from_secs(2), "an orderly leave counts at once");
}

#[tokio::test]
async fn nodes_are_read_without_joining() {
    let fixture = Fixture::new(1).await;
    let admin = fixture.bus("admin", "tool").await;
    assert!(live_nodes(&admin).await.expect("read").is_empty());
    let (a, b) = (fixture.bus("core", "a").await, fixture.bus("edge", "b").await);
    let core =
        Registration::join(&a, "core", &node("a"), NodeInfo::default()).await.expect("join a core");
    let info = NodeInfo { url: "ws://b".into(), sessions: 7, ..NodeInfo::default() };
    let edge = Registration::join(&b, "edge", &node("b"), info).await.expect("join an edge");
    assert!(core.boot().len() == 16 && core.boot() != edge.boot(), "{}", core.boot());
    let nodes = live_nodes(&admin).await.expect("read");
    assert_eq!(nodes.keys().collect::<Vec<_>>(), ["core", "edge"]);
    assert_eq!(nodes["core"][&node("a")].boot, core.boot());
    let seen = &nodes["edge"][&node("b")];
    assert_eq!((seen.boot.as_str(), seen.url.as_str(), seen.sessions), (edge.boot(), "ws://b", 7));
    core.leave().await;
    let nodes = live_nodes(&admin).await.expect("read");
    assert_eq!(nodes.keys().collect::<Vec<_>>(), ["edge"]);
}

/// Takes a TTL, because what is tested is the TTL.
#[tokio::test]
async fn a_silent_node_expires() {
    let fixture = Fixture::new(1).await;
    let (a, b) = (fixture.bus("core", "a").await, fixture.bus("core", "b").await);
    let first = join(&a, "a").await;
    let second = join(&b, "b").await;
    sees(&first, &["a", "b"]).await;
    let started = Instant::now();
    drop(second);
    sees(&first, &["a"]).await;
    let took = started.elapsed();
    assert!(took > Duration::from_secs(6) && took < Duration::from_secs(14), "{took:?}");
}

#[tokio::test]
async fn an_outage_longer_than_the_ttl_takes_nobody_with_it() {
    let mut fixture = Fixture::new(1).await;
    let (a, b) = (fixture.bus("core", "a").await, fixture.bus("core", "b").await);
    let first = join(&a, "a").await;
    let second = join(&b, "b").await;
    sees(&first, &["a", "b"]).await;
    let mut live = first.live("core");
    live.borrow_and_update();
    fixture.kill().await;
    // What is tested is that so much time passes.
    tokio::time::sleep(Duration::from_secs(12)).await;
    // b does not come back: it counts as dead only a TTL of own heartbeats later.
    drop(second);
    b.close().await;
    fixture.restart().await;
    let back = Instant::now();
    sees(&first, &["a"]).await;
    let took = back.elapsed();
    assert!(took > Duration::from_secs(8), "gone after {took:?}: an expiry counted too soon");
    assert!(live.borrow_and_update().contains_key(&node("a")), "a saw itself go");
}
