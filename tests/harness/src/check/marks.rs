//! Promises about marks: what was answered is kept, nobody has read what nobody said so of, and in the end
//! every device knows what the store has.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::Violation;
use super::apart::Apart;
use super::facts::{Facts, RoomFacts, user_of};
use crate::history::{Attempt, Change, Cursor, Device, Entry, Event, History, Mark, Room};

type Key<'a> = (&'a Room, &'a str);
type Marks<'a> = BTreeMap<Key<'a>, Seqs>;

/// Up to where somebody has read, and got it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Seqs {
    read: u64,
    delivered: u64,
}

impl Seqs {
    fn of(mark: &Mark) -> Self {
        // Who has read it has got it.
        Self { read: mark.read, delivered: mark.delivered.max(mark.read) }
    }

    /// As it can be known of who has turned off read receipts: up to where they have got a room, nobody is told.
    fn known(self, is_off: bool) -> Self {
        if is_off { Self { delivered: 0, ..self } } else { self }
    }

    fn max(self, other: Self) -> Self {
        let (read, delivered) = (self.read.max(other.read), self.delivered.max(other.delivered));
        Self { read, delivered }
    }
}

/// Up to where a user has read by what they wrote, or by joining.
pub fn read_by_writing(log: &[Entry], user: &str) -> u64 {
    let befores = std::iter::once(0).chain(log.iter().map(|entry| entry.ordinal));
    let counts = |(entry, before): &(&Entry, u64)| match entry.change.as_deref() {
        Some(Change::Joined(users)) => {
            *entry.from == *user || users.iter().any(|joins| **joins == *user)
        }
        Some(Change::Left(_)) => *entry.from == *user,
        None => *entry.from == *user && entry.ordinal > *before,
    };
    log.iter().zip(befores).filter(counts).last().map_or(0, |(entry, _)| entry.seq)
}

pub(super) fn check(
    history: &History,
    facts: &Facts<'_>,
    apart: &Apart<'_>,
    found: &mut BTreeSet<Violation>,
) {
    let off: BTreeSet<&str> = history.events.iter().filter_map(off).collect();
    let (mut last, mut said, mut kept) = (Marks::new(), Marks::new(), Marks::new());
    for event in &history.events {
        let (marks, mark) = match event {
            Event::MarkSent { mark, .. } => (&mut said, mark),
            Event::MarkKept { mark, .. } => (&mut kept, mark),
            Event::FinalMark { mark } => (&mut last, mark),
            Event::MarkRefused { mark, code } => {
                if must_take(facts, mark) {
                    let what = format!("refused with {code} that {mark}");
                    found.insert(wrong(&(&mark.room, &*mark.user), None, what));
                }
                continue;
            }
            _ => continue,
        };
        if mark.thread.is_some() {
            continue;
        }
        let marks = marks.entry((&mark.room, &mark.user)).or_default();
        *marks = marks.max(Seqs::of(mark).known(off.contains(&*mark.user)));
    }
    for (key, is) in &last {
        let written = facts.rooms.get(key.0).and_then(|room| room.last);
        let written = written.map_or(0, |log| read_by_writing(log, key.1));
        let written = Seqs { read: written, delivered: written }.known(off.contains(key.1));
        let of = |marks: &Marks<'_>| marks.get(key).copied().unwrap_or_default();
        let least = of(&kept).max(written);
        let most = of(&said).max(written);
        if least.max(*is) != *is {
            found.insert(wrong(key, None, format!("{is:?} in the end, after {least:?}")));
        }
        if most.max(*is) != most {
            found.insert(wrong(key, None, format!("{is:?} in the end, but said {most:?}")));
        }
    }
    // Where those of a room were looked up, none of a member's is missing.
    let looked_up: BTreeSet<&Room> = last.keys().map(|(room, _)| *room).collect();
    for key in kept.keys().filter(|key| looked_up.contains(key.0) && !last.contains_key(*key)) {
        if facts.rooms.get(key.0).is_some_and(|room| room.has_member(key.1)) {
            found.insert(wrong(key, None, "nothing in the end".to_owned()));
        }
    }
    let told = Told::gather(history, &off);
    judge_devices(history, facts, (&last, &off, apart, &told), found);
}

/// Those marks that go beyond all that was said before: others are told of each, unless they hear nothing of it.
struct Told<'a>(HashMap<Key<'a>, Vec<(usize, Seqs)>>);

impl<'a> Told<'a> {
    fn gather(history: &'a History, off: &BTreeSet<&str>) -> Self {
        let (mut said, mut all) = (Marks::new(), HashMap::<_, Vec<_>>::new());
        let kept: HashSet<Attempt> = history.events.iter().filter_map(kept).collect();
        for (at, event) in history.events.iter().enumerate() {
            let Event::MarkSent { mark, attempt } = event else { continue };
            if mark.thread.is_some() {
                continue;
            }
            let key = (&mark.room, &*mark.user);
            let seqs = Seqs::of(mark).known(off.contains(key.1));
            let before = said.get(&key).copied().unwrap_or_default();
            said.insert(key, before.max(seqs));
            let grows = |is: u64, was: u64| if is > was { is } else { 0 };
            let (read, delivered) =
                (grows(seqs.read, before.read), grows(seqs.delivered, before.delivered));
            if kept.contains(attempt) {
                all.entry(key).or_default().push((at, Seqs { read, delivered }));
            }
        }
        Self(all)
    }

