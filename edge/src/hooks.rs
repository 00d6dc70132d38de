//! What other systems post to a room's incoming webhook, as a message: Slack's payloads, what Alertmanager, Grafana
//! and GitHub post by themselves, and plain texts.
//!
//! Invariants:
//! - Whatever comes is a message within the limits, or a refusal: nothing panics, and no work grows faster than the body.
//! - A text from outside notifies nobody but whom its sender lists in `allowed_mentions`.
//! - Nothing that a body names is fetched.
//!
//! | file | duty |
//! | --- | --- |
//! | `rich` | the text as it grows, within its limits |
//! | `mrkdwn`, `emoji` | Slack's markup |
//! | `blocks`, `attachments` | Slack's larger forms |
//! | `native` | what is not Slack's |

mod attachments;
mod blocks;
mod emoji;
mod mrkdwn;
mod native;
mod rich;

use std::borrow::Cow;

use serde_json::Value;
use weft_proto::UserId;
use weft_proto::kind::Text;
use weft_proto::limits::MENTIONS_MAX;

use self::mrkdwn::Allowed;
use self::rich::Rich;

/// Largest body, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 100_000;

/// Why a body is no message, in Slack's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BadPost {
    InvalidPayload,
    InvalidBlocks,
    TooManyAttachments,
    NoText,
}

impl BadPost {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::InvalidPayload => "invalid_payload",
            Self::InvalidBlocks => "invalid_blocks",
            Self::TooManyAttachments => "too_many_attachments",
            Self::NoText => "no_text",
        }
    }
}

/// A body that was posted, and what its head says of it.
#[derive(Clone, Copy)]
pub(crate) struct Post<'a> {
    /// `Content-Type`; empty: nothing.
    pub(crate) content_type: &'a str,
    /// `X-GitHub-Event`; empty: nothing.
    pub(crate) github_event: &'a str,
    pub(crate) body: &'a [u8],
}

impl Post<'_> {
    /// The message.
    ///
    /// # Errors
    /// Why it is none.
    pub(crate) fn message(&self) -> Result<Text, BadPost> {
        let body = std::str::from_utf8(self.body).map_err(|_| BadPost::InvalidPayload)?;
        let kind = self.content_type.split(';').next().unwrap_or_default().trim();
        if kind.eq_ignore_ascii_case("text/plain") {
            let mut out = Rich::default();
            mrkdwn::plain(&mut out, body, &Allowed::default());
            return out.finish().ok_or(BadPost::NoText);
        }
        // `curl -d '{…}'` says that it is a form.
        let json = match body.trim_start() {
            json if json.starts_with('{') => Cow::Borrowed(json),
            form => Cow::Owned(payload_of_form(form).ok_or(BadPost::InvalidPayload)?),
        };
        let payload: Value = serde_json::from_str(&json).map_err(|_| BadPost::InvalidPayload)?;
        message(&payload, self.github_event)
    }
}

fn message(payload: &Value, github_event: &str) -> Result<Text, BadPost> {
    if !payload.is_object() {
        return Err(BadPost::InvalidPayload);
    }
    let allowed = allowed(&payload["allowed_mentions"]).ok_or(BadPost::InvalidPayload)?;
    let mut out = Rich::default();
    let is_slack = ["text", "blocks", "attachments"].iter().any(|field| !payload[field].is_null());
    if is_slack {
        slack(&mut out, payload, &allowed)?;
    } else if native::is_alerts(payload) {
        native::alerts(&mut out, payload, &allowed);
    } else if !github_event.is_empty() {
        native::github(&mut out, github_event, payload, &allowed);
    }
    out.finish().ok_or(BadPost::NoText)
}

fn slack(out: &mut Rich, payload: &Value, allowed: &Allowed) -> Result<(), BadPost> {
    let text = match &payload["text"] {
        Value::Null => "",
        Value::String(text) => text,
        _ => return Err(BadPost::InvalidPayload),
    };
    let list = |field: &str| match &payload[field] {
        Value::Null => Ok(&[][..]),
        Value::Array(list) => Ok(list.as_slice()),
        _ => Err(BadPost::InvalidPayload),
    };
    let (blocks, attachments) = (list("blocks")?, list("attachments")?);
    if attachments.len() > attachments::ATTACHMENTS_MAX {
        return Err(BadPost::TooManyAttachments);
    }
    let of_attachments = attachments.iter().map(|it| blocks::list(it, "blocks").len());
    if of_attachments.chain([blocks.len()]).any(|count| count > blocks::BLOCKS_MAX) {
        return Err(BadPost::InvalidBlocks);
    }
    blocks::write(out, blocks, allowed);
    // As in Slack: beside blocks it is for where they can't be shown.
    if out.is_blank() {
        match payload["mrkdwn"] {
            Value::Bool(false) => mrkdwn::unmarked(out, text, allowed),
            _ => mrkdwn::marked(out, text, allowed),
        }
    }
    attachments::write(out, attachments, allowed);
    Ok(())
}

/// `{"users":["bob"],"all":true}`; `None`: it is something else.
fn allowed(value: &Value) -> Option<Allowed> {
    if value.is_null() {
        return Some(Allowed::default());
    }
    let fields = value.as_object()?;
    let users = match fields.get("users") {
        None | Some(Value::Null) => &[][..],
        Some(users) => users.as_array()?,
    };
    let everyone = match fields.get("all") {
        None | Some(Value::Null) => false,
        Some(all) => all.as_bool()?,
    };
    if users.len() > MENTIONS_MAX {
        return None;
    }
    let users = users.iter().map(|user| UserId::new(user.as_str()?).ok());
    Some(Allowed { users: users.collect::<Option<_>>()?, everyone })
}

/// The field `payload` of a form.
fn payload_of_form(form: &str) -> Option<String> {
    let field = form.trim().split('&').find_map(|field| field.strip_prefix("payload="))?;
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
