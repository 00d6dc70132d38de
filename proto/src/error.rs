//! The errors that clients see. The codes are published in `docs/protocol.md` and never change
//! their meaning.

use std::fmt;

use serde::de::IntoDeserializer;
use serde::{Deserialize, Serialize};

use crate::kind::Draft;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The frame or body is not valid JSON.
    BadJson,
    /// A field is missing or has a wrong type or value.
    BadRequest,
    /// A frame's `type` or an entry's `kind` is not known.
    UnknownType,
    /// A binary frame, or bytes that are not UTF-8.
    BadEncoding,
    /// A user, room or device id has a wrong form.
    BadId,
    /// A client id is neither a ULID nor a UUIDv7.
    BadClientId,
    /// A cursor is not one of this service.
    BadCursor,
    /// The client id's time is more than 24 h old or 1 h ahead: look in the room before resending.
    ExpiredId,
    /// A text, title or other field is longer than allowed.
    TooLong,
    /// The frame, body or payload is larger than allowed.
    TooLarge,
    /// No token, or one that does not verify.
    Unauthorized,
    /// The token's time is over: refresh it.
    TokenExpired,
    /// User or password is wrong.
    BadCredentials,
    /// The user is suspended by an administrator.
    Suspended,
    /// The password is good for one login, which has to set another one.
    NewPasswordNeeded,
    /// Nobody makes an account by themselves.
    SignUpClosed,
    /// An account is made by an invitation.
    InvitationNeeded,
    /// The installation has decided it otherwise, for everybody.
    AgainstPolicy,
    /// The user's role does not allow it.
    Forbidden,
    /// The user is not a member of the room.
    NotMember,
    /// Somebody else does not want that of the user.
    NotAllowed,
    /// The other user has not accepted yet that the user writes to them.
    NotAccepted,
    NoSuchRoom,
    NoSuchUser,
    /// There is no such resource.
    NotFound,
    /// The path has no such method.
    MethodNotAllowed,
    /// The room's id is taken.
    RoomExists,
    /// The user id is taken.
    UserExists,
    /// The user is a member already.
    AlreadyMember,
    /// The room has as many members as it may have.
    RoomFull,
    /// A user who is to be put into a group is in as many as one may be.
    TooManyGroups,
    /// The same client id was used with another content; or a draft has another version.
    Conflict,
    /// The message that is to be changed was deleted.
    Deleted,
    /// The message is older than those that may still be changed.
    TooLate,
    /// The message has as many edits, or as many different emojis, as it may have.
    LimitReached,
    /// It is so already: nothing would change.
    Unchanged,
    /// The user is kept out of the group.
    Banned,
    /// There is no such link, or not any more.
    NoSuchLink,
    /// The link's time is over.
    LinkExpired,
    /// As many have joined by the link as may.
    LinkUsedUp,
    /// The group is archived.
    Archived,
    /// An administrator has closed the room.
    Closed,
    /// The group is in slow mode, and the member has written there a moment ago.
    SlowMode,
    /// A quota or rate limit of the caller is used up.
    RateLimited,
    /// The body came too slowly.
    TooSlow,
    /// A queue of the service is full.
    Overloaded,
    /// A part of the service can't be reached at the moment. Nothing was done.
    Unavailable,
    /// No answer in time. It may or may not have been done: resend with the same client id.
    Unknown,
    /// The command that `Weft-After` names is not applied: send both again, that one first. Never
    /// seen on a WebSocket: the edge does it.
    ResendInOrder,
    /// A defect or a broken part of the service.
    Internal,
}

