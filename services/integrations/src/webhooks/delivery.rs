//! What is sent to a receiver, and what its answer means.

use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use weft_nats::webhooks::WebhookJob;
use weft_proto::svc::{CLOUD_EVENTS, WebhookFacts};

/// The wait before another try is about half of the time for which it fails, between these.
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(600);
/// The longest wait that a receiver may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// A body, and what it is.
pub(crate) struct Delivery {
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
}

/// In Weft's own form.
#[derive(Serialize)]
struct Told<'a> {
    r#type: &'static str,
    webhook: &'a str,
    room: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    /// At least so many entries before this one were left out.
    #[serde(skip_serializing_if = "is_zero")]
    missed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: String,
    source: String,
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    datacontenttype: &'static str,
    /// An extension: its integers have 32 bits.
    #[serde(skip_serializing_if = "is_none_missed")]
    weftmissed: u32,
    data: CloudData<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum CloudData<'a> {
    Entry(&'a RawValue),
    Test { webhook: &'a str },
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_none_missed(number: &u32) -> bool {
    *number == 0
}

/// `None`: the entry is no JSON.
pub(crate) fn delivery(job: &WebhookJob, facts: &WebhookFacts) -> Option<Delivery> {
    let entry = match &facts.frame[..] {
        [] => None,
        frame => Some(serde_json::from_slice::<&RawValue>(frame).ok()?),
    };
    if facts.format == CLOUD_EVENTS {
        let test = CloudData::Test { webhook: job.webhook.as_str() };
        let event = CloudEvent {
            specversion: "1.0",
            id: job.id(),
            source: format!("/v1/rooms/{}", job.room),
            r#type: format!("weft.{}", facts.kind),
            subject: entry.map(|_| job.seq.to_string()),
            time: rfc3339(if entry.is_some() { facts.time_ms } else { job.at_ms }),
            datacontenttype: "application/json",
            weftmissed: i32::try_from(facts.missed).unwrap_or(i32::MAX).unsigned_abs(),
            data: entry.map_or(test, CloudData::Entry),
        };
        let body = serde_json::to_vec(&event).ok()?;
        return Some(Delivery { content_type: "application/cloudevents+json", body });
    }
    let told = Told {
        r#type: if entry.is_some() { "entry" } else { "test" },
        webhook: job.webhook.as_str(),
        room: job.room.as_str(),
        seq: entry.map(|_| job.seq),
        missed: facts.missed,
        entry,
    };
    Some(Delivery { content_type: "application/json", body: serde_json::to_vec(&told).ok()? })
}

fn rfc3339(time_ms: u64) -> Option<String> {
    let at = OffsetDateTime::from_unix_timestamp(i64::try_from(time_ms / 1_000).ok()?).ok()?;
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    let (hour, minute, second) = (at.hour(), at.minute(), at.second());
    let ms = time_ms % 1_000;
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"))
}

/// What a receiver has said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Delivered,
    /// It wants nothing more, ever.
    Gone,
    /// It will never take this one.
    Refused,
    /// Later.
    Failed,
}

/// What a status means. A redirect is followed nowhere: whoever moved says so by changing the webhook.
pub(crate) fn read(status: u16) -> Answer {
    match status {
        200..=299 => Answer::Delivered,
        410 => Answer::Gone,
        // What is wrong is in what was sent.
        400 | 405 | 413..=415 | 422 | 431 => Answer::Refused,
        _ => Answer::Failed,
    }
}

/// How long a webhook is left alone that fails for so long. `after`: what its receiver has asked for.
pub(crate) fn wait(failing_for: Duration, after: Option<Duration>) -> Duration {
    let wait = (failing_for / 2).clamp(WAIT_MIN, WAIT_MAX);
    after.map_or(wait, |after| after.clamp(WAIT_MIN, RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use weft_proto::{RoomId, WebhookId};

    use super::*;

    fn job(seq: u64) -> WebhookJob {
        let owner = RoomId::new("team").expect("id");
        let webhook = WebhookId::new("a1").expect("id");
        WebhookJob { room: owner.clone(), owner, webhook, seq, at_ms: 1_764_547_200_007 }
    }

    fn told(job: &WebhookJob, facts: &WebhookFacts) -> Value {
        let delivery = delivery(job, facts).expect("a delivery");
        serde_json::from_slice(&delivery.body).expect("json")
    }

    #[test]
    fn a_receiver_is_told_the_entry_as_clients_get_it() {
        let frame = br#"{"type":"entry","room":"team","seq":7,"text":"hi"}"#;
        let facts = WebhookFacts {
            frame: frame.to_vec().into(),
            kind: "message".into(),
            time_ms: 1_764_547_199_001,
            ..WebhookFacts::default()
        };
        let entry: Value = serde_json::from_slice(frame).expect("json");
        let expected =
            json!({ "type": "entry", "webhook": "a1", "room": "team", "seq": 7, "entry": entry });
        assert_eq!(told(&job(7), &facts), expected);
        let facts = WebhookFacts { missed: 3, ..facts };
        assert_eq!(told(&job(7), &facts)["missed"], 3);
        let facts = WebhookFacts { format: CLOUD_EVENTS.into(), ..facts };
        let expected = json!({
            "specversion": "1.0",
            "id": "a1_team_7",
            "source": "/v1/rooms/team",
            "type": "weft.message",
            "subject": "7",
            "time": "2025-11-30T23:59:59.001Z",
            "datacontenttype": "application/json",
            "weftmissed": 3,
            "data": entry,
        });
        assert_eq!(told(&job(7), &facts), expected);
    }

    #[test]
    fn a_test_says_that_it_is_one() {
        let facts = WebhookFacts { kind: "test".into(), ..WebhookFacts::default() };
        let expected = json!({ "type": "test", "webhook": "a1", "room": "team" });
        assert_eq!(told(&job(0), &facts), expected);
        let facts = WebhookFacts { format: CLOUD_EVENTS.into(), ..facts };
        let event = told(&job(0), &facts);
        assert_eq!(
            (&event["type"], &event["data"]["webhook"]),
            (&json!("weft.test"), &json!("a1"))
        );
        assert_eq!(event["time"], "2025-12-01T00:00:00.007Z");
    }

    #[test]
    fn a_receivers_answers_mean_what_they_say() {
        for (status, answer) in [
            (200, Answer::Delivered),
            (204, Answer::Delivered),
            (410, Answer::Gone),
            (400, Answer::Refused),
            (413, Answer::Refused),
            (301, Answer::Failed),
            (401, Answer::Failed),
            (404, Answer::Failed),
            (429, Answer::Failed),
            (500, Answer::Failed),
        ] {
            assert_eq!(read(status), answer, "{status}");
        }
        let s = Duration::from_secs;
        assert_eq!((wait(s(0), None), wait(s(20), None)), (s(1), s(10)));
        assert_eq!(wait(s(86_400), None), s(600));
        assert_eq!((wait(s(0), Some(s(7))), wait(s(0), Some(s(99_999)))), (s(7), s(3_600)));
    }
}
