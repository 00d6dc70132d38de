//! Two users on two edges: one sends, both check what arrives.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use weft_proto::ClientId;
use weft_proto::frame::SUBPROTOCOL;
use weft_runtime::{Clock, SystemClock};

use super::load::{Pace, Tally, Timeline};
use super::log_check::LogCheck;
use super::scan::{self, Kind, after, number};
use super::socket::Socket;
use crate::error::Error;

/// How long a session may take to open.
const HELLO_TIMEOUT: Duration = Duration::from_secs(20);
/// Who only listens says so now and then.
const PING_EVERY: Duration = Duration::from_secs(5);
/// Messages that are sent before answers are looked at again.
const SENDS_AT_ONCE: u32 = 64;
/// Unanswered requests that a session may have; the edge says the same at `welcome`.
const IN_FLIGHT_MAX: usize = 250;

/// One user of a pair.
pub struct User {
    pub name: String,
    pub token: String,
    pub edge: SocketAddr,
}

/// Two open sessions.
pub struct Connected {
    room: String,
    sender: Socket,
    receiver: Socket,
    text_bytes: u32,
}

/// What became of a pair's messages.
#[derive(Clone, Copy, Default, Debug)]
pub struct Outcome {
    pub sent: u64,
    pub unanswered: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
}

/// A pair at work. It is one task, so the two ends share everything.
pub struct Pair {
    room: String,
    sender: Socket,
    receiver: Socket,
    pace: Pace,
    timeline: Timeline,
    tally: Arc<Tally>,
    text_bytes: u32,
    /// The next message's number.
    next_number: u64,
    /// Scheduled times (µs since the start) of messages from `first_pending` on; `None`: answered.
    pending: VecDeque<Option<u64>>,
    first_pending: u64,
    unanswered: usize,
    at_sender: LogCheck,
    at_receiver: LogCheck,
    ping_at: Instant,
}

impl Pair {
    /// Opens both sessions.
    pub async fn connect(
        sender: User,
        receiver: User,
        text_bytes: u32,
    ) -> Result<Connected, Error> {
        let (first, second) = if sender.name <= receiver.name {
            (&sender.name, &receiver.name)
        } else {
            (&receiver.name, &sender.name)
        };
        let room = format!("{first}~{second}");
        let (sender, receiver) = (open_session(sender).await?, open_session(receiver).await?);
        Ok(Connected { room, sender, receiver, text_bytes })
    }

    /// Puts the connected pair to work.
    pub fn new(connected: Connected, pace: Pace, timeline: Timeline, tally: Arc<Tally>) -> Self {
        let Connected { room, sender, receiver, text_bytes } = connected;
        Self {
            room,
            sender,
            receiver,
            pace,
            timeline,
            tally,
            text_bytes,
            next_number: 0,
            pending: VecDeque::new(),
            first_pending: 0,
            unanswered: 0,
            at_sender: LogCheck::default(),
            at_receiver: LogCheck::default(),
            ping_at: timeline.start,
        }
    }

    /// Sends until the measurement ends, then waits for what is underway.
    pub async fn run(mut self) -> Result<Outcome, Error> {
        loop {
            while let Some(frame) = self.sender.try_next()? {
                self.on_sender_frame(&frame)?;
            }
            while let Some(frame) = self.receiver.try_next()? {
                self.on_receiver_frame(&frame)?;
            }
            let now = Instant::now();
            if now < self.timeline.measure_to {
                self.send_due().await?;
            } else if self.is_complete() || now >= self.timeline.give_up {
                return Ok(self.outcome());
            }
            if now >= self.ping_at {
                self.ping(now).await?;
            }
            self.wait().await?;
        }
    }

    async fn wait(&mut self) -> Result<(), Error> {
        let wake_at = self.wake_at();
        tokio::select! {
            biased;
            frame = self.sender.next() => self.on_sender_frame(&frame?),
            frame = self.receiver.next() => self.on_receiver_frame(&frame?),
            () = sleep_until(wake_at) => Ok(()),
        }
    }

    fn wake_at(&self) -> Instant {
        let Timeline { start, measure_to, give_up, .. } = self.timeline;
        if Instant::now() >= measure_to {
            return give_up.min(self.ping_at);
        }
        let due_at = self.pace.due_at(start, self.next_number).filter(|_| self.may_send());
        due_at.unwrap_or(measure_to).min(measure_to).min(self.ping_at)
    }

    fn may_send(&self) -> bool {
        let unanswered_max = match self.pace {
            Pace::Window(window) => (window as usize).min(IN_FLIGHT_MAX),
            Pace::Every { .. } => IN_FLIGHT_MAX,
        };
        self.unanswered < unanswered_max
    }

    /// Sends what is due, up to the window.
    async fn send_due(&mut self) -> Result<(), Error> {
        let mut fed = 0;
        while fed < SENDS_AT_ONCE && self.may_send() {
            let now = Instant::now();
            let due_at = self.pace.due_at(self.timeline.start, self.next_number).unwrap_or(now);
            if due_at > now {
                break;
            }
            let scheduled_us = self.timeline.since_start_us(due_at);
            let frame = self.frame(scheduled_us);
            self.sender.feed(frame).await?;
            self.pending.push_back(Some(scheduled_us));
            self.unanswered += 1;
            self.next_number += 1;
            fed += 1;
        }
        if fed > 0 { self.sender.flush().await } else { Ok(()) }
    }

