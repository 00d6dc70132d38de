//! What can go wrong in a search node.

use weft_proto::ApiError;

/// Why a search node can't go on, or a call was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The index can't be read or written.
    #[error("the index failed: {0}")]
    Index(#[from] tantivy::TantivyError),
    /// How far an index is can't be read.
    #[error("the index is of another Weft: {0}")]
    State(String),
    /// The data folder.
    #[error("the folder of the index: {0}")]
    Folder(#[from] std::io::Error),
    /// The wire.
    #[error(transparent)]
    Wire(#[from] weft_nats::Error),
    /// What core answered.
    #[error(transparent)]
    Refused(#[from] ApiError),
    /// Another process follows the journal under this node's name.
    #[error("another search node runs under this name")]
    Replaced,
}

impl Error {
    /// Trying again may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Wire(error) => error.is_retryable(),
            // Whatever core says now, it may say something else later.
            Self::Refused(_) => true,
            Self::Index(_) | Self::State(_) | Self::Folder(_) | Self::Replaced => false,
        }
    }
}
