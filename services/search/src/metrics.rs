//! What a search node counts.

use weft_runtime::metrics::{Counter, CounterBy, Gauge, Histogram, LATENCY_BUCKETS_S, List};

pub(crate) static DOCUMENTS: Gauge =
    Gauge::new("weft_search_documents", "Messages in the index that answers");
pub(crate) static LAG: Gauge = Gauge::new(
    "weft_search_lag_seconds",
    "Since when the index has not known of everything that was committed",
);
pub(crate) static BUILDING: Gauge =
    Gauge::new("weft_search_building", "1 while an index is made from the store, else 0");
pub(crate) static INDEXED: CounterBy = CounterBy::new(
    "weft_search_indexed_total",
    "Messages that were written into an index, or removed from it",
    "what",
    &["written", "removed"],
);
pub(crate) static COMMITS: Histogram = Histogram::new(
    "weft_search_commit_seconds",
    "How long a commit of an index took",
    LATENCY_BUCKETS_S,
);
pub(crate) static SEARCHES: Histogram = Histogram::new(
    "weft_search_duration_seconds",
    "How long a search took, with what core was asked for",
    LATENCY_BUCKETS_S,
);
pub(crate) static DROPPED: Counter = Counter::new(
    "weft_search_dropped_total",
    "Messages that the index has found, and core or the query has not confirmed",
);

/// Of a search node.
pub static METRICS: &List = &[&DOCUMENTS, &LAG, &BUILDING, &INDEXED, &COMMITS, &SEARCHES, &DROPPED];
