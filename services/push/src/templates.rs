//! In which words a device is told: in its language, and without any content where it wants that.

use serde::Serialize;
use weft_proto::svc::{Push, PushFacts};

/// What a notification is, as Web Push and webhooks carry it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Notification {
    pub r#type: &'static str,
    pub title: String,
    pub body: String,
    /// Of notifications with one tag the newest is shown.
    pub tag: String,
    /// How much is unread in all rooms.
    pub badge: u64,
    #[serde(flatten)]
    pub about: Option<About>,
}

/// What a notification is about; nothing, where the device wants no content.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct About {
    pub what: String,
    pub room: String,
    /// Of an entry; an invitation has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    pub from: String,
    /// When it was taken, Unix milliseconds.
    pub time: u64,
    pub mention: bool,
}

/// Of what is told without content.
pub(crate) const PRIVATE_TAG: &str = "weft";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Language {
    English,
    Korean,
}

impl Language {
    /// By a language tag; English, where it is another one.
    fn of(tag: &str) -> Self {
        let primary = tag.split('-').next().unwrap_or_default();
        if primary.eq_ignore_ascii_case("ko") { Self::Korean } else { Self::English }
    }
}

#[must_use]
pub fn notification(room: &str, seq: u64, facts: &PushFacts, push: &Push) -> Notification {
    let language = Language::of(&push.language);
    let (r#type, badge) = ("notification", facts.badge);
    if push.private {
        let body = match language {
            Language::English => "New message",
            Language::Korean => "새 메시지가 있습니다",
        };
        let (title, body, tag) = (String::from("Weft"), body.to_owned(), PRIVATE_TAG.to_owned());
        return Notification { r#type, title, body, tag, badge, about: None };
    }
    let name = facts.from_name.as_str();
    let title = if facts.title.is_empty() { name.to_owned() } else { facts.title.clone() };
    let about = About {
        what: facts.what.clone(),
        room: room.to_owned(),
        seq: Some(seq).filter(|seq| *seq > 0),
        from: facts.from.clone(),
        time: facts.time_ms,
        mention: facts.is_mention,
    };
    let (body, tag) = (body(facts, language), room.to_owned());
    Notification { r#type, title, body, tag, badge, about: Some(about) }
}

fn body(facts: &PushFacts, language: Language) -> String {
    let (name, text, emoji) = (&facts.from_name, &facts.text, &facts.emoji);
    let is_korean = language == Language::Korean;
    match (&*facts.what, is_korean) {
        ("added", false) => format!("{name} added you"),
        ("added", true) => format!("{name}님이 회원님을 추가했습니다"),
        ("invitation", false) => format!("{name} invited you"),
        ("invitation", true) => format!("{name}님이 회원님을 초대했습니다"),
        ("reaction", false) => format!("{name} reacted {emoji} to: {text}"),
        ("reaction", true) => format!("{name}님이 {emoji} 반응을 남겼습니다: {text}"),
        ("image" | "file", _) if !text.is_empty() => said(facts, text),
        ("image", false) if facts.files > 1 => format!("{name} sent {} images", facts.files),
        ("image", false) => format!("{name} sent an image"),
        ("image", true) if facts.files > 1 => {
            format!("{name}님이 사진 {}장을 보냈습니다", facts.files)
        }
        ("image", true) => format!("{name}님이 사진을 보냈습니다"),
        ("file", false) => format!("{name} sent {}", facts.file_name),
        ("file", true) => format!("{name}님이 파일을 보냈습니다: {}", facts.file_name),
        _ => said(facts, text),
    }
}

/// In a direct room the title says who.
fn said(facts: &PushFacts, text: &str) -> String {
    if facts.is_direct { text.to_owned() } else { format!("{}: {text}", facts.from_name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(what: &str) -> PushFacts {
        PushFacts {
            what: what.into(),
            title: "Team".into(),
            from: "bob".into(),
            from_name: "Bob".into(),
            text: "hello".into(),
            file_name: "plan.pdf".into(),
            files: 1,
            emoji: "+1".into(),
            badge: 3,
            ..PushFacts::default()
        }
    }

    fn push(language: &str, private: bool) -> Push {
        Push { language: language.into(), private, ..Push::default() }
    }

    #[test]
    fn each_kind_has_its_words_in_both_languages() {
        for (what, text, english, korean) in [
            ("message", "hello", "Bob: hello", "Bob: hello"),
            ("image", "", "Bob sent an image", "Bob님이 사진을 보냈습니다"),
            ("image", "look", "Bob: look", "Bob: look"),
            ("file", "", "Bob sent plan.pdf", "Bob님이 파일을 보냈습니다: plan.pdf"),
            ("reaction", "hi", "Bob reacted +1 to: hi", "Bob님이 +1 반응을 남겼습니다: hi"),
            ("added", "", "Bob added you", "Bob님이 회원님을 추가했습니다"),
            ("invitation", "", "Bob invited you", "Bob님이 회원님을 초대했습니다"),
        ] {
            let facts = PushFacts { text: text.into(), ..facts(what) };
            for (language, expected) in [("", english), ("de", english), ("ko-KR", korean)] {
                let made = notification("team", 7, &facts, &push(language, false));
                assert_eq!((made.title.as_str(), made.body.as_str()), ("Team", expected));
            }
        }
        let three = PushFacts { files: 3, text: String::new(), ..facts("image") };
        let made = notification("team", 7, &three, &push("ko", false));
        assert_eq!(made.body, "Bob님이 사진 3장을 보냈습니다");
        let direct = PushFacts { title: String::new(), is_direct: true, ..facts("message") };
        let made = notification("alice~bob", 7, &direct, &push("", false));
        assert_eq!((made.title.as_str(), made.body.as_str()), ("Bob", "hello"));
    }

    #[test]
    fn who_wants_no_content_is_told_none() {
        let made = notification("alice~bob", 7, &facts("message"), &push("ko", true));
        let text = serde_json::to_string(&made).expect("json");
        for word in ["bob", "Bob", "hello", "Team", "alice", "seq"] {
            assert!(!text.contains(word), "{text}");
        }
        assert!(text.contains("새 메시지") && text.contains(r#""badge":3"#), "{text}");
    }
}
