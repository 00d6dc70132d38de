//! What a room takes from whom: pure decisions about one command.

use std::collections::HashMap;

use weft_nats::MadeBy;
use weft_proto::kind::{
    Add, Ban, ChangeRole, Close, Create, Delete, Join, Leave, Remove, Rename, Unban, Unlink, Update,
};
use weft_proto::limits::{FANOUT_LIMIT, GROUPS_PER_USER_MAX};
use weft_proto::{ApiError, Body, ErrorCode, LinkId, Role, RoomId, UserId};
use weft_storage::tables::account::Account;
use weft_storage::tables::head::Head;
use weft_storage::tables::link::Link;
use weft_storage::tables::member::Member;

use super::bans::FoundBans;
use super::invitations::FoundInvitations;
use super::links::{self, FoundLinks, LinkChange};
use super::plan::Found;
use super::rights::{self, Action};
use super::rooms::{Members, Room};
use super::state::State;

pub mod administer;
mod join;
mod update;

/// What an allowed command changes beside adding its entry.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Change {
    /// The members whose row changes, with the new row.
    pub members: Vec<(UserId, Member)>,
    /// Who gets the entry on their own subject and in their inbox, whatever the room's size.
    pub concerned: Vec<UserId>,
    pub title: Option<String>,
    /// The group's history rule: of a `create`.
    pub history: Option<weft_proto::History>,
    /// What the group is from now on.
    pub update: Option<Update>,
    /// An administrator closes the room, or opens it again.
    pub closed: Option<bool>,
    /// The link by which the sender has joined, as it is after that.
    pub link: Option<(LinkId, Link)>,
}

impl Change {
    /// Without those who are invited and not added.
    pub fn leave_out(&mut self, invited: &[UserId]) {
        self.members.retain(|(user, _)| !invited.contains(user));
        self.concerned.retain(|user| !invited.contains(user));
    }

    /// A core of before level 3 can't read members' rows with earlier memberships in them.
    pub fn leave_out_earlier(&mut self) {
        for (_, row) in &mut self.members {
            *row = row.without_earlier();
        }
    }
}

fn no(code: ErrorCode, message: &str) -> ApiError {
    ApiError::new(code, message)
}

/// Those users that exist, of [`Body::accounts`] and the users of a new direct room.
pub type Accounts = HashMap<UserId, Account>;

/// What a decision knows beside the room.
pub struct Known<'a> {
    pub accounts: &'a Accounts,
    pub bans: &'a FoundBans,
    pub links: &'a FoundLinks,
    pub invitations: &'a FoundInvitations,
    pub state: &'a State,
}

impl<'a> Known<'a> {
    /// What was looked up for a run of commands, with what was planned since.
    #[must_use]
    pub fn of(found: &'a Found, state: &'a State) -> Self {
        let Found { accounts, bans, links, invitations, .. } = found;
        Self { accounts, bans, links, invitations, state }
    }

    fn is_banned(&self, id: &RoomId, user: &UserId) -> bool {
        self.bans.has(self.state, &(id.clone(), user.clone()))
    }
}

/// A store takes entries of those kinds that all its cores know, and that somebody may send. What core makes is only the
/// owner's own where it tells itself so: a command, or a preview. Other entries are made in their commit alone.
///
/// # Errors
/// [`ErrorCode::UnknownType`], [`ErrorCode::BadRequest`].
pub fn may_take(body: &Body, made_by: Option<MadeBy>, feature_level: u32) -> Result<(), ApiError> {
    let kind = body.kind();
    let is_told = !kind.is_entry || matches!(body, Body::Preview(_));
    if kind.is_made && !(is_told && made_by == Some(MadeBy::Owner)) {
        let message = format!("nobody sends the kind {}", kind.word);
        return Err(ApiError::new(ErrorCode::BadRequest, message));
    }
    if body.level() <= feature_level {
        return Ok(());
    }
    let message = format!("the service does not take such a {} yet", kind.word);
    Err(ApiError::new(ErrorCode::UnknownType, message))
}

