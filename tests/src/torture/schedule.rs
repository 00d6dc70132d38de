//! What is broken when: a function of a seed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

const ACTIVE_MAX: usize = 3;
/// The name of the search node; its folder has it, too.
pub const SEARCH: &str = "search-0";
pub const FILES: &str = "files";
/// Push nodes: one may be away while the other one follows.
pub const PUSHES: usize = 2;
/// Messages that are worth losing one at a time: what edges publish, what core answers and says,
/// the log as core reads it, who is here, JetStream's answers.
const SUBJECTS: [&str; 10] = [
    "weft.in.",
    "weft.p.",
    "weft.ack.",
    "weft.ev.",
    "weft.u.",
    "weft.sig.",
    "weft.svc.",
    "weft.status.",
    "$KV.",
    "_INBOX",
];

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Target {
    Nats(usize),
    Core(usize),
    Fdb,
    Edge(usize),
    /// What lies between clients and an edge.
    ClientLink(usize),
    /// What lies between an edge and NATS.
    EdgeLink(usize),
    /// What lies between a core and NATS.
    CoreLink(usize),
    Presence(usize),
    /// What lies between a presence process and NATS.
    PresenceLink(usize),
    Push(usize),
    /// What lies between a push node and NATS.
    PushLink(usize),
    Search,
    /// What lies between the search node and NATS.
    SearchLink,
    Files,
    /// What lies between the files node and NATS.
    FilesLink,
    /// What lies between clients and the files node.
    FilesDoor,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// `kill -9`; started again at the end.
    Kill,
    /// SIGSTOP, and SIGCONT at the end.
    Freeze,
    /// SIGTERM; started again when it has ended.
    Restart,
    /// A nats-server's data is replaced by an older copy.
    OlderCopy,
    /// `kill -9`, and what the process keeps is deleted; started again at the end.
    Wipe,
    Delay(Duration),
    /// Nothing passes until the end.
    Stall,
    /// All connections are cut, and no new one is let through until the end.
    Refuse,
    Cut,
    Swallow,
    /// One of this many vanishes.
    SwallowSome(u64),
    /// One whose subject begins so vanishes.
    SwallowOne(&'static str),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Planned {
    /// When it begins, since the schedule's start.
    pub at: Duration,
    pub lasts: Duration,
    pub target: Target,
    pub act: Act,
}

/// How many there are of each.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub edges: usize,
    pub cores: usize,
    /// Presence nodes; at least two.
    pub presences: usize,
    /// There is a FoundationDB server.
    pub fdb: bool,
    pub servers: usize,
}

/// All faults of a run, one after the other, without an end.
#[derive(Debug)]
pub struct Schedule {
    rng: StdRng,
    shape: Shape,
    now: Duration,
    /// What is broken, and until when.
    active: BTreeMap<Target, Duration>,
}

