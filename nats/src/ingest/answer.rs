//! Core's answer to a command.

use bytes::Bytes;
use weft_proto::frame::error_frame;
use weft_proto::{ApiError, ErrorCode};

use crate::bus::Message;
use crate::subject::WEFT_ERROR;

/// What core says of a command: the frame that its client gets, and beside it what an edge must know
/// of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// An `ack` or an `error`, without a request id.
    pub frame: Bytes,
    /// The error's code. One that this version does not know reads as `None`.
    pub error: Option<ErrorCode>,
}

impl Answer {
    /// The entry is kept.
    #[must_use]
    pub fn ack(frame: Vec<u8>) -> Self {
        Self { frame: frame.into(), error: None }
    }

    /// It is not, by this attempt.
    #[must_use]
    pub fn error(error: &ApiError) -> Self {
        Self { frame: error_frame(error).into(), error: Some(error.code) }
    }

    /// The headers that go with the frame.
    pub(crate) fn headers(&self) -> Option<(&'static str, &'static str)> {
        self.error.map(|code| (WEFT_ERROR, code.as_str()))
    }

    pub(super) fn read(message: Message) -> Self {
        let error = message.header(WEFT_ERROR).and_then(ErrorCode::parse);
        Self { frame: message.into_payload(), error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::Subject;

    #[test]
    fn an_answer_says_its_error_in_a_header() {
        let subject = Subject::Tick { partition: 0 };
        let refused = Answer::error(&ApiError::new(ErrorCode::ResendInOrder, "not yet"));
        for answer in [Answer::ack(b"{}".to_vec()), refused] {
            let headers: Vec<_> = answer.headers().into_iter().collect();
            let message = Message::new(&subject, &headers, answer.frame.clone()).expect("made");
            assert_eq!(Answer::read(message), answer);
        }
        let newer = Message::new(&subject, &[(WEFT_ERROR, "of_tomorrow")], Bytes::new());
        assert_eq!(Answer::read(newer.expect("made")).error, None);
    }
}
