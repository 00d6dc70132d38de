//! How a request is refused: in the form of `docs/protocol.md`, with a status that tus clients understand.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use weft_proto::{ApiError, ErrorCode};

use crate::metrics;

#[derive(Debug)]
pub struct Refusal {
    error: ApiError,
    status: StatusCode,
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        let status = match error.code {
            // Of 409 a tus client believes that trying again helps.
            ErrorCode::LimitReached => StatusCode::TOO_MANY_REQUESTS,
            code => StatusCode::from_u16(code.http_status())
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        };
        Self { error, status }
    }
}

impl Refusal {
    /// What was asked can't be read.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadRequest, message)
    }

    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        ApiError::new(code, message.into()).into()
    }

    /// A file could not be written or read. The log says why.
    pub fn storage(error: &std::io::Error) -> Self {
        metrics::STORAGE_ERRORS.increment();
        tracing::warn!(%error, "the storage of files");
        let full = error.kind() == std::io::ErrorKind::StorageFull;
        let refusal = Self::busy("the storage of files can't be reached", 5_000);
        if full { refusal.with_status(StatusCode::INSUFFICIENT_STORAGE) } else { refusal }
    }

    /// Nothing was done, and the same may succeed later.
    pub fn busy(message: &str, retry_after_ms: u64) -> Self {
        ApiError::new(ErrorCode::Unavailable, message).retry_after_ms(retry_after_ms).into()
    }

    pub fn not_found() -> Self {
        Self::new(ErrorCode::NotFound, "there is no such file")
    }

    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    #[cfg(test)]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn code(&self) -> ErrorCode {
        self.error.code
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.error }).to_string();
        let kind = [(header::CONTENT_TYPE, "application/json")];
        let mut response = (self.status, kind, body).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static(r#"Bearer realm="weft""#);
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(wait_ms) = self.error.retry_after_ms {
            headers.insert(header::RETRY_AFTER, wait_ms.div_ceil(1_000).into());
        }
        response
    }
}
