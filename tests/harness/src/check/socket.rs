//! Promises about sockets and devices: in order, without holes, no cursor ahead of an entry, and
//! everything in the end.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Violation;
use super::facts::Facts;
use super::seqs::Seqs;
use crate::history::{self, Device, Entry, Event, History, Room, SessionId};

pub(super) fn check(history: &History, facts: &Facts<'_>, found: &mut BTreeSet<Violation>) {
    let mut replay = Replay { facts, found, devices: HashMap::new(), sockets: HashMap::new() };
    for event in &history.events {
        replay.step(event);
    }
}

#[derive(Clone, Default)]
struct Shelf<'a> {
    all: BTreeMap<&'a Room, Seqs>,
    /// What was pushed since it was last told to load its rooms anew.
    pushed: BTreeMap<&'a Room, Seqs>,
}

#[derive(Default)]
struct DeviceState<'a> {
    shelf: Shelf<'a>,
    /// What it had when each cursor came first.
    at_cursor: HashMap<&'a history::Cursor, Shelf<'a>>,
}

#[derive(Default)]
struct SocketState<'a> {
    last: BTreeMap<&'a Room, u64>,
    cursor: Option<&'a history::Cursor>,
}

struct Replay<'a, 'f> {
    facts: &'f Facts<'a>,
    found: &'f mut BTreeSet<Violation>,
    devices: HashMap<&'a Device, DeviceState<'a>>,
    sockets: HashMap<SessionId, SocketState<'a>>,
}

impl<'a> Replay<'a, '_> {
    fn step(&mut self, event: &'a Event) {
        match event {
            Event::Opened { device, session, cursor } => self.opened(device, *session, cursor),
            Event::Received { device, session, entry } => self.received(device, *session, entry),
            Event::Loaded { device, entry } => {
                let shelf = &mut self.devices.entry(device).or_default().shelf;
                shelf.all.entry(&entry.room).or_default().insert(entry.seq);
            }
            Event::Synced { device, session, recovered: false, cursor } => {
                // Everything before it is found by `history`: the socket begins anew.
                self.devices.entry(device).or_default().shelf.pushed.clear();
                let socket = self.sockets.entry(*session).or_default();
                *socket = SocketState { cursor: Some(cursor), ..SocketState::default() };
            }
            Event::Synced { device, session, recovered: true, cursor }
            | Event::Cursor { device, session, cursor } => self.told(device, *session, cursor),
            Event::LoadedAll { device, cursor } => {
                let state = self.devices.entry(device).or_default();
                state.at_cursor.insert(cursor, state.shelf.clone());
            }
            Event::Settled { device, room } => self.settled(device, room),
            _ => {}
        }
    }

    /// Who resumes has what it had when its cursor came: what it forgot must come again.
    fn opened(&mut self, device: &'a Device, id: SessionId, cursor: &'a Option<history::Cursor>) {
        let Some(cursor) = cursor else { return };
        let state = self.devices.entry(device).or_default();
        if let Some(shelf) = state.at_cursor.get(cursor) {
            state.shelf = shelf.clone();
        }
        let socket = self.sockets.entry(id).or_default();
        socket.cursor = Some(cursor);
        let lasts = state.shelf.all.iter().filter_map(|(room, seqs)| Some((*room, seqs.last()?)));
        socket.last = lasts.collect();
    }

    fn received(&mut self, device: &'a Device, id: SessionId, entry: &'a Entry) {
        let facts = self.facts.rooms.get(&entry.room);
        let is_for = |seq: u64| facts.is_none_or(|facts| facts.is_due(device, seq));
        let last = self.sockets.entry(id).or_default().last.entry(&entry.room);
        let last = last.or_insert(entry.seq);
        if let Some(expected) = (*last + 1..entry.seq).find(|seq| is_for(*seq)) {
            self.found.insert(Violation::SocketGap {
                device: device.clone(),
                session: id,
                room: entry.room.clone(),
                expected,
                found: entry.seq,
            });
        }
        // One that came before may come again.
        *last = entry.seq.max(*last);
        if facts.is_some_and(|facts| facts.is_outside(device, entry.seq)) {
            let (device, room) = (device.clone(), entry.room.clone());
            self.found.insert(Violation::Leaked { device, room, seq: entry.seq });
        }
        let shelf = &mut self.devices.entry(device).or_default().shelf;
        for kept in [&mut shelf.all, &mut shelf.pushed] {
            kept.entry(&entry.room).or_default().insert(entry.seq);
        }
    }

    fn told(&mut self, device: &'a Device, id: SessionId, cursor: &'a history::Cursor) {
        let socket = self.sockets.entry(id).or_default();
        if let Some(earlier) = socket.cursor.replace(cursor)
            && is_before(cursor, earlier)
        {
            self.found.insert(Violation::CursorBack {
                device: device.clone(),
                session: id,
                cursors: (earlier.clone(), cursor.clone()),
            });
        }
        let state = self.devices.entry(device).or_default();
        for (room, seqs) in &state.shelf.pushed {
            let facts = self.facts.rooms.get(*room);
            let is_for = |seq: &u64| facts.is_none_or(|facts| facts.is_due(device, *seq));
            if let Some(missing) = seqs.holes().find(is_for) {
                self.found.insert(Violation::CursorAhead {
                    device: device.clone(),
                    session: id,
                    room: (*room).clone(),
                    missing,
                });
            }
        }
        state.at_cursor.entry(cursor).or_insert_with(|| state.shelf.clone());
    }

    fn settled(&mut self, device: &'a Device, room: &'a Room) {
        let Some(facts) = self.facts.rooms.get(room) else { return };
        let have = self.devices.get(device).and_then(|state| state.shelf.all.get(room));
        let has = |seq: u64| have.is_some_and(|have| have.contains(seq));
        let mut seqs = facts.standing.keys().copied();
        if let Some(seq) = seqs.find(|seq| facts.is_due(device, *seq) && !has(*seq)) {
            let (device, room) = (device.clone(), room.clone());
            self.found.insert(Violation::NotDelivered { device, room, seq });
        }
    }
}

/// Cursors of two stores do not compare.
fn is_before(cursor: &str, other: &str) -> bool {
    let parse = |text: &str| text.parse::<weft_proto::Cursor>().ok();
    match (parse(cursor), parse(other)) {
        (Some(a), Some(b)) => a.store == b.store && a.position < b.position,
        _ => false,
    }
}
