//! Previews of links, as `weft files` makes them: which links are to have one, the files of their images, and what becomes of a page
//! that was read. The room's owner has the last word ([ADR 25](../../../docs/adr/0025-previews.md)).

use std::collections::BTreeMap;

use weft_proto::kind::{Edit, Preview};
use weft_proto::previews::previewed_link;
use weft_proto::svc::FileState;
use weft_proto::{Body, ErrorCode, FileId, Partition, RoomId, UserId, partition_of, svc};
use weft_storage::tables::file::{self, File};
use weft_storage::tables::journal::{self, Commits, JournalEntry};
use weft_storage::tables::log::Logged;
use weft_storage::tables::message::{self, Message};
use weft_storage::tables::{file_due, head};
use weft_storage::{Batch, Error, Snapshot};

use super::Context;
use super::administration::check_level;
use super::failure::Failure;
use crate::partition::load::readable;

/// Rows of the journal that are read at once, and messages after which a page takes no further one.
const ROWS_AT_ONCE: usize = 8;
const MESSAGES_MAX: usize = 256;
/// Messages that are read at once: with the largest texts 6 MB.
const MESSAGES_AT_ONCE: usize = 16;
/// Links of older messages get no preview: nobody waits for it, and what is caught up with after an outage is new.
const LATEST_MS: u64 = 15 * 60_000;
const IMAGE_BYTES_MAX: u64 = 32 << 20;
/// What the image of a preview is called.
const IMAGE_NAME: &str = "preview.webp";

/// A command that a room's owner is to tell itself.
pub struct Told {
    pub partition: Partition,
    /// In whose name: who has written the message.
    pub sender: UserId,
    pub room: RoomId,
    pub body: Body,
}

impl Context {
    /// Links that are to have a preview, of a part of a partition's journal.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`] for a partition that the store does not have, or the store's.
    pub async fn preview_links(&self, asked: svc::FindLinks) -> Result<svc::FoundLinks, Failure> {
        let partition = self.partition(asked.partition)?;
        let (store, through) = (self.store_id.0.to_be_bytes().to_vec(), asked.after);
        let mut page = svc::FoundLinks { store, through, ..svc::FoundLinks::default() };
        let snapshot = self.store.snapshot().await?;
        let read = journal::follow(&*snapshot, partition, asked.after, ROWS_AT_ONCE).await?;
        let Some(Commits { rows, is_last }) = read else {
            page.expired = true;
            return Ok(page);
        };
        page.more = !is_last;
        let from_ms = self.clock.now_ms().saturating_sub(LATEST_MS);
        let mut looked_at = 0;
        for (commit_no, row) in rows {
            if looked_at >= MESSAGES_MAX {
                page.more = true;
                break;
            }
            page.through = commit_no;
            let entries = row.entries.iter().filter(|entry| may_bring_a_link(entry));
            let places: Vec<(RoomId, u64)> =
                entries.filter_map(|it| Some((RoomId::new(&it.room).ok()?, it.seq))).collect();
            if row.time_ms < from_ms {
                continue;
            }
            looked_at += places.len();
            for some in places.chunks(MESSAGES_AT_ONCE) {
                page.links.extend(links(&*snapshot, some).await?);
            }
        }
        Ok(page)
    }

    /// Begins the file of an image.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`], [`ErrorCode::UnknownType`] below the level, or the store's.
    pub async fn preview_image(&self, asked: svc::BeginImage) -> Result<svc::File, Failure> {
        if !(1..=IMAGE_BYTES_MAX).contains(&asked.size) {
            return Err(Failure::new(ErrorCode::BadRequest, "an image has 1 byte to 32 MB"));
        }
        check_level(&*self.store.snapshot().await?).await?;
        let now_ms = self.clock.now_ms();
        let id = FileId::from_parts(now_ms, rand::random());
        let row = File {
            name: IMAGE_NAME.to_owned(),
            size: asked.size,
            state: FileState::Uploading.into(),
            created_ms: now_ms,
            ..File::default()
        };
        let mut batch = Batch::new(rand::random());
        batch.guard(file::key(id), None);
        batch.set(file::key(id), row.encode());
        batch.set(file_due::key(row.due_ms(), id), Vec::new());
        match self.commit(batch).await? {
            true => Ok(super::files::shown(id, &row, row.due_ms())),
            false => Err(Failure::contended()),
        }
    }

