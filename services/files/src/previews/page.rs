//! What a page says of itself: its title, a description, its site's name, an image. Open Graph first, then what other networks read, then
//! plain HTML. Nothing of it is believed or run: texts are cleaned and cut, and addresses are checked where they are asked for.

use encoding_rs::{Encoding, UTF_8};
use html5gum::emitters::default::DefaultEmitter;
use html5gum::{HtmlString, StartTag, Token, Tokenizer};
use weft_proto::file::is_unseen;
use weft_proto::limits::{
    LINK_CHARS_MAX, PREVIEW_SITE_CHARS_MAX, PREVIEW_TEXT_CHARS_MAX, PREVIEW_TITLE_CHARS_MAX,
};

/// Within so many bytes a page says its encoding.
const ENCODING_WITHIN: usize = 1_024;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Page {
    pub(super) title: String,
    pub(super) description: String,
    pub(super) site: String,
    /// Where it is, perhaps below the page's own address.
    pub(super) image: Option<String>,
    /// What it says to machines.
    pub(super) robots: String,
}

/// What was found of one thing, by which name: a lower one is better.
#[derive(Default)]
struct Best(Option<(usize, String)>);

impl Best {
    fn offer(&mut self, rank: usize, text: &str) {
        let is_better = self.0.as_ref().is_none_or(|(best, _)| rank < *best);
        if is_better && !text.trim().is_empty() {
            self.0 = Some((rank, text.to_owned()));
        }
    }

    fn text(self, chars_max: usize) -> String {
        clean(&self.0.unwrap_or_default().1, chars_max)
    }
}

#[derive(Default)]
struct Found {
    title: Best,
    description: Best,
    site: Best,
    image: Best,
    robots: String,
}

const TITLES: [&str; 3] = ["og:title", "twitter:title", "title"];
const DESCRIPTIONS: [&str; 3] = ["og:description", "twitter:description", "description"];
const SITES: [&str; 2] = ["og:site_name", "application-name"];
const IMAGES: [&str; 4] = ["og:image", "og:image:url", "og:image:secure_url", "twitter:image"];

/// Reads a page of which these are the first bytes. `content_type`: as its head says it.
pub(super) fn read(content_type: Option<&str>, bytes: &[u8]) -> Page {
    let encoding = encoding(content_type, bytes);
    let (html, ..) = encoding.decode(bytes);
    let mut found = Found::default();
    let mut emitter = DefaultEmitter::default();
    // In a script or a style there are no tags.
    emitter.naively_switch_states(true);
    // Text of the title, while it is read.
    let mut title: Option<String> = None;
    for Ok(token) in Tokenizer::new_with_emitter(&*html, emitter) {
        match token {
            Token::StartTag(tag) => match &**tag.name {
                b"meta" => found.meta(&tag),
                b"title" if title.is_none() => title = Some(String::new()),
                b"body" => break,
                _ => {}
            },
            Token::String(text) => {
                if let Some(title) = title.as_mut().filter(|title| title.len() < LINK_CHARS_MAX) {
                    title.push_str(&String::from_utf8_lossy(&text));
                }
            }
            Token::EndTag(tag) if **tag.name == *b"title" => {
                found.title.offer(TITLES.len() - 1, &title.take().unwrap_or_default());
            }
            Token::EndTag(tag) if **tag.name == *b"head" => break,
            _ => {}
        }
    }
    Page {
        title: found.title.text(PREVIEW_TITLE_CHARS_MAX),
        description: found.description.text(PREVIEW_TEXT_CHARS_MAX),
        site: found.site.text(PREVIEW_SITE_CHARS_MAX),
        image: Some(found.image.text(LINK_CHARS_MAX)).filter(|image| !image.is_empty()),
        robots: found.robots,
    }
}

impl Found {
    fn meta(&mut self, tag: &StartTag<()>) {
        let value = |name: &[u8]| {
            let value = tag.attributes.get(&HtmlString(name.to_vec()))?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        let Some(content) = value(b"content") else { return };
        let names = [value(b"property"), value(b"name")];
        for name in names.into_iter().flatten().map(|name| name.trim().to_ascii_lowercase()) {
            let rank = |names: &[&str]| names.iter().position(|known| *known == name);
            if let Some(rank) = rank(&TITLES[..2]) {
                self.title.offer(rank, &content);
            } else if let Some(rank) = rank(&DESCRIPTIONS) {
                self.description.offer(rank, &content);
            } else if let Some(rank) = rank(&SITES) {
                self.site.offer(rank, &content);
            } else if let Some(rank) = rank(&IMAGES) {
                self.image.offer(rank, &content);
            } else if name == "robots" && self.robots.len() < LINK_CHARS_MAX {
                self.robots.push_str(&content);
                self.robots.push(',');
            }
        }
    }
}

/// As its head says it, or else its own beginning; UTF-8 where neither does.
fn encoding(content_type: Option<&str>, bytes: &[u8]) -> &'static Encoding {
    let said = content_type.map(str::as_bytes).and_then(charset);
    let begin = &bytes[..bytes.len().min(ENCODING_WITHIN)];
    said.or_else(|| charset(begin)).unwrap_or(UTF_8)
}

