//! Who makes an account in which mode, and how often by one invitation.

use super::super::testing::{World, code};
use super::*;

async fn set(world: &World, mode: SignUpMode) {
    let request = svc::SetSignUp { mode: mode.into(), ..svc::SetSignUp::default() };
    world.context.set_sign_up(Authority::Operator, request).await.expect("set");
}

async fn invite(world: &World, uses: u32, expires_ms: u64) -> svc::Invitation {
    let request = svc::MakeInvitation { uses, expires_ms, ..svc::MakeInvitation::default() };
    world.context.make_invitation(Authority::Operator, request).await.expect("made")
}

async fn signup(world: &World, user: &str, invitation: &str) -> Result<svc::Profile, Failure> {
    let request = svc::Signup {
        user: user.into(),
        password: "hunter22".into(),
        invitation: invitation.into(),
        ..svc::Signup::default()
    };
    world.context.signup(request).await
}

async fn listed(world: &World) -> Vec<(String, u32)> {
    let request = svc::ListInvitations::default();
    let links = world.context.invitations(Authority::Operator, request).await.expect("listed");
    links.links.into_iter().map(|it| (it.id, it.used)).collect()
}

#[tokio::test]
async fn who_may_make_an_account_is_what_the_mode_says() {
    let world = World::new().await;
    signup(&world, "alice", "").await.expect("open from the beginning");
    signup(&world, "bob", "what nobody looks at").await.expect("open");
    set(&world, SignUpMode::Closed).await;
    let made = invite(&world, 1, 0).await;
    for invitation in ["", &made.invitation] {
        assert_eq!(code(signup(&world, "carol", invitation).await), ErrorCode::SignUpClosed);
        // Nobody learns who is there.
        assert_eq!(code(signup(&world, "alice", invitation).await), ErrorCode::SignUpClosed);
    }
    set(&world, SignUpMode::Invitation).await;
    assert_eq!(code(signup(&world, "carol", "").await), ErrorCode::InvitationNeeded);
    for wrong in ["x", "0123456789abcdef0123456789abcdef", &made.id] {
        assert_eq!(code(signup(&world, "carol", wrong).await), ErrorCode::NoSuchLink, "{wrong}");
    }
    let taken = signup(&world, "alice", &made.invitation).await;
    assert_eq!(code(taken), ErrorCode::UserExists, "it is not used up by that");
    signup(&world, "carol", &made.invitation).await.expect("invited");
    assert_eq!(code(signup(&world, "dave", &made.invitation).await), ErrorCode::LinkUsedUp);
    let again = svc::SetSignUp { mode: 1, ..svc::SetSignUp::default() };
    let again = world.context.set_sign_up(Authority::Operator, again).await;
    assert_eq!(code(again), ErrorCode::Unchanged);
    let unknown = svc::SetSignUp { mode: 9, ..svc::SetSignUp::default() };
    let unknown = world.context.set_sign_up(Authority::Operator, unknown).await;
    assert_eq!(code(unknown), ErrorCode::BadRequest);
}

#[tokio::test]
async fn of_those_who_come_at_the_last_use_one_gets_in() {
    let world = World::new().await;
    set(&world, SignUpMode::Invitation).await;
    let made = invite(&world, 2, 0).await;
    let names = ["a", "b", "c"];
    let [a, b, c] = names.map(|name| signup(&world, name, &made.invitation));
    let (a, b, c) = tokio::join!(a, b, c);
    let refused: Vec<_> = [a, b, c].into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    let failure = refused.into_iter().next().expect("one");
    assert_eq!(failure.answer("test").code, ErrorCode::LinkUsedUp);
    assert_eq!(listed(&world).await, [], "used up");
}

#[tokio::test]
async fn an_invitation_ends_by_its_time_and_when_it_is_taken_back() {
    let world = World::new().await;
    set(&world, SignUpMode::Invitation).await;
    let now_ms = world.context.clock.now_ms();
    let (short, other) = (invite(&world, 5, now_ms + 1_000).await, invite(&world, 5, 0).await);
    signup(&world, "alice", &short.invitation).await.expect("in time");
    let all = listed(&world).await;
    assert!(
        all.contains(&(short.id.clone(), 1)) && all.contains(&(other.id.clone(), 0)),
        "{all:?}"
    );
    world.clock.advance_ms(1_000);
    assert_eq!(code(signup(&world, "bob", &short.invitation).await), ErrorCode::LinkExpired);
    assert_eq!(listed(&world).await, [(other.id.clone(), 0)]);
    let take_back = |id: &str| svc::RemoveInvitation { id: id.into(), ..Default::default() };
    let removed = world.context.remove_invitation(Authority::Operator, take_back(&other.id)).await;
    removed.expect("removed");
    assert_eq!(code(signup(&world, "bob", &other.invitation).await), ErrorCode::NoSuchLink);
    let again = world.context.remove_invitation(Authority::Operator, take_back(&other.id)).await;
    assert_eq!(code(again), ErrorCode::NoSuchLink);
    let past = svc::MakeInvitation { uses: 1, expires_ms: 1, ..svc::MakeInvitation::default() };
    let past = world.context.make_invitation(Authority::Operator, past).await;
    assert_eq!(code(past), ErrorCode::BadRequest);
    let endless = svc::MakeInvitation::default();
    let endless = world.context.make_invitation(Authority::Operator, endless).await;
    assert_eq!(code(endless), ErrorCode::BadRequest);
}

#[tokio::test]
async fn there_are_so_many_invitations_and_ended_ones_make_room() {
    let world = World::new().await;
    let soon = world.context.clock.now_ms() + 1_000;
    for _ in 0..INVITATIONS_MAX {
        invite(&world, 1, soon).await;
    }
    let one_more = svc::MakeInvitation { uses: 1, ..svc::MakeInvitation::default() };
    let refused = world.context.make_invitation(Authority::Operator, one_more.clone()).await;
    assert_eq!(code(refused), ErrorCode::LimitReached);
    world.clock.advance_ms(1_000);
    let made = world.context.make_invitation(Authority::Operator, one_more).await;
    assert_eq!(listed(&world).await, [(made.expect("room was made").id, 0)]);
}

#[tokio::test]
async fn a_sign_up_of_a_moment_before_does_not_come_after_the_closing() {
    let world = World::new().await;
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let admitted = world.context.admit(&*snapshot, "").await.expect("open");
    set(&world, SignUpMode::Closed).await;
    let mut batch = Batch::new([1; 16]);
    let alice = account::key(&UserId::new("alice").expect("id"));
    batch.set(alice, Account::default().encode());
    admitted.guard(&mut batch);
    assert!(!world.context.commit(batch).await.expect("an answer"), "it was committed");
}
