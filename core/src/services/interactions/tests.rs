//! Who tells which bot what, and who may answer.

use weft_proto::History;

use super::super::testing::{World, code, create, room, text, user};
use super::*;
use crate::services::Authority;

/// Alice, her bot, and what it comes in by; both are in `team`.
async fn world() -> (World, String, String) {
    let mut world = World::new().await;
    let signup =
        svc::Signup { user: "alice".into(), password: "hunter22".into(), ..svc::Signup::default() };
    world.context.signup(signup).await.expect("signup");
    let (alice, bot) = (world.token("alice"), "ci".to_owned());
    let make = svc::MakeBot { token: alice.clone(), bot: bot.clone(), ..Default::default() };
    world.context.make_bot(Authority::Token, make).await.expect("bot");
    let make = svc::MakeBotToken { token: alice.clone(), bot, ..Default::default() };
    let token = world.context.make_bot_token(Authority::Token, make).await.expect("token").token;
    world.one("team", "alice", create(&["ci", "bob"], History::All)).await;
    (world, alice, token)
}

fn commands(token: &str, bot: &str) -> svc::SetBotCommands {
    let command = |name: &str| svc::BotCommand {
        name: name.to_owned(),
        description: "does it".to_owned(),
        ..svc::BotCommand::default()
    };
    let commands = vec![command("deploy"), command("build")];
    svc::SetBotCommands { token: token.to_owned(), bot: bot.to_owned(), commands }
}

fn deploy(token: &str) -> svc::Interact {
    svc::Interact {
        token: token.to_owned(),
        room: "team".into(),
        bot: "ci".into(),
        command: "deploy".into(),
        text: "main".into(),
        ..svc::Interact::default()
    }
}

#[tokio::test]
async fn commands_are_the_bots_own_and_shown_in_its_rooms() {
    let (world, alice, bot) = world().await;
    for who in [&alice, &bot] {
        world.context.set_bot_commands(commands(who, "ci")).await.expect("set");
    }
    let others = world.context.set_bot_commands(commands(&world.token("bob"), "ci")).await;
    assert_eq!(code(others), ErrorCode::NoSuchUser);
    let own = world.context.set_bot_commands(commands(&alice, "alice")).await;
    assert_eq!(code(own), ErrorCode::NoSuchUser);
    let list = |who: &str| svc::ListBotCommands { token: world.token(who), room: "team".into() };
    let listed = world.context.bot_commands(list("bob")).await.expect("listed").commands;
    let listed: Vec<_> = listed.iter().map(|it| (&*it.bot, &*it.name)).collect();
    assert_eq!(listed, [("ci", "build"), ("ci", "deploy")]);
    assert_eq!(code(world.context.bot_commands(list("eve")).await), ErrorCode::NoSuchRoom);
    let none = svc::SetBotCommands { commands: Vec::new(), ..commands(&bot, "ci") };
    world.context.set_bot_commands(none).await.expect("none");
    assert!(world.context.bot_commands(list("bob")).await.expect("listed").commands.is_empty());
}

#[tokio::test]
async fn a_member_tells_a_bot_which_alone_may_answer_in_time() {
    let (mut world, _, bot) = world().await;
    world.context.set_bot_commands(commands(&bot, "ci")).await.expect("set");
    let bob = world.token("bob");
    let (told, push) = world.context.interact(deploy(&bob)).await.expect("told");
    assert_eq!((&push.user, &push.interaction), (&user("ci"), &told.interaction));
    let frame: serde_json::Value = serde_json::from_slice(&push.frame).expect("json");
    let shown = (&frame["user"], &frame["command"], &frame["text"]);
    assert_eq!(shown, (&"bob".into(), &"deploy".into(), &"main".into()), "{frame}");
    let id = frame["token"].as_str().expect("a token").to_owned();

    let answer = |token: &str, state: AnswerState| svc::AnswerInteraction {
        token: token.to_owned(),
        id: id.clone(),
        state: state.into(),
        text: "psst".into(),
        seq: 0,
    };
    let checked = world.context.answer_interaction(answer(&bot, AnswerState::Check)).await;
    let (checked, nobody) = checked.expect("checked");
    assert!(nobody.is_none() && checked.user == "bob" && checked.room == "team", "{checked:?}");
    let (_, heard) =
        world.context.answer_interaction(answer(&bot, AnswerState::Answered)).await.expect("told");
    let heard = heard.expect("a push");
    assert_eq!((heard.user, heard.interaction), (user("bob"), told.interaction));
    for other in [world.token("alice"), bob.clone()] {
        let refused = world.context.answer_interaction(answer(&other, AnswerState::Check)).await;
        assert_eq!(code(refused), ErrorCode::NotFound);
    }
    // An id is no access token, and the other way round.
    let list = svc::ListRooms { token: id.clone(), ..svc::ListRooms::default() };
    assert_eq!(code(world.context.list(list).await), ErrorCode::Unauthorized);
    let odd = svc::AnswerInteraction { id: bot.clone(), ..answer(&bot, AnswerState::Check) };
    assert_eq!(code(world.context.answer_interaction(odd).await), ErrorCode::NotFound);

    world.clock.advance_ms(INTERACTION_LIFE_MS - 1);
    assert!(world.context.answer_interaction(answer(&bot, AnswerState::Check)).await.is_ok());
    world.clock.advance_ms(1);
    let late = world.context.answer_interaction(answer(&bot, AnswerState::Check)).await;
    assert_eq!(code(late), ErrorCode::NotFound);

    // Who may not tell it, and what it does not do.
    assert_eq!(
        code(world.context.interact(deploy(&world.token("eve"))).await),
        ErrorCode::NoSuchRoom
    );
    assert_eq!(code(world.context.interact(deploy(&bot)).await), ErrorCode::Forbidden);
    let other = svc::Interact { command: "drop".into(), ..deploy(&bob) };
    assert_eq!(code(world.context.interact(other).await), ErrorCode::NotFound);
    world.one("team", "alice", super::super::testing::remove("ci")).await;
    assert_eq!(code(world.context.interact(deploy(&bob)).await), ErrorCode::NotFound);
}

#[tokio::test]
async fn a_button_is_of_a_bots_message() {
    let (mut world, _, _) = world().await;
    let with_button = |id: &str| {
        let json = format!(r#"{{"text":"?","buttons":[[{{"id":"{id}","label":"Yes"}}]]}}"#);
        weft_proto::Body::from_text(&json).expect("a body")
    };
    world.one("team", "ci", with_button("yes")).await;
    world.one("team", "alice", with_button("yes")).await;
    world.one("team", "ci", text("none")).await;
    let press = |target: u64, button: &str| svc::Interact {
        token: world.token("bob"),
        room: "team".into(),
        target,
        button: button.into(),
        ..svc::Interact::default()
    };
    let (_, push) = world.context.interact(press(2, "yes")).await.expect("told");
    assert_eq!((push.user, push.room), (user("ci"), room("team")));
    for (target, button) in [(2, "no"), (3, "yes"), (4, "yes"), (99, "yes")] {
        let refused = world.context.interact(press(target, button)).await;
        assert_eq!(code(refused), ErrorCode::NotFound, "{target} {button}");
    }
}
