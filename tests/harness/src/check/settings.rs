//! Promises about settings: what was answered is kept, each device ends with what the store has, and nobody else is
//! told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::Violation;
use super::done::{Done, answered};
use super::facts::{Facts, user_of};
use super::newest::Newest;
use crate::history::{Device, Event, History, Room, Setting, Wish};

/// By user and room.
type Key<'a> = (&'a str, &'a Room);

/// What a user said of a room, each attempt for itself.
#[derive(Default)]
struct SaidOf {
    muted_until: Vec<(u64, Done)>,
    pinned: Vec<(bool, Done)>,
}

pub(super) fn check(history: &History, facts: &Facts<'_>, found: &mut BTreeSet<Violation>) {
    let said = gather(history);
    let nothing = SaidOf::default();
    let mut last: HashMap<Key<'_>, Setting> = HashMap::new();
    let mut knows: HashMap<&Device, Newest<'_, &Room, Setting>> = HashMap::new();
    for event in &history.events {
        match event {
            // Only who is removed meanwhile may not.
            Event::SettingRefused { wish, code } if facts.has_always(&wish.room, &wish.user) => {
                let what = format!("refused with {code}: {wish:?}");
                found.insert(wrong((&wish.user, &wish.room), None, what));
            }
            Event::Listed { user, room, listed } => {
                last.insert((user, room), listed.setting);
                let said = said.get(&(&**user, room)).unwrap_or(&nothing);
                if let Some(what) = said.differs(listed.setting) {
                    found.insert(wrong((user, room), None, what));
                }
            }
            Event::SettingTold { device, room, setting } => {
                let key = (user_of(device), room);
                if !said.get(&key).unwrap_or(&nothing).names(*setting) {
                    let what = format!("{setting:?}, which they never said");
                    found.insert(wrong(key, Some(device), what));
                }
                knows.entry(device).or_default().tell(room, *setting);
            }
            Event::ListLoaded { device, room, listed } => {
                let loaded = BTreeMap::from([(room, listed.setting)]);
                knows.entry(device).or_default().load(|key| *key == room, loaded);
            }
            Event::Opened { device, .. }
            | Event::Synced { device, .. }
            | Event::Cursor { device, .. }
            | Event::LoadedAll { device, .. } => knows.entry(device).or_default().step(event),
            Event::Settled { device, room } => {
                let key = (user_of(device), room);
                let Some(last) = last.get(&key) else { continue };
                let known = knows.get(device).and_then(|knows| knows.get(&room));
                let known = known.unwrap_or_default();
                if known != *last {
                    found.insert(wrong(key, Some(device), format!("{known:?}, not {last:?}")));
                }
            }
            _ => {}
        }
    }
}

fn gather(history: &History) -> HashMap<Key<'_>, SaidOf> {
    let answered = answered(history);
    let mut said: HashMap<Key<'_>, SaidOf> = HashMap::new();
    for (sent, event) in history.events.iter().enumerate() {
        let Event::SettingSent { wish, attempt } = event else { continue };
        let Wish { room, user, muted_until, pinned } = wish;
        let done = Done { seq: 0, sent, answered: answered.get(attempt).copied() };
        let said = said.entry((user, room)).or_default();
        said.muted_until.extend(muted_until.map(|until| (until, done)));
        said.pinned.extend(pinned.map(|pinned| (pinned, done)));
    }
    said
}

impl SaidOf {
    /// True where each of it was said, at some time, or is as it is at first.
    fn names(&self, setting: Setting) -> bool {
        let first = Setting::default();
        let was_said = |until| self.muted_until.iter().any(|(said, _)| *said == until);
        let is_pinned = |pinned| self.pinned.iter().any(|(said, _)| *said == pinned);
        (setting.muted_until == first.muted_until || was_said(setting.muted_until))
            && (setting.pinned == first.pinned || is_pinned(setting.pinned))
    }

    fn differs(&self, last: Setting) -> Option<String> {
        let first = Setting::default();
        let until = last.muted_until;
        if !may_be(&self.muted_until, until, first.muted_until) {
            return Some(format!("muted_until {until} in the end, against what was answered"));
        }
        let pinned = last.pinned;
        let is_right = may_be(&self.pinned, pinned, first.pinned);
        (!is_right).then(|| format!("pinned: {pinned} in the end, against what was answered"))
    }
}

/// True where a value may hold in the end: something has set it, and nothing that was answered came after that.
fn may_be<T: PartialEq>(said: &[(T, Done)], last: T, first: T) -> bool {
    let is_over =
        |set: &Done| said.iter().any(|(_, later)| later.answered.is_some() && set.is_before(later));
    let is_first = last == first && said.iter().all(|(_, it)| it.answered.is_none());
    is_first || said.iter().any(|(value, set)| *value == last && !is_over(set))
}

fn wrong((user, room): Key<'_>, device: Option<&Device>, what: String) -> Violation {
    let (room, user) = (room.clone(), Arc::from(user));
    Violation::WrongMark { room, user, device: device.cloned(), what }
}

#[cfg(test)]
mod tests;
