//! The indexes of a node, each in a folder of its own: the one that answers, and at times the next one while it is made.
//!
//! ```text
//! index-<n>/      the complete one with the greatest number answers; one with a greater number is being made
//! ```

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tantivy::TantivyError;

use crate::error::Error;
use crate::index::Index;
use crate::state::{FORMAT, State};

const PREFIX: &str = "index-";

/// An index, and how far it is.
pub struct Kept {
    pub number: u64,
    pub index: Arc<Index>,
    /// As of its last commit, or what was read since.
    pub state: State,
}

/// What there is in a node's folder.
#[derive(Default)]
pub struct Indexes {
    /// It answers.
    pub current: Option<Kept>,
    /// It is made from the store.
    pub next: Option<Kept>,
}

/// A node's folder.
pub struct Folder(PathBuf);

impl Folder {
    /// Opens it, or makes it, and what is in it; removes what is of no use.
    ///
    /// # Errors
    /// [`Error::Folder`]; [`Error::Index`] where another process works on it.
    pub fn open(path: &Path) -> Result<(Self, Indexes), Error> {
        fs::create_dir_all(path)?;
        let folder = Self(path.to_owned());
        let mut numbers = folder.numbers()?;
        numbers.sort_unstable_by(|one, other| other.cmp(one));
        let mut found = Indexes::default();
        for number in numbers {
            match folder.kept(number)? {
                Some(kept) if kept.state.is_built() && found.current.is_none() => {
                    found.current = Some(kept);
                }
                Some(kept) if found.current.is_none() && found.next.is_none() => {
                    found.next = Some(kept);
                }
                other => {
                    drop(other);
                    folder.remove(number)?;
                }
            }
        }
        Ok((folder, found))
    }

    /// Makes an index.
    ///
    /// # Errors
    /// [`Error::Folder`], [`Error::Index`].
    pub fn make(&self, state: State) -> Result<Kept, Error> {
        let number = self.numbers()?.into_iter().max().unwrap_or(0) + 1;
        let path = self.path(number);
        fs::create_dir_all(&path)?;
        Ok(Kept { number, index: Arc::new(Index::open(&path)?), state })
    }

    /// Removes an index. Searches that are underway still read from it.
    ///
    /// # Errors
    /// [`Error::Folder`].
    pub fn remove(&self, number: u64) -> Result<(), Error> {
        match fs::remove_dir_all(self.path(number)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The index with this number; `None`: it can't be used.
    fn kept(&self, number: u64) -> Result<Option<Kept>, Error> {
        let opened = Index::open(&self.path(number)).and_then(|index| {
            let state = index.state()?;
            Ok((index, state))
        });
        match opened {
            Ok((index, Some(state))) if state.format == FORMAT => {
                Ok(Some(Kept { number, index: Arc::new(index), state }))
            }
            // Of another version, or nothing was committed.
            Ok(_) | Err(Error::State(_)) => Ok(None),
            Err(error @ Error::Index(TantivyError::LockFailure(..))) => Err(error),
            Err(error) => {
                tracing::error!(number, %error, "an index can't be read: it is made anew");
                Ok(None)
            }
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.0.join(format!("{PREFIX}{number}"))
    }

    fn numbers(&self) -> Result<Vec<u64>, Error> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let name = entry?.file_name();
            let number =
                name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse::<u64>().ok());
            numbers.extend(number);
        }
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Walk;

    fn state(walk: Option<Walk>) -> State {
        State { format: FORMAT, store: "00".into(), commits: [(0, 1)].into(), walk }
    }

    #[test]
    fn the_newest_complete_index_answers_and_one_that_is_made_goes_on() {
        let temp = tempfile::tempdir().expect("folder");
        let open = || Folder::open(temp.path()).expect("open");
        let (folder, found) = open();
        assert!(found.current.is_none() && found.next.is_none());
        let first = folder.make(state(None)).expect("made");
        first.index.commit(&first.state).expect("commit");
        let half = Walk { room: "team".into(), seq: 7, messages: 3 };
        let next = folder.make(state(Some(half.clone()))).expect("made");
        next.index.commit(&next.state).expect("commit");
        drop((first, next));
        // What a life that was killed at once has left.
        drop(folder.make(state(None)).expect("made"));
        let (folder, found) = open();
        let (current, next) = (found.current.expect("current"), found.next.expect("next"));
        assert_eq!((current.number, next.number), (1, 2));
        assert_eq!(next.state.walk, Some(half));
        assert_eq!(folder.numbers().expect("read").len(), 2);
        let whole = state(None);
        next.index.commit(&whole).expect("commit");
        drop((current, next));
        let (folder, found) = open();
        assert_eq!(found.current.expect("current").number, 2);
        assert_eq!(folder.numbers().expect("read"), [2]);
    }

    #[test]
    fn one_that_is_broken_or_of_another_version_is_made_anew() {
        let temp = tempfile::tempdir().expect("folder");
        let (folder, _) = Folder::open(temp.path()).expect("open");
        let old = folder.make(State { format: 0, ..state(None) }).expect("made");
        old.index.commit(&old.state).expect("commit");
        drop(old);
        fs::create_dir(temp.path().join("index-9")).expect("folder");
        fs::write(temp.path().join("index-9/meta.json"), "not JSON").expect("write");
        let (folder, found) = Folder::open(temp.path()).expect("open");
        assert!(found.current.is_none() && found.next.is_none());
        assert!(folder.numbers().expect("read").is_empty());
    }
}
