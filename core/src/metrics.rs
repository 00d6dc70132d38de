//! What core counts.

use weft_runtime::metrics::{Gauge, List};

/// Partitions that are taken.
pub(crate) static PARTITIONS: Gauge =
    Gauge::new("weft_core_partitions", "Partitions that this node owns and has taken");

/// How long nothing could be committed or read.
pub(crate) static STORE_TROUBLE: Gauge = Gauge::new(
    "weft_core_store_trouble_seconds",
    "How long the store has taken nothing, because it is away or its disk is nearly full; 0: it is well",
);

/// All of them.
pub static METRICS: &List = &[&PARTITIONS, &STORE_TROUBLE];
