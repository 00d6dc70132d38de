//! Who there is, how they log in, and how they want to be seen.

use std::io::Write;

use super::super::error::Error;
use super::super::line::{ChosenLine, LastActiveLine, Line};
use super::super::snapshots::Snapshots;
use super::super::writer::Writer;
use crate::engine::Snapshot;
use crate::tables::{account, chosen, device, last_active, signing_key};

/// Rows read at once: small ones.
const ROWS_AT_ONCE: usize = 1_000;
/// More signing keys than there will ever be.
const SIGNING_KEYS_MAX: usize = 10_000;

/// Writes them, table by table, each by its keys.
pub async fn write<W: Write>(
    snapshots: &mut Snapshots,
    out: &mut Writer<'_, W>,
) -> Result<(), Error> {
    let keys = snapshots
        .read(async |snapshot: &dyn Snapshot| signing_key::read(snapshot, SIGNING_KEYS_MAX).await);
    for key in keys.await? {
        out.line(&Line::SigningKey(key.into()))?;
    }
    table(snapshots, out, account::page_after, |row| Ok(Line::Account(row.into()))).await?;
    table(snapshots, out, device::page_after, |row| Ok(Line::Device(row.into()))).await?;
    let line = |(user, row)| Ok(Line::Chosen(ChosenLine::new(user, row)?));
    table(snapshots, out, chosen::page_after, line).await?;
    let line = |(user, last_active)| Ok(Line::LastActive(LastActiveLine { user, last_active }));
    table(snapshots, out, last_active::page_after, line).await
}

/// Writes a line for each row of a table, page by page.
async fn table<W: Write, K: Clone, R>(
    snapshots: &mut Snapshots,
    out: &mut Writer<'_, W>,
    page_after: impl AsyncFn(&dyn Snapshot, Option<&K>, usize) -> Result<Vec<(K, R)>, crate::Error>,
    line: impl Fn((K, R)) -> Result<Line, crate::Error>,
) -> Result<(), Error> {
    let mut after = None;
    loop {
        let read = async |snapshot: &dyn Snapshot| {
            page_after(snapshot, after.as_ref(), ROWS_AT_ONCE).await
        };
        let page = snapshots.read(read).await?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(last.clone());
        for row in page {
            out.line(&line(row)?)?;
        }
    }
}
