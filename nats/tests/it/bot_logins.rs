//! Logins of bots, and the end of their connections.

use weft_harness::server::bot_grant;
use weft_nats::{BotConnections, callout};

use crate::common::{Fixture, eventually};
use crate::raw::Raw;

/// The connections of a bot, as core sees them.
async fn open(core: &weft_nats::Bus, bot: &str) -> Vec<weft_nats::BotConnection> {
    let mut looking = BotConnections::look(core).await.expect("look");
    let mut open = Vec::new();
    while let Some(some) = looking.next(core).await.expect("connections") {
        open.extend(some.into_iter().filter(|connection| connection.bot.as_str() == bot));
    }
    open
}

#[tokio::test]
async fn a_connection_is_known_by_its_token_and_can_be_ended() {
    let fixture = Fixture::new(1).await;
    let core = fixture.bus("core", "c").await;
    let mut bot = Raw::connect(&fixture, "bot").await;
    let _eve = Raw::connect(&fixture, "eve").await;
    bot.sync().await;
    let found = open(&core, "bot").await;
    assert_eq!(found.len(), 1, "{found:?}");
    let granted = bot_grant("bot");
    assert_eq!((&found[0].token, found[0].made_ms), (&granted.token, granted.made_ms));
    callout::end(&core, &found[0]).await.expect("end");
    eventually("it is gone", async || open(&core, "bot").await.is_empty()).await;
    assert_eq!(open(&core, "eve").await.len(), 1, "and no other");
}
