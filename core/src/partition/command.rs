//! What a message of the ingest log asks for.

use bytes::Bytes;
use weft_nats::{IngestMessage, MadeBy, ReplyTo};
use weft_proto::limits::FRAME_BYTES_MAX;
use weft_proto::scope::{Access, Scope};
use weft_proto::{ApiError, Body, ClientId, ErrorCode, Partition, RoomId, UserId, partition_of};
use weft_storage::tables::dead_letter::DeadLetter;
use weft_storage::tables::resend;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    pub sender: UserId,
    pub room: RoomId,
    /// The sender's id for it; outsiders may have none.
    pub client_id: Option<ClientId>,
    /// Who made the id, where the sender gave none: such an id never expires.
    pub made_by: Option<MadeBy>,
    /// The sender's command to the room before this one, which was unanswered: nothing else may
    /// come first.
    pub after: Option<ClientId>,
    pub body: Body,
    /// The body is a message that its sender has scheduled under this id, and its time has come.
    pub scheduled: Option<ClientId>,
    pub bytes: usize,
    /// Tells a resend from another content under the same client id.
    pub content_hash: u64,
}

const HOUR_MS: u64 = 3_600_000;
/// An id that an edge made is kept by its own hour where that is no further from the log's.
const EDGE_HOURS_OFF_MAX: u32 = 24;

/// Hours since the Unix epoch.
#[must_use]
pub fn hour_of(time_ms: u64) -> u32 {
    u32::try_from(time_ms / HOUR_MS).unwrap_or(u32::MAX)
}

impl Command {
    /// True where its client id is remembered, so that a repetition changes nothing. Marks that only grow need
    /// none of that, nor do drafts, which name the version before them.
    #[must_use]
    pub fn is_remembered(&self) -> bool {
        match &self.body {
            Body::Mark(mark) => mark.unread_from.is_some(),
            Body::Draft(_) => false,
            _ => true,
        }
    }

    /// The rows that may hold what its client id got: where it is kept first. `stored_at_ms`: when
    /// the log took this command.
    #[must_use]
    pub fn resend_rows(&self, partition: Partition, stored_at_ms: u64) -> Vec<Bytes> {
        let Some(id) = self.client_id.as_ref().filter(|_| self.is_remembered()) else {
            return Vec::new();
        };
        let whose = (&self.room, &self.sender);
        match self.made_by {
            None => vec![resend::key(partition, whose.0, whose.1, id)],
            Some(MadeBy::Owner) => Vec::new(),
            Some(MadeBy::Relay) => vec![resend::relayed_key(partition, whose, id)],
            Some(MadeBy::Edge) => {
                // An edge publishes again for a minute at the most. Where its clock is wrong by a
                // day, the id's hour says nothing: the log's does, or the next one.
                let (hour, hour_of_log) = (id.hour(), hour_of(stored_at_ms));
                let mut hours = vec![hour, hour_of_log, hour_of_log.saturating_sub(1)];
                if hour.abs_diff(hour_of_log) > EDGE_HOURS_OFF_MAX {
                    hours.rotate_left(1);
                }
                let kept = hours.into_iter();
                let kept = kept.map(|hour| resend::edge_made_key(partition, hour, whose, id));
                // A core of before kept it as if it were the sender's own.
                kept.chain([resend::key(partition, whose.0, whose.1, id)]).collect()
            }
        }
    }
}

/// One message of the ingest log, decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Incoming {
    pub stream_seq: u64,
    /// When the stream took it. With its place it names the message, also where the log went back
    /// and the place was given again.
    pub stored_at_ms: u64,
    pub sender: String,
    pub reply: Option<ReplyTo>,
    /// The command, or why there is none.
    pub command: Result<Command, ApiError>,
    /// What is kept of it in quarantine.
    pub letter: Option<Box<DeadLetter>>,
}

impl Incoming {
    /// Decodes a message. `partition` of `partitions` is the log's.
    #[must_use]
    pub fn decode(message: IngestMessage, partition: Partition, partitions: Partition) -> Self {
        Self {
            stream_seq: message.stream_seq,
            stored_at_ms: message.stored_at_ms,
            command: decode(&message, partition, partitions),
            sender: message.sender,
            reply: message.reply,
            letter: None,
        }
    }
}

