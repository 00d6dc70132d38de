//! What can go wrong in a node of integrations.

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The wire.
    #[error(transparent)]
    Wire(#[from] weft_nats::Error),
    /// A follower of the journal.
    #[error(transparent)]
    Journal(#[from] weft_journal::Error),
    /// The client for receivers.
    #[error(transparent)]
    Client(#[from] weft_outbound::Error),
}

impl Error {
    /// Trying again may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Wire(error) => error.is_retryable(),
            Self::Journal(error) => error.is_retryable(),
            Self::Client(_) => false,
        }
    }
}
