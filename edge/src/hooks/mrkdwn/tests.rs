use std::time::{Duration, Instant};

use super::*;
use weft_proto::kind::Text;

fn read(text: &str, allowed: &Allowed) -> Text {
    let mut out = Rich::default();
    marked(&mut out, text, allowed);
    out.finish().unwrap_or_default()
}

/// The text, and after it its parts with what they look like.
pub(crate) fn shown(text: &Text) -> String {
    let chars: Vec<char> = text.text.chars().collect();
    let mut shown = text.text.clone();
    for range in &text.extras().ranges {
        let (from, len) = (range.at as usize, range.len as usize);
        let part: String = chars[from..from + len].iter().collect();
        let style = serde_json::to_value(range).expect("a range");
        let style = style["style"].as_str().unwrap_or_default().to_owned();
        let everyone = range.everyone.map(|_| "everyone".to_owned());
        let of = range.url.clone().or_else(|| range.user.clone()).or(everyone);
        shown.push_str(&format!(
            " [{style} {part}{}]",
            of.map(|of| format!(" → {of}")).unwrap_or_default()
        ));
    }
    shown
}

fn nobody(text: &str) -> String {
    shown(&read(text, &Allowed::default()))
}

#[test]
fn marks_are_ranges() {
    for (text, expected) in [
        (
            "*bold* and _it_ ~no~ `x < y`",
            "bold and it no x < y [bold bold] [italic it] [strike no] [code x < y]",
        ),
        ("*a _b_ c*", "a b c [bold a b c] [italic b]"),
        ("2*3*4, snake_case_name, a ~ b, * x *", "2*3*4, snake_case_name, a ~ b, * x *"),
        ("*open, and `open", "*open, and `open"),
        ("*two\nlines*", "*two\nlines*"),
        (
            "`*not bold*` *`code` in*",
            "*not bold* code in [code *not bold*] [bold code in] [code code]",
        ),
        ("**", "**"),
        ("**bold** x** **y", "bold x** **y [bold bold]"),
        ("(*x*)", "(x) [bold x]"),
        ("* one\n* two", "* one\n* two"),
        ("• _한글_!", "• 한글! [italic 한글]"),
    ] {
        assert_eq!(nobody(text), expected, "{text}");
    }
}

#[test]
fn blocks_of_code_and_quotes_have_lines_of_their_own() {
    for (text, expected) in [
        ("see ```a *b*\n&lt;c&gt;``` end", "see \na *b*\n<c>\n end [code_block a *b*\n<c>]"),
        ("```\nx\n```", "x [code_block x]"),
        ("``` open", "``` open"),
        ("> one\n>two\nthree", "one\ntwo\nthree [quote one\ntwo]"),
        ("&gt; *one*", "one [bold one] [quote one]"),
        ("a\n>>> b\nc", "a\nb\nc [quote b\nc]"),
    ] {
        assert_eq!(nobody(text), expected, "{text}");
    }
}

#[test]
fn links_entities_and_emojis_mean_what_they_do_in_slack() {
    for (text, expected) in [
        (
            "<https://a.b/?x=1&amp;y=2|the &lt;page&gt;>",
            "the <page> [link the <page> → https://a.b/?x=1&y=2]",
        ),
        ("<http://a.b>", "http://a.b [link http://a.b → http://a.b]"),
        (
            "<mailto:a@b.c|Ann> <mailto:a@b.c>",
            "Ann a@b.c [link Ann → mailto:a@b.c] [link a@b.c → mailto:a@b.c]",
        ),
        ("*<https://a.b|x*y>*", "x*y [link x*y → https://a.b] [bold x*y]"),
        ("<javascript:alert(1)|x>", "<javascript:alert(1)|x>"),
        ("a < b > c && d", "a < b > c && d"),
        ("<#C024BE7LR|general> <#C1>", "#general #C1"),
        ("&amp;lt; &lt;!here&gt;", "&lt; <!here>"),
        (":fire: 10:30:45 :unheard_of:", "🔥 10:30:45 :unheard_of:"),
        (
            "<!date^1392734382^Posted {date}^https://a.b|on Tuesday>",
            "on Tuesday [link on Tuesday → https://a.b]",
        ),
        ("<!subteam^S1|@ops>", "@ops"),
    ] {
        assert_eq!(nobody(text), expected, "{text}");
    }
}

#[test]
fn a_text_notifies_whom_its_sender_lists_and_nobody_else() {
    let text = "<!here> <!channel|x> @all @everyone <@alice|Alice> @alice @bob- a@bob @carol";
    assert_eq!(nobody(text), "@here @channel @all @everyone @Alice @alice @bob- a@bob @carol");
    let users = ["alice", "bob"].map(|user| UserId::new(user).expect("id")).into();
    let some = Allowed { users, everyone: false };
    let expected = "@here @channel @all @everyone @Alice @alice @bob- a@bob @carol \
        [mention @Alice → alice] [mention @alice → alice] [mention @bob → bob]";
    assert_eq!(shown(&read(text, &some)), expected);
    let all = Allowed { everyone: true, ..Allowed::default() };
    let text = read("<!here> @all @alice", &all);
    assert_eq!(
        shown(&text),
        "@here @all @alice [mention @here → everyone] [mention @all → everyone]"
    );
    let mut out = Rich::default();
    plain(&mut out, "<!here> *x* @alice", &some);
    assert_eq!(
        shown(&out.finish().expect("a text")),
        "<!here> *x* @alice [mention @alice → alice]"
    );
}

/// What is written to take long.
#[test]
fn work_does_not_grow_faster_than_the_text() {
    let began = Instant::now();
    for piece in [
        "*a ", "_", "*_~", "`", "<", "<@", "<http://", "``` ", "&", ":", ":a", "@a", ">", "*a*b",
        "~x `",
    ] {
        let text = piece.repeat(100_000 / piece.len());
        read(&text, &Allowed::default());
        read(&format!("{text}*"), &Allowed::default());
    }
    // Squared it would be minutes.
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}
