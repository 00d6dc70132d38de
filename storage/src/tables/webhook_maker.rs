//! Which outgoing webhooks a user has made, wherever: so that they are counted by one read. Written with the webhooks
//! themselves (see [`webhook`](super::webhook)).

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::UserId;

use super::key::Key;
use super::table::Table;
use super::{Tag, record};
use crate::error::Error;

#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookMaker {
    #[prost(message, repeated, tag = "1")]
    pub made: Vec<MadeWebhook>,
}

#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MadeWebhook {
    /// The group that it is of, or the user's notebook.
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(string, tag = "2")]
    pub id: String,
}

impl Table for WebhookMaker {
    const TAG: Tag = Tag::WebhookMaker;
    const NAME: &str = "webhook_maker";
    type Key = UserId;
    type Row = Self;
}

#[must_use]
pub fn key(user: &UserId) -> Bytes {
    Key::new(Tag::WebhookMaker).name(user.as_str()).build()
}

impl WebhookMaker {
    #[must_use]
    pub fn encode(&self) -> Bytes {
        record::encode(self).into()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        record::decode_whole(Self::NAME, bytes)
    }
}
