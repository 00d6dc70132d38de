//! Places in commit order, and the cursor that a device keeps.

use std::fmt;
use std::str::FromStr;

use crate::error::{ApiError, ErrorCode};

/// A place in the store's commit order: 10 bytes that the store gives to a commit, and 2 that the
/// committer gives to what is inside. Compared as bytes. An order, never a clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub [u8; 12]);

impl Position {
    /// Before everything.
    pub const MIN: Self = Self([0; 12]);
    /// After everything.
    pub const MAX: Self = Self([0xff; 12]);

    /// The place numbered `order` inside of the commit at `version`.
    #[must_use]
    pub fn new(version: u64, order: u16) -> Self {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&version.to_be_bytes());
        bytes[10..].copy_from_slice(&order.to_be_bytes());
        Self(bytes)
    }

    /// The same commit, another place inside of it.
    #[must_use]
    pub fn with_order(mut self, order: u16) -> Self {
        self.0[10..].copy_from_slice(&order.to_be_bytes());
        self
    }

    /// The last place of the same commit: what a read at this commit covers.
    #[must_use]
    pub fn commit_end(self) -> Self {
        self.with_order(u16::MAX)
    }

    /// Reads 12 bytes; `None` for any other length.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Three of these go into each event: a digit at a time through `write!` was 2 % of core.
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 24];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 0xf)];
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Position {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, ApiError> {
        let bad = || ApiError::new(ErrorCode::BadCursor, "a position is 24 hexadecimal digits");
        if text.len() != 24 || !text.is_ascii() {
            return Err(bad());
        }
        let mut bytes = [0; 12];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

/// Names one store for as long as it keeps its history. A restored or imported store gets a new
/// one, so that cursors into the old history are noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreId(pub u64);

/// Store id and position up to which a device has everything. Opaque to clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cursor {
    /// The store that the position belongs to.
    pub store: StoreId,
    /// Everything at or before it has reached the device.
    pub position: Position,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{}", self.store.0, self.position)
    }
}

impl FromStr for Cursor {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, ApiError> {
        let bad = || ApiError::new(ErrorCode::BadCursor, "not a cursor of this service");
        let (store, position) = text.split_once('.').ok_or_else(bad)?;
        if store.len() != 16 {
            return Err(bad());
        }
        let store = u64::from_str_radix(store, 16).map_err(|_| bad())?;
        Ok(Self { store: StoreId(store), position: position.parse().map_err(|_| bad())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_round_trip() {
        let cursor = Cursor { store: StoreId(0xfeed), position: Position::new(77, 3) };
        assert_eq!(cursor.to_string().parse::<Cursor>().expect("parse"), cursor);
        for bad in ["", ".", "x.y", "000000000000feed", "000000000000feed.0", "é00000000000000.0"]
        {
            assert_eq!(bad.parse::<Cursor>().expect_err(bad).code, ErrorCode::BadCursor);
        }
    }

    #[test]
    fn positions_compare_in_commit_order() {
        assert!(Position::new(1, 9) < Position::new(2, 0));
        assert!(Position::new(2, 0) < Position::new(2, 1));
        assert!(Position::new(2, 7) <= Position::new(2, 0).commit_end());
        assert!(Position::new(2, 0).commit_end() < Position::new(3, 0));
    }
}
