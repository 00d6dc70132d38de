//! Asks core for what a session's own pushes need, with patience: while NATS is away it waits,
//! while core does not answer it asks again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use weft_nats::{Bus, Connection};
use weft_proto::frame::CloseCode;
use weft_proto::svc::Method;
use weft_proto::{ApiError, ErrorCode};

use super::token::TokenCell;
use crate::ports::Wire;
use crate::reading::Reading;

/// The first pause after a failure; it doubles.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Asks on behalf of one session.
pub(crate) struct Ask<W: Wire = Bus> {
    reading: Arc<Reading<W>>,
    token: TokenCell,
    connection: watch::Receiver<Connection>,
}

#[derive(Debug)]
pub(crate) enum Refused {
    /// Core says no for good.
    No(ApiError),
    /// It failed for longer than the session's patience.
    GaveUp,
}

impl Refused {
    /// How the session ends where it can't go on without the reply.
    pub(crate) fn close(self) -> CloseCode {
        match self {
            Self::GaveUp => CloseCode::Unavailable,
            Self::No(error) => match error.code {
                ErrorCode::TokenExpired => CloseCode::TokenExpired,
                // The token was verified: so its login has ended.
                ErrorCode::Unauthorized => CloseCode::LoggedOut,
                ErrorCode::Suspended => CloseCode::Suspended,
                _ => {
                    tracing::warn!(%error, "core refuses what a session needs");
                    CloseCode::Unavailable
                }
            },
        }
    }
}

/// Counts failures in a row, and says when to stop.
pub(crate) struct Tries {
    since: Option<Instant>,
    pause: Duration,
    patience: Duration,
}

impl<W: Wire> Ask<W> {
    pub(crate) fn new(reading: Arc<Reading<W>>, token: TokenCell) -> Self {
        let connection = reading.wire.connection();
        Self { reading, token, connection }
    }

    pub(crate) fn tries(&self) -> Tries {
        Tries { since: None, pause: PAUSE, patience: self.reading.patience }
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// [`Refused::GaveUp`] where the first failure is too long ago.
    pub(crate) async fn failed(&self, tries: &mut Tries) -> Result<(), Refused> {
        let since = *tries.since.get_or_insert_with(Instant::now);
        if since.elapsed() >= tries.patience {
            return Err(Refused::GaveUp);
        }
        // With jitter: all sessions fail in the same instant.
        sleep(tries.pause.mul_f64(0.5 + self.reading.wire.chance())).await;
        tries.pause = (tries.pause * 2).min(PAUSE_MAX);
        Ok(())
    }

    /// Asks until there is an answer. `build` gets the token.
    ///
    /// # Errors
    /// [`Refused`].
    pub(crate) async fn ask<M: Method>(
        &self,
        build: impl Fn(String) -> M,
    ) -> Result<M::Reply, Refused> {
        let mut tries = self.tries();
        loop {
            self.connected(&mut tries).await;
            let request = build(self.token.get().to_string());
            // What all sessions ask for at once is bounded; nobody waits for a slow client here.
            let permit = self.reading.permits.acquire().await;
            // Boxed: it would be a large part of every idle session.
            let reply = Box::pin(self.reading.wire.call(&request)).await;
            drop(permit);
            match reply {
                Ok(reply) => return Ok(reply),
                Err(error) if error.temporary => {
                    tracing::debug!(%error, service = M::SERVICE, method = M::METHOD, "ask again");
                    self.failed(&mut tries).await?;
                }
                Err(error) => return Err(Refused::No(error)),
            }
        }
    }

    /// Waits until the server knows all subscriptions made before.
    ///
    /// # Errors
    /// [`Refused::GaveUp`].
    pub(crate) async fn flush(&self) -> Result<(), Refused> {
        let mut tries = self.tries();
        loop {
            self.connected(&mut tries).await;
            if Box::pin(self.reading.wire.flush()).await.is_ok() {
                return Ok(());
            }
            self.failed(&mut tries).await?;
        }
    }

    /// Sessions stay while NATS is away: that is not counted.
    async fn connected(&self, tries: &mut Tries) {
        if !self.connection.borrow().connected {
            let mut connection = self.connection.clone();
            // An error says that the connection is closed for good: the call will say so.
            let _ = connection.wait_for(|now| now.connected).await;
            tries.since = None;
        }
    }
}
