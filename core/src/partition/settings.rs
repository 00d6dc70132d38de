//! How users want rooms to be. A setting is a command to the sender's own notebook, without an entry: its commit
//! writes the setting's row (`storage/src/tables/setting.rs`), and tells the syncs of the user's own devices.
//!
//! As of marks, what was planned and is not committed counts: see [`Overlay`](super::overlay::Overlay).

use std::collections::{BTreeSet, HashMap, HashSet};

use tracing::error;
use weft_proto::kind;
use weft_proto::limits::SETTINGS_PER_USER_MAX;
use weft_proto::{ApiError, Body, ErrorCode, Position, RoomId, UserId, svc};
use weft_storage::tables::change::{self, Changed};
use weft_storage::tables::journal::JournalMark;
use weft_storage::tables::setting::{self, Setting};
use weft_storage::{Batch, Error, Snapshot};

use super::changes::{ChangedRow, PlannedRows, Written};
use super::command::{Command, Incoming};
use super::notebook::{self, Standing};
use super::sabotage::{self, Rule};
use super::state::{Place, PlanNo, State};
use crate::settings;

/// The places of settings in a commit are after those of its marks.
const FIRST_ORDER: u16 = 3 << 14;

/// Whose setting, and of which room.
pub type SettingKey = (UserId, RoomId);

/// A setting as its newest commit writes it.
pub type WrittenSetting = Written<Setting>;

/// What the store says of the settings that a run of commands changes.
#[derive(Default, Debug)]
pub struct FoundSettings {
    rows: HashMap<SettingKey, WrittenSetting>,
    /// Those whose rows can't be read: they are not written anew.
    unreadable: HashSet<SettingKey>,
    /// What the rooms are to their users.
    standings: HashMap<SettingKey, Standing>,
    /// The rooms for which users have settings: of those who may get a new one.
    rooms: HashMap<UserId, BTreeSet<RoomId>>,
}

/// Reads what a run of commands has to know of the settings that it changes.
///
/// # Errors
/// Those of the store.
pub async fn load(snapshot: &dyn Snapshot, run: &[Incoming]) -> Result<FoundSettings, Error> {
    let key = |incoming: &Incoming| match incoming.command.as_ref() {
        Ok(Command { sender, body: Body::Setting(setting), .. }) => {
            Some((sender.clone(), setting.kept_for(sender)))
        }
        _ => None,
    };
    let mut found = FoundSettings::default();
    let keys: BTreeSet<SettingKey> = run.iter().filter_map(key).collect();
    if keys.is_empty() {
        return Ok(found);
    }
    let rows = notebook::load(snapshot, &keys, setting::key).await?;
    for (key, (row, standing)) in keys.into_iter().zip(rows) {
        found.standings.insert(key.clone(), standing);
        match row.as_deref().map(setting::decode).transpose() {
            Ok(Some((position, setting))) => {
                let place = Place::At(position);
                found.rows.insert(key, Written { row: setting, place });
            }
            Ok(None) if !found.rooms.contains_key(&key.0) => {
                let rooms = rooms_of(snapshot, &key.0).await?;
                found.rooms.insert(key.0, rooms);
            }
            Ok(None) => {}
            Err(error) => {
                error!(user = %key.0, room = %key.1, %error, "a setting can't be read");
                found.unreadable.insert(key);
            }
        }
    }
    Ok(found)
}

async fn rooms_of(snapshot: &dyn Snapshot, user: &UserId) -> Result<BTreeSet<RoomId>, Error> {
    let rows = snapshot.scan(setting::range(user), SETTINGS_PER_USER_MAX, false).await?;
    rows.iter().map(|(key, _)| setting::room(key)).collect()
}

impl FoundSettings {
    fn written(&self, state: &State, key: &SettingKey) -> Option<WrittenSetting> {
        let planned = state.settings.get(key).filter(|_| !sabotage::is_out(Rule::MarksPlanned));
        planned.or_else(|| self.rows.get(key)).cloned()
    }

    /// For how many rooms the user has settings, those of commits included that the lookup may not have seen.
    fn count(&self, state: &State, user: &UserId) -> usize {
        let mut rooms = self.rooms.get(user).cloned().unwrap_or_default();
        let planned = state.settings.iter().filter(|((of, _), _)| of == user);
        rooms.extend(planned.map(|((_, room), _)| room.clone()));
        rooms.len()
    }
}

