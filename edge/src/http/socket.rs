//! The way from HTTP into a session.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::HeaderMap;
use axum::response::Response;
use weft_proto::frame::SUBPROTOCOL;
use weft_proto::limits::FRAME_BYTES_MAX;
use weft_proto::{ApiError, ErrorCode};
use weft_runtime::{Share, network};

use super::extract::Refusal;
use super::serve::Peer;
use crate::limited::LimitKind;
use crate::metrics;
use crate::proxies;
use crate::rate::come_back_later;
use crate::session;
use crate::shared::Shared;

/// The library's default of 128 kB each would be the largest part of an idle session.
const BUFFER_BYTES: usize = 4_096;
/// Holds the largest frame: a page of history whose last entry is the largest one.
const WRITE_BUFFER_BYTES_MAX: usize = 4 << 20;

/// `GET /v1/ws`
pub(super) async fn open(
    State(shared): State<Arc<Shared>>,
    peer: Peer,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let upgrade = upgrade
        .map_err(|_| ApiError::new(ErrorCode::BadRequest, "a WebSocket's upgrade is needed here"))?
        .protocols([SUBPROTOCOL]);
    // Who offers none is taken at their word; who offers others alone speaks something else.
    let offers_others = upgrade.requested_protocols().next().is_some();
    if offers_others && upgrade.selected_protocol().is_none() {
        let message = format!("the subprotocol is {SUBPROTOCOL}");
        return Err(ApiError::new(ErrorCode::BadRequest, message).into());
    }
    if shared.life.drain.has_begun() {
        let error = ApiError::new(ErrorCode::Unavailable, "the edge is draining");
        return Err(come_back_later(error).into());
    }
    check_rate(&shared, &peer, &headers)?;
    let place = SocketPlace::take(&shared, &peer, &headers)?;
    let upgrade = upgrade
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_message_size(FRAME_BYTES_MAX);
    Ok(upgrade.on_upgrade(async move |socket| {
        metrics::CONNECTS.increment();
        let front = shared.life.front.clone();
        // Boxed: every wrapper around a future holds it twice.
        let session = Box::pin(session::run(shared, socket, peer.place));
        front.spawn("session", async move {
            session.await;
            drop(place);
        });
    }))
}

/// Takes one of the new sessions that there may be at the moment.
fn check_rate(shared: &Shared, peer: &Peer, headers: &HeaderMap) -> Result<(), ApiError> {
    let refused = |limit: LimitKind, message: &str| {
        shared.limited.note(limit);
        come_back_later(ApiError::new(ErrorCode::Overloaded, message))
    };
    // First, so that one address can't use up what is there for all.
    if let Some(client) = proxies::client(&shared.proxies, peer.address, headers) {
        let taken = shared.address_connects.take(&network(client), 1);
        taken.map_err(|_| {
            refused(LimitKind::AddressConnects, "too many connects of this address")
        })?;
    }
    let taken = shared.connects.take(1);
    taken.map_err(|_| refused(LimitKind::Connects, "too many come to this edge at once"))
}

/// One of the places for sessions, given back on drop.
struct SocketPlace {
    shared: Arc<Shared>,
    /// Behind a trusted proxy the connection itself counts for nobody.
    _address: Option<Share<IpAddr>>,
}

impl SocketPlace {
    fn take(shared: &Arc<Shared>, peer: &Peer, headers: &HeaderMap) -> Result<Self, ApiError> {
        let refused = |limit: LimitKind, message: &str| {
            shared.limited.note(limit);
            come_back_later(ApiError::new(ErrorCode::Overloaded, message))
        };
        let client = proxies::client(&shared.proxies, peer.address, headers);
        let client = client.filter(|client| *client != peer.address);
        let address = client.map(|client| shared.connections.share_of(client)).transpose();
        let address =
            address.map_err(|limit| refused(limit, "too many connections of this address"))?;
        let before = shared.life.sessions.fetch_add(1, Ordering::SeqCst);
        metrics::SESSIONS.increment();
        let place = Self { shared: Arc::clone(shared), _address: address };
        if before >= shared.limits.sessions_max {
            return Err(refused(LimitKind::Sessions, "this edge has no place left"));
        }
        Ok(place)
    }
}

impl Drop for SocketPlace {
    fn drop(&mut self) {
        metrics::SESSIONS.decrement();
        if self.shared.life.sessions.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.shared.life.drain.emptied();
        }
    }
}
