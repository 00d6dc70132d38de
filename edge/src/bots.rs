//! What bots ask on NATS, answered as over HTTP: with the same token, at the same price, and by the same code.
//!
//! A request is the one of a session (`docs/protocol.md`, section 7) without `id` and `type`, and with the bot's token: its
//! method is the type. Who asks is proven twice: by the subject, which the bot's login on NATS allows it, and by the token,
//! which carries the scope and is what core is asked with.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::time::{Duration, timeout};
use weft_nats::{BotRequest, answer_bots};
use weft_proto::frame::{Request, error_frame, parse_request};
use weft_proto::json::read_json;
use weft_proto::{ApiError, ErrorCode};

use crate::auth::Caller;
use crate::cost;
use crate::limited::LimitKind;
use crate::logins::ANSWER_AGE_MAX;
use crate::queries;
use crate::rate::rate_limited;
use crate::shared::Shared;

/// How long a request waits for its bot's rate before it is refused.
const RATE_PATIENCE: Duration = Duration::from_secs(1);
/// When to come back where all places are taken.
const BUSY_RETRY_MS: u64 = 250;

/// Answers for as long as it is polled.
pub(crate) async fn answer(shared: Arc<Shared>) {
    let bus = shared.bus.clone();
    let answer = move |request| {
        let shared = Arc::clone(&shared);
        async move { answer_one(&shared, request).await.unwrap_or_else(|error| error_frame(&error)) }
    };
    answer_bots(bus, answer).await;
}

async fn answer_one(shared: &Shared, request: BotRequest) -> Result<Vec<u8>, ApiError> {
    let busy = |limit, code, message| {
        shared.limited.note(limit);
        Err(ApiError::new(code, message).retry_after_ms(BUSY_RETRY_MS))
    };
    if request.is_beyond {
        let message = "too many requests are underway";
        return busy(LimitKind::Requests, ErrorCode::Overloaded, message);
    }
    // Before the token is looked at: none of what one bot sends keeps others waiting.
    let Ok(_share) = shared.http_users.take(&request.bot, 1) else {
        let message = "too many requests of this user";
        return busy(LimitKind::UserRequests, ErrorCode::RateLimited, message);
    };
    let Some(payload) = &request.payload else {
        return Err(ApiError::new(ErrorCode::TooLarge, "the request is too large"));
    };
    let (token, text) = split(payload, &request.method)?;
    let caller = caller(shared, &request, &token).await?;
    let (_, parsed) = parse_request(&text).map_err(|bad| bad.error)?;
    let Request::Query(query) = parsed else {
        let message = "no such method: a bot asks what only reads";
        return Err(ApiError::new(ErrorCode::UnknownType, message));
    };
    let paid = shared.http_requests.pay(&caller.user, cost::of_query(&query), RATE_PATIENCE).await;
    paid.map_err(|wait| rate_limited("too many requests of this user", wait))?;
    let within = shared.limits.answer_within;
    let answer = timeout(within, queries::answer(shared, caller.token.to_string(), query));
    let answer = answer
        .await
        .unwrap_or_else(|_| Err(ApiError::new(ErrorCode::Unknown, "no answer in time")))?;
    // It is read already, so it is only held back until it is paid.
    let cost = cost::of_answer(answer.len());
    let _ = shared.http_requests.pay(&caller.user, cost, shared.limits.give_up_after).await;
    Ok(answer)
}

/// Who asks, by the token, where that is the bot of the subject.
async fn caller(shared: &Shared, request: &BotRequest, token: &str) -> Result<Caller, ApiError> {
    let caller = shared.auth.verify(token).await?;
    if caller.user != request.bot {
        let message = "the token is of another user than the subject";
        return Err(ApiError::new(ErrorCode::Unauthorized, message));
    }
    shared.logins.check(&caller, ANSWER_AGE_MAX).await?;
    Ok(caller)
}

/// The token of a request, and the request as a session would have it.
fn split(payload: &Bytes, method: &str) -> Result<(String, String), ApiError> {
    let mut fields: Map<String, Value> = read_json(payload)?;
    let Some(Value::String(token)) = fields.remove("token") else {
        return Err(ApiError::new(ErrorCode::Unauthorized, "the field token has the bot's token"));
    };
    fields.insert("id".to_owned(), 1.into());
    fields.insert("type".to_owned(), method.into());
    Ok((token, Value::Object(fields).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_sessions_with_a_token() {
        let payload = Bytes::from_static(br#"{"token":"abc","room":"team","limit":5}"#);
        let (token, text) = split(&payload, "history").expect("a request");
        assert_eq!(token, "abc");
        assert!(!text.contains("abc"), "{text}");
        let (_, request) = parse_request(&text).expect("parsed");
        assert!(matches!(request, Request::Query(_)), "{request:?}");
        for (bad, code) in [
            (&b"{"[..], ErrorCode::BadJson),
            (b"{}", ErrorCode::Unauthorized),
            (br#"{"token":7}"#, ErrorCode::Unauthorized),
        ] {
            let refused = split(&Bytes::copy_from_slice(bad), "history").expect_err("refused");
            assert_eq!(refused.code, code);
        }
        // The caller names no other type.
        let payload = Bytes::from_static(br#"{"token":"abc","type":"send","id":9}"#);
        let (_, text) = split(&payload, "rooms").expect("a request");
        let (id, request) = parse_request(&text).expect("parsed");
        assert!(id == 1 && matches!(request, Request::Query(_)), "{request:?}");
    }
}
