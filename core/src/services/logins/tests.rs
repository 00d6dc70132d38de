//! Who may log in, how long that lasts, and what ends it.

use super::super::testing::{World, code};
use super::*;

async fn with_alice() -> World {
    let world = World::new().await;
    let signup =
        svc::Signup { user: "alice".into(), password: "hunter22".into(), ..svc::Signup::default() };
    world.context.signup(signup).await.expect("signup");
    world
}

async fn login(world: &World, device: &str, password: &str) -> Result<svc::Tokens, Failure> {
    let login = svc::Login {
        user: "alice".into(),
        password: password.into(),
        device: device.into(),
        ..svc::Login::default()
    };
    world.context.login(login).await
}

async fn refresh(world: &World, tokens: &svc::Tokens) -> Result<svc::Tokens, Failure> {
    let refresh_token = tokens.refresh_token.clone();
    match world.context.refresh(svc::Refresh { refresh_token, ..svc::Refresh::default() }).await? {
        Refreshed::Tokens(tokens) => Ok(tokens),
        Refreshed::Ended(_) => Err(void()),
    }
}

async fn lasts(world: &World, tokens: &svc::Tokens) -> bool {
    let request = svc::CheckLogins { tokens: vec![tokens.token.clone()] };
    world.context.check_logins(request).await.expect("check").lasts[0]
}

#[tokio::test]
async fn the_login_that_was_not_used_for_longest_makes_room() {
    let world = with_alice().await;
    let mut tokens = Vec::new();
    for number in 0..LOGINS_MAX {
        world.clock.advance_ms(1_000);
        tokens.push(login(&world, &format!("d{number}"), "hunter22").await.expect("login"));
    }
    world.clock.advance_ms(1_000);
    // The first one is used again, so the second one is the oldest. One that logs in anew takes no room.
    tokens[0] = refresh(&world, &tokens[0]).await.expect("refreshed");
    tokens[5] = login(&world, "d5", "hunter22").await.expect("login");
    let lasting = async |tokens: &[svc::Tokens]| {
        let mut lasting = Vec::new();
        for (number, tokens) in tokens.iter().enumerate() {
            lasting.extend(lasts(&world, tokens).await.then_some(number));
        }
        lasting
    };
    assert_eq!(lasting(&tokens).await.len(), LOGINS_MAX);
    tokens.push(login(&world, "one-more", "hunter22").await.expect("login"));
    let all_but_one: Vec<usize> = (0..=LOGINS_MAX).filter(|number| *number != 1).collect();
    assert_eq!(lasting(&tokens).await, all_but_one);
}

fn ended(devices: &[&str]) -> EndedLogin {
    let devices = devices.iter().map(|name| DeviceId::new(name).expect("id")).collect();
    EndedLogin { user: UserId::new("alice").expect("id"), devices }
}

#[tokio::test]
async fn only_the_right_password_logs_in() {
    let world = with_alice().await;
    let tokens = login(&world, "phone", "hunter22").await.expect("login");
    let caller = world.context.tokens().verify(&tokens.token).expect("verify");
    assert_eq!((caller.user.as_str(), caller.device.as_str()), ("alice", "phone"));
    assert_eq!(code(login(&world, "phone", "hunter23").await), ErrorCode::BadCredentials);
    assert_eq!(code(login(&world, "phone", "x").await), ErrorCode::BadCredentials);
    assert_eq!(code(login(&world, "p.q", "hunter22").await), ErrorCode::BadId);
    let nobody = svc::Login {
        user: "nobody".into(),
        password: "hunter22".into(),
        device: "d".into(),
        ..svc::Login::default()
    };
    assert_eq!(code(world.context.login(nobody).await), ErrorCode::BadCredentials);
}

#[tokio::test]
async fn a_refresh_may_be_repeated_once_within_a_minute() {
    let world = with_alice().await;
    let first = login(&world, "phone", "hunter22").await.expect("login");
    // Its answer is lost, so the client never has what it brought.
    refresh(&world, &first).await.expect("refresh");
    world.clock.advance_ms(REPEAT_MS - 1);
    let third = refresh(&world, &first).await.expect("once more");
    let fourth = refresh(&world, &third).await.expect("the new one works");
    assert!(lasts(&world, &first).await, "the login is the same");
    world.clock.advance_ms(refresh_token::LIFE_MS);
    assert_eq!(code(refresh(&world, &fourth).await), ErrorCode::Unauthorized);
}

