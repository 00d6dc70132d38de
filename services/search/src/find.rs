//! Answering a search: where the caller may look, what the index finds there, and what of it core shows them now.

mod cursor;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use tokio::time::Instant;
use weft_nats::Bus;
use weft_proto::check::check_chars;
use weft_proto::limits::{FOUND_TEXT_CHARS_MAX, PAGE_BYTES_MAX, PAGE_FOUND_MAX, RANKED_MAX};
use weft_proto::svc::{
    FoundMessage, FoundMessages, Highlight, ListSearchable, Place, ReadFound, RoomCount, Search,
};
use weft_proto::{ApiError, ErrorCode};

use self::cursor::Cursor;
use crate::error::Error;
use crate::index::{After, Filter, Found, Hit, Index, Scope};
use crate::metrics::{DROPPED, SEARCHES};
use crate::node::Answering;
use crate::query::Query;
use crate::tokens::tokens;

/// Of a page that says nothing.
const PAGE_DEFAULT: usize = 20;
/// Places beyond a page that the index is asked for: some are not shown.
const BEYOND: usize = 10;
/// How often the index is asked for one page: where it is far behind, much that it finds is not shown any more.
const ROUNDS_MAX: usize = 5;
/// What a highlight takes of an answer, about.
const HIGHLIGHT_BYTES: usize = 24;
/// Rooms whose counts are told.
const COUNTS_MAX: usize = 100;
/// When to ask again while there is no index, in milliseconds.
const RETRY_AFTER_MS: u64 = 2_000;

/// What answers searches.
pub(crate) struct Finder {
    bus: Bus,
    answering: Arc<Answering>,
}

/// What is looked at of an entry's frame.
#[derive(Deserialize)]
struct Shown {
    room: String,
    seq: u64,
    from: String,
    kind: String,
    #[serde(default)]
    text: String,
    #[serde(default)]
    files: Vec<ShownFile>,
}

#[derive(Deserialize)]
struct ShownFile {
    #[serde(default)]
    name: String,
}

/// A search underway.
struct Page {
    token: String,
    filter: Filter,
    limit: usize,
    messages: Vec<FoundMessage>,
    bytes: usize,
}

impl Finder {
    pub(crate) fn new(bus: Bus, answering: Arc<Answering>) -> Self {
        Self { bus, answering }
    }

    pub(crate) async fn find(&self, request: Search) -> Result<FoundMessages, ApiError> {
        let began_at = Instant::now();
        let found = self.answer(request).await.map_err(|error| match error {
            Error::Refused(error) => error,
            error => {
                tracing::error!(%error, "a search failed");
                ApiError::new(ErrorCode::Internal, "a defect in the service")
            }
        });
        SEARCHES.record_time(began_at.elapsed());
        found
    }

    async fn answer(&self, request: Search) -> Result<FoundMessages, Error> {
        check_chars("text", &request.text, FOUND_TEXT_CHARS_MAX)?;
        let cursor = Cursor::read(&request.cursor, request.ranked)?;
        let Some(index) = self.answering.index() else {
            let error = ApiError::new(ErrorCode::Unavailable, "the index is being made");
            return Err(error.retry_after_ms(RETRY_AFTER_MS).into());
        };
        // Before the index is asked: what it lacks may be in it by then, never the other way round.
        let partial = self.answering.is_partial();
        let (user, rooms) = self.searchable(&request).await?;
        let scope = Scope {
            rooms,
            time_ms: Some(request.after_ms.unwrap_or(0)..request.before_ms.unwrap_or(u64::MAX)),
            is_ranked: request.ranked,
            after: None,
        };
        let wanted = match request.limit as usize {
            0 => PAGE_DEFAULT,
            limit => limit.min(PAGE_FOUND_MAX as usize),
        };
        let page = Page {
            token: request.token,
            filter: Filter {
                query: Query::parse(&request.text),
                room: Some(request.room).filter(|room| !room.is_empty()),
                from: Some(request.from).filter(|from| !from.is_empty()),
                thread: Some(request.thread).filter(|root| *root > 0),
                mentions: request.mentions_me.then_some(user),
                has: request.has,
            },
            limit: wanted,
            messages: Vec::new(),
            bytes: 0,
        };
        let mut found = self.fill(&index, page, scope, cursor).await?;
        found.partial = partial;
        if !request.counts {
            found.counts.clear();
        }
        Ok(found)
    }

    /// Who asks, and what they may see of which rooms.
    async fn searchable(
        &self,
        request: &Search,
    ) -> Result<(String, HashMap<String, Vec<(u64, u64)>>), Error> {
        let (mut rooms, mut after) = (HashMap::new(), String::new());
        loop {
            let (token, room) = (request.token.clone(), request.room.clone());
            let page = self.bus.call(&ListSearchable { token, room, after }).await?;
            let last = page.rooms.last().map(|last| last.room.clone());
            for room in page.rooms {
                let parts: Vec<(u64, u64)> =
                    room.parts.chunks_exact(2).map(|part| (part[0], part[1])).collect();
                if !parts.is_empty() {
                    rooms.insert(room.room, parts);
                }
            }
            match last.filter(|_| page.more) {
                Some(last) => after = last,
                None => return Ok((page.user, rooms)),
            }
        }
    }

