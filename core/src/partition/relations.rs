//! What others are to users. A relation is a command to the sender's own notebook, without an entry: its commit
//! writes the relation's row (`storage/src/tables/relation.rs`), and tells the syncs of the user's own devices.
//!
//! As of marks, what was planned and is not committed counts: see [`Overlay`](super::overlay::Overlay).

use std::collections::{BTreeSet, HashMap, HashSet};

use tracing::error;
use weft_proto::kind;
use weft_proto::limits::RELATIONS_PER_USER_MAX;
use weft_proto::{ApiError, Body, ErrorCode, Position, RoomId, UserId, svc};
use weft_storage::tables::account::Account;
use weft_storage::tables::change::{self, Changed};
use weft_storage::tables::journal::JournalRelation;
use weft_storage::tables::relation::{self, Relation, RelationKey};
use weft_storage::{Batch, Error, Snapshot};

use super::changes::{ChangedRow, PlannedRows, Written};
use super::command::{Command, Incoming};
use super::consent::FoundConsent;
use super::notebook;
use super::sabotage::{self, Rule};
use super::state::{Place, PlanNo, State};
use crate::relations;

/// The places of relations in a commit are after those of all other changes.
const FIRST_ORDER: u16 = 15 << 12;

/// A relation as a commit writes it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SaidRelation {
    pub relation: Relation,
    /// That changes whom the two see.
    pub sight: bool,
}

/// A relation as its newest commit writes it.
pub type WrittenRelation = Written<SaidRelation>;

/// What the store says of the relations that a run of commands changes.
#[derive(Default, Debug)]
pub struct FoundRelations {
    rows: HashMap<RelationKey, WrittenRelation>,
    /// Those whose rows can't be read: they are not written anew.
    unreadable: HashSet<RelationKey>,
    /// The users of whom users keep something: of those who may get a new one.
    others: HashMap<UserId, BTreeSet<UserId>>,
}

/// Reads what a run of commands has to know of the relations that it changes.
///
/// # Errors
/// Those of the store.
pub async fn load(snapshot: &dyn Snapshot, run: &[Incoming]) -> Result<FoundRelations, Error> {
    let key = |incoming: &Incoming| match incoming.command.as_ref() {
        Ok(Command { sender, body: Body::Relation(relation), .. }) => {
            Some((sender.clone(), relation.user.clone()))
        }
        _ => None,
    };
    let mut found = FoundRelations::default();
    let keys: BTreeSet<RelationKey> = run.iter().filter_map(key).collect();
    if keys.is_empty() {
        return Ok(found);
    }
    let rows = snapshot.get_many(keys.iter().map(relation::key).collect()).await?;
    for (key, row) in keys.into_iter().zip(rows) {
        match row.as_deref().map(relation::decode).transpose() {
            Ok(Some((position, relation))) => {
                let row = SaidRelation { relation, sight: false };
                found.rows.insert(key, Written { row, place: Place::At(position) });
            }
            Ok(None) if !found.others.contains_key(&key.0) => {
                let others = others_of(snapshot, &key.0).await?;
                found.others.insert(key.0, others);
            }
            Ok(None) => {}
            Err(error) => {
                error!(user = %key.0, other = %key.1, %error, "a relation can't be read");
                found.unreadable.insert(key);
            }
        }
    }
    Ok(found)
}

async fn others_of(snapshot: &dyn Snapshot, user: &UserId) -> Result<BTreeSet<UserId>, Error> {
    let rows = snapshot.scan(relation::range(user), RELATIONS_PER_USER_MAX, false).await?;
    rows.iter().map(|(key, _)| relation::other(key)).collect()
}

impl FoundRelations {
    fn written(&self, state: &State, key: &RelationKey) -> Option<WrittenRelation> {
        let planned = state.relations.get(key).filter(|_| !sabotage::is_out(Rule::MarksPlanned));
        planned.or_else(|| self.rows.get(key)).cloned()
    }

    /// Of how many the user keeps something, those of commits included that the lookup may not have seen.
    fn count(&self, state: &State, user: &UserId) -> usize {
        let known = self.others.get(user);
        let is_new = |other: &&UserId| !known.is_some_and(|known| known.contains(*other));
        let planned = state.relations.iter().filter(|((of, _), _)| of == user);
        let planned = planned.map(|((_, other), _)| other).filter(is_new).count();
        known.map_or(0, BTreeSet::len) + planned
    }
}