/// Decides about a command. `seq` and `now_ms` are the entry's.
///
/// # Errors
/// The refusal.
pub fn decide(
    (id, room): (&RoomId, &Room),
    (seq, now_ms): (u64, u64),
    sender: &UserId,
    body: &Body,
    known: &Known<'_>,
) -> Result<Change, ApiError> {
    let accounts = known.accounts;
    if administer::is_administrators(body) {
        return administer::decide((id, room), sender, body, accounts);
    }
    match id.direct_users() {
        Some(users) => decide_direct(&users, &room.head, sender, body, accounts),
        None if matches!(body, Body::Create(_)) => create(&room.head, sender, body, accounts),
        None => decide_group((id, room), (seq, now_ms), sender, body, known),
    }
}

fn decide_direct(
    (a, b): &(UserId, UserId),
    head: &Head,
    sender: &UserId,
    body: &Body,
    accounts: &Accounts,
) -> Result<Change, ApiError> {
    if sender != a && sender != b {
        return Err(no(ErrorCode::NotMember, "a direct room belongs to its two users"));
    }
    if !body.kind().is_for_direct {
        return Err(no(ErrorCode::BadRequest, "a direct room takes messages only"));
    }
    administer::check_closed(head, body)?;
    if head.seq == 0 {
        exists(a, accounts)?;
        exists(b, accounts)?;
    }
    let update = match body {
        Body::Update(wanted) => Some(update::update_direct(head, wanted)?),
        _ => None,
    };
    let mut concerned = vec![a.clone()];
    if a != b {
        concerned.push(b.clone());
    }
    Ok(Change { concerned, update, ..Change::default() })
}

fn create(
    head: &Head,
    sender: &UserId,
    body: &Body,
    accounts: &Accounts,
) -> Result<Change, ApiError> {
    let Body::Create(Create { title, members, history }) = body else {
        return Ok(Change::default());
    };
    if head.seq != 0 {
        return Err(no(ErrorCode::RoomExists, "the room's id is taken"));
    }
    exists(sender, accounts)?;
    let mut rows = vec![(sender.clone(), Member::joined(Role::Owner, 1))];
    for user in members.iter().filter(|user| *user != sender) {
        exists(user, accounts)?;
        rows.push((user.clone(), Member::joined(Role::Member, 1)));
    }
    Ok(Change {
        concerned: rows.iter().map(|(user, _)| user.clone()).collect(),
        members: rows,
        title: Some(title.clone()),
        history: Some(*history),
        ..Change::default()
    })
}

fn decide_group(
    (id, room): (&RoomId, &Room),
    (seq, now_ms): (u64, u64),
    sender: &UserId,
    body: &Body,
    known: &Known<'_>,
) -> Result<Change, ApiError> {
    if let Body::Join(Join { link }) = body {
        return join::join((id, room), (seq, now_ms), sender, link.as_ref(), known);
    }
    let role = role_of(room, sender)?;
    administer::check_closed(&room.head, body)?;
    update::check_archived(&room.head, body)?;
    match body {
        // A `create`, a `join` and a `close` are decided above, `may_take` refused what is made, and what is no entry is decided
        // elsewhere (`marks::decide`, `settings::decide`, `drafts::decide`, `relations::decide`). What may become of a message is decided beside this: `messages::decide`.
        Body::Text(_) | Body::Image(_) | Body::File(_) => update::write(room, role, sender, now_ms),
        Body::Edit(_) => {
            rights::check(role, Action::Write(room.head.write_rule()))?;
            Ok(Change::default())
        }
        Body::Create(_)
        | Body::Delete(_)
        | Body::Deleted(_)
        | Body::React(_)
        | Body::Unreact(_)
        | Body::Preview(_)
        | Body::Unpreview(_)
        | Body::Mark(_)
        | Body::Join(_)
        | Body::Link(_)
        | Body::Unlink(_)
        | Body::Ask(_)
        | Body::Decline(_)
        | Body::Setting(_)
        | Body::Draft(_)
        | Body::Relation(_)
        | Body::Expire(_)
        | Body::Close(_)
        | Body::Schedule(_)
        | Body::Unschedule(_)
        | Body::Due(_) => {
            rights::check(role, Action::React)?;
            Ok(Change::default())
        }
        Body::Pin(_) | Body::Unpin(_) => {
            rights::check(role, Action::Pin)?;
            Ok(Change::default())
        }
        Body::Rename(Rename { title }) => {
            rights::check(role, Action::Rename)?;
            if *title == room.head.title {
                return Err(no(ErrorCode::Unchanged, "the group has this title already"));
            }
            Ok(Change { title: Some(title.clone()), ..Change::default() })
        }
        Body::Update(wanted) => update::update(&room.head, role, wanted),
        Body::Add(Add { user, role: given }) => add((id, room), seq, role, (user, *given), known),
        Body::Remove(Remove { user }) => remove(room, seq, sender, role, user),
        Body::Ban(Ban { user, .. }) => ban((id, room), seq, (sender, role), user, known),
        Body::Unban(Unban { user }) => {
            rights::check(role, Action::Remove(Role::Member))?;
            match known.is_banned(id, user) {
                true => Ok(Change::default()),
                false => Err(no(ErrorCode::Unchanged, "the user is not banned")),
            }
        }
        Body::Leave(Leave {}) => leave(room, seq, sender, role),
        Body::ChangeRole(ChangeRole { user, role: given }) => change_role(room, role, user, *given),
    }
}

