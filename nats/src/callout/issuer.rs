//! The key that answers for bots' logins, in the forms of NATS: an account's nkey, and JWTs that it signs.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::nkey;
use crate::error::Error;

pub const SEED_BYTES: usize = 32;

pub struct Issuer {
    key: Ed25519KeyPair,
    public: String,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("public", &self.public).finish_non_exhaustive()
    }
}

impl Issuer {
    /// # Errors
    /// [`Error::Malformed`].
    pub fn from_seed(seed: &[u8; SEED_BYTES]) -> Result<Self, Error> {
        let key =
            Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| Error::Malformed("seed"))?;
        let public = nkey::encode(nkey::ACCOUNT, key.public_key().as_ref());
        Ok(Self { key, public })
    }

    /// Reads a seed as it is kept: 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn from_hex(text: &str) -> Result<Self, Error> {
        let malformed = || Error::Malformed("seed: it is 64 hexadecimal digits");
        let text = text.trim();
        if text.len() != 2 * SEED_BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(malformed());
        }
        let mut seed = [0; SEED_BYTES];
        for (at, byte) in seed.iter_mut().enumerate() {
            let digits = &text[2 * at..2 * at + 2];
            *byte = u8::from_str_radix(digits, 16).map_err(|_| malformed())?;
        }
        Self::from_seed(&seed)
    }

    /// The public key as nats-server's configuration names it: `A…`.
    #[must_use]
    pub fn public(&self) -> &str {
        &self.public
    }

    /// A JWT of these claims, in the words of NATS.
    pub(super) fn sign(&self, claims: &Value) -> String {
        let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut claims = claims.clone();
        claims["iss"] = json!(self.public);
        claims["iat"] = json!(now.as_secs());
        claims["jti"] = json!(format!("{:032x}", rand::random::<u128>()));
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

/// The claims of a JWT, unverified.
pub(super) fn claims_of(token: &str) -> Option<Vec<u8>> {
    let mut parts = token.split('.');
    let (Some(_), Some(claims), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    URL_SAFE_NO_PAD.decode(claims).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_form_of_nats() {
        // Made by another implementation.
        let issuer = Issuer::from_seed(&[7; SEED_BYTES]).expect("seed");
        assert_eq!(issuer.public(), "ADVEU3DD4KOFECV66VIHWEZOYX4ZKR3WV27L464SIIPOU2IUI3JCZW22");
        let hex = "07".repeat(SEED_BYTES);
        assert_eq!(Issuer::from_hex(&format!("{hex}\n")).expect("seed").public(), issuer.public());
        for bad in ["", "07", &hex[1..], &hex.replace('0', "g")] {
            assert!(Issuer::from_hex(bad).is_err(), "{bad}");
        }
        assert!(!format!("{issuer:?}").contains("key:"));
    }

    #[test]
    fn a_token_says_what_was_signed() {
        let issuer = Issuer::from_seed(&[7; SEED_BYTES]).expect("seed");
        let token = issuer.sign(&json!({ "sub": "x" }));
        let claims: Value =
            serde_json::from_slice(&claims_of(&token).expect("claims")).expect("JSON");
        assert_eq!((&claims["sub"], &claims["iss"]), (&json!("x"), &json!(issuer.public())));
        assert_eq!(claims_of("a.b"), None);
        assert_eq!(claims_of("a.b.c.d"), None);
    }
}
