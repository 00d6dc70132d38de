//! The front doors: WebSocket sessions (`weft.v1`) and HTTP. An edge holds no data and no store
//! credentials; it speaks NATS alone, and killing it loses nothing.
//!
//! Invariants:
//! - A session gets each room's entries in order and without holes: the rule is
//!   [`order`], a pure state machine; nothing else puts an entry on a socket.
//! - An answer to a `send` is core's own, or says that the outcome is unknown. The edge never
//!   invents an `ack`.
//! - Every queue is bounded. A slow reader is closed with a code that tells it to resume; nobody
//!   else waits for it.
//! - Entries are forwarded as the bytes that core made; the edge reads their heads alone.
//!
//! Deliberately absent: a store, a cache of rooms, a word with another edge (but for who types).
//!
//! | module | duty |
//! | --- | --- |
//! | `edge` | starts and ends it all |
//! | `http` | the routes: one file per resource |
//! | `session` | one live WebSocket: requests, close |
//! | [`delivery`] | what goes out on a session by itself: the sync, then live entries in order |
//! | [`reading`] | what delivery uses: feeds, audits, calls to core |
//! | [`ports`] | the wire and the ingest log, as traits |
//! | [`sabotage`] | takes rules out, for the simulation |
//! | `feeds` | one subscription per online user and per group with local sessions |
//! | [`order`] | which entry may go out, and what must be read first |
//! | [`audits`] | finds what the wire lost, and how far a cursor may go |
//! | [`sending`], [`outbox`], [`answers`], [`ticks`] | what was sent and is not answered yet |
//! | `queries` | what is only read: one list, for sessions, HTTP and bots on NATS |
//! | `bots` | what bots ask on NATS |
//! | `searching` | a search as search nodes take it |
//! | `marks` | up to where users have read: the commands for that |
//! | `auth` | verifies tokens, keeps the keys |
//! | `typing` | who types in a room |
//! | `counts` | how many members of a large group are here |
//! | `members`, `discovery` | this edge among the live nodes; which of them a client is to take |
//! | `hooks` | what other systems post to incoming webhooks, as messages |
//! | `metrics` | what it counts, in one list |
//! | `life`, `drain` | whether the edge can serve, and how sessions leave one that is to end |
//! | `connections`, `proxies` | who is connected, and who has to make way; for whom a request counts |
//! | `rate`, `cost`, `limited` | what one caller may take, and a word where that is too much |

pub mod answers;
pub mod audits;
mod auth;
mod bots;
mod connections;
mod cost;
mod counts;
pub mod delivery;
mod discovery;
mod drain;
mod edge;
mod error;
mod feeds;
mod hooks;
mod http;
mod interactions;
mod life;
mod limited;
mod limits;
mod links;
mod logins;
mod marks;
mod members;
mod metrics;
pub mod order;
pub mod outbox;
pub mod ports;
mod proxies;
mod queries;
mod rate;
pub mod reading;
pub mod sabotage;
mod searching;
pub mod sending;
mod session;
mod settings;
mod shared;
pub mod ticks;
mod typing;

pub use edge::{Edge, EdgeOptions};
pub use error::Error;
pub use limits::Limits;
pub use metrics::METRICS;
pub use rate::Rate;
