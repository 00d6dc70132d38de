//! Answers and refusals over HTTP.

use serde_json::json;

use crate::client::{http, http_with_head};
use crate::common::{KID, World, now_s, token, token_until};

#[tokio::test]
async fn every_refusal_has_our_form() {
    let world = World::new().await;
    let token = token("alice");
    let too_large = vec![b' '; 1_300_001];
    for (method, path, authorized, body, status, code) in [
        ("GET", "/nowhere", false, &b""[..], 404, "not_found"),
        ("GET", "/v1/nowhere", false, b"", 404, "not_found"),
        ("PUT", "/v1/login", false, b"", 405, "method_not_allowed"),
        ("POST", "/v1/login", false, b"", 400, "bad_json"),
        ("POST", "/v1/login", false, b"nonsense", 400, "bad_json"),
        ("POST", "/v1/login", false, b"{}", 400, "bad_request"),
        ("POST", "/v1/login", false, &too_large, 413, "too_large"),
        ("POST", "/v1/logout", false, b"", 401, "unauthorized"),
        ("GET", "/v1/rooms", false, b"", 401, "unauthorized"),
        ("GET", "/v1/rooms?limit=x", true, b"", 400, "bad_request"),
        ("GET", "/v1/rooms?limit=0", true, b"", 400, "bad_request"),
        ("GET", "/v1/rooms?limit=%2B1", true, b"", 400, "bad_request"),
        ("GET", "/v1/rooms?limit=1&limit=2", true, b"", 400, "bad_request"),
        ("GET", "/v1/rooms/a/entries?before=0", true, b"", 400, "bad_request"),
        ("GET", "/v1/rooms/a/entries?after=99999999999999999999", true, b"", 400, "bad_request"),
        ("POST", "/v1/login", false, br#"["alice","geheim geheim","phone"]"#, 400, "bad_request"),
        ("POST", "/v1/rooms/a/entries", true, br#"["message","hi"]"#, 400, "bad_request"),
        ("POST", "/v1/rooms/a/entries", true, br#"{"room":"b","text":"x"}"#, 400, "bad_request"),
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
async fn a_bad_field_is_named_in_the_words_of_the_protocol() {
    let world = World::new().await;
    let token = token("alice");
    for (method, path, body, field) in [
        ("GET", "/v1/rooms?limit=x", &b""[..], "limit"),
        ("GET", "/v1/rooms?after=a&after=b", b"", "after"),
        ("GET", "/v1/rooms/a/members?limit=-1", b"", "limit"),
        ("GET", "/v1/rooms/a/entries?before=x", b"", "before"),
        ("POST", "/v1/login", br#"{"user":"alice","password":7,"device":"d"}"#, "password"),
        ("POST", "/v1/login", br#"{"user":"alice","password":"geheim geheim"}"#, "device"),
        ("POST", "/v1/accounts", br#"{"user":"eve","user":"eve","password":"x"}"#, "user"),
        ("PATCH", "/v1/profile", br#"{"avatar":["x"]}"#, "avatar"),
        ("POST", "/v1/rooms/a/entries", br#"{"text":5}"#, "text"),
        ("POST", "/v1/rooms/a/entries", br#"{"kind":"add","user":"b","role":"x"}"#, "role"),
        ("POST", "/v1/rooms/a/entries", br#"{"text":"x","client_id":5}"#, "client_id"),
        ("POST", "/v1/rooms/a/entries", br#"{"text":"x","room":"b"}"#, "room"),
    ] {
        let (edge, token) = (world.edge.local_addr(), Some(token.as_str()));
        let (status, answer) = http(edge, method, path, token, body).await;
        let message = answer["error"]["message"].as_str().expect("a message");
        assert_eq!((status, &answer["error"]["code"]), (400, &json!("bad_request")), "{answer}");
        assert!(message.contains(&format!("the field {field} ")), "{path}: {message}");
        for word in ["column", "struct", "deserialize", "u32", "u64", "sequence"] {
            assert!(!message.contains(word), "{path}: {message}");
        }
    }
}

#[tokio::test]
async fn headers_say_what_http_asks_for() {
    let world = World::new().await;
    let edge = world.edge.local_addr();
    let (head, _) = http_with_head(edge, "PUT", "/v1/rooms/a/entries", None, b"").await;
    let allow = head.lines().find_map(|line| line.strip_prefix("allow: ")).expect("allow");
    assert!(allow.contains("get") && allow.contains("post"), "{head}");
    let (head, _) = http_with_head(edge, "GET", "/v1/rooms", None, b"").await;
    assert!(head.contains("\r\nwww-authenticate: bearer "), "{head}");
    let late = token_until("alice", "phone", now_s() - 3_600, KID);
    let (head, body) = http_with_head(edge, "GET", "/v1/rooms", Some(&late), b"").await;
    assert_eq!(body["error"]["code"], "token_expired");
    assert!(head.contains("error=\"invalid_token\""), "{head}");
    let login = br#"{"user":"alice","password":"geheim geheim","device":"phone"}"#;
    let (head, _) = http_with_head(edge, "POST", "/v1/login", None, login).await;
    assert!(head.contains("\r\ncache-control: no-store"), "{head}");
}
