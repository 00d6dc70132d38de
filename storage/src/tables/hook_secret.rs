//! Which incoming webhook has a secret, by the secret's hash. Written with the hook (see [`hook`](super::hook)).

use bytes::Bytes;
use weft_proto::{RoomId, UserId};

use super::hook::HookKey;
use super::key::Key;
use super::{Tag, record};
use crate::error::Error;

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HookSecret {
    #[prost(string, tag = "1")]
    pub room: String,
    #[prost(string, tag = "2")]
    pub user: String,
}

/// `hash`: SHA-256 of the secret.
#[must_use]
pub fn key(hash: &[u8]) -> Bytes {
    Key::new(Tag::HookSecret).raw(hash).build()
}

impl HookSecret {
    #[must_use]
    pub fn encode(&self) -> Bytes {
        record::encode(self).into()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        record::decode_whole("hook_secret", bytes)
    }

    /// The hook.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn hook(&self) -> Result<HookKey, Error> {
        let corrupt = |error| Error::Corrupt(format!("hook_secret: {error}"));
        let room = RoomId::new(&self.room).map_err(corrupt)?;
        Ok((room, UserId::new(&self.user).map_err(corrupt)?))
    }
}
