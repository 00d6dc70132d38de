//! The judge: a pure function from a [`History`] to what is wrong with it.
//!
//! It knows nothing of Weft but the promises of `docs/protocol.md`, and believes no component: an
//! ack is compared with what readers saw, a reader with all others.

mod room;
mod socket;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use crate::history::{ClientId, Device, Entry, Event, History, Room, SessionId};

/// A broken promise.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Violation {
    /// An acknowledged entry is missing from its room.
    LostAck {
        /// The room.
        room: Room,
        /// Where it should stand.
        seq: u64,
        /// The entry.
        client_id: ClientId,
    },
    /// An ack names a place where another entry stands.
    FalseAck {
        /// The room.
        room: Room,
        /// The place.
        seq: u64,
        /// What was acknowledged there.
        client_id: ClientId,
        /// What stands there.
        found: Option<ClientId>,
    },
    /// One client id was acknowledged at two places.
    TwoAcks {
        /// The room.
        room: Room,
        /// The entry.
        client_id: ClientId,
        /// The places.
        seqs: (u64, u64),
    },
    /// One sender's client id stands twice in a room.
    Doubled {
        /// The room.
        room: Room,
        /// The entry.
        client_id: ClientId,
        /// The places.
        seqs: (u64, u64),
    },
    /// A room's log is not 1, 2, 3, ….
    Hole {
        /// The room.
        room: Room,
        /// The seq that should come.
        expected: u64,
        /// The seq that came.
        found: u64,
    },
    /// Two readers saw different entries at one place.
    TwoOrders {
        /// The room.
        room: Room,
        /// The place.
        seq: u64,
    },
    /// An entry was seen that the room does not hold in the end.
    Vanished {
        /// The room.
        room: Room,
        /// Where it was seen.
        seq: u64,
    },
    /// An entry stands that was refused for good, at its only attempt.
    RefusedButKept {
        /// The room.
        room: Room,
        /// The entry.
        client_id: ClientId,
    },
    /// An entry stands that nobody sent, or with another text.
    Forged {
        /// The room.
        room: Room,
        /// The place.
        seq: u64,
    },
    /// An entry that was sent after another one's ack stands before it.
    AckedLaterFirst {
        /// The room.
        room: Room,
        /// The earlier ack.
        acked: u64,
        /// Where the later one stands.
        later: u64,
    },
    /// A session got an entry without the one before it.
    SocketGap {
        /// Whose.
        device: Device,
        /// Which socket.
        session: SessionId,
        /// The room.
        room: Room,
        /// The seq that should come.
        expected: u64,
        /// The seq that came.
        found: u64,
    },
    /// `synced` said that everything is there, but an entry was missing.
    CursorAhead {
        /// Whose.
        device: Device,
        /// Which socket.
        session: SessionId,
        /// The room.
        room: Room,
        /// The missing seq.
        missing: u64,
    },
    /// A device that had its time does not have an entry of its room.
    NotDelivered {
        /// Who.
        device: Device,
        /// The room.
        room: Room,
        /// The missing seq.
        seq: u64,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LostAck { room, seq, client_id } => {
                write!(f, "lost: {client_id} was acknowledged as {room} {seq}, but is not there")
            }
            Self::FalseAck { room, seq, client_id, found } => write!(
                f,
                "false ack: {client_id} was acknowledged as {room} {seq}, where {} stands",
                found.as_deref().unwrap_or("an entry without client id")
            ),
            Self::TwoAcks { room, client_id, seqs: (a, b) } => {
                write!(f, "two acks: {client_id} was acknowledged as {room} {a} and {b}")
            }
            Self::Doubled { room, client_id, seqs: (a, b) } => {
                write!(f, "doubled: {client_id} stands in {room} at {a} and {b}")
            }
            Self::Hole { room, expected, found } => {
                write!(f, "hole: {room} has {found} where {expected} should be")
            }
            Self::TwoOrders { room, seq } => {
                write!(f, "two orders: readers saw different entries at {room} {seq}")
            }
            Self::Vanished { room, seq } => {
                write!(f, "vanished: {room} {seq} was seen, but is not there in the end")
            }
            Self::RefusedButKept { room, client_id } => {
                write!(f, "refused but kept: {client_id} stands in {room}")
            }
            Self::Forged { room, seq } => write!(f, "forged: nobody sent what is {room} {seq}"),
            Self::AckedLaterFirst { room, acked, later } => {
                write!(f, "reordered: {room} {later} was sent after {acked} had been acknowledged")
            }
            Self::SocketGap { device, session, room, expected, found } => {
                write!(f, "gap: {device} got {room} {found} instead of {expected} on its {session}")
            }
            Self::CursorAhead { device, session, room, missing } => write!(
                f,
                "cursor ahead: {device} was told to be complete on its {session} without {room} {missing}"
            ),
            Self::NotDelivered { device, room, seq } => {
                write!(f, "not delivered: {device} never got {room} {seq}")
            }
        }
    }
}

