//! Whatever comes in is answered with a published code, over WebSocket, HTTP and NATS, and the same
//! socket works on wherever the protocol says that it stays open.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use weft_harness::account::{self, Login, PASSWORD};
use weft_harness::http::{self, Answer};
use weft_harness::nats::Nats;
use weft_harness::session::{Session, code};
use weft_harness::socket::{Socket, now_ms};
use weft_harness::system::{BOT, System, direct, shared, unique};
use weft_harness::ulid;

const CLOSE_LIMIT: Duration = Duration::from_secs(20);
const DAY_MS: u64 = 24 * 3_600_000;

/// A group of one user.
async fn group_of(system: &System, owner: &Login) -> Result<String> {
    let group = unique("group");
    let create = json!({ "kind": "create", "title": "a group" });
    let path = format!("/v1/rooms/{group}/entries");
    let answer = owner.call(system.edge(), "POST", &path, &create).await?;
    assert_eq!(answer.status, 201, "{answer:?}");
    Ok(group)
}

/// The error that comes without a request's id.
async fn pushed_error(session: &mut Session) -> Result<String> {
    let push = session.next_push().await?;
    code(&push)
}

/// The socket still works.
async fn works(session: &mut Session, room: &str) -> Result<()> {
    session.acked(room, json!({ "text": "still here" })).await?;
    Ok(())
}

