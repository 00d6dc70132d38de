//! Promises about sockets and devices: in order, without holes, and everything in the end.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Facts, Violation};
use crate::history::{Device, Event, History, Room, SessionId};

/// Each room's seqs that a device has, over all its sessions.
type Kept<'a> = BTreeMap<&'a Room, BTreeSet<u64>>;

pub(super) fn check(history: &History, facts: &Facts<'_>, found: &mut BTreeSet<Violation>) {
    // All that a device has, however it came.
    let mut kept: HashMap<&Device, Kept<'_>> = HashMap::new();
    // What was pushed to it since it was last told to load its rooms anew.
    let mut pushed: HashMap<&Device, Kept<'_>> = HashMap::new();
    let mut last: HashMap<SessionId, HashMap<&Room, u64>> = HashMap::new();
    for event in &history.events {
        match event {
            Event::Received { device, session, entry } => {
                for kept in [&mut kept, &mut pushed] {
                    let rooms = kept.entry(device).or_default();
                    rooms.entry(&entry.room).or_default().insert(entry.seq);
                }
                let last = last.entry(*session).or_default();
                let last = last.entry(&entry.room).or_insert(entry.seq);
                if entry.seq > *last + 1 {
                    found.insert(Violation::SocketGap {
                        device: device.clone(),
                        session: *session,
                        room: entry.room.clone(),
                        expected: *last + 1,
                        found: entry.seq,
                    });
                }
                // One that came before may come again.
                *last = entry.seq.max(*last);
            }
            Event::Loaded { device, entry } => {
                kept.entry(device).or_default().entry(&entry.room).or_default().insert(entry.seq);
            }
            Event::Synced { device, session, recovered: false } => {
                // Everything before it is found by `history`: the socket begins anew.
                pushed.remove(device);
                last.remove(session);
            }
            Event::Synced { device, session, recovered: true } => {
                for (room, seqs) in pushed.entry(device).or_default() {
                    if let Some(missing) = first_hole(seqs) {
                        found.insert(Violation::CursorAhead {
                            device: device.clone(),
                            session: *session,
                            room: (*room).clone(),
                            missing,
                        });
                    }
                }
            }
            Event::Settled { device, room } => {
                let Some(facts) = facts.rooms.get(room) else { continue };
                let have = kept.get(device).and_then(|rooms| rooms.get(room));
                let has = |seq: &u64| have.is_some_and(|have| have.contains(seq));
                if let Some(seq) = facts.standing.keys().copied().find(|seq| !has(seq)) {
                    let (device, room) = (device.clone(), room.clone());
                    found.insert(Violation::NotDelivered { device, room, seq });
                }
            }
            _ => {}
        }
    }
}

/// The first seq that is missing between the first and the last one.
fn first_hole(seqs: &BTreeSet<u64>) -> Option<u64> {
    let (first, last) = (seqs.first()?, seqs.last()?);
    if last - first + 1 == seqs.len() as u64 {
        return None;
    }
    (*first..=*last).find(|seq| !seqs.contains(seq))
}
