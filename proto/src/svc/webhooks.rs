//! Outgoing webhooks: what their makers ask for (`weft.svc.rooms.webhook_…`), and what `weft integrations` has to know
//! (`weft.svc.webhooks.…`).

use std::fmt;

use prost::Message;

use super::{Empty, Method, Place};
use crate::error::{ApiError, ErrorCode};
use crate::frame::check_address;
use crate::limits::{WEBHOOK_KINDS_MAX, WEBHOOK_URL_BYTES_MAX};

/// Longest word of a kind.
const KIND_BYTES_MAX: usize = 32;
/// The form of what is delivered where another one than Weft's own is asked for.
pub const CLOUD_EVENTS: &str = "cloudevents";

redacted! {
    MakeWebhook { room, kinds, format }
    ListWebhooks { room }
    ChangeWebhook { room, id, paused }
    RemoveWebhook { room, id }
    RenewWebhook { room, id }
    TestWebhook { room, id }
    Webhook { id, kinds, format, by, made_ms, state, reason, failing_since_ms, missed }
    WebhookFacts { is_wanted, is_failed, format, failing_since_ms, missed }
    CheckWebhookUrl {}
}

/// Whether an outgoing webhook is delivered to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum WebhookState {
    Active = 0,
    /// Somebody has paused it.
    Paused = 1,
    /// It has failed for too long.
    Failed = 2,
}

impl WebhookState {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Failed => "failed",
        }
    }
}

/// An outgoing webhook, as those see it who may change it.
#[derive(Clone, PartialEq, Eq, Message)]
#[prost(skip_debug)]
pub struct Webhook {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub url: String,
    /// Of which kinds of entries it is told; none: of all.
    #[prost(string, repeated, tag = "3")]
    pub kinds: Vec<String>,
    /// Empty: Weft's own; or [`CLOUD_EVENTS`].
    #[prost(string, tag = "4")]
    pub format: String,
    /// Who made it.
    #[prost(string, tag = "5")]
    pub by: String,
    /// When, Unix milliseconds.
    #[prost(uint64, tag = "6")]
    pub made_ms: u64,
    #[prost(enumeration = "WebhookState", tag = "7")]
    pub state: i32,
    /// Why it failed last; empty: it does not fail.
    #[prost(string, tag = "8")]
    pub reason: String,
    /// Unix milliseconds; 0: it does not.
    #[prost(uint64, tag = "9")]
    pub failing_since_ms: u64,
    /// At least so many entries were left out since it was told so last.
    #[prost(uint64, tag = "10")]
    pub missed: u64,
    /// With what deliveries are signed; only in the answer to what has made it.
    #[prost(bytes = "vec", tag = "11")]
    pub secret: Vec<u8>,
}

/// Makes a webhook. The answer has its secret.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct MakeWebhook {
    #[prost(string, tag = "1")]
    pub token: String,
    /// Of a group; empty: the caller's own, for what mentions them and their direct messages.
    #[prost(string, tag = "2")]
    pub room: String,
    #[prost(string, tag = "3")]
    pub url: String,
    #[prost(string, repeated, tag = "4")]
    pub kinds: Vec<String>,
    #[prost(string, tag = "5")]
    pub format: String,
}
method!(MakeWebhook, "rooms", "webhook_make", Webhook);

impl MakeWebhook {
    /// Checks forms and lengths.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`], [`ErrorCode::TooLong`].
    pub fn check(&self) -> Result<(), ApiError> {
        check_webhook_url(&self.url)?;
        let bad = |message: &str| Err(ApiError::new(ErrorCode::BadRequest, message));
        if self.kinds.len() > WEBHOOK_KINDS_MAX {
            let message = format!("the field kinds has more than {WEBHOOK_KINDS_MAX} kinds");
            return Err(ApiError::new(ErrorCode::TooLong, message));
        }
        let is_word = |kind: &String| {
            let is_letter = |byte: u8| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-');
            (1..=KIND_BYTES_MAX).contains(&kind.len()) && kind.bytes().all(is_letter)
        };
        if !self.kinds.iter().all(is_word) {
            return bad("the field kinds is a list of kinds of entries, as message");
        }
        match &*self.format {
            "" | CLOUD_EVENTS => Ok(()),
            _ => bad("the field format is weft or cloudevents"),
        }
    }
}

