//! An entry in the forms that bots choose from. Pure.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use weft_proto::svc::FeedEntry;

const FRAME: &str = "application/json";
const CLOUDEVENT: &str = "application/cloudevents+json";

/// An entry in all forms: made once for all of its bots.
pub(crate) struct Forms {
    frame: Bytes,
    /// Where a bot wants it.
    cloudevent: Option<Bytes>,
}

/// In the structured mode of CloudEvents 1.0.
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    /// Room and seq: of one source it is the same for all.
    id: String,
    source: &'static str,
    r#type: String,
    subject: &'a str,
    time: String,
    datacontenttype: &'static str,
    data: &'a RawValue,
}

impl Forms {
    pub(crate) fn of(entry: &FeedEntry) -> Self {
        let frame = Bytes::from(entry.frame.clone());
        let is_wanted = entry.bots.iter().any(|bot| bot.cloudevents);
        let cloudevent = is_wanted.then(|| cloudevent(entry)).flatten();
        Self { frame, cloudevent }
    }

    /// The content type, and the bytes.
    pub(crate) fn get(&self, cloudevents: bool) -> (&'static str, Bytes) {
        match (&self.cloudevent, cloudevents) {
            (Some(event), true) => (CLOUDEVENT, event.clone()),
            _ => (FRAME, self.frame.clone()),
        }
    }
}

/// `None`: the frame is not JSON, which core never makes.
fn cloudevent(entry: &FeedEntry) -> Option<Bytes> {
    let FeedEntry { room, seq, kind, time_ms, frame, .. } = entry;
    let event = CloudEvent {
        specversion: "1.0",
        id: format!("{room}:{seq}"),
        source: "weft",
        r#type: format!("weft.entry.{kind}"),
        subject: room,
        time: rfc3339(*time_ms),
        datacontenttype: FRAME,
        data: serde_json::from_slice(frame).ok()?,
    };
    serde_json::to_vec(&event).ok().map(Bytes::from)
}

/// A time in UTC, with milliseconds.
fn rfc3339(time_ms: u64) -> String {
    let (seconds, ms) = (time_ms / 1_000, time_ms % 1_000);
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    // Howard Hinnant's days-to-civil: years begin in March, so that a leap day is a year's last one.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use weft_proto::svc::FeedBot;

    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (time_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_001, "2000-02-29T00:00:00.001Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_709_251_200_000, "2024-03-01T00:00:00.000Z"),
            (4_102_444_800_000, "2100-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(time_ms), text);
        }
    }

    #[test]
    fn a_bot_has_the_frame_or_a_cloudevent_around_it() {
        let bot = |cloudevents| FeedBot { bot: "b".into(), before: 0, cloudevents };
        let frame = br#"{"type":"entry","room":"team","seq":7}"#.to_vec();
        let mut entry = FeedEntry {
            room: "team".into(),
            seq: 7,
            frame: frame.clone(),
            time_ms: 1_709_251_200_000,
            kind: "message".into(),
            bots: vec![bot(false)],
        };
        assert!(Forms::of(&entry).cloudevent.is_none(), "nobody wants it");
        entry.bots.push(bot(true));
        let forms = Forms::of(&entry);
        assert_eq!(forms.get(false), (FRAME, Bytes::from(frame)));
        let (content_type, event) = forms.get(true);
        assert_eq!(content_type, CLOUDEVENT);
        let event: Value = serde_json::from_slice(&event).expect("JSON");
        let expected = json!({
            "specversion": "1.0",
            "id": "team:7",
            "source": "weft",
            "type": "weft.entry.message",
            "subject": "team",
            "time": "2024-03-01T00:00:00.000Z",
            "datacontenttype": "application/json",
            "data": { "type": "entry", "room": "team", "seq": 7 },
        });
        assert_eq!(event, expected);
    }
}
