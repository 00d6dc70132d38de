//! `typing`: a user types in a room, as a request and as a push.

use serde::Serialize;

use super::Request;
use super::rooms::read_room_id;
use crate::error::ApiError;
use crate::ids::UserId;
use crate::room::RoomId;

pub(super) fn read(text: &str) -> Result<Request, ApiError> {
    Ok(Request::Typing { room: read_room_id(text)? })
}

/// What the others are pushed.
#[must_use]
pub fn typing_frame(room: &RoomId, user: &UserId) -> Vec<u8> {
    #[derive(Serialize)]
    struct Typing<'a> {
        r#type: &'static str,
        room: &'a RoomId,
        user: &'a UserId,
    }
    let frame = Typing { r#type: "typing", room, user };
    serde_json::to_vec(&frame).expect("plain fields serialise")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_is_asked_for_and_told() {
        let (room, user) = (RoomId::new("team").expect("id"), UserId::new("bob").expect("id"));
        let request = read(r#"{"id":1,"type":"typing","room":"team"}"#).expect("read");
        assert_eq!(request, Request::Typing { room: room.clone() });
        let frame = typing_frame(&room, &user);
        assert_eq!(frame, br#"{"type":"typing","room":"team","user":"bob"}"#);
    }
}
