//! Who may make an account.

use serde::{Deserialize, Serialize};

use crate::error::{ApiError, ErrorCode};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, prost::Enumeration)]
#[serde(rename_all = "snake_case")]
#[repr(i32)]
pub enum SignUpMode {
    /// Everybody: the default.
    Open = 0,
    /// Who has an invitation.
    Invitation = 1,
    /// Nobody by themselves: administrators make accounts.
    Closed = 2,
}

impl SignUpMode {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Invitation => "invitation",
            Self::Closed => "closed",
        }
    }

    /// Reads the word.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`].
    pub fn parse(word: &str) -> Result<Self, ApiError> {
        let all = [Self::Open, Self::Invitation, Self::Closed];
        all.into_iter().find(|mode| mode.as_str() == word).ok_or_else(|| {
            let message = "the field mode is one of open, invitation and closed";
            ApiError::new(ErrorCode::BadRequest, message)
        })
    }
}
