//! An edge that is to end sends its sessions away, each at a time of its own.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use crate::client::{Client, upgrade};
use crate::common::{World, eventually};

/// What a busy machine may add.
const SLACK: Duration = Duration::from_millis(1_500);

/// Waits for the word of the drain; how long the client has then.
async fn told(client: &mut Client) -> Duration {
    let push = client.next().await;
    assert_eq!((&push["type"], push.get("id")), (&json!("draining"), None), "{push}");
    Duration::from_millis(push["close_in_ms"].as_u64().expect("close_in_ms"))
}

#[tokio::test]
async fn each_session_is_told_and_leaves_at_its_own_time() {
    const WINDOW: Duration = Duration::from_secs(3);
    let world = World::new().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(world.session("alice").await);
    }
    eventually("it is named", async || world.get("/v1/connect", None).await.0 == 200).await;
    let began = Instant::now();
    let leave = async |client: &mut Client| {
        let close_in = told(client).await;
        let told_after = began.elapsed();
        assert_eq!(client.close_code().await, 4000);
        let closed_after = began.elapsed();
        assert!(closed_after + SLACK / 10 >= close_in, "{closed_after:?} of {close_in:?}");
        assert!(closed_after <= close_in + told_after + SLACK, "{closed_after:?} of {close_in:?}");
        close_in
    };
    let asked = async {
        eventually("it drains", async || world.get("/readyz", None).await.0 == 503).await;
        let (_, answer) = world.get("/readyz", None).await;
        let reason = answer["error"]["message"].as_str().expect("a reason").to_owned();
        assert!(reason.starts_with("draining: ") && reason.ends_with(" sessions left"), "{reason}");
        let (_, head) = upgrade(world.edge.local_addr()).await;
        assert!(head.starts_with("HTTP/1.1 503") && head.contains("retry-after: "), "{head}");
        eventually("nobody is sent here", async || world.get("/v1/connect", None).await.0 == 503)
            .await;
    };
    let all = join_all(clients.iter_mut().map(leave));
    let ((), mut times, ()) = tokio::join!(world.edge.drain(WINDOW), all, asked);
    assert!(began.elapsed() < WINDOW + SLACK);
    times.sort_unstable();
    assert!(times[19] <= WINDOW * 8 / 10, "{times:?}");
    assert!(times[19] - times[0] > WINDOW / 5, "they all leave together: {times:?}");
    assert!(world.edge.shutdown(Duration::from_secs(5)).await.is_empty());
}

#[tokio::test]
async fn who_waits_for_an_answer_leaves_with_it() {
    let world = World::new().await;
    let mut alice = world.session("alice").await;
    world.core.stall(true);
    let send = json!({ "type": "send", "room": "alice~bob", "text": "hi",
        "client_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV" });
    let id = alice.begin(send).await;
    let waits = async {
        let close_in = told(&mut alice).await;
        // Its time passes.
        tokio::time::sleep(close_in + Duration::from_millis(200)).await;
        world.core.stall(false);
        let mut is_acked = false;
        loop {
            match alice.next_or_close().await {
                Ok(frame) => is_acked |= frame["type"] == "ack" && frame["id"] == id,
                Err(code) => break assert_eq!((code, is_acked), (4000, true)),
            }
        }
    };
    let began = Instant::now();
    let window = Duration::from_secs(20);
    tokio::join!(world.edge.drain(window), waits);
    assert!(began.elapsed() < window, "it left with its answer, not with the window");
}

#[tokio::test]
async fn nobody_waits_for_longer_than_the_window() {
    let world = World::new().await;
    let mut alice = world.session("alice").await;
    world.core.stall(true);
    let send = json!({ "type": "send", "room": "alice~bob", "text": "hi",
        "client_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV" });
    alice.begin(send).await;
    let (window, began) = (Duration::from_secs(1), Instant::now());
    world.edge.drain(window).await;
    assert!(began.elapsed() >= window, "{:?}", began.elapsed());
    told(&mut alice).await;
    assert_eq!(alice.close_code().await, 4000);
    world.core.stall(false);
}

#[tokio::test]
async fn without_sessions_a_drain_is_over_at_once() {
    let world = World::new().await;
    let began = Instant::now();
    world.edge.drain(Duration::from_secs(60)).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
