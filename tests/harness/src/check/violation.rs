//! What can be wrong, and which events of a run have to do with it.

use std::fmt;
use std::sync::Arc;

use crate::history::{
    ClientId, Cursor, Device, Draft, Entry, Event, History, Mark, Room, SessionId, Wish,
};

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Violation {
    /// An acknowledged entry is missing from its room.
    LostAck { room: Room, seq: u64, client_id: ClientId },
    /// An ack names a place where another entry is.
    FalseAck { room: Room, seq: u64, client_id: ClientId, found: Option<ClientId> },
    /// One client id was acknowledged at two places.
    TwoAcks { room: Room, client_id: ClientId, seqs: (u64, u64) },
    /// One sender's client id is twice in a room.
    Doubled { room: Room, client_id: ClientId, seqs: (u64, u64) },
    /// A room's log is not 1, 2, 3, ….
    Hole {
        room: Room,
        /// The seq that should come.
        expected: u64,
        found: u64,
    },
    /// Two readers saw different entries at one place.
    TwoOrders { room: Room, seq: u64 },
    /// An entry was seen that the room does not hold in the end.
    Vanished { room: Room, seq: u64 },
    /// An entry is committed that was refused for good, at its only attempt.
    RefusedButKept { room: Room, client_id: ClientId },
    /// An entry is committed that nobody sent, or with another text.
    Forged { room: Room, seq: u64 },
    /// An entry that was sent after another one's ack comes before it.
    AckedLaterFirst {
        room: Room,
        acked: u64,
        /// The later one's seq.
        later: u64,
    },
    /// A session got an entry without the one before it.
    SocketGap {
        device: Device,
        session: SessionId,
        room: Room,
        /// The seq that should come.
        expected: u64,
        found: u64,
    },
    /// Of two texts that a session sent to a room, the later one comes first.
    SessionOrder {
        session: SessionId,
        room: Room,
        first: ClientId,
        second: ClientId,
        seqs: (u64, u64),
    },
    /// An entry was pushed to a user who was no member at it: who joins finds what was before in the
    /// room's history.
    Leaked { device: Device, room: Room, seq: u64 },
    /// An entry is there that the group's own log does not allow, or is shown to who had left.
    NotAllowed { room: Room, seq: u64, what: String },
    /// A cursor of a socket is before an earlier one.
    CursorBack {
        device: Device,
        session: SessionId,
        /// The earlier one, and the one that is before it.
        cursors: (Cursor, Cursor),
    },
    /// `synced` or `cursor` said that everything is there, but an entry was missing.
    CursorAhead { device: Device, session: SessionId, room: Room, missing: u64 },
    /// A device that had its time does not have an entry of its room.
    NotDelivered { device: Device, room: Room, seq: u64 },
    /// A member's history, or what a device has made of its entries, shows another message than the
    /// room's log makes.
    WrongMessage { reader: Device, room: Room, seq: u64, what: String },
    /// A user's mark is not what was answered or said, or not what a device knows.
    WrongMark {
        room: Room,
        user: Arc<str>,
        /// Where it is wrong; `None`: in the store.
        device: Option<Device>,
        what: String,
    },
    /// What is unread of a room for a user, or pinned in it, is told otherwise than the room's log and the user's
    /// marks make it.
    WrongCount {
        room: Room,
        user: Arc<str>,
        /// Where it is wrong; `None`: in what the service answers.
        device: Option<Device>,
        what: String,
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
                "false ack: {client_id} was acknowledged as {room} {seq}, where {} is",
                found.as_deref().unwrap_or("an entry without client id")
            ),
            Self::TwoAcks { room, client_id, seqs: (a, b) } => {
                write!(f, "two acks: {client_id} was acknowledged as {room} {a} and {b}")
            }
            Self::Doubled { room, client_id, seqs: (a, b) } => {
                write!(f, "doubled: {client_id} is in {room} at {a} and {b}")
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
                write!(f, "refused but kept: {client_id} is in {room}")
            }
            Self::Forged { room, seq } => write!(f, "forged: nobody sent what is {room} {seq}"),
            Self::AckedLaterFirst { room, acked, later } => {
                write!(f, "reordered: {room} {later} was sent after {acked} had been acknowledged")
            }
            Self::SessionOrder { session, room, first, second, seqs: (a, b) } => write!(
                f,
                "session order: {session} sent {first} before {second} to {room}, they are {a} and {b}"
            ),
            Self::Leaked { device, room, seq } => {
                write!(f, "leaked: {device} got {room} {seq} without being a member then")
            }
            Self::NotAllowed { room, seq, what } => {
                write!(f, "not allowed: {room} {seq} {what}")
            }
            Self::CursorBack { device, session, cursors: (earlier, later) } => {
                write!(f, "cursor back: {device} was told {later} after {earlier} on its {session}")
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
            Self::WrongMessage { reader, room, seq, what } => {
                write!(f, "wrong message: {reader} has {room} {seq} {what}")
            }
            Self::WrongMark { room, user, device, what } => {
                let reader = device.as_deref().unwrap_or("the store");
                write!(f, "wrong mark: {reader} has for {user} in {room} {what}")
            }
            Self::WrongCount { room, user, device, what } => {
                let reader = device.as_deref().unwrap_or("the service");
                write!(f, "wrong count: {reader} has for {user} in {room} {what}")
            }
        }
    }
}

