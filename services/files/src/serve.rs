//! The node's own port: each connection within its deadlines, until it or the node ends.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use weft_runtime::{ClientConnection, Listener, Proxies, Share, Shares, Shutdown, network};

use crate::app::Limits;
use crate::metrics;

/// Within it the head of a request has to come, the first one and each one after it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of a head, and of a body that are read at once.
const READ_BYTES_MAX: usize = 64 << 10;
/// Before the next try where no connection can be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How many may be connected: in all, and of one address.
struct Places {
    all: Arc<Semaphore>,
    addresses: Arc<Shares<IpAddr>>,
    proxies: Proxies,
}

/// The place of one connection, given back on drop.
struct Place {
    _one: OwnedSemaphorePermit,
    /// `None`: a trusted proxy's, which has many clients.
    _address: Option<Share<IpAddr>>,
}

impl Places {
    fn new(limits: &Limits) -> Self {
        Self {
            all: Arc::new(Semaphore::new(limits.connections_max)),
            addresses: Arc::new(Shares::new(usize::MAX, limits.address_connections_max)),
            proxies: Proxies::new(&limits.trusted_proxies),
        }
    }

    /// `None`: there is none left, or none for this address.
    fn take(&self, peer: IpAddr) -> Option<Place> {
        let counted = Some(peer).filter(|address| !self.proxies.is_trusted(*address));
        let address = counted.map(|address| self.addresses.take(&network(address), 1));
        let address = address.transpose().ok()?;
        let one = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Place { _one: one, _address: address })
    }
}

/// Accepts connections until the node ends.
pub fn serve(
    tcp: TcpListener,
    router: Router,
    limits: &Limits,
    tasks: Shutdown,
) -> impl Future<Output = ()> + use<> {
    accept(tcp, router, Places::new(limits), tasks)
}

async fn accept(tcp: TcpListener, router: Router, places: Places, tasks: Shutdown) {
    let listener = Listener::new(tcp, &tasks);
    loop {
        let accepted = tokio::select! {
            biased; // the end first
            () = tasks.token().cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((connection, peer)) = accepted.inspect_err(|error| {
            tracing::debug!(%error, "can't accept a connection");
        }) else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Some(place) = places.take(peer.ip()) else {
            metrics::REFUSED_CONNECTIONS.increment();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_a_share_and_a_proxy_stands_for_many() {
        let trusted_proxies = vec!["10.0.0.9/32".parse().expect("a network")];
        let bounds = Limits {
            connections_max: 6,
            address_connections_max: 2,
            trusted_proxies,
            ..Limits::default()
        };
        let places = Places::new(&bounds);
        let of = |last: u8| IpAddr::from([10, 0, 0, last]);
        let taken: Vec<_> = (0..2).map(|_| places.take(of(1)).expect("a place")).collect();
        assert!(places.take(of(1)).is_none());
        let proxied: Vec<_> = (0..3).map(|_| places.take(of(9)).expect("a proxy's")).collect();
        let last = places.take(of(2)).expect("another address");
        assert!(places.take(of(3)).is_none() && places.take(of(9)).is_none(), "all are taken");
        drop((taken, last));
        places.take(of(1)).expect("again");
        drop(proxied);
    }
}
