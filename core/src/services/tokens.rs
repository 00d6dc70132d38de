//! Access tokens: EdDSA JWTs, signed by a key that the store keeps. Edges verify them by the public
//! keys alone; core verifies them again in every call, and then looks whether the login lasts
//! (`callers`).

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::Serialize;
use serde::de::DeserializeOwned;
use weft_proto::token::{BOT_AUDIENCE, Claims, TOKEN_AUDIENCE};
use weft_proto::{ApiError, DeviceId, ErrorCode, RoomId, Scope, StoreId, UserId, svc};
use weft_runtime::Clock;
use weft_storage::tables::signing_key::{self, SigningKey};
use weft_storage::{Batch, Store};

use super::verified::{Verified, VerifiedTokens};
use crate::Error;

/// What comes before the 32 bytes of an Ed25519 secret key in its PKCS #8 form (RFC 8410).
const PKCS8_HEAD: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// More keys than anybody keeps: a key rotates rarely, and goes when its tokens have expired.
const KEYS_MAX: usize = 100;

/// Whom a token speaks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    pub user: UserId,
    /// The device that logged in.
    pub device: DeviceId,
    /// Which login of the device.
    pub login: Login,
    /// What the token is good for; `None`: it is a person's, and good for all that they may.
    pub scope: Option<Arc<Scope>>,
    /// It is good on NATS alone, for a connection that has proved to have this `NKey`.
    pub nkey: Option<Arc<str>>,
}

/// Which login of a device a token is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Login {
    /// The one that was made at this time, Unix milliseconds: the device's row says the same while
    /// it lasts.
    MadeAt(u64),
    /// The token does not say: a Weft before this one issued it, at this time in Unix seconds. So
    /// the login is not younger.
    Unnamed { issued_s: u64 },
}

impl Caller {
    /// A person, by a login of a device of theirs.
    #[must_use]
    pub fn person(user: UserId, device: DeviceId, login: Login) -> Self {
        Self { user, device, login, scope: None, nkey: None }
    }

    /// The scope has the room.
    #[must_use]
    pub fn sees(&self, room: &RoomId) -> bool {
        self.scope.as_ref().is_none_or(|scope| scope.has_room(room.as_str()))
    }

    fn read(claims: Claims) -> Option<Self> {
        if !claims.is_consistent() {
            return None;
        }
        let user = UserId::new(&claims.sub).ok()?;
        let device = DeviceId::new(&claims.dev).ok()?;
        let login = claims.login.map_or(Login::Unnamed { issued_s: claims.iat }, Login::MadeAt);
        let (scope, nkey) = (claims.scope.map(Arc::new), claims.nkey.map(Into::into));
        Some(Self { user, device, login, scope, nkey })
    }
}

/// Whom a token says that it was issued for: anybody may have written it.
pub(super) fn read_unverified(token: &str) -> Option<Caller> {
    Caller::read(jsonwebtoken::dangerous::insecure_decode::<Claims>(token).ok()?.claims)
}

pub struct TokenIssuer {
    clock: Arc<dyn Clock>,
    life_s: u64,
    /// Newest first, never empty: the first signs, all verify.
    keys: Vec<Key>,
    verified: VerifiedTokens,
}

struct Key {
    kid: String,
    created_ms: u64,
    signs: EncodingKey,
    verifies: DecodingKey,
    /// 32 bytes.
    public: Vec<u8>,
    secret: Vec<u8>,
}

impl TokenIssuer {
    /// Reads the keys; makes the first one where there is none.
    pub(super) async fn open(
        store: &Store,
        store_id: StoreId,
        clock: Arc<dyn Clock>,
        life: Duration,
    ) -> Result<Self, Error> {
        let mut keys = read_keys(store).await?;
        if keys.is_empty() {
            make_first_key(store, store_id, clock.now_ms()).await?;
            keys = read_keys(store).await?;
        }
        if keys.is_empty() {
            let reason = "the first signing key could not be written".into();
            return Err(weft_storage::Error::Unavailable(reason).into());
        }
        keys.sort_by(|a, b| (b.created_ms, &b.kid).cmp(&(a.created_ms, &a.kid)));
        Ok(Self { clock, life_s: life.as_secs(), keys, verified: VerifiedTokens::default() })
    }

    /// A new access token, and when it ends, Unix milliseconds.
    ///
    /// # Errors
    /// [`ErrorCode::Internal`].
    pub fn issue(&self, caller: &Caller) -> Result<(String, u64), ApiError> {
        self.issue_for(caller, self.life_s)
    }

    /// As [`issue`](Self::issue), for so many seconds.
    ///
    /// # Errors
    /// [`ErrorCode::Internal`].
    pub(super) fn issue_for(
        &self,
        caller: &Caller,
        life_s: u64,
    ) -> Result<(String, u64), ApiError> {
        let now_s = self.clock.now_ms() / 1_000;
        let login = match caller.login {
            Login::MadeAt(login_ms) => Some(login_ms),
            Login::Unnamed { .. } => None,
        };
        let claims = Claims {
            sub: caller.user.to_string(),
            dev: caller.device.to_string(),
            iss: TOKEN_AUDIENCE.into(),
            aud: if caller.scope.is_some() { BOT_AUDIENCE } else { TOKEN_AUDIENCE }.into(),
            iat: now_s,
            exp: now_s + life_s,
            login,
            scope: caller.scope.as_deref().cloned(),
            nkey: caller.nkey.as_deref().map(str::to_owned),
        };
        Ok((self.sign(&claims)?, claims.exp * 1_000))
    }

