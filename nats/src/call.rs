//! Asking a service of another part.

use std::time::Duration;

use async_nats::{Request, RequestErrorKind};
use tokio::time::timeout;
use weft_proto::svc::{Method, decode_reply, encode_request};
use weft_proto::{ApiError, ErrorCode, NodeId};

use crate::bus::Bus;
use crate::subject::Subject;

/// How long a caller waits; a handler need not begin what waited longer.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// When to ask again where nobody serves, in milliseconds.
const RETRY_AFTER_MS: u64 = 1_000;

impl Bus {
    /// Asks whoever serves `M`, and waits up to 5 s.
    ///
    /// # Errors
    /// What the service answered; [`ErrorCode::Unavailable`] where nobody serves it or NATS is away
    /// (nothing was done); [`ErrorCode::Unknown`] where no answer came in time (it may have been
    /// done).
    pub async fn call<M: Method>(&self, request: &M) -> Result<M::Reply, ApiError> {
        let subject = Subject::Svc { service: M::SERVICE.into(), method: M::METHOD.into() };
        self.call_on(&subject, request).await
    }

    /// Asks the one node that serves `M` under its name, as [`call`](Self::call).
    ///
    /// # Errors
    /// Those of [`call`](Self::call).
    pub async fn call_at<M: Method>(
        &self,
        node: &NodeId,
        request: &M,
    ) -> Result<M::Reply, ApiError> {
        self.call_on(&Subject::of_method_at::<M>(node), request).await
    }

    async fn call_on<M: Method>(
        &self,
        subject: &Subject,
        request: &M,
    ) -> Result<M::Reply, ApiError> {
        if !self.link().state().connected {
            return Err(unavailable("NATS is away"));
        }
        let message =
            Request::new().payload(encode_request(request).into()).timeout(Some(CALL_TIMEOUT));
        let asked = self.link().client().send_request(subject.to_string(), message);
        // The client's own limit begins after its queue took the request.
        match timeout(CALL_TIMEOUT, asked).await {
            Ok(Ok(reply)) => decode_reply(&reply.payload),
            Ok(Err(error)) => Err(match error.kind() {
                RequestErrorKind::NoResponders => unavailable("the service is away"),
                RequestErrorKind::MaxPayloadExceeded => {
                    ApiError::new(ErrorCode::TooLarge, "the request is too large")
                }
                RequestErrorKind::TimedOut | RequestErrorKind::Other => no_answer(),
                RequestErrorKind::InvalidSubject => {
                    ApiError::new(ErrorCode::Internal, "malformed service request")
                }
            }),
            Err(_) => Err(no_answer()),
        }
    }
}

fn unavailable(message: &str) -> ApiError {
    ApiError::new(ErrorCode::Unavailable, message).retry_after_ms(RETRY_AFTER_MS)
}

fn no_answer() -> ApiError {
    ApiError::new(ErrorCode::Unknown, "no answer in time: it may or may not have been done")
}
