//! Who types: told to those of the room who have a session, best effort, and kept nowhere.
//!
//! One small message of an edge reaches all edges, each by one subscription, and those without a
//! session in the room drop it. So nothing is subscribed to per user or room, and neither the store
//! nor core is on the way: core is asked now and then whether the user may be heard there. The events'
//! subjects would not do: what is published on them is stored, and core alone may.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use weft_nats::{Bus, Filter, Subject, subscribed};
use weft_proto::scope::Needs;
use weft_proto::svc::{GetRoom, Reaches};
use weft_proto::{ApiError, ErrorCode, RoomId, UserId};
use weft_runtime::lock;

use crate::auth::Caller;
use crate::feeds::Feeds;
use crate::metrics;

/// Others are told at most so often that a user types in a room. By user and not by session: what they
/// are told names no device.
const PAUSE: Duration = Duration::from_secs(3);
/// For so long core's word is believed that the user is a member, and the group not large; or that neither of two users has
/// blocked the other, if nothing is heard of that.
const ALLOWED_FOR: Duration = Duration::from_secs(15);
/// Users and rooms that are remembered. A full table is searched for old ones at most once a second.
const TYPISTS_MAX: usize = 100_000;
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// Who types at this edge.
#[derive(Default)]
pub(crate) struct Typing(Mutex<Table>);

#[derive(Default)]
struct Table {
    typists: HashMap<(UserId, RoomId), Typist>,
    swept_at: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Typist {
    told_at: Instant,
    /// When core allowed it last.
    allowed_at: Option<Instant>,
}

/// What has to be done where a user types.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// Nothing: others were told just now.
    Throttled,
    /// Nothing: nobody is to hear it.
    Unheard,
    Tell,
    /// Ask core first.
    Check,
}

impl Typing {
    /// Tells others that the caller types.
    ///
    /// # Errors
    /// `not_member`, `no_such_room`; `forbidden` where that is out of the token's scope; `too_large` for a large group; `unavailable` while NATS is away;
    /// `overloaded` where too many type.
    pub(crate) async fn tell(
        &self,
        bus: &Bus,
        caller: &Caller,
        room: RoomId,
    ) -> Result<(), ApiError> {
        if let Some(scope) = &caller.scope {
            scope.check(Needs::Write(room.as_str()))?;
        }
        let told = self.tell_others(bus, caller, room).await;
        metrics::TYPING.increment(match told {
            Ok(Step::Throttled) => "throttled",
            Ok(Step::Unheard) => "unheard",
            Ok(_) => "told",
            Err(_) => "refused",
        });
        told.map(|_| ())
    }

    async fn tell_others(
        &self,
        bus: &Bus,
        caller: &Caller,
        room: RoomId,
    ) -> Result<Step, ApiError> {
        if !bus.connection().borrow().connected {
            return Err(unavailable());
        }
        let typist = (caller.user.clone(), room);
        let step = lock(&self.0).begin(&typist, Instant::now())?;
        if step == Step::Check {
            let is_heard = check(bus, caller, &typist.1).await;
            lock(&self.0).on_check(&typist, &is_heard, Instant::now());
            if !is_heard? {
                return Ok(Step::Unheard);
            }
        }
        if step != Step::Throttled {
            let (user, room) = typist;
            let subject = Subject::Typing { user, room };
            bus.publish(&subject, &[], Bytes::new()).await.map_err(|_| unavailable())?;
        }
        Ok(step)
    }

    /// One of two users may have blocked the other: before anything more is told, core is asked.
    pub(crate) fn doubt(&self, user: &UserId, other: &UserId) {
        lock(&self.0).typists.remove(&(user.clone(), RoomId::direct(user, other)));
    }
}

impl Table {
    fn begin(&mut self, typist: &(UserId, RoomId), now: Instant) -> Result<Step, ApiError> {
        if let Some(known) = self.typists.get_mut(typist) {
            if now < known.told_at + PAUSE {
                return Ok(Step::Throttled);
            }
            known.told_at = now;
            let is_allowed = known.allowed_at.is_some_and(|at| now < at + ALLOWED_FOR);
            return Ok(if is_allowed { Step::Tell } else { Step::Check });
        }
        if self.is_full(now) {
            let error = ApiError::new(ErrorCode::Overloaded, "too many users type at the moment");
            return Err(error.retry_after_ms(1_000));
        }
        self.typists.insert(typist.clone(), Typist { told_at: now, allowed_at: None });
        Ok(Step::Check)
    }

