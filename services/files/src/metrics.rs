//! What a files node counts.

use weft_runtime::metrics::{Counter, CounterBy, Gauge, Histogram, LATENCY_BUCKETS_S, List};

pub(crate) static BEGUN: Counter =
    Counter::new("weft_files_begun_total", "Uploads that were begun here");
pub(crate) static FINISHED: CounterBy = CounterBy::new(
    "weft_files_finished_total",
    "Uploads that became files, by what they are: an image that can be shown, one that is carried as a file \
     because it can't be read, anything else",
    "kind",
    &["image", "damaged", "other"],
);
pub(crate) static RECEIVED: Counter =
    Counter::new("weft_files_received_bytes_total", "Bytes of uploads that came");
pub(crate) static SENT: Counter =
    Counter::new("weft_files_sent_bytes_total", "Bytes of files that were taken for downloads");
pub(crate) static DELETED: Counter = Counter::new(
    "weft_files_deleted_total",
    "Files whose bytes were deleted because their time was over",
);
pub(crate) static UPLOADS: Gauge =
    Gauge::new("weft_files_uploads", "Requests that bring bytes at the moment");
pub(crate) static DOWNLOADS: Gauge = Gauge::new("weft_files_downloads", "Downloads at the moment");
pub(crate) static FINISHING: Histogram = Histogram::new(
    "weft_files_finish_seconds",
    "From the last byte of an upload until it is a file: looking at it, thumbnails, the storage, core",
    LATENCY_BUCKETS_S,
);
pub(crate) static REFUSED_CONNECTIONS: Counter = Counter::new(
    "weft_files_refused_connections_total",
    "Connections that were refused because there are too many, in all or of one address",
);
pub(crate) static STORAGE_ERRORS: Counter = Counter::new(
    "weft_files_storage_errors_total",
    "Requests and deletions that failed because the storage of files did",
);

pub(crate) static PREVIEWS: CounterBy = CounterBy::new(
    "weft_files_previews_total",
    "Links of messages, by what came of them: a preview; nothing to show; refused, because the address, the operator or the page \
     says so; a host that did not answer in time, or has not a moment ago; anything else",
    "outcome",
    &["made", "nothing", "refused", "hung", "failed"],
);
pub(crate) static PREVIEW_READING: Histogram = Histogram::new(
    "weft_files_preview_seconds",
    "What reading a link takes, with its image",
    LATENCY_BUCKETS_S,
);

/// Of a files node.
pub static METRICS: &List = &[
    &BEGUN,
    &FINISHED,
    &RECEIVED,
    &SENT,
    &DELETED,
    &UPLOADS,
    &DOWNLOADS,
    &FINISHING,
    &REFUSED_CONNECTIONS,
    &STORAGE_ERRORS,
    &PREVIEWS,
    &PREVIEW_READING,
];
