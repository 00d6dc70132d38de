//! Promises about what is unread: the room list of a fresh device, and what each device computes of what it was told,
//! are what the room's log and the user's mark make.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::Violation;
use super::counts::{Counted, Mentioning, first_unread};
use super::facts::{Facts, RoomFacts, user_of};
use super::unread_from;
use crate::history::{Act, Change, Cursor, Device, Entry, Event, History, Listed, Mark, Room};

pub(super) fn check(history: &History, facts: &Facts<'_>, found: &mut BTreeSet<Violation>) {
    let mut counted: BTreeMap<&Room, Counted<'_>> = BTreeMap::new();
    for (room, of) in &facts.rooms {
        let Some(log) = of.last else { continue };
        let model = Counted::of(log, |entry| facts.said(of, entry));
        for (entry, expected) in model.wrong_ordinals(|entry| facts.said(of, entry)) {
            let what = format!("the ordinal {} at {}, not {expected}", entry.ordinal, entry.seq);
            found.insert(wrong(room, &entry.from, None, what));
        }
        counted.insert(room, model);
    }
    let lists = listed(history);
    judge_lists(history, &counted, &lists, found);
    unread_from::check(history, facts, &lists, found);
    judge_devices(history, facts, (&counted, &lists), found);
}

/// By user and room.
pub(super) type Lists<'a> = BTreeMap<(&'a str, &'a Room), &'a Listed>;

fn listed(history: &History) -> Lists<'_> {
    let lists = history.events.iter().filter_map(|event| match event {
        Event::Listed { user, room, listed } => Some(((&**user, room), listed)),
        _ => None,
    });
    lists.collect()
}

fn wrong(room: &Room, user: &str, device: Option<&Device>, what: String) -> Violation {
    Violation::WrongCount { room: room.clone(), user: user.into(), device: device.cloned(), what }
}

fn judge_lists(
    history: &History,
    counted: &BTreeMap<&Room, Counted<'_>>,
    lists: &Lists<'_>,
    found: &mut BTreeSet<Violation>,
) {
    let asked: BTreeSet<&str> = lists.keys().map(|(user, _)| *user).collect();
    for event in &history.events {
        let Event::FinalMark { mark: Mark { room, user, read, .. } } = event else { continue };
        let (Some(model), true) = (counted.get(room), asked.contains(&**user)) else { continue };
        let Some(listed) = lists.get(&(&**user, room)) else {
            found.insert(wrong(room, user, None, "no such room in the list".to_owned()));
            continue;
        };
        let first = first_unread(*read, listed.unread_from);
        let head = model.head();
        let is = [listed.seq, listed.ordinal, listed.read, listed.read_ordinal, listed.mentions];
        let mentions = model.mentions(user, first);
        let should = [head.0, head.1, *read, model.ordinal(first - 1), mentions];
        let names = ["seq", "ordinal", "read", "read_ordinal", "mentions"];
        for (name, (is, should)) in names.iter().zip(is.into_iter().zip(should)) {
            if is != should {
                found.insert(wrong(room, user, None, format!("the {name} {is}, not {should}")));
            }
        }
        let (is, should) = (listed.unread, model.unread(first));
        if is < should || listed.unread_exact && is > should {
            let what = format!("{is} unread, not {should}, from {first} on");
            found.insert(wrong(room, user, None, what));
        }
    }
}

/// The own user's mark, as a device was told it.
#[derive(Clone, Copy, Default, Debug)]
struct Own {
    read: u64,
    read_ordinal: u64,
    unread_from: u64,
}

/// What a device knows of its own marks, and what it knew when each cursor came.
#[derive(Default)]
struct Knows<'a> {
    now: BTreeMap<&'a Room, Own>,
    at_cursor: HashMap<&'a Cursor, BTreeMap<&'a Room, Own>>,
    /// Rooms of which a frame came since it was told to load its rooms: that is at least as new as the list.
    told: BTreeSet<&'a Room>,
}

