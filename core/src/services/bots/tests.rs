//! Bots, what their tokens are good for, and how both end.

use weft_proto::History;

use super::super::testing::{World, code, create, room, text, user};
use super::*;

const TOKEN: Authority = Authority::Token;

async fn with_account(world: &World, name: &str) {
    let signup =
        svc::Signup { user: name.into(), password: "hunter22".into(), ..svc::Signup::default() };
    world.context.signup(signup).await.expect("signup");
}

/// Who has an account and a bot, as their tokens say.
async fn owner(world: &World, bot: &str) -> String {
    with_account(world, "alice").await;
    let token = world.token("alice");
    make(world, &token, bot).await.expect("a bot");
    token
}

async fn make(world: &World, token: &str, bot: &str) -> Result<svc::Bot, Failure> {
    let (token, bot) = (token.to_owned(), bot.to_owned());
    world.context.make_bot(TOKEN, svc::MakeBot { token, bot, ..svc::MakeBot::default() }).await
}

async fn token_of(world: &World, owner: &str, bot: &str, scope: &str) -> svc::MadeBotToken {
    let scope: Scope = serde_json::from_str(scope).expect("a scope");
    let request = svc::MakeBotToken {
        token: owner.to_owned(),
        bot: bot.to_owned(),
        scope: Some(scope.into()),
        life_s: 60,
        ..svc::MakeBotToken::default()
    };
    world.context.make_bot_token(TOKEN, request).await.expect("a token")
}

async fn rooms(world: &World, token: &str) -> Result<Vec<String>, Failure> {
    let list = svc::ListRooms { token: token.to_owned(), ..svc::ListRooms::default() };
    let rooms = world.context.list(list).await?.rooms;
    Ok(rooms.into_iter().map(|it| it.room).collect())
}

async fn suspend(world: &World, user: &str, action: svc::AccountAction) -> Vec<UserId> {
    let request = svc::Administer {
        user: user.to_owned(),
        action: action.into(),
        reason: "spam".into(),
        ..svc::Administer::default()
    };
    world.context.administer(Authority::Operator, request).await.expect("done").ended
}

async fn checked(world: &World, token: &str) -> (bool, bool) {
    let tokens = vec![token.to_owned()];
    let answer = world.context.check_logins(svc::CheckLogins { tokens }).await.expect("checked");
    (answer.lasts[0], answer.suspended[0])
}

#[tokio::test]
async fn a_bot_comes_in_by_its_token_until_that_ends() {
    let world = World::new().await;
    let alice = owner(&world, "ci").await;
    let made = token_of(&world, &alice, "ci", "{}").await;
    assert!(rooms(&world, &made.token).await.expect("in").is_empty());
    assert_eq!(checked(&world, &made.token).await, (true, false));
    let known = world.context.bot_by_token("ci", &made.token).await.expect("known");
    assert_eq!((known.caller.user, known.expires_ms), (user("ci"), made.expires_ms));
    assert_eq!(
        code(world.context.bot_by_token("alice", &made.token).await),
        ErrorCode::Unauthorized
    );
    assert_eq!(code(world.context.bot_by_token("alice", &alice).await), ErrorCode::Unauthorized);

    let (token, bot) = (alice.clone(), "ci".to_owned());
    let list = svc::ListBotTokens { token, bot: bot.clone() };
    let listed = world.context.bot_tokens(TOKEN, list.clone()).await.expect("listed").tokens;
    assert_eq!(listed.iter().map(|it| &it.id).collect::<Vec<_>>(), [&made.id]);
    let revoke = svc::RevokeBotToken { token: alice.clone(), bot, id: made.id.clone() };
    let ended = world.context.revoke_bot_token(TOKEN, revoke.clone()).await.expect("revoked");
    assert_eq!((ended.user.as_str(), ended.devices[0].as_str()), ("ci", &*made.id));
    assert_eq!(code(rooms(&world, &made.token).await), ErrorCode::Unauthorized);
    assert_eq!(checked(&world, &made.token).await, (false, false));
    assert_eq!(code(world.context.bot_by_token("ci", &made.token).await), ErrorCode::Unauthorized);
    assert_eq!(code(world.context.revoke_bot_token(TOKEN, revoke).await), ErrorCode::NotFound);

    let made = token_of(&world, &alice, "ci", "{}").await;
    world.clock.advance_ms(60_000);
    assert_eq!(code(rooms(&world, &made.token).await), ErrorCode::TokenExpired);
    assert!(world.context.bot_tokens(TOKEN, list).await.expect("listed").tokens.is_empty());
}

