//! What a run says about each room and each client id, gathered once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::RangeInclusive;

use super::blocks::{Blocks, pair_of};
use super::requests::askers;
use crate::history::{
    Change, ClientId, Deed, Device, Entry, Event, History, Room, Rule, Said, SessionId,
};

/// What the events say about each room and each client id.
pub(super) struct Facts<'a> {
    pub(super) rooms: BTreeMap<&'a Room, RoomFacts<'a>>,
    pub(super) sends: HashMap<&'a ClientId, SendFacts<'a>>,
    /// What each session sent to each room, by first attempts.
    pub(super) sessions: BTreeMap<(SessionId, &'a Room), Vec<&'a ClientId>>,
}

#[derive(Default)]
pub(super) struct RoomFacts<'a> {
    /// Every different thing that anybody saw at a place.
    pub(super) seen: BTreeMap<u64, Vec<&'a Entry>>,
    pub(super) last: Option<&'a [Entry]>,
    /// What is committed in the end; without a whole reading: what was seen first.
    pub(super) standing: BTreeMap<u64, &'a Entry>,
    /// The first seq of each client id.
    pub(super) places: HashMap<&'a ClientId, u64>,
    /// From when to when each user was a member; empty where the room's members never change.
    members: HashMap<&'a str, Vec<RangeInclusive<u64>>>,
    /// From when to when members may have been refused what they wrote.
    restricted: Vec<RangeInclusive<u64>>,
    /// The first entry that it has in the end; those before it have expired.
    begins: u64,
    /// Some of its entries were made older on purpose.
    is_aged: bool,
    /// Of a direct room: one of the two has blocked the other, or wanted strangers to ask, at some time.
    was_apart: bool,
    /// (index of an event, highest seq that was known then), where it grew.
    heads: Vec<(usize, u64)>,
}

#[derive(Default)]
pub(super) struct SendFacts<'a> {
    /// Index of its first `Sent`.
    pub(super) first_sent_at: Option<usize>,
    pub(super) attempts: u32,
    pub(super) text: u64,
    pub(super) said: Option<&'a Said>,
    /// (index of the event, room, seq) of each ack.
    pub(super) acks: Vec<(usize, &'a Room, u64)>,
    /// There was an error, temporary or not.
    pub(super) refused: bool,
    pub(super) refused_for_good: bool,
}

impl<'a> Facts<'a> {
    pub(super) fn gather(history: &'a History) -> Self {
        let mut facts =
            Self { rooms: BTreeMap::new(), sends: HashMap::new(), sessions: BTreeMap::new() };
        let mut once = HashSet::new();
        for (at, event) in history.events.iter().enumerate() {
            match event {
                Event::Sent { client_id, text, said, session, room, .. } => {
                    let sent = facts.sessions.entry((*session, room)).or_default();
                    if once.insert((session, client_id)) {
                        sent.push(client_id);
                    }
                    let send = facts.sends.entry(client_id).or_default();
                    send.first_sent_at.get_or_insert(at);
                    send.attempts += 1;
                    send.text = *text;
                    send.said = said.as_deref();
                }
                Event::Acked { room, client_id, seq, .. } => {
                    facts.rooms.entry(room).or_default().knows(at, *seq);
                    facts.sends.entry(client_id).or_default().acks.push((at, room, *seq));
                }
                Event::Refused { client_id, temporary, .. } => {
                    let send = facts.sends.entry(client_id).or_default();
                    send.refused = true;
                    send.refused_for_good |= !temporary;
                }
                Event::Received { entry, .. } | Event::Loaded { entry, .. } => {
                    facts.rooms.entry(&entry.room).or_default().knows(at, entry.seq);
                    facts.see(entry);
                }
                Event::Deed(Deed::Aged { room, .. }) => {
                    facts.rooms.entry(room).or_default().is_aged = true;
                }
                Event::Deed(Deed::Begins { room, first }) => {
                    facts.rooms.entry(room).or_default().begins = *first;
                }
                Event::Final { room, entries } => {
                    facts.rooms.entry(room).or_default().last = Some(entries);
                    entries.iter().for_each(|entry| facts.see(entry));
                }
                _ => {}
            }
        }
        let blocked = Blocks::gather(history).rooms();
        let askers = askers(history);
        for (id, room) in &mut facts.rooms {
            let asks = pair_of(id).is_some_and(|(a, b)| askers.contains(a) || askers.contains(b));
            room.was_apart = asks || blocked.contains(&***id);
            room.standing = match room.last {
                Some(entries) => entries.iter().map(|entry| (entry.seq, entry)).collect(),
                None => room.seen.iter().map(|(seq, entries)| (*seq, entries[0])).collect(),
            };
            for (seq, entry) in &room.standing {
                if let Some(client_id) = &entry.client_id {
                    room.places.entry(client_id).or_insert(*seq);
                }
            }
            room.members = memberships(&room.standing);
            room.restricted = restricted(&room.standing);
        }
        facts
    }

