//! Promises about what became of messages: the room's log, one entry after the other, makes of each what
//! every member's history shows, and what each device makes of the entries that it got.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Violation;
use super::facts::{Facts, RoomFacts};
use crate::history::{Act, Device, Entry, Event, History, Now, Room};

pub(super) fn check(history: &History, facts: &Facts<'_>, found: &mut BTreeSet<Violation>) {
    let models: HashMap<&Room, Model<'_>> =
        facts.rooms.iter().filter_map(|(room, of)| Some((*room, Model::of(of.last?)))).collect();
    for (room, model) in &models {
        let reader: Device = "the log".into();
        if let Some(entries) = facts.rooms[*room].last {
            let kept = entries.partition_point(|entry| !facts.rooms[*room].is_kept(entry.seq));
            model.judge_shown(&entries[kept..], None, (&reader, room), found);
        }
    }
    let mut devices: HashMap<(&Device, &Room), Seen<'_>> = HashMap::new();
    for event in &history.events {
        match event {
            Event::Pinned { user, room, pins } => {
                let should = models.get(room).map(Model::pins);
                if let Some(should) = should.filter(|should| should != pins) {
                    let what = format!("the pins {pins:?}, not {should:?}");
                    let (room, user) = (room.clone(), user.clone());
                    found.insert(Violation::WrongCount { room, user, device: None, what });
                }
            }
            Event::Shown { user, room, entries } => {
                // To others it shows messages as they were when they left.
                let is_member = facts.rooms.get(room).is_some_and(|of| of.has_member(user));
                if let Some(model) = models.get(room).filter(|_| is_member) {
                    model.judge_shown(entries, Some(user), (user, room), found);
                }
            }
            Event::Received { device, entry, .. } | Event::Loaded { device, entry } => {
                devices.entry((device, &entry.room)).or_default().take(entry);
            }
            Event::Settled { device, room } => {
                let (Some(model), Some(of)) = (models.get(room), facts.rooms.get(room)) else {
                    continue;
                };
                // Who came and went has to ask for what was changed meanwhile.
                if was_always_there(of, device)
                    && let Some(seen) = devices.get(&(device, room))
                {
                    model.judge_seen(seen, of, (device, room), found);
                }
            }
            _ => {}
        }
    }
}

fn was_always_there(of: &RoomFacts<'_>, device: &Device) -> bool {
    of.standing.keys().all(|seq| of.is_for(device, *seq))
}

/// A message, as the log makes it.
#[derive(Default)]
struct Made<'a> {
    /// Hash of its newest text.
    text: u64,
    edits: Vec<u64>,
    deleted_by: Option<u64>,
    reactions: BTreeMap<&'a str, BTreeSet<&'a str>>,
    /// The seq of the `pin`, where it is pinned.
    pinned: Option<u64>,
    replies: Replies,
}

/// Of a message with which a thread begins: how many replies it has, and the newest one, deleted or not.
type Replies = Option<(u64, u64)>;

fn reply(replies: &mut Replies, seq: u64, is_deleted: bool) {
    let (count, last) = replies.unwrap_or_default();
    *replies = Some((count + u64::from(!is_deleted), last.max(seq)));
}

/// All messages of a room.
struct Model<'a>(BTreeMap<u64, Made<'a>>);

impl<'a> Model<'a> {
    fn of(log: &'a [Entry]) -> Self {
        let mut made: BTreeMap<u64, Made<'a>> = BTreeMap::new();
        for entry in log {
            if let Some(root) = entry.thread().filter(|_| entry.is_message() || is_deleted(entry)) {
                reply(&mut made.entry(root).or_default().replies, entry.seq, is_deleted(entry));
            }
            let Some(act) = entry.act.as_deref() else {
                if entry.is_message() {
                    // Its text in a history is the newest: without an edit, its own.
                    made.insert(entry.seq, Made { text: entry.text, ..Made::default() });
                }
                continue;
            };
            let (Act::Edits(target)
            | Act::Deletes(target)
            | Act::Reacts(target, ..)
            | Act::Pins(target, _)) = act
            else {
                continue;
            };
            // What is deleted in the end has no text to begin with.
            let message = made.entry(*target).or_default();
            match act {
                Act::Edits(_) => {
                    message.edits.push(entry.seq);
                    message.text = entry.text;
                }
                Act::Reacts(_, emoji, true) => {
                    message.reactions.entry(emoji).or_default().insert(&entry.from);
                }
                Act::Reacts(_, emoji, false) => {
                    let users = message.reactions.entry(emoji).or_default();
                    users.remove(&*entry.from);
                    if users.is_empty() {
                        message.reactions.remove(&**emoji);
                    }
                }
                Act::Pins(_, is_on) => message.pinned = is_on.then_some(entry.seq),
                Act::Deletes(_) | Act::DeletedBy(_) => {
                    (message.deleted_by, message.pinned) = (Some(entry.seq), None);
                }
            }
        }
        Self(made)
    }

