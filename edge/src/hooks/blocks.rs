//! Slack's blocks, as lines of a text. What can't be shown in one is left out.

use serde_json::Value;
use weft_proto::kind::formatting::{Everyone, Style};

use super::emoji;
use super::mrkdwn::{Allowed, marked, unmarked};
use super::rich::Rich;

/// Most blocks of a message, and of an attachment.
pub(super) const BLOCKS_MAX: usize = 50;
/// How deep lists of rich texts are nested at the most.
const DEPTH_MAX: u8 = 8;

/// Writes the blocks, each on lines of its own.
pub(super) fn write(out: &mut Rich, blocks: &[Value], allowed: &Allowed) {
    for block in blocks {
        match word(block, "type") {
            "header" => {
                out.line();
                let from = out.at();
                text_object(out, &block["text"], allowed);
                out.style(from, Style::Bold);
            }
            "section" => section(out, block, allowed),
            "context" => elements(out, block, allowed, " "),
            "actions" => elements(out, block, allowed, " · "),
            "divider" => {
                out.line();
                out.push("———");
            }
            "image" => {
                out.line();
                image(out, block, allowed);
            }
            "video" => {
                out.line();
                let from = out.at();
                text_object(out, &block["title"], allowed);
                out.link(from, word(block, "title_url"));
                out.line();
                text_object(out, &block["description"], allowed);
            }
            "markdown" => {
                out.line();
                unmarked(out, word(block, "text"), allowed);
            }
            "rich_text" => rich_text(out, block, allowed, 0),
            _ => {}
        }
    }
}

fn section(out: &mut Rich, block: &Value, allowed: &Allowed) {
    out.line();
    text_object(out, &block["text"], allowed);
    for field in list(block, "fields") {
        out.line();
        text_object(out, field, allowed);
    }
    if is_element(&block["accessory"]) {
        out.line();
        element(out, &block["accessory"], allowed);
    }
}

/// Elements beside each other.
fn elements(out: &mut Rich, block: &Value, allowed: &Allowed, between: &str) {
    out.line();
    let shown = list(block, "elements").iter().filter(|it| is_element(it));
    for (index, it) in shown.enumerate() {
        if index > 0 {
            out.push(between);
        }
        element(out, it, allowed);
    }
}

/// What has something to show. A button that leads nowhere would ask for an answer that nobody can give.
fn is_element(element: &Value) -> bool {
    match word(element, "type") {
        "mrkdwn" | "plain_text" | "image" => true,
        "button" => !word(element, "url").is_empty(),
        _ => false,
    }
}

fn element(out: &mut Rich, element: &Value, allowed: &Allowed) {
    match word(element, "type") {
        "image" => image(out, element, allowed),
        "button" => {
            let from = out.at();
            text_object(out, &element["text"], allowed);
            out.link(from, word(element, "url"));
        }
        _ => text_object(out, element, allowed),
    }
}

/// Its words, which lead to it. It is not fetched.
fn image(out: &mut Rich, image: &Value, allowed: &Allowed) {
    let from = out.at();
    let title = &image["title"];
    if title.is_object() {
        text_object(out, title, allowed);
    } else {
        unmarked(out, word(image, "alt_text"), allowed);
    }
    if out.at() == from {
        out.push("image");
    }
    out.link(from, word(image, "image_url"));
}

/// Writes what Slack has for texts: `{"type":"mrkdwn"|"plain_text","text":…}`.
pub(super) fn text_object(out: &mut Rich, object: &Value, allowed: &Allowed) {
    let text = word(object, "text");
    match word(object, "type") {
        "plain_text" => unmarked(out, text, allowed),
        _ => marked(out, text, allowed),
    }
}

fn rich_text(out: &mut Rich, block: &Value, allowed: &Allowed, depth: u8) {
    if depth > DEPTH_MAX {
        return;
    }
    for part in list(block, "elements") {
        match word(part, "type") {
            "rich_text_list" => rich_list(out, part, allowed, depth),
            "rich_text_quote" => {
                out.line();
                let from = out.at();
                rich_elements(out, part, allowed);
                out.style(from, Style::Quote);
            }
            "rich_text_preformatted" => {
                out.line();
                let from = out.at();
                rich_elements(out, part, allowed);
                out.style(from, Style::CodeBlock);
            }
            _ => {
                out.line();
                rich_elements(out, part, allowed);
            }
        }
    }
}

fn rich_list(out: &mut Rich, list_of: &Value, allowed: &Allowed, depth: u8) {
    let is_ordered = word(list_of, "style") == "ordered";
    let indent = list_of["indent"].as_u64().unwrap_or(0).min(8);
    let first = list_of["offset"].as_u64().unwrap_or(0).min(1_000_000);
    for (number, item) in (first + 1..).zip(list(list_of, "elements")) {
        if word(item, "type") == "rich_text_list" {
            if depth < DEPTH_MAX {
                rich_list(out, item, allowed, depth + 1);
            }
            continue;
        }
        out.line();
        (0..indent).for_each(|_| out.push("  "));
        out.push(&if is_ordered { format!("{number}. ") } else { "• ".to_owned() });
        rich_elements(out, item, allowed);
    }
}

fn rich_elements(out: &mut Rich, section: &Value, allowed: &Allowed) {
    for element in list(section, "elements") {
        let from = out.at();
        match word(element, "type") {
            "text" => out.push(word(element, "text")),
            "link" => {
                let (url, text) = (word(element, "url"), word(element, "text"));
                out.push(if text.is_empty() { url } else { text });
                out.link(from, url);
            }
            "emoji" => {
                let name = word(element, "name");
                match emoji::of(name).map(str::to_owned).or_else(|| scalars(element)) {
                    Some(emoji) => out.push(&emoji),
                    None => out.push(&format!(":{name}:")),
                }
            }
            "user" => {
                let id = word(element, "user_id");
                unmarked(out, &format!("<@{id}>"), allowed);
            }
            "channel" => out.push(&format!("#{}", word(element, "channel_id"))),
            "broadcast" => {
                let range = word(element, "range");
                out.push(&format!("@{range}"));
                if allowed.everyone {
                    let everyone = if range == "here" { Everyone::Here } else { Everyone::All };
                    out.mention_everyone(from, everyone);
                }
            }
            "date" => out.push(word(element, "fallback")),
            "color" => out.push(word(element, "value")),
            _ => {}
        }
        let style = &element["style"];
        let styles = [
            ("bold", Style::Bold),
            ("italic", Style::Italic),
            ("strike", Style::Strike),
            ("code", Style::Code),
        ];
        for (name, shown) in styles {
            if style[name] == true {
                out.style(from, shown);
            }
        }
    }
}

/// An emoji that is told by its code points: `1f525-fe0f`.
fn scalars(element: &Value) -> Option<String> {
    let code = word(element, "unicode");
    let chars = code.split('-').map(|hex| char::from_u32(u32::from_str_radix(hex, 16).ok()?));
    chars.collect::<Option<String>>().filter(|_| !code.is_empty() && code.len() <= 64)
}

/// A field's text; empty where there is none.
pub(super) fn word<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// A field's list; empty where there is none.
pub(super) fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map(Vec::as_slice).unwrap_or_default()
}
