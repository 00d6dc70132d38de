//! What can go wrong.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use weft_proto::ApiError;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Nats(#[from] weft_nats::Error),
    /// Core's answer at the start.
    #[error("core: {}", .0.message)]
    Core(ApiError),
    #[error("the folder {} is in use by another weft", .0.display())]
    InUse(PathBuf),
    #[error("can't use the folder {}: {source}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("can't listen on {addr}: {source}")]
    Listen { addr: SocketAddr, source: io::Error },
    /// Nothing but a change by its operator helps.
    #[error("the storage of files can't be used: {0}")]
    StorageRefused(String),
    #[error("the storage of files can't be reached: {0}")]
    StorageAway(String),
    #[error("previews can't be made: {0}")]
    Outbound(#[from] weft_outbound::Error),
    #[error("core has told no key for the addresses of files")]
    NoKey,
}

impl Error {
    /// True where the same call may succeed later without anybody changing something.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Nats(error) => error.is_retryable(),
            Self::Core(error) => error.code.is_temporary(),
            Self::StorageAway(_) => true,
            Self::InUse(_)
            | Self::Folder { .. }
            | Self::StorageRefused(_)
            | Self::Listen { .. }
            | Self::Outbound(_)
            | Self::NoKey => false,
        }
    }
}