    /// What the other one of a direct room was told up to an event, of which they may not have heard all.
    fn at_least(&self, key: &Key<'_>, apart: &Apart<'_>, at: usize) -> Seqs {
        let said = self.0.get(key).map_or(&[][..], Vec::as_slice);
        let told = said.iter().filter(|(sent, _)| apart.is_never(key.0, *sent, at));
        told.fold(Seqs::default(), |all, (_, seqs)| all.max(*seqs))
    }
}

fn kept(event: &Event) -> Option<Attempt> {
    match event {
        Event::MarkKept { attempt, .. } => Some(*attempt),
        _ => None,
    }
}

/// True where nothing speaks against a mark: devices mark what they have. Only who is removed meanwhile may not, and
/// not every entry begins a thread.
fn must_take(facts: &Facts<'_>, mark: &Mark) -> bool {
    let Mark { room, user, thread, .. } = mark;
    facts.has_always(room, user)
        && thread.is_none_or(|thread| facts.rooms[room].begins_thread(thread.root))
}

/// Who has turned off read receipts.
fn off(event: &Event) -> Option<&str> {
    match event {
        Event::ReceiptsOff { user } => Some(user),
        _ => None,
    }
}

/// What a device knows, and what it knew when each cursor came.
#[derive(Default)]
struct Knows<'a> {
    now: Marks<'a>,
    at_cursor: HashMap<&'a Cursor, Marks<'a>>,
}

fn judge_devices(
    history: &History,
    facts: &Facts<'_>,
    (last, off, apart, told): (&Marks<'_>, &BTreeSet<&str>, &Apart<'_>, &Told<'_>),
    found: &mut BTreeSet<Violation>,
) {
    let mut devices: HashMap<&Device, Knows<'_>> = HashMap::new();
    for (at, event) in history.events.iter().enumerate() {
        match event {
            Event::MarkTold { device, mark } if mark.thread.is_none() => {
                let key = (&mark.room, &*mark.user);
                let is_own = user_of(device) == key.1;
                if !is_own && [user_of(device), key.1].iter().any(|user| off.contains(user)) {
                    let what = format!("what is told to nobody: {mark}");
                    found.insert(wrong(&key, Some(device), what));
                }
                let told = Seqs::of(mark).known(off.contains(key.1));
                let now = &mut devices.entry(device).or_default().now;
                let known = now.entry(key).or_default();
                *known = known.max(told);
                if let Some(is) = last.get(&key).filter(|is| is.max(told) != **is) {
                    let what = format!("{told:?}, which the store does not have: {is:?}");
                    found.insert(wrong(&key, Some(device), what));
                }
            }
            // Who is refused `receipts` finds the own marks in the list of rooms.
            Event::ListLoaded { device, room, listed } if off.contains(user_of(device)) => {
                let now = &mut devices.entry(device).or_default().now;
                let known = now.entry((room, user_of(device))).or_default();
                known.read = known.read.max(listed.read);
            }
            Event::Opened { device, cursor: Some(cursor), .. } => {
                let knows = devices.entry(device).or_default();
                if let Some(then) = knows.at_cursor.get(cursor) {
                    knows.now = then.clone();
                }
            }
            Event::Synced { device, recovered: true, cursor, .. }
            | Event::Cursor { device, cursor, .. } => {
                let knows = devices.entry(device).or_default();
                knows.at_cursor.entry(cursor).or_insert_with(|| knows.now.clone());
            }
            Event::LoadedAll { device, cursor } => {
                let knows = devices.entry(device).or_default();
                knows.at_cursor.insert(cursor, knows.now.clone());
            }
            Event::Settled { device, room } => {
                let nothing = Knows::default();
                let knows = devices.get(device).unwrap_or(&nothing);
                let of = facts.rooms.get(room);
                let of_room = last.iter().filter(|((of, _), _)| *of == room);
                for (key, is) in of_room.filter(|(key, _)| hears(device, **key, off)) {
                    let log = of.and_then(|room| room.last).unwrap_or_default();
                    let written = read_by_writing(log, key.1);
                    let written = Seqs { read: written, delivered: written };
                    let written = written.known(off.contains(key.1));
                    let has = knows.now.get(key).copied().unwrap_or_default().max(written);
                    // What was said while they heard nothing of each other is told with the next one.
                    let may_lack = of.is_some_and(RoomFacts::was_apart) && user_of(device) != key.1;
                    let is = if may_lack { has.max(told.at_least(key, apart, at)) } else { *is };
                    if has != is {
                        found.insert(wrong(key, Some(device), format!("{has:?}, not {is:?}")));
                    }
                }
            }
            _ => {}
        }
    }
}

/// True where the device is to know the mark without asking: of a group it is its own user's. `off`: who has turned
/// off read receipts.
fn hears(device: &Device, (room, user): Key<'_>, off: &BTreeSet<&str>) -> bool {
    let own = user_of(device);
    own == user || room.contains('~') && !off.contains(own) && !off.contains(user)
}

fn wrong((room, user): &Key<'_>, device: Option<&Device>, what: String) -> Violation {
    let (room, user) = ((*room).clone(), (*user).into());
    Violation::WrongMark { room, user, device: device.cloned(), what }
}

#[cfg(test)]
mod tests;
