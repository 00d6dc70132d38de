//! `weft admin dead-letters`.

use serde::Serialize;
use weft_storage::Store;
use weft_storage::tables::dead_letter::{self, Kept};

use crate::error::Error;
use crate::process::say;

/// One line of the list.
#[derive(Serialize)]
struct Line<'a> {
    partition: u16,
    stream_seq: u64,
    time_ms: u64,
    sender: &'a str,
    room: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    /// From another system, not from an edge.
    outside: bool,
    /// The payload is an entry in JSON; else it is plain text.
    json: bool,
    reason: &'a str,
    /// Where it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    /// Where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_hex: Option<String>,
}

pub async fn list(store: &Store) -> Result<(), Error> {
    let snapshot = store.snapshot().await?;
    let mut after = None;
    while let Some(kept) = dead_letter::first_after(&*snapshot, after).await? {
        after = Some((kept.partition, kept.stream_seq));
        say(&line(&kept)?);
    }
    Ok(())
}

fn line(kept: &Kept) -> Result<String, Error> {
    let letter = &kept.letter;
    let payload = std::str::from_utf8(&letter.payload).ok();
    let line = Line {
        partition: kept.partition,
        stream_seq: kept.stream_seq,
        time_ms: letter.time_ms,
        sender: &letter.sender,
        room: &letter.room,
        client_id: letter.client_id.as_deref(),
        outside: letter.is_outsider,
        json: letter.is_json,
        reason: &letter.reason,
        payload,
        payload_hex: payload.is_none().then(|| hex::encode(&letter.payload)),
    };
    serde_json::to_string(&line).map_err(|error| Error::Failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use weft_storage::tables::dead_letter::DeadLetter;

    use super::*;

    #[test]
    fn a_line_is_an_object_whatever_the_payload_is() {
        let letter = DeadLetter {
            sender: "alice".into(),
            room: "team".into(),
            client_id: Some("id".into()),
            reason: "a \"defect\"\nof ours".into(),
            time_ms: 7,
            payload: "grüße\n".into(),
            ..DeadLetter::default()
        };
        let kept = Kept { partition: 2, stream_seq: 9, letter };
        let text = line(&kept).expect("line");
        assert!(!text.contains('\n'), "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).expect("json");
        assert_eq!((&value["payload"], &value["client_id"]), (&"grüße\n".into(), &"id".into()));
        assert_eq!((&value["partition"], &value["stream_seq"]), (&2.into(), &9.into()));
        let payload = vec![0xff, 0x0a].into();
        let letter = DeadLetter { payload, client_id: None, ..kept.letter };
        let text = line(&Kept { letter, ..kept }).expect("line");
        let value: serde_json::Value = serde_json::from_str(&text).expect("json");
        assert_eq!(value["payload_hex"], "ff0a");
        assert!(value["payload"].is_null() && value["client_id"].is_null(), "{value}");
    }
}
