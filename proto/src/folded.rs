//! How names are compared when somebody is looked for: without case, accents and punctuation, letter by letter.
//!
//! Syllables of Hangul are taken apart into their letters (`홍` is `ㅎ`, `ㅗ`, `ㅇ`), so what is typed up to a letter in the middle of
//! one finds it; and a name is also known by the initial consonants of its syllables (`ㅎㄱㄷ` for 홍길동).

use std::collections::BTreeSet;

use icu_normalizer::DecomposingNormalizerBorrowed;
use icu_normalizer::properties::CanonicalCombiningClassMapBorrowed;

/// As much of a name, or of what is looked for, counts: in letters, a syllable of Hangul has two or three.
pub const FOLDED_CHARS_MAX: usize = 48;
/// So many first words of a name are found by their beginnings.
const WORDS_MAX: usize = 8;

/// The letters and digits of a text; one space for whatever is between them.
#[must_use]
pub fn folded(text: &str) -> String {
    const NORMALIZER: DecomposingNormalizerBorrowed<'static> =
        DecomposingNormalizerBorrowed::new_nfkd();
    let marks = CanonicalCombiningClassMapBorrowed::new();
    let letters = NORMALIZER.normalize_iter(text.chars().flat_map(apart));
    let letters = letters.filter(|letter| marks.get_u8(*letter) == 0).flat_map(char::to_lowercase);
    let mut folded = String::with_capacity(text.len());
    let mut is_gap = false;
    for letter in letters.filter(|letter| marks.get_u8(*letter) == 0) {
        if !letter.is_alphanumeric() {
            is_gap = !folded.is_empty();
            continue;
        }
        if std::mem::take(&mut is_gap) {
            folded.push(' ');
        }
        folded.push(letter);
    }
    folded
}

/// What a name is found by: it begins with what is looked for, in the form of [`folded`], where one of these does.
#[must_use]
pub fn beginnings(name: &str) -> BTreeSet<String> {
    let folded = folded(name);
    let initials: String = folded.chars().filter(|letter| !is_within_syllable(*letter)).collect();
    let initials =
        initials.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let mut found = BTreeSet::new();
    for text in [folded, initials] {
        let words = text.match_indices(' ').map(|(at, _)| at + 1);
        for from in std::iter::once(0).chain(words).take(WORDS_MAX) {
            found.insert(start(&text[from..]).to_owned());
        }
    }
    found.remove("");
    found
}

/// The part that counts.
#[must_use]
pub fn start(folded: &str) -> &str {
    let end = folded.char_indices().nth(FOLDED_CHARS_MAX).map_or(folded.len(), |(at, _)| at);
    folded[..end].trim_end()
}

/// A vowel or a final consonant of a syllable of Hangul that was taken apart.
fn is_within_syllable(letter: char) -> bool {
    matches!(letter, '\u{1161}'..='\u{1175}' | '\u{11a8}'..='\u{11c2}')
}

/// Two consonants that a keyboard has put together: who types initial consonants means both.
fn apart(letter: char) -> impl Iterator<Item = char> {
    let (first, second) = match letter {
        'ㄳ' => ('ㄱ', Some('ㅅ')),
        'ㄵ' => ('ㄴ', Some('ㅈ')),
        'ㄶ' => ('ㄴ', Some('ㅎ')),
        'ㄺ' => ('ㄹ', Some('ㄱ')),
        'ㄻ' => ('ㄹ', Some('ㅁ')),
        'ㄼ' => ('ㄹ', Some('ㅂ')),
        'ㄽ' => ('ㄹ', Some('ㅅ')),
        'ㄾ' => ('ㄹ', Some('ㅌ')),
        'ㄿ' => ('ㄹ', Some('ㅍ')),
        'ㅀ' => ('ㄹ', Some('ㅎ')),
        'ㅄ' => ('ㅂ', Some('ㅅ')),
        letter => (letter, None),
    };
    std::iter::once(first).chain(second)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn finds(name: &str, looked_for: &str) -> bool {
        let looked_for = folded(looked_for);
        beginnings(name).iter().any(|beginning| beginning.starts_with(start(&looked_for)))
    }

    #[test]
    fn case_accents_width_and_punctuation_do_not_count() {
        assert_eq!(folded("  Élodie  O'Brien-Smith_2! "), "elodie o brien smith 2");
        assert_eq!(folded("ＡＢＣ Ångström İz ﬁn"), "abc angstrom iz fin");
        assert_eq!(folded("🔥 ~ "), "");
        for looked_for in ["e", "elo", "ÉLODIE o", "brien", "Smith", "o-brien smith 2"] {
            assert!(finds("Élodie O'Brien-Smith_2", looked_for), "{looked_for}");
        }
        for looked_for in ["lodie", "rien", "elodie b", "brien-2"] {
            assert!(!finds("Élodie O'Brien-Smith_2", looked_for), "{looked_for}");
        }
    }

    #[test]
    fn korean_names_are_found_by_initial_consonants_and_by_what_is_typed_of_a_syllable() {
        for looked_for in ["ㅎㄱㄷ", "ㅎㄱ", "ㅎ", "호", "홍", "홍ㄱ", "홍기", "홍길", "홍길동"]
        {
            assert!(finds("홍길동", looked_for), "{looked_for}");
        }
        for looked_for in ["ㄱㄷ", "ㅎㄷ", "하", "홍동", "길동", "홍길돌"] {
            assert!(!finds("홍길동", looked_for), "{looked_for}");
        }
        for looked_for in ["길동", "ㄱㄷ", "홍 길", "ㅎ ㄱㄷ", "gildong", "홍 길동 g"] {
            assert!(finds("홍 길동 (Gildong)", looked_for), "{looked_for}");
        }
        // What a keyboard makes of ㄱ and ㅅ.
        assert!(finds("강수진", "ㄳ") && finds("강수진", "ㄳㅈ") && finds("강수진", "ㄱㅅㅈ"));
        // In whichever form it is stored or typed.
        assert!(
            finds("\u{1112}\u{1169}\u{11bc}길동", "홍길") && finds("홍길동", "\u{1112}\u{1100}")
        );
    }

    #[test]
    fn of_a_long_name_the_first_letters_and_words_count() {
        let long = "가".repeat(200);
        assert!(finds(&long, &"가".repeat(30)) && finds(&long, &"가".repeat(200)));
        let words = "a b c d e f g h i";
        assert!(finds(words, "h i") && !finds(words, "i"));
        assert_eq!(beginnings("").len(), 0);
    }

    proptest! {
        /// Each word's beginning finds it, however it is written.
        #[test]
        fn whatever_a_name_is_it_is_bounded_and_found_by_itself(name in "\\PC{0,60}") {
            let all = beginnings(&name);
            prop_assert!(all.len() <= 2 * WORDS_MAX);
            for beginning in &all {
                prop_assert!(beginning.chars().count() <= FOLDED_CHARS_MAX);
                prop_assert!(!beginning.contains('\0') && !beginning.starts_with(' '));
            }
            if !folded(&name).is_empty() {
                prop_assert!(finds(&name, &name));
            }
        }
    }
}
