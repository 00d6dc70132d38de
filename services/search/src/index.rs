//! The index on disk: what it knows of each message, and what it finds. One document per message; a message that
//! changed is written anew.
//!
//! Invariants:
//! - A commit carries its [`State`]: how far the index is. After a crash both are those of one commit.
//! - Nothing of a message's text is kept but what it is found by.

mod collect;

use std::ops::Bound;
use std::path::Path;
use std::sync::Mutex;

use tantivy::directory::MmapDirectory;
use tantivy::query::{
    BooleanQuery, ConstScoreQuery, InvertedIndexRangeQuery, Occur, PhrasePrefixQuery, PhraseQuery,
    Query as TantivyQuery, RangeQuery, TermQuery, TermSetQuery,
};
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, STRING, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{PreTokenizedString, Token as TantivyToken};
use tantivy::{
    Index as TantivyIndex, IndexReader, IndexWriter, ReloadPolicy, TantivyDocument, Term,
};
use weft_runtime::lock;

pub use self::collect::{After, Found, Hit, Rank, Scope};
use crate::error::Error;
use crate::query::{Clause, Query};
use crate::state::State;
use crate::tokens::{number, tokens};

/// What the writer holds in memory before it writes a segment.
const WRITER_BYTES: usize = 50_000_000;
/// So many words that begin in one way are looked for where others come before them.
const EXPANSIONS_MAX: u32 = 5_000;
/// Between the texts of one message, so that no phrase goes from one into the next.
const TEXTS_APART: u32 = 16;
/// A mention of all members.
const EVERYONE: &str = "*";

/// What is kept of a message.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Document {
    pub room: String,
    pub seq: u64,
    /// When it was taken, Unix milliseconds.
    pub time_ms: u64,
    pub from: String,
    /// With which message the thread begins that it is in; 0: in none.
    pub thread: u64,
    /// What it is found by.
    pub texts: Vec<String>,
    /// The users whom it mentions.
    pub mentions: Vec<String>,
    /// All members are mentioned.
    pub mentions_everyone: bool,
    /// What is in it: `link`, `file`, `image`.
    pub has: Vec<String>,
}

/// Which messages are wanted, beside those that may be seen.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub query: Query,
    /// Of this room alone.
    pub room: Option<String>,
    pub from: Option<String>,
    pub thread: Option<u64>,
    /// They mention this user, or everyone.
    pub mentions: Option<String>,
    pub has: Vec<String>,
}

/// The index in one folder. Its writer locks the folder.
pub struct Index {
    index: TantivyIndex,
    reader: IndexReader,
    writer: Mutex<IndexWriter>,
    fields: Fields,
}

#[derive(Clone, Copy)]
struct Fields {
    /// Room and seq: which message it is.
    key: Field,
    room: Field,
    seq: Field,
    time: Field,
    from: Field,
    thread: Field,
    mentions: Field,
    has: Field,
    text: Field,
}

fn schema() -> (Schema, Fields) {
    let mut schema = Schema::builder();
    let text = TextFieldIndexing::default()
        .set_tokenizer("raw")
        .set_index_option(IndexRecordOption::WithFreqsAndPositions);
    let fields = Fields {
        key: schema.add_text_field("key", STRING),
        room: schema.add_text_field(collect::ROOM, STRING | FAST),
        seq: schema.add_u64_field(collect::SEQ, FAST),
        time: schema.add_u64_field(collect::TIME, FAST),
        from: schema.add_text_field("from", STRING),
        thread: schema.add_u64_field("thread", INDEXED),
        mentions: schema.add_text_field("mentions", STRING),
        has: schema.add_text_field("has", STRING),
        text: schema.add_text_field("text", TextOptions::default().set_indexing_options(text)),
    };
    (schema.build(), fields)
}

