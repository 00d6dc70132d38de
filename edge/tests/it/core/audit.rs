//! Ticks and audits of the core of a few lines.

use std::time::Duration;

use weft_nats::{IngestLog, Subject};
use weft_proto::svc::{Audit, AuditPage, ChangedRoom, ConcernedUser};
use weft_proto::{ApiError, ErrorCode, Position, Tick};

use super::changes::Changed;
use super::{Core, Logged, State};

/// Between two ticks.
const PAUSE: Duration = Duration::from_millis(50);
/// Rows of a page, so few that more is asked for.
const PAGE_ROWS: usize = 3;

/// What is said of the log.
#[derive(Default)]
pub struct Ticks {
    count: u64,
    /// Said instead of the truth.
    last_seq: Option<u64>,
    audits_failing: bool,
    are_silent: bool,
    are_stalled: bool,
}

impl Core {
    /// How many ticks were published.
    pub fn ticks(&self) -> u64 {
        self.lock().ticks.count
    }

    /// Says that the log ends here.
    pub fn say_last_seq(&self, last_seq: u64) {
        self.lock().ticks.last_seq = Some(last_seq);
    }

    /// Gives no sign of life, or goes on with them.
    pub fn be_silent(&self, are_silent: bool) {
        self.lock().ticks.are_silent = are_silent;
    }

    /// Says that nothing can be committed, or that all is well again.
    pub fn be_stalled(&self, are_stalled: bool) {
        self.lock().ticks.are_stalled = are_stalled;
    }

    pub fn fail_audits(&self, failing: bool) {
        self.lock().ticks.audits_failing = failing;
    }

    /// All is as before, commit for commit, under another name.
    pub fn be_another_store(&self) {
        self.lock().store += 1;
    }

    pub(super) async fn tick(&self) {
        let log = IngestLog::open(&self.bus, 0);
        loop {
            tokio::time::sleep(PAUSE).await;
            let Ok(info) = log.info().await else { continue };
            let tick = {
                let mut state = self.lock();
                if state.ticks.are_silent {
                    continue;
                }
                state.ticks.count += 1;
                let stalled = state.ticks.are_stalled;
                Tick {
                    epoch: 1,
                    number: state.ticks.count,
                    applied: if stalled { 0 } else { state.applied },
                    // Each commit is of one command, and has its number.
                    commit_no: if stalled { 0 } else { state.applied },
                    last_seq: state.ticks.last_seq.unwrap_or(info.last_seq),
                    read_version: if stalled { Vec::new() } else { state.read_version() },
                    stalled,
                    store_id: Some(state.store),
                }
            };
            // While NATS is away it may fail.
            let _ =
                self.bus.publish(&Subject::Tick { partition: 0 }, &[], tick.encode().into()).await;
        }
    }

    pub(super) fn audit(&self, request: &Audit) -> Result<AuditPage, ApiError> {
        let state = self.lock();
        if state.ticks.audits_failing {
            return Err(ApiError::new(ErrorCode::Internal, "on purpose"));
        }
        let mut page = AuditPage {
            store: state.store.to_be_bytes().to_vec(),
            through: state.applied,
            read_version: state.read_version(),
            ..AuditPage::default()
        };
        let Some(since) = request.since else { return Ok(page) };
        let behind = |entry: &&Logged| entry.stream_seq > since;
        let mut rows: Vec<&Logged> = state.logs.values().flatten().filter(behind).collect();
        rows.sort_by_key(|entry| entry.stream_seq);
        if rows.len() > PAGE_ROWS {
            rows.truncate(PAGE_ROWS);
            (page.through, page.more) = (rows[PAGE_ROWS - 1].stream_seq, true);
        }
        let through = page.through;
        let is_new = |it: &&Changed| it.stream_seq > since && it.stream_seq <= through;
        page.changes = state.changes.iter().filter(is_new).map(Changed::to_svc).collect();
        for entry in rows {
            let room = entry.head.room.to_string();
            let index =
                page.rooms.iter().position(|known| known.room == room).unwrap_or_else(|| {
                    let head = &state.logs[&entry.head.room].last().expect("an entry").head;
                    let position = head.position.0.to_vec();
                    page.rooms.push(ChangedRoom {
                        room,
                        seq: head.seq,
                        position,
                        concerned: vec![],
                    });
                    page.rooms.len() - 1
                });
            let concerned = &mut page.rooms[index].concerned;
            for user in entry.users.iter().map(ToString::to_string) {
                if concerned.iter().all(|known| known.user != user) {
                    concerned.push(ConcernedUser { user, seq: entry.head.seq });
                }
            }
        }
        Ok(page)
    }
}

impl State {
    fn read_version(&self) -> Vec<u8> {
        Position::new(self.last_position, 0).commit_end().0.to_vec()
    }
}
