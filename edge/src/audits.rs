//! Finds what the wire lost: asks each partition what it has committed, and tells the sessions.

mod book;
mod partition;

pub use book::{Ask, Book, Found};
pub use partition::Pace;
