//! Following the journal: the one loop of every part of Weft that has to see all entries (docs/ARCHITECTURE.md, "How to follow the
//! journal"). Several nodes may run it under one name: the first of the live ones by name follows, and another one goes on where it
//! was. What is done with a commit, its [`Follow`] says.
//!
//! What it promises: everything is done at least once, in the order of each partition. Core is told of a place only after all before
//! it is done, so whoever ends in the middle does some of it again, and forgets nothing. Where the journal does not reach back, or the
//! store is another one, that is said to the operator and to the [`Follow`].
//!
//! | module | duty |
//! | --- | --- |
//! | `follower` | the loop: who follows, where it is, what becomes of errors |
//! | `place` | where a partition is: what was read, what is done, what core knows of it. Pure |

mod error;
mod follower;
mod place;

pub use error::Error;
pub use follower::{Follow, FollowerOptions, Page, read, run};
pub use place::Underway;
