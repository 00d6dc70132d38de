//! What a node of integrations counts.

use weft_runtime::metrics::{Counter, Gauge, Histogram, LATENCY_BUCKETS_S, List};

use crate::webhooks::metrics as webhooks;

pub(crate) static READ: Counter = Counter::new(
    "weft_feeds_read_total",
    "Entries of the journal that were looked at for the feeds of bots",
);
pub(crate) static PUT: Counter =
    Counter::new("weft_feeds_put_total", "Entries that were put into the feed of a bot");
pub(crate) static EXPIRED: Counter = Counter::new(
    "weft_feeds_expired_total",
    "How often a bot was told that a part of its feed is removed",
);
pub(crate) static LAG: Gauge = Gauge::new(
    "weft_feeds_lag_seconds",
    "How old the last commit was when it was put into feeds, by this machine's clock",
);
pub(crate) static DURATION: Histogram = Histogram::new(
    "weft_feeds_page_seconds",
    "How long a page of the journal took, from core's answer to the last feed",
    LATENCY_BUCKETS_S,
);

/// Of a node of integrations.
pub static METRICS: &List = &[
    &READ,
    &PUT,
    &EXPIRED,
    &LAG,
    &DURATION,
    &webhooks::JOBS,
    &webhooks::LEFT_OUT,
    &webhooks::LAG,
    &webhooks::REQUESTS,
    &webhooks::DURATION,
    &webhooks::NOT_SENT,
    &webhooks::WAITED,
    &webhooks::DEAD,
    &webhooks::PAUSED,
];
