//! No log line holds a password, a token, or what was typed and not sent, however much is logged.

use anyhow::Result;
use serde_json::{Value, json};
use weft_harness::account::PASSWORD;
use weft_harness::http;
use weft_harness::socket::Socket;
use weft_harness::system::{Options, System, direct, split_password, unique};

const NEW_PASSWORD: &str = "another horse of mine";
const WRONG_PASSWORD: &str = "a wrong horse of mine";
const DRAFT: &str = "dear horse of mine";

/// The parts of a token that alone are worth something: signature, or secret.
fn secret_of(token: &str) -> String {
    token.rsplit('.').next().unwrap_or(token).to_owned()
}

#[tokio::test]
async fn no_log_line_holds_a_password_a_token_or_a_draft() -> Result<()> {
    let options = Options { edges: 1, presences: 1, log: "trace".to_owned(), ..Options::default() };
    let system = System::split(options).await?;
    let edge = system.edge();
    let phone = system.user("alice").await?;
    let laptop = system.device(&phone.user, "laptop").await?;
    let fresh = phone.refresh(edge).await?;
    let room = direct(&phone, &phone);
    let mut session = system.session(&phone).await?;
    let answer = session.request(json!({ "type": "token", "token": fresh.token })).await?;
    assert_eq!(answer["type"], "token", "{answer}");
    session.acked(&room, json!({ "text": "hello" })).await?;
    for (refused, text) in [(false, DRAFT.to_owned()), (true, format!("{DRAFT}, "))] {
        let draft = json!({ "type": "draft", "room": room, "version": 0, "text": text });
        assert_eq!(session.request(draft).await?["type"] == "error", refused);
    }
    session.request(json!({ "type": "presence.own" })).await?;
    let path = format!("/v1/rooms/{room}/entries");
    let sent = fresh.call(edge, "POST", &path, &json!({ "text": "x" })).await?;
    assert_eq!(sent.status, 201);
    // What is refused, too: a wrong password, a name that is taken, bodies and frames that can't be read.
    let login = |password: &str| json!({ "user": phone.user, "password": password, "device": "d" });
    let wrong = http::call(edge, "POST", "/v1/login", None, &login(WRONG_PASSWORD)).await?;
    assert_eq!(wrong.code(), "bad_credentials");
    let taken = json!({ "user": phone.user, "password": PASSWORD });
    assert_eq!(http::call(edge, "POST", "/v1/accounts", None, &taken).await?.code(), "user_exists");
    let no_text = json!({ "user": [PASSWORD], "password": 7, "device": PASSWORD });
    assert_eq!(http::call(edge, "POST", "/v1/login", None, &no_text).await?.status, 400);
    let forged = format!("{}x", fresh.token);
    http::call(edge, "GET", "/v1/profile", Some(&forged), &Value::Null).await?;
    let mut socket = Socket::open(edge).await?;
    socket.send(&json!({ "id": 1, "type": "hello", "token": forged, "cursor": 7 })).await?;
    socket.next().await?;
    let used = json!({ "refresh_token": laptop.refresh_token.replace("laptop", "tablet") });
    assert_eq!(http::call(edge, "POST", "/v1/refresh", None, &used).await?.status, 401);
    let change = json!({ "old": PASSWORD, "new": NEW_PASSWORD });
    assert_eq!(fresh.call(edge, "POST", "/v1/password", &change).await?.status, 204);
    let new = http::call(edge, "POST", "/v1/login", None, &login(NEW_PASSWORD)).await?;
    assert_eq!(new.status, 200, "{new:?}");
    session.request(json!({ "type": "logout" })).await?;
    let nobody = json!({ "user": unique("bob"), "password": NEW_PASSWORD, "device": "d" });
    assert_eq!(http::call(edge, "POST", "/v1/login", None, &nobody).await?.status, 401);

    let mut secrets = [PASSWORD, NEW_PASSWORD, WRONG_PASSWORD, DRAFT].map(str::to_owned).to_vec();
    secrets.extend(
        ["edge", "core", "presence", "search", "push", "integrations", "admin"].map(split_password),
    );
    for tokens in [&phone, &laptop, &fresh] {
        secrets.extend([&tokens.token, &tokens.refresh_token].map(|token| secret_of(token)));
    }
    for field in ["token", "refresh_token"] {
        secrets.push(secret_of(new.body[field].as_str().unwrap_or_default()));
    }
    for name in ["core", "edge-0", "presence"] {
        let log = system.process(name).output();
        assert!(log.contains("DEBUG"), "{name} says more than by default");
        for secret in &secrets {
            assert!(secret.len() >= 8, "{secret}");
            let line = log.lines().find(|line| line.contains(secret.as_str()));
            assert_eq!(line, None, "{name} logs {secret}");
        }
    }
    Ok(())
}
