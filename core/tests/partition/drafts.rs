//! What users have typed and not sent: what a command changes, what it does not, and who hears of it.

use serde_json::{Value, json};
use weft_core::partition::quota::QuotaLimits;
use weft_core::partition::sabotage::{Rule, take_out};
use weft_nats::MadeBy;
use weft_proto::kind::{self, DraftText, Leave};
use weft_proto::limits::{DRAFTS_PER_USER_MAX, TEXT_CHARS_MAX};
use weft_proto::{Body, ChangeHead, Position, RoomId};
use weft_storage::Batch;
use weft_storage::tables::change::{self, Changed};
use weft_storage::tables::draft::{self, Kept};
use weft_storage::tables::journal::{self, JournalDraft};

use crate::create;
use crate::support::{START_MS, World, grown, id, text, user_id};

fn room(name: &str) -> RoomId {
    RoomId::new(name).expect("id")
}

/// Types it; nothing: dismisses the draft.
fn typed(name: &str, version: u64, text: &str) -> Body {
    let content = DraftText { text: text.into(), ..DraftText::default() };
    let content = (!text.is_empty()).then(|| Box::new(content));
    Body::Draft(kind::Draft { room: room(name), version, content })
}

/// Says it in a notebook, as an edge does: with an id that it has made.
async fn say(world: &World, notebook: &str, body: &Body) -> Value {
    world.send_made(("ann", notebook), (id(rand::random()), MadeBy::Edge), body).await
}

/// The version that it has then.
async fn done(world: &World, body: Body) -> u64 {
    let answer = say(world, "ann~ann", &body).await;
    assert_eq!(answer["type"], "done", "{answer}");
    answer["version"].as_u64().expect("a version")
}

async fn refused(world: &World, body: Body) -> Value {
    let answer = say(world, "ann~ann", &body).await;
    assert_eq!(answer["type"], "error", "{answer}");
    answer["error"].clone()
}

async fn code(world: &World, body: Body) -> String {
    refused(world, body).await["code"].as_str().expect("a code").to_owned()
}

async fn row(world: &World, name: &str) -> Option<(Position, Kept)> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    draft::get_many(&*snapshot, &[(user_id("ann"), room(name))]).await.expect("read").remove(0)
}

/// Its version, and what was typed.
async fn is(world: &World, name: &str) -> (u64, String) {
    let (_, kept) = row(world, name).await.unwrap_or_default();
    (kept.version, kept.content.unwrap_or_default().text)
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
async fn each_change_has_a_version_of_its_own_and_names_the_one_before() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    world.send("bob", "team", Some(id(1)), &create(&["ann"])).await;
    let first = done(&world, typed("team", 0, "h")).await;
    assert!(first >= START_MS, "by the clock: {first}");
    let second = done(&world, typed("team", first, "hi")).await;
    assert!(second > first);
    let before = commit_no(&world).await;
    // What is so already changes nothing, whichever version was seen: so it is for what comes twice.
    assert_eq!(done(&world, typed("team", first, "hi")).await, second);
    assert_eq!(done(&world, typed("ann~bob", 0, "")).await, 0);
    assert_eq!(done(&world, typed("ann~bob", 7, "")).await, 0);
    for late in [0, first, second + 1] {
        let error = refused(&world, typed("team", late, "ho")).await;
        let now = json!({ "room": "team", "version": second, "text": "hi" });
        assert_eq!((&error["code"], &error["draft"]), (&json!("conflict"), &now));
        assert_eq!(refused(&world, typed("team", late, "")).await["draft"], now);
    }
    assert_eq!(commit_no(&world).await, before, "what changes nothing writes nothing");
    let (at, _) = row(&world, "team").await.expect("a row");
    let changed = Changed::Draft(user_id("ann"), room("team"));
    assert_eq!(told(&world, "ann").await, [(at, changed.clone())], "once, at the newest place");
    let said = json!({ "type": "draft", "room": "team", "version": second, "text": "hi" });
    let change = world.bus.change_that(|_, frame| *frame == said).await;
    let head = ChangeHead::draft(&user_id("ann"), &room("team"), at).to_string();
    let frame_bytes = change.frame.len() as u64;
    assert_eq!(
        (change.users, change.group, change.head),
        (vec!["ann".into()], String::new(), head)
    );
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let page = journal::follow(&*snapshot, 0, before - 1, 9).await.expect("read");
    let (_, journaled) = page.expect("a page").rows.remove(0);
    let names = JournalDraft { room: "team".into(), user: "ann".into(), frame_bytes };
    assert_eq!((journaled.entries.len(), &journaled.drafts[..]), (0, &[names][..]));
    // What was sent or dismissed does not come back.
    let dismissed = done(&world, typed("team", second, "")).await;
    let said = json!({ "type": "draft", "room": "team", "version": dismissed });
    world.bus.change_that(|_, frame| *frame == said).await;
    for late in [0, first, second] {
        let error = refused(&world, typed("team", late, "hi, all")).await;
        assert_eq!(error["draft"], json!({ "room": "team", "version": dismissed }));
    }
    assert_eq!(is(&world, "team").await, (dismissed, String::new()));
    let again = done(&world, typed("team", dismissed, "next")).await;
    assert_eq!(is(&world, "team").await, (again, "next".into()));
    assert_eq!(told(&world, "ann").await.len(), 1);
    assert!(told(&world, "bob").await.is_empty());
    assert_eq!(world.entries("ann~ann").await.len(), 0, "it is no entry");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn who_may_type_and_for_which_rooms() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    world.send("bob", "team", Some(id(1)), &create(&["ann"])).await;
    world.send("bob", "bobs", Some(id(2)), &create(&[])).await;
    for notebook in ["ann~bob", "bob~bob", "team"] {
        let answer = say(&world, notebook, &typed("team", 0, "x")).await;
        assert_eq!(answer["error"]["code"], "bad_request", "{notebook}");
    }
    // That a group is there only those learn who have been in it.
    let refused = ["bobs", "nowhere", "bob~cem", "ann~nobody"];
    let codes = ["no_such_room", "no_such_room", "not_member", "no_such_user"];
    for (name, refused) in refused.into_iter().zip(codes) {
        assert_eq!(code(&world, typed(name, 0, "x")).await, refused, "{name}");
    }
    // A direct room is there before its first message, and a notebook is a room.
    done(&world, typed("ann~bob", 0, "x")).await;
    done(&world, typed("ann~ann", 0, "x")).await;
    // Who has left may tidy up.
    let version = done(&world, typed("team", 0, "x")).await;
    world.send("ann", "team", Some(id(3)), &Body::Leave(Leave {})).await;
    assert_eq!(code(&world, typed("team", version, "y")).await, "not_member");
    let version = done(&world, typed("team", version, "")).await;
    assert_eq!(is(&world, "team").await, (version, String::new()), "it tells other devices");
    owner.leave().await.expect("leave");
}