fn decode(
    message: &IngestMessage,
    partition: Partition,
    partitions: Partition,
) -> Result<Command, ApiError> {
    if let Some(problem) = message.problem {
        return Err(problem.error());
    }
    let sender = UserId::new(&message.sender)?;
    let room = RoomId::new(&message.room)?;
    // The server's mapping puts a room into its partition; who goes around it is refused here.
    if partition_of(&room, partitions) != partition {
        return Err(ApiError::new(ErrorCode::BadId, "the room belongs to another partition"));
    }
    if message.payload.len() > FRAME_BYTES_MAX {
        return Err(ApiError::new(ErrorCode::TooLarge, "the payload is too large"));
    }
    let client_id = message.client_id.as_deref().map(ClientId::parse).transpose()?;
    if client_id.is_none() && !message.is_outsider {
        return Err(ApiError::new(ErrorCode::BadClientId, "an edge's command has no client id"));
    }
    let made_by = message.made_by;
    let after = message.after.as_deref().map(ClientId::parse).transpose()?;
    let body = if message.is_json {
        Body::from_json(&message.payload)?
    } else {
        let text = std::str::from_utf8(&message.payload)
            .map_err(|_| ApiError::new(ErrorCode::BadEncoding, "the payload is not UTF-8"))?;
        Body::message(text.to_owned())?
    };
    if let Some(kind) = &message.kind {
        // Room and kind of the subject are what the server has let the sender publish.
        let (rooms, kinds) = (Some([room.clone()].into()), Some([kind.clone()].into()));
        Scope { rooms, kinds, access: Access::Write }.check_publish(&room, &body)?;
    }
    let content_hash = body.content_hash();
    let bytes = message.payload.len();
    let scheduled = None;
    Ok(Command { sender, room, client_id, made_by, after, body, scheduled, bytes, content_hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: &'static [u8]) -> IngestMessage {
        IngestMessage {
            stream_seq: 3,
            stored_at_ms: 0,
            sender: "bot".into(),
            room: "team".into(),
            client_id: None,
            made_by: None,
            after: None,
            kind: None,
            reply: None,
            is_json: false,
            is_outsider: true,
            payload: Bytes::from_static(payload),
            problem: None,
        }
    }

    fn code(message: IngestMessage) -> ErrorCode {
        Incoming::decode(message, 0, 1).command.expect_err("refused").code
    }

    #[test]
    fn plain_text_notifies_nobody() {
        let text = b"@all @everyone <!here> <@alice> @alice";
        let command = Incoming::decode(message(text), 0, 1).command.expect("command");
        assert!(command.body.mentions().is_empty());
    }

    #[test]
    fn plain_text_is_a_message() {
        let command = Incoming::decode(message("héllo".as_bytes()), 0, 1).command.expect("command");
        assert_eq!(command.body, Body::message("héllo".into()).expect("text"));
    }

    #[test]
    fn malformed_commands_are_refused() {
        assert_eq!(code(message(b"\xff\xfe")), ErrorCode::BadEncoding);
        assert_eq!(code(message(b"")), ErrorCode::BadRequest);
        assert_eq!(code(IngestMessage { is_json: true, ..message(b"{") }), ErrorCode::BadJson);
        assert_eq!(code(IngestMessage { room: "A".into(), ..message(b"x") }), ErrorCode::BadId);
        assert_eq!(
            code(IngestMessage { client_id: Some("7".into()), ..message(b"x") }),
            ErrorCode::BadClientId
        );
        assert_eq!(
            code(IngestMessage { is_outsider: false, ..message(b"x") }),
            ErrorCode::BadClientId
        );
    }

    #[test]
    fn a_body_is_of_the_kind_that_the_subject_names() {
        let named = |kind: &str, payload| {
            let kind = Some(kind.to_owned());
            let message = IngestMessage { kind, is_json: true, ..message(payload) };
            Incoming::decode(message, 0, 1).command.map(drop).map_err(|error| error.code)
        };
        assert_eq!(named("message", br#"{"text":"x"}"#), Ok(()));
        assert_eq!(named("leave", br#"{"kind":"leave"}"#), Ok(()));
        let refused = named("message", br#"{"kind":"leave"}"#);
        assert_eq!(refused, Err(ErrorCode::Forbidden));
        let named = IngestMessage { kind: Some("leave".into()), ..message(b"x") };
        assert_eq!(code(named), ErrorCode::Forbidden, "text is a message");
    }

    #[test]
    fn a_room_of_another_partition_is_refused() {
        let team = RoomId::new("team").expect("id");
        let wrong = (partition_of(&team, 4) + 1) % 4;
        let incoming = Incoming::decode(message(b"x"), wrong, 4);
        assert_eq!(incoming.command.expect_err("refused").code, ErrorCode::BadId);
    }
}
