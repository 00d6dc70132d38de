//! Messages that are sent later, for the devices of their user alone.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::reply::list_frame;
use super::{Query, Request};
use crate::error::ApiError;
use crate::json::read_object;
use crate::room::RoomId;
use crate::svc;

#[derive(Deserialize)]
struct Scheduled {
    after: Option<String>,
}

pub(super) fn read_list(text: &str) -> Result<Request, ApiError> {
    let Scheduled { after } = read_object(text)?;
    Ok(Query::Scheduled { after: after.unwrap_or_default() }.into())
}

/// What is known of a scheduled message.
#[derive(Serialize)]
pub struct ScheduledNow<'a> {
    pub room: &'a RoomId,
    /// The client id of the command that scheduled it.
    pub schedule: &'a str,
    pub at: u64,
    /// `waiting`, `sent`, `failed` or `cancelled`.
    pub state: &'a str,
    /// The seq that it got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'a str>,
    /// What is sent, in a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'a RawValue>,
}

impl ScheduledNow<'_> {
    /// `{"type":"schedule",…}`, pushed, and as an item of a list.
    #[must_use]
    pub fn to_frame(&self) -> Bytes {
        #[derive(Serialize)]
        #[serde(tag = "type", rename = "schedule")]
        struct Frame<'a> {
            #[serde(flatten)]
            now: &'a ScheduledNow<'a>,
        }
        serde_json::to_vec(&Frame { now: self }).expect("plain fields serialise").into()
    }
}

/// `{"type":"scheduled",…}`, without a request id; the items' bytes are put in as they are.
#[must_use]
pub fn scheduled_frame(page: &svc::ScheduledPage) -> Vec<u8> {
    let mut head = format!(r#""type":"scheduled","more":{}"#, !page.cursor.is_empty());
    if !page.cursor.is_empty() {
        head.push_str(&format!(r#","cursor":"{}""#, page.cursor));
    }
    list_frame(&head, "scheduled", page.scheduled.iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_scheduled_is_asked_for_and_told() {
        let page = |after: &str| Request::from(Query::Scheduled { after: after.into() });
        assert_eq!(read_list("{}").expect("all"), page(""));
        assert_eq!(read_list(r#"{"after":"team/x"}"#).expect("a page"), page("team/x"));
        let (room, id) = (RoomId::new("team").expect("id"), "an-id");
        let message: &RawValue = serde_json::from_str(r#"{"text":"x"}"#).expect("json");
        let waits = ScheduledNow {
            room: &room,
            schedule: id,
            at: 9,
            state: "waiting",
            seq: None,
            code: None,
            message: Some(message),
        };
        let text = format!(
            r#"{{"type":"schedule","room":"team","schedule":"{id}","at":9,"state":"waiting","message":{{"text":"x"}}}}"#
        );
        assert_eq!(waits.to_frame(), text);
        let sent = ScheduledNow { state: "sent", seq: Some(3), message: None, ..waits };
        let text = format!(
            r#"{{"type":"schedule","room":"team","schedule":"{id}","at":9,"state":"sent","seq":3}}"#
        );
        assert_eq!(sent.to_frame(), text);
        let (scheduled, cursor) = (vec![sent.to_frame()], "team/x".to_owned());
        let frame = scheduled_frame(&svc::ScheduledPage { scheduled, cursor });
        let read: serde_json::Value = serde_json::from_slice(&frame).expect("json");
        assert_eq!((&read["more"], &read["cursor"]), (&true.into(), &"team/x".into()));
        assert_eq!(read["scheduled"][0]["seq"], 3);
    }
}
