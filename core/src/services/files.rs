//! Files, as `weft files` asks for them: begun, ready, looked at, and deleted when no message has them and nobody's avatar they are. Their bytes are there;
//! here is what is known of them, and who may see them ([ADR 24](../../../docs/adr/0024-files.md)).

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};
use weft_proto::file::file_name;
use weft_proto::svc::FileState;
use weft_proto::{ApiError, ErrorCode, FileId, RoomId, UserId, svc};
use weft_storage::tables::file::{self, File, Image};
use weft_storage::tables::file_due::{self, DueFile};
use weft_storage::tables::file_quota::{self, FileQuota};
use weft_storage::tables::{file_reference, scheduled};
use weft_storage::{Batch, Snapshot};

use super::Context;
use super::access::Access;
use super::accounts::ATTEMPTS_MAX;
use super::administration::check_level;
use super::avatars;
use super::failure::Failure;
use crate::metrics;
use crate::partition::scheduled::ROWS_MAX;

#[cfg(test)]
pub(super) mod tests;

const DAY_MS: u64 = 24 * 3_600_000;
/// What is kept may have some bytes more than what came: where an image is to be turned is written anew.
const REWRITTEN_BYTES_MAX: u64 = 65_536;
const CONTENT_TYPE_BYTES_MAX: usize = 127;
const THUMBHASH_BYTES_MAX: usize = 32;
/// Longest word for why there is no preview.
const NO_PREVIEW_BYTES_MAX: usize = 32;
/// Wider or higher no image is taken for one.
const PIXELS_MAX: u32 = 65_535;
/// Files that one call looks at, and at once.
const DUE_MAX: usize = 64;
const DUE_AT_ONCE: usize = 16;
/// References of a file whose time is over that are removed at once. With more, the file stays due.
const REFERENCES_MAX: usize = 500;
/// What the keys of addresses are made of, beside a signing key.
const URL_KEY_OF: &[u8] = b"weft files: addresses, 1\0";

/// What users may upload, and for how long it is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileLimits {
    /// The largest file, in bytes.
    pub bytes_max: u64,
    /// What a user may begin to upload on one day (UTC), in bytes ...
    pub day_bytes_max: u64,
    /// ... and files.
    pub day_files_max: u64,
    /// For how many days a message has its files, where its room says nothing else.
    pub days: u32,
}

impl Default for FileLimits {
    fn default() -> Self {
        Self { bytes_max: 100_000_000, day_bytes_max: 1_000_000_000, day_files_max: 500, days: 30 }
    }
}

