//! What a gateway has said, and what it means.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use weft_outbound::header::HeaderValue;

/// What a gateway has said.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    Delivered,
    /// It does not know the address any more.
    Gone,
    /// It will never take this one.
    Refused(String),
    /// Later, perhaps after so long.
    Failed {
        reason: String,
        after: Option<Duration>,
        is_limit: bool,
    },
}

impl Answer {
    /// It may take it later.
    pub(crate) fn failed(reason: impl Into<String>, after: Option<Duration>) -> Self {
        Self::Failed { reason: reason.into(), after, is_limit: false }
    }

    /// It takes it later: so far there were too many.
    pub(crate) fn limited(reason: impl Into<String>, after: Option<Duration>) -> Self {
        Self::Failed { reason: reason.into(), after, is_limit: true }
    }
}

/// What a status means. Numbers: RFC 8030, and what services do beyond it.
pub(crate) fn read(status: u16, after: Option<Duration>) -> Answer {
    let reason = format!("status {status}");
    match status {
        200..=299 => Answer::Delivered,
        404 | 410 => Answer::Gone,
        _ => read_failure(status, reason, after),
    }
}

/// What a status means that says nothing of the address.
pub(crate) fn read_failure(status: u16, reason: String, after: Option<Duration>) -> Answer {
    match status {
        429 => Answer::limited(reason, after),
        408 | 425 | 500..=599 => Answer::failed(reason, after),
        _ => Answer::Refused(reason),
    }
}

/// Seconds, or a date.
pub(crate) fn retry_after(value: &HeaderValue, now_ms: u64) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now: SystemTime = UNIX_EPOCH.checked_add(Duration::from_millis(now_ms))?;
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(now).unwrap_or_default())
}

/// A word of a gateway, for a log: no more than a word.
pub(crate) fn word(text: &str) -> String {
    let is_of_word = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '_';
    text.chars().filter(is_of_word).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_means_what_it_says() {
        let after = Some(Duration::from_secs(7));
        assert_eq!(read(201, None), Answer::Delivered);
        assert_eq!((read(404, None), read(410, None)), (Answer::Gone, Answer::Gone));
        assert_eq!(read(429, after), Answer::limited("status 429", after));
        assert_eq!(read(503, after), Answer::failed("status 503", after));
        for status in [301, 400, 401, 403, 413] {
            assert_eq!(read(status, None), Answer::Refused(format!("status {status}")));
        }
    }

    #[test]
    fn a_wait_is_in_seconds_or_until_a_date() {
        let wait = |text: &'static str| {
            retry_after(&HeaderValue::from_static(text), 1_790_000_000_000).map(|it| it.as_secs())
        };
        // 1,790,000,000 is Monday, 21 September 2026, 14:13:20.
        assert_eq!(wait("7"), Some(7));
        assert_eq!(wait("Mon, 21 Sep 2026 14:14:00 GMT"), Some(40));
        assert_eq!(wait("Mon, 21 Sep 2026 14:00:00 GMT"), Some(0), "it is over");
        assert_eq!((wait("soon"), wait("-1")), (None, None));
    }

    #[test]
    fn a_word_is_no_more_than_a_word() {
        assert_eq!(word("Bad Device\nToken"), "BadDeviceToken");
        assert_eq!(word(&"x".repeat(100)).len(), 64);
    }
}
