//! What is looked for. Any text is a query: words, of which a message has to have all; "phrases", whose words have to be
//! side by side; and of the last word, where nothing comes after it, the beginning is enough. Nothing else is syntax.
//!
//! Pure.

use std::collections::HashMap;

use crate::tokens::{Run, Sort, Token, number, runs, term};

/// So many tokens of a query count: whoever pastes a page finds what has its beginning.
pub const TERMS_MAX: usize = 64;
/// So many parts of a message are shown as found.
pub const HIGHLIGHTS_MAX: usize = 100;

/// What a message has to have.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Query {
    clauses: Vec<Clause>,
    /// There was nothing to be looked for but spaces.
    is_blank: bool,
}

/// Tokens that have to be side by side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Clause {
    /// Each with its place after the first.
    pub terms: Vec<(u32, String)>,
    /// Of the last one the beginning is enough.
    pub is_prefix: bool,
}

/// A part of a text, in characters (Unicode scalar values).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Highlight {
    pub at: u32,
    pub len: u32,
}

impl Query {
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut query = Self { clauses: Vec::new(), is_blank: text.trim().is_empty() };
        let mut left = TERMS_MAX;
        let parts: Vec<&str> = text.split(['"', '“', '”', '„']).collect();
        for (index, part) in parts.iter().enumerate() {
            let is_last = index + 1 == parts.len();
            // A quotation mark that none follows opens nothing.
            if index % 2 == 1 && !is_last {
                query.add(part, false, &mut left);
                continue;
            }
            let mut words = part.split_whitespace().peekable();
            while let Some(word) = words.next() {
                let ends_the_text =
                    is_last && words.peek().is_none() && !part.ends_with(char::is_whitespace);
                query.add(word, ends_the_text, &mut left);
            }
        }
        query
    }

    fn add(&mut self, text: &str, ends_the_text: bool, left: &mut usize) {
        let runs: Vec<Run> = runs(text).into_iter().filter(|run| run.sort != Sort::Gap).collect();
        let mut terms = Vec::new();
        let mut offset = 0;
        for run in &runs {
            match (run.sort, &*run.letters) {
                (Sort::Unspaced, letters @ [_, _, ..]) => {
                    let twos = letters.windows(2).enumerate();
                    terms.extend(twos.map(|(index, two)| (offset + number(index), term(two))));
                }
                (_, letters) => terms.push((offset, term(letters))),
            }
            offset += run.positions();
        }
        let is_whole = terms.len() <= *left;
        terms.truncate(*left);
        *left -= terms.len();
        let ends_in_a_word = runs.last().is_some_and(|run| run.sort == Sort::Word);
        // What a word ends with (`c++`, `really?`) says that it is whole, but it is not written by all.
        let clause = Clause { terms, is_prefix: ends_the_text && ends_in_a_word && is_whole };
        if !clause.terms.is_empty() && !self.clauses.contains(&clause) {
            self.clauses.push(clause);
        }
    }

    #[must_use]
    pub fn clauses(&self) -> &[Clause] {
        &self.clauses
    }

    /// Nothing is looked for: filters alone decide.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.is_blank
    }

    /// Something is looked for that no text has: it is punctuation alone.
    #[must_use]
    pub fn finds_nothing(&self) -> bool {
        !self.is_blank && self.clauses.is_empty()
    }

    /// Which parts of the texts are what is looked for, by text; `None`: something is missing. Each clause has to be
    /// within one of them.
    #[must_use]
    pub fn find(&self, texts: &[Vec<Token>]) -> Option<Vec<Vec<Highlight>>> {
        if self.finds_nothing() {
            return None;
        }
        let found: Vec<_> = texts.iter().map(|tokens| self.places(tokens)).collect();
        let mut highlights = vec![Vec::new(); texts.len()];
        for clause in &self.clauses {
            let mut is_there = false;
            for (places, highlights) in found.iter().zip(&mut highlights) {
                is_there |= clause.find(places, highlights);
            }
            if !is_there {
                return None;
            }
        }
        Some(highlights.into_iter().map(merged).collect())
    }

    /// Where those tokens are that this looks for.
    fn places<'a>(&self, tokens: &'a [Token]) -> HashMap<&'a str, Vec<&'a Token>> {
        let all = self.clauses.iter().flat_map(|clause| {
            let last = clause.terms.len() - 1;
            let terms = clause.terms.iter().enumerate();
            terms.map(move |(index, (_, term))| (&**term, clause.is_prefix && index == last))
        });
        let (prefixes, whole): (Vec<_>, Vec<_>) = all.partition(|(_, is_prefix)| *is_prefix);
        let whole: std::collections::HashSet<&str> =
            whole.into_iter().map(|(term, _)| term).collect();
        let mut places: HashMap<&str, Vec<&Token>> = HashMap::new();
        for token in tokens {
            let is_wanted = whole.contains(&*token.term)
                || prefixes.iter().any(|(prefix, _)| token.term.starts_with(prefix));
            if is_wanted {
                places.entry(&token.term).or_default().push(token);
            }
        }
        places
    }
}

