//! What can go wrong while the journal is followed.

use weft_proto::ApiError;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The wire.
    #[error(transparent)]
    Wire(#[from] weft_nats::Error),
    /// What core answered.
    #[error(transparent)]
    Refused(#[from] ApiError),
    /// Another process follows the journal under this name.
    #[error("another node has taken over")]
    Replaced,
}

impl Error {
    /// Trying again may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Wire(error) => error.is_retryable(),
            // Whatever core says now, it may say something else later; and another node may end again.
            Self::Refused(_) | Self::Replaced => true,
        }
    }
}
