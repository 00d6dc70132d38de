//! People tell bots to do something, by commands and buttons, and hear what becomes of it.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::session::{Session, code};
use weft_harness::system::{System, unique};

use crate::two_edges;

/// Alice has a bot; both are with bob in a group. The bot's session is at the other edge.
struct Scene {
    system: &'static System,
    alice: Login,
    bot: Login,
    a: Session,
    b: Session,
    bots: Session,
    room: String,
}

async fn scene() -> Result<Scene> {
    let system = two_edges().await;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let id = unique("bot");
    let made = alice.call(system.edge(), "POST", "/v1/bots", &json!({ "bot": id })).await?;
    ensure!(made.status == 201, "{made:?}");
    let path = format!("/v1/bots/{id}/tokens");
    let made = alice.call(system.edge(), "POST", &path, &json!({})).await?;
    let token = made.body["token"].as_str().context("a token")?.to_owned();
    let device = made.body["id"].as_str().context("an id")?.to_owned();
    let bot = Login { user: id, device, token, expires_at_ms: 0, refresh_token: String::new() };
    let mut a = system.session(&alice).await?;
    let room = unique("team");
    let members = [&bot.user, &bob.user];
    a.acked(&room, json!({ "kind": "create", "title": "T", "members": members })).await?;
    let b = system.session(&bob).await?;
    let bots = Session::open(system.edges()[1], &bot, None).await?;
    let commands = json!({ "commands": [
        { "name": "deploy", "description": "deploys a branch", "usage": "<branch>" },
    ] });
    let path = format!("/v1/bots/{}/commands", bot.user);
    let set = bot.call(system.edge(), "PUT", &path, &commands).await?;
    ensure!(set.status == 204, "{set:?}");
    Ok(Scene { system, alice, bot, a, b, bots, room })
}

impl Scene {
    fn deploy(&self) -> Value {
        let (room, bot) = (&self.room, &self.bot.user);
        json!({ "type": "interact", "room": room, "bot": bot, "command": "deploy", "text": "main" })
    }

    /// The bot answers over HTTP.
    async fn answer(&self, told: &Value, body: Value) -> Result<weft_harness::http::Answer> {
        let id = told["token"].as_str().context("a token")?;
        let path = format!("/v1/interactions/{id}");
        self.bot.call(self.system.edge(), "POST", &path, &body).await
    }
}

#[tokio::test]
async fn a_command_is_told_to_the_bot_and_its_answer_to_the_room() -> Result<()> {
    let mut it = scene().await?;
    let path = format!("/v1/rooms/{}/commands", it.room);
    let listed = it.alice.call(it.system.edge(), "GET", &path, &Value::Null).await?.body;
    let deploy = &listed["commands"][0];
    assert_eq!((&deploy["bot"], &deploy["name"]), (&json!(it.bot.user), &json!("deploy")));
    let same = it.b.request(json!({ "type": "commands", "room": it.room })).await?;
    assert_eq!(same["commands"], listed["commands"]);

    let asked = it.b.begin(it.deploy()).await?;
    let told = it.bots.told("interaction", &it.room).await?;
    let b_user = it.b.welcome["user"].clone();
    assert_eq!(
        (&told["user"], &told["command"], &told["text"]),
        (&b_user, &json!("deploy"), &json!("main"))
    );
    let answered = it.answer(&told, json!({ "text": "deployed" })).await?;
    assert_eq!((answered.status, &answered.body["type"]), (201, &json!("ack")), "{answered:?}");
    let seq = answered.body["seq"].as_u64().context("a seq")?;
    let heard = it.b.answer(asked).await?;
    assert_eq!(
        (&heard["type"], &heard["interaction"]),
        (&json!("interacted"), &told["interaction"])
    );
    // On a slow machine the 3 s may be over: then it is said to be silent, and the answer comes all the same.
    assert!(heard["state"] == "answered" || heard["state"] == "silent", "{heard}");
    let answer = it.b.told("interaction_answer", &it.room).await?;
    assert_eq!((&answer["state"], &answer["seq"]), (&json!("answered"), &json!(seq)));
    assert_eq!(it.a.expect(&it.room, seq).await?["from"], it.bot.user.as_str());

    // The same part again is the same message, and there are five of them.
    let again = it.answer(&told, json!({ "text": "deployed" })).await?;
    assert_eq!(again.body["seq"], seq);
    for part in 1..5 {
        let more = it.answer(&told, json!({ "text": "more", "part": part })).await?;
        assert_eq!(more.body["seq"], seq + part, "{more:?}");
    }
    assert_eq!(it.answer(&told, json!({ "text": "more", "part": 5 })).await?.code(), "bad_request");
    Ok(())
}