    /// The seqs of pinned messages and of their pins, the newest pin first.
    fn pins(&self) -> Vec<(u64, u64)> {
        let pins = self.0.iter().filter_map(|(seq, made)| Some((*seq, made.pinned?)));
        let mut pins: Vec<_> = pins.collect();
        pins.sort_by_key(|(_, pin)| std::cmp::Reverse(*pin));
        pins
    }

    /// `user`: whose history it is.
    fn judge_shown(
        &self,
        entries: &[Entry],
        user: Option<&str>,
        (reader, room): (&Device, &Room),
        found: &mut BTreeSet<Violation>,
    ) {
        for entry in entries {
            let wrong = match (self.0.get(&entry.seq), entry.act.as_deref()) {
                (Some(made), act) => made.differs_shown(entry, act, user),
                // An edit's text is gone with its message.
                (None, Some(Act::Edits(target))) => self
                    .is_deleted(*target)
                    .then(|| format!("with the text of an edit of the deleted message {target}")),
                (None, _) => None,
            };
            found.extend(wrong.map(|what| wrong_message(reader, room, entry.seq, what)));
        }
    }

    fn is_deleted(&self, seq: u64) -> bool {
        self.0.get(&seq).is_some_and(|made| made.deleted_by.is_some())
    }

    fn judge_seen(
        &self,
        seen: &Seen<'_>,
        of: &RoomFacts<'_>,
        (device, room): (&Device, &Room),
        found: &mut BTreeSet<Violation>,
    ) {
        let replies = seen.replies();
        // Who was away does not hear what was done to those that have expired meanwhile.
        for (seq, made) in self.0.iter().filter(|(seq, _)| of.is_kept(**seq)) {
            let Some(has) = seen.message(*seq, &replies) else { continue };
            let wrong = made.differs_seen(&has);
            found.extend(wrong.map(|what| wrong_message(device, room, *seq, what)));
        }
    }
}

fn wrong_message(reader: &Device, room: &Room, seq: u64, what: String) -> Violation {
    Violation::WrongMessage { reader: reader.clone(), room: room.clone(), seq, what }
}

impl Made<'_> {
    fn counts(&self) -> BTreeMap<&str, u64> {
        self.reactions.iter().map(|(emoji, users)| (*emoji, users.len() as u64)).collect()
    }

    /// What is wrong with the message as a history shows it.
    fn differs_shown(
        &self,
        entry: &Entry,
        act: Option<&Act>,
        user: Option<&str>,
    ) -> Option<String> {
        let replies = entry.now.as_ref().and_then(|now| now.replies);
        if replies != self.replies {
            return Some(format!("with the replies {replies:?}, not {:?}", self.replies));
        }
        match (self.deleted_by, act) {
            (Some(by), Some(Act::DeletedBy(at))) if by == *at => return None,
            (Some(by), _) => return Some(format!("though {by} deletes it")),
            (None, Some(_)) => return Some("as no message".to_owned()),
            (None, None) => {}
        }
        let nothing = Now::default();
        let now = entry.now.as_deref().unwrap_or(&nothing);
        if now.edits != self.edits || entry.text != self.text {
            return Some(format!("with the edits {:?}, not {:?}", now.edits, self.edits));
        }
        let counts = now.reactions.iter().map(|(emoji, count, _)| (&**emoji, *count)).collect();
        if self.counts() != counts {
            return Some(format!("with the reactions {counts:?}, not {:?}", self.reactions));
        }
        if now.pinned != self.pinned {
            return Some(format!("with the pin {:?}, not {:?}", now.pinned, self.pinned));
        }
        let user = user?;
        let is_on = |emoji: &str| self.reactions.get(emoji).is_some_and(|it| it.contains(user));
        let wrong = now.reactions.iter().find(|(emoji, _, own)| is_on(emoji) != *own);
        wrong.map(|(emoji, ..)| format!("with a wrong word on their own {emoji}"))
    }

    /// What is wrong with the message as a device has made it.
    fn differs_seen(&self, has: &Has<'_>) -> Option<String> {
        if has.replies != self.replies {
            return Some(format!("with the replies {:?}, not {:?}", has.replies, self.replies));
        }
        match (self.deleted_by.is_some(), has.is_deleted) {
            (true, true) => return None,
            (false, false) => {}
            (true, false) => return Some("though it is deleted".to_owned()),
            (false, true) => return Some("as deleted".to_owned()),
        }
        if has.text != self.text || has.edits != self.edits {
            return Some(format!("with the edits {:?}, not {:?}", has.edits, self.edits));
        }
        if has.pinned != self.pinned {
            return Some(format!("with the pin {:?}, not {:?}", has.pinned, self.pinned));
        }
        let counts: BTreeMap<&str, u64> =
            has.counts.iter().filter(|(_, count)| **count > 0).map(|(e, c)| (*e, *c)).collect();
        (counts != self.counts())
            .then(|| format!("with the reactions {counts:?}, not {:?}", self.reactions))
    }
}