impl Clause {
    /// Adds the places where it is; true: there are some.
    fn find(&self, places: &HashMap<&str, Vec<&Token>>, highlights: &mut Vec<Highlight>) -> bool {
        let last = self.terms.len() - 1;
        let of = |index: usize| -> Vec<&Token> {
            let term = &*self.terms[index].1;
            if self.is_prefix && index == last {
                let begin = places.iter().filter(|(other, _)| other.starts_with(term));
                return begin.flat_map(|(_, tokens)| tokens.iter().copied()).collect();
            }
            places.get(term).cloned().unwrap_or_default()
        };
        // By the position at which the first term would be, the characters up to the last one.
        let mut starts: HashMap<u32, (u32, u32)> =
            of(0).iter().map(|token| (token.position, (token.at, token.at + token.len))).collect();
        for (index, (offset, _)) in self.terms.iter().enumerate().skip(1) {
            let next: HashMap<u32, &Token> = of(index)
                .into_iter()
                .filter_map(|token| Some((token.position.checked_sub(*offset)?, token)))
                .collect();
            starts.retain(|start, (_, end)| {
                next.get(start).is_some_and(|token| {
                    *end = (*end).max(token.at + token.len);
                    true
                })
            });
        }
        let found = starts.values().map(|(at, end)| Highlight { at: *at, len: end - at });
        highlights.extend(found);
        !starts.is_empty()
    }
}

/// In their order, those that touch as one.
fn merged(mut highlights: Vec<Highlight>) -> Vec<Highlight> {
    highlights.sort_unstable();
    let mut merged: Vec<Highlight> = Vec::new();
    for next in highlights {
        match merged.last_mut() {
            Some(last) if next.at <= last.at + last.len => {
                last.len = last.len.max(next.at + next.len - last.at);
            }
            _ => merged.push(next),
        }
    }
    merged.truncate(HIGHLIGHTS_MAX);
    merged
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tokens::tokens;

    fn finds(query: &str, text: &str) -> Option<Vec<(u32, u32)>> {
        let found = Query::parse(query).find(&[tokens(text)])?;
        Some(found[0].iter().map(|it| (it.at, it.len)).collect())
    }

    #[test]
    fn korean_japanese_and_chinese_are_found_within_sentences() {
        assert_eq!(finds("안녕", "안녕하세요!"), Some(vec![(0, 2)]));
        assert_eq!(finds("회의", "오늘회의록"), Some(vec![(2, 2)]));
        assert_eq!(finds("법", "회사법"), Some(vec![(2, 1)]));
        assert_eq!(finds("東京都", "私は東京都に住む"), Some(vec![(2, 3)]));
        assert_eq!(finds("京都", "東京 都"), None);
        assert_eq!(finds("我们", "今天我们去"), Some(vec![(2, 2)]));
        assert_eq!(
            finds("iPhone폰 회의", "아이폰, iphone폰으로 회의"),
            Some(vec![(5, 7), (15, 2)])
        );
        assert_eq!(finds("かき", "かぎ"), None);
    }

    #[test]
    fn words_phrases_and_the_beginning_of_the_last_word() {
        let text = "Good morning, Élodie: see you at the good café";
        assert_eq!(finds("elod good", text), None);
        assert_eq!(finds("good elod", text), Some(vec![(0, 4), (14, 6), (37, 4)]));
        assert_eq!(finds("good elod ", text), None);
        assert_eq!(finds("\"good morning\"", text), Some(vec![(0, 12)]));
        assert_eq!(finds("\"morning good\"", text), None);
        assert_eq!(finds("\"good mor\"", text), None);
        assert_eq!(finds("\"good mor", text), Some(vec![(0, 4), (5, 7), (37, 4)]));
        assert_eq!(finds("CAFE", text), Some(vec![(42, 4)]));
        assert_eq!(finds("https://a.b/c", "see https://a.b/c?d"), Some(vec![(4, 13)]));
    }

    #[test]
    fn nothing_is_syntax_and_nothing_is_an_error() {
        for query in ["AND", "OR (", "a:b", "-x", "*", "\\", "\"\"\"", "[1 TO", "~", "^2", "\u{0}"]
        {
            let _ = Query::parse(query);
        }
        assert_eq!(finds("!!!", "!!!"), None);
        assert_eq!(finds(" ", "x"), Some(vec![]));
        assert_eq!(finds("-x", "x"), Some(vec![(0, 1)]));
        let long = "가".repeat(1_000);
        assert_eq!(Query::parse(&long).clauses()[0].terms.len(), TERMS_MAX);
        assert!(finds(&long, &long).is_some());
    }

    proptest! {
        /// Whatever is written is found by itself, as words and as a phrase.
        #[test]
        fn a_text_is_found_by_itself(text in "\\PC{0,80}") {
            let query = text.replace(['"', '“', '”', '„'], " ");
            let tokens = vec![tokens(&query)];
            for query in [query.clone(), format!("\"{query}\"")] {
                let parsed = Query::parse(&query);
                let found = parsed.find(&tokens);
                prop_assert!(parsed.finds_nothing() || found.is_some(), "{query:?}");
                let chars = number(query.chars().count());
                for it in found.into_iter().flatten().flatten() {
                    prop_assert!(it.len > 0 && it.at + it.len <= chars);
                }
            }
        }
    }
}
