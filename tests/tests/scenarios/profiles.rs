//! What users see of each other: profiles, and who is found by a name.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::session::{Session, code};
use weft_harness::system::{Options, System, direct, unique};

/// Changes the user's profile over HTTP: how it is then.
async fn set(edge: SocketAddr, login: &Login, fields: Value) -> Result<Value> {
    let answer = login.call(edge, "PATCH", "/v1/profile", &fields).await?;
    ensure!(answer.status == 200, "{fields}: {} {}", answer.status, answer.body);
    Ok(answer.body)
}

fn frame(profile: &Value) -> Value {
    let mut frame = profile.clone();
    frame["type"] = "profile".into();
    frame
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_profile_is_told_to_the_own_devices_and_to_who_shares_a_room() -> Result<()> {
    let system = System::split(Options::default()).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let carol = system.user("carol").await?;
    let (here, there) = (system.edges()[0], system.edges()[1]);
    let mut alices = Session::open(here, &alice, None).await?;
    let mut bobs = Session::open(there, &bob, None).await?;
    let mut carols = Session::open(there, &carol, None).await?;
    alices.acked(&direct(&alice, &bob), json!({ "text": "hi" })).await?;
    let group = unique("group");
    let members = [&bob.user, &carol.user];
    alices.acked(&group, json!({ "kind": "create", "title": "T", "members": members })).await?;

    let changed = set(here, &alice, json!({ "display_name": "Älice", "about": "at sea" })).await?;
    assert_eq!((&changed["version"], &changed["about"]), (&json!(1), &json!("at sea")));
    for session in [&mut alices, &mut bobs, &mut carols] {
        assert_eq!(session.told("profile", &alice.user).await?, frame(&changed));
    }
    // What changes nothing is told to nobody, and has no new version.
    assert_eq!(set(here, &alice, json!({ "about": "at sea" })).await?, changed);
    // On a session it is the same.
    let request = json!({ "type": "profile", "about": "x".repeat(141) });
    assert_eq!(code(&alices.request(request).await?)?, "too_long");
    let mut said = alices.request(json!({ "type": "profile", "about": "ashore" })).await?;
    said.as_object_mut().map(|fields| fields.remove("id"));
    assert_eq!((&said["version"], &said["display_name"]), (&json!(2), &json!("Älice")), "{said}");
    for session in [&mut alices, &mut bobs, &mut carols] {
        assert_eq!(session.told("profile", &alice.user).await?, said);
    }
    let changed = alice.call(here, "GET", "/v1/profile", &Value::Null).await?.body;
    assert_eq!(frame(&changed), said);
    let long = login_refused(here, &alice, json!({ "about": "x".repeat(141) })).await?;
    assert_eq!(long, "too_long");

    // Who shows others asks.
    let asked =
        json!({ "type": "profiles", "users": [alice.user, "nobody", bob.user, alice.user] });
    let profiles = carols.request(asked).await?["profiles"].clone();
    assert_eq!(profiles.as_array().map(Vec::len), Some(2));
    assert_eq!(profiles[0], changed);
    let path = format!("/v1/profiles?users={},{}", bob.user, alice.user);
    assert_eq!(carol.call(there, "GET", &path, &Value::Null).await?.body["profiles"], profiles);
    let listed = carols.request(json!({ "type": "members", "room": group })).await?;
    let of_alice = listed["members"].as_array().into_iter().flatten();
    let of_alice = of_alice.filter(|member| member["user"] == alice.user.as_str());
    let names: Vec<_> = of_alice.map(|it| (&it["display_name"], &it["version"])).collect();
    assert_eq!(names, [(&json!("Älice"), &json!(2))]);

    // Of whom one has blocked the other, neither is told.
    let block = json!({ "type": "relation", "user": alice.user, "blocked": true });
    assert_eq!(bobs.request(block).await?["type"], "done");
    let changed = set(there, &alice, json!({ "about": "" })).await?;
    for session in [&mut alices, &mut carols] {
        assert_eq!(session.told("profile", &alice.user).await?, frame(&changed));
    }
    assert_eq!(bobs.told_so_far("profile", &alice.user).await?, Vec::<Value>::new());
    let shown = bobs.request(json!({ "type": "room", "room": direct(&alice, &bob) })).await?;
    assert_eq!(shown["partner"]["version"], 3, "who asks sees it");
    Ok(())
}

async fn login_refused(edge: SocketAddr, login: &Login, fields: Value) -> Result<String> {
    let answer = login.call(edge, "PATCH", "/v1/profile", &fields).await?;
    Ok(answer.code().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_found_by_what_their_names_begin_with() -> Result<()> {
    let system = System::split(Options::default()).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let (here, there) = (system.edges()[0], system.edges()[1]);
    let mut alices = Session::open(here, &alice, None).await?;
    set(there, &bob, json!({ "display_name": "홍 길동 Robertson" })).await?;
    let found = async |session: &mut Session, prefix: &str| -> Result<Vec<Value>> {
        let page = session.request(json!({ "type": "find_users", "prefix": prefix })).await?;
        ensure!(page["type"] == "users" && page["more"] == false, "{page}");
        Ok(page["users"].as_array().cloned().unwrap_or_default())
    };
    for prefix in ["ㅎ ㄱㄷ", "ㄱㄷ", "길도", "홍 길동 rob", "ROBERT", bob.user.as_str()]
    {
        let users = found(&mut alices, prefix).await?;
        assert_eq!(users.len(), 1, "{prefix}: {users:?}");
        assert_eq!(users[0]["user"], bob.user.as_str(), "{prefix}");
    }
    let by_http = alice.call(here, "GET", "/v1/users?prefix=robert&limit=1", &Value::Null).await?;
    assert_eq!((by_http.status, &by_http.body["users"][0]["user"]), (200, &json!(bob.user)));
    set(here, &bob, json!({ "display_name": "Bobby" })).await?;
    assert_eq!(found(&mut alices, "robert").await?, Vec::<Value>::new());
    assert_eq!(found(&mut alices, "bobb").await?.len(), 1);
    for (wrong, expected) in [
        (json!({ "prefix": "!" }), "bad_request"),
        (json!({ "prefix": "b", "after": "x" }), "bad_cursor"),
        (json!({}), "bad_request"),
    ] {
        let mut request = wrong;
        request["type"] = "find_users".into();
        assert_eq!(code(&alices.request(request).await?)?, expected);
    }
    Ok(())
}
