//! Why a command ended, in a line that its user can act on.

use std::io;
use std::path::Path;

/// An expected failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A second start on the same folder.
    #[error("the data folder {folder} is in use by another weft{owner}")]
    InUse {
        /// The folder.
        folder: String,
        /// ` (process 123)`, where that is known.
        owner: String,
    },
    /// A file or socket operation.
    #[error("{what}: {reason}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        reason: String,
    },
    /// The disk has too little room to start on.
    #[error(
        "only {free_mb} MB are free on the disk of {folder}: Weft needs {needed_mb} MB to start"
    )]
    DiskFull {
        /// The folder.
        folder: String,
        /// What is free.
        free_mb: u64,
        /// What is needed.
        needed_mb: u64,
    },
    /// The wire.
    #[error(transparent)]
    Nats(#[from] weft_nats::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] weft_storage::Error),
    /// An export or import.
    #[error(transparent)]
    Export(#[from] weft_storage::export::Error),
    /// Core.
    #[error(transparent)]
    Core(#[from] weft_core::Error),
    /// Presence.
    #[error(transparent)]
    Presence(#[from] weft_presence::Error),
    /// The edge.
    #[error(transparent)]
    Edge(#[from] weft_edge::Error),
    /// Anything else that has only words.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// Wraps an IO error with what was tried.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, reason: reason_of(&error) }
    }

    /// Wraps an IO error about a file.
    pub fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::io(format!("can't use {}", path.display()))
    }

    /// The whole message as one line.
    pub fn one_line(&self) -> String {
        self.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" ")
    }
}

fn reason_of(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        io::ErrorKind::AddrInUse => "another process listens there".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => "the disk is read-only".to_owned(),
        _ => error.to_string(),
    }
}
