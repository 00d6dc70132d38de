//! How many members of a group are here: for groups that are too large to watch. Each count is valid
//! for a while and is made once for all who ask.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use weft_nats::Bus;
use weft_proto::svc::{CountPresent, GetRoom, ListMembers};
use weft_proto::{ApiError, ErrorCode, RoomId, RoomKind};
use weft_runtime::lock;

/// How long a count is valid.
const FRESH: Duration = Duration::from_secs(15);
/// More counts than these are not remembered.
const COUNTS_MAX: usize = 1_000;

/// When it was made, and how many are here.
type Count = Arc<tokio::sync::Mutex<Option<(Instant, u32)>>>;

/// The counts of an edge.
#[derive(Default)]
pub(crate) struct RoomCounts(Mutex<HashMap<RoomId, Count>>);

impl RoomCounts {
    /// How many members of a group are here, and how many it has.
    ///
    /// # Errors
    /// `not_member` and what else core answers.
    pub(crate) async fn get(
        &self,
        bus: &Bus,
        token: String,
        room: &RoomId,
    ) -> Result<(u32, u32), ApiError> {
        if room.kind() == RoomKind::Direct {
            return Err(ApiError::new(ErrorCode::BadRequest, "only members of groups are counted"));
        }
        // Whoever is no member hears so, whatever others have counted.
        let request = GetRoom { token: token.clone(), room: room.to_string() };
        let members = bus.call(&request).await?.member_count;
        let count = self.of(room);
        let mut count = count.lock().await;
        let fresh = count.filter(|(at, _)| at.elapsed() < FRESH);
        let present = match fresh {
            Some((_, present)) => present,
            None => {
                let present = make(bus, token, room).await?;
                *count = Some((Instant::now(), present));
                present
            }
        };
        Ok((present.min(members), members))
    }

    fn of(&self, room: &RoomId) -> Count {
        let mut counts = lock(&self.0);
        if counts.len() >= COUNTS_MAX && !counts.contains_key(room) {
            counts.retain(|_, count| Arc::strong_count(count) > 1);
        }
        Arc::clone(counts.entry(room.clone()).or_default())
    }
}

async fn make(bus: &Bus, token: String, room: &RoomId) -> Result<u32, ApiError> {
    let (mut present, mut after) = (0, String::new());
    loop {
        let request = ListMembers { token: token.clone(), room: room.to_string(), after, limit: 0 };
        let page = bus.call(&request).await?;
        let Some(last) = page.members.last() else { return Ok(present) };
        after = last.user.clone();
        let users = page.members.into_iter().map(|member| member.user).collect();
        present += bus.call(&CountPresent { users }).await?.count;
        if !page.more {
            return Ok(present);
        }
    }
}
