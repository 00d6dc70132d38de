//! Decides what an owner's watch does: its ticks, and what it removes from the log.

use std::collections::BTreeMap;

use weft_proto::{Position, Tick};

use super::check::{Checker, Judged};
use super::life::Life;

/// What is known of lives, by their numbers.
#[derive(Default)]
pub struct Watched {
    /// Of what each has committed.
    epochs: BTreeMap<u32, u64>,
    /// The last tick of each.
    numbers: BTreeMap<u32, u64>,
    pub ticks: u64,
}

impl Watched {
    pub fn commits(&mut self, life: &Life, epoch: u64) {
        self.epochs.insert(life.number, epoch);
    }
}

impl Checker {
    /// A tick is on its way. Its epoch is the owner's own, its numbers have no gap; and nothing at or
    /// before its read version is after what it says is applied.
    pub fn ticks(&mut self, life: &Life, tick: &Tick) -> Judged<()> {
        let (name, watched) = (&life.name, &mut self.watched);
        watched.ticks += 1;
        if watched.epochs.get(&life.number) != Some(&tick.epoch) {
            return Err(format!("{name} ticks for epoch {}, which it has not taken", tick.epoch));
        }
        let last = watched.numbers.insert(life.number, tick.number).unwrap_or(0);
        if tick.number != last + 1 {
            return Err(format!("{name} ticks {} after {last}", tick.number));
        }
        if tick.stalled {
            // It proves nothing to anybody.
            return Ok(());
        }
        let read_version = Position::from_slice(&tick.read_version).ok_or("not a position")?;
        match self.last_at(read_version) {
            Some(kept) if kept.commit_no > tick.commit_no || kept.stream_seq > tick.applied => {
                let (room, seq) = (&kept.entry.room, kept.entry.seq);
                Err(format!("{name} ticks {tick:?}, and {room} {seq} is after that"))
            }
            _ => Ok(()),
        }
    }

    /// Everything below `seq` goes from the log; `kept` says beside it how far it was trimmed.
    pub fn trims(&self, life: &Life, seq: u64, kept: u64) -> Judged<()> {
        if seq > kept + 1 {
            return Err(format!("{} trims below {seq}, and only {kept} is kept", life.name));
        }
        if seq > self.settled_seq + 1 {
            let what = "what a store may lose with its newest commit";
            return Err(format!("{} removes {what}, below {seq}", life.name));
        }
        Ok(())
    }
}
