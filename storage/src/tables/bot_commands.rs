//! What a bot does when it is told to: the commands that it has registered, which clients offer to people in its rooms.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::UserId;

use super::key::Key;
use super::table::Table;
use super::{Tag, record};
use crate::engine::Snapshot;
use crate::error::Error;

#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BotCommands {
    /// Ascending by name.
    #[prost(message, repeated, tag = "1")]
    pub commands: Vec<BotCommand>,
}

#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BotCommand {
    #[prost(string, tag = "1")]
    pub name: String,
    /// What it does, for people.
    #[prost(string, tag = "2")]
    pub description: String,
    /// What is written after its name, for people; empty: nothing.
    #[prost(string, tag = "3")]
    pub usage: String,
}

impl Table for BotCommands {
    const TAG: Tag = Tag::BotCommands;
    const NAME: &str = "bot_commands";
    type Key = UserId;
    type Row = Self;
}

#[must_use]
pub fn key(bot: &UserId) -> Bytes {
    BotCommands::key(bot)
}

/// The bots that have registered commands, by id: at most `limit`.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn bots(snapshot: &dyn Snapshot, limit: usize) -> Result<Vec<UserId>, Error> {
    let range = Key::new(Tag::BotCommands).prefix_range();
    let rows = snapshot.scan(range, limit, false).await?;
    rows.iter().map(|(key, _)| BotCommands::read_key(key)).collect()
}

impl BotCommands {
    #[must_use]
    pub fn encode(&self) -> Bytes {
        record::encode(self).into()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        record::decode_whole(Self::NAME, bytes)
    }
}
