//! Whom messages mention. The message's row says it, and beside it are rows by which unread mentions are
//! counted (`storage/src/tables/mention.rs`): so an edit, or a deletion, takes back what it no longer mentions.

use weft_proto::kind::formatting::Mentions;
use weft_proto::{ApiError, Body, ErrorCode, Role, RoomId, UserId};
use weft_storage::tables::mention::EVERYONE;
use weft_storage::tables::message::{Mentioned, Message};

use super::super::rights::{self, Action};
use super::super::rooms::Room;
use super::{MessageChange, no, sees};

/// What a decision about a text's mentions has to know.
pub(super) struct Context<'a> {
    pub(super) room: (&'a RoomId, &'a Room),
    /// Who writes, and with which role, in a group.
    pub(super) sender: (&'a UserId, Option<Role>),
    /// The message's seq, and that of the entry which mentions.
    pub(super) message: u64,
    pub(super) seq: u64,
    pub(super) is_silent: bool,
}

/// The row of a new message that mentions somebody, or has files.
///
/// # Errors
/// The refusal.
pub(super) fn of_new(
    (id, room, seq): (&RoomId, &Room, u64),
    sender: (&UserId, Option<Role>),
    body: &Body,
) -> Result<Option<MessageChange>, ApiError> {
    let Some(text) = body.as_message() else { return Ok(None) };
    let (mentions, files) = (body.mentions(), body.files());
    if mentions.is_empty() && files.is_empty() {
        return Ok(None);
    }
    let is_silent = text.extras().silent;
    let context = Context { room: (id, room), sender, message: seq, seq, is_silent };
    let files = files.iter().map(|file| file.id.to_string()).collect();
    let mentions = decide(&[], &mentions, &context)?;
    let row = Message { mentions, files, ..Message::default() };
    let before = Message::default();
    Ok(Some(MessageChange { target: seq, before, row, reaction: None, rewrites: Vec::new() }))
}

/// Whom a message mentions from now on. Only who is new has to be a member, and an edit counts for those alone.
///
/// # Errors
/// The refusal.
pub(super) fn decide(
    before: &[Mentioned],
    now: &Mentions,
    context: &Context<'_>,
) -> Result<Vec<Mentioned>, ApiError> {
    let everyone = now.everyone.then_some(EVERYONE);
    let names = everyone.into_iter().chain(now.users.iter().map(UserId::as_str));
    let mut mentions = Vec::new();
    for name in names {
        match before.iter().find(|it| it.user == name) {
            Some(kept) => mentions.push(kept.clone()),
            None => {
                let user = now.users.get(name);
                context.check(user)?;
                let seq = if context.counts(user) { context.seq } else { 0 };
                mentions.push(Mentioned { user: name.to_owned(), seq });
            }
        }
    }
    Ok(mentions)
}

impl Context<'_> {
    /// `user`: `None` for everyone.
    fn check(&self, user: Option<&UserId>) -> Result<(), ApiError> {
        let (id, room) = self.room;
        match (user, id.direct_users()) {
            (None, Some(_)) => Err(no(ErrorCode::BadRequest, "only a group has everyone")),
            (None, None) => {
                let role = self.sender.1.unwrap_or(Role::Member);
                rights::check(role, Action::MentionEveryone)
            }
            (Some(user), Some((a, b))) if *user == a || *user == b => Ok(()),
            (Some(user), None) if room.members.role(user).is_some() => Ok(()),
            (Some(user), _) => {
                let message = format!("{user}, who is mentioned, is not a member of the room");
                Err(ApiError::new(ErrorCode::NotMember, message))
            }
        }
    }

    /// Nobody has unread mentions by their own messages, nor by what they are not shown.
    fn counts(&self, user: Option<&UserId>) -> bool {
        let is_read =
            |user: &UserId| user == self.sender.0 || !sees(self.room.1, user, self.message);
        !self.is_silent && !user.is_some_and(is_read)
    }
}