impl Schedule {
    /// The faults of a seed.
    pub fn new(seed: u64, shape: Shape) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        Self { rng, shape, now: Duration::ZERO, active: BTreeMap::new() }
    }

    fn ms(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.rng.random_range(from..=to))
    }

    fn target(&mut self) -> Target {
        let edge = self.rng.random_range(0..self.shape.edges);
        let server = self.rng.random_range(0..self.shape.servers);
        let core =
            if self.shape.cores > 1 { self.rng.random_range(0..self.shape.cores) } else { 0 };
        let presence = self.rng.random_range(0..self.shape.presences);
        let push = self.rng.random_range(0..PUSHES);
        match self.rng.random_range(0..if self.shape.fdb { 33 } else { 31 }) {
            0..3 => Target::Nats(server),
            3..6 => Target::Core(core),
            6..9 => Target::Edge(edge),
            9..11 => Target::ClientLink(edge),
            11..14 => Target::EdgeLink(edge),
            14..16 => Target::CoreLink(core),
            16..18 => Target::Presence(presence),
            18 => Target::PresenceLink(presence),
            19..22 => Target::Search,
            22 => Target::SearchLink,
            23..26 => Target::Files,
            26 => Target::FilesLink,
            27 => Target::FilesDoor,
            28..30 => Target::Push(push),
            30 => Target::PushLink(push),
            _ => Target::Fdb,
        }
    }

    fn act(&mut self, target: Target) -> Act {
        let number = self.rng.random_range(0..20);
        match target {
            // An older copy in one server of a cluster breaks what Raft builds on: a vote that
            // was given is never forgotten.
            Target::Nats(_) if self.shape.servers == 1 && number < 4 => Act::OlderCopy,
            Target::Search if number < 4 => Act::Wipe,
            Target::Nats(_)
            | Target::Core(_)
            | Target::Edge(_)
            | Target::Presence(_)
            | Target::Push(_)
            | Target::Search
            | Target::Files
            | Target::Fdb => match number {
                0..11 => Act::Kill,
                11..16 => Act::Freeze,
                _ => Act::Restart,
            },
            Target::EdgeLink(_)
            | Target::CoreLink(_)
            | Target::PresenceLink(_)
            | Target::PushLink(_)
            | Target::SearchLink
            | Target::FilesLink
                if number < 11 =>
            {
                match number {
                    0..3 => Act::Swallow,
                    3..6 => Act::SwallowSome(self.rng.random_range(2..40)),
                    _ => {
                        Act::SwallowOne(SUBJECTS.choose(&mut self.rng).copied().unwrap_or_default())
                    }
                }
            }
            _ => match number % 4 {
                0 => Act::Delay(self.ms(20, 1_500)),
                1 => Act::Stall,
                2 => Act::Refuse,
                _ => Act::Cut,
            },
        }
    }

    fn lasts(&mut self, act: Act) -> Duration {
        match act {
            Act::Kill | Act::Wipe => self.ms(0, 3_000),
            // 2 to 30 s, seldom long: three that are long leave no room for others.
            Act::Freeze => {
                let share = self.rng.random_range(0.0_f64..1.0);
                Duration::from_secs_f64(2.0 + 28.0 * share.powi(4))
            }
            // How long it takes, the process says; nothing else is done to it meanwhile.
            Act::Restart => Duration::from_secs(4),
            Act::OlderCopy => Duration::from_secs(3),
            Act::Delay(_) | Act::SwallowSome(_) => self.ms(2_000, 10_000),
            Act::Stall | Act::Swallow | Act::Refuse => self.ms(1_000, 8_000),
            Act::SwallowOne(_) => Duration::from_secs(3),
            Act::Cut => Duration::ZERO,
        }
    }
}

impl Iterator for Schedule {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        let now = self.now + self.ms(2_000, 6_000);
        self.now = now;
        self.active.retain(|_, ends| *ends > now);
        while self.active.len() >= ACTIVE_MAX {
            self.now = self.active.values().min().copied()?;
            let now = self.now;
            self.active.retain(|_, ends| *ends > now);
        }
        let target = loop {
            let target = self.target();
            if !self.active.contains_key(&target) {
                break target;
            }
        };
        let act = self.act(target);
        let lasts = self.lasts(act);
        self.active.insert(target, self.now + lasts);
        Some(Planned { at: self.now, lasts, target, act })
    }
}

impl Target {
    /// The name of its process, or of the part whose link it is.
    pub fn part(self, shape: Shape) -> String {
        match self {
            Self::Nats(_) if shape.servers == 1 => "nats".to_owned(),
            Self::Nats(number) => format!("nats-{number}"),
            Self::Core(_) | Self::CoreLink(_) if shape.cores == 1 => "core".to_owned(),
            Self::Core(number) | Self::CoreLink(number) => format!("core-{number}"),
            Self::Presence(number) | Self::PresenceLink(number) => format!("presence-{number}"),
            Self::Push(number) | Self::PushLink(number) => format!("push-{number}"),
            Self::Fdb => "fdb".to_owned(),
            Self::Search | Self::SearchLink => SEARCH.to_owned(),
            Self::Files | Self::FilesLink | Self::FilesDoor => FILES.to_owned(),
            Self::Edge(number) | Self::EdgeLink(number) | Self::ClientLink(number) => {
                format!("edge-{number}")
            }
        }
    }
}