/// Checks the form of an address. Whether it may be asked, [`CheckWebhookUrl`] says.
///
/// # Errors
/// [`ErrorCode::BadRequest`], [`ErrorCode::TooLong`].
pub(crate) fn check_webhook_url(url: &str) -> Result<(), ApiError> {
    check_address("url", url, WEBHOOK_URL_BYTES_MAX)
}

/// Lists the webhooks of a group, or the caller's own.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListWebhooks {
    #[prost(string, tag = "1")]
    pub token: String,
    /// As of [`MakeWebhook`].
    #[prost(string, tag = "2")]
    pub room: String,
}
method!(ListWebhooks, "rooms", "webhook_list", Webhooks);

#[derive(Clone, PartialEq, Message)]
pub struct Webhooks {
    /// Those that were made first, first.
    #[prost(message, repeated, tag = "1")]
    pub webhooks: Vec<Webhook>,
}

/// Changes a webhook.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ChangeWebhook {
    #[prost(string, tag = "1")]
    pub token: String,
    /// As of [`MakeWebhook`].
    #[prost(string, tag = "2")]
    pub room: String,
    #[prost(string, tag = "3")]
    pub id: String,
    /// None: as it is.
    #[prost(string, optional, tag = "4")]
    pub url: Option<String>,
    /// None: as it is. `false`: also where it was paused because it failed.
    #[prost(bool, optional, tag = "5")]
    pub paused: Option<bool>,
}
method!(ChangeWebhook, "rooms", "webhook_change", Webhook);

