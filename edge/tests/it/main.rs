//! The edge against a real nats-server and a small core that does what a test tells it to.

mod changes;
mod client;
mod common;
mod core;
mod delivery;
mod draining;
mod fuzz;
mod healing;
mod http;
mod logins;
mod members;
mod next_version;
mod outage;
mod sends;
mod sessions;
mod strangers;
