//! Incoming webhooks: how those of a group are made, and what other systems post by them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body as HttpBody, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use weft_proto::kind::{Add, Join, Leave};
use weft_proto::svc::{self, OpenHook};
use weft_proto::{ApiError, Body, ClientId, ErrorCode, Role, RoomId, UserId};
use weft_runtime::network;

use super::admit::{busy, read_body};
use super::entries::acked;
use super::extract::{Caller, InRoom, Json, Refusal, json};
use super::serve::Peer;
use crate::hooks::{BODY_BYTES_MAX, BadPost, Post};
use crate::limited::LimitKind;
use crate::limits::Limits;
use crate::logins::ANSWER_AGE_MAX;
use crate::outbox::Command;
use crate::rate::{PerCaller, rate_limited};
use crate::sending::made_id;
use crate::shared::Shared;
use crate::{auth, metrics, proxies};

type App = State<Arc<Shared>>;

/// Length of a secret, in hexadecimal digits.
const SECRET_CHARS: usize = 48;
/// Secrets that are remembered as known, by their hashes: some 100 bytes each.
const KNOWN_MAX: u64 = 10_000;
/// For so long one is remembered. What it may do, core is asked each time.
const KNOWN_FOR: Duration = Duration::from_secs(600);
/// Longest `Idempotency-Key`, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// What may come by hooks.
pub(crate) struct HookRates {
    /// Hashes of secrets that core knew a while ago: these come in, however many wrong ones their address has shown.
    known: Cache<[u8; 32], ()>,
    unknown: PerCaller<IpAddr>,
    posts: PerCaller<UserId>,
}

impl HookRates {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            known: Cache::builder().max_capacity(KNOWN_MAX).time_to_live(KNOWN_FOR).build(),
            unknown: PerCaller::new(limits.unknown_hooks, limits.callers_max),
            posts: PerCaller::new(limits.hook_posts, limits.callers_max),
        }
    }
}

#[derive(Serialize)]
struct Shown {
    hook: String,
    name: String,
    by: String,
    made_at: u64,
    secret_at: u64,
    /// Where to post. It is told where the secret is new, and nowhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
}

impl Shown {
    fn of(hook: svc::Hook, path: Option<String>) -> Self {
        let svc::Hook { hook, name, by, made_ms: made_at, secret_ms: secret_at } = hook;
        Self { hook, name, by, made_at, secret_at, path }
    }
}

#[derive(Deserialize)]
pub(super) struct MakeBody {
    name: String,
    role: Option<String>,
}

/// `POST /v1/rooms/{room}/hooks`
pub(super) async fn make(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
    Json(MakeBody { name, role }): Json<MakeBody>,
) -> Result<Response, Refusal> {
    shared.logins.check(&caller, ANSWER_AGE_MAX).await?;
    let role = match role.as_deref() {
        None | Some("member") => Role::Member,
        Some("admin") => Role::Admin,
        Some(_) => {
            let message = "the field role is member or admin";
            return Err(ApiError::new(ErrorCode::BadRequest, message).into());
        }
    };
    let token = caller.token.to_string();
    let request = svc::MakeHook { token: token.clone(), room: room.to_string(), name };
    let made = shared.bus.call(&request).await?;
    let hook = made.hook.clone().unwrap_or_default();
    let user = UserId::new(&hook.hook)?;
    if let Err(error) = bring_in(&shared, &caller, &room, &user, role).await {
        let (room, hook) = (room.to_string(), hook.hook);
        // Where that fails, too, it is in the list, and can be removed.
        let _ = shared.bus.call(&svc::RemoveHook { token, room, hook }).await;
        return Err(error.into());
    }
    Ok((StatusCode::CREATED, with_path(made)).into_response())
}

/// Has the hook's account come into the group: added by who made it, or, where nobody is added without being asked, by itself.
async fn bring_in(
    shared: &Shared,
    by: &auth::Caller,
    room: &RoomId,
    user: &UserId,
    role: Role,
) -> Result<(), ApiError> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        invited: Vec<String>,
    }
    let add = Body::Add(Add { user: user.clone(), role });
    let added = by.command(room.clone(), (made_id(), true), &add)?;
    let answer = super::answered(shared, &by.user, added).await?;
    let answer: Option<Answer> = serde_json::from_slice(&answer).ok();
    if answer.is_some_and(|answer| !answer.invited.is_empty()) {
        by_itself(shared, user, room, &Body::Join(Join { link: None })).await?;
    }
    Ok(())
}

