//! What owners and admins of a group ask for, and groups that everybody may find.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use tracing::error;
use weft_proto::{ErrorCode, LinkId, Role, RoomId, UserId, svc};
use weft_storage::tables::ban::{self, Ban};
use weft_storage::tables::join_request::{self, JoinRequest};
use weft_storage::tables::link::{self, Link};
use weft_storage::tables::{head, open_group, user_room};

use super::Context;
use super::access::Access;
use super::failure::Failure;
use crate::partition::rights::{self, Action};

/// A place among the groups that everybody may find: a name, and one of the groups with it.
struct FoundPlace(String, RoomId);

impl fmt::Display for FoundPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.1, self.0)
    }
}

impl FromStr for FoundPlace {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let parse = || {
            let (room, name) = text.split_once(':')?;
            Some(Self(name.to_owned(), RoomId::new(room).ok()?)).filter(|_| !name.contains('\0'))
        };
        let message = "the field after is the cursor of a page of groups";
        parse().ok_or_else(|| Failure::new(ErrorCode::BadCursor, message))
    }
}

impl Context {
    /// Groups that everybody may find, whose title or id begins with a text. Each comes once, also where both do.
    ///
    /// # Errors
    /// [`ErrorCode::BadCursor`], those of the token, or the store's.
    pub async fn find(&self, request: svc::FindGroups) -> Result<svc::FoundGroups, Failure> {
        let snapshot = self.store.snapshot().await?;
        let user = self.caller(&*snapshot, &request).await?.user;
        let text = open_group::folded(&request.text);
        let after = match &*request.after {
            "" => None,
            after => Some(after.parse::<FoundPlace>()?),
        };
        let after = after.map(|FoundPlace(name, room)| (name, room));
        let limit = match request.limit as usize {
            0 => self.limits.rooms_max,
            asked => asked.min(self.limits.rooms_max),
        };
        let page = open_group::page_after(&*snapshot, &text, after.as_ref(), limit).await?;
        let is_full = page.len() == limit;
        let last = page.last().filter(|_| is_full).cloned();
        let cursor = last.map(|(name, room)| FoundPlace(name, room).to_string());
        let keys = |room: &RoomId| {
            [head::key(room), user_room::key(&user, room), join_request::key(room, &user)]
        };
        let keys = page.iter().flat_map(|(_, room)| keys(room)).collect();
        let rows = snapshot.get_many(keys).await?;
        let found = page.iter().zip(rows.chunks(3));
        let found = found
            .filter_map(|((name, room), rows)| found_group((name.as_str(), room), &text, rows));
        Ok(svc::FoundGroups { groups: found.collect(), cursor: cursor.unwrap_or_default() })
    }

    /// Who is kept out of a group, ascending by user id: for those who may ban.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`](weft_proto::ErrorCode::BadId), those of [`Access`],
    /// [`ErrorCode::Forbidden`](weft_proto::ErrorCode::Forbidden), those of the token, or the store's.
    pub async fn banned(&self, request: svc::ListBanned) -> Result<svc::Banned, Failure> {
        let snapshot = self.store.snapshot().await?;
        let user = self.caller(&*snapshot, &request).await?.user;
        let room = RoomId::new(&request.room)?;
        let after = match &*request.after {
            "" => None,
            after => Some(UserId::new(after)?),
        };
        let role = Access::of(&*snapshot, &room, &user).await?.member_role()?;
        rights::check(role, Action::Remove(Role::Member))?;
        let limit = self.rows_max(request.limit);
        let page = ban::page_after(&*snapshot, &room, after.as_ref(), limit + 1).await?;
        let more = page.len() > limit;
        let banned = page.into_iter().take(limit);
        let banned =
            banned.map(|((_, user), Ban { seq })| svc::BannedUser { user: user.to_string(), seq });
        Ok(svc::Banned { users: banned.collect(), more })
    }

    /// Who asks to come into a group, ascending by user id: for those who may bring them in.
    ///
    /// # Errors
    /// As [`banned`](Self::banned).
    pub async fn asking(&self, request: svc::ListAsking) -> Result<svc::AskingUsers, Failure> {
        let snapshot = self.store.snapshot().await?;
        let user = self.caller(&*snapshot, &request).await?.user;
        let room = RoomId::new(&request.room)?;
        let after = match &*request.after {
            "" => None,
            after => Some(UserId::new(after)?),
        };
        let role = Access::of(&*snapshot, &room, &user).await?.member_role()?;
        rights::check(role, Action::Add(Role::Member))?;
        let limit = self.rows_max(request.limit);
        let page = join_request::page_after(&*snapshot, &room, after.as_ref(), limit + 1).await?;
        let more = page.len() > limit;
        let shown = |((_, user), it): ((RoomId, UserId), JoinRequest)| svc::AskingUser {
            user: user.to_string(),
            asked_ms: it.asked_ms,
            text: it.text,
        };
        Ok(svc::AskingUsers { users: page.into_iter().take(limit).map(shown).collect(), more })
    }

    /// The links by which one may join a group, those that were made last first: for those who may make one.
    ///
    /// # Errors
    /// As [`banned`](Self::banned).
    pub async fn links(&self, request: svc::ListLinks) -> Result<svc::Links, Failure> {
        let snapshot = self.store.snapshot().await?;
        let user = self.caller(&*snapshot, &request).await?.user;
        let room = RoomId::new(&request.room)?;
        let role = Access::of(&*snapshot, &room, &user).await?.member_role()?;
        rights::check(role, Action::Link)?;
        let links = link::of_room(&*snapshot, &room).await?;
        Ok(svc::Links { links: usable(links, self.clock.now_ms()) })
    }
}

/// Those that can be used, the ones that were made last first.
pub(super) fn usable(mut links: Vec<(LinkId, Link)>, now_ms: u64) -> Vec<svc::Link> {
    links.retain(|(_, link)| !link.is_expired(now_ms) && !link.is_used_up());
    links.sort_by_key(|(_, link)| Reverse(link.made_ms));
    let shown = |(id, it): (LinkId, Link)| svc::Link {
        id: id.to_string(),
        by: it.by,
        made_ms: it.made_ms,
        expires_ms: it.expires_ms,
        uses_max: it.uses_max,
        used: it.used,
    };
    links.into_iter().map(shown).collect()
}

/// A group as somebody sees it who finds it by this name; `rows`: its head, the caller's membership, and their asking. `None`: it
/// comes by another name of it that the text begins, or there is nobody in it.
fn found_group(
    (name, room): (&str, &RoomId),
    text: &str,
    rows: &[Option<Bytes>],
) -> Option<svc::FoundGroup> {
    let [Some(head), membership, asked] = rows else { return None };
    // One that can't be read is no reason to find nothing.
    let read =
        head::decode(head).inspect_err(|error| error!(%room, %error, "a group is not found"));
    let (_, head) = read.ok()?;
    let names = open_group::names(room, &head);
    let first = names.iter().find(|it| it.starts_with(text));
    if head.member_count == 0 || first.is_none_or(|first| first != name) {
        return None;
    }
    Some(svc::FoundGroup {
        room: room.to_string(),
        join: head.join_rule().as_str().to_owned(),
        title: head.title,
        topic: head.topic,
        avatar: head.avatar,
        member_count: head.member_count,
        member: membership.is_some(),
        asked: asked.is_some(),
    })
}
