//! What a push node counts.

use weft_runtime::metrics::{Counter, CounterBy, Gauge, Histogram, LATENCY_BUCKETS_S, List};

use crate::rule::Why;

pub(crate) static JOBS: Counter = Counter::new(
    "weft_push_jobs_total",
    "Jobs that were made: an entry, and a device that it may be of interest to",
);
pub(crate) static LEFT_OUT: Counter = Counter::new(
    "weft_push_left_out_total",
    "Jobs that were not made, since as many of the user's wait as may: 1,000 of direct messages and mentions, and 1,000 others",
);
pub(crate) static LAG: Gauge = Gauge::new(
    "weft_push_lag_seconds",
    "How old the last commit was when jobs were made of it, by this machine's clock",
);
pub(crate) static NOT_SENT: CounterBy = CounterBy::new(
    "weft_push_not_sent_total",
    "Jobs that were over without a notification, by the reason",
    "reason",
    Why::ALL,
);
pub(crate) static REQUESTS: CounterBy = CounterBy::new(
    "weft_push_requests_total",
    "Requests to gateways, by what came of them",
    "outcome",
    &["delivered", "gone", "refused", "limited", "failed"],
);
pub(crate) static CLEARS: CounterBy = CounterBy::new(
    "weft_push_clears_total",
    "Words to devices of FCM and APNs that a room was read elsewhere, by what came of them",
    "outcome",
    &["delivered", "needless", "given_up"],
);
pub(crate) static LISTENED_TO: Gauge = Gauge::new(
    "weft_push_users_listened_to",
    "Users who were notified by FCM or APNs, and whose reading is listened to",
);
pub(crate) static DURATION: Histogram = Histogram::new(
    "weft_push_request_seconds",
    "How long a request to a gateway took",
    LATENCY_BUCKETS_S,
);
pub(crate) static DELAY: Histogram = Histogram::new(
    "weft_push_delay_seconds",
    "From the commit of an entry to the gateway's answer that it has the notification",
    DELAY_BUCKETS_S,
);
pub(crate) static WAITED: CounterBy = CounterBy::new(
    "weft_push_waited_total",
    "How often a job was put off, by the reason",
    "reason",
    &["early", "attended", "busy", "open", "failed", "core"],
);
pub(crate) static DEAD: Counter = Counter::new(
    "weft_push_dead_total",
    "Jobs that became dead letters: weft admin push lists them",
);

/// The first seconds are waited in any case.
const DELAY_BUCKETS_S: &[f64] =
    &[1.0, 2.0, 3.0, 3.25, 3.5, 4.0, 5.0, 7.5, 10.0, 30.0, 60.0, 600.0, 3_600.0, 86_400.0];

/// Of a push node.
pub static METRICS: &List = &[
    &JOBS,
    &LEFT_OUT,
    &LAG,
    &NOT_SENT,
    &REQUESTS,
    &DURATION,
    &DELAY,
    &WAITED,
    &DEAD,
    &CLEARS,
    &LISTENED_TO,
];