#[tokio::test]
async fn who_tells_a_bot_hears_that_it_answers_later_or_not_at_all() -> Result<()> {
    let mut it = scene().await?;
    // Over HTTP, with nobody of the user's connected.
    let carol = it.system.user("carol").await?;
    let add = json!({ "kind": "add", "user": carol.user, "role": "member" });
    it.a.acked(&it.room.clone(), add).await?;
    let (path, body) = (format!("/v1/rooms/{}/interactions", it.room), it.deploy());
    let (edge, asks) = (it.system.edge(), carol.clone());
    let silent = tokio::spawn(async move { asks.call(edge, "POST", &path, &body).await });
    let told = it.bots.told("interaction", &it.room).await?;
    let silent = silent.await??;
    assert_eq!((silent.status, &silent.body["state"]), (200, &json!("silent")), "{silent:?}");

    // It says that it will, and then what: to one user alone, and nothing is kept of it.
    let deferred =
        it.bots.request(json!({ "type": "answer", "token": told["token"], "defer": true }));
    assert_eq!(deferred.await?["type"], "done");
    let mut c = it.system.session(&carol).await?;
    let before = it.a.acked(&it.room.clone(), json!({ "text": "meanwhile" })).await?;
    let secret = json!({ "text": "for your eyes", "ephemeral": true });
    assert_eq!(it.answer(&told, secret).await?.status, 204);
    let answer = c.told("interaction_answer", &it.room).await?;
    assert_eq!(
        (&answer["text"], &answer["interaction"]),
        (&json!("for your eyes"), &told["interaction"])
    );
    let after = it.a.acked(&it.room.clone(), json!({ "text": "afterwards" })).await?;
    assert_eq!(after, before + 1, "it is no entry");
    assert!(it.b.told_so_far("interaction_answer", &it.room).await?.is_empty());

    let asked = it.b.begin(it.deploy()).await?;
    let told = it.bots.told("interaction", &it.room).await?;
    assert_eq!(it.answer(&told, json!({ "defer": true })).await?.status, 204);
    let heard = it.b.answer(asked).await?;
    assert!(heard["state"] == "deferred" || heard["state"] == "silent", "{heard}");
    assert_eq!(it.b.told("interaction_answer", &it.room).await?["state"], "deferred");
    Ok(())
}

#[tokio::test]
async fn a_button_is_pressed_by_members_and_answered_by_its_bot_alone() -> Result<()> {
    let mut it = scene().await?;
    let buttons = json!([[{ "id": "yes", "label": "Yes", "style": "primary" }, { "id": "no", "label": "No" }]]);
    let room = it.room.clone();
    let seq = it.bots.acked(&room, json!({ "text": "Deploy?", "buttons": buttons })).await?;
    assert_eq!(it.b.expect(&room, seq).await?["buttons"], buttons);
    let press =
        |button: &str| json!({ "type": "interact", "room": room, "target": seq, "button": button });
    let asked = it.b.begin(press("yes")).await?;
    let told = it.bots.told("interaction", &room).await?;
    assert_eq!((&told["target"], &told["button"]), (&json!(seq), &json!("yes")));
    // Others of the room do not answer for it, whatever they know.
    let path = format!("/v1/interactions/{}", told["token"].as_str().context("a token")?);
    let other = it.alice.call(it.system.edge(), "POST", &path, &json!({ "text": "no" })).await?;
    assert_eq!((other.status, other.code()), (404, "not_found"));
    assert_eq!(it.answer(&told, json!({ "text": "yes, then" })).await?.status, 201);
    it.b.answer(asked).await?;
    assert_eq!(code(&it.b.request(press("maybe")).await?)?, "not_found");

    // Strangers do not press, bots do not tell bots, and a bot that was removed is told nothing.
    let eve = it.system.user("eve").await?;
    let mut e = it.system.session(&eve).await?;
    assert_eq!(code(&e.request(press("yes")).await?)?, "no_such_room");
    assert_eq!(code(&it.bots.request(it.deploy()).await?)?, "forbidden");
    let remove = json!({ "kind": "remove", "user": it.bot.user });
    it.a.acked(&room, remove).await?;
    assert_eq!(code(&it.b.request(press("yes")).await?)?, "not_found");
    assert_eq!(it.answer(&told, json!({ "text": "still here" })).await?.code(), "not_member");
    Ok(())
}
