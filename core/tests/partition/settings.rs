//! How users want rooms to be: what a setting changes, what it does not, and who hears of it.

use serde_json::{Value, json};
use weft_core::partition::quota::QuotaLimits;
use weft_nats::MadeBy;
use weft_proto::kind::{Leave, Setting as Asked};
use weft_proto::limits::SETTINGS_PER_USER_MAX;
use weft_proto::{Body, ChangeHead, Position, RoomId};
use weft_storage::Batch;
use weft_storage::tables::change::{self, Changed};
use weft_storage::tables::journal::{self, JournalMark};
use weft_storage::tables::setting::{self, Setting};

use crate::create;
use crate::support::{Fault, World, grown, id, text, user_id};

fn room(name: &str) -> RoomId {
    RoomId::new(name).expect("id")
}

fn muted(name: &str, until: u64) -> Body {
    let muted_until = Some(until);
    Body::Setting(Asked { room: Some(room(name)), muted_until, ..Asked::default() })
}

fn pinned(name: &str, pinned: bool) -> Body {
    let pinned = Some(pinned);
    Body::Setting(Asked { room: Some(room(name)), pinned, ..Asked::default() })
}

/// Says it in a notebook, as an edge does: with an id that it has made.
async fn say(world: &World, who: &str, notebook: &str, number: u128, body: Body) -> Value {
    world.send_made((who, notebook), (id(number), MadeBy::Edge), &body).await
}

async fn done(world: &World, number: u128, body: Body) {
    assert_eq!(say(world, "ann", "ann~ann", number, body).await, json!({ "type": "done" }));
}

async fn code(world: &World, number: u128, body: Body) -> String {
    let answer = say(world, "ann", "ann~ann", number, body).await;
    answer["error"]["code"].as_str().unwrap_or_else(|| panic!("not refused: {answer}")).to_owned()
}

async fn row(world: &World, name: &str) -> Option<(Position, Setting)> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let wanted = [(user_id("ann"), room(name))];
    setting::get_many(&*snapshot, &wanted).await.expect("read").remove(0)
}

/// Until when it is muted, and whether it is pinned.
async fn is(world: &World, name: &str) -> (u64, bool) {
    let (_, setting) = row(world, name).await.unwrap_or_default();
    (setting.muted_until_ms, setting.pinned)
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
async fn what_a_setting_names_changes_and_the_rest_stays() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    world.send("bob", "team", Some(id(1)), &create(&["ann"])).await;
    done(&world, 10, muted("team", 9)).await;
    done(&world, 11, pinned("team", true)).await;
    assert_eq!(is(&world, "team").await, (9, true));
    let before = commit_no(&world).await;
    done(&world, 12, pinned("team", true)).await;
    done(&world, 13, pinned("ann~bob", false)).await;
    assert_eq!(commit_no(&world).await, before, "what changes nothing writes nothing");
    done(&world, 14, muted("team", 0)).await;
    // A command that comes again, and late, does not undo what came after it.
    done(&world, 10, muted("team", 9)).await;
    assert_eq!(is(&world, "team").await, (0, true));
    assert_eq!(code(&world, 10, muted("team", 8)).await, "conflict");
    let (at, _) = row(&world, "team").await.expect("a row");
    let changed = Changed::Setting(user_id("ann"), room("team"));
    assert_eq!(told(&world, "ann").await, [(at, changed)], "once, at the newest place");
    let said = json!({ "type": "setting", "room": "team", "muted_until": 0, "pinned": true });
    let change = world.bus.change_that(|_, frame| *frame == said).await;
    let head = ChangeHead::setting(&user_id("ann"), &room("team"), at, None).to_string();
    assert_eq!(
        (change.users, change.group, change.head),
        (vec!["ann".into()], String::new(), head)
    );
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let page = journal::follow(&*snapshot, 0, commit_no(&world).await - 1, 9).await.expect("read");
    let (_, row) = page.expect("a page").rows.remove(0);
    let names = JournalMark { room: "team".into(), user: "ann".into(), thread: 0, own: false };
    assert_eq!((row.entries.len(), row.marks.len(), &row.settings[..]), (0, 0, &[names][..]));
    assert_eq!(world.entries("ann~ann").await.len(), 0, "it is no entry");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn who_may_say_it_and_of_which_rooms() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    world.send("bob", "team", Some(id(1)), &create(&["ann"])).await;
    world.send("bob", "bobs", Some(id(2)), &create(&[])).await;
    for notebook in ["ann~bob", "bob~bob", "team"] {
        let answer = say(&world, "ann", notebook, 10, pinned("team", true)).await;
        assert_eq!(answer["error"]["code"], "bad_request", "{notebook}");
    }
    // That a group is there only those learn who have been in it.
    let refused = ["bobs", "nowhere", "bob~cem", "ann~nobody"];
    let codes = ["no_such_room", "no_such_room", "not_member", "no_such_user"];
    for ((number, name), refused) in (20..).zip(refused).zip(codes) {
        assert_eq!(code(&world, number, pinned(name, true)).await, refused, "{name}");
    }
    // A direct room is there before its first message, and a notebook is a room.
    done(&world, 14, pinned("ann~bob", true)).await;
    done(&world, 15, muted("ann~ann", 7)).await;
    // Who has left may tidy up.
    done(&world, 16, pinned("team", true)).await;
    done(&world, 17, muted("team", 7)).await;
    world.send("ann", "team", Some(id(3)), &Body::Leave(Leave {})).await;
    assert_eq!(code(&world, 18, muted("team", 8)).await, "not_member");
    let (muted_until, pinned) = (Some(0), Some(false));
    let both = Asked { room: Some(room("team")), muted_until, pinned, ..Asked::default() };
    done(&world, 19, Body::Setting(both)).await;
    assert_eq!(is(&world, "team").await, (0, false));
    assert!(row(&world, "team").await.is_some(), "it tells devices that were away");
    owner.leave().await.expect("leave");
}

