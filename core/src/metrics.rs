//! What core counts.

use weft_runtime::metrics::{Gauge, List};

/// Partitions that are taken.
pub(crate) static PARTITIONS: Gauge =
    Gauge::new("weft_core_partitions", "Partitions that this node owns and has taken");

/// All of them.
pub static METRICS: &List = &[&PARTITIONS];
