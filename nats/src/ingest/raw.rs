//! Stored messages as JetStream's API hands them out: wrapped in JSON, one by one.
//!
//! nats-server passes on whatever bytes a user puts into a header block or a subject; the client
//! library drops its connection when it meets a block that is not well-formed UTF-8 text, and would
//! meet it again after each reconnect. Nothing that comes this way can do that.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::json;

use super::message::{IngestMessage, Problem};
use crate::bus::Link;
use crate::error::Error;
use crate::jetstream::{JsError, ask, read_time_ns};

/// Requests underway at once. The largest message has 2 MB in this form, and the server drops a
/// connection that has 64 MB waiting.
const UNDERWAY: usize = 8;

#[derive(Deserialize)]
struct Got {
    message: GotMessage,
}

#[derive(Deserialize)]
struct GotMessage {
    subject: String,
    seq: u64,
    /// RFC 3339.
    time: String,
    /// Base64.
    #[serde(default)]
    hdrs: Option<String>,
    #[serde(default)]
    data: Option<String>,
}

/// A message, read without the client library.
pub(super) struct RawMessage {
    pub(super) seq: u64,
    /// When the stream took it, Unix milliseconds by the server's clock.
    pub(super) stored_at_ms: u64,
    /// Not whole where [`unreadable`](Self::unreadable) says so.
    pub(super) subject: String,
    pub(super) payload: Bytes,
    /// `None`: the block can't be read.
    headers: Option<Vec<(String, String)>>,
}

impl RawMessage {
    fn read(got: GotMessage) -> Self {
        let headers = match got.hdrs {
            None => Some(Vec::new()),
            Some(block) => decode(&block).and_then(|block| read_headers(&block)),
        };
        Self {
            seq: got.seq,
            stored_at_ms: read_time_ns(&got.time).unwrap_or(0) / 1_000_000,
            subject: got.subject,
            payload: got.data.as_deref().and_then(decode).unwrap_or_default().into(),
            headers,
        }
    }

    /// What the client library would stumble over.
    pub(super) fn unreadable(&self) -> Option<Problem> {
        // JSON can't hold other bytes than UTF-8: the server put replacement characters.
        if self.subject.contains('\u{fffd}') {
            return Some(Problem::Subject);
        }
        self.headers.is_none().then_some(Problem::Headers)
    }

    /// The value of the first header of this name, in upper or lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let is_it = |found: &str| found.eq_ignore_ascii_case(name);
        let headers = self.headers.as_ref()?;
        headers.iter().find(|(found, _)| is_it(found)).map(|(_, value)| value.as_str())
    }

    /// As a reader returns it.
    pub(super) fn into_message(self) -> IngestMessage {
        let (place, unreadable) = ((self.seq, self.stored_at_ms), self.unreadable());
        let header = |name: &str| self.header(name);
        let header = self.headers.as_ref().map(|_| &header as &dyn Fn(&str) -> Option<_>);
        let payload = self.payload.clone();
        let mut message = IngestMessage::read(place, &self.subject, header, payload);
        message.problem = unreadable.or(message.problem);
        message
    }
}

/// The first message at `seq` or after it; `None`: the stream has none yet.
///
/// # Errors
/// As every request to JetStream.
pub(super) async fn first_from(
    link: &Link,
    stream: &str,
    seq: u64,
) -> Result<Option<RawMessage>, Error> {
    get(link, stream, &json!({ "seq": seq, "next_by_subj": ">" })).await
}

async fn get(
    link: &Link,
    stream: &str,
    which: &serde_json::Value,
) -> Result<Option<RawMessage>, Error> {
    let verb = format!("STREAM.MSG.GET.{stream}");
    match ask::<Got>(link, &verb, which).await? {
        Ok(got) => Ok(Some(RawMessage::read(got.message))),
        // 10037: there is no such message (yet).
        Err(JsError { err_code: 10_037, .. }) => Ok(None),
        Err(error) => Err(error.into_error(verb)),
    }
}

/// The messages from `seq` on, up to a first one that is missing: at the most `count`, and about
/// `bytes_max` of payload.
///
/// # Errors
/// As every request to JetStream.
pub(super) async fn stretch(
    link: &Arc<Link>,
    stream: &str,
    seq: u64,
    (count, bytes_max): (u64, usize),
) -> Result<Vec<RawMessage>, Error> {
    let which = |seq| {
        let (link, stream) = (Arc::clone(link), stream.to_owned());
        async move { get(&link, &stream, &json!({ "seq": seq })).await }
    };
    let mut coming = stream::iter(seq..seq.saturating_add(count)).map(which).buffered(UNDERWAY);
    let (mut messages, mut bytes) = (Vec::new(), 0);
    while bytes < bytes_max
        && let Some(message) = coming.next().await.transpose()?.flatten()
    {
        bytes += message.payload.len();
        messages.push(message);
    }
    Ok(messages)
}

/// Reads base64.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// The lines of a header block; `None` where it is not well-formed. Stricter than the client
/// library: what passes here, it can read.
fn read_headers(block: &[u8]) -> Option<Vec<(String, String)>> {
    let lines = std::str::from_utf8(block).ok()?.strip_prefix("NATS/1.0\r\n")?;
    let read = |line: &str| {
        let (name, value) = line.split_once(':')?;
        let is_plain = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_graphic())
            && !value.contains(['\r', '\n']);
        is_plain.then(|| (name.to_owned(), value.trim().to_owned()))
    };
    lines.split("\r\n").filter(|line| !line.is_empty()).map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_header_blocks_are_read() {
        assert_eq!(read_headers(b"NATS/1.0\r\n\r\n"), Some(Vec::new()));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            read_headers(b"NATS/1.0\r\nWeft-Id: a\r\nX: b:c\r\n\r\n"),
            Some(vec![pair("Weft-Id", "a"), pair("X", "b:c")])
        );
        for bad in [
            &b"NATS/1.0 503\r\n\r\n"[..],
            b"NATS/1.0\r\nWeft-Id: \xff\r\n\r\n",
            b"NATS/1.0\r\nno colon\r\n\r\n",
            b"NATS/1.0\r\n: no name\r\n\r\n",
            b"NATS/1.0\r\na b: c\r\n\r\n",
            b"HTTP/1.1\r\n\r\n",
            b"",
        ] {
            assert_eq!(read_headers(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_api_s_form_is_read() {
        let got = |hdrs: &str, subject: &str| {
            let text = format!(
                r#"{{"message":{{"subject":"{subject}","seq":7,"hdrs":"{hdrs}","data":"aGk=",
                "time":"2024-05-06T07:08:09.123456789Z"}}}}"#
            );
            RawMessage::read(serde_json::from_str::<Got>(&text).expect("json").message)
        };
        let plain = STANDARD.encode("NATS/1.0\r\nWeft-Id: a\r\n\r\n");
        let message = got(&plain, "weft.x.1.bot.team").into_message();
        assert_eq!((message.stream_seq, message.stored_at_ms), (7, 1_714_979_289_123));
        assert_eq!((message.client_id.as_deref(), &message.payload[..]), (Some("a"), &b"hi"[..]));
        assert_eq!(message.problem, None);
        let bad = STANDARD.encode("NATS/1.0\r\nno colon\r\n\r\n");
        let message = got(&bad, "weft.x.1.bot.team").into_message();
        assert_eq!((message.problem, message.sender.as_str()), (Some(Problem::Headers), "bot"));
        let message = got(&plain, "weft.x.1.bot.\u{fffd}").into_message();
        assert_eq!(message.problem, Some(Problem::Subject));
    }
}
