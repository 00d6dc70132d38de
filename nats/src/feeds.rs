//! The feeds of bots: one stream, in which each bot has a subject for each of its rooms.
//!
//! The stream refuses what is too much and never drops anything in silence, but for one rule: of a bot and a room the newest
//! [`ROOM_ENTRIES_MAX`] messages are kept, and what is missing before a message shows by its header [`WEFT_BEFORE`]. Everything else is
//! removed by whoever fills it, with a word to the bot before ([`tell_expired`], [`remove_before`]): so the newest word of a feed is always there,
//! however long its bot is away.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use weft_proto::{RoomId, UserId};

use crate::bus::Bus;
use crate::error::Error;
use crate::jetstream::{JsError, ask, publish, read_time_ns, request};
use crate::subject::{
    BOTS_STREAM, CONTENT_TYPE, JSON, WEFT_BEFORE, WEFT_BYTES, WEFT_EXPIRED, WEFT_ROOM, WEFT_SEQ,
};

/// Messages of a bot and a room that are kept.
pub const ROOM_ENTRIES_MAX: usize = 10_000;
/// What the stream may grow to.
pub const FEEDS_BYTES_MAX: u64 = 1 << 30;
/// Consumers of the stream: one for each bot. Where nothing is said nats-server takes 1,000.
pub const CONSUMERS_MAX: u32 = 100_000;
/// How long the stream knows a message again that was published before.
pub const KNOWN_FOR: Duration = Duration::from_secs(120);
/// An entry that a bot has not acknowledged for so long is given to it again.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// Entries that a bot has and has not acknowledged, and pulls of it that wait.
const UNACKED_MAX: u32 = 1_000;
const PULLS_MAX: u32 = 64;
/// The header by which the stream knows a message again.
const MESSAGE_ID: &str = "Nats-Msg-Id";
/// The header by which a message takes the place of those before it on its subject.
const ROLLUP: &str = "Nats-Rollup";
/// What the server answers where the stream has its bytes.
const FULL: u64 = 10_077;

/// An entry as a bot has it.
#[derive(Clone, Debug)]
pub struct FeedMessage {
    pub bot: UserId,
    pub room: RoomId,
    pub seq: u64,
    /// The seq of the room's entry before it in the bot's feed; 0: it is the first of its membership.
    pub before: u64,
    /// What the feed has carried so far, with this one.
    pub feed_bytes: u64,
    pub content_type: &'static str,
    pub payload: Bytes,
}

/// What became of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kept {
    /// The stream has it, or had it before, under this sequence.
    At(u64),
    /// The stream has its bytes: something has to be removed before.
    Full,
}

/// Puts an entry into a bot's feed.
///
/// # Errors
/// [`Error::JetStream`], [`Error::NoStream`], [`Error::Timeout`], [`Error::NoResponders`].
pub async fn put(bus: &Bus, message: FeedMessage) -> Result<Kept, Error> {
    let FeedMessage { bot, room, seq, before, feed_bytes, content_type, payload } = message;
    let subject = format!("weft.bot.{bot}.{room}");
    let id = format!("{bot}:{room}:{seq}");
    let (seq, before, bytes) = (seq.to_string(), before.to_string(), feed_bytes.to_string());
    let headers = [
        (MESSAGE_ID, id.as_str()),
        (WEFT_ROOM, room.as_str()),
        (WEFT_SEQ, &seq),
        (WEFT_BEFORE, &before),
        (WEFT_BYTES, &bytes),
        (CONTENT_TYPE, content_type),
    ];
    let kept = publish::<PubAck>(bus.link(), subject.clone(), &headers, payload).await?;
    kept_or_full(kept, subject)
}