/// Drafts of one commit, and of the one that is planned while that is underway: the texts of all sizes.
#[tokio::test]
async fn what_is_planned_and_not_committed_counts() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    let long = "é".repeat(TEXT_CHARS_MAX);
    let version = done(&world, typed("ann~bob", 0, &long)).await;
    let begun = *world.engine.commits.borrow();
    world.gate(false);
    let said = |body: Body| world.publish("ann", "ann~ann", None, &body);
    // The clock stands still: versions grow by one.
    let mut tokens = vec![said(typed("ann~bob", version, "one"))];
    grown(&world.engine.commits, begun).await;
    for (at, text) in [(1, "two"), (1, "late"), (2, ""), (3, &long), (4, "three")] {
        tokens.push(said(typed("ann~bob", version + at, text)));
    }
    world.gate(true);
    let mut answers = Vec::new();
    for token in &tokens {
        let answer = world.bus.answer_to(token).await;
        answers.push((answer["version"].as_u64(), answer["error"]["draft"]["version"].as_u64()));
    }
    let taken = |at| (Some(version + at), None);
    let late = (None, Some(version + 2));
    assert_eq!(answers, [taken(1), taken(2), late, taken(3), taken(4), taken(5)]);
    assert_eq!(is(&world, "ann~bob").await, (version + 5, "three".into()));
    assert_eq!(told(&world, "ann").await.len(), 1, "once");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_draft_is_applied_by_the_next_owner_where_its_commit_did_not_happen() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    let version = done(&world, typed("ann~bob", 0, "x")).await;
    let begun = *world.engine.commits.borrow();
    world.gate(false);
    let token = world.publish("ann", "ann~ann", None, &typed("ann~bob", version, "xy"));
    grown(&world.engine.commits, begun).await;
    owner.crash().await;
    world.gate(true);
    let owner = world.own("n2").await;
    let answer = world.bus.answer_to(&token).await;
    assert_eq!(answer["type"], "done", "{answer}");
    assert_eq!(is(&world, "ann~bob").await.1, "xy");
    assert_eq!(told(&world, "ann").await.len(), 1);
    owner.leave().await.expect("leave");
}

