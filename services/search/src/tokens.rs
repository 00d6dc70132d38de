//! What a text is found by: its words, folded, each with its place. The index, queries and highlights use the same
//! ones, so they agree.
//!
//! - Scripts that write words apart have a token per word, of at most [`WORD_CHARS_MAX`] characters.
//! - Scripts that don't, and Korean, whose words have endings, have a token for each character and one for each two
//!   that are side by side: so any part of a sentence is found, and nobody needs a dictionary.
//! - An emoji is a token, whatever its skin tone; a flag is one.
//! - Neither case, width, accents of Latin, Greek and Cyrillic letters, vowel points nor the form in which a text is
//!   composed count. The two dots of kana do: か and が are different letters.
//!
//! Pure.

use icu_normalizer::properties::CanonicalCombiningClassMapBorrowed;
use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};

/// So many characters of a word count.
pub const WORD_CHARS_MAX: usize = 64;

const DECOMPOSED: DecomposingNormalizerBorrowed<'static> =
    DecomposingNormalizerBorrowed::new_nfkd();
const COMPOSED: ComposingNormalizerBorrowed<'static> = ComposingNormalizerBorrowed::new_nfc();
const MARKS: CanonicalCombiningClassMapBorrowed<'static> =
    CanonicalCombiningClassMapBorrowed::new();

/// A word of a text, or what takes its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    pub term: String,
    /// Which word of the text it is. Two characters have the position of the first.
    pub position: u32,
    /// Its first character in the text, from 0. A character is a Unicode scalar value.
    pub at: u32,
    /// How many characters of the text it is.
    pub len: u32,
}

/// Characters side by side that are of one sort.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Run {
    pub(crate) sort: Sort,
    pub(crate) letters: Vec<Letter>,
}

/// A folded character, and the part of the text that it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Letter {
    pub(crate) char: char,
    at: u32,
    end: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sort {
    /// Of a script that writes words apart.
    Word,
    /// Of one that does not.
    Unspaced,
    Symbol,
    Gap,
}

/// The tokens of a text, by position.
#[must_use]
pub fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut position = 0;
    for run in runs(text) {
        match run.sort {
            Sort::Word | Sort::Symbol => tokens.push(token(&run.letters, position)),
            Sort::Unspaced => {
                for (index, letter) in run.letters.iter().enumerate() {
                    let position = position + number(index);
                    tokens.push(token(std::slice::from_ref(letter), position));
                    if let Some(two) = run.letters.get(index..index + 2) {
                        tokens.push(token(two, position));
                    }
                }
            }
            Sort::Gap => {}
        }
        position += run.positions();
    }
    tokens
}

impl Run {
    /// How many positions it takes.
    pub(crate) fn positions(&self) -> u32 {
        match self.sort {
            Sort::Word | Sort::Symbol => 1,
            Sort::Unspaced => number(self.letters.len()),
            Sort::Gap => 0,
        }
    }
}

pub(crate) fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// The term of letters that are together one token.
pub(crate) fn term(letters: &[Letter]) -> String {
    letters.iter().take(WORD_CHARS_MAX).map(|letter| letter.char).collect()
}

fn token(letters: &[Letter], position: u32) -> Token {
    let (at, end) = match letters {
        [] => (0, 0),
        [first, .., last] => (first.at, last.end),
        [one] => (one.at, one.end),
    };
    Token { term: term(letters), position, at, len: end.saturating_sub(at) }
}

/// The text, folded, in runs.
pub(crate) fn runs(text: &str) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for letter in letters(text) {
        let sort = sort(letter.char);
        match runs.last_mut() {
            Some(run) if run.sort == sort && joins(run, letter) => run.letters.push(letter),
            _ => runs.push(Run { sort, letters: vec![letter] }),
        }
    }
    runs
}

/// Each symbol is alone, but for the two halves of a flag.
fn joins(run: &Run, letter: Letter) -> bool {
    let is_half = |letter: &Letter| matches!(letter.char, '\u{1f1e6}'..='\u{1f1ff}');
    match run.sort {
        Sort::Symbol => run.letters.len() == 1 && is_half(&run.letters[0]) && is_half(&letter),
        Sort::Word | Sort::Unspaced | Sort::Gap => true,
    }
}

fn letters(text: &str) -> Vec<Letter> {
    let mut letters = Vec::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut at = 0;
    let mut cluster = String::new();
    while let Some(first) = chars.next() {
        if first.is_ascii() && chars.peek().is_none_or(char::is_ascii) {
            letters.push(Letter { char: first.to_ascii_lowercase(), at, end: at + 1 });
            at += 1;
            continue;
        }
        cluster.clear();
        cluster.push(first);
        let mut end = at + 1;
        while let Some(next) = chars.next_if(|next| belongs_to_the_one_before(*next)) {
            cluster.push(next);
            end += 1;
        }
        letters.extend(folded(&cluster).map(|char| Letter { char, at, end }));
        at = end;
    }
    letters
}

/// Marks, the letters of a syllable of Hangul after its first, and what is not seen.
fn belongs_to_the_one_before(char: char) -> bool {
    MARKS.get_u8(char) != 0
        || is_ignored(char)
        || matches!(char, '\u{1160}'..='\u{11ff}' | '\u{d7b0}'..='\u{d7ff}' | '\u{ff9e}' | '\u{ff9f}')
}

