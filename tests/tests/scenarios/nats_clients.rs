//! Other systems on plain NATS: bots publish and listen with any NATS client, and can't do what is
//! not theirs.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::nats::Nats;
use weft_harness::session::{Session, code};
use weft_harness::system::{BOT, OTHER_BOT, System, shared, unique};
use weft_harness::ulid;
use weft_harness::wait::until;

/// A group of a new user and a bot; its second entry is the bot's joining.
async fn group_with_bot(system: &System) -> Result<(Login, Session, String)> {
    let alice = system.user("alice").await?;
    let mut session = system.session(&alice).await?;
    system.bots().await?;
    let group = unique("group");
    session.acked(&group, json!({ "kind": "create", "title": "alerts" })).await?;
    session.acked(&group, json!({ "kind": "add", "user": BOT })).await?;
    session.expect(&group, 2).await?;
    Ok((alice, session, group))
}

async fn subscribed(system: &System, user: &str, subjects: &[&str]) -> Result<Nats> {
    let mut nats = system.nats_as(user).await?;
    for subject in subjects {
        nats.subscribe(subject).await?;
    }
    let errors = nats.flush().await?;
    assert!(errors.is_empty(), "{errors:?}");
    Ok(nats)
}

fn subject(room: &str) -> String {
    format!("weft.in.{BOT}.{room}")
}

/// The next message on this subject; others are passed over.
async fn next_on(nats: &mut Nats, subject: &str) -> Result<Value> {
    loop {
        let message = nats.next().await?;
        if message.subject == subject {
            return Ok(message.json());
        }
    }
}

#[tokio::test]
async fn a_line_of_text_is_a_message() -> Result<()> {
    let system = shared().await;
    let (_, mut alice, group) = group_with_bot(system).await?;
    let mut nats = system.nats_as(BOT).await?;
    nats.publish(&subject(&group), None, &[], "disk of db-1 is 97 % full 🔥".as_bytes()).await?;
    let entry = alice.expect(&group, 3).await?;
    assert_eq!(entry["from"], BOT, "{entry}");
    assert_eq!(entry["text"], "disk of db-1 is 97 % full 🔥", "{entry}");
    assert_eq!((&entry["kind"], entry.get("client_id")), (&json!("message"), None), "{entry}");
    // The message's own reply subject gets JetStream's answer, which proves less.
    let inbox = format!("{}.{}", system.bot(BOT).await?.inbox(), ulid::fresh());
    let answer = nats.request(&subject(&group), &inbox, b"again").await?.json();
    assert!(answer["stream"].is_string() && answer["seq"].is_u64(), "{answer}");
    alice.expect(&group, 4).await?;
    Ok(())
}

