//! Links by which one joins, also those that are planned and not yet committed.

use weft_nats::MadeBy;
use weft_proto::kind::{Ban, Join, Link as Wanted, Remove, Unlink, Update};
use weft_proto::limits::LINKS_PER_ROOM_MAX;
use weft_proto::{Body, JoinRule, LinkToken, RoomId};
use weft_storage::Batch;
use weft_storage::tables::link::{self, Link};

use crate::create;
use crate::messages::code;
use crate::support::{START_MS, World, grown, id, text, user_id};

fn token(number: u32) -> LinkToken {
    LinkToken::new(&format!("token-{number:0>20}")).expect("a token")
}

fn link(number: u32, expires_at: Option<u64>, uses: Option<u32>) -> Body {
    Body::Link(Wanted { link: token(number), expires_at, uses })
}

fn unlink(number: u32) -> Body {
    Body::Unlink(Unlink { link_id: token(number).id() })
}

fn join(number: u32) -> Body {
    Body::Join(Join { link: Some(token(number)) })
}

async fn links(world: &World) -> Vec<Link> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let room = RoomId::new("team").expect("id");
    let rows = link::of_room(&*snapshot, &room).await.expect("read");
    rows.into_iter().map(|(_, row)| row).collect()
}

async fn done(world: &World, from: &str, number: u128, body: Body) {
    let answer = world.send_made((from, "team"), (id(number), MadeBy::Edge), &body).await;
    assert_eq!(answer["type"], "done", "{answer}");
}

/// What each of these is answered with: its seq, `done`, or the code of a refusal.
async fn at_once(world: &World, commands: Vec<(&str, Body)>) -> Vec<String> {
    world.gate(false);
    let before = *world.engine.commits.borrow();
    let mut sent = Vec::new();
    for (number, (from, body)) in (500..).zip(commands) {
        sent.push(world.publish(from, "team", Some(id(number)), &body));
        if sent.len() == 1 {
            grown(&world.engine.commits, before).await;
        }
    }
    world.gate(true);
    let mut answers = Vec::new();
    for token in sent {
        let answer = world.bus.answer_to(&token).await;
        let said = answer["error"]["code"].as_str().map(str::to_owned);
        answers.push(said.unwrap_or_else(|| match answer["seq"].as_u64() {
            Some(seq) => seq.to_string(),
            None => answer["type"].as_str().unwrap_or_default().to_owned(),
        }));
    }
    answers
}

