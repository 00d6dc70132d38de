//! Many direct rooms at a steady rate: users of whom each pair has a room. One task per user sends
//! in its rooms in turn and checks what arrives.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use weft_proto::ClientId;
use weft_proto::frame::REQUEST_ID_MAX;
use weft_runtime::{Clock, SystemClock};

use super::load::Timeline;
use super::pair::{User, open_session};
use super::scan::{self, Kind, after, number};
use super::socket::Socket;
use crate::error::Error;

const PING_EVERY: Duration = Duration::from_secs(5);
const TEXT_BYTES: usize = 200;

/// Which users there are, and who sends in which rooms.
pub struct Rooms {
    /// Names, ascending.
    pub users: Vec<String>,
    /// Per user: the rooms that it sends in.
    pub targets: Vec<Vec<String>>,
}

/// Counts of all users.
#[derive(Default)]
pub struct Counts {
    pub sent: AtomicU64,
    /// Acks that came while it was measured.
    pub acked: AtomicU64,
    pub received: AtomicU64,
    /// Entries that came twice, or not behind the one before.
    pub faults: AtomicU64,
}

impl Rooms {
    /// The first `count` pairs of as few users as have so many.
    pub fn new(count: usize) -> Self {
        let users = (2..).find(|n: &usize| n * (n - 1) / 2 >= count).unwrap_or(2);
        let users: Vec<String> = (0..users).map(|index| format!("bench-{index:04}")).collect();
        let mut targets = vec![Vec::new(); users.len()];
        let pairs = (0..users.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
        for (index, (a, b)) in pairs.take(count).enumerate() {
            let sender = if index % 2 == 0 { a } else { b };
            targets[sender].push(format!("{}~{}", users[a], users[b]));
        }
        Self { users, targets }
    }
}

/// A user at work.
pub struct Worker {
    socket: Socket,
    targets: Vec<String>,
    /// Between two sends of this user.
    interval: Duration,
    timeline: Timeline,
    counts: Arc<Counts>,
    sent: u64,
    unanswered: u64,
    /// The last seq per room.
    seqs: HashMap<String, u64>,
    ping_at: Instant,
}

impl Worker {
    /// Opens the session. `per_room`: between two messages of one room.
    pub async fn connect(
        user: User,
        targets: Vec<String>,
        per_room: Duration,
        counts: Arc<Counts>,
    ) -> Result<Self, Error> {
        let socket = open_session(user).await?;
        // Until all are connected.
        let timeline = Timeline::starting_at(Instant::now(), Duration::ZERO);
        let rooms = u32::try_from(targets.len().max(1)).unwrap_or(u32::MAX);
        Ok(Self {
            socket,
            targets,
            interval: per_room / rooms,
            timeline,
            counts,
            sent: 0,
            unanswered: 0,
            seqs: HashMap::new(),
            ping_at: timeline.start,
        })
    }

    /// When the measurement begins and ends, now that all are connected.
    pub fn set_timeline(&mut self, timeline: Timeline) {
        self.timeline = timeline;
        self.ping_at = timeline.start;
    }

    /// Sends until the measurement ends, then waits for what is underway to anybody.
    pub async fn run(mut self) -> Result<(), Error> {
        loop {
            let now = Instant::now();
            if now >= self.timeline.measure_to
                && (self.is_complete() || now >= self.timeline.give_up)
            {
                return Ok(());
            }
            if now >= self.ping_at {
                self.ping_at = now + PING_EVERY;
                self.socket.feed(format!(r#"{{"id":{REQUEST_ID_MAX},"type":"ping"}}"#)).await?;
                self.socket.flush().await?;
            }
            if self.due_at().is_some_and(|at| at <= now) {
                self.send().await?;
            }
            let wake_at = self.due_at().unwrap_or(now + PING_EVERY).min(self.ping_at);
            // The others' end is looked for now and then.
            let wake_at = if now >= self.timeline.measure_to {
                now + Duration::from_millis(100)
            } else {
                wake_at.min(self.timeline.measure_to)
            };
            tokio::select! {
                biased;
                frame = self.socket.next() => self.on_frame(&frame?)?,
                () = sleep_until(wake_at) => {}
            }
            while let Some(frame) = self.socket.try_next()? {
                self.on_frame(&frame)?;
            }
        }
    }

    fn due_at(&self) -> Option<Instant> {
        let number = u32::try_from(self.sent).unwrap_or(u32::MAX);
        let at = self.timeline.start + self.interval * number;
        (!self.targets.is_empty() && at < self.timeline.measure_to).then_some(at)
    }

    async fn send(&mut self) -> Result<(), Error> {
        let room = &self.targets[self.sent as usize % self.targets.len()];
        let client_id = ClientId::from_parts(SystemClock.now_ms(), rand::random());
        let mut frame = String::with_capacity(160 + TEXT_BYTES);
        // Writing to a string does not fail. Request ids are from 1.
        let _ = write!(
            frame,
            r#"{{"id":{},"type":"send","room":"{room}","client_id":"{client_id}","text":"{:x<2$}"}}"#,
            self.sent + 1,
            "",
            TEXT_BYTES,
        );
        self.socket.feed(frame).await?;
        self.socket.flush().await?;
        self.sent += 1;
        self.unanswered += 1;
        self.counts.sent.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn on_frame(&mut self, frame: &str) -> Result<(), Error> {
        match scan::kind(frame) {
            Kind::Error => Err(Error::Failed(format!("a send was refused: {frame}"))),
            Kind::Other => Ok(()),
            Kind::Ack => {
                self.unanswered -= 1;
                if self.timeline.is_measured(Instant::now()) {
                    self.counts.acked.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            }
            Kind::Entry => self.on_entry(frame),
        }
    }

    fn on_entry(&mut self, frame: &str) -> Result<(), Error> {
        let room = after(frame, r#""room":""#).and_then(|rest| rest.split('"').next());
        let (Some(room), Some(seq)) = (room, number(frame, r#""seq":"#)) else {
            return Err(Error::Failed(format!("an entry that nobody sent: {frame}")));
        };
        self.counts.received.fetch_add(1, Ordering::Relaxed);
        if !self.seqs.contains_key(room) {
            self.seqs.insert(room.to_owned(), 0);
        }
        if let Some(last) = self.seqs.get_mut(room) {
            if seq != *last + 1 {
                self.counts.faults.fetch_add(1, Ordering::Relaxed);
            }
            *last = seq;
        }
        Ok(())
    }

    /// Everybody has everything: each entry arrives at both ends.
    fn is_complete(&self) -> bool {
        let sent = self.counts.sent.load(Ordering::Relaxed);
        self.unanswered == 0 && self.counts.received.load(Ordering::Relaxed) >= 2 * sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_few_users_as_have_so_many_pairs() {
        let rooms = Rooms::new(20_000);
        assert_eq!(rooms.users.len(), 201);
        let mut all: Vec<&String> = rooms.targets.iter().flatten().collect();
        assert_eq!(all.len(), 20_000);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 20_000);
        assert!(all.iter().all(|room| {
            let (a, b) = room.split_once('~').expect("two");
            a < b
        }));
    }
}
