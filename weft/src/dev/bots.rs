//! The bots of `weft dev`: made at its start, each with a token in a file, to try things with.

use std::fs;
use std::time::Duration;

use weft_nats::{Bus, BusOptions};
use weft_proto::svc::{MakeBot, MakeBotToken, OperatorMakeBot, OperatorMakeBotToken};
use weft_proto::{ErrorCode, UserId};

use super::folder::{Folder, kept};
use crate::error::Error;

const DAY: Duration = Duration::from_secs(86_400);
/// The longest that a token may be good.
const LIFE: Duration = DAY.saturating_mul(365);
/// A token of this age is replaced at the next start.
const RENEWED_AFTER: Duration = DAY.saturating_mul(300);

/// Makes those that are not there yet, and tokens where there is none or an old one.
pub async fn ensure(bots: &[UserId], folder: &Folder, operator: &BusOptions) -> Result<(), Error> {
    if bots.is_empty() {
        return Ok(());
    }
    let bus = Bus::connect(operator).await?;
    for bot in bots {
        // Everything else runs without it.
        if let Err(error) = ensure_one(bot, folder, &bus).await {
            tracing::warn!(%bot, error = error.one_line(), "there is no token of this bot");
        }
    }
    bus.close().await;
    Ok(())
}

async fn ensure_one(bot: &UserId, folder: &Folder, bus: &Bus) -> Result<(), Error> {
    let refused = |error: weft_proto::ApiError| Error::Failed(error.to_string());
    let request = Some(MakeBot { bot: bot.to_string(), ..MakeBot::default() });
    match bus.call(&OperatorMakeBot { request }).await {
        Ok(_) => {}
        Err(error) if error.code == ErrorCode::UserExists => {}
        Err(error) => return Err(refused(error)),
    }
    let file = folder.token_file(bot);
    let age = fs::metadata(&file).and_then(|found| found.modified()).ok();
    let age = age.and_then(|made| made.elapsed().ok());
    if age.is_some_and(|age| age < RENEWED_AFTER) {
        return Ok(());
    }
    let request = Some(MakeBotToken {
        bot: bot.to_string(),
        name: "weft dev".to_owned(),
        life_s: LIFE.as_secs(),
        ..MakeBotToken::default()
    });
    let made = bus.call(&OperatorMakeBotToken { request }).await.map_err(refused)?;
    if age.is_some() {
        fs::remove_file(&file).map_err(Error::file(&file))?;
    }
    kept(&file, 0o600, || Ok(made.token))?;
    Ok(())
}