impl Index {
    /// Opens the folder, or makes an index in it.
    ///
    /// # Errors
    /// [`Error::Index`] where it can't be read, is of another Weft, or another process has it.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let (schema, fields) = schema();
        let directory = MmapDirectory::open(folder).map_err(|error| Error::Index(error.into()))?;
        let index = TantivyIndex::open_or_create(directory, schema)?;
        // One thread: a message that is written twice within a commit keeps its order.
        let writer = index.writer_with_num_threads(1, WRITER_BYTES)?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        Ok(Self { index, reader, writer: Mutex::new(writer), fields })
    }

    /// How far the index is; `None`: nothing was committed yet.
    ///
    /// # Errors
    /// [`Error::Index`], [`Error::State`].
    pub fn state(&self) -> Result<Option<State>, Error> {
        self.index.load_metas()?.payload.as_deref().map(State::read).transpose()
    }

    /// Writes a message, in the place of what there was of it. It is found after the next commit.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn put(&self, document: &Document) -> Result<(), Error> {
        let Fields { key, room, seq, time, from, thread, mentions, has, text } = self.fields;
        let name = key_of(&document.room, document.seq);
        let mut row = TantivyDocument::default();
        row.add_text(key, &name);
        row.add_text(room, &document.room);
        row.add_u64(seq, document.seq);
        row.add_u64(time, document.time_ms);
        row.add_text(from, &document.from);
        if document.thread != 0 {
            row.add_u64(thread, document.thread);
        }
        let everyone = document.mentions_everyone.then_some(EVERYONE);
        for user in document.mentions.iter().map(String::as_str).chain(everyone) {
            row.add_text(mentions, user);
        }
        for what in &document.has {
            row.add_text(has, what);
        }
        row.add_pre_tokenized_text(text, pre_tokenized(&document.texts));
        let writer = lock(&self.writer);
        writer.delete_term(Term::from_field_text(key, &name));
        writer.add_document(row)?;
        Ok(())
    }

    /// Removes a message, with the next commit.
    pub fn remove(&self, room: &str, seq: u64) {
        let key = Term::from_field_text(self.fields.key, &key_of(room, seq));
        lock(&self.writer).delete_term(key);
    }

    /// Removes a room's messages with a smaller seq, with the next commit.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn remove_before(&self, room: &str, seq: u64) -> Result<(), Error> {
        let of = |seq| Term::from_field_u64(self.fields.seq, seq);
        let seqs = RangeQuery::new(Bound::Included(of(0)), Bound::Excluded(of(seq)));
        let old = BooleanQuery::intersection(vec![
            self.is(self.fields.room, room),
            Box::new(seqs) as Box<dyn TantivyQuery>,
        ]);
        lock(&self.writer).delete_query(Box::new(old))?;
        Ok(())
    }

    /// Makes everything since the last commit durable, with how far it is, and lets it be found.
    ///
    /// # Errors
    /// [`Error::Index`]: what was not committed is to be written again.
    pub fn commit(&self, state: &State) -> Result<(), Error> {
        let mut writer = lock(&self.writer);
        let mut commit = writer.prepare_commit()?;
        commit.set_payload(&state.write());
        commit.commit()?;
        drop(writer);
        self.reader.reload()?;
        Ok(())
    }

    /// How many messages it has.
    #[must_use]
    pub fn documents(&self) -> u64 {
        self.reader.searcher().num_docs()
    }

    /// The first `limit` messages after a place, of those that may be seen and are wanted, and how many there are in
    /// all. It takes a moment: not for a thread that others wait for.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn find(&self, filter: &Filter, scope: &Scope, limit: usize) -> Result<Found, Error> {
        if filter.query.finds_nothing() || scope.rooms.is_empty() {
            return Ok(Found::default());
        }
        let query = self.query(filter, scope);
        Ok(self.reader.searcher().search(&query, &collect::Collect { scope, limit })?)
    }

    fn query(&self, filter: &Filter, scope: &Scope) -> BooleanQuery {
        let fields = self.fields;
        let mut all: Vec<Box<dyn TantivyQuery>> =
            filter.query.clauses().iter().map(|clause| self.clause(clause)).collect();
        if let Some(room) = &filter.room {
            all.push(self.is(fields.room, room));
        } else if all.is_empty() {
            let rooms = scope.rooms.keys().map(|room| Term::from_field_text(fields.room, room));
            all.push(unscored(TermSetQuery::new(rooms)));
        }
        all.extend(filter.from.iter().map(|from| self.is(fields.from, from)));
        all.extend(filter.has.iter().map(|what| self.is(fields.has, what)));
        all.extend(filter.thread.map(|root| {
            let root = Term::from_field_u64(fields.thread, root);
            unscored(TermQuery::new(root, IndexRecordOption::Basic))
        }));
        all.extend(filter.mentions.iter().map(|user| {
            let either =
                [&**user, EVERYONE].map(|user| (Occur::Should, self.is(fields.mentions, user)));
            Box::new(BooleanQuery::new(either.into())) as Box<dyn TantivyQuery>
        }));
        BooleanQuery::intersection(all)
    }

    fn is(&self, field: Field, text: &str) -> Box<dyn TantivyQuery> {
        let term = Term::from_field_text(field, text);
        unscored(TermQuery::new(term, IndexRecordOption::Basic))
    }

    fn clause(&self, clause: &Clause) -> Box<dyn TantivyQuery> {
        let text = self.fields.text;
        let term = |term: &str| Term::from_field_text(text, term);
        if let [(_, one)] = &*clause.terms {
            if clause.is_prefix {
                // Above everything that begins so: no text has this character.
                let end = term(&format!("{one}\u{10ffff}"));
                let words =
                    InvertedIndexRangeQuery::new(Bound::Included(term(one)), Bound::Excluded(end));
                return Box::new(words);
            }
            return Box::new(TermQuery::new(term(one), IndexRecordOption::WithFreqs));
        }
        let terms =
            clause.terms.iter().map(|(offset, one)| (*offset as usize, term(one))).collect();
        if clause.is_prefix {
            let mut phrase = PhrasePrefixQuery::new_with_offset(terms);
            phrase.set_max_expansions(EXPANSIONS_MAX);
            return Box::new(phrase);
        }
        Box::new(PhraseQuery::new_with_offset(terms))
    }
}

fn unscored(query: impl TantivyQuery) -> Box<dyn TantivyQuery> {
    Box::new(ConstScoreQuery::new(Box::new(query), 0.0))
}

/// No id of a room has the sign between.
fn key_of(room: &str, seq: u64) -> String {
    format!("{room}/{seq}")
}

fn pre_tokenized(texts: &[String]) -> PreTokenizedString {
    let mut all = Vec::new();
    let mut first = 0;
    for text in texts {
        let tokens = tokens(text);
        let next = tokens.last().map_or(first, |last| first + last.position + TEXTS_APART);
        all.extend(tokens.into_iter().map(|token| TantivyToken {
            position: (first + token.position) as usize,
            text: token.term,
            ..TantivyToken::default()
        }));
        first = next;
    }
    debug_assert!(number(all.len()) < u32::MAX);
    PreTokenizedString { text: String::new(), tokens: all }
}

#[cfg(test)]
mod tests;
