//! A user at work: sends in rooms in turn, and checks what arrives in all rooms. Each room has one
//! sender, and each text says which one of the sender's it is in the room, and when it was due:
//! `<number> <scheduled time> xxx…`.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use weft_harness::account::{Login, sign_up_all};
use weft_harness::socket::Socket;
use weft_proto::ClientId;
use weft_proto::frame::REQUEST_ID_MAX;
use weft_runtime::{Clock, SystemClock};

use crate::cpu::used_us;
use crate::log_check::LogCheck;
use crate::report::CpuPerMessage;
use crate::scan::{self, Kind, after, number, text};
use crate::timeline::{Pace, Tally, Timeline, add, get};

/// How long a session may take to open.
const HELLO_TIMEOUT: Duration = Duration::from_secs(20);
/// Who only listens says so now and then.
const PING_EVERY: Duration = Duration::from_secs(5);
/// How often the others' end is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Messages that are sent before answers are looked at again.
const SENDS_AT_ONCE: u32 = 64;
/// Unanswered requests that a session may have; the edge says the same at `welcome`.
const IN_FLIGHT_MAX: u32 = 250;
/// Accounts that are made at once. Each costs two argon2id hashes.
const ACCOUNTS_AT_ONCE: usize = 4;

/// What a user does.
pub struct Job {
    pub user: String,
    pub edge: SocketAddr,
    /// The rooms that it sends in.
    pub targets: Vec<String>,
    pub pace: Pace,
    pub text_bytes: u32,
}

pub struct Worker {
    job: Job,
    socket: Socket,
    timeline: Timeline,
    tally: Arc<Tally>,
    sent: u64,
    /// Scheduled times (µs since the start) of messages from `first_pending` on; `None`: answered.
    pending: VecDeque<Option<u64>>,
    first_pending: u64,
    unanswered: u32,
    logs: HashMap<String, LogCheck>,
    ping_at: Instant,
}

/// Makes the users, lets all connect, and then work, until everything has arrived or time is over.
/// The result is the processor time of each part, by its processes, while it is measured.
pub async fn work(
    jobs: Vec<Job>,
    measured: Duration,
    tally: &Arc<Tally>,
    pids: [Vec<u32>; 4],
) -> Result<CpuPerMessage> {
    work_prepared(jobs, measured, tally, pids, async |_| Ok(())).await
}

/// As [`work`], after something was done with the users, in the order of the jobs.
pub async fn work_prepared(
    jobs: Vec<Job>,
    measured: Duration,
    tally: &Arc<Tally>,
    pids: [Vec<u32>; 4],
    prepare: impl AsyncFnOnce(&[Login]) -> Result<()>,
) -> Result<CpuPerMessage> {
    let names: Vec<String> = jobs.iter().map(|job| job.user.clone()).collect();
    let edge = jobs.first().context("nobody works")?.edge;
    let logins = sign_up_all(edge, &names, ACCOUNTS_AT_ONCE).await?;
    prepare(&logins).await?;
    let mut connected = Vec::new();
    for (job, login) in jobs.into_iter().zip(logins) {
        connected.push((open_session(job.edge, &login).await?, job));
    }
    let timeline = Timeline::starting_at(Instant::now(), measured);
    let mut workers = JoinSet::new();
    for (socket, job) in connected {
        workers.spawn(Worker::new(socket, job, timeline, Arc::clone(tally)).run());
    }
    let all = async {
        while let Some(ended) = workers.join_next().await {
            ended??;
        }
        Ok(())
    };
    let ((), cpu_us) = tokio::try_join!(all, cpu_us(pids, timeline))?;
    Ok(CpuPerMessage::new(cpu_us, get(&tally.acked)))
}

async fn cpu_us(pids: [Vec<u32>; 4], timeline: Timeline) -> Result<[u64; 4]> {
    let read = || pids.iter().map(|pids| used_us(pids)).collect::<Result<Vec<_>>>();
    sleep_until(timeline.measure_from).await;
    let before = read()?;
    sleep_until(timeline.measure_to).await;
    let after = read()?;
    Ok(std::array::from_fn(|at| after[at] - before[at]))
}