/// Decides about a setting: what it is then. `None`: it changes nothing.
///
/// # Errors
/// The refusal.
pub fn decide(
    to: &RoomId,
    sender: &UserId,
    wanted: &kind::Setting,
    (found, state): (&FoundSettings, &State),
) -> Result<Option<Setting>, ApiError> {
    notebook::is_own(to, sender, "setting")?;
    let key = (sender.clone(), wanted.kept_for(sender));
    if found.unreadable.contains(&key) {
        return Err(ApiError::new(ErrorCode::Internal, "the setting can't be read"));
    }
    let written = found.written(state, &key);
    let before = written.as_ref().map(|written| written.row.clone()).unwrap_or_default();
    let mut setting = before.clone();
    setting.muted_until_ms = wanted.muted_until.unwrap_or(setting.muted_until_ms);
    setting.pinned = wanted.pinned.unwrap_or(setting.pinned);
    setting.receipts_off = wanted.receipts.map_or(setting.receipts_off, |receipts| !receipts);
    setting.add_by = wanted.add_by.map_or(setting.add_by, Into::into);
    setting.dnd = wanted.dnd.as_deref().cloned().or(setting.dnd);
    setting.dnd_until_ms = wanted.dnd_until.unwrap_or(setting.dnd_until_ms);
    setting.notify = wanted.notify.map_or(setting.notify, Into::into);
    let hidden = wanted.hidden.as_deref().copied().or(setting.hidden);
    setting.hidden = hidden.filter(|at| at.seq > 0);
    setting.strangers = wanted.strangers.map_or(setting.strangers, Into::into);
    if setting == before {
        return Ok(None);
    }
    if setting != Setting::default() {
        let standing = found.standings.get(&key).copied().unwrap_or_default();
        notebook::is_in(&key, standing)?;
    }
    let is_limited = wanted.room.is_some() && written.is_none();
    if is_limited && found.count(state, sender) >= SETTINGS_PER_USER_MAX {
        let message = format!("the sender has settings for {SETTINGS_PER_USER_MAX} rooms already");
        return Err(ApiError::new(ErrorCode::LimitReached, message));
    }
    Ok(Some(setting))
}

/// The settings that a commit changes, each once, by its newest command.
pub struct PlannedSettings(PlannedRows<SettingKey, Setting>);

/// A setting that a commit has changed.
pub type ChangedSetting = ChangedRow<SettingKey, Setting>;

impl Default for PlannedSettings {
    fn default() -> Self {
        Self(PlannedRows::new(FIRST_ORDER))
    }
}

impl PlannedSettings {
    /// Takes a setting that was allowed. What it adds to the commit's row of the journal, in bytes.
    pub fn take(
        &mut self,
        (state, found, no): (&mut State, &FoundSettings, PlanNo),
        key: SettingKey,
        setting: Setting,
    ) -> usize {
        let before = found.written(state, &key).map_or(Place::Nowhere, |written| written.place);
        let journal_bytes = journal_row(&key).size_bytes();
        let is_new = self.0.take((&mut state.settings, no), before, key, setting);
        if is_new { journal_bytes } else { 0 }
    }

    /// Writes them: rows, and what the user's syncs are told instead of what they were told before. Commits
    /// before this one are done.
    pub fn write(&self, batch: &mut Batch, state: &State) -> Vec<JournalMark> {
        for ((user, room), setting, order, before) in self.0.rows(state) {
            let changed = Changed::Setting(user.clone(), room.clone());
            change::put_again(batch, user, before, order, &changed);
            setting::put(batch, order, (user, room), setting);
        }
        self.0.named().map(|(key, _)| journal_row(key)).collect()
    }

    /// For what follows the commit.
    #[must_use]
    pub fn into_changed(self) -> Vec<ChangedSetting> {
        self.0.into_changed()
    }
}

/// What users' devices are told of settings that the commit at this position has changed.
pub fn told(changed: &[ChangedSetting], position: Position) -> impl Iterator<Item = svc::Change> {
    changed.iter().map(move |ChangedRow { key: (user, room), row, order }| {
        settings::change(user, room, position.with_order(*order), row)
    })
}

fn journal_row((user, room): &SettingKey) -> JournalMark {
    JournalMark { room: room.to_string(), user: user.to_string(), thread: 0, own: false }
}