    /// Whom the token was issued for. Whether that login lasts is not looked at.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthorized`] or [`ErrorCode::TokenExpired`].
    pub fn verify(&self, token: &str) -> Result<Caller, ApiError> {
        self.verify_until(token).map(|verified| verified.caller)
    }

    /// As [`verify`](Self::verify), and when the token ends.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub(super) fn verify_until(&self, token: &str) -> Result<Verified, ApiError> {
        let verified = self.verify_signature(token).ok_or_else(unauthorized)?;
        // By our own clock, and to the millisecond: the library would add a minute.
        if self.clock.now_ms() >= verified.expires_ms {
            return Err(ApiError::new(ErrorCode::TokenExpired, "the token has expired"));
        }
        Ok(verified)
    }

    /// Whom the token was issued for, whenever it ends.
    fn verify_signature(&self, token: &str) -> Option<Verified> {
        if let Some(verified) = self.verified.get(token) {
            return Some(verified);
        }
        let claims: Claims = self.open_for(token, &[TOKEN_AUDIENCE, BOT_AUDIENCE])?;
        let expires_ms = claims.exp.saturating_mul(1_000);
        let verified = Verified { caller: Caller::read(claims)?, expires_ms };
        self.verified.put(token, verified.clone());
        Some(verified)
    }

    /// Signs claims that name their audience (`aud`) and issuer (`iss`: [`TOKEN_AUDIENCE`]).
    pub(super) fn sign(&self, claims: &impl Serialize) -> Result<String, ApiError> {
        // `open` keeps at least one.
        let key = &self.keys[0];
        let header = Header { kid: Some(key.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, claims, &key.signs).map_err(|error| {
            tracing::error!(%error, kid = key.kid, "could not sign");
            ApiError::new(ErrorCode::Internal, "a defect in the service")
        })
    }

    /// Reads claims that [`sign`](Self::sign) signed for this audience; `None` for anything else.
    /// Their age is not looked at.
    pub(super) fn open_signed<C>(&self, token: &str, audience: &str) -> Option<C>
    where
        C: DeserializeOwned,
    {
        self.open_for(token, &[audience])
    }

    fn open_for<C>(&self, token: &str, audiences: &[&str]) -> Option<C>
    where
        C: DeserializeOwned,
    {
        let kid = jsonwebtoken::decode_header(token).ok()?.kid?;
        let key = self.keys.iter().find(|key| key.kid == kid)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.validate_exp = false;
        validation.set_required_spec_claims(&["aud", "iss"]);
        validation.set_audience(audiences);
        validation.set_issuer(&[TOKEN_AUDIENCE]);
        Some(jsonwebtoken::decode(token, &key.verifies, &validation).ok()?.claims)
    }

    /// The public keys, newest first.
    #[must_use]
    pub fn public_keys(&self) -> Vec<svc::VerifyKey> {
        let public =
            |key: &Key| svc::VerifyKey { kid: key.kid.clone(), public: key.public.clone() };
        self.keys.iter().map(public).collect()
    }
}

impl TokenIssuer {
    /// What other keys are made of, newest first: it stays in core.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.iter().map(|key| &*key.secret)
    }
}

fn unauthorized() -> ApiError {
    ApiError::new(ErrorCode::Unauthorized, "the token does not verify")
}

async fn read_keys(store: &Store) -> Result<Vec<Key>, Error> {
    let rows = store.snapshot().await?.scan(signing_key::range(), KEYS_MAX, false).await?;
    rows.iter().map(|(key, value)| Key::read(signing_key::kid(key)?, value)).collect()
}

