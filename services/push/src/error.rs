//! What can go wrong in a push node.

use weft_proto::ApiError;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The wire.
    #[error(transparent)]
    Wire(#[from] weft_nats::Error),
    /// What core answered.
    #[error(transparent)]
    Refused(#[from] ApiError),
    #[error("the key of Web Push can't be used: {0}")]
    Key(&'static str),
    /// The client for gateways.
    #[error(transparent)]
    Client(#[from] weft_outbound::Error),
    /// Another process follows the journal under this name.
    #[error("another push node has taken over")]
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
            Self::Key(_) | Self::Client(_) => false,
        }
    }
}
