//! Search: a follower of the journal that keeps an index, and answers who searches.
//!
//! The index proposes, core decides: what a search finds is a list of places, and what is shown is read from core with
//! the caller's own token, as history would show it at that moment; and held against the query once more. So whoever left
//! a room, whatever was deleted, however far the index is behind: nothing wrong is shown. Messages never wait for it.
//!
//! | module | duty |
//! | --- | --- |
//! | [`tokens`], [`query`] | what a text is found by, and what is looked for: pure |
//! | [`mod@index`] | the index on disk |
//! | [`state`] | how far an index is |
//! | [`folder`] | the indexes of a node: the one that answers, and the one that is made |
//! | `feed` | following the journal, reading all rooms, keeping up with what expires |
//! | `find` | answering a search |
//! | [`node`] | a search node: the service around them |

mod error;
mod feed;
mod find;
pub mod folder;
pub mod index;
mod metrics;
pub mod node;
pub mod query;
pub mod state;
pub mod tokens;

pub use error::Error;
pub use metrics::METRICS;
pub use node::{ROLE, SearchNode, SearchOptions};
