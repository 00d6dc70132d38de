//! What users have typed and not sent. A draft is a command to the sender's own notebook, without an entry: its
//! commit writes the draft's rows (`storage/src/tables/draft.rs`), and tells the syncs of the user's own devices.
//!
//! Each change gives it a new version, which never comes again, and names the one that its device has seen. So a
//! device that has not seen the newest one changes nothing: what another one has typed, sent or dismissed stays so.
//!
//! As of marks, what was planned and is not committed counts: see [`Overlay`](super::overlay::Overlay).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use tracing::error;
use weft_proto::kind;
use weft_proto::limits::DRAFTS_PER_USER_MAX;
use weft_proto::{ApiError, Body, ErrorCode, Position, RoomId, UserId, svc};
use weft_storage::tables::change::{self, Changed};
use weft_storage::tables::draft::{self, Draft, DraftKey, Kept};
use weft_storage::tables::journal::JournalDraft;
use weft_storage::{Batch, Error, Snapshot};

use super::changes::{ChangedRow, PlannedRows, Written};
use super::command::{Command, Incoming};
use super::notebook::{self, Standing};
use super::sabotage::{self, Rule};
use super::state::{Place, PlanNo, State};
use crate::drafts;

/// The places of drafts in a commit are after those of its settings.
const FIRST_ORDER: u16 = 7 << 13;
/// A user with so many rows, dismissed drafts included, loses the oldest dismissed one with the next new one.
pub const ROWS_MAX: usize = 2 * DRAFTS_PER_USER_MAX;
/// Texts of drafts, in rows of 90 kB, that are read for a run of commands, to be told to those who come late.
const LATE_PARTS_MAX: u32 = 64;
/// A plan with drafts whose frames are so long takes nothing more: an audit tells all of a commit's.
const FULL_BYTES: usize = 200_000;

/// A draft as its newest commit writes it.
pub type WrittenDraft = Written<DraftRow>;

/// A draft, as far as it is known.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct DraftRow {
    /// Version 0: there is none.
    kept: Arc<Kept>,
    /// In how many rows its text is; 0: it is dismissed.
    parts: u32,
    /// The same of the one that an earlier commit wrote.
    parts_before: u32,
    /// What its user's devices hear of it; empty of one that was only read.
    frame: Bytes,
}

/// What the store says of the drafts that a run of commands changes.
#[derive(Default, Debug)]
pub struct FoundDrafts {
    /// With their texts where a command names another version.
    rows: HashMap<DraftKey, WrittenDraft>,
    /// Those that can't be read: they are not written anew.
    unreadable: HashSet<DraftKey>,
    /// Those whose texts would be too much to read at once.
    unread: HashSet<DraftKey>,
    /// What the rooms are to their users.
    standings: HashMap<DraftKey, Standing>,
    /// All rows of those users who may get a further draft.
    all: HashMap<UserId, BTreeMap<RoomId, (Position, Draft)>>,
}

/// Reads what a run of commands has to know of the drafts that it changes.
///
/// # Errors
/// Those of the store.
pub async fn load(
    snapshot: &dyn Snapshot,
    state: &State,
    run: &[Incoming],
) -> Result<FoundDrafts, Error> {
    let mut found = FoundDrafts::default();
    let mut wanted: BTreeMap<DraftKey, Vec<&kind::Draft>> = BTreeMap::new();
    for command in run.iter().filter_map(|incoming| incoming.command.as_ref().ok()) {
        if let Command { sender, body: Body::Draft(draft), .. } = command {
            wanted.entry((sender.clone(), draft.room.clone())).or_default().push(draft);
        }
    }
    if wanted.is_empty() {
        return Ok(found);
    }
    let keys: BTreeSet<DraftKey> = wanted.keys().cloned().collect();
    let rows = notebook::load(snapshot, &keys, draft::key).await?;
    let mut late_parts = 0;
    for ((key, commands), (row, standing)) in wanted.iter().zip(rows) {
        found.standings.insert(key.clone(), standing);
        let row = match row.as_deref().map(draft::decode).transpose() {
            Ok(row) => row,
            Err(error) => {
                error!(user = %key.0, room = %key.1, %error, "a draft can't be read");
                found.unreadable.insert(key.clone());
                continue;
            }
        };
        if found.needs_all(state, &key.0, row.as_ref(), (commands, &wanted)) {
            let all = all_of(snapshot, &key.0).await?;
            found.all.insert(key.0.clone(), all);
        }
        let Some((position, head)) = row else { continue };
        let mut row = DraftRow::of(head);
        if commands.iter().any(|command| command.version != head.version) && head.parts > 0 {
            late_parts += head.parts;
            if late_parts > LATE_PARTS_MAX {
                found.unread.insert(key.clone());
            } else if let Some((_, kept)) =
                draft::get_many(snapshot, std::slice::from_ref(key)).await?.remove(0)
            {
                row.kept = Arc::new(kept);
            } else {
                found.unreadable.insert(key.clone());
            }
        }
        found.rows.insert(key.clone(), Written { row, place: Place::At(position) });
    }
    Ok(found)
}

