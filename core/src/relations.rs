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
    let change = |hears: &UserId, head: ChangeHead, frame| svc::Change {
        users: vec![hears.to_string()],
        group: String::new(),
        head: head.to_string(),
        frame,
    };
    let own = ChangeHead::relation(user, other, position);
    let mut changes = vec![change(user, own, frame(other, relation))];
    if sight {
        for (user, other) in [(user, other), (other, user)] {
            changes.push(change(user, ChangeHead::sight(user, other, position), Bytes::new()));
        }
    }
    changes
}

#[must_use]
pub fn frame(other: &UserId, relation: &Relation) -> Bytes {
    let Relation { contact, blocked } = *relation;
    RelationFrame { user: other, contact, blocked }.to_frame().into()
}
