//! A server with Weft's configuration, on a free port, in a folder of its own.

pub use weft_harness::server::{Server as Fixture, node, room, server_config, user};
pub use weft_harness::wait::{PATIENCE, eventually, soon};
