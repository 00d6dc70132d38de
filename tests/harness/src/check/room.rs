//! Promises about a room's log: kept, once, dense, the same for all.

use std::collections::{BTreeSet, HashMap};

use super::Violation;
use super::facts::{Facts, RoomFacts};
use crate::history::{ClientId, Entry, Forward, Room, Said};

pub(super) fn check(facts: &Facts<'_>, found: &mut BTreeSet<Violation>) {
    for (room, room_facts) in &facts.rooms {
        same_for_all(room, room_facts, found);
        dense(room, room_facts, found);
        once(room, room_facts, found);
        as_sent(room, room_facts, facts, found);
    }
    acks_hold(facts, found);
}

fn same_for_all(room: &Room, facts: &RoomFacts<'_>, found: &mut BTreeSet<Violation>) {
    for (seq, entries) in &facts.seen {
        let taken = || entries.iter().filter(|entry| entry.is_as_taken());
        let is_same = |entry: &Entry| {
            let is_taken_then = entry.time_ms == entries[0].time_ms || facts.is_aged();
            entry.digest == entries[0].digest && is_taken_then
        };
        let are_two = !entries.iter().all(|entry| is_same(entry))
            || taken().any(|entry| {
                taken().next().is_some_and(|it| (it.text, &it.said) != (entry.text, &entry.said))
            });
        if are_two {
            found.insert(Violation::TwoOrders { room: room.clone(), seq: *seq });
        }
    }
}

fn dense(room: &Room, facts: &RoomFacts<'_>, found: &mut BTreeSet<Violation>) {
    let Some(entries) = facts.last else { return };
    let mut expected = 1;
    for entry in entries {
        if entry.seq != expected && facts.is_kept(entry.seq - 1) {
            found.insert(Violation::Hole { room: room.clone(), expected, found: entry.seq });
        }
        expected = entry.seq + 1;
    }
    for seq in facts.seen.range(expected..).map(|(seq, _)| *seq) {
        found.insert(Violation::Vanished { room: room.clone(), seq });
    }
}

fn once(room: &Room, facts: &RoomFacts<'_>, found: &mut BTreeSet<Violation>) {
    let mut places: HashMap<(&str, &ClientId), u64> = HashMap::new();
    for entry in facts.standing.values() {
        let Some(client_id) = &entry.client_id else { continue };
        let first = *places.entry((&entry.from, client_id)).or_insert(entry.seq);
        if first != entry.seq {
            found.insert(Violation::Doubled {
                room: room.clone(),
                client_id: client_id.clone(),
                seqs: (first, entry.seq),
            });
        }
    }
}

/// Only entries of recorded sends are judged: a run may have other speakers.
fn as_sent(
    room: &Room,
    room_facts: &RoomFacts<'_>,
    facts: &Facts<'_>,
    found: &mut BTreeSet<Violation>,
) {
    for entry in room_facts.standing.values() {
        let Some(client_id) = &entry.client_id else { continue };
        let Some(send) = facts.sends.get(client_id) else { continue };
        let is_forged = |taken: &Entry| {
            send.text != taken.text || !says(facts, send.said, taken.said.as_deref())
        };
        if room_facts.taken(entry.seq).is_some_and(is_forged) {
            found.insert(Violation::Forged { room: room.clone(), seq: entry.seq });
        }
        // After several attempts an error speaks of its own attempt alone.
        if send.refused_for_good && send.attempts == 1 {
            let client_id = client_id.clone();
            found.insert(Violation::RefusedButKept { room: room.clone(), client_id });
        }
    }
}

/// True where an entry says what was asked for; of a message that it repeats, who wrote that.
fn says(facts: &Facts<'_>, asked: Option<&Said>, taken: Option<&Said>) -> bool {
    let (asked, taken) = (asked.cloned().unwrap_or_default(), taken.cloned().unwrap_or_default());
    let author = |room: &Room, seq: u64| {
        let of = facts.rooms.get(room)?;
        let origin = of.standing.get(&seq)?;
        match facts.said(of, origin).and_then(|said| said.forwards.as_ref()) {
            Some(Forward::From(author)) => Some(author.clone()),
            // Nobody saw it as it was taken.
            Some(Forward::Of(..)) => None,
            None => Some(origin.from.clone()),
        }
    };
    let is_of = match (&asked.forwards, &taken.forwards) {
        (None, None) => true,
        (Some(Forward::Of(room, seq)), Some(Forward::From(from))) => {
            author(room, *seq).is_none_or(|author| author == *from)
        }
        _ => false,
    };
    is_of && Said { forwards: None, ..asked } == Said { forwards: None, ..taken }
}

fn acks_hold(facts: &Facts<'_>, found: &mut BTreeSet<Violation>) {
    for (client_id, send) in &facts.sends {
        let Some((_, first_room, first_seq)) = send.acks.first() else { continue };
        for (_, room, seq) in &send.acks {
            if (room, seq) != (first_room, first_seq) {
                found.insert(Violation::TwoAcks {
                    room: (*room).clone(),
                    client_id: (*client_id).clone(),
                    seqs: (*first_seq, *seq),
                });
            }
            let entry = facts.rooms.get(room).and_then(|facts| facts.standing.get(seq));
            match entry {
                // It has expired, unseen by anybody.
                None if facts.rooms.get(room).is_some_and(|of| !of.is_kept(*seq)) => false,
                None => found.insert(Violation::LostAck {
                    room: (*room).clone(),
                    seq: *seq,
                    client_id: (*client_id).clone(),
                }),
                Some(entry) if entry.client_id.as_ref() != Some(client_id) => {
                    found.insert(Violation::FalseAck {
                        room: (*room).clone(),
                        seq: *seq,
                        client_id: (*client_id).clone(),
                        found: entry.client_id.clone(),
                    })
                }
                Some(_) => false,
            };
        }
    }
}