/// What the hook's account does, which has no token: its rights are looked at before.
async fn by_itself(
    shared: &Shared,
    hook: &UserId,
    room: &RoomId,
    body: &Body,
) -> Result<Bytes, ApiError> {
    let (client_id, payload) = (made_id(), body.to_json().into());
    let command = Command { room: room.clone(), client_id, is_made: true, payload };
    super::answered(shared, hook, command).await
}

/// An answer with a secret: no cache on the way may keep it.
fn with_path(made: svc::MadeHook) -> Response {
    let path = Some(format!("/hooks/{}", made.secret));
    let answer = json(&Shown::of(made.hook.unwrap_or_default(), path));
    ([(header::CACHE_CONTROL, "no-store")], answer).into_response()
}

/// `GET /v1/rooms/{room}/hooks`
pub(super) async fn list(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
) -> Result<Response, Refusal> {
    #[derive(Serialize)]
    struct List {
        hooks: Vec<Shown>,
    }
    let request = svc::ListHooks { token: caller.token.to_string(), room: room.to_string() };
    let hooks = shared.bus.call(&request).await?.hooks;
    Ok(json(&List { hooks: hooks.into_iter().map(|hook| Shown::of(hook, None)).collect() }))
}

/// `POST /v1/rooms/{room}/hooks/{hook}/secret`
pub(super) async fn renew(
    State(shared): App,
    Caller(caller): Caller,
    Path((room, hook)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let request = svc::RenewHook { token: caller.token.to_string(), room, hook };
    Ok(with_path(shared.bus.call(&request).await?))
}

/// `DELETE /v1/rooms/{room}/hooks/{hook}`: its account leaves first, so that what fails on the way can be asked for again.
pub(super) async fn remove(
    State(shared): App,
    Caller(caller): Caller,
    Path((room, hook)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let (room, user) = (RoomId::new(&room)?, UserId::new(&hook)?);
    let token = caller.token.to_string();
    let list = svc::ListHooks { token: token.clone(), room: room.to_string() };
    if shared.bus.call(&list).await?.hooks.iter().any(|it| it.hook == hook) {
        match by_itself(&shared, &user, &room, &Body::Leave(Leave {})).await {
            Err(error) if error.temporary => return Err(error.into()),
            // Who was removed before can't leave any more.
            _ => {}
        }
    }
    shared.bus.call(&svc::RemoveHook { token, room: room.to_string(), hook }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Why a post is not taken: as Slack says it.
struct Refused {
    status: StatusCode,
    word: &'static str,
    retry_after_ms: Option<u64>,
}

impl Refused {
    const NO_SERVICE: Self = Self::new(StatusCode::NOT_FOUND, "no_service");

    const fn new(status: StatusCode, word: &'static str) -> Self {
        Self { status, word, retry_after_ms: None }
    }
}

impl From<BadPost> for Refused {
    fn from(bad: BadPost) -> Self {
        Self::new(StatusCode::BAD_REQUEST, bad.as_str())
    }
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        use ErrorCode as E;
        let (status, word) = match error.code {
            E::NotFound => (StatusCode::NOT_FOUND, "no_service"),
            E::Archived => (StatusCode::GONE, "channel_is_archived"),
            // Its account is no member any more.
            E::NotMember | E::NoSuchRoom => (StatusCode::NOT_FOUND, "channel_not_found"),
            E::Forbidden | E::Closed => (StatusCode::FORBIDDEN, "action_prohibited"),
            E::Conflict | E::ExpiredId => {
                (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused")
            }
            E::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            E::TooSlow => (StatusCode::REQUEST_TIMEOUT, "too_slow"),
            E::RateLimited | E::SlowMode => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
            E::BadRequest | E::TooLong | E::BadJson => (StatusCode::BAD_REQUEST, "invalid_payload"),
            // It may be tried again.
            _ => (StatusCode::SERVICE_UNAVAILABLE, "rollup_error"),
        };
        Self { status, word, retry_after_ms: error.retry_after_ms }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.word).into_response();
        let wait = self.retry_after_ms.map(|wait_ms| wait_ms.div_ceil(1_000));
        let is_later =
            matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        if let Some(wait_s) = wait.or(is_later.then_some(1)) {
            response.headers_mut().insert(header::RETRY_AFTER, wait_s.into());
        }
        response
    }
}

/// `POST /hooks/{secret}`
pub(super) async fn post(
    State(shared): App,
    peer: Peer,
    secret: Result<Path<String>, axum::extract::rejection::PathRejection>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let secret = secret.map(|Path(secret)| secret).unwrap_or_default();
    match posted(&shared, &peer, &secret, &parts.headers, body).await {
        Ok(()) => {
            metrics::HOOK_POSTS.increment("ok");
            (StatusCode::OK, "ok").into_response()
        }
        Err(refused) => {
            metrics::HOOK_POSTS.increment(refused.word);
            refused.into_response()
        }
    }
}

/// The secret first: a body of who has none is not read. `Ok` means that the entry is kept.
async fn posted(
    shared: &Arc<Shared>,
    peer: &Peer,
    secret: &str,
    headers: &HeaderMap,
    body: HttpBody,
) -> Result<(), Refused> {
    let opened = open(shared, peer, secret, headers).await?;
    let (room, user) = (RoomId::new(&opened.room)?, UserId::new(&opened.user)?);
    peer.place.know()?;
    let share = shared.http_users.take(&user, 1).map_err(|_| {
        shared.limited.note(LimitKind::UserRequests);
        rate_limited("too many requests of this hook", Duration::from_millis(250))
    })?;
    shared.hooks.posts.take(&user, 1).map_err(|wait| {
        shared.limited.note(LimitKind::Hooks);
        rate_limited("too many posts by this hook", wait)
    })?;
    let bytes = read_body(shared, headers, body, BODY_BYTES_MAX, Some(&user)).await?;
    let permit = shared.http_in_flight.try_acquire();
    let permit = permit.map_err(|_| busy(shared, LimitKind::Requests))?;
    let (content_type, github_event) =
        (text_of(headers, "content-type"), text_of(headers, "x-github-event"));
    let text = Post { content_type, github_event, body: &bytes }.message()?;
    let names_somebody = text.extras().ranges.iter().any(|range| range.user.is_some());
    let client_id = <[u8; 16]>::try_from(opened.client_id).ok().map(ClientId::from_bytes);
    let (is_made, client_id) = (client_id.is_none(), client_id.unwrap_or_else(made_id));
    let payload = Body::Text(text).to_json().into();
    let sent = acked(shared, &user, Command { room, client_id, is_made, payload }).await;
    drop((permit, share));
    match sent {
        Ok(_) => Ok(()),
        Err(error) if error.code == ErrorCode::NotMember && names_somebody => {
            Err(Refused::new(StatusCode::NOT_FOUND, "user_not_found"))
        }
        Err(error) => Err(error.into()),
    }
}

/// The hook that a secret is of. The secret itself goes no further than here.
async fn open(
    shared: &Shared,
    peer: &Peer,
    secret: &str,
    headers: &HeaderMap,
) -> Result<svc::OpenedHook, Refused> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if secret.len() != SECRET_CHARS || !secret.bytes().all(is_digit) {
        return Err(Refused::NO_SERVICE);
    }
    let hash: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
    let idempotency = match headers.get("idempotency-key").map(|key| key.as_bytes()) {
        Some(key) if key.is_empty() || key.len() > KEY_BYTES_MAX => {
            return Err(Refused::new(StatusCode::BAD_REQUEST, "invalid_idempotency_key"));
        }
        Some(key) => Sha256::digest(key).to_vec(),
        None => Vec::new(),
    };
    if !shared.hooks.known.contains_key(&hash)
        && let Some(client) = proxies::client(&shared.proxies, peer.address, headers)
    {
        shared.hooks.unknown.take(&network(client), 1).map_err(|wait| {
            shared.limited.note(LimitKind::UnknownHooks);
            rate_limited("too many unknown hooks from this address", wait)
        })?;
    }
    let permit = shared.http_strangers_in_flight.try_acquire();
    let permit = permit.map_err(|_| busy(shared, LimitKind::StrangersRequests))?;
    let work = peer.place.work();
    let request = OpenHook { secret_hash: hash.to_vec(), idempotency };
    let opened = shared.bus.call(&request).await?;
    drop((permit, work));
    shared.hooks.known.insert(hash, ());
    Ok(opened)
}

fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
