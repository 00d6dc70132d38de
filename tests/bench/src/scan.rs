//! Reads the few fields that the measurement needs out of a frame, without a JSON parser: the
//! client shares the processor with what it measures.
//!
//! Only for frames whose texts are the measurement's own: a text could otherwise hold `"seq":`.

/// What kind of frame it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Entry,
    Ack,
    Error,
    Other,
}

/// The value of `type`, as what the measurements tell apart.
pub fn kind(frame: &str) -> Kind {
    match text(frame, r#""type":""#) {
        Some("entry") => Kind::Entry,
        Some("ack") => Kind::Ack,
        Some("error") => Kind::Error,
        _ => Kind::Other,
    }
}

/// The value of a field that is a whole number. `key` has its quotes and colon: `"seq":`.
pub fn number(frame: &str, key: &str) -> Option<u64> {
    leading_number(after(frame, key)?)
}

/// The value of a field that is a text without escapes. `key` has its quotes and colon, and the
/// value's first quote: `"type":"`.
pub fn text<'a>(frame: &'a str, key: &str) -> Option<&'a str> {
    after(frame, key)?.split('"').next()
}

/// What follows `needle`.
pub fn after<'a>(frame: &'a str, needle: &str) -> Option<&'a str> {
    frame.find(needle).map(|at| &frame[at + needle.len()..])
}

fn leading_number(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_wherever_they_stand() {
        let entry = r#"{"type":"entry","room":"a~b","seq":7,"ordinal":5,"text":"x"}"#;
        assert_eq!((kind(entry), number(entry, r#""seq":"#)), (Kind::Entry, Some(7)));
        let ack = r#"{"id":9,"seq":4,"type":"ack"}"#;
        assert_eq!((kind(ack), number(ack, r#""id":"#)), (Kind::Ack, Some(9)));
        assert_eq!(text(entry, r#""room":""#), Some("a~b"));
        assert_eq!(kind("{}"), Kind::Other);
        assert_eq!(number("{}", r#""id":"#), None);
        assert_eq!(number(r#"{"id":null}"#, r#""id":"#), None);
    }
}
