//! Groups that everybody may come into are found by the beginnings of their titles and ids, and others are not.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::session::{Session, code};
use weft_harness::system::{System, unique};

use crate::two_edges;

/// The ids of what is found, page by page, over the socket; over HTTP it is the same.
async fn found(
    (system, login, session): (&System, &Login, &mut Session),
    text: &str,
    limit: u32,
) -> Result<Vec<Value>> {
    let (mut groups, mut cursor): (Vec<Value>, Value) = (Vec::new(), Value::Null);
    loop {
        let request =
            json!({ "type": "find_groups", "text": text, "after": cursor, "limit": limit });
        let page = session.request(request).await?;
        assert_eq!(page["type"], "groups", "{page}");
        let after = cursor.as_str().map(|cursor| format!("&after={}", escaped(cursor)));
        let (text, after) = (escaped(text), after.unwrap_or_default());
        let path = format!("/v1/groups?text={text}&limit={limit}{after}");
        let answer = login.call(system.edges()[0], "GET", &path, &Value::Null).await?;
        assert_eq!((answer.status, &answer.body["groups"]), (200, &page["groups"]), "{path}");
        assert_eq!(answer.body["cursor"], page["cursor"]);
        let of_page = page["groups"].as_array().context("groups")?;
        assert!(of_page.len() <= limit as usize, "{page}");
        groups.extend(of_page.iter().cloned());
        cursor = page["cursor"].clone();
        if cursor.is_null() {
            return Ok(groups);
        }
    }
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

fn ids(groups: &[Value]) -> Vec<&str> {
    groups.iter().filter_map(|group| group["room"].as_str()).collect()
}

#[tokio::test]
async fn open_groups_are_found_by_everybody_and_no_others() -> Result<()> {
    let system = two_edges().await;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let mut a = Session::open(system.edges()[0], &alice, None).await?;
    let mut b = Session::open(system.edges()[1], &bob, None).await?;
    let word = unique("tee").replace(['-', '_'], "");
    // Both names of the second one begin with the word: it comes once.
    let rooms = [unique("g"), format!("{word}-2"), unique("g"), unique("g")];
    let titles = ["Grüne Stube", "zwei", "  drei  und mehr", "vier"];
    for (room, title) in rooms.iter().zip(titles) {
        let create = json!({ "kind": "create", "title": format!("{word} {title}") });
        a.acked(room, create).await?;
    }
    let update = |fields: Value| {
        let mut fields = fields;
        fields["kind"] = "update".into();
        fields
    };
    assert!(found((system, &bob, &mut b), &word, 100).await?.is_empty(), "none is open yet");
    for room in &rooms {
        a.acked(room, update(json!({ "join": "open", "topic": "tea" }))).await?;
    }
    for limit in [1, 2, 3, 100] {
        let groups = found((system, &bob, &mut b), &word.to_uppercase(), limit).await?;
        assert_eq!(ids(&groups), [&rooms[2], &rooms[0], &rooms[3], &rooms[1]], "{limit}");
    }
    let groups = found((system, &bob, &mut b), &format!("{word} GRÜNE  s"), 100).await?;
    let shown = json!({ "room": rooms[0], "title": format!("{word} Grüne Stube"), "topic": "tea",
        "member_count": 1, "join": "open", "member": false });
    assert_eq!(groups, [shown]);
    let groups = found((system, &alice, &mut a), &rooms[1], 100).await?;
    assert_eq!((ids(&groups), &groups[0]["member"]), (vec![&*rooms[1]], &json!(true)), "by its id");
    // Of one that was renamed, closed, archived or left nothing is found any more.
    let rename = json!({ "kind": "rename", "title": format!("x{word}") });
    a.acked(&rooms[0], rename).await?;
    a.acked(&rooms[1], update(json!({ "join": "invitation" }))).await?;
    a.acked(&rooms[2], update(json!({ "archived": true }))).await?;
    assert_eq!(ids(&found((system, &bob, &mut b), &word, 100).await?), [&rooms[3]]);
    assert_eq!(ids(&found((system, &bob, &mut b), &format!("x{word}"), 1).await?), [&rooms[0]]);
    a.acked(&rooms[3], json!({ "kind": "leave" })).await?;
    a.acked(&rooms[2], update(json!({ "archived": false }))).await?;
    assert_eq!(ids(&found((system, &bob, &mut b), &word, 100).await?), [&rooms[2]]);
    // Who finds one comes in.
    assert_eq!(b.acked(&rooms[2], json!({ "kind": "join" })).await?, 5);
    let groups = found((system, &bob, &mut b), &word, 100).await?;
    assert_eq!((&groups[0]["member"], &groups[0]["member_count"]), (&json!(true), &json!(2)));
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_a_search_is_said() -> Result<()> {
    let system = two_edges().await;
    let bob = system.user("bob").await?;
    let mut b = Session::open(system.edges()[1], &bob, None).await?;
    for (fields, wanted) in [
        (json!({ "text": "ä".repeat(65) }), "too_long"),
        (json!({ "text": 5 }), "bad_request"),
        (json!({ "limit": 0 }), "bad_request"),
        (json!({ "after": "no-cursor" }), "bad_cursor"),
        (json!({ "after": "A:b" }), "bad_cursor"),
    ] {
        let mut request = fields.clone();
        request["type"] = "find_groups".into();
        assert_eq!(code(&b.request(request).await?)?, wanted, "{fields}");
    }
    // A cursor of another search goes on where this one begins or ends.
    let request = json!({ "type": "find_groups", "text": "no such group", "after": "a:b" });
    let page = b.request(request).await?;
    assert_eq!((&page["groups"], &page["cursor"]), (&json!([]), &Value::Null), "{page}");
    let path = format!("/v1/groups?text={}", "x".repeat(65));
    assert_eq!(bob.call(system.edge(), "GET", &path, &Value::Null).await?.status, 400);
    Ok(())
}