impl<'a> Knows<'a> {
    fn step(&mut self, device: &Device, event: &'a Event) {
        match event {
            Event::MarkTold { mark, .. } => {
                let Some(read_ordinal) =
                    mark.read_ordinal.filter(|_| user_of(device) == &*mark.user)
                else {
                    return;
                };
                let Mark { read, unread_from, .. } = *mark;
                self.now.insert(&mark.room, Own { read, read_ordinal, unread_from });
                self.told.insert(&mark.room);
            }
            Event::ListLoaded { room, listed, .. } if !self.told.contains(room) => {
                let Listed { read, read_ordinal, unread_from, .. } = *listed;
                self.now.insert(room, Own { read, read_ordinal, unread_from });
            }
            Event::Opened { cursor, .. } => {
                self.told.clear();
                if let Some(then) = cursor.as_ref().and_then(|cursor| self.at_cursor.get(cursor)) {
                    self.now = then.clone();
                }
            }
            Event::Synced { recovered: false, .. } => self.told.clear(),
            Event::Synced { recovered: true, cursor, .. } | Event::Cursor { cursor, .. } => {
                self.at_cursor.entry(cursor).or_insert_with(|| self.now.clone());
            }
            Event::LoadedAll { cursor, .. } => {
                self.at_cursor.insert(cursor, self.now.clone());
            }
            _ => {}
        }
    }
}

/// The entries of a room that a device has.
#[derive(Default)]
struct Has<'a> {
    /// As they were taken, where the device was told that; else as they were told first.
    entries: BTreeMap<u64, &'a Entry>,
    /// Messages with their newest text, as a history told them: with edits of which the device may have nothing.
    shown: BTreeMap<u64, &'a Entry>,
    deleted: BTreeSet<u64>,
}

impl<'a> Has<'a> {
    fn take(&mut self, entry: &'a Entry) {
        match entry.act.as_deref() {
            Some(Act::DeletedBy(_)) => {
                self.deleted.insert(entry.seq);
            }
            Some(Act::Deletes(target)) => {
                self.deleted.insert(*target);
            }
            _ => {}
        }
        if entry.is_as_taken() {
            self.entries.insert(entry.seq, entry);
        } else {
            self.entries.entry(entry.seq).or_insert(entry);
        }
        if entry.now.is_some() {
            self.shown.insert(entry.seq, entry);
        }
    }

    /// True where it has every entry from this one to the room's last one.
    fn has_all(&self, first: u64, head: u64) -> bool {
        (first..=head).all(|seq| self.entries.contains_key(&seq))
    }

    /// True where the entry counts as unread, as the ordinals say.
    fn counts(&self, seq: u64, entry: &Entry) -> bool {
        let before = seq.checked_sub(1).and_then(|before| self.entries.get(&before));
        before.map_or(entry.text != 0, |before| entry.ordinal > before.ordinal)
    }

    /// The user's mark as it holds: with what they sent, and with their joining.
    fn own(&self, user: &str, told: Own) -> Own {
        let reads = |(seq, entry): &(&u64, &&Entry)| {
            let is_own = *entry.from == *user;
            match entry.change.as_deref() {
                Some(Change::Joined(users)) => is_own || users.iter().any(|it| **it == *user),
                Some(Change::Left(_)) => is_own,
                None => is_own && self.counts(**seq, entry),
            }
        };
        let later = self.entries.range(told.read + 1..).rev();
        later.into_iter().find(reads).map_or(told, |(seq, entry)| Own {
            read: *seq,
            read_ordinal: entry.ordinal,
            unread_from: 0,
        })
    }

    fn unread(&self, own: Own, first: u64) -> u64 {
        let newest = self.entries.last_key_value().map_or(0, |(_, entry)| entry.ordinal);
        let deleted = self
            .deleted
            .range(first..)
            .filter(|seq| self.entries.get(seq).is_some_and(|entry| self.counts(**seq, entry)));
        newest.saturating_sub(own.read_ordinal).saturating_sub(deleted.count() as u64)
    }

