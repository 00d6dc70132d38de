//! An edge among the live nodes.

use std::time::Duration;

use weft_nats::NodeInfo;
use weft_nats::membership::live_nodes;
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
    assert_eq!(info.url, format!("http://{}", world.edge.local_addr()));
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
