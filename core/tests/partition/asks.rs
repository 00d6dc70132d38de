//! Who asks to come into a group, also by what is planned and not yet committed.

use weft_proto::kind::{Add, Ask, Ban, ChangeRole, Decline, Join, Leave, Update};
use weft_proto::limits::ASKING_MAX;
use weft_proto::{Body, JoinRule, Role, RoomId};
use weft_storage::tables::join_request::{self, JoinRequest};

use crate::create;
use crate::messages::code;
use crate::support::{World, grown, id, text, user_id};

fn ask(text: &str) -> Body {
    Body::Ask(Ask { text: Some(text.to_owned()).filter(|text| !text.is_empty()), withdraw: false })
}

fn withdraw() -> Body {
    Body::Ask(Ask { text: None, withdraw: true })
}

fn decline(name: &str) -> Body {
    Body::Decline(Decline { user: user_id(name) })
}

fn add(name: &str) -> Body {
    Body::Add(Add { user: user_id(name), role: Role::Member })
}

fn update(fields: Update) -> Body {
    Body::Update(fields)
}

fn rule(rule: JoinRule) -> Body {
    update(Update { join: Some(rule), ..Update::default() })
}

async fn done(world: &World, from: &str, number: u128, body: Body) {
    let answer = world.send(from, "team", Some(id(number)), &body).await;
    assert_eq!(answer["type"], "done", "{number}: {answer}");
}

async fn seq(world: &World, from: &str, number: u128, body: Body) -> u64 {
    let answer = world.send(from, "team", Some(id(number)), &body).await;
    answer["seq"].as_u64().unwrap_or_else(|| panic!("refused: {answer}"))
}

/// Who asks, and what they say.
async fn asking(world: &World) -> Vec<(String, String)> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let room = RoomId::new("team").expect("id");
    let page = join_request::page_after(&*snapshot, &room, None, 2_000).await.expect("read");
    page.into_iter().map(|((_, user), row)| (user.to_string(), row.text)).collect()
}

