//! What an access token says. Edges verify it without asking anybody.

use serde::{Deserialize, Serialize};

/// `aud` and `iss` of every access token.
pub const TOKEN_AUDIENCE: &str = "weft";

/// The claims of an access token: a JWT signed with EdDSA (Ed25519), its `kid` naming the key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// The user.
    pub sub: String,
    /// The device.
    pub dev: String,
    /// [`TOKEN_AUDIENCE`].
    pub iss: String,
    /// [`TOKEN_AUDIENCE`].
    pub aud: String,
    /// Issued at, Unix seconds.
    pub iat: u64,
    /// Expires at, Unix seconds.
    pub exp: u64,
}
