//! The newest tick of each partition: the evidence by which sends are published again.

use std::sync::{PoisonError, RwLock};

use weft_proto::{Partition, RoomId, Tick, partition_of};

/// What is known of a partition's log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    /// Grows with each tick that came.
    pub(crate) count: u64,
    /// Every command up to here is applied.
    pub(crate) applied: u64,
    /// The log's last sequence.
    pub(crate) last_seq: u64,
}

/// The newest ticks of all partitions.
pub(crate) struct Ticks(RwLock<Vec<Option<Newest>>>);

struct Newest {
    epoch: u64,
    number: u64,
    seen: Seen,
}

impl Ticks {
    pub(crate) fn new(partitions: Partition) -> Self {
        Self(RwLock::new((0..partitions).map(|_| None).collect()))
    }

    /// Takes a tick in; one of an owner that was replaced, or a late one, says nothing.
    pub(crate) fn note(&self, partition: Partition, tick: &Tick) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Some(newest) = all.get_mut(usize::from(partition)) else { return };
        let count = match newest {
            Some(old) if (tick.epoch, tick.number) <= (old.epoch, old.number) => return,
            Some(old) => old.seen.count + 1,
            None => 1,
        };
        let seen = Seen { count, applied: tick.applied, last_seq: tick.last_seq };
        *newest = Some(Newest { epoch: tick.epoch, number: tick.number, seen });
    }

    /// The newest tick of a room's partition, where one came.
    pub(crate) fn of(&self, room: &RoomId) -> Option<Seen> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let partitions = Partition::try_from(all.len()).ok()?;
        let newest = all.get(usize::from(partition_of(room, partitions)))?;
        newest.as_ref().map(|newest| newest.seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_newer_ticks_count() {
        let room = RoomId::new("team").expect("id");
        let partition = partition_of(&room, 2);
        let ticks = Ticks::new(2);
        let tick = |epoch, number, applied| Tick {
            epoch,
            number,
            applied,
            last_seq: applied,
            ..Tick::default()
        };
        assert_eq!(ticks.of(&room), None);
        for tick in [tick(2, 1, 5), tick(2, 1, 6), tick(1, 9, 7), tick(2, 3, 8), tick(3, 1, 9)] {
            ticks.note(partition, &tick);
            ticks.note(2, &tick);
        }
        ticks.note(1 - partition, &tick(7, 7, 7));
        assert_eq!(ticks.of(&room), Some(Seen { count: 3, applied: 9, last_seq: 9 }));
    }
}
