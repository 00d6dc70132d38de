//! What can go wrong between a caller and the store.

/// An error of the store. A failed guard is none: see [`Outcome`](crate::Outcome).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The commit may or may not have happened. Read evidence before anything else.
    #[error("commit outcome is unknown: {0}")]
    Unknown(String),
    /// The store can't be reached or can't answer now. Nothing was committed.
    #[error("store is unavailable: {0}")]
    Unavailable(String),
    /// There is too little room on its disk: nothing is committed until there is more. Nothing was
    /// committed, and reads go on.
    #[error("store is full: {0}")]
    Full(String),
    /// Another process has the store open.
    #[error(
        "the store at {0} is in use by another process; the embedded store belongs to one process, \
         several core processes need FoundationDB"
    )]
    Locked(String),
    /// The store's folder or files can't be used.
    #[error("can't open the store at {0}")]
    Open(String),
    /// The disk refused a write or the files are damaged: the store takes nothing more until it is
    /// opened again. Only then, by evidence in the store, can be told whether a commit that was
    /// answered with this happened.
    #[error("store failed and has to be opened again: {0}")]
    Failed(String),
    /// A key, value or batch is larger than every engine takes.
    #[error("{what} has {bytes} bytes, more than the {bytes_max} allowed")]
    Limit {
        /// Key, value or batch.
        what: &'static str,
        bytes: usize,
        bytes_max: usize,
    },
    /// A stored record can't be read: damaged, or written by a newer Weft.
    #[error("stored record can't be read: {0}")]
    Corrupt(String),
}

impl Error {
    /// True where the same call may succeed later without anybody's help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unknown(_) | Self::Unavailable(_) | Self::Full(_))
    }
}
