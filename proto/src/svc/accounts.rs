//! Accounts, logins and profiles (`weft.svc.accounts.…`).

use std::fmt;

use prost::Message;
use serde::{Deserialize, Serialize};

use super::{Empty, Method, Push};
use crate::error::{ApiError, ErrorCode};

redacted! {
    Signup { user }
    Login { user, device }
    Refresh {}
    Tokens { user, device, expires_at_ms }
    Logout { device }
    ListDevices {}
    ChangePassword {}
    DeleteAccount {}
    CheckLogins {}
    GetProfile { user }
    GetProfiles { users }
    FindUsers { after, limit }
    SetProfile { display_name, avatar, about }
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Signup {
    /// The wanted user id.
    #[prost(string, tag = "1")]
    pub user: String,
    #[prost(string, tag = "2")]
    pub password: String,
    /// Shown to people; the user id where it is empty.
    #[prost(string, tag = "3")]
    pub display_name: String,
    /// The secret of an invitation; empty: none.
    #[prost(string, tag = "4")]
    pub invitation: String,
}
method!(Signup, "accounts", "signup", Profile);

/// What others see of a user.
#[derive(Clone, PartialEq, Message)]
pub struct Profile {
    #[prost(string, tag = "1")]
    pub user: String,
    /// Shown to people.
    #[prost(string, tag = "2")]
    pub display_name: String,
    /// A file's id; empty: none.
    #[prost(string, tag = "3")]
    pub avatar: String,
    /// A bot has no password.
    #[prost(bool, tag = "4")]
    pub is_bot: bool,
    /// A line of the user's own words; empty: none.
    #[prost(string, tag = "5")]
    pub about: String,
    /// Grows with each change; 0: none was made.
    #[prost(uint64, tag = "6")]
    pub version: u64,
    /// The account is deleted: there is no name any more.
    #[prost(bool, tag = "9")]
    pub deleted: bool,
}

/// Trades a password for tokens.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Login {
    #[prost(string, tag = "1")]
    pub user: String,
    #[prost(string, tag = "2")]
    pub password: String,
    /// The device, named by the client. A login ends the device's earlier one.
    #[prost(string, tag = "3")]
    pub device: String,
    /// The network that the client comes from, as its edge sees it: an IPv4 address, or the first 64
    /// bits of an IPv6 address; empty: it does not know. Attempts are counted by it.
    #[prost(string, tag = "4")]
    pub network: String,
    /// The user's own password from now on, where `password` is good for one login; else empty.
    #[prost(string, tag = "5")]
    pub new_password: String,
}
method!(Login, "accounts", "login", Tokens);

/// Trades a refresh token for new tokens. The old refresh token is used up.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Refresh {
    /// From the last [`Tokens`].
    #[prost(string, tag = "1")]
    pub refresh_token: String,
    /// As in [`Login`].
    #[prost(string, tag = "2")]
    pub network: String,
}
method!(Refresh, "accounts", "refresh", Tokens);

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Tokens {
    #[prost(string, tag = "1")]
    pub user: String,
    #[prost(string, tag = "2")]
    pub device: String,
    /// The access token, a JWT.
    #[prost(string, tag = "3")]
    pub token: String,
    /// When the access token ends, Unix milliseconds.
    #[prost(uint64, tag = "4")]
    pub expires_at_ms: u64,
    /// For the next [`Refresh`].
    #[prost(string, tag = "5")]
    pub refresh_token: String,
}

/// Ends the login of a device of the caller: its tokens are void.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Logout {
    #[prost(string, tag = "1")]
    pub token: String,
    /// Which one; empty: the token's.
    #[prost(string, tag = "2")]
    pub device: String,
}
method!(Logout, "accounts", "logout", Empty);

/// Lists the devices on which the caller is logged in.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListDevices {
    #[prost(string, tag = "1")]
    pub token: String,
}
method!(ListDevices, "accounts", "devices", Devices);

/// The devices on which a user is logged in.
#[derive(Clone, PartialEq, Message)]
pub struct Devices {
    /// The one that was used last comes first.
    #[prost(message, repeated, tag = "1")]
    pub devices: Vec<LoggedInDevice>,
}

/// A device on which a user is logged in.
#[derive(Clone, PartialEq, Message)]
pub struct LoggedInDevice {
    #[prost(string, tag = "1")]
    pub device: String,
    /// When it logged in, Unix milliseconds.
    #[prost(uint64, tag = "2")]
    pub login_ms: u64,
    /// When it last got new tokens, Unix milliseconds: at most an hour or so before its last use.
    #[prost(uint64, tag = "3")]
    pub refreshed_ms: u64,
    /// It is the token's.
    #[prost(bool, tag = "4")]
    pub is_own: bool,
    /// How it is notified, without keys.
    #[prost(message, optional, tag = "5")]
    pub push: Option<Push>,
}

/// Changes the password and ends the logins of all other devices.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ChangePassword {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub old: String,
    #[prost(string, tag = "3")]
    pub new: String,
}
method!(ChangePassword, "accounts", "password", Empty);

