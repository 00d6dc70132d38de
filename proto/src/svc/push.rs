//! How devices are notified (`weft.svc.accounts.push_…`).

use std::fmt;

use prost::Message;

use super::{Empty, Method};

redacted! {
    SetPush {}
    RemovePush { device }
    Push { kind, language, private }
}

/// How a device is to be notified.
#[derive(Clone, PartialEq, Eq, Message)]
#[prost(skip_debug)]
pub struct Push {
    /// `webpush` or `webhook`.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// Where notifications go: who knows it can send some.
    #[prost(string, tag = "2")]
    pub address: String,
    /// Of `webpush`: the device's public key, 65 bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub p256dh: Vec<u8>,
    /// Of `webpush`: what both keep secret, 16 bytes. Of `webhook`: what it is signed with.
    #[prost(bytes = "vec", tag = "4")]
    pub secret: Vec<u8>,
    /// Empty: the service's.
    #[prost(string, tag = "5")]
    pub language: String,
    /// The device is told that there is something, and nothing of what it is.
    #[prost(bool, tag = "6")]
    pub private: bool,
    /// When it was registered, Unix milliseconds. Not of a request.
    #[prost(uint64, tag = "7")]
    pub made_ms: u64,
}

/// Registers how the token's device is to be notified, in the place of what it had registered before.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct SetPush {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(message, optional, tag = "2")]
    pub push: Option<Push>,
}
method!(SetPush, "accounts", "push_set", Empty);

/// Ends that a device of the caller is notified.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct RemovePush {
    #[prost(string, tag = "1")]
    pub token: String,
    /// Empty: the token's.
    #[prost(string, tag = "2")]
    pub device: String,
}
method!(RemovePush, "accounts", "push_remove", Empty);
