//! Whom messages mention, silent messages, and where forwarded ones come from, as devices see it.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::session::Session;
use weft_harness::system::{System, direct, unique};

use crate::two_edges;

/// A group of Alice, who made it, and Bob; Alice's phone at one edge, Bob's phone and tablet at the other.
struct Team {
    system: &'static System,
    alice: Login,
    bob: Login,
    group: String,
    alices: Session,
    phone: Session,
    tablet: Session,
}

impl Team {
    async fn new() -> Result<Self> {
        let system = two_edges().await;
        let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
        let (group, edges) = (unique("group"), system.edges());
        let mut alices = Session::open(edges[0], &alice, None).await?;
        let create = json!({ "kind": "create", "title": "T", "members": [bob.user] });
        alices.acked(&group, create).await?;
        let phone = Session::open(edges[1], &bob, None).await?;
        let tablet = system.device(&bob.user, "tablet").await?;
        let tablet = Session::open(edges[1], &tablet, None).await?;
        Ok(Self { system, alice, bob, group, alices, phone, tablet })
    }
}

fn mention(user: &str) -> Value {
    json!({ "at": 0, "len": 1, "style": "mention", "user": user })
}

fn everyone(who: &str) -> Value {
    json!({ "at": 0, "len": 1, "style": "mention", "everyone": who })
}

fn says(ranges: &[Value]) -> Value {
    json!({ "text": "hello", "ranges": ranges })
}

