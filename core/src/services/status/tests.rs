//! Choices in their order, times that only grow, and who is asked for.

use std::sync::Arc;

use async_trait::async_trait;
use weft_runtime::Clock;
use weft_storage::memory::Memory;
use weft_storage::{Engine, Outcome, Snapshot, Store};

use super::super::testing::{World, code, user};
use super::*;

const DAY_MS: u64 = 24 * 3_600_000;

fn choose(world: &World, who: &str, choice: Choice, text: &str) -> svc::ChooseStatus {
    svc::ChooseStatus {
        token: world.token(who),
        choice: choice.into(),
        text: text.into(),
        text_until_ms: 9,
    }
}

async fn own(world: &World, who: &str) -> PresenceSettings {
    let request = svc::GetStatus { token: world.token(who) };
    world.context.status_get(request).await.expect("own")
}

async fn load(world: &World, users: &[&str]) -> Vec<svc::KeptStatus> {
    let users = users.iter().map(ToString::to_string).collect();
    world.context.status_load(svc::LoadStatuses { users }).await.expect("load").users
}

async fn note(world: &World, users: &[(&str, u64)]) {
    let active = |(user, last_active_ms): &(&str, u64)| svc::Active {
        user: (*user).to_owned(),
        last_active_ms: *last_active_ms,
    };
    let users = users.iter().map(active).collect();
    world.context.status_active(svc::NoteActive { users }).await.expect("note");
}

#[tokio::test]
async fn a_choice_stands_for_all_devices_until_the_next() {
    let world = World::new().await;
    assert_eq!(own(&world, "alice").await, PresenceSettings::default());
    let request = choose(&world, "alice", Choice::Dnd, "점심");
    let first = world.context.status_choose(request).await.expect("choose");
    assert_eq!((first.choice(), first.text.as_str()), (Choice::Dnd, "점심"));
    assert_eq!((first.text_until_ms, first.at_ms), (9, world.clock.now_ms()));
    assert_eq!(own(&world, "alice").await, first);
    // In the same millisecond, and without a text: so that has no end either.
    let request = choose(&world, "alice", Choice::Invisible, "");
    let second = world.context.status_choose(request).await.expect("choose");
    assert_eq!((second.at_ms, second.text_until_ms), (first.at_ms + 1, 0));
    assert_eq!(own(&world, "alice").await, second);
    assert_eq!(own(&world, "bob").await, PresenceSettings::default());
}

/// As if the user had left in that moment; a later choice of it tells nothing.
#[tokio::test]
async fn whoever_turns_invisible_was_last_seen_then() {
    let world = World::new().await;
    let seen = async || load(&world, &["alice"]).await[0].last_active_ms;
    let choose = async |choice| {
        world.context.status_choose(choose(&world, "alice", choice, "")).await.expect("choose");
    };
    choose(Choice::Dnd).await;
    assert_eq!(seen().await, 0);
    world.clock.advance_ms(5);
    let left_ms = world.clock.now_ms();
    choose(Choice::Invisible).await;
    world.clock.advance_ms(5);
    choose(Choice::Invisible).await;
    assert_eq!(seen().await, left_ms);
}

#[tokio::test]
async fn bad_choices_have_stable_codes() {
    let world = World::new().await;
    let of = |text: &str| choose(&world, "alice", Choice::Away, text);
    let unknown = svc::ChooseStatus { choice: 4, ..of("") };
    let nobody = svc::ChooseStatus { token: "x".into(), ..of("") };
    let longest = "한".repeat(STATUS_TEXT_CHARS_MAX);
    for (request, expected) in [
        (unknown, ErrorCode::BadRequest),
        (nobody, ErrorCode::Unauthorized),
        (of("a\nb"), ErrorCode::BadRequest),
        (of("\u{7f}"), ErrorCode::BadRequest),
        (of(&format!("{longest}x")), ErrorCode::TooLong),
    ] {
        assert_eq!(code(world.context.status_choose(request).await), expected);
    }
    assert_eq!(own(&world, "alice").await, PresenceSettings::default());
    world.context.status_choose(of(&longest)).await.expect("the longest");
}

/// Lets others come between a read and the commit that goes by it.
struct Slow(Memory);

