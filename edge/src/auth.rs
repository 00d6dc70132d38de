//! Verifies access tokens without asking anybody: core's public keys are fetched at start and
//! again now and then.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};
use weft_nats::Bus;
use weft_proto::svc::{GetKeys, Keys};
use weft_proto::token::{BOT_AUDIENCE, Claims, TOKEN_AUDIENCE};
use weft_proto::{ApiError, Body, ClientId, DeviceId, ErrorCode, Partition, RoomId, Scope, UserId};

use crate::outbox::Command;

/// The length of an Ed25519 public key.
const KEY_BYTES: usize = 32;
/// Between two attempts while there are no keys yet.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Between two regular fetches.
const REFRESH_PAUSE: Duration = Duration::from_secs(600);
/// An unknown key id makes the edge ask at most so often: anybody can invent one.
const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(3);
/// How long a caller with an unknown key id waits for the keys.
const UNKNOWN_KEY_WAIT: Duration = Duration::from_secs(2);

/// Who is calling, proven by a token.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) user: UserId,
    pub(crate) device: DeviceId,
    /// The token itself: calls to core carry it.
    pub(crate) token: Arc<str>,
    pub(crate) expires_at_ms: u64,
    /// What the token is good for; `None`: it is a person's, and good for all that they may.
    pub(crate) scope: Option<Arc<Scope>>,
}

impl Caller {
    /// # Errors
    /// `forbidden` where that is out of the token's scope.
    pub(crate) fn check_publish(&self, room: &RoomId, body: &Body) -> Result<(), ApiError> {
        self.scope.as_ref().map_or(Ok(()), |scope| scope.check_publish(room, body))
    }

    /// A command of the caller. All of them are made here, so that none is out of its token's scope.
    ///
    /// # Errors
    /// As [`check_publish`](Self::check_publish).
    pub(crate) fn command(
        &self,
        room: RoomId,
        (client_id, is_made): (ClientId, bool),
        body: &Body,
    ) -> Result<Command, ApiError> {
        self.check_publish(&room, body)?;
        Ok(Command { room, client_id, is_made, payload: body.to_json().into() })
    }
}

/// Without the token.
impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("user", &self.user)
            .field("device", &self.device)
            .field("expires_at_ms", &self.expires_at_ms)
            .finish_non_exhaustive()
    }
}

/// The keys and what is checked with them.
pub(crate) struct Auth {
    bus: Bus,
    partitions: Partition,
    keys: RwLock<HashMap<String, Arc<DecodingKey>>>,
    /// When the keys were last asked for because of an unknown id.
    asked_at: Mutex<Option<Instant>>,
    validation: Validation,
}

impl Auth {
    pub(crate) fn new(bus: Bus, partitions: Partition) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[TOKEN_AUDIENCE, BOT_AUDIENCE]);
        validation.set_issuer(&[TOKEN_AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        validation.leeway = 0;
        Self { bus, partitions, keys: RwLock::default(), asked_at: Mutex::default(), validation }
    }

    /// There are keys to verify with.
    pub(crate) fn is_ready(&self) -> bool {
        !self.keys.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Fetches the keys until there are some, then again from time to time.
    pub(crate) async fn keep_keys(self: Arc<Self>) {
        loop {
            if let Err(error) = self.fetch().await {
                // A person has to look at a defect; core's being away mends itself.
                if error.code == ErrorCode::Internal {
                    tracing::error!(%error, "this edge can't serve");
                } else {
                    tracing::debug!(%error, "can't fetch the keys");
                }
            }
            sleep(if self.is_ready() { REFRESH_PAUSE } else { FIRST_PAUSE }).await;
        }
    }

    /// Checks a token.
    ///
    /// # Errors
    /// `unauthorized`, `token_expired`; `unavailable` while there are no keys yet.
    pub(crate) async fn verify(&self, token: &str) -> Result<Caller, ApiError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| unauthorized())?;
        let kid = header.kid.ok_or_else(unauthorized)?;
        let key = match self.key(&kid) {
            Some(key) => key,
            // Boxed: it is rare, and would be a large part of every session.
            None => Box::pin(self.fetch_unknown(&kid)).await?,
        };
        self.check(token, &key)
    }

    fn check(&self, token: &str, key: &DecodingKey) -> Result<Caller, ApiError> {
        let decoded = jsonwebtoken::decode::<Claims>(token, key, &self.validation);
        let claims = decoded.map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => {
                ApiError::new(ErrorCode::TokenExpired, "the token has expired: refresh it")
            }
            _ => unauthorized(),
        })?;
        let claims = claims.claims;
        if !claims.is_consistent() {
            return Err(unauthorized());
        }
        if claims.nkey.is_some() {
            let message = "the token is good on NATS alone";
            return Err(ApiError::new(ErrorCode::Unauthorized, message));
        }
        Ok(Caller {
            user: UserId::new(&claims.sub).map_err(|_| unauthorized())?,
            device: DeviceId::new(&claims.dev).map_err(|_| unauthorized())?,
            token: token.into(),
            expires_at_ms: claims.exp.saturating_mul(1_000),
            scope: claims.scope.map(Arc::new),
        })
    }

    fn key(&self, kid: &str) -> Option<Arc<DecodingKey>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(kid).cloned()
    }

    /// Asks for the keys where that was not done a moment ago; one caller asks, the others wait.
    async fn fetch_unknown(&self, kid: &str) -> Result<Arc<DecodingKey>, ApiError> {
        let mut asked_at = self.asked_at.lock().await;
        if asked_at.is_none_or(|at| at.elapsed() >= UNKNOWN_KEY_PAUSE) {
            *asked_at = Some(Instant::now());
            let _ = timeout(UNKNOWN_KEY_WAIT, self.fetch()).await;
        }
        drop(asked_at);
        if !self.is_ready() {
            let error = ApiError::new(ErrorCode::Unavailable, "tokens can't be verified yet");
            return Err(error.retry_after_ms(1_000));
        }
        self.key(kid).ok_or_else(unauthorized)
    }

    async fn fetch(&self) -> Result<(), ApiError> {
        let answer: Keys = self.bus.call(&GetKeys {}).await?;
        same_partitions(answer.partitions, self.partitions)?;
        let keys = read_keys(answer);
        if !keys.is_empty() {
            *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        }
        Ok(())
    }
}

/// An edge that counts otherwise would listen for events where none come: without keys it is never
/// ready.
fn same_partitions(core: u32, edge: Partition) -> Result<(), ApiError> {
    if core == u32::from(edge) {
        return Ok(());
    }
    let message = format!("core has {core} partitions, this edge counts {edge}");
    Err(ApiError::new(ErrorCode::Internal, message))
}

fn read_keys(keys: Keys) -> HashMap<String, Arc<DecodingKey>> {
    // The library panics on a shorter key.
    let usable = keys.keys.into_iter().filter(|key| key.public.len() == KEY_BYTES);
    usable.map(|key| (key.kid, Arc::new(DecodingKey::from_ed_der(&key.public)))).collect()
}

fn unauthorized() -> ApiError {
    ApiError::new(ErrorCode::Unauthorized, "no token, or one that does not verify")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_with_another_partition_count_gets_no_keys() {
        assert!(same_partitions(4, 4).is_ok());
        let error = same_partitions(4, 16).expect_err("refused");
        assert_eq!(error.code, ErrorCode::Internal);
        assert_eq!(error.message, "core has 4 partitions, this edge counts 16");
    }
}
