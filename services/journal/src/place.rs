//! Where a follower is in a partition's journal.

use std::collections::VecDeque;
use std::sync::Arc;

use weft_proto::svc::Following;

/// Work that is underway: a page counts as done when its last clone is dropped.
#[derive(Clone, Debug, Default)]
pub struct Underway(Arc<()>);

pub(crate) struct Place {
    /// Names this process among those that have followed under the name.
    pub(crate) epoch: u64,
    pub(crate) store: Vec<u8>,
    /// Up to this commit it was read.
    pub(crate) read: u64,
    /// Up to this one everything is done.
    done: u64,
    /// What core knows of that.
    pub(crate) told: u64,
    /// What was read and is not done, in its order. A reader of pages waits for its work, or bounds it itself.
    underway: VecDeque<(u64, Underway)>,
}

impl Place {
    pub(crate) fn new(following: Following) -> Self {
        let Following { store, commit_no, epoch, .. } = following;
        Self {
            epoch,
            store,
            read: commit_no,
            done: commit_no,
            told: commit_no,
            underway: VecDeque::new(),
        }
    }

    /// A page was read up to a commit, and this is the work on it.
    pub(crate) fn read_through(&mut self, through: u64, work: Underway) {
        self.read = through;
        self.underway.push_back((through, work));
    }

    /// Up to where everything is done, where core does not know of it yet.
    pub(crate) fn news(&mut self) -> Option<u64> {
        while let Some((through, work)) = self.underway.front()
            && Arc::strong_count(&work.0) == 1
        {
            self.done = *through;
            self.underway.pop_front();
        }
        (self.done > self.told).then_some(self.done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_done_when_all_before_it_is() {
        let mut place = Place::new(Following { commit_no: 4, ..Following::default() });
        assert_eq!(place.news(), None);
        let (first, second, third) =
            (Underway::default(), Underway::default(), Underway::default());
        let (slow, slower) = (first.clone(), first.clone());
        place.read_through(7, first);
        place.read_through(8, second);
        place.read_through(9, third.clone());
        assert_eq!((place.read, place.news()), (9, None));
        drop(slow);
        assert_eq!(place.news(), None);
        drop(slower);
        assert_eq!(place.news(), Some(8));
        place.told = 8;
        assert_eq!(place.news(), None);
        drop(third);
        assert_eq!(place.news(), Some(9));
    }
}
