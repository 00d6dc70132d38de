//! Who decides by themselves into which groups they come is invited, where others are added.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::proxy::{Fault, Towards};
use weft_harness::session::{Session, code};
use weft_harness::system::{Options, System, unique};
use weft_harness::wait::{until, within};

use crate::two_edges;

/// Within this time after it was lost, a change is on the socket: edges look every 15 s.
const HEAL_LIMIT: Duration = Duration::from_secs(20);

async fn is_asked(session: &mut Session) -> Result<()> {
    let done = session.request(json!({ "type": "setting", "add_by": "none" })).await?;
    ensure!(done["type"] == "done", "{done}");
    Ok(())
}

/// Invites somebody, in the place of adding them.
async fn invite(session: &mut Session, group: &str, user: &Login) -> Result<()> {
    let answer = session.entry(group, json!({ "kind": "add", "user": user.user })).await?;
    ensure!(answer["type"] == "done" && answer["invited"] == json!([user.user]), "{answer}");
    Ok(())
}

/// The groups into which somebody is invited, with who has invited them: the same over both ways.
async fn invitations(system: &System, login: &Login, session: &mut Session) -> Result<Vec<Value>> {
    let listed = session.request(json!({ "type": "invitations" })).await?;
    ensure!(listed["type"] == "invitations" && listed["more"] == false, "{listed}");
    let path = "/v1/invitations?limit=50";
    let over_http = login.call(system.edge(), "GET", path, &Value::Null).await?;
    assert_eq!((over_http.status, &over_http.body["invitations"]), (200, &listed["invitations"]));
    listed["invitations"].as_array().context("invitations").cloned()
}

