//! Promises about files: what a finished upload was told to be is what everybody reads of it, whole; a message has its files as long as it is
//! there, and no longer; who may not see the message may not see them; and in the end each file that a message has can be read.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::Violation;
use super::facts::{Facts, RoomFacts, user_of};
use super::tries::known_at;
use crate::history::{Act, Attempt, Change, Deed, Event, Got, History, Room};

pub(super) fn check(history: &History, facts: &Facts<'_>, found: &mut BTreeSet<Violation>) {
    let known = known_at(history);
    let mut uploaded: HashMap<&str, (&str, &Arc<str>)> = HashMap::new();
    let mut discarded: HashSet<&str> = HashSet::new();
    let mut asked: HashMap<Attempt, usize> = HashMap::new();
    let mut sent: HashMap<&str, (&Room, Vec<&str>, bool)> = HashMap::new();
    for (at, event) in history.events.iter().enumerate() {
        match event {
            Event::Deed(Deed::Uploaded { user, file, sha256, is_as_sent }) => {
                if !is_as_sent {
                    let what = format!("the file {file}, told as other bytes than were sent");
                    found.insert(wrong(&Room::from(&**file), user, what));
                }
                uploaded.insert(file, (user, sha256));
            }
            Event::Deed(Deed::Discards { file, .. }) => {
                discarded.insert(file);
            }
            Event::Sent { client_id, device, room, said: Some(said), .. }
                if !said.files.is_empty() =>
            {
                let is_own = |file: &&str| {
                    uploaded.get(file).is_some_and(|(owner, _)| *owner == user_of(device))
                };
                let files: Vec<&str> = said.files.iter().map(|file| &**file).collect();
                let must = said.forwards.is_none() && files.iter().all(is_own);
                sent.entry(client_id).or_insert((room, files, must));
            }
            Event::Refused { client_id, code, device, temporary: false }
                if &**code == "not_found" =>
            {
                let Some((room, files, true)) = sent.get(&**client_id) else { continue };
                if !files.iter().any(|file| discarded.contains(*file)) {
                    let what = format!("{client_id} refused, though {files:?} were uploaded");
                    found.insert(wrong(room, user_of(device), what));
                }
            }
            Event::Deed(Deed::Fetches { attempt, .. }) => {
                asked.insert(*attempt, at);
            }
            Event::Deed(Deed::Fetched { user, room, seq, file, attempt, got }) => {
                let (Some(asked), Some(of)) = (asked.get(attempt), facts.rooms.get(room)) else {
                    continue;
                };
                let is_known = known.get(&(room, *seq)).is_some_and(|known| known < asked);
                let deletion = Deletion::of(&known, facts, of, (room, *seq));
                let what = match got {
                    Got::Broken(what) => Some(format!("of {seq} {what}")),
                    Got::Whole(_) if deletion.known.is_some_and(|known| known < *asked) => {
                        Some(format!("the file of {seq}, which was deleted"))
                    }
                    Got::Whole(_) if is_stranger(facts, of, (room, user), at) => {
                        Some(format!("the file of {seq}, which they may not see"))
                    }
                    Got::Whole(sha256) => {
                        let told = uploaded.get(&**file).map(|(_, told)| *told);
                        let is_it = told.is_none_or(|told| told == sha256);
                        (!is_it).then(|| format!("other bytes as the file of {seq}"))
                    }
                    Got::NotFound => {
                        let may_be_deleted = deletion.sent.is_some_and(|sent| sent < at);
                        let is_there = is_known && !may_be_deleted && of.is_kept(*seq);
                        let may_see = !is_stranger(facts, of, (room, user), at)
                            && facts.has_always(room, user);
                        (is_there && may_see)
                            .then(|| format!("not the file of {seq}, which is there"))
                    }
                };
                found.extend(what.map(|what| wrong(room, user, what)));
            }
            _ => {}
        }
    }
    judge_end(history, facts, found);
}

/// When a message is deleted by an entry of the room: first sent, and known first.
#[derive(Default)]
struct Deletion {
    sent: Option<usize>,
    known: Option<usize>,
}

impl Deletion {
    fn of(
        known: &HashMap<(&Room, u64), usize>,
        facts: &Facts<'_>,
        of: &RoomFacts<'_>,
        (room, seq): (&Room, u64),
    ) -> Self {
        let deletes = of.standing.range(seq..).map(|(_, entry)| *entry);
        let mut deletes = deletes.filter(
            |entry| matches!(entry.act.as_deref(), Some(Act::Deletes(target)) if *target == seq),
        );
        let Some(delete) = deletes.next() else { return Self::default() };
        let send = delete.client_id.as_ref().and_then(|id| facts.sends.get(id));
        let sent = send.and_then(|send| send.first_sent_at).unwrap_or(0);
        Self { sent: Some(sent), known: known.get(&(room, delete.seq)).copied() }
    }
}

/// True of who can't have been in the room before an event.
fn is_stranger(
    facts: &Facts<'_>,
    of: &RoomFacts<'_>,
    (room, user): (&Room, &str),
    at: usize,
) -> bool {
    if let Some((a, b)) = room.split_once('~') {
        return a != user && b != user;
    }
    let joins = of.standing.values().filter(|entry| match entry.change.as_deref() {
        Some(Change::Joined(users)) => users.iter().any(|one| **one == *user),
        _ => false,
    });
    let mut sent = joins.map(|entry| {
        let send = entry.client_id.as_ref().and_then(|id| facts.sends.get(id));
        send.and_then(|send| send.first_sent_at).unwrap_or(0)
    });
    !sent.any(|sent| sent < at)
}

/// In the end each file was read that a message has: whoever ran this had the time for that.
fn judge_end(history: &History, facts: &Facts<'_>, found: &mut BTreeSet<Violation>) {
    let mut read: HashSet<(&Room, u64, &str)> = HashSet::new();
    let mut began = false;
    for event in &history.events {
        match event {
            Event::Deed(Deed::FilesRead) => began = true,
            Event::Deed(Deed::Fetched { room, seq, file, got: Got::Whole(_), .. }) if began => {
                read.insert((room, *seq, file));
            }
            _ => {}
        }
    }
    if !began {
        return;
    }
    for (room, of) in &facts.rooms {
        for entry in of.last.into_iter().flatten().filter(|entry| entry.is_message()) {
            let lost = |file: &&Arc<str>| {
                of.is_kept(entry.seq) && !read.contains(&(*room, entry.seq, &***file))
            };
            for file in entry.files().iter().filter(lost) {
                let what = format!("no file {file} of {} in the end", entry.seq);
                found.insert(wrong(room, &entry.from, what));
            }
        }
    }
}

fn wrong(room: &Room, user: &str, what: String) -> Violation {
    Violation::WrongMark { room: room.clone(), user: user.into(), device: None, what }
}

#[cfg(test)]
mod tests;
