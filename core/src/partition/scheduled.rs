//! Messages that are sent later. `schedule` is a command to the room, without an entry: its commit writes a row of the
//! sender's (`storage/src/tables/scheduled.rs`), and lists when it is due. Then the room's owner tells itself so by its own log
//! (`duties.rs`), and plans the message as what its sender sends in that moment: the commit that adds the entry says in the row that
//! it is sent. So it is there once, whatever ends in between, and in the order of the log with what takes it back. A message
//! that is refused then is kept, with the reason.
//!
//! As of drafts, the user's own devices hear of each change, and what was planned and is not committed counts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use tracing::error;
use weft_nats::MadeBy;
use weft_proto::kind::{Due, Schedule, Unschedule};
use weft_proto::limits::{SCHEDULED_AHEAD_MS_MAX, SCHEDULED_PER_USER_MAX};
use weft_proto::{ApiError, Body, ErrorCode, Partition, Position, RoomId, UserId, svc};
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::change::{self, Changed};
use weft_storage::tables::journal::JournalScheduled;
use weft_storage::tables::scheduled::{self, Scheduled, ScheduledKey, State as Became};
use weft_storage::{Batch, Error, Snapshot};

use super::changes::{ChangedRow, PlannedRows, Written};
use super::command::{Command, Incoming};
use super::files::FoundFiles;
use super::marks::may_mark;
use super::rooms::Room;
use super::sabotage::{self, Rule};
use super::state::{Place, PlanNo, State};
use crate::scheduled::change as told_change;

/// The places of these rows in a commit are after those of its drafts.
const FIRST_ORDER: u16 = 29 << 11;
/// A user with so many rows, those that are sent or taken back included, loses the oldest of these with the next new one.
pub const ROWS_MAX: usize = 2 * SCHEDULED_PER_USER_MAX;

/// A row as its newest commit writes it.
pub type WrittenScheduled = Written<ScheduledRow>;

/// A row, with its message where it is a new one.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ScheduledRow {
    row: Scheduled,
    message: Option<Arc<str>>,
}

/// What the store says of what a run of commands schedules, takes back or sends.
#[derive(Default, Debug)]
pub struct FoundScheduled {
    rows: HashMap<ScheduledKey, WrittenScheduled>,
    /// Those that can't be read: they are not written anew.
    unreadable: HashSet<ScheduledKey>,
    /// All rows of those users who schedule.
    all: HashMap<UserId, BTreeMap<ScheduledKey, (Position, Scheduled)>>,
}

fn key_of(command: &Command) -> Option<ScheduledKey> {
    let id = match (&command.body, command.scheduled) {
        (_, Some(id)) => id,
        (Body::Schedule(_), None) => command.client_id?,
        (Body::Unschedule(Unschedule { schedule }) | Body::Due(Due { schedule, .. }), None) => {
            *schedule
        }
        _ => return None,
    };
    Some((command.sender.clone(), command.room.clone(), id))
}

