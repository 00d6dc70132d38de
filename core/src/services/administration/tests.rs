//! Who administers, what comes of it, and that it is told in the same commit.

use weft_storage::tables::layout::FEATURE_LEVEL;

use super::super::logins::Refreshed;
use super::super::testing::{World, code, user};
use super::*;

async fn signed_up(world: &World, names: &[&str]) {
    for name in names {
        let (user, password) = ((*name).to_owned(), "hunter22".to_owned());
        let signup = svc::Signup { user, password, ..svc::Signup::default() };
        world.context.signup(signup).await.expect("signup");
    }
}

fn asked(token: &str, action: AccountAction, user: &str) -> svc::Administer {
    svc::Administer {
        token: token.to_owned(),
        action: action.into(),
        user: user.to_owned(),
        reason: "spam".into(),
        ..svc::Administer::default()
    }
}

async fn operate(world: &World, action: AccountAction, user: &str) -> Administered {
    let done = world.context.administer(Authority::Operator, asked("", action, user)).await;
    done.expect("an operator may")
}

async fn by_token(
    world: &World,
    by: &str,
    action: AccountAction,
    user: &str,
) -> Result<Administered, Failure> {
    let request = asked(&world.token(by), action, user);
    world.context.administer(Authority::Token, request).await
}

async fn login(world: &World, password: &str, new: &str) -> Result<svc::Tokens, Failure> {
    let login = svc::Login {
        user: "alice".into(),
        password: password.into(),
        device: "phone".into(),
        new_password: new.into(),
        ..svc::Login::default()
    };
    world.context.login(login).await
}

/// What the log says: by whom, what, of whom. Newest first.
async fn log(world: &World) -> Vec<(String, String, String)> {
    let page = world.context.admin_log(Authority::Operator, svc::ReadAdminLog::default()).await;
    let rows = page.expect("the log").rows.into_iter();
    rows.map(|row| (row.by, row.action, row.user)).collect()
}

#[tokio::test]
async fn only_an_administrator_administers_and_only_while_they_are_one() {
    let world = World::new().await;
    signed_up(&world, &["root", "alice"]).await;
    let refused = by_token(&world, "root", AccountAction::Suspend, "alice").await;
    assert_eq!(code(refused), ErrorCode::Forbidden);
    let token = world.token("root");
    let list = svc::ListAccounts { token: token.clone(), ..svc::ListAccounts::default() };
    let listed = world.context.list_accounts(Authority::Token, list.clone()).await;
    assert_eq!(code(listed), ErrorCode::Forbidden);
    let read = svc::ReadAdminLog { token, ..svc::ReadAdminLog::default() };
    let told = world.context.admin_log(Authority::Token, read).await;
    assert_eq!(code(told), ErrorCode::Forbidden);

    operate(&world, AccountAction::MakeAdministrator, "root").await;
    by_token(&world, "root", AccountAction::Suspend, "alice").await.expect("one now");
    let listed = world.context.list_accounts(Authority::Token, list).await.expect("listed");
    let states = listed.accounts.iter().map(|it| (&*it.user, it.is_admin, it.suspended_ms > 0));
    assert_eq!(states.collect::<Vec<_>>(), [("alice", false, true), ("root", true, false)]);
    // Administrators make no administrators, and touch none.
    for action in [AccountAction::MakeAdministrator, AccountAction::RemoveAdministrator] {
        assert_eq!(
            code(by_token(&world, "root", action, "alice").await),
            ErrorCode::Forbidden,
            "{action:?}"
        );
    }
    let own = by_token(&world, "root", AccountAction::Suspend, "root").await;
    assert_eq!(code(own), ErrorCode::Forbidden);
    operate(&world, AccountAction::RemoveAdministrator, "root").await;
    let refused = by_token(&world, "root", AccountAction::Unsuspend, "alice").await;
    assert_eq!(code(refused), ErrorCode::Forbidden);
    let row = |by: &str, action: &str, user: &str| (by.into(), action.into(), user.into());
    let wanted: Vec<(String, String, String)> = vec![
        row("", "remove_administrator", "root"),
        row("root", "suspend", "alice"),
        row("", "make_administrator", "root"),
    ];
    let mut told = log(&world).await;
    told.sort();
    let mut sorted = wanted;
    sorted.sort();
    assert_eq!(told, sorted);
}

#[tokio::test]
async fn an_administrator_who_is_removed_meanwhile_does_nothing_more() {
    let world = World::new().await;
    signed_up(&world, &["root"]).await;
    operate(&world, AccountAction::MakeAdministrator, "root").await;
    let token = world.token("root");
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let by = world.context.by(&*snapshot, &Authority::Token, &token).await;
    let by = by.expect("one now");
    operate(&world, AccountAction::RemoveAdministrator, "root").await;
    let mut batch = Batch::new(rand::random());
    by.guard(&mut batch);
    admin_log::put(&mut batch, (1, 1), &AdminLog::default());
    assert!(!world.context.commit(batch).await.expect("an answer"), "it was committed");
}

