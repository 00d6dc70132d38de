//! The command line as its users meet it: real processes, real nats-server.

#[path = "cli/admin.rs"]
mod admin;
#[path = "cli/failures.rs"]
mod failures;
#[path = "cli/support.rs"]
mod support;
