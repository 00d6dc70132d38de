//! An export into an empty store.
//!
//! - **Verified first.** The file is read through before the store is touched.
//! - **Again and again.** How far an import is, the store says, written by each of its commits:
//!   one that was interrupted, anywhere, goes on there when it is run again.
//! - **The layout comes last**, with the removal of that row: nothing serves half a store.
//! - **Positions are made anew.** Rooms are written one after the other, each in its order, a head
//!   in the commit of its room's last entry. All of them are older than the first cursor that this
//!   store gives out, and cursors of other stores are answered with `resync`.
//! - **Memberships are rebuilt** from members and the ids of direct rooms: they are an index.
//! - **Inboxes begin empty.** A sync reads a pointer only where it is newer than a cursor of this
//!   store, and every cursor of this store is newer than the import.

mod filling;
mod rows;

use std::io::Read;

use weft_proto::StoreId;

use self::filling::Filling;
use super::ExportProgress;
use super::check::ExportCheck;
use super::error::Error;
use super::line::{Header, Trailer};
use super::reader::Reader;
use crate::engine::Store;
use crate::tables::layout::Layout;

/// An export that was read through, and is as it was written.
#[derive(Clone, Debug)]
pub struct VerifiedExport {
    header: Header,
    trailer: Trailer,
    lines: u64,
}

impl VerifiedExport {
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.lines
    }

    #[must_use]
    pub fn counts(&self) -> &super::ExportCounts {
        &self.trailer.counts
    }

    /// Nothing was committed while it was made.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.trailer.whole
    }

    #[must_use]
    pub fn partitions(&self) -> u16 {
        self.header.partitions
    }
}

/// Reads an export through.
///
/// # Errors
/// [`Error::Damaged`] and [`Error::NewerFormat`].
pub fn verify(file: impl Read, progress: ExportProgress<'_>) -> Result<VerifiedExport, Error> {
    let mut reader = Reader::new(file)?;
    let mut check = ExportCheck::default();
    let mut lines = 0;
    while let Some(line) = reader.next()? {
        lines += 1;
        check.take(&line).map_err(|what| at(lines, &what))?;
        progress(lines);
    }
    match (check.header(), check.trailer()) {
        (Some(header), Some(trailer)) => {
            Ok(VerifiedExport { header: header.clone(), trailer: trailer.clone(), lines })
        }
        _ => Err(Error::damaged("it has no end")),
    }
}

/// Fills `store` with an export; goes on where an earlier import of the same one was interrupted.
/// `store_id` is the new store's. `file`: the one that was verified, from its begin.
///
/// # Errors
/// Each is one line that an operator can act on.
pub async fn import(
    store: &Store,
    file: impl Read,
    verified: &VerifiedExport,
    store_id: StoreId,
    progress: ExportProgress<'_>,
) -> Result<(), Error> {
    let layout = Layout::new(verified.header.partitions.into(), store_id.0);
    let mut filling = Filling::begin(store, &verified.trailer.sha256).await?;
    let mut reader = Reader::new(file)?;
    let mut check = ExportCheck::default();
    let mut lines = 0;
    while let Some(line) = reader.next()? {
        lines += 1;
        check.take(&line).map_err(|what| at(lines, &what))?;
        if lines > filling.lines_done() {
            filling.add(&line, &check, lines).await?;
        }
        progress(lines);
    }
    let is_same = check.trailer() == Some(&verified.trailer);
    if !is_same {
        return Err(Error::damaged("it has changed since it was verified"));
    }
    filling.finish(&layout).await
}

fn at(line: u64, what: &str) -> Error {
    Error::Damaged(format!("line {line}: {what}"))
}
