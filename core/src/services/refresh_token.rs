//! Refresh tokens: opaque text that names user and device and holds a secret. The store keeps the
//! secret's hash alone, so that nobody who reads the store can log in.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use weft_proto::{DeviceId, UserId};

/// How long a refresh token lives, counted from its issue.
pub(super) const LIFE_MS: u64 = 30 * 24 * 3_600_000;

/// Separates the parts; no id has it.
const SEPARATOR: char = '.';
/// 32 random bytes as hexadecimal digits.
const SECRET_CHARS: usize = 64;

/// A token, read.
pub(super) struct RefreshToken {
    pub(super) user: UserId,
    pub(super) device: DeviceId,
    /// SHA-256 of the secret.
    pub(super) hash: [u8; 32],
}

/// Makes a token: its text, and what the store keeps of it.
pub(super) fn make(user: &UserId, device: &DeviceId, secret: [u8; 32]) -> (String, [u8; 32]) {
    let mut text = format!("{user}{SEPARATOR}{device}{SEPARATOR}");
    let secret_at = text.len();
    for byte in secret {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    let hash = Sha256::digest(&text.as_bytes()[secret_at..]).into();
    (text, hash)
}

/// Reads a token; `None` where it has another form.
pub(super) fn parse(text: &str) -> Option<RefreshToken> {
    let mut parts = text.splitn(3, SEPARATOR);
    let user = UserId::new(parts.next()?).ok()?;
    let device = DeviceId::new(parts.next()?).ok()?;
    let secret = parts.next().filter(|secret| secret.len() == SECRET_CHARS)?;
    Some(RefreshToken { user, device, hash: Sha256::digest(secret.as_bytes()).into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip_and_other_texts_are_refused() {
        let (user, device) = (UserId::new("alice").expect("id"), DeviceId::new("A-1").expect("id"));
        let (text, hash) = make(&user, &device, [0xab; 32]);
        let read = parse(&text).expect("parse");
        assert_eq!((read.user, read.device, read.hash), (user, device, hash));
        assert!(!text.as_bytes().windows(32).any(|window| window == hash));
        for bad in ["", "alice", "alice.A-1", "alice.A-1.ab", "a b.c.00", &format!("{text}0")] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