fn add(
    (id, room): (&RoomId, &Room),
    seq: u64,
    role: Role,
    (user, given): (&UserId, Role),
    known: &Known<'_>,
) -> Result<Change, ApiError> {
    rights::check(role, Action::Add(given))?;
    exists(user, known.accounts)?;
    if room.members.role(user).is_some() {
        return Err(no(ErrorCode::AlreadyMember, "the user is a member already"));
    }
    come_in((id, room), seq, (user, given), known)
}

/// Who is no member becomes one, where the group lets them.
fn come_in(
    (id, room): (&RoomId, &Room),
    seq: u64,
    (user, given): (&UserId, Role),
    known: &Known<'_>,
) -> Result<Change, ApiError> {
    if known.is_banned(id, user) {
        return Err(no(ErrorCode::Banned, "the user is kept out of the group"));
    }
    if room.head.member_count >= room.head.members_max() {
        return Err(no(ErrorCode::RoomFull, "the room has as many members as it may have"));
    }
    let row = match room.former.get(user) {
        Some(former) => former.joined_again(given, seq),
        None => Member::joined(given, seq),
    };
    Ok(one(user, row))
}

fn remove(
    room: &Room,
    seq: u64,
    sender: &UserId,
    role: Role,
    user: &UserId,
) -> Result<Change, ApiError> {
    if sender == user {
        return Err(no(ErrorCode::BadRequest, "to go oneself, send leave"));
    }
    // Who may remove nobody is told that, whoever the other one is.
    rights::check(role, Action::Remove(Role::Member))?;
    let (member, target) = target(&room.members, user)?;
    rights::check(role, Action::Remove(target))?;
    Ok(one(user, member.left(seq)))
}

/// Refuses who can't come into a group, whoever decides it.
///
/// # Errors
/// [`ErrorCode::Closed`], [`ErrorCode::Archived`], [`ErrorCode::Banned`], [`ErrorCode::NoSuchUser`].
pub fn may_come(
    (id, room): (&RoomId, &Room),
    user: &UserId,
    known: &Known<'_>,
) -> Result<(), ApiError> {
    if room.head.closed {
        return Err(administer::is_closed());
    }
    if room.head.archived {
        return Err(no(ErrorCode::Archived, "the group is archived"));
    }
    exists(user, known.accounts)?;
    if known.is_banned(id, user) {
        return Err(no(ErrorCode::Banned, "the user is kept out of the group"));
    }
    Ok(())
}

/// The role of a group's member.
///
/// # Errors
/// Those of [`not_member`].
pub fn role_of(room: &Room, sender: &UserId) -> Result<Role, ApiError> {
    room.members.role(sender).ok_or_else(|| not_member(room, sender))
}

