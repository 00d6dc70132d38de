//! What a group's member may do: the one table.

use weft_proto::{ApiError, ErrorCode, Role, WriteRule};

/// What a member may want to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Messages, and edits of one's own, in a group where these may write.
    Write(WriteRule),
    /// Messages without a pause, where the group is in slow mode.
    WriteFast,
    /// Reactions, and deletions of one's own messages.
    React,
    /// A message of another member.
    DeleteAny,
    MentionEveryone,
    Pin,
    Leave,
    Rename,
    /// What the group is, and who writes in it.
    Update,
    /// Who comes in, whether anybody may write at all, and how long entries are kept.
    UpdateAccess,
    Add(Role),
    /// Links by which one joins.
    Link,
    /// Incoming webhooks.
    Hook,
    Remove(Role),
    ChangeRole,
}

/// True where a member with this role may do it.
#[must_use]
pub fn may(role: Role, action: Action) -> bool {
    use Role::{Admin, Member, Owner};
    match (action, role) {
        (Action::Write(WriteRule::All) | Action::React | Action::Leave, Member | Admin | Owner)
        | (
            Action::Write(WriteRule::Admins)
            | Action::WriteFast
            | Action::Rename
            | Action::Update
            | Action::Link
            | Action::Hook
            | Action::DeleteAny
            | Action::MentionEveryone
            | Action::Pin,
            Admin | Owner,
        )
        | (Action::Add(Member | Admin), Admin | Owner)
        | (Action::Add(Owner), Owner)
        | (Action::Remove(Member), Admin | Owner)
        | (Action::Remove(Admin | Owner), Owner)
        | (Action::ChangeRole | Action::UpdateAccess, Owner) => true,
        (
            Action::Write(WriteRule::Admins)
            | Action::WriteFast
            | Action::Rename
            | Action::Update
            | Action::UpdateAccess
            | Action::Link
            | Action::Hook
            | Action::DeleteAny
            | Action::MentionEveryone
            | Action::Pin
            | Action::ChangeRole
            | Action::Add(_)
            | Action::Remove(_),
            _,
        ) => false,
    }
}

/// Refuses what a member with this role may not do.
///
/// # Errors
/// [`ErrorCode::Forbidden`].
pub fn check(role: Role, action: Action) -> Result<(), ApiError> {
    if may(role, action) {
        return Ok(());
    }
    let message = match action {
        Action::Write(WriteRule::All) | Action::React | Action::Leave => {
            "only a member may do that"
        }
        Action::Write(WriteRule::Admins) => "only owners and admins write in this group",
        Action::MentionEveryone => "only an owner or admin may mention everyone",
        Action::WriteFast
        | Action::Rename
        | Action::Update
        | Action::Link
        | Action::Hook
        | Action::DeleteAny
        | Action::Pin => "only an owner or admin may do that",
        Action::Add(_) => "only an owner or admin adds a user, and not with a role above their own",
        Action::Remove(_) => "only an owner removes anyone, and an admin those with a lower role",
        Action::ChangeRole | Action::UpdateAccess => "only an owner may do that",
    };
    Err(ApiError::new(ErrorCode::Forbidden, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of docs/protocol.md, section 5.
    #[test]
    fn each_role_may_do_what_the_protocol_says() {
        use Role::{Admin, Member, Owner};
        let all = [Member, Admin, Owner];
        let who = |action| all.into_iter().filter(|role| may(*role, action)).collect::<Vec<_>>();
        for action in [Action::Write(WriteRule::All), Action::React, Action::Leave] {
            assert_eq!(who(action), all);
        }
        for action in [
            Action::Write(WriteRule::Admins),
            Action::WriteFast,
            Action::Rename,
            Action::Update,
            Action::Link,
            Action::Hook,
            Action::DeleteAny,
            Action::MentionEveryone,
            Action::Pin,
            Action::Add(Member),
            Action::Add(Admin),
        ] {
            assert_eq!(who(action), [Admin, Owner], "{action:?}");
        }
        assert_eq!(who(Action::Remove(Member)), [Admin, Owner]);
        for action in [Action::Add(Owner), Action::Remove(Admin), Action::Remove(Owner)] {
            assert_eq!(who(action), [Owner], "{action:?}");
        }
        for action in [Action::ChangeRole, Action::UpdateAccess] {
            assert_eq!(who(action), [Owner], "{action:?}");
        }
    }
}
