//! What can go wrong in a schedule. Each schedule has some of the faults, each at a rate of its
//! own: a fault that is always there would hide what happens without it.

use super::rng::Rng;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// An owner ends between any two of its steps.
    Crash,
    /// An owner is told to leave, in order.
    Leave,
    /// An owner is stopped for seconds.
    Freeze,
    /// More than one node believes to own the partition.
    Duel,
    /// The log loses its tail, is made anew, or comes back from an older copy.
    LogBack,
    /// The log loses messages out of its middle.
    LogHole,
    /// The log's reader is lost, or a request to the log fails.
    Reader,
    /// The log's reader brings nothing more, without a word.
    ReaderStalls,
    /// A command gets lost on its way to the log.
    PublishLost,
    /// An answer gets lost, or is late.
    AnswerLost,
    /// Events are not stored, or their stored-acks get lost.
    EventsLost,
    /// The bus takes no events for a while.
    BusAway,
    /// A commit's outcome is unknown: done, not done, done later, or done twice.
    Unknown,
    /// The store is away: calls fail.
    StoreAway,
    /// Every step may take its time.
    Slow,
    /// The clock jumps by hours.
    ClockJump,
    /// Each owner has a clock of its own, and somebody sets it.
    ClockSkew,
    /// Client ids from hours ago, or ahead.
    OldIds,
    /// Clients send again although the first is on its way, or answered.
    Resend,
    /// Two contents under one client id.
    Conflict,
    /// The layout row changes.
    Layout,
    /// Senders have a small quota.
    Quota,
    /// A group grows beyond the limit of fan-out.
    Large,
    /// Many commands at once.
    Burst,
    /// An edge dies; its sessions go on at another one.
    EdgeDies,
    /// What is on its way to an edge gets lost.
    WireLost,
    /// It comes twice.
    WireTwice,
    /// It comes late: after what was sent later.
    WireLate,
    /// Nothing comes to an edge for seconds.
    WireStalls,
    /// A subscription takes its time to reach the servers.
    SubscribedLate,
    /// An edge's request to core, or the answer, gets lost.
    AskLost,
}

impl Fault {
    pub const ALL: [Self; 31] = [
        Self::Crash,
        Self::Leave,
        Self::Freeze,
        Self::Duel,
        Self::LogBack,
        Self::LogHole,
        Self::Reader,
        Self::ReaderStalls,
        Self::PublishLost,
        Self::AnswerLost,
        Self::EventsLost,
        Self::BusAway,
        Self::Unknown,
        Self::StoreAway,
        Self::Slow,
        Self::ClockJump,
        Self::ClockSkew,
        Self::OldIds,
        Self::Resend,
        Self::Conflict,
        Self::Layout,
        Self::Quota,
        Self::Large,
        Self::Burst,
        Self::EdgeDies,
        Self::WireLost,
        Self::WireTwice,
        Self::WireLate,
        Self::WireStalls,
        Self::SubscribedLate,
        Self::AskLost,
    ];

    /// Those that a schedule plays at times of its own; the others happen on their occasions.
    pub const FROM_OUTSIDE: [Self; 13] = [
        Self::Crash,
        Self::Leave,
        Self::Freeze,
        Self::Duel,
        Self::LogBack,
        Self::LogHole,
        Self::BusAway,
        Self::StoreAway,
        Self::ClockJump,
        Self::Layout,
        Self::EdgeDies,
        Self::WireStalls,
        Self::ClockSkew,
    ];

    fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A rule that a test takes out, to show that the simulation would notice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Removed {
    /// The store does not look at the guard on the partition's row.
    RowGuard,
    /// All batches have one id: the evidence tells nobody apart.
    BatchId,
    /// The journal reads as empty.
    Republish,
    Core(weft_core::partition::sabotage::Rule),
    Edge(weft_edge::sabotage::Rule),
}

impl Removed {
    pub fn of_core(self) -> Option<weft_core::partition::sabotage::Rule> {
        if let Self::Core(rule) = self { Some(rule) } else { None }
    }