/// Puts the messages in the places of the commands which say that their time has come. One that is not waiting any more is
/// left as it is: it does nothing.
///
/// # Errors
/// Those of the store.
pub async fn resolve(snapshot: &dyn Snapshot, run: &mut [Incoming]) -> Result<(), Error> {
    for command in run.iter_mut().filter_map(|incoming| incoming.command.as_mut().ok()) {
        let Body::Due(Due { schedule, .. }) = command.body else { continue };
        if command.made_by != Some(MadeBy::Owner) {
            continue;
        }
        let key = (command.sender.clone(), command.room.clone(), schedule);
        match message(snapshot, &key).await {
            Ok(Some((body, may_send))) => {
                command.scheduled = Some(schedule);
                // Else it is refused.
                if may_send {
                    command.content_hash = body.content_hash();
                    command.body = body;
                }
            }
            Ok(None) => {}
            Err(Error::Corrupt(what)) => {
                error!(user = %key.0, room = %key.1, what, "what is scheduled can't be read: it waits");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Who has deleted their account, or is suspended, sends nothing.
async fn may_send(snapshot: &dyn Snapshot, user: &UserId) -> Result<bool, Error> {
    let row = snapshot.get(account::key(user)).await?;
    let account = row.map(|row| Account::decode(&row)).transpose()?;
    Ok(account.is_none_or(|account| !account.is_deleted() && !account.is_suspended()))
}

/// A message that waits, and whether its user may send at all.
async fn message(
    snapshot: &dyn Snapshot,
    key: &ScheduledKey,
) -> Result<Option<(Body, bool)>, Error> {
    let row = scheduled::get_many(snapshot, std::slice::from_ref(key)).await?.remove(0);
    let Some((_, row)) = row.filter(|(_, row)| row.state() == Became::Waiting) else {
        return Ok(None);
    };
    let Some(message) = scheduled::message(snapshot, key, &row).await? else { return Ok(None) };
    let corrupt = |error: ApiError| Error::Corrupt(format!("scheduled: {error}"));
    let body = Body::from_text(&message).map_err(corrupt)?;
    Ok(Some((body, may_send(snapshot, &key.0).await?)))
}

/// Reads what a run of commands has to know of what is scheduled.
///
/// # Errors
/// Those of the store.
pub async fn load(snapshot: &dyn Snapshot, run: &[Incoming]) -> Result<FoundScheduled, Error> {
    let mut found = FoundScheduled::default();
    let commands = || run.iter().filter_map(|incoming| incoming.command.as_ref().ok());
    let wanted: Vec<ScheduledKey> =
        commands().filter_map(key_of).collect::<BTreeSet<_>>().into_iter().collect();
    if wanted.is_empty() {
        return Ok(found);
    }
    let rows = snapshot.get_many(wanted.iter().map(scheduled::key).collect()).await?;
    for (key, row) in wanted.into_iter().zip(rows) {
        match row.as_deref().map(scheduled::decode).transpose() {
            Ok(None) => {}
            Ok(Some((position, row))) => {
                let (place, row) = (Place::At(position), ScheduledRow { row, message: None });
                found.rows.insert(key, Written { row, place });
            }
            Err(error) => {
                error!(user = %key.0, room = %key.1, %error, "what is scheduled can't be read");
                found.unreadable.insert(key);
            }
        }
    }
    for Command { sender, .. } in commands().filter(|it| matches!(it.body, Body::Schedule(_))) {
        if !found.all.contains_key(sender) {
            let all = all_of(snapshot, sender).await?;
            found.all.insert(sender.clone(), all);
        }
    }
    Ok(found)
}

async fn all_of(
    snapshot: &dyn Snapshot,
    user: &UserId,
) -> Result<BTreeMap<ScheduledKey, (Position, Scheduled)>, Error> {
    let mut all = BTreeMap::new();
    for (key, row) in snapshot.scan(scheduled::range(user), 2 * ROWS_MAX, false).await? {
        // One that can't be read counts, and is not removed.
        let unknown = (Position::MAX, Scheduled { parts: 1, ..Scheduled::default() });
        all.insert(scheduled::read_key(&key)?, scheduled::decode(&row).unwrap_or(unknown));
    }
    Ok(all)
}

impl FoundScheduled {
    fn written<'a>(&'a self, state: &'a State, key: &ScheduledKey) -> Option<&'a WrittenScheduled> {
        let planned = state.scheduled.get(key);
        let planned = planned.filter(|_| !sabotage::is_out(Rule::SchedulesPlanned));
        planned.or_else(|| self.rows.get(key))
    }

    #[must_use]
    pub fn is_unreadable(&self, key: &ScheduledKey) -> bool {
        self.unreadable.contains(key)
    }

    /// The row of a message that waits to be sent.
    #[must_use]
    pub fn waiting(&self, state: &State, key: &ScheduledKey) -> Option<Scheduled> {
        let row = &self.written(state, key)?.row.row;
        (row.state() == Became::Waiting).then(|| row.clone())
    }

    /// Makes room for one more of the user: an old one that is removed, where there are too many.
    fn make_room(
        &self,
        state: &State,
        user: &UserId,
    ) -> Result<Option<(ScheduledKey, Position)>, ApiError> {
        let found = self.all.get(user).into_iter().flatten();
        let mut rows: BTreeMap<&ScheduledKey, (bool, Option<Position>)> =
            found.map(|(key, (at, row))| (key, (row.is_over(), Some(*at)))).collect();
        for (key, Written { row, .. }) in state.scheduled.iter().filter(|(key, _)| key.0 == *user) {
            rows.remove(key);
            if row.row != Scheduled::default() {
                rows.insert(key, (row.row.is_over(), None));
            }
        }
        if rows.values().filter(|(is_over, _)| !is_over).count() >= SCHEDULED_PER_USER_MAX {
            let message =
                format!("the sender has {SCHEDULED_PER_USER_MAX} scheduled messages already");
            return Err(ApiError::new(ErrorCode::LimitReached, message));
        }
        if rows.len() < ROWS_MAX {
            return Ok(None);
        }
        let over = rows.into_iter().filter(|(_, (is_over, _))| *is_over);
        let over = over.filter_map(|(key, (_, position))| Some((key, position?)));
        let over = over.filter(|(_, position)| *position < Position::MAX);
        Ok(over.min_by_key(|(_, at)| *at).map(|(key, at)| (key.clone(), at)))
    }
}

/// What a command makes of a scheduled message.
#[derive(Debug)]
pub struct Decided {
    key: ScheduledKey,
    row: ScheduledRow,
    /// An old one that is removed, and where it was written.
    removed: Option<(ScheduledKey, Position)>,
}

/// Decides about a message that is to be sent later. Whether its sender may write is decided when it is sent; its files have
/// to be the sender's own, of which what is scheduled is looked at before they are deleted.
///
/// # Errors
/// The refusal.
pub fn schedule(
    (id, room): (&RoomId, &Room),
    key: Option<ScheduledKey>,
    wanted: &Schedule,
    now_ms: u64,
    (found, files, state): (&FoundScheduled, &FoundFiles, &State),
) -> Result<Decided, ApiError> {
    let Some(key) = key else {
        let message = "what is scheduled has a client id";
        return Err(ApiError::new(ErrorCode::BadRequest, message));
    };
    may_mark(id, room, &key.0)?;
    let at = wanted.at;
    if at <= now_ms || at > now_ms.saturating_add(SCHEDULED_AHEAD_MS_MAX) {
        let message = "the field at is a time within a year from now";
        return Err(ApiError::new(ErrorCode::BadRequest, message));
    }
    if found.written(state, &key).is_some() || found.unreadable.contains(&key) {
        let message = "the client id was used for another scheduled message";
        return Err(ApiError::new(ErrorCode::Conflict, message));
    }
    let body = wanted.body();
    files.check_own(&key.0, &body)?;
    let removed = found.make_room(state, &key.0)?;
    let message: Arc<str> = String::from_utf8_lossy(&body.to_json()).into();
    let (id, parts) = (key.2.to_string(), scheduled::parts(&message));
    let files = scheduled::files_of(&body);
    let row = Scheduled { id, at_ms: at, parts, files, ..Scheduled::default() };
    Ok(Decided { key, row: ScheduledRow { row, message: Some(message) }, removed })
}

/// Decides about one that is taken back; `None`: it is so already.
///
/// # Errors
/// [`ErrorCode::NotFound`]: there is none, or it is sent.
pub fn unschedule(
    key: ScheduledKey,
    (found, state): (&FoundScheduled, &State),
) -> Result<Option<Decided>, ApiError> {
    if found.unreadable.contains(&key) {
        return Err(ApiError::new(ErrorCode::Internal, "what is scheduled can't be read"));
    }
    let row = found.written(state, &key).map(|written| written.row.row.clone());
    match row.as_ref().map(Scheduled::state) {
        None | Some(Became::Sent) => {
            let message = "there is no such scheduled message: it may have been sent";
            Err(ApiError::new(ErrorCode::NotFound, message))
        }
        Some(Became::Cancelled) => Ok(None),
        Some(Became::Waiting | Became::Failed) => {
            let row = row.unwrap_or_default();
            let row = Scheduled { parts: 0, code: String::new(), files: Vec::new(), ..row };
            let row = ScheduledRow { row, message: None };
            Ok(Some(Decided { key, row, removed: None }))
        }
    }
}

/// What became of a message whose time has come: the seq that it got, or the refusal.
#[must_use]
pub fn done(key: ScheduledKey, row: Scheduled, sent: Result<u64, &ApiError>) -> Decided {
    let row = match sent {
        Ok(seq) => Scheduled { seq, parts: 0, files: Vec::new(), ..row },
        Err(error) => Scheduled { code: error.code.as_str().to_owned(), ..row },
    };
    Decided { key, row: ScheduledRow { row, message: None }, removed: None }
}

/// The rows that a commit writes, each once, by its newest command.
pub struct PlannedScheduled {
    rows: PlannedRows<ScheduledKey, ScheduledRow>,
    bytes: usize,
}

/// A row that a commit has written.
pub type ChangedScheduled = ChangedRow<ScheduledKey, ScheduledRow>;

impl Default for PlannedScheduled {
    fn default() -> Self {
        Self { rows: PlannedRows::new(FIRST_ORDER), bytes: 0 }
    }
}

impl PlannedScheduled {
    /// What they will take in the commit at the most, about: they are written when it is closed.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes what was decided. What it adds to the commit's row of the journal, in bytes.
    pub fn take(
        &mut self,
        (batch, partition): (&mut Batch, Partition),
        (state, found, no): (&mut State, &FoundScheduled, PlanNo),
        Decided { key, row, removed }: Decided,
    ) -> usize {
        /// Of a row, beside the message: with the longest names.
        const BESIDE_MESSAGE: usize = 800;
        if let Some((key, position)) = removed {
            batch.clear(scheduled::key(&key));
            change::clear(batch, &key.0, position);
            let nothing = Written { row: ScheduledRow::default(), place: Place::Nowhere };
            state.scheduled.remember(no, key, nothing);
        }
        match row.row.state() {
            Became::Waiting => scheduled::list(batch, partition, row.row.at_ms, &key),
            _ => scheduled::unlist(batch, partition, row.row.at_ms, &key),
        }
        self.bytes += row.message.as_deref().map_or(0, str::len) + BESIDE_MESSAGE;
        let before = found.written(state, &key).map_or(Place::Nowhere, |written| written.place);
        let journal_bytes = journal_row(&key).size_bytes();
        let is_new = self.rows.take((&mut state.scheduled, no), before, key, row);
        if is_new { journal_bytes } else { 0 }
    }

    /// Writes them: rows, and what the user's syncs are told instead of what they were told before. Commits
    /// before this one are done.
    pub fn write(&self, batch: &mut Batch, state: &State) -> Vec<JournalScheduled> {
        for (key, ScheduledRow { row, message }, order, before) in self.rows.rows(state) {
            let changed = Changed::Scheduled(key.1.clone(), key.2);
            change::put_again(batch, &key.0, before, order, &changed);
            scheduled::put(batch, order, key, row, message.as_deref());
        }
        self.rows.named().map(|(key, _)| journal_row(key)).collect()
    }

    /// For what follows the commit.
    #[must_use]
    pub fn into_changed(self) -> Vec<ChangedScheduled> {
        self.rows.into_changed()
    }
}

/// What users' devices are told of rows that the commit at this position has written.
pub fn told(changed: &[ChangedScheduled], position: Position) -> impl Iterator<Item = svc::Change> {
    changed.iter().map(move |ChangedRow { key, row, order }| {
        told_change(key, position.with_order(*order), &row.row)
    })
}

/// What became of them, in words.
pub fn states(changed: &[ChangedScheduled]) -> impl Iterator<Item = &'static str> {
    changed.iter().map(|changed| crate::scheduled::word(&changed.row.row))
}

fn journal_row((user, room, id): &ScheduledKey) -> JournalScheduled {
    JournalScheduled { room: room.to_string(), user: user.to_string(), id: id.to_string() }
}
