//! What others are to users: what a relation changes, what it does not, and who hears of it.

use serde_json::{Value, json};
use weft_core::partition::quota::QuotaLimits;
use weft_nats::MadeBy;
use weft_proto::kind::Relation as Asked;
use weft_proto::limits::RELATIONS_PER_USER_MAX;
use weft_proto::{Body, ChangeHead, Position, UserId};
use weft_storage::Batch;
use weft_storage::tables::account;
use weft_storage::tables::change::{self, Changed};
use weft_storage::tables::journal::{self, JournalRelation};
use weft_storage::tables::relation::{self, Relation};

use crate::support::{World, grown, id, user_id};

pub fn contact(name: &str, contact: bool) -> Body {
    Body::Relation(Asked { user: user_id(name), contact: Some(contact), blocked: None })
}

pub fn blocked(name: &str, blocked: bool) -> Body {
    Body::Relation(Asked { user: user_id(name), contact: None, blocked: Some(blocked) })
}

/// Says it in a notebook, as an edge does: with an id that it has made.
async fn say(world: &World, who: &str, notebook: &str, number: u128, body: Body) -> Value {
    world.send_made((who, notebook), (id(number), MadeBy::Edge), &body).await
}

pub async fn done(world: &World, who: &str, number: u128, body: Body) {
    let answer = say(world, who, &format!("{who}~{who}"), number, body).await;
    assert_eq!(answer, json!({ "type": "done" }));
}

async fn code(world: &World, number: u128, body: Body) -> String {
    let answer = say(world, "ann", "ann~ann", number, body).await;
    answer["error"]["code"].as_str().unwrap_or_else(|| panic!("not refused: {answer}")).to_owned()
}

async fn row(world: &World, other: &str) -> Option<(Position, Relation)> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let wanted = [(user_id("ann"), user_id(other))];
    relation::get_many(&*snapshot, &wanted).await.expect("read").remove(0)
}

/// Whether they are a contact, and whether they are blocked.
async fn is(world: &World, other: &str) -> (bool, bool) {
    let (_, relation) = row(world, other).await.unwrap_or_default();
    (relation.contact, relation.blocked)
}

async fn commit_no(world: &World) -> u64 {
    weft_core::partition::take::read_row(&world.store, 0).await.expect("row").last_commit_no()
}

/// What the syncs of a user are told, by position.
async fn told(world: &World, who: &str) -> Vec<(Position, Changed)> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let range = change::range(&user_id(who), Position::MIN, Position::MAX);
    let rows = snapshot.scan(range, usize::MAX, false).await.expect("scan");
    rows.iter().map(|(key, value)| change::decode(key, value).expect("row")).collect()
}

#[tokio::test]
async fn what_a_relation_names_changes_and_the_own_devices_alone_hear_of_it() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    done(&world, "ann", 10, contact("bob", true)).await;
    done(&world, "ann", 11, blocked("bob", true)).await;
    assert_eq!(is(&world, "bob").await, (true, true));
    let before = commit_no(&world).await;
    done(&world, "ann", 12, blocked("bob", true)).await;
    assert_eq!(commit_no(&world).await, before, "what changes nothing writes nothing");
    done(&world, "ann", 13, contact("bob", false)).await;
    // A command that comes again, and late, does not undo what came after it.
    done(&world, "ann", 10, contact("bob", true)).await;
    assert_eq!(is(&world, "bob").await, (false, true));
    assert_eq!(code(&world, 10, blocked("bob", false)).await, "conflict");
    let (at, _) = row(&world, "bob").await.expect("a row");
    let changed = Changed::Relation(user_id("ann"), user_id("bob"));
    assert_eq!(told(&world, "ann").await, [(at, changed)], "once, at the newest place");
    assert_eq!(told(&world, "bob").await, []);
    let said = json!({ "type": "relation", "user": "bob", "contact": false, "blocked": true });
    let change = world.bus.change_that(|_, frame| *frame == said).await;
    let head = ChangeHead::relation(&user_id("ann"), &user_id("bob"), at).to_string();
    assert_eq!((change.users, change.head), (vec!["ann".into()], head));
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let page = journal::follow(&*snapshot, 0, commit_no(&world).await - 1, 9).await.expect("read");
    let (_, row) = page.expect("a page").rows.remove(0);
    let names = JournalRelation { user: "ann".into(), other: "bob".into(), sight: false };
    assert_eq!((row.entries.len(), &row.relations[..]), (0, &[names][..]));
    assert_eq!(world.entries("ann~ann").await.len(), 0, "it is no entry");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn who_may_say_it_and_of_whom() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    for notebook in ["ann~bob", "bob~bob", "team"] {
        let answer = say(&world, "ann", notebook, 10, contact("bob", true)).await;
        assert_eq!(answer["error"]["code"], "bad_request", "{notebook}");
    }
    assert_eq!(code(&world, 11, contact("ann", true)).await, "bad_request");
    assert_eq!(code(&world, 12, contact("nobody", true)).await, "no_such_user");
    done(&world, "ann", 13, contact("nobody", false)).await;
    // Who is deleted can be forgotten.
    done(&world, "ann", 14, contact("bob", true)).await;
    let mut batch = Batch::new(rand::random());
    batch.clear(account::key(&user_id("bob")));
    world.store.commit(batch).await.expect("commit");
    assert_eq!(code(&world, 15, blocked("bob", true)).await, "no_such_user");
    done(&world, "ann", 16, contact("bob", false)).await;
    assert!(row(&world, "bob").await.is_some(), "it tells devices that were away");
    owner.leave().await.expect("leave");
}

