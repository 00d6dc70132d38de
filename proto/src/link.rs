//! Links by which one joins a group. A link is a secret token; what may be shown and kept of it is its id.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::error::{ApiError, ErrorCode};
use crate::hidden::Hidden;
use crate::ids::is_token;

/// Shortest token: 22 characters of 64 have as many bits as 16 random bytes.
const TOKEN_BYTES_MIN: usize = 22;
/// So much of the SHA-256 of a token is its id.
const ID_BYTES: usize = 16;

/// The secret: whoever has it may join.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkToken(Hidden<Arc<str>>);

impl LinkToken {
    /// Checks alphabet and length.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`].
    pub fn new(text: &str) -> Result<Self, ApiError> {
        if text.len() >= TOKEN_BYTES_MIN && is_token(text) {
            return Ok(Self(Hidden(text.into())));
        }
        let message = "the field link is 22 to 64 characters of A-Z, a-z, 0-9, _ and -";
        Err(ApiError::new(ErrorCode::BadRequest, message))
    }

    /// One of random bytes.
    #[must_use]
    pub fn of_random(bytes: [u8; 16]) -> Self {
        Self(Hidden(hex::encode(bytes).into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn id(&self) -> LinkId {
        let hash = Sha256::digest(self.0.as_bytes());
        LinkId(hex::encode(&hash[..ID_BYTES]).into())
    }
}

impl Serialize for LinkToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What a link is known by without its token: the first half of its SHA-256, as hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(Arc<str>);

impl LinkId {
    /// Checks its form.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`].
    pub fn new(text: &str) -> Result<Self, ApiError> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == 2 * ID_BYTES && text.bytes().all(is_digit) {
            return Ok(Self(text.into()));
        }
        let message = "the field link_id is 32 hexadecimal digits";
        Err(ApiError::new(ErrorCode::BadRequest, message))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for LinkId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_by_its_id_alone() {
        let token = LinkToken::new("0123456789012345678901").expect("a token");
        assert!(!format!("{token:?}").contains("0123"));
        // What is kept of links may never change.
        assert_eq!(token.id().as_str(), "285cda1c67d9118fe505aec5031ed731");
        assert_eq!(LinkId::new(token.id().as_str()).expect("an id"), token.id());
        let made = LinkToken::of_random([7; 16]);
        assert_eq!(LinkToken::new(made.as_str()).expect("a token"), made);
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in ["", "012345678901234567890", "0123456789012345678901!", &"x".repeat(65)] {
            assert_eq!(LinkToken::new(bad).expect_err(bad).code, ErrorCode::BadRequest);
        }
        for bad in ["", &"0".repeat(31), &"A".repeat(32)] {
            assert_eq!(LinkId::new(bad).expect_err(bad).code, ErrorCode::BadRequest);
        }
    }
}
