//! A direct room is a request to who wants to be asked, until they write or make a contact, also by what is planned and not yet
//! committed.

use serde_json::{Value, json};
use weft_nats::MadeBy;
use weft_proto::consent::{AddBy, Strangers};
use weft_proto::kind::{Delete, Mark, Setting};
use weft_proto::limits::REQUEST_ENTRIES_MAX;
use weft_proto::{Body, Position, RoomId};
use weft_storage::Batch;
use weft_storage::tables::change::{self, Changed};
use weft_storage::tables::installation::{self, Installation};

use crate::relations::{blocked, contact, done};
use crate::support::{World, grown, id, text, user_id};

const ROOM: &str = "ann~bob";

fn strangers(wanted: Strangers) -> Body {
    Body::Setting(Setting { strangers: Some(wanted), ..Setting::default() })
}

/// What became of a message: its seq, or why it was refused.
async fn says(world: &World, who: &str, number: u128, body: &Body) -> Value {
    let answer = world.send(who, ROOM, Some(id(number)), body).await;
    if answer["type"] == "ack" { answer["seq"].clone() } else { answer["error"]["code"].clone() }
}

/// A stranger says as much as they may.
async fn fill(world: &World) {
    for seq in 1..=REQUEST_ENTRIES_MAX {
        assert_eq!(says(world, "bob", u128::from(seq), &text("x")).await, seq);
    }
    assert_eq!(says(world, "bob", 100, &text("more")).await, "not_accepted");
}

async fn reads(world: &World, who: &str, number: u128, seq: u64) {
    let read = Body::Mark(Mark { read: Some(seq), ..Mark::default() });
    let answer = world.send_made((who, ROOM), (id(number), MadeBy::Edge), &read).await;
    assert_eq!(answer, json!({ "type": "done" }), "{who}");
}

/// Whose marks the syncs of a user are told.
async fn marks_told(world: &World, who: &str) -> Vec<String> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let range = change::range(&user_id(who), Position::MIN, Position::MAX);
    let rows = snapshot.scan(range, usize::MAX, false).await.expect("scan");
    let rows = rows.iter().map(|(key, value)| change::decode(key, value).expect("row").1);
    let whose = rows.filter_map(|changed| match changed {
        Changed::Mark(_, whose) => Some(whose.to_string()),
        _ => None,
    });
    whose.collect()
}

/// How often edges were told that two see each other, or do so no more.
fn sights(world: &World) -> (usize, usize) {
    let to = |head: &str| world.bus.changes_like(|it, _| it.head.starts_with(head));
    (to("sight/ann/bob "), to("sight/bob/ann "))
}

