//! Which bytes of a file a request wants (RFC 9110, section 14).

use std::ops::Range;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wanted {
    All,
    Part(Range<u64>),
    /// None of them is there.
    Nothing,
}

/// Reads a `Range` of a file of this size. What it does not understand, and several ranges, are all of the file, as
/// they may be.
#[must_use]
pub fn wanted(range: Option<&str>, size: u64) -> Wanted {
    let read = range.and_then(|range| range.trim().strip_prefix("bytes="));
    let Some((first, last)) = read.and_then(|range| range.split_once('-')) else {
        return Wanted::All;
    };
    let number = |text: &str| {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().ok().filter(|_| is_plain)
    };
    let (first, last) = (first.trim(), last.trim());
    let part = match (number(first), number(last)) {
        (None, Some(0)) if first.is_empty() => return Wanted::Nothing,
        (None, Some(count)) if first.is_empty() => size.saturating_sub(count)..size,
        (Some(first), None) if last.is_empty() => first..size,
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        _ => return Wanted::All,
    };
    if part.start >= size { Wanted::Nothing } else { Wanted::Part(part) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        for (range, expected) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=5-", Wanted::Part(5..10)),
            ("bytes=5-100", Wanted::Part(5..10)),
            ("bytes=-3", Wanted::Part(7..10)),
            ("bytes=-30", Wanted::Part(0..10)),
            ("bytes=9-18446744073709551615", Wanted::Part(9..10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=5-4", Wanted::All),
            ("bytes=0-1,3-4", Wanted::All),
            ("bytes=-", Wanted::All),
            ("bytes=x-4", Wanted::All),
            ("bytes=+1-4", Wanted::All),
            ("lines=1-2", Wanted::All),
        ] {
            assert_eq!(wanted(Some(range), 10), expected, "{range}");
        }
        assert_eq!(wanted(None, 10), Wanted::All);
    }
}
