//! What users are to each other, as the checker knows it: nothing is written, and nobody put into a group, against what is
//! committed before; what is answered was kept, and what devices know is in the end what the store has.

use std::collections::{BTreeMap, BTreeSet};

use weft_proto::kind::{Add, Create, Relation as Wanted};
use weft_proto::{Body, Entry, Position, RoomId, UserId};
use weft_storage::tables::change::Changed;
use weft_storage::tables::relation::{self, Relation, RelationKey};
use weft_storage::tables::table::Table;
use weft_storage::{Batch, Op, Snapshot};

use super::answers::Asked;
use super::check::Judged;
use super::client::{USERS, user};
use super::marks::Changes;
use super::messages::all;
use super::rows::Rows;
use super::store::now;
use super::world::World;

#[derive(Default)]
pub struct Relations {
    rows: Rows<RelationKey, Relation>,
    /// Those that the commit writes which is judged.
    changing: BTreeSet<RelationKey>,
}

/// What a device knows.
pub type Known = BTreeMap<UserId, Relation>;

fn written(batch: &Batch) -> impl Iterator<Item = RelationKey> {
    batch.ops().iter().filter_map(|op| match op {
        Op::SetPositioned { key, .. } => Relation::read_key(key).ok(),
        _ => None,
    })
}

impl Relations {
    /// A commit is judged.
    pub fn begins(&mut self, batch: &Batch) {
        self.changing = written(batch).collect();
    }

    /// Whether the first one blocks the second; `None`: that changes in the commit which is judged.
    fn blocks(&self, user: &UserId, other: &UserId) -> Option<bool> {
        let key = (user.clone(), other.clone());
        let is_blocked = self.rows.newest(&key).is_some_and(|row| row.blocked);
        (!self.changing.contains(&key)).then_some(is_blocked)
    }

    /// Whether one of the two of a direct room blocks the other, likewise.
    pub fn blocks_in(&self, room: &RoomId) -> Option<bool> {
        let Some((a, b)) = room.direct_users() else { return Some(false) };
        match (self.blocks(&a, &b), self.blocks(&b, &a)) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        }
    }

    /// True where that may have been so at some time: a block may be taken back in its own commit.
    pub fn may_have_blocked_in(&self, room: &RoomId) -> bool {
        let said =
            |user: &UserId, other: &UserId| self.rows.was(&(user.clone(), other.clone()), |_| true);
        room.direct_users().is_some_and(|(a, b)| said(&a, &b) || said(&b, &a))
    }

    /// An entry is committed.
    pub fn judge_entry(&self, entry: &Entry) -> Judged<()> {
        let Entry { room, seq, from, body, .. } = entry;
        let is_said = !matches!(body, Body::Delete(_) | Body::Close(_));
        if is_said && self.blocks_in(room) == Some(true) {
            return Err(format!("{room} {seq} is written, though one of the two blocks the other"));
        }
        let added = match body {
            Body::Add(Add { user, .. }) => std::slice::from_ref(user),
            Body::Create(Create { members, .. }) => members,
            _ => &[],
        };
        let mut others = added.iter().filter(|user| *user != from);
        match others.find(|user| self.blocks(user, from) == Some(true)) {
            Some(user) => Err(format!("{room} {seq} brings in {user}, who blocks {from}")),
            None => Ok(()),
        }
    }

    /// Takes in the relations that a commit writes.
    pub fn commits(
        &mut self,
        batch: &Batch,
        position: Position,
        snapshot: &dyn Snapshot,
    ) -> Judged<()> {
        for key in written(batch) {
            let row =
                now(snapshot.get(relation::key(&key))).ok_or("a relation that is not written")?;
            let (written_at, row) = relation::decode(&row).map_err(|error| error.to_string())?;
            if written_at.with_order(0) != position.with_order(0) {
                return Err(format!("the relation {key:?} has another place"));
            }
            self.rows.write(key, written_at, row);
        }
        self.changing.clear();
        Ok(())
    }

    /// It is answered: it is kept, or what another one says, which came later in the same commit.
    pub fn answered<'a>(
        &self,
        sender: &UserId,
        wanted: &Wanted,
        mut asked: impl Iterator<Item = &'a Asked>,
    ) -> Judged<()> {
        let key = (sender.clone(), wanted.user.clone());
        let blocked = wanted.blocked.unwrap_or_default();
        let says_other = |asked: &Asked| match &asked.body {
            Some(Body::Relation(other)) if asked.sender == *sender && other.user == wanted.user => {
                other.blocked.is_some_and(|other| other != blocked)
            }
            _ => false,
        };
        if !blocked || self.rows.was(&key, |row| row.blocked == blocked) || asked.any(says_other) {
            return Ok(());
        }
        Err(format!("{sender} hears that {wanted:?} is done; it never was"))
    }

    /// Nobody is refused so whom nobody ever wanted to block: what is taken back in the same commit counts before that.
    pub fn refused<'a>(
        &self,
        room: &RoomId,
        mut asked: impl Iterator<Item = &'a Asked>,
    ) -> Judged<()> {
        let Some((a, b)) = room.direct_users() else { return Ok(()) };
        let blocks = |asked: &Asked| match &asked.body {
            Some(Body::Relation(Wanted { user, blocked: Some(true), .. })) => {
                [(&a, &b), (&b, &a)].contains(&(&asked.sender, user))
            }
            _ => false,
        };
        if asked.any(blocks) {
            return Ok(());
        }
        Err(format!("somebody is not allowed to write in {room}; nobody ever blocked the other"))
    }

    /// A device hears nothing that never was.
    pub fn shows(&self, key: &RelationKey, told: &Relation) -> Judged<()> {
        if self.rows.was(key, |row| row == told) {
            return Ok(());
        }
        Err(format!("a device of {} is told of {}: {told:?}, which never was", key.0, key.1))
    }

    /// A user's device knows all of them that changed up to there: as they were then, or later.
    pub fn judge_known(
        &self,
        user: &UserId,
        known: &Known,
        began: Position,
        up_to: Position,
    ) -> Judged<()> {
        let mut unheard = self.rows.unheard(|(_, other)| known.get(other), began, up_to);
        match unheard.find(|(whose, _)| whose == user) {
            Some((_, other)) => {
                Err(format!("a device of {user} never hears of the relation to {other}"))
            }
            None => Ok(()),
        }
    }

    /// The store's rows, when all is quiet.
    pub fn judge(&self, snapshot: &dyn Snapshot) -> Judged<()> {
        let rows: BTreeMap<RelationKey, Relation> = all::<Relation>(snapshot).into_iter().collect();
        if rows.iter().eq(self.rows.all().map(|(key, _, row)| (key, row))) {
            return Ok(());
        }
        Err(format!("the relations are {rows:?}"))
    }

    /// What syncs have to tell.
    pub fn changes(&self, changes: &mut Changes) {
        for ((user, other), position, _) in self.rows.all() {
            let changed = Changed::Relation(user.clone(), other.clone());
            changes.entry(user.clone()).or_default().insert(*position, changed);
        }
    }
}

/// A user blocks another one, or not any more.
pub fn any_relation(world: &World, sender: &str) -> Body {
    let others: Vec<&str> = USERS.into_iter().filter(|other| *other != sender).collect();
    // Mostly somebody with whom they have a room.
    let others = if world.below(4) > 0 { &others[..2] } else { &others };
    let user = user(others[world.below(others.len() as u64) as usize]);
    Body::Relation(Wanted { user, contact: None, blocked: Some(world.below(5) < 3) })
}
