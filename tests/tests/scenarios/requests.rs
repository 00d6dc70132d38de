//! First messages of who is not known to a user are a request, where the user or the installation wants that.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::onlooker::Onlooker;
use weft_harness::proxy::{Fault, Towards};
use weft_harness::session::Session;
use weft_harness::system::{Options, System, direct};
use weft_harness::wait::until;

/// Of a room that is a request, so many entries are taken.
const ENTRIES_MAX: u64 = 20;
/// Within this time after it was lost, a change is known: edges look every 15 s.
const HEAL_LIMIT: Duration = Duration::from_secs(20);

async fn say(session: &mut Session, mut request: Value, word: &str) -> Result<()> {
    request["type"] = word.into();
    let answer = session.request(request.clone()).await?;
    ensure!(answer["type"] == "done", "{request}: {answer}");
    Ok(())
}

/// Whether the room is a request to a user: as the room says, and the list.
async fn is_request(session: &mut Session, room: &str) -> Result<bool> {
    let shown = session.request(json!({ "type": "room", "room": room })).await?;
    ensure!(shown["type"] == "room", "{shown}");
    let list = session.request(json!({ "type": "rooms" })).await?;
    let rooms = list["rooms"].as_array().context("rooms")?;
    let listed = rooms.iter().find(|it| it["room"] == room).context("it is in the list")?;
    assert_eq!(listed["request"], shown["request"], "{listed}");
    Ok(shown["request"] == true)
}

/// Whom a device may see of these users.
async fn sees(onlooker: &Onlooker, user: &Login) -> Result<bool> {
    let answer = onlooker.done(json!({ "type": "presence.get", "users": [user.user] })).await?;
    Ok(answer["users"].as_array().is_some_and(|users| !users.is_empty()))
}

/// Alice, who wants to be asked, and a stranger who writes to her.
struct Stranger {
    system: System,
    alice: Login,
    bob: Login,
    room: String,
    alices: Session,
    bobs: Session,
    alice_looks: Onlooker,
    bob_looks: Onlooker,
}

impl Stranger {
    async fn writes(options: Options) -> Result<Self> {
        let system = System::split(Options { presences: 1, ..options }).await?;
        let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
        let (here, there) = (system.edges()[0], system.edges()[1]);
        let room = direct(&alice, &bob);
        let mut alices = Session::open(here, &alice, None).await?;
        let mut bobs = Session::open(there, &bob, None).await?;
        say(&mut alices, json!({ "strangers": "request" }), "setting").await?;
        let notebook = format!("{0}~{0}", alice.user);
        assert_eq!(alices.told("setting", &notebook).await?["strangers"], "request");
        let alice_looks = system.device(&alice.user, "looks").await?;
        let alice_looks = Onlooker::open(here, &alice_looks).await?;
        let bob_looks = system.device(&bob.user, "looks").await?;
        let bob_looks = Onlooker::open(there, &bob_looks).await?;
        bobs.acked(&room, json!({ "text": "hello" })).await?;
        assert_eq!(alices.expect(&room, 1).await?["text"], "hello", "as any message");
        Ok(Self { system, alice, bob, room, alices, bobs, alice_looks, bob_looks })
    }