#[tokio::test]
async fn who_asks_is_brought_in_or_declined_by_owners_and_admins() {
    let world = World::new(&["ann", "bob", "cem", "dia", "eve"]).await;
    let owner = world.own("n1").await;
    seq(&world, "ann", 1, create(&["bob", "cem"])).await;
    seq(&world, "ann", 2, Body::ChangeRole(ChangeRole { user: user_id("bob"), role: Role::Admin }))
        .await;
    seq(&world, "ann", 3, Body::Ban(Ban { user: user_id("eve"), removed: false })).await;
    assert_eq!(code(&world, "dia", "team", 4, ask("")).await, "no_such_room", "as none");
    assert_eq!(code(&world, "dia", "none", 5, ask("")).await, "no_such_room");
    seq(&world, "ann", 6, rule(JoinRule::Ask)).await;
    for (from, number, body, expected) in [
        ("eve", 10, ask(""), "banned"),
        ("cem", 11, ask(""), "already_member"),
        ("dia", 12, withdraw(), "not_found"),
        ("dia", 13, decline("dia"), "no_such_room"),
        ("dia", 14, Body::Join(Join { link: None }), "no_such_room"),
        ("bob", 15, decline("dia"), "not_found"),
    ] {
        assert_eq!(code(&world, from, "team", number, body).await, expected, "{number}");
    }
    assert_eq!(code(&world, "ann", "ann~dia", 16, ask("")).await, "bad_request");
    assert_eq!(code(&world, "nobody", "team", 17, ask("")).await, "no_such_user");
    done(&world, "dia", 20, ask("please")).await;
    let told = world.bus.change_that(|_, frame| frame["state"] == "asked").await;
    assert_eq!(told.users, ["dia", "ann", "bob"], "nobody who decides nothing");
    assert_eq!(told.head, "asking/team/dia -");
    done(&world, "dia", 20, ask("please")).await;
    done(&world, "dia", 21, ask("please")).await;
    assert_eq!(world.bus.changes_like(|_, frame| frame["type"] == "asking"), 1, "told once");
    done(&world, "dia", 22, ask("pretty please")).await;
    assert_eq!(asking(&world).await, [("dia".into(), "pretty please".into())]);
    assert_eq!(code(&world, "cem", "team", 23, decline("dia")).await, "forbidden");
    done(&world, "bob", 24, decline("dia")).await;
    world.bus.change_that(|_, frame| frame["state"] == "declined").await;
    assert!(asking(&world).await.is_empty());
    done(&world, "dia", 25, ask("again")).await;
    done(&world, "dia", 26, withdraw()).await;
    world.bus.change_that(|_, frame| frame["state"] == "withdrawn").await;
    done(&world, "dia", 27, ask("")).await;
    assert_eq!(seq(&world, "bob", 28, add("dia")).await, 5, "none of it is an entry");
    assert!(asking(&world).await.is_empty(), "who is in asks no more");
    // Who was there before is told so where the group is closed.
    seq(&world, "dia", 30, Body::Leave(Leave {})).await;
    seq(&world, "ann", 31, rule(JoinRule::Invitation)).await;
    assert_eq!(code(&world, "dia", "team", 32, ask("")).await, "not_member");
    seq(&world, "ann", 33, rule(JoinRule::Open)).await;
    assert_eq!(code(&world, "dia", "team", 34, ask("")).await, "bad_request");
    seq(&world, "ann", 35, rule(JoinRule::Ask)).await;
    done(&world, "dia", 36, ask("")).await;
    seq(&world, "ann", 37, Body::Ban(Ban { user: user_id("dia"), removed: false })).await;
    assert!(asking(&world).await.is_empty(), "a ban ends it");
    let archived = Update { archived: Some(true), ..Update::default() };
    seq(&world, "ann", 38, update(archived)).await;
    assert_eq!(code(&world, "dia", "team", 39, ask("")).await, "archived");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn what_is_planned_and_not_committed_counts() {
    let world = World::new(&["ann", "bob", "cem"]).await;
    let owner = world.own("n1").await;
    seq(&world, "ann", 1, create(&[])).await;
    seq(&world, "ann", 2, rule(JoinRule::Ask)).await;
    world.gate(false);
    let before = *world.engine.commits.borrow();
    let underway = world.publish("ann", "team", Some(id(3)), &text("underway"));
    grown(&world.engine.commits, before).await;
    let before = *world.engine.snapshots.borrow();
    let tokens: Vec<String> = [
        ("bob", ask("")),
        ("ann", decline("bob")),
        ("ann", decline("bob")),
        ("cem", ask("")),
        ("ann", add("cem")),
        ("ann", decline("cem")),
    ]
    .into_iter()
    .zip(10..)
    .map(|((from, body), number)| world.publish(from, "team", Some(id(number)), &body))
    .collect();
    grown(&world.engine.snapshots, before).await;
    world.gate(true);
    assert_eq!(world.bus.answer_to(&underway).await["seq"], 3);
    let mut answers = Vec::new();
    for token in &tokens {
        let answer = world.bus.answer_to(token).await;
        let word = answer["error"]["code"].as_str().or(answer["type"].as_str());
        answers.push(word.expect("a word").to_owned());
    }
    assert_eq!(answers, ["done", "done", "not_found", "done", "ack", "not_found"]);
    assert!(asking(&world).await.is_empty());
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn only_so_many_ask_one_group() {
    let world = World::new(&["ann", "bob", "cem"]).await;
    let mut batch = weft_storage::Batch::new([9; 16]);
    let room = RoomId::new("team").expect("id");
    for number in 1..ASKING_MAX {
        let row = JoinRequest { asked_ms: 1, text: String::new() };
        batch.set(join_request::key(&room, &user_id(&format!("u{number}"))), row.encode());
    }
    world.store.commit(batch).await.expect("commit");
    let owner = world.own("n1").await;
    seq(&world, "ann", 1, create(&[])).await;
    seq(&world, "ann", 2, rule(JoinRule::Ask)).await;
    done(&world, "bob", 3, ask("")).await;
    assert_eq!(code(&world, "cem", "team", 4, ask("")).await, "limit_reached");
    done(&world, "bob", 5, ask("other words")).await;
    done(&world, "bob", 6, withdraw()).await;
    done(&world, "cem", 7, ask("")).await;
    assert_eq!(asking(&world).await.len(), ASKING_MAX);
    owner.leave().await.expect("leave");
}
