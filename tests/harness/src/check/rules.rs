//! Promises about groups: what the log says of who is a member, who is kept out and who may write holds for every
//! entry after it, and who has left is shown nothing of what came later. In a room that is closed nothing is said, and
//! administrators alone close one.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::Violation;
use super::facts::{Facts, RoomFacts};
use crate::history::{Act, Change, Deed, Entry, Event, History, Room, Rule};

pub(super) fn check(history: &History, facts: &Facts<'_>, found: &mut BTreeSet<Violation>) {
    let administrators: HashSet<&str> = history.events.iter().filter_map(administrator).collect();
    for (room, of) in &facts.rooms {
        // Without its first entry nobody knows who was there. A direct room has no such entries.
        let first = of.last.and_then(|log| log.first());
        let is_direct = room.contains('~');
        if first.is_some_and(|first| first.change.is_some() || is_direct) {
            let group = Group::new(&administrators, is_direct);
            judge_log(room, &of.standing, group, found);
        }
    }
    for event in &history.events {
        let Event::Shown { user, room, entries } = event else { continue };
        if let (Some(of), Some(last)) = (facts.rooms.get(room), entries.last()) {
            judge_shown(room, of, user, last.seq, found);
        }
    }
}

fn judge_shown(
    room: &Room,
    of: &RoomFacts<'_>,
    user: &str,
    last: u64,
    found: &mut BTreeSet<Violation>,
) {
    if of.last_seen_by(user).is_some_and(|left| left < last) {
        let what = format!("is shown to {user}, who had left before it");
        found.insert(Violation::NotAllowed { room: room.clone(), seq: last, what });
    }
}

fn administrator(event: &Event) -> Option<&str> {
    match event {
        Event::Deed(Deed::Administers { user }) => Some(user),
        _ => None,
    }
}

/// A room as its log makes it.
struct Group<'a> {
    /// Of the installation.
    administrators: &'a HashSet<&'a str>,
    /// Who is in it is not said by its log.
    is_direct: bool,
    members: HashSet<&'a str>,
    banned: HashSet<&'a str>,
    leaders: HashSet<&'a str>,
    is_read_only: bool,
    is_archived: bool,
    is_closed: bool,
}

fn judge_log<'a>(
    room: &Room,
    log: &BTreeMap<u64, &'a Entry>,
    mut group: Group<'a>,
    found: &mut BTreeSet<Violation>,
) {
    for (seq, entry) in log {
        if let Some(what) = group.refuses(entry).filter(|_| *seq > 1) {
            found.insert(Violation::NotAllowed { room: room.clone(), seq: *seq, what });
        }
        group.take(entry);
    }
}

impl<'a> Group<'a> {
    fn new(administrators: &'a HashSet<&'a str>, is_direct: bool) -> Self {
        Self {
            administrators,
            is_direct,
            members: HashSet::new(),
            banned: HashSet::new(),
            leaders: HashSet::new(),
            is_read_only: false,
            is_archived: false,
            is_closed: false,
        }
    }

    /// Why the entry should not be there.
    fn refuses(&self, entry: &Entry) -> Option<String> {
        let from = &*entry.from;
        let closes = entry.rules.iter().any(|rule| matches!(rule, Rule::IsClosed(_)));
        let deletes = matches!(entry.act.as_deref(), Some(Act::Deletes(_)));
        if (closes || deletes) && self.administrators.contains(from) {
            return None;
        }
        if closes {
            return Some(format!(
                "closes the room, or opens it, by {from}, who is no administrator"
            ));
        }
        if self.is_closed && !is_for_all_times(entry) {
            return Some("is in a room that is closed".to_owned());
        }
        if self.is_direct { None } else { self.refuses_in_group(entry) }
    }

    fn refuses_in_group(&self, entry: &Entry) -> Option<String> {
        let joined = match entry.change.as_deref() {
            Some(Change::Joined(users)) => &users[..],
            _ => &[],
        };
        if let Some(user) = joined.iter().find(|user| self.banned.contains(&***user)) {
            return Some(format!("brings in {user}, who is banned"));
        }
        if let Some(user) = joined.iter().find(|user| self.members.contains(&***user)) {
            return Some(format!("brings in {user}, who is a member"));
        }
        let from = &*entry.from;
        if !self.members.contains(from) && !joined.iter().any(|user| **user == *from) {
            return Some(format!("is of {from}, who is no member"));
        }
        if let Some(Change::Left(user)) = entry.change.as_deref()
            && !self.members.contains(&**user)
        {
            return Some(format!("takes out {user}, who is no member"));
        }
        let acts = entry.act.as_deref();
        let is_text = entry.is_message() || matches!(acts, Some(Act::Edits(_)));
        if self.is_read_only && is_text && !self.leaders.contains(from) {
            return Some(format!("is written by {from} in a group that is read-only"));
        }
        let is_said = is_text || matches!(acts, Some(Act::Reacts(..) | Act::Pins(..)));
        if self.is_archived && (is_said || !joined.is_empty()) {
            return Some("is in a group that is archived".to_owned());
        }
        None
    }

    fn take(&mut self, entry: &'a Entry) {
        match entry.change.as_deref() {
            Some(Change::Joined(users)) => self.members.extend(users.iter().map(|user| &**user)),
            Some(Change::Left(user)) => {
                self.members.remove(&**user);
                self.leaders.remove(&**user);
            }
            None => {}
        }
        for rule in &entry.rules {
            match rule {
                Rule::Bans(user) => {
                    self.banned.insert(user);
                }
                Rule::Unbans(user) => {
                    self.banned.remove(&**user);
                }
                Rule::Leads(user, true) => {
                    self.leaders.insert(user);
                }
                Rule::Leads(user, false) => {
                    self.leaders.remove(&**user);
                }
                Rule::IsReadOnly(is) => self.is_read_only = *is,
                Rule::IsArchived(is) => self.is_archived = *is,
                Rule::IsClosed(is) => self.is_closed = *is,
                Rule::IsSlow(_) | Rule::Keeps(_) => {}
            }
        }
    }
}

/// True of what a closed room takes, too: members leave, and owners say who is owner.
fn is_for_all_times(entry: &Entry) -> bool {
    let is_role = || entry.rules.iter().any(|rule| matches!(rule, Rule::Leads(..)));
    match entry.change.as_deref() {
        Some(Change::Left(user)) => *user == entry.from,
        Some(Change::Joined(_)) => false,
        None => is_role(),
    }
}

#[cfg(test)]
mod tests;
