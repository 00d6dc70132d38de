use weft_proto::svc::AccountAction;
use weft_proto::{ErrorCode, History, JoinRule, svc};
use weft_runtime::Clock as _;
use weft_storage::Batch;
use weft_storage::tables::group_invitation::GroupInvitation;
use weft_storage::tables::relation::Relation;

use super::super::administration::Authority;
use super::super::files::tests::{HOUR_MS, begin, deleted, due, finished, look, refer};
use super::super::testing::{World, code, create, remove, room, user};
use super::*;

const DAY_MS: u64 = 24 * HOUR_MS;

async fn sign_up(world: &World, name: &str) {
    let request = svc::Signup {
        user: name.into(),
        password: "hunter22".into(),
        display_name: name.into(),
        ..svc::Signup::default()
    };
    world.context.signup(request).await.expect("signup");
}

async fn image(world: &World, who: &str) -> String {
    let file = begin(world, who, 10).await.file;
    let mut ready = finished(&file);
    ready.image.as_mut().expect("an image").has_thumbnails = true;
    world.context.file_ready(ready).await.expect("ready");
    file
}

async fn set(world: &World, who: &str, avatar: &str) -> Result<svc::Profile, Failure> {
    let (token, avatar) = (world.token(who), Some(avatar.to_owned()));
    let request = svc::SetProfile { token, avatar, ..svc::SetProfile::default() };
    Ok(world.context.profile_set(request).await?.profile)
}

async fn of_user(world: &World, who: &str, file: &str, user: &str) -> Result<svc::File, Failure> {
    let (token, file, user) = (world.token(who), file.to_owned(), user.to_owned());
    let request = svc::LookAtFile { token, file, user, ..svc::LookAtFile::default() };
    world.context.file_look(request).await
}

/// As the owner of a group's partition does it.
async fn change(world: &World, name: &str, change: impl FnOnce(&mut Head)) {
    let room = room(name);
    let row = world.store.snapshot().await.expect("snapshot").get(head::key(&room)).await;
    let (position, mut head) = head::decode(&row.expect("read").expect("a head")).expect("read");
    let before = head.avatar.clone();
    change(&mut head);
    let mut batch = Batch::new(rand::random());
    head::put_again(&mut batch, &room, position, &head);
    files::write_avatar(&mut batch, &room, &before, &head);
    world.store.commit(batch).await.expect("commit");
}

#[tokio::test]
async fn an_image_of_ones_own_is_an_avatar_and_everybody_sees_it() {
    let world = World::new().await;
    sign_up(&world, "alice").await;
    let plain = begin(&world, "alice", 10).await.file;
    assert_eq!(code(set(&world, "alice", &plain).await), ErrorCode::NotFound, "not uploaded");
    world.context.file_ready(finished(&plain)).await.expect("ready");
    assert_eq!(code(set(&world, "alice", &plain).await), ErrorCode::BadRequest, "no thumbnails");
    let (cat, bobs) = (image(&world, "alice").await, image(&world, "bob").await);
    assert_eq!(code(set(&world, "alice", &bobs).await), ErrorCode::NotFound);
    for text in ["cat", &cat.to_uppercase(), &"x".repeat(2_000)] {
        assert_eq!(code(set(&world, "alice", text).await), ErrorCode::BadId, "{text}");
    }
    assert_eq!(code(of_user(&world, "bob", &cat, "alice").await), ErrorCode::NotFound);
    let profile = set(&world, "alice", &cat).await.expect("set");
    assert_eq!((&profile.avatar, profile.version), (&cat, 1));
    assert_eq!(set(&world, "alice", &cat).await.expect("again"), profile);
    let seen = of_user(&world, "bob", &cat, "alice").await.expect("everybody's");
    assert_eq!((seen.until_ms, &seen.file), (0, &cat));
    for (file, whose) in [(&cat, "bob"), (&cat, "nobody"), (&cat, "a.b"), (&bobs, "alice")] {
        let refused = of_user(&world, "carol", file, whose).await;
        assert_eq!(code(refused), ErrorCode::NotFound, "{whose}");
    }
    // It is no file of the notebook to anybody.
    let place = ("alice~alice", 0);
    for who in ["alice", "bob"] {
        assert_eq!(code(look(&world, who, &cat, place).await), ErrorCode::NotFound);
    }
    // While it is the avatar it stays, whatever becomes of messages that have it.
    let discard = svc::DiscardFile { token: world.token("alice"), file: cat.clone() };
    assert_eq!(code(world.context.file_discard(discard).await), ErrorCode::Conflict);
    let id = FileId::new(&cat).expect("id");
    refer(&world, id, "alice~bob", 1, world.clock.now_ms() + DAY_MS).await;
    for _ in 0..40 {
        world.clock.advance_ms(DAY_MS);
        for other in due(&world).await {
            assert_ne!(other, cat);
            deleted(&world, &other).await.expect("deleted");
        }
    }
    assert!(of_user(&world, "bob", &cat, "alice").await.is_ok());
}