impl Planned {
    /// Which edges' senders get no answers while it lasts, a bit for each edge.
    pub fn cuts_off(&self, shape: Shape) -> u32 {
        let all = (1 << shape.edges) - 1;
        match (self.act, self.target) {
            // One of a cluster's servers may be away; and what is cut comes back at once.
            (_, Target::Nats(_)) if shape.servers > 1 => 0,
            // Its partitions find another owner, the others have one.
            (_, Target::Core(_) | Target::CoreLink(_)) if shape.cores > 1 => 0,
            // Never on the way of a message.
            (_, Target::Presence(_) | Target::PresenceLink(_)) => 0,
            (_, Target::Push(_) | Target::PushLink(_)) => 0,
            (_, Target::Search | Target::SearchLink) => 0,
            (_, Target::Files | Target::FilesLink | Target::FilesDoor) => 0,
            (Act::Cut | Act::Delay(_) | Act::SwallowSome(_) | Act::SwallowOne(_), _) => 0,
            (_, Target::Nats(_) | Target::Core(_) | Target::CoreLink(_) | Target::Fdb) => all,
            (_, Target::Edge(edge) | Target::EdgeLink(edge) | Target::ClientLink(edge)) => {
                1 << edge
            }
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nats(number) => write!(f, "nats-{number}"),
            Self::Core(number) => write!(f, "core-{number}"),
            Self::Fdb => f.write_str("fdb"),
            Self::Edge(number) => write!(f, "edge-{number}"),
            Self::ClientLink(number) => write!(f, "clients..edge-{number}"),
            Self::EdgeLink(number) => write!(f, "edge-{number}..nats"),
            Self::CoreLink(number) => write!(f, "core-{number}..nats"),
            Self::Presence(number) => write!(f, "presence-{number}"),
            Self::PresenceLink(number) => write!(f, "presence-{number}..nats"),
            Self::Push(number) => write!(f, "push-{number}"),
            Self::PushLink(number) => write!(f, "push-{number}..nats"),
            Self::Search => f.write_str(SEARCH),
            Self::SearchLink => write!(f, "{SEARCH}..nats"),
            Self::Files => f.write_str(FILES),
            Self::FilesLink => write!(f, "{FILES}..nats"),
            Self::FilesDoor => write!(f, "clients..{FILES}"),
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Freeze => "freeze",
            Self::Restart => "restart",
            Self::OlderCopy => "older copy",
            Self::Wipe => "wipe",
            Self::Delay(_) => "delay",
            Self::Stall => "stall",
            Self::Refuse => "refuse",
            Self::Cut => "cut",
            Self::Swallow => "swallow",
            Self::SwallowSome(_) => "swallow some",
            Self::SwallowOne(_) => "swallow one",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { edges: 2, cores: 1, presences: 2, fdb: false, servers: 1 };
    const CLUSTER: Shape = Shape { servers: 3, ..SHAPE };
    const MANY: Shape = Shape { cores: 2, fdb: true, ..SHAPE };

    fn hour(seed: u64, shape: Shape) -> Vec<Planned> {
        let hour = Duration::from_secs(3_600);
        Schedule::new(seed, shape).take_while(|planned| planned.at < hour).collect()
    }

    #[test]
    fn a_seed_gives_the_same_faults_again() {
        assert_eq!(hour(7, SHAPE), hour(7, SHAPE));
        assert_ne!(hour(7, SHAPE), hour(8, SHAPE));
    }

    #[test]
    fn faults_are_many_but_never_more_than_three_at_once() {
        for seed in 0..20 {
            let shape = [SHAPE, CLUSTER, MANY][seed as usize % 3];
            let faults = hour(seed, shape);
            assert!(faults.len() > 10 * 60, "seed {seed}: {} an hour", faults.len());
            for (i, fault) in faults.iter().enumerate() {
                let active: Vec<_> =
                    faults[..i].iter().filter(|other| other.at + other.lasts > fault.at).collect();
                assert!(active.len() < ACTIVE_MAX, "seed {seed}: {fault:?} beside {active:?}");
                assert!(active.iter().all(|other| other.target != fault.target), "seed {seed}");
            }
        }
    }

    #[test]
    fn every_kind_of_fault_comes_and_a_cluster_gets_no_older_copy() {
        let kinds = |shape| {
            let names = hour(1, shape).into_iter().map(|fault| fault.act.to_string());
            names.collect::<std::collections::BTreeSet<_>>().len()
        };
        assert_eq!((kinds(SHAPE), kinds(CLUSTER)), (12, 11));
        let is_hit = |target| hour(1, MANY).iter().any(|planned| planned.target == target);
        let all = [Target::Core(0), Target::Core(1), Target::CoreLink(1), Target::Fdb];
        let search = [Target::Search, Target::SearchLink];
        let files = [Target::Files, Target::FilesLink, Target::FilesDoor];
        let push = [Target::Push(0), Target::Push(1), Target::PushLink(0), Target::PushLink(1)];
        let beside = search.into_iter().chain(files).chain(push);
        assert!(all.into_iter().chain(beside).all(is_hit));
        assert!(hour(1, SHAPE).iter().all(|planned| planned.target != Target::Fdb));
    }
}
