//! A store's place in the cluster's keyspace: `02 name 00` before each key.
//!
//! That is how FoundationDB's own tuple layer writes a text, so a store is ("name", …) to its
//! tools, and no name's range contains another's.

use bytes::Bytes;

use crate::error::Error;
use crate::limits::PREFIX_BYTES_MAX;

pub const NAMESPACE_BYTES_MAX: usize = PREFIX_BYTES_MAX - 2;

/// The part of a cluster's keyspace that belongs to one store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Namespace {
    prefix: Bytes,
}

impl Namespace {
    /// A name: 1 to 32 of `a-z`, `0-9`, `_` and `-`.
    ///
    /// # Errors
    /// [`Error::Open`] for any other.
    pub fn new(name: &str) -> Result<Self, Error> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_name = (1..=NAMESPACE_BYTES_MAX).contains(&name.len())
            && name.bytes().all(|byte| allowed(byte) || byte == b'_' || byte == b'-');
        if !is_name {
            let rule = "a namespace is 1 to 32 of a-z, 0-9, _ and -";
            return Err(Error::Open(format!("{name:?}: {rule}")));
        }
        Ok(Self { prefix: [b"\x02", name.as_bytes(), b"\0"].concat().into() })
    }

    /// The cluster's key for a key of the store.
    pub fn key(&self, key: &[u8]) -> Vec<u8> {
        [&self.prefix, key].concat()
    }

    /// The store's key for a key of the cluster (below this prefix).
    pub fn user_key(&self, key: &[u8]) -> Bytes {
        Bytes::copy_from_slice(&key[self.prefix.len()..])
    }

    /// A key beside the store's, which no store uses.
    pub fn beside(&self) -> Vec<u8> {
        let name = &self.prefix[..self.prefix.len() - 1];
        [name, &[1]].concat()
    }
}

impl Default for Namespace {
    /// `weft`.
    fn default() -> Self {
        Self { prefix: Bytes::from_static(b"\x02weft\0") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_hold_their_own_keys_alone() {
        assert_eq!(Namespace::new("weft").expect("name"), Namespace::default());
        for bad in ["", "Weft", "a b", "a\0", &"x".repeat(33)] {
            assert!(Namespace::new(bad).is_err(), "{bad:?}");
        }
        let (short, long) =
            (Namespace::new("a").expect("name"), Namespace::new("a1").expect("name"));
        for key in [b"".as_ref(), b"\0", b"\xff\xff"] {
            assert_eq!(short.user_key(&short.key(key)), key);
            let own = short.key(b"")..short.beside();
            assert!(own.contains(&short.key(key)) && !own.contains(&long.key(key)));
        }
    }
}
