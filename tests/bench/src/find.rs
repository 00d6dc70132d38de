//! `weft-bench find`: how long it takes to find users by what their names begin with, among very many.
//!
//! An embedded store with accounts, written as core writes them, and core's call on it, without NATS.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use clap::Args;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;
use weft_core::services::{Caller, Context, Login, layout};
use weft_proto::{DeviceId, UserId, svc};
use weft_runtime::SystemClock;
use weft_storage::embedded::Embedded;
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::device::{self, Device};
use weft_storage::tables::layout::FEATURE_LEVEL;
use weft_storage::{Batch, Store};

use crate::progress;
use crate::report::{Latencies, Quantiles, print};
use crate::system::warn_of_memory;

/// Accounts of one commit.
const AT_ONCE: usize = 1_000;
const CALLS_BEFORE: usize = 50;
const FAMILY_NAMES: [&str; 10] = ["김", "이", "박", "최", "정", "강", "조", "윤", "장", "홍"];
const SYLLABLES: [&str; 20] = [
    "서", "민", "지", "준", "우", "현", "도", "윤", "하", "은", "수", "진", "영", "길", "동", "혜",
    "재", "성", "경", "태",
];
const PARTS: [&str; 16] = [
    "an", "be", "car", "dan", "el", "fi", "gre", "han", "io", "jo", "ka", "lu", "mar", "ni", "ol",
    "per",
];

#[derive(Args, Clone, Debug)]
pub struct FindOptions {
    /// How many users there are. Half of them have Korean names.
    #[arg(long, default_value_t = 1_000_000)]
    users: usize,
    /// How often each kind of call is measured.
    #[arg(long, default_value_t = 5_000)]
    calls: usize,
    /// Where the temporary folder is made; it should be on the disk that is to be measured.
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    scenario: &'static str,
    users: usize,
    calls: usize,
    /// How long it took to write the accounts, with what they are found by.
    filled_s: f64,
    /// The first page of those who are found by one to three initial consonants.
    initials_ms: Quantiles,
    /// By one to three syllables.
    syllables_ms: Quantiles,
    /// By two to seven letters of a name, or of its second word.
    letters_ms: Quantiles,
    /// By two to six characters of an id.
    ids_ms: Quantiles,
    /// The page after the first one, of those found by one letter.
    next_page_ms: Quantiles,
}

pub async fn measure(options: &FindOptions) -> Result<()> {
    let parent = options.folder.clone().unwrap_or_else(std::env::temp_dir);
    warn_of_memory(&parent);
    let folder = tempfile::Builder::new().prefix("weft-bench-").tempdir_in(parent)?;
    let store = Store::new(Embedded::open(&folder.path().join("store"))?);
    let town = Town::open(store).await?;
    let began = Instant::now();
    town.fill(options.users).await?;
    let filled_s = began.elapsed().as_secs_f64();
    progress(&format!("{} accounts are there", options.users));
    let mut random = SmallRng::seed_from_u64(2);
    let initials = |random: &mut SmallRng| -> String {
        let all = ["ㄱ", "ㄴ", "ㄷ", "ㅁ", "ㅂ", "ㅅ", "ㅇ", "ㅈ", "ㅎ"];
        let mut one = || *all.choose(random).unwrap_or(&"ㄱ");
        let (first, second, third) = (one(), one(), one());
        [first, second, third][..random.random_range(1..=3)].concat()
    };
    let syllables = |random: &mut SmallRng| start(&korean(random), 3, random);
    let letters = |random: &mut SmallRng| {
        let name = latin(random);
        let words: Vec<&str> = name.split(' ').collect();
        start(words.choose(random).unwrap_or(&"a"), 7, random)
    };
    let ids = |random: &mut SmallRng| {
        start(&format!("u{}", random.random_range(0..options.users)), 6, random)
    };
    let report = Report {
        scenario: "find",
        users: options.users,
        calls: options.calls,
        filled_s,
        initials_ms: town.calls(options, &mut random, initials, false).await?,
        syllables_ms: town.calls(options, &mut random, syllables, false).await?,
        letters_ms: town.calls(options, &mut random, letters, false).await?,
        ids_ms: town.calls(options, &mut random, ids, false).await?,
        next_page_ms: town.calls(options, &mut random, |_| "a".into(), true).await?,
    };
    print(&report)
}

