//! By what a group is found where everybody may find it: rows that follow from its head, in the commit that writes it.

use weft_proto::RoomId;
use weft_storage::Batch;
use weft_storage::tables::head::Head;
use weft_storage::tables::open_group;

use super::rules::Change;

/// By what a group is found before a change; `None`: that stays as it is.
#[must_use]
pub fn before(id: &RoomId, head: &Head, change: &Change) -> Option<Vec<String>> {
    let may_change = change.title.is_some() || change.update.is_some() || change.closed.is_some();
    may_change.then(|| open_group::names(id, head))
}

/// Writes by what it is found after that.
pub fn write(batch: &mut Batch, id: &RoomId, before: Option<&[String]>, head: &Head) {
    if let Some(before) = before {
        open_group::put(batch, id, before, &open_group::names(id, head));
    }
}
