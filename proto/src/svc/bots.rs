//! Bots: accounts that are no person's, and the tokens by which they come in.

use std::collections::BTreeSet;
use std::fmt;

use prost::Message;

use super::{Empty, Method};
use crate::error::ApiError;
use crate::room::RoomId;
use crate::scope::{Access, Scope};

redacted! {
    MakeBot { bot }
    ListBots { after, limit }
    DeleteBot { bot }
    MakeBotToken { bot, name, scope }
    MadeBotToken { id, expires_ms }
    ListBotTokens { bot }
    RevokeBotToken { bot, id }
}

/// Makes a bot of the caller.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct MakeBot {
    #[prost(string, tag = "1")]
    pub token: String,
    /// Its user id.
    #[prost(string, tag = "2")]
    pub bot: String,
    /// Empty: the user id.
    #[prost(string, tag = "3")]
    pub display_name: String,
    /// It is to be the installation's: administrators alone may make one.
    #[prost(bool, tag = "4")]
    pub of_installation: bool,
}
method!(MakeBot, "accounts", "make_bot", Bot);
operator!(OperatorMakeBot, MakeBot);

#[derive(Clone, PartialEq, Message)]
pub struct Bot {
    #[prost(string, tag = "1")]
    pub bot: String,
    #[prost(string, tag = "2")]
    pub display_name: String,
    /// Who has it; empty: the installation.
    #[prost(string, tag = "3")]
    pub owner: String,
    /// Unix milliseconds.
    #[prost(uint64, tag = "4")]
    pub made_ms: u64,
    /// Unix milliseconds; 0: it is not suspended.
    #[prost(uint64, tag = "5")]
    pub suspended_ms: u64,
}

/// Lists the caller's bots, or all of them.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListBots {
    #[prost(string, tag = "1")]
    pub token: String,
    /// All: administrators alone may ask for that.
    #[prost(bool, tag = "2")]
    pub all: bool,
    /// Of all: only those after this id; empty: from the first.
    #[prost(string, tag = "3")]
    pub after: String,
    /// Of all: most of one page; 0: as many as a page holds.
    #[prost(uint32, tag = "4")]
    pub limit: u32,
}
method!(ListBots, "accounts", "bots", Bots);
operator!(OperatorListBots, ListBots);

#[derive(Clone, PartialEq, Message)]
pub struct Bots {
    /// Ascending by id.
    #[prost(message, repeated, tag = "1")]
    pub bots: Vec<Bot>,
    /// There are more: ask again with `after` = the last one.
    #[prost(bool, tag = "2")]
    pub more: bool,
}

/// Deletes a bot's account.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct DeleteBot {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub bot: String,
}
method!(DeleteBot, "accounts", "delete_bot", Empty);
operator!(OperatorDeleteBot, DeleteBot);

/// A [`Scope`].
#[derive(Clone, PartialEq, Message)]
pub struct BotScope {
    /// None: it names none.
    #[prost(string, repeated, tag = "1")]
    pub rooms: Vec<String>,
    /// None: it names none.
    #[prost(string, repeated, tag = "2")]
    pub kinds: Vec<String>,
    #[prost(bool, tag = "3")]
    pub is_read_only: bool,
}

impl From<Scope> for BotScope {
    fn from(Scope { rooms, kinds, access }: Scope) -> Self {
        let rooms = rooms.iter().flatten().map(RoomId::to_string).collect();
        let kinds = kinds.into_iter().flatten().collect();
        Self { rooms, kinds, is_read_only: access == Access::Read }
    }
}

impl TryFrom<BotScope> for Scope {
    type Error = ApiError;

    fn try_from(BotScope { rooms, kinds, is_read_only }: BotScope) -> Result<Self, ApiError> {
        let rooms: BTreeSet<RoomId> =
            rooms.iter().map(|room| RoomId::new(room)).collect::<Result<_, _>>()?;
        let kinds: BTreeSet<String> = kinds.into_iter().collect();
        Ok(Self {
            rooms: Some(rooms).filter(|rooms| !rooms.is_empty()),
            kinds: Some(kinds).filter(|kinds| !kinds.is_empty()),
            access: if is_read_only { Access::Read } else { Access::Write },
        })
    }
}

/// Makes a token for a bot.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct MakeBotToken {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub bot: String,
    /// For people, to tell it from others.
    #[prost(string, tag = "3")]
    pub name: String,
    /// What it is good for.
    #[prost(message, optional, tag = "4")]
    pub scope: Option<BotScope>,
    /// How long it is good, in seconds; 0: as long as it says nothing else.
    #[prost(uint64, tag = "5")]
    pub life_s: u64,
    /// The public `NKey` of whoever is to have it, on NATS; empty: of nobody.
    #[prost(string, tag = "6")]
    pub nkey: String,
}
method!(MakeBotToken, "accounts", "make_bot_token", MadeBotToken);
operator!(OperatorMakeBotToken, MakeBotToken);

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct MadeBotToken {
    /// By which it is listed and revoked.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The secret. It is told this once.
    #[prost(string, tag = "2")]
    pub token: String,
    /// When it ends, Unix milliseconds.
    #[prost(uint64, tag = "3")]
    pub expires_ms: u64,
}

/// Lists a bot's tokens.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListBotTokens {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub bot: String,
}
method!(ListBotTokens, "accounts", "bot_tokens", BotTokens);
operator!(OperatorListBotTokens, ListBotTokens);

#[derive(Clone, PartialEq, Message)]
pub struct BotTokens {
    /// Those that are good, the ones that were made last first.
    #[prost(message, repeated, tag = "1")]
    pub tokens: Vec<BotToken>,
}

/// A token, without its secret.
#[derive(Clone, PartialEq, Message)]
pub struct BotToken {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(message, optional, tag = "3")]
    pub scope: Option<BotScope>,
    /// Unix milliseconds.
    #[prost(uint64, tag = "4")]
    pub made_ms: u64,
    /// Unix milliseconds.
    #[prost(uint64, tag = "5")]
    pub expires_ms: u64,
    /// Empty: none.
    #[prost(string, tag = "6")]
    pub nkey: String,
}

/// Ends a token.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct RevokeBotToken {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub bot: String,
    #[prost(string, tag = "3")]
    pub id: String,
}
method!(RevokeBotToken, "accounts", "revoke_bot_token", Empty);
operator!(OperatorRevokeBotToken, RevokeBotToken);
