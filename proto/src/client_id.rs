//! The id that a sender gives to what it sends, and keeps over resends.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::error::{ApiError, ErrorCode};

/// A ULID or a UUIDv7: 128 bits, the first 48 of them a time in Unix milliseconds.
///
/// The form (ULID or UUID) is kept, so that a client reads back the text that it sent; case is
/// normalised (ULID upper, UUID lower). Equality is of the bits alone.
#[derive(Clone, Copy, Debug)]
pub struct ClientId {
    bits: u128,
    is_uuid: bool,
}

impl PartialEq for ClientId {
    fn eq(&self, other: &Self) -> bool {
        self.bits == other.bits
    }
}

impl Eq for ClientId {}

impl std::hash::Hash for ClientId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.bits.hash(state);
    }
}

impl ClientId {
    /// Reads a ULID (26 characters) or a hyphenated UUID of version 7 (36 characters).
    ///
    /// # Errors
    /// [`ErrorCode::BadClientId`] for anything else.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let parsed = match text.len() {
            // A first digit above 7 would not fit into 128 bits; the parser cuts it off in silence.
            26 if text.as_bytes()[0] <= b'7' => {
                ulid::Ulid::from_string(text).ok().map(|id| Self { bits: id.0, is_uuid: false })
            }
            36 => uuid::Uuid::try_parse(text)
                .ok()
                .filter(|id| id.get_version_num() == 7)
                .map(|id| Self { bits: id.as_u128(), is_uuid: true }),
            _ => None,
        };
        parsed.ok_or_else(|| {
            ApiError::new(ErrorCode::BadClientId, "a client id is a ULID or a UUIDv7")
        })
    }

    /// Builds a ULID from a time in Unix milliseconds and 80 random bits.
    #[must_use]
    pub fn from_parts(time_ms: u64, random: u128) -> Self {
        Self { bits: ulid::Ulid::from_parts(time_ms, random).0, is_uuid: false }
    }

    /// The time that the sender stamped, Unix milliseconds.
    #[must_use]
    pub fn time_ms(&self) -> u64 {
        (self.bits >> 80) as u64
    }

    /// The hour that the sender stamped, hours since the Unix epoch. Resend records are kept by it.
    #[must_use]
    pub fn hour(&self) -> u32 {
        // 48 bits of milliseconds are 78,187,493 hours at the most.
        (self.time_ms() / 3_600_000) as u32
    }

    /// The 16 bytes that identify it on disk.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 16] {
        self.bits.to_be_bytes()
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_uuid {
            fmt::Display::fmt(&uuid::Uuid::from_u128(self.bits), f)
        } else {
            fmt::Display::fmt(&ulid::Ulid(self.bits), f)
        }
    }
}

impl Serialize for ClientId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_kept() {
        let ulid = ClientId::parse("01ARZ3NDEKTSV4RRFFQ69G5FAV").expect("ulid");
        assert_eq!(ulid.to_string(), "01ARZ3NDEKTSV4RRFFQ69G5FAV");
        assert_eq!(ulid.time_ms(), 1_469_922_850_259);
        let uuid = ClientId::parse("017F22E2-79B0-7CC3-98C4-DC0C0C07398F").expect("uuid");
        assert_eq!(uuid.to_string(), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
        assert_eq!(uuid.time_ms(), 0x017f_22e2_79b0);
        assert_eq!(uuid.hour(), (0x017f_22e2_79b0_u64 / 3_600_000) as u32);
    }

    #[test]
    fn everything_else_is_refused() {
        for bad in [
            "",
            "1",
            "01ARZ3NDEKTSV4RRFFQ69G5FA!",
            "81ARZ3NDEKTSV4RRFFQ69G5FAV",           // more than 128 bits
            "017f22e2-79b0-4cc3-98c4-dc0c0c07398f", // version 4
            "017f22e279b07cc398c4dc0c0c07398f",     // no hyphens
        ] {
            assert_eq!(ClientId::parse(bad).expect_err(bad).code, ErrorCode::BadClientId);
        }
    }
}
