//! `weft-bench search`: how fast messages are indexed and found among very many, and how soon one that was acknowledged is.
//!
//! First the index alone, with what core and NATS cost left out: messages of Korean and Latin words in many rooms, and a
//! user in some of them, who searches, alone and while messages go on being indexed. Then a system of separate processes:
//! one user sends, and looks for what was acknowledged until it is found.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use clap::Args;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;
use serde_json::json;
use weft_harness::system::{Engine, Options, System, direct};
use weft_search::index::{Document, Filter, Index, Scope};
use weft_search::query::Query;
use weft_search::state::{FORMAT, State};

use crate::progress;
use crate::report::{Latencies, Quantiles, print, round};
use crate::system::{Place, end};

/// Of one page.
const PAGE: usize = 30;
/// Messages between two commits while the index is filled.
const PER_COMMIT: usize = 20_000;
/// How often a following node commits.
const COMMIT_EVERY: Duration = Duration::from_millis(250);
/// Between two looks whether a message is found.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const FOUND_LIMIT: Duration = Duration::from_secs(30);

#[derive(Args, Clone, Debug)]
pub struct SearchOptions {
    /// How many messages the index has.
    #[arg(long, default_value_t = 1_000_000)]
    messages: usize,
    /// In how many rooms they are; the user is in a tenth of these.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    rooms: u32,
    /// How often each kind of search is measured.
    #[arg(long, default_value_t = 2_000)]
    searches: usize,
    /// Messages that are indexed per second while it is searched.
    #[arg(long, default_value_t = 2_000)]
    per_second: usize,
    /// How many messages are sent through a whole system and looked for.
    #[arg(long, default_value_t = 200)]
    acks: usize,
    #[command(flatten)]
    place: Place,
}

#[derive(Serialize)]
struct Report {
    scenario: &'static str,
    messages: usize,
    rooms: u32,
    user_rooms: usize,
    text_bytes_per_message: f64,
    indexed_per_second: f64,
    index_bytes_per_message: f64,
    alone: Searched,
    /// While `per_second` messages are indexed.
    while_indexing: Searched,
    indexed_meanwhile_per_second: f64,
    /// From the ack until it is found, as a client sees it.
    ack_to_found_ms: Quantiles,
}

/// Searches for the newest 20, by what is looked for.
#[derive(Serialize)]
struct Searched {
    one_word_ms: Quantiles,
    two_words_ms: Quantiles,
    korean_part_ms: Quantiles,
    beginning_ms: Quantiles,
    phrase_ms: Quantiles,
    ranked_ms: Quantiles,
}

/// Words, as often as people use them: few often, many rarely.
struct Words {
    random: SmallRng,
    vocabulary: Vec<String>,
}

impl Words {
    fn new(seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(1);
        let syllables: Vec<char> =
            (0..600).filter_map(|it| char::from_u32(0xAC00 + it * 18)).collect();
        let letters: Vec<char> = ('a'..='z').collect();
        let word = |number: usize, random: &mut SmallRng| -> String {
            let (of, length) = match number % 2 {
                0 => (&syllables, random.random_range(2..=4)),
                _ => (&letters, random.random_range(3..=9)),
            };
            (0..length).filter_map(|_| of.choose(random)).collect()
        };
        let vocabulary = (0..20_000).map(|number| word(number, &mut random)).collect();
        Self { random: SmallRng::seed_from_u64(seed), vocabulary }
    }

    /// By Zipf's law, about.
    fn word(&mut self) -> &str {
        let share: f64 = self.random.random();
        let place = (self.vocabulary.len() as f64).powf(share) - 1.0;
        &self.vocabulary[(place as usize).min(self.vocabulary.len() - 1)]
    }

    fn text(&mut self) -> String {
        let count = self.random.random_range(3..=15);
        (0..count).map(|_| self.word().to_owned()).collect::<Vec<_>>().join(" ")
    }

    /// The first or the second half of a word.
    fn part(&mut self, is_korean: bool) -> String {
        loop {
            let word: Vec<char> = self.word().chars().collect();
            if (word[0] >= '\u{ac00}') == is_korean {
                return word[..word.len().min(if is_korean { 2 } else { 3 })].iter().collect();
            }
        }
    }
}

struct Filled {
    index: Arc<Index>,
    rooms: u32,
    next: usize,
    text_bytes: usize,
    words: Words,
}

impl Filled {
    fn add(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            let text = self.words.text();
            self.text_bytes += text.len();
            let room = self.words.random.random_range(0..self.rooms);
            let number = self.next as u64;
            self.next += 1;
            self.index.put(&Document {
                room: format!("room-{room}"),
                seq: number + 1,
                time_ms: 1_700_000_000_000 + number * 500,
                from: format!("user-{}", number % 97),
                texts: vec![text],
                ..Document::default()
            })?;
        }
        Ok(())
    }

    fn commit(&self) -> Result<()> {
        let commits = [(0, self.next as u64)].into();
        let state = State { format: FORMAT, store: String::new(), commits, walk: None };
        Ok(self.index.commit(&state)?)
    }
}

