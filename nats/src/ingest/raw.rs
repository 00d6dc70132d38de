//! Messages that the client library cannot parse.
//!
//! nats-server passes on whatever bytes a user puts into a header block or a subject; the client
//! drops its connection when it meets a block that is not well-formed UTF-8 text, and would meet it
//! again after each reconnect. JetStream's API hands such a message out wrapped in JSON.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use super::message::{IngestMessage, Problem};
use crate::bus::Link;
use crate::error::Error;
use crate::jetstream::{JsError, ask};

#[derive(Deserialize)]
struct Got {
    message: RawMessage,
}

#[derive(Deserialize)]
struct RawMessage {
    subject: String,
    /// Base64.
    #[serde(default)]
    hdrs: Option<String>,
    #[serde(default)]
    data: Option<String>,
}

/// The message at `seq`, where there is one that cannot be read the usual way.
pub(super) async fn unreadable(
    link: &Arc<Link>,
    stream: &str,
    seq: u64,
) -> Result<Option<IngestMessage>, Error> {
    let verb = format!("STREAM.MSG.GET.{stream}");
    let got = match ask::<Got>(link, &verb, &json!({ "seq": seq })).await? {
        Ok(got) => got.message,
        // 10037: there is no such message (yet).
        Err(JsError { err_code: 10_037, .. }) => return Ok(None),
        Err(error) => return Err(error.into_error(verb)),
    };
    // JSON can't hold other bytes than UTF-8: the server put replacement characters.
    let subject_is_bad = got.subject.contains('\u{fffd}');
    let headers_are_bad = match got.hdrs.as_deref().map(decode_base64) {
        None => false,
        Some(None) => true,
        Some(Some(block)) => !is_plain(&block),
    };
    if !subject_is_bad && !headers_are_bad {
        return Ok(None);
    }
    let payload = got.data.as_deref().and_then(decode_base64).unwrap_or_default();
    let mut message = IngestMessage::read((seq, 0), &got.subject, None, Bytes::from(payload));
    if subject_is_bad {
        message.problem = Some(Problem::Subject);
    }
    Ok(Some(message))
}

/// Stricter than the client: what passes here, it can read.
fn is_plain(block: &[u8]) -> bool {
    let Some(lines) =
        std::str::from_utf8(block).ok().and_then(|text| text.strip_prefix("NATS/1.0\r\n"))
    else {
        return false;
    };
    lines.split("\r\n").all(|line| match line.split_once(':') {
        None => line.is_empty(),
        Some((name, value)) => {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_graphic())
                && !value.contains(['\r', '\n'])
        }
    })
}

/// Standard base64 with padding; `None` where it is not.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let text = text.trim_end_matches('=');
    let (mut bits, mut bit_count) = (0_u32, 0_u32);
    for byte in text.bytes() {
        let sextet = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(sextet);
        bit_count += 6;
        if bit_count >= 8 {
            bit_count -= 8;
            bytes.push((bits >> bit_count) as u8);
            bits &= (1 << bit_count) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_header_blocks_pass() {
        for good in ["NATS/1.0\r\n\r\n", "NATS/1.0\r\nWeft-Id: a\r\nX: b:c\r\n\r\n"] {
            assert!(is_plain(good.as_bytes()), "{good:?}");
        }
        for bad in [
            &b"NATS/1.0 503\r\n\r\n"[..],
            b"NATS/1.0\r\nWeft-Id: \xff\r\n\r\n",
            b"NATS/1.0\r\nno colon\r\n\r\n",
            b"NATS/1.0\r\n: no name\r\n\r\n",
            b"NATS/1.0\r\na b: c\r\n\r\n",
            b"HTTP/1.1\r\n\r\n",
            b"",
        ] {
            assert!(!is_plain(bad), "{bad:?}");
        }
    }

    #[test]
    fn base64_is_decoded() {
        assert_eq!(decode_base64("").as_deref(), Some(&b""[..]));
        assert_eq!(decode_base64("Zm9vYmFy").as_deref(), Some(&b"foobar"[..]));
        assert_eq!(decode_base64("Zm9vYg==").as_deref(), Some(&b"foob"[..]));
        assert_eq!(decode_base64("/+8=").as_deref(), Some(&b"\xff\xef"[..]));
        assert_eq!(decode_base64("a b"), None);
    }
}
