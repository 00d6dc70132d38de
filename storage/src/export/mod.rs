//! Moving house: everything in a store as an *export*, a file that any store can be filled from.
//! The format is described in `docs/export.md`.
//!
//! - [`export`] writes one. Each room in it is whole as of one moment; where nothing was committed
//!   meanwhile (core is stopped) so is the store, and the export says so.
//! - [`verify`] reads one through, before anything is written.
//! - [`import`] fills an empty store with one. It can be interrupted anywhere and run again.
//!
//! Invariants:
//! - What this Weft does not know, it neither leaves out nor takes: a table, record, field or line
//!   of a newer one is refused.
//! - A store is given its layout by the import's last commit, so core opens no half of it.
//! - Memory is bounded: nothing grows with the store but the member list of its largest group.

mod check;
mod error;
mod from_store;
mod into_store;
mod line;
mod older;
mod reader;
mod snapshots;
mod writer;

pub use error::Error;
pub use from_store::{Absent, Exported, export};
pub use into_store::{VerifiedExport, import, verify};

use std::collections::BTreeMap;

/// What the header calls the format.
const FORMAT: &str = "weft-export";
/// The format's version. It grows with every type of line and every field that is added: an older
/// Weft must not leave them out.
const VERSION: u32 = 6;

/// How many lines there are of each type.
pub type ExportCounts = BTreeMap<String, u64>;

/// Hears the number of lines done, after each.
pub type ExportProgress<'a> = &'a mut dyn FnMut(u64);

fn count(counts: &mut ExportCounts, name: &str) {
    match counts.get_mut(name) {
        Some(lines) => *lines += 1,
        None => {
            counts.insert(name.to_owned(), 1);
        }
    }
}
