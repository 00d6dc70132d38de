//! Where a page begins. Opaque to clients.

use std::fmt;

use weft_proto::limits::RANKED_MAX;
use weft_proto::{ApiError, ErrorCode, RoomId};

use crate::index::{After, Hit, Rank, Scope};

/// The place after which a page begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Cursor {
    /// Of the newest first: after this message; `None`: from the first.
    Newest(Option<After>),
    /// Of the best first: so many come before. The order changes with what is written, so a page may repeat one.
    Ranked(usize),
    /// There are no more.
    End,
}

impl Cursor {
    /// Reads the text of a page before.
    ///
    /// # Errors
    /// [`ErrorCode::BadCursor`].
    pub(super) fn read(text: &str, is_ranked: bool) -> Result<Self, ApiError> {
        let first = if is_ranked { Self::Ranked(0) } else { Self::Newest(None) };
        if text.is_empty() {
            return Ok(first);
        }
        let read = || match first {
            Self::Ranked(_) => {
                let count = text.strip_prefix("r:")?.parse().ok()?;
                (count <= RANKED_MAX as usize).then_some(Self::Ranked(count))
            }
            _ => {
                let mut parts = text.strip_prefix("n:")?.splitn(3, ':');
                let (time_ms, seq) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
                let room = RoomId::new(parts.next()?).ok()?.to_string();
                Some(Self::Newest(Some(After { rank: Rank { score: 0, time_ms, seq }, room })))
            }
        };
        let message = "the field after is the cursor of a page of the same search";
        read().ok_or_else(|| ApiError::new(ErrorCode::BadCursor, message))
    }

    /// Lets the index begin there: how many to pass over, and how many to take of `count`.
    pub(super) fn apply(&self, scope: &mut Scope, count: usize) -> (usize, usize) {
        match self {
            Self::Newest(after) => {
                scope.after.clone_from(after);
                (0, count)
            }
            Self::Ranked(skip) => (*skip, count.min((RANKED_MAX as usize).saturating_sub(*skip))),
            Self::End => (0, 0),
        }
    }

    /// These were looked at.
    pub(super) fn advance(&mut self, hits: &[Hit]) {
        match self {
            Self::Newest(after) => {
                if let Some(last) = hits.last() {
                    *after = Some(super::after(last));
                }
            }
            Self::Ranked(skip) => *skip += hits.len(),
            Self::End => {}
        }
    }

    /// As many as can be ranked were looked at.
    pub(super) fn is_at_the_end(&self) -> bool {
        match self {
            Self::Newest(_) => false,
            Self::Ranked(skip) => *skip >= RANKED_MAX as usize,
            Self::End => true,
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest(Some(After { rank, room })) => {
                write!(f, "n:{}:{}:{room}", rank.time_ms, rank.seq)
            }
            Self::Ranked(skip) if *skip > 0 => write!(f, "r:{skip}"),
            Self::Newest(None) | Self::Ranked(_) | Self::End => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let room = "alice~bob".to_owned();
        let after = After { rank: Rank { score: 0, time_ms: 7, seq: 9 }, room };
        let newest = Cursor::Newest(Some(after));
        assert_eq!(Cursor::read(&newest.to_string(), false).expect("read"), newest);
        assert_eq!(Cursor::read("r:40", true).expect("read"), Cursor::Ranked(40));
        assert_eq!(Cursor::read("", false).expect("read"), Cursor::Newest(None));
        for (text, is_ranked) in [
            ("r:40", false),
            ("n:7:9:alice~bob", true),
            ("n:7:9:", false),
            ("n:x", false),
            ("r:501", true),
        ] {
            let error = Cursor::read(text, is_ranked).expect_err(text);
            assert_eq!(error.code, ErrorCode::BadCursor);
        }
    }
}
