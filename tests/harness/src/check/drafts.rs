//! Promises about drafts: each change gets a version of its own and comes after the one that its device has seen, what
//! was answered is kept until a later one is, each device ends with what the store has, and nobody else is told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::Violation;
use super::facts::{Facts, user_of};
use super::newest::Newest;
use crate::history::{Device, Draft, Event, History, Room};

/// By user and room.
type Key<'a> = (&'a str, &'a Room);

/// What is known of the drafts of a user for a room.
#[derive(Default)]
struct Of {
    /// What was said of each version: more than one text is wrong.
    texts: BTreeMap<u64, BTreeSet<u64>>,
    said: BTreeSet<u64>,
    /// Of texts that were kept: the version that their device had seen, and the one that they got.
    steps: Vec<(u64, u64)>,
}

pub(super) fn check(history: &History, facts: &Facts<'_>, found: &mut BTreeSet<Violation>) {
    let of = gather(history);
    for (key, of) in &of {
        found.extend(of.wrong().into_iter().map(|what| wrong(*key, None, what)));
    }
    let mut last: HashMap<&str, BTreeMap<&Room, &Draft>> = HashMap::new();
    let mut knows: HashMap<&Device, Newest<'_, &Room, (u64, u64)>> = HashMap::new();
    for event in &history.events {
        match event {
            // Only who is removed meanwhile may not.
            Event::DraftRefused { draft, code } if facts.has_always(&draft.room, &draft.user) => {
                let what = format!("refused with {code}: {draft:?}");
                found.insert(wrong((&draft.user, &draft.room), None, what));
            }
            Event::Drafts { user, drafts } => {
                let drafts: BTreeMap<_, _> = drafts.iter().map(|it| (&it.room, it)).collect();
                let of_user = of.iter().filter(|((whose, _), _)| **whose == **user);
                for (key, of) in of_user {
                    if let Some(what) = of.differs(drafts.get(key.1).copied()) {
                        found.insert(wrong(*key, None, what));
                    }
                }
                last.insert(user, drafts);
            }
            Event::DraftTold { device, draft } => {
                let Draft { room, version, text, .. } = draft;
                let knows = knows.entry(device).or_default();
                // The greatest version counts.
                if knows.get(&room).is_none_or(|(known, _)| known <= *version) {
                    knows.tell(room, (*version, *text));
                }
            }
            Event::DraftsLoaded { device, drafts } => {
                let loaded = drafts.iter().map(|it| (&it.room, (it.version, it.text)));
                knows.entry(device).or_default().load(|_| true, loaded.collect());
            }
            Event::Opened { device, .. }
            | Event::Synced { device, .. }
            | Event::Cursor { device, .. }
            | Event::LoadedAll { device, .. } => knows.entry(device).or_default().step(event),
            Event::Settled { device, room } => {
                let user = user_of(device);
                let Some(drafts) = last.get(user) else { continue };
                let is = drafts.get(room).map(|draft| (draft.version, draft.text));
                let known = knows.get(device).and_then(|knows| knows.get(&room));
                // One that is dismissed is not listed.
                let known = known.filter(|(_, text)| *text != 0);
                if known != is {
                    let what = format!("the draft {known:?}, not {is:?}");
                    found.insert(wrong((user, room), Some(device), what));
                }
            }
            _ => {}
        }
    }
}

fn gather(history: &History) -> HashMap<Key<'_>, Of> {
    let mut all: HashMap<Key<'_>, Of> = HashMap::new();
    for event in &history.events {
        match event {
            Event::DraftSent { draft, .. } => {
                all.entry((&draft.user, &draft.room)).or_default().said.insert(draft.text);
            }
            Event::DraftKept {
                draft: Draft { user, room, version: seen, text }, version, ..
            } => {
                let of = all.entry((user, room)).or_default();
                of.see(*version, *text);
                // What is dismissed already is answered by the version that did it.
                if *text != 0 {
                    of.steps.push((*seen, *version));
                }
            }
            Event::DraftConflict { found: draft, .. } | Event::DraftTold { draft, .. } => {
                all.entry((&draft.user, &draft.room)).or_default().see(draft.version, draft.text);
            }
            Event::DraftsLoaded { drafts, .. } | Event::Drafts { drafts, .. } => {
                for draft in drafts {
                    let of = all.entry((&draft.user, &draft.room)).or_default();
                    of.see(draft.version, draft.text);
                }
            }
            _ => {}
        }
    }
    all
}

impl Of {
    fn see(&mut self, version: u64, text: u64) {
        // Before the first change there is nothing, as version 0.
        if version > 0 {
            self.texts.entry(version).or_default().insert(text);
        }
    }

    fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (version, texts) in &self.texts {
            if texts.len() > 1 {
                wrong.push(format!("two texts as version {version} of the draft"));
            }
            if texts.iter().any(|text| *text != 0 && !self.said.contains(text)) {
                wrong.push(format!("version {version} of the draft, which they never said"));
            }
        }
        for (seen, version) in &self.steps {
            if version <= seen {
                wrong.push(format!("version {version} of the draft after {seen}"));
            } else if let Some((between, _)) = self.texts.range(seen + 1..*version).next() {
                wrong.push(format!("version {version} of the draft instead of {between}, unseen"));
            }
        }
        wrong
    }

    /// `last`: in the end; one that is dismissed is not there.
    fn differs(&self, last: Option<&Draft>) -> Option<String> {
        let (newest, texts) = self.texts.last_key_value()?;
        let newest = *newest;
        match last {
            None if !texts.contains(&0) => Some(format!("no draft, after version {newest}")),
            Some(last) if last.version < newest => {
                Some(format!("version {} of the draft, after {newest}", last.version))
            }
            _ => None,
        }
    }
}

fn wrong((user, room): Key<'_>, device: Option<&Device>, what: String) -> Violation {
    let (room, user) = (room.clone(), Arc::from(user));
    Violation::WrongMark { room, user, device: device.cloned(), what }
}

#[cfg(test)]
mod tests;
