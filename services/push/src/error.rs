//! What can go wrong in a push node.

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The wire.
    #[error(transparent)]
    Wire(#[from] weft_nats::Error),
    #[error("the key of Web Push can't be used: {0}")]
    Key(&'static str),
    #[error("the credentials of FCM can't be used: {0}")]
    Fcm(String),
    #[error("the key of APNs can't be used: {0}")]
    Apns(String),
    /// The client for gateways.
    #[error(transparent)]
    Client(#[from] weft_outbound::Error),
}

impl Error {
    /// Trying again may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Wire(error) => error.is_retryable(),
            Self::Key(_) | Self::Fcm(_) | Self::Apns(_) | Self::Client(_) => false,
        }
    }
}
