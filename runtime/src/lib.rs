//! The plumbing without a domain word: clock, shutdown, telemetry, metrics, readiness.

mod clock;
pub mod metrics;
mod readiness;
mod shutdown;
mod telemetry;

pub use clock::{Clock, ManualClock, SystemClock};
pub use readiness::{Check, Readiness};
pub use shutdown::Shutdown;
pub use telemetry::{LogFormat, init_telemetry};
