//! What a session reads from the store: what was missed before it listened, and what the wire lost.

use weft_proto::frame::CloseCode;
use weft_proto::svc::{LogEntry, LogPage, ReadLog};
use weft_proto::{ErrorCode, EventHead, RoomId};

use super::ask::Refused;
use super::{Delivery, Frames, Phase, malformed};
use crate::metrics;
use crate::order::{Missing, Since};
use crate::ports::Wire;

impl<W: Wire> Delivery<W> {
    /// Reads what was published in a room before its subscription was made.
    pub(super) async fn catch_up(
        &mut self,
        room: RoomId,
        mut moved: Vec<RoomId>,
    ) -> Result<Frames, CloseCode> {
        let since = self.order.since(&room);
        let missing = Missing { since, room: room.clone(), to: 0, joined_after: None };
        let (frames, more) = match self.read(&missing).await? {
            Some(page) => (self.put_page(&room, &page)?, page.more),
            None => (Frames::new(), false),
        };
        moved.extend(self.order.take_moved());
        let more = more && self.order.is_in(&room);
        self.phase = if more { Phase::CatchUp { room, moved } } else { Phase::Settle { moved } };
        Ok(frames)
    }

    /// Reads one page of what is missing. Where the store shows this user nothing of the room, what
    /// it has up to `through` is not theirs.
    pub(super) async fn repair(
        &mut self,
        missing: Missing,
        through: u64,
    ) -> Result<Frames, CloseCode> {
        tracing::debug!(user = %self.user, room = %missing.room, to = missing.to, "repair");
        metrics::REPAIRS.increment();
        let mut tries = self.ask.tries();
        let frames = loop {
            let Some(page) = self.read(&missing).await? else {
                self.order.refuse(&missing.room, through);
                break Frames::new();
            };
            let has_moved_on = match missing.since {
                Since::Seq(after) => page.through > after,
                Since::Position(_) => page.through >= page.from && page.from > 0,
            };
            if has_moved_on {
                break self.put_page(&missing.room, &page)?;
            }
            // Somebody says that there is more than core can see: core lags a moment, at best.
            self.ask.failed(&mut tries).await.map_err(Refused::close)?;
        };
        let moved = self.order.take_moved();
        if !moved.is_empty() {
            self.phase = Phase::Settle { moved };
        }
        Ok(frames)
    }

    /// Reads a page of a room's log. `None`: it is not for this user.
    async fn read(&self, missing: &Missing) -> Result<Option<LogPage>, CloseCode> {
        let (after, after_position) = match missing.since {
            Since::Seq(seq) => (Some(seq), None),
            Since::Position(position) => (None, Some(position.0.to_vec())),
        };
        let request = |token| ReadLog {
            token,
            room: missing.room.to_string(),
            after,
            after_position: after_position.clone(),
            to: missing.to,
            joined_after: missing.joined_after.map(|position| position.0.to_vec()),
            ..ReadLog::default()
        };
        match self.ask.ask(request).await {
            Ok(page) => Ok(Some(page)),
            Err(Refused::No(error))
                if matches!(
                    error.code,
                    ErrorCode::NotMember | ErrorCode::NoSuchRoom | ErrorCode::Forbidden
                ) =>
            {
                Ok(None)
            }
            Err(refused) => Err(refused.close()),
        }
    }

    fn put_page(&mut self, room: &RoomId, page: &LogPage) -> Result<Frames, CloseCode> {
        let frames = self.put_stored(page.entries.clone())?;
        self.order.cover(room, page.through);
        Ok(frames)
    }

    pub(super) fn put_stored(&mut self, entries: Vec<LogEntry>) -> Result<Frames, CloseCode> {
        let mut frames = Frames::with_capacity(entries.len());
        for entry in entries {
            let head: EventHead = entry.head.parse().map_err(|_| malformed())?;
            if self.order.offer_stored(&head) {
                self.note(&head);
                frames.push(entry.frame.try_into().map_err(|_| malformed())?);
            }
        }
        Ok(frames)
    }
}
