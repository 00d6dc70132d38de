//! What a room's log makes of unread messages and mentions, for anybody who has read it up to somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::history::{Act, EVERYONE, Entry, Said};

/// From which entry on a room is unread for a user.
pub(super) fn first_unread(read: u64, unread_from: u64) -> u64 {
    if unread_from == 0 { read + 1 } else { unread_from }
}

/// A message that is not deleted and not silent, and by which entries it mentions whom it mentions now.
pub(super) struct Mentioning<'a> {
    pub(super) from: &'a str,
    /// The message's own seq, or that of an edit.
    pub(super) by: BTreeMap<&'a str, u64>,
}

impl<'a> Mentioning<'a> {
    pub(super) fn new(from: &'a str, seq: u64, names: &'a [Arc<str>]) -> Self {
        Self { from, by: names.iter().map(|name| (&**name, seq)).collect() }
    }

    /// Whom an edit still names, they keep their mention; who is new has that of the edit.
    pub(super) fn edit(&mut self, seq: u64, names: &'a [Arc<str>]) {
        let kept = |name| self.by.get(name).copied().unwrap_or(seq);
        self.by = names.iter().map(|name| (&**name, kept(&**name))).collect();
    }

    /// True where it mentions the user by this entry or a later one.
    pub(super) fn is_unread(&self, user: &str, first: u64) -> bool {
        let names = [user, EVERYONE].map(|name| self.by.get(name));
        self.from != user && names.into_iter().flatten().any(|seq| *seq >= first)
    }
}

/// A room's log, counted.
pub(super) struct Counted<'a> {
    log: &'a [Entry],
    deleted: BTreeSet<u64>,
    mentions: BTreeMap<u64, Mentioning<'a>>,
}

impl<'a> Counted<'a> {
    /// `said`: what a message said beside its text when it was taken.
    pub(super) fn of(log: &'a [Entry], said: impl Fn(&'a Entry) -> Option<&'a Said>) -> Self {
        let (mut deleted, mut mentions) = (BTreeSet::new(), BTreeMap::<u64, Mentioning<'_>>::new());
        for entry in log {
            match entry.act.as_deref() {
                None if entry.is_message() => {
                    let said = said(entry);
                    if !said.is_some_and(|said| said.silent) {
                        let names = said.map_or(&[][..], |said| &said.mentions);
                        let new = Mentioning::new(&entry.from, entry.seq, names);
                        mentions.insert(entry.seq, new);
                    }
                }
                Some(Act::Edits(target)) => {
                    if let Some(message) = mentions.get_mut(target) {
                        message.edit(entry.seq, entry.mentions());
                    }
                }
                Some(Act::Deletes(target)) => {
                    deleted.insert(*target);
                    mentions.remove(target);
                }
                _ => {}
            }
        }
        Self { log, deleted, mentions }
    }

    /// Seq and ordinal of the last entry.
    pub(super) fn head(&self) -> (u64, u64) {
        self.log.last().map_or((0, 0), |entry| (entry.seq, entry.ordinal))
    }

    /// The number of the room's messages up to an entry.
    pub(super) fn ordinal(&self, seq: u64) -> u64 {
        let after = self.log.partition_point(|entry| entry.seq <= seq);
        after.checked_sub(1).map_or(0, |last| self.log[last].ordinal)
    }

    pub(super) fn unread(&self, first: u64) -> u64 {
        let pairs = self.log.iter().zip(self.log.iter().skip(1));
        let steps = pairs.map(|(before, entry)| (entry, entry.ordinal > before.ordinal));
        let begins = self.log.first().map(|entry| (entry, entry.ordinal > 0));
        let counts = |(entry, is_counted): &(&Entry, bool)| {
            *is_counted && entry.seq >= first && !self.deleted.contains(&entry.seq)
        };
        begins.into_iter().chain(steps).filter(counts).count() as u64
    }

    pub(super) fn mentions(&self, user: &str, first: u64) -> u64 {
        let unread = self.mentions.values().filter(|message| message.is_unread(user, first));
        unread.count() as u64
    }

    /// Where an entry's ordinal does not count what the entry is.
    pub(super) fn wrong_ordinals(
        &self,
        said: impl Fn(&'a Entry) -> Option<&'a Said>,
    ) -> impl Iterator<Item = (&'a Entry, u64)> {
        let mut last = 0;
        self.log.iter().filter_map(move |entry| {
            let is_message = entry.is_message() || self.deleted.contains(&entry.seq);
            let said = said(entry);
            let is_apart = said.is_some_and(|said| said.silent) || entry.thread().is_some();
            let expected = last + u64::from(is_message && !is_apart);
            last = entry.ordinal;
            (entry.ordinal != expected).then_some((entry, expected))
        })
    }
}
