//! The wire: everything that Weft says over NATS. The only crate that names `async_nats`; no type
//! of that library appears in the public interface.
//!
//! Invariants:
//! - Every subject is a [`Subject`] or a [`Filter`]; every stream and bucket name is in
//!   [`subject`]. A string subject anywhere else is a defect.
//! - Nothing waits without limit: each publish, flush and request has a time-out, each queue a
//!   bound.
//! - What the wire can lose is said: [`Bus::connection`] counts reconnects, [`Bus::losses`] counts
//!   dropped messages, an [`IngestReader`] never skips a sequence in silence.
//! - An answer never goes to a subject that its asker chose: see [`ReplyTo`].
//!
//! | module | duty |
//! | --- | --- |
//! | [`subject`] | names of subjects, streams, buckets and headers |
//! | [`bus`] | a connection: publish, subscribe, flush, watch its state |
//! | [`call`], [`serve`], `callers` | requests between the parts, their handlers, and what one caller may have of them |
//! | [`callout`] | logins of bots, and their connections |
//! | [`api`] | what bots ask, on a connection of its own |
//! | [`assets`] | makes the streams and buckets |
//! | [`ingest`] | commands on their way to the partition's owner, and its answers |
//! | [`events`] | committed entries on their way to everybody |
//! | [`jobs`] | the work queue of `weft push`, and its dead letters |
//! | [`feeds`] | what bots read |
//! | [`webhooks`] | the queue of outgoing webhooks, and its dead letters |
//! | [`nodes`] | which nodes live, and which partitions are whose |
//! | [`presence`] | the bucket of users with sessions |
//! | [`files`] | the bucket of files |
//! | [`config`], [`server`] | nats-server's configuration; its process for `weft dev` and tests |

mod acks;
pub mod api;
pub mod assets;
pub mod bus;
pub mod call;
mod callers;
pub mod callout;
pub mod config;
mod error;
pub mod events;
pub mod feeds;
pub mod files;
pub mod ingest;
mod jetstream;
pub mod jobs;
mod metrics;
pub mod nodes;
pub mod presence;
pub mod serve;
pub mod server;
pub mod subject;
pub mod webhooks;

pub use acks::PendingAcks;
pub use api::{BotRequest, answer_bots};
pub use assets::AssetOptions;
pub use bus::{Bus, BusOptions, Connection, Message, Subscription, subscribed};
pub use callers::{CALLER_BYTES_MAX, CALLER_CALLS_MAX};
pub use callout::{BotConnection, BotConnections, BotGrant, BotLogin, Issuer};
pub use error::Error;
pub use events::{EventMessage, EventPublisher};
pub use files::{FileBucket, StoredFile};
pub use ingest::{
    Answer, IngestLog, IngestMessage, IngestPublisher, IngestReader, IngestSignals, LogInfo,
    MadeBy, OutsideLog, OutsideMessage, Problem, Relayed, ReplyTo, Signal, Trimmed,
};
pub use metrics::METRICS;
pub use nodes::{NodeInfo, Registration, assign};
pub use presence::{UserChange, UserKeys, UserWatch};
pub use serve::{HELD_BYTES_MAX, Services};
pub use server::{NatsServer, ServerOptions, Wheel, find_or_install};
pub use subject::{Filter, Subject};
