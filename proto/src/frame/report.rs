//! `report`: a message is reported to the administrators.

use serde::Deserialize;

use super::Request;
use super::rooms::read_room_id;
use crate::check::{check_reason, missing};
use crate::error::ApiError;
use crate::json::read_object;
use crate::kind::target_of;

pub(super) fn read(text: &str) -> Result<Request, ApiError> {
    #[derive(Deserialize)]
    struct Fields {
        target: Option<u64>,
        reason: Option<String>,
    }
    let room = read_room_id(text)?;
    let Fields { target, reason } = read_object(text)?;
    let (target, reason) = (target_of(target)?, reason.ok_or_else(|| missing("reason"))?);
    check_reason(Some(&reason))?;
    Ok(Request::Report { room, target, reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;
    use crate::room::RoomId;

    #[test]
    fn a_report_names_a_message_and_says_why() {
        let request = |fields: &str| read(&format!(r#"{{"id":1,"type":"report"{fields}}}"#));
        let room = RoomId::new("team").expect("id");
        assert_eq!(
            request(r#","room":"team","target":7,"reason":"it is spam""#).expect("read"),
            Request::Report { room, target: 7, reason: "it is spam".into() }
        );
        let long = format!(r#","room":"team","target":7,"reason":"{}""#, "x".repeat(1_001));
        for (bad, code) in [
            (r#","room":"team","target":7"#, ErrorCode::BadRequest),
            (r#","room":"team","target":7,"reason":"  ""#, ErrorCode::BadRequest),
            (r#","room":"team","target":0,"reason":"x""#, ErrorCode::BadRequest),
            (r#","room":"team","reason":"x""#, ErrorCode::BadRequest),
            (r#","room":"a.b","target":7,"reason":"x""#, ErrorCode::BadId),
            (long.as_str(), ErrorCode::TooLong),
        ] {
            assert_eq!(request(bad).expect_err(bad).code, code, "{bad}");
        }
    }
}
