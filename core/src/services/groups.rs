//! What owners and admins of a group ask for.

use std::cmp::Reverse;

use weft_proto::{LinkId, Role, RoomId, UserId, svc};
use weft_storage::tables::ban::{self, Ban};
use weft_storage::tables::link::{self, Link};

use super::Context;
use super::access::Access;
use super::failure::Failure;
use crate::partition::rights::{self, Action};

impl Context {
    /// Who is kept out of a group, ascending by user id: for those who may ban.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`](weft_proto::ErrorCode::BadId), those of [`Access`],
    /// [`ErrorCode::Forbidden`](weft_proto::ErrorCode::Forbidden), those of the token, or the store's.
    pub async fn banned(&self, request: svc::ListBanned) -> Result<svc::Banned, Failure> {
        let snapshot = self.store.snapshot().await?;
        let user = self.caller(&*snapshot, &request.token).await?.user;
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

    /// The links by which one may join a group, those that were made last first: for those who may make one.
    ///
    /// # Errors
    /// As [`banned`](Self::banned).
    pub async fn links(&self, request: svc::ListLinks) -> Result<svc::Links, Failure> {
        let snapshot = self.store.snapshot().await?;
        let user = self.caller(&*snapshot, &request.token).await?.user;
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
