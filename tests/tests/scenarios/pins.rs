//! Pinned messages, as members of a room find them.

use anyhow::Result;
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::session::{Session, code};
use weft_harness::system::{Options, System, direct, unique};

fn pin(target: u64) -> Value {
    json!({ "kind": "pin", "target": target })
}

fn unpin(target: u64) -> Value {
    json!({ "kind": "unpin", "target": target })
}

/// What is pinned: seqs and texts.
async fn pinned(session: &mut Session, room: &str) -> Result<Vec<(u64, String)>> {
    let answer = session.request(json!({ "type": "pins", "room": room })).await?;
    Ok(told(&answer))
}

fn told(answer: &Value) -> Vec<(u64, String)> {
    let entries = answer["entries"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let read = |entry: &Value| {
        assert!(entry["pinned"]["seq"].is_u64(), "{entry}");
        (
            entry["seq"].as_u64().unwrap_or_default(),
            entry["text"].as_str().unwrap_or_default().to_owned(),
        )
    };
    entries.iter().map(read).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pinned_messages_are_found_by_everybody_and_as_they_are_now() -> Result<()> {
    let system = System::split(Options::default()).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let (group, edges) = (unique("group"), system.edges());
    let mut alices = Session::open(edges[0], &alice, None).await?;
    let mut bobs = Session::open(edges[1], &bob, None).await?;
    let create = json!({ "kind": "create", "title": "T", "members": [bob.user] });
    alices.acked(&group, create).await?;
    for text in ["one", "two", "three"] {
        bobs.acked(&group, json!({ "text": text })).await?;
    }
    assert_eq!(bobs.refused(&group, pin(2)).await?, "forbidden");
    for (target, seq) in [(3, 5), (2, 6), (4, 7)] {
        assert_eq!(alices.acked(&group, pin(target)).await?, seq);
        let entry = bobs.expect(&group, seq).await?;
        assert_eq!((&entry["kind"], &entry["target"]), (&json!("pin"), &json!(target)));
    }
    assert_eq!(alices.refused(&group, pin(2)).await?, "unchanged");
    bobs.acked(&group, json!({ "kind": "edit", "target": 2, "text": "one again" })).await?;
    let text = |seq, text: &str| (seq, text.to_owned());
    let all = [text(4, "three"), text(2, "one again"), text(3, "two")];
    for session in [&mut alices, &mut bobs] {
        assert_eq!(pinned(session, &group).await?, all);
    }
    let page = |login: &Login, query: &str| {
        let (login, path) = (login.clone(), format!("/v1/rooms/{group}/pins{query}"));
        let edge = system.edge();
        async move { login.call(edge, "GET", &path, &Value::Null).await }
    };
    let first = page(&bob, "?limit=2").await?;
    assert_eq!((told(&first.body), &first.body["more"]), (all[..2].to_vec(), &json!(true)));
    let pinned_by = &first.body["entries"][1]["pinned"];
    assert_eq!((&pinned_by["seq"], &pinned_by["by"]), (&json!(6), &json!(alice.user)));
    let rest = page(&bob, "?before=6").await?;
    assert_eq!((told(&rest.body), &rest.body["more"]), (all[2..].to_vec(), &json!(false)));
    // History says it, too; what is taken off or deleted is pinned no more.
    alices.acked(&group, unpin(3)).await?;
    bobs.acked(&group, json!({ "kind": "delete", "target": 4 })).await?;
    assert_eq!(pinned(&mut bobs, &group).await?, all[1..2]);
    let history = bobs.request(json!({ "type": "history", "room": group })).await?;
    let is_pinned = |at: usize| history["entries"][at].get("pinned").is_some();
    assert_eq!([1, 2, 3].map(is_pinned), [true, false, false], "{history}");
    assert_eq!(alices.refused(&group, pin(4)).await?, "deleted");
    alices.acked(&group, json!({ "kind": "remove", "user": bob.user })).await?;
    let refused = bobs.request(json!({ "type": "pins", "room": group })).await?;
    assert_eq!(code(&refused)?, "not_member");
    // In a direct room both pin.
    let room = direct(&alice, &bob);
    bobs.acked(&room, json!({ "text": "hi" })).await?;
    alices.acked(&room, pin(1)).await?;
    bobs.acked(&room, unpin(1)).await?;
    bobs.acked(&room, pin(1)).await?;
    assert_eq!(pinned(&mut alices, &room).await?, [text(1, "hi")]);
    Ok(())
}