    fn see(&mut self, entry: &'a Entry) {
        let at = self.rooms.entry(&entry.room).or_default().seen.entry(entry.seq).or_default();
        // What had become of a message by then is judged elsewhere.
        if !at.iter().any(|it| {
            (it.digest, it.time_ms, it.text, &it.said)
                == (entry.digest, entry.time_ms, entry.text, &entry.said)
        }) {
            at.push(entry);
        }
    }
}

impl<'a> Facts<'a> {
    /// True where both were in one group, at some time.
    pub(super) fn share_group(&self, user: &str, other: &str) -> bool {
        let has_both =
            |of: &RoomFacts<'_>| [user, other].iter().all(|user| of.members.contains_key(user));
        self.rooms.values().any(has_both)
    }

    /// True where the user came once and never left, or where the room's members never change.
    pub(super) fn has_always(&self, room: &Room, user: &str) -> bool {
        self.rooms.get(room).is_some_and(|of| of.has_always(user))
    }

    /// What an entry said beside its text when it was taken: as somebody saw it, or as it was sent.
    pub(super) fn said(&self, of: &RoomFacts<'a>, entry: &Entry) -> Option<&'a Said> {
        if let Some(taken) = of.taken(entry.seq) {
            return taken.said.as_deref();
        }
        let send = entry.client_id.as_ref().and_then(|id| self.sends.get(id));
        send.and_then(|send| send.said)
    }
}

impl<'a> RoomFacts<'a> {
    /// The entry as its sender sent it, where anybody saw that.
    pub(super) fn taken(&self, seq: u64) -> Option<&'a Entry> {
        self.seen.get(&seq)?.iter().copied().find(|entry| entry.is_as_taken())
    }

    fn has_always(&self, user: &str) -> bool {
        let times = self.members.get(user).map(Vec::as_slice);
        self.members.is_empty() || matches!(times, Some([time]) if *time.end() == u64::MAX)
    }

    /// True of a message that is in no thread itself. What one was that is deleted is known where somebody saw it.
    pub(super) fn begins_thread(&self, seq: u64) -> bool {
        let entry = self.taken(seq).or_else(|| self.standing.get(&seq).copied());
        entry.is_some_and(|entry| entry.is_message() && entry.thread().is_none())
    }

    /// True where the user is a member in the end, or where the room's members never change.
    pub(super) fn has_member(&self, user: &str) -> bool {
        let stays = |times: &Vec<RangeInclusive<u64>>| times.iter().any(|t| *t.end() == u64::MAX);
        self.members.is_empty() || self.members.get(user).is_some_and(stays)
    }

    /// The last entry that is for a user who is no member in the end; `None`: they are one, or never were.
    pub(super) fn last_seen_by(&self, user: &str) -> Option<u64> {
        let last = self.members.get(user)?.last()?;
        Some(*last.end()).filter(|end| *end < u64::MAX)
    }

    /// True where one of the two of a direct room has blocked the other, or wanted strangers to ask, at some time.
    pub(super) fn was_apart(&self) -> bool {
        self.was_apart
    }

    fn knows(&mut self, at: usize, seq: u64) {
        if self.heads.last().is_none_or(|(_, head)| *head < seq) {
            self.heads.push((at, seq));
        }
    }

    /// The highest seq that anybody knew at an event.
    pub(super) fn head_at(&self, at: usize) -> u64 {
        let known = self.heads.partition_point(|(index, _)| *index < at);
        known.checked_sub(1).map_or(0, |last| self.heads[last].1)
    }

