//! Why a call did not succeed.

use weft_proto::{ApiError, ErrorCode};

/// When a caller should try again what the store could not do, in milliseconds.
const RETRY_AFTER_MS: u64 = 1_000;

/// Why a call was not answered.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The caller may not, or asked for something that is not there.
    #[error(transparent)]
    Refused(#[from] ApiError),
    /// The store could not.
    #[error(transparent)]
    Store(#[from] weft_storage::Error),
}

impl Failure {
    /// A refusal.
    pub(super) fn new(code: ErrorCode, message: &str) -> Self {
        Self::Refused(ApiError::new(code, message))
    }

    /// The answer that somebody else kept changing the same rows.
    pub(super) fn contended() -> Self {
        let error = ApiError::new(ErrorCode::Unavailable, "changed by others at the same time");
        Self::Refused(error.retry_after_ms(RETRY_AFTER_MS))
    }

    /// What the caller hears. The store's own words stay here, in the log.
    pub(super) fn answer(self, method: &'static str) -> ApiError {
        use weft_storage::Error as E;
        let error = match self {
            Self::Refused(error) => return error,
            Self::Store(error) => error,
        };
        match &error {
            E::Unknown(_) => {
                tracing::warn!(method, %error, "a commit has no known outcome");
                ApiError::new(ErrorCode::Unknown, "it may or may not have been done")
            }
            E::Unavailable(_) => {
                tracing::warn!(method, %error, "the store is away");
                ApiError::new(ErrorCode::Unavailable, "the store is away")
                    .retry_after_ms(RETRY_AFTER_MS)
            }
            E::Full(_) => {
                tracing::warn!(method, %error, "the store is full");
                ApiError::new(ErrorCode::Overloaded, "the store's disk is full")
                    .retry_after_ms(RETRY_AFTER_MS)
            }
            E::Locked(_) | E::Open(_) | E::Failed(_) => {
                tracing::error!(method, %error, "the store failed");
                ApiError::new(ErrorCode::Unavailable, "the store is away")
                    .retry_after_ms(RETRY_AFTER_MS)
            }
            E::Limit { .. } | E::Corrupt(_) => {
                tracing::error!(method, %error, "a call failed");
                ApiError::new(ErrorCode::Internal, "a defect in the service")
            }
        }
    }
}
