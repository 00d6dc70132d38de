//! Push: devices are notified of what their users have not seen.
//!
//! A follower of the journal makes a job for each entry and each device that it may be of interest to; a worker takes the job when
//! its time has come, asks core what holds at that moment, decides by one rule, and hands the notification to a gateway. All state
//! is in the journal's place of the follower and in the queue of jobs, so a process that ends forgets nothing. Messages never wait
//! for it.
//!
//! | module | duty |
//! | --- | --- |
//! | [`rule`] | whether a user is notified: pure |
//! | [`templates`] | in which words: pure |
//! | `follower` | the journal, and the jobs that are made of it |
//! | `worker` | a job from its time to its end |
//! | [`web_push`], [`webhook`], [`fcm`], [`apns`] | what a request to each kind of gateway is |
//! | `senders` | asks them |
//! | `message`, `answer` | what they are sent, and what they say |
//! | `clears` | devices hear that a room was read elsewhere |
//! | [`node`] | a push node: the tasks around them |

mod answer;
pub mod apns;
mod clears;
mod error;
pub mod fcm;
mod follower;
pub mod job;
mod keys;
mod message;
mod metrics;
pub mod node;
pub mod rule;
mod senders;
pub mod templates;
pub mod web_push;
mod worker;

pub use error::Error;
pub use metrics::METRICS;
pub use node::{PushNode, PushOptions, ROLE};
pub use weft_outbound::{IpNet, Roots, webhook};
pub use worker::Delays;