    /// What the room's owner is to be told of a page that was read.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`], where the message has no such link; [`ErrorCode::BadId`], what is wrong with the preview, or the
    /// store's.
    pub async fn preview_put(&self, asked: svc::PutPreview) -> Result<Told, Failure> {
        let room = RoomId::new(&asked.room)?;
        let link = asked.link.unwrap_or_default();
        let snapshot = self.store.snapshot().await?;
        let found = look(&*snapshot, &[(room.clone(), asked.seq)]).await?.pop();
        let found = found.filter(|(it, _)| it.edit == asked.edit && it.url == link.url);
        let none = || Failure::new(ErrorCode::NotFound, "the message has no such link");
        let (_, sender) = found.ok_or_else(none)?;
        let preview = Preview::new(asked.seq, asked.edit, link)?;
        let partitions = Partition::try_from(self.partitions).unwrap_or(Partition::MAX);
        let partition = partition_of(&room, partitions);
        Ok(Told { partition, sender, room, body: Body::Preview(preview) })
    }
}

fn may_bring_a_link(entry: &JournalEntry) -> bool {
    matches!(&*entry.kind, "message" | "image" | "file" | "edit")
}

/// The links that these messages and edits have brought, each message once.
async fn links(
    snapshot: &dyn Snapshot,
    places: &[(RoomId, u64)],
) -> Result<Vec<svc::FoundLink>, Error> {
    let read = readable(snapshot, places).await?;
    let target = |logged: Logged| match logged.entry.body {
        Body::Edit(Edit { target, .. }) => Some((logged.entry.room, target)),
        body => body.as_message().map(|_| (logged.entry.room, logged.entry.seq)),
    };
    let mut targets: Vec<(RoomId, u64)> = read.into_iter().flatten().filter_map(target).collect();
    targets.sort_unstable();
    targets.dedup();
    Ok(look(snapshot, &targets).await?.into_iter().map(|(link, _)| link).collect())
}

/// The links of messages that are to have a preview and have none, and who wrote them.
async fn look(
    snapshot: &dyn Snapshot,
    messages: &[(RoomId, u64)],
) -> Result<Vec<(svc::FoundLink, UserId)>, Error> {
    let keys = messages.iter().flat_map(|(room, seq)| [head::key(room), message::key(room, *seq)]);
    let rows = snapshot.get_many(keys.collect()).await?;
    let mut wanting: BTreeMap<(RoomId, u64), Option<u64>> = BTreeMap::new();
    for ((room, seq), rows) in messages.iter().zip(rows.chunks(2)) {
        let [Some(head), row] = rows else { continue };
        let row = row.as_deref().map(Message::decode).transpose()?.unwrap_or_default();
        let is_off = head::decode(head)?.1.previews_off || row.previews_off;
        if !is_off && row.preview.is_none() && row.deleted_by == 0 {
            wanting.insert((room.clone(), *seq), row.edits.last().copied());
        }
    }
    let of_edits = wanting.iter().filter_map(|((room, _), edit)| Some((room.clone(), (*edit)?)));
    let of_edits: Vec<(RoomId, u64)> = of_edits.collect();
    let places: Vec<(RoomId, u64)> = wanting.keys().cloned().collect();
    let mut edits: BTreeMap<(RoomId, u64), Logged> = BTreeMap::new();
    for (at, logged) in of_edits.iter().zip(readable(snapshot, &of_edits).await?) {
        edits.extend(logged.map(|logged| (at.clone(), logged)));
    }
    let mut found = Vec::new();
    for ((room, seq), logged) in places.iter().zip(readable(snapshot, &places).await?) {
        let Some(entry) = logged.map(|logged| logged.entry) else { continue };
        let edit = wanting[&(room.clone(), *seq)];
        let newest = edit.map(|edit| edits.get(&(room.clone(), edit)).map(|it| &it.entry.body));
        let url = match (newest, &entry.body) {
            (Some(Some(Body::Edit(edit))), _) => previewed_link(&edit.text, &edit.ranges),
            (Some(_), _) => None,
            (None, body) => {
                let text = body.as_message();
                text.and_then(|text| previewed_link(&text.text, &text.extras().ranges))
            }
        };
        let Some(url) = url else { continue };
        found.push((svc::FoundLink { room: room.to_string(), seq: *seq, edit, url }, entry.from));
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
