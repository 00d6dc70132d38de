//! What sessions see of an outage behind the edge.

use std::time::Duration;

use serde_json::json;
use weft_edge::Limits;

use crate::common::{World, eventually, room};

#[tokio::test]
async fn sessions_stay_while_nats_is_away_and_miss_nothing() {
    stay_while_nats_is_away(Limits::default()).await;
}

#[tokio::test]
async fn without_audits_sessions_sync_again() {
    stay_while_nats_is_away(Limits { audit_every: None, ..Limits::default() }).await;
}

async fn stay_while_nats_is_away(limits: Limits) {
    let is_audited = limits.audit_every.is_some();
    let mut world = World::with(limits).await;
    let room = room("alice~bob");
    let (mut alice, pushes) = world.resume("alice", None).await;
    let mut bob = world.session("bob").await;
    world.core.say(&room, "1").await;
    assert_eq!(alice.seqs(1).await, [1]);
    assert_eq!(bob.seqs(1).await, [1]);
    world.kill_nats().await;
    eventually("the outage is noticed", async || world.get("/readyz", None).await.0 == 503).await;
    let send = json!({
        "type": "send", "room": "alice~bob", "text": "x",
        "client_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    });
    let answer = alice.request(send).await;
    assert_eq!(answer["error"]["code"], "unavailable", "{answer}");
    assert_eq!(answer["error"]["temporary"], true);
    // Published by nobody.
    for number in 2..=9 {
        world.core.text(&room, &number.to_string());
    }
    world.restart_nats().await;
    for client in [&mut alice, &mut bob] {
        assert_eq!(client.seqs(8).await, (2..=9).collect::<Vec<_>>());
        if is_audited {
            assert_eq!(client.until_cursor().await, Vec::<u64>::new());
        } else {
            let synced = client.next().await;
            assert_eq!((&synced["type"], &synced["recovered"]), (&json!("synced"), &json!(true)));
        }
        assert_ne!(client.cursor, pushes[0]["cursor"]);
    }
    eventually("core hears again", async || world.core.bus.flush().await.is_ok()).await;
    world.core.say(&room, "live").await;
    assert_eq!(alice.seqs(1).await, [10]);
    assert_eq!(world.get("/readyz", None).await.0, 200);
}

#[tokio::test]
async fn a_session_waits_for_core_but_not_for_ever() {
    let limits = Limits { sync_patience: Duration::from_millis(1_500), ..Limits::default() };
    let world = World::with(limits).await;
    let room = room("alice~bob");
    let mut alice = world.session("alice").await;
    world.core.say(&room, "1").await;
    assert_eq!(alice.seqs(1).await, [1]);
    world.core.text(&room, "lost");
    world.core.fail(true);
    world.core.say(&room, "3").await;
    eventually("a repair is tried", async || world.core.reads() > 1).await;
    // Requests are answered meanwhile.
    assert_eq!(alice.request(json!({ "type": "ping" })).await["type"], "pong");
    world.core.fail(false);
    assert_eq!(alice.seqs(2).await, [2, 3]);
    world.core.text(&room, "lost");
    world.core.fail(true);
    world.core.say(&room, "5").await;
    assert_eq!(alice.close_code().await, 4003);
    assert!(world.core.syncs() > 0);
}
