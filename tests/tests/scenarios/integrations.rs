//! The examples of `docs/integrations.md`, run as they are on the page.

use anyhow::Result;
use serde_json::{Value, json};
use weft_harness::examples::{can_run, example};
use weft_harness::session::Session;
use weft_harness::system::{Folder, START_LIMIT, System, unique};
use weft_harness::wait::until;

use crate::hooks::WithHook;
use crate::{bots, two_edges};

/// Where the examples find the system.
fn websocket(system: &System) -> String {
    format!("ws://{}/v1/ws", system.edge())
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
    let log = folder.path().join("bot.py.log");
    until("the bot listens", START_LIMIT, async || {
        if let Ok(Some(status)) = running.try_wait() {
            panic!("it has ended: {status}: see {}", log.display());
        }
        std::fs::read_to_string(&log).ok()?.contains("listening").then_some(())
    })
    .await;
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
