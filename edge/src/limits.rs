//! What an edge allows. Each has a default; benchmarks and tests set others.

use std::time::Duration;

use crate::rate::Rate;

/// The limits of an edge.
#[derive(Clone, Debug)]
pub struct Limits {
    /// A client sends something at least so often. Told at `welcome`.
    pub heartbeat: Duration,
    /// A client that is silent for so long is disconnected. Told at `welcome`.
    pub silence: Duration,
    /// How long a new session may take to say `hello`.
    pub hello_timeout: Duration,
    /// Most unanswered requests of one session. Told at `welcome`.
    pub in_flight_max: u32,
    /// Requests of one session, sends aside.
    pub requests: Rate,
    /// Sends of one session. The worker has a quota per user beside it.
    pub sends: Rate,
    /// How often core is asked whether the logins of live sessions last.
    pub login_check_every: Duration,
    /// Sign-ups, logins and refreshes of one client address.
    pub accounts: Rate,
    /// Most client addresses that are remembered for [`accounts`](Self::accounts).
    pub addresses_max: usize,
    /// Most live sessions.
    pub sessions_max: usize,
    /// New sessions of all clients together. When an edge dies its clients come to the others in one
    /// instant; each costs a sync, and who is refused for a moment is served sooner than who waits
    /// in a queue.
    pub connects: Rate,
    /// Most HTTP requests underway.
    pub http_in_flight_max: usize,
    /// Most bytes of entries that wait for one session. Past it, it is a slow reader.
    pub mailbox_bytes_max: usize,
    /// How long a client may take nothing of what is written to it. Past it, it is a slow reader.
    pub write_stall: Duration,
    /// Most bytes of sends that wait for their answers, all sessions together. Past it, sends are
    /// refused with `overloaded`.
    pub outbox_bytes_max: usize,
    /// A send of which nothing is heard is published again after so long, then after twice as long,
    /// and so on. Of what the log has taken, the ticks of its partition tell.
    pub resend_after: Duration,
    /// A send without an answer is answered with `unknown` after so long.
    pub give_up_after: Duration,
    /// A send over HTTP, where that is sooner: before proxies on the way give up, which would leave
    /// the client without any answer.
    pub http_send_timeout: Duration,
    /// Every other request of a session is answered within so long, by `unknown` where nothing else
    /// is known.
    pub answer_within: Duration,
    /// A session whose entries can't be read from core for so long is closed, to try elsewhere.
    /// While NATS itself is away, sessions stay.
    pub sync_patience: Duration,
    /// Most reads for syncs and repairs at once: what core has to bear after an outage.
    pub sync_reads_max: usize,
    /// Most reads of whom sessions may see at once.
    pub presence_reads_max: usize,
    /// How often each partition is asked what has changed in it, where nothing makes the edge ask
    /// sooner. `None`: never; then what the wire loses in silence is found by the next entry alone,
    /// sessions get no cursors by themselves, and sync again after each known loss.
    pub audit_every: Option<Duration>,
    /// A partition that gives no sign of life for so long has no owner: new sends to it are
    /// refused, and an edge that hears of none is not ready. A take-over may last 12 s. `None`: core
    /// gives none, for measuring what they cost.
    pub tick_silence_max: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(5),
            silence: Duration::from_secs(30),
            hello_timeout: Duration::from_secs(10),
            in_flight_max: 256,
            requests: Rate { per_second: 200, burst: 400 },
            sends: Rate { per_second: 1_000, burst: 2_000 },
            login_check_every: Duration::from_secs(60),
            accounts: Rate { per_second: 10, burst: 100 },
            addresses_max: 100_000,
            sessions_max: 50_000,
            connects: Rate { per_second: 1_000, burst: 5_000 },
            http_in_flight_max: 1_024,
            mailbox_bytes_max: 4 << 20,
            write_stall: Duration::from_secs(10),
            outbox_bytes_max: 128 << 20,
            resend_after: Duration::from_secs(5),
            give_up_after: Duration::from_secs(60),
            http_send_timeout: Duration::from_secs(15),
            answer_within: Duration::from_secs(15),
            sync_patience: Duration::from_secs(60),
            sync_reads_max: 64,
            presence_reads_max: 16,
            audit_every: Some(Duration::from_secs(15)),
            tick_silence_max: Some(Duration::from_secs(20)),
        }
    }
}