async fn all_of(
    snapshot: &dyn Snapshot,
    user: &UserId,
) -> Result<BTreeMap<RoomId, (Position, Draft)>, Error> {
    // One that can't be read counts as dismissed, and is not removed.
    let unknown = (Position::MAX, Draft { version: 1, ..Draft::default() });
    let rows = snapshot.scan(draft::range_after(user, None), 2 * ROWS_MAX, false).await?;
    let read = |(key, row): &(Bytes, Bytes)| {
        Ok((draft::room(key)?, draft::decode(row).unwrap_or(unknown)))
    };
    rows.iter().map(read).collect()
}

impl DraftRow {
    /// One that the store has. Its text is not read.
    fn of(Draft { version, time_ms, parts }: Draft) -> Self {
        let kept = Arc::new(Kept { version, time_ms, content: None });
        Self { kept, parts, ..Self::default() }
    }

    /// Writes this one after another.
    fn after(before: Option<&Self>, room: &RoomId, kept: Kept) -> Self {
        let (parts, frame) = (kept.parts(), drafts::frame(room, &kept));
        let parts_before = before.map_or(0, |before| before.parts);
        Self { kept: Arc::new(kept), parts, parts_before, frame }
    }

    fn is_dismissed(&self) -> bool {
        self.parts == 0
    }
}

impl FoundDrafts {
    fn written<'a>(&'a self, state: &'a State, key: &DraftKey) -> Option<&'a WrittenDraft> {
        let planned = state.drafts.get(key).filter(|_| !sabotage::is_out(Rule::MarksPlanned));
        planned.or_else(|| self.rows.get(key))
    }

    /// Whether the user's drafts have to be counted: not where nothing but the text of one may change.
    fn needs_all(
        &self,
        state: &State,
        user: &UserId,
        row: Option<&(Position, Draft)>,
        (commands, wanted): (&[&kind::Draft], &BTreeMap<DraftKey, Vec<&kind::Draft>>),
    ) -> bool {
        let has_text = commands.iter().any(|command| command.content.is_some());
        if self.all.contains_key(user) || !has_text {
            return false;
        }
        row.is_none_or(|(_, draft)| draft.is_dismissed())
            || commands.len() > 1
            || wanted.keys().filter(|(of, _)| of == user).count() > 1
            || state.drafts.iter().any(|((of, _), _)| of == user)
    }

    /// Makes room for one more draft of the user: a dismissed one that is removed, where there are too many.
    fn make_room(
        &self,
        state: &State,
        (user, room): &DraftKey,
    ) -> Result<Option<(RoomId, Position)>, ApiError> {
        let found = self.all.get(user).into_iter().flatten();
        let mut rows: BTreeMap<&RoomId, (bool, Option<Position>)> = found
            .map(|(room, (position, draft))| (room, (draft.is_dismissed(), Some(*position))))
            .collect();
        for ((_, room), Written { row, .. }) in
            state.drafts.iter().filter(|(key, _)| key.0 == *user)
        {
            rows.remove(room);
            if row.kept.version > 0 {
                rows.insert(room, (row.is_dismissed(), None));
            }
        }
        if rows.values().filter(|(is_dismissed, _)| !is_dismissed).count() >= DRAFTS_PER_USER_MAX {
            let message = format!("the sender has drafts for {DRAFTS_PER_USER_MAX} rooms already");
            return Err(ApiError::new(ErrorCode::LimitReached, message));
        }
        if rows.contains_key(room) || rows.len() < ROWS_MAX {
            return Ok(None);
        }
        let dismissed = rows.into_iter().filter(|(_, (is_dismissed, _))| *is_dismissed);
        let dismissed = dismissed.filter_map(|(room, (_, position))| Some((room, position?)));
        let dismissed = dismissed.filter(|(_, position)| *position < Position::MAX);
        Ok(dismissed.min_by_key(|(_, at)| *at).map(|(room, at)| (room.clone(), at)))
    }
}

/// What a command makes of a draft.
#[derive(Debug)]
pub enum Decided {
    /// It is so already, at this version.
    Same(u64),
    Changed {
        key: DraftKey,
        row: DraftRow,
        /// The room whose dismissed draft is removed, and where that was written.
        removed: Option<(RoomId, Position)>,
    },
}

impl Decided {
    /// The version that it has then.
    #[must_use]
    pub fn version(&self) -> u64 {
        match self {
            Self::Same(version) => *version,
            Self::Changed { row, .. } => row.kept.version,
        }
    }
}

