//! Promises about the order of sends.

use std::collections::BTreeSet;

use super::Violation;
use super::facts::{Facts, RoomFacts};
use crate::history::{Act, ClientId, Entry, Room};

pub(super) fn check(facts: &Facts<'_>, found: &mut BTreeSet<Violation>) {
    for (room, room_facts) in &facts.rooms {
        in_order_of_acks(room, room_facts, facts, found);
    }
    in_order_of_sessions(facts, found);
}

/// What was refused once may come later than what was sent after it: its sender gave it up, and
/// began anew with the resend. So may what can have been refused without its sender hearing of it: its
/// socket was lost before the answer, and it was no member then, the group was closed to members, or it was so already.
fn in_order_of_sessions(facts: &Facts<'_>, found: &mut BTreeSet<Violation>) {
    for ((session, room), sent) in &facts.sessions {
        let Some(room_facts) = facts.rooms.get(room) else { continue };
        let mut highest: Option<(u64, &ClientId)> = None;
        for client_id in sent {
            let Some(send) = facts.sends.get(client_id) else { continue };
            let Some(seq) = room_facts.places.get(client_id) else { continue };
            if let Some((before, first)) = highest
                && before > *seq
                && !may_have_been_refused(facts, room_facts, first, *seq)
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

/// True where the sender may have been refused between sending this and the entry `seq`, which it
/// sent later, and sent this again.
fn may_have_been_refused(
    facts: &Facts<'_>,
    room: &RoomFacts<'_>,
    first: &ClientId,
    seq: u64,
) -> bool {
    let Some(send) = facts.sends.get(first).filter(|send| send.attempts > 1) else { return false };
    let (Some(at), Some(entry)) = (send.first_sent_at, room.standing.get(&seq)) else {
        return false;
    };
    let own = room.places.get(first).and_then(|place| room.standing.get(place));
    room.was_refused(&entry.from, at, seq) || own.is_some_and(|own| was_so(room, own, at))
}

/// True of a reaction or a pin that may have been so already when it was sent first, at this event: what undid it came after
/// that.
fn was_so(room: &RoomFacts<'_>, own: &Entry, sent_at: usize) -> bool {
    let undoes = |other: &Entry| match (own.act.as_deref(), other.act.as_deref()) {
        (Some(Act::Reacts(a, emoji, is_on)), Some(Act::Reacts(b, other_emoji, was_on))) => {
            (a, emoji) == (b, other_emoji) && is_on != was_on && own.from == other.from
        }
        (Some(Act::Pins(a, is_on)), Some(Act::Pins(b, was_on))) => a == b && is_on != was_on,
        _ => false,
    };
    room.standing.range(room.head_at(sent_at) + 1..own.seq).any(|(_, other)| undoes(other))
}

fn in_order_of_acks(
    room: &Room,
    room_facts: &RoomFacts<'_>,
    facts: &Facts<'_>,
    found: &mut BTreeSet<Violation>,
) {
    // (index of the event, seq) of first acks, and of first sends of what is committed.
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
