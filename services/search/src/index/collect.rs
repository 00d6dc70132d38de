//! Looking through what a query finds: what may be seen, the best of it, and how many there are, by room.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::ops::Range;

use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::{Column, StrColumn};
use tantivy::{DocId, Score, SegmentOrdinal, SegmentReader};

pub(super) const ROOM: &str = "room";
pub(super) const SEQ: &str = "seq";
pub(super) const TIME: &str = "time";

/// What may be seen of which rooms, in which time, and from which place on.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The parts of each room, by their first and last seq.
    pub rooms: HashMap<String, Vec<(u64, u64)>>,
    /// Unix milliseconds.
    pub time_ms: Option<Range<u64>>,
    /// The best first, else the newest.
    pub is_ranked: bool,
    /// Only what comes after this.
    pub after: Option<After>,
}

/// A place in the order of what was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct After {
    pub rank: Rank,
    pub room: String,
}

/// How early a message comes: the greater, the earlier. Of the same rank the room with the greater id comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Rank {
    /// The bits of its score, which is positive: in their order. 0 where the newest comes first.
    pub score: u32,
    pub time_ms: u64,
    pub seq: u64,
}

/// A message that was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hit {
    pub room: String,
    pub rank: Rank,
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// In their order.
    pub hits: Vec<Hit>,
    /// How many there are, wherever the page begins, by room.
    pub by_room: HashMap<String, u64>,
}

pub(super) struct Collect<'a> {
    pub(super) scope: &'a Scope,
    pub(super) limit: usize,
}

pub(super) struct OfSegment {
    rooms: Option<StrColumn>,
    room_of: Option<Column<u64>>,
    seqs: Column<u64>,
    times: Column<u64>,
    /// By the number of a room in this segment: the parts that may be seen.
    parts: Vec<Option<Vec<(u64, u64)>>>,
    counts: Vec<u64>,
    time_ms: Range<u64>,
    is_ranked: bool,
    after: Option<After>,
    limit: usize,
    /// The best ones, the worst of them on top.
    best: BinaryHeap<Reverse<(Rank, u64)>>,
}

impl Collector for Collect<'_> {
    type Fruit = Found;
    type Child = OfSegment;

    fn for_segment(
        &self,
        _: SegmentOrdinal,
        segment: &SegmentReader,
    ) -> tantivy::Result<OfSegment> {
        let columns = segment.fast_fields();
        let rooms = columns.str(ROOM)?;
        let mut parts =
            vec![None; rooms.as_ref().map_or(0, |rooms| rooms.dictionary().num_terms())];
        if let Some(rooms) = &rooms {
            for (room, visible) in &self.scope.rooms {
                if let Some(number) = rooms.dictionary().term_ord(room)? {
                    parts[number as usize] = Some(visible.clone());
                }
            }
        }
        Ok(OfSegment {
            room_of: rooms.as_ref().map(|rooms| rooms.ords().clone()),
            rooms,
            seqs: columns.u64(SEQ)?,
            times: columns.u64(TIME)?,
            counts: vec![0; parts.len()],
            parts,
            time_ms: self.scope.time_ms.clone().unwrap_or(0..u64::MAX),
            is_ranked: self.scope.is_ranked,
            after: self.scope.after.clone(),
            limit: self.limit,
            best: BinaryHeap::new(),
        })
    }

    fn requires_scoring(&self) -> bool {
        self.scope.is_ranked
    }

    fn merge_fruits(&self, found: Vec<tantivy::Result<Found>>) -> tantivy::Result<Found> {
        let mut all = Found::default();
        for found in found {
            let found = found?;
            all.hits.extend(found.hits);
            for (room, count) in found.by_room {
                *all.by_room.entry(room).or_default() += count;
            }
        }
        all.hits
            .sort_unstable_by(|one, other| (other.rank, &other.room).cmp(&(one.rank, &one.room)));
        all.hits.truncate(self.limit);
        Ok(all)
    }
}

impl OfSegment {
    fn name(&self, room: u64) -> tantivy::Result<String> {
        let mut name = String::new();
        if let Some(rooms) = &self.rooms {
            rooms.ord_to_str(room, &mut name)?;
        }
        Ok(name)
    }

    fn is_after(&self, rank: Rank, room: u64) -> bool {
        let Some(after) = &self.after else { return true };
        match rank.cmp(&after.rank) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Greater => false,
            std::cmp::Ordering::Equal => self.name(room).is_ok_and(|name| name < after.room),
        }
    }

    fn finish(self) -> tantivy::Result<Found> {
        let mut found = Found::default();
        for Reverse((rank, room)) in self.best.iter() {
            found.hits.push(Hit { room: self.name(*room)?, rank: *rank });
        }
        for (room, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            found.by_room.insert(self.name(room as u64)?, *count);
        }
        Ok(found)
    }
}

impl SegmentCollector for OfSegment {
    type Fruit = tantivy::Result<Found>;

    fn collect(&mut self, doc: DocId, score: Score) {
        let Some(room) = self.room_of.as_ref().and_then(|rooms| rooms.first(doc)) else { return };
        let Some(parts) = &self.parts[room as usize] else { return };
        let (Some(seq), Some(time_ms)) = (self.seqs.first(doc), self.times.first(doc)) else {
            return;
        };
        let is_seen = parts.iter().any(|(first, last)| (*first..=*last).contains(&seq));
        if !is_seen || !self.time_ms.contains(&time_ms) {
            return;
        }
        self.counts[room as usize] += 1;
        let score = if self.is_ranked { score.max(0.0).to_bits() } else { 0 };
        let rank = Rank { score, time_ms, seq };
        let is_full = self.best.len() >= self.limit;
        if is_full && self.best.peek().is_none_or(|Reverse(worst)| (rank, room) <= *worst) {
            return;
        }
        if !self.is_after(rank, room) {
            return;
        }
        if is_full {
            self.best.pop();
        }
        self.best.push(Reverse((rank, room)));
    }

    fn harvest(self) -> Self::Fruit {
        self.finish()
    }
}