#[tokio::test]
async fn json_ids_and_answers() -> Result<()> {
    let system = shared().await;
    let (_, mut alice, group) = group_with_bot(system).await?;
    let mut nats = subscribed(system, BOT, &[&format!("weft.ack.u.{BOT}.*")]).await?;
    let json_type = ("Content-Type", "application/json");
    let id = ulid::fresh();
    let mut acks = Vec::new();
    for token in ["first", "second"] {
        let token = format!("{token}-{}", ulid::fresh());
        let headers = [json_type, ("Weft-Id", &*id), ("Weft-Reply", &*token)];
        let payload = json!({ "kind": "message", "text": "as JSON" }).to_string();
        nats.publish(&subject(&group), None, &headers, payload.as_bytes()).await?;
        let ack = next_on(&mut nats, &format!("weft.ack.u.{BOT}.{token}")).await?;
        acks.push(ack);
    }
    let entry = alice.expect(&group, 3).await?;
    let wanted = json!({
        "type": "ack", "room": group, "seq": 3, "ordinal": 1, "time": entry["time"],
        "client_id": id,
    });
    assert_eq!(acks, [wanted.clone(), wanted]);
    assert_eq!((&entry["client_id"], &entry["text"]), (&json!(id), &json!("as JSON")));
    // An error comes the same way.
    let token = ulid::fresh();
    let headers = [json_type, ("Weft-Reply", &*token)];
    nats.publish(&subject(&group), None, &headers, br#"{"kind":"leave","x":1}"#).await?;
    let ack = next_on(&mut nats, &format!("weft.ack.u.{BOT}.{token}")).await?;
    assert_eq!((&ack["type"], &ack["seq"]), (&json!("ack"), &json!(4)), "{ack}");
    nats.publish(&subject(&group), None, &headers, br#"{"text":"too late"}"#).await?;
    let error = next_on(&mut nats, &format!("weft.ack.u.{BOT}.{token}")).await?;
    assert_eq!(code(&error)?, "not_member");
    Ok(())
}

#[tokio::test]
async fn a_bot_edits_deletes_and_reacts_like_anybody() -> Result<()> {
    let system = shared().await;
    let (_, mut alice, group) = group_with_bot(system).await?;
    alice.acked(&group, json!({ "text": "from a person" })).await?;
    let mut nats = subscribed(system, BOT, &[&format!("weft.ack.u.{BOT}.*")]).await?;
    let mut publish = async |fields: &Value| {
        let token = ulid::fresh();
        let headers = [("Content-Type", "application/json"), ("Weft-Reply", &*token)];
        let payload = fields.to_string();
        nats.publish(&subject(&group), None, &headers, payload.as_bytes()).await?;
        next_on(&mut nats, &format!("weft.ack.u.{BOT}.{token}")).await
    };
    for (seq, fields) in (4..).zip([
        json!({ "kind": "message", "text": "one" }),
        json!({ "kind": "edit", "target": 4, "text": "two" }),
        json!({ "kind": "react", "target": 3, "emoji": "👀" }),
        json!({ "kind": "react", "target": 3, "emoji": "+" }),
        json!({ "kind": "unreact", "target": 3, "emoji": "👀" }),
        json!({ "kind": "message", "text": "wrong" }),
        json!({ "kind": "delete", "target": 9 }),
    ]) {
        let ack = publish(&fields).await?;
        assert_eq!((&ack["type"], &ack["seq"]), (&json!("ack"), &json!(seq)), "{fields}: {ack}");
        assert_eq!(alice.expect(&group, seq).await?["kind"], fields["kind"]);
    }
    for (fields, expected) in [
        (json!({ "kind": "edit", "target": 3, "text": "x" }), "forbidden"),
        (json!({ "kind": "delete", "target": 3 }), "forbidden"),
        (json!({ "kind": "react", "target": 3, "emoji": "+" }), "unchanged"),
        (json!({ "kind": "react", "target": 9, "emoji": "+" }), "deleted"),
        (json!({ "kind": "edit", "target": 99, "text": "x" }), "not_found"),
    ] {
        assert_eq!(code(&publish(&fields).await?)?, expected, "{fields}");
    }
    let page = alice.request(json!({ "type": "history", "room": group, "after": 2 })).await?;
    let shown = |at: usize, field: &str| page["entries"][at][field].clone();
    let reactions = json!([{ "emoji": "+", "count": 1, "own": false }]);
    assert_eq!((shown(0, "reactions"), shown(1, "text")), (reactions, json!("two")), "{page}");
    assert_eq!(shown(6, "kind"), "deleted", "{page}");
    Ok(())
}

#[tokio::test]
async fn names_of_headers_have_no_case() -> Result<()> {
    let system = shared().await;
    let (_, mut alice, group) = group_with_bot(system).await?;
    let mut nats = subscribed(system, BOT, &[&format!("weft.ack.u.{BOT}.*")]).await?;
    let (id, token) = (ulid::fresh(), ulid::fresh());
    let headers =
        [("content-type", "application/json"), ("WEFT-ID", &*id), ("weft-reply", &*token)];
    nats.publish(&subject(&group), None, &headers, br#"{"text":"as JSON"}"#).await?;
    let ack = next_on(&mut nats, &format!("weft.ack.u.{BOT}.{token}")).await?;
    assert_eq!(ack["client_id"], json!(id), "{ack}");
    assert_eq!(alice.expect(&group, 3).await?["text"], "as JSON");
    Ok(())
}

#[tokio::test]
async fn what_is_refused_unheard_is_told_to_the_operator() -> Result<()> {
    let system = System::dev().await?;
    let (_, mut alice, group) = group_with_bot(&system).await?;
    let mut nats = system.nats_as(BOT).await?;
    nats.publish(&subject(&group), None, &[("Weft-Reply", "x.y")], b"redirected").await?;
    nats.publish(&subject(&group), None, &[("Content-Type", "application/json")], b"{").await?;
    // Far beyond what one sender may send at once.
    for number in 0..500 {
        let text = format!("burst {number}");
        nats.publish(&subject(&group), None, &[], text.as_bytes()).await?;
    }
    assert!(nats.flush().await?.is_empty());
    let told = || {
        let output = system.process("dev").output();
        let line = |code: &str| output.contains(&format!(" of {BOT} ({code})"));
        ["bad_request", "bad_json", "rate_limited"].into_iter().all(line).then_some(())
    };
    until("the log tells", Duration::from_secs(30), async || told()).await;
    alice.acked(&group, json!({ "text": "people go on" })).await?;
    Ok(())
}

#[tokio::test]
async fn a_foreign_answer_address_is_refused() -> Result<()> {
    let system = shared().await;
    let (_, mut alice, group) = group_with_bot(system).await?;
    let mut other = subscribed(system, OTHER_BOT, &[&format!("weft.ack.u.{OTHER_BOT}.*")]).await?;
    let mut admin = subscribed(system, "admin", &["weft.ack.>"]).await?;
    let mut nats = subscribed(system, BOT, &[&format!("weft.ack.u.{BOT}.*")]).await?;
    let own = ulid::fresh();
    let mut marks = Vec::new();
    for foreign in ["edge-0.@", "e.edge-0.@", "u.otherbot.@", "otherbot.@", "@.>", "@ x", "*@"] {
        let mark = ulid::fresh();
        let reply = foreign.replace('@', &mark);
        let headers = [("Weft-Reply", &*reply)];
        nats.publish(&subject(&group), None, &headers, b"redirected").await?;
        marks.push(mark);
    }
    nats.publish(&subject(&group), None, &[("Weft-Reply", &own)], b"honest").await?;
    let ack = next_on(&mut nats, &format!("weft.ack.u.{BOT}.{own}")).await?;
    assert_eq!(ack["type"], "ack", "{ack}");
    // Answered in order: whatever the others were to get would have come before.
    let mut seen = admin.taken().await?;
    seen.extend(other.taken().await?);
    for message in seen {
        let redirected = marks.iter().any(|mark| message.subject.contains(mark));
        assert!(!redirected, "{message:?}");
    }
    // A command that asked for that was refused as a whole.
    let seq = ack["seq"].as_u64().context("seq")?;
    assert_eq!(seq, 3, "{ack}");
    assert_eq!(alice.expect(&group, seq).await?["text"], "honest");
    Ok(())
}

#[tokio::test]
async fn a_bot_hears_nothing_of_what_is_others() -> Result<()> {
    let system = shared().await;
    let (_, mut alice, group) = group_with_bot(system).await?;
    let inbox = system.bot(OTHER_BOT).await?.inbox();
    let mut nats = system.nats_as(BOT).await?;
    for subject in [
        format!("weft.ev.*.group.{group}"),
        "weft.ev.>".to_owned(),
        format!("weft.u.{BOT}"),
        format!("weft.ack.u.{OTHER_BOT}.*"),
        "weft.ack.>".to_owned(),
        format!("{inbox}.>"),
        "_INBOX.>".to_owned(),
        "weft.bot.>".to_owned(),
        "$SYS.>".to_owned(),
        ">".to_owned(),
    ] {
        nats.subscribe(&subject).await?;
        let errors = nats.flush().await?;
        let is_refused = errors.iter().any(|error| error.contains("Permissions Violation"));
        assert!(is_refused, "{subject}: {errors:?}");
    }
    alice.acked(&group, json!({ "text": "to the group" })).await?;
    let others = nats.taken().await?;
    assert!(others.is_empty(), "{others:?}");
    Ok(())
}

#[tokio::test]
async fn what_is_no_token_of_the_bot_opens_nothing() -> Result<()> {
    let system = shared().await;
    let bots = system.bots().await?;
    for user in [BOT, "core", "edge", "admin", "nobody", ""] {
        let refused = Nats::connect(system.nats(), user, "wrong").await;
        assert!(refused.is_err(), "{user}");
    }
    // Another bot's, a person's, and a bot's under the name of a part of Weft.
    let other = &system.bot(BOT).await?.token;
    for (user, token) in
        [(OTHER_BOT, other), (&*bots.owner.user, &bots.owner.token), ("core", other)]
    {
        assert!(Nats::connect(system.nats(), user, token).await.is_err(), "{user}");
    }
    Ok(())
}