/// Everything that is wrong with a run, each thing once; empty where every promise was kept.
#[must_use]
pub fn check(history: &History) -> Vec<Violation> {
    let facts = Facts::gather(history);
    let mut found = BTreeSet::new();
    room::check(&facts, &mut found);
    socket::check(history, &facts, &mut found);
    found.into_iter().collect()
}

/// What the events say about each room and each client id.
struct Facts<'a> {
    rooms: BTreeMap<&'a Room, RoomFacts<'a>>,
    sends: HashMap<&'a ClientId, SendFacts<'a>>,
}

#[derive(Default)]
struct RoomFacts<'a> {
    /// Every different thing that anybody saw at a place.
    seen: BTreeMap<u64, Vec<&'a Entry>>,
    /// The last whole reading.
    last: Option<&'a [Entry]>,
    /// What stands in the end; without a whole reading: what was seen first.
    standing: BTreeMap<u64, &'a Entry>,
}

#[derive(Default)]
struct SendFacts<'a> {
    /// Index of its first `Sent`.
    first_sent_at: Option<usize>,
    attempts: u32,
    text: u64,
    /// (index of the event, room, seq) of each ack.
    acks: Vec<(usize, &'a Room, u64)>,
    refused_for_good: bool,
}

impl<'a> Facts<'a> {
    fn gather(history: &'a History) -> Self {
        let mut facts = Self { rooms: BTreeMap::new(), sends: HashMap::new() };
        for (at, event) in history.events.iter().enumerate() {
            match event {
                Event::Sent { client_id, text, .. } => {
                    let send = facts.sends.entry(client_id).or_default();
                    send.first_sent_at.get_or_insert(at);
                    send.attempts += 1;
                    send.text = *text;
                }
                Event::Acked { room, client_id, seq, .. } => {
                    facts.sends.entry(client_id).or_default().acks.push((at, room, *seq));
                }
                Event::Refused { client_id, temporary: false, .. } => {
                    facts.sends.entry(client_id).or_default().refused_for_good = true;
                }
                Event::Received { entry, .. } | Event::Loaded { entry, .. } => facts.see(entry),
                Event::Final { room, entries } => {
                    facts.rooms.entry(room).or_default().last = Some(entries);
                    entries.iter().for_each(|entry| facts.see(entry));
                }
                _ => {}
            }
        }
        for room in facts.rooms.values_mut() {
            room.standing = match room.last {
                Some(entries) => entries.iter().map(|entry| (entry.seq, entry)).collect(),
                None => room.seen.iter().map(|(seq, entries)| (*seq, entries[0])).collect(),
            };
        }
        facts
    }

    fn see(&mut self, entry: &'a Entry) {
        let at = self.rooms.entry(&entry.room).or_default().seen.entry(entry.seq).or_default();
        if !at.contains(&entry) {
            at.push(entry);
        }
    }
}

#[cfg(test)]
mod tests;