#[tokio::test]
async fn who_has_a_link_joins_and_the_log_does_not_have_it() {
    let world = World::new(&["ann", "bob", "cem", "dia"]).await;
    let owner = world.own("n1").await;
    for (number, room) in [(1, "team"), (2, "nowhere")] {
        assert_eq!(code(&world, "bob", room, number, join(1)).await, "no_such_link");
    }
    assert_eq!(code(&world, "ann", "team", 3, link(1, None, None)).await, "no_such_room");
    world.send("ann", "team", Some(id(4)), &create(&["cem"])).await;
    assert_eq!(code(&world, "bob", "team", 5, join(1)).await, "no_such_link");
    assert_eq!(code(&world, "cem", "team", 6, link(1, None, None)).await, "forbidden");
    assert_eq!(code(&world, "cem", "team", 7, unlink(1)).await, "forbidden");
    assert_eq!(code(&world, "ann", "team", 8, unlink(1)).await, "no_such_link");
    assert_eq!(code(&world, "ann", "team", 9, link(1, Some(START_MS), None)).await, "bad_request");
    assert_eq!(code(&world, "ann", "ann~bob", 10, link(1, None, None)).await, "bad_request");
    done(&world, "ann", 11, link(1, None, Some(3))).await;
    done(&world, "ann", 12, link(1, None, Some(3))).await;
    assert_eq!(code(&world, "ann", "team", 13, link(1, None, Some(4))).await, "conflict");
    // In another room it is none.
    world.send("dia", "other", Some(id(14)), &create(&[])).await;
    assert_eq!(code(&world, "bob", "other", 15, join(1)).await, "no_such_link");
    let first = world.send("bob", "team", Some(id(16)), &join(1)).await;
    assert_eq!(first["seq"], 2, "{first}");
    assert_eq!(world.send("bob", "team", Some(id(16)), &join(1)).await, first, "a resend");
    assert_eq!(code(&world, "bob", "team", 16, join(2)).await, "conflict");
    assert_eq!(code(&world, "bob", "team", 17, join(1)).await, "already_member");
    let made = Link { by: "ann".into(), made_ms: START_MS, uses_max: 3, used: 1, expires_ms: 0 };
    assert_eq!(links(&world).await, [made]);
    assert_eq!(world.entries("team").await[1].body, Body::Join(Join { link: None }));
    let (event, _) = world.bus.event("team", 2).await;
    assert!(!String::from_utf8_lossy(&event.frame).contains("token-"));
    owner.leave().await.expect("leave");
    // It is the same for the next owner.
    let owner = world.own("n2").await;
    assert_eq!(world.send("bob", "team", Some(id(16)), &join(1)).await, first);
    // Who was removed comes again by it; who is banned does not, and uses none.
    let remove = Body::Remove(Remove { user: user_id("bob") });
    world.send("ann", "team", Some(id(20)), &remove).await;
    assert_eq!(world.send("bob", "team", Some(id(21)), &join(1)).await["seq"], 4);
    let ban = Body::Ban(Ban { user: user_id("bob"), removed: false });
    world.send("ann", "team", Some(id(22)), &ban).await;
    assert_eq!(code(&world, "bob", "team", 23, join(1)).await, "banned");
    assert_eq!(links(&world).await[0].used, 2);
    let archive = |archived| Body::Update(Update { archived: Some(archived), ..Update::default() });
    world.send("ann", "team", Some(id(24)), &archive(true)).await;
    assert_eq!(code(&world, "dia", "team", 25, join(1)).await, "archived");
    assert_eq!(code(&world, "ann", "team", 26, link(2, None, None)).await, "archived");
    world.send("ann", "team", Some(id(27)), &archive(false)).await;
    done(&world, "ann", 28, unlink(1)).await;
    assert_eq!(code(&world, "dia", "team", 29, join(1)).await, "no_such_link");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn two_who_come_at_the_last_use_are_one() {
    let world = World::new(&["ann", "bob", "cem", "dia", "eva"]).await;
    let owner = world.own("n1").await;
    world.send("ann", "team", Some(id(1)), &create(&[])).await;
    done(&world, "ann", 2, link(1, None, Some(2))).await;
    let answers = at_once(
        &world,
        vec![
            ("bob", join(1)),
            ("cem", join(1)),
            ("dia", join(1)),
            ("ann", link(2, None, Some(1))),
            ("dia", join(2)),
            ("eva", join(2)),
            ("ann", unlink(1)),
            ("eva", join(1)),
            ("ann", link(1, None, None)),
            ("eva", join(1)),
        ],
    )
    .await;
    let (up, none) = ("link_used_up", "no_such_link");
    assert_eq!(answers, ["2", "3", up, "done", "4", up, "done", none, "done", "5"]);
    let used: u32 = links(&world).await.iter().map(|row| row.used).sum();
    assert_eq!(used, 2);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_link_ends_with_its_time() {
    let world = World::new(&["ann", "bob", "cem"]).await;
    let owner = world.own("n1").await;
    world.send("ann", "team", Some(id(1)), &create(&[])).await;
    done(&world, "ann", 2, link(1, Some(START_MS + 1_000), None)).await;
    world.clock.advance_ms(999);
    assert_eq!(world.send("bob", "team", Some(id(3)), &join(1)).await["seq"], 2);
    world.clock.advance_ms(1);
    assert_eq!(code(&world, "cem", "team", 4, join(1)).await, "link_expired");
    // Of an open group no link is looked at.
    let open = Body::Update(Update { join: Some(JoinRule::Open), ..Update::default() });
    world.send("ann", "team", Some(id(5)), &open).await;
    assert_eq!(world.send("cem", "team", Some(id(6)), &join(1)).await["seq"], 4);
    assert_eq!(links(&world).await[0].used, 1);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_group_has_a_hundred_links_and_those_that_have_ended_make_room() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    world.send("ann", "team", Some(id(1)), &create(&[])).await;
    let most = u32::try_from(LINKS_PER_ROOM_MAX).expect("few");
    for number in 1..most {
        let uses = (number == 1).then_some(1);
        let expires_at = (number == 2).then_some(START_MS + 1_000);
        done(&world, "ann", 10 + u128::from(number), link(number, expires_at, uses)).await;
    }
    let answers = at_once(
        &world,
        vec![
            ("ann", link(most, None, None)),
            ("ann", link(most + 1, None, None)),
            ("bob", join(1)),
            ("ann", link(most + 1, None, None)),
            ("ann", link(most + 2, None, None)),
            ("ann", unlink(3)),
            ("ann", link(most + 2, None, None)),
        ],
    )
    .await;
    let full = "limit_reached";
    assert_eq!(answers, ["done", full, "2", "done", full, "done", "done"]);
    world.clock.advance_ms(1_000);
    done(&world, "ann", 900, link(most + 3, None, None)).await;
    assert_eq!(code(&world, "ann", "team", 901, link(most + 4, None, None)).await, full);
    assert_eq!(links(&world).await.len(), LINKS_PER_ROOM_MAX);
    assert_eq!(world.send("bob", "team", Some(id(902)), &text("in")).await["type"], "ack");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_link_that_cannot_be_read_stops_nobody() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    world.send("ann", "team", Some(id(1)), &create(&[])).await;
    done(&world, "ann", 2, link(1, None, None)).await;
    let (room, mut batch) = (RoomId::new("team").expect("id"), Batch::new([9; 16]));
    batch.set(link::key(&room, &token(1).id()), &b"\xff\xff"[..]);
    world.store.commit(batch).await.expect("damaged");
    assert_eq!(code(&world, "bob", "team", 3, join(1)).await, "no_such_link");
    // The same one again is there again.
    done(&world, "ann", 4, link(1, None, None)).await;
    assert_eq!(links(&world).await.len(), 1);
    assert_eq!(world.send("bob", "team", Some(id(5)), &join(1)).await["seq"], 2);
    owner.leave().await.expect("leave");
}
