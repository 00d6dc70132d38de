//! What a bot may do on NATS: what its token says, as long as that lasts.
//!
//! A connection is opened with a token, and stays for as long as that one lasts: core looks at the open ones now and then,
//! and ends those whose token does not. Whichever core looks, and whichever let them in.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use weft_nats::{BotConnection, BotConnections, BotGrant, BotLogin, Bus, callout};
use weft_proto::ErrorCode;
use weft_proto::scope::Access;
use weft_storage::Snapshot;

use super::callers::check_login;
use super::failure::Failure;
use super::{Caller, Context, Login};
use crate::Error;

/// Between two looks at the open connections: so long a bot may stay whose token was revoked.
const LOOK_PAUSE: Duration = Duration::from_secs(5);
/// Rows that are read at once.
const ROWS_MAX: usize = 256;

impl Context {
    /// What the connection of a bot may do that shows this token.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthorized`], [`ErrorCode::TokenExpired`], [`ErrorCode::Suspended`], or the store's.
    pub(super) async fn bot_grant(&self, login: BotLogin) -> Result<BotGrant, Failure> {
        let found = self.bot_by_token(&login.user, &login.token).await?;
        let (caller, expires_ms) = (found.caller, found.expires_ms);
        if caller.nkey.is_some() && caller.nkey.as_deref() != login.nkey.as_deref() {
            return Err(unauthorized("the token is good with its key alone"));
        }
        let (Login::MadeAt(made_ms), Some(scope)) = (caller.login, caller.scope) else {
            return Err(unauthorized("the token is not a bot's"));
        };
        Ok(BotGrant {
            bot: caller.user,
            token: caller.device,
            made_ms,
            rooms: scope.rooms.as_ref().map(|rooms| rooms.iter().cloned().collect()),
            kinds: scope.kinds.as_ref().map(|kinds| kinds.iter().cloned().collect()),
            may_write: scope.access == Access::Write,
            expires_s: expires_ms / 1_000,
        })
    }

    /// Which of these connections are of tokens that don't last.
    async fn ended(&self, open: &[BotConnection]) -> Result<Vec<bool>, Failure> {
        let mut ended = Vec::with_capacity(open.len());
        for some in open.chunks(ROWS_MAX) {
            let snapshot = self.store.snapshot().await?;
            for connection in some {
                ended.push(has_ended(&*snapshot, connection).await?);
            }
        }
        Ok(ended)
    }
}

async fn has_ended(snapshot: &dyn Snapshot, connection: &BotConnection) -> Result<bool, Failure> {
    let caller = Caller {
        user: connection.bot.clone(),
        device: connection.token.clone(),
        login: Login::MadeAt(connection.made_ms),
        // Of what it is good for, only that it is a bot's matters here.
        scope: Some(Arc::default()),
        nkey: None,
    };
    match check_login(snapshot, &caller).await {
        Ok(()) => Ok(false),
        Err(Failure::Refused(_)) => Ok(true),
        Err(failure) => Err(failure),
    }
}

fn unauthorized(message: &str) -> Failure {
    Failure::new(ErrorCode::Unauthorized, message)
}

/// Looks at the open connections for as long as it is polled, and ends those whose token has ended.
pub(super) async fn watch(context: Arc<Context>, bus: Bus) {
    loop {
        let next = Instant::now() + LOOK_PAUSE;
        if let Err(error) = look(&context, &bus).await {
            tracing::debug!(%error, "the connections of bots can't be looked at");
        }
        sleep_until(next).await;
    }
}

async fn look(context: &Context, bus: &Bus) -> Result<(), Error> {
    let mut looking = BotConnections::look(bus).await?;
    while let Some(open) = looking.next(bus).await? {
        let ended = match context.ended(&open).await {
            Ok(ended) => ended,
            // Nothing is known: they stay.
            Err(failure) => {
                failure.answer("bots");
                continue;
            }
        };
        for (connection, _) in open.iter().zip(ended).filter(|(_, ended)| *ended) {
            tracing::info!(bot = %connection.bot, "the connection of a bot ends with its token");
            callout::end(bus, connection).await?;
        }
    }
    Ok(())
}
