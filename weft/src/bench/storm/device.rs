//! One device: it keeps a session open, resumes it where it is lost, and sends each message again
//! with the same client id until it is answered.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::seq::IndexedRandom;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use weft_proto::ClientId;
use weft_proto::frame::{REQUEST_ID_MAX, SUBPROTOCOL};
use weft_runtime::{Clock, SystemClock};

use super::groups::group_of_room;
use super::seen::Seen;
use super::tally::{Phase, Tally};
use crate::bench::scan::{number, text};
use crate::bench::socket::Socket;
use crate::error::Error;

/// The protocol's back-off.
const BACK_OFF_FIRST: Duration = Duration::from_secs(1);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// A connection that is not answered by `welcome` for so long is given up.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);
/// Something is sent at least so often, as `welcome` says.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// A message without an answer is sent again after so long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// The same after a temporary error that says nothing of a time.
const RETRY_AFTER: Duration = Duration::from_millis(250);
const TEXT_BYTES: usize = 200;

/// What a device is given.
pub struct DeviceOptions {
    pub token: String,
    /// Where it is before the edge is killed.
    pub home: SocketAddr,
    /// Where it may go afterwards.
    pub refuges: Vec<SocketAddr>,
    /// The room that it sends to, and how often; `None`: it only listens.
    pub talk: Option<(String, Duration)>,
    pub seen: Seen,
    pub phase: watch::Receiver<Phase>,
    /// Before the kill: so many connect at once.
    pub places: Arc<Semaphore>,
    pub tally: Arc<Tally>,
}

/// A device at work.
pub struct Device {
    options: DeviceOptions,
    /// Made and not answered.
    pending: Vec<Pending>,
    acked: Vec<Acked>,
    /// When the next message is due, once it talks.
    next_at: Option<Instant>,
    ping_at: Instant,
    next_id: u64,
    is_synced: bool,
    sees_all: bool,
    has_resumed: bool,
    /// Attempts since the last sync.
    attempts: i32,
}

struct Pending {
    client_id: ClientId,
    /// Of the last time that it was sent in this session.
    id: u64,
    send_at: Instant,
}

/// An `ack`.
pub struct Acked {
    pub group: usize,
    pub seq: u64,
    pub client_id: ClientId,
}

/// What became of a device.
pub struct Outcome {
    pub acked: Vec<Acked>,
    pub missed: u64,
    pub unseen_contacts: usize,
    pub duplicated: u64,
    pub reordered: u64,
}

impl Device {
    pub fn new(options: DeviceOptions) -> Self {
        Self {
            options,
            pending: Vec::new(),
            acked: Vec::new(),
            next_at: None,
            ping_at: Instant::now(),
            next_id: 2,
            is_synced: false,
            sees_all: false,
            has_resumed: false,
            attempts: 0,
        }
    }

    /// Runs until it is told to leave.
    pub async fn run(mut self) -> Outcome {
        loop {
            let place = self.place();
            let lost = match self.serve(place).await {
                Ok(()) => return self.outcome(),
                Err(lost) => lost,
            };
            let was_live = self.on_lost();
            self.note(place, was_live, &lost);
            if self.is_over() {
                return self.outcome();
            }
            // Full jitter: all devices are here in the same instant.
            let attempts = self.attempts.min(16);
            let longest = BACK_OFF_FIRST.mul_f64(2_f64.powi(attempts)).min(BACK_OFF_MAX);
            self.attempts += 1;
            sleep(longest.mul_f64(rand::random())).await;
        }
    }

    /// Where it connects: after the kill, whoever is refused asks anybody again.
    fn place(&self) -> SocketAddr {
        let DeviceOptions { home, refuges, tally, .. } = &self.options;
        let refuge = refuges.choose(&mut rand::rng()).filter(|_| tally.is_killed());
        *refuge.unwrap_or(home)
    }

    /// True where the session had been synced.
    fn on_lost(&mut self) -> bool {
        let was_live = std::mem::take(&mut self.is_synced);
        if was_live {
            self.options.tally.on_lost();
        }
        self.options.seen.forget_who_is_online();
        self.look();
        was_live
    }

    fn note(&self, place: SocketAddr, was_live: bool, lost: &Error) {
        let DeviceOptions { refuges, tally, .. } = &self.options;
        let is_dead = tally.is_killed() && !refuges.contains(&place);
        if is_dead {
            return;
        }
        let counts = &tally.counts;
        let (count, what) = match was_live {
            true => (&counts.disturbed, "a session was lost"),
            false => (&counts.attempts_failed, "an attempt failed"),
        };
        count.fetch_add(1, Ordering::Relaxed);
        tally.note(format!("{what}: {lost}"));
    }

