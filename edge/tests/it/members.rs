//! An edge among the live nodes.

use std::time::Duration;

use serde_json::json;
use weft_edge::Limits;
use weft_nats::NodeInfo;
use weft_nats::nodes::live_nodes;
use weft_proto::NodeId;

use crate::common::{World, eventually};

#[tokio::test]
async fn an_edge_says_where_it_is_and_how_many_sessions_it_has() {
    let world = World::new().await;
    let admin = world.bus("admin").await;
    let name = NodeId::new("edge-1").expect("node");
    let seen = async || -> Option<NodeInfo> {
        live_nodes(&admin).await.expect("read").remove("edge")?.remove(&name)
    };
    // It is not ready before the others know it.
    let info = seen().await.expect("the edge");
    let url = format!("http://{}", world.edge.local_addr());
    eventually("it can be found", async || seen().await.is_some_and(|now| now.url == url)).await;
    assert_eq!((info.boot.len(), info.sessions, info.sessions_max), (16, 0, 50_000));
    let (one, other) = (world.session("alice").await, world.session("bob").await);
    let has = async |count| seen().await.is_some_and(|info| info.sessions == count);
    eventually("two sessions are told", async || has(2).await).await;
    drop(one);
    eventually("one session is told", async || has(1).await).await;
    assert_eq!(seen().await.map(|now| now.boot), Some(info.boot));
    drop(other);
    assert!(world.edge.shutdown(Duration::from_secs(5)).await.is_empty());
    assert_eq!(seen().await, None, "it left in order");
}

#[tokio::test]
async fn a_client_is_told_where_to_connect() {
    let world = World::new().await;
    let url = format!("http://{}", world.edge.local_addr());
    let connect = async |query: &str| world.get(&format!("/v1/connect{query}"), None).await;
    eventually("the edge is named", async || connect("").await.0 == 200).await;
    for query in ["", "?user=alice", "?region=eu&user=alice", "?region=&user="] {
        let (status, answer) = connect(query).await;
        assert_eq!((status, &answer["url"]), (200, &json!(url)), "{query}");
        assert_eq!((&answer["region"], &answer["edges"]), (&json!(""), &json!([url])), "{query}");
    }
    assert_eq!(connect("?user=Alice").await.1["error"]["code"], "bad_id");
}

#[tokio::test]
async fn an_edge_that_is_ready_is_named_and_another_is_not() {
    let mut world = World::begin(Limits::default(), |_| {}).await;
    let connect = async || world.get("/v1/connect", None).await;
    world.ready().await;
    assert_eq!(connect().await.0, 200, "right after it was ready");
    world.kill_nats().await;
    let is_ready = async || world.get("/readyz", None).await.0 == 200;
    eventually("the outage is noticed", async || !is_ready().await).await;
    let (status, answer) = world.get("/v1/connect", None).await;
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("unavailable")));
    world.restart_nats().await;
    world.ready().await;
    assert_eq!(world.get("/v1/connect", None).await.0, 200);
}

#[tokio::test]
async fn a_full_edge_is_not_named() {
    let world = World::with(Limits { sessions_max: 1, ..Limits::default() }).await;
    let connect = async || world.get("/v1/connect", None).await;
    eventually("the edge is named", async || connect().await.0 == 200).await;
    let _alice = world.session("alice").await;
    eventually("the edge is full", async || connect().await.0 == 503).await;
    let (_, answer) = connect().await;
    assert_eq!(answer["error"]["code"], "unavailable");
    assert!(answer["error"]["retry_after_ms"].as_u64() >= Some(1_000), "{answer}");
}
