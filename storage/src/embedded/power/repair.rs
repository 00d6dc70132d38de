//! Does what the verdict asks for, before the library opens the folder.
//!
//! Where commits may have been lost that somebody has heard of, the store gets a new id with the
//! first commit after it. A note says so until that is done, for a start that is cut off itself.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::damage::{self, Cut, JournalVerdict};
use super::journal;
use super::life::{self, Life};
use crate::batch::Batch;
use crate::embedded::files::{self, DATABASE_FOLDER};
use crate::error::Error;
use crate::tables::layout::{self, Layout};

const NOTE_FILE: &str = "left-out.json";
/// What was cut off is kept here, for people.
const LEFT_OUT_FOLDER: &str = "left-out";

/// What a start left out that may have been acknowledged.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeftOut {
    /// What happened, in one line.
    pub what: String,
    pub store_id: u64,
}

/// What the store has to know when it is opened.
pub struct Mended {
    /// See [`Life::mark`].
    pub mark: u64,
    /// Not told to the store yet.
    pub left_out: Option<LeftOut>,
}

/// Makes the folder such that the library can open it.
///
/// # Errors
/// [`Error::Open`] where what is damaged was synced: only a person may decide then.
pub fn mend(store: &Path) -> Result<Mended, Error> {
    let failed = |error| Error::Open(format!("{}: {}", store.display(), files::reason(&error)));
    loop {
        match damage::look(store)? {
            JournalVerdict::Whole => break,
            JournalVerdict::Unmade => {
                fs::remove_dir_all(store.join(DATABASE_FOLDER)).map_err(failed)?;
                break;
            }
            JournalVerdict::Torn(cut) => {
                let (bytes, journal) = (cut.bytes, cut.journal.display());
                tracing::warn!(%journal, bytes, "half a commit, which was being written, is left out");
                shorten(store, &cut).map_err(failed)?;
            }
            JournalVerdict::Newest(cut) => leave_out(store, &cut).map_err(failed)?,
            JournalVerdict::Flushed { older, journal, offset } => {
                tracing::error!(
                    journal = %journal.display(), offset,
                    "the journal was damaged in what is in the tables too: nothing is lost, but \
                     the disk should be looked at"
                );
                behead(&older, &journal, offset).map_err(failed)?;
            }
            JournalVerdict::Synced(cut) => return Err(Error::Open(refusal(store, &cut))),
        }
    }
    let life = Life::read(store).map_err(failed)?;
    let mark = life.map_or_else(|| rand::random::<u64>() | 1, |life| life.mark);
    let left_out = life::read_json(&store.join(NOTE_FILE)).map_err(failed)?;
    Ok(Mended { mark, left_out })
}

/// The commit that gives the store its new id, from the layout row as it is.
///
/// # Errors
/// [`Error::Corrupt`] where a newer Weft has written it.
pub fn with_new_id(layout_row: &[u8], left_out: &LeftOut) -> Result<Batch, Error> {
    let before = Layout::decode_whole(layout_row)?;
    let after = Layout { store_id: left_out.store_id, epoch: before.epoch + 1, ..before };
    let mut batch = Batch::new(rand::random());
    batch.set(layout::key(), after.encode());
    Ok(batch)
}

/// The store is open and synced, and has its new id where it had to get one.
pub fn done(store: &Path, mark: u64) -> io::Result<()> {
    let life = Life { mark, boot: life::boot() };
    if Life::read(store)?.as_ref() != Some(&life) {
        life.write(store)?;
    }
    match fs::remove_file(store.join(NOTE_FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    life::sync_folder(store)
}

/// Cuts, and writes down that the store needs a new id.
pub fn leave_out(store: &Path, cut: &Cut) -> io::Result<()> {
    let kept = store.join(LEFT_OUT_FOLDER);
    let what = format!(
        "the journal {} was damaged at byte {}: {} bytes from there on are left out, {} whole \
         commits among them; what was cut off is in {}",
        cut.journal.display(),
        cut.offset,
        cut.bytes,
        cut.whole.len(),
        kept.display(),
    );
    if let Err(error) = keep(&kept, cut) {
        tracing::warn!(%error, "what is cut off can't be kept");
    }
    let note = LeftOut { what, store_id: rand::random() };
    life::write_json(store, NOTE_FILE, &note)?;
    shorten(store, cut)?;
    tracing::error!(
        "{}. Commands of the ingest logs are applied again; the store gets a new id, so that all \
         devices load their rooms anew",
        note.what
    );
    Ok(())
}

fn refusal(store: &Path, cut: &Cut) -> String {
    format!(
        "{}: its journal {} is damaged at byte {}, in what was synced: going on without it would \
         lose what was acknowledged. `weft admin repair` says what; or put a copy of the store back",
        store.display(),
        cut.journal.display(),
        cut.offset,
    )
}

fn keep(folder: &Path, cut: &Cut) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let mut from = usize::try_from(cut.offset).unwrap_or(usize::MAX);
    for journal in std::iter::once(&cut.journal).chain(&cut.later) {
        let bytes = journal::data(journal)?;
        let name = journal.file_name().unwrap_or_default().display();
        let mut file = File::create(folder.join(format!("{ms}-{name}-from-{from}")))?;
        file.write_all(bytes.get(from..).unwrap_or_default())?;
        file.sync_all()?;
        from = 0;
    }
    life::sync_folder(folder)
}

/// Newer journals first: the row of batches never gets a hole.
fn shorten(store: &Path, cut: &Cut) -> io::Result<()> {
    let folder = store.join(DATABASE_FOLDER);
    for journal in cut.later.iter().rev() {
        fs::remove_file(journal)?;
        life::sync_folder(&folder)?;
    }
    let file = File::options().write(true).open(&cut.journal)?;
    file.set_len(cut.offset)?;
    file.sync_all()
}

/// Removes the front of the row.
fn behead(older: &[PathBuf], journal: &Path, offset: usize) -> io::Result<()> {
    let folder = journal.parent().unwrap_or(Path::new("."));
    let bytes = journal::data(journal)?;
    let new = journal.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(bytes.get(offset..).unwrap_or_default())?;
    file.sync_all()?;
    for older in older {
        fs::remove_file(older)?;
    }
    fs::rename(&new, journal)?;
    life::sync_folder(folder)
}
