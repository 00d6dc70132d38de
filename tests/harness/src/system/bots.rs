//! The bots of a system, and the tokens by which they come in.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{BOT, OTHER_BOT, QUIET_BOT, System, unique};
use crate::account::{self, Login};
use crate::nats::Nats;

/// A bot, by one of its tokens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bot {
    pub name: String,
    /// By which the token is listed and revoked.
    pub token_id: String,
    pub token: String,
}

impl Bot {
    /// Where its replies go on NATS.
    pub fn inbox(&self) -> String {
        format!("_INBOX_{}_{}", self.name, self.token_id)
    }
}

/// The bots that tests share, and who made them.
#[derive(Clone, Debug)]
pub struct Bots {
    pub owner: Login,
    all: Vec<Bot>,
}

impl System {
    /// Makes the bots that tests share, where that was not done.
    pub async fn bots(&self) -> Result<&Bots> {
        let made = self.bots.get_or_try_init(async || {
            let name = unique("owner");
            account::sign_up(self.edge(), &name).await?;
            let owner = account::login(self.edge(), &name, "phone").await?;
            let mut all = Vec::new();
            for name in [BOT, OTHER_BOT, QUIET_BOT] {
                self.make_bot(&owner, name).await?;
                all.push(self.bot_token(&owner, name, json!({})).await?);
            }
            Ok::<_, anyhow::Error>(Bots { owner, all })
        });
        made.await
    }

    /// One of the bots that tests share.
    pub async fn bot(&self, name: &str) -> Result<&Bot> {
        let bots = self.bots().await?;
        bots.all.iter().find(|bot| bot.name == name).with_context(|| format!("no bot is {name}"))
    }

    /// Makes a bot of a user.
    pub async fn make_bot(&self, owner: &Login, name: &str) -> Result<()> {
        let body = json!({ "bot": name });
        let made = owner.call(self.edge(), "POST", "/v1/bots", &body).await?;
        ensure!(made.status == 201, "{made:?}");
        Ok(())
    }

    /// Makes a token of a bot; `fields` are its scope, its life, its key.
    pub async fn bot_token(&self, owner: &Login, name: &str, fields: Value) -> Result<Bot> {
        let path = format!("/v1/bots/{name}/tokens");
        let made = owner.call(self.edge(), "POST", &path, &fields).await?;
        ensure!(made.status == 201, "{made:?}");
        let field = |name: &str| made.body[name].as_str().unwrap_or_default().to_owned();
        Ok(Bot { name: name.to_owned(), token_id: field("id"), token: field("token") })
    }

    /// Ends a token of a bot.
    pub async fn revoke(&self, owner: &Login, bot: &Bot) -> Result<()> {
        let path = format!("/v1/bots/{}/tokens/{}", bot.name, bot.token_id);
        let revoked = owner.call(self.edge(), "DELETE", &path, &Value::Null).await?;
        ensure!(revoked.status == 204, "{revoked:?}");
        Ok(())
    }

    /// A bot's connection to nats-server by hand.
    pub async fn nats_by(&self, bot: &Bot) -> Result<Nats> {
        Nats::connect(self.nats(), &bot.name, &bot.token).await
    }
}
