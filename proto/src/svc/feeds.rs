//! What `weft integrations` asks core for to make the feeds of bots (`weft.svc.feeds.…`): it alone may. And in which form a bot has its own.

use std::fmt;

use prost::Message;

use super::{Empty, Method};

redacted! {
    GetFeed { bot }
    SetFeed { bot, feed }
}

/// Asks for entries as bots are to have them. Errors: `unknown_type`, before the store's level is raised.
#[derive(Clone, PartialEq, Message)]
pub struct ReadFeeds {
    /// Of a room they ascend, and none is left out between two calls: the bots that one adds are known when it comes to the next one.
    #[prost(message, repeated, tag = "1")]
    pub places: Vec<FeedPlace>,
}
method!(ReadFeeds, "feeds", "read", FeedEntries);

/// An entry, and who joins by it.
#[derive(Clone, PartialEq, Message)]
pub struct FeedPlace {
    #[prost(string, tag = "1")]
    pub room: String,
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    #[prost(string, repeated, tag = "3")]
    pub joins: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct FeedEntries {
    /// Those that bots are to have, in the order of the places.
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<FeedEntry>,
    /// Of how many places it speaks: of at least one.
    #[prost(uint32, tag = "2")]
    pub done: u32,
}

/// An entry, as it is now, and whose it is.
#[derive(Clone, PartialEq, Message)]
pub struct FeedEntry {
    #[prost(string, tag = "1")]
    pub room: String,
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// The frame of a session.
    #[prost(bytes = "vec", tag = "3")]
    pub frame: Vec<u8>,
    /// When it was taken, Unix milliseconds.
    #[prost(uint64, tag = "4")]
    pub time_ms: u64,
    /// The word of its kind.
    #[prost(string, tag = "5")]
    pub kind: String,
    #[prost(message, repeated, tag = "6")]
    pub bots: Vec<FeedBot>,
}

/// A bot that was a member at an entry.
#[derive(Clone, PartialEq, Message)]
pub struct FeedBot {
    #[prost(string, tag = "1")]
    pub bot: String,
    /// The seq of the room's entry before this one in the bot's feed; 0: this is the first of its membership.
    #[prost(uint64, tag = "2")]
    pub before: u64,
    #[prost(bool, tag = "3")]
    pub cloudevents: bool,
}

/// Lists the bots that have feeds.
#[derive(Clone, PartialEq, Message)]
pub struct ListFeeds {
    /// Those after this one; empty: from the first.
    #[prost(string, tag = "1")]
    pub after: String,
}
method!(ListFeeds, "feeds", "list", Feeds);

#[derive(Clone, PartialEq, Message)]
pub struct Feeds {
    #[prost(string, repeated, tag = "1")]
    pub bots: Vec<String>,
    /// After whom to go on; empty: there are no more.
    #[prost(string, tag = "2")]
    pub after: String,
    /// Those of which the account is no more: they are listed this once.
    #[prost(string, repeated, tag = "3")]
    pub ended: Vec<String>,
}

/// Finds which bots are in which groups, among the accounts after a user: where the journal does not tell it from the beginning on. Errors:
/// `unknown_type`, before the store's level is raised.
#[derive(Clone, PartialEq, Message)]
pub struct FindBots {
    /// Users after this one; empty: from the first.
    #[prost(string, tag = "1")]
    pub after: String,
    /// Before them, of the user themselves, groups after this one; empty: none.
    #[prost(string, tag = "2")]
    pub room: String,
}
method!(FindBots, "feeds", "find", FoundBots);

#[derive(Clone, PartialEq, Message)]
pub struct FoundBots {
    /// Where to go on, as of [`FindBots`]. Both are empty: there are no more.
    #[prost(string, tag = "1")]
    pub after: String,
    #[prost(string, tag = "2")]
    pub room: String,
}

/// The feed of a bot.
#[derive(Clone, PartialEq, Message)]
pub struct Feed {
    /// Its entries are CloudEvents.
    #[prost(bool, tag = "1")]
    pub cloudevents: bool,
}

/// Asks in which form a bot has its feed.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct GetFeed {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub bot: String,
}
method!(GetFeed, "accounts", "feed", Feed);

/// Sets it, for what is put into it from now on.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct SetFeed {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub bot: String,
    #[prost(message, optional, tag = "3")]
    pub feed: Option<Feed>,
}
method!(SetFeed, "accounts", "feed_set", Empty);