fn folded(cluster: &str) -> impl Iterator<Item = char> {
    let apart = DECOMPOSED.normalize_iter(cluster.chars()).filter(|char| !is_ignored(*char));
    let lower = apart.flat_map(char::to_lowercase).filter(|char| !is_ignored(*char));
    COMPOSED.normalize_iter(lower.map(|char| if char == 'ς' { 'σ' } else { char }))
}

/// Accents, vowel points, skin tones, and what only says how others look.
fn is_ignored(char: char) -> bool {
    let is_mark = matches!(char,
        '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}' | '\u{591}'..='\u{5bd}' | '\u{5bf}'
        | '\u{5c1}' | '\u{5c2}' | '\u{5c4}' | '\u{5c5}' | '\u{5c7}' | '\u{64b}'..='\u{65f}' | '\u{670}');
    is_mark
        || matches!(char,
            '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0020}'..='\u{e007f}')
}

fn sort(char: char) -> Sort {
    if is_unspaced(char) {
        Sort::Unspaced
    } else if char.is_alphanumeric() || MARKS.get_u8(char) != 0 {
        Sort::Word
    } else if matches!(char,
        '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}' | '\u{25a0}'..='\u{27bf}'
        | '\u{2900}'..='\u{297f}' | '\u{2b00}'..='\u{2bff}' | '\u{1f000}'..='\u{1fbff}')
    {
        Sort::Symbol
    } else {
        Sort::Gap
    }
}

/// Han, kana, Bopomofo, Hangul; Thai, Lao, Myanmar, Khmer.
fn is_unspaced(char: char) -> bool {
    let is_letter = char.is_alphanumeric() || MARKS.get_u8(char) != 0;
    is_letter
        && matches!(char,
            '\u{1100}'..='\u{11ff}' | '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{3029}'
            | '\u{3031}'..='\u{3035}' | '\u{3041}'..='\u{312f}' | '\u{3131}'..='\u{318e}'
            | '\u{31a0}'..='\u{31bf}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}'
            | '\u{4e00}'..='\u{9fff}' | '\u{a960}'..='\u{a97f}' | '\u{ac00}'..='\u{d7ff}'
            | '\u{f900}'..='\u{faff}' | '\u{1b000}'..='\u{1b2ff}' | '\u{20000}'..='\u{3ffff}'
            | '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str) -> Vec<(String, u32)> {
        tokens(text).into_iter().map(|token| (token.term, token.position)).collect()
    }

    fn of(terms: &[(&str, u32)]) -> Vec<(String, u32)> {
        terms.iter().map(|(term, position)| ((*term).to_owned(), *position)).collect()
    }

    #[test]
    fn words_have_neither_case_nor_accents_nor_width() {
        assert_eq!(
            terms("Élodie's ＣＡＦÉ, Σίσυφος"),
            of(&[("elodie", 0), ("s", 1), ("cafe", 2), ("σισυφοσ", 3)])
        );
        assert_eq!(terms("İz x86_64 Йод"), of(&[("iz", 0), ("x86", 1), ("64", 2), ("иод", 3)]));
        assert_eq!(terms(" ... !? \u{0} "), of(&[]));
    }

    #[test]
    fn scripts_without_spaces_have_each_character_and_each_two() {
        assert_eq!(
            terms("회의록 법"),
            of(&[("회", 0), ("회의", 0), ("의", 1), ("의록", 1), ("록", 2), ("법", 3)])
        );
        assert_eq!(terms("iPhone폰"), of(&[("iphone", 0), ("폰", 1)]));
        assert_eq!(terms("がか"), of(&[("が", 0), ("がか", 0), ("か", 1)]));
    }

    #[test]
    fn a_text_is_the_same_however_it_is_composed() {
        let decomposed = "\u{1112}\u{116c}\u{110b}\u{1174}";
        assert_eq!(terms(decomposed), terms("회의"));
        assert_eq!(terms("か\u{3099}"), terms("が"));
        assert_eq!(terms("ｶﾞ"), terms("ガ"));
        assert_eq!(terms("e\u{301}"), terms("E"));
    }

    #[test]
    fn an_emoji_is_a_word_whatever_it_looks_like() {
        assert_eq!(terms("👍🏽"), of(&[("👍", 0)]));
        assert_eq!(
            terms("👨\u{200d}👩\u{200d}👧ok❤\u{fe0f}"),
            of(&[("👨", 0), ("👩", 1), ("👧", 2), ("ok", 3), ("❤", 4)])
        );
        assert_eq!(terms("🇰🇷🇺🇸"), of(&[("🇰🇷", 0), ("🇺🇸", 1)]));
    }

    #[test]
    fn a_token_says_which_characters_it_was() {
        let text = "\u{1112}\u{116c}\u{110b}\u{1174} ok e\u{301}t";
        let at: Vec<(u32, u32)> =
            tokens(text).into_iter().map(|token| (token.at, token.len)).collect();
        assert_eq!(at, [(0, 2), (0, 4), (2, 2), (5, 2), (8, 3)]);
        let long = tokens(&"a".repeat(1_000));
        assert_eq!((long.len(), long[0].term.len(), long[0].len), (1, WORD_CHARS_MAX, 1_000));
    }
}