/// What comes after the first `charset=`.
fn charset(text: &[u8]) -> Option<&'static Encoding> {
    const NAME: &[u8] = b"charset=";
    let at = text.windows(NAME.len()).position(|part| part.eq_ignore_ascii_case(NAME))?;
    let rest = text[at + NAME.len()..].trim_ascii_start();
    let rest = rest.strip_prefix(b"\"").or_else(|| rest.strip_prefix(b"'")).unwrap_or(rest);
    let is_label = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
    let end = rest.iter().position(|byte| !is_label(byte)).unwrap_or(rest.len());
    Encoding::for_label(&rest[..end])
}

/// A line of text as it may be shown: one space between words, nothing that is not seen or turns the reading around, and no longer
/// than that.
pub(super) fn clean(text: &str, chars_max: usize) -> String {
    let mut line = String::new();
    for word in text.split(|letter: char| letter.is_whitespace() || letter.is_control()) {
        let word: String = word.chars().filter(|letter| !is_unseen(*letter)).collect();
        if !word.is_empty() {
            line.extend((!line.is_empty()).then_some(' '));
            line.push_str(&word);
        }
        if line.len() > 4 * chars_max {
            break;
        }
    }
    if line.chars().count() <= chars_max {
        return line;
    }
    let cut: String = line.chars().take(chars_max - 1).collect();
    format!("{}…", cut.trim_end())
}

/// Its operator wants nothing of it to be shown elsewhere.
pub(super) fn is_unwanted(robots: &str) -> bool {
    says(robots, &["nosnippet", "none"])
}

/// Its operator wants no image of it to be shown elsewhere.
pub(super) fn is_without_image(robots: &str) -> bool {
    says(robots, &["noimageindex"])
}

/// What is said to one machine alone, by its name, is not for this one.
fn says(robots: &str, words: &[&str]) -> bool {
    let mut said = robots.split(',').map(str::trim);
    said.any(|said| words.iter().any(|word| said.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(html: &str) -> Page {
        read(Some("text/html; charset=utf-8"), html.as_bytes())
    }

    #[test]
    fn the_best_of_several_names_counts() {
        let read = page(
            r#"<!doctype html><html><head><title>Plain &amp; simple</title>
            <meta name="description" content="plain"><meta name="twitter:title" content="T">
            <meta property="og:title" content="Open"><meta property="og:title" content="second">
            <META PROPERTY='og:description' CONTENT='what &quot;it&quot; is'>
            <meta property="og:site_name" content="Site"><meta property="og:image" content="/a.png?x=1&amp;y=2">
            </head><body><meta property="og:image" content="no"></body>"#,
        );
        assert_eq!((&*read.title, &*read.description), ("Open", "what \"it\" is"));
        assert_eq!((&*read.site, read.image.as_deref()), ("Site", Some("/a.png?x=1&y=2")));
        let read = page("<title> Plain\n &amp; <simple> </title><p>text</p>");
        assert_eq!((&*read.title, &*read.description, read.image), ("Plain & <simple>", "", None));
        assert_eq!(page("").title, "");
        assert_eq!(page("<title>not closed").title, "");
        let hidden = "<script>var a = '<meta property=\"og:title\" content=\"no\">'</script><title>yes</title>";
        assert_eq!(page(hidden).title, "yes");
        let robots = "<meta name=robots content='noindex, nosnippet'><title>x</title>";
        assert!(is_unwanted(&page(robots).robots));
        assert!(!is_unwanted("noindex, otherbot: nosnippet") && is_unwanted("index, NONE"));
        assert!(is_without_image("noimageindex") && !is_without_image(""));
    }

    #[test]
    fn texts_are_lines_that_can_be_shown() {
        let nasty = "a\u{202e}b\u{0} \u{200b}\t c\r\n\u{feff}d";
        assert_eq!(clean(nasty, 100), "ab c d");
        let read = page(&format!("<title>{}</title>", "긴 ".repeat(10_000)));
        assert_eq!(read.title.chars().count(), PREVIEW_TITLE_CHARS_MAX);
        assert!(read.title.ends_with('…'), "{}", read.title);
        assert_eq!(clean(&"x".repeat(200), 200).len(), 200);
    }

    #[test]
    fn encodings_are_those_that_a_page_says() {
        let (korean, ..) = encoding_rs::EUC_KR.encode("<title>회의록</title>");
        assert_eq!(read(Some("text/html;charset=EUC-KR"), &korean).title, "회의록");
        let meta = [b"<meta charset=\"euc-kr\">".as_slice(), &korean].concat();
        assert_eq!(read(Some("text/html"), &meta).title, "회의록");
        let old = [
            b"<meta http-equiv=Content-Type content='text/html; charset=euc-kr'>".as_slice(),
            &korean,
        ];
        assert_eq!(read(None, &old.concat()).title, "회의록");
        assert_eq!(read(Some("text/html"), "<title>회의록</title>".as_bytes()).title, "회의록");
        assert_eq!(
            read(Some("text/html; charset=nonsense"), b"<title>a\xffb</title>").title,
            "a\u{fffd}b"
        );
    }

    #[test]
    fn hostile_pages_end() {
        let many = "<meta property=og:title content=x>".repeat(10_000);
        assert_eq!(page(&many).title, "x");
        for html in [
            "<".repeat(500_000),
            "<a ".repeat(160_000),
            "&".repeat(500_000),
            "<!--".repeat(120_000),
        ] {
            assert_eq!(page(&html), Page::default());
        }
        let attributes: String = (0..40_000).map(|n| format!(" a{n}=b")).collect();
        assert_eq!(page(&format!("<meta{attributes} property=og:title content=y>")).title, "y");
    }
}
