//! The entries that devices have, and what they make of them by `docs/protocol.md`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::counts::Mentioning;
use crate::history::{Act, Change, Device, Entry, Event, History, Room};

/// By device and room.
pub(super) type AllHave<'a> = HashMap<(&'a Device, &'a Room), Has<'a>>;

/// What each device has in the end.
pub(super) fn all_have(history: &History) -> AllHave<'_> {
    let mut has = AllHave::new();
    for event in &history.events {
        if let Event::Received { device, entry, .. } | Event::Loaded { device, entry } = event {
            has.entry((device, &entry.room)).or_default().take(entry);
        }
    }
    has
}

/// The own user's mark, as a device was told it.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Own {
    pub(super) read: u64,
    pub(super) read_ordinal: u64,
    pub(super) unread_from: u64,
}

/// The entries of a room that a device has.
#[derive(Default)]
pub(super) struct Has<'a> {
    /// As they were taken, where the device was told that; else as they were told first.
    entries: BTreeMap<u64, &'a Entry>,
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
    }

    /// True where it has every entry from this one to the room's last one.
    pub(super) fn has_all(&self, first: u64, head: u64) -> bool {
        (first..=head).all(|seq| self.entries.contains_key(&seq))
    }

    /// True where the entry counts as unread, as the ordinals say.
    fn counts(&self, seq: u64, entry: &Entry) -> bool {
        let before = seq.checked_sub(1).and_then(|before| self.entries.get(&before));
        before.map_or(entry.text != 0, |before| entry.ordinal > before.ordinal)
    }

    /// The user's mark as it holds: with what they sent, and with their joining.
    pub(super) fn own(&self, user: &str, told: Own) -> Own {
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

    pub(super) fn unread(&self, own: Own, first: u64) -> u64 {
        let newest = self.entries.last_key_value().map_or(0, |(_, entry)| entry.ordinal);
        let deleted = self
            .deleted
            .range(first..)
            .filter(|seq| self.entries.get(seq).is_some_and(|entry| self.counts(**seq, entry)));
        newest.saturating_sub(own.read_ordinal).saturating_sub(deleted.count() as u64)
    }

    /// How many unread messages mention the user: at least, and at most. Of a message that the device knows from a
    /// history alone, after it was edited, nobody has told it by which of its texts it mentions; nor by which a message
    /// does of which it has an edit alone.
    pub(super) fn mentions(&self, user: &str, first: u64) -> (u64, u64) {
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
                    } else if !self.deleted.contains(target) && !self.entries.contains_key(target) {
                        let edited = Mentioning::new(&entry.from, *seq, entry.mentions());
                        unknown += u64::from(edited.is_unread(user, first));
                    }
                }
                _ => {}
            }
        }
        let known = messages.values().filter(|message| message.is_unread(user, first)).count();
        (known as u64, known as u64 + unknown)
    }

    /// How many replies of a thread are unread for who has read it up to `read`; `None`: it has not all of them.
    pub(super) fn unread_replies(
        &self,
        user: &str,
        root: u64,
        read: u64,
        head: u64,
    ) -> Option<u64> {
        if !self.has_all(read + 1, head) {
            return None;
        }
        let replies = || self.entries.values().filter(|entry| entry.thread() == Some(root));
        let mut own = replies().filter(|entry| *entry.from == *user);
        let from = own.next_back().map_or(0, |entry| entry.seq).max(read);
        let is_unread = |entry: &&&Entry| {
            entry.seq > from
                && entry.is_message()
                && !entry.is_silent()
                && !self.deleted.contains(&entry.seq)
        };
        Some(replies().filter(is_unread).count() as u64)
    }
}
