//! Who searches for words that were said, while all is broken; and in the end for all of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::RngExt;
use tokio::time::{Instant, sleep};
use weft_harness::account::Login;
use weft_harness::check::scan;
use weft_harness::history::{Attempt, Deed, Entry, Event, Room, WORDS};
use weft_harness::searching::{search, search_all};

use super::people::People;
use super::round::{asked, is_member};
use super::talk::{Stop, long_pause};
use super::world::World;

/// Messages of a page while people talk.
const PAGE: usize = 10;
/// How long an index may take in silence to have everything. It may be made anew.
const CAUGHT_UP_LIMIT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A text, now and then with a word that is searched for.
pub(super) fn with_word(text: &str) -> String {
    let which = rand::rng().random_range(0..6 * WORDS.len());
    match WORDS.get(which) {
        Some((word, _)) => format!("{text} {word}"),
        None => text.to_owned(),
    }
}

/// Somebody searches until they are told to stop.
pub(super) async fn run(world: Arc<World>, login: Login, stop: Stop) {
    while !stop.load(Ordering::Relaxed) {
        long_pause(3_000..15_000, &stop).await;
        let (word, door) = {
            let mut rng = rand::rng();
            (rng.random_range(0..WORDS.len()), rng.random_range(0..world.shape.edges))
        };
        let (user, attempt) =
            (Arc::<str>::from(&*login.user), Attempt(world.recorder.session(), 1));
        let said = |deed: Deed| world.recorder.record(Event::Deed(deed));
        said(Deed::Searches { user: user.clone(), attempt });
        // Where no search node answers, nothing is found.
        if let Ok(page) = search(world.doors(door)[0], &login, (word, PAGE), None).await {
            said(Deed::Finds { user, word, attempt, entries: page.entries });
        }
    }
}

/// In silence: everybody searches for everything, until they find what they see, or the time is over.
pub(super) async fn find_all(world: &World, people: &People, logs: &[(Room, Vec<Entry>)]) {
    let history = world.recorder.history();
    let logs: HashMap<&Room, &[Entry]> = logs.iter().map(|(room, log)| (room, &log[..])).collect();
    let limit = Instant::now() + CAUGHT_UP_LIMIT;
    for login in &people.users {
        let is_in = |room: &Room| logs.get(room).is_some_and(|log| is_member(log, &login.user));
        for (word, (name, _)) in WORDS.iter().enumerate() {
            let seen = scan(&history, &login.user, word);
            let seen: BTreeSet<_> = seen.into_iter().filter(|(room, _)| is_in(room)).collect();
            loop {
                let find = async || search_all(world.system.edge(), login, word).await;
                let Some((places, partial)) = asked(find).await else {
                    world.found(format!("{} can't search for {name}", login.user));
                    return;
                };
                let found: BTreeSet<_> = places.iter().map(|(room, seq)| (room, *seq)).collect();
                if !partial && found == seen || Instant::now() > limit {
                    let user = login.user.as_str().into();
                    world.recorder.record(Event::Deed(Deed::FoundAll { user, word, places }));
                    break;
                }
                sleep(LOOK_EVERY).await;
            }
        }
    }
}