#[tokio::test]
async fn a_suspended_user_keeps_no_login_and_gets_none() {
    let world = World::new().await;
    signed_up(&world, &["alice"]).await;
    let tokens = login(&world, "hunter22", "").await.expect("login");
    let done = operate(&world, AccountAction::Suspend, "alice").await;
    assert_eq!((done.ended, done.suspended), (vec![user("alice")], true));
    let request = svc::CheckLogins { tokens: vec![tokens.token.clone(), "x".into()] };
    let checked = world.context.check_logins(request).await.expect("check");
    assert_eq!((checked.lasts, checked.suspended), (vec![false, false], vec![true, false]));
    let profile = svc::GetProfile { token: tokens.token.clone(), ..svc::GetProfile::default() };
    assert_eq!(code(world.context.profile_get(profile.clone()).await), ErrorCode::Suspended);
    let refresh_token = tokens.refresh_token;
    let refresh = svc::Refresh { refresh_token, ..svc::Refresh::default() };
    assert_eq!(code(world.context.refresh(refresh.clone()).await), ErrorCode::Suspended);
    assert_eq!(code(login(&world, "hunter22", "").await), ErrorCode::Suspended);
    assert_eq!(code(login(&world, "hunter23", "").await), ErrorCode::BadCredentials);

    operate(&world, AccountAction::Unsuspend, "alice").await;
    assert_eq!(code(world.context.refresh(refresh).await), ErrorCode::Unauthorized);
    assert_eq!(code(world.context.profile_get(profile).await), ErrorCode::Unauthorized);
    let tokens = login(&world, "hunter22", "").await.expect("login");
    let refresh = svc::Refresh { refresh_token: tokens.refresh_token, ..svc::Refresh::default() };
    assert!(matches!(world.context.refresh(refresh).await, Ok(Refreshed::Tokens(_))));
}

#[tokio::test]
async fn a_password_for_one_login_is_for_one_and_not_for_ever() {
    let world = World::new().await;
    let made = operate(&world, AccountAction::Make, "alice").await.answer.password;
    assert_eq!(code(login(&world, &made, "").await), ErrorCode::NewPasswordNeeded);
    assert_eq!(code(login(&world, &made, &made).await), ErrorCode::BadRequest);
    assert_eq!(code(login(&world, &made, "short").await), ErrorCode::BadRequest);
    login(&world, &made, "hunter22").await.expect("login");
    assert_eq!(code(login(&world, &made, "hunter33").await), ErrorCode::BadCredentials);
    assert_eq!(code(login(&world, "hunter22", "hunter33").await), ErrorCode::BadRequest);
    login(&world, "hunter22", "").await.expect("login");

    let done = operate(&world, AccountAction::Reset, "alice").await;
    assert_eq!((done.ended, done.suspended), (vec![user("alice")], false));
    assert_eq!(code(login(&world, "hunter22", "").await), ErrorCode::BadCredentials);
    world.clock.advance_ms(ONE_TIME_LIFE_MS);
    let late = login(&world, &done.answer.password, "hunter44").await;
    assert_eq!(code(late), ErrorCode::BadCredentials);
}

#[tokio::test]
async fn a_store_of_before_has_no_administrators() {
    let world = World::new().await;
    signed_up(&world, &["alice"]).await;
    let row = world.store.snapshot().await.expect("snapshot").get(layout::key()).await;
    let row = Layout::decode(&row.expect("read").expect("a row")).expect("layout");
    let mut batch = Batch::new([1; 16]);
    batch.set(layout::key(), Layout { feature_level: FEATURE_LEVEL - 1, ..row }.encode());
    world.store.commit(batch).await.expect("commit");
    let request = asked("", AccountAction::MakeAdministrator, "alice");
    let refused = world.context.administer(Authority::Operator, request).await;
    assert_eq!(code(refused), ErrorCode::UnknownType);
}

#[tokio::test]
async fn the_log_is_read_in_pages_newest_first() {
    let world = World::new().await;
    for number in 0..5 {
        world.clock.advance_ms(1);
        operate(&world, AccountAction::Make, &format!("user{number}")).await;
    }
    let (mut users, mut before) = (Vec::new(), String::new());
    loop {
        let request = svc::ReadAdminLog { before, limit: 2, ..svc::ReadAdminLog::default() };
        let page = world.context.admin_log(Authority::Operator, request).await.expect("a page");
        before = page.rows.last().map(|row| row.id.clone()).unwrap_or_default();
        users.extend(page.rows.into_iter().map(|row| row.user));
        if !page.more {
            break;
        }
    }
    assert_eq!(users, ["user4", "user3", "user2", "user1", "user0"]);
    for bad in ["x", "00000000000000000000000000000z00", "ü0000000000000000000000000000000"] {
        let request = svc::ReadAdminLog { before: bad.into(), ..svc::ReadAdminLog::default() };
        let refused = world.context.admin_log(Authority::Operator, request).await;
        assert_eq!(code(refused), ErrorCode::BadRequest, "{bad}");
    }
}
