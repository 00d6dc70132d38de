//! What an edge counts.

use weft_runtime::metrics::{Gauge, List};

/// Live sessions.
pub(crate) static SESSIONS: Gauge =
    Gauge::new("weft_edge_sessions", "Live WebSocket sessions, those without a hello included");

/// All of them.
pub static METRICS: &List = &[&SESSIONS];
