//! Who is here. Never on the way of a message.
//!
//! | module | duty |
//! | --- | --- |
//! | [`merge`] | the keys of all edges come to one status per user: pure |
//! | [`ledger`] | what was published, with versions, and whose duty that is: pure |
//! | [`visible_status`] | what others see |
//! | [`node`] | a presence node: the service around them |
//! | [`announcer`] | an edge's side: says who is here |
//! | [`statuses`] | an edge's side: knows the users whom its sessions watch |

pub mod announcer;
mod error;
pub mod ledger;
pub mod merge;
mod metrics;
pub mod node;
pub mod statuses;
pub mod visible_status;

pub use announcer::{Announcer, Visit};
pub use error::Error;
pub use metrics::METRICS;
pub use node::{PresenceNode, PresenceOptions};
pub use statuses::{Statuses, Watcher};
