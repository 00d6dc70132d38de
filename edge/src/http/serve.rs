//! Serves connections: each within its deadlines, until it becomes a session or the edge ends.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use weft_proto::{ApiError, ErrorCode};
use weft_runtime::{ClientConnection, Listener};

use super::extract::Refusal;
use crate::connections::ConnectionPlace;
use crate::limited::LimitKind;
use crate::shared::Shared;

/// Most bytes of a request's head, and of what is read of it at once.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Before the next try where no connection can be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The connection that a request came on.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    pub(super) place: Arc<ConnectionPlace>,
}

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        // Each request gets it below.
        let missing = || ApiError::new(ErrorCode::Internal, "a request without a connection");
        parts.extensions.get::<Self>().cloned().ok_or_else(|| missing().into())
    }
}

/// Accepts connections until the edge ends.
pub(crate) async fn serve(tcp: TcpListener, shared: Arc<Shared>, beside: Option<Router>) {
    let listener = Listener::new(tcp, &shared.life.front);
    let router = super::router(Arc::clone(&shared), beside);
    let stop = shared.life.front.token().clone();
    loop {
        let accepted = tokio::select! {
            biased; // the end first
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((connection, peer)) => admit(&shared, &router, &listener, connection, peer),
            Err(error) => {
                tracing::debug!(%error, "can't accept a connection");
                shared.limited.note(LimitKind::OpenFiles);
                shared.connections.make_way();
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn admit(
    shared: &Arc<Shared>,
    router: &Router,
    listener: &Listener,
    connection: ClientConnection,
    peer: SocketAddr,
) {
    let counted = Some(peer.ip()).filter(|address| !shared.proxies.is_trusted(*address));
    match shared.connections.enter(counted) {
        Ok(place) => {
            let peer = Peer { address: peer.ip(), place };
            let stop = shared.life.front.token().clone();
            let header_timeout = shared.limits.header_timeout;
            let served = one(connection, router.clone(), peer, header_timeout, stop);
            shared.life.front.spawn("connection", served);
        }
        Err(limit) => {
            shared.limited.note(limit);
            listener.refuse(connection);
        }
    }
}

/// One connection. It ends where it becomes a session: that is a task of its own.
async fn one(
    connection: ClientConnection,
    router: Router,
    peer: Peer,
    header_timeout: Duration,
    stop: CancellationToken,
) {
    let place = Arc::clone(&peer.place);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        router.call(request)
    });
    let mut http = http1::Builder::new();
    // It is the deadline of the next request on a connection too: so nobody idles for longer.
    http.timer(TokioTimer::new()).header_read_timeout(header_timeout).max_buf_size(HEAD_BYTES_MAX);
    let served = http.serve_connection(TokioIo::new(connection), service).with_upgrades();
    let mut served = pin!(served);
    let mut is_ending = false;
    loop {
        tokio::select! {
            biased; // the end, for others or of all, first
            () = place.evicted() => return,
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