    /// The text is `<number> <scheduled time> xxx…`.
    fn frame(&self, scheduled_us: u64) -> String {
        let client_id = ClientId::from_parts(SystemClock.now_ms(), rand::random());
        let mut frame = String::with_capacity(160 + self.text_bytes as usize);
        // Writing to a string does not fail. Request ids are from 1.
        let _ = write!(
            frame,
            r#"{{"id":{},"type":"send","room":"{}","client_id":"{client_id}","text":""#,
            self.next_number + 1,
            self.room,
        );
        let text_start = frame.len();
        let _ = write!(frame, "{} {scheduled_us} ", self.next_number);
        while frame.len() - text_start < self.text_bytes as usize {
            frame.push('x');
        }
        frame.push_str("\"}");
        frame
    }

    fn on_sender_frame(&mut self, frame: &str) -> Result<(), Error> {
        match scan::kind(frame) {
            Kind::Ack => self.on_ack(frame),
            Kind::Entry => {
                read_entry(frame).map(|(seq, number, _)| self.at_sender.saw(seq, number))
            }
            Kind::Error => Err(Error::Failed(format!("a send was refused: {frame}"))),
            Kind::Other => Ok(()),
        }
    }

    fn on_ack(&mut self, frame: &str) -> Result<(), Error> {
        let malformed = || Error::Failed(format!("an ack without a known id: {frame}"));
        let message =
            number(frame, r#""id":"#).and_then(|id| id.checked_sub(1)).ok_or_else(malformed)?;
        let index = message.checked_sub(self.first_pending).and_then(|at| usize::try_from(at).ok());
        let slot = index.and_then(|at| self.pending.get_mut(at)).ok_or_else(malformed)?;
        let scheduled_us = slot.take().ok_or_else(malformed)?;
        while self.pending.front().is_some_and(Option::is_none) {
            self.pending.pop_front();
            self.first_pending += 1;
        }
        self.unanswered -= 1;
        let now = Instant::now();
        if self.timeline.is_measured(now) {
            self.tally.count_ack();
        }
        self.record(&self.tally.ack, scheduled_us, now);
        Ok(())
    }

    fn on_receiver_frame(&mut self, frame: &str) -> Result<(), Error> {
        if scan::kind(frame) == Kind::Entry {
            let (seq, number, scheduled_us) = read_entry(frame)?;
            self.at_receiver.saw(seq, number);
            self.record(&self.tally.receive, scheduled_us, Instant::now());
        }
        Ok(())
    }

    /// Latencies belong to the time at which the message was due.
    fn record(&self, latencies: &super::report::Latencies, scheduled_us: u64, now: Instant) {
        if self.timeline.is_measured_us(scheduled_us) {
            latencies.record_us(self.timeline.since_start_us(now).saturating_sub(scheduled_us));
        }
    }

    async fn ping(&mut self, now: Instant) -> Result<(), Error> {
        self.ping_at = now + PING_EVERY;
        // Above every id of a send.
        let frame = format!(r#"{{"id":{},"type":"ping"}}"#, weft_proto::frame::REQUEST_ID_MAX);
        for socket in [&mut self.sender, &mut self.receiver] {
            socket.feed(frame.clone()).await?;
            socket.flush().await?;
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.unanswered == 0
            && self.at_sender.seen() == self.next_number
            && self.at_receiver.seen() == self.next_number
    }

    fn outcome(&self) -> Outcome {
        let ends = [&self.at_sender, &self.at_receiver];
        Outcome {
            sent: self.next_number,
            unanswered: self.unanswered as u64,
            lost: ends.iter().map(|end| end.lost(self.next_number)).sum(),
            duplicated: ends.iter().map(|end| end.duplicated()).sum(),
            reordered: ends.iter().map(|end| end.reordered()).sum(),
        }
    }
}

/// Opens a session and waits for the end of its first sync.
pub async fn open_session(user: User) -> Result<Socket, Error> {
    let User { name, token, edge } = user;
    let late = || Error::Failed(format!("{name}: the edge did not answer hello in time"));
    let opening = async {
        let mut socket = Socket::connect(edge, "/v1/ws", Some(SUBPROTOCOL), &name).await?;
        socket.feed(format!(r#"{{"id":1,"type":"hello","token":"{token}"}}"#)).await?;
        socket.flush().await?;
        // The end of the first sync.
        while after(&socket.next().await?, r#""type":"synced""#).is_none() {}
        Ok(socket)
    };
    timeout(HELLO_TIMEOUT, opening).await.map_err(|_| late())?
}

/// Seq, the sender's own number, and the scheduled time of an entry.
fn read_entry(frame: &str) -> Result<(u64, u64, u64), Error> {
    let read = || {
        let seq = number(frame, r#""seq":"#)?;
        let mut words = after(frame, r#""text":""#)?.split(' ');
        Some((seq, words.next()?.parse().ok()?, words.next()?.parse().ok()?))
    };
    read().ok_or_else(|| Error::Failed(format!("an entry that nobody sent: {frame}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read() {
        let frame = r#"{"type":"entry","room":"a~b","seq":8,"from":"a","text":"7 1234567 xxx"}"#;
        assert_eq!(read_entry(frame).expect("entry"), (8, 7, 1_234_567));
        assert!(read_entry(r#"{"type":"entry","seq":8,"text":"hello"}"#).is_err());
    }
}
