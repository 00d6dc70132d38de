//! Which device is notified at an address of a gateway: the one that registered it last. Written with its registration
//! (see [`push_registration`](super::push_registration)).

use bytes::Bytes;
use weft_proto::{DeviceId, UserId};

use super::key::Key;
use super::push_registration::PushKey;
use super::{Tag, record};
use crate::error::Error;

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PushEndpoint {
    #[prost(string, tag = "1")]
    pub user: String,
    #[prost(string, tag = "2")]
    pub device: String,
}

#[must_use]
pub fn key(address: &str) -> Bytes {
    Key::new(Tag::PushEndpoint).name(address).build()
}

impl PushEndpoint {
    #[must_use]
    pub fn encode(&self) -> Bytes {
        record::encode(self).into()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        record::decode_whole("push_endpoint", bytes)
    }

    /// Whose it is.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn owner(&self) -> Result<PushKey, Error> {
        let corrupt = |error| Error::Corrupt(format!("push_endpoint: {error}"));
        let user = UserId::new(&self.user).map_err(corrupt)?;
        Ok((user, DeviceId::new(&self.device).map_err(corrupt)?))
    }
}