/// Settings of one commit, and of the one that is planned while that is underway.
#[tokio::test]
async fn what_is_planned_and_not_committed_counts() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    done(&world, 10, muted("ann~bob", 1)).await;
    let begun = *world.engine.commits.borrow();
    world.gate(false);
    let said = |body: &Body| world.publish("ann", "ann~ann", None, body);
    let mut tokens = vec![said(&muted("ann~bob", 2))];
    grown(&world.engine.commits, begun).await;
    for body in [pinned("ann~bob", true), muted("ann~bob", 3), muted("ann~ann", 4)] {
        tokens.push(said(&body));
    }
    world.gate(true);
    for token in &tokens {
        assert_eq!(world.bus.answer_to(token).await["type"], "done");
    }
    assert_eq!(is(&world, "ann~bob").await, (3, true));
    assert_eq!(is(&world, "ann~ann").await, (4, false));
    assert_eq!(told(&world, "ann").await.len(), 2, "each once");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_setting_is_applied_by_the_next_owner_where_its_commit_did_not_happen() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    done(&world, 10, pinned("ann~bob", true)).await;
    let begun = *world.engine.commits.borrow();
    world.gate(false);
    let token = world.publish("ann", "ann~ann", None, &muted("ann~bob", 4));
    grown(&world.engine.commits, begun).await;
    owner.crash().await;
    world.gate(true);
    let owner = world.own("n2").await;
    assert_eq!(world.bus.answer_to(&token).await["type"], "done");
    assert_eq!(is(&world, "ann~bob").await, (4, true));
    assert_eq!(told(&world, "ann").await.len(), 1);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn nobody_has_settings_without_end() {
    let mut world = World::new(&["ann", "bob", "cem"]).await;
    world.quota = QuotaLimits { rate_per_s: 1, burst: 6 };
    let mut batch = Batch::new(rand::random());
    for number in 2..SETTINGS_PER_USER_MAX {
        let setting = Setting { pinned: true, ..Setting::default() };
        let (user, room) = (user_id("ann"), room(&format!("g{number}")));
        setting::put(&mut batch, 0, (&user, &room), &setting);
    }
    world.store.commit(batch).await.expect("commit");
    let owner = world.own("n1").await;
    let begun = *world.engine.commits.borrow();
    world.gate(false);
    let said = |name: &str| world.publish("ann", "ann~ann", None, &pinned(name, true));
    let mut tokens = vec![said("ann~bob")];
    grown(&world.engine.commits, begun).await;
    tokens.extend([said("ann~ann"), said("ann~cem")]);
    world.gate(true);
    let mut answers = Vec::new();
    for token in &tokens {
        answers.push(world.bus.answer_to(token).await);
    }
    assert_eq!((&answers[0]["type"], &answers[1]["type"]), (&json!("done"), &json!("done")));
    assert_eq!(answers[2]["error"]["code"], "limit_reached");
    // Of what is there already, everything may change; and there is no more of that than of marks.
    done(&world, 10, muted("ann~bob", 1)).await;
    done(&world, 11, pinned("g2", false)).await;
    assert_eq!(code(&world, 12, pinned("ann~cem", true)).await, "limit_reached");
    assert_eq!(code(&world, 13, muted("ann~bob", 2)).await, "rate_limited");
    assert_eq!(world.send("ann", "ann~bob", Some(id(14)), &text("x")).await["seq"], 1);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn below_its_feature_level_a_store_takes_no_setting() {
    let world = World::new(&["ann", "bob"]).await;
    world.set_level(2).await;
    let owner = world.own("n1").await;
    assert_eq!(code(&world, 10, pinned("ann~bob", true)).await, "unknown_type");
    owner.leave().await.expect("leave");
}

/// Where a commit has no entries, what it has put at its position says where that was.
#[tokio::test]
async fn a_commit_of_which_nobody_heard_tells_devices_at_its_position() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    world.gate(false);
    let before = *world.engine.commits.borrow();
    world.engine.faults.lock().expect("faults").push_back(Fault::DoneUnknown);
    let first = world.publish("ann", "ann~ann", Some(id(1)), &muted("ann~bob", 7));
    grown(&world.engine.commits, before).await;
    // It is planned while the first one is underway.
    let before = *world.engine.snapshots.borrow();
    let second = world.publish("ann", "ann~ann", Some(id(2)), &pinned("ann~bob", true));
    grown(&world.engine.snapshots, before).await;
    world.gate(true);
    for token in [first, second] {
        assert_eq!(world.bus.answer_to(&token).await, json!({ "type": "done" }));
    }
    assert_eq!(is(&world, "ann~bob").await, (7, true));
    let (position, _) = row(&world, "ann~bob").await.expect("a row");
    let changed = Changed::Setting(user_id("ann"), room("ann~bob"));
    assert_eq!(told(&world, "ann").await, [(position, changed)]);
    owner.leave().await.expect("leave");
}
