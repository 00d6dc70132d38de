//! What sessions see of an outage of what the edge needs.

use std::time::Duration;

use serde_json::json;
use weft_edge::Limits;
use weft_edge::sabotage::{Rule, take_out};

use crate::client::http;
use crate::common::{World, eventually, room, soon, token};

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
async fn an_edge_says_that_its_auditor_has_ended_and_its_sessions_go_elsewhere() {
    let world = World::new().await;
    let mut alice = world.session("alice").await;
    take_out(Some(Rule::AuditingHolds));
    assert_eq!(soon("the edge says it", world.edge.failed()).await, "audits");
    let ends = world.edge.shutdown(Duration::from_secs(5));
    let (late, code) = tokio::join!(ends, alice.close_code());
    assert_eq!((late.len(), code), (0, 4000), "{late:?}");
}

#[tokio::test]
async fn without_signs_of_life_from_core_nothing_new_is_taken() {
    let limits =
        Limits { tick_silence_max: Some(Duration::from_millis(1_500)), ..Limits::default() };
    let world = World::with(limits).await;
    let mut alice = world.session("alice").await;
    world.core.stall(true);
    let send = |client_id: &str| json!({ "type": "send", "room": "alice~bob", "text": "x", "client_id": client_id });
    let underway = alice.begin(send("01ARZ3NDEKTSV4RRFFQ69G5FAV")).await;
    world.core.be_silent(true);
    let reason = async || world.get("/readyz", None).await;
    eventually("it is not ready", async || reason().await.0 == 503).await;
    let (_, body) = reason().await;
    assert!(body["error"]["message"].as_str().expect("why").contains("core is away"), "{body}");
    assert_eq!(world.get("/v1/connect", None).await.0, 503);
    // What is new is refused, on sockets and over HTTP.
    let answer = alice.request(send("01ARZ3NDEKTSV4RRFFQ69G5FAW")).await;
    assert_eq!(answer["error"]["code"], "unavailable", "{answer}");
    assert_eq!(answer["error"]["temporary"], true);
    let path = "/v1/rooms/alice~bob/entries";
    let edge = world.edge.local_addr();
    let (status, body) = http(edge, "POST", path, Some(&token("alice")), b"{\"text\":\"x\"}").await;
    assert_eq!((status, &body["error"]["code"]), (503, &json!("unavailable")));
    // What is in the log waits, also where its sender asks again; and the session lives.
    let again = alice.begin(send("01ARZ3NDEKTSV4RRFFQ69G5FAV")).await;
    assert_eq!(alice.request(json!({ "type": "ping" })).await["type"], "pong");
    world.core.be_silent(false);
    world.ready().await;
    assert_eq!(world.get("/v1/connect", None).await.0, 200);
    world.core.stall(false);
    for answer in alice.answers(&[underway, again]).await {
        assert_eq!(answer["type"], "ack", "{answer}");
    }
    let commands = world.core.commands();
    assert!(commands.iter().all(|(_, id)| id == "01ARZ3NDEKTSV4RRFFQ69G5FAV"), "{commands:?}");
}

#[tokio::test]
async fn while_the_store_takes_nothing_new_sends_are_refused_and_others_wait() {
    let world = World::new().await;
    let mut alice = world.session("alice").await;
    world.core.stall(true);
    let send = |number: u32| {
        let client_id = format!("01ARZ3NDEKTSV4RRFFQ69G5F{number:02}");
        json!({ "type": "send", "room": "alice~bob", "text": "x", "client_id": client_id })
    };
    let underway = alice.begin(send(0)).await;
    world.core.be_stalled(true);
    let mut number = 0;
    let mut waiting = vec![underway];
    // Until the edge has heard it, sends are taken.
    eventually("a send is refused", async || {
        number += 1;
        let request = alice.begin(send(number)).await;
        match tokio::time::timeout(Duration::from_millis(200), alice.answers(&[request])).await {
            Ok(answers) => {
                let error = &answers[0]["error"];
                assert_eq!(
                    (&error["code"], &error["temporary"]),
                    (&json!("overloaded"), &json!(true))
                );
                true
            }
            Err(_) => {
                waiting.push(request);
                false
            }
        }
    })
    .await;
    assert_eq!(world.get("/readyz", None).await.0, 200, "histories can be read");
    // Its tick has no `applied`, so it is no sign that an answer was lost.
    let ticks = world.core.ticks();
    eventually("some ticks", async || world.core.ticks() > ticks + 5).await;
    world.core.be_stalled(false);
    world.core.stall(false);
    for answer in alice.answers(&waiting).await {
        assert_eq!(answer["type"], "ack", "{answer}");
    }
    eventually("a send is taken again", async || {
        number += 1;
        alice.request(send(number)).await["type"] == "ack"
    })
    .await;
    assert_eq!(world.core.commands().len(), waiting.len() + 1, "each was published once");
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
