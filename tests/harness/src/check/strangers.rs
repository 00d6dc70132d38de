//! Promises about first messages of strangers: while a direct room is a request, so many entries are taken of who asks and no more, and
//! neither is shown how far the other one has read, that they type, or that they are here; nobody is refused who need not ask;
//! and the room says whether it is a request.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use super::Violation;
use super::apart::Apart;
use super::blocks::pair_of;
use super::facts::{Facts, user_of};
use super::tries::known_at;
use crate::history::{Act, Attempt, Deed, Device, Entry, Event, History, Room, Wanted};

/// So many entries a room has, and more are refused.
const ENTRIES_MAX: u64 = 20;
/// Who types is told so long after they said it, at the most.
const TYPING_LIFE: Duration = Duration::from_secs(60);
/// For so long an edge believes that the other one is to hear who types.
const TYPING_BELIEVED: Duration = Duration::from_secs(20);

pub(super) fn check(
    history: &History,
    facts: &Facts<'_>,
    apart: &Apart<'_>,
    found: &mut BTreeSet<Violation>,
) {
    if apart.requests.is_empty() {
        return;
    }
    judge_entries(history, facts, apart, found);
    judge_refusals(history, facts, apart, found);
    judge_typing(history, apart, found);
    judge_presence(history, facts, apart, found);
    judge_looks(history, apart, found);
    judge_lists(history, facts, apart, found);
}

fn judge_entries(
    history: &History,
    facts: &Facts<'_>,
    apart: &Apart<'_>,
    found: &mut BTreeSet<Violation>,
) {
    let known = known_at(history);
    for (room, of) in &facts.rooms {
        for (seq, entry) in of.standing.range(ENTRIES_MAX + 1..) {
            let Some(other) = other_of(room, &entry.from) else { continue };
            let send = entry.client_id.as_ref().and_then(|id| facts.sends.get(id));
            let Some(sent_at) = send.and_then(|send| send.first_sent_at) else { continue };
            let known_at = known.get(&(*room, *seq)).copied().unwrap_or(usize::MAX);
            let takes_back = matches!(entry.act.as_deref(), Some(Act::Deletes(_)));
            let pair = (other, &*entry.from);
            if !takes_back && apart.requests.is_sure(room, pair, sent_at, known_at) {
                let what = format!("is of {}, whom {other} has not accepted", entry.from);
                found.insert(Violation::NotAllowed { room: (*room).clone(), seq: *seq, what });
            }
        }
    }
}

/// Who is accepted, or has said less than the most, is not refused.
fn judge_refusals(
    history: &History,
    facts: &Facts<'_>,
    apart: &Apart<'_>,
    found: &mut BTreeSet<Violation>,
) {
    let mut sent: HashMap<&str, (usize, &Room)> = HashMap::new();
    for (at, event) in history.events.iter().enumerate() {
        match event {
            Event::Sent { client_id, room, .. } => {
                sent.entry(client_id).or_insert((at, room));
            }
            Event::Refused { client_id, code, device, .. } if &**code == "not_accepted" => {
                let Some((sent_at, room)) = sent.get(&**client_id) else { continue };
                let user = user_of(device);
                let is_accepted = other_of(room, user)
                    .is_none_or(|other| apart.requests.is_never(room, (other, user), *sent_at, at));
                if is_accepted || entries_sent_before(facts, room, at) < ENTRIES_MAX {
                    let what = format!("{client_id} refused, though nobody has to accept it");
                    found.insert(wrong(room, user, Some(device), what));
                }
            }
            Event::Deed(Deed::Refused { wanted, code, .. }) => {
                let (user, room) = match wanted {
                    Wanted::AskStrangers { user, .. } => (user, Room::from(&**user)),
                    Wanted::Contact { user, other, .. } => (user, Room::from(&**other)),
                    Wanted::Type { user, room } => (user, room.clone()),
                    _ => continue,
                };
                found.insert(wrong(&room, user, None, format!("refused with {code}: {wanted:?}")));
            }
            _ => {}
        }
    }
}

/// How many of the room's entries were sent before an event.
fn entries_sent_before(facts: &Facts<'_>, room: &Room, at: usize) -> u64 {
    let Some(of) = facts.rooms.get(room) else { return 0 };
    let sent_at = |entry: &Entry| {
        let send = facts.sends.get(entry.client_id.as_ref()?)?;
        send.first_sent_at
    };
    let is_before = |entry: &&&Entry| sent_at(entry).is_none_or(|sent| sent < at);
    of.standing.values().filter(is_before).count() as u64
}

