//! Slack's markup, `mrkdwn`, as a text with ranges. What is not understood stays as it was written.

use std::collections::BTreeSet;

use weft_proto::UserId;
use weft_proto::kind::formatting::{Everyone, Style};

use super::emoji;
use super::rich::{Rich, is_address};

/// How deep marks are nested at the most.
const DEPTH_MAX: u8 = 4;
const FENCE: &str = "```";

/// Who may be notified by a text from outside: nobody, where its sender says nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Allowed {
    pub(super) users: BTreeSet<UserId>,
    pub(super) everyone: bool,
}

impl Allowed {
    fn user(&self, name: &str) -> Option<&UserId> {
        self.users.iter().find(|user| user.as_str() == name)
    }
}

/// Writes a text with marks.
pub(super) fn marked(out: &mut Rich, text: &str, allowed: &Allowed) {
    Reader { out, allowed, has_marks: true, has_controls: true }.blocks(text);
}

/// Writes a text without marks: `<…>` and `&lt;` mean what they do in Slack, `*` does not.
pub(super) fn unmarked(out: &mut Rich, text: &str, allowed: &Allowed) {
    Reader { out, allowed, has_marks: false, has_controls: true }.inline(text, 0);
}

/// Writes a text as it is.
pub(super) fn plain(out: &mut Rich, text: &str, allowed: &Allowed) {
    Reader { out, allowed, has_marks: false, has_controls: false }.inline(text, 0);
}

struct Reader<'a> {
    out: &'a mut Rich,
    allowed: &'a Allowed,
    has_marks: bool,
    has_controls: bool,
}

/// Marks of a line that have no end in what is left of it: so a line is looked through once, not once for each mark.
#[derive(Default)]
struct Endless {
    code: bool,
    marks: Vec<char>,
}

