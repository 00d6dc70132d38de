//! The stateless operations over HTTP, and the way into a session. Every answer is JSON, errors
//! in the form of `docs/protocol.md` included.

mod accounts;
mod admin;
mod admit;
mod bots;
mod connect;
mod defaults;
mod drafts;
mod entries;
mod export;
mod extract;
mod feeds;
mod health;
mod hooks;
mod inspection;
mod interactions;
mod links;
mod marks;
mod push;
mod relations;
mod reports;
mod rooms;
mod search;
mod serve;
mod settings;
mod sign_up;
mod socket;
mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{delete, get, post, put};
use weft_proto::limits::FRAME_BYTES_MAX;
use weft_proto::{ApiError, ErrorCode};

pub(crate) use self::entries::answered;
use self::extract::Refusal;
pub(crate) use self::hooks::HookRates;
pub(crate) use self::serve::serve;
use crate::shared::Shared;

fn router(shared: Arc<Shared>, beside: Option<Router>) -> Router {
    // Core hears of these from anybody.
    let strangers = Router::new()
        .route("/accounts", post(accounts::signup))
        .route("/login", post(accounts::login))
        .route("/refresh", post(accounts::refresh))
        .route_layer(from_fn_with_state(Arc::clone(&shared), admit::stranger));
    let known = Router::new()
        .route("/logout", post(accounts::logout))
        .route("/devices", get(accounts::devices))
        .route("/devices/{device}", delete(accounts::log_device_out))
        .route("/devices/{device}/push", get(push::get).put(push::set).delete(push::remove))
        .route("/push", get(push::key))
        .route("/bots", get(bots::list).post(bots::make))
        .route("/bots/{bot}", delete(bots::delete))
        .route("/bots/{bot}/tokens", get(bots::tokens).post(bots::make_token))
        .route("/bots/{bot}/tokens/{token}", delete(bots::revoke))
        .route("/bots/{bot}/feed", get(feeds::get).put(feeds::set))
        .route("/bots/{bot}/commands", put(interactions::set))
        .route("/interactions/{token}", post(interactions::answer))
        .route("/delete-account", post(accounts::delete_account))
        .route("/password", post(accounts::change_password))
        .route("/profile", get(accounts::own_profile).patch(accounts::set_profile))
        .route("/profiles", get(accounts::profiles))
        .route("/users", get(accounts::find))
        .route("/users/{user}", get(accounts::profile))
        .route("/admin/users", get(admin::list).post(admin::make))
        .route("/admin/users/{user}/suspend", post(admin::suspend))
        .route("/admin/users/{user}/unsuspend", post(admin::unsuspend))
        .route("/admin/users/{user}/delete", post(admin::delete))
        .route("/admin/users/{user}/reset", post(admin::reset))
        .route("/admin/log", get(admin::log))
        .route("/admin/rooms/{room}", get(inspection::room))
        .route("/admin/rooms/{room}/members", get(inspection::members))
        .route("/admin/rooms/{room}/entries", get(inspection::entries))
        .route("/admin/reports", get(reports::list))
        .route("/admin/reports/{id}", delete(reports::resolve))
        .route("/admin/defaults", get(defaults::get).put(defaults::set))
        .route("/admin/sign-up", get(sign_up::get).put(sign_up::set))
        .route("/admin/invitations", get(sign_up::invitations).post(sign_up::invite))
        .route("/admin/invitations/{id}", delete(sign_up::take_back))
        .route("/relations", get(relations::list))
        .route("/relations/{user}", put(relations::set))
        .route("/rooms", get(rooms::list).post(entries::create))
        .route("/groups", get(rooms::find))
        .route("/rooms/{room}", get(rooms::get))
        .route("/rooms/{room}/members", get(rooms::members))
        .route("/rooms/{room}/banned", get(rooms::banned))
        .route("/rooms/{room}/asking", get(rooms::asking).post(links::ask).delete(links::withdraw))
        .route("/rooms/{room}/asking/{user}", delete(links::decline))
        .route("/invitations", get(rooms::invitations))
        .route("/rooms/{room}/invited", get(rooms::invited))
        .route("/rooms/{room}/invited/{user}", delete(links::decline))
        .route("/rooms/{room}/links", get(links::list).post(links::make))
        .route("/rooms/{room}/links/{link_id}", delete(links::take_back))
        .route("/rooms/{room}/hooks", get(hooks::list).post(hooks::make))
        .route("/rooms/{room}/hooks/{hook}", delete(hooks::remove))
        .route("/rooms/{room}/hooks/{hook}/secret", post(hooks::renew))
        .route("/rooms/{room}/mark", post(marks::mark))
        .route("/rooms/{room}/setting", put(settings::set))
        .route("/rooms/{room}/draft", put(drafts::set))
        .route("/drafts", get(drafts::list))
        .route("/scheduled", get(drafts::list_scheduled))
        .route("/search", get(search::find))
        .route("/export", get(export::export))
        .route("/setting", put(settings::set_for_all_rooms))
        .route("/rooms/{room}/receipts", get(marks::receipts))
        .route("/rooms/{room}/typing", post(rooms::typing))
        .route("/rooms/{room}/entries", get(entries::history).post(entries::send))
        .route("/rooms/{room}/entries/{seq}/versions", get(entries::versions))
        .route("/rooms/{room}/entries/{seq}/reactions", get(entries::reactions))
        .route("/rooms/{room}/entries/{seq}/report", post(reports::report))
        .route("/rooms/{room}/commands", get(interactions::list))
        .route("/rooms/{room}/interactions", post(interactions::tell))
        .route("/rooms/{room}/pins", get(entries::pins))
        .route("/rooms/{room}/threads", get(entries::threads))
        .merge(webhooks())
        .route_layer(from_fn_with_state(Arc::clone(&shared), admit::known));
    // These wait for nobody, so they need no permit.
    let free = Router::new().route("/connect", get(connect::find)).route("/ws", get(socket::open));
    Router::new()
        .nest("/v1", strangers.merge(known).merge(free))
        .route("/hooks/{secret}", post(hooks::post))
        .route("/healthz", get(health::lives))
        .route("/readyz", get(health::serves))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(FRAME_BYTES_MAX))
        .with_state(shared)
        .merge(beside.unwrap_or_default().layer(from_fn(admit::beside)))
}

/// Those of a group, and the caller's own.
fn webhooks() -> Router<Arc<Shared>> {
    let of = |at: &str| {
        let one = format!("{at}/{{id}}");
        Router::new()
            .route(at, get(webhooks::list).post(webhooks::make))
            .route(&one, delete(webhooks::remove).patch(webhooks::change))
            .route(&format!("{one}/secret"), post(webhooks::renew))
            .route(&format!("{one}/test"), post(webhooks::test))
    };
    of("/webhooks").merge(of("/rooms/{room}/webhooks"))
}

async fn no_such_path() -> Refusal {
    Refusal(ApiError::new(ErrorCode::NotFound, "there is no such path"))
}

/// The router says in `Allow` which there are.
async fn no_such_method() -> Refusal {
    Refusal(ApiError::new(ErrorCode::MethodNotAllowed, "the path has no such method"))
}
