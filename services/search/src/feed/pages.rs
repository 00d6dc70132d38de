//! What core is asked for, page by page.

use std::collections::BTreeMap;

use weft_nats::Bus;
use weft_proto::svc::{IndexedMessage, ListFollowers, Place, ReadChanged, ReadJournal};

use crate::error::Error;
use crate::state::State;

/// Entries that are taken before they are written and committed, about.
const PLACES_AT_ONCE: usize = 2_000;
/// Entries that one call asks for.
const PLACES_PER_CALL: usize = 256;

/// How far a reading came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Read {
    /// There is more now.
    Part { more: bool },
    /// What came next can't be told any more.
    Expired,
    /// The store is not the one that the index is of.
    OtherStore,
}

/// The store's id in the form of [`State::store`].
pub(super) fn store_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How many partitions there are.
pub(super) async fn number_of(bus: &Bus) -> Result<u32, Error> {
    Ok(bus.call(&ListFollowers { partition: 0 }).await?.partitions)
}

/// The store, and the number of each partition's newest commit.
pub(super) async fn newest(
    bus: &Bus,
    partitions: usize,
) -> Result<(String, BTreeMap<u32, u64>), Error> {
    let (mut store, mut commits) = (String::new(), BTreeMap::new());
    for partition in (0..).take(partitions) {
        let newest = bus.call(&ListFollowers { partition }).await?.newest;
        // Whose number that is, the page after it says.
        let page = bus.call(&ReadJournal { partition, after: newest }).await?;
        store = store_of(&page.store);
        commits.insert(partition, newest);
    }
    Ok((store, commits))
}

/// Reads what was committed after a state, and moves it on: the entries by which messages have changed.
pub(super) async fn read(bus: &Bus, state: &mut State) -> Result<(Read, Vec<Place>), Error> {
    let (mut places, mut more) = (Vec::new(), false);
    for (partition, commit_no) in &mut state.commits {
        loop {
            if places.len() >= PLACES_AT_ONCE {
                more = true;
                break;
            }
            let page = bus.call(&ReadJournal { partition: *partition, after: *commit_no }).await?;
            if store_of(&page.store) != state.store {
                return Ok((Read::OtherStore, Vec::new()));
            }
            if page.expired {
                return Ok((Read::Expired, Vec::new()));
            }
            for commit in page.commits {
                *commit_no = commit.commit_no;
                let entries = commit.entries.into_iter();
                let entries = entries.filter(|entry| changes_a_message(&entry.kind));
                places.extend(entries.map(|entry| Place { room: entry.room, seq: entry.seq }));
            }
            if !page.more {
                break;
            }
        }
    }
    Ok((Read::Part { more }, places))
}

/// Whether an entry of a kind may be a message, or change one. One that this does not know may be.
fn changes_a_message(kind: &str) -> bool {
    !matches!(
        kind,
        "create"
            | "rename"
            | "add"
            | "remove"
            | "leave"
            | "role"
            | "react"
            | "unreact"
            | "pin"
            | "preview"
            | "unpreview"
            | "unpin"
            | "update"
            | "ban"
            | "unban"
            | "join"
            | "close"
    )
}

/// What became of messages by entries.
pub(super) async fn changed(
    bus: &Bus,
    mut places: Vec<Place>,
) -> Result<(Vec<IndexedMessage>, Vec<Place>), Error> {
    // Those of a room are read together.
    places.sort_unstable();
    places.dedup();
    let (mut messages, mut deleted) = (Vec::new(), Vec::new());
    let mut left = &*places;
    while !left.is_empty() {
        let some = left[..left.len().min(PLACES_PER_CALL)].to_vec();
        let page = bus.call(&ReadChanged { places: some }).await?;
        messages.extend(page.messages);
        deleted.extend(page.deleted);
        // It always speaks of one; whatever it says, this ends.
        left = &left[(page.done as usize).clamp(1, left.len())..];
    }
    Ok((messages, deleted))
}
