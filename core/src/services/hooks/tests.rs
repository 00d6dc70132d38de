use std::collections::BTreeSet;

use weft_proto::{Body, History, Role, kind};
use weft_runtime::Clock as _;

use super::super::testing::{World, code, create, remove, room, user};
use super::*;

/// A group of alice, who owns it, and bob.
async fn with_group() -> World {
    let mut world = World::new().await;
    world.one("team", "alice", create(&["bob"], History::Joined)).await;
    world
}

async fn make(world: &World, who: &str) -> Result<svc::MadeHook, Failure> {
    let (token, room, name) = (world.token(who), "team".to_owned(), "Alerts".to_owned());
    world.context.hook_make(svc::MakeHook { token, room, name }).await
}

async fn open(world: &World, secret: &str) -> Result<svc::OpenedHook, Failure> {
    let request = svc::OpenHook { secret_hash: hash_of(secret), ..svc::OpenHook::default() };
    world.context.hook_open(request).await
}

#[tokio::test]
async fn a_hook_is_made_renewed_and_removed_by_those_who_may() {
    let world = with_group().await;
    assert_eq!(code(make(&world, "bob").await), ErrorCode::Forbidden);
    assert_eq!(code(make(&world, "carol").await), ErrorCode::NoSuchRoom);
    let made = make(&world, "alice").await.expect("made");
    let (hook, secret) = (made.hook.expect("a hook"), made.secret);
    assert!(hook.hook.starts_with("hook-") && secret.len() == 48, "{}", hook.hook);
    let opened = open(&world, &secret).await.expect("it is there");
    assert_eq!((opened.room.as_str(), &opened.user), ("team", &hook.hook));
    let profile = svc::GetProfile { token: world.token("bob"), user: hook.hook.clone() };
    let profile = world.context.profile_get(profile).await.expect("a profile");
    assert!(profile.is_bot && profile.display_name == "Alerts");

    let list = async |who: &str| {
        let (token, room) = (world.token(who), "team".to_owned());
        world.context.hooks(svc::ListHooks { token, room }).await
    };
    assert_eq!(list("alice").await.expect("list").hooks, std::slice::from_ref(&hook));
    assert_eq!(code(list("bob").await), ErrorCode::Forbidden);

    let of = |who: &str| (world.token(who), "team".to_owned(), hook.hook.clone());
    let (token, room, hook) = of("alice");
    let renew = svc::RenewHook { token, room, hook };
    let renewed = world.context.hook_renew(renew).await.expect("renewed").secret;
    assert_eq!(code(open(&world, &secret).await), ErrorCode::NotFound);
    assert_eq!(open(&world, &renewed).await.expect("the new one"), opened);
    let (token, room, hook) = of("bob");
    let remove = svc::RemoveHook { token, room, hook };
    assert_eq!(code(world.context.hook_remove(remove.clone()).await), ErrorCode::Forbidden);
    let remove = svc::RemoveHook { token: world.token("alice"), ..remove };
    world.context.hook_remove(remove.clone()).await.expect("removed");
    assert_eq!(code(open(&world, &renewed).await), ErrorCode::NotFound);
    assert_eq!(code(world.context.hook_remove(remove).await), ErrorCode::NotFound);
    assert_eq!(list("alice").await.expect("list").hooks, []);
}

#[tokio::test]
async fn a_group_has_so_many_hooks_and_no_more() {
    let world = with_group().await;
    let mut secrets = BTreeSet::new();
    for _ in 0..HOOKS_PER_ROOM_MAX {
        secrets.insert(make(&world, "alice").await.expect("made").secret);
    }
    assert_eq!(secrets.len(), HOOKS_PER_ROOM_MAX);
    assert_eq!(code(make(&world, "alice").await), ErrorCode::LimitReached);
}

#[tokio::test]
async fn a_hook_stays_when_its_maker_leaves() {
    let mut world = with_group().await;
    let secret = make(&world, "alice").await.expect("made").secret;
    let admin = kind::Add { user: user("dave"), role: Role::Admin };
    world.one("team", "alice", Body::Add(admin)).await;
    world.one("team", "dave", remove("alice")).await;
    assert_eq!(open(&world, &secret).await.expect("it stays").room, "team");
    assert!(make(&world, "dave").await.is_ok());
    assert_eq!(code(make(&world, "alice").await), ErrorCode::NotMember);
}

#[tokio::test]
async fn names_are_checked_and_direct_rooms_have_no_hooks() {
    let world = with_group().await;
    let of = async |room: &str, name: &str| {
        let (token, room, name) = (world.token("alice"), room.to_owned(), name.to_owned());
        code(world.context.hook_make(svc::MakeHook { token, room, name }).await)
    };
    assert_eq!(of("team", " ").await, ErrorCode::BadRequest);
    assert_eq!(of("team", &"x".repeat(TITLE_CHARS_MAX + 1)).await, ErrorCode::TooLong);
    assert_eq!(of("alice~bob", "x").await, ErrorCode::BadRequest);
    assert_eq!(of("No", "x").await, ErrorCode::BadId);
    let short = svc::OpenHook { secret_hash: vec![1; 31], ..svc::OpenHook::default() };
    assert_eq!(code(world.context.hook_open(short).await), ErrorCode::BadRequest);
}

#[tokio::test]
async fn what_its_sender_names_has_one_client_id_for_half_a_day() {
    let world = with_group().await;
    let made = make(&world, "alice").await.expect("made");
    let id = async |name: u8| {
        let secret_hash = hash_of(&made.secret);
        let request = svc::OpenHook { secret_hash, idempotency: vec![name; HASH_BYTES] };
        let id = world.context.hook_open(request).await.expect("opened").client_id;
        ClientId::from_bytes(id.try_into().expect("16 bytes"))
    };
    let first = id(1).await;
    assert!(id(2).await != first && id(1).await == first);
    // It was taken: the next part of the day knows.
    let (room, user) = (room("team"), UserId::new(&made.hook.expect("a hook").hook).expect("id"));
    let partition = partition_of(&room, u16::try_from(world.context.partitions).expect("few"));
    let mut batch = Batch::new(rand::random());
    let taken = resend::Resend { seq: 2, ..resend::Resend::default() };
    batch.set(resend::key(partition, &room, &user, &first), taken.encode());
    world.store.commit(batch).await.expect("commit");
    world.clock.advance_ms(POST_AGAIN_MS);
    assert_eq!(id(1).await, first);
    assert!(id(2).await != first);
    assert!(world.clock.now_ms() - first.time_ms() < 24 * 3_600_000);
    world.clock.advance_ms(POST_AGAIN_MS);
    assert!(id(1).await != first);
}
