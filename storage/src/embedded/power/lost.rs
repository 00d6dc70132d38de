//! What a cut would lose, in words for the operator who has to decide.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;
use std::time::{Duration, UNIX_EPOCH};

use super::batch;
use super::damage::Cut;
use super::journal;
use crate::embedded::keys;
use crate::tables::named::{Named, named};

/// Names of one kind, and rooms, that are listed.
const LISTED_MAX: usize = 50;
/// Dates are written up to there.
const YEAR_9999: Duration = Duration::from_secs(253_370_764_800);

/// The rows that the whole batches of the cut would have written.
#[derive(Default)]
struct Lost {
    rooms: BTreeMap<String, BTreeSet<u64>>,
    rows: BTreeMap<&'static str, BTreeSet<String>>,
    others: BTreeMap<&'static str, usize>,
    versions: Option<(u64, u64)>,
}

/// Says what is lost where the journals are cut: several lines.
pub fn describe(cut: &Cut) -> io::Result<String> {
    let mut lost = Lost::default();
    let mut read: Option<(&std::path::Path, Vec<u8>)> = None;
    let mut whole_bytes = 0;
    for (path, offset) in &cut.whole {
        if read.as_ref().is_none_or(|(before, _)| before != path) {
            read = Some((path, journal::data(path)?));
        }
        let bytes = read.as_ref().and_then(|(_, bytes)| bytes.get(*offset..)).unwrap_or_default();
        let found = batch::read_items(bytes, |key, is_set| lost.add(key, is_set));
        let Ok(batch) = found else { continue };
        whole_bytes += batch.len as u64;
        if let Some(state) = batch.state {
            let (from, to) = lost.versions.unwrap_or((state.version, state.version));
            lost.versions = Some((from.min(state.version), to.max(state.version)));
        }
    }
    Ok(lost.tell(cut, cut.bytes.saturating_sub(whole_bytes)))
}

impl Lost {
    fn add(&mut self, key: &[u8], is_set: bool) {
        let Some((&keys::USER, key)) = key.split_first() else { return };
        match named(key) {
            Named::Entry { room, seq } if is_set => {
                self.rooms.entry(room).or_default().insert(seq);
            }
            Named::Row(table, name) => {
                self.rows.entry(table).or_default().insert(name);
            }
            Named::Entry { .. } => *self.others.entry("removed entry").or_default() += 1,
            Named::Other(table) => *self.others.entry(table).or_default() += 1,
        }
    }

    fn tell(&self, cut: &Cut, unreadable_bytes: u64) -> String {
        let mut text = format!(
            "Kept: everything up to {}.\nLost: {} bytes of {} from byte {} on",
            time(cut.version),
            cut.bytes,
            cut.journal.display(),
            cut.offset,
        );
        for later in &cut.later {
            let _ = write!(text, ", and {}", later.display());
        }
        let _ = write!(
            text,
            ".\n  {unreadable_bytes} bytes are damaged: nobody can say what they held."
        );
        if let Some((from, to)) = self.versions {
            let (from, to) = (time(from), time(to));
            let count = cut.whole.len();
            let _ = write!(text, "\n  {count} whole commits, made between {from} and {to}:");
        }
        for (room, seqs) in self.rooms.iter().take(LISTED_MAX) {
            let _ = write!(text, "\n    entries of {room}: {}", ranges(seqs));
        }
        more(&mut text, self.rooms.len(), "rooms");
        for (table, names) in &self.rows {
            let listed: Vec<_> = names.iter().take(LISTED_MAX).map(String::as_str).collect();
            let _ = write!(text, "\n    {table}: {}", listed.join(", "));
            more(&mut text, names.len(), "of them");
        }
        for (table, count) in &self.others {
            let _ = write!(text, "\n    {table}: {count} rows");
        }
        text
    }
}

fn more(text: &mut String, count: usize, what: &str) {
    if count > LISTED_MAX {
        let _ = write!(text, "\n    and {} more {what}", count - LISTED_MAX);
    }
}

/// `1 to 7, 9`.
fn ranges(seqs: &BTreeSet<u64>) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for seq in seqs {
        match ranges.last_mut() {
            Some((_, to)) if *to + 1 == *seq => *to = *seq,
            _ => ranges.push((*seq, *seq)),
        }
    }
    let one = |(from, to): &(u64, u64)| {
        if from == to { from.to_string() } else { format!("{from} to {to}") }
    };
    ranges.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// A version is the clock of its commit, in µs since 1970.
fn time(version: u64) -> String {
    let at = UNIX_EPOCH.checked_add(Duration::from_micros(version));
    match at.filter(|at| *at < UNIX_EPOCH + YEAR_9999) {
        Some(_) if version == 0 => "the beginning".to_owned(),
        Some(at) => httpdate::fmt_http_date(at),
        None => format!("version {version}"),
    }
}
