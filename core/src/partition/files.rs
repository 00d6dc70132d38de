//! The files of messages, and avatars of groups ([ADR 24](../../../docs/adr/0024-files.md)). A message may have those that are ready and its
//! sender's own, and those of the message that it forwards. What clients show of them goes into the entry, and its commit writes that
//! the message has them; so what becomes of a file no commit of another partition, and no service, has to ask an owner.

use std::collections::{BTreeSet, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tracing::error;
use weft_proto::kind::{Attachment, FileFacts, Origin, PreviewImage, Update};
use weft_proto::{ApiError, Body, Entry, ErrorCode, FileId, RoomId, UserId};
use weft_storage::tables::file::{self, File};
use weft_storage::tables::head::Head;
use weft_storage::tables::message::{self, Message};
use weft_storage::tables::{deletion, file_reference};
use weft_storage::{Batch, Error, Outcome, Snapshot, Store};

use super::command::Command;
use super::forwards::Origins;

const DAY_MS: u64 = 24 * 3_600_000;
/// Rows of files that are read at once.
const FILES_AT_ONCE: usize = 256;
/// Messages of a notebook that are looked at together.
const MESSAGES_AT_ONCE: usize = 100;

/// What the store says of the files that a run of commands names.
#[derive(Default, Debug)]
pub struct FoundFiles(HashMap<FileId, File>);

/// # Errors
/// Those of the store.
pub async fn load(snapshot: &dyn Snapshot, commands: &[&Command]) -> Result<FoundFiles, Error> {
    let named = commands.iter().flat_map(|command| command.body.files()).map(|file| file.id);
    let avatars = commands.iter().filter_map(|command| avatar_of(&command.body));
    let of_previews = commands.iter().filter_map(|command| image_of(&command.body)?.file());
    let named = named.chain(avatars).chain(of_previews);
    let wanted: Vec<FileId> = named.collect::<BTreeSet<_>>().into_iter().collect();
    let mut found = FoundFiles::default();
    for some in wanted.chunks(FILES_AT_ONCE) {
        let rows = snapshot.get_many(some.iter().map(|id| file::key(*id)).collect()).await?;
        for (id, row) in some.iter().zip(rows) {
            match row.as_deref().map(File::decode) {
                None => {}
                Some(Ok(row)) => drop(found.0.insert(*id, row)),
                // A command that names it is no reason to stop.
                Some(Err(error)) => error!(file = %id, %error, "a file can't be read"),
            }
        }
    }
    Ok(found)
}

impl FoundFiles {
    /// The body with what is known of its files, which the message has for so many days from now on.
    ///
    /// # Errors
    /// The refusal.
    pub fn resolve(
        &self,
        sender: &UserId,
        mut body: Body,
        (now_ms, days): (u64, u32),
        origins: &Origins,
    ) -> Result<Body, ApiError> {
        let needs_images = matches!(body, Body::Image(_));
        let forwarded = body.as_message().and_then(|it| it.extras().forwarded.as_ref());
        let origin = forwarded.and_then(|forwarded| forwarded.origin.clone());
        let expires = now_ms.saturating_add(u64::from(days) * DAY_MS);
        for Attachment { id, facts } in body.files_mut() {
            let is_forwarded = |origin: &Origin| origins.has_file(sender, origin, *id, now_ms);
            let is_given = || origin.as_ref().is_some_and(is_forwarded);
            let row = self.ready(*id, (sender, needs_images), is_given)?;
            *facts = Some(Box::new(facts_of(row, expires)));
        }
        if let Body::Preview(it) = &mut body
            && let Some(image) = &mut it.link.image
        {
            let row = image.file().and_then(|id| self.0.get(&id));
            let row = row.filter(|row| row.is_ready() && row.image.is_some() && row.is_nobodys());
            let none =
                || ApiError::new(ErrorCode::NotFound, "the image of the preview is not there");
            image.facts = Some(facts_of(row.ok_or_else(none)?, expires));
        }
        Ok(body)
    }

    /// Checks that a message may have its files because they are its sender's own.
    ///
    /// # Errors
    /// The refusal.
    pub fn check_own(&self, sender: &UserId, body: &Body) -> Result<(), ApiError> {
        let needs_images = matches!(body, Body::Image(_));
        let ready = |file: &Attachment| self.ready(file.id, (sender, needs_images), || false);
        body.files().iter().try_for_each(|file| ready(file).map(drop))
    }

    /// A file that is ready, and the sender's own or given to them.
    fn ready(
        &self,
        id: FileId,
        (sender, needs_images): (&UserId, bool),
        is_given: impl FnOnce() -> bool,
    ) -> Result<&File, ApiError> {
        let row = self.0.get(&id).filter(|row| row.is_ready());
        let row = row.filter(|row| row.owner == sender.as_str() || is_given());
        let row = row.ok_or_else(|| no_file(id))?;
        if needs_images && row.image.is_none() {
            let message = format!("the file {id} is no image");
            return Err(ApiError::new(ErrorCode::BadRequest, message));
        }
        Ok(row)
    }

    /// Whether a command may make the file that it names the avatar of its group.
    ///
    /// # Errors
    /// Those of [`avatar`].
    pub fn check_avatar(&self, sender: &UserId, head: &Head, body: &Body) -> Result<(), ApiError> {
        match avatar_of(body) {
            Some(id) if id.to_string() != head.avatar => avatar(sender, id, self.0.get(&id)),
            _ => Ok(()),
        }
    }
}

fn avatar_of(body: &Body) -> Option<FileId> {
    let Body::Update(Update { avatar: Some(avatar), .. }) = body else { return None };
    avatar.0
}

/// A user makes an image of their own an avatar: one with thumbnails, for lists show many.
///
/// # Errors
/// [`ErrorCode::NotFound`], [`ErrorCode::BadRequest`].
pub fn avatar(user: &UserId, id: FileId, row: Option<&File>) -> Result<(), ApiError> {
    let row = row.filter(|row| row.is_ready() && row.owner == user.as_str());
    let row = row.ok_or_else(|| no_file(id))?;
    if row.image.as_ref().is_some_and(|image| image.has_thumbnails) {
        return Ok(());
    }
    let message = format!("the file {id} is no image that has thumbnails");
    Err(ApiError::new(ErrorCode::BadRequest, message))
}

fn no_file(id: FileId) -> ApiError {
    let message = format!("there is no file {id} that the sender has uploaded");
    ApiError::new(ErrorCode::NotFound, message)
}

fn image_of(body: &Body) -> Option<&PreviewImage> {
    match body {
        Body::Preview(it) => it.link.image.as_ref(),
        _ => None,
    }
}

fn facts_of(row: &File, expires: u64) -> FileFacts {
    let image = row.image.as_ref();
    let has = |it: bool| it.then_some(true);
    let thumbhash = image.map(|image| &image.thumbhash).filter(|bytes| !bytes.is_empty());
    FileFacts {
        name: row.name.clone(),
        size: row.size,
        content_type: row.content_type.clone(),
        expires,
        width: image.map(|image| image.width),
        height: image.map(|image| image.height),
        thumbhash: thumbhash.map(|bytes| STANDARD.encode(bytes)),
        animated: image.and_then(|image| has(image.animated)),
        thumbnails: image.and_then(|image| has(image.has_thumbnails)),
        duration_ms: Some(row.duration_ms).filter(|duration_ms| *duration_ms > 0),
        expired: None,
        no_preview: Some(row.no_preview.clone()).filter(|why| !why.is_empty()),
    }
}

/// Writes that a new message has its files.
pub fn write(batch: &mut Batch, entry: &Entry) {
    for Attachment { id, facts } in entry.body.files() {
        let expires_ms = facts.as_ref().map_or(0, |facts| facts.expires);
        file_reference::put(batch, &(*id, (entry.room.clone(), entry.seq)), expires_ms);
    }
    // It is the message that has it: with it, it goes.
    let image = image_of(&entry.body);
    if let Some((id, target)) = image.and_then(PreviewImage::file).zip(entry.body.target()) {
        let facts = image.and_then(|image| image.facts.as_ref());
        let expires_ms = facts.map_or(0, |facts| facts.expires);
        file_reference::put(batch, &(id, (entry.room.clone(), target)), expires_ms);
    }
}

/// Writes which file is a group's avatar, after another one was.
pub fn write_avatar(batch: &mut Batch, id: &RoomId, before: &str, head: &Head) {
    file_reference::change_avatar(batch, id, before, &head.avatar, head.time_ms);
}

/// Writes that a message has them no more.
pub fn forget(batch: &mut Batch, (room, seq): (&RoomId, u64), row: &Message, now_ms: u64) {
    for id in row.file_ids() {
        file_reference::clear(batch, &(id, (room.clone(), seq)), now_ms);
    }
}

/// Writes that messages of a user's notebook have their files no more, while the account is being deleted: in small commits,
/// before its entries go.
///
/// # Errors
/// Those of the store.
pub async fn forget_all(
    store: &Store,
    (user, deleted_by): (&UserId, &bytes::Bytes),
    (notebook, seq_max): (&RoomId, u64),
    now_ms: u64,
) -> Result<(), Error> {
    let mut from = 1;
    loop {
        let snapshot = store.snapshot().await?;
        let seqs = from..seq_max.saturating_add(1);
        let rows = message::scan(&*snapshot, notebook, seqs, MESSAGES_AT_ONCE).await?;
        drop(snapshot);
        let Some((last, _)) = rows.last() else { return Ok(()) };
        from = last + 1;
        let mut batch = Batch::new(rand::random());
        batch.guard(deletion::key(user), Some(deleted_by.clone()));
        for (seq, row) in &rows {
            forget(&mut batch, (notebook, *seq), row, now_ms);
        }
        if batch.ops().is_empty() {
            continue;
        }
        match store.commit(batch).await? {
            Outcome::Committed(_) => {}
            // Another owner goes on with it.
            Outcome::Rejected { .. } => return Ok(()),
        }
    }
}
