//! A login that has ended opens nothing, whatever its token says of its time.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use weft_harness::account::{Login, PASSWORD};
use weft_harness::session::code;
use weft_harness::socket::Socket;
use weft_harness::system::{System, direct, shared};
use weft_harness::wait::until;

const CLOSE_LIMIT: Duration = Duration::from_secs(15);
/// An edge keeps an answer for 5 s.
const KEPT_LIMIT: Duration = Duration::from_secs(20);

/// Every route that takes a token, and what it answers while the login lasts.
fn routes(login: &Login, room: &str) -> Vec<(&'static str, String, Value, u16)> {
    let wrong = json!({ "old": "wrong horse", "new": "another horse" });
    vec![
        ("GET", "/v1/profile".to_owned(), Value::Null, 200),
        ("PATCH", "/v1/profile".to_owned(), json!({ "about": "at sea" }), 200),
        ("GET", format!("/v1/users/{}", login.user), Value::Null, 200),
        ("GET", "/v1/rooms".to_owned(), Value::Null, 200),
        ("GET", format!("/v1/rooms/{room}"), Value::Null, 200),
        ("GET", format!("/v1/rooms/{room}/members"), Value::Null, 200),
        ("GET", format!("/v1/rooms/{room}/entries"), Value::Null, 200),
        ("POST", format!("/v1/rooms/{room}/entries"), json!({ "text": "by HTTP" }), 201),
        ("POST", "/v1/password".to_owned(), wrong, 401),
    ]
}

async fn opens_everything(system: &System, login: &Login, room: &str) -> Result<()> {
    for (method, path, body, status) in routes(login, room) {
        let answer = login.call(system.edge(), method, &path, &body).await?;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert_ne!(answer.code(), "unauthorized", "{method} {path}");
    }
    Ok(())
}

async fn opens_nothing(system: &System, login: &Login, room: &str) -> Result<()> {
    let mut routes = routes(login, room);
    routes.push(("POST", "/v1/logout".to_owned(), Value::Null, 204));
    for (method, path, body, _) in routes {
        let refused = async || {
            let answer = login.call(system.edge(), method, &path, &body).await.ok()?;
            ((answer.status, answer.code()) == (401, "unauthorized")).then_some(())
        };
        if path.ends_with("/entries") && method == "POST" {
            until("the send is refused", KEPT_LIMIT, refused).await;
        } else {
            assert!(refused().await.is_some(), "{method} {path}");
        }
    }
    let mut socket = Socket::open(system.edge()).await?;
    socket.send(&json!({ "id": 1, "type": "hello", "token": login.token })).await?;
    assert_eq!(code(&socket.next().await?)?, "unauthorized");
    assert_eq!(socket.closed_within(CLOSE_LIMIT).await?, 4103);
    assert!(login.refresh(system.edge()).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_login_that_has_ended_opens_nothing() -> Result<()> {
    let system = shared().await;
    let phone = system.user("alice").await?;
    let laptop = system.device(&phone.user, "laptop").await?;
    let room = direct(&phone, &phone);
    let mut session = system.session(&phone).await?;
    let mut other = system.session(&laptop).await?;
    session.acked(&room, json!({ "text": "first" })).await?;
    opens_everything(system, &phone, &room).await?;
    // A new password on one device ends the others' logins.
    let change = json!({ "old": PASSWORD, "new": "another horse" });
    let changed = laptop.call(system.edge(), "POST", "/v1/password", &change).await?;
    assert_eq!(changed.status, 204, "{changed:?}");
    assert_eq!(session.closed_within(CLOSE_LIMIT).await?, 4103);
    opens_nothing(system, &phone, &room).await?;
    assert!(system.device(&phone.user, "phone").await.is_err(), "the old password");
    // The device that did it goes on, until it logs out.
    let laptop = laptop.refresh(system.edge()).await?;
    other.acked(&room, json!({ "text": "still here" })).await?;
    opens_everything(system, &laptop, &room).await?;
    let out = laptop.call(system.edge(), "POST", "/v1/logout", &Value::Null).await?;
    assert_eq!(out.status, 204, "{out:?}");
    assert_eq!(other.closed_within(CLOSE_LIMIT).await?, 4103);
    opens_nothing(system, &laptop, &room).await
}

#[tokio::test]
async fn a_new_login_of_a_device_ends_the_one_before() -> Result<()> {
    let system = shared().await;
    let before = system.user("alice").await?;
    let room = direct(&before, &before);
    let after = system.device(&before.user, "phone").await?;
    let mut session = system.session(&after).await?;
    session.acked(&room, json!({ "text": "first" })).await?;
    opens_nothing(system, &before, &room).await?;
    opens_everything(system, &after, &room).await?;
    session.acked(&room, json!({ "text": "still here" })).await?;
    Ok(())
}

#[tokio::test]
async fn a_device_logs_out_another_one() -> Result<()> {
    let system = shared().await;
    let phone = system.user("alice").await?;
    let [laptop, tablet] =
        [system.device(&phone.user, "laptop").await?, system.device(&phone.user, "tablet").await?];
    let room = direct(&phone, &phone);
    let mut lost = [system.session(&laptop).await?, system.session(&tablet).await?];
    let mut session = system.session(&phone).await?;
    let listed = session.request(json!({ "type": "devices" })).await?;
    let names: Vec<_> = listed["devices"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| (it["device"].as_str().unwrap_or_default(), it["is_own"] == true))
        .collect();
    assert_eq!(names.len(), 3, "{listed}");
    assert!(names.contains(&("phone", true)) && names.contains(&("tablet", false)), "{listed}");
    // On the session, and by HTTP.
    let done = session.request(json!({ "type": "logout", "device": "laptop" })).await?;
    assert_eq!(done["type"], "done", "{done}");
    let path = "/v1/devices/tablet";
    let out = phone.call(system.edge(), "DELETE", path, &Value::Null).await?;
    assert_eq!(out.status, 204, "{out:?}");
    for session in &mut lost {
        assert_eq!(session.closed_within(CLOSE_LIMIT).await?, 4103);
    }
    opens_nothing(system, &laptop, &room).await?;
    let again = phone.call(system.edge(), "DELETE", path, &Value::Null).await?;
    assert_eq!((again.status, again.code()), (404, "not_found"), "{again:?}");
    session.acked(&room, json!({ "text": "still here" })).await?;
    let listed = phone.call(system.edge(), "GET", "/v1/devices", &Value::Null).await?;
    assert_eq!(listed.body["devices"].as_array().map(Vec::len), Some(1), "{listed:?}");
    // Its own login, by its name.
    let done = session.request(json!({ "type": "logout", "device": "phone" })).await?;
    assert_eq!(done["type"], "done", "{done}");
    assert_eq!(session.closed_within(CLOSE_LIMIT).await?, 1000);
    Ok(())
}