    async fn see_each_other(&mut self) -> Result<()> {
        self.alice_looks.sees(&self.bob.user, "online", HEAL_LIMIT).await;
        self.bob_looks.sees(&self.alice.user, "online", HEAL_LIMIT).await;
        assert!(sees(&self.bob_looks, &self.alice).await?);
        assert!(!is_request(&mut self.alices, &self.room).await?);
        let newest = self.bobs.request(json!({ "type": "room", "room": self.room })).await?;
        let (room, newest) = (self.room.clone(), newest["seq"].clone());
        say(&mut self.alices, json!({ "room": room, "read": newest }), "mark").await?;
        while self.bobs.told("mark", &room).await?["read"] != newest {}
        say(&mut self.alices, json!({ "room": room }), "typing").await?;
        self.bobs.told("typing", &room).await?;
        let shown = self.bobs.request(json!({ "type": "room", "room": room })).await?;
        assert_eq!(shown["partner"]["read"], newest, "{shown}");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_sees_nothing_until_they_are_answered_and_says_only_so_much() -> Result<()> {
    let mut it = Stranger::writes(Options { proxied: true, ..Options::default() }).await?;
    let room = it.room.clone();
    assert!(is_request(&mut it.alices, &room).await?);
    assert!(!is_request(&mut it.bobs, &room).await?, "to who is asked, and not to who asks");
    for number in 2..=ENTRIES_MAX {
        let seq = it.bobs.acked(&room, json!({ "text": format!("{number}") })).await?;
        assert_eq!(it.alices.expect(&room, seq).await?["seq"], number);
    }
    assert_eq!(it.bobs.refused(&room, json!({ "text": "more" })).await?, "not_accepted");
    let react = json!({ "kind": "react", "target": 1, "emoji": "+" });
    assert_eq!(it.bobs.refused(&room, react).await?, "not_accepted");
    // Up to where she has read, that she types and that she is here is not told.
    say(&mut it.alices, json!({ "room": room, "read": 3, "delivered": ENTRIES_MAX }), "mark")
        .await?;
    say(&mut it.alices, json!({ "room": room }), "typing").await?;
    for (onlooker, user) in [(&it.bob_looks, &it.alice), (&it.alice_looks, &it.bob)] {
        assert!(!sees(onlooker, user).await?);
        assert!(onlooker.words(&user.user).is_empty(), "{:?}", onlooker.words(&user.user));
    }
    let shown = it.bobs.request(json!({ "type": "room", "room": room })).await?;
    assert!(shown["partner"]["display_name"].is_string(), "{shown}");
    assert!(
        shown["partner"]["read"].is_null() && shown["partner"]["delivered"].is_null(),
        "{shown}"
    );
    let receipts = it.bobs.request(json!({ "type": "receipts", "room": room })).await?;
    assert!(!receipts["receipts"].to_string().contains(&it.alice.user), "{receipts}");
    // Who answers accepts; and where the wire loses that for the edge of the stranger, an audit brings it.
    let proxy = it.system.proxy("edge-1");
    let before = proxy.counts().to_client.swallowed;
    let subject_prefix = format!("weft.u.{}", it.bob.user);
    proxy.set_towards(Towards::Client, Fault::SwallowOne { subject_prefix });
    let seq = it.alices.acked(&room, json!({ "text": "who are you?" })).await?;
    let is_lost = async || (proxy.counts().to_client.swallowed > before).then_some(());
    until("something is lost", HEAL_LIMIT, is_lost).await;
    it.bobs.expect(&room, seq).await?;
    for (session, user) in [(&mut it.alices, &it.alice), (&mut it.bobs, &it.bob)] {
        let told = session.told_so_far("mark", &room).await?;
        assert!(told.iter().all(|mark| mark["user"] == user.user), "{told:?}");
    }
    assert_eq!(it.bobs.told_so_far("typing", &room).await?, Vec::<Value>::new());
    it.bobs.acked(&room, json!({ "text": "bob" })).await?;
    it.see_each_other().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contact_is_no_stranger_and_the_installation_says_what_holds_for_who_does_not()
-> Result<()> {
    let mut it = Stranger::writes(Options::default()).await?;
    let (system, room) = (&it.system, it.room.clone());
    assert!(is_request(&mut it.alices, &room).await?);
    say(&mut it.alices, json!({ "user": it.bob.user, "contact": true }), "relation").await?;
    assert!(!is_request(&mut it.alices, &room).await?);
    // What an operator or an administrator says holds for those who have said nothing.
    let (carol, root) = (system.user("carol").await?, system.user("root").await?);
    let mut carols = Session::open(system.edges()[0], &carol, None).await?;
    let to_carol = direct(&it.bob, &carol);
    it.bobs.acked(&to_carol, json!({ "text": "hello" })).await?;
    assert!(!is_request(&mut carols, &to_carol).await?, "everybody is welcome, as a rule");
    let shown = system.operated(&["defaults"]).await?;
    assert_eq!(shown.trim(), r#"{"add_by":"all","strangers":"welcome","messages":"any"}"#);
    system.operated(&["defaults", "--strangers", "request"]).await?;
    assert!(is_request(&mut carols, &to_carol).await?);
    say(&mut carols, json!({ "strangers": "welcome" }), "setting").await?;
    assert!(!is_request(&mut carols, &to_carol).await?);
    system.operated(&["make-administrator", &root.user]).await?;
    let path = "/v1/admin/defaults";
    let call = async |login: &Login, method: &str, body: &Value| {
        let answer = login.call(system.edge(), method, path, body).await?;
        anyhow::Ok((answer.status, answer))
    };
    let known = json!({ "add_by": "known", "reason": "too much of it" });
    assert_eq!(call(&carol, "PUT", &known).await?.0, 403);
    assert_eq!(call(&root, "PUT", &known).await?.0, 204);
    assert_eq!(call(&root, "PUT", &known).await?.1.code(), "unchanged");
    for bad in [
        json!({}),
        json!({ "add_by": "default" }),
        json!({ "add_by": "all", "strangers": "welcome" }),
        json!({ "add_by": "all", "messages": "keep" }),
        json!({ "messages": "some" }),
    ] {
        assert_eq!(call(&root, "PUT", &bad).await?.1.code(), "bad_request", "{bad}");
    }
    let shown = call(&root, "GET", &Value::Null).await?.1.body;
    assert_eq!((&shown["add_by"], &shown["strangers"]), (&json!("known"), &json!("request")));
    let log = root.call(system.edge(), "GET", "/v1/admin/log?limit=10", &Value::Null).await?.body;
    let actions: Vec<_> = log["rows"].as_array().context("rows")?.iter().collect();
    for action in ["default_add_by_known", "default_strangers_request"] {
        assert!(actions.iter().any(|row| row["action"] == action), "{action}: {log}");
    }
    // Carol, who has said nothing of groups, is invited by who is not known to her.
    let create = json!({ "kind": "create", "title": "T", "members": [carol.user] });
    let made = it.bobs.entry(&weft_harness::system::unique("group"), create).await?;
    assert_eq!(made["invited"], json!([carol.user]), "{made}");
    it.see_each_other().await
}