pub async fn measure(options: &SearchOptions) -> Result<()> {
    let folder =
        tempfile::Builder::new().prefix("weft-bench-").tempdir_in(options.place.parent())?;
    let path = folder.path().join("index");
    std::fs::create_dir(&path)?;
    let index = Arc::new(Index::open(&path)?);
    let words = Words::new(2);
    let mut filled = Filled { index, rooms: options.rooms, next: 0, text_bytes: 0, words };
    let began = Instant::now();
    for _ in 0..options.messages.div_ceil(PER_COMMIT) {
        filled.add(PER_COMMIT.min(options.messages - filled.next))?;
        filled.commit()?;
    }
    let indexed_per_second = round(options.messages as f64 / began.elapsed().as_secs_f64());
    ensure!(filled.index.documents() == options.messages as u64, "not all are in the index");
    progress(&format!("{} messages are indexed", options.messages));
    let index_bytes_per_message = round(bytes_of(&path)? as f64 / options.messages as f64);
    let text_bytes_per_message = round(filled.text_bytes as f64 / options.messages as f64);
    let rooms = (0..options.rooms / 10).map(|room| (format!("room-{room}"), vec![(1, u64::MAX)]));
    let rooms: HashMap<_, _> = rooms.collect();
    let user_rooms = rooms.len();
    let scope = Scope { rooms, ..Scope::default() };
    let alone = searched(&filled.index, options, &scope)?;
    progress("searched alone");
    let (while_indexing, indexed) = beside(filled, options, &scope)?;
    progress("searched while it is indexed");
    drop(folder);
    print(&Report {
        scenario: "search",
        messages: options.messages,
        rooms: options.rooms,
        user_rooms,
        text_bytes_per_message,
        indexed_per_second,
        index_bytes_per_message,
        alone,
        while_indexing,
        indexed_meanwhile_per_second: indexed,
        ack_to_found_ms: found_after_acks(options).await?,
    })
}

fn bytes_of(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for file in std::fs::read_dir(folder)? {
        bytes += file?.metadata()?.len();
    }
    Ok(bytes)
}

/// Searches while messages go on being indexed; how many there were of these per second.
fn beside(mut filled: Filled, options: &SearchOptions, scope: &Scope) -> Result<(Searched, f64)> {
    let (before, began) = (filled.next, Instant::now());
    let per_commit = options.per_second * COMMIT_EVERY.as_millis() as usize / 1_000;
    let index = Arc::clone(&filled.index);
    let is_done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let searching = threads.spawn(|| {
            let searched = searched(&index, options, scope);
            is_done.store(true, Ordering::Relaxed);
            searched
        });
        let mut next = Instant::now();
        while !is_done.load(Ordering::Relaxed) {
            filled.add(per_commit)?;
            filled.commit()?;
            next += COMMIT_EVERY;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        let indexed = (filled.next - before) as f64 / began.elapsed().as_secs_f64();
        let searched = searching.join().map_err(|_| anyhow!("the search panicked"))??;
        Ok((searched, round(indexed)))
    })
}

fn searched(index: &Index, options: &SearchOptions, scope: &Scope) -> Result<Searched> {
    let mut words = Words::new(3);
    let mut of =
        |is_ranked: bool, text: &mut dyn FnMut(&mut Words) -> String| -> Result<Quantiles> {
            let latencies = Latencies::default();
            let scope = Scope { is_ranked, ..scope.clone() };
            let mut found = 0;
            for _ in 0..options.searches {
                let filter = Filter { query: Query::parse(&text(&mut words)), ..Filter::default() };
                let began = Instant::now();
                found += index.find(&filter, &scope, PAGE)?.hits.len();
                latencies.record(began.elapsed());
            }
            ensure!(found > 0, "nothing was found");
            Ok(latencies.quantiles())
        };
    Ok(Searched {
        one_word_ms: of(false, &mut |words| format!("{} ", words.word()))?,
        two_words_ms: of(false, &mut |words| {
            let one = words.word().to_owned();
            format!("{one} {} ", words.word())
        })?,
        korean_part_ms: of(false, &mut |words| words.part(true))?,
        beginning_ms: of(false, &mut |words| words.part(false))?,
        phrase_ms: of(false, &mut |words| {
            let one = words.word().to_owned();
            format!("\"{one} {}\"", words.word())
        })?,
        ranked_ms: of(true, &mut |words| format!("{} ", words.word()))?,
    })
}

async fn found_after_acks(options: &SearchOptions) -> Result<Quantiles> {
    let system = System::split(Options {
        edges: 1,
        searches: 1,
        store: Engine::Embedded,
        partitions: options.place.partitions,
        folder: Some(options.place.parent()),
        edge_args: vec!["--requests-per-s=100000".into(), "--requests-burst=100000".into()],
        ..Options::default()
    })
    .await?;
    system.ready().await;
    let found = look_for_each(options, &system).await;
    end(system, found)
}

async fn look_for_each(options: &SearchOptions, system: &System) -> Result<Quantiles> {
    let alice = system.user("alice").await?;
    let room = direct(&alice, &alice);
    let mut session = system.session(&alice).await?;
    let latencies = Latencies::default();
    for number in 0..=options.acks {
        session.acked(&room, json!({ "text": format!("needle{number}x") })).await?;
        let acked_at = Instant::now();
        loop {
            let request = json!({ "type": "search", "text": format!("needle{number}x ") });
            let page = session.request(request).await?;
            if page["messages"].as_array().is_some_and(|messages| messages.len() == 1) {
                break;
            }
            ensure!(acked_at.elapsed() < FOUND_LIMIT, "not found: {page}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        // Before the first one the node makes its index.
        if number > 0 {
            latencies.record(acked_at.elapsed());
        }
    }
    Ok(latencies.quantiles())
}