/// What somebody is told who is no member of a group. That there is one, only those learn who have been there.
pub fn not_member(room: &Room, sender: &UserId) -> ApiError {
    match room.former.get(sender) {
        Some(_) => no(ErrorCode::NotMember, "the sender is not a member of the room any more"),
        None => no(ErrorCode::NoSuchRoom, "there is no such room"),
    }
}

/// Decides about a link to a group: what changes.
///
/// # Errors
/// The refusal.
pub fn decide_link(
    (id, room): (&RoomId, &Room),
    sender: &UserId,
    body: &Body,
    now_ms: u64,
    known: &Known<'_>,
) -> Result<Vec<LinkChange>, ApiError> {
    if id.direct_users().is_some() {
        return Err(no(ErrorCode::BadRequest, "a direct room has no links"));
    }
    let (role, with) = (role_of(room, sender)?, (known.links, known.state));
    match body {
        Body::Link(_) if room.head.closed => Err(administer::is_closed()),
        Body::Link(_) if room.head.archived && rights::may(role, Action::Link) => {
            Err(no(ErrorCode::Archived, "the group is archived"))
        }
        Body::Link(wanted) => links::make(id, (sender, role), wanted, now_ms, with),
        Body::Unlink(Unlink { link_id }) => links::take_back(id, role, link_id, with),
        _ => Err(no(ErrorCode::Internal, "it is no link")),
    }
}

/// Keeps a user out, and removes them where they are a member: the same rights.
fn ban(
    (id, room): (&RoomId, &Room),
    seq: u64,
    (sender, role): (&UserId, Role),
    user: &UserId,
    known: &Known<'_>,
) -> Result<Change, ApiError> {
    if sender == user {
        return Err(no(ErrorCode::BadRequest, "to go oneself, send leave"));
    }
    rights::check(role, Action::Remove(Role::Member))?;
    exists(user, known.accounts)?;
    if known.is_banned(id, user) {
        return Err(no(ErrorCode::Unchanged, "the user is banned already"));
    }
    let Some((member, target)) = room.members.get(user).zip(room.members.role(user)) else {
        return Ok(Change::default());
    };
    rights::check(role, Action::Remove(target))?;
    Ok(one(user, member.left(seq)))
}

/// The body as the log gets it: what core alone knows is in it.
#[must_use]
pub fn as_taken(body: Body, change: &Change) -> Body {
    match body {
        Body::Ban(it) => Body::Ban(Ban { removed: !change.members.is_empty(), ..it }),
        // A secret: members read entries.
        Body::Join(Join { .. }) => Body::Join(Join { link: None }),
        // It is for administrators.
        Body::Delete(it) => Body::Delete(Delete { reason: None, ..it }),
        Body::Close(it) => Body::Close(Close { reason: None, ..it }),
        // Who is invited is no member.
        Body::Create(Create { members, title, history }) => {
            let is_in = |user: &UserId| change.members.iter().any(|(member, _)| member == user);
            let members = members.into_iter().filter(is_in).collect();
            Body::Create(Create { members, title, history })
        }
        body => body,
    }
}

fn leave(room: &Room, seq: u64, sender: &UserId, role: Role) -> Result<Change, ApiError> {
    rights::check(role, Action::Leave)?;
    if role == Role::Owner && room.head.owner_count == 1 && room.head.member_count > 1 {
        return Err(no(ErrorCode::Forbidden, "the last owner makes somebody else owner first"));
    }
    let (member, _) = target(&room.members, sender)?;
    Ok(one(sender, member.left(seq)))
}

fn change_role(room: &Room, role: Role, user: &UserId, given: Role) -> Result<Change, ApiError> {
    rights::check(role, Action::ChangeRole)?;
    let (member, current) = target(&room.members, user)?;
    if current == Role::Owner && given != Role::Owner && room.head.owner_count == 1 {
        return Err(no(ErrorCode::Forbidden, "the last owner stays one"));
    }
    if current == given {
        return Err(no(ErrorCode::Unchanged, "the user has this role already"));
    }
    Ok(one(user, member.with_role(given)))
}

