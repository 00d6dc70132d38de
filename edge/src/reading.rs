//! What sessions read by: feeds of live events, audits of what the wire lost, and calls to core.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use weft_nats::Bus;
use weft_proto::Partition;
use weft_proto::frame::HistoryFrom;
use weft_proto::svc::{LogPage, ReadLog};
use weft_proto::{ApiError, RoomId};
use weft_runtime::Shutdown;

use crate::audits::{Auditor, Audits};
use crate::feeds::Feeds;
use crate::limits::Limits;
use crate::ports::Wire;
use crate::ticks::Ticks;

pub struct Reading<W: Wire = Bus> {
    pub(crate) wire: W,
    pub(crate) partitions: Partition,
    pub(crate) feeds: Feeds<W>,
    pub(crate) audits: Audits,
    /// How long a session's own question is asked again.
    pub(crate) patience: Duration,
    pub(crate) groups_max: usize,
    /// Permits for reads of syncs and repairs.
    pub(crate) permits: Semaphore,
}

impl<W: Wire> Reading<W> {
    /// Audits from now on, until `tasks` end.
    pub fn start(
        wire: W,
        partitions: Partition,
        limits: &Limits,
        ticks: Arc<Ticks>,
        tasks: &Shutdown,
    ) -> Arc<Self> {
        let feeds = Feeds::new(wire.clone(), tasks.clone());
        let every = limits.audit_every;
        let (auditor, audits) = Auditor::new(wire.clone(), feeds.clone(), ticks, partitions, every);
        let token = tasks.token().clone();
        tasks.spawn_lasting("audits", async move {
            let _ = token.run_until_cancelled(auditor.run()).await;
        });
        Arc::new(Self {
            wire,
            partitions,
            feeds,
            audits,
            patience: limits.sync_patience,
            groups_max: limits.session_groups_max,
            permits: Semaphore::new(limits.sync_reads_max),
        })
    }

    /// A page of a room's history, or of a thread's, for a client.
    ///
    /// # Errors
    /// What core answers.
    pub(crate) async fn history(
        &self,
        token: &str,
        (room, thread): (&RoomId, Option<u64>),
        from: HistoryFrom,
        limit: u32,
    ) -> Result<LogPage, ApiError> {
        let (token, room) = (token.to_owned(), room.to_string());
        let request = ReadLog { token, room, thread, limit, merged: true, ..ReadLog::default() };
        let request = match from {
            HistoryFrom::After(seq) => ReadLog { after: Some(seq), ..request },
            HistoryFrom::Before(seq) => ReadLog { before: Some(seq), ..request },
            HistoryFrom::Around(seq) => ReadLog { around: Some(seq), ..request },
            HistoryFrom::At(time_ms) => ReadLog { at_ms: Some(time_ms), ..request },
        };
        self.wire.call(&request).await
    }
}
