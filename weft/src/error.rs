//! Why a command ended, in a line that its user can act on.

use std::io;
use std::path::Path;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A second start on the same folder.
    #[error("the data folder {folder} is in use by another weft{owner}")]
    InUse {
        folder: String,
        /// ` (process 123)`, where that is known.
        owner: String,
    },
    /// A file or socket operation.
    #[error("{what}: {reason}")]
    Io { what: String, reason: String },
    /// The disk has too little room to start on.
    #[error(
        "only {free_mb} MB are free on the disk of {folder}: Weft needs {needed_mb} MB to start"
    )]
    DiskFull { folder: String, free_mb: u64, needed_mb: u64 },
    #[error(transparent)]
    Nats(#[from] weft_nats::Error),
    #[error(transparent)]
    Store(#[from] weft_storage::Error),
    #[error(transparent)]
    Export(#[from] weft_storage::export::Error),
    #[error(transparent)]
    Core(#[from] weft_core::Error),
    #[error(transparent)]
    Presence(#[from] weft_presence::Error),
    #[error(transparent)]
    Search(#[from] weft_search::Error),
    #[error(transparent)]
    Push(#[from] weft_push::Error),
    #[error(transparent)]
    Integrations(#[from] weft_integrations::Error),
    #[error(transparent)]
    Files(#[from] weft_files::Error),
    #[error(transparent)]
    Edge(#[from] weft_edge::Error),
    /// Anything else that has only words.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// A task of the edge has ended that was to last.
    pub fn edge_task(name: &str) -> Self {
        Self::Failed(format!("the edge's task {name:?} ended: the edge is to be started again"))
    }

    /// The same of a files node.
    pub fn files_task(name: &str) -> Self {
        Self::Failed(format!("the files node's task {name:?} ended: it is to be started again"))
    }

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

/// In a container nobody sees who a process runs as.
fn this_user() -> String {
    format!("user {}", rustix::process::geteuid().as_raw())
}

fn reason_of(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        io::ErrorKind::AddrInUse => "another process listens there".to_owned(),
        io::ErrorKind::PermissionDenied => format!("permission denied to {}", this_user()),
        io::ErrorKind::ReadOnlyFilesystem => "the disk is read-only".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_read_a_file_is_named() {
        let denied = Error::file(Path::new("/x"))(io::ErrorKind::PermissionDenied.into());
        let user = rustix::process::geteuid().as_raw();
        let wanted = format!("can't use /x: permission denied to user {user}");
        assert_eq!(denied.one_line(), wanted);
    }
}