#[tokio::test]
async fn who_is_invited_comes_in_or_declines_and_nobody_else_hears_of_it() -> Result<()> {
    let system = two_edges().await;
    let mut logins = Vec::new();
    for name in ["alice", "bob", "carol", "dave"] {
        logins.push(system.user(name).await?);
    }
    let [alice, bob, carol, dave] = <[Login; 4]>::try_from(logins).ok().context("four")?;
    let edges = system.edges();
    let mut a = Session::open(edges[0], &alice, None).await?;
    let mut b = Session::open(edges[1], &bob, None).await?;
    let mut c = Session::open(edges[0], &carol, None).await?;
    let mut d = Session::open(edges[1], &dave, None).await?;
    for session in [&mut b, &mut d] {
        is_asked(session).await?;
    }
    let group = unique("tea");
    let members = json!([bob.user, carol.user]);
    let create = json!({ "kind": "create", "title": "Tea", "members": members });
    let made = a.entry(&group, create).await?;
    assert_eq!((&made["seq"], &made["invited"]), (&json!(1), &json!([bob.user])), "{made}");
    let told = b.told("invitation", &group).await?;
    assert_eq!((&told["state"], &told["by"]), (&json!("invited"), &json!(alice.user)), "{told}");
    assert_eq!(c.expect(&group, 1).await?["members"], json!([carol.user]));
    let listed = invitations(system, &bob, &mut b).await?;
    let shown = json!({ "room": group, "title": "Tea", "member_count": 2, "by": alice.user, "time": told["time"] });
    assert_eq!(listed, [shown]);
    // No member, until they come.
    let of_group = |word: &str| json!({ "type": word, "room": group });
    assert_eq!(code(&b.request(of_group("history")).await?)?, "no_such_room");
    assert_eq!(d.refused(&group, json!({ "kind": "join" })).await?, "no_such_room");
    let invited = a.request(of_group("invited")).await?;
    let shown = json!([{ "user": bob.user, "by": alice.user, "time": told["time"] }]);
    assert_eq!(invited["invited"], shown);
    assert_eq!(code(&c.request(of_group("invited")).await?)?, "forbidden");
    assert_eq!(code(&b.request(of_group("invited")).await?)?, "no_such_room");
    assert_eq!(b.acked(&group, json!({ "kind": "join" })).await?, 2);
    assert_eq!(b.expect(&group, 2).await?["kind"], "join");
    assert_eq!(b.told("invitation", &group).await?["state"], "ended");
    assert_eq!(invitations(system, &bob, &mut b).await?, Vec::<Value>::new());

    // Declined over HTTP, and taken back by who may add.
    let path = format!("/v1/rooms/{group}/invited");
    let of_dave = format!("{path}/{}", dave.user);
    for login in [&dave, &alice] {
        invite(&mut a, &group, &dave).await?;
        assert_eq!(d.told("invitation", &group).await?["state"], "invited");
        let over_http = alice.call(edges[0], "GET", &path, &Value::Null).await?;
        assert_eq!(over_http.body["invited"][0]["user"], dave.user, "{over_http:?}");
        assert_eq!(login.call(edges[0], "DELETE", &of_dave, &Value::Null).await?.status, 204);
        assert_eq!(d.told("invitation", &group).await?["state"], "ended");
        assert_eq!(d.refused(&group, json!({ "kind": "join" })).await?, "no_such_room");
    }
    assert_eq!(alice.call(edges[0], "DELETE", &of_dave, &Value::Null).await?.status, 404);
    // Of who is blocked nothing is shown, and who is blocked invites nobody.
    invite(&mut a, &group, &dave).await?;
    assert_eq!(d.told("invitation", &group).await?["state"], "invited");
    let block = json!({ "type": "relation", "user": alice.user, "blocked": true });
    assert_eq!(d.request(block).await?["type"], "done");
    assert_eq!(invitations(system, &dave, &mut d).await?, Vec::<Value>::new());
    let add = json!({ "kind": "add", "user": dave.user });
    assert_eq!(a.refused(&group, add).await?, "not_allowed");
    assert_eq!(c.told_so_far("invitation", &group).await?, Vec::<Value>::new());
    assert_eq!(c.pushed_after(&group, 1).await?.len(), 1, "the joining, and no more");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_wire_loses_of_it_is_found_and_what_was_answered_is_kept() -> Result<()> {
    let system = System::split(Options { proxied: true, ..Options::default() }).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let mut a = Session::open(system.edges()[0], &alice, None).await?;
    let mut b = Session::open(system.edges()[1], &bob, None).await?;
    is_asked(&mut b).await?;
    let group = unique("tea");
    a.acked(&group, json!({ "kind": "create", "title": "Tea" })).await?;
    let proxy = system.proxy("edge-1");
    let before = proxy.counts().to_client.swallowed;
    let subject_prefix = format!("weft.u.{}", bob.user);
    proxy.set_towards(Towards::Client, Fault::SwallowOne { subject_prefix });
    invite(&mut a, &group, &bob).await?;
    let is_lost = async || (proxy.counts().to_client.swallowed > before).then_some(());
    until("the message is lost", HEAL_LIMIT, is_lost).await;
    let told = within("the invitation", HEAL_LIMIT, b.told("invitation", &group)).await?;
    assert_eq!((&told["state"], &told["by"]), (&json!("invited"), &json!(alice.user)), "{told}");
    let cursor = within("a cursor", HEAL_LIMIT, b.next_cursor()).await?;
    drop(b);
    // What is answered is kept though core is killed, and a sync brings it.
    let decline = json!({ "type": "decline", "room": group, "user": bob.user });
    assert_eq!(a.request(decline).await?["type"], "done");
    system.process("core").kill()?;
    system.process("core").restart()?;
    system.ready().await;
    let mut b = Session::open(system.edges()[0], &bob, Some(&cursor)).await?;
    assert_eq!(b.synced["recovered"], true, "{}", b.synced);
    let told = b.told_so_far("invitation", &group).await?;
    assert_eq!(told, [json!({ "type": "invitation", "room": group, "state": "ended" })]);
    Ok(())
}
