//! Finds what the wire lost. The owner of each partition ticks; an edge asks now and then, and when
//! something may have been lost, what the partition has committed; and sessions are told of rooms
//! of which not everything was handed on to them. What is covered by that is safe: a cursor may say
//! so.
//!
//! [`Book`] knows when to ask and what is safe; the task around it asks, waits, and tells.

mod book;
mod partition;
mod task;

pub use book::{Ask, Book, Found};
pub use partition::Pace;
pub(crate) use task::{Auditor, Audits};
