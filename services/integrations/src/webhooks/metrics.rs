//! What is counted of webhooks.

use weft_runtime::metrics::{Counter, CounterBy, Gauge, Histogram, LATENCY_BUCKETS_S};

pub(crate) static JOBS: Counter = Counter::new(
    "weft_webhooks_jobs_total",
    "Jobs that were made: an entry, and a webhook that is to be told of it",
);
pub(crate) static LEFT_OUT: Counter = Counter::new(
    "weft_webhooks_left_out_total",
    "Jobs that were not made, since 1,000 of the webhook wait: as many as may. It is told how many, when it is well again",
);
pub(crate) static LAG: Gauge = Gauge::new(
    "weft_webhooks_lag_seconds",
    "How old the last commit was when jobs were made of it, by this machine's clock",
);
pub(crate) static REQUESTS: CounterBy = CounterBy::new(
    "weft_webhooks_requests_total",
    "Requests to receivers, by what came of them",
    "outcome",
    &["delivered", "gone", "refused", "failed"],
);
pub(crate) static DURATION: Histogram = Histogram::new(
    "weft_webhooks_request_seconds",
    "How long a request to a receiver took",
    LATENCY_BUCKETS_S,
);
pub(crate) static NOT_SENT: Counter = Counter::new(
    "weft_webhooks_not_sent_total",
    "Jobs that were over without a request: the entry was deleted, the webhook paused or removed, or its user may not see it any more",
);
pub(crate) static WAITED: CounterBy = CounterBy::new(
    "weft_webhooks_waited_total",
    "How often a webhook's jobs were put off, by the reason",
    "reason",
    &["turn", "busy", "open", "failed", "core", "queue"],
);
pub(crate) static DEAD: Counter = Counter::new(
    "weft_webhooks_dead_total",
    "Jobs that became dead letters: weft admin webhooks lists them",
);
pub(crate) static PAUSED: Counter = Counter::new(
    "weft_webhooks_paused_total",
    "Webhooks that were paused, since nothing could be delivered to them for too long",
);
