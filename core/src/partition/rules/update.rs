//! What a room is beside its title, and what follows from it for who writes.

use weft_proto::kind::Update;
use weft_proto::limits::GROUP_MEMBERS_DEFAULT;
use weft_proto::{ApiError, Body, ErrorCode, Role, UserId};
use weft_storage::tables::head::Head;

use super::super::rights::{self, Action};
use super::super::rooms::Room;
use super::{Change, no};

/// In an archived group nothing is said, and nothing changes but by the owner who takes it back. Who wants to
/// leave may, an owner who is the last one by making somebody else owner first; and what somebody wants deleted is.
pub(super) fn check_archived(head: &Head, body: &Body) -> Result<(), ApiError> {
    let may = match body {
        // An update looks at it itself.
        Body::Leave(_) | Body::ChangeRole(_) | Body::Delete(_) | Body::Update(_) => true,
        _ => false,
    };
    if may || !head.archived {
        return Ok(());
    }
    Err(no(ErrorCode::Archived, "the group is archived"))
}

pub(super) fn update(head: &Head, role: Role, wanted: &Update) -> Result<Change, ApiError> {
    rights::check(role, Action::Update)?;
    if wanted.join.is_some()
        || wanted.members_max.is_some()
        || wanted.archived.is_some()
        || wanted.retention_days.is_some()
        || wanted.file_days.is_some()
    {
        rights::check(role, Action::UpdateAccess)?;
    }
    if head.archived && wanted.archived != Some(false) {
        return Err(no(ErrorCode::Archived, "the group is archived"));
    }
    changes(head, wanted)?;
    Ok(Change { update: Some(wanted.clone()), ..Change::default() })
}

fn changes(head: &Head, wanted: &Update) -> Result<(), ApiError> {
    let mut after = head.clone();
    apply(&mut after, wanted);
    if after == *head {
        return Err(no(ErrorCode::Unchanged, "the room is so already"));
    }
    Ok(())
}

/// What either of the two of a direct room may say of it: how long its entries and files are kept, and whether its links have
/// previews.
pub(super) fn update_direct(head: &Head, wanted: &Update) -> Result<Update, ApiError> {
    let Update { retention_days, file_days, previews, .. } = *wanted;
    let only = Update { retention_days, file_days, previews, ..Update::default() };
    if only != *wanted {
        let message = "an update of a direct room has retention_days, file_days and previews alone";
        return Err(no(ErrorCode::BadRequest, message));
    }
    changes(head, wanted)?;
    Ok(only)
}

/// Takes an update over into the head.
pub(super) fn apply(head: &mut Head, update: &Update) {
    let Update { topic, join, write, slow_mode_s, members_max, archived, .. } = update;
    if let Some(topic) = topic {
        head.topic = topic.to_string();
    }
    if let Some(avatar) = &update.avatar {
        head.avatar = avatar.to_string();
    }
    head.join = join.map_or(head.join, Into::into);
    head.write = write.map_or(head.write, Into::into);
    head.slow_mode_s = slow_mode_s.unwrap_or(head.slow_mode_s);
    // The default is no limit of its own: it may be raised one day.
    let limit = |most: u32| if most == GROUP_MEMBERS_DEFAULT { 0 } else { most };
    head.members_limit = members_max.map_or(head.members_limit, limit);
    head.archived = archived.unwrap_or(head.archived);
    head.retention_days = update.retention_days.unwrap_or(head.retention_days);
    head.file_days = update.file_days.unwrap_or(head.file_days);
    head.previews_off = update.previews.map_or(head.previews_off, |has| !has);
}

/// A message of a member. In slow mode their row keeps when it was taken, in the same commit: whoever owns the
/// partition next goes on with it.
pub(super) fn write(
    room: &Room,
    role: Role,
    sender: &UserId,
    now_ms: u64,
) -> Result<Change, ApiError> {
    rights::check(role, Action::Write(room.head.write_rule()))?;
    let pause_ms = u64::from(room.head.slow_mode_s) * 1_000;
    if pause_ms == 0 || rights::may(role, Action::WriteFast) {
        return Ok(Change::default());
    }
    let (member, _) = super::target(&room.members, sender)?;
    let time_ms = now_ms.max(room.head.time_ms);
    let next_ms = member.wrote_ms.saturating_add(pause_ms);
    if member.wrote_ms > 0 && time_ms < next_ms {
        let message = "the group is in slow mode: the sender has written there a moment ago";
        let error = ApiError::new(ErrorCode::SlowMode, message);
        return Err(error.retry_after_ms(next_ms - time_ms));
    }
    let row = member.with_message_at(time_ms);
    Ok(Change { members: vec![(sender.clone(), row)], ..Change::default() })
}
