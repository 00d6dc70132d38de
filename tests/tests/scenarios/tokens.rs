//! Tokens: they end, are refreshed, and can't be forged.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use weft_harness::account::Login;
use weft_harness::http;
use weft_harness::session::{Session, code};
use weft_harness::socket::{Socket, now_ms};
use weft_harness::system::{Options, System, direct};
use weft_harness::wait::until;

/// Tokens that live for this long.
const LIFE: Duration = Duration::from_secs(6);
const CLOSE_LIMIT: Duration = Duration::from_secs(15);

async fn short_lived() -> &'static System {
    static SYSTEM: OnceCell<System> = OnceCell::const_new();
    let life = LIFE.as_secs().to_string();
    let options = Options { edges: 1, ..Options::default() }.core(&["--token-life-s", &life]);
    let start = async || System::split(options).await.expect("weft starts");
    SYSTEM.get_or_init(start).await
}

async fn expired(login: &Login) {
    let what = "the token has expired";
    until(what, LIFE * 2, async || (now_ms() > login.expires_at_ms + 1_000).then_some(())).await;
}

#[tokio::test]
async fn an_expired_token_closes_a_live_socket() -> Result<()> {
    let system = short_lived().await;
    let alice = system.user("alice").await?;
    let alice = alice.refresh(system.edge()).await?;
    let mut session = system.session(&alice).await?;
    let expires_at = session.welcome["token_expires_at"].as_u64().unwrap_or_default();
    assert_eq!(expires_at, alice.expires_at_ms);
    assert_eq!(session.closed_within(CLOSE_LIMIT).await?, 4101);
    assert!(now_ms() + 1_000 >= expires_at, "closed before its time");
    // It opens nothing any more.
    expired(&alice).await;
    let mut socket = Socket::open(system.edge()).await?;
    socket.send(&json!({ "id": 1, "type": "hello", "token": alice.token })).await?;
    let closed = socket.closed_within(CLOSE_LIMIT).await?;
    assert!([4100, 4101].contains(&closed), "{closed}");
    let answer = alice.call(system.edge(), "GET", "/v1/profile", &Value::Null).await?;
    assert_eq!((answer.status, answer.code()), (401, "token_expired"));
    // A refresh opens everything again.
    let fresh = alice.refresh(system.edge()).await?;
    system.session(&fresh).await?;
    Ok(())
}

#[tokio::test]
async fn a_fresh_token_on_the_socket_keeps_it() -> Result<()> {
    let system = short_lived().await;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let room = direct(&alice, &alice);
    let mut login = alice.refresh(system.edge()).await?;
    let mut session = system.session(&login).await?;
    let began = now_ms();
    for seq in 1..=3 {
        let soon = async || (now_ms() + 3_000 > login.expires_at_ms).then_some(());
        until("the token is about to end", LIFE * 2, soon).await;
        login = login.refresh(system.edge()).await?;
        let answer = session.request(json!({ "type": "token", "token": login.token })).await?;
        assert_eq!(answer["type"], "token", "{answer}");
        assert_eq!(answer["expires_at"], login.expires_at_ms, "{answer}");
        assert_eq!(session.acked(&room, json!({ "text": "still here" })).await?, seq);
    }
    assert!(login.expires_at_ms > began + 2_000 * LIFE.as_secs(), "longer than one token lives");
    // Somebody else's token, or another device's, does not.
    let bob = bob.refresh(system.edge()).await?;
    let tablet = system.device(&alice.user, "tablet").await?;
    for foreign in [&bob, &tablet] {
        let answer = session.request(json!({ "type": "token", "token": foreign.token })).await?;
        assert_eq!(code(&answer)?, "unauthorized", "{answer}");
    }
    session.acked(&room, json!({ "text": "still here" })).await?;
    Ok(())
}

#[tokio::test]
async fn a_refresh_token_works_once_and_once_more_where_its_answer_was_lost() -> Result<()> {
    let system = short_lived().await;
    let first = system.user("alice").await?;
    let lost = first.refresh(system.edge()).await?;
    let second = first.refresh(system.edge()).await?;
    assert_ne!(second.refresh_token, lost.refresh_token);
    assert_ne!(first.refresh_token, second.refresh_token);
    let third = second.refresh(system.edge()).await?;
    // Who comes with the first one now has it from somebody else: nobody goes on.
    let mut session = system.session(&third).await?;
    assert!(first.refresh(system.edge()).await.is_err(), "used three times");
    assert!(third.refresh(system.edge()).await.is_err(), "the login has ended");
    assert_eq!(session.closed_within(CLOSE_LIMIT).await?, 4103);
    Ok(())
}

#[tokio::test]
async fn tokens_of_another_making_are_refused() -> Result<()> {
    let system = short_lived().await;
    let alice = system.user("alice").await?;
    let parts: Vec<&str> = alice.token.split('.').collect();
    // {"alg":"none","typ":"JWT"} and {"alg":"HS256","typ":"JWT"}, with the real claims.
    let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", parts[1]);
    let symmetric = format!("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.{}.{}", parts[1], parts[2]);
    let cut = format!("{}.{}.", parts[0], parts[1]);
    let more = format!("{}x", alice.token);
    for forged in [none.as_str(), &symmetric, &cut, &more, "", "."] {
        let answer =
            http::call(system.edge(), "GET", "/v1/profile", Some(forged), &Value::Null).await?;
        assert_eq!((answer.status, answer.code()), (401, "unauthorized"), "{forged}");
        let mut socket = Socket::open(system.edge()).await?;
        socket.send(&json!({ "id": 1, "type": "hello", "token": forged })).await?;
        assert_eq!(socket.closed_within(CLOSE_LIMIT).await?, 4100, "{forged}");
    }
    let alice = alice.refresh(system.edge()).await?;
    Session::open(system.edge(), &alice, None).await?;
    Ok(())
}