/// What a violation is about: where it says nothing, anything.
#[derive(Clone, Copy, Default)]
struct Subject<'a> {
    room: Option<&'a Room>,
    seqs: [Option<u64>; 2],
    ids: [Option<&'a ClientId>; 2],
    device: Option<&'a Device>,
    /// Whose mark it is about.
    user: Option<&'a str>,
}

impl Violation {
    /// The indices of the events that tell its story, in their order.
    pub fn story(&self, history: &History) -> Vec<usize> {
        let subject = self.subject();
        let mut ids: Vec<&ClientId> = subject.ids.into_iter().flatten().collect();
        // The one at the place in question belongs to it.
        for event in &history.events {
            if let Event::Received { entry, .. } | Event::Loaded { entry, .. } = event
                && subject.room == Some(&entry.room)
                && subject.seqs.contains(&Some(entry.seq))
                && let Some(id) = &entry.client_id
                && !ids.contains(&id)
            {
                ids.push(id);
            }
        }
        let mut seen = Vec::new();
        let mut tells = |event: &Event| match event {
            // Where no device is asked for, it is enough that one saw it.
            Event::Received { entry, .. } | Event::Loaded { entry, .. }
                if subject.device.is_none() =>
            {
                let is_new = !seen.contains(entry);
                seen.extend(is_new.then(|| entry.clone()));
                is_new
            }
            _ => true,
        };
        let events = history.events.iter().enumerate();
        events
            .filter(|(_, event)| subject.concerns(event, &ids) && tells(event))
            .map(|(at, _)| at)
            .collect()
    }

    fn subject(&self) -> Subject<'_> {
        let none = Subject::default();
        match self {
            Self::LostAck { room, seq, client_id }
            | Self::FalseAck { room, seq, client_id, .. } => {
                let (seqs, ids) = ([Some(*seq), None], [Some(client_id), None]);
                Subject { room: Some(room), seqs, ids, ..none }
            }
            Self::TwoAcks { room, client_id, seqs } | Self::Doubled { room, client_id, seqs } => {
                let seqs = [Some(seqs.0), Some(seqs.1)];
                Subject { room: Some(room), seqs, ids: [Some(client_id), None], ..none }
            }
            Self::RefusedButKept { room, client_id } => {
                Subject { room: Some(room), ids: [Some(client_id), None], ..none }
            }
            Self::SessionOrder { room, first, second, .. } => {
                Subject { room: Some(room), ids: [Some(first), Some(second)], ..none }
            }
            Self::AckedLaterFirst { room, acked, later } => {
                Subject { room: Some(room), seqs: [Some(*acked), Some(*later)], ..none }
            }
            Self::Hole { room, expected, found } => {
                Subject { room: Some(room), seqs: [Some(*expected), Some(*found)], ..none }
            }
            Self::TwoOrders { room, seq }
            | Self::Vanished { room, seq }
            | Self::WrongMessage { room, seq, .. }
            | Self::NotAllowed { room, seq, .. }
            | Self::Forged { room, seq } => {
                Subject { room: Some(room), seqs: [Some(*seq), None], ..none }
            }
            Self::SocketGap { device, room, expected, found, .. } => Subject {
                room: Some(room),
                seqs: [Some(*expected), Some(*found)],
                device: Some(device),
                ..none
            },
            Self::CursorAhead { device, room, missing: seq, .. }
            | Self::NotDelivered { device, room, seq }
            | Self::Leaked { device, room, seq } => {
                Subject { room: Some(room), seqs: [Some(*seq), None], device: Some(device), ..none }
            }
            Self::CursorBack { device, .. } => Subject { device: Some(device), ..none },
            Self::WrongMark { room, user, device, .. }
            | Self::WrongCount { room, user, device, .. } => {
                Subject { room: Some(room), user: Some(user), device: device.as_ref(), ..none }
            }
        }
    }
}

