//! Who hears of what another user is to a user, and in which words: the same where it is published, audited and synced.

use bytes::Bytes;
use weft_proto::frame::RelationFrame;
use weft_proto::{ChangeHead, Position, UserId, svc};
use weft_storage::tables::relation::{Relation, RelationKey};

/// The user's own devices hear of it. Where it changes whom the two see (`sight`), the edges of both do, who tell their
/// clients nothing of that.
#[must_use]
pub fn changes(
    (user, other): &RelationKey,
    position: Position,
    relation: &Relation,
    sight: bool,
) -> Vec<svc::Change> {
    let own = ChangeHead::relation(user, other, position);
    let mut changes = vec![change(user, &own, frame(other, relation))];
    if sight {
        changes.extend(sights(&(user.clone(), other.clone()), position));
    }
    changes
}

/// Whom two see has changed, at this position: for the edges of both.
pub fn sights(
    (user, other): &RelationKey,
    position: Position,
) -> impl Iterator<Item = svc::Change> + use<> {
    let both = [(user.clone(), other.clone()), (other.clone(), user.clone())];
    both.into_iter().map(move |(user, other)| {
        change(&user, &ChangeHead::sight(&user, &other, position), Bytes::new())
    })
}

fn change(hears: &UserId, head: &ChangeHead, frame: Bytes) -> svc::Change {
    let (users, group) = (vec![hears.to_string()], String::new());
    svc::Change { users, group, head: head.to_string(), frame }
}

#[must_use]
pub fn frame(other: &UserId, relation: &Relation) -> Bytes {
    let Relation { contact, blocked } = *relation;
    RelationFrame { user: other, contact, blocked }.to_frame().into()
}
