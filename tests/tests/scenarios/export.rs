//! What is kept of a user, for them to take away.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::http::Answer;
use weft_harness::system::{System, direct, shared, unique};

async fn export(system: &System, login: &Login, query: &str) -> Result<(Answer, Vec<Value>)> {
    let path = format!("/v1/export{query}");
    let answer = login.call(system.edge(), "GET", &path, &Value::Null).await?;
    let text = answer.body.as_str().context("no lines")?;
    let lines = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    Ok((answer, lines))
}

fn of_type<'a>(lines: &'a [Value], word: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["type"] == word).collect()
}

#[tokio::test]
async fn a_user_takes_away_what_is_kept_of_them() -> Result<()> {
    let system = shared().await;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let mut a = system.session(&alice).await?;
    let mut b = system.session(&bob).await?;
    let group = unique("team");
    let members = json!([bob.user]);
    a.acked(&group, json!({ "kind": "create", "title": "Team", "members": members })).await?;
    let room = direct(&alice, &bob);
    // More than a page of hers, and some of his.
    for number in 1..=205 {
        a.acked(&room, json!({ "text": format!("from alice {number}") })).await?;
    }
    b.acked(&room, json!({ "text": "from bob" })).await?;
    let first = json!({ "kind": "edit", "target": 1, "text": "from alice, anew" });
    a.acked(&room, first).await?;
    b.expect(&group, 1).await?;
    b.acked(&group, json!({ "text": "bob to the group" })).await?;
    let draft = json!({ "type": "draft", "room": room, "version": 0, "text": "not yet" });
    a.request(draft).await?;
    a.request(json!({ "type": "relation", "user": bob.user, "contact": true })).await?;
    let profile = json!({ "display_name": "Alice A." });
    alice.call(system.edge(), "PATCH", "/v1/profile", &profile).await?;

    let (answer, lines) = export(system, &alice, "").await?;
    ensure!(answer.status == 200, "{answer:?}");
    assert!(answer.head.contains("content-type: application/x-ndjson"), "{}", answer.head);
    assert!(answer.head.contains("cache-control: no-store"), "{}", answer.head);
    assert_eq!(lines[0]["type"], "export");
    assert_eq!(lines[0]["user"], alice.user);
    assert_eq!(of_type(&lines, "profile")[0]["display_name"], "Alice A.");
    assert_eq!(of_type(&lines, "devices")[0]["devices"][0]["device"], "phone");
    assert_eq!(of_type(&lines, "status").len(), 1);
    assert_eq!(of_type(&lines, "draft")[0]["text"], "not yet");
    let contact = json!([{ "user": bob.user, "contact": true, "blocked": false }]);
    assert_eq!(of_type(&lines, "relations")[0]["relations"], contact);
    let rooms: Vec<_> = of_type(&lines, "room").iter().map(|room| room["room"].clone()).collect();
    assert_eq!(rooms, [json!(group), json!(room)], "groups first");
    let entries = of_type(&lines, "entry");
    assert!(entries.iter().all(|entry| entry["from"] == alice.user), "what others wrote is theirs");
    assert_eq!(entries.len(), 1 + 205 + 1, "the group, her messages, and the edit");
    assert_eq!(entries[1]["text"], "from alice, anew");
    let end = lines.last().context("an end")?;
    assert_eq!(end, &json!({ "type": "export_end", "rooms": 2, "entries": 207 }));

    // From a room on, as after an end that came too soon.
    let (_, rest) = export(system, &alice, &format!("?after={group}")).await?;
    assert_eq!(rest[0]["room"], room);
    assert_eq!(rest.last().context("an end")?["entries"], 206);
    let refused = alice.call(system.edge(), "GET", "/v1/export?after=A.B", &Value::Null).await?;
    assert_eq!((refused.status, refused.code()), (400, "bad_id"), "{refused:?}");
    Ok(())
}
