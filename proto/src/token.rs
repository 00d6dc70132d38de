//! What an access token says. Edges verify its signature without asking anybody; whether its login
//! still lasts, core knows.

use serde::{Deserialize, Serialize};

use crate::scope::Scope;

/// `aud` of a person's access token, and `iss` of every one.
pub const TOKEN_AUDIENCE: &str = "weft";
/// `aud` of a bot's access token: a Weft that knows of no scopes takes none.
pub const BOT_AUDIENCE: &str = "weft-bot";

/// The claims of an access token: a JWT signed with EdDSA (Ed25519), its `kid` naming the key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// The user.
    pub sub: String,
    pub dev: String,
    /// [`TOKEN_AUDIENCE`].
    pub iss: String,
    /// [`TOKEN_AUDIENCE`], or [`BOT_AUDIENCE`] where there is a scope.
    pub aud: String,
    /// Issued at, Unix seconds.
    pub iat: u64,
    /// Expires at, Unix seconds.
    pub exp: u64,
    /// Which login of the device: when it was made, Unix milliseconds, as in the device's row. The
    /// token is good while that login lasts. `None`: made by a Weft that did not name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<u64>,
    /// Of a bot's token: what it is good for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Of a bot's token that is good on NATS alone: the public `NKey` that a connection proves to have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nkey: Option<String>,
}

impl Claims {
    /// The audience is that of the scope: a bot's token has one, a person's has none.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        match self.scope {
            Some(_) => self.aud == BOT_AUDIENCE,
            None => self.aud == TOKEN_AUDIENCE && self.nkey.is_none(),
        }
    }
}
