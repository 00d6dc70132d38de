//! The plumbing without a domain word: clock, lock, waiting, shares, shutdown, listening, telemetry, metrics, readiness.

mod budget;
mod clients;
mod clock;
mod listener;
mod lock;
pub mod metrics;
mod patience;
mod readiness;
mod shutdown;
mod telemetry;
mod when_some;

pub use budget::{Budget, Over, Share, Shares};
pub use clients::{Proxies, network};
pub use clock::{Clock, ManualClock, SystemClock};
pub use listener::{ClientConnection, Listener, bind};
pub use lock::lock;
pub use patience::patiently;
pub use readiness::{Check, Readiness};
pub use shutdown::Shutdown;
pub use telemetry::{LogFormat, init_telemetry};
pub use when_some::when_some;
