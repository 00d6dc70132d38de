//! How far the partitions are, and what is still to be done.

use std::io::Write;

use weft_proto::Partition;

use super::super::error::Error;
use super::super::snapshots::Snapshots;
use super::super::writer::ExportWriter;
use super::{Begin, partitions_of};
use crate::engine::Snapshot;
use crate::tables::applied::Applied;
use crate::tables::journal::Journal;
use crate::tables::table::{Table, line};

/// Writes them; true where nothing was committed since the export began.
pub async fn write<W: Write>(
    snapshots: &mut Snapshots,
    out: &mut ExportWriter<'_, W>,
    begin: &Begin,
) -> Result<bool, Error> {
    // After everything else that was read.
    let end = snapshots.read(partitions_of).await?;
    let whole = end == *begin;
    let rows: Vec<(Partition, Applied)> = (0..)
        .zip(&begin.applied)
        .zip(end.applied)
        .map(|((n, begin), end)| (n, if whole { end } else { at_least(begin, end) }))
        .map(|(n, row)| (n, without_owner(row)))
        .collect();
    for (partition, row) in &rows {
        out.line(Applied::NAME, line(Applied::NAME, partition, row))?;
    }
    for (partition, row) in rows {
        unpublished(snapshots, out, partition, &row).await?;
    }
    Ok(whole)
}

/// The row of a partition that went on meanwhile: what was applied when the export began is in it
/// for certain, and published by whoever went on. Epoch and floor never go back.
fn at_least(begin: &Applied, end: Applied) -> Applied {
    let (stream_seq, commit_no) = (begin.stream_seq, begin.last_commit_no());
    Applied { stream_seq, published_up_to: commit_no, commit_no: Some(commit_no), ..end }
}

/// Nobody owns the partition in a new store, and its journal begins after what is published.
fn without_owner(row: Applied) -> Applied {
    let trimmed_up_to = row.trimmed_up_to.max(row.published_up_to);
    Applied { owner: String::new(), batch_id: Vec::new(), trimmed_up_to, ..row }
}

/// The commits whose events may not be published.
async fn unpublished<W: Write>(
    snapshots: &mut Snapshots,
    out: &mut ExportWriter<'_, W>,
    partition: Partition,
    row: &Applied,
) -> Result<(), Error> {
    let mut after = (partition, row.published_up_to);
    // What comes after it belongs to a commit that came after the row was read.
    let last = (partition, row.last_commit_no());
    while after < last {
        let read = async |snapshot: &dyn Snapshot| Journal::page(snapshot, Some(&after)).await;
        let page = snapshots.read(read).await?;
        after = page.last().map_or(last, |(key, _)| *key);
        for (key, row) in page.iter().filter(|(key, _)| *key <= last) {
            out.line(Journal::NAME, line(Journal::NAME, key, row))?;
        }
    }
    Ok(())
}
