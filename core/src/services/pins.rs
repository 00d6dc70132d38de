//! The messages that are pinned in a room.

use weft_proto::{RoomId, svc};
use weft_storage::tables::pin::{self, Pin};

use super::Context;
use super::access::Access;
use super::failure::Failure;
use super::page::{PageBuilder, PageLimit};

impl Context {
    /// The pinned messages that the caller may see, as they are now; what was pinned last comes first.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`](weft_proto::ErrorCode::BadId),
    /// [`ErrorCode::NoSuchRoom`](weft_proto::ErrorCode::NoSuchRoom),
    /// [`ErrorCode::NotMember`](weft_proto::ErrorCode::NotMember), those of the token, or the store's.
    pub async fn pins(&self, request: svc::ListPins) -> Result<svc::PinnedMessages, Failure> {
        let snapshot = self.store.snapshot().await?;
        let user = self.caller(&*snapshot, &request).await?.user;
        let room = RoomId::new(&request.room)?;
        let access = Access::of(&*snapshot, &room, &user).await?;
        access.member_role()?;
        let before = if request.before == 0 { u64::MAX } else { request.before };
        let pins = pin::of_room(&*snapshot, &room).await?;
        let mut pins: Vec<(u64, u64)> = pins
            .into_iter()
            .map(|((_, seq), Pin { seq: pinned })| (pinned, seq))
            .filter(|(pinned, seq)| *pinned < before && access.visible.contains(*seq))
            .collect();
        pins.sort_unstable_by(|a, b| b.cmp(a));
        let wanted: Vec<(RoomId, u64)> =
            pins.into_iter().map(|(_, seq)| (room.clone(), seq)).collect();
        let limit = PageLimit { entries_max: self.entries_max(request.limit), ..self.limits.page };
        let mut page = PageBuilder::new(limit).merged(user, self.clock.now_ms());
        let added = page.add_each(&*snapshot, &wanted).await?;
        let entries = page.into_entries().into_iter().map(|entry| entry.frame).collect();
        Ok(svc::PinnedMessages { entries, more: added < wanted.len() })
    }
}

#[cfg(test)]
mod tests;
