//! The examples of `docs/integrations.md`, run as they are on the page.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::process::Child;
use weft_harness::examples::{can_run, example};
use weft_harness::session::Session;
use weft_harness::system::{Folder, START_LIMIT, System, free_address, shared, unique};
use weft_harness::wait::until;

use crate::hooks::WithHook;
use crate::{bots, nats_tokens, two_edges, webhooks};

/// Where the examples find the system.
fn websocket(system: &System) -> String {
    format!("ws://{}/v1/ws", system.edge())
}

/// Waits until an example has printed something.
async fn says((running, folder): (&mut Child, &Folder), name: &str, what: &str) {
    let log = folder.path().join(format!("{name}.log"));
    until(&format!("{name} says {what}"), START_LIMIT, async || {
        if let Ok(Some(status)) = running.try_wait() {
            panic!("it has ended: {status}: see {}", log.display());
        }
        std::fs::read_to_string(&log).ok()?.contains(what).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_bot_of_twenty_lines_answers() -> Result<()> {
    if !can_run().await {
        return Ok(());
    }
    let (system, folder) = (two_edges().await, Folder::new()?);
    let alice = system.user("alice").await?;
    let bot = bots::make(&alice, system).await?;
    let bot = bots::token(&alice, system, &bot, json!({ "name": "echo" })).await?;
    let mut session = Session::open(system.edge(), &alice, None).await?;
    let group = unique("tea");
    let create = json!({ "kind": "create", "title": "Tea", "members": [bot.user] });
    session.acked(&group, create).await?;
    let env = [("WEFT_WS", &*websocket(system)), ("WEFT_TOKEN", &bot.token)];
    let mut running = example("bot.py")?.start(folder.path(), &env).await?;
    says((&mut running, &folder), "bot.py", "listening").await;
    let asked = session.acked(&group, json!({ "text": "!echo kettle" })).await?;
    let answer = session.expect(&group, asked + 1).await?;
    assert_eq!(
        (&answer["from"], &answer["text"]),
        (&json!(bot.user), &json!("kettle")),
        "{answer}"
    );
    assert_eq!(answer["reply_to"], asked, "{answer}");
    Ok(())
}

/// The messages of a group in which a hook has posted as an example says.
async fn posted(name: &str, count: u64) -> Result<Vec<Value>> {
    let (system, folder) = (two_edges().await, Folder::new()?);
    let mut with = WithHook::new(system, json!({ "name": name })).await?;
    let url = format!("http://{}{}", system.edge(), with.path);
    example(name)?.run(folder.path(), &[("WEFT_HOOK", &*url)]).await?;
    let mut messages = Vec::new();
    for seq in 3..3 + count {
        messages.push(with.session.expect(&with.group, seq).await?);
    }
    Ok(messages)
}

#[tokio::test]
async fn curl_posts_to_a_hook() -> Result<()> {
    let messages = posted("curl.sh", 3).await?;
    let texts: Vec<_> = messages.iter().map(|it| &it["text"]).collect();
    assert_eq!(texts, ["api is live: build 42 🚀", "by form", "3 files changed"]);
    let link = json!({ "at": 13, "len": 8, "style": "link", "url": "https://ci.example/42" });
    assert_eq!(messages[0]["ranges"][1], link, "{}", messages[0]);
    Ok(())
}

#[tokio::test]
async fn alertmanager_posts_to_a_hook() -> Result<()> {
    let messages = posted("alertmanager.sh", 1).await?;
    let text = "[FIRING:1] DiskFull\n🔴 The disk of db-1 is full (instance=db-1)\n97 % are used.";
    assert_eq!(messages[0]["text"], text);
    Ok(())
}

#[tokio::test]
async fn slacks_sdk_posts_to_a_hook() -> Result<()> {
    if !can_run().await {
        return Ok(());
    }
    let messages = posted("slack.py", 1).await?;
    assert_eq!(messages[0]["text"], "A deployment waits\napi by Ann\nLook at it");
    let urls: Vec<_> = messages[0]["ranges"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|it| it["url"].as_str())
        .collect();
    assert_eq!(urls, ["https://example.org/ann", "https://ci.example/42"]);
    Ok(())
}

#[tokio::test]
async fn a_bot_reads_its_feed_on_nats_and_answers() -> Result<()> {
    if !can_run().await {
        return Ok(());
    }
    let (system, folder) = (shared().await, Folder::new()?);
    let (alice, mut session, name, group) = nats_tokens::bot_of(system).await?;
    let bot = system.bot_token(&alice, &name, json!({})).await?;
    let mut nats = system.nats_by(&bot).await?;
    // Its consumer is made a moment after it came into its first room.
    until("the bot has a feed", START_LIMIT, async || {
        nats_tokens::next_of_feed(&mut nats, &bot).await.ok().flatten()
    })
    .await;
    let asked = session.acked(&group, json!({ "text": "!echo kettle" })).await?;
    let url = format!("nats://{}", system.nats());
    let env = [
        ("WEFT_NATS", &*url),
        ("WEFT_BOT", &bot.name),
        ("WEFT_TOKEN", &bot.token),
        ("WEFT_TOKEN_ID", &bot.token_id),
    ];
    let mut running = example("feed.py")?.start(folder.path(), &env).await?;
    says((&mut running, &folder), "feed.py", &format!("rooms: ['{group}']")).await;
    let answer = session.expect(&group, asked + 1).await?;
    assert_eq!((&answer["from"], &answer["text"]), (&json!(name), &json!("kettle")), "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_receiver_verifies_what_an_outgoing_webhook_sends() -> Result<()> {
    if !can_run().await {
        return Ok(());
    }
    let (system, folder) = (webhooks::system(1, &[]).await?, Folder::new()?);
    let alice = system.user("alice").await?;
    let mut session = system.session(&alice).await?;
    let room = webhooks::group(&mut session, &[]).await?;
    let at = free_address()?;
    let wanted = json!({ "url": format!("http://{at}/weft"), "kinds": ["message"] });
    let path = format!("/v1/rooms/{room}/webhooks");
    let (_, secret) = webhooks::make(&system, &alice, &path, &wanted).await?;
    let (secret, port) = (format!("whsec_{}", STANDARD.encode(secret)), at.port().to_string());
    let env = [("WEFT_WEBHOOK_SECRET", &*secret), ("PORT", &port)];
    let mut running = example("receiver.py")?.start(folder.path(), &env).await?;
    session.acked(&room, json!({ "text": "the build is green" })).await?;
    let told = format!("entry {} the build is green", alice.user);
    says((&mut running, &folder), "receiver.py", &told).await;
    Ok(())
}