    /// How many unread messages mention the user: at least, and at most. Of a message that the device knows from a
    /// history alone, after it was edited, nobody has told it by which of its texts it mentions.
    fn mentions(&self, user: &str, first: u64) -> (u64, u64) {
        let mut messages: BTreeMap<u64, Mentioning<'a>> = BTreeMap::new();
        let mut unknown = 0;
        for (seq, entry) in &self.entries {
            match entry.act.as_deref() {
                None if entry.is_message() && !self.deleted.contains(seq) && !entry.is_silent() => {
                    if entry.is_as_taken() {
                        let new = Mentioning::new(&entry.from, *seq, entry.mentions());
                        messages.insert(*seq, new);
                    } else {
                        unknown += u64::from(*entry.from != *user);
                    }
                }
                Some(Act::Edits(target)) => {
                    if let Some(message) = messages.get_mut(target) {
                        message.edit(*seq, entry.mentions());
                    }
                }
                _ => {}
            }
        }
        let known = messages.values().filter(|message| message.is_unread(user, first)).count();
        (known as u64, known as u64 + unknown)
    }
}

fn judge_devices(
    history: &History,
    facts: &Facts<'_>,
    (counted, lists): (&BTreeMap<&Room, Counted<'_>>, &Lists<'_>),
    found: &mut BTreeSet<Violation>,
) {
    let mut knows: HashMap<&Device, Knows<'_>> = HashMap::new();
    let mut has: HashMap<(&Device, &Room), Has<'_>> = HashMap::new();
    for event in &history.events {
        match event {
            Event::Received { device, entry, .. } | Event::Loaded { device, entry } => {
                has.entry((device, &entry.room)).or_default().take(entry);
            }
            Event::MarkTold { device, mark } => {
                judge_frame(device, mark, counted, found);
                knows.entry(device).or_default().step(device, event);
            }
            Event::ListLoaded { device, .. }
            | Event::Opened { device, .. }
            | Event::Synced { device, .. }
            | Event::Cursor { device, .. }
            | Event::LoadedAll { device, .. } => {
                knows.entry(device).or_default().step(device, event);
            }
            Event::Settled { device, room } => {
                let user: Arc<str> = user_of(device).into();
                let (Some(of), Some(listed)) = (facts.rooms.get(room), lists.get(&(&*user, room)))
                else {
                    continue;
                };
                let told = knows.get(device).and_then(|knows| knows.now.get(room));
                let told = told.copied().unwrap_or_default();
                if let Some(has) = has.get(&(device, room)) {
                    judge_device((device, room), of, (has, told), listed, found);
                }
            }
            _ => {}
        }
    }
}

/// A frame of the own user's mark says how many messages there are up to it.
fn judge_frame(
    device: &Device,
    mark: &Mark,
    counted: &BTreeMap<&Room, Counted<'_>>,
    found: &mut BTreeSet<Violation>,
) {
    let (Some(is), Some(model)) = (mark.read_ordinal, counted.get(&mark.room)) else { return };
    let should = model.ordinal(first_unread(mark.read, mark.unread_from) - 1);
    if is != should {
        let what = format!("the read_ordinal {is}, not {should}, in the frame: {mark}");
        found.insert(wrong(&mark.room, &mark.user, Some(device), what));
    }
}

fn judge_device(
    (device, room): (&Device, &Room),
    of: &RoomFacts<'_>,
    (has, told): (&Has<'_>, Own),
    listed: &Listed,
    found: &mut BTreeSet<Violation>,
) {
    let user = user_of(device);
    let own = has.own(user, told);
    let first = first_unread(own.read, own.unread_from);
    let head = of.last.and_then(|log| log.last()).map_or(0, |entry| entry.seq);
    // An entry that is missing is said elsewhere; who came back has not what was said meanwhile.
    if !has.has_all(first, head) {
        return;
    }
    let mut say = |what: String| {
        found.insert(wrong(room, user, Some(device), format!("{what} (told: {told:?})")));
    };
    if (own.read, own.unread_from) != (listed.read, listed.unread_from) {
        say(format!("{own:?}, not {listed:?}"));
        return;
    }
    let unread = has.unread(own, first);
    if unread != listed.unread && listed.unread_exact {
        say(format!("{unread} unread, not {}, from {first} on", listed.unread));
    }
    let (least, most) = has.mentions(user, first);
    if !(least..=most).contains(&listed.mentions) {
        say(format!("{least} to {most} mentions, not {}, from {first} on", listed.mentions));
    }
}

#[cfg(test)]
mod tests;