    pub fn of_edge(self) -> Option<weft_edge::sabotage::Rule> {
        if let Self::Edge(rule) = self { Some(rule) } else { None }
    }
}

/// One schedule before it runs.
#[derive(Clone, Debug)]
pub struct Config {
    pub seed: u64,
    pub nodes: u64,
    pub commands: u64,
    /// How many send without waiting for answers.
    pub sessions: u64,
    /// How many listen.
    pub devices: u64,
    pub span_ms: u64,
    /// Commits in one page of an audit.
    pub audit_rows: usize,
    /// What rooms may take in an owner's memory.
    pub rooms_bytes_max: usize,
    /// Once in this many occasions.
    pub rate: u64,
    faults: u32,
    pub removed: Option<Removed>,
}

impl Config {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0xc0ff_ee00);
        let mut faults = (rng.next() & rng.next() | rng.next() & rng.next() & rng.next()) as u32;
        // These cost time; they are rare.
        for rare in [Fault::Large, Fault::Burst] {
            if !rng.once_in(24) {
                faults &= !rare.bit();
            }
        }
        let commands = if faults & Fault::Burst.bit() == 0 { 24 } else { 120 };
        Self {
            seed,
            nodes: 2 + u64::from(rng.once_in(3)),
            commands: 3 + rng.below(commands),
            sessions: rng.below(4).saturating_sub(1),
            devices: rng.below(5).saturating_sub(1),
            span_ms: 500 + rng.below(8_000),
            audit_rows: [1, 3, 512][rng.below(3) as usize],
            rooms_bytes_max: [0, 1_500, usize::MAX][rng.below(3) as usize],
            rate: [4, 12, 30, 80][rng.below(4) as usize],
            faults,
            removed: None,
        }
    }

    pub fn without(seed: u64, rule: Removed) -> Self {
        Self { removed: Some(rule), ..Self::new(seed) }
    }

    pub fn has(&self, fault: Fault) -> bool {
        self.faults & fault.bit() != 0
    }

    pub fn faults(&self) -> Vec<Fault> {
        Fault::ALL.into_iter().filter(|fault| self.has(*fault)).collect()
    }

    /// The same with less: what a failure is tried with, to explain it shortly.
    pub fn smaller(&self) -> Vec<Self> {
        let mut smaller: Vec<Self> = [self.commands / 2, self.commands - 1]
            .into_iter()
            .filter(|commands| (1..self.commands).contains(commands))
            .map(|commands| Self { commands, ..self.clone() })
            .collect();
        smaller.extend(
            self.faults()
                .into_iter()
                .map(|fault| Self { faults: self.faults & !fault.bit(), ..self.clone() }),
        );
        if self.sessions > 0 {
            smaller.push(Self { sessions: self.sessions - 1, ..self.clone() });
        }
        if self.devices > 0 {
            smaller.push(Self { devices: self.devices - 1, ..self.clone() });
        }
        if self.nodes > 1 {
            smaller.push(Self { nodes: self.nodes - 1, ..self.clone() });
        }
        if self.span_ms > 500 {
            smaller.push(Self { span_ms: self.span_ms / 2, ..self.clone() });
        }
        smaller
    }

    /// For the environment variable `WEFT_SIM_SEED`.
    pub fn to_text(&self) -> String {
        let Self { seed, nodes, commands, sessions, devices, span_ms, rate, faults, .. } = self;
        format!("{seed}:{nodes}:{commands}:{sessions}:{devices}:{span_ms}:{rate}:{faults}")
    }

    /// A seed alone, or what [`to_text`](Self::to_text) made.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(':').map(str::parse::<u64>);
        let mut config = Self::new(numbers.next()?.ok()?);
        let Some(nodes) = numbers.next() else { return Some(config) };
        config.nodes = nodes.ok()?;
        config.commands = numbers.next()?.ok()?;
        config.sessions = numbers.next()?.ok()?;
        config.devices = numbers.next()?.ok()?;
        config.span_ms = numbers.next()?.ok()?;
        config.rate = numbers.next()?.ok()?;
        config.faults = u32::try_from(numbers.next()?.ok()?).ok()?;
        Some(config)
    }
}