/// Decides about a relation: what it is then. `None`: it changes nothing.
///
/// # Errors
/// The refusal.
pub fn decide(
    to: &RoomId,
    sender: &UserId,
    wanted: &kind::Relation,
    accounts: &HashMap<UserId, Account>,
    (found, consent, state): (&FoundRelations, &FoundConsent, &State),
) -> Result<Option<SaidRelation>, ApiError> {
    let no = |code, message: &str| Err(ApiError::new(code, message));
    notebook::is_own(to, sender, "relation")?;
    if wanted.user == *sender {
        return no(ErrorCode::BadRequest, "a relation is to another user");
    }
    let key = (sender.clone(), wanted.user.clone());
    if found.unreadable.contains(&key) {
        return no(ErrorCode::Internal, "the relation can't be read");
    }
    let written = found.written(state, &key);
    let before = written.as_ref().map(|written| written.row.relation.clone()).unwrap_or_default();
    let mut relation = before.clone();
    relation.contact = wanted.contact.unwrap_or(relation.contact);
    relation.blocked = wanted.blocked.unwrap_or(relation.blocked);
    if relation == before {
        return Ok(None);
    }
    let account = accounts.get(&wanted.user);
    // Who is deleted meanwhile can be forgotten.
    if account.is_none() && !relation.is_default() {
        return no(ErrorCode::NoSuchUser, &format!("there is no user {}", wanted.user));
    }
    if written.is_none() && found.count(state, sender) >= RELATIONS_PER_USER_MAX {
        let message = format!("the sender has {RELATIONS_PER_USER_MAX} relations already");
        return no(ErrorCode::LimitReached, &message);
    }
    // Other systems see nobody, and hear all that is for their edges.
    let is_bot = account.is_some_and(|account| account.is_bot);
    let is_asked = || consent.is_asked_but_for_contacts(state, sender, &wanted.user);
    let shows =
        relation.blocked != before.blocked || (relation.contact != before.contact && is_asked());
    let sight = shows && !is_bot;
    Ok(Some(SaidRelation { relation, sight }))
}

/// The relations that a commit changes, each once, by its newest command.
pub struct PlannedRelations(PlannedRows<RelationKey, SaidRelation>);

/// A relation that a commit has changed.
pub type ChangedRelation = ChangedRow<RelationKey, SaidRelation>;

impl Default for PlannedRelations {
    fn default() -> Self {
        Self(PlannedRows::new(FIRST_ORDER))
    }
}

impl PlannedRelations {
    /// Takes a relation that was allowed. What it adds to the commit's row of the journal, in bytes.
    pub fn take(
        &mut self,
        (state, found, no): (&mut State, &FoundRelations, PlanNo),
        key: RelationKey,
        mut said: SaidRelation,
    ) -> usize {
        let before = found.written(state, &key);
        if let Some(Written { row, place: Place::In(of, _) }) = &before {
            said.sight |= row.sight && *of == no;
        }
        let before = before.map_or(Place::Nowhere, |written| written.place);
        let journal_bytes = journal_row(&key, true).size_bytes();
        let is_new = self.0.take((&mut state.relations, no), before, key, said);
        if is_new { journal_bytes } else { 0 }
    }

    /// Writes them: rows, and what the user's syncs are told instead of what they were told before. Commits
    /// before this one are done.
    pub fn write(&self, batch: &mut Batch, state: &State) -> Vec<JournalRelation> {
        for (key, row, order, before) in self.0.rows(state) {
            let changed = Changed::Relation(key.0.clone(), key.1.clone());
            change::put_again(batch, &key.0, before, order, &changed);
            relation::put(batch, order, key, &row.relation);
        }
        self.0.named().map(|(key, row)| journal_row(key, row.sight)).collect()
    }

    /// For what follows the commit.
    #[must_use]
    pub fn into_changed(self) -> Vec<ChangedRelation> {
        self.0.into_changed()
    }
}

/// What the edges of two are told who see each other from the commit at this position on.
pub fn told_sights(
    sights: &[RelationKey],
    position: Position,
) -> impl Iterator<Item = svc::Change> {
    sights.iter().flat_map(move |both| relations::sights(both, position))
}

/// The rows that say it in the journal.
pub fn journal_sights(sights: &[RelationKey]) -> Vec<JournalRelation> {
    sights.iter().map(|both| journal_row(both, true)).collect()
}

/// What users' devices are told of relations that the commit at this position has changed, and the edges of both.
pub fn told(changed: &[ChangedRelation], position: Position) -> impl Iterator<Item = svc::Change> {
    changed.iter().flat_map(move |ChangedRow { key, row, order }| {
        relations::changes(key, position.with_order(*order), &row.relation, row.sight)
    })
}

fn journal_row((user, other): &RelationKey, sight: bool) -> JournalRelation {
    JournalRelation { user: user.to_string(), other: other.to_string(), sight }
}
