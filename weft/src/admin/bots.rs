//! `weft admin bots`: the installation's bots, those of users, and the tokens by which they come in.

use clap::{Args, Subcommand};
use serde::Serialize;
use weft_proto::svc::{
    Bot, BotScope, BotToken, DeleteBot, ListBotTokens, ListBots, MakeBot, MakeBotToken,
    OperatorDeleteBot, OperatorListBotTokens, OperatorListBots, OperatorMakeBot,
    OperatorMakeBotToken, OperatorRevokeBotToken, RevokeBotToken,
};
use weft_proto::{DeviceId, RoomId, UserId};

use super::administrators::{line, refused};
use super::nodes::Installation;
use crate::error::Error;
use crate::process::say;

const DAY_S: u64 = 86_400;

#[derive(Args, Clone, Debug)]
pub struct BotsOptions {
    #[command(subcommand)]
    command: BotsCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum BotsCommand {
    /// Makes a bot of the installation, and says what it is: a JSON object.
    Create {
        #[arg(value_parser = user)]
        bot: UserId,
        /// What people see; left out: its user id.
        #[arg(long, default_value = "")]
        display_name: String,
        #[command(flatten)]
        installation: Installation,
    },
    /// Lists all bots: a JSON object a line.
    List(Installation),
    /// Makes a token for a bot, and says it, once: a JSON object.
    Token(TokenOptions),
    /// Lists the tokens of a bot: a JSON object a line.
    Tokens {
        #[arg(value_parser = user)]
        bot: UserId,
        #[command(flatten)]
        installation: Installation,
    },
    /// Ends a token of a bot.
    Revoke {
        #[arg(value_parser = user)]
        bot: UserId,
        /// Its id, as `weft admin bots tokens` says it.
        #[arg(value_parser = device)]
        id: DeviceId,
        #[command(flatten)]
        installation: Installation,
    },
    /// Deletes a bot. It can't be taken back.
    Delete {
        #[arg(value_parser = user)]
        bot: UserId,
        #[command(flatten)]
        installation: Installation,
    },
}

#[derive(Args, Clone, Debug)]
struct TokenOptions {
    #[arg(value_parser = user)]
    bot: UserId,
    /// To tell it from others.
    #[arg(long, default_value = "")]
    name: String,
    /// A room for which it is good; may be repeated. None: all of the bot's.
    #[arg(long = "room", value_parser = room)]
    rooms: Vec<RoomId>,
    /// A kind of entries that may be sent by it; may be repeated. None: all.
    #[arg(long = "kind")]
    kinds: Vec<String>,
    /// It is good for reading alone.
    #[arg(long)]
    read_only: bool,
    /// For how many days it is good; left out: 90.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=365))]
    days: Option<u64>,
    /// The public NKey of whoever has it: then it is good on NATS alone.
    #[arg(long, default_value = "")]
    nkey: String,
    #[command(flatten)]
    installation: Installation,
}

fn user(text: &str) -> Result<UserId, String> {
    UserId::new(text).map_err(|error| error.message)
}

fn device(text: &str) -> Result<DeviceId, String> {
    DeviceId::new(text).map_err(|error| error.message)
}

fn room(text: &str) -> Result<RoomId, String> {
    RoomId::new(text).map_err(|error| error.message)
}

/// A bot, in one line of JSON.
#[derive(Serialize)]
struct BotLine<'a> {
    bot: &'a str,
    display_name: &'a str,
    /// Empty: the installation.
    owner: &'a str,
    made_ms: u64,
    /// 0: it is not suspended.
    suspended_ms: u64,
}

/// A token, in one line of JSON.
#[derive(Serialize)]
struct TokenLine<'a> {
    id: &'a str,
    name: &'a str,
    /// None: all.
    rooms: &'a [String],
    kinds: &'a [String],
    read_only: bool,
    made_ms: u64,
    expires_ms: u64,
    nkey: &'a str,
}

/// A new one.
#[derive(Serialize)]
struct MadeLine<'a> {
    id: &'a str,
    /// The secret.
    token: &'a str,
    expires_ms: u64,
}

