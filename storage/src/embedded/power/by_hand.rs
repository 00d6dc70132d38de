//! Damage, for an operator who has to decide.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::damage::{self, Cut, JournalVerdict};
use super::{lost, repair};
use crate::embedded::files;
use crate::error::Error;

/// Damage in a store's journal. While it is held, nobody else opens the store.
pub struct Damage {
    store: PathBuf,
    cut: Cut,
    is_synced: bool,
    _lock: Arc<File>,
}

impl Damage {
    /// Looks for damage that costs something; changes nothing.
    ///
    /// # Errors
    /// [`Error::Locked`] where the store is open; [`Error::Open`] where its files can't be read, or
    /// its tables are damaged.
    pub fn find(store: &Path) -> Result<Option<Self>, Error> {
        if !files::is_store(store) {
            return Err(Error::Open(format!("{}: there is no store", store.display())));
        }
        let lock = files::lock(store)?;
        let (cut, is_synced) = match damage::look(store)? {
            JournalVerdict::Whole | JournalVerdict::Unmade | JournalVerdict::Flushed { .. } => {
                return Ok(None);
            }
            JournalVerdict::Torn(cut) | JournalVerdict::Newest(cut) => (cut, false),
            JournalVerdict::Synced(cut) => (cut, true),
        };
        Ok(Some(Self { store: store.to_owned(), cut, is_synced, _lock: lock }))
    }

    /// True where a start refuses to go on: what would be lost was synced, and acknowledged.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.is_synced
    }

    /// What is kept and what is lost when the journal is cut there: several lines.
    ///
    /// # Errors
    /// [`Error::Open`] where the files can't be read.
    pub fn describe(&self) -> Result<String, Error> {
        lost::describe(&self.cut).map_err(|error| self.failed(&error))
    }

    /// Cuts. The store gets a new id when it is opened next.
    ///
    /// # Errors
    /// [`Error::Open`] where the files can't be written.
    pub fn leave_out(self) -> Result<(), Error> {
        repair::leave_out(&self.store, &self.cut).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &std::io::Error) -> Error {
        Error::Open(format!("{}: {}", self.store.display(), files::reason(error)))
    }
}