    /// One session. Returns when the device is to leave; an error: the session is lost.
    async fn serve(&mut self, place: SocketAddr) -> Result<(), Error> {
        let mut permit = self.permit().await;
        let late = |_| Error::Failed("no welcome in time".to_owned());
        let mut socket = timeout(OPEN_TIMEOUT, self.open(place)).await.map_err(late)??;
        let now = Instant::now();
        self.ping_at = now + HEARTBEAT;
        self.next_id = 2;
        self.pending.iter_mut().for_each(|pending| pending.send_at = now);
        loop {
            while let Some(frame) = socket.try_next()? {
                self.on_frame(&frame);
            }
            if self.is_synced {
                permit.take();
            }
            if self.is_over() {
                return Ok(());
            }
            self.send_due(&mut socket).await?;
            let wake_at = self.wake_at();
            tokio::select! {
                biased;
                frame = socket.next() => self.on_frame(&frame?),
                Ok(()) = self.options.phase.changed() => {}
                () = sleep_until(wake_at) => {}
            }
        }
    }

    /// Before the kill they come one after the other.
    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        if self.options.tally.is_killed() {
            return None;
        }
        Arc::clone(&self.options.places).acquire_owned().await.ok()
    }

    async fn open(&self, place: SocketAddr) -> Result<Socket, Error> {
        // All have one name, so that equal failures have equal words.
        let mut socket = Socket::connect(place, "/v1/ws", Some(SUBPROTOCOL), "a device").await?;
        let DeviceOptions { token, seen, .. } = &self.options;
        let cursor = seen.cursor().map_or(String::new(), |it| format!(r#","cursor":"{it}""#));
        socket.feed(format!(r#"{{"id":1,"type":"hello","token":"{token}"{cursor}}}"#)).await?;
        socket.flush().await?;
        let frame = socket.next().await?;
        match text(&frame, r#""type":""#) {
            Some("welcome") => Ok(socket),
            _ => Err(Error::Failed(format!("hello was answered by {frame}"))),
        }
    }

    fn on_frame(&mut self, frame: &str) {
        let seen = &mut self.options.seen;
        let is_read = match text(frame, r#""type":""#) {
            Some("entry") => seen.on_entry(frame),
            Some("cursor") => seen.on_cursor(frame),
            Some("synced") => self.on_synced(frame),
            Some("ack") => self.on_ack(frame),
            Some("error") => self.on_error(frame),
            Some("presence") => self.on_presence(frame),
            _ => Some(()),
        };
        if is_read.is_none() {
            self.options.tally.fault(format!("not to be expected: {frame}"));
        }
    }

    fn on_presence(&mut self, frame: &str) -> Option<()> {
        let offline = self.options.seen.on_presence(frame)?;
        if self.options.tally.is_killed() {
            self.options.tally.counts.status_flaps.fetch_add(offline, Ordering::Relaxed);
        }
        self.look();
        Some(())
    }

    fn on_synced(&mut self, frame: &str) -> Option<()> {
        let tally = &self.options.tally;
        let had_cursor = self.options.seen.cursor().is_some();
        self.options.seen.on_cursor(frame)?;
        if had_cursor && !frame.contains(r#""recovered":true"#) {
            tally.counts.not_recovered.fetch_add(1, Ordering::Relaxed);
            tally.note(format!("not recovered: {:?}", text(frame, r#""resync":""#)));
        }
        self.attempts = 0;
        if !std::mem::replace(&mut self.is_synced, true) {
            let is_first = tally.is_killed() && !self.has_resumed;
            self.has_resumed |= is_first;
            tally.on_live(is_first);
        }
        Some(())
    }

    fn on_ack(&mut self, frame: &str) -> Option<()> {
        let client_id = ClientId::parse(text(frame, r#""client_id":""#)?).ok()?;
        let group = group_of_room(text(frame, r#""room":""#)?)?;
        let seq = number(frame, r#""seq":"#)?;
        // A message that was sent twice is answered twice; both answers are checked.
        self.acked.push(Acked { group, seq, client_id });
        self.settle(|pending| pending.client_id == client_id);
        Some(())
    }

    fn on_error(&mut self, frame: &str) -> Option<()> {
        let id = number(frame, r#""id":"#)?;
        if !frame.contains(r#""temporary":true"#) {
            self.settle(|pending| pending.id == id);
            return None;
        }
        self.options.tally.note(format!("refused for now: {:?}", text(frame, r#""code":""#)));
        let wait = number(frame, r#""retry_after_ms":"#).map_or(RETRY_AFTER, Duration::from_millis);
        let send_at = Instant::now() + wait.mul_f64(1.0 + rand::random::<f64>());
        let refused = self.pending.iter_mut().filter(|pending| pending.id == id);
        refused.for_each(|pending| pending.send_at = send_at);
        Some(())
    }

    fn settle(&mut self, is_answered: impl Fn(&Pending) -> bool) {
        let before = self.pending.len();
        self.pending.retain(|pending| !is_answered(pending));
        let answered = (before - self.pending.len()) as u64;
        self.options.tally.counts.answered.fetch_add(answered, Ordering::Relaxed);
    }

    /// Tells whether it sees all of its contacts.
    fn look(&mut self) {
        let sees_all = self.options.seen.unseen_contacts() == 0;
        if std::mem::replace(&mut self.sees_all, sees_all) != sees_all {
            self.options.tally.on_sight(sees_all);
        }
    }

    /// Sends what is due; a message that came due without a session too.
    async fn send_due(&mut self, socket: &mut Socket) -> Result<(), Error> {
        let now = Instant::now();
        self.make_due(now);
        let mut frames = Vec::new();
        if let Some((room, _)) = &self.options.talk {
            for pending in self.pending.iter_mut().filter(|pending| pending.send_at <= now) {
                pending.id = self.next_id;
                pending.send_at = now + ANSWER_TIMEOUT;
                self.next_id += 1;
                frames.push(send_frame(pending, room));
            }
        }
        if frames.is_empty() && self.ping_at <= now {
            // Above every id of a message.
            frames.push(format!(r#"{{"id":{REQUEST_ID_MAX},"type":"ping"}}"#));
        }
        if frames.is_empty() {
            return Ok(());
        }
        self.ping_at = now + HEARTBEAT;
        for frame in frames {
            socket.feed(frame).await?;
        }
        socket.flush().await
    }

    fn make_due(&mut self, now: Instant) {
        let Some((_, every)) = &self.options.talk else { return };
        if !matches!(*self.options.phase.borrow(), Phase::Talk) {
            return;
        }
        let mut next_at = self.next_at.unwrap_or_else(|| now + every.mul_f64(rand::random()));
        while next_at <= now {
            next_at += *every;
            let client_id = ClientId::from_parts(SystemClock.now_ms(), rand::random());
            self.pending.push(Pending { client_id, id: 0, send_at: now });
            self.options.tally.counts.made.fetch_add(1, Ordering::Relaxed);
        }
        self.next_at = Some(next_at);
    }

    fn wake_at(&self) -> Instant {
        let due_at = match &*self.options.phase.borrow() {
            Phase::Settle | Phase::Answers => None,
            Phase::Talk => self.next_at,
            Phase::Leave { give_up, .. } => Some(*give_up),
        };
        let sends = self.pending.iter().map(|pending| pending.send_at);
        sends.chain(due_at).fold(self.ping_at, Instant::min)
    }

    /// True where it is to leave: it has seen everything, or time is over.
    fn is_over(&self) -> bool {
        match &*self.options.phase.borrow() {
            Phase::Leave { heads, give_up } => {
                let seen = &self.options.seen;
                let has_all = self.is_synced && self.sees_all && seen.missed(heads) == 0;
                has_all || Instant::now() >= *give_up
            }
            Phase::Settle | Phase::Talk | Phase::Answers => false,
        }
    }

    fn outcome(self) -> Outcome {
        let seen = &self.options.seen;
        let missed = match &*self.options.phase.borrow() {
            Phase::Leave { heads, .. } => seen.missed(heads),
            Phase::Settle | Phase::Talk | Phase::Answers => 0,
        };
        Outcome {
            missed,
            unseen_contacts: seen.unseen_contacts(),
            duplicated: seen.duplicated(),
            reordered: seen.reordered(),
            acked: self.acked,
        }
    }
}

fn send_frame(pending: &Pending, room: &str) -> String {
    let mut frame = String::with_capacity(160 + TEXT_BYTES);
    // Writing to a string does not fail.
    let _ = write!(
        frame,
        r#"{{"id":{},"type":"send","room":"{room}","client_id":"{}","text":"{:x<3$}"}}"#,
        pending.id, pending.client_id, "", TEXT_BYTES,
    );
    frame
}
