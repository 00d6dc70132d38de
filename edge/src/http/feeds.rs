//! In which form a bot has its feed on NATS.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use weft_proto::{ApiError, ErrorCode, svc};

use super::extract::{Caller, Json, OfUser, Refusal, json};
use crate::shared::Shared;

type App = State<Arc<Shared>>;

const ENTRY: &str = "entry";
const CLOUDEVENTS: &str = "cloudevents";

#[derive(Deserialize)]
pub(super) struct FeedBody {
    format: String,
}

#[derive(Serialize)]
struct Feed {
    format: &'static str,
}

/// `GET /v1/bots/{bot}/feed`
pub(super) async fn get(
    State(shared): App,
    Caller(caller): Caller,
    OfUser(bot): OfUser,
) -> Result<Response, Refusal> {
    let asked = svc::GetFeed { token: caller.token.to_string(), bot };
    let feed = shared.bus.call(&asked).await?;
    Ok(json(&Feed { format: if feed.cloudevents { CLOUDEVENTS } else { ENTRY } }))
}

/// `PUT /v1/bots/{bot}/feed`
pub(super) async fn set(
    State(shared): App,
    Caller(caller): Caller,
    OfUser(bot): OfUser,
    Json(body): Json<FeedBody>,
) -> Result<StatusCode, Refusal> {
    let cloudevents = match &*body.format {
        ENTRY => false,
        CLOUDEVENTS => true,
        _ => {
            let message = "format is entry or cloudevents";
            return Err(ApiError::new(ErrorCode::BadRequest, message).into());
        }
    };
    let (token, feed) = (caller.token.to_string(), Some(svc::Feed { cloudevents }));
    shared.bus.call(&svc::SetFeed { token, bot, feed }).await?;
    Ok(StatusCode::NO_CONTENT)
}
