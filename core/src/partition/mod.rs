//! Order and persist: the owner of a partition.
//!
//! ```text
//! ingest log ──▶ command ──▶ load ──▶ plan ──▶ commit ──▶ publish ──▶ answers, events
//!               (decode)   (lookups) (pure)   (store)     (after the commit)
//!     ▲
//!     └── relay ◀── what other systems send
//! ```
//!
//! Invariants:
//! - Nothing is answered or published before the commit that covers it.
//! - Every commit is guarded by the partition's whole `applied` row: an owner that was replaced
//!   commits nothing. It then drops all that it knows.
//! - A command is planned exactly once per owner; one that was answered before gets that answer.

mod activity;
mod asks;
mod bans;
mod changes;
pub mod clocks;
pub mod command;
pub mod consent;
mod deletions;
pub mod drafts;
mod duties;
pub mod evidence;
pub mod expiry;
pub mod files;
pub mod floor;
pub mod followers;
pub mod forwards;
mod group_marks;
pub mod groups;
pub mod invitations;
mod letters;
mod links;
pub mod load;
pub mod loss;
pub mod marks;
pub mod messages;
mod notebook;
mod open_groups;
pub mod overlay;
pub mod owner;
pub mod plan;
pub mod ports;
pub mod publish;
pub mod quarantine;
pub mod quota;
mod relations;
mod relay;
pub mod retention;
pub mod rights;
pub mod rooms;
pub mod rules;
pub mod sabotage;
pub mod scheduled;
mod settings;
pub mod state;
pub mod take;
pub mod threads;
pub mod trimming;
mod unheard;
pub mod watch;
pub mod worker;
