//! A store into an export.
//!
//! - **Each room is of one moment.** Its head and members are read from one snapshot; its log only
//!   grows, so the part of it up to the head's seq may be read later, from any.
//! - **Resend records come with their entries**, so none speaks of an entry that is not there:
//!   whoever sends again hears "acknowledged" only for what the new store has.
//! - **The whole store is of one moment** where no partition's `applied` row has changed between
//!   the begin and the end: every commit of a partition changes it. Only then are the journal rows
//!   carried whose events may not be published.
//! - Else the rooms hold *at least* what was applied at the begin, and that is what the partitions
//!   say. What was applied later is perhaps here and perhaps not; core finds that the ingest logs
//!   have trimmed it, and asks for `accept-loss`, as with any copy that is older than they are.

mod partitions;
mod rooms;

use std::io::Write;

use tracing::error;
use weft_proto::Partition;

pub use self::rooms::Absent;

use super::error::Error;
use super::line::{Header, Plain};
use super::snapshots::Snapshots;
use super::writer::ExportWriter;
use super::{ExportCounts, ExportProgress, FORMAT, VERSION};
use crate::engine::{Snapshot, Store};
use crate::tables::applied::{self, Applied};
use crate::tables::layout::{self, FEATURE_LEVEL, Layout};
use crate::tables::table::AnyTable;
use crate::tables::{Carried, Tag, import, unknown};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exported {
    pub counts: ExportCounts,
    /// Nothing was committed meanwhile: what the ingest logs still hold will be applied once.
    pub whole: bool,
    /// Before compression.
    pub bytes: u64,
    /// What the store lacks, and so the export too.
    pub absent: Absent,
}

/// Writes everything in `store` to `sink`. `now_ms`: for people.
///
/// # Errors
/// Each is one line that an operator can act on. The sink may hold a part then, which no import
/// takes.
pub async fn export<W: Write>(
    store: &Store,
    sink: W,
    now_ms: u64,
    progress: ExportProgress<'_>,
) -> Result<Exported, Error> {
    let mut snapshots = Snapshots::new(store);
    let begin = begin(&mut snapshots).await?;
    let mut out = ExportWriter::new(sink, progress)?;
    let header = Plain::Header(Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        weft: env!("CARGO_PKG_VERSION").to_owned(),
        time: now_ms,
        store: begin.layout.store_id,
        partitions: begin.partitions(),
    });
    out.line("header", header.text())?;
    for tag in Tag::all() {
        if let Carried::Rows(table) = tag.carried() {
            rows(&mut snapshots, &mut out, table).await?;
        }
    }
    let absent = rooms::write(&mut snapshots, &mut out, &begin).await?;
    if let Some((room, seq)) = &absent.first {
        let Absent { entries, rooms, .. } = absent;
        error!(%room, seq, entries, rooms, "entries are missing in the store, which is damaged: the export lacks them");
    }
    let whole = partitions::write(&mut snapshots, &mut out, &begin).await?;
    let (counts, bytes) = out.finish(whole)?;
    Ok(Exported { counts, whole, bytes, absent })
}

/// Writes a line for each row of a table, by its keys.
async fn rows<W: Write>(
    snapshots: &mut Snapshots,
    out: &mut ExportWriter<'_, W>,
    table: &dyn AnyTable,
) -> Result<(), Error> {
    let mut after = None;
    loop {
        let read = async |snapshot: &dyn Snapshot| table.lines(snapshot, after.as_ref()).await;
        let Some((lines, last)) = snapshots.read(read).await? else { return Ok(()) };
        for line in lines {
            out.line(table.name(), line)?;
        }
        after = Some(last);
    }
}

/// What the store said when the export began.
#[derive(PartialEq)]
struct Begin {
    layout: Layout,
    /// Of each partition.
    applied: Vec<Applied>,
}

impl Begin {
    fn partitions(&self) -> Partition {
        // One row was read for each.
        Partition::try_from(self.applied.len()).unwrap_or(Partition::MAX)
    }
}

async fn begin(snapshots: &mut Snapshots) -> Result<Begin, Error> {
    let read = async |snapshot: &dyn Snapshot| {
        let rows = snapshot.get_many(vec![layout::key(), import::key()]).await?;
        Ok((rows, unknown::first_tag(snapshot).await?))
    };
    let (rows, unknown_tag) = snapshots.read(read).await?;
    if let Some(tag) = unknown_tag {
        return Err(Error::UnknownTable(tag));
    }
    match rows.as_slice() {
        [_, Some(_)] => return Err(Error::Unfinished),
        [Some(row), None] => {
            Layout::decode(row)?.check(FEATURE_LEVEL)?;
        }
        _ => return Err(Error::NoStore),
    }
    Ok(snapshots.read(partitions_of).await?)
}

/// The layout and the partitions' rows, of one snapshot.
async fn partitions_of(snapshot: &dyn Snapshot) -> Result<Begin, crate::Error> {
    let corrupt = |what: &str| crate::Error::Corrupt(format!("layout: {what}"));
    let row = snapshot.get(layout::key()).await?.ok_or_else(|| corrupt("it was deleted"))?;
    let layout = Layout::decode_whole(&row)?;
    let count =
        Partition::try_from(layout.partitions).map_err(|_| corrupt("too many partitions"))?;
    let rows = snapshot.get_many((0..count).map(applied::key).collect()).await?;
    // Nobody has taken a partition that has no row.
    let read =
        |row: Option<bytes::Bytes>| row.map_or(Ok(Applied::default()), |row| Applied::decode(&row));
    let applied = rows.into_iter().map(read).collect::<Result<_, _>>()?;
    Ok(Begin { layout, applied })
}