fn edit(target: u64, ranges: &[Value]) -> Value {
    json!({ "kind": "edit", "target": target, "text": "hello again", "ranges": ranges })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_mentioned_and_all_devices_are_told() -> Result<()> {
    let Team { bob, group, mut alices, mut phone, mut tablet, .. } = Team::new().await?;
    let ranges = [mention(&bob.user), everyone("here")];
    assert_eq!(alices.acked(&group, says(&ranges)).await?, 2);
    assert_eq!(alices.acked(&group, edit(2, &ranges[..1])).await?, 3);
    for session in [&mut phone, &mut tablet] {
        assert_eq!(session.expect(&group, 2).await?["ranges"], json!(ranges));
        assert_eq!(session.expect(&group, 3).await?["ranges"], json!(ranges[..1]));
        let history = json!({ "type": "history", "room": group, "after": 1, "limit": 1 });
        let shown = session.request(history).await?["entries"][0].clone();
        assert_eq!(shown["ranges"], json!(ranges[..1]), "{shown}");
    }
    for (fields, expected) in [
        (says(&[mention("nobody")]), "not_member"),
        (says(&[everyone("all")]), "forbidden"),
        (says(&[json!({ "at": 0, "len": 1, "style": "mention" })]), "bad_request"),
    ] {
        assert_eq!(phone.refused(&group, fields).await?, expected);
    }
    let admin = json!({ "kind": "role", "user": bob.user, "role": "admin" });
    alices.acked(&group, admin).await?;
    phone.acked(&group, says(&[everyone("all")])).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_message_has_no_ordinal_of_its_own() -> Result<()> {
    let Team { group, mut alices, mut phone, .. } = Team::new().await?;
    alices.acked(&group, json!({ "text": "one" })).await?;
    let quiet = json!({ "text": "quiet", "silent": true, "skip_push": true });
    alices.acked(&group, quiet).await?;
    alices.acked(&group, json!({ "text": "two", "skip_push": true })).await?;
    let mut seen = Vec::new();
    for seq in 2..=4 {
        let entry = phone.expect(&group, seq).await?;
        seen.push(json!([entry["ordinal"], entry["silent"], entry["skip_push"]]));
    }
    let (none, yes) = (Value::Null, true);
    assert_eq!(seen, [json!([1, none, none]), json!([1, yes, yes]), json!([2, none, yes])]);
    Ok(())
}

/// How many messages that mention the user are unread, and how many there are, as a list of rooms tells it.
async fn told(session: &mut Session, room: &str) -> Result<(u64, u64)> {
    let list = session.request(json!({ "type": "rooms" })).await?;
    let rooms = list["rooms"].as_array().with_context(|| list.to_string())?;
    let it = rooms.iter().find(|it| it["room"] == room).context("the room")?;
    let one = session.request(json!({ "type": "room", "room": room })).await?;
    assert_eq!(one["mentions"], it["mentions"], "{one}");
    let number = |field: &str| it[field].as_u64().with_context(|| it.to_string());
    Ok((number("mentions")?, number("unread")?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_mentions_go_down_with_reads_edits_and_deletions_on_every_device() -> Result<()> {
    let Team { bob, group, mut alices, mut phone, mut tablet, .. } = Team::new().await?;
    let bobs = [mention(&bob.user)];
    alices.acked(&group, says(&bobs)).await?;
    alices.acked(&group, says(&[everyone("all")])).await?;
    let mut quiet = says(&bobs);
    quiet["silent"] = true.into();
    alices.acked(&group, quiet).await?;
    assert_eq!(told(&mut phone, &group).await?, (2, 2));
    assert_eq!(told(&mut alices, &group).await?, (0, 0));
    assert_eq!(alices.acked(&group, edit(2, &[])).await?, 5);
    assert_eq!(told(&mut tablet, &group).await?, (1, 2));
    let read = json!({ "type": "mark", "room": group, "read": 5 });
    assert_eq!(tablet.request(read).await?["type"], "done");
    assert_eq!(told(&mut phone, &group).await?, (0, 0));
    // Who is mentioned by an edit has a mention by that.
    assert_eq!(alices.acked(&group, edit(2, &bobs)).await?, 6);
    for session in [&mut phone, &mut tablet] {
        assert_eq!(told(session, &group).await?, (1, 0));
    }
    alices.acked(&group, json!({ "kind": "delete", "target": 2 })).await?;
    assert_eq!(told(&mut phone, &group).await?, (0, 0));
    let unread = json!({ "type": "mark", "room": group, "unread_from": 3 });
    assert_eq!(phone.request(unread).await?["type"], "done");
    assert_eq!(told(&mut tablet, &group).await?, (1, 1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forwarded_message_says_who_wrote_it_and_not_where() -> Result<()> {
    let Team { system, alice, bob, group, mut alices, mut phone, .. } = Team::new().await?;
    let private = direct(&alice, &bob);
    phone.acked(&private, json!({ "text": "a secret" })).await?;
    let carol = system.user("carol").await?;
    let mut carols = system.session(&carol).await?;
    alices.acked(&group, json!({ "kind": "add", "user": carol.user })).await?;
    let forward =
        |seq: u64| json!({ "text": "a secret", "forwarded": { "room": private, "seq": seq } });
    assert_eq!(carols.refused(&group, forward(1)).await?, "not_found");
    assert_eq!(alices.refused(&group, forward(2)).await?, "not_found");
    // Over HTTP as over a socket, from one partition's room into another's.
    let path = format!("/v1/rooms/{group}/entries");
    let answer = alice.call(system.edge(), "POST", &path, &forward(1)).await?;
    assert_eq!((answer.status, &answer.body["seq"]), (201, &json!(3)));
    for session in [&mut phone, &mut carols] {
        let entry = session.expect(&group, 3).await?;
        assert_eq!(entry["forwarded"], json!({ "from": bob.user }), "{entry}");
        assert_eq!(entry["from"], *alice.user, "{entry}");
        assert!(!entry.to_string().contains(&private), "{entry}");
    }
    let again = json!({ "text": "again", "forwarded": { "room": group, "seq": 3 } });
    let seq = carols.acked(&group, again).await?;
    let entry = phone.expect(&group, seq).await?;
    let expected = json!({ "room": group, "seq": 3, "from": bob.user });
    assert_eq!(entry["forwarded"], expected, "{entry}");
    // What becomes of the origin later changes no copy.
    phone.acked(&private, json!({ "kind": "delete", "target": 1 })).await?;
    assert_eq!(alices.refused(&group, forward(1)).await?, "not_found");
    let history = json!({ "type": "history", "room": group, "after": 2, "limit": 1 });
    let shown = phone.request(history).await?;
    let text = shown["entries"][0]["text"].as_str().context("a text")?;
    assert_eq!(text, "a secret");
    Ok(())
}