impl ChangeWebhook {
    /// As [`MakeWebhook::check`].
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`], [`ErrorCode::TooLong`].
    pub fn check(&self) -> Result<(), ApiError> {
        self.url.as_deref().map_or(Ok(()), check_webhook_url)
    }
}

/// Removes a webhook.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct RemoveWebhook {
    #[prost(string, tag = "1")]
    pub token: String,
    /// As of [`MakeWebhook`].
    #[prost(string, tag = "2")]
    pub room: String,
    #[prost(string, tag = "3")]
    pub id: String,
}
method!(RemoveWebhook, "rooms", "webhook_remove", Empty);

/// Gives a webhook another secret. For a day deliveries are signed with both.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct RenewWebhook {
    #[prost(string, tag = "1")]
    pub token: String,
    /// As of [`MakeWebhook`].
    #[prost(string, tag = "2")]
    pub room: String,
    #[prost(string, tag = "3")]
    pub id: String,
}
method!(RenewWebhook, "rooms", "webhook_renew", Webhook);

/// Has something delivered to a webhook that is no entry.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct TestWebhook {
    #[prost(string, tag = "1")]
    pub token: String,
    /// As of [`MakeWebhook`].
    #[prost(string, tag = "2")]
    pub room: String,
    #[prost(string, tag = "3")]
    pub id: String,
}
method!(TestWebhook, "rooms", "webhook_test", Empty);

/// Asks whether an address may be asked for, where webhooks are delivered.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct CheckWebhookUrl {
    #[prost(string, tag = "1")]
    pub url: String,
}
method!(CheckWebhookUrl, "webhooks", "check", Empty);

/// Asks which webhooks are to be told of entries. What holds when they are told, [`LookAtWebhook`] says.
#[derive(Clone, PartialEq, Message)]
pub struct ListWebhookTargets {
    #[prost(message, repeated, tag = "1")]
    pub places: Vec<Place>,
    /// Of the first one, only members after this user id; empty: from the first.
    #[prost(string, tag = "2")]
    pub after: String,
}
method!(ListWebhookTargets, "webhooks", "targets", WebhookTargets);

#[derive(Clone, PartialEq, Message)]
pub struct WebhookTargets {
    #[prost(message, repeated, tag = "1")]
    pub targets: Vec<WebhookTarget>,
    /// So many of the places are done.
    #[prost(uint32, tag = "2")]
    pub done: u32,
    /// The one after them is done up to this user: ask for it again with `after`; empty: it is not begun.
    #[prost(string, tag = "3")]
    pub after: String,
}

/// Which webhook.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct WebhookPlace {
    /// Whose it is: a group, or the notebook of a user.
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(string, tag = "2")]
    pub id: String,
}

/// A webhook, and of what it is to be told.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct WebhookTarget {
    #[prost(message, optional, tag = "1")]
    pub webhook: Option<WebhookPlace>,
    #[prost(string, tag = "2")]
    pub room: String,
    /// 0: a test.
    #[prost(uint64, tag = "3")]
    pub seq: u64,
}

/// Asks what holds now, in one moment, of a webhook and what it is to be told of.
#[derive(Clone, PartialEq, Message)]
pub struct LookAtWebhook {
    #[prost(message, optional, tag = "1")]
    pub target: Option<WebhookTarget>,
}
method!(LookAtWebhook, "webhooks", "look", WebhookFacts);

/// What holds then.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct WebhookFacts {
    /// It is to be told. Else there is nothing to tell any more.
    #[prost(bool, tag = "1")]
    pub is_wanted: bool,
    /// It would be told, but has failed for too long.
    #[prost(bool, tag = "2")]
    pub is_failed: bool,
    #[prost(string, tag = "3")]
    pub url: String,
    /// The newest first.
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub secrets: Vec<Vec<u8>>,
    #[prost(string, tag = "5")]
    pub format: String,
    /// Unix milliseconds; 0: it does not fail.
    #[prost(uint64, tag = "6")]
    pub failing_since_ms: u64,
    /// It is to be told that at least so many entries were left out.
    #[prost(uint64, tag = "7")]
    pub missed: u64,
    /// The bytes of the entry's frame; empty: it is a test.
    #[prost(bytes = "bytes", tag = "8")]
    pub frame: bytes::Bytes,
    #[prost(string, tag = "9")]
    pub kind: String,
    /// Of the entry, Unix milliseconds.
    #[prost(uint64, tag = "10")]
    pub time_ms: u64,
}

/// Says how a webhook fares.
#[derive(Clone, PartialEq, Message)]
pub struct NoteWebhook {
    #[prost(message, optional, tag = "1")]
    pub webhook: Option<WebhookPlace>,
    /// It was told something, and that so many entries were left out.
    #[prost(uint64, optional, tag = "2")]
    pub delivered: Option<u64>,
    /// It could not be told something, for this reason.
    #[prost(string, optional, tag = "3")]
    pub failed: Option<String>,
    /// And is to be told nothing more.
    #[prost(bool, tag = "4")]
    pub ends: bool,
    /// So many further entries were left out.
    #[prost(uint64, tag = "5")]
    pub missed: u64,
}
method!(NoteWebhook, "webhooks", "note", Empty);

/// Has a webhook told again that was paused because it failed: what an operator asks for.
#[derive(Clone, PartialEq, Message)]
pub struct OperatorResumeWebhook {
    #[prost(message, optional, tag = "1")]
    pub webhook: Option<WebhookPlace>,
}
method!(OperatorResumeWebhook, "operator", "webhook_resume", Empty);

#[cfg(test)]
mod tests {
    use super::*;

    fn made(url: &str, kinds: &[&str], format: &str) -> Result<(), ApiError> {
        let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        let (url, format) = (url.to_owned(), format.to_owned());
        MakeWebhook { url, kinds, format, ..MakeWebhook::default() }.check()
    }

    #[test]
    fn what_is_asked_for_has_its_forms() {
        let url = "https://example.org/hook";
        assert!(made(url, &[], "").is_ok());
        assert!(made(url, &["message", "some_new-kind"], CLOUD_EVENTS).is_ok());
        for (url, kinds, format) in [
            ("http://example.org/", &[][..], ""),
            ("https://me@example.org/", &[], ""),
            ("", &[], ""),
            (url, &["Message"], ""),
            (url, &[""], ""),
            (url, &[], "xml"),
        ] {
            let error = made(url, kinds, format).expect_err(url);
            assert_eq!(error.code, ErrorCode::BadRequest, "{url} {kinds:?} {format}");
        }
        assert_eq!(made(url, &["a"; 33], "").expect_err("many").code, ErrorCode::TooLong);
    }

    #[test]
    fn nobody_sees_addresses_or_secrets() {
        let webhook =
            Webhook { url: "https://geheim".into(), secret: vec![7], ..Webhook::default() };
        let shown = format!("{webhook:?}");
        assert!(!shown.contains("geheim") && !shown.contains("secret"), "{shown}");
    }
}
