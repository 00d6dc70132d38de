//! What could not be delivered.

use serde::{Deserialize, Serialize};
use weft_nats::webhooks::WebhookJob;

/// A job that could not be done, and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeadDelivery {
    #[serde(flatten)]
    pub job: WebhookJob,
    pub reason: String,
    /// Unix milliseconds.
    pub died_ms: u64,
}