/// Opens a session and waits for the end of its first sync.
async fn open_session(edge: SocketAddr, login: &Login) -> Result<Socket> {
    let opening = async {
        let mut socket = Socket::open(edge).await?;
        let hello = format!(r#"{{"id":1,"type":"hello","token":"{}"}}"#, login.token);
        socket.send_text(&hello).await?;
        while after(&socket.next_text().await?, r#""type":"synced""#).is_none() {}
        Ok(socket)
    };
    let opened = timeout(HELLO_TIMEOUT, opening).await;
    opened.with_context(|| format!("{}: hello was not answered in time", login.user))?
}

impl Worker {
    fn new(socket: Socket, job: Job, timeline: Timeline, tally: Arc<Tally>) -> Self {
        Self {
            job,
            socket,
            timeline,
            tally,
            sent: 0,
            pending: VecDeque::new(),
            first_pending: 0,
            unanswered: 0,
            logs: HashMap::new(),
            ping_at: timeline.start,
        }
    }

    async fn run(mut self) -> Result<()> {
        loop {
            while let Some(frame) = self.socket.try_next_text()? {
                self.on_frame(&frame)?;
            }
            let now = Instant::now();
            if now < self.timeline.measure_to {
                self.send_due().await?;
            } else if self.is_complete() || now >= self.timeline.give_up {
                self.sum_up();
                return Ok(());
            }
            if now >= self.ping_at {
                self.ping_at = now + PING_EVERY;
                // Above every id of a send.
                let ping = format!(r#"{{"id":{REQUEST_ID_MAX},"type":"ping"}}"#);
                self.socket.send_text(&ping).await?;
            }
            let wake_at = self.wake_at();
            tokio::select! {
                biased;
                frame = self.socket.next_text() => self.on_frame(&frame?)?,
                () = sleep_until(wake_at) => {}
            }
        }
    }

    fn wake_at(&self) -> Instant {
        let Timeline { measure_to, .. } = self.timeline;
        let now = Instant::now();
        if now >= measure_to {
            return now + LOOK_EVERY;
        }
        let due_at = self.due_at().filter(|_| self.may_send());
        due_at.unwrap_or(measure_to).min(measure_to).min(self.ping_at)
    }

    fn due_at(&self) -> Option<Instant> {
        self.job.pace.due_at(self.timeline.start, self.sent)
    }

    fn may_send(&self) -> bool {
        let unanswered_max = match self.job.pace {
            Pace::Window(window) => window.min(IN_FLIGHT_MAX),
            Pace::Every { .. } => IN_FLIGHT_MAX,
        };
        !self.job.targets.is_empty() && self.unanswered < unanswered_max
    }

    /// Sends what is due, up to the window.
    async fn send_due(&mut self) -> Result<()> {
        let mut fed = 0;
        while fed < SENDS_AT_ONCE && self.may_send() {
            let now = Instant::now();
            let due_at = self.due_at().unwrap_or(now);
            if due_at > now {
                break;
            }
            let scheduled_us = self.timeline.since_start_us(due_at);
            let frame = self.frame(scheduled_us);
            self.socket.feed(frame).await?;
            self.pending.push_back(Some(scheduled_us));
            self.unanswered += 1;
            self.sent += 1;
            fed += 1;
        }
        if fed == 0 {
            return Ok(());
        }
        add(&self.tally.sent, fed.into());
        self.socket.flush().await
    }

    fn frame(&self, scheduled_us: u64) -> String {
        let rooms = self.job.targets.len() as u64;
        let room = &self.job.targets[(self.sent % rooms) as usize];
        let client_id = ClientId::from_parts(SystemClock.now_ms(), rand::random());
        let text_bytes = self.job.text_bytes as usize;
        let mut frame = String::with_capacity(160 + text_bytes);
        // Writing to a string does not fail. Request ids are from 1.
        let _ = write!(
            frame,
            r#"{{"id":{},"type":"send","room":"{room}","client_id":"{client_id}","text":""#,
            self.sent + 1,
        );
        let text_start = frame.len();
        let _ = write!(frame, "{} {scheduled_us} ", self.sent / rooms);
        while frame.len() - text_start < text_bytes {
            frame.push('x');
        }
        frame.push_str("\"}");
        frame
    }

    fn on_frame(&mut self, frame: &str) -> Result<()> {
        match scan::kind(frame) {
            Kind::Ack => {
                self.on_ack(frame).with_context(|| format!("an ack without a known id: {frame}"))
            }
            Kind::Entry => {
                self.on_entry(frame).with_context(|| format!("an entry that nobody sent: {frame}"))
            }
            Kind::Error => bail!("a send was refused: {frame}"),
            Kind::Other => Ok(()),
        }
    }

    fn on_ack(&mut self, frame: &str) -> Option<()> {
        let message = number(frame, r#""id":"#)?.checked_sub(1)?;
        let index = usize::try_from(message.checked_sub(self.first_pending)?).ok()?;
        let scheduled_us = self.pending.get_mut(index)?.take()?;
        while self.pending.front().is_some_and(Option::is_none) {
            self.pending.pop_front();
            self.first_pending += 1;
        }
        self.unanswered -= 1;
        let now = Instant::now();
        if self.timeline.is_measured(now) {
            add(&self.tally.acked, 1);
        }
        self.timeline.record(&self.tally.ack, scheduled_us, now);
        Some(())
    }

    fn on_entry(&mut self, frame: &str) -> Option<()> {
        let (room, seq) = (text(frame, r#""room":""#)?, number(frame, r#""seq":"#)?);
        let (number, scheduled_us) = read_text(frame)?;
        if !self.logs.contains_key(room) {
            self.logs.insert(room.to_owned(), LogCheck::default());
        }
        if self.logs.get_mut(room)?.saw(seq, number) {
            add(&self.tally.received, 1);
        }
        if text(frame, r#""from":""#)? != self.job.user {
            self.timeline.record(&self.tally.receive, scheduled_us, Instant::now());
        }
        Some(())
    }

    /// Everybody has everything.
    fn is_complete(&self) -> bool {
        self.unanswered == 0 && self.tally.lost() == 0
    }

    fn sum_up(&self) {
        let logs = || self.logs.values();
        add(&self.tally.unanswered, self.unanswered.into());
        add(&self.tally.duplicated, logs().map(LogCheck::duplicated).sum());
        add(&self.tally.reordered, logs().map(LogCheck::reordered).sum());
    }
}

/// The sender's own number, and the scheduled time of an entry.
fn read_text(frame: &str) -> Option<(u64, u64)> {
    let mut words = after(frame, r#""text":""#)?.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read() {
        let frame = r#"{"type":"entry","room":"a~b","seq":8,"from":"a","text":"7 1234567 xxx"}"#;
        assert_eq!(read_text(frame), Some((7, 1_234_567)));
        assert_eq!(read_text(r#"{"type":"entry","seq":8,"text":"hello"}"#), None);
    }
}
