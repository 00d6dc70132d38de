//! A text as it grows, and how its parts look: always within the limits of a message, whatever comes.

use weft_proto::UserId;
use weft_proto::kind::formatting::{Everyone, Range, Style};
use weft_proto::kind::{Extras, Text};
use weft_proto::limits::{LINK_BYTES_MAX, LINK_CHARS_MAX, RANGES_MAX, TEXT_CHARS_MAX};

/// Says that something is left out.
const CUT: char = '…';

#[derive(Default)]
pub(super) struct Rich {
    text: String,
    chars: u32,
    ranges: Vec<Range>,
    is_cut: bool,
}

impl Rich {
    pub(super) fn push(&mut self, text: &str) {
        text.chars().for_each(|char| self.push_char(char));
    }

    /// What shows as nothing is left out.
    pub(super) fn push_char(&mut self, char: char) {
        if char.is_control() && char != '\n' && char != '\t' {
            return;
        }
        if self.chars as usize >= TEXT_CHARS_MAX - 1 {
            self.is_cut = true;
            return;
        }
        self.text.push(char);
        self.chars += 1;
    }

    /// Where the next character comes.
    pub(super) fn at(&self) -> u32 {
        self.chars
    }

    /// There is nothing to be seen in it.
    pub(super) fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// What comes next begins a line.
    pub(super) fn line(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.push_char('\n');
        }
    }

    /// What was written from there on looks so.
    pub(super) fn style(&mut self, from: u32, style: Style) {
        self.style_until(from, self.chars, style);
    }

    pub(super) fn style_until(&mut self, from: u32, until: u32, style: Style) {
        if let Some(range) = range(from, until, style) {
            self.ranges.push(range);
        }
    }

    /// What was written from there on leads to an address. Where nobody may be led there, it is a text as any other.
    pub(super) fn link(&mut self, from: u32, url: &str) {
        if !is_address(url) {
            return;
        }
        let link = range(from, self.chars, Style::Link);
        self.ranges.extend(link.map(|range| Range { url: Some(url.to_owned()), ..range }));
    }

    /// What was written from there on names a user who is to hear of it.
    pub(super) fn mention(&mut self, from: u32, user: &UserId) {
        let mention = range(from, self.chars, Style::Mention);
        self.ranges.extend(mention.map(|range| Range { user: Some(user.to_string()), ..range }));
    }

    /// The same, of all members.
    pub(super) fn mention_everyone(&mut self, from: u32, everyone: Everyone) {
        let mention = range(from, self.chars, Style::Mention);
        self.ranges.extend(mention.map(|it| Range { everyone: Some(everyone.into()), ..it }));
    }

    /// The message; `None`: there is nothing in it.
    pub(super) fn finish(mut self) -> Option<Text> {
        if self.is_cut {
            self.text.push(CUT);
            self.chars += 1;
        }
        let end = self.text.trim_end().len();
        self.chars -= u32::try_from(self.text[end..].chars().count()).unwrap_or(0);
        self.text.truncate(end);
        if self.text.trim().is_empty() {
            return None;
        }
        let ranges = fitting(self.ranges, self.chars);
        let extras = Extras { ranges, ..Extras::default() }.boxed();
        Some(Text { text: self.text, extras })
    }
}

fn range(from: u32, until: u32, style: Style) -> Option<Range> {
    let len = until.checked_sub(from).filter(|len| *len > 0)?;
    Some(Range { at: from, len, style: style.into(), ..Range::default() })
}

/// As many ranges as a message has: whom it mentions first, then where it leads, then how it looks.
fn fitting(mut ranges: Vec<Range>, chars: u32) -> Vec<Range> {
    ranges.retain(|range| range.at < chars);
    for range in &mut ranges {
        range.len = range.len.min(chars - range.at);
    }
    let rank = |range: &Range| match (range.url.is_some(), range.style == Style::Mention as i32) {
        (_, true) => 0,
        (true, _) => 1,
        _ => 2,
    };
    ranges.sort_by_key(rank);
    let mut link_bytes = 0;
    ranges.retain(|range| {
        link_bytes += range.url.as_ref().map_or(0, String::len);
        range.url.is_none() || link_bytes <= LINK_BYTES_MAX
    });
    ranges.truncate(RANGES_MAX);
    ranges.sort_by_key(|range| (range.at, u32::MAX - range.len));
    ranges
}

/// Readers may be led there: as the service checks links.
pub(super) fn is_address(url: &str) -> bool {
    let schemes = ["https://", "http://", "mailto:"];
    let lower = url.get(..8).unwrap_or(url).to_ascii_lowercase();
    let is_known =
        schemes.iter().any(|scheme| lower.starts_with(scheme) && url.len() > scheme.len());
    is_known
        && !url.contains(|char: char| char.is_whitespace() || char.is_control())
        && url.chars().count() <= LINK_CHARS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_with_a_mark() {
        let mut rich = Rich::default();
        rich.push(&"한".repeat(TEXT_CHARS_MAX + 7));
        rich.style(0, Style::Bold);
        let text = rich.finish().expect("a text");
        assert_eq!(text.text.chars().count(), TEXT_CHARS_MAX);
        assert!(text.text.ends_with('…'));
        assert_eq!(text.extras().ranges[0].len as usize, TEXT_CHARS_MAX - 1);
    }

    #[test]
    fn what_does_not_fit_in_is_how_it_looks_and_not_whom_it_mentions() {
        let mut rich = Rich::default();
        for _ in 0..RANGES_MAX + 50 {
            let from = rich.at();
            rich.push("ab");
            rich.style(from, Style::Bold);
        }
        let (from, user) = (rich.at(), UserId::new("bob").expect("id"));
        rich.push("@bob");
        rich.mention(from, &user);
        let long = format!("https://x/{}", "y".repeat(1_900));
        for _ in 0..20 {
            let from = rich.at();
            rich.push("link");
            rich.link(from, &long);
        }
        let ranges = rich.finish().expect("a text").extras().ranges.clone();
        assert_eq!(ranges.len(), RANGES_MAX);
        assert_eq!(ranges.iter().filter(|it| it.user.is_some()).count(), 1);
        assert_eq!(ranges.iter().filter(|it| it.url.is_some()).count(), 20_000 / long.len());
    }

    #[test]
    fn what_is_blank_is_no_message() {
        let mut rich = Rich::default();
        rich.push(" \n\u{7}\t ");
        rich.style(0, Style::Code);
        assert!(rich.is_blank());
        assert_eq!(rich.finish(), None);
        let mut rich = Rich::default();
        rich.push("x  \n");
        rich.style(0, Style::Quote);
        let text = rich.finish().expect("a text");
        assert_eq!((text.text.as_str(), text.extras().ranges[0].len), ("x", 1));
    }

    #[test]
    fn nobody_is_led_astray() {
        for bad in ["javascript:alert(1)", "http://", "https://a b", "ftp://x", "https://x\n", ""] {
            assert!(!is_address(bad), "{bad}");
        }
        assert!(is_address("HTTPS://example.org") && is_address("mailto:a@b"));
    }
}
