//! Words that people put into what they say, to be searched for.

/// Each with a text that finds it, and nothing else that is said.
pub const WORDS: [(&str, &str); 6] = [
    ("kestrel", "kestrel "),
    ("tamarind", "tamari"),
    ("quicksilver", "QUICKSILVER"),
    ("오로라", "오로라"),
    ("夜行列車", "行列"),
    ("Ångström", "angstrom"),
];

/// Which of them a text has, a bit each.
pub(super) fn words_in(text: &str) -> u8 {
    let has = WORDS.iter().enumerate().filter(|(_, (word, _))| text.contains(word));
    has.fold(0, |words, (number, _)| words | 1 << number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_the_words_that_are_in_it() {
        assert_eq!(words_in("says 7"), 0);
        assert_eq!(words_in("says 7 tamarind, edited kestrel"), 0b11);
        for (number, (word, _)) in WORDS.iter().enumerate() {
            assert_eq!(words_in(&format!("a {word} b")), 1 << number);
        }
    }
}
