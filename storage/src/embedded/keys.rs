//! The bytes of this engine's own key space.
//!
//! ```text
//! 00 00          → format (1 byte), last position's version (8 bytes)
//! 00 01 from     → to                   a cleared range that is not swept yet
//! 01 key         → value                everything else
//! ```
//! The first byte also makes the empty key possible, which fjall doesn't take.

use bytes::Bytes;

/// The key of the row that every commit writes.
pub const STATE: [u8; 2] = [0, 0];
/// In front of a cleared range's first key.
pub const CLEARED: [u8; 2] = [0, 1];
/// After the last cleared range.
pub const CLEARED_END: [u8; 2] = [0, 2];
/// In front of a caller's key.
const USER: u8 = 1;

/// The first byte of the state row. Another one was written by another Weft.
const FORMAT: u8 = 1;

/// Where a caller's key stands.
pub fn user(key: &[u8]) -> Vec<u8> {
    let mut physical = Vec::with_capacity(1 + key.len());
    physical.push(USER);
    physical.extend_from_slice(key);
    physical
}

/// The caller's key that stands here.
pub fn user_key(physical: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&physical[1..])
}

/// Where a cleared range stands.
pub fn cleared(from: &[u8]) -> Vec<u8> {
    [&CLEARED, from].concat()
}

/// The smallest key after this one.
pub fn next(key: &[u8]) -> Bytes {
    [key, &[0]].concat().into()
}

/// The state row's value.
pub fn state(version: u64) -> Vec<u8> {
    let mut value = vec![FORMAT];
    value.extend_from_slice(&version.to_be_bytes());
    value
}

/// The version in a state row; `None` where it was written by another format.
pub fn state_version(value: &[u8]) -> Option<u64> {
    let (format, version) = value.split_first()?;
    let version = u64::from_be_bytes(version.try_into().ok()?);
    (*format == FORMAT).then_some(version)
}
