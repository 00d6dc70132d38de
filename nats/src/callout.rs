//! Logins of bots: nats-server asks about each login that its configuration does not know, and core answers (auth
//! callout). So bots come and go while everything runs.
//!
//! - The question crosses Weft's account on a subject that core alone may listen on. It names a user and a password: a
//!   bot's id and one of its tokens. Nothing of it is proven; core decides by its store.
//! - The answer is a JWT that names what this one connection may do, in the account of bots. It is signed by the key
//!   whose public half is in nats-server's configuration: without it an answer opens nothing.
//! - A login that can't be answered in time is refused by nats-server. Connections that are open stay, whether core is
//!   there or not; those whose token has ended, core ends ([`BotConnection`]).
//! - Strangers may ask as often as they like: at most [`LOGINS_MAX`] questions are looked at, and what comes beyond is not
//!   answered.

mod connections;
mod grant;
mod issuer;
mod nkey;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use weft_proto::ApiError;

use crate::bus::{Link, Message};
use crate::error::Error;
use crate::serve::Services;
use crate::subject::{BOT_LOGIN, BOTS_ACCOUNT};

pub use connections::{BotConnection, BotConnections, end};
pub use grant::BotGrant;
pub use issuer::{Issuer, SEED_BYTES};
pub use nkey::{is_user_key, user_key};

/// Questions that are looked at, at once.
pub const LOGINS_MAX: usize = 64;
/// All cores together answer: each question goes to one.
const QUEUE: &str = "core";
/// More than any question has: a token has a few hundred bytes, and a client's certificates may come along.
const QUESTION_BYTES_MAX: usize = 64 << 10;

/// Who wants to log in, as they say themselves.
#[derive(Clone, PartialEq, Eq)]
pub struct BotLogin {
    pub user: String,
    pub token: String,
    /// A public key whose holder it is: that is proven.
    pub nkey: Option<String>,
}

impl std::fmt::Debug for BotLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the token.
        f.debug_struct("BotLogin").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Services {
    /// Answers for bots' logins, as long as the services are served. `decide` says what a login may do, or refuses it.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Closed`].
    pub async fn answer_bot_logins<F, Fut>(
        &self,
        issuer: Arc<Issuer>,
        decide: F,
    ) -> Result<(), Error>
    where
        F: Fn(BotLogin) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<BotGrant, ApiError>> + Send + 'static,
    {
        let (bus, stop, tasks) = self.parts();
        let link = Arc::clone(bus.link());
        let mut questions = link.queue_subscribe(BOT_LOGIN.to_owned(), QUEUE).await?;
        let places = Arc::new(Semaphore::new(LOGINS_MAX));
        let (answering, decide) = (tasks.clone(), Arc::new(decide));
        tasks.spawn(async move {
            while let Some(Some(question)) = stop.run_until_cancelled(questions.next()).await {
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                let (link, issuer) = (Arc::clone(&link), Arc::clone(&issuer));
                let decide = Arc::clone(&decide);
                answering.spawn(async move {
                    answer(&link, &issuer, &question, decide.as_ref()).await;
                    drop(place);
                });
            }
        });
        Ok(())
    }
}

/// A question, as far as it is read.
#[derive(Deserialize)]
struct Question {
    nats: Asked,
}

#[derive(Deserialize)]
struct Asked {
    /// The key that the server made for this connection: the answer names it.
    user_nkey: String,
    server_id: ServerId,
    #[serde(default)]
    client_info: ClientInfo,
    connect_opts: Shown,
}

#[derive(Deserialize)]
struct ServerId {
    id: String,
}

#[derive(Deserialize, Default)]
struct ClientInfo {
    /// What the server had the client sign.
    #[serde(default)]
    nonce: String,
}

#[derive(Deserialize)]
struct Shown {
    #[serde(default)]
    user: String,
    #[serde(default)]
    pass: String,
    #[serde(default)]
    nkey: String,
    #[serde(default)]
    sig: String,
}

async fn answer<F, Fut>(link: &Link, issuer: &Issuer, question: &Message, decide: &F)
where
    F: Fn(BotLogin) -> Fut,
    Fut: Future<Output = Result<BotGrant, ApiError>>,
{
    let Some(reply) = question.reply() else { return };
    let Some(asked) = read(question.payload()) else {
        tracing::warn!("a question about a login that can't be read");
        return;
    };
    let login = login_of(asked.connect_opts, &asked.client_info.nonce);
    let user = login.user.clone();
    let deciding = std::panic::AssertUnwindSafe(async { decide(login).await });
    let decided = match deciding.catch_unwind().await {
        Ok(decided) => decided,
        Err(_) => {
            tracing::error!("what decides about bots' logins panicked");
            return;
        }
    };
    let said = match &decided {
        Ok(grant) => json!({ "jwt": issuer.sign(&user_claims(grant, &asked.user_nkey)) }),
        Err(error) => {
            // Its server's log has this word, and the client hears that it may not.
            tracing::debug!(user, code = ?error.code, "a bot's login is refused");
            json!({ "error": error.message })
        }
    };
    let claims = response_claims(&said, &asked.user_nkey, &asked.server_id.id);
    let sent = link.publish(reply.to_owned(), None, &[], Bytes::from(issuer.sign(&claims))).await;
    if let Err(error) = sent {
        tracing::debug!(%error, "an answer about a login is not sent");
    }
}

fn login_of(shown: Shown, nonce: &str) -> BotLogin {
    let Shown { user, pass: token, nkey, sig } = shown;
    let is_proven = !nonce.is_empty() && nkey::has_signed(&nkey, nonce.as_bytes(), &sig);
    BotLogin { user, token, nkey: is_proven.then_some(nkey) }
}

/// Its signature is not looked at: the server alone publishes there, and who else could would learn nothing by it.
fn read(question: &Bytes) -> Option<Asked> {
    if question.len() > QUESTION_BYTES_MAX {
        return None;
    }
    let claims = issuer::claims_of(std::str::from_utf8(question).ok()?)?;
    let question: Question = serde_json::from_slice(&claims).ok()?;
    Some(question.nats)
}

fn user_claims(grant: &BotGrant, user_key: &str) -> Value {
    let nats = json!({
        "type": "user",
        "version": 2,
        "subs": grant::SUBSCRIPTIONS_MAX,
        "data": -1,
        "payload": grant::PAYLOAD_BYTES_MAX,
        "pub": { "allow": grant.publishes() },
        "sub": { "allow": grant.subscribes() },
    });
    json!({
        "sub": user_key,
        "name": grant.name(),
        // The account, where there are no operators.
        "aud": BOTS_ACCOUNT,
        "exp": grant.expires_s,
        "nats": nats,
    })
}

fn response_claims(said: &Value, user_key: &str, server: &str) -> Value {
    let mut nats = json!({ "type": "authorization_response", "version": 2 });
    for (name, value) in said.as_object().into_iter().flatten() {
        nats[name] = value.clone();
    }
    json!({ "sub": user_key, "aud": server, "nats": nats })
}
