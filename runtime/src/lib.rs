//! The plumbing without a domain word: clock, shutdown, telemetry.

mod clock;
mod shutdown;
mod telemetry;

pub use clock::{Clock, ManualClock, SystemClock};
pub use shutdown::Shutdown;
pub use telemetry::{LogFormat, init_telemetry};
