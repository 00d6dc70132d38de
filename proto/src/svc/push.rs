//! How devices are notified (`weft.svc.accounts.push_…`), and of what (`weft.svc.push.…`).

use std::fmt;

use prost::Message;

use super::{Empty, Method, Place};
use crate::kind::DndHours;
use crate::notify::Notify;

redacted! {
    SetPush {}
    RemovePush { device }
    Push { kind, language, private, topic, sandbox }
    DropPush { user, device }
}

/// How a device is to be notified.
#[derive(Clone, PartialEq, Eq, Message)]
#[prost(skip_debug)]
pub struct Push {
    /// `webpush`, `webhook`, `fcm` or `apns`.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// Where notifications go, or the token of whom they go to: who knows it can send some.
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
    /// Of `apns`: the app.
    #[prost(string, tag = "8")]
    pub topic: String,
    /// Of `apns`: it is one of the sandbox.
    #[prost(bool, tag = "9")]
    pub sandbox: bool,
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

/// Asks which devices may have to be notified of entries. Who is asked decides nothing: see [`LookAtPush`].
#[derive(Clone, PartialEq, Message)]
pub struct ListPushTargets {
    #[prost(message, repeated, tag = "1")]
    pub places: Vec<Place>,
    /// Of the first one, only users after this id; empty: from the first.
    #[prost(string, tag = "2")]
    pub after: String,
}
method!(ListPushTargets, "push", "targets", PushTargets);

#[derive(Clone, PartialEq, Message)]
pub struct PushTargets {
    #[prost(message, repeated, tag = "1")]
    pub targets: Vec<PushTarget>,
    /// So many of the places are done.
    #[prost(uint32, tag = "2")]
    pub done: u32,
    /// The one after them is done up to this user: ask for it again with `after`; empty: it is not begun.
    #[prost(string, tag = "3")]
    pub after: String,
}

/// A device, and of what it may have to be notified.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PushTarget {
    #[prost(string, tag = "1")]
    pub room: String,
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    #[prost(string, tag = "3")]
    pub user: String,
    #[prost(string, tag = "4")]
    pub device: String,
    /// It goes first: a direct message, or a mention.
    #[prost(bool, tag = "5")]
    pub first: bool,
    /// Of an invitation, which has no seq: when it was made, Unix milliseconds.
    #[prost(uint64, tag = "6")]
    pub invited_ms: u64,
}

/// Asks which devices may have to be notified of invitations to groups.
#[derive(Clone, PartialEq, Message)]
pub struct ListInvitedTargets {
    #[prost(message, repeated, tag = "1")]
    pub invited: Vec<Invited>,
}
method!(ListInvitedTargets, "push", "invited", PushTargets);

/// Who is invited, and to which group, unless it has ended since.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Invited {
    #[prost(string, tag = "1")]
    pub user: String,
    #[prost(string, tag = "2")]
    pub room: String,
}

/// Asks what holds now, in one moment, of a device and what it may have to be notified of.
#[derive(Clone, PartialEq, Message)]
pub struct LookAtPush {
    #[prost(message, optional, tag = "1")]
    pub target: Option<PushTarget>,
}
method!(LookAtPush, "push", "look", PushFacts);

/// What holds then.
#[derive(Clone, PartialEq, Message)]
pub struct PushFacts {
    /// With its keys; none: the device is not to be notified any more.
    #[prost(message, optional, tag = "1")]
    pub push: Option<Push>,
    /// `message`, `image`, `file`, `reaction`, `added` or `invitation`; empty: there is nothing that the user sees.
    #[prost(string, tag = "2")]
    pub what: String,
    /// The user did it.
    #[prost(bool, tag = "3")]
    pub is_own: bool,
    /// Its sender wants nobody to be notified.
    #[prost(bool, tag = "4")]
    pub is_skipped: bool,
    /// The user has read it.
    #[prost(bool, tag = "5")]
    pub is_read: bool,
    /// An edit: of interest to whom it mentions alone.
    #[prost(bool, tag = "6")]
    pub is_edit: bool,
    #[prost(bool, tag = "7")]
    pub is_direct: bool,
    /// The room is a request to the user.
    #[prost(bool, tag = "8")]
    pub is_request: bool,
    /// One of the user and the sender has blocked the other.
    #[prost(bool, tag = "9")]
    pub is_blocked: bool,
    /// It mentions the user, or everybody.
    #[prost(bool, tag = "10")]
    pub is_mention: bool,
    /// It is in a thread, ...
    #[prost(bool, tag = "11")]
    pub is_in_thread: bool,
    /// ... which the user follows.
    #[prost(bool, tag = "12")]
    pub follows: bool,
    /// It is in a large group.
    #[prost(bool, tag = "13")]
    pub is_large: bool,
    #[prost(enumeration = "Notify", tag = "14")]
    pub room_notify: i32,
    /// For all rooms of which nothing was said.
    #[prost(enumeration = "Notify", tag = "15")]
    pub user_notify: i32,
    /// Unix milliseconds; 0: it is not.
    #[prost(uint64, tag = "16")]
    pub muted_until_ms: u64,
    #[prost(message, optional, tag = "17")]
    pub dnd: Option<DndHours>,
    #[prost(uint64, tag = "18")]
    pub dnd_until_ms: u64,
    /// Of a group.
    #[prost(string, tag = "20")]
    pub title: String,
    #[prost(string, tag = "21")]
    pub from: String,
    /// The sender's display name.
    #[prost(string, tag = "22")]
    pub from_name: String,
    /// The beginning of the text, or caption; of a reaction, of the message that it is on.
    #[prost(string, tag = "23")]
    pub text: String,
    /// Of a reaction.
    #[prost(string, tag = "24")]
    pub emoji: String,
    /// Of the first file.
    #[prost(string, tag = "25")]
    pub file_name: String,
    #[prost(uint32, tag = "26")]
    pub files: u32,
    /// When it was taken, Unix milliseconds.
    #[prost(uint64, tag = "27")]
    pub time_ms: u64,
    /// What the user has unread in all rooms that are not muted.
    #[prost(uint64, tag = "28")]
    pub badge: u64,
}

/// Says that nobody is notified at an address any more: its gateway knows it no longer.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct DropPush {
    #[prost(string, tag = "1")]
    pub user: String,
    #[prost(string, tag = "2")]
    pub device: String,
    /// Another one by now stays.
    #[prost(string, tag = "3")]
    pub address: String,
}
method!(DropPush, "push", "drop", Empty);
