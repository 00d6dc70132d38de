//! Integrations: other systems hear of what is written. Each of them follows the journal under a name of its own, so a process that ends
//! forgets nothing, and none of them holds up another one, or a message.
//!
//! | module | duty |
//! | --- | --- |
//! | `feeds` | each bot has the entries of its rooms in a stream of NATS |
//! | [`webhooks`] | what is written is delivered to addresses that people name |
//! | [`node`] | a node: the tasks around them |

mod error;
mod feeds;
mod metrics;
pub mod node;
pub mod webhooks;

pub use error::Error;
pub use metrics::METRICS;
pub use node::{IntegrationsNode, IntegrationsOptions, ROLE};