#[tokio::test]
async fn a_stranger_says_only_so_much_and_hears_of_no_marks_until_they_are_answered() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    done(&world, "ann", 90, strangers(Strangers::Request)).await;
    fill(&world).await;
    // Who takes back what they wrote may, and a resend is answered as ever.
    let delete = Body::Delete(Delete::of(1));
    assert_eq!(says(&world, "bob", 101, &delete).await, REQUEST_ENTRIES_MAX + 1);
    assert_eq!(says(&world, "bob", 2, &text("x")).await, 2);
    reads(&world, "ann", 102, 5).await;
    assert_eq!(marks_told(&world, "bob").await, Vec::<String>::new());
    assert_eq!(marks_told(&world, "ann").await, ["ann"]);
    // What does not count as unread is no answer.
    let silent = Body::from_json(br#"{"text":"psst","silent":true}"#).expect("a message");
    assert_eq!(says(&world, "ann", 104, &silent).await, REQUEST_ENTRIES_MAX + 2);
    assert_eq!(says(&world, "bob", 105, &text("more")).await, "not_accepted");
    assert_eq!(sights(&world), (0, 0));
    assert_eq!(says(&world, "ann", 106, &text("who are you?")).await, REQUEST_ENTRIES_MAX + 3);
    world.bus.change_that(|it, _| it.head.starts_with("sight/bob/ann ")).await;
    assert_eq!(sights(&world), (1, 1));
    assert_eq!(says(&world, "bob", 107, &text("bob")).await, REQUEST_ENTRIES_MAX + 4);
    reads(&world, "ann", 108, REQUEST_ENTRIES_MAX + 4).await;
    assert_eq!(marks_told(&world, "bob").await, ["ann"]);
    assert_eq!(says(&world, "ann", 109, &text("hello bob")).await, REQUEST_ENTRIES_MAX + 5);
    assert_eq!(sights(&world), (1, 1), "once");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_contact_is_no_stranger_and_who_is_none_any_more_is_one() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    done(&world, "ann", 90, strangers(Strangers::Request)).await;
    fill(&world).await;
    done(&world, "ann", 91, contact("bob", true)).await;
    world.bus.change_that(|it, _| it.head.starts_with("sight/bob/ann ")).await;
    assert_eq!(sights(&world), (1, 1));
    assert_eq!(says(&world, "bob", 102, &text("more")).await, REQUEST_ENTRIES_MAX + 1);
    done(&world, "ann", 92, contact("bob", false)).await;
    assert_eq!(says(&world, "bob", 103, &text("more")).await, "not_accepted");
    done(&world, "ann", 93, blocked("bob", true)).await;
    assert_eq!(says(&world, "bob", 104, &text("more")).await, "not_allowed");
    done(&world, "ann", 94, blocked("bob", false)).await;
    done(&world, "ann", 95, strangers(Strangers::Welcome)).await;
    assert_eq!(says(&world, "bob", 105, &text("more")).await, REQUEST_ENTRIES_MAX + 2);
    // Where both have written it is none for ever.
    assert_eq!(says(&world, "ann", 106, &text("hello")).await, REQUEST_ENTRIES_MAX + 3);
    done(&world, "ann", 96, strangers(Strangers::Request)).await;
    assert_eq!(says(&world, "bob", 107, &text("hi")).await, REQUEST_ENTRIES_MAX + 4);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn what_the_installation_has_holds_for_who_has_said_nothing() {
    let world = World::new(&["ann", "bob"]).await;
    let mut batch = Batch::new(rand::random());
    let (add_by, strangers_by_default) = (AddBy::None.into(), Strangers::Request.into());
    let row = Installation { add_by, strangers: strangers_by_default, ..Installation::default() };
    batch.set(installation::key(), row.encode());
    world.store.commit(batch).await.expect("commit");
    let owner = world.own("n1").await;
    fill(&world).await;
    done(&world, "ann", 90, strangers(Strangers::Welcome)).await;
    assert_eq!(says(&world, "bob", 102, &text("more")).await, REQUEST_ENTRIES_MAX + 1);
    done(&world, "ann", 91, strangers(Strangers::Default)).await;
    assert_eq!(says(&world, "bob", 103, &text("more")).await, "not_accepted");
    let made = world.send("bob", "team", Some(id(104)), &crate::create(&["ann"])).await;
    assert_eq!(made["invited"], json!(["ann"]), "{made}");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn an_answer_that_is_planned_counts() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    done(&world, "ann", 90, strangers(Strangers::Request)).await;
    fill(&world).await;
    world.gate(false);
    let before = *world.engine.commits.borrow();
    let answered = world.publish("ann", ROOM, Some(id(200)), &text("who are you?"));
    grown(&world.engine.commits, before).await;
    let before = *world.engine.snapshots.borrow();
    let late = world.publish("bob", ROOM, Some(id(201)), &text("bob"));
    grown(&world.engine.snapshots, before).await;
    world.gate(true);
    assert_eq!(world.bus.answer_to(&answered).await["seq"], REQUEST_ENTRIES_MAX + 1);
    assert_eq!(world.bus.answer_to(&late).await["seq"], REQUEST_ENTRIES_MAX + 2);
    let room = RoomId::new(ROOM).expect("id");
    assert_eq!(world.entries(room.as_str()).await.len() as u64, REQUEST_ENTRIES_MAX + 2);
    owner.leave().await.expect("leave");
}
