//! Decides what has to be on sockets: what a user has to get, in which order, and what a cursor
//! proves.

use std::collections::{BTreeMap, BTreeSet};

use weft_proto::kind::{Add, Leave, Remove};
use weft_proto::{Body, Position, RoomId, UserId};

use super::check::{Judged, Kept};
use super::marks::{Key, Known, Told};

/// What users have to get: each entry that was committed while they were members of its room, the
/// joining and the leaving entry included.
#[derive(Default)]
pub struct Due {
    members: BTreeMap<RoomId, BTreeSet<UserId>>,
    by_position: BTreeMap<UserId, BTreeMap<Position, (RoomId, u64)>>,
    by_room: BTreeMap<(UserId, RoomId), BTreeMap<u64, Position>>,
    open: BTreeMap<u64, Seen>,
    pub puts: u64,
    pub marks: u64,
    pub cursors: u64,
}

/// What one session has put out.
struct Seen {
    name: String,
    user: UserId,
    /// The device has everything up to here from sessions before, or does not want it.
    since: Position,
    put: BTreeMap<RoomId, BTreeSet<u64>>,
    /// The last cursor.
    cursor: Position,
    /// What the device knows of marks and settings.
    known: Known,
}

impl Due {
    /// A device opens a session; it has everything up to `since`.
    pub fn opens(
        &mut self,
        session: u64,
        (name, user): (String, UserId),
        since: Position,
        known: Known,
    ) {
        let seen = Seen { name, user, since, put: BTreeMap::new(), cursor: since, known };
        self.open.insert(session, seen);
    }

    /// The device had no cursor: it loads its rooms, and wants what comes after this one.
    pub fn begins_at(&mut self, session: u64, since: Position) {
        let seen = self.open.get_mut(&session).expect("open");
        (seen.since, seen.cursor) = (since, since);
        seen.known.began = Some(since);
    }

    pub fn closes(&mut self, session: u64) {
        self.open.remove(&session);
    }

    /// An entry was committed.
    pub fn commits(&mut self, kept: &Kept) {
        let entry = &kept.entry;
        let concerned = weft_core::partition::rules::concerned(entry);
        let members = self.members.entry(entry.room.clone()).or_default();
        match &entry.body {
            Body::Create(_) => members.extend(concerned.iter().cloned()),
            Body::Add(Add { user, .. }) => {
                members.insert(user.clone());
            }
            Body::Remove(Remove { user }) => {
                members.remove(user);
            }
            Body::Leave(Leave {}) => {
                members.remove(&entry.from);
            }
            _ => {}
        }
        let users: BTreeSet<&UserId> = members.iter().chain(&concerned).collect();
        for user in users {
            let place = (entry.room.clone(), entry.seq);
            self.by_position.entry(user.clone()).or_default().insert(kept.position, place);
            let in_room = self.by_room.entry((user.clone(), entry.room.clone())).or_default();
            in_room.insert(entry.seq, kept.position);
        }
    }

    /// An entry goes out on a socket.
    pub fn puts(&mut self, session: u64, room: &RoomId, seq: u64) -> Judged<()> {
        self.puts += 1;
        let seen = self.open.get_mut(&session).expect("open");
        let name = &seen.name;
        let none = BTreeMap::new();
        let due = self.by_room.get(&(seen.user.clone(), room.clone())).unwrap_or(&none);
        // Who joins sees in history what was said before; the socket begins at the joining.
        if !due.contains_key(&seq) {
            return Err(format!("{name} is shown {room} {seq}, which is not theirs"));
        }
        let put = seen.put.entry(room.clone()).or_default();
        if put.last().is_some_and(|last| *last >= seq) {
            return Err(format!("{name} puts out {room} {seq} after {put:?}"));
        }
        if let Some((before, position)) = due.range(..seq).next_back()
            && *position > seen.since
            && !put.contains(before)
        {
            return Err(format!("{name} puts out {room} {seq} without {before}"));
        }
        put.insert(seq);
        Ok(())
    }

    /// A mark goes out on a socket.
    pub fn puts_mark(&mut self, session: u64, key: &Key, told: &Told) {
        self.hears_beside(session).1.take(key, told);
    }

    /// What changes beside entries goes out on a socket: whose it is, and what its device knows.
    pub fn hears_beside(&mut self, session: u64) -> (&UserId, &mut Known) {
        self.marks += 1;
        let seen = self.open.get_mut(&session).expect("open");
        (&seen.user, &mut seen.known)
    }

    /// What a session's device knows beside entries, and whose it is.
    pub fn known(&self, session: u64) -> (&UserId, &Known) {
        let seen = &self.open[&session];
        (&seen.user, &seen.known)
    }

    /// All sessions: whose they are, and what their devices know beside entries.
    pub fn all_known(&self) -> impl Iterator<Item = (&UserId, &Known)> {
        self.open.values().map(|seen| (&seen.user, &seen.known))
    }

    /// A cursor goes out on a socket.
    pub fn tells_cursor(&mut self, session: u64, cursor: Position) -> Judged<()> {
        self.cursors += 1;
        let seen = &self.open[&session];
        let name = &seen.name;
        if cursor < seen.cursor {
            return Err(format!("the cursor of {name} goes back from {} to {cursor}", seen.cursor));
        }
        if let Some((room, seq)) = self.missing(seen, seen.cursor, cursor) {
            return Err(format!("{name} has a cursor beyond {room} {seq}, which is not out"));
        }
        self.open.get_mut(&session).expect("open").cursor = cursor;
        Ok(())
    }

    /// All is quiet: everything is out, and the cursor says so.
    pub fn all_out(&self, sessions: u64) -> Judged<()> {
        if self.open.len() as u64 != sessions {
            return Err(format!("{} devices, {} sessions", sessions, self.open.len()));
        }
        self.open.values().try_for_each(|seen| self.is_all_out(seen))
    }

    fn is_all_out(&self, seen: &Seen) -> Judged<()> {
        if let Some((room, seq)) = self.missing(seen, seen.since, Position::MAX) {
            return Err(format!("{} never gets {room} {seq}", seen.name));
        }
        let last = self.by_position.get(&seen.user).and_then(|due| due.last_key_value());
        match last {
            Some((last, (room, seq))) if seen.cursor < *last => {
                Err(format!("the cursor of {} stays before {room} {seq}", seen.name))
            }
            _ => Ok(()),
        }
    }

    /// The first entry in (`after`, `up_to`] that is due and not out.
    fn missing(&self, seen: &Seen, after: Position, up_to: Position) -> Option<&(RoomId, u64)> {
        if after >= up_to {
            return None;
        }
        let is_out =
            |room: &RoomId, seq: &u64| seen.put.get(room).is_some_and(|put| put.contains(seq));
        let due = self.by_position.get(&seen.user)?;
        let range = (std::ops::Bound::Excluded(after), std::ops::Bound::Included(up_to));
        due.range(range).map(|(_, place)| place).find(|(room, seq)| !is_out(room, seq))
    }
}