    /// True where the user may have been refused what they wrote at some time between this event and this entry: they
    /// were no member, or the room was closed to them.
    pub(super) fn was_refused(&self, user: &str, at: usize, seq: u64) -> bool {
        let head = self.head_at(at);
        let is_restricted =
            self.restricted.iter().any(|time| *time.start() < seq && head <= *time.end());
        if self.members.is_empty() {
            return is_restricted || self.was_apart;
        }
        let times = self.members.get(user).map_or(&[][..], Vec::as_slice);
        let is_in = times.iter().any(|time| (*time.start()..*time.end()).contains(&head));
        !is_in || is_restricted || times.iter().any(|time| (head..seq).contains(time.end()))
    }

    /// True where the entry is one that the room has in the end: those before it have expired.
    pub(super) fn is_kept(&self, seq: u64) -> bool {
        seq >= self.begins
    }

    /// The first entry that it has in the end.
    pub(super) fn begins(&self) -> u64 {
        self.begins
    }

    /// True where entries of it were made older on purpose, so that they expire.
    pub(super) fn is_aged(&self) -> bool {
        self.is_aged
    }

    /// True where the device must have the entry.
    pub(super) fn is_due(&self, device: &Device, seq: u64) -> bool {
        self.is_kept(seq) && self.is_for(device, seq)
    }

    /// True where the device's user was a member at this entry.
    pub(super) fn is_for(&self, device: &Device, seq: u64) -> bool {
        self.was_member(user_of(device), seq)
    }

    pub(super) fn was_member(&self, user: &str, seq: u64) -> bool {
        let times = self.members.get(user);
        self.members.is_empty() || times.is_some_and(|times| times.iter().any(|t| t.contains(&seq)))
    }

    /// True where the device's user was no member at this entry, as far as is known: without a
    /// whole reading of the room, where they had left before it and never came back.
    pub(super) fn is_outside(&self, device: &Device, seq: u64) -> bool {
        if self.last.is_some() {
            return !self.is_for(device, seq);
        }
        let last = self.members.get(user_of(device)).and_then(|times| times.last());
        !self.members.is_empty() && last.is_none_or(|time| *time.end() < seq)
    }
}

/// The seqs of a whole log that a user is to get: those of the times as a member.
pub fn visible(log: &[Entry], user: &str) -> Vec<u64> {
    let standing = log.iter().map(|entry| (entry.seq, entry)).collect();
    let members = memberships(&standing);
    let times = members.get(user);
    let is_for = |seq: &u64| {
        members.is_empty() || times.is_some_and(|times| times.iter().any(|t| t.contains(seq)))
    };
    standing.keys().copied().filter(is_for).collect()
}

pub(super) fn user_of(device: &Device) -> &str {
    device.split_once('/').map_or(device, |(user, _)| user)
}

fn memberships<'a>(
    entries: &BTreeMap<u64, &'a Entry>,
) -> HashMap<&'a str, Vec<RangeInclusive<u64>>> {
    let mut members: HashMap<&str, Vec<RangeInclusive<u64>>> = HashMap::new();
    for (seq, entry) in entries {
        match entry.change.as_deref() {
            Some(Change::Joined(users)) => {
                for user in users {
                    members.entry(user).or_default().push(*seq..=u64::MAX);
                }
            }
            Some(Change::Left(user)) => {
                if let Some(time) = members.get_mut(&**user).and_then(|times| times.last_mut()) {
                    *time = *time.start()..=*seq;
                }
            }
            None => {}
        }
    }
    members
}

/// From when to when the room was archived, slow, read-only for members, or closed.
fn restricted(entries: &BTreeMap<u64, &Entry>) -> Vec<RangeInclusive<u64>> {
    let (mut now, mut since, mut times) = ([false; 4], None, Vec::new());
    for (seq, entry) in entries {
        for rule in &entry.rules {
            match rule {
                Rule::IsArchived(is) => now[0] = *is,
                Rule::IsSlow(is) => now[1] = *is,
                Rule::IsReadOnly(is) => now[2] = *is,
                Rule::IsClosed(is) => now[3] = *is,
                Rule::Bans(_) | Rule::Unbans(_) | Rule::Leads(..) | Rule::Keeps(_) => {}
            }
        }
        since = match (since, now.contains(&true)) {
            (None, true) => Some(*seq),
            (Some(since), false) => {
                times.push(since..=*seq);
                None
            }
            (since, _) => since,
        };
    }
    times.extend(since.map(|since| since..=u64::MAX));
    times
}