#[tokio::test]
async fn a_replaced_avatar_is_deleted_and_what_a_message_has_stays() {
    let world = World::new().await;
    sign_up(&world, "alice").await;
    let (one, two) = (image(&world, "alice").await, image(&world, "alice").await);
    let sent = FileId::new(&two).expect("id");
    refer(&world, sent, "alice~bob", 1, world.clock.now_ms() + 30 * DAY_MS).await;
    for avatar in [&one, &two] {
        set(&world, "alice", avatar).await.expect("set");
    }
    assert_eq!(code(of_user(&world, "bob", &one, "alice").await), ErrorCode::NotFound);
    let removed = set(&world, "alice", "").await.expect("set");
    assert_eq!((removed.avatar.as_str(), removed.version), ("", 3));
    // An hour after it is no avatar any more it is marked, and after another one deleted.
    world.clock.advance_ms(HOUR_MS);
    assert_eq!(due(&world).await, Vec::<String>::new());
    assert_eq!(code(set(&world, "alice", &one).await), ErrorCode::NotFound);
    world.clock.advance_ms(HOUR_MS);
    assert_eq!(due(&world).await, std::slice::from_ref(&one));
    deleted(&world, &one).await.expect("deleted");
    set(&world, "alice", &two).await.expect("a message has it, and so it is there");
}

#[tokio::test]
async fn a_deleted_account_has_no_avatar() {
    let world = World::new().await;
    sign_up(&world, "alice").await;
    let cat = image(&world, "alice").await;
    set(&world, "alice", &cat).await.expect("set");
    world.clock.advance_ms(2 * DAY_MS);
    assert_eq!(due(&world).await, Vec::<String>::new());
    let request = svc::Administer {
        action: AccountAction::Delete.into(),
        user: "alice".into(),
        reason: "spam".into(),
        ..svc::Administer::default()
    };
    world.context.administer(Authority::Operator, request).await.expect("deleted");
    assert_eq!(code(of_user(&world, "bob", &cat, "alice").await), ErrorCode::NotFound);
    for expected in [vec![], vec![cat]] {
        world.clock.advance_ms(HOUR_MS);
        assert_eq!(due(&world).await, expected);
    }
}

#[tokio::test]
async fn who_sees_a_group_sees_its_avatar() {
    let mut world = World::new().await;
    world.one("team", "alice", create(&["bob", "carol"], History::All)).await;
    world.one("team", "alice", remove("carol")).await;
    let (cat, other) = (image(&world, "alice").await, image(&world, "alice").await);
    let see = async |who: &str| look(&world, who, &cat, ("team", 0)).await;
    assert_eq!(code(see("alice").await), ErrorCode::NotFound, "it is none yet");
    change(&world, "team", |head| head.avatar.clone_from(&cat)).await;
    for member in ["alice", "bob"] {
        assert_eq!(see(member).await.expect("a member's").until_ms, 0);
    }
    for (who, file, name) in [
        ("carol", &cat, "team"),
        ("dan", &cat, "team"),
        ("bob", &other, "team"),
        ("bob", &cat, "other"),
        ("bob", &cat, "alice~bob"),
    ] {
        let refused = look(&world, who, file, (name, 0)).await;
        assert_eq!(code(refused), ErrorCode::NotFound, "{who} {name}");
    }
    // Who is invited, while they are.
    let key = (user("dan"), room("team"));
    let row = GroupInvitation { by: "bob".into(), invited_ms: world.clock.now_ms() };
    let mut batch = Batch::new(rand::random());
    group_invitation::put(&mut batch, 7, &key, &row);
    world.store.commit(batch).await.expect("commit");
    assert!(see("dan").await.is_ok());
    world.relate("dan", "bob", Relation { blocked: true, ..Relation::default() }).await;
    assert_eq!(code(see("dan").await), ErrorCode::NotFound);
    world.relate("dan", "bob", Relation::default()).await;
    assert!(see("dan").await.is_ok());
    world.clock.advance_ms(30 * DAY_MS);
    assert_eq!(code(see("dan").await), ErrorCode::NotFound);
    // Everybody, while everybody finds it.
    change(&world, "team", |head| head.join = JoinRule::Ask.into()).await;
    assert!(see("dan").await.is_ok() && see("carol").await.is_ok());
    change(&world, "team", |head| head.closed = true).await;
    assert_eq!(code(see("dan").await), ErrorCode::NotFound);
    assert!(see("bob").await.is_ok(), "members of a closed group see it as before");
}
