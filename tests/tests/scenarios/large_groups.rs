//! A group that once had more than 100 members is large and stays so. Its entries go into no
//! inboxes, and still nobody misses one: live, over a resume, and at joining and leaving.

use anyhow::Result;
use serde_json::{Value, json};
use weft_harness::account::crowd;
use weft_harness::session::{Session, code};
use weft_harness::system::{Options, System, unique};

fn text(text: &str) -> Value {
    json!({ "text": text })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_group_misses_nothing() -> Result<()> {
    let rates = ["--accounts-per-s", "1000", "--accounts-burst", "1000"];
    let system = System::split(Options::default().edge(&rates)).await?;
    let (alice, bob, carol) =
        (system.user("alice").await?, system.user("bob").await?, system.user("carol").await?);
    let mut members = crowd(system.edge(), 98).await?;
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
    let types = json!({ "type": "typing", "room": group });
    assert_eq!(code(&a.request(types).await?)?, "too_large");
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
