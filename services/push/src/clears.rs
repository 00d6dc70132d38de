//! Rooms that are read elsewhere: devices of FCM and APNs that were notified of one hear of it, in silence, with the new badge.
//!
//! What a user has read is told to their devices' edges, on `weft.u.<user>`; this node listens there for those whom it has notified
//! lately. It is a courtesy: what is lost there, or forgotten here, is told by nobody, and the app is right again when it is
//! opened, or notified anew. From the moment on that it is known, it is a job as every other one.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use lru::LruCache;
use serde::Deserialize;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use weft_nats::jobs::{self, Lane};
use weft_nats::subject::{WEFT_CHANGE, WEFT_ENTRY};
use weft_nats::{Bus, Message, Subject, Subscription, subscribed};
use weft_proto::{RoomId, UserId};
use weft_runtime::{Clock, lock};

use crate::job::Job;
use crate::metrics::LISTENED_TO;

/// Rooms of users that are remembered, with the devices that were notified of them: beyond it the first ones are forgotten.
const ROOMS_MAX: usize = 20_000;
/// Devices of a user that are remembered of a room.
const DEVICES_MAX: usize = 16;

pub(crate) struct Clears {
    bus: Bus,
    clock: Arc<dyn Clock>,
    told: Mutex<Told>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

struct Told {
    /// The newest job of each device.
    rooms: LruCache<(UserId, RoomId), Vec<Job>>,
    users: HashMap<UserId, Listening>,
}

/// Ends when nothing is remembered of the user.
struct Listening {
    rooms: usize,
    _stop: DropGuard,
}

impl Clears {
    pub(crate) fn new(bus: Bus, clock: Arc<dyn Clock>, stop: CancellationToken) -> Self {
        let rooms = LruCache::new(NonZeroUsize::new(ROOMS_MAX).unwrap_or(NonZeroUsize::MIN));
        let told = Mutex::new(Told { rooms, users: HashMap::new() });
        Self { bus, clock, told, tasks: TaskTracker::new(), stop }
    }

    /// A device is about to be notified: what is read from now on is heard.
    pub(crate) async fn note(self: &Arc<Self>, job: &Job) {
        let (Ok(user), Ok(room)) = (UserId::new(&job.user), RoomId::new(&job.room)) else { return };
        if self.stop.is_cancelled() {
            return;
        }
        let (begun, users) = {
            let mut told = lock(&self.told);
            (told.note((user.clone(), room), job, &self.stop), told.users.len())
        };
        LISTENED_TO.set(users as f64);
        let Some(stop) = begun else { return };
        let said = self.bus.subscribe(&Subject::User(user.clone())).await.ok();
        let _ = self.bus.flush().await;
        self.tasks.spawn(Arc::clone(self).listen(user, said, stop));
    }

    /// Waits until it has ended, after its stop.
    pub(crate) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn listen(
        self: Arc<Self>,
        user: UserId,
        said: Option<Subscription>,
        stop: CancellationToken,
    ) {
        let subject = Subject::User(user.clone());
        let listening = async {
            let mut said = match said {
                Some(said) => said,
                None => subscribed(|| self.bus.subscribe(&subject)).await?,
            };
            while let Some(message) = said.next().await {
                let Some(read) = Read::of(&user, &message) else { continue };
                let jobs = lock(&self.told).read(&user, &read);
                for job in jobs {
                    self.put(&user, job).await;
                }
            }
            Some(())
        };
        stop.run_until_cancelled(listening).await;
    }

    async fn put(&self, user: &UserId, job: Job) {
        let job = job.to_clear(self.clock.now_ms());
        let Ok(bytes) = serde_json::to_vec(&job) else { return };
        if let Err(error) = jobs::put(&self.bus, Lane::Rest, user, &job.id(), bytes.into()).await {
            tracing::debug!(%error, "a device does not hear that a room was read elsewhere");
        }
    }
}

impl Told {
    /// Remembers a job. What to listen with, where nobody listens to the user yet.
    fn note(
        &mut self,
        at: (UserId, RoomId),
        job: &Job,
        stop: &CancellationToken,
    ) -> Option<CancellationToken> {
        if let Some(jobs) = self.rooms.get_mut(&at) {
            match jobs.iter().position(|it| it.device == job.device) {
                Some(at) if jobs[at].seq < job.seq => jobs[at] = job.clone(),
                None if jobs.len() < DEVICES_MAX => jobs.push(job.clone()),
                _ => {}
            }
            return None;
        }
        let user = at.0.clone();
        if let Some((dropped, _)) = self.rooms.push(at, vec![job.clone()]) {
            self.forget(&dropped.0);
        }
        if let Some(listening) = self.users.get_mut(&user) {
            listening.rooms += 1;
            return None;
        }
        let stop = stop.child_token();
        let listening = Listening { rooms: 1, _stop: stop.clone().drop_guard() };
        self.users.insert(user, listening);
        Some(stop)
    }

    /// The jobs of what is read now.
    fn read(&mut self, user: &UserId, read: &Read) -> Vec<Job> {
        let at = (user.clone(), read.room.clone());
        let Some(jobs) = self.rooms.peek_mut(&at) else { return Vec::new() };
        let is_read = |job: &mut Job| {
            job.seq <= read.read && (read.unread_from == 0 || job.seq < read.unread_from)
        };
        let found: Vec<Job> = jobs.extract_if(.., is_read).collect();
        if jobs.is_empty() {
            self.rooms.pop(&at);
            self.forget(user);
        }
        found
    }

