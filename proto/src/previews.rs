//! Which link of a text has a preview: its first one, where that is not code and not in `<angle brackets>`.

use linkify::{LinkFinder, LinkKind};

use crate::kind::formatting::{Range, Style};
use crate::limits::LINK_CHARS_MAX;

/// The address of that link, as the text has it; `None`: there is none. Linear in the text, whatever it is.
#[must_use]
pub fn previewed_link(text: &str, ranges: &[Range]) -> Option<String> {
    let named = ranges.iter().filter(|range| range.style == i32::from(Style::Link));
    let named = named.filter_map(|range| Some((range.at, range.url.as_deref()?)));
    let named = named.filter(|(_, url)| is_web(url)).min_by_key(|(at, _)| *at);
    let first = match (named, written(text, ranges)) {
        (Some((at, url)), Some((written_at, _))) if at <= written_at => Some(url),
        (Some((_, url)), None) => Some(url),
        (_, written) => written.map(|(_, url)| url),
    };
    first.filter(|url| url.chars().count() <= LINK_CHARS_MAX).map(str::to_owned)
}

/// The first address that the text itself has, and at which character.
fn written<'a>(text: &'a str, ranges: &[Range]) -> Option<(u32, &'a str)> {
    // Nearly all texts have none.
    if !text.contains("://") {
        return None;
    }
    let mut finder = LinkFinder::new();
    finder.kinds(&[LinkKind::Url]);
    let (mut chars, mut counted) = (0, 0);
    for link in finder.links(text) {
        chars += text[counted..link.start()].chars().count();
        counted = link.start();
        let at = u32::try_from(chars).unwrap_or(u32::MAX);
        let is_closed = text[..link.start()].ends_with('<') && text[link.end()..].starts_with('>');
        if is_web(link.as_str()) && !is_closed && !is_code(ranges, at) {
            return Some((at, link.as_str()));
        }
    }
    None
}

fn is_web(url: &str) -> bool {
    ["https://", "http://"].iter().any(|scheme| {
        let begin = url.get(..scheme.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(scheme)) && url.len() > scheme.len()
    })
}

fn is_code(ranges: &[Range], at: u32) -> bool {
    let code = [Style::Code, Style::CodeBlock].map(i32::from);
    ranges
        .iter()
        .any(|range| code.contains(&range.style) && range.at <= at && at - range.at < range.len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(at: u32, len: u32, style: Style, url: Option<&str>) -> Range {
        Range { at, len, style: style.into(), url: url.map(str::to_owned), ..Range::default() }
    }

    #[test]
    fn the_first_link_is_found_as_it_is_written() {
        for (text, link) in [
            ("look: https://example.org/a.", Some("https://example.org/a")),
            ("(http://example.org/b_(c)), or https://other.org", Some("http://example.org/b_(c)")),
            ("회의록은 https://example.org/회의 에 있습니다", Some("https://example.org/회의")),
            ("HTTPS://EXAMPLE.org/", Some("HTTPS://EXAMPLE.org/")),
            ("<https://example.org/once> and https://example.org/b", Some("https://example.org/b")),
            ("<https://example.org/once>", None),
            ("ftp://example.org/ mailto:a@b.org example.org", None),
            ("https://", None),
            ("no link", None),
            ("", None),
        ] {
            assert_eq!(previewed_link(text, &[]).as_deref(), link, "{text}");
        }
        let long = format!("https://example.org/{}", "x".repeat(LINK_CHARS_MAX));
        assert_eq!(previewed_link(&long, &[]), None);
    }

    #[test]
    fn ranges_say_what_is_code_and_what_is_a_link() {
        let text = "é https://a.org/ here https://b.org/";
        let code = range(2, 14, Style::Code, None);
        assert_eq!(
            previewed_link(text, std::slice::from_ref(&code)).as_deref(),
            Some("https://b.org/")
        );
        let block = range(0, 36, Style::CodeBlock, None);
        assert_eq!(previewed_link(text, &[block]), None);
        let named = range(17, 4, Style::Link, Some("https://c.org/"));
        assert_eq!(
            previewed_link(text, std::slice::from_ref(&named)).as_deref(),
            Some("https://a.org/")
        );
        assert_eq!(previewed_link(text, &[code, named]).as_deref(), Some("https://c.org/"));
        let mail = range(0, 1, Style::Link, Some("mailto:a@b.org"));
        assert_eq!(previewed_link("x", &[mail]), None);
        let web = range(0, 1, Style::Link, Some("https://d.org/"));
        assert_eq!(previewed_link("x", &[web]).as_deref(), Some("https://d.org/"));
    }

    #[test]
    fn a_text_full_of_links_costs_no_more_than_its_length() {
        let text = "<https://a.org> ".repeat(6_000);
        assert_eq!(previewed_link(&text, &[]), None);
    }
}