/// Tells a bot that what was put into its feed before a moment may not be in it any more. In the place of what it was told so before.
///
/// # Errors
/// As [`put`].
pub async fn tell_expired(
    bus: &Bus,
    bot: &UserId,
    before_ms: u64,
    feed_bytes: u64,
) -> Result<Kept, Error> {
    let subject = expired_subject(bot);
    let (before, bytes) = (before_ms.to_string(), feed_bytes.to_string());
    let headers = [
        (ROLLUP, "sub"),
        (WEFT_EXPIRED, before.as_str()),
        (WEFT_BYTES, &bytes),
        (CONTENT_TYPE, JSON),
    ];
    let payload = json!({ "type": "expired", "before": before_ms }).to_string();
    let kept = publish::<PubAck>(bus.link(), subject.clone(), &headers, payload.into()).await?;
    kept_or_full(kept, subject)
}

/// Removes the messages of a bot's feed before a sequence.
///
/// # Errors
/// As every request to JetStream.
pub async fn remove_before(bus: &Bus, bot: &UserId, stream_seq: u64) -> Result<(), Error> {
    let verb = format!("STREAM.PURGE.{BOTS_STREAM}");
    let body = json!({ "filter": feed_subjects(bot), "seq": stream_seq });
    request::<Value>(bus.link(), &verb, &body).await.map(drop)
}

/// Makes the consumer by which a bot reads its feed: of the bot's name, pulled, and kept however long it is away. Where it is there, that changes nothing.
///
/// # Errors
/// As every request to JetStream.
pub async fn make_consumer(bus: &Bus, bot: &UserId) -> Result<(), Error> {
    let filter = feed_subjects(bot);
    let verb = format!("CONSUMER.CREATE.{BOTS_STREAM}.{bot}.{filter}");
    let ack_wait = u64::try_from(ACK_WAIT.as_nanos()).unwrap_or(u64::MAX);
    let config = json!({
        "name": bot,
        "durable_name": bot,
        "filter_subject": filter,
        "ack_policy": "explicit",
        "ack_wait": ack_wait,
        "deliver_policy": "all",
        "replay_policy": "instant",
        "max_deliver": -1,
        "max_ack_pending": UNACKED_MAX,
        "max_waiting": PULLS_MAX,
    });
    let body = json!({ "stream_name": BOTS_STREAM, "config": config, "action": "" });
    match ask::<Value>(bus.link(), &verb, &body).await? {
        Ok(_) => Ok(()),
        // 10026: the server has as many consumers as it takes. That is this bot's trouble, and not the others'.
        Err(JsError { err_code: 10_026, .. }) => {
            tracing::warn!(%bot, "nats-server takes no more consumers: the bot can't read its feed");
            Ok(())
        }
        Err(error) => Err(error.into_error(verb)),
    }
}

/// Removes a bot's feed, and its consumer: the bot is no more.
///
/// # Errors
/// As every request to JetStream.
pub async fn remove_feed(bus: &Bus, bot: &UserId) -> Result<(), Error> {
    let verb = format!("CONSUMER.DELETE.{BOTS_STREAM}.{bot}");
    match ask::<Value>(bus.link(), &verb, &json!({})).await? {
        // 10014: there is none.
        Ok(_) | Err(JsError { err_code: 10_014, .. }) => {}
        Err(error) => return Err(error.into_error(verb)),
    }
    let verb = format!("STREAM.PURGE.{BOTS_STREAM}");
    let body = json!({ "filter": feed_subjects(bot) });
    request::<Value>(bus.link(), &verb, &body).await.map(drop)
}

/// A message of the stream, without its payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stored {
    pub stream_seq: u64,
    /// When the stream got it, Unix milliseconds.
    pub time_ms: u64,
    /// As [`FeedMessage::feed_bytes`].
    pub feed_bytes: u64,
    /// It says that something has expired.
    pub is_word: bool,
}

/// The newest message of a bot's feed.
///
/// # Errors
/// As every request to JetStream.
pub async fn newest(bus: &Bus, bot: &UserId) -> Result<Option<Stored>, Error> {
    find(bus, &json!({ "last_by_subj": feed_subjects(bot) })).await
}