fn judge_typing(history: &History, apart: &Apart<'_>, found: &mut BTreeSet<Violation>) {
    let mut typed: HashMap<(&Room, &str), Vec<usize>> = HashMap::new();
    for (at, event) in history.events.iter().enumerate() {
        match event {
            Event::Deed(Deed::Asked { wanted: Wanted::Type { user, room }, .. }) => {
                typed.entry((room, user)).or_default().push(at);
            }
            Event::Deed(Deed::TypingTold { device, room, user }) => {
                let typed = typed.get(&(room, user)).map_or(&[][..], Vec::as_slice);
                let oldest = before(history, at, TYPING_LIFE);
                let typed = &typed[typed.partition_point(|typed| *typed < oldest)..];
                let is_hidden = |typed: &usize| {
                    apart.is_sure(room, before(history, *typed, TYPING_BELIEVED), at)
                };
                if !typed.is_empty() && typed.iter().all(is_hidden) {
                    let what = "that they type, while they hear nothing of it".to_owned();
                    found.insert(wrong(room, user, Some(device), what));
                }
            }
            _ => {}
        }
    }
}

/// The first event so long before another one.
fn before(history: &History, at: usize, time: Duration) -> usize {
    let Some(then) = history.times.get(at) else { return at };
    let then = then.saturating_sub(time);
    history.times.partition_point(|time| *time < then).min(at)
}

/// Who opened a session while a room was a request sees nothing by it, as long as it is one.
fn judge_presence(
    history: &History,
    facts: &Facts<'_>,
    apart: &Apart<'_>,
    found: &mut BTreeSet<Violation>,
) {
    // The end of the session before: the one that lives has begun after it.
    let mut closed: HashMap<&Device, usize> = HashMap::new();
    let mut since: HashMap<&Device, usize> = HashMap::new();
    for (at, event) in history.events.iter().enumerate() {
        match event {
            Event::Closed { device, .. } => {
                closed.insert(device, at);
            }
            Event::Opened { device, .. } => {
                since.insert(device, closed.get(device).copied().unwrap_or(0));
            }
            Event::Deed(Deed::SeenHere { device, other }) => {
                let user = user_of(device);
                let room = direct(user, other);
                let since = since.get(device).copied().unwrap_or(0);
                let is_sure = |pair| apart.requests.is_sure(&room, pair, since, at);
                let is_request = is_sure((user, &**other)) || is_sure((&**other, user));
                if is_request && !facts.share_group(user, other) {
                    let what = "that they are here, of whom nothing is to be seen".to_owned();
                    found.insert(wrong(&room, other, Some(device), what));
                }
            }
            _ => {}
        }
    }
}

fn judge_looks(history: &History, apart: &Apart<'_>, found: &mut BTreeSet<Violation>) {
    let off: HashSet<&str> = history.events.iter().filter_map(off).collect();
    let mut asked: HashMap<Attempt, usize> = HashMap::new();
    for (at, event) in history.events.iter().enumerate() {
        match event {
            Event::Deed(Deed::Looks { attempt, .. }) => {
                asked.insert(*attempt, at);
            }
            Event::Deed(Deed::Sees { user, room, attempt, is_shown }) => {
                let (Some(asked), Some(other)) = (asked.get(attempt), other_of(room, user)) else {
                    continue;
                };
                let is_off = [&**user, other].iter().any(|user| off.contains(user));
                let is_wrong = if *is_shown {
                    apart.is_sure(room, *asked, at)
                } else {
                    !is_off && apart.is_never(room, *asked, at)
                };
                if is_wrong {
                    let what = format!("shown how far the other one has read it: {is_shown}");
                    found.insert(wrong(room, user, None, what));
                }
            }
            _ => {}
        }
    }
}

fn off(event: &Event) -> Option<&str> {
    match event {
        Event::ReceiptsOff { user } => Some(user),
        _ => None,
    }
}

/// In the end the rooms are requests that are.
fn judge_lists(
    history: &History,
    facts: &Facts<'_>,
    apart: &Apart<'_>,
    found: &mut BTreeSet<Violation>,
) {
    for (at, event) in history.events.iter().enumerate() {
        let Event::Deed(Deed::Requests { user, rooms }) = event else { continue };
        let rooms: HashSet<&Room> = rooms.iter().collect();
        for (room, other) in
            facts.rooms.keys().filter_map(|room| Some((*room, other_of(room, user)?)))
        {
            let is_on = rooms.contains(room);
            let is_wrong = if is_on {
                apart.requests.is_never(room, (user, other), at, at)
            } else {
                apart.requests.is_sure(room, (user, other), at, at)
            };
            if is_wrong {
                found.insert(wrong(room, user, None, format!("a request: {is_on}, in the end")));
            }
        }
    }
}

/// The other one of a direct room of two.
fn other_of<'a>(room: &'a Room, user: &str) -> Option<&'a str> {
    match pair_of(room)? {
        (a, b) if a == user => Some(b),
        (a, b) if b == user => Some(a),
        _ => None,
    }
}

fn direct(a: &str, b: &str) -> Room {
    let (low, high) = if a <= b { (a, b) } else { (b, a) };
    format!("{low}~{high}").into()
}

fn wrong(room: &Room, user: &str, device: Option<&Device>, what: String) -> Violation {
    let (room, user) = (room.clone(), user.into());
    Violation::WrongMark { room, user, device: device.cloned(), what }
}

#[cfg(test)]
mod tests;
