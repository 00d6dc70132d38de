//! The truth: engines, batches and typed tables.
//!
//! - [`Store`] is what everything else holds: one small interface over any engine. Two verbs:
//!   a [`Snapshot`] reads, a [`Batch`] is committed whole or not at all.
//! - [`embedded`] keeps it on disk for one process; `fdb` (a cargo feature) in FoundationDB, for
//!   many; [`memory`] is the reference model for tests, and [`faulty`] lets any of them fail.
//! - [`export`] moves all of it into a file and out again.
//! - [`tables`] owns every key's bytes. No other crate builds a key.
//!
//! Invariants:
//! - A commit that was answered is durable; a snapshot never shows what a power cut could take back.
//! - Positions grow with every commit; a snapshot's read version covers exactly the commits at or
//!   before it.
//! - A batch that breaks a limit of any engine is refused by all of them (see [`limits`]).

pub mod batch;
pub mod embedded;
pub mod engine;
pub mod error;
pub mod export;
pub mod faulty;
#[cfg(feature = "fdb")]
pub mod fdb;
pub mod limits;
pub mod memory;
mod metrics;
mod place;
pub mod tables;

pub use batch::{Batch, BatchId, Guard, Op};
pub use engine::{Engine, Outcome, Snapshot, Store};
pub use error::Error;
pub use metrics::METRICS;
pub use place::{OpenStore, StorePlace};
