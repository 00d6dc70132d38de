//! Who is here: what a user chose, what an edge says of its users, and what others see.
//!
//! An edge keeps one key per user with sessions there (`<user>.<edge>`, a [`EdgePresence`]); presence nodes
//! merge the keys of a user into one [`Presence`] and publish its changes on `weft.status.<user>`.

use prost::Message;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::ids::UserId;
use crate::json::read_json;
use crate::word;

/// The version of the encoding of [`EdgePresence`] and [`PresenceTick`]. A reader refuses any other.
const VERSION: u8 = 1;

/// What a user wants to be seen as while a device is connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, prost::Enumeration)]
#[serde(rename_all = "snake_case")]
#[repr(i32)]
pub enum Choice {
    /// As what the devices say: online, or away where all of them are idle.
    Online = 0,
    Away = 1,
    /// Do not disturb.
    Dnd = 2,
    /// Offline, for everybody else.
    Invisible = 3,
}

/// What others see.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, prost::Enumeration)]
#[serde(rename_all = "snake_case")]
#[repr(i32)]
pub enum Status {
    /// Not connected, or invisible: nobody can tell which.
    Offline = 0,
    Online = 1,
    /// Connected and not looking.
    Away = 2,
    /// Do not disturb.
    Dnd = 3,
}

/// A user's own choice, the same for all devices; kept in the store.
#[derive(Clone, PartialEq, Eq, Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PresenceSettings {
    /// How the user wants to be seen.
    #[prost(enumeration = "Choice", tag = "1")]
    #[serde(serialize_with = "word::write::<Choice, _>")]
    #[serde(deserialize_with = "word::read::<Choice, _>")]
    pub choice: i32,
    /// A line of the user's own words; empty: none.
    #[prost(string, tag = "2")]
    pub text: String,
    /// When the text ends, Unix milliseconds; 0: never.
    #[prost(uint64, tag = "3")]
    pub text_until_ms: u64,
    /// When it was chosen, Unix milliseconds by core's clock: of two, the later one holds. It grows
    /// with each choice of a user.
    #[prost(uint64, tag = "4")]
    pub at_ms: u64,
}

/// A device with a live session.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct DevicePresence {
    #[prost(string, tag = "1")]
    pub device: String,
    /// It says that nobody looks at it.
    #[prost(bool, tag = "2")]
    pub idle: bool,
}

/// What an edge says of one of its users: the value of the key `<user>.<edge>`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct EdgePresence {
    /// The edge's [`boot`](../weft_nats/nodes/struct.NodeInfo.html): a key of another life of
    /// the edge says nothing.
    #[prost(string, tag = "1")]
    pub boot: String,
    /// Grows with each write of this life of the edge: an older one that comes late says nothing.
    #[prost(uint64, tag = "2")]
    pub number: u64,
    /// Ascending by device. Empty: the user's last session here has ended.
    #[prost(message, repeated, tag = "3")]
    pub devices: Vec<DevicePresence>,
    /// The last session ended because the user logged out: offline at once, without grace.
    #[prost(bool, tag = "4")]
    pub logged_out: bool,
    /// What the user chose at this edge in its present life; none: nothing.
    #[prost(message, optional, tag = "5")]
    pub chosen: Option<PresenceSettings>,
    /// When a device here was last used, Unix milliseconds, as of this write.
    #[prost(uint64, tag = "6")]
    pub last_active_ms: u64,
    /// A device here says that its user looks at it and uses it.
    #[prost(bool, tag = "7")]
    pub attended: bool,
}

/// A presence node's sign of life, once a second (`weft.sig.presence.<node>`). It may be lost.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PresenceTick {
    /// Differs from start to start of the node.
    #[prost(string, tag = "1")]
    pub boot: String,
    /// The number of the last status that it has published: who has seen a lower one, or missed one
    /// in between, asks again.
    #[prost(uint64, tag = "2")]
    pub number: u64,
}

fn encode(message: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + message.encoded_len());
    bytes.push(VERSION);
    bytes.extend_from_slice(&message.encode_to_vec());
    bytes
}

fn decode<M: Message + Default>(bytes: &[u8]) -> Option<M> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => M::decode(rest).ok(),
        _ => None,
    }
}

impl EdgePresence {
    /// The form in the bucket.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads the form in the bucket; `None` for anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        decode(bytes)
    }
}

impl PresenceTick {
    /// The form on the wire.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads the form on the wire; `None` for anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        decode(bytes)
    }
}

/// A user as others see them: the payload of `weft.status.<user>` and an element of the frame
/// `presence`, in JSON.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Presence {
    pub user: UserId,
    pub status: Status,
    /// The user's own words; never of who is offline.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// When the text ends, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_until: Option<u64>,
    /// Of who is offline: when they were last seen, Unix milliseconds, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_active: Option<u64>,
    /// Grows with each change of the user: an older or equal one says nothing new. 0: nobody has
    /// published anything of this user.
    pub version: u64,
}

impl Presence {
    /// Offline, for all that is known.
    #[must_use]
    pub fn unknown(user: UserId) -> Self {
        let (status, text) = (Status::Offline, String::new());
        Self { user, status, text, text_until: None, last_active: None, version: 0 }
    }

    /// True where both show the same, whatever their versions.
    #[must_use]
    pub fn shows_the_same(&self, other: &Self) -> bool {
        self.status == other.status
            && self.text == other.text
            && self.text_until == other.text_until
            && self.last_active == other.last_active
    }

    /// The bytes of `weft.status.<user>`.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain fields serialise")
    }

    /// Reads the bytes of `weft.status.<user>`.
    ///
    /// # Errors
    /// Those of [`read_json`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, ApiError> {
        read_json(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_edge_says_round_trips() {
        let chosen = PresenceSettings {
            choice: Choice::Dnd.into(),
            text: "é".into(),
            text_until_ms: 9,
            at_ms: 7,
        };
        let here = EdgePresence {
            boot: "b1".into(),
            number: 3,
            devices: vec![DevicePresence { device: "phone".into(), idle: true }],
            logged_out: false,
            chosen: Some(chosen),
            last_active_ms: 5,
            attended: true,
        };
        assert_eq!(EdgePresence::decode(&here.encode()), Some(here));
        assert_eq!(EdgePresence::decode(b""), None);
        assert_eq!(EdgePresence::decode(&[9, 8]), None);
        let tick = PresenceTick { boot: "b1".into(), number: 4 };
        assert_eq!(PresenceTick::decode(&tick.encode()), Some(tick));
    }

    #[test]
    fn a_presence_says_what_there_is_to_say() {
        let mut bob = Presence::unknown(UserId::new("bob").expect("id"));
        assert_eq!(bob.to_json(), br#"{"user":"bob","status":"offline","version":0}"#);
        bob.status = Status::Dnd;
        bob.text = "lunch".into();
        bob.text_until = Some(5);
        assert_eq!(Presence::from_json(&bob.to_json()), Ok(bob.clone()));
        let newer = Presence { version: 8, ..bob.clone() };
        assert!(newer.shows_the_same(&bob));
        assert!(Presence::from_json(b"{}").is_err());
    }
}
