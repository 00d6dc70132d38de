//! The frames of the NATS client protocol, as far as a proxy must know them: where a message begins
//! and ends, and its subject.

use std::str::FromStr;

use serde_json::Value;

const LINE_END: &[u8] = b"\r\n";

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Frame {
    /// Its subject, where it is a message.
    pub(super) subject: Option<String>,
    pub(super) bytes: Vec<u8>,
}

/// Cuts a stream of bytes into frames. Both ways have the same form.
#[derive(Default, Debug)]
pub(super) struct Frames {
    buffer: Vec<u8>,
}

impl Frames {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    pub(super) fn take(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        let mut begin = 0;
        while let Some((frame, length)) = first(&self.buffer[begin..]) {
            frames.push(frame);
            begin += length;
        }
        self.buffer.drain(..begin);
        frames
    }
}

/// The first frame, and how many bytes it took.
fn first(bytes: &[u8]) -> Option<(Frame, usize)> {
    let end = bytes.windows(LINE_END.len()).position(|window| window == LINE_END)?;
    let line = String::from_utf8_lossy(&bytes[..end]);
    let line_length = end + LINE_END.len();
    let Some((subject, size)) = message(&line) else {
        let frame = without_addresses(&line).unwrap_or_else(|| bytes[..line_length].to_owned());
        return Some((Frame { subject: None, bytes: frame }, line_length));
    };
    let length = line_length + size + LINE_END.len();
    let bytes = bytes.get(..length)?.to_owned();
    Some((Frame { subject: Some(subject), bytes }, length))
}

/// Subject and payload size (headers included), where the line begins a message:
/// `PUB <subject> [reply] <size>`, `HPUB <subject> [reply] <header size> <size>`,
/// `MSG <subject> <sid> [reply] <size>`, `HMSG <subject> <sid> [reply] <header size> <size>`.
fn message(line: &str) -> Option<(String, usize)> {
    let mut words = line.split_ascii_whitespace();
    let verb = words.next()?.to_ascii_uppercase();
    if !matches!(verb.as_str(), "PUB" | "HPUB" | "MSG" | "HMSG") {
        return None;
    }
    let subject = words.next()?.to_owned();
    let size = words.next_back().map(usize::from_str)?.ok()?;
    Some((subject, size))
}

/// A server's `INFO` names the servers of its cluster. A client that reads them there goes past
/// the proxy at its next reconnect.
fn without_addresses(line: &str) -> Option<Vec<u8>> {
    let mut info: Value = serde_json::from_str(line.strip_prefix("INFO ")?).ok()?;
    let fields = info.as_object_mut()?;
    fields.remove("connect_urls");
    fields.remove("ws_connect_urls");
    Some(format!("INFO {info}\r\n").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "PING\r\nPUB a.b 5\r\nhello\r\nPUB a.b re.ply 2\r\n\r\n\r\n\
        HPUB c in.box 12 15\r\nNATS/1.0\r\n\r\nabc\r\nMSG d 7 0\r\n\r\nHMSG e 7 re 12 12\r\n\
        NATS/1.0\r\n\r\n\r\n+OK\r\nSUB x 1\r\n";

    fn subjects(frames: &[Frame]) -> Vec<Option<&str>> {
        frames.iter().map(|frame| frame.subject.as_deref()).collect()
    }

    #[test]
    fn a_stream_is_cut_into_frames_wherever_it_breaks() {
        let expected =
            [None, Some("a.b"), Some("a.b"), Some("c"), Some("d"), Some("e"), None, None];
        for step in 1..STREAM.len() {
            let (mut frames, mut found) = (Frames::default(), Vec::new());
            for part in STREAM.as_bytes().chunks(step) {
                frames.push(part);
                found.extend(frames.take());
            }
            assert_eq!(subjects(&found), expected, "in steps of {step}");
            let bytes: Vec<u8> = found.into_iter().flat_map(|frame| frame.bytes).collect();
            assert_eq!(String::from_utf8_lossy(&bytes), STREAM);
            assert!(frames.buffer.is_empty());
        }
    }

    #[test]
    fn an_info_tells_no_addresses() {
        let mut frames = Frames::default();
        frames.push(b"INFO {\"connect_urls\":[\"10.0.0.1:4222\"],\"version\":\"2.15.1\"}\r\n");
        let [frame] = &frames.take()[..] else { panic!("one frame") };
        let text = String::from_utf8_lossy(&frame.bytes);
        assert_eq!(text, "INFO {\"version\":\"2.15.1\"}\r\n");
    }
}