impl Context {
    /// Begins a file of the caller.
    ///
    /// # Errors
    /// [`ErrorCode::TooLarge`], [`ErrorCode::LimitReached`], [`ErrorCode::BadRequest`], [`ErrorCode::UnknownType`] below the
    /// level, those of the token, or the store's.
    pub async fn file_begin(&self, request: svc::BeginFile) -> Result<svc::File, Failure> {
        let (size, limits) = (request.size, self.file_limits);
        if size == 0 {
            return Err(Failure::new(ErrorCode::BadRequest, "a file has at least one byte"));
        }
        if size > limits.bytes_max {
            let message = format!("a file has at most {} bytes", limits.bytes_max);
            return Err(ApiError::new(ErrorCode::TooLarge, message).into());
        }
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.store.snapshot().await?;
            let user = self.caller(&*snapshot, &request).await?.user;
            check_level(&*snapshot).await?;
            let now_ms = self.clock.now_ms();
            let day = u32::try_from(now_ms / DAY_MS).unwrap_or(u32::MAX);
            let quota_key = file_quota::key(&user, day);
            let quota_row = snapshot.get(quota_key.clone()).await?;
            let used = quota_row.as_deref().map(FileQuota::decode).transpose()?.unwrap_or_default();
            let now_used =
                FileQuota { bytes: used.bytes.saturating_add(size), files: used.files + 1 };
            if now_used.bytes > limits.day_bytes_max || now_used.files > limits.day_files_max {
                let message = "the user has uploaded as much today as one may in a day";
                let error = ApiError::new(ErrorCode::LimitReached, message);
                return Err(error.retry_after_ms(DAY_MS - now_ms % DAY_MS).into());
            }
            let id = FileId::from_parts(now_ms, rand::random());
            let row = File {
                owner: user.to_string(),
                name: file_name(&request.name),
                size,
                state: FileState::Uploading.into(),
                created_ms: now_ms,
                ..File::default()
            };
            let mut batch = Batch::new(rand::random());
            batch.guard(quota_key.clone(), quota_row);
            batch.guard(file::key(id), None);
            let before = file_quota::range_before(&user, day);
            batch.clear_range(before.start, before.end);
            batch.set(quota_key, now_used.encode());
            batch.set(file::key(id), row.encode());
            batch.set(file_due::key(row.due_ms(), id), Vec::new());
            if self.commit(batch).await? {
                metrics::count_file("begun", size);
                return Ok(shown(id, &row, row.due_ms()));
            }
        }
        Err(Failure::contended())
    }

    /// A file as the caller sees it: their own, that of an entry or of one that was reported to them, or an avatar.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`], [`ErrorCode::BadId`], those of a report, those of the token, or the store's.
    pub async fn file_look(&self, request: svc::LookAtFile) -> Result<svc::File, Failure> {
        if !request.report.is_empty() {
            return self.reported_file(request).await;
        }
        let snapshot = self.store.snapshot().await?;
        let user = self.caller(&*snapshot, &request).await?.user;
        let id = FileId::new(&request.file)?;
        let row = read(&*snapshot, id).await?.ok_or_else(not_found)?;
        if row.state() == FileState::Dying {
            return Err(not_found());
        }
        let until_ms = if !request.user.is_empty() {
            avatars::is_users(&*snapshot, id, &request.user).await?.then_some(0)
        } else if request.room.is_empty() {
            let until_ms = if row.is_ready() { 0 } else { row.due_ms() };
            return match row.owner == user.as_str() {
                true => Ok(shown(id, &row, until_ms)),
                false => Err(not_found()),
            };
        } else if request.seq == 0 {
            let (room, now_ms) = (RoomId::new(&request.room)?, self.clock.now_ms());
            avatars::is_groups(&*snapshot, id, (&room, &user), now_ms).await?.then_some(0)
        } else {
            let at = (RoomId::new(&request.room)?, request.seq);
            self.until_of_entry(&*snapshot, id, at, &user).await?
        };
        match until_ms {
            Some(until_ms) if row.is_ready() => Ok(shown(id, &row, until_ms)),
            _ => Err(not_found()),
        }
    }

    /// A file of a message, for who may see that.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`], or the store's.
    pub(super) async fn file_of(
        &self,
        snapshot: &dyn Snapshot,
        id: FileId,
        place: (RoomId, u64),
    ) -> Result<svc::File, Failure> {
        let row = read(snapshot, id).await?.filter(File::is_ready).ok_or_else(not_found)?;
        let key = file_reference::key(&(id, place));
        let reference = snapshot.get(key).await?.ok_or_else(not_found)?;
        let reference = file_reference::decode(&reference)?;
        if reference.is_over(self.clock.now_ms()) {
            return Err(not_found());
        }
        Ok(shown(id, &row, reference.expires_ms))
    }

    /// Until when an entry has a file that a user sees by it, Unix milliseconds. `None`, whatever the reason is: who may
    /// not see it learns nothing.
    async fn until_of_entry(
        &self,
        snapshot: &dyn Snapshot,
        id: FileId,
        (room, seq): (RoomId, u64),
        user: &UserId,
    ) -> Result<Option<u64>, Failure> {
        let key = file_reference::key(&(id, (room.clone(), seq)));
        let Some(reference) = snapshot.get(key).await? else { return Ok(None) };
        let reference = file_reference::decode(&reference)?;
        let access = match Access::of(snapshot, &room, user).await {
            Ok(access) => access,
            Err(Failure::Refused(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_seen = access.visible.contains(seq) && !reference.is_over(self.clock.now_ms());
        Ok(is_seen.then_some(reference.expires_ms))
    }

    /// Gives up a file of the caller that no message has, and that is no avatar.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`], [`ErrorCode::Conflict`], [`ErrorCode::BadId`], those of the token, or the store's.
    pub async fn file_discard(&self, request: svc::DiscardFile) -> Result<svc::Empty, Failure> {
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.store.snapshot().await?;
            let user = self.caller(&*snapshot, &request).await?.user;
            let id = FileId::new(&request.file)?;
            let row = read(&*snapshot, id).await?.filter(|row| row.owner == user.as_str());
            let row = row.ok_or_else(not_found)?;
            if row.state() == FileState::Dying {
                return Ok(svc::Empty {});
            }
            let is_referred = !file_reference::first(&*snapshot, id, 1).await?.is_empty();
            if is_referred || is_scheduled(&*snapshot, id, &row).await? {
                let message = "a message has the file, or it is an avatar";
                return Err(Failure::new(ErrorCode::Conflict, message));
            }
            let mut batch = Batch::new(rand::random());
            let listed = file_due::key(row.due_ms(), id);
            self.begin_to_die(&mut batch, id, row);
            batch.clear(listed);
            if self.commit(batch).await? {
                return Ok(svc::Empty {});
            }
        }
        Err(Failure::contended())
    }

    /// Says what a file is whose bytes are there for good.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`], [`ErrorCode::Conflict`], [`ErrorCode::BadRequest`], [`ErrorCode::BadId`], or the store's.
    pub async fn file_ready(&self, request: svc::FinishFile) -> Result<svc::File, Failure> {
        let id = FileId::new(&request.file)?;
        check_facts(&request)?;
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.store.snapshot().await?;
            let row = read(&*snapshot, id).await?.ok_or_else(not_found)?;
            let ready = File {
                owner: row.owner.clone(),
                name: row.name.clone(),
                created_ms: row.created_ms,
                state: FileState::Ready.into(),
                dying_ms: 0,
                size: request.size,
                sha256: request.sha256.clone(),
                content_type: request.content_type.clone(),
                image: request.image.clone().map(stored),
                duration_ms: request.duration_ms,
                no_preview: request.no_preview.clone(),
            };
            match row.state() {
                FileState::Uploading => {}
                FileState::Ready if row == ready => return Ok(shown(id, &row, 0)),
                FileState::Ready => {
                    let message = "the file is ready, and another one";
                    return Err(Failure::new(ErrorCode::Conflict, message));
                }
                FileState::Dying | FileState::Unknown => return Err(not_found()),
            }
            if request.size > row.size.saturating_add(REWRITTEN_BYTES_MAX) {
                let message = "the file has more bytes than its owner has announced";
                return Err(Failure::new(ErrorCode::BadRequest, message));
            }
            let mut batch = Batch::new(rand::random());
            batch.guard(file::key(id), Some(row.encode()));
            batch.set(file::key(id), ready.encode());
            if self.commit(batch).await? {
                metrics::count_file("ready", ready.size);
                return Ok(shown(id, &ready, 0));
            }
        }
        Err(Failure::contended())
    }

    /// Looks at files whose time has come: those whose bytes are to be deleted now.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`], or the store's.
    pub async fn files_due(&self, request: svc::ListDueFiles) -> Result<svc::DueFiles, Failure> {
        let after = match &*request.after {
            [] => None,
            bytes => Some(read_place(bytes)?),
        };
        let now_ms = self.clock.now_ms();
        let snapshot = self.store.snapshot().await?;
        let listed = file_due::due(&*snapshot, after, now_ms, DUE_MAX).await?;
        drop(snapshot);
        let after = match listed.last() {
            Some(last) if listed.len() == DUE_MAX => place(*last),
            _ => Vec::new(),
        };
        let looks = listed.into_iter().map(|due| self.look_at_due(due, now_ms));
        let looks: Vec<Option<FileId>> =
            stream::iter(looks).buffered(DUE_AT_ONCE).try_collect().await?;
        let files = looks.into_iter().flatten().map(|id| id.to_string()).collect();
        Ok(svc::DueFiles { files, after })
    }

    /// The file, where its bytes are to be deleted. Where somebody else changes it meanwhile, it stays listed.
    async fn look_at_due(
        &self,
        (at_ms, id): DueFile,
        now_ms: u64,
    ) -> Result<Option<FileId>, Failure> {
        let snapshot = self.store.snapshot().await?;
        let mut batch = Batch::new(rand::random());
        let listed = file_due::key(at_ms, id);
        let row = match read(&*snapshot, id).await {
            Ok(row) => row,
            // The others are looked at all the same.
            Err(weft_storage::Error::Corrupt(what)) => {
                tracing::error!(file = %id, what, "a file is kept, whatever becomes of it");
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let Some(row) = row else {
            batch.clear(listed);
            self.commit(batch).await?;
            return Ok(None);
        };
        if row.state() == FileState::Dying && at_ms < row.due_ms() {
            // It is listed for later, too.
            batch.clear(listed);
            self.commit(batch).await?;
            return Ok(None);
        }
        let mut need = need(&*snapshot, id, now_ms, &mut batch).await?;
        if matches!(need, Need::None) && is_scheduled(&*snapshot, id, &row).await? {
            // What becomes of what is scheduled lists no file.
            batch.set(file_due::key(now_ms + DAY_MS, id), Vec::new());
            need = Need::Some;
        }
        let (size, mut has_expired) = (row.size, false);
        match (row.state(), need) {
            (_, Need::Unknown) => {}
            (FileState::Dying, Need::None) => return Ok(Some(id)),
            (FileState::Uploading | FileState::Ready, Need::None) => {
                self.begin_to_die(&mut batch, id, row);
                batch.clear(listed);
                has_expired = true;
            }
            (FileState::Dying, Need::Some) => {
                batch.guard(file::key(id), Some(row.encode()));
                let ready = File { state: FileState::Ready.into(), dying_ms: 0, ..row };
                batch.set(file::key(id), ready.encode());
                batch.clear(listed);
            }
            // Each reference lists it for its own end.
            (_, Need::Some) => batch.clear(listed),
            (FileState::Unknown, Need::None) => return Ok(None),
        }
        if self.commit(batch).await? && has_expired {
            metrics::count_file("expired", size);
        }
        Ok(None)
    }

    fn begin_to_die(&self, batch: &mut Batch, id: FileId, row: File) {
        batch.guard(file::key(id), Some(row.encode()));
        let dying = File { state: FileState::Dying.into(), dying_ms: self.clock.now_ms(), ..row };
        batch.set(file::key(id), dying.encode());
        batch.set(file_due::key(dying.due_ms(), id), Vec::new());
    }

    /// Removes the row of a file whose bytes are deleted.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`], [`ErrorCode::Conflict`], [`ErrorCode::BadId`], or the store's.
    pub async fn file_deleted(&self, request: svc::FileDeleted) -> Result<svc::Empty, Failure> {
        let id = FileId::new(&request.file)?;
        let now_ms = self.clock.now_ms();
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.store.snapshot().await?;
            let row = read(&*snapshot, id).await?.ok_or_else(not_found)?;
            let is_due = row.state() == FileState::Dying && row.due_ms() <= now_ms;
            if !is_due {
                return Err(Failure::new(ErrorCode::Conflict, "the file is not due"));
            }
            let mut batch = Batch::new(rand::random());
            batch.guard(file::key(id), Some(row.encode()));
            batch.clear(file::key(id));
            batch.clear(file_due::key(row.due_ms(), id));
            let references = file_reference::range(id);
            batch.clear_range(references.start, references.end);
            if self.commit(batch).await? {
                metrics::count_file("deleted", row.size);
                return Ok(svc::Empty {});
            }
        }
        Err(Failure::contended())
    }

    /// The keys by which addresses of files are signed: as many as there are signing keys, and newer with them.
    #[must_use]
    pub fn file_url_keys(&self) -> svc::UrlKeys {
        let key = |secret: &[u8]| Sha256::new().chain_update(URL_KEY_OF).chain_update(secret);
        let keys = self.tokens.secrets().map(|secret| key(secret).finalize().to_vec());
        svc::UrlKeys { keys: keys.collect() }
    }
}

/// Whether a message has a file, or it is an avatar.
enum Need {
    Some,
    None,
    /// What is over is removed first.
    Unknown,
}

/// Looks for a reference whose time is not over. Those before it are removed with the batch.
async fn need(
    snapshot: &dyn Snapshot,
    id: FileId,
    now_ms: u64,
    batch: &mut Batch,
) -> Result<Need, Failure> {
    let rows = file_reference::first(snapshot, id, REFERENCES_MAX).await?;
    for (key, row) in &rows {
        if !row.is_over(now_ms) {
            return Ok(Need::Some);
        }
        batch.clear(file_reference::key(key));
    }
    Ok(if rows.len() < REFERENCES_MAX { Need::None } else { Need::Unknown })
}

/// Whether a message of its owner has it that waits to be sent: only owners schedule files.
async fn is_scheduled(
    snapshot: &dyn Snapshot,
    id: FileId,
    row: &File,
) -> Result<bool, weft_storage::Error> {
    let Ok(owner) = row.owner() else { return Ok(false) };
    let rows = snapshot.scan(scheduled::range(&owner), 2 * ROWS_MAX, false).await?;
    // One that can't be read may have it.
    let waits = |row: &[u8]| scheduled::decode(row).map_or(true, |(_, row)| row.waits_for(id));
    Ok(rows.iter().any(|(_, row)| waits(row)))
}

async fn read(snapshot: &dyn Snapshot, id: FileId) -> Result<Option<File>, weft_storage::Error> {
    snapshot.get(file::key(id)).await?.as_deref().map(File::decode).transpose()
}

fn not_found() -> Failure {
    Failure::new(ErrorCode::NotFound, "there is no such file")
}

fn check_facts(request: &svc::FinishFile) -> Result<(), ApiError> {
    let bad = |what: &str| Err(ApiError::new(ErrorCode::BadRequest, what));
    let content_type = request.content_type.as_bytes();
    if request.size == 0 || request.sha256.len() != 32 {
        return bad("a file has bytes, and a SHA-256 of 32");
    }
    if content_type.len() > CONTENT_TYPE_BYTES_MAX
        || !content_type.contains(&b'/')
        || !content_type.iter().all(|byte| matches!(byte, b' '..=b'~'))
    {
        return bad("that is no content type");
    }
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    if request.no_preview.len() > NO_PREVIEW_BYTES_MAX || !request.no_preview.bytes().all(is_letter)
    {
        return bad("that is no word");
    }
    let Some(image) = &request.image else { return Ok(()) };
    let is_size = |pixels: u32| (1..=PIXELS_MAX).contains(&pixels);
    if !is_size(image.width) || !is_size(image.height) {
        return bad("no image has this width and height");
    }
    if image.thumbhash.len() > THUMBHASH_BYTES_MAX {
        return bad("a thumbhash has at most 32 bytes");
    }
    Ok(())
}

fn stored(image: svc::ImageFacts) -> Image {
    let svc::ImageFacts { width, height, thumbhash, animated, has_thumbnails } = image;
    Image { width, height, thumbhash, animated, has_thumbnails }
}

pub(super) fn shown(id: FileId, row: &File, until_ms: u64) -> svc::File {
    let image = row.image.clone();
    svc::File {
        file: id.to_string(),
        owner: row.owner.clone(),
        name: row.name.clone(),
        size: row.size,
        state: row.state,
        created_ms: row.created_ms,
        until_ms,
        sha256: row.sha256.clone(),
        content_type: row.content_type.clone(),
        image: image.map(|Image { width, height, thumbhash, animated, has_thumbnails }| {
            svc::ImageFacts { width, height, thumbhash, animated, has_thumbnails }
        }),
        duration_ms: row.duration_ms,
        no_preview: row.no_preview.clone(),
    }
}

fn place((at_ms, id): DueFile) -> Vec<u8> {
    [&at_ms.to_be_bytes()[..], &id.to_bytes()].concat()
}

fn read_place(bytes: &[u8]) -> Result<DueFile, ApiError> {
    let read = || {
        let (at_ms, id) = bytes.split_first_chunk()?;
        Some((u64::from_be_bytes(*at_ms), FileId::from_bytes(id.try_into().ok()?)))
    };
    read().ok_or_else(|| ApiError::new(ErrorCode::BadRequest, "it is not the place of a page"))
}