    fn on_check(
        &mut self,
        typist: &(UserId, RoomId),
        is_heard: &Result<bool, ApiError>,
        now: Instant,
    ) {
        match is_heard {
            // The next one asks again.
            Err(_) => drop(self.typists.remove(typist)),
            // So does this one, when others could be told again.
            Ok(false) => {}
            Ok(true) => {
                if let Some(known) = self.typists.get_mut(typist) {
                    known.allowed_at = Some(now);
                }
            }
        }
    }

    fn is_full(&mut self, now: Instant) -> bool {
        if self.typists.len() < TYPISTS_MAX {
            return false;
        }
        if self.swept_at.is_none_or(|at| now >= at + SWEEP_PAUSE) {
            self.swept_at = Some(now);
            self.typists.retain(|_, typist| now < typist.told_at + ALLOWED_FOR);
        }
        self.typists.len() >= TYPISTS_MAX
    }
}

/// Whether the caller is to be heard in the room. An error: they may not ask to be.
async fn check(bus: &Bus, caller: &Caller, room: &RoomId) -> Result<bool, ApiError> {
    let (token, room_id) = (caller.token.to_string(), room.to_string());
    if let Some((low, high)) = room.direct_users() {
        if caller.user != low && caller.user != high {
            return Err(ApiError::new(ErrorCode::NotMember, "not a member of the room"));
        }
        // In a notebook there is nobody else.
        return Ok(low != high && bus.call(&Reaches { token, room: room_id }).await?.reached);
    }
    let request = GetRoom { token, room: room_id };
    if bus.call(&request).await?.large {
        let message = "nobody is told who types in a large group";
        return Err(ApiError::new(ErrorCode::TooLarge, message));
    }
    Ok(true)
}

fn unavailable() -> ApiError {
    ApiError::new(ErrorCode::Unavailable, "NATS is away").retry_after_ms(1_000)
}

/// Hands on what all edges say, until the connection is closed for good.
pub(crate) async fn listen(bus: Bus, feeds: Feeds, partitions: weft_proto::Partition) {
    let messages = subscribed(|| bus.subscribe_wildcard(&Filter::Typing)).await;
    let Some(mut messages) = messages else { return };
    while let Some(message) = messages.next().await {
        if let Some(Subject::Typing { user, room }) = message.parse_subject() {
            feeds.types(user, room, partitions);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typist(user: &str) -> (UserId, RoomId) {
        (UserId::new(user).expect("id"), RoomId::new("team").expect("id"))
    }

    #[tokio::test(start_paused = true)]
    async fn others_are_told_now_and_then_and_core_is_asked_more_rarely() {
        let (mut table, start) = (Table::default(), Instant::now());
        let (alice, bob) = (typist("alice"), typist("bob"));
        let mut steps = Vec::new();
        for second in 0..20 {
            let now = start + Duration::from_secs(second);
            let step = table.begin(&alice, now).expect("a place");
            if step == Step::Check {
                table.on_check(&alice, &Ok(true), now);
            }
            if step != Step::Throttled {
                steps.push((second, step));
            }
        }
        let told = [0, 3, 6, 9, 12, 15, 18];
        assert_eq!(steps.iter().map(|(second, _)| *second).collect::<Vec<_>>(), told);
        let checks = steps.iter().filter(|(_, step)| *step == Step::Check);
        assert_eq!(checks.map(|(second, _)| *second).collect::<Vec<_>>(), [0, 15]);
        // Who is refused asks again at once.
        for _ in 0..2 {
            assert_eq!(table.begin(&bob, start).expect("a place"), Step::Check);
            let refused = ApiError::new(ErrorCode::NotMember, "not a member of the room");
            table.on_check(&bob, &Err(refused), start);
        }
        // Whom nobody is to hear asks again when others could be told.
        for second in 0..7 {
            let now = start + Duration::from_secs(second);
            let step = table.begin(&bob, now).expect("a place");
            let expected = if second % 3 == 0 { Step::Check } else { Step::Throttled };
            assert_eq!(step, expected, "{second}");
            table.on_check(&bob, &Ok(false), now);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_of_typists_is_bounded() {
        let (mut table, start) = (Table::default(), Instant::now());
        for number in 0..TYPISTS_MAX {
            table.begin(&typist(&format!("u{number}")), start).expect("a place");
        }
        let refused = table.begin(&typist("alice"), start).expect_err("full");
        assert_eq!(refused.code, ErrorCode::Overloaded);
        let later = start + ALLOWED_FOR;
        assert_eq!(table.begin(&typist("alice"), later).expect("a place"), Step::Check);
        assert_eq!(table.typists.len(), 1);
    }
}
