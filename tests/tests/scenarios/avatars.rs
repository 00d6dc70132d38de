//! Avatars of users and groups: images that were uploaded, seen by who sees whose they are.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use image::ImageFormat;
use serde_json::{Value, json};
use weft_harness::account::{Login, PASSWORD};
use weft_harness::files::Files;
use weft_harness::http;
use weft_harness::session::Session;
use weft_harness::system::{System, direct, shared, unique};

use crate::files::picture;

/// Uploads an image: its id.
async fn image(edge: SocketAddr, login: &Login) -> Result<String> {
    let path = Files::of(edge, login).upload("me.png", &picture(64, 48, ImageFormat::Png)).await?;
    Ok(path.trim_start_matches("/v1/files/").to_owned())
}

/// Makes a file the user's avatar: the profile then, or the code of the refusal.
async fn set(edge: SocketAddr, login: &Login, file: &str) -> Result<(Value, String)> {
    let answer = login.call(edge, "PATCH", "/v1/profile", &json!({ "avatar": file })).await?;
    Ok((answer.body.clone(), answer.code().to_owned()))
}

/// What somebody is told who asks for a file by this.
async fn look(edge: SocketAddr, who: &Login, file: &str, by: &str) -> Result<(u16, Value)> {
    Files::of(edge, who).look(&format!("/v1/files/{file}?{by}")).await
}

/// Loads the small thumbnail as somebody, without their token.
async fn loads(edge: SocketAddr, who: &Login, file: &str, by: &str) -> Result<()> {
    let (status, shown) = look(edge, who, file, by).await?;
    ensure!(status == 200 && shown["expires_at"].is_null(), "{by}: {status} {shown}");
    let small = Files::of(edge, who).read(&shown["thumbnails"]["s"], &[]).await?;
    assert_eq!((small.status, small.header("content-type")), (200, Some("image/webp")));
    Ok(())
}

