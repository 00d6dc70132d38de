//! What is in the tables, without the journals.

use std::fs;
use std::path::Path;

use lsm_tree::{AbstractTree, Config, SequenceNumberCounter};

use crate::embedded::keys::{self, State};

/// How far the tables are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tables {
    /// The newest version in them.
    pub version: Option<u64>,
    /// The library's number of the newest batch in them: all before it are in them too.
    pub seqno: Option<u64>,
}

/// Reads the state row in the tables of the database's one keyspace.
pub fn read(folder: &Path) -> Result<Tables, lsm_tree::Error> {
    let mut newest = Tables::default();
    for entry in keyspaces(folder)? {
        if !entry.join("current").try_exists()? {
            continue;
        }
        let counter = SequenceNumberCounter::default;
        let tree = Config::new(&entry, counter(), counter()).open()?;
        let state = tree.get(keys::STATE, lsm_tree::SeqNo::MAX)?;
        let version = state.and_then(|state| State::decode(&state)).map(|state| state.version);
        newest.version = newest.version.max(version);
        newest.seqno = newest.seqno.max(tree.get_highest_persisted_seqno());
    }
    Ok(newest)
}

/// True where a table was written. The library's list of keyspaces, number 0, does not count.
pub fn exist(folder: &Path) -> std::io::Result<bool> {
    for entry in keyspaces(folder)? {
        let tables = entry.join("tables");
        if tables.try_exists()? && fs::read_dir(tables)?.next().is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn keyspaces(folder: &Path) -> std::io::Result<Vec<std::path::PathBuf>> {
    let folder = folder.join("keyspaces");
    if !folder.try_exists()? {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "0") {
            paths.push(path);
        }
    }
    Ok(paths)
}