#[tokio::test]
async fn a_token_is_good_for_its_scope_alone() {
    let mut world = World::new().await;
    let alice = owner(&world, "ci").await;
    let cursor = world.cursor().await;
    for group in ["team", "secret"] {
        world.one(group, "alice", create(&["ci"], History::All)).await;
        world.one(group, "alice", text("x")).await;
    }
    let all = token_of(&world, &alice, "ci", "{}").await.token;
    let some = token_of(&world, &alice, "ci", r#"{"rooms":["team"]}"#).await.token;
    assert_eq!(rooms(&world, &all).await.expect("rooms").len(), 2);
    assert_eq!(rooms(&world, &some).await.expect("rooms"), ["team"]);
    let groups = svc::ListGroups { token: some.clone(), ..svc::ListGroups::default() };
    assert_eq!(world.context.groups(groups).await.expect("groups").rooms, ["team"]);
    let read = |token: &str, group: &str| svc::ReadLog {
        token: token.to_owned(),
        room: group.to_owned(),
        after: Some(0),
        ..svc::ReadLog::default()
    };
    assert_eq!(world.context.log_read(read(&some, "team")).await.expect("read").entries.len(), 2);
    assert_eq!(code(world.context.log_read(read(&some, "secret")).await), ErrorCode::Forbidden);
    assert!(world.context.log_read(read(&all, "secret")).await.is_ok());
    let drafts = svc::ListDrafts { token: some.clone(), ..svc::ListDrafts::default() };
    assert_eq!(code(world.context.drafts(drafts).await), ErrorCode::Forbidden);
    let found = svc::ListSearchable { token: some.clone(), ..svc::ListSearchable::default() };
    let found = world.context.searchable(found).await.expect("searchable").rooms;
    let found: Vec<_> =
        found.iter().filter(|it| !it.parts.is_empty()).map(|it| &*it.room).collect();
    assert_eq!(found, ["team"]);

    // A sync, and one that was begun by another token of the bot.
    for token in [&all, &some] {
        let sync =
            svc::Sync { token: token.clone(), cursor: cursor.clone(), ..svc::Sync::default() };
        let page = world.context.sync(sync).await.expect("sync");
        let seen = super::super::testing::seqs(&page.entries);
        assert_eq!(seen.iter().any(|(it, _)| *it == room("secret")), token == &all);
        assert!(seen.iter().any(|(it, _)| *it == room("team")));
    }

    // What no bot may.
    assert_eq!(code(make(&world, &all, "other").await), ErrorCode::Forbidden);
    let devices = svc::ListDevices { token: all.clone() };
    assert_eq!(code(world.context.devices(devices).await), ErrorCode::Forbidden);
    let change =
        svc::SetProfile { token: some, about: Some("x".into()), ..svc::SetProfile::default() };
    assert_eq!(code(world.context.profile_set(change.clone()).await), ErrorCode::Forbidden);
    assert!(world.context.profile_set(svc::SetProfile { token: all, ..change }).await.is_ok());
}

#[tokio::test]
async fn a_bot_rests_with_its_owner_and_ends_with_them() {
    let world = World::new().await;
    let alice = owner(&world, "ci").await;
    let made = token_of(&world, &alice, "ci", "{}").await.token;
    for whom in ["alice", "ci"] {
        let ended = suspend(&world, whom, svc::AccountAction::Suspend).await;
        assert!(ended.contains(&user("ci")), "{ended:?}");
        assert_eq!(code(rooms(&world, &made).await), ErrorCode::Suspended);
        assert_eq!(code(world.context.bot_by_token("ci", &made).await), ErrorCode::Suspended);
        assert_eq!(checked(&world, &made).await, (false, true));
        suspend(&world, whom, svc::AccountAction::Unsuspend).await;
        assert!(rooms(&world, &made).await.is_ok(), "{whom}");
        assert_eq!(checked(&world, &made).await, (true, false));
    }
    let token = world.token("alice");
    let delete = svc::DeleteAccount { token, password: "hunter22".into(), ..Default::default() };
    let ended = world.context.delete_account(delete).await.expect("deleted");
    assert_eq!(ended.iter().map(|it| it.user.as_str()).collect::<Vec<_>>(), ["alice", "ci"]);
    assert_eq!(code(rooms(&world, &made).await), ErrorCode::Unauthorized);
    let all = svc::ListBots::default();
    assert!(world.context.bots(Authority::Operator, all).await.expect("bots").bots.is_empty());
}

#[tokio::test]
async fn bots_are_their_owners_and_few() {
    let world = World::new().await;
    let alice = owner(&world, "ci").await;
    with_account(&world, "mallory").await;
    let mallory = world.token("mallory");
    let (token, bot) = (mallory.clone(), "ci".to_owned());
    let delete = svc::DeleteBot { token, bot };
    assert_eq!(code(world.context.delete_bot(TOKEN, delete.clone()).await), ErrorCode::NoSuchUser);
    assert_eq!(code(make(&world, &mallory, "ci").await), ErrorCode::UserExists);
    assert_eq!(code(make(&world, &mallory, "alice").await), ErrorCode::UserExists);
    let of_all = svc::MakeBot {
        token: mallory,
        bot: "ours".into(),
        of_installation: true,
        ..svc::MakeBot::default()
    };
    assert_eq!(code(world.context.make_bot(TOKEN, of_all.clone()).await), ErrorCode::Forbidden);
    let ours = world.context.make_bot(Authority::Operator, of_all).await.expect("made");
    assert_eq!((&*ours.bot, &*ours.owner), ("ours", ""));
    for n in 1..BOTS_PER_USER_MAX {
        make(&world, &alice, &format!("bot-{n}")).await.expect("a bot");
    }
    assert_eq!(code(make(&world, &alice, "one-more").await), ErrorCode::LimitReached);
    world
        .context
        .delete_bot(TOKEN, svc::DeleteBot { token: alice.clone(), ..delete })
        .await
        .expect("own");
    assert_eq!(code(make(&world, &alice, "ci").await), ErrorCode::UserExists, "for ever");
    make(&world, &alice, "one-more").await.expect("there is room again");

    let request = svc::MakeBotToken { token: alice, bot: "bot-1".into(), ..Default::default() };
    let long = svc::MakeBotToken { life_s: BOT_TOKEN_LIFE_S_MAX + 1, ..request.clone() };
    assert_eq!(code(world.context.make_bot_token(TOKEN, long).await), ErrorCode::BadRequest);
    let odd = svc::MakeBotToken { nkey: "SUAB".into(), ..request.clone() };
    assert_eq!(code(world.context.make_bot_token(TOKEN, odd).await), ErrorCode::BadRequest);
    let nkey = format!("U{}", "A".repeat(NKEY_CHARS - 1));
    let bound = svc::MakeBotToken { nkey: nkey.clone(), ..request.clone() };
    let bound = world.context.make_bot_token(TOKEN, bound).await.expect("a token").token;
    assert_eq!(code(rooms(&world, &bound).await), ErrorCode::Unauthorized, "on NATS alone");
    let known = world.context.bot_by_token("bot-1", &bound).await.expect("known");
    assert_eq!(known.caller.nkey.as_deref(), Some(&*nkey));
    for _ in 1..TOKENS_PER_BOT_MAX {
        world.context.make_bot_token(TOKEN, request.clone()).await.expect("a token");
    }
    assert_eq!(code(world.context.make_bot_token(TOKEN, request).await), ErrorCode::LimitReached);
}
