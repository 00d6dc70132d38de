//! What a file is, by its first bytes. What its sender says about it counts for nothing.

/// How much of a file's beginning is looked at.
pub const SNIFFED_BYTES: usize = 8 << 10;
/// What is no known type.
pub const UNKNOWN: &str = "application/octet-stream";

/// The content type of a file that begins with these bytes; `is_whole`: there are no others.
#[must_use]
pub fn content_type(head: &[u8], is_whole: bool) -> &'static str {
    let text = text(head, is_whole);
    if let Some(markup) = text.and_then(markup) {
        return markup;
    }
    match infer::get(head) {
        Some(kind) => kind.mime_type(),
        None if text.is_some_and(|text| !text.is_empty()) => "text/plain",
        None => UNKNOWN,
    }
}

/// True for what a browser may show in a page: nothing that can hold a script.
#[must_use]
pub fn is_shown_inline(content_type: &str) -> bool {
    matches!(
        content_type,
        "image/jpeg"
            | "image/png"
            | "image/gif"
            | "image/webp"
            | "image/avif"
            | "image/bmp"
            | "video/mp4"
            | "video/webm"
            | "video/quicktime"
            | "audio/mpeg"
            | "audio/mp4"
            | "audio/m4a"
            | "audio/ogg"
            | "audio/x-flac"
            | "audio/x-wav"
            | "text/plain"
    )
}

fn text(head: &[u8], is_whole: bool) -> Option<&str> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The last character may be cut.
        Err(error) if !is_whole && error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let is_control = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\x0C' | '\x1B');
    (!text.contains(is_control)).then_some(text)
}

/// What a browser would run.
fn markup(text: &str) -> Option<&'static str> {
    let begin = text.trim_start_matches('\u{FEFF}').trim_start();
    if !begin.starts_with('<') {
        return None;
    }
    let lower = begin.to_ascii_lowercase();
    if lower.contains("<svg") {
        return Some("image/svg+xml");
    }
    let html = ["<!doctype html", "<html", "<head", "<body", "<script", "<iframe", "<!--"];
    if html.iter().any(|tag| lower.starts_with(tag)) {
        return Some("text/html");
    }
    Some("text/xml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_read_from_the_bytes() {
        for (head, expected) in [
            (&b"\xFF\xD8\xFF\xE0\0\x10JFIF\0"[..], "image/jpeg"),
            (b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR", "image/png"),
            (b"GIF89a\x01\0\x01\0", "image/gif"),
            (b"RIFF\x1A\0\0\0WEBPVP8 ", "image/webp"),
            (b"\0\0\0\x18ftypheic\0\0\0\0heicmif1", "image/heif"),
            (b"\0\0\0\x18ftypisom\0\0\0\0isommp41", "video/mp4"),
            (b"%PDF-1.7", "application/pdf"),
            (b"PK\x03\x04\x14\0\0\0", "application/zip"),
            (b"hello", "text/plain"),
            ("안녕하세요!".as_bytes(), "text/plain"),
            (b"  <!DOCTYPE HTML><p>", "text/html"),
            (b"<script>alert(1)</script>", "text/html"),
            (b"\xEF\xBB\xBF<?xml version='1.0'?><SVG onload='x'/>", "image/svg+xml"),
            (b"<?xml version='1.0'?><feed/>", "text/xml"),
            (b"\x00\x01\x02", UNKNOWN),
            (b"", UNKNOWN),
        ] {
            assert_eq!(content_type(head, true), expected, "{:?}", String::from_utf8_lossy(head));
        }
        // A character that is cut at the end of what is looked at.
        assert_eq!(content_type(&"안".as_bytes()[..2], false), UNKNOWN);
        assert_eq!(content_type(&[b"a", &"안".as_bytes()[..2]].concat(), false), "text/plain");
        assert_eq!(content_type(&[b"a", &"안".as_bytes()[..2]].concat(), true), UNKNOWN);
    }

    #[test]
    fn nothing_that_runs_or_that_few_can_read_is_shown_inline() {
        for kind in
            ["image/svg+xml", "image/heif", "text/html", "text/xml", "application/pdf", UNKNOWN]
        {
            assert!(!is_shown_inline(kind), "{kind}");
        }
        assert!(is_shown_inline("image/webp"));
    }
}
