//! What a user lets others do who are not known to them, and what holds where they have not said it.

use serde::{Deserialize, Serialize};

use crate::error::{ApiError, ErrorCode};

/// Who may put a user into a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, prost::Enumeration)]
#[serde(rename_all = "snake_case")]
#[repr(i32)]
pub enum AddBy {
    /// As the installation has it; there: everybody.
    Default = 0,
    /// The user's contacts, and who has written with the user in a direct room, both of them.
    Known = 1,
    /// Nobody: the user is invited, or joins by themselves.
    None = 2,
    /// Everybody.
    All = 3,
}

/// What becomes of the first messages of who is not known to a user.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, prost::Enumeration)]
#[serde(rename_all = "snake_case")]
#[repr(i32)]
pub enum Strangers {
    /// As the installation has it; there: they are welcome.
    Default = 0,
    /// They are messages as others.
    Welcome = 1,
    /// The room is a request, until the user accepts it.
    Request = 2,
}

impl AddBy {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Known => "known",
            Self::None => "none",
            Self::All => "all",
        }
    }

    /// Reads the word of what holds for all.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`].
    pub fn parse(word: &str) -> Result<Self, ApiError> {
        let all = [Self::All, Self::Known, Self::None];
        all.into_iter().find(|it| it.as_str() == word).ok_or_else(|| {
            let message = "the field add_by is one of all, known and none";
            ApiError::new(ErrorCode::BadRequest, message)
        })
    }
}

impl Strangers {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Welcome => "welcome",
            Self::Request => "request",
        }
    }

    /// Reads the word of what holds for all.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`].
    pub fn parse(word: &str) -> Result<Self, ApiError> {
        let all = [Self::Welcome, Self::Request];
        all.into_iter().find(|it| it.as_str() == word).ok_or_else(|| {
            let message = "the field strangers is welcome or request";
            ApiError::new(ErrorCode::BadRequest, message)
        })
    }
}