/// Decides about a draft. What is so already is done, whichever version was seen: so a command that comes twice is
/// answered as the first time, for as long as nothing came after it.
///
/// # Errors
/// The refusal: [`ErrorCode::Conflict`], with the draft as it is, where another version was seen.
pub fn decide(
    to: &RoomId,
    sender: &UserId,
    wanted: &kind::Draft,
    now_ms: u64,
    (found, state): (&FoundDrafts, &State),
) -> Result<Decided, ApiError> {
    notebook::is_own(to, sender, "draft")?;
    let key = (sender.clone(), wanted.room.clone());
    if found.unreadable.contains(&key) {
        return Err(ApiError::new(ErrorCode::Internal, "the draft can't be read"));
    }
    let before = found.written(state, &key).map(|written| &written.row);
    let version = before.map_or(0, |row| row.kept.version);
    let is_dismissed = before.is_none_or(DraftRow::is_dismissed);
    let is_same = match &wanted.content {
        None => is_dismissed,
        content => before.is_some_and(|row| row.kept.content.as_ref() == content.as_deref()),
    };
    if is_same {
        return Ok(Decided::Same(version));
    }
    if wanted.version != version && !sabotage::is_out(Rule::DraftVersions) {
        if found.unread.contains(&key) && state.drafts.get(&key).is_none() {
            let message = "too many drafts with another version at once";
            return Err(ApiError::new(ErrorCode::Overloaded, message).retry_after_ms(100));
        }
        let content = before.and_then(|row| row.kept.content.clone()).map(Box::new);
        let draft = Box::new(kind::Draft { room: key.1, version, content });
        let error = ApiError::new(ErrorCode::Conflict, "the draft has another version");
        return Err(ApiError { draft: Some(draft), ..error });
    }
    let mut removed = None;
    if wanted.content.is_some() {
        let standing = found.standings.get(&key).copied().unwrap_or_default();
        notebook::is_in(&key, standing)?;
        if is_dismissed {
            removed = found.make_room(state, &key)?;
        }
    }
    // By the clock it does not come again where the row was removed meanwhile.
    let version = version.saturating_add(1).max(now_ms);
    let kept = Kept { version, time_ms: now_ms, content: wanted.content.as_deref().cloned() };
    let row = DraftRow::after(before, &key.1, kept);
    Ok(Decided::Changed { key, row, removed })
}

/// The drafts that a commit changes, each once, by its newest command.
pub struct PlannedDrafts {
    rows: PlannedRows<DraftKey, DraftRow>,
    bytes: usize,
}

/// A draft that a commit has changed.
pub type ChangedDraft = ChangedRow<DraftKey, DraftRow>;

impl Default for PlannedDrafts {
    fn default() -> Self {
        Self { rows: PlannedRows::new(FIRST_ORDER), bytes: 0 }
    }
}

impl PlannedDrafts {
    /// What they will take in the commit at the most, about: they are written when it is closed.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// True where it takes no further one.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes >= FULL_BYTES
    }

    /// Takes what was decided. What it adds to the commit's row of the journal, in bytes.
    pub fn take(
        &mut self,
        batch: &mut Batch,
        (state, found, no): (&mut State, &FoundDrafts, PlanNo),
        decided: Decided,
    ) -> usize {
        /// Of a draft's rows, beside the text: with the longest names.
        const BESIDE_TEXT: usize = 800;
        let Decided::Changed { key, mut row, removed } = decided else { return 0 };
        if let Some((room, position)) = removed {
            batch.clear(draft::key(&key.0, &room));
            change::clear(batch, &key.0, position);
            let nothing = Written { row: DraftRow::default(), place: Place::Nowhere };
            state.drafts.remember(no, (key.0.clone(), room), nothing);
        }
        let before = found.written(state, &key);
        let place = before.map_or(Place::Nowhere, |before| before.place);
        if let (Some(before), Place::In(in_plan, _)) = (before, place)
            && in_plan == no
        {
            row.parts_before = before.row.parts_before;
        }
        self.bytes += row.frame.len() + BESIDE_TEXT;
        let journal_bytes = journal_row((&key, &row)).size_bytes();
        let is_new = self.rows.take((&mut state.drafts, no), place, key, row);
        if is_new { journal_bytes } else { 0 }
    }

    /// Writes them: rows, and what the user's syncs are told instead of what they were told before. Commits
    /// before this one are done.
    pub fn write(&self, batch: &mut Batch, state: &State) -> Vec<JournalDraft> {
        for ((user, room), row, order, before) in self.rows.rows(state) {
            let changed = Changed::Draft(user.clone(), room.clone());
            change::put_again(batch, user, before, order, &changed);
            draft::put(batch, order, (user, room), &row.kept, row.parts_before);
        }
        self.rows.named().map(journal_row).collect()
    }

    /// For what follows the commit.
    #[must_use]
    pub fn into_changed(self) -> Vec<ChangedDraft> {
        self.rows.into_changed()
    }
}

/// What users' devices are told of drafts that the commit at this position has changed.
pub fn told(changed: &[ChangedDraft], position: Position) -> impl Iterator<Item = svc::Change> {
    changed.iter().map(move |ChangedRow { key: (user, room), row, order }| {
        drafts::change(user, room, position.with_order(*order), row.frame.clone())
    })
}

fn journal_row(((user, room), row): (&DraftKey, &DraftRow)) -> JournalDraft {
    let frame_bytes = row.frame.len() as u64;
    JournalDraft { room: room.to_string(), user: user.to_string(), frame_bytes }
}