#[tokio::test]
async fn a_refresh_token_in_two_hands_ends_the_login() {
    for (late_ms, uses) in [(REPEAT_MS, 1), (0, 2)] {
        let world = with_alice().await;
        let other = login(&world, "laptop", "hunter22").await.expect("login");
        let first = login(&world, "phone", "hunter22").await.expect("login");
        let mut newest = first.clone();
        for _ in 0..uses {
            newest = refresh(&world, &first).await.expect("in time");
        }
        world.clock.advance_ms(late_ms);
        assert!(lasts(&world, &newest).await);
        let again =
            svc::Refresh { refresh_token: first.refresh_token.clone(), ..svc::Refresh::default() };
        let Refreshed::Ended(told) = world.context.refresh(again).await.expect("ended") else {
            panic!("it brought tokens");
        };
        assert_eq!(told, ended(&["phone"]));
        assert_eq!(code(refresh(&world, &newest).await), ErrorCode::Unauthorized);
        assert!(!lasts(&world, &newest).await && lasts(&world, &other).await);
        // The next login is another one.
        let next = login(&world, "phone", "hunter22").await.expect("login");
        assert_eq!(code(refresh(&world, &newest).await), ErrorCode::Unauthorized);
        assert!(lasts(&world, &next).await);
    }
}

/// A thief repeats in time; then the owner comes with what they got.
#[tokio::test]
async fn what_a_repeat_replaced_is_in_two_hands_too() {
    let world = with_alice().await;
    let first = login(&world, "phone", "hunter22").await.expect("login");
    let owners = refresh(&world, &first).await.expect("the owner");
    let thiefs = refresh(&world, &first).await.expect("the thief");
    assert_eq!(code(refresh(&world, &owners).await), ErrorCode::Unauthorized);
    assert_eq!(code(refresh(&world, &thiefs).await), ErrorCode::Unauthorized);
}

#[tokio::test]
async fn a_secret_that_is_made_up_ends_nothing() {
    let world = with_alice().await;
    let tokens = login(&world, "phone", "hunter22").await.expect("login");
    for forged in ["", "alice.phone", &format!("alice.phone.{}", "0".repeat(64))] {
        let forged = svc::Refresh { refresh_token: forged.into(), ..svc::Refresh::default() };
        assert_eq!(code(world.context.refresh(forged).await), ErrorCode::Unauthorized);
    }
    let (one, two) = tokio::join!(refresh(&world, &tokens), refresh(&world, &tokens));
    assert!(one.is_ok() && two.is_ok(), "two at once are a repeat");
}

#[tokio::test]
async fn a_login_ends_where_it_should() {
    let world = with_alice().await;
    let old_phone = login(&world, "phone", "hunter22").await.expect("login");
    let phone = login(&world, "phone", "hunter22").await.expect("login");
    let laptop = login(&world, "laptop", "hunter22").await.expect("login");
    assert_eq!(code(refresh(&world, &old_phone).await), ErrorCode::Unauthorized);
    let phone = refresh(&world, &phone).await.expect("refresh");
    let logout = svc::Logout { token: phone.token.clone(), ..svc::Logout::default() };
    assert_eq!(world.context.logout(logout).await.expect("logout"), ended(&["phone"]));
    assert_eq!(code(refresh(&world, &phone).await), ErrorCode::Unauthorized);
    refresh(&world, &laptop).await.expect("the other device stays");
}

#[tokio::test]
async fn a_new_password_ends_the_other_devices_logins() {
    let world = with_alice().await;
    let phone = login(&world, "phone", "hunter22").await.expect("login");
    let laptop = login(&world, "laptop", "hunter22").await.expect("login");
    let change = |old: &str, new: &str| svc::ChangePassword {
        token: phone.token.clone(),
        old: old.into(),
        new: new.into(),
    };
    let wrong = world.context.password(change("hunter23", "hunter33")).await;
    assert_eq!(code(wrong), ErrorCode::BadCredentials);
    let short = world.context.password(change("hunter22", "x")).await;
    assert_eq!(code(short), ErrorCode::BadRequest);
    let changed = world.context.password(change("hunter22", "hunter33")).await;
    assert_eq!(changed.expect("change"), ended(&["laptop"]));
    assert_eq!(code(refresh(&world, &laptop).await), ErrorCode::Unauthorized);
    refresh(&world, &phone).await.expect("the own device stays");
    assert_eq!(code(login(&world, "laptop", "hunter22").await), ErrorCode::BadCredentials);
    login(&world, "laptop", "hunter33").await.expect("login");
}

#[tokio::test]
async fn passwords_are_tried_slowly_and_the_owner_is_not_kept_out() {
    let world = with_alice().await;
    let from = async |user: &str, password: &str, network: &str| {
        let (user, password, network) = (user.into(), password.into(), network.into());
        let login =
            svc::Login { user, password, device: "phone".into(), network, ..svc::Login::default() };
        world.context.login(login).await
    };
    from("alice", "hunter22", "198.51.100.7").await.expect("at home");
    // Somebody from elsewhere, whether the user exists or not.
    for user in ["alice", "nobody"] {
        let mut wrong = 0;
        while code(from(user, "hunter23", "192.0.2.1").await) == ErrorCode::BadCredentials {
            wrong += 1;
        }
        assert_eq!(wrong, 20, "{user}");
        // The right one tells nothing then.
        let refused = from(user, "hunter22", "192.0.2.1").await;
        assert_eq!(code(refused), ErrorCode::RateLimited, "{user}");
    }
    from("alice", "hunter22", "198.51.100.7").await.expect("at home");
    from("alice", "hunter22", "203.0.113.5").await.expect("elsewhere");
}

