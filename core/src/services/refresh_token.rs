//! Refresh tokens: opaque text that names user and device and holds a secret. The store keeps hashes of
//! the secret alone, so that nobody who reads the store can log in.
//!
//! The secret has two halves. The first is the same in all tokens of one login, its family; the second
//! is new in each. So a token that was traded already is known as one of this login, however long
//! ago that was, and with nothing kept of it.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use weft_proto::{DeviceId, UserId};

/// How long a refresh token lives, counted from its issue.
pub(crate) const LIFE_MS: u64 = 30 * 24 * 3_600_000;
/// How long a token may be used once more after it was traded: the answer may have been lost.
pub(super) const REPEAT_MS: u64 = 60_000;

/// Separates the parts; no id has it.
const SEPARATOR: char = '.';
/// Half of a secret: 16 random bytes as hexadecimal digits.
const HALF_CHARS: usize = 32;

/// What is the same in all tokens of a login.
pub(super) struct Family(String);

impl Family {
    pub(super) fn new(secret: [u8; 16]) -> Self {
        Self(hex(secret))
    }

    pub(super) fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.0.as_bytes()).to_vec()
    }
}

pub(super) struct RefreshToken {
    pub(super) user: UserId,
    pub(super) device: DeviceId,
    pub(super) family: Family,
    /// SHA-256 of the whole secret.
    pub(super) hash: [u8; 32],
}

/// Makes a token: its text, and what the store keeps of it.
pub(super) fn make(
    user: &UserId,
    device: &DeviceId,
    family: &Family,
    secret: [u8; 16],
) -> (String, [u8; 32]) {
    let secret = format!("{}{}", family.0, hex(secret));
    let hash = Sha256::digest(secret.as_bytes()).into();
    (format!("{user}{SEPARATOR}{device}{SEPARATOR}{secret}"), hash)
}

/// Reads a token; `None` where it has another form.
pub(super) fn parse(text: &str) -> Option<RefreshToken> {
    let mut parts = text.splitn(3, SEPARATOR);
    let user = UserId::new(parts.next()?).ok()?;
    let device = DeviceId::new(parts.next()?).ok()?;
    let secret = parts.next().filter(|secret| secret.len() == 2 * HALF_CHARS)?;
    let family = Family(secret.get(..HALF_CHARS)?.to_owned());
    Some(RefreshToken { user, device, family, hash: Sha256::digest(secret.as_bytes()).into() })
}

fn hex(bytes: [u8; 16]) -> String {
    bytes.iter().fold(String::with_capacity(HALF_CHARS), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip_and_other_texts_are_refused() {
        let (user, device) = (UserId::new("alice").expect("id"), DeviceId::new("A-1").expect("id"));
        let family = Family::new([0xcd; 16]);
        let (text, hash) = make(&user, &device, &family, [0xab; 16]);
        let read = parse(&text).expect("parse");
        assert_eq!((read.user, read.device, read.hash), (user, device, hash));
        assert_eq!(read.family.hash(), family.hash());
        assert!(!text.as_bytes().windows(32).any(|window| window == hash));
        let not_ascii = format!("alice.A-1.{}한{}", "0".repeat(31), "0".repeat(30));
        for bad in ["", "alice", "alice.A-1.ab", "a b.c.00", &format!("{text}0"), &not_ascii] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