async fn three(system: &System) -> Result<[Login; 3]> {
    Ok([system.user("alice").await?, system.user("bob").await?, system.user("carol").await?])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_users_avatar_is_seen_by_who_sees_the_profile() -> Result<()> {
    let system = shared().await;
    let [alice, bob, carol] = three(system).await?;
    let edge = system.edge();
    let mut a = Session::open(edge, &alice, None).await?;
    let mut b = Session::open(edge, &bob, None).await?;
    a.acked(&direct(&alice, &bob), json!({ "text": "hi" })).await?;
    let team = unique("team");
    let create = json!({ "kind": "create", "title": "T", "members": [bob.user] });
    a.acked(&team, create).await?;

    let plain = Files::of(edge, &alice).upload("cv.pdf", b"%PDF-1.7").await?;
    let plain = plain.trim_start_matches("/v1/files/");
    assert_eq!(set(edge, &alice, plain).await?.1, "bad_request");
    let of_bob = image(edge, &bob).await?;
    assert_eq!(set(edge, &alice, &of_bob).await?.1, "not_found");
    assert_eq!(set(edge, &alice, "cat.png").await?.1, "bad_id");

    let (one, two) = (image(edge, &alice).await?, image(edge, &alice).await?);
    let by = format!("user={}", alice.user);
    assert_eq!(look(edge, &bob, &one, &by).await?.0, 404, "it is no avatar yet");
    let (profile, _) = set(edge, &alice, &one).await?;
    assert_eq!((&profile["avatar"], &profile["version"]), (&json!(one), &json!(1)), "{profile}");
    for session in [&mut a, &mut b] {
        assert_eq!(session.told("profile", &alice.user).await?["avatar"], one.as_str());
    }
    // A stranger, too: profiles are for everybody who has an account.
    for who in [&alice, &bob, &carol] {
        loads(edge, who, &one, &by).await?;
    }
    let path = format!("/v1/files/{one}?{by}");
    assert_eq!(http::request(edge, "GET", &path, &[], b"").await?.status, 401);
    assert_eq!(look(edge, &carol, &one, &format!("user={}", bob.user)).await?.0, 404);
    assert_eq!(look(edge, &carol, &of_bob, &by).await?.0, 404);
    assert_eq!(Files::of(edge, &carol).look(&format!("/v1/files/{one}")).await?.0, 404);
    let (files, path) = (Files::of(edge, &alice), format!("/v1/files/{one}"));
    assert_eq!(files.tus("DELETE", &path, &[], b"").await?.status, 409);

    // Wherever the name is.
    let listed = b.request(json!({ "type": "members", "room": team })).await?;
    let shown = listed["members"].as_array().into_iter().flatten();
    let shown: Vec<_> = shown.filter(|it| it["user"] == alice.user.as_str()).collect();
    assert_eq!(shown[0]["avatar"], one.as_str(), "{listed}");
    let asked = json!({ "type": "profiles", "users": [alice.user] });
    assert_eq!(b.request(asked).await?["profiles"][0], profile);
    let room = b.request(json!({ "type": "room", "room": direct(&alice, &bob) })).await?;
    assert_eq!(room["partner"]["avatar"], one.as_str(), "{room}");
    let found = json!({ "type": "find_users", "prefix": alice.user });
    assert_eq!(b.request(found).await?["users"][0]["avatar"], one.as_str());
    let bearer = format!("Bearer {}", alice.token);
    let headers = [("authorization", bearer.as_str())];
    let own = http::request(edge, "GET", "/v1/export", &headers, b"").await?;
    let line = String::from_utf8(own.body)?;
    let line = line.lines().find(|line| line.contains(r#""type":"profile""#)).unwrap_or_default();
    assert!(line.contains(&one), "{line}");

    // Another one, none, and none with the account.
    let another = json!({ "type": "profile", "avatar": two });
    assert_eq!(a.request(another).await?["version"], 2);
    assert_eq!(look(edge, &bob, &one, &by).await?.0, 404);
    loads(edge, &bob, &two, &by).await?;
    assert_eq!(set(edge, &alice, "").await?.0["avatar"], "");
    assert_eq!(look(edge, &bob, &two, &by).await?.0, 404);
    set(edge, &alice, &two).await?;
    let deleted = json!({ "password": PASSWORD });
    assert_eq!(alice.call(edge, "POST", "/v1/delete-account", &deleted).await?.status, 204);
    assert_eq!(look(edge, &bob, &two, &by).await?.0, 404);
    let seen = bob.call(edge, "GET", &format!("/v1/users/{}", alice.user), &Value::Null).await?;
    assert_eq!((&seen.body["avatar"], &seen.body["deleted"]), (&json!(""), &json!(true)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_groups_avatar_is_its_admins_and_seen_by_who_sees_the_group() -> Result<()> {
    let system = shared().await;
    let [alice, bob, carol] = three(system).await?;
    let dan = system.user("dan").await?;
    let edge = system.edge();
    let mut a = Session::open(edge, &alice, None).await?;
    let mut b = Session::open(edge, &bob, None).await?;
    let mut d = Session::open(edge, &dan, None).await?;
    let team = unique("team");
    let create = json!({ "kind": "create", "title": team, "members": [bob.user] });
    a.acked(&team, create).await?;
    let (of_alice, of_bob) = (image(edge, &alice).await?, image(edge, &bob).await?);
    let avatar = |file: &str| json!({ "kind": "update", "avatar": file });
    assert_eq!(b.refused(&team, avatar(&of_bob)).await?, "forbidden");
    assert_eq!(a.refused(&team, avatar(&of_bob)).await?, "not_found");
    let admin = json!({ "kind": "role", "user": bob.user, "role": "admin" });
    a.acked(&team, admin).await?;

    let seq = b.acked(&team, avatar(&of_bob)).await?;
    let entry = a.expect(&team, seq).await?;
    assert_eq!((&entry["kind"], &entry["avatar"]), (&json!("update"), &json!(of_bob)), "{entry}");
    let by = format!("room={team}");
    for who in [&alice, &bob] {
        loads(edge, who, &of_bob, &by).await?;
    }
    let room = a.request(json!({ "type": "room", "room": team })).await?;
    let rooms = a.request(json!({ "type": "rooms" })).await?;
    for shown in [&room, &rooms["rooms"][0]] {
        assert_eq!(shown["avatar"], of_bob.as_str(), "{shown}");
    }
    for who in [&carol, &dan] {
        assert_eq!(look(edge, who, &of_bob, &by).await?.0, 404);
    }

    // Who is invited.
    let setting = json!({ "type": "setting", "add_by": "none" });
    assert_eq!(d.request(setting).await?["type"], "done");
    let add = json!({ "kind": "add", "user": dan.user });
    assert_eq!(a.entry(&team, add).await?["invited"], json!([dan.user]));
    let invitations = d.request(json!({ "type": "invitations" })).await?;
    assert_eq!(invitations["invitations"][0]["avatar"], of_bob.as_str(), "{invitations}");
    loads(edge, &dan, &of_bob, &by).await?;
    assert_eq!(look(edge, &carol, &of_bob, &by).await?.0, 404);

    // Everybody, where everybody finds it: another one, over HTTP.
    let change = json!({ "kind": "update", "avatar": of_alice, "join": "open" });
    let path = format!("/v1/rooms/{team}/entries");
    assert_eq!(alice.call(edge, "POST", &path, &change).await?.status, 201);
    let groups = d.request(json!({ "type": "find_groups", "text": team })).await?;
    assert_eq!(groups["groups"][0]["avatar"], of_alice.as_str(), "{groups}");
    loads(edge, &carol, &of_alice, &by).await?;
    assert_eq!(look(edge, &alice, &of_bob, &by).await?.0, 404);

    // Its maker's account may go: it is the group's.
    a.acked(&team, json!({ "kind": "role", "user": bob.user, "role": "owner" })).await?;
    a.acked(&team, json!({ "kind": "leave" })).await?;
    let deleted = json!({ "password": PASSWORD });
    assert_eq!(alice.call(edge, "POST", "/v1/delete-account", &deleted).await?.status, 204);
    loads(edge, &bob, &of_alice, &by).await?;
    b.acked(&team, avatar("")).await?;
    assert_eq!(look(edge, &bob, &of_alice, &by).await?.0, 404);
    Ok(())
}
