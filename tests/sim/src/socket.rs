//! A live session: what goes out on its socket, as the edge's own delivery makes it.

use std::sync::Arc;

use serde::Deserialize;
use weft_edge::delivery::mailbox::{End, Mailbox};
use weft_edge::delivery::{Delivery, OnEntry, TokenCell};
use weft_proto::frame::CloseCode;
use weft_proto::{ClientId, Cursor, DeviceId, Entry, EventHead, Position, RoomId, UserId};
use weft_storage::tables::relation::Relation;
use weft_storage::tables::scheduled::ScheduledKey;
use weft_storage::tables::setting::Setting;

use super::edge::{Edge, EdgeWire};
use super::marks::{Key, Known, Told};
use super::scheduled;
use super::services;
use super::world::World;

/// What may wait for a session: some thirty entries.
const MAILBOX_BYTES_MAX: usize = 12_000;

pub struct Socket {
    world: Arc<World>,
    number: u64,
    user: UserId,
    delivery: Option<Delivery<EdgeWire>>,
    pub end: End,
    /// The device came without a cursor, and has none yet.
    is_new: bool,
    pub name: String,
    /// What went out: cursors, and entries between them.
    pub out: Vec<Out>,
}

/// A frame on the socket.
pub enum Out {
    Entry,
    Mark(Key, Told),
    Setting(RoomId, Setting),
    Relation(UserId, Relation),
    Scheduled(ScheduledKey, scheduled::Told),
    Cursor(String),
}

/// What the checker reads of a frame.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Frame {
    Entry { room: RoomId, seq: u64 },
    Synced { recovered: bool, cursor: String },
    Cursor { cursor: String },
    Mark { room: RoomId, user: UserId, read: u64, delivered: Option<u64>, unread_from: Option<u64> },
    Marks { room: RoomId, marks: Vec<ReadUpTo> },
    Setting { room: RoomId, muted_until: u64, pinned: bool },
    Relation { user: UserId, contact: bool, blocked: bool },
    Schedule { room: RoomId, schedule: String, at: u64, state: String, seq: Option<u64> },
}

#[derive(Deserialize)]
struct ReadUpTo {
    user: UserId,
    read: u64,
}

/// Presence is not played.
struct Nobody;

impl OnEntry for Nobody {
    fn on_entry(&self, _: &EventHead) {}

    fn on_sight(&self, _: &UserId) {}

    fn on_loss(&self) {}
}

impl Socket {
    pub fn open(
        edge: &Arc<Edge>,
        number: u64,
        user: &UserId,
        (cursor, known): (&str, &Known),
    ) -> Self {
        let world = edge.wire.world();
        let since = cursor.parse::<Cursor>().map_or(Position::MIN, |cursor| cursor.position);
        let name = format!("session {number} of {user}");
        let mut check = world.check.lock().expect("check");
        check.due.opens(number, (name.clone(), user.clone()), since, known.clone());
        drop(check);
        let token = TokenCell::new(services::token(user).into());
        let device = DeviceId::new("d").expect("device");
        let end = End::new(edge.tasks.token());
        let mailbox = Mailbox::new(MAILBOX_BYTES_MAX, device, end.clone());
        let reading = Arc::clone(&edge.reading);
        let delivery =
            Delivery::new(reading, user.clone(), token, cursor.into(), mailbox, Arc::new(Nobody));
        Self {
            world: Arc::clone(world),
            number,
            user: user.clone(),
            delivery: Some(delivery),
            end,
            is_new: cursor.is_empty(),
            name,
            out: Vec::new(),
        }
    }

    /// Puts out what is due for as long as it is polled, or until delivery closes the session.
    pub async fn run(&mut self) -> CloseCode {
        let mut delivery = self.delivery.take().expect("run once");
        loop {
            let (next, frames) = delivery.turn().await;
            delivery = next;
            let frames = match frames {
                Ok(frames) => frames,
                Err(code) => return code,
            };
            for frame in frames {
                if let Err(violation) = self.put_out(&frame) {
                    self.world.violate(violation);
                }
            }
            self.world.take_time().await;
        }
    }

    fn put_out(&mut self, frame: &str) -> Result<(), String> {
        let bytes = frame;
        let frame = serde_json::from_str(frame).map_err(|error| format!("{error}: {frame}"))?;
        let (name, world, number) = (&self.name, &self.world, self.number);
        match frame {
            Frame::Entry { room, seq } => {
                self.out.push(Out::Entry);
                world.say(format_args!("{name} puts out {room} {seq}"));
                let shown =
                    Entry::from_frame(bytes).map_err(|error| format!("{error}: {bytes}"))?;
                let mut check = world.check.lock().expect("check");
                check.shows(name, &shown)?;
                check.due.puts(number, &room, seq)
            }
            Frame::Mark { room, user, read, delivered, unread_from } => {
                let told = Told { read, delivered: delivered.unwrap_or(0), unread_from };
                let key = (room, user);
                world.say(format_args!("{name} puts out {} read by {}: {read}", key.0, key.1));
                self.out.push(Out::Mark(key.clone(), told.clone()));
                world.check.lock().expect("check").shows_mark(number, &key, &told)
            }
            // Best effort, to those who are here.
            Frame::Marks { room, marks } => {
                let check = world.check.lock().expect("check");
                marks.into_iter().try_for_each(|ReadUpTo { user, read }| {
                    let told = Told { read, ..Told::default() };
                    check.shows_read(number, &(room.clone(), user), &told)
                })
            }
            Frame::Setting { room, muted_until, pinned } => {
                let told = Setting { muted_until_ms: muted_until, pinned, ..Setting::default() };
                world.say(format_args!("{name} puts out {room} as {told:?}"));
                self.out.push(Out::Setting(room.clone(), told.clone()));
                world.check.lock().expect("check").shows_setting(number, &room, &told)
            }
            Frame::Relation { user, contact, blocked } => {
                let told = Relation { contact, blocked };
                world.say(format_args!("{name} puts out {user} as {told:?}"));
                self.out.push(Out::Relation(user.clone(), told.clone()));
                world.check.lock().expect("check").shows_relation(number, &user, &told)
            }
            Frame::Schedule { room, schedule, at, state, seq } => {
                let id = ClientId::parse(&schedule).map_err(|error| error.to_string())?;
                let told = scheduled::Told { at_ms: at, state, seq: seq.unwrap_or(0) };
                world.say(format_args!("{name} puts out {schedule} in {room} as {told:?}"));
                let key = (self.user.clone(), room.clone(), id);
                self.out.push(Out::Scheduled(key, told.clone()));
                world.check.lock().expect("check").shows_scheduled(number, (&room, id), &told)
            }
            Frame::Synced { recovered: false, cursor } if self.is_new => {
                let position = position(&cursor);
                self.is_new = false;
                self.out.push(Out::Cursor(cursor));
                world.check.lock().expect("check").due.begins_at(number, position);
                Ok(())
            }
            Frame::Synced { recovered: false, .. } => {
                Err(format!("{name} can't go on from its cursor"))
            }
            Frame::Synced { cursor, .. } | Frame::Cursor { cursor } => {
                let position = position(&cursor);
                world.say(format_args!("{name} has all up to {position}"));
                self.out.push(Out::Cursor(cursor));
                world.check.lock().expect("check").tells_cursor(number, position)
            }
        }
    }
}

pub fn position(cursor: &str) -> Position {
    cursor.parse::<Cursor>().expect("a cursor").position
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.world.check.lock().expect("check").due.closes(self.number);
    }
}
