//! Slack's attachments, as quoted lines of a text.

use serde_json::Value;
use weft_proto::kind::formatting::Style;

use super::blocks::{self, list, word};
use super::mrkdwn::{Allowed, marked, unmarked};
use super::rich::Rich;

/// Most attachments of a message.
pub(super) const ATTACHMENTS_MAX: usize = 100;

/// Writes the attachments, each after an empty line.
pub(super) fn write(out: &mut Rich, attachments: &[Value], allowed: &Allowed) {
    for attachment in attachments {
        let pretext = word(attachment, "pretext");
        if !pretext.is_empty() {
            out.line();
            marked(out, pretext, allowed);
        }
        out.line();
        let from = out.at();
        body(out, attachment, allowed);
        if out.at() == from && pretext.is_empty() {
            unmarked(out, word(attachment, "fallback"), allowed);
        }
        // As the bar beside them.
        out.style(from, Style::Quote);
    }
}

fn body(out: &mut Rich, attachment: &Value, allowed: &Allowed) {
    heading(out, attachment, ("author_name", "author_link"), allowed);
    let color = color(word(attachment, "color")).filter(|_| !word(attachment, "title").is_empty());
    if let Some(color) = color {
        out.line();
        out.push(color);
    }
    heading(out, attachment, ("title", "title_link"), allowed);
    let text = word(attachment, "text");
    if !text.is_empty() {
        out.line();
        marked(out, text, allowed);
    }
    for field in list(attachment, "fields") {
        let title = word(field, "title");
        out.line();
        if !title.is_empty() {
            let from = out.at();
            unmarked(out, title, allowed);
            out.push(":");
            out.style(from, Style::Bold);
            out.push(" ");
        }
        match &field["value"] {
            Value::String(value) => marked(out, value, allowed),
            Value::Number(value) => out.push(&value.to_string()),
            Value::Bool(value) => out.push(&value.to_string()),
            _ => {}
        }
    }
    blocks::write(out, list(attachment, "blocks"), allowed);
    buttons(out, attachment, allowed);
    let image = word(attachment, "image_url");
    if !image.is_empty() {
        out.line();
        let from = out.at();
        out.push("image");
        out.link(from, image);
    }
    footer(out, attachment, allowed);
}

/// A line of its own, in bold where it is the title.
fn heading(out: &mut Rich, attachment: &Value, (text, link): (&str, &str), allowed: &Allowed) {
    if word(attachment, text).is_empty() {
        return;
    }
    // A title comes after the sign of its colour.
    if text != "title" || color(word(attachment, "color")).is_none() {
        out.line();
    }
    let from = out.at();
    unmarked(out, word(attachment, text), allowed);
    out.link(from, word(attachment, link));
    if text == "title" {
        out.style(from, Style::Bold);
    }
}

fn buttons(out: &mut Rich, attachment: &Value, allowed: &Allowed) {
    let buttons = list(attachment, "actions").iter().filter(|it| !word(it, "url").is_empty());
    for (index, button) in buttons.enumerate() {
        if index == 0 {
            out.line();
        } else {
            out.push(" · ");
        }
        let from = out.at();
        unmarked(out, word(button, "text"), allowed);
        out.link(from, word(button, "url"));
    }
}

fn footer(out: &mut Rich, attachment: &Value, allowed: &Allowed) {
    let ts = match &attachment["ts"] {
        Value::Number(ts) => ts.as_i64(),
        Value::String(ts) => ts.split('.').next().and_then(|ts| ts.parse().ok()),
        _ => None,
    };
    let at = ts.and_then(|ts| jiff::Timestamp::from_second(ts).ok()).map(|ts| ts.to_string());
    let footer = word(attachment, "footer");
    if footer.is_empty() && at.is_none() {
        return;
    }
    out.line();
    let from = out.at();
    unmarked(out, footer, allowed);
    if let Some(at) = at {
        if !footer.is_empty() {
            out.push(" · ");
        }
        out.push(&at);
    }
    out.style(from, Style::Italic);
}

/// Slack's three words for colours, and what senders of alerts write for them.
fn color(color: &str) -> Option<&'static str> {
    Some(match color.to_ascii_lowercase().as_str() {
        "good" | "#36a64f" | "#2eb886" => "🟢 ",
        "warning" | "#daa038" => "🟡 ",
        "danger" | "#a30200" | "#d63232" => "🔴 ",
        _ => return None,
    })
}
