//! Incoming webhooks of groups (`weft.svc.hooks.…`): addresses by which other systems post there.

use std::fmt;

use prost::Message;

use super::{Empty, Method};

redacted! {
    MakeHook { room, name }
    ListHooks { room }
    RenewHook { room, hook }
    RemoveHook { room, hook }
    MadeHook { hook }
    OpenHook {}
}

/// Makes a hook, and the account that posts by it. Who has made it puts that account into the group.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct MakeHook {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub room: String,
    /// The display name of the account.
    #[prost(string, tag = "3")]
    pub name: String,
}
method!(MakeHook, "hooks", "make", MadeHook);

/// A hook, with what nobody can be told again.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct MadeHook {
    #[prost(message, optional, tag = "1")]
    pub hook: Option<Hook>,
    /// The secret of its address.
    #[prost(string, tag = "2")]
    pub secret: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct Hook {
    /// The account that posts, and the hook's id.
    #[prost(string, tag = "1")]
    pub hook: String,
    #[prost(string, tag = "2")]
    pub name: String,
    /// Who made it.
    #[prost(string, tag = "3")]
    pub by: String,
    /// Unix milliseconds.
    #[prost(uint64, tag = "4")]
    pub made_ms: u64,
    /// Since when it has its secret, Unix milliseconds.
    #[prost(uint64, tag = "5")]
    pub secret_ms: u64,
}

/// Lists the hooks of a group.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListHooks {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub room: String,
}
method!(ListHooks, "hooks", "list", Hooks);

#[derive(Clone, PartialEq, Message)]
pub struct Hooks {
    /// Those that were made last come first.
    #[prost(message, repeated, tag = "1")]
    pub hooks: Vec<Hook>,
}

/// Gives a hook another secret. The one before is good for nothing from then on.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct RenewHook {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub room: String,
    #[prost(string, tag = "3")]
    pub hook: String,
}
method!(RenewHook, "hooks", "renew", MadeHook);

/// Removes a hook. Its account stays, with what it has posted.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct RemoveHook {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub room: String,
    #[prost(string, tag = "3")]
    pub hook: String,
}
method!(RemoveHook, "hooks", "remove", Empty);

/// Asks which hook has a secret.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct OpenHook {
    /// Its SHA-256.
    #[prost(bytes = "vec", tag = "1")]
    pub secret_hash: Vec<u8>,
    /// Of what its sender calls what it posts, the SHA-256; empty: it calls it nothing.
    #[prost(bytes = "vec", tag = "2")]
    pub idempotency: Vec<u8>,
}
method!(OpenHook, "hooks", "open", OpenedHook);

#[derive(Clone, PartialEq, Eq, Message)]
pub struct OpenedHook {
    #[prost(string, tag = "1")]
    pub room: String,
    /// Who posts.
    #[prost(string, tag = "2")]
    pub user: String,
    /// Under which client id, where its sender calls it something: 16 bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub client_id: Vec<u8>,
}
