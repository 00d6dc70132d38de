//! The id that a sender gives to what it sends, and keeps over resends.

use std::fmt::{self, Write as _};

use serde::{Serialize, Serializer};

use crate::error::{ApiError, ErrorCode};

/// A ULID or a UUIDv7: 128 bits, the first 48 of them a time in Unix milliseconds.
///
/// The spelling (ULID or UUID, and the case of each letter) is kept, so that a client reads back
/// the text that it sent. Equality is of the bits alone: every spelling names the same command.
#[derive(Clone, Copy, Debug)]
pub struct ClientId {
    bits: u128,
    is_uuid: bool,
    /// Bit n: character n (from 0, without hyphens) is a letter in the other case than the
    /// canonical one, which is upper for a ULID and lower for a UUID.
    other_case: u32,
}

impl PartialEq for ClientId {
    fn eq(&self, other: &Self) -> bool {
        self.bits == other.bits
    }
}

impl Eq for ClientId {}

impl PartialOrd for ClientId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ClientId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.bits.cmp(&other.bits)
    }
}

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
            26 if text.as_bytes()[0] <= b'7' => ulid::Ulid::from_string(text).ok().map(|id| Self {
                bits: id.0,
                is_uuid: false,
                other_case: letters(text, |letter| letter.is_ascii_lowercase()),
            }),
            36 => {
                uuid::Uuid::try_parse(text).ok().filter(|id| id.get_version_num() == 7).map(|id| {
                    Self {
                        bits: id.as_u128(),
                        is_uuid: true,
                        other_case: letters(text, |letter| letter.is_ascii_uppercase()),
                    }
                })
            }
            _ => None,
        };
        parsed.ok_or_else(|| {
            ApiError::new(ErrorCode::BadClientId, "a client id is a ULID or a UUIDv7")
        })
    }

    /// The ULID of these bits.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self { bits: u128::from_be_bytes(bytes), is_uuid: false, other_case: 0 }
    }

    /// Builds a ULID from a time in Unix milliseconds and 80 random bits.
    #[must_use]
    pub fn from_parts(time_ms: u64, random: u128) -> Self {
        let bits = ulid::Ulid::from_parts(time_ms, random).0;
        Self { bits, is_uuid: false, other_case: 0 }
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

/// Which of the characters (without hyphens) are such letters, one bit each. There are 32 at most.
fn letters(text: &str, is_wanted: impl Fn(u8) -> bool) -> u32 {
    let characters = text.bytes().filter(|byte| *byte != b'-');
    characters.zip(0..).fold(0, |mask, (byte, n)| mask | u32::from(is_wanted(byte)) << n)
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut ulid, mut uuid) = ([0; ulid::ULID_LEN], [0; uuid::fmt::Hyphenated::LENGTH]);
        let text = if self.is_uuid {
            uuid::Uuid::from_u128(self.bits).hyphenated().encode_lower(&mut uuid)
        } else {
            ulid::Ulid(self.bits).array_to_str(&mut ulid)
        };
        if self.other_case == 0 {
            return f.write_str(text);
        }
        let mut n = 0;
        for character in text.chars() {
            let is_other = character != '-' && self.other_case >> n & 1 == 1;
            n += u32::from(character != '-');
            f.write_char(match (is_other, self.is_uuid) {
                (false, _) => character,
                (true, true) => character.to_ascii_uppercase(),
                (true, false) => character.to_ascii_lowercase(),
            })?;
        }
        Ok(())
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
        assert_eq!(uuid.to_string(), "017F22E2-79B0-7CC3-98C4-DC0C0C07398F");
        assert_eq!(uuid.time_ms(), 0x017f_22e2_79b0);
        assert_eq!(uuid.hour(), (0x017f_22e2_79b0_u64 / 3_600_000) as u32);
    }

    #[test]
    fn every_spelling_is_kept_and_names_the_same() {
        for spellings in [
            [
                "01ARZ3NDEKTSV4RRFFQ69G5FAV",
                "01arz3ndektsv4rrffq69g5fav",
                "01aRZ3ndEKTsv4rrffq69g5FAv",
            ],
            [
                "017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
                "017F22E2-79B0-7CC3-98C4-DC0C0C07398F",
                "017f22E2-79b0-7cC3-98c4-dc0c0C07398F",
            ],
        ] {
            let ids = spellings.map(|text| ClientId::parse(text).expect(text));
            assert_eq!(ids.map(|id| id.to_string()), spellings);
            assert!(ids.iter().all(|id| *id == ids[0] && id.to_bytes() == ids[0].to_bytes()));
        }
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
