//! What a commit changes beside entries, so that devices hear of it: rows with the position of their commit, each once
//! in a commit, by its newest command. By that position the next commit that writes the row finds what it
//! told syncs of it (`storage/src/tables/change.rs`), to tell them anew.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::hash::Hash;

use weft_proto::Position;

use super::overlay::Overlay;
use super::sabotage::{self, Rule};
use super::state::{Place, PlanNo, State};

/// A row as its newest commit writes it.
#[derive(Clone, PartialEq, Debug)]
pub struct Written<R> {
    pub row: R,
    pub place: Place,
}

/// Rows of a table that a commit writes.
pub struct PlannedRows<K, R> {
    first_order: u16,
    rows: BTreeMap<K, PlannedRow<R>>,
}

struct PlannedRow<R> {
    row: R,
    /// Where it was written before.
    before: Place,
    /// Its place in the commit.
    order: u16,
}

/// A row that a commit has written.
#[derive(Clone, PartialEq, Debug)]
pub struct ChangedRow<K, R> {
    pub key: K,
    pub row: R,
    /// Its place in the commit.
    pub order: u16,
}

impl<K: Clone + Ord + Hash, R: Clone> PlannedRows<K, R> {
    /// None yet. Their places in the commit begin with `first_order`: no user may be told of two changes
    /// at one place.
    #[must_use]
    pub fn new(first_order: u16) -> Self {
        Self { first_order, rows: BTreeMap::new() }
    }

    #[must_use]
    pub fn count(&self) -> usize {
        self.rows.len()
    }

    /// Takes a row; `before`: where it was written last. True where the commit did not write it yet.
    pub fn take(
        &mut self,
        (written, no): (&mut Overlay<K, Written<R>>, PlanNo),
        before: Place,
        key: K,
        row: R,
    ) -> bool {
        // A plan takes far fewer of them than there are places.
        let next = u16::try_from(self.rows.len()).unwrap_or(u16::MAX);
        let order = self.first_order.saturating_add(next);
        let (order, is_new) = match self.rows.entry(key.clone()) {
            Slot::Vacant(slot) => {
                slot.insert(PlannedRow { row: row.clone(), before, order });
                (order, true)
            }
            Slot::Occupied(mut slot) => {
                slot.get_mut().row = row.clone();
                (slot.get().order, false)
            }
        };
        written.remember(no, key, Written { row, place: Place::In(no, order) });
        is_new
    }

    /// The rows, each with its place in the commit and the position at which it was written before. Commits before
    /// this one are done.
    pub fn rows<'a>(
        &'a self,
        state: &'a State,
    ) -> impl Iterator<Item = (&'a K, &'a R, u16, Option<Position>)> {
        self.rows.iter().map(|(key, PlannedRow { row, before, order })| {
            let before = told_before(state, *before);
            (key, row, *order, before.filter(|_| !sabotage::is_out(Rule::ChangesOnce)))
        })
    }

    /// Those of which the commit's row of the journal tells.
    pub fn named(&self) -> impl Iterator<Item = (&K, &R)> {
        let rows = self.rows.iter().map(|(key, planned)| (key, &planned.row));
        rows.filter(|_| !sabotage::is_out(Rule::MarksJournaled))
    }

    /// For what follows the commit.
    #[must_use]
    pub fn into_changed(self) -> Vec<ChangedRow<K, R>> {
        let changed = |(key, PlannedRow { row, order, .. })| ChangedRow { key, row, order };
        self.rows.into_iter().map(changed).collect()
    }
}

/// The position of a place before this commit, where something was told of a row. Commits before this one are done.
#[must_use]
pub fn told_before(state: &State, place: Place) -> Option<Position> {
    match place {
        Place::Nowhere => None,
        place => Some(state.position(place).expect("an earlier commit is done")),
    }
}
