//! Settings, as the checker knows them: each commit changes what somebody asked for and nothing else, what is answered
//! was kept, and what devices know is in the end what the store has.

use std::collections::BTreeMap;

use weft_proto::kind::Setting as Wanted;
use weft_proto::{Body, Position, RoomId, UserId};
use weft_storage::tables::change::Changed;
use weft_storage::tables::setting::{self, Setting};
use weft_storage::tables::table::Table;
use weft_storage::{Batch, Op, Snapshot};

use super::answers::Asked;
use super::check::Judged;
use super::marks::Changes;
use super::messages::all;
use super::store::now;
use super::world::World;

/// Whose setting, and of which room.
pub type Key = (UserId, RoomId);

/// Of each key what it was at each of its commits, from the first one on.
#[derive(Default)]
pub struct Settings(BTreeMap<Key, Vec<(Position, Setting)>>);

/// What a device knows.
pub type Known = BTreeMap<RoomId, Setting>;

impl Settings {
    /// Takes in the settings that a commit writes.
    pub fn commits(
        &mut self,
        batch: &Batch,
        position: Position,
        snapshot: &dyn Snapshot,
    ) -> Judged<()> {
        for op in batch.ops() {
            let Op::SetPositioned { key, .. } = op else { continue };
            let Ok(at) = Setting::read_key(key) else { continue };
            let row = now(snapshot.get(key.clone())).ok_or("a setting that is not written")?;
            let (written_at, setting) = setting::decode(&row).map_err(|error| error.to_string())?;
            let setting = of_rooms(setting);
            let wrong = |what| format!("the setting of {} for {} {what}: {setting:?}", at.0, at.1);
            if written_at.with_order(0) != position.with_order(0) {
                return Err(wrong("has another place"));
            }
            let versions = self.0.entry(at.clone()).or_default();
            // Each time is asked for once.
            let until = setting.muted_until_ms;
            let is_kept = versions.last().is_none_or(|(_, last)| last.muted_until_ms == until);
            let was_before =
                until == 0 || versions.iter().any(|(_, it)| it.muted_until_ms == until);
            if !is_kept && was_before {
                return Err(wrong("goes back"));
            }
            versions.push((written_at, setting));
        }
        Ok(())
    }

    /// A setting is answered: it is kept, or what another one says, which came later in the same commit.
    pub fn answered<'a>(
        &self,
        sender: &UserId,
        wanted: &Wanted,
        asked: impl Iterator<Item = &'a Asked>,
    ) -> Judged<()> {
        let others: Vec<&Wanted> = asked.filter_map(|asked| of(sender, wanted, asked)).collect();
        let room = wanted.room.clone().ok_or("nobody sets what holds for all rooms here")?;
        let versions = self.0.get(&(sender.clone(), room));
        let first = Setting::default();
        let was = || versions.into_iter().flatten().map(|(_, setting)| setting).chain([&first]);
        let is_muted = wanted.muted_until.is_none_or(|until| {
            was().any(|it| it.muted_until_ms == until)
                || others.iter().any(|it| it.muted_until.is_some_and(|other| other != until))
        });
        let is_pinned = wanted.pinned.is_none_or(|pinned| {
            was().any(|it| it.pinned == pinned)
                || others.iter().any(|it| it.pinned.is_some_and(|other| other != pinned))
        });
        if is_muted && is_pinned {
            return Ok(());
        }
        Err(format!("{sender} hears that {wanted:?} is done; it never was"))
    }

    /// A device hears nothing that never was.
    pub fn shows(&self, key: &Key, told: &Setting) -> Judged<()> {
        let was = self.0.get(key).into_iter().flatten().any(|(_, setting)| setting == told);
        if was {
            return Ok(());
        }
        Err(format!("a device of {} is told of {}: {told:?}, which never was", key.0, key.1))
    }

    /// A user's device knows all settings that changed up to there: as they were then, or later.
    pub fn judge_known(
        &self,
        user: &UserId,
        known: &Known,
        began: Position,
        up_to: Position,
    ) -> Judged<()> {
        for ((whose, room), versions) in &self.0 {
            let count = versions.partition_point(|(position, _)| *position <= up_to);
            let newest = count.checked_sub(1).filter(|last| versions[*last].0 > began);
            let (true, Some(newest)) = (whose == user, newest) else { continue };
            let told = known.get(room);
            if !versions[newest..].iter().any(|(_, setting)| Some(setting) == told) {
                return Err(format!("a device of {user} never hears of the setting for {room}"));
            }
        }
        Ok(())
    }

    /// The store's rows, when all is quiet.
    pub fn judge(&self, snapshot: &dyn Snapshot) -> Judged<()> {
        let rows = all::<Setting>(snapshot).into_iter().map(|(key, row)| (key, of_rooms(row)));
        // In some schedules one row was there before the first commit (`marks::turn_off`).
        let is_ours =
            |(key, row): &(Key, Setting)| *row != Setting::default() || self.0.contains_key(key);
        let rows = rows.filter(is_ours).collect::<BTreeMap<Key, Setting>>();
        let newest = self.0.iter().filter_map(|(key, versions)| Some((key, &versions.last()?.1)));
        if rows.iter().eq(newest) {
            return Ok(());
        }
        Err(format!("the settings are {rows:?}"))
    }

    /// What syncs have to tell.
    pub fn changes(&self, changes: &mut Changes) {
        for ((user, room), versions) in &self.0 {
            let Some((position, _)) = versions.last() else { continue };
            let changed = Changed::Setting(user.clone(), room.clone());
            changes.entry(user.clone()).or_default().insert(*position, changed);
        }
    }
}

/// Without what holds for all rooms: nobody changes that here.
fn of_rooms(setting: Setting) -> Setting {
    Setting { receipts_off: false, ..setting }
}

/// What else the user asked for of the same room.
fn of<'a>(sender: &UserId, wanted: &Wanted, asked: &'a Asked) -> Option<&'a Wanted> {
    match &asked.body {
        Some(Body::Setting(other)) if asked.sender == *sender && other.room == wanted.room => {
            Some(other)
        }
        _ => None,
    }
}

/// How somebody wants a room to be; each time is asked for once.
pub fn any_setting(world: &World, room: RoomId) -> Body {
    let what = world.below(3);
    let muted_until = (what > 0).then(|| 1 + world.new_number());
    let pinned = (what != 1).then(|| world.below(2) == 0);
    Body::Setting(Wanted { room: Some(room), muted_until, pinned, ..Wanted::default() })
}
