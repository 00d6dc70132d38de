//! Answers and refusals over HTTP.

use serde_json::{Value, json};
use weft_edge::{Limits, Rate};

use crate::client::http;
use crate::common::{World, token};

#[tokio::test]
async fn every_refusal_has_our_form() {
    let world = World::new().await;
    let token = token("alice");
    let too_large = vec![b' '; 1_300_001];
    for (method, path, authorized, body, status, code) in [
        ("GET", "/nowhere", false, &b""[..], 404, "not_found"),
        ("GET", "/v1/nowhere", false, b"", 404, "not_found"),
        ("PUT", "/v1/login", false, b"", 405, "not_found"),
        ("POST", "/v1/login", false, b"", 400, "bad_json"),
        ("POST", "/v1/login", false, b"nonsense", 400, "bad_json"),
        ("POST", "/v1/login", false, b"{}", 400, "bad_request"),
        ("POST", "/v1/login", false, &too_large, 413, "too_large"),
        ("POST", "/v1/logout", false, b"", 401, "unauthorized"),
        ("GET", "/v1/rooms", false, b"", 401, "unauthorized"),
        ("GET", "/v1/rooms?limit=x", true, b"", 400, "bad_request"),
        ("GET", "/v1/rooms/a.b/entries", true, b"", 400, "bad_id"),
        ("GET", "/v1/rooms/%ff/entries", true, b"", 400, "bad_id"),
        ("GET", "/v1/rooms/a/entries?before=1&after=2", true, b"", 400, "bad_request"),
        ("POST", "/v1/rooms/a/entries", true, b"{}", 400, "bad_request"),
        (
            "POST",
            "/v1/rooms/a/entries",
            true,
            br#"{"text":"x","client_id":"y"}"#,
            400,
            "bad_client_id",
        ),
        ("GET", "/v1/ws", false, b"", 400, "bad_request"),
    ] {
        let authorization = authorized.then_some(token.as_str());
        let answer = http(world.edge.local_addr(), method, path, authorization, body).await;
        let (found, body) = answer;
        assert_eq!((found, &body["error"]["code"]), (status, &json!(code)), "{method} {path}");
        assert_eq!(body["error"]["temporary"], false);
        assert!(body["error"]["message"].is_string());
    }
}

#[tokio::test]
async fn answers_are_the_frames_of_the_protocol() {
    let world = World::new().await;
    let token = token("alice");
    let (status, rooms) = world.get("/v1/rooms?limit=1", Some(&token)).await;
    assert_eq!((status, &rooms["type"], &rooms["more"]), (200, &json!("rooms"), &json!(true)));
    assert_eq!(
        (&rooms["rooms"][0]["room"], &rooms["rooms"][0]["seq"]),
        (&json!("a-team"), &json!(7))
    );
    let edge = world.edge.local_addr();
    let login = br#"{"user":"alice","password":"geheim geheim","device":"phone"}"#;
    let (status, tokens) = http(edge, "POST", "/v1/login", None, login).await;
    assert_eq!(
        (status, &tokens["user"], &tokens["device"]),
        (200, &json!("alice"), &json!("phone"))
    );
    let (status, nothing) = http(edge, "POST", "/v1/logout", Some(&token), b"").await;
    assert_eq!((status, nothing), (204, Value::Null));
    assert_eq!(world.get("/healthz", None).await.0, 200);
}

#[tokio::test]
async fn logins_of_one_address_are_limited() {
    let rate = Rate { per_second: 1, burst: 2 };
    let world = World::with(Limits { accounts: rate, ..Limits::default() }).await;
    let login = br#"{"user":"alice","password":"geheim geheim","device":"phone"}"#;
    let edge = world.edge.local_addr();
    for expected in [200, 200, 429] {
        let (status, body) = http(edge, "POST", "/v1/login", None, login).await;
        assert_eq!(status, expected, "{body}");
    }
}
