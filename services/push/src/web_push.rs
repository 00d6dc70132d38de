//! The request to a service of Web Push: what only the device reads (RFC 8291, over RFC 8188), and who asks (RFC 8292).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::digest;
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde::Serialize;

use crate::error::Error;
use crate::keys;

/// How long a token is good: services take a day at the most.
const TOKEN_LIFE: Duration = Duration::from_secs(12 * 3_600);
/// The one record of a message has at most this size, with what belongs to it: services take no more.
const RECORD_BYTES: u32 = 4_096;
const KEY_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
const SALT_BYTES: usize = 16;
/// Longest text of a message: a record less its tag and its delimiter, and less its header.
pub const PLAIN_BYTES_MAX: usize = RECORD_BYTES as usize - 17 - 86;
/// Ends the last record.
const LAST: u8 = 2;

/// Who asks.
pub struct Vapid {
    key: EcdsaKeyPair,
    /// How an operator is reached, `mailto:` or `https:`; empty: it is not said.
    contact: String,
}

impl Vapid {
    /// A new key, as PEM (PKCS #8).
    ///
    /// # Errors
    /// [`Error::Key`].
    pub fn make_key() -> Result<String, Error> {
        let failed = |_| Error::Key("none can be made");
        let made =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let text = STANDARD.encode(made.map_err(failed)?);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        let lines = lines.join("\n");
        Ok(format!("-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----"))
    }

    /// Reads a key of P-256, as PEM (PKCS #8).
    ///
    /// # Errors
    /// [`Error::Key`].
    pub fn read(pem: &str, contact: String) -> Result<Self, Error> {
        let key = keys::p256(pem).map_err(Error::Key)?;
        Ok(Self { key, contact })
    }

    /// For which browsers subscribe: base64url.
    #[must_use]
    pub fn public_key(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.key.public_key())
    }

    /// The value of `Authorization` for a service, by its origin.
    ///
    /// # Errors
    /// [`Error::Key`].
    pub fn authorization(&self, origin: &str, now_s: u64) -> Result<String, Error> {
        #[derive(Serialize)]
        struct Claims<'a> {
            aud: &'a str,
            exp: u64,
            #[serde(skip_serializing_if = "str::is_empty")]
            sub: &'a str,
        }
        let claims = Claims { aud: origin, exp: now_s + TOKEN_LIFE.as_secs(), sub: &self.contact };
        let head = serde_json::json!({ "typ": "JWT", "alg": "ES256" });
        let token = keys::es256_token(&self.key, &head, &claims);
        let token = token.ok_or(Error::Key("it signs nothing"))?;
        Ok(format!("vapid t={token}, k={}", self.public_key()))
    }
}

/// The name by which a service replaces what it has not delivered yet: 32 characters.
#[must_use]
pub fn topic(of: &str) -> String {
    let hash = digest::digest(&digest::SHA256, of.as_bytes());
    URL_SAFE_NO_PAD.encode(&hash.as_ref()[..24])
}

/// The body that only the device with this public key and secret reads. `None`: the key is none, or the text is too long.
#[must_use]
pub fn encrypt(device_key: &[u8], auth: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
    if plain.len() > PLAIN_BYTES_MAX {
        return None;
    }
    let random = SystemRandom::new();
    let own = EphemeralPrivateKey::generate(&ECDH_P256, &random).ok()?;
    let own_key = own.compute_public_key().ok()?;
    let device = UnparsedPublicKey::new(&ECDH_P256, device_key);
    let secret = agree_ephemeral(own, &device, |shared| {
        let info: &[&[u8]] = &[b"WebPush: info\0", device_key, own_key.as_ref()];
        derive::<32>(auth, shared, info)
    });
    let secret = secret.ok()??;
    let mut salt = [0; SALT_BYTES];
    random.fill(&mut salt).ok()?;
    let key = derive::<KEY_BYTES>(&salt, &secret, &[b"Content-Encoding: aes128gcm\0"])?;
    let nonce = derive::<NONCE_BYTES>(&salt, &secret, &[b"Content-Encoding: nonce\0"])?;
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).ok()?);
    let mut record = [plain, &[LAST]].concat();
    let nonce = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(nonce, Aad::empty(), &mut record).ok()?;
    let own_key = own_key.as_ref();
    let key_length = u8::try_from(own_key.len()).ok()?;
    Some([&salt[..], &RECORD_BYTES.to_be_bytes(), &[key_length], own_key, &record].concat())
}

