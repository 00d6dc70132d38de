//! One bad command never takes its partition down: it is refused and kept, and all others are
//! applied.

use std::time::Duration;

use weft_core::partition::sabotage::{MISPLACED, POISON, Rule, take_out};
use weft_core::partition::take::read_row;
use weft_proto::kind::{ChangeRole, Create, Delete, Edit};
use weft_proto::{Body, Role};
use weft_storage::tables::dead_letter::Kept;

use crate::support::{TOO_LARGE, World, grown, id, text, user_id};

/// Sends numbered commands, some of them bad, all of them there before the owner is, and looks at
/// what becomes of them.
async fn put_aside(bad_text: &str, bad: &[u64], count: u64) -> Vec<Kept> {
    let world = World::new(&["alice", "bob"]).await;
    let send = |number: u64| {
        let is_bad = bad.contains(&number);
        let body = if is_bad { text(bad_text) } else { text(&format!("{number}")) };
        world.publish("alice", "alice~bob", Some(id(number.into())), &body)
    };
    let tokens: Vec<String> = (1..=count).map(send).collect();
    let owner = world.own("n1").await;
    let mut seq = 0;
    for (token, number) in tokens.iter().zip(1..) {
        let answer = world.bus.answer_to(token).await;
        if bad.contains(&number) {
            assert_eq!(answer["error"]["code"], "internal", "{number}: {answer}");
            assert_eq!(answer["error"]["temporary"], false, "{answer}");
        } else {
            seq += 1;
            assert_eq!(answer["seq"], seq, "{number}: {answer}");
        }
    }
    let next = world.send("bob", "alice~bob", Some(id(1_000_000)), &text("next")).await;
    assert_eq!(next["seq"], seq + 1);
    owner.leave().await.expect("leave");
    let texts: Vec<Body> = world.entries("alice~bob").await.into_iter().map(|e| e.body).collect();
    let good = (1..=count).filter(|number| !bad.contains(number));
    let wanted = good.map(|number| text(&number.to_string())).chain([text("next")]);
    assert!(texts.into_iter().eq(wanted));
    let letters = world.dead_letters().await;
    assert!(letters.iter().map(|kept| kept.stream_seq).eq(bad.iter().copied()), "{letters:?}");
    letters
}

#[tokio::test]
async fn a_command_whose_planning_panics_is_put_aside() {
    take_out(Some(Rule::PlanningHolds));
    let letters = put_aside(POISON, &[2], 3).await;
    let letter = &letters[0].letter;
    assert_eq!((letter.sender.as_str(), letter.room.as_str()), ("alice", "alice~bob"));
    assert_eq!(letter.client_id, Some(id(2).to_string()));
    assert_eq!(letter.payload, text(POISON).to_json());
    assert!(letter.reason.contains("on purpose") && letter.is_json, "{letter:?}");
}

#[tokio::test]
async fn culprits_amid_hundreds_of_commands_are_put_aside_alone() {
    take_out(Some(Rule::PlanningHolds));
    put_aside(POISON, &[1, 300, 301, 513, 700], 700).await;
}

#[tokio::test]
async fn a_command_that_the_store_refuses_is_found_and_put_aside() {
    let letters = put_aside(TOO_LARGE, &[150, 299], 300).await;
    assert!(letters[0].letter.reason.contains("value has 100001 bytes"), "{letters:?}");
}

#[tokio::test]
async fn a_plan_that_breaks_the_order_is_not_committed_and_its_culprit_is_put_aside() {
    take_out(Some(Rule::HeadsFollow));
    let letters = put_aside(MISPLACED, &[150, 299], 300).await;
    assert!(letters[0].letter.reason.contains("is not its last entry"), "{letters:?}");
}