    /// A room of the user is forgotten.
    fn forget(&mut self, user: &UserId) {
        let Some(listening) = self.users.get_mut(user) else { return };
        listening.rooms -= 1;
        if listening.rooms == 0 {
            self.users.remove(user);
        }
    }
}

/// Up to where a user has read a room.
#[derive(Debug, PartialEq)]
struct Read {
    room: RoomId,
    read: u64,
    unread_from: u64,
}

impl Read {
    /// What is said on the user's subject of what they have read. By writing, too: where that is said there, in direct rooms.
    fn of(user: &UserId, message: &Message) -> Option<Self> {
        #[derive(Deserialize)]
        struct Frame<'a> {
            room: &'a str,
            #[serde(default)]
            user: &'a str,
            #[serde(default)]
            from: &'a str,
            #[serde(default)]
            read: u64,
            #[serde(default)]
            unread_from: u64,
            #[serde(default)]
            seq: u64,
        }
        let change = message.header(WEFT_CHANGE).unwrap_or_default();
        let is_mark = change.strip_prefix("mark/").is_some_and(|key| {
            let key = key.split(' ').next().unwrap_or_default();
            // That of a thread has a third part.
            key.split_once('/').is_some_and(|(_, of)| of == user.as_str())
        });
        if !is_mark && message.header(WEFT_ENTRY).is_none() {
            return None;
        }
        let frame: Frame<'_> = serde_json::from_slice(message.payload()).ok()?;
        let room = RoomId::new(frame.room).ok()?;
        match is_mark {
            true if frame.user == user.as_str() => {
                Some(Self { room, read: frame.read, unread_from: frame.unread_from })
            }
            false if frame.from == user.as_str() => {
                Some(Self { room, read: frame.seq, unread_from: 0 })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use weft_proto::frame::MarkFrame;
    use weft_proto::{ChangeHead, Position};

    use super::*;

    fn user(name: &str) -> UserId {
        UserId::new(name).expect("a user id")
    }

    fn job(room: &str, device: &str, seq: u64) -> Job {
        let (room, user, device) = (room.to_owned(), "bob".to_owned(), device.to_owned());
        Job { room, seq, user, device, first: true, at_ms: 7, clear: false, invited_ms: 0 }
    }

    fn told() -> Told {
        let rooms = LruCache::new(NonZeroUsize::new(2).expect("2"));
        Told { rooms, users: HashMap::new() }
    }

    fn note(told: &mut Told, stop: &CancellationToken, job: &Job) -> Option<CancellationToken> {
        told.note((user("bob"), RoomId::new(&job.room).expect("a room id")), job, stop)
    }

    #[test]
    fn each_device_hears_of_what_it_was_notified_of() {
        let (mut told, stop) = (told(), CancellationToken::new());
        let listening = note(&mut told, &stop, &job("team", "phone", 5)).expect("it begins");
        assert!(note(&mut told, &stop, &job("team", "phone", 7)).is_none());
        assert!(note(&mut told, &stop, &job("team", "phone", 6)).is_none(), "late, again");
        assert!(note(&mut told, &stop, &job("team", "tablet", 5)).is_none());
        let mut read = Read { room: RoomId::new("team").expect("id"), read: 6, unread_from: 0 };
        assert_eq!(told.read(&user("bob"), &read), [job("team", "tablet", 5)]);
        (read.read, read.unread_from) = (9, 3);
        assert_eq!(told.read(&user("bob"), &read), [], "it counts as unread");
        read.unread_from = 0;
        assert_eq!(told.read(&user("bob"), &read), [job("team", "phone", 7)]);
        assert!(listening.is_cancelled() && told.users.is_empty(), "there is nothing left");
    }

    #[test]
    fn what_is_too_much_is_forgotten() {
        let (mut told, stop) = (told(), CancellationToken::new());
        for room in ["a", "b", "c", "d"] {
            note(&mut told, &stop, &job(room, "phone", 1));
        }
        assert_eq!((told.rooms.len(), told.users[&user("bob")].rooms), (2, 2));
        for n in 0..2 * DEVICES_MAX {
            note(&mut told, &stop, &job("d", &format!("d{n}"), 1));
        }
        let at = (user("bob"), RoomId::new("d").expect("id"));
        assert_eq!(told.rooms.peek(&at).map(Vec::len), Some(DEVICES_MAX));
    }

    #[test]
    fn what_a_user_has_read_is_heard_of_marks_and_of_what_they_write() {
        let (bob, alice) = (user("bob"), user("alice"));
        let room = RoomId::direct(&alice, &bob);
        let heard = |header: (&str, &str), payload: Vec<u8>| {
            let subject = Subject::User(bob.clone());
            let message = Message::new(&subject, &[header], payload.into()).expect("a message");
            Read::of(&bob, &message)
        };
        let mark = |of: &UserId| {
            let frame = MarkFrame {
                room: &room,
                user: of,
                read: 7,
                read_ordinal: None,
                delivered: None,
                unread_from: Some(3),
            };
            let head = ChangeHead::mark(&room, of, Position::default()).to_string();
            heard((WEFT_CHANGE, &head), frame.to_frame())
        };
        assert_eq!(mark(&bob), Some(Read { room: room.clone(), read: 7, unread_from: 3 }));
        assert_eq!(mark(&alice), None, "that is hers");
        let thread = ChangeHead::thread(&room, 4, &bob, Position::default()).to_string();
        let frame =
            format!(r#"{{"type":"mark","room":"{room}","user":"bob","thread":4,"read":9}}"#);
        assert_eq!(heard((WEFT_CHANGE, &thread), frame.into_bytes()), None, "of a thread alone");
        let entry = |from: &str| {
            let frame = format!(r#"{{"type":"message","room":"{room}","seq":9,"from":"{from}"}}"#);
            heard((WEFT_ENTRY, "x"), frame.into_bytes())
        };
        assert_eq!(entry("bob"), Some(Read { room: room.clone(), read: 9, unread_from: 0 }));
        assert_eq!(entry("alice"), None);
    }
}