/// What becomes of what the user of an account that is deleted has written to others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, prost::Enumeration)]
#[serde(rename_all = "snake_case")]
#[repr(i32)]
pub enum WrittenMessages {
    /// As the installation has it; there: as whoever deletes it says, and if they say nothing, it stays.
    Any = 0,
    /// It stays, as theirs.
    Keep = 1,
    /// It is deleted, in the rooms that they are in.
    Empty = 2,
}

impl WrittenMessages {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Keep => "keep",
            Self::Empty => "empty",
        }
    }

    /// Reads the word.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`].
    pub fn parse(word: &str) -> Result<Self, ApiError> {
        let all = [Self::Any, Self::Keep, Self::Empty];
        all.into_iter().find(|it| it.as_str() == word).ok_or_else(|| {
            let message = "the field messages is one of any, keep and empty";
            ApiError::new(ErrorCode::BadRequest, message)
        })
    }
}

/// Deletes the caller's account.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct DeleteAccount {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub password: String,
    #[prost(enumeration = "WrittenMessages", tag = "3")]
    pub messages: i32,
}
method!(DeleteAccount, "accounts", "delete", Empty);

/// Asks which logins last. Speaks for an edge, which has verified the tokens, not for a user.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct CheckLogins {
    /// Access tokens, at most [`CHECKED_LOGINS_MAX`](crate::limits::CHECKED_LOGINS_MAX).
    #[prost(string, repeated, tag = "1")]
    pub tokens: Vec<String>,
}
method!(CheckLogins, "accounts", "check", CheckedLogins);

/// Which logins last.
#[derive(Clone, PartialEq, Message)]
pub struct CheckedLogins {
    /// Of each token, in the order of the question. No: the login has ended for good.
    #[prost(bool, repeated, tag = "1")]
    pub lasts: Vec<bool>,
    /// Of each token whose login has ended, that its user is suspended. An older core says nothing of that.
    #[prost(bool, repeated, tag = "2")]
    pub suspended: Vec<bool>,
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct GetProfile {
    #[prost(string, tag = "1")]
    pub token: String,
    /// Whose; empty: one's own.
    #[prost(string, tag = "2")]
    pub user: String,
}
method!(GetProfile, "accounts", "profile_get", Profile);

/// Asks for the profiles of several users.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct GetProfiles {
    #[prost(string, tag = "1")]
    pub token: String,
    /// At most [`PROFILES_MAX`](crate::limits::PROFILES_MAX).
    #[prost(string, repeated, tag = "2")]
    pub users: Vec<String>,
}
method!(GetProfiles, "accounts", "profiles", Profiles);

#[derive(Clone, PartialEq, Message)]
pub struct Profiles {
    /// Of those users that exist, each once.
    #[prost(message, repeated, tag = "1")]
    pub profiles: Vec<Profile>,
}

/// Looks for users by the beginning of their id, of their display name, or of a word of these.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct FindUsers {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub prefix: String,
    /// The cursor of the page before; empty: the first page.
    #[prost(string, tag = "3")]
    pub after: String,
    /// Most of one page; 0: as many as a page holds.
    #[prost(uint32, tag = "4")]
    pub limit: u32,
}
method!(FindUsers, "accounts", "find", FoundUsers);

#[derive(Clone, PartialEq, Message)]
pub struct FoundUsers {
    /// Each on one page alone.
    #[prost(message, repeated, tag = "1")]
    pub profiles: Vec<Profile>,
    /// There may be more: ask again with `after` = [`cursor`](Self::cursor).
    #[prost(bool, tag = "2")]
    pub more: bool,
    /// Where the page ends, for who asked; empty: it has nothing.
    #[prost(string, tag = "3")]
    pub cursor: String,
}

/// Changes one's own profile; a missing field stays as it is.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct SetProfile {
    #[prost(string, tag = "1")]
    pub token: String,
    /// Shown to people.
    #[prost(string, optional, tag = "2")]
    pub display_name: Option<String>,
    /// The id of an image of the caller's own; empty: none.
    #[prost(string, optional, tag = "3")]
    pub avatar: Option<String>,
    /// A line of the user's own words; empty: none.
    #[prost(string, optional, tag = "4")]
    pub about: Option<String>,
}
method!(SetProfile, "accounts", "profile_set", Profile);

/// Asks for the keys that verify access tokens.
#[derive(Clone, PartialEq, Message)]
pub struct GetKeys {}
method!(GetKeys, "accounts", "keys", Keys);

/// The keys that verify access tokens.
#[derive(Clone, PartialEq, Message)]
pub struct Keys {
    /// Newest first.
    #[prost(message, repeated, tag = "1")]
    pub keys: Vec<VerifyKey>,
    /// How many partitions the store has: an edge that counts otherwise would listen for events
    /// where none come.
    #[prost(uint32, tag = "2")]
    pub partitions: u32,
}

/// One key that verifies access tokens.
#[derive(Clone, PartialEq, Message)]
pub struct VerifyKey {
    /// The `kid` of the tokens that it verifies.
    #[prost(string, tag = "1")]
    pub kid: String,
    /// An Ed25519 public key, 32 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub public: Vec<u8>,
}