/// One character of a text at least, and so many at the most.
fn start(text: &str, chars_max: usize, random: &mut SmallRng) -> String {
    text.chars().take(random.random_range(1..=chars_max)).collect()
}

fn korean(random: &mut SmallRng) -> String {
    let family = FAMILY_NAMES.choose(random).unwrap_or(&"김");
    let given = [SYLLABLES.choose(random), SYLLABLES.choose(random)];
    given.into_iter().flatten().fold((*family).to_owned(), |name, syllable| name + syllable)
}

fn latin(random: &mut SmallRng) -> String {
    let mut word = || [PARTS.choose(random), PARTS.choose(random)];
    let (first, last) = (word(), word());
    let text = |parts: [Option<&&str>; 2]| parts.into_iter().flatten().copied().collect::<String>();
    format!("{} {}", text(first), text(last))
}

/// All accounts, and one who looks for others.
struct Town {
    store: Store,
    context: Context,
    token: String,
}

impl Town {
    async fn open(store: Store) -> Result<Self> {
        let bad = |error: weft_proto::ApiError| anyhow!(error.message);
        layout::open(&store, 4, FEATURE_LEVEL).await?;
        let life = Duration::from_secs(86_400);
        let context = Context::open(store.clone(), Arc::new(SystemClock), life).await?;
        let (user, device) =
            (UserId::new("reader").map_err(bad)?, DeviceId::new("d").map_err(bad)?);
        let mut batch = Batch::new(rand::random());
        let login = Device { refresh_hash: vec![1], login_ms: 1, ..Device::default() };
        batch.set(device::key(&user, &device), login.encode());
        store.commit(batch).await?;
        let caller = Caller::person(user, device, Login::MadeAt(1));
        let token = context.tokens().issue(&caller).map_err(bad)?.0;
        Ok(Self { store, context, token })
    }

    async fn fill(&self, users: usize) -> Result<()> {
        let mut random = SmallRng::seed_from_u64(1);
        for from in (0..users).step_by(AT_ONCE) {
            let mut batch = Batch::new(rand::random());
            for number in from..users.min(from + AT_ONCE) {
                let display_name =
                    if number % 2 == 0 { korean(&mut random) } else { latin(&mut random) };
                // As long as a hash is.
                let password_hash = "x".repeat(97);
                let account = Account { password_hash, display_name, ..Account::default() };
                let user = UserId::new(&format!("u{number}")).map_err(|e| anyhow!(e.message))?;
                account::put(&mut batch, &user, None, &account);
            }
            self.store.commit(batch).await?;
        }
        Ok(())
    }

    async fn page(&self, prefix: String, after: String) -> Result<svc::FoundUsers> {
        let request = svc::FindUsers { token: self.token.clone(), prefix, after, limit: 0 };
        self.context.find_users(request).await.map_err(|failure| anyhow!("{failure:?}"))
    }

    /// One page for each of many things that are looked for; `next`: the one after the first.
    async fn calls(
        &self,
        options: &FindOptions,
        random: &mut SmallRng,
        mut prefix: impl FnMut(&mut SmallRng) -> String,
        next: bool,
    ) -> Result<Quantiles> {
        let latencies = Latencies::default();
        let mut found = 0;
        for call in 0..options.calls + CALLS_BEFORE {
            let prefix = prefix(random);
            let after = match next {
                true => self.page(prefix.clone(), String::new()).await?.cursor,
                false => String::new(),
            };
            let began = Instant::now();
            let page = self.page(prefix, after).await?;
            if call >= CALLS_BEFORE {
                latencies.record(began.elapsed());
            }
            found += page.profiles.len();
        }
        ensure!(found > options.calls, "{found} users were found by {} calls", options.calls);
        Ok(latencies.quantiles())
    }
}