fn one(user: &UserId, member: Member) -> Change {
    Change {
        members: vec![(user.clone(), member)],
        concerned: vec![user.clone()],
        ..Change::default()
    }
}

fn target<'a>(members: &'a Members, user: &UserId) -> Result<(&'a Member, Role), ApiError> {
    members
        .get(user)
        .and_then(|member| Some((member, member.role()?)))
        .ok_or_else(|| no(ErrorCode::NotMember, "the user is not a member of the room"))
}

fn exists(user: &UserId, accounts: &Accounts) -> Result<(), ApiError> {
    if accounts.contains_key(user) {
        return Ok(());
    }
    Err(no(ErrorCode::NoSuchUser, &format!("there is no user {user}")))
}

/// Nobody is put into more groups than a session can follow. `groups`: in how many they are.
///
/// # Errors
/// The refusal.
pub fn may_join(
    change: &Change,
    room: &Room,
    groups: &HashMap<UserId, usize>,
) -> Result<(), ApiError> {
    let joins =
        |user: &UserId, row: &Member| row.role().is_some() && room.members.role(user).is_none();
    let is_full =
        |user: &UserId| groups.get(user).is_some_and(|count| *count >= GROUPS_PER_USER_MAX);
    match change.members.iter().find(|(user, row)| joins(user, row) && is_full(user)) {
        Some((user, _)) => {
            let message = format!("{user} is in as many groups as one may be");
            Err(no(ErrorCode::TooManyGroups, &message))
        }
        None => Ok(()),
    }
}

/// Takes a change over into the room: its members and the head's counts. The head's `seq`, time and
/// ordinal are the caller's.
pub fn apply(room: &mut Room, change: &Change) {
    for (user, member) in &change.members {
        let before = room.members.role(user);
        let after = member.role();
        let head = &mut room.head;
        head.member_count =
            head.member_count + u32::from(after.is_some()) - u32::from(before.is_some());
        let is_owner = |role| u32::from(role == Some(Role::Owner));
        head.owner_count = head.owner_count + is_owner(after) - is_owner(before);
        room.set_member(user, member);
    }
    // A group that was large once stays so: its entries stopped going to inboxes.
    room.head.large |= room.head.member_count as usize > FANOUT_LIMIT;
    if let Some(title) = &change.title {
        room.head.title.clone_from(title);
    }
    if let Some(history) = change.history {
        room.head.history = history.into();
    }
    if let Some(update) = &change.update {
        update::apply(&mut room.head, update);
    }
    if room.head.member_count == 0 {
        // Nobody sees it any more, so nobody needs the file.
        room.head.avatar.clear();
    }
    room.head.closed = change.closed.unwrap_or(room.head.closed);
}

/// Who gets an entry on their own subject, read off the entry: the same as [`Change::concerned`].
#[must_use]
pub fn concerned(entry: &weft_proto::Entry) -> Vec<UserId> {
    if let Some((a, b)) = entry.room.direct_users() {
        return if a == b { vec![a] } else { vec![a, b] };
    }
    entry.body.users(&entry.from).into_iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_waits_for_its_feature_level() {
        for (json, level) in [
            (r#"{"text":"x"}"#, 1),
            (r#"{"text":"x","reply_to":1}"#, 2),
            (r#"{"text":"x","silent":true}"#, 3),
            (r#"{"text":"x","ranges":[{"at":0,"len":1,"style":"mention","user":"bob"}]}"#, 3),
            (r#"{"kind":"delete","target":1}"#, 2),
            (r#"{"kind":"mark","read":1}"#, 3),
        ] {
            let body = Body::from_json(json.as_bytes()).expect(json);
            assert!(may_take(&body, None, level).is_ok());
            let early = may_take(&body, None, level - 1);
            assert_eq!(early.expect_err(json).code, ErrorCode::UnknownType);
        }
    }
}
