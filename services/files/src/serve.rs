//! The node's own port: each connection within its deadlines, until it or the node ends.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use weft_runtime::{ClientConnection, Listener, Shutdown};

/// Within it the head of a request has to come, the first one and each one after it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of a head, and of a body that are read at once.
const READ_BYTES_MAX: usize = 64 << 10;
/// Before the next try where no connection can be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections until the node ends.
pub async fn serve(tcp: TcpListener, router: Router, connections_max: usize, tasks: Shutdown) {
    let listener = Listener::new(tcp, &tasks);
    let places = Arc::new(Semaphore::new(connections_max));
    loop {
        let accepted = tokio::select! {
            biased; // the end first
            () = tasks.token().cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((connection, _)) = accepted.inspect_err(|error| {
            tracing::debug!(%error, "can't accept a connection");
        }) else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            listener.refuse(connection);
            continue;
        };
        let served = one(connection, router.clone(), tasks.token().clone());
        tasks.spawn("connection", async move {
            served.await;
            drop(place);
        });
    }
}

async fn one(connection: ClientConnection, router: Router, stop: CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(READ_BYTES_MAX);
    let service = TowerToHyperService::new(router);
    let mut served = pin!(http.serve_connection(TokioIo::new(connection), service));
    let mut is_ending = false;
    loop {
        tokio::select! {
            biased; // the end first
            () = stop.cancelled(), if !is_ending => {
                is_ending = true;
                served.as_mut().graceful_shutdown();
            }
            done = served.as_mut() => {
                if let Err(error) = done {
                    tracing::trace!(%error, "a connection ended");
                }
                return;
            }
        }
    }
}
