//! The folder: its lock, its first creation, fjall's settings, and what its errors mean.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::{Database, Keyspace, KeyspaceCreateOptions};

use super::Options;
use super::power::life::sync_folder;
use super::power::repair::{self, LeftOut};
use crate::error::Error;

/// Blocks of tables that stay in memory, decompressed. The hot set (heads, members, the newest
/// entries) is in the memtable anyway.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// Journals on disk, at most: bounds the replay at start. The library rotates at 64 MB, and one
/// keyspace has its journal freed by each flush, so this is never reached in good order.
const JOURNALS_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// One thread flushes, one compacts. At normal priority: they hold locks that the hot path needs,
/// so with a lower one (nice 5 was tried) every busy moment of the machine became a stall.
const WORKER_THREADS: usize = 2;
/// See [`Options::memtable_bytes`]. Each flush and compaction ends with five syncs under a lock
/// that holds all reads and writes (5 ms on a quiet disk, over 100 ms on a busy one), so there
/// should be few of them: at 2,000 messages a second one flush in half a minute. The library
/// stores it when the store is created; a change has no effect on older ones.
pub const MEMTABLE_BYTES: u64 = 64 * 1024 * 1024;
/// Room for a flush and a compaction to end in order, when the disk is nearly full.
pub const DISK_RESERVE_BYTES: u64 = 256 * 1024 * 1024;

/// Holds our lock; the database's own folder is below, so that a first creation that was cut off
/// can be told from damage.
const LOCK_FILE: &str = "weft.lock";
pub const DATABASE_FOLDER: &str = "db";
/// fjall writes it last when it creates a database.
const DATABASE_MARKER: &str = "version";

/// An open folder. The fields are dropped in this order: the lock goes last.
pub struct Files {
    pub data: Keyspace,
    pub database: Database,
    pub path: PathBuf,
    /// See [`State::mark`](super::keys::State::mark).
    pub mark: u64,
    /// What was left out at this start, or at one that did not get so far as to give the store its new id.
    pub left_out: Option<LeftOut>,
    /// Every view holds it too: the library's files are in use until the last one is dropped.
    pub lock: Arc<File>,
}

/// True where a store was made in this folder.
pub fn is_store(path: &Path) -> bool {
    path.join(DATABASE_FOLDER).join(DATABASE_MARKER).exists()
}

pub fn open(path: &Path, options: &Options) -> Result<Files, Error> {
    let failed = |error: io::Error| Error::Open(format!("{}: {}", path.display(), reason(&error)));
    let is_new = !path.exists();
    fs::create_dir_all(path).map_err(failed)?;
    let lock = lock(path)?;
    let folder = path.join(DATABASE_FOLDER);
    let repair::Mended { mark, left_out } = repair::mend(path)?;
    let (database, data) = open_database(&folder, options).map_err(|error| match error {
        fjall::Error::Locked => Error::Locked(path.display().to_string()),
        error => Error::Open(format!("{}: {}", path.display(), describe(&error, path))),
    })?;
    // The library does not sync the folder that names its keyspaces.
    sync_folder(&folder.join("keyspaces")).map_err(failed)?;
    sync_folder(path).map_err(failed)?;
    if is_new && let Some(parent) = path.canonicalize().map_err(failed)?.parent() {
        sync_folder(parent).map_err(failed)?;
    }
    Ok(Files { data, database, path: path.to_owned(), mark, left_out, lock })
}

/// Keeps every other process away from the store.
pub fn lock(path: &Path) -> Result<Arc<File>, Error> {
    let failed = |error: io::Error| Error::Open(format!("{}: {}", path.display(), reason(&error)));
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join(LOCK_FILE))
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Arc::new(file)),
        Err(fs::TryLockError::WouldBlock) => Err(Error::Locked(path.display().to_string())),
        Err(fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

pub fn open_database(folder: &Path, options: &Options) -> fjall::Result<(Database, Keyspace)> {
    let database = Database::builder(folder)
        .cache_size(CACHE_BYTES)
        .max_journaling_size(JOURNALS_BYTES_MAX)
        .worker_threads(WORKER_THREADS)
        // The committer syncs once per group.
        .manual_journal_persist(true)
        .open()?;
    let data = database.keyspace("data", || {
        KeyspaceCreateOptions::default().max_memtable_size(options.memtable_bytes)
    })?;
    Ok((database, data))
}

/// Bytes that this process may still write; `None` where the system doesn't say.
pub fn disk_free_bytes(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// What went wrong, for the person who has to mend it.
pub fn describe(error: &fjall::Error, path: &Path) -> String {
    let text = match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
            reason(error)
        }
        fjall::Error::Poisoned => "an earlier write failed".to_owned(),
        fjall::Error::JournalRecovery(error) => format!("its journal is damaged ({error:?})"),
        fjall::Error::InvalidVersion(_) => "written by another version".to_owned(),
        fjall::Error::Storage(error) => format!("its tables are damaged ({error:?})"),
        other => format!("{other:?}"),
    };
    let disk_full = disk_free_bytes(path).is_some_and(|bytes| bytes < 1024 * 1024);
    if disk_full && !text.contains("disk is full") {
        format!("the disk is full; {text}")
    } else {
        text
    }
}

pub fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => format!("the folder can't be written ({error})"),
        // In a container nobody sees who a process runs as.
        io::ErrorKind::PermissionDenied => {
            let user = rustix::process::geteuid().as_raw();
            format!("the folder can't be written by user {user} ({error}): give it to that user")
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_folder_it_should_be_is_said() {
        let said = reason(&io::ErrorKind::PermissionDenied.into());
        let user = rustix::process::geteuid().as_raw();
        assert!(said.contains(&format!("can't be written by user {user} ")), "{said}");
    }
}