/// So many bytes of HKDF with SHA-256.
fn derive<const N: usize>(salt: &[u8], secret: &[u8], info: &[&[u8]]) -> Option<[u8; N]> {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut bytes = [0; N];
    let key = Salt::new(HKDF_SHA256, salt).extract(secret);
    key.expand(info, Length(N)).ok()?.fill(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey as Verifier};

    use super::*;

    #[test]
    fn a_token_names_the_service_and_is_signed_by_the_key() {
        let pem = Vapid::make_key().expect("a key");
        let vapid = Vapid::read(&pem, "mailto:ops@example.org".into()).expect("read");
        let value = vapid.authorization("https://push.example", 1_000).expect("signed");
        let (token, key) = value
            .strip_prefix("vapid t=")
            .and_then(|rest| rest.split_once(", k="))
            .expect("a token and a key");
        assert_eq!(key, vapid.public_key());
        let (signed, signature) = token.rsplit_once('.').expect("a signature");
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("base64url");
        let verifier = Verifier::new(&ECDSA_P256_SHA256_FIXED, decode(key));
        verifier.verify(signed.as_bytes(), &decode(signature)).expect("it is signed");
        let (_, claims) = signed.split_once('.').expect("claims");
        let claims: serde_json::Value = serde_json::from_slice(&decode(claims)).expect("json");
        assert_eq!(claims["aud"], "https://push.example");
        assert_eq!(
            (&claims["exp"], &claims["sub"]),
            (&44_200.into(), &"mailto:ops@example.org".into())
        );
        assert!(Vapid::read("geheim", String::new()).is_err());
    }

    /// What a device reads, by RFC 8291 and RFC 8188.
    fn read(own: EphemeralPrivateKey, own_key: &[u8], auth: &[u8], body: &[u8]) -> Vec<u8> {
        let (salt, rest) = body.split_at(SALT_BYTES);
        let key_length = usize::from(rest[4]);
        let (sender_key, record) = rest[5..].split_at(key_length);
        let sender = UnparsedPublicKey::new(&ECDH_P256, sender_key);
        let secret = agree_ephemeral(own, &sender, |shared| {
            derive::<32>(auth, shared, &[b"WebPush: info\0", own_key, sender_key]).expect("secret")
        });
        let secret = secret.expect("a secret");
        let key = derive::<16>(salt, &secret, &[b"Content-Encoding: aes128gcm\0"]).expect("key");
        let nonce = derive::<12>(salt, &secret, &[b"Content-Encoding: nonce\0"]).expect("nonce");
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).expect("key"));
        let mut record = record.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let plain = key.open_in_place(nonce, Aad::empty(), &mut record).expect("it is sealed");
        let (last, plain) = plain.split_last().expect("a delimiter");
        assert_eq!(*last, LAST);
        plain.to_vec()
    }

    #[test]
    fn only_the_device_reads_it() {
        let own = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).expect("key");
        let own_key = own.compute_public_key().expect("public key");
        let text = vec![b'x'; PLAIN_BYTES_MAX];
        let body = encrypt(own_key.as_ref(), &[7; 16], &text).expect("encrypted");
        assert_eq!(body.len(), RECORD_BYTES as usize, "no service takes more");
        assert_eq!(read(own, own_key.as_ref(), &[7; 16], &body), text);
    }

    #[test]
    fn a_topic_is_of_what_a_service_takes() {
        let made = topic("team");
        assert_eq!((made.len(), made == topic("team")), (32, true));
        assert_ne!(made, topic("team/7"));
    }

    #[test]
    fn what_is_too_long_or_for_no_key_is_not_encrypted() {
        assert_eq!(encrypt(&[4; 65], &[0; 16], b"hi"), None, "no point of the curve");
        let long = vec![b'x'; PLAIN_BYTES_MAX + 1];
        assert_eq!(encrypt(&[4; 65], &[0; 16], &long), None);
    }
}
