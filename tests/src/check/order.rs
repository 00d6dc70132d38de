//! Promises about the order of sends.

use std::collections::BTreeSet;

use super::Violation;
use super::facts::{Facts, RoomFacts};
use crate::history::Room;

pub(super) fn check(facts: &Facts<'_>, found: &mut BTreeSet<Violation>) {
    for (room, room_facts) in &facts.rooms {
        in_order_of_acks(room, room_facts, facts, found);
    }
    in_order_of_sessions(facts, found);
}

/// What was refused once may stand later than what was sent after it: its sender gave it up, and
/// began anew with the resend.
fn in_order_of_sessions(facts: &Facts<'_>, found: &mut BTreeSet<Violation>) {
    for ((session, room), sent) in &facts.sessions {
        let Some(room_facts) = facts.rooms.get(room) else { continue };
        let mut highest: Option<(u64, _)> = None;
        for client_id in sent {
            let Some(send) = facts.sends.get(client_id) else { continue };
            let Some(seq) = room_facts.places.get(client_id) else { continue };
            if let Some((before, first)) = highest
                && before > *seq
            {
                found.insert(Violation::SessionOrder {
                    session: *session,
                    room: (*room).clone(),
                    first: Clone::clone(first),
                    second: (*client_id).clone(),
                    seqs: (before, *seq),
                });
            }
            if !send.refused && highest.is_none_or(|(before, _)| before < *seq) {
                highest = Some((*seq, *client_id));
            }
        }
    }
}

fn in_order_of_acks(
    room: &Room,
    room_facts: &RoomFacts<'_>,
    facts: &Facts<'_>,
    found: &mut BTreeSet<Violation>,
) {
    // (index of the event, seq) of first acks, and of first sends of what stands.
    let mut acks = Vec::new();
    let mut sends = Vec::new();
    for entry in room_facts.standing.values() {
        let send = entry.client_id.as_ref().and_then(|id| facts.sends.get(id));
        let Some(send) = send else { continue };
        acks.extend(send.acks.first().map(|(at, _, seq)| (*at, *seq)));
        sends.extend(send.first_sent_at.map(|at| (at, entry.seq)));
    }
    acks.sort_unstable();
    sends.sort_unstable();
    let mut acked = 0;
    let mut next = acks.iter().peekable();
    for (sent_at, seq) in sends {
        while let Some((_, ack)) = next.next_if(|(at, _)| *at < sent_at) {
            acked = acked.max(*ack);
        }
        if seq < acked {
            found.insert(Violation::AckedLaterFirst { room: room.clone(), acked, later: seq });
        }
    }
}
