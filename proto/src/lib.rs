//! The words of Weft: ids, entries, frames, requests and replies, limits, and the map from room to
//! partition. No IO, no clock, no randomness: every other crate may depend on this one.
//!
//! What is here is the contract between parts (and, through `docs/protocol.md`, with clients):
//! - [`ids`], [`room`], [`client_id`]: validated names; a value of such a type is well-formed.
//! - [`kind`], [`entry`]: the kinds of entries, and what the room's log holds.
//! - [`role`]: the roles of members.
//! - [`frame`]: the WebSocket frames of `weft.v1`.
//! - [`error`]: the published error codes.
//! - [`json`], [`check`]: reading JSON that comes from outside, and what is wrong with a field.
//! - [`event`]: the header that travels beside an entry's bytes on NATS; [`change`]: beside those of a
//!   change that is none.
//! - [`svc`]: requests and replies between edge and core.
//! - [`tick`]: a partition owner's sign of life.
//! - [`presence`]: who is here.
//! - [`file`]: ids and names of files; [`previews`]: which link of a text has a preview.
//! - [`folded`]: how names are compared when somebody is looked for.
//! - [`notify`]: of what a user is notified.
//! - [`hidden`]: what must not be logged.
//! - [`word`]: enumerations as words, for files.
//! - [`scope`]: what a bot's token is good for.
//! - [`position`], [`partition`], [`limits`], [`token`].

pub mod change;
pub mod check;
pub mod client_id;
pub mod consent;
pub mod entry;
pub mod error;
pub mod event;
pub mod file;
pub mod folded;
pub mod frame;
pub mod hidden;
pub mod ids;
pub mod json;
pub mod kind;
pub mod limits;
pub mod link;
pub mod notify;
pub mod partition;
pub mod position;
pub mod presence;
pub mod previews;
pub mod role;
pub mod room;
pub mod scope;
pub mod sign_up;
pub mod svc;
pub mod tick;
pub mod token;
pub mod word;

pub use change::ChangeHead;
pub use client_id::ClientId;
pub use entry::Entry;
pub use error::{ApiError, ErrorCode};
pub use event::EventHead;
pub use file::FileId;
pub use hidden::Hidden;
pub use ids::{DeviceId, FollowerId, NodeId, UserId, WebhookId};
pub use kind::{Body, Kind, Membership};
pub use link::{LinkId, LinkToken};
pub use partition::{Partition, partition_of};
pub use position::{Cursor, Position, StoreId};
pub use presence::Presence;
pub use role::Role;
pub use room::{History, JoinRule, RoomId, RoomKind, WriteRule};
pub use scope::Scope;
pub use tick::{Tick, TickName};