#[tokio::test]
async fn who_is_signed_in_tries_the_password_slowly_too() {
    let world = with_alice().await;
    let token = login(&world, "phone", "hunter22").await.expect("login").token;
    let change = async |old: &str| {
        let (token, old, new) = (token.clone(), old.into(), "hunter33".into());
        world.context.password(svc::ChangePassword { token, old, new }).await
    };
    let mut wrong = 0;
    while code(change("hunter23").await) == ErrorCode::BadCredentials {
        wrong += 1;
    }
    assert_eq!(wrong, 20);
    assert_eq!(code(change("hunter22").await), ErrorCode::RateLimited);
}

#[tokio::test]
async fn devices_are_listed_and_one_ends_the_login_of_another() {
    let world = with_alice().await;
    let phone = login(&world, "phone", "hunter22").await.expect("login");
    world.clock.advance_ms(1_000);
    let laptop = login(&world, "laptop", "hunter22").await.expect("login");
    world.clock.advance_ms(1_000);
    let phone = refresh(&world, &phone).await.expect("refreshed");
    let list = async |tokens: &svc::Tokens| {
        let request = svc::ListDevices { token: tokens.token.clone() };
        world.context.devices(request).await.expect("devices").devices
    };
    let listed = list(&laptop).await;
    let names: Vec<_> = listed.iter().map(|it| (it.device.as_str(), it.is_own)).collect();
    assert_eq!(names, [("phone", false), ("laptop", true)], "the last used one first");
    assert_eq!(listed[0].refreshed_ms - listed[0].login_ms, 2_000);
    assert_eq!(listed[1].refreshed_ms, listed[1].login_ms);

    let end = async |device: &str| {
        let request = svc::Logout { token: laptop.token.clone(), device: device.into() };
        world.context.logout(request).await
    };
    assert_eq!(end("phone").await.expect("logout"), ended(&["phone"]));
    assert!(!lasts(&world, &phone).await && lasts(&world, &laptop).await);
    assert_eq!(list(&laptop).await.len(), 1);
    assert_eq!(code(end("phone").await), ErrorCode::NotFound);
    assert_eq!(code(end("no.id").await), ErrorCode::BadId);
    world.clock.advance_ms(refresh_token::LIFE_MS);
    let request =
        svc::ListDevices { token: login(&world, "tv", "hunter22").await.expect("login").token };
    let devices = world.context.devices(request).await.expect("devices").devices;
    assert_eq!(devices.len(), 1, "what can't be refreshed any more is no login");
}

#[tokio::test]
async fn a_deleted_account_opens_nothing_and_its_id_is_nobody_elses() {
    let world = with_alice().await;
    let phone = login(&world, "phone", "hunter22").await.expect("login");
    let tablet = login(&world, "tablet", "hunter22").await.expect("login");
    let delete = async |token: &str, password: &str| {
        let request = svc::DeleteAccount {
            token: token.into(),
            password: password.into(),
            ..svc::DeleteAccount::default()
        };
        world.context.delete_account(request).await
    };
    assert_eq!(code(delete(&phone.token, "hunter23").await), ErrorCode::BadCredentials);
    assert!(lasts(&world, &tablet).await);
    let told = delete(&phone.token, "hunter22").await.expect("deleted");
    assert_eq!(told, [ended(&["phone", "tablet"])]);
    assert!(!lasts(&world, &phone).await && !lasts(&world, &tablet).await);
    assert_eq!(code(delete(&phone.token, "hunter22").await), ErrorCode::Unauthorized);
    assert_eq!(code(refresh(&world, &phone).await), ErrorCode::Unauthorized);
    assert_eq!(code(login(&world, "phone", "hunter22").await), ErrorCode::BadCredentials);
    assert_eq!(code(login(&world, "phone", "").await), ErrorCode::BadCredentials);
    let signup =
        svc::Signup { user: "alice".into(), password: "hunter22".into(), ..svc::Signup::default() };
    assert_eq!(code(world.context.signup(signup).await), ErrorCode::UserExists);
    let request = svc::GetProfile { token: world.token("bob"), user: "alice".into() };
    let profile = world.context.profile_get(request).await.expect("profile");
    assert!(profile.deleted && profile.display_name.is_empty(), "{profile:?}");
}