impl Subject<'_> {
    fn concerns(&self, event: &Event, ids: &[&ClientId]) -> bool {
        let of_device = |device: &Device| self.device == Some(device);
        let entry_is = |entry: &Entry| {
            Some(&entry.room) == self.room
                && (self.seqs.contains(&Some(entry.seq))
                    || entry.client_id.as_ref().is_some_and(|id| ids.contains(&id)))
        };
        let mark_is = |mark: &Mark| {
            Some(&mark.room) == self.room && self.user.is_some_and(|user| user == &*mark.user)
        };
        let draft_is =
            |draft: &Draft| Some(&draft.room) == self.room && self.user == Some(&*draft.user);
        match event {
            Event::MarkSent { mark, .. }
            | Event::MarkKept { mark, .. }
            | Event::MarkRefused { mark, .. }
            | Event::FinalMark { mark } => mark_is(mark),
            Event::SettingSent { wish: Wish { room, user, .. }, .. }
            | Event::SettingKept { wish: Wish { room, user, .. }, .. }
            | Event::SettingRefused { wish: Wish { room, user, .. }, .. } => {
                Some(room) == self.room && self.user == Some(&**user)
            }
            Event::DraftSent { draft, .. }
            | Event::DraftKept { draft, .. }
            | Event::DraftConflict { draft, .. }
            | Event::DraftRefused { draft, .. } => draft_is(draft),
            Event::ReceiptsOff { user } => self.user == Some(&**user),
            Event::DraftTold { device, draft } => {
                draft_is(draft) && self.device.is_none_or(|of| of == device)
            }
            Event::DraftsLoaded { device, drafts } => {
                of_device(device) && drafts.iter().any(draft_is)
            }
            Event::Drafts { drafts, .. } => drafts.iter().any(draft_is),
            Event::SettingTold { device, room, .. } | Event::ThreadsLoaded { device, room, .. } => {
                Some(room) == self.room && of_device(device)
            }
            Event::MarkTold { device, mark } => {
                mark_is(mark) && self.device.is_none_or(|of| of == device)
            }
            Event::Sent { client_id, .. }
            | Event::Acked { client_id, .. }
            | Event::Refused { client_id, .. } => ids.contains(&client_id),
            Event::Received { entry, .. } | Event::Loaded { entry, .. } => entry_is(entry),
            Event::Opened { device, .. }
            | Event::Closed { device, .. }
            | Event::LoadedAll { device, .. }
            | Event::Synced { device, .. }
            | Event::Cursor { device, .. } => of_device(device),
            Event::Settled { device, room } => Some(room) == self.room && of_device(device),
            Event::Final { room, .. } | Event::Shown { room, .. } => Some(room) == self.room,
            Event::Listed { room, user, .. } | Event::Threads { room, user, .. } => {
                Some(room) == self.room && self.user == Some(&**user)
            }
            Event::ListLoaded { device, room, .. } => Some(room) == self.room && of_device(device),
            Event::Deed(deed) => self.user.is_some_and(|user| deed.concerns(user)),
            Event::Pinned { room, .. } => Some(room) == self.room && self.seqs == [None; 2],
        }
    }
}
