//! Marks: what they move, what they do not, and what those are told who hear of them.

use serde_json::{Value, json};
use weft_core::partition::quota::QuotaLimits;
use weft_nats::MadeBy;
use weft_proto::kind::{Add, Leave, Mark as Asked};
use weft_proto::svc::Change;
use weft_proto::{Body, ChangeHead, Position, Role, RoomId};
use weft_storage::Batch;
use weft_storage::tables::change::{self, Changed};
use weft_storage::tables::journal::{self, JournalMark};
use weft_storage::tables::layout::{self, Layout};
use weft_storage::tables::mark::{self, Held, Mark};

use crate::create;
use crate::support::{World, grown, id, text, user_id};

fn room(name: &str) -> RoomId {
    RoomId::new(name).expect("id")
}

fn read(seq: u64) -> Body {
    Body::Mark(Asked { read: Some(seq), ..Asked::default() })
}

fn delivered(seq: u64) -> Body {
    Body::Mark(Asked { delivered: Some(seq), ..Asked::default() })
}

fn unread_from(seq: u64) -> Body {
    Body::Mark(Asked { unread_from: Some(seq), ..Asked::default() })
}

/// Says it as an edge does: with an id that it has made.
async fn say(world: &World, who: &str, name: &str, number: u128, body: Body) -> Value {
    world.send_made((who, name), (id(number), MadeBy::Edge), &body).await
}

async fn done(world: &World, who: &str, name: &str, number: u128, body: Body) {
    assert_eq!(say(world, who, name, number, body).await, json!({ "type": "done" }));
}

async fn code(world: &World, who: &str, name: &str, number: u128, body: Body) -> String {
    let answer = say(world, who, name, number, body).await;
    answer["error"]["code"].as_str().unwrap_or_else(|| panic!("not refused: {answer}")).to_owned()
}

async fn held(world: &World, name: &str, who: &str) -> Held {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let wanted = [(room(name), user_id(who))];
    mark::held(&*snapshot, &wanted).await.expect("read").remove(0)
}

