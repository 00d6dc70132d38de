//! JetStream's API in the few requests that Weft makes. Spoken directly (JSON over request/reply)
//! where the client library hides a setting that matters or costs a future per message.

use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::sleep;
use weft_proto::{ApiError, ErrorCode};

use crate::bus::{Link, SEND_TIMEOUT, header_map, made_anew};
use crate::error::Error;

/// How long a sender waits before it tries a full or busy stream again, in milliseconds.
const RETRY_AFTER_MS: u64 = 1_000;
/// How long an answer may take after a reconnect, before the request counts as lost.
const ANSWER_AFTER_RECONNECT: Duration = Duration::from_millis(250);

/// An error as the server writes it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct JsError {
    #[serde(default)]
    pub(crate) code: u16,
    #[serde(default)]
    pub(crate) err_code: u64,
    #[serde(default)]
    pub(crate) description: String,
}

impl JsError {
    pub(crate) fn into_error(self, what: impl Into<String>) -> Error {
        let what = what.into();
        match self.err_code {
            10_059 => Error::NoStream(what),
            code => Error::JetStream { what, code, description: self.description },
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Reply<T> {
    Err { error: JsError },
    Ok(T),
}

/// Asks JetStream's API: `$JS.API.<verb>`.
pub(crate) async fn ask<T: DeserializeOwned>(
    link: &Link,
    verb: &str,
    body: &impl Serialize,
) -> Result<Result<T, JsError>, Error> {
    let body = serde_json::to_vec(body).map_err(|_| Error::Malformed("API request"))?;
    publish(link, format!("$JS.API.{verb}"), &[], body.into()).await
}

/// Publishes a message and waits for the server's word on it.
pub(crate) async fn publish<T: DeserializeOwned>(
    link: &Link,
    subject: String,
    headers: &[(&'static str, &str)],
    payload: Bytes,
) -> Result<Result<T, JsError>, Error> {
    let answer = answer_to(link, subject, headers, payload).await?;
    match serde_json::from_slice(&answer.payload) {
        Ok(Reply::Ok(reply)) => Ok(Ok(reply)),
        Ok(Reply::Err { error }) => Ok(Err(error)),
        Err(_) => Err(Error::Malformed("API reply")),
    }
}

/// Publishes a message and waits for its answer.
pub(crate) async fn answer_to(
    link: &Link,
    subject: String,
    headers: &[(&'static str, &str)],
    payload: Bytes,
) -> Result<async_nats::Message, Error> {
    let mut request = async_nats::Request::new().payload(payload).timeout(Some(SEND_TIMEOUT));
    if let Some(map) = header_map(headers)? {
        request = request.headers(map);
    }
    let (mut connection, generation) = (link.connection(), link.state().generation);
    let asked = crate::bus::within("JetStream API", async {
        link.client().send_request(subject, request).await.map_err(|error| match error.kind() {
            async_nats::RequestErrorKind::TimedOut => Error::Timeout("JetStream API"),
            async_nats::RequestErrorKind::NoResponders => Error::NoResponders("JetStream".into()),
            async_nats::RequestErrorKind::InvalidSubject => Error::Malformed("API subject"),
            _ => Error::Closed,
        })
    });
    // A broken connection takes the request or its answer with it. Where the request waited for the
    // new one, its answer comes soon.
    let lost = async {
        made_anew(&mut connection, generation).await;
        sleep(ANSWER_AFTER_RECONNECT).await;
    };
    tokio::select! {
        biased;
        answer = asked => answer,
        () = lost => Err(Error::Timeout("JetStream API")),
    }
}

/// As [`ask`], with the server's error as ours.
pub(crate) async fn request<T: DeserializeOwned>(
    link: &Link,
    verb: &str,
    body: &impl Serialize,
) -> Result<T, Error> {
    ask(link, verb, body).await?.map_err(|error| error.into_error(verb))
}

/// A time as the server writes it (RFC 3339), in Unix nanoseconds.
pub(crate) fn read_time_ns(text: &str) -> Option<u64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp_nanos()).ok()
}

/// What a stream answers to a publish that names a reply subject.
pub(crate) enum Stored {
    /// Kept, under this sequence.
    At(u64),
    Refused(ApiError),
}

#[derive(Deserialize)]
struct PubAck {
    #[serde(default)]
    seq: u64,
    error: Option<JsError>,
}

impl Stored {
    /// Reads a PubAck, an error of the stream, or the server's word that no stream listens.
    pub(crate) fn read(status: Option<u16>, payload: &Bytes) -> Self {
        if status == Some(503) {
            let error = ApiError::new(ErrorCode::Unavailable, "no stream takes this message");
            return Self::Refused(error.retry_after_ms(RETRY_AFTER_MS));
        }
        match serde_json::from_slice::<PubAck>(payload) {
            Ok(PubAck { error: Some(error), .. }) => Self::Refused(refusal(&error)),
            Ok(PubAck { seq, error: None }) if seq > 0 => Self::At(seq),
            _ => Self::Refused(ApiError::new(ErrorCode::Internal, "malformed PubAck")),
        }
    }
}

/// What a stream's error means to a sender. Numbers: nats-server's `errors.json`.
pub(crate) fn refusal(error: &JsError) -> ApiError {
    match (error.code, error.err_code) {
        // The stream or the disk is full, or more came at once than the stream buffers.
        (_, 10_023 | 10_028 | 10_047 | 10_077 | 10_167) | (429, _) => {
            ApiError::new(ErrorCode::Overloaded, "the log is full: try again later")
                .retry_after_ms(RETRY_AFTER_MS)
        }
        (_, 10_054) => ApiError::new(ErrorCode::TooLarge, "larger than the log takes"),
        (503, _) => {
            ApiError::new(ErrorCode::Unavailable, "the log is away").retry_after_ms(RETRY_AFTER_MS)
        }
        _ => ApiError::new(ErrorCode::Internal, format!("the log: {}", error.description)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: Option<u16>, payload: &'static str) -> ErrorCode {
        match Stored::read(status, &Bytes::from_static(payload.as_bytes())) {
            Stored::Refused(error) => error.code,
            Stored::At(seq) => panic!("stored at {seq}"),
        }
    }

    #[test]
    fn a_stream_answers_in_the_words_of_senders() {
        let kept = Bytes::from_static(br#"{"stream":"WEFT_IN_1","seq":6}"#);
        assert!(matches!(Stored::read(None, &kept), Stored::At(6)));
        assert_eq!(refused(Some(503), ""), ErrorCode::Unavailable);
        let full =
            r#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}}"#;
        assert_eq!(refused(None, full), ErrorCode::Overloaded);
        let busy = r#"{"error":{"code":429,"err_code":10167,"description":"too many requests"}}"#;
        assert_eq!(refused(None, busy), ErrorCode::Overloaded);
        let large = r#"{"error":{"code":400,"err_code":10054,"description":"message size"}}"#;
        assert_eq!(refused(None, large), ErrorCode::TooLarge);
        let other = r#"{"error":{"code":400,"err_code":10071,"description":"wrong last"}}"#;
        assert_eq!(refused(None, other), ErrorCode::Internal);
        for bad in ["", "{}", "hello", r#"{"seq":0}"#, r#"{"stream":"X"}"#] {
            assert_eq!(refused(None, bad), ErrorCode::Internal, "{bad}");
        }
    }
}
