//! The newest tick of each partition: the evidence by which sends are published again, and that its
//! owner works.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;
use weft_proto::{Partition, RoomId, Tick, TickName, partition_of};

/// What is known of a partition's log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LastTick {
    /// Grows with each tick that came.
    pub(crate) count: u64,
    /// Every command up to here is applied; 0: its owner does not know.
    pub(crate) applied: u64,
    pub(crate) last_seq: u64,
    /// Its owner can commit nothing, and wants nothing new.
    pub(crate) stalled: bool,
}

pub struct Ticks {
    /// A partition without a tick for this long has no owner; `None`: nobody is to tick.
    silence_max: Option<Duration>,
    state: RwLock<State>,
}

struct State {
    newest: Vec<Option<Newest>>,
    /// Since when ticks could be heard.
    listening_since: Instant,
}

struct Newest {
    name: TickName,
    heard_at: Instant,
    seen: LastTick,
}

impl Ticks {
    /// No tick has come yet.
    #[must_use]
    pub fn new(partitions: Partition, silence_max: Option<Duration>) -> Self {
        let newest = (0..partitions).map(|_| None).collect();
        let state = State { newest, listening_since: Instant::now() };
        Self { silence_max, state: RwLock::new(state) }
    }

    /// Takes a tick in; one of an owner that was replaced, or a late one, says nothing.
    pub(crate) fn note(&self, partition: Partition, tick: &Tick) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let Some(newest) = state.newest.get_mut(usize::from(partition)) else { return };
        let count = match newest {
            Some(old) if !tick.name().is_after(&old.name) => return,
            Some(old) => old.seen.count + 1,
            None => 1,
        };
        let Tick { applied, last_seq, stalled, .. } = *tick;
        let seen = LastTick { count, applied, last_seq, stalled };
        *newest = Some(Newest { name: tick.name(), heard_at: Instant::now(), seen });
    }

    /// The connection was made anew: what was not heard before says nothing of the owners.
    pub(crate) fn listen_anew(&self) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.listening_since = Instant::now();
    }

    /// The newest tick of a room's partition, where one came.
    pub(crate) fn of(&self, room: &RoomId) -> Option<LastTick> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.of(room).map(|newest| newest.seen)
    }

    /// True where the room's partition has not ticked for too long: nobody applies what is sent.
    pub(crate) fn is_silent(&self, room: &RoomId) -> bool {
        let Some(silence_max) = self.silence_max else { return false };
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.silence(state.of(room)) >= silence_max
    }

    /// True where no partition has ticked for too long.
    pub(crate) fn are_all_silent(&self) -> bool {
        let Some(silence_max) = self.silence_max else { return false };
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.newest.iter().all(|newest| state.silence(newest.as_ref()) >= silence_max)
    }
}

impl State {
    fn of(&self, room: &RoomId) -> Option<&Newest> {
        let partitions = Partition::try_from(self.newest.len()).ok()?;
        self.newest.get(usize::from(partition_of(room, partitions)))?.as_ref()
    }

    fn silence(&self, newest: Option<&Newest>) -> Duration {
        let heard_at = newest.map_or(self.listening_since, |newest| newest.heard_at);
        heard_at.max(self.listening_since).elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE_MAX: Duration = Duration::from_secs(20);

    fn tick(epoch: u64, number: u64, applied: u64) -> Tick {
        Tick { epoch, number, applied, last_seq: applied, ..Tick::default() }
    }

    #[test]
    fn only_newer_ticks_count() {
        let room = RoomId::new("team").expect("id");
        let partition = partition_of(&room, 2);
        let ticks = Ticks::new(2, None);
        assert_eq!(ticks.of(&room), None);
        for tick in [tick(2, 1, 5), tick(2, 1, 6), tick(1, 9, 7), tick(2, 3, 8), tick(3, 1, 9)] {
            ticks.note(partition, &tick);
            ticks.note(2, &tick);
        }
        ticks.note(1 - partition, &tick(7, 7, 7));
        assert_eq!(
            ticks.of(&room),
            Some(LastTick { count: 3, applied: 9, last_seq: 9, stalled: false })
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_owner_of_a_store_that_went_back_is_heard() {
        let room = RoomId::new("team").expect("id");
        let ticks = Ticks::new(1, Some(SILENCE_MAX));
        let of = |store_id, tick| Tick { store_id: Some(store_id), ..tick };
        ticks.note(0, &of(1, tick(7, 9, 5)));
        tokio::time::advance(SILENCE_MAX).await;
        ticks.note(0, &of(2, tick(3, 1, 4)));
        assert!(!ticks.is_silent(&room));
        assert_eq!(ticks.of(&room).map(|seen| (seen.count, seen.applied)), Some((2, 4)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_partition_without_ticks_is_silent() {
        let room = RoomId::new("team").expect("id");
        let partition = partition_of(&room, 2);
        let ticks = Ticks::new(2, Some(SILENCE_MAX));
        let wait = |time| tokio::time::advance(time);
        assert!(!ticks.is_silent(&room) && !ticks.are_all_silent());
        wait(SILENCE_MAX).await;
        assert!(ticks.is_silent(&room) && ticks.are_all_silent());
        ticks.note(partition, &tick(2, 1, 5));
        assert!(!ticks.is_silent(&room) && !ticks.are_all_silent());
        wait(SILENCE_MAX / 2).await;
        ticks.note(1 - partition, &tick(1, 1, 5));
        // An owner that was replaced is no sign of life.
        ticks.note(partition, &tick(1, 9, 5));
        wait(SILENCE_MAX / 2).await;
        assert!(ticks.is_silent(&room) && !ticks.are_all_silent());
        // The connection was away, so nothing could be heard.
        ticks.listen_anew();
        assert!(!ticks.is_silent(&room));
    }

    #[tokio::test(start_paused = true)]
    async fn where_nobody_is_to_tick_silence_says_nothing() {
        let ticks = Ticks::new(1, None);
        tokio::time::advance(SILENCE_MAX * 2).await;
        assert!(!ticks.is_silent(&RoomId::new("team").expect("id")) && !ticks.are_all_silent());
    }
}