/// Relations of one commit, and of the one that is planned while that is underway.
#[tokio::test]
async fn what_is_planned_and_not_committed_counts() {
    let world = World::new(&["ann", "bob", "cem"]).await;
    let owner = world.own("n1").await;
    done(&world, "ann", 10, contact("bob", true)).await;
    let begun = *world.engine.commits.borrow();
    world.gate(false);
    let said = |body: &Body| world.publish("ann", "ann~ann", None, body);
    let mut tokens = vec![said(&blocked("bob", true))];
    grown(&world.engine.commits, begun).await;
    for body in [contact("bob", false), blocked("cem", true), contact("cem", true)] {
        tokens.push(said(&body));
    }
    world.gate(true);
    for token in &tokens {
        assert_eq!(world.bus.answer_to(token).await["type"], "done");
    }
    assert_eq!((is(&world, "bob").await, is(&world, "cem").await), ((false, true), (true, true)));
    assert_eq!(told(&world, "ann").await.len(), 2, "each once");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn nobody_has_relations_without_end() {
    let mut world = World::new(&["ann", "bob", "cem", "dan"]).await;
    world.quota = QuotaLimits { rate_per_s: 1, burst: 6 };
    let others =
        |range: std::ops::Range<usize>| range.map(|n| UserId::new(&format!("u{n}")).expect("id"));
    for from in (2..RELATIONS_PER_USER_MAX).step_by(1_000) {
        let mut batch = Batch::new(rand::random());
        for other in others(from..(from + 1_000).min(RELATIONS_PER_USER_MAX)) {
            let relation = Relation { contact: true, ..Relation::default() };
            relation::put(&mut batch, 0, &(user_id("ann"), other), &relation);
        }
        world.store.commit(batch).await.expect("commit");
    }
    let owner = world.own("n1").await;
    let begun = *world.engine.commits.borrow();
    world.gate(false);
    let said = |name: &str| world.publish("ann", "ann~ann", None, &contact(name, true));
    let mut tokens = vec![said("bob")];
    grown(&world.engine.commits, begun).await;
    tokens.extend([said("cem"), said("dan")]);
    world.gate(true);
    let mut answers = Vec::new();
    for token in &tokens {
        answers.push(world.bus.answer_to(token).await);
    }
    assert_eq!((&answers[0]["type"], &answers[1]["type"]), (&json!("done"), &json!("done")));
    assert_eq!(answers[2]["error"]["code"], "limit_reached");
    // Of what is there already, everything may change.
    done(&world, "ann", 10, blocked("bob", true)).await;
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn below_its_feature_level_a_store_takes_no_relation() {
    let world = World::new(&["ann", "bob"]).await;
    world.set_level(3).await;
    let owner = world.own("n1").await;
    assert_eq!(code(&world, 10, contact("bob", true)).await, "unknown_type");
    owner.leave().await.expect("leave");
}
