//! What the embedded store counts. FoundationDB tells its own.

use weft_runtime::metrics::{COUNT_BUCKETS, Counter, Histogram, LATENCY_BUCKETS_S, List};

pub(crate) static GROUP_BATCHES: Histogram = Histogram::new(
    "weft_store_group_batches",
    "Commits that were written and synced together",
    COUNT_BUCKETS,
);
pub(crate) static SYNC_DURATION: Histogram = Histogram::new(
    "weft_store_sync_duration_seconds",
    "How long a sync to the disk took, in seconds",
    LATENCY_BUCKETS_S,
);
pub(crate) static REFUSED: Counter = Counter::new(
    "weft_store_refused_commits_total",
    "Commits that were refused because the disk is nearly full",
);

pub static METRICS: &List = &[&GROUP_BATCHES, &SYNC_DURATION, &REFUSED];
