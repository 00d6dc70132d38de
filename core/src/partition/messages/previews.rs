//! What the first link of a message leads to: its row says that it has a preview of which address, and the entry what that says
//! ([ADR 25](../../../../docs/adr/0025-previews.md)). A preview goes with its link: by an edit, by the deletion of the message, or because
//! somebody removes it. Then its entry is written anew, as `deleted`.

use weft_proto::kind::{Edit, Preview, PreviewImage};
use weft_proto::previews::previewed_link;
use weft_proto::{ApiError, Body, ErrorCode, FileId, RoomId};
use weft_storage::Batch;
use weft_storage::tables::file_reference;
use weft_storage::tables::head::Head;
use weft_storage::tables::message::{self, Message};

use super::super::command::Command;
use super::super::state::State;
use super::{EntryKey, FoundMessages, Rewrite, deleted, no};

/// The room, the seq of the entry that changes the message, and what was looked up.
type Gone<'a> = (&'a RoomId, u64, &'a FoundMessages, &'a State);

impl FoundMessages {
    /// The previews, in the store, of those messages whose commands may remove them.
    pub(super) fn previews_to_delete<'a>(
        &'a self,
        state: &'a State,
        commands: &'a [&Command],
    ) -> impl Iterator<Item = EntryKey> + 'a {
        let removes = |it: &&&Command| {
            matches!(it.body, Body::Delete(_) | Body::Edit(_) | Body::Unpreview(_))
        };
        let entry = |command: &&Command| {
            let room = &command.room;
            let preview = self.row(state, &(room.clone(), command.body.target()?)).preview?;
            Some((room.clone(), preview.seq)).filter(|at| self.entry(state, at).is_none())
        };
        commands.iter().filter(removes).filter_map(entry)
    }
}

/// A message gets a preview of the link that its newest text has.
pub(super) fn add(
    row: &mut Message,
    it: &Preview,
    (seq, head): (u64, &Head),
) -> Result<(), ApiError> {
    if row.edits.last() != it.edit.as_ref() {
        return Err(no(ErrorCode::Conflict, "the message has another text by now"));
    }
    if row.previews_off || head.previews_off {
        return Err(no(ErrorCode::Forbidden, "the message is to have no preview"));
    }
    if row.preview.is_some() {
        return Err(no(ErrorCode::Unchanged, "the message has a preview already"));
    }
    let file = it.link.image.as_ref().and_then(PreviewImage::file).map(|id| id.to_string());
    row.files.extend(file.clone());
    let (url, file) = (it.link.url.clone(), file.unwrap_or_default());
    row.preview = Some(message::Preview { seq, url, file });
    Ok(())
}

/// A message has no preview any more; what becomes of its entry.
pub(super) fn remove(
    row: &mut Message,
    (id, by, found, state): Gone<'_>,
) -> Result<Option<Rewrite>, ApiError> {
    let Some(preview) = row.preview.take() else { return Ok(None) };
    row.files.retain(|file| *file != preview.file);
    let at = (id.clone(), preview.seq);
    match found.entry(state, &at) {
        Some(entry) => Ok(Some(deleted(entry, by))),
        // Of what is lost, nothing is left.
        None if found.absent.contains(&at) => Ok(None),
        None => Err(no(ErrorCode::Internal, "the preview of the message was not read")),
    }
}

/// The same where the new text has another link, or none.
pub(super) fn after_edit(
    row: &mut Message,
    body: &Body,
    gone: Gone<'_>,
) -> Result<Option<Rewrite>, ApiError> {
    let (Some(preview), Body::Edit(Edit { text, ranges, .. })) = (&row.preview, body) else {
        return Ok(None);
    };
    if previewed_link(text, ranges).as_ref() == Some(&preview.url) {
        return Ok(None);
    }
    remove(row, gone)
}

/// The same, and it gets none again.
pub(super) fn turn_off(row: &mut Message, gone: Gone<'_>) -> Result<Option<Rewrite>, ApiError> {
    if row.previews_off {
        return Err(no(ErrorCode::Unchanged, "the message has no preview, and gets none"));
    }
    row.previews_off = true;
    remove(row, gone)
}

/// Writes that a message has the image of its preview no more, where it had one.
pub(super) fn forget_image(
    batch: &mut Batch,
    (room, target): (&RoomId, u64),
    (before, after): (&Message, &Message),
    now_ms: u64,
) {
    let Some(preview) = before.preview.as_ref().filter(|_| after.preview.is_none()) else { return };
    if let Ok(file) = FileId::new(&preview.file) {
        file_reference::clear(batch, &(file, (room.clone(), target)), now_ms);
    }
}
