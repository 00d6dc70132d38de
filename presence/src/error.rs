//! What can go wrong.

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Nats(#[from] weft_nats::Error),
}

impl Error {
    /// True where the same call may succeed later without anybody changing something.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Nats(error) => error.is_retryable(),
        }
    }
}