/// Read, its ordinal, delivered, unread from, and the ordinal after which it is unread.
async fn is(world: &World, name: &str, who: &str) -> (u64, u64, u64, u64, u64) {
    let Mark { read, read_ordinal, delivered, unread_from, .. } = held(world, name, who).await.mark;
    let unread_after = held(world, name, who).await.mark.unread_after();
    (read, read_ordinal, delivered, unread_from, unread_after)
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

/// A direct room with five messages of Ann's.
async fn talk(world: &World) {
    for number in 1..=5 {
        world.send("ann", "ann~bob", Some(id(number)), &text("x")).await;
    }
}

#[tokio::test]
async fn a_mark_grows_and_what_moves_nothing_writes_nothing() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    talk(&world).await;
    assert_eq!(is(&world, "ann~bob", "ann").await, (5, 5, 0, 0, 5), "what she sent");
    done(&world, "bob", "ann~bob", 10, delivered(3)).await;
    assert_eq!(is(&world, "ann~bob", "bob").await, (0, 0, 3, 0, 0));
    done(&world, "bob", "ann~bob", 11, read(4)).await;
    assert_eq!(is(&world, "ann~bob", "bob").await, (4, 4, 4, 0, 4));
    let before = (commit_no(&world).await, held(&world, "ann~bob", "bob").await);
    for (number, body) in [(12, read(4)), (13, read(2)), (14, delivered(4)), (15, delivered(1))] {
        done(&world, "bob", "ann~bob", number, body).await;
    }
    assert_eq!((commit_no(&world).await, held(&world, "ann~bob", "bob").await), before);
    done(&world, "bob", "ann~bob", 16, read(5)).await;
    assert_eq!(is(&world, "ann~bob", "bob").await, (5, 5, 5, 0, 5));
    assert_eq!(commit_no(&world).await, before.0 + 1);
    assert_eq!(world.entries("ann~bob").await.len(), 5, "a mark is no entry");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn who_may_say_it_and_of_which_entries() {
    let world = World::new(&["ann", "bob", "cem"]).await;
    let owner = world.own("n1").await;
    talk(&world).await;
    world.send("ann", "team", Some(id(20)), &create(&["bob"])).await;
    world.send("ann", "team", Some(id(21)), &text("x")).await;
    for (who, name, number, body, refused) in [
        ("cem", "ann~bob", 30, read(1), "not_member"),
        ("bob", "ann~bob", 31, read(6), "not_found"),
        ("bob", "ann~bob", 32, delivered(6), "not_found"),
        ("bob", "ann~bob", 33, unread_from(6), "not_found"),
        ("bob", "bob~bob", 34, read(1), "not_found"),
        ("cem", "team", 35, read(1), "no_such_room"),
        ("bob", "team", 36, delivered(1), "bad_request"),
        ("bob", "team", 37, read(3), "not_found"),
        ("bob", "nowhere", 38, read(1), "no_such_room"),
    ] {
        assert_eq!(code(&world, who, name, number, body).await, refused, "{number}");
    }
    world.send("bob", "team", Some(id(22)), &Body::Leave(Leave {})).await;
    assert_eq!(code(&world, "bob", "team", 39, read(2)).await, "not_member");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn who_sends_or_joins_has_read_it_and_who_reacts_has_not() {
    let world = World::new(&["ann", "bob", "cem"]).await;
    let owner = world.own("n1").await;
    world.send("ann", "team", Some(id(1)), &create(&["bob"])).await;
    for number in 2..=4 {
        world.send("ann", "team", Some(id(number)), &text("x")).await;
    }
    assert_eq!(is(&world, "team", "bob").await, (1, 0, 0, 0, 0), "he joined by it");
    let react = Body::from_json(br#"{"kind":"react","target":2,"emoji":"+"}"#).expect("a body");
    world.send("bob", "team", Some(id(5)), &react).await;
    assert_eq!(is(&world, "team", "bob").await.0, 1);
    let add = Body::Add(Add { user: user_id("cem"), role: Role::Member });
    world.send("ann", "team", Some(id(6)), &add).await;
    assert_eq!(is(&world, "team", "cem").await, (6, 3, 0, 0, 3), "nothing is unread");
    world.send("bob", "team", Some(id(7)), &text("x")).await;
    assert_eq!(is(&world, "team", "bob").await, (7, 4, 0, 0, 4));
    assert_eq!(held(&world, "team", "bob").await.position, None, "he has said nothing");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn marked_as_unread_it_is_so_until_the_next_read_or_own_message() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    talk(&world).await;
    done(&world, "bob", "ann~bob", 10, read(5)).await;
    done(&world, "bob", "ann~bob", 11, unread_from(3)).await;
    assert_eq!(is(&world, "ann~bob", "bob").await, (5, 5, 5, 3, 2));
    // Before that entry nothing new is read.
    done(&world, "bob", "ann~bob", 12, read(2)).await;
    assert_eq!(is(&world, "ann~bob", "bob").await.3, 3);
    done(&world, "bob", "ann~bob", 13, read(5)).await;
    assert_eq!(is(&world, "ann~bob", "bob").await, (5, 5, 5, 0, 5));
    // A command that comes late, and again, does not undo the read.
    done(&world, "bob", "ann~bob", 11, unread_from(3)).await;
    assert_eq!(is(&world, "ann~bob", "bob").await.3, 0);
    assert_eq!(code(&world, "bob", "ann~bob", 11, unread_from(4)).await, "conflict");
    done(&world, "bob", "ann~bob", 14, unread_from(1)).await;
    assert_eq!(is(&world, "ann~bob", "bob").await, (5, 5, 5, 1, 0));
    world.send("bob", "ann~bob", Some(id(15)), &text("x")).await;
    assert_eq!(is(&world, "ann~bob", "bob").await, (6, 6, 5, 0, 6));
    // What is not read is unread already.
    world.send("ann", "ann~bob", Some(id(16)), &text("x")).await;
    done(&world, "bob", "ann~bob", 17, unread_from(7)).await;
    assert_eq!(is(&world, "ann~bob", "bob").await.3, 0);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn those_who_hear_of_it_are_told_once_at_the_newest_place() {
    let world = World::new(&["ann", "bob", "cem"]).await;
    let owner = world.own("n1").await;
    talk(&world).await;
    world.send("ann", "team", Some(id(6)), &create(&["bob"])).await;
    world.send("ann", "team", Some(id(7)), &text("x")).await;
    for (number, seq) in [(10, 2), (11, 3), (12, 5)] {
        done(&world, "bob", "ann~bob", number, read(seq)).await;
    }
    done(&world, "bob", "team", 13, read(2)).await;
    let at = held(&world, "ann~bob", "bob").await.position.expect("written");
    let of_group = held(&world, "team", "bob").await.position.expect("written");
    let changed = |name| Changed::Mark(room(name), user_id("bob"));
    assert_eq!(told(&world, "ann").await, [(at, changed("ann~bob"))]);
    let both = [(at, changed("ann~bob")), (of_group, changed("team"))];
    assert_eq!(told(&world, "bob").await, both);
    let head = ChangeHead::mark(&room("ann~bob"), &user_id("bob"), at).to_string();
    for (hears, frame) in [
        (
            "ann",
            json!({ "type": "mark", "room": "ann~bob", "user": "bob", "read": 5, "delivered": 5 }),
        ),
        (
            "bob",
            json!({ "type": "mark", "room": "ann~bob", "user": "bob", "read": 5, "read_ordinal": 5,
                    "delivered": 5 }),
        ),
    ] {
        let told = world.bus.change_that(|it, said| it.users == [hears] && *said == frame).await;
        assert_eq!(told.head, head);
    }
    let marks = json!([{ "user": "bob", "read": 2 }]);
    let told = world.bus.change_that(|it, said| it.group == "team" && said["marks"] == marks).await;
    assert_eq!(told.head, "marks/team -");
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let page = journal::follow(&*snapshot, 0, commit_no(&world).await - 1, 9).await.expect("read");
    let (_, row) = page.expect("a page").rows.remove(0);
    let mark = JournalMark { room: "team".into(), user: "bob".into(), thread: 0, own: false };
    assert_eq!((row.entries.len(), &row.marks[..]), (0, &[mark][..]));
    owner.leave().await.expect("leave");
}

/// What its user wants to count as unread is nobody else's business, nor that they have said so.
#[tokio::test]
async fn others_are_not_told_that_something_is_marked_as_unread() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    talk(&world).await;
    world.send("ann", "team", Some(id(6)), &create(&["bob"])).await;
    world.send("ann", "team", Some(id(7)), &text("x")).await;
    done(&world, "bob", "ann~bob", 10, read(4)).await;
    done(&world, "bob", "team", 11, read(2)).await;
    let before = told(&world, "ann").await;
    for (number, name, body) in [
        (12, "ann~bob", unread_from(3)),
        (13, "ann~bob", read(4)),
        (14, "ann~bob", unread_from(2)),
        (15, "team", unread_from(2)),
    ] {
        done(&world, "bob", name, number, body).await;
        let snapshot = world.store.snapshot().await.expect("snapshot");
        let page = journal::follow(&*snapshot, 0, commit_no(&world).await - 1, 9).await;
        let (_, row) = page.expect("read").expect("a page").rows.remove(0);
        let mark = JournalMark { room: name.into(), user: "bob".into(), thread: 0, own: true };
        assert_eq!(row.marks, [mark]);
    }
    assert_eq!(told(&world, "ann").await, before);
    let own = held(&world, "ann~bob", "bob").await;
    assert!(told(&world, "bob").await.iter().any(|(at, _)| Some(*at) == own.position));
    // The next one that moves is told at its own place, and that alone.
    done(&world, "bob", "ann~bob", 16, read(5)).await;
    let at = held(&world, "ann~bob", "bob").await.position.expect("written");
    assert_eq!(told(&world, "ann").await, [(at, Changed::Mark(room("ann~bob"), user_id("bob")))]);
    assert_eq!(told(&world, "bob").await.len(), 2);
    let to_ann = |it: &Change| it.users == ["ann"];
    world.bus.change_that(|it, said| to_ann(it) && said["read"] == 5).await;
    let to_others = |it: &Change, said: &Value| to_ann(it) || said["type"] == "marks";
    assert_eq!(world.bus.changes_like(to_others), 3);
    owner.leave().await.expect("leave");
}

/// A core of that level could not read where others were told.
#[tokio::test]
async fn below_level_4_others_are_told_of_every_move() {
    let world = World::new(&["ann", "bob"]).await;
    world.set_level(3).await;
    let owner = world.own("n1").await;
    talk(&world).await;
    done(&world, "bob", "ann~bob", 10, read(4)).await;
    done(&world, "bob", "ann~bob", 11, unread_from(3)).await;
    let own = held(&world, "ann~bob", "bob").await;
    assert!(own.mark.told_at.is_empty() && own.mark.unread_from == 3, "{own:?}");
    assert_eq!(told(&world, "ann").await.remove(0).0, own.position.expect("written"));
    owner.leave().await.expect("leave");
}

/// What others are told in the commit underway is known to the one that is planned meanwhile.
#[tokio::test]
async fn what_is_told_and_not_committed_counts() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    talk(&world).await;
    done(&world, "bob", "ann~bob", 10, read(1)).await;
    let first = told(&world, "ann").await;
    let begun = *world.engine.commits.borrow();
    world.gate(false);
    let mut tokens = vec![world.publish("bob", "ann~bob", None, &read(2))];
    grown(&world.engine.commits, begun).await;
    for body in [unread_from(2), read(2), unread_from(1)] {
        tokens.push(world.publish("bob", "ann~bob", None, &body));
    }
    world.gate(true);
    for token in &tokens {
        assert_eq!(world.bus.answer_to(token).await["type"], "done");
    }
    let second = told(&world, "ann").await;
    assert!(second.len() == 1 && second[0].0 > first[0].0, "{second:?} after {first:?}");
    let own = held(&world, "ann~bob", "bob").await;
    assert!(own.mark.unread_from == 1 && own.position > Some(second[0].0), "{own:?}");
    assert_eq!(own.mark.told_at, second[0].0.0);
    done(&world, "bob", "ann~bob", 20, read(3)).await;
    let third = told(&world, "ann").await;
    assert!(third.len() == 1 && third[0].0 > second[0].0, "{third:?} after {second:?}");
    owner.leave().await.expect("leave");
}

/// Marks of one commit, and of the one that is planned while that is underway.
#[tokio::test]
async fn what_is_planned_and_not_committed_counts() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    talk(&world).await;
    done(&world, "bob", "ann~bob", 10, read(1)).await;
    let begun = *world.engine.commits.borrow();
    world.gate(false);
    let said = |who: &str, body: &Body| world.publish(who, "ann~bob", None, body);
    let mut tokens = vec![said("bob", &read(3))];
    grown(&world.engine.commits, begun).await;
    // Into the next commit: an entry, marks of it and of one before, and one that is late.
    for (who, body) in [
        ("ann", text("sixth")),
        ("bob", read(6)),
        ("bob", read(2)),
        ("bob", unread_from(6)),
        ("ann", text("seventh")),
        ("ann", delivered(7)),
    ] {
        tokens.push(said(who, &body));
    }
    world.gate(true);
    for token in &tokens {
        let answer = world.bus.answer_to(token).await;
        assert!(answer["type"] == "done" || answer["type"] == "ack", "{answer}");
    }
    assert_eq!(is(&world, "ann~bob", "bob").await, (6, 6, 6, 6, 5));
    assert_eq!(told(&world, "ann").await.len(), 1, "each key once");
    assert_eq!(told(&world, "bob").await.len(), 1);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn marks_have_a_quota_of_their_own() {
    let mut world = World::new(&["ann", "bob"]).await;
    world.quota = QuotaLimits { rate_per_s: 1, burst: 7 };
    let owner = world.own("n1").await;
    talk(&world).await;
    for number in 1..=7 {
        done(&world, "ann", "ann~bob", 10 + number, read(1)).await;
    }
    assert_eq!(code(&world, "ann", "ann~bob", 20, read(1)).await, "rate_limited");
    assert_eq!(world.send("ann", "ann~bob", Some(id(6)), &text("x")).await["seq"], 6);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_mark_is_applied_again_by_the_next_owner_where_its_commit_did_not_happen() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    talk(&world).await;
    let begun = *world.engine.commits.borrow();
    world.gate(false);
    let token = world.publish("bob", "ann~bob", None, &read(4));
    grown(&world.engine.commits, begun).await;
    owner.crash().await;
    world.gate(true);
    let owner = world.own("n2").await;
    assert_eq!(world.bus.answer_to(&token).await["type"], "done");
    assert_eq!(is(&world, "ann~bob", "bob").await.0, 4);
    done(&world, "bob", "ann~bob", 10, read(5)).await;
    assert_eq!(told(&world, "ann").await.len(), 1);
    owner.leave().await.expect("leave");
}

/// What the older of two cores would not know is not written.
#[tokio::test]
async fn below_its_feature_level_a_store_takes_no_mark_and_notes_no_sender() {
    let world = World::new(&["ann", "bob"]).await;
    world.set_level(2).await;
    let owner = world.own("n1").await;
    talk(&world).await;
    assert_eq!(code(&world, "bob", "ann~bob", 10, read(1)).await, "unknown_type");
    assert_eq!(held(&world, "ann~bob", "ann").await, Held::default());
    owner.leave().await.expect("leave");
}

/// Operations and bytes of a commit with one command alone: docs/performance.md has them.
#[tokio::test]
async fn a_mark_writes_less_than_a_message() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    talk(&world).await;
    world.send("ann", "team", Some(id(6)), &create(&["bob"])).await;
    world.send("ann", "team", Some(id(7)), &text("x")).await;
    let last = || {
        let batch = world.engine.last.lock().expect("last").clone().expect("a commit");
        (batch.ops().len(), batch.size_bytes())
    };
    done(&world, "bob", "ann~bob", 10, read(3)).await;
    let (first, _) = last();
    done(&world, "bob", "ann~bob", 11, read(5)).await;
    let direct = last();
    done(&world, "bob", "team", 12, read(2)).await;
    let group = last();
    world.send("ann", "ann~bob", Some(id(20)), &text("x")).await;
    let message = last();
    println!("direct {direct:?}, group {group:?}, message {message:?}");
    assert_eq!((first, direct.0, group.0, message.0), (5, 7, 4, 8));
    assert!(group.1 < direct.1 && direct.1 < message.1);
    owner.leave().await.expect("leave");
}

/// Else who is added, or writes, after the walk over all rooms has passed would have all of the room unread.
#[tokio::test]
async fn while_the_level_is_raised_senders_are_noted_and_marks_are_not_taken() {
    let world = World::new(&["ann", "bob"]).await;
    let halfway = Layout { epoch: 2, level_before: 2, ..Layout::new(1, 7) };
    let mut batch = Batch::new([8; 16]);
    batch.set(layout::key(), halfway.encode());
    world.store.commit(batch).await.expect("commit");
    let owner = world.own("n1").await;
    talk(&world).await;
    assert_eq!(code(&world, "bob", "ann~bob", 10, read(1)).await, "unknown_type");
    assert_eq!(is(&world, "ann~bob", "ann").await, (5, 5, 0, 0, 5));
    owner.leave().await.expect("leave");
}