#[tokio::test]
async fn what_a_panic_left_half_changed_is_dropped_and_what_was_underway_is_answered() {
    take_out(Some(Rule::PlanningHolds));
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    let create = Body::Create(Create {
        title: "Team".into(),
        members: vec![user_id("bob")],
        history: weft_proto::History::All,
    });
    assert_eq!(world.send("alice", "team", Some(id(1)), &create).await["seq"], 1);
    world.gate(false);
    let before = *world.engine.commits.borrow();
    let underway = world.publish("alice", "team", Some(id(2)), &text("underway"));
    grown(&world.engine.commits, before).await;
    let before = *world.engine.snapshots.borrow();
    let poison = world.publish("alice", "team", Some(id(3)), &text(POISON));
    let role = Body::ChangeRole(ChangeRole { user: user_id("bob"), role: Role::Admin });
    let after = world.publish("alice", "team", Some(id(4)), &role);
    grown(&world.engine.snapshots, before).await;
    world.gate(true);
    assert_eq!(world.bus.answer_to(&underway).await["seq"], 2);
    assert_eq!(world.bus.answer_to(&poison).await["error"]["code"], "internal");
    assert_eq!(world.bus.answer_to(&after).await["seq"], 3);
    // Each entry has its event, and knows the one before it.
    let (_, second) = world.bus.event("team", 2).await;
    let (_, third) = world.bus.event("team", 3).await;
    assert_eq!(third.position_before, Some(second.position));
    owner.leave().await.expect("leave");
    let ordinals: Vec<u64> = world.entries("team").await.iter().map(|e| e.ordinal).collect();
    assert_eq!(ordinals, [0, 1, 1], "the poison is not counted");
    let row = read_row(&world.store, 0).await.expect("row");
    assert_eq!((row.stream_seq, row.last_commit_no(), row.published_up_to), (4, 3, 3));
}

#[tokio::test]
async fn a_deletion_takes_what_is_kept_of_the_message_and_of_its_edits() {
    let world = World::new(&["alice", "bob"]).await;
    let send = |from: &'static str, number, body: Body| {
        let world = &world;
        async move { world.send(from, "alice~bob", Some(id(number)), &body).await }
    };
    let edit =
        |target, text: &str| Body::Edit(Edit { target, text: text.into(), ranges: Vec::new() });
    let kept = async || {
        let letters = world.dead_letters().await.into_iter();
        let name = |kept: Kept| (kept.letter.sender, kept.letter.client_id.expect("an id"));
        letters.map(name).collect::<Vec<_>>()
    };
    let named = |from: &str, number| (from.to_owned(), id(number).to_string());
    let owner = world.own("n1").await;
    assert_eq!(send("alice", 1, text("there")).await["seq"], 1);
    take_out(Some(Rule::PlanningHolds));
    for (from, number) in [("alice", 2), ("bob", 2), ("alice", 3), ("alice", 4)] {
        assert_eq!(send(from, number, text(POISON)).await["error"]["code"], "internal");
    }
    for number in [5, 6] {
        let refused = send("alice", number, edit(1, POISON)).await;
        assert_eq!(refused["error"]["code"], "internal");
    }
    take_out(None);
    // What was refused is taken when it is sent again.
    assert_eq!(send("alice", 2, text(POISON)).await["seq"], 2);
    assert_eq!(send("alice", 3, text(POISON)).await["seq"], 3);
    assert_eq!(send("alice", 5, edit(1, POISON)).await["seq"], 4);
    assert_eq!(kept().await.len(), 6, "who is taken is no reason to forget");
    assert_eq!(send("alice", 7, Body::Delete(Delete::of(2))).await["seq"], 5);
    assert_eq!(
        kept().await,
        [("bob", 2), ("alice", 3), ("alice", 4), ("alice", 5), ("alice", 6)]
            .map(|(from, number)| named(from, number)),
        "what the owner wrote itself"
    );
    owner.leave().await.expect("leave");
    let owner = world.own("n2").await;
    assert_eq!(send("alice", 8, Body::Delete(Delete::of(1))).await["seq"], 6);
    assert_eq!(send("alice", 9, Body::Delete(Delete::of(3))).await["seq"], 7);
    owner.leave().await.expect("leave");
    let left = [("bob", 2), ("alice", 4), ("alice", 6)];
    assert_eq!(kept().await, left.map(|(from, number)| named(from, number)), "what was there");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_back_off() {
    take_out(Some(Rule::PlanningHolds));
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    let started = tokio::time::Instant::now();
    for number in 0..10 {
        let answer = world.send("alice", "alice~bob", Some(id(number)), &text(POISON)).await;
        assert_eq!(answer["error"]["code"], "internal");
    }
    assert!(started.elapsed() < Duration::from_millis(100), "{:?}", started.elapsed());
    assert_eq!(world.dead_letters().await.len(), 10);
    owner.leave().await.expect("leave");
}
