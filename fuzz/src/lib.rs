//! Bytes that nobody meant to send: good ones, changed in all the ways in which bytes go wrong.
//!
//! A target is a function of bytes that must return, whatever they are: no panic, and no memory that
//! grows beyond all bounds. [`run`] calls it for a second, as an ordinary test; with `WEFT_FUZZ_S=600`
//! for ten minutes. What it finds is made smaller and printed, with the seed to run it again by
//! (`PROPTEST_RNG_SEED`).

use std::cell::Cell;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};

/// How long a target is tried where nothing else is said.
const SHORT: Duration = Duration::from_secs(1);
/// Inputs between two looks at the clock.
const ROUND: u32 = 256;
/// Most changes of one input.
const CHANGES_MAX: usize = 8;
/// The longest piece that is put in at once.
const PIECE_BYTES_MAX: usize = 64;
/// How much memory a target may take beyond what it had, in bytes: far more than any input.
const GROWTH_MAX: u64 = 256 << 20;

/// What parsers stumble over.
const PIECES: [&[u8]; 24] = [
    b"\0",
    b"\xff",
    b"\xc3\x28",
    b"\r\n",
    b"\r",
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b"[[[[[[[[",
    b"{\"a\":",
    b"null",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"9007199254740993",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"..",
    b"~",
    b"*",
    b">",
    b": ",
    b"\xf0\x9f\x98\x80",
    b"\xed\x95\x9c",
];

/// One change of an input.
#[derive(Clone, Debug)]
enum Change {
    Flip(Index, u8),
    Set(Index, u8),
    Cut(Index, Index),
    Repeat(Index, Index, u8),
    Insert(Index, Vec<u8>),
    Piece(Index, usize),
    /// Goes on as another good input does from there.
    Splice(Index, Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, bit)| Change::Flip(at, bit % 8)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Change::Cut(from, to)),
        (any::<Index>(), any::<Index>(), 1..64_u8).prop_map(|(a, b, n)| Change::Repeat(a, b, n)),
        (any::<Index>(), prop::collection::vec(any::<u8>(), 0..PIECE_BYTES_MAX))
            .prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (any::<Index>(), 0..PIECES.len()).prop_map(|(at, piece)| Change::Piece(at, piece)),
        (any::<Index>(), any::<Index>(), any::<Index>())
            .prop_map(|(at, other, from)| Change::Splice(at, other, from)),
    ]
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let place = |index: &Index| index.index(bytes.len() + 1);
        match self {
            Self::Flip(at, bit) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            Self::Set(at, byte) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Self::Flip(..) | Self::Set(..) => {}
            Self::Cut(from, to) => {
                let (from, to) = in_order(place(from), place(to));
                bytes.drain(from..to);
            }
            Self::Repeat(from, to, times) => {
                let (from, to) = in_order(place(from), place(to));
                let to = to.min(from + PIECE_BYTES_MAX);
                let piece = bytes[from..to].repeat(usize::from(*times));
                bytes.splice(to..to, piece);
            }
            Self::Insert(at, piece) => insert(bytes, place(at), piece),
            Self::Piece(at, piece) => insert(bytes, place(at), PIECES[*piece]),
            Self::Splice(at, other, from) => {
                let other = &seeds[other.index(seeds.len())];
                let (at, from) = (place(at), from.index(other.len() + 1));
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
}

fn in_order(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    bytes.splice(at..at, piece.iter().copied());
}

/// Changed inputs, and some that are nothing but noise.
pub fn inputs(seeds: &[&[u8]]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let mut seeds: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.to_vec()).collect();
    seeds.push(Vec::new());
    let changes = prop::collection::vec(change(), 0..=CHANGES_MAX);
    let changed = (any::<Index>(), changes).prop_map(move |(seed, changes)| {
        let mut bytes = seeds[seed.index(seeds.len())].clone();
        for change in changes {
            change.apply(&mut bytes, &seeds);
        }
        bytes
    });
    prop_oneof![19 => changed, 1 => prop::collection::vec(any::<u8>(), 0..512)]
}

/// Tries a target with inputs that begin as one of the seeds. The number of inputs is printed.
///
/// # Panics
/// Where the target does, or where it takes more memory than any input explains.
pub fn run(name: &str, seeds: &[&[u8]], target: impl Fn(&[u8])) {
    let until = Instant::now() + duration();
    let (before, mut tried) = (peak_bytes(), 0_u64);
    let config = Config { cases: ROUND, failure_persistence: None, ..Config::default() };
    let inputs = inputs(seeds);
    let called = Cell::new(0_u64);
    while tried == 0 || Instant::now() < until {
        // A runner counts over all its runs, and does nothing when it has done enough.
        let result = TestRunner::new(config.clone()).run(&inputs, |bytes| {
            called.set(called.get() + 1);
            target(&bytes);
            Ok(())
        });
        if let Err(error) = result {
            panic!("{name}: {error}");
        }
        assert_eq!(
            called.get(),
            tried + u64::from(ROUND),
            "{name}: the target is called each time"
        );
        tried = called.get();
    }
    let growth = peak_bytes().saturating_sub(before);
    println!("{name}: {tried} inputs, {growth} bytes more at the peak");
    assert!(growth <= GROWTH_MAX, "{name} took {growth} bytes");
}

/// So many inputs, for targets that take them together.
#[must_use]
pub fn sample(seeds: &[&[u8]], count: usize) -> Vec<Vec<u8>> {
    let mut runner = TestRunner::new(Config::default());
    let inputs = inputs(seeds);
    let mut one = || inputs.new_tree(&mut runner).ok().map(|tree| tree.current());
    std::iter::repeat_with(|| one().unwrap_or_default()).take(count).collect()
}

/// How long each target is tried: `WEFT_FUZZ_S`.
#[must_use]
pub fn duration() -> Duration {
    let named = std::env::var("WEFT_FUZZ_S").ok().and_then(|text| text.parse().ok());
    named.map_or(SHORT, Duration::from_secs)
}

/// The most memory that this process has had at once; 0 where the system does not say.
#[must_use]
pub fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn what_a_target_can_not_stand_is_found() {
        let target = |bytes: &[u8]| assert!(!bytes.contains(&0xff), "found");
        let found = catch_unwind(AssertUnwindSafe(|| run("planted", &[b"good"], target)));
        assert!(found.is_err());
    }
}