#[tokio::test]
async fn frames_that_are_no_requests() -> Result<()> {
    let system = shared().await;
    let alice = system.user("alice").await?;
    let room = direct(&alice, &alice);
    let mut session = system.session(&alice).await?;
    let list = format!(r#"[1,"ping"{}]"#, ",null".repeat(14));
    for (text, expected) in [
        ("{", "bad_json"),
        ("", "bad_json"),
        ("nonsense", "bad_json"),
        ("{\"id\":1,\"type\":\"ping\"} {}", "bad_json"),
        ("[]", "bad_request"),
        (&list, "bad_request"),
        ("7", "bad_request"),
        ("null", "bad_request"),
        ("{}", "bad_request"),
        (r#"{"type":"ping"}"#, "bad_request"),
        (r#"{"id":0,"type":"ping"}"#, "bad_request"),
        (r#"{"id":-1,"type":"ping"}"#, "bad_request"),
        (r#"{"id":1.5,"type":"ping"}"#, "bad_request"),
        (r#"{"id":9007199254740992,"type":"ping"}"#, "bad_request"),
        (r#"{"id":"1","type":"ping"}"#, "bad_request"),
    ] {
        session.socket().send_text(text).await?;
        assert_eq!(pushed_error(&mut session).await?, expected, "{text}");
    }
    // Unpaired surrogates are no characters; nesting has a limit.
    for text in [
        r#"{"type":"\ud800"}"#.to_owned(),
        format!("{{\"x\":{}", "[".repeat(100_000)),
        format!("{{\"id\":1,\"role\":{}{}}}", "[".repeat(200), "]".repeat(200)),
        format!("{{\"id\":1,\"type\":\"ping\",\"x\":{}{}}}", "[".repeat(200), "]".repeat(200)),
    ] {
        session.socket().send_text(&text).await?;
        assert_eq!(pushed_error(&mut session).await?, "bad_json");
    }
    session.socket().send_message(Message::binary(b"{}".to_vec())).await?;
    assert_eq!(pushed_error(&mut session).await?, "bad_encoding");
    works(&mut session, &room).await
}

#[tokio::test]
async fn requests_with_wrong_fields() -> Result<()> {
    let system = shared().await;
    let alice = system.user("alice").await?;
    let room = direct(&alice, &alice);
    let mut session = system.session(&alice).await?;
    let id = ulid::fresh();
    for (request, expected) in [
        (json!({}), "bad_request"),
        (json!({ "type": 7 }), "bad_request"),
        (json!({ "type": "fly" }), "unknown_type"),
        (json!({ "type": "entry" }), "unknown_type"),
        (json!({ "type": "send" }), "bad_request"),
        (json!({ "type": "send", "room": room, "text": "x" }), "bad_request"),
        (json!({ "type": "send", "room": room, "client_id": id }), "bad_request"),
        (json!({ "type": "send", "client_id": id, "text": "x" }), "bad_request"),
        (json!({ "type": "send", "room": room, "client_id": id, "text": "" }), "bad_request"),
        (json!({ "type": "send", "room": room, "client_id": id, "text": 7 }), "bad_request"),
        (json!({ "type": "send", "room": room, "client_id": id, "kind": "x" }), "unknown_type"),
        (json!({ "type": "send", "room": room, "client_id": "7", "text": "x" }), "bad_client_id"),
        (json!({ "type": "history" }), "bad_request"),
        (json!({ "type": "history", "room": room, "before": 1, "after": 1 }), "bad_request"),
        (json!({ "type": "history", "room": room, "after": "x" }), "bad_request"),
        (json!({ "type": "history", "room": room, "before": 0 }), "bad_request"),
        (json!({ "type": "history", "room": room, "limit": 0 }), "bad_request"),
        (json!({ "type": "rooms", "limit": 0 }), "bad_request"),
        (json!({ "type": "history", "room": room, "after": -1 }), "bad_request"),
        (json!({ "type": "rooms", "after": 7 }), "bad_request"),
        (json!({ "type": "room" }), "bad_request"),
        (json!({ "type": "members" }), "bad_request"),
        (json!({ "type": "token" }), "bad_request"),
        (json!({ "type": "token", "token": "forged" }), "unauthorized"),
    ] {
        let answer = session.request(request.clone()).await?;
        assert_eq!(code(&answer).context(request.to_string())?, expected, "{request}: {answer}");
    }
    // One session has one hello.
    let answer = session.request(json!({ "type": "hello", "token": alice.token })).await?;
    assert_eq!(code(&answer)?, "bad_request");
    works(&mut session, &room).await
}

#[tokio::test]
async fn ids_with_dots_wildcards_and_worse() -> Result<()> {
    let system = shared().await;
    let alice = system.user("alice").await?;
    let mut session = system.session(&alice).await?;
    let group = group_of(system, &alice).await?;
    let long = "x".repeat(65);
    let unsorted = "b~a";
    let bad = ["a.b", "*", ">", "a.*", "a b", "", "A", "ä", "a~b~c", "~", "a~", unsorted, &long];
    for room in bad {
        for request in [
            json!({ "type": "send", "room": room, "client_id": ulid::fresh(), "text": "x" }),
            json!({ "type": "history", "room": room }),
            json!({ "type": "room", "room": room }),
            json!({ "type": "members", "room": room }),
        ] {
            let answer = session.request(request.clone()).await?;
            assert_eq!(code(&answer)?, "bad_id", "{request}");
        }
    }
    for user in ["a.b", "*", ">", "a b", "", "A", "a~b", &long] {
        for kind in ["add", "remove", "role"] {
            let fields = json!({ "kind": kind, "user": user, "role": "member" });
            assert_eq!(session.refused(&group, fields).await?, "bad_id", "{kind} {user}");
        }
        let create = json!({ "kind": "create", "title": "t", "members": [user] });
        assert_eq!(session.refused(&unique("group"), create).await?, "bad_id", "{user}");
        let body = json!({ "user": user, "password": PASSWORD });
        let answer = http::call(system.edge(), "POST", "/v1/accounts", None, &body).await?;
        assert_eq!((answer.status, answer.code()), (400, "bad_id"), "{user}");
    }
    for device in ["a.b", "*", ">", "", "a~b"] {
        let body = json!({ "user": alice.user, "password": PASSWORD, "device": device });
        let answer = http::call(system.edge(), "POST", "/v1/login", None, &body).await?;
        assert_eq!((answer.status, answer.code()), (400, "bad_id"), "{device}");
    }
    for room in ["a.b", "*", "%3E", "a%2Eb", "b~a", "A"] {
        let path = format!("/v1/rooms/{room}/entries");
        let answer = alice.call(system.edge(), "GET", &path, &Value::Null).await?;
        assert_eq!((answer.status, answer.code()), (400, "bad_id"), "{room}");
        let answer = alice.call(system.edge(), "POST", &path, &json!({ "text": "x" })).await?;
        assert_eq!((answer.status, answer.code()), (400, "bad_id"), "{room}");
    }
    works(&mut session, &group).await
}

#[tokio::test]
async fn texts_titles_and_lists_that_are_too_long() -> Result<()> {
    let system = shared().await;
    let alice = system.user("alice").await?;
    let mut session = system.session(&alice).await?;
    let group = group_of(system, &alice).await?;
    let text = json!({ "text": "한".repeat(100_001) });
    assert_eq!(session.refused(&group, text.clone()).await?, "too_long");
    let path = format!("/v1/rooms/{group}/entries");
    let answer = alice.call(system.edge(), "POST", &path, &text).await?;
    assert_eq!((answer.status, answer.code()), (400, "too_long"));
    let rename = json!({ "kind": "rename", "title": "ä".repeat(201) });
    assert_eq!(session.refused(&group, rename).await?, "too_long");
    let empty = json!({ "kind": "rename", "title": " " });
    assert_eq!(session.refused(&group, empty).await?, "bad_request");
    let members: Vec<String> = (0..100).map(|n| format!("user-{n}")).collect();
    let create = json!({ "kind": "create", "title": "t", "members": members });
    assert_eq!(session.refused(&unique("group"), create).await?, "too_long");
    let body = json!({ "display_name": "x".repeat(201) });
    let answer = alice.call(system.edge(), "PATCH", "/v1/profile", &body).await?;
    assert_eq!((answer.status, answer.code()), (400, "too_long"));
    works(&mut session, &group).await
}

#[tokio::test]
async fn rooms_and_users_that_are_not_there_or_not_ones_own() -> Result<()> {
    let system = shared().await;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let mut session = system.session(&alice).await?;
    let (own, foreign) = (group_of(system, &alice).await?, group_of(system, &bob).await?);
    let (nowhere, nobody) = (unique("nowhere"), unique("nobody"));
    let not_written = direct(&alice, &bob);
    let mut with_nobody = [alice.user.clone(), nobody.clone()];
    with_nobody.sort();
    let bobs = direct(&bob, &bob);
    for (room, expected) in
        [(&nowhere, "no_such_room"), (&foreign, "no_such_room"), (&bobs, "not_member")]
    {
        assert_eq!(session.refused(room, json!({ "text": "x" })).await?, expected, "{room}");
        for kind in ["history", "room", "members"] {
            let answer = session.request(json!({ "type": kind, "room": room })).await?;
            assert_eq!(code(&answer)?, expected, "{kind} {room}");
        }
        let path = format!("/v1/rooms/{room}/entries");
        let answer = alice.call(system.edge(), "GET", &path, &Value::Null).await?;
        let status = if expected == "not_member" { 403 } else { 404 };
        assert_eq!((answer.status, answer.code()), (status, expected), "{room}");
    }
    let answer = session.request(json!({ "type": "history", "room": not_written })).await?;
    assert_eq!(code(&answer)?, "no_such_room");
    let to_nobody = session.refused(&with_nobody.join("~"), json!({ "text": "x" })).await?;
    assert_eq!(to_nobody, "no_such_user");
    let add = json!({ "kind": "add", "user": nobody });
    assert_eq!(session.refused(&own, add).await?, "no_such_user");
    let create = json!({ "kind": "create", "title": "again" });
    assert_eq!(session.refused(&own, create).await?, "room_exists");
    let path = format!("/v1/users/{nobody}");
    let answer = alice.call(system.edge(), "GET", &path, &Value::Null).await?;
    assert_eq!((answer.status, answer.code()), (404, "no_such_user"));
    let body = json!({ "user": alice.user, "password": PASSWORD });
    let answer = http::call(system.edge(), "POST", "/v1/accounts", None, &body).await?;
    assert_eq!((answer.status, answer.code()), (409, "user_exists"));
    works(&mut session, &own).await
}

#[tokio::test]
async fn client_ids_out_of_time_or_used_otherwise() -> Result<()> {
    let system = shared().await;
    let alice = system.user("alice").await?;
    let room = direct(&alice, &alice);
    let mut session = system.session(&alice).await?;
    let with = |id: String, text: &str| json!({ "client_id": id, "text": text });
    let now = now_ms();
    for id in [ulid::at(now - DAY_MS - 60_000), ulid::at(now + 3_660_000), ulid::uuid_at(1)] {
        assert_eq!(session.refused(&room, with(id.clone(), "x")).await?, "expired_id", "{id}");
    }
    let v4 = "017f22e2-79b0-4cc3-98c4-dc0c0c07398f".to_owned();
    for id in [v4, "x".repeat(26), "8".repeat(26), String::new()] {
        assert_eq!(session.refused(&room, with(id.clone(), "x")).await?, "bad_client_id", "{id}");
    }
    let id = ulid::fresh();
    let seq = session.acked(&room, with(id.clone(), "one")).await?;
    assert_eq!(session.refused(&room, with(id.clone(), "another")).await?, "conflict");
    assert_eq!(session.acked(&room, with(id.clone(), "one")).await?, seq);
    let path = format!("/v1/rooms/{room}/entries");
    let answer = alice.call(system.edge(), "POST", &path, &with(id, "another")).await?;
    assert_eq!((answer.status, answer.code()), (409, "conflict"));
    works(&mut session, &room).await
}

/// The answer to a first frame that is refused, and the code that the socket is closed with.
async fn refused_hello(system: &System, frame: &Value) -> Result<(String, u16)> {
    let mut socket = Socket::open(system.edge()).await?;
    socket.send(frame).await?;
    let answer = socket.next().await?;
    assert_eq!(answer["id"], frame["id"], "{answer}");
    Ok((code(&answer)?, socket.closed_within(CLOSE_LIMIT).await?))
}

#[tokio::test]
async fn sockets_that_the_protocol_closes() -> Result<()> {
    let system = shared().await;
    let alice = system.user("alice").await?;
    let ping = json!({ "id": 1, "type": "ping" });
    let (code, close) = refused_hello(system, &ping).await?;
    assert_eq!((code.as_str(), close), ("bad_request", 4102), "a ping is no hello");
    let mut silent = Socket::open(system.edge()).await?;

    let hello = json!({ "id": 1, "type": "hello", "token": forge(&alice.token) });
    let (code, close) = refused_hello(system, &hello).await?;
    assert_eq!((code.as_str(), close), ("unauthorized", 4100), "a forged token");

    let mut session = system.session(&alice).await?;
    // Larger than allowed by one byte.
    let too_large = format!("{{\"x\":\"{}\"}}", "x".repeat(1_300_001 - 8));
    // It may be closed while it is still being written.
    let _ = session.socket().send_text(&too_large).await;
    assert_eq!(session.closed_within(CLOSE_LIMIT).await?, 1009);

    let mut session = system.session(&alice).await?;
    // A masked text frame of two bytes that are not UTF-8, mask 0.
    let frame = [0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28];
    session.socket().tcp().write_all(&frame).await?;
    assert_eq!(session.closed_within(CLOSE_LIMIT).await?, 1007, "not UTF-8");

    let mut session = system.session(&alice).await?;
    // Unmasked: against RFC 6455.
    session.socket().tcp().write_all(&[0x81, 0x02, b'{', b'}']).await?;
    assert_eq!(session.closed_within(CLOSE_LIMIT).await?, 1002, "an unmasked frame");

    assert_eq!(silent.closed_within(CLOSE_LIMIT).await?, 4102, "no hello in 10 s");
    // Nobody else noticed.
    let mut session = system.session(&alice).await?;
    works(&mut session, &direct(&alice, &alice)).await
}

#[tokio::test]
async fn a_frame_of_the_largest_size_is_read() -> Result<()> {
    let system = shared().await;
    let alice = system.user("alice").await?;
    let mut session = system.session(&alice).await?;
    let head = "{\"id\":9,\"type\":\"ping\",\"x\":\"";
    let frame = format!("{head}{}\"}}", "x".repeat(1_300_000 - head.len() - 2));
    assert_eq!(frame.len(), 1_300_000);
    session.socket().send_text(&frame).await?;
    assert_eq!(session.answer(9).await?["type"], "pong");
    Ok(())
}

#[tokio::test]
async fn cursors_that_are_none() -> Result<()> {
    let system = shared().await;
    let alice = system.user("alice").await?;
    for cursor in ["nonsense", "", "....", "0000000000000000"] {
        let hello = json!({ "id": 1, "type": "hello", "token": alice.token, "cursor": cursor });
        let (code, close) = refused_hello(system, &hello).await?;
        assert_eq!((code.as_str(), close), ("bad_cursor", 4102), "{cursor}");
    }
    // The cursor of another store is well-formed.
    let other = "00000000000000aa.0000000000000001ffff0000";
    let session = Session::open(system.edge(), &alice, Some(other)).await?;
    assert_eq!(session.synced["resync"], "other_store", "{}", session.synced);
    Ok(())
}

/// The same token with another user in it, under the old signature.
fn forge(token: &str) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    // One other character inside of the claims.
    let flipped = if parts[1].ends_with('A') { "B" } else { "A" };
    let end = parts[1].len() - 1;
    parts[1].replace_range(end.., flipped);
    parts.join(".")
}

#[tokio::test]
async fn http_requests_that_core_refuses_and_tokens_that_are_none() -> Result<()> {
    let system = shared().await;
    let alice = system.user("alice").await?;
    let room = direct(&alice, &alice);
    let entries = format!("/v1/rooms/{room}/entries");
    let raw = async |method: &'static str, path: &str, body: &[u8]| -> Result<Answer> {
        http::call_raw(system.edge(), method, path, Some(&alice.token), body).await
    };
    let is = |answer: &Answer, status: u16, code: &str| {
        assert_eq!((answer.status, answer.code()), (status, code), "{answer:?}");
        assert!(answer.body["error"]["temporary"].is_boolean(), "{answer:?}");
    };
    is(&raw("POST", &entries, br#"{"kind":"dance"}"#).await?, 400, "unknown_type");
    is(&raw("POST", &entries, b"{\"text\":\"\xc3\x28\"}").await?, 400, "bad_encoding");
    is(
        &raw("POST", "/v1/accounts", br#"{"user":"zoe","password":"short"}"#).await?,
        400,
        "bad_request",
    );
    let long = json!({ "user": unique("zoe"), "password": "x".repeat(257) }).to_string();
    is(&raw("POST", "/v1/accounts", long.as_bytes()).await?, 400, "too_long");
    let wrong = json!({ "user": alice.user, "password": "wrong horse", "device": "phone" });
    is(&raw("POST", "/v1/login", wrong.to_string().as_bytes()).await?, 401, "bad_credentials");
    let nobody = json!({ "user": unique("nobody"), "password": PASSWORD, "device": "phone" });
    is(&raw("POST", "/v1/login", nobody.to_string().as_bytes()).await?, 401, "bad_credentials");
    is(&raw("POST", "/v1/refresh", br#"{"refresh_token":"x"}"#).await?, 401, "unauthorized");

    let forged = forge(&alice.token);
    for token in [None, Some(""), Some("x"), Some("a.b.c"), Some(forged.as_str())] {
        for path in ["/v1/profile", "/v1/rooms", &entries] {
            let answer = http::call_raw(system.edge(), "GET", path, token, b"").await?;
            is(&answer, 401, "unauthorized");
        }
    }
    // Afterwards everything works.
    assert_eq!(raw("POST", &entries, br#"{"text":"hi"}"#).await?.status, 201);
    account::login(system.edge(), &alice.user, "phone").await?;
    Ok(())
}

/// What a bot published, and what came on its ack address.
async fn answer_on_nats(
    nats: &mut Nats,
    room: &str,
    headers: &[(&str, &str)],
    payload: &[u8],
) -> Result<Value> {
    let token = ulid::fresh();
    let mut all = vec![("Weft-Reply", token.as_str())];
    all.extend_from_slice(headers);
    nats.publish(&format!("weft.in.{BOT}.{room}"), None, &all, payload).await?;
    let message = nats.next().await?;
    assert_eq!(message.subject, format!("weft.ack.u.{BOT}.{token}"));
    Ok(message.json())
}

#[tokio::test]
async fn nats_payloads_that_are_neither_text_nor_entry() -> Result<()> {
    let system = shared().await;
    let alice = system.user("alice").await?;
    let mut owner = system.session(&alice).await?;
    let group = group_of(system, &alice).await?;
    system.bots().await?;
    owner.acked(&group, json!({ "kind": "add", "user": BOT })).await?;
    let foreign = group_of(system, &alice).await?;
    let mut nats = system.nats_as(BOT).await?;
    nats.subscribe(&format!("weft.ack.u.{BOT}.*")).await?;
    assert!(nats.flush().await?.is_empty());
    let json_type = ("Content-Type", "application/json");
    let old = ulid::at(now_ms() - DAY_MS - 60_000);
    let nowhere = unique("nowhere");
    let too_long = "한".repeat(100_001);
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [u8], &'a str);
    let cases: [Case<'_>; 15] = [
        (&group, &[], b"\xff\xfe", "bad_encoding"),
        (&group, &[], b"", "bad_request"),
        (&group, &[], too_long.as_bytes(), "too_long"),
        (&group, &[json_type], b"{", "bad_json"),
        (&group, &[json_type], b"{\"text\":\"\xff\"}", "bad_encoding"),
        (&group, &[json_type], b"[]", "bad_request"),
        (&group, &[json_type], b"{}", "bad_request"),
        (&group, &[json_type], br#"{"kind":"dance"}"#, "unknown_type"),
        (&group, &[json_type], br#"{"kind":"add","user":"a.b"}"#, "bad_id"),
        (&group, &[json_type], br#"{"kind":"rename","title":"x"}"#, "forbidden"),
        (&group, &[("Weft-Id", "7")], b"x", "bad_client_id"),
        (&group, &[("Weft-Id", &old)], b"x", "expired_id"),
        (&nowhere, &[], b"x", "no_such_room"),
        (&foreign, &[], b"x", "no_such_room"),
        ("A", &[], b"x", "bad_id"),
    ];
    for (room, headers, payload, expected) in cases {
        let what = || {
            format!(
                "{room} {headers:?} {}",
                String::from_utf8_lossy(&payload[..payload.len().min(40)])
            )
        };
        let answer = answer_on_nats(&mut nats, room, headers, payload).await.with_context(what)?;
        assert_eq!(code(&answer)?, expected, "{}", what());
    }
    let id = ulid::fresh();
    let first = answer_on_nats(&mut nats, &group, &[("Weft-Id", &id)], b"one").await?;
    assert_eq!(first["type"], "ack", "{first}");
    let other = answer_on_nats(&mut nats, &group, &[("Weft-Id", &id)], b"another").await?;
    assert_eq!(code(&other)?, "conflict");
    // What NATS itself takes for a binary blob of the largest size.
    let huge = Bytes::from(vec![b'x'; 1_300_001]);
    let answer = answer_on_nats(&mut nats, &group, &[], &huge).await?;
    assert!(["too_large", "too_long"].contains(&code(&answer)?.as_str()), "{answer}");
    let answer = answer_on_nats(&mut nats, &group, &[], b"still here").await?;
    assert_eq!(answer["type"], "ack", "{answer}");
    works(&mut owner, &group).await
}
