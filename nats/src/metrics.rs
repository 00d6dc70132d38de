//! What a connection to NATS counts.

use weft_runtime::metrics::{Counter, Gauge, List};

pub(crate) static CONNECTED: Gauge =
    Gauge::new("weft_nats_connections", "Open connections to NATS");
pub(crate) static RECONNECTS: Counter = Counter::new(
    "weft_nats_reconnects_total",
    "How often a connection to NATS was made anew: what was on its way was lost",
);
pub(crate) static DROPPED: Counter = Counter::new(
    "weft_nats_dropped_messages_total",
    "Messages that a full subscription dropped, at least",
);
pub(crate) static HELD_BYTES: Gauge = Gauge::new(
    "weft_nats_held_bytes",
    "Bytes that calls with large answers may hold, until an answer is written to the connection",
);

pub static METRICS: &List = &[&CONNECTED, &RECONNECTS, &DROPPED, &HELD_BYTES];