#[async_trait]
impl Engine for Slow {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, weft_storage::Error> {
        self.0.snapshot().await
    }

    async fn commit(&self, batch: Batch) -> Result<Outcome, weft_storage::Error> {
        tokio::task::yield_now().await;
        self.0.commit(batch).await
    }
}

#[tokio::test]
async fn choices_at_the_same_time_are_all_kept_one_after_the_other() {
    let world = World::on(Store::new(Slow(Memory::new()))).await;
    let choice =
        |text: &str| world.context.status_choose(choose(&world, "alice", Choice::Online, text));
    let (a, b, c) = tokio::join!(choice("a"), choice("b"), choice("c"));
    let mut all: Vec<PresenceSettings> =
        [a, b, c].into_iter().map(|chosen| chosen.expect("kept")).collect();
    all.sort_by_key(|chosen| chosen.at_ms);
    let now_ms = world.clock.now_ms();
    let at = all.iter().map(|chosen| chosen.at_ms).collect::<Vec<_>>();
    assert_eq!(at, [now_ms, now_ms + 1, now_ms + 2]);
    assert_eq!(own(&world, "alice").await, all[2]);
}

#[tokio::test]
async fn what_is_kept_is_loaded_in_the_order_of_the_request() {
    let world = World::new().await;
    let request = choose(&world, "alice", Choice::Away, "");
    let chosen = world.context.status_choose(request).await.expect("choose");
    note(&world, &[("bob", 5), ("alice", 7)]).await;
    let loaded = load(&world, &["carol", "bob", "Not.An.Id", "alice", "bob"]).await;
    let kept = |chosen: Option<&PresenceSettings>, last_active_ms| svc::KeptStatus {
        chosen: chosen.cloned(),
        last_active_ms,
    };
    let bob = kept(None, 5);
    let nothing = kept(None, 0);
    assert_eq!(loaded, [nothing.clone(), bob.clone(), nothing, kept(Some(&chosen), 7), bob]);
    let users = vec!["u".to_owned(); PRESENCE_USERS_MAX + 1];
    let refused = world.context.status_load(svc::LoadStatuses { users }).await;
    assert_eq!(code(refused), ErrorCode::BadRequest);
}

#[tokio::test]
async fn the_time_of_the_last_sign_only_grows() {
    let world = World::new().await;
    let now_ms = world.clock.now_ms();
    let seen = async || load(&world, &["alice"]).await[0].last_active_ms;
    note(&world, &[("alice", 0), ("", 4), ("a.b", 4)]).await;
    assert_eq!(seen().await, 0);
    assert!(
        world
            .store
            .snapshot()
            .await
            .expect("snapshot")
            .get(last_active::key(&user("alice")))
            .await
            .expect("get")
            .is_none()
    );
    note(&world, &[("alice", now_ms - 5), ("alice", now_ms - 9)]).await;
    assert_eq!(seen().await, now_ms - 5);
    note(&world, &[("alice", now_ms - 7)]).await;
    assert_eq!(seen().await, now_ms - 5);
    note(&world, &[("alice", u64::MAX)]).await;
    assert_eq!(seen().await, now_ms, "nobody is seen in the far future");
    note(&world, &[("alice", now_ms + DAY_MS)]).await;
    assert_eq!(seen().await, now_ms + DAY_MS, "clocks may differ");
    let users = vec![svc::Active::default(); PRESENCE_USERS_MAX + 1];
    let refused = world.context.status_active(svc::NoteActive { users }).await;
    assert_eq!(code(refused), ErrorCode::BadRequest);
}

#[tokio::test]
async fn the_largest_request_is_one_small_commit() {
    let world = World::new().await;
    let names: Vec<String> =
        (0..PRESENCE_USERS_MAX).map(|n| format!("{n:0>width$}", width = 64)).collect();
    let active = |name: &String| svc::Active { user: name.clone(), last_active_ms: 3 };
    let users = names.iter().map(active).collect();
    world.context.status_active(svc::NoteActive { users }).await.expect("note");
    let loaded = world.context.status_load(svc::LoadStatuses { users: names }).await.expect("load");
    assert!(loaded.users.iter().all(|kept| kept.last_active_ms == 3));
    assert_eq!(loaded.users.len(), PRESENCE_USERS_MAX);
}