/// The first key's id follows from the store's id, so that of several processes that start at once
/// one makes it and all use it, and no other store has a key of that name.
async fn make_first_key(store: &Store, id: StoreId, now_ms: u64) -> Result<(), Error> {
    let key = signing_key::key(&format!("{:016x}-1", id.0));
    let secret: [u8; 32] = rand::random();
    let mut batch = Batch::new(rand::random());
    batch.guard(key.clone(), None);
    batch.set(key, SigningKey { secret: secret.to_vec(), created_ms: now_ms }.encode());
    match store.commit(batch).await {
        // What is there now is the truth; the caller reads it.
        Ok(_) | Err(weft_storage::Error::Unknown(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl Key {
    fn read(kid: String, row: &[u8]) -> Result<Self, Error> {
        let stored = SigningKey::decode(row)?;
        let bad =
            |reason: &str| weft_storage::Error::Corrupt(format!("signing key {kid}: {reason}"));
        if stored.secret.len() != 32 {
            return Err(bad("it does not have 32 bytes").into());
        }
        let signs = EncodingKey::from_ed_der(&[&PKCS8_HEAD, stored.secret.as_slice()].concat());
        let verifies = Jwk::from_encoding_key(&signs, Algorithm::EdDSA)
            .and_then(|public| DecodingKey::from_jwk(&public))
            .map_err(|error| bad(&error.to_string()))?;
        let public = verifies.try_get_as_bytes().map_err(|error| bad(&error.to_string()))?.to_vec();
        let SigningKey { created_ms, secret } = stored;
        Ok(Self { kid, created_ms, signs, verifies, public, secret })
    }
}

#[cfg(test)]
mod tests {
    use weft_runtime::ManualClock;
    use weft_storage::memory::Memory;

    use super::*;

    async fn open(store: &Store, clock: &Arc<ManualClock>) -> TokenIssuer {
        let clock = Arc::clone(clock) as Arc<dyn Clock>;
        TokenIssuer::open(store, StoreId(7), clock, Duration::from_secs(60)).await.expect("open")
    }

    fn caller() -> Caller {
        let (user, device) = (UserId::new("alice").expect("id"), DeviceId::new("d").expect("id"));
        Caller::person(user, device, Login::MadeAt(7))
    }

    #[tokio::test]
    async fn a_token_lives_exactly_as_long_as_it_says() {
        let clock = Arc::new(ManualClock::new(1_000_000));
        let tokens = open(&Store::new(Memory::new()), &clock).await;
        let (token, expires_ms) = tokens.issue(&caller()).expect("issue");
        assert_eq!(expires_ms, 1_060_000);
        clock.advance_ms(59_999);
        assert_eq!(tokens.verify(&token).expect("verify"), caller());
        clock.advance_ms(1);
        assert_eq!(tokens.verify(&token).expect_err("old").code, ErrorCode::TokenExpired);
    }

    #[tokio::test]
    async fn forged_tokens_are_refused() {
        let clock = Arc::new(ManualClock::new(1_000_000));
        let tokens = open(&Store::new(Memory::new()), &clock).await;
        let other = open(&Store::new(Memory::new()), &clock).await;
        let (token, _) = tokens.issue(&caller()).expect("issue");
        let (foreign, _) = other.issue(&caller()).expect("issue");
        // Same key id, another key.
        assert_eq!(tokens.keys[0].kid, other.keys[0].kid);
        let (body, signature) = token.rsplit_once('.').expect("a JWT");
        let (foreign_body, _) = foreign.rsplit_once('.').expect("a JWT");
        assert_eq!(body, foreign_body);
        // The public key as an HMAC secret, as one well-known attack does it.
        let header = Header { kid: Some(tokens.keys[0].kid.clone()), ..Header::default() };
        let claims: Claims = tokens.open_signed(&token, TOKEN_AUDIENCE).expect("claims");
        let secret = EncodingKey::from_secret(&tokens.keys[0].public);
        let confused = jsonwebtoken::encode(&header, &claims, &secret).expect("encode");
        // Signed by us, for something else.
        let page = tokens.sign(&Claims { aud: "page".into(), ..claims.clone() }).expect("sign");
        let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", body.split_once('.').expect("a JWT").1);
        let cut = &token[..token.len() - 1];
        let swapped = format!("{body}x.{signature}");
        // A bot's token without what it is good for, and a person's with it.
        let boundless = Claims { aud: BOT_AUDIENCE.into(), ..claims.clone() };
        let scoped = Claims { scope: Some(Scope::default()), ..claims.clone() };
        let odd = [tokens.sign(&boundless).expect("sign"), tokens.sign(&scoped).expect("sign")];
        for bad in odd {
            assert_eq!(tokens.verify(&bad).expect_err("odd").code, ErrorCode::Unauthorized);
        }
        for bad in ["", "x", "a.b.c", cut, &swapped, &foreign, &confused, &page, &unsigned] {
            assert_eq!(tokens.verify(bad).expect_err(bad).code, ErrorCode::Unauthorized, "{bad}");
        }
    }

    #[tokio::test]
    async fn processes_that_start_at_once_agree_on_the_key() {
        let clock = Arc::new(ManualClock::new(1_000_000));
        let store = Store::new(Memory::new());
        make_first_key(&store, StoreId(7), 1).await.expect("first");
        make_first_key(&store, StoreId(7), 2).await.expect("second");
        let one = open(&store, &clock).await;
        let two = open(&store, &clock).await;
        assert_eq!(one.public_keys(), two.public_keys());
        assert_eq!(one.public_keys().len(), 1);
        let (token, _) = one.issue(&caller()).expect("issue");
        assert_eq!(two.verify(&token).expect("verify"), caller());

        // What an edge does with the public key.
        let key = &one.public_keys()[0];
        assert_eq!(key.public.len(), 32);
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.validate_exp = false;
        validation.set_audience(&[TOKEN_AUDIENCE]);
        let public = DecodingKey::from_ed_der(&key.public);
        assert!(jsonwebtoken::decode::<Claims>(&token, &public, &validation).is_ok());
    }
}