/// Does it.
pub async fn run(options: BotsOptions) -> Result<(), Error> {
    match options.command {
        BotsCommand::Create { bot, display_name, installation } => {
            let bot = bot.to_string();
            let request = Some(MakeBot { bot, display_name, ..MakeBot::default() });
            let bus = installation.connect().await?;
            let made = bus.call(&OperatorMakeBot { request }).await;
            bus.close().await;
            line(&BotLine::of(&made.map_err(refused)?))
        }
        BotsCommand::List(installation) => list(&installation).await,
        BotsCommand::Token(options) => make_token(options).await,
        BotsCommand::Tokens { bot, installation } => {
            let request = Some(ListBotTokens { bot: bot.to_string(), ..ListBotTokens::default() });
            let bus = installation.connect().await?;
            let listed = bus.call(&OperatorListBotTokens { request }).await;
            bus.close().await;
            listed.map_err(refused)?.tokens.iter().try_for_each(|it| line(&TokenLine::of(it)))
        }
        BotsCommand::Revoke { bot, id, installation } => {
            let (bot, id) = (bot.to_string(), id.to_string());
            let request = Some(RevokeBotToken { bot, id, ..RevokeBotToken::default() });
            let bus = installation.connect().await?;
            let done = bus.call(&OperatorRevokeBotToken { request }).await;
            bus.close().await;
            done.map_err(refused)?;
            say("done");
            Ok(())
        }
        BotsCommand::Delete { bot, installation } => {
            let request = Some(DeleteBot { bot: bot.to_string(), ..DeleteBot::default() });
            let bus = installation.connect().await?;
            let done = bus.call(&OperatorDeleteBot { request }).await;
            bus.close().await;
            done.map_err(refused)?;
            say("done");
            Ok(())
        }
    }
}

async fn list(installation: &Installation) -> Result<(), Error> {
    let bus = installation.connect().await?;
    let (mut after, mut more) = (String::new(), true);
    while more {
        let request = Some(ListBots { all: true, after, ..ListBots::default() });
        let page = bus.call(&OperatorListBots { request }).await.map_err(refused)?;
        for bot in &page.bots {
            line(&BotLine::of(bot))?;
        }
        more = page.more;
        after = page.bots.last().map(|it| it.bot.clone()).unwrap_or_default();
    }
    bus.close().await;
    Ok(())
}

async fn make_token(options: TokenOptions) -> Result<(), Error> {
    let TokenOptions { bot, name, rooms, kinds, read_only, days, nkey, installation } = options;
    let rooms = rooms.iter().map(ToString::to_string).collect();
    let request = MakeBotToken {
        bot: bot.to_string(),
        name,
        scope: Some(BotScope { rooms, kinds, is_read_only: read_only }),
        life_s: days.unwrap_or_default() * DAY_S,
        nkey,
        ..MakeBotToken::default()
    };
    let bus = installation.connect().await?;
    let made = bus.call(&OperatorMakeBotToken { request: Some(request) }).await;
    bus.close().await;
    let made = made.map_err(refused)?;
    line(&MadeLine { id: &made.id, token: &made.token, expires_ms: made.expires_ms })
}

impl<'a> BotLine<'a> {
    fn of(it: &'a Bot) -> Self {
        let Bot { bot, display_name, owner, made_ms, suspended_ms } = it;
        let (made_ms, suspended_ms) = (*made_ms, *suspended_ms);
        Self { bot, display_name, owner, made_ms, suspended_ms }
    }
}

impl<'a> TokenLine<'a> {
    fn of(it: &'a BotToken) -> Self {
        let scope = it.scope.as_ref();
        Self {
            id: &it.id,
            name: &it.name,
            rooms: scope.map_or(&[], |scope| &scope.rooms),
            kinds: scope.map_or(&[], |scope| &scope.kinds),
            read_only: scope.is_some_and(|scope| scope.is_read_only),
            made_ms: it.made_ms,
            expires_ms: it.expires_ms,
            nkey: &it.nkey,
        }
    }
}
