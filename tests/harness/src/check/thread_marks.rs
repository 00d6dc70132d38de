//! Promises about what devices are told of threads: in the end each knows which ones its user follows, up to where
//! they have read them, and what is unread there, as it is told to who asks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::Violation;
use super::facts::{Facts, user_of};
use super::has::AllHave;
use super::newest::Newest;
use crate::history::{Device, Event, Followed, History, Mark, OfThread, Room};

/// What is said of a thread: up to where the user has read it, and whether they follow it.
type Told = (u64, bool);
/// By room, and by the message with which the thread begins.
type Knows<'a> = Newest<'a, (&'a Room, u64), Told>;

pub(super) fn check(
    history: &History,
    facts: &Facts<'_>,
    has: &AllHave<'_>,
    found: &mut BTreeSet<Violation>,
) {
    let mut last = HashMap::new();
    let mut reads = HashMap::new();
    for event in &history.events {
        match event {
            Event::Threads { user, room, threads } => {
                last.insert((&**user, room), threads);
            }
            Event::FinalMark { mark: Mark { user, room, read, .. } } => {
                reads.insert((&**user, room), *read);
            }
            _ => {}
        }
    }
    let mut knows: HashMap<&Device, Knows<'_>> = HashMap::new();
    for event in &history.events {
        match event {
            Event::MarkTold { device, mark } => {
                let Mark { room, user, read, thread, .. } = mark;
                let Some(OfThread { root, follow }) = *thread else { continue };
                if **user != *user_of(device) {
                    found.insert(wrong(
                        user,
                        device,
                        room,
                        format!("a thread that is not theirs: {mark}"),
                    ));
                }
                let told = (*read, follow == Some(true));
                knows.entry(device).or_default().tell((room, root), told);
            }
            Event::ThreadsLoaded { device, room, threads } => {
                let loaded = threads.iter().map(|it| ((room, it.root), (it.read, true)));
                let knows = knows.entry(device).or_default();
                knows.load(|(of, _)| *of == room, loaded.collect());
            }
            Event::Opened { device, .. }
            | Event::Synced { device, .. }
            | Event::Cursor { device, .. }
            | Event::LoadedAll { device, .. } => knows.entry(device).or_default().step(event),
            Event::Settled { device, room } => {
                let user = user_of(device);
                let Some(threads) = last.get(&(user, room)) else { continue };
                let of_room = knows.get(device).into_iter().flat_map(Newest::iter);
                let of_room = of_room.filter(|((of, _), (_, follows))| *of == room && *follows);
                let known = of_room.map(|((_, root), (read, _))| (root, read)).collect();
                let read_room = reads.get(&(user, room)).copied().unwrap_or(0);
                let log = facts.rooms.get(room).and_then(|of| of.last).unwrap_or_default();
                let head = log.last().map_or(0, |entry| entry.seq);
                let has = has.get(&(device, room));
                let unread = |root, read| has?.unread_replies(user, root, read, head);
                for what in differ(&known, threads, read_room, unread) {
                    found.insert(wrong(user, device, room, what));
                }
            }
            _ => {}
        }
    }
}

/// `known`: up to where the user has read each thread that they follow. `unread`: how many replies are unread for who
/// has read a thread up to somewhere, as far as the device has them.
fn differ(
    known: &BTreeMap<u64, u64>,
    threads: &[Followed],
    read_room: u64,
    unread: impl Fn(u64, u64) -> Option<u64>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let followed: BTreeMap<u64, &Followed> = threads.iter().map(|it| (it.root, it)).collect();
    for root in known.keys().filter(|root| !followed.contains_key(root)) {
        wrong.push(format!("the thread {root}, which they do not follow"));
    }
    for (root, is) in followed {
        let Some(read) = known.get(&root) else {
            wrong.push(format!("no thread {root}, which they follow"));
            continue;
        };
        // Who has read the room has read its threads.
        let read = read_room.max(*read);
        if read != is.read {
            wrong.push(format!("the thread {root} read up to {read}, not {}", is.read));
            continue;
        }
        match unread(root, read) {
            Some(unread) if is.unread_exact && unread != is.unread => {
                wrong.push(format!("{unread} unread in the thread {root}, not {}", is.unread));
            }
            _ => {}
        }
    }
    wrong
}

fn wrong(user: &str, device: &Device, room: &Room, what: String) -> Violation {
    let (room, user) = (room.clone(), Arc::from(user));
    Violation::WrongMark { room, user, device: Some(device.clone()), what }
}

#[cfg(test)]
mod tests;