impl ErrorCode {
    /// A code by its name; `None`: this version does not know it.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let name: serde::de::value::StrDeserializer<'_, serde::de::value::Error> =
            name.into_deserializer();
        Self::deserialize(name).ok()
    }

    /// The code as it is on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadJson => "bad_json",
            Self::BadRequest => "bad_request",
            Self::UnknownType => "unknown_type",
            Self::BadEncoding => "bad_encoding",
            Self::BadId => "bad_id",
            Self::BadClientId => "bad_client_id",
            Self::BadCursor => "bad_cursor",
            Self::ExpiredId => "expired_id",
            Self::TooLong => "too_long",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::Unauthorized => "unauthorized",
            Self::TokenExpired => "token_expired",
            Self::BadCredentials => "bad_credentials",
            Self::Suspended => "suspended",
            Self::NewPasswordNeeded => "new_password_needed",
            Self::SignUpClosed => "sign_up_closed",
            Self::InvitationNeeded => "invitation_needed",
            Self::AgainstPolicy => "against_policy",
            Self::Forbidden => "forbidden",
            Self::NotMember => "not_member",
            Self::NotAllowed => "not_allowed",
            Self::NotAccepted => "not_accepted",
            Self::NoSuchRoom => "no_such_room",
            Self::NoSuchUser => "no_such_user",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RoomExists => "room_exists",
            Self::UserExists => "user_exists",
            Self::AlreadyMember => "already_member",
            Self::RoomFull => "room_full",
            Self::TooManyGroups => "too_many_groups",
            Self::Conflict => "conflict",
            Self::Deleted => "deleted",
            Self::TooLate => "too_late",
            Self::LimitReached => "limit_reached",
            Self::Unchanged => "unchanged",
            Self::Banned => "banned",
            Self::NoSuchLink => "no_such_link",
            Self::LinkExpired => "link_expired",
            Self::LinkUsedUp => "link_used_up",
            Self::Archived => "archived",
            Self::Closed => "closed",
            Self::SlowMode => "slow_mode",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
            Self::ResendInOrder => "resend_in_order",
            Self::Internal => "internal",
        }
    }

    /// True where the same request may succeed later.
    #[must_use]
    pub fn is_temporary(self) -> bool {
        matches!(
            self,
            Self::RateLimited
                | Self::SlowMode
                | Self::TooSlow
                | Self::Overloaded
                | Self::Unavailable
                | Self::Unknown
                | Self::ResendInOrder
                | Self::Internal
        )
    }

    #[must_use]
    pub fn http_status(self) -> u16 {
        match self {
            Self::BadJson
            | Self::BadRequest
            | Self::UnknownType
            | Self::BadEncoding
            | Self::BadId
            | Self::BadClientId
            | Self::BadCursor
            | Self::ExpiredId
            | Self::TooLong => 400,
            Self::Unauthorized | Self::TokenExpired | Self::BadCredentials => 401,
            Self::Forbidden
            | Self::NotMember
            | Self::NotAllowed
            | Self::NotAccepted
            | Self::Banned
            | Self::Suspended
            | Self::SignUpClosed
            | Self::AgainstPolicy
            | Self::InvitationNeeded
            | Self::NewPasswordNeeded => 403,
            Self::NoSuchRoom | Self::NoSuchUser | Self::NoSuchLink | Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::RoomExists
            | Self::UserExists
            | Self::AlreadyMember
            | Self::RoomFull
            | Self::TooManyGroups
            | Self::Conflict
            | Self::TooLate
            | Self::LimitReached
            | Self::Unchanged
            | Self::Archived
            | Self::Closed
            | Self::ResendInOrder => 409,
            Self::Deleted | Self::LinkExpired | Self::LinkUsedUp => 410,
            Self::TooSlow => 408,
            Self::TooLarge => 413,
            Self::RateLimited | Self::SlowMode => 429,
            Self::Internal => 500,
            Self::Overloaded | Self::Unavailable => 503,
            Self::Unknown => 504,
        }
    }
}

/// An error as it is on the wire: `{code, message, temporary, retry_after_ms?, seq?, draft?}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ApiError {
    /// Stable, for programs.
    pub code: ErrorCode,
    /// For people; may change.
    pub message: String,
    /// The same request may succeed later.
    pub temporary: bool,
    /// Wait at least this long before trying again, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_after_ms: Option<u64>,
    /// [`ErrorCode::Conflict`]: the seq of the entry with the client id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seq: Option<u64>,
    /// [`ErrorCode::Conflict`]: the sender's draft as it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub draft: Option<Box<Draft>>,
}

impl ApiError {
    /// An error with its code's own `temporary`.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let temporary = code.is_temporary();
        let (retry_after_ms, seq, draft) = (None, None, None);
        Self { code, message: message.into(), temporary, retry_after_ms, seq, draft }
    }

    /// The same error, with the time to wait.
    #[must_use]
    pub fn retry_after_ms(mut self, wait_ms: u64) -> Self {
        self.retry_after_ms = Some(wait_ms);
        self
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_one_word() {
        for code in [ErrorCode::BadJson, ErrorCode::NoSuchRoom, ErrorCode::ResendInOrder] {
            assert_eq!(serde_json::to_value(code).expect("text"), code.as_str());
        }
    }
}