/// The first message of a bot's feed from a sequence on.
///
/// # Errors
/// As every request to JetStream.
pub async fn first_from(bus: &Bus, bot: &UserId, stream_seq: u64) -> Result<Option<Stored>, Error> {
    find(bus, &json!({ "seq": stream_seq, "next_by_subj": feed_subjects(bot) })).await
}

/// The first message of all feeds from a sequence on.
///
/// # Errors
/// As every request to JetStream.
pub async fn first_of_all_from(bus: &Bus, stream_seq: u64) -> Result<Option<Stored>, Error> {
    find(bus, &json!({ "seq": stream_seq, "next_by_subj": "weft.bot.>" })).await
}

/// How much the stream has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
pub struct Filled {
    #[serde(default)]
    pub messages: u64,
    #[serde(default)]
    pub bytes: u64,
    #[serde(default)]
    pub first_seq: u64,
    #[serde(default)]
    pub last_seq: u64,
}

/// How much the stream has.
///
/// # Errors
/// As every request to JetStream.
pub async fn filled(bus: &Bus) -> Result<Filled, Error> {
    #[derive(Deserialize)]
    struct Info {
        state: Filled,
    }
    let verb = format!("STREAM.INFO.{BOTS_STREAM}");
    Ok(request::<Info>(bus.link(), &verb, &json!({})).await?.state)
}

#[derive(Deserialize)]
struct PubAck {
    seq: u64,
}

fn kept_or_full(kept: Result<PubAck, JsError>, subject: String) -> Result<Kept, Error> {
    match kept {
        Ok(ack) => Ok(Kept::At(ack.seq)),
        Err(error) if error.err_code == FULL => Ok(Kept::Full),
        Err(error) => Err(error.into_error(subject)),
    }
}

fn feed_subjects(bot: &UserId) -> String {
    format!("weft.bot.{bot}.>")
}

/// No room has this name.
fn expired_subject(bot: &UserId) -> String {
    format!("weft.bot.{bot}.~expired")
}

async fn find(bus: &Bus, which: &Value) -> Result<Option<Stored>, Error> {
    #[derive(Deserialize)]
    struct Got {
        message: Message,
    }
    #[derive(Deserialize)]
    struct Message {
        seq: u64,
        subject: String,
        time: String,
        /// Base64.
        #[serde(default)]
        hdrs: String,
    }
    let verb = format!("STREAM.MSG.GET.{BOTS_STREAM}");
    let message = match ask::<Got>(bus.link(), &verb, which).await? {
        Ok(got) => got.message,
        // 10037: there is no such message.
        Err(JsError { err_code: 10_037, .. }) => return Ok(None),
        Err(error) => return Err(error.into_error(verb)),
    };
    let time_ns = read_time_ns(&message.time).ok_or(Error::Malformed("time of a message"))?;
    Ok(Some(Stored {
        stream_seq: message.seq,
        time_ms: time_ns / 1_000_000,
        feed_bytes: number_in(&message.hdrs, WEFT_BYTES).unwrap_or_default(),
        is_word: message.subject.ends_with(".~expired"),
    }))
}

/// A number in a header block, as the server gives it.
fn number_in(block: &str, name: &str) -> Option<u64> {
    use base64::Engine as _;
    let block = base64::engine::general_purpose::STANDARD.decode(block).ok()?;
    let block = String::from_utf8(block).ok()?;
    let value = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn a_number_is_found_in_a_header_block() {
        let block = "NATS/1.0\r\nWeft-Seq: 7\r\nWeft-Bytes: 1234\r\n\r\n";
        let block = STANDARD.encode(block);
        assert_eq!(number_in(&block, WEFT_BYTES), Some(1_234));
        assert_eq!(number_in(&block, "Weft-Other"), None);
        assert_eq!(number_in("", WEFT_BYTES), None);
    }

    #[test]
    fn no_room_has_the_subject_of_what_has_expired() {
        let bot = UserId::new("b1").expect("id");
        let subject = expired_subject(&bot);
        assert_eq!(subject, "weft.bot.b1.~expired");
        assert!(RoomId::new("~expired").is_err());
    }
}
