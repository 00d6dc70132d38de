//! A group that once had more than 100 members is large and stays so. Its entries go into no
//! inboxes, and still nobody misses one: live, over a resume, and at joining and leaving.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use weft_harness::account::sign_up;
use weft_harness::session::Session;
use weft_harness::system::{Options, System, unique};

/// Users without a session.
async fn crowd(system: &System, count: usize) -> Result<Vec<String>> {
    let names: Vec<String> = (0..count).map(|_| unique("crowd")).collect();
    let mut underway = JoinSet::new();
    for name in names.clone() {
        // Each costs core a password hash.
        if underway.len() >= 4 {
            underway.join_next().await.context("a sign-up")???;
        }
        let edge = system.edge();
        underway.spawn(async move { sign_up(edge, &name).await });
    }
    while let Some(done) = underway.join_next().await {
        done??;
    }
    Ok(names)
}

fn text(text: &str) -> Value {
    json!({ "text": text })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_group_misses_nothing() -> Result<()> {
    let rates = ["--accounts-per-s", "1000", "--accounts-burst", "1000"];
    let system = System::split(Options::default().edge(&rates)).await?;
    let (alice, bob, carol) =
        (system.user("alice").await?, system.user("bob").await?, system.user("carol").await?);
    let mut members = crowd(&system, 98).await?;
    members.push(bob.user.clone());
    let mut a = Session::open(system.edges()[0], &alice, None).await?;
    let mut b = Session::open(system.edges()[1], &bob, None).await?;
    let mut c = Session::open(system.edges()[1], &carol, None).await?;
    let group = unique("group");
    let room = json!({ "type": "room", "room": group });
    let create = json!({ "kind": "create", "title": "everybody", "members": members });
    assert_eq!(a.acked(&group, create).await?, 1);
    b.expect(&group, 1).await?;
    let answer = a.request(room.clone()).await?;
    assert_eq!((&answer["member_count"], &answer["large"]), (&json!(100), &json!(false)));

    // Bob leaves his cursor in the time before; Carol's joining makes the group large.
    a.acked(&group, text("small")).await?;
    b.expect(&group, 2).await?;
    let (before, watch) = (b.cursor(), system.device(&bob.user, "watch").await?);
    assert_eq!(a.acked(&group, json!({ "kind": "add", "user": carol.user })).await?, 3);
    for seq in 4..=30 {
        assert_eq!(a.acked(&group, text("large")).await?, seq);
    }
    let answer = a.request(room.clone()).await?;
    assert_eq!((&answer["member_count"], &answer["large"]), (&json!(101), &json!(true)));
    for seq in 3..=30 {
        b.expect(&group, seq).await?;
        c.expect(&group, seq).await?;
    }
    let mut w = Session::open(system.edges()[0], &watch, Some(&before)).await?;
    assert_eq!(w.synced["recovered"], true, "{}", w.synced);
    for seq in 3..=30 {
        w.expect(&group, seq).await?;
    }
    // From a cursor in the time after, too.
    let (later, carols) = (w.cursor(), c.cursor());
    drop((w, c));
    for seq in 31..=35 {
        assert_eq!(b.acked(&group, text("large")).await?, seq);
    }
    assert_eq!(a.acked(&group, json!({ "kind": "remove", "user": carol.user })).await?, 36);
    assert_eq!(a.acked(&group, text("without carol")).await?, 37);
    let mut w = Session::open(system.edges()[1], &watch, Some(&later)).await?;
    for seq in 31..=37 {
        w.expect(&group, seq).await?;
    }
    // Who was away when removed gets everything up to that, and nothing after it.
    let mut c = Session::open(system.edges()[0], &carol, Some(&carols)).await?;
    assert_eq!(c.synced["recovered"], true, "{}", c.synced);
    for seq in 31..=36 {
        c.expect(&group, seq).await?;
    }
    assert_eq!(a.acked(&group, text("still without carol")).await?, 38);
    w.expect(&group, 38).await?;
    let after = c.pushed_after(&group, 36).await?;
    assert!(after.is_empty(), "{after:?}");
    // Small again in number, it stays large; who joins has it live.
    let answer = a.request(room).await?;
    assert_eq!((&answer["member_count"], &answer["large"]), (&json!(100), &json!(true)));
    assert_eq!(a.acked(&group, json!({ "kind": "add", "user": carol.user })).await?, 39);
    assert_eq!(c.expect(&group, 39).await?["kind"], "add");
    assert_eq!(c.acked(&group, text("back")).await?, 40);
    for session in [&mut a, &mut b, &mut w, &mut c] {
        session.expect(&group, 40).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_in_pages() -> Result<()> {
    let rates = ["--accounts-per-s", "1000", "--accounts-burst", "1000"];
    let system = System::split(Options { edges: 1, ..Options::default() }.edge(&rates)).await?;
    let alice = system.user("alice").await?;
    let mut a = system.session(&alice).await?;
    let mut wanted = crowd(&system, 20).await?;
    let group = unique("group");
    a.acked(&group, json!({ "kind": "create", "title": "t", "members": wanted })).await?;
    wanted.push(alice.user.clone());
    wanted.sort();
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/rooms/{group}/members?limit=6&after={after}");
        let page = alice.call(system.edge(), "GET", &path, &Value::Null).await?.body;
        let members = page["members"].as_array().context("members")?;
        assert!(members.len() <= 6, "{page}");
        found.extend(members.iter().filter_map(|m| m["user"].as_str().map(str::to_owned)));
        if page["more"] != true {
            break;
        }
        after.clone_from(found.last().context("an empty page with more")?);
    }
    assert_eq!(found, wanted);
    Ok(())
}