/// What a device has of a room.
#[derive(Default)]
struct Seen<'a> {
    /// What tells most of each message: as it was pushed, or as the newest history told it.
    messages: BTreeMap<u64, (u64, &'a Entry)>,
    /// What was done to messages, by target.
    acts: BTreeMap<u64, BTreeMap<u64, &'a Entry>>,
}

/// A message as a device shows it.
struct Has<'a> {
    text: u64,
    edits: Vec<u64>,
    is_deleted: bool,
    counts: BTreeMap<&'a str, u64>,
    pinned: Option<u64>,
    replies: Replies,
}

fn is_deleted(entry: &Entry) -> bool {
    matches!(entry.act.as_deref(), Some(Act::DeletedBy(_)))
}

impl<'a> Seen<'a> {
    fn take(&mut self, entry: &'a Entry) {
        let as_of = entry.now.as_ref().map_or(entry.seq, |now| now.as_of);
        match entry.act.as_deref() {
            None if !entry.is_message() => {}
            None => self.keep(entry, as_of),
            // It comes last: nothing is done to it any more.
            Some(Act::DeletedBy(_)) => self.keep(entry, u64::MAX),
            Some(
                Act::Edits(target)
                | Act::Deletes(target)
                | Act::Reacts(target, ..)
                | Act::Pins(target, _),
            ) => {
                self.acts.entry(*target).or_default().insert(entry.seq, entry);
            }
        }
    }

    fn keep(&mut self, entry: &'a Entry, as_of: u64) {
        let kept = self.messages.entry(entry.seq).or_insert((as_of, entry));
        if kept.0 < as_of {
            *kept = (as_of, entry);
        }
    }

    /// By the message with which a thread begins.
    fn replies(&self) -> BTreeMap<u64, (u64, u64)> {
        let mut replies: BTreeMap<u64, Replies> = BTreeMap::new();
        for (seq, (_, entry)) in &self.messages {
            if let Some(root) = entry.thread() {
                let acts = self.acts.get(seq).into_iter().flatten();
                let mut acts = acts.map(|(_, act)| act.act.as_deref());
                let deletes = acts.any(|act| matches!(act, Some(Act::Deletes(_))));
                reply(replies.entry(root).or_default(), *seq, deletes || is_deleted(entry));
            }
        }
        replies.into_iter().filter_map(|(root, replies)| Some((root, replies?))).collect()
    }

    fn message(&self, seq: u64, replies: &BTreeMap<u64, (u64, u64)>) -> Option<Has<'a>> {
        let (as_of, entry) = *self.messages.get(&seq)?;
        let now = entry.now.as_deref();
        let counts = now.into_iter().flat_map(|now| &now.reactions);
        let mut has = Has {
            text: entry.text,
            edits: now.map_or_else(Vec::new, |now| now.edits.clone()),
            is_deleted: entry.act.is_some(),
            counts: counts.map(|(emoji, count, _)| (&**emoji, *count)).collect(),
            pinned: now.and_then(|now| now.pinned),
            replies: replies.get(&seq).copied(),
        };
        let acts = self.acts.get(&seq).into_iter().flatten();
        for (at, act) in acts.filter(|(at, _)| **at > as_of) {
            match act.act.as_deref() {
                Some(Act::Edits(_)) => {
                    has.text = act.text;
                    has.edits.push(*at);
                }
                Some(Act::Deletes(_)) => has.is_deleted = true,
                Some(Act::Reacts(_, emoji, is_on)) => {
                    let count = has.counts.entry(emoji).or_default();
                    *count = if *is_on { *count + 1 } else { count.saturating_sub(1) };
                }
                Some(Act::Pins(_, is_on)) => has.pinned = is_on.then_some(*at),
                Some(Act::DeletedBy(_)) | None => {}
            }
        }
        Some(has)
    }
}

#[cfg(test)]
mod tests;
