//! What people tell bots, and what these answer: the one way of it, for sessions and HTTP.
//!
//! Who tells a bot hears within [`ANSWER_WAIT`] whether it has answered, will, or says nothing. For that time the edge
//! follows the user's own subject, on which core tells all of their devices of the answer: whichever edge the bot is at.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::timeout;
use weft_nats::Subject;
use weft_proto::frame::{InteractionAnswer, InteractionAnswerFrame, Reply, Told, interacted_frame};
use weft_proto::json::read_json;
use weft_proto::svc::{AnswerInteraction, AnswerState, Interaction};
use weft_proto::{ApiError, ClientId, ErrorCode, RoomId};

use crate::auth::Caller;
use crate::delivery::mailbox::{End, Item, Mailbox};
use crate::http::answered;
use crate::shared::Shared;

/// How long who tells a bot waits for it.
const ANSWER_WAIT: Duration = Duration::from_secs(3);
/// What may wait of a user's events meanwhile; what does not fit is left out, and the bot is said to be silent.
const WAITING_BYTES_MAX: usize = 1 << 20;
const ITEMS_AT_ONCE: usize = 64;

/// Tells a bot something, and waits for its answer: a frame.
///
/// # Errors
/// What core answers.
pub(crate) async fn tell(
    shared: &Shared,
    caller: &Caller,
    room: RoomId,
    told: Told,
) -> Result<Vec<u8>, ApiError> {
    let end = End::new(shared.life.front.token());
    let mut mailbox = Mailbox::new(WAITING_BYTES_MAX, caller.device.clone(), end);
    let subject = Subject::User(caller.user.clone());
    let feed = shared.reading.feeds.join(subject, mailbox.handle());
    feed.live().await;
    let away = |_| ApiError::new(ErrorCode::Unavailable, "NATS is away").retry_after_ms(1_000);
    shared.bus.flush().await.map_err(away)?;
    let request = told.request(caller.token.to_string(), &room);
    let interaction = shared.bus.call(&request).await?.interaction;
    let heard = timeout(ANSWER_WAIT, hear(&mut mailbox, &interaction)).await;
    let state = heard.unwrap_or_else(|_| "silent".to_owned());
    Ok(interacted_frame(&interaction, &state))
}

/// Waits for the answer to an interaction: its state.
async fn hear(mailbox: &mut Mailbox, interaction: &str) -> String {
    let mut items = Vec::new();
    loop {
        mailbox.take(&mut items, ITEMS_AT_ONCE).await;
        for item in items.drain(..) {
            mailbox.release(&item);
            let Item::Change(change) = item else { continue };
            if change.head.interaction_name() != Some(interaction) {
                continue;
            }
            let frame = read_json::<InteractionAnswerFrame<'_>>(change.frame.as_bytes());
            if let Ok(frame) = frame {
                return frame.state.into_owned();
            }
        }
    }
}

/// What is looked at of an `ack`.
#[derive(Deserialize)]
struct Seq {
    seq: u64,
}

/// A bot answers: the frame that it is answered.
///
/// # Errors
/// What core answers, and those of a message.
pub(crate) async fn answer(
    shared: &Shared,
    caller: &Caller,
    id: String,
    answer: InteractionAnswer,
) -> Result<Vec<u8>, ApiError> {
    let request =
        AnswerInteraction { token: caller.token.to_string(), id, ..AnswerInteraction::default() };
    let (part, body) = match answer {
        InteractionAnswer::Defer => {
            let state = AnswerState::Deferred.into();
            shared.bus.call(&AnswerInteraction { state, ..request }).await?;
            return Ok(Reply::Done {}.to_frame());
        }
        InteractionAnswer::Ephemeral(text) => {
            let state = AnswerState::Answered.into();
            shared.bus.call(&AnswerInteraction { state, text, ..request }).await?;
            return Ok(Reply::Done {}.to_frame());
        }
        InteractionAnswer::Message { part, body } => (part, body),
    };
    let Interaction { room, made_ms, id: nonce, .. } = shared.bus.call(&request).await?;
    // The same part of the same interaction is the same message, whoever sends it again.
    let client_id = ClientId::from_parts(made_ms, (u128::from(nonce) << 8) | u128::from(part));
    let command = caller.command(RoomId::new(&room)?, (client_id, false), &body)?;
    let ack = answered(shared, &caller.user, command).await?;
    let seq = read_json::<Seq>(&ack).map(|ack| ack.seq).unwrap_or_default();
    let state = AnswerState::Answered.into();
    if let Err(error) = shared.bus.call(&AnswerInteraction { state, seq, ..request }).await {
        // The message is there, which says more.
        tracing::debug!(%error, "nobody is told that a bot has answered");
    }
    Ok(ack.into())
}
