//! Files beside the log: uploads over HTTP, downloads by signed addresses, and the small images that are shown before
//! a large one. The role knows NATS and core's words, and none of core's tables: what a file is and who may see it is
//! a row of core's, which it asks for with its caller's own token.
//!
//! Invariants:
//! - An upload is a file only after its bytes are durable, and core knows only then that it is one.
//! - Nothing is held in memory but what is on its way: some hundred kB for each request, and images that are decoded,
//!   of which few are at once.
//! - What is believed of a file is what its bytes say.
//! - Killed at any moment it lacks nothing: how far an upload is, its file's length says; each step from there to a file
//!   can be done again; what is due stays due until nothing of it is kept.
//!
//! | module | duty |
//! | --- | --- |
//! | `http`, `serve` | paths; the node's own port |
//! | `tus`, `uploads`, `locks`, `places` | uploads: the protocol's words, the requests, who is next, how many |
//! | `staging` | what has come so far |
//! | `examine`, `sniff`, `strip`, `picture`, `duration` | what an upload is |
//! | `finish` | an upload becomes a file |
//! | `downloads`, `signed`, `range` | addresses, and what they give |
//! | `backend` | where finished files are |
//! | `previews` | what links of messages lead to |
//! | `removal` | what is due is deleted |

mod app;
mod backend;
mod downloads;
mod duration;
mod error;
mod examine;
mod finish;
mod http;
mod locks;
mod metrics;
mod node;
mod picture;
mod places;
mod previews;
mod range;
mod refusal;
mod removal;
mod serve;
mod signed;
mod sniff;
mod staging;
mod strip;
mod tus;
mod uploads;

pub use app::{FilesOptions, Limits};
pub use backend::{BackendPlace, S3Credentials, S3Keys, S3Options};
pub use error::Error;
pub use metrics::METRICS;
pub use node::{FilesNode, ROLE};
pub use previews::PreviewOptions;
