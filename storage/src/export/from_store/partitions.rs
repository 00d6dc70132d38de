//! Dead letters, and how far the partitions are.

use std::io::Write;

use weft_proto::Partition;

use super::super::error::Error;
use super::super::line::{JournalLine, Line, PartitionLine};
use super::super::snapshots::Snapshots;
use super::super::writer::Writer;
use super::{Begin, partitions_of};
use crate::engine::{Pair, Snapshot};
use crate::tables::applied::Applied;
use crate::tables::dead_letter;
use crate::tables::journal::{self, Journal};

/// Journal rows read at once. A row has at most 100 kB.
const ROWS_AT_ONCE: usize = 16;

/// Writes them; true where nothing was committed since the export began.
pub async fn write<W: Write>(
    snapshots: &mut Snapshots,
    out: &mut Writer<'_, W>,
    begin: &Begin,
) -> Result<bool, Error> {
    dead_letters(snapshots, out).await?;
    // Behind everything else that was read.
    let end = snapshots.read(partitions_of).await?;
    let whole = end == *begin;
    let rows: Vec<(Partition, Applied)> = (0..)
        .zip(&begin.applied)
        .zip(end.applied)
        .map(|((n, begin), end)| (n, if whole { end } else { at_least(begin, end) }))
        .collect();
    for (partition, row) in &rows {
        out.line(&Line::Partition(PartitionLine::new(*partition, row)))?;
    }
    for (partition, row) in rows {
        unpublished(snapshots, out, partition, &row).await?;
    }
    Ok(whole)
}

/// The row of a partition that went on meanwhile: what was applied when the export began is in it
/// for certain, and published by whoever went on. Epoch and floor never go back.
fn at_least(begin: &Applied, end: Applied) -> Applied {
    let stream_seq = begin.stream_seq;
    Applied { stream_seq, published_up_to: stream_seq, ..end }
}

async fn dead_letters<W: Write>(
    snapshots: &mut Snapshots,
    out: &mut Writer<'_, W>,
) -> Result<(), Error> {
    let mut after = None;
    loop {
        let read = async |snapshot: &dyn Snapshot| dead_letter::first_after(snapshot, after).await;
        let Some(kept) = snapshots.read(read).await? else { return Ok(()) };
        after = Some((kept.partition, kept.stream_seq));
        out.line(&Line::DeadLetter(kept.into()))?;
    }
}

/// The commits whose events may not be published.
async fn unpublished<W: Write>(
    snapshots: &mut Snapshots,
    out: &mut Writer<'_, W>,
    partition: Partition,
    row: &Applied,
) -> Result<(), Error> {
    let mut range = journal::range_after(partition, row.published_up_to);
    // What comes behind it belongs to a commit that came after the row was read.
    range.end = journal::range_after(partition, row.stream_seq).start.min(range.end);
    while range.start < range.end {
        let read =
            async |snapshot: &dyn Snapshot| snapshot.scan(range.clone(), ROWS_AT_ONCE, false).await;
        let page: Vec<Pair> = snapshots.read(read).await?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        range.start = journal::range_after(partition, journal::stream_seq(last)?).start;
        for (key, value) in page {
            let (stream_seq, row) = (journal::stream_seq(&key)?, Journal::decode_whole(&value)?);
            let line = JournalLine::new(partition, stream_seq, &row)?;
            out.line(&Line::Journal(line))?;
        }
    }
    Ok(())
}
