//! Whatever text is written, and whatever is looked for: it is taken, it is found by itself, and nothing is an error.

use std::time::Instant;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use weft_fuzz::run;
use weft_search::index::{Document, Filter, Index, Scope};
use weft_search::query::Query;
use weft_search::state::{FORMAT, State};
use weft_search::tokens::tokens;

/// What queries are made of.
const PIECES: &[&str] = &[
    "a",
    "B",
    "회의",
    "법",
    "か",
    "\u{3099}",
    "漢",
    "é",
    "e\u{301}",
    " ",
    "\t",
    "\"",
    "“",
    "*",
    "?",
    "-",
    "+",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ":",
    "\\",
    "/",
    "~",
    "^",
    "AND",
    "OR",
    "NOT",
    "TO",
    "\0",
    "👍",
    "🏽",
    "\u{200d}",
    "🇰",
    "\u{fe0f}",
    "\u{10ffff}",
    "\u{1160}",
    "\u{115f}",
    "ﷺ",
    "ß",
    "İ",
    "ก",
    "ำ",
    "\u{202e}",
    "9",
    "text:",
    "room:x",
];

/// With what queries find, and what they don't.
struct World {
    index: Index,
    scope: Scope,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let index = Index::open(folder.path()).expect("index");
        let mut random = SmallRng::seed_from_u64(1);
        for seq in 1..=500 {
            let texts = vec![text(&mut random)];
            let room = format!("room{}", seq % 7);
            index.put(&Document { room, seq, texts, ..Document::default() }).expect("put");
        }
        let state = State { format: FORMAT, store: String::new(), commits: [].into(), walk: None };
        index.commit(&state).expect("commit");
        let rooms = (0..7).map(|room| (format!("room{room}"), vec![(1, u64::MAX)])).collect();
        Self { index, scope: Scope { rooms, ..Scope::default() }, _folder: folder }
    }

    fn look_for(&self, text: &str, is_ranked: bool) {
        let query = Query::parse(text);
        let itself = query.find(&[tokens(text)]);
        assert!(
            query.finds_nothing() || itself.is_some() || text.contains(['"', '“', '”', '„']),
            "{text:?}"
        );
        let filter = Filter { query, ..Filter::default() };
        let scope = Scope { is_ranked, ..self.scope.clone() };
        self.index.find(&filter, &scope, 20).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    }
}

fn text(random: &mut SmallRng) -> String {
    let count = random.random_range(0..20);
    (0..count)
        .map(|_| match random.random_range(0..4) {
            0 => char::from_u32(random.random_range(0..0x11_0000)).map(String::from),
            _ => PIECES.choose(random).map(|piece| (*piece).to_owned()),
        })
        .map(Option::unwrap_or_default)
        .collect()
}

#[test]
fn any_bytes_are_a_query() {
    let world = World::new();
    let seeds = ["회의 \"good morning\" elod", "a:b AND (c OR d*)"].map(str::as_bytes);
    run("search", &seeds, |bytes| {
        world.look_for(&String::from_utf8_lossy(bytes), bytes.len() % 2 == 0);
    });
}

/// `cargo test --release -p weft-search --test fuzz -- --ignored`
#[test]
#[ignore = "a million strings take minutes"]
fn a_million_random_strings_are_no_error() {
    let seed = std::env::var("WEFT_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random::<u64>);
    println!("WEFT_SEED={seed}");
    let world = World::new();
    let mut random = SmallRng::seed_from_u64(seed);
    let began = Instant::now();
    for number in 0..1_000_000 {
        world.look_for(&text(&mut random), number % 2 == 0);
    }
    println!("in {:?}", began.elapsed());
}
