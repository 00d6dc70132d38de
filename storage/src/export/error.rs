//! What can go wrong with an export. Each message is one line that an operator can act on.

use super::VERSION;
use crate::tables::layout::NotServed;

/// An error of an export or import.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] crate::Error),
    /// The export could not be written.
    #[error("the export can't be written: {0}")]
    Write(String),
    /// The file is something else, was cut off, or was changed.
    #[error("this is no whole export of Weft, nothing can be done with it: {0}")]
    Damaged(String),
    #[error(
        "a newer Weft made this export: its format has version {0}, and this one reads {VERSION}; \
         import it with that Weft"
    )]
    NewerFormat(u32),
    /// There is nothing to export.
    #[error("there is no store of Weft here yet: nothing to export")]
    NoStore,
    /// The store is half filled.
    #[error("an import into this store is not finished: run `weft admin import` again")]
    Unfinished,
    /// The store is of another version.
    #[error(transparent)]
    NotServed(#[from] NotServed),
    /// The store holds what only a newer Weft knows.
    #[error(
        "this store has a table ({0:#04x}) that this Weft does not know: export it with the newer \
         Weft that wrote it"
    )]
    UnknownTable(u8),
    /// An import needs an empty store.
    #[error("the store to import into is not empty: give one that is new")]
    NotEmpty,
    /// Another export was begun here.
    #[error(
        "an import of another export into this store is not finished: run that one again, or give \
         a store that is new"
    )]
    OtherImport,
    /// Somebody else writes.
    #[error("somebody else writes into this store: stop that first, then run the import again")]
    Disturbed,
}

impl Error {
    pub(super) fn damaged(what: impl ToString) -> Self {
        Self::Damaged(what.to_string())
    }
}
