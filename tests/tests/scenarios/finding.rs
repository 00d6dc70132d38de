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

#[tokio::test]
async fn who_asks_to_come_in_is_told_to_those_who_decide_and_to_nobody_else() -> Result<()> {
    let system = two_edges().await;
    let names = ["alice", "bob", "carol", "dave"];
    let mut logins = Vec::new();
    for name in names {
        logins.push(system.user(name).await?);
    }
    let [alice, bob, carol, dave] = <[Login; 4]>::try_from(logins).ok().context("four")?;
    let edges = system.edges();
    let mut a = Session::open(edges[0], &alice, None).await?;
    let mut b = Session::open(edges[1], &bob, None).await?;
    let mut c = Session::open(edges[0], &carol, None).await?;
    let mut d = Session::open(edges[1], &dave, None).await?;
    let group = unique("tea");
    let members = json!([bob.user, carol.user]);
    a.acked(&group, json!({ "kind": "create", "title": group, "members": members })).await?;
    a.acked(&group, json!({ "kind": "role", "user": bob.user, "role": "admin" })).await?;
    a.acked(&group, json!({ "kind": "update", "join": "ask" })).await?;
    let groups = found((system, &dave, &mut d), &group, 10).await?;
    assert_eq!((ids(&groups), &groups[0]["join"]), (vec![&*group], &json!("ask")));
    assert!(groups[0]["asked"].is_null(), "{groups:?}");
    let about = |fields: Value| {
        let mut fields = fields;
        fields["room"] = group.clone().into();
        fields
    };
    let ask = about(json!({ "type": "ask", "text": "I like tea" }));
    assert_eq!(d.request(ask).await?["type"], "done");
    for session in [&mut a, &mut b, &mut d] {
        let told = session.told("asking", &group).await?;
        assert_eq!((&told["user"], &told["state"]), (&json!(dave.user), &json!("asked")), "{told}");
        assert_eq!(told["text"], "I like tea");
    }
    assert_eq!(found((system, &dave, &mut d), &group, 10).await?[0]["asked"], true);
    let list = about(json!({ "type": "asking" }));
    let listed = b.request(list.clone()).await?;
    assert_eq!(
        (&listed["asking"][0]["user"], &listed["asking"][0]["text"]),
        (&json!(dave.user), &json!("I like tea"))
    );
    assert_eq!(code(&c.request(list.clone()).await?)?, "forbidden");
    assert_eq!(code(&d.request(list.clone()).await?)?, "no_such_room");
    let path = format!("/v1/rooms/{group}/asking");
    let over_http = alice.call(edges[0], "GET", &path, &Value::Null).await?;
    assert_eq!((over_http.status, &over_http.body["asking"]), (200, &listed["asking"]));
    // Declined over HTTP, asked again and withdrawn there, and asked once more.
    let of_dave = format!("{path}/{}", dave.user);
    assert_eq!(bob.call(edges[1], "DELETE", &of_dave, &Value::Null).await?.status, 204);
    assert_eq!(d.told("asking", &group).await?["state"], "declined");
    assert_eq!(bob.call(edges[1], "DELETE", &of_dave, &Value::Null).await?.status, 404);
    assert_eq!(dave.call(edges[1], "POST", &path, &json!({})).await?.status, 204);
    assert_eq!(dave.call(edges[1], "DELETE", &path, &Value::Null).await?.status, 204);
    assert_eq!(dave.call(edges[1], "DELETE", &path, &Value::Null).await?.status, 404);
    assert_eq!(dave.call(edges[1], "POST", &path, &json!({ "text": "me!" })).await?.status, 204);
    // It is an `add` that brings them in, and who is in asks no more.
    assert_eq!(b.acked(&group, json!({ "kind": "add", "user": dave.user })).await?, 4);
    assert_eq!(d.expect(&group, 4).await?["kind"], "add");
    assert_eq!(a.request(list).await?["asking"], json!([]));
    assert_eq!(d.refused(&group, json!({ "kind": "join" })).await?, "already_member");
    assert_eq!(c.expect(&group, 4).await?["kind"], "add");
    assert_eq!(c.told_so_far("asking", &group).await?, Vec::<Value>::new());
    Ok(())
}