/// A store in which ann has drafts for so many rooms, and so many more are dismissed; the oldest first.
async fn filled(world: &World, live: usize, dismissed: usize) {
    let ann = user_id("ann");
    for number in 0..live + dismissed {
        let room = room(&format!("ann~u{number}"));
        let content = DraftText { text: "x".into(), ..DraftText::default() };
        let content = (number < live).then_some(content);
        let mut batch = Batch::new(rand::random());
        draft::put(&mut batch, 0, (&ann, &room), &Kept { version: 9, time_ms: 1, content }, 0);
        change::put(&mut batch, &ann, 0, &Changed::Draft(ann.clone(), room));
        world.store.commit(batch).await.expect("commit");
    }
}

#[tokio::test]
async fn nobody_has_drafts_without_end() {
    let world = World::new(&["ann", "bob", "cem", "u1"]).await;
    filled(&world, DRAFTS_PER_USER_MAX - 1, DRAFTS_PER_USER_MAX).await;
    let owner = world.own("n1").await;
    let (first, second) = (DRAFTS_PER_USER_MAX - 1, DRAFTS_PER_USER_MAX);
    let version = done(&world, typed("ann~bob", 0, "x")).await;
    assert_eq!(code(&world, typed("ann~ann", 0, "x")).await, "limit_reached");
    let begun = *world.engine.commits.borrow();
    world.gate(false);
    let said = |body: Body| world.publish("ann", "ann~ann", None, &body);
    let mut tokens = vec![said(typed("ann~u0", 9, ""))];
    grown(&world.engine.commits, begun).await;
    // What is planned counts: u0 makes room for one, and the oldest dismissed one for its row.
    tokens.extend([said(typed("ann~ann", 0, "x")), said(typed("ann~cem", 0, "x"))]);
    world.gate(true);
    let mut answers = Vec::new();
    for token in &tokens {
        answers.push(world.bus.answer_to(token).await);
    }
    assert_eq!((&answers[0]["type"], &answers[1]["type"]), (&json!("done"), &json!("done")));
    assert_eq!(answers[2]["error"]["code"], "limit_reached");
    assert_eq!(row(&world, &format!("ann~u{first}")).await, None, "the oldest dismissed one");
    assert!(row(&world, &format!("ann~u{second}")).await.is_some());
    assert_eq!(told(&world, "ann").await.len(), 2 * DRAFTS_PER_USER_MAX, "each once");
    // Of what is there already, everything may change.
    done(&world, typed("ann~bob", version, "y")).await;
    done(&world, typed("ann~u1", 9, "y")).await;
    // A version of before is none any more.
    let gone = room(&format!("ann~u{first}"));
    let late = typed(gone.as_str(), 9, "x");
    assert_eq!(refused(&world, late).await["draft"], json!({ "room": gone, "version": 0 }));
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn drafts_are_paid_for_as_marks_are_and_by_their_size() {
    let mut world = World::new(&["ann", "bob"]).await;
    world.quota = QuotaLimits { rate_per_s: 1, burst: 6 };
    let owner = world.own("n1").await;
    let version = done(&world, typed("ann~bob", 0, "x")).await;
    done(&world, typed("ann~bob", version, &"x".repeat(TEXT_CHARS_MAX))).await;
    done(&world, typed("ann~ann", 0, "x")).await;
    done(&world, typed("ann~ann", 0, "x")).await;
    assert_eq!(code(&world, typed("ann~ann", 0, "y")).await, "rate_limited");
    assert_eq!(world.send("ann", "ann~bob", Some(id(14)), &text("x")).await["seq"], 1);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn below_its_feature_level_a_store_takes_no_draft() {
    let world = World::new(&["ann", "bob"]).await;
    world.set_level(2).await;
    let owner = world.own("n1").await;
    assert_eq!(code(&world, typed("ann~bob", 0, "x")).await, "unknown_type");
    owner.leave().await.expect("leave");
}

/// One device types; another one has sent it meanwhile, and dismissed the draft. What comes back of it?
async fn comes_back() -> Option<String> {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    let seen = done(&world, typed("ann~bob", 0, "hel")).await;
    done(&world, typed("ann~bob", seen, "")).await;
    say(&world, "ann~ann", &typed("ann~bob", seen, "hello")).await;
    let (_, text) = is(&world, "ann~bob").await;
    owner.leave().await.expect("leave");
    Some(text).filter(|text| !text.is_empty())
}

#[tokio::test]
async fn without_its_rule_what_was_sent_would_come_back() {
    assert_eq!(comes_back().await, None);
    take_out(Some(Rule::DraftVersions));
    assert_eq!(comes_back().await.as_deref(), Some("hello"));
    take_out(None);
}
