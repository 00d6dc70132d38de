//! What presence counts: a node, and an edge's side of it.

use weft_runtime::metrics::{Counter, List};

pub(crate) static CHANGES: Counter = Counter::new(
    "weft_presence_changes_total",
    "Changes of users' statuses that this node has published",
);

/// Of a presence node.
pub static METRICS: &List = &[&CHANGES];