impl Reader<'_> {
    /// Lines, and blocks of code between them.
    fn blocks(&mut self, text: &str) {
        let mut rest = text;
        while let Some((before, code, after)) = fenced(rest) {
            self.lines(before);
            let code = code.trim_matches('\n');
            if !code.trim().is_empty() {
                self.out.line();
                let from = self.out.at();
                self.out.push(&unescaped(code));
                self.out.style(from, Style::CodeBlock);
            }
            rest = after.strip_prefix('\n').unwrap_or(after);
            if !rest.is_empty() {
                self.out.line();
            }
        }
        self.lines(rest);
    }

    /// Lines, and quotes among them.
    fn lines(&mut self, text: &str) {
        let (mut quote_at, mut is_quoted_to_the_end) = (None, false);
        for (index, line) in text.split('\n').enumerate() {
            let end = self.out.at();
            if index > 0 {
                self.out.push_char('\n');
            }
            let mark = ["&gt;", ">"].into_iter().find(|mark| line.starts_with(mark));
            let threefold = mark.map(|mark| mark.repeat(3));
            if let Some(inner) = threefold.and_then(|mark| line.strip_prefix(&mark)) {
                is_quoted_to_the_end = true;
                quote_at.get_or_insert(self.out.at());
                self.inline(inner.trim_start(), 0);
            } else if is_quoted_to_the_end {
                self.inline(line, 0);
            } else if let Some(mark) = mark {
                quote_at.get_or_insert(self.out.at());
                let inner = &line[mark.len()..];
                self.inline(inner.strip_prefix(' ').unwrap_or(inner), 0);
            } else {
                if let Some(from) = quote_at.take() {
                    self.out.style_until(from, end, Style::Quote);
                }
                self.inline(line, 0);
            }
        }
        if let Some(from) = quote_at {
            self.out.style(from, Style::Quote);
        }
    }

    /// A line, or a part of one.
    fn inline(&mut self, text: &str, depth: u8) {
        let (mut at, mut before) = (0, None);
        let mut endless = Endless::default();
        while let Some(char) = text[at..].chars().next() {
            let rest = &text[at..];
            let taken = match char {
                '<' if self.has_controls => self.control(rest),
                '&' if self.has_controls => self.entity(rest),
                ':' if self.has_controls => self.emoji(rest),
                '`' if self.has_marks => self.code(rest, &mut endless),
                '*' | '_' | '~' if self.has_marks && depth < DEPTH_MAX && may_open(before) => {
                    self.mark(rest, char, depth, &mut endless)
                }
                '@' if may_open(before) => self.name(rest),
                _ => None,
            };
            let taken = taken.unwrap_or_else(|| {
                self.out.push_char(char);
                char.len_utf8()
            });
            before = text[..at + taken].chars().next_back();
            at += taken;
        }
    }

    /// `*bold*`, `_italic_`, `~struck~`: how many bytes that was.
    fn mark(&mut self, rest: &str, mark: char, depth: u8, endless: &mut Endless) -> Option<usize> {
        let first = rest[1..].chars().next()?;
        if first == '*' && mark == '*' {
            return self.double(rest, depth);
        }
        if first.is_whitespace() || first == mark || endless.marks.contains(&mark) {
            return None;
        }
        let Some(end) = end_of(rest, mark) else {
            endless.marks.push(mark);
            return None;
        };
        let from = self.out.at();
        self.inline(&rest[1..end], depth + 1);
        let style = match mark {
            '*' => Style::Bold,
            '_' => Style::Italic,
            _ => Style::Strike,
        };
        self.out.style(from, style);
        Some(end + 1)
    }

    /// `**bold**`, as senders write it who think of Markdown.
    fn double(&mut self, rest: &str, depth: u8) -> Option<usize> {
        let inner = rest[2..].split_once("**")?.0;
        if inner.is_empty() || inner.trim() != inner {
            return None;
        }
        let from = self.out.at();
        self.inline(inner, depth + 1);
        self.out.style(from, Style::Bold);
        Some(inner.len() + 4)
    }

    fn code(&mut self, rest: &str, endless: &mut Endless) -> Option<usize> {
        if endless.code {
            return None;
        }
        let Some(len) = rest[1..].find('`') else {
            endless.code = true;
            return None;
        };
        if len == 0 {
            return None;
        }
        let from = self.out.at();
        self.out.push(&unescaped(&rest[1..=len]));
        self.out.style(from, Style::Code);
        Some(len + 2)
    }

    fn entity(&mut self, rest: &str) -> Option<usize> {
        let (entity, char) = ENTITIES.iter().find(|(entity, _)| rest.starts_with(entity))?;
        self.out.push_char(*char);
        Some(entity.len())
    }

    fn emoji(&mut self, rest: &str) -> Option<usize> {
        let (name, taken) = emoji::name_at(rest)?;
        self.out.push(emoji::of(name)?);
        Some(taken)
    }

    /// `<https://…|label>`, `<@user|name>`, `<#room|name>`, `<!here>`.
    fn control(&mut self, rest: &str) -> Option<usize> {
        let len = rest[1..].find(['<', '>', '\n'])?;
        if rest.as_bytes()[1 + len] != b'>' {
            return None;
        }
        let inside = &rest[1..=len];
        let (what, label) = match inside.split_once('|') {
            Some((what, label)) => (what, Some(label).filter(|label| !label.is_empty())),
            None => (inside, None),
        };
        match what.chars().next()? {
            '@' => self.user(&what[1..], label),
            '#' => {
                let name = label.unwrap_or(&what[1..]);
                self.out.push_char('#');
                self.text(name.trim_start_matches('#'));
            }
            '!' => self.special(&what[1..], label),
            _ => self.link(&unescaped(what), label)?,
        }
        Some(len + 2)
    }

    fn link(&mut self, url: &str, label: Option<&str>) -> Option<()> {
        let is_link = is_address(url) || url.starts_with("tel:");
        let from = self.out.at();
        match label {
            _ if !is_link => return None,
            Some(label) => self.text(label),
            None => self.out.push(url.trim_start_matches("mailto:").trim_start_matches("tel:")),
        }
        self.out.link(from, url);
        Some(())
    }

    fn user(&mut self, id: &str, label: Option<&str>) {
        let name = label.unwrap_or(id).trim_start_matches('@');
        let from = self.out.at();
        self.out.push_char('@');
        self.text(name);
        if let Some(user) = self.allowed.user(id).or_else(|| self.allowed.user(name)) {
            self.out.mention(from, user);
        }
    }

    fn special(&mut self, word: &str, label: Option<&str>) {
        let from = self.out.at();
        if let Some(everyone) = everyone(word) {
            self.out.push_char('@');
            self.out.push(word);
            if self.allowed.everyone {
                self.out.mention_everyone(from, everyone);
            }
            return;
        }
        // Dates say in their label what is shown where they can't be; groups of users are nobody here.
        self.text(label.unwrap_or_else(|| word.split('^').nth(1).unwrap_or(word)));
        let link = word.strip_prefix("date^").and_then(|date| date.splitn(3, '^').nth(2));
        if let Some(link) = link {
            self.out.link(from, &unescaped(link));
        }
    }

    /// `@name`, where its user may be notified; else it is a text as any other.
    fn name(&mut self, rest: &str) -> Option<usize> {
        let is_of_name = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        let len = rest.bytes().skip(1).take_while(|byte| is_of_name(byte)).count();
        let name = &rest[1..=len];
        let from = self.out.at();
        if let Some(everyone) = everyone(name).filter(|_| self.allowed.everyone) {
            self.out.push(&rest[..=len]);
            self.out.mention_everyone(from, everyone);
            return Some(len + 1);
        }
        let name = name.trim_end_matches(['-', '_']);
        let names = [&rest[1..=len], name];
        let user = names.into_iter().find_map(|name| self.allowed.user(name))?;
        self.out.push_char('@');
        self.out.push(user.as_str());
        self.out.mention(from, user);
        Some(1 + user.as_str().len())
    }

    /// A label: its entities mean something, and nothing else.
    fn text(&mut self, text: &str) {
        self.out.push(&unescaped(text));
    }
}

const ENTITIES: [(&str, char); 3] = [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>')];

fn everyone(word: &str) -> Option<Everyone> {
    match word {
        "here" => Some(Everyone::Here),
        "all" | "channel" | "everyone" => Some(Everyone::All),
        _ => None,
    }
}

/// What was before lets a mark begin.
fn may_open(before: Option<char>) -> bool {
    !before.is_some_and(char::is_alphanumeric)
}

/// Where the mark is closed with which this begins.
fn end_of(rest: &str, mark: char) -> Option<usize> {
    let (mut before, mut is_code, mut is_control) = (mark, false, false);
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, char)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        match char {
            '`' if !is_control => is_code = !is_code,
            '<' if next.is_some_and(|next| "@#!hmt".contains(next)) => is_control = true,
            '>' => is_control = false,
            _ => {}
        }
        let is_end = char == mark && at > 1 && !before.is_whitespace();
        if is_end && !is_code && !is_control && !next.is_some_and(char::is_alphanumeric) {
            return Some(at);
        }
        before = char;
    }
    None
}

/// What is before the next block of code, the code, and what comes after it.
fn fenced(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once(FENCE)?;
    let (code, after) = rest.split_once(FENCE)?;
    Some((before, code, after))
}

fn unescaped(text: &str) -> String {
    // The ampersand last: `&amp;lt;` is `&lt;`.
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

#[cfg(test)]
pub(super) mod tests;
