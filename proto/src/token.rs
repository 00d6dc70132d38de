//! What an access token says. Edges verify its signature without asking anybody; whether its login
//! still lasts, core knows.

use serde::{Deserialize, Serialize};

/// `aud` and `iss` of every access token.
pub const TOKEN_AUDIENCE: &str = "weft";

/// The claims of an access token: a JWT signed with EdDSA (Ed25519), its `kid` naming the key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// The user.
    pub sub: String,
    pub dev: String,
    /// [`TOKEN_AUDIENCE`].
    pub iss: String,
    /// [`TOKEN_AUDIENCE`].
    pub aud: String,
    /// Issued at, Unix seconds.
    pub iat: u64,
    /// Expires at, Unix seconds.
    pub exp: u64,
    /// Which login of the device: when it was made, Unix milliseconds, as in the device's row. The
    /// token is good while that login lasts. `None`: made by a Weft that did not name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<u64>,
}
