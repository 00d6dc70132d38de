//! What edges do with logins that have ended, and with a core that does not say.

use std::time::Duration;

use serde_json::{Value, json};
use weft_edge::Limits;

use crate::client::http;
use crate::common::{World, eventually, room, token};

fn often() -> Limits {
    Limits { login_check_every: Duration::from_millis(200), ..Limits::default() }
}

async fn send(world: &World, name: &str) -> (u16, Value) {
    send_with(world, name, &token(name)).await
}

async fn send_with(world: &World, name: &str, token: &str) -> (u16, Value) {
    let path = format!("/v1/rooms/{name}~{name}/entries");
    let body = br#"{"text":"x"}"#;
    http(world.edge.local_addr(), "POST", &path, Some(token), body).await
}

#[tokio::test]
async fn a_live_session_ends_without_a_notice() {
    let world = World::with(often()).await;
    let (mut alice, mut bob) = (world.session("alice").await, world.session("bob").await);
    world.core.end_logins("alice");
    assert_eq!(alice.close_code().await, 4103);
    assert_eq!(bob.request(json!({ "type": "ping" })).await["type"], "pong");
    // The same token opens nothing.
    let mut again = world.socket().await;
    again.send(&json!({ "id": 7, "type": "hello", "token": token("alice") })).await;
    assert_eq!(again.next().await["error"]["code"], "unauthorized");
    assert_eq!(again.close_code().await, 4103);
    assert_eq!(send(&world, "alice").await.0, 401);
    assert_eq!(send(&world, "bob").await.0, 201);
    // Nor does it on a session that it did not open.
    let refused = bob.request(json!({ "type": "token", "token": token("alice") })).await;
    assert_eq!(refused["error"]["code"], "unauthorized");
}

#[tokio::test]
async fn no_answer_is_no_refusal() {
    let world = World::with(often()).await;
    // One token for all: `token` makes another one in the next second.
    let token = token("alice");
    let mut alice = world.socket().await;
    alice.send(&json!({ "id": 1, "type": "hello", "token": token })).await;
    alice.until_synced().await;
    world.core.hide_logins(true);
    let asked = world.core.login_checks();
    eventually("asked in vain", async || world.core.login_checks() > asked + 1).await;
    assert_eq!(alice.request(json!({ "type": "ping" })).await["type"], "pong");
    // Of who comes new nothing is known: the signature tells.
    world.session("alice").await;
    assert_eq!(send(&world, "carol").await.0, 201);
    // What core said before it fell silent holds.
    world.core.hide_logins(false);
    world.core.end_logins("alice");
    assert_eq!(alice.close_code().await, 4103);
    world.core.hide_logins(true);
    assert_eq!(send_with(&world, "alice", &token).await.0, 401);
}

#[tokio::test]
async fn an_answer_is_kept_for_five_seconds_and_no_longer() {
    let world = World::new().await;
    let (alice, token) = (room("alice~alice"), token("alice"));
    assert_eq!(send_with(&world, "alice", &token).await.0, 201);
    let asked = world.core.login_checks();
    for _ in 0..3 {
        assert_eq!(send_with(&world, "alice", &token).await.0, 201);
    }
    assert_eq!(world.core.login_checks(), asked, "it was not asked again");
    world.core.end_logins("alice");
    let began = std::time::Instant::now();
    eventually("refused", async || send_with(&world, "alice", &token).await.0 == 401).await;
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let read = format!("/v1/rooms/{alice}/entries");
    let checks = world.core.login_checks();
    assert_eq!(world.get(&read, Some(&token)).await.0, 200, "this one core checks");
    assert_eq!(world.core.login_checks(), checks);
}