    /// Asks the index until the page is full.
    async fn fill(
        &self,
        index: &Arc<Index>,
        mut page: Page,
        mut scope: Scope,
        cursor: Cursor,
    ) -> Result<FoundMessages, Error> {
        let mut at = cursor;
        let mut answer: Option<FoundMessages> = None;
        for _ in 0..ROUNDS_MAX {
            let (skip, count) = at.apply(&mut scope, page.limit - page.messages.len() + BEYOND);
            let found = look(index, &page.filter, &scope, skip + count).await?;
            answer.get_or_insert_with(|| told(&found));
            let is_last = found.hits.len() < skip + count;
            let hits: Vec<Hit> = found.hits.into_iter().skip(skip).collect();
            let shown = self.confirm(&mut page, &hits).await?;
            at.advance(&hits[..shown]);
            let is_end = (is_last && shown == hits.len()) || at.is_at_the_end();
            if is_end {
                at = Cursor::End;
            }
            if is_end || page.is_full() {
                break;
            }
        }
        let mut answer = answer.unwrap_or_default();
        answer.messages = page.messages;
        answer.cursor = at.to_string();
        Ok(answer)
    }

    /// Adds those to the page that their reader may see now, and that are what is looked for now; how many of these it
    /// has looked at.
    async fn confirm(&self, page: &mut Page, hits: &[Hit]) -> Result<usize, Error> {
        let mut done = 0;
        while done < hits.len() && !page.is_full() {
            let place = |hit: &Hit| Place { room: hit.room.clone(), seq: hit.rank.seq };
            let places: Vec<Place> = hits[done..].iter().map(place).collect();
            let request = ReadFound { token: page.token.clone(), places };
            let read = self.bus.call(&request).await?;
            let count = (read.done as usize).clamp(1, hits.len() - done);
            let mut frames = read.entries.into_iter().map(|entry| entry.frame).peekable();
            for hit in &hits[done..done + count] {
                if page.is_full() {
                    return Ok(done);
                }
                done += 1;
                let shown =
                    frames.peek().and_then(|frame| serde_json::from_slice::<Shown>(frame).ok());
                let is_it = shown
                    .as_ref()
                    .is_some_and(|shown| shown.room == hit.room && shown.seq == hit.rank.seq);
                let frame = if is_it { frames.next() } else { None };
                match frame.zip(shown).and_then(|(frame, shown)| page.message(frame, &shown)) {
                    Some(message) => page.add(message),
                    None => DROPPED.increment(),
                }
            }
        }
        Ok(done)
    }
}

impl Page {
    fn is_full(&self) -> bool {
        self.messages.len() >= self.limit || self.bytes >= PAGE_BYTES_MAX
    }

    /// A message with what was looked for in it; `None`: it is not what is looked for any more.
    fn message(&self, frame: Bytes, shown: &Shown) -> Option<FoundMessage> {
        if shown.kind == "deleted"
            || self.filter.from.as_ref().is_some_and(|from| *from != shown.from)
        {
            return None;
        }
        let names = shown.files.iter().map(|file| &file.name);
        let texts: Vec<_> =
            std::iter::once(&shown.text).chain(names).map(|it| tokens(it)).collect();
        // Those of the text come first, and are the ones that are told.
        let of_text = self.filter.query.find(&texts)?.into_iter().next().unwrap_or_default();
        let highlights = of_text.iter().map(|it| Highlight { at: it.at, len: it.len });
        Some(FoundMessage { frame, highlights: highlights.collect() })
    }

    fn add(&mut self, message: FoundMessage) {
        self.bytes += message.frame.len() + message.highlights.len() * HIGHLIGHT_BYTES;
        self.messages.push(message);
    }
}

/// Asks the index, off the threads that others wait for.
async fn look(
    index: &Arc<Index>,
    filter: &Filter,
    scope: &Scope,
    limit: usize,
) -> Result<Found, Error> {
    let (index, filter, scope) = (Arc::clone(index), filter.clone(), scope.clone());
    let found = tokio::task::spawn_blocking(move || index.find(&filter, &scope, limit)).await;
    found.map_err(|error| std::io::Error::other(error.to_string()))?
}

/// How many there are.
fn told(found: &Found) -> FoundMessages {
    let count = |(room, count): (&String, &u64)| RoomCount { room: room.clone(), count: *count };
    let mut counts: Vec<RoomCount> = found.by_room.iter().map(count).collect();
    counts.sort_unstable_by(|one, other| (other.count, &one.room).cmp(&(one.count, &other.room)));
    counts.truncate(COUNTS_MAX);
    FoundMessages { total: found.by_room.values().sum(), counts, ..FoundMessages::default() }
}

/// The place after which a page begins, of the best or of the newest.
fn after(hit: &Hit) -> After {
    After { rank: hit.rank, room: hit.room.clone() }
}

const _: () = assert!(PAGE_FOUND_MAX < RANKED_MAX);
