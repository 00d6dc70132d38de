//! One device: it keeps a session open, and resumes it where it is lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::seq::IndexedRandom;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use weft_proto::frame::{REQUEST_ID_MAX, SUBPROTOCOL};

use super::outgoing::{Acked, Outgoing};
use super::seen::Seen;
use super::tally::{Phase, Tally};
use crate::bench::scan::text;
use crate::bench::socket::Socket;
use crate::error::Error;

/// The protocol's back-off.
const BACK_OFF_FIRST: Duration = Duration::from_secs(1);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// A connection that is not answered by `welcome` for so long is given up.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);
/// Something is sent at least so often, as `welcome` says.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// What a device is given.
pub struct DeviceOptions {
    pub token: String,
    /// Where it is before the edge is killed.
    pub home: SocketAddr,
    /// Where it may go afterwards.
    pub refuges: Vec<SocketAddr>,
    /// The room that it sends to, and between two messages; `None`: it only listens.
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
    outgoing: Outgoing,
    ping_at: Instant,
    is_synced: bool,
    sees_all: bool,
    is_complete: bool,
    has_resumed: bool,
    /// Attempts since the last sync.
    attempts: i32,
}

/// What became of a device.
pub struct Outcome {
    pub acked: Vec<Acked>,
    pub seen: Seen,
}

impl Device {
    pub fn new(options: DeviceOptions) -> Self {
        let outgoing = Outgoing::new(options.talk.clone(), Arc::clone(&options.tally));
        Self {
            options,
            outgoing,
            ping_at: Instant::now(),
            is_synced: false,
            sees_all: false,
            is_complete: false,
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
            if self.is_to_leave() {
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
        let (count, what) = match was_live {
            true => (&tally.counts.disturbed, "a session was lost"),
            false if tally.is_killed() => (&tally.counts.attempts_failed, "an attempt failed"),
            // They may well be refused for a moment.
            false => return tally.note(format!("an attempt before the storm failed: {lost}")),
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
        self.outgoing.begin(now);
        loop {
            while let Some(frame) = socket.try_next()? {
                self.on_frame(&frame);
            }
            if self.is_synced {
                permit.take();
            }
            self.look();
            if self.is_to_leave() {
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
            Some("ack") => self.outgoing.on_ack(frame),
            Some("error") => self.outgoing.on_error(frame, Instant::now()),
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

    /// Tells whether it sees all contacts, and has seen all entries.
    fn look(&mut self) {
        let DeviceOptions { seen, tally, phase, .. } = &self.options;
        let sees_all = seen.unseen_contacts() == 0;
        if std::mem::replace(&mut self.sees_all, sees_all) != sees_all {
            tally.on_sight(sees_all);
        }
        let is_complete = match &*phase.borrow() {
            Phase::Rest(heads) => self.is_synced && sees_all && seen.missed(heads) == 0,
            Phase::Settle | Phase::Talk | Phase::Answers | Phase::Leave => self.is_complete,
        };
        if std::mem::replace(&mut self.is_complete, is_complete) != is_complete {
            tally.on_complete(is_complete);
        }
    }

    async fn send_due(&mut self, socket: &mut Socket) -> Result<(), Error> {
        let now = Instant::now();
        if self.talks() {
            self.outgoing.make_due(now);
        }
        let mut frames = self.outgoing.due(now);
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

    fn talks(&self) -> bool {
        matches!(*self.options.phase.borrow(), Phase::Talk)
    }

    fn wake_at(&self) -> Instant {
        let due_at = self.outgoing.due_at(self.talks());
        due_at.map_or(self.ping_at, |at| at.min(self.ping_at))
    }

    fn is_to_leave(&self) -> bool {
        matches!(*self.options.phase.borrow(), Phase::Leave)
    }

    fn outcome(self) -> Outcome {
        Outcome { acked: self.outgoing.into_acked(), seen: self.options.seen }
    }
}
