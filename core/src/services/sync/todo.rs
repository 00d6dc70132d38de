//! What a sync has still to carry, and its form between two pages.

use serde::{Deserialize, Serialize};
use weft_proto::token::TOKEN_AUDIENCE;
use weft_proto::{Position, RoomId, UserId};

use super::super::TokenIssuer;
use super::super::failure::Failure;
use super::bad_page;

/// `aud` of a page: so that no page is an access token, and no access token a page.
const PAGE_AUDIENCE: &str = "weft.sync";

pub(super) struct Todo {
    /// R: nothing newer belongs to the sync.
    pub(super) through: Position,
    /// The pointers after it are still to come; `None`: all are done.
    pub(super) inbox_after: Option<Position>,
    /// Still to come after the pointers. Pointers into these rooms are left out.
    pub(super) spans: Vec<Span>,
    /// What changed beside entries after it is still to come, in the end; `None`: all of it is done.
    pub(super) changes_after: Option<Position>,
}

/// A part of a group's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Span {
    pub(super) room: RoomId,
    /// The first seq.
    pub(super) from: u64,
    /// The last seq.
    pub(super) through: u64,
}

/// [`Todo`] as signed claims.
#[derive(Serialize, Deserialize)]
struct Claims {
    aud: String,
    iss: String,
    /// The user whose sync it is.
    sub: String,
    through: String,
    inbox_after: Option<String>,
    spans: Vec<(RoomId, u64, u64)>,
    changes_after: Option<String>,
}

impl Todo {
    pub(super) fn is_done(&self) -> bool {
        self.has_all_entries() && self.changes_after.is_none()
    }

    pub(super) fn has_all_entries(&self) -> bool {
        self.inbox_after.is_none() && self.spans.is_empty()
    }

    pub(super) fn has_span(&self, room: &RoomId) -> bool {
        // `plan` sorts by room, and only the front is ever taken off.
        self.spans.binary_search_by(|span| span.room.cmp(room)).is_ok()
    }

    /// The opaque bytes that the edge sends back for the next page.
    pub(super) fn seal(&self, tokens: &TokenIssuer, user: &UserId) -> Result<Vec<u8>, Failure> {
        let spans = self.spans.iter().map(|span| (span.room.clone(), span.from, span.through));
        let claims = Claims {
            aud: PAGE_AUDIENCE.into(),
            iss: TOKEN_AUDIENCE.into(),
            sub: user.to_string(),
            through: self.through.to_string(),
            inbox_after: self.inbox_after.map(|position| position.to_string()),
            spans: spans.collect(),
            changes_after: self.changes_after.map(|position| position.to_string()),
        };
        Ok(tokens.sign(&claims)?.into_bytes())
    }

    /// Reads what [`seal`](Self::seal) made for this user.
    pub(super) fn open(tokens: &TokenIssuer, user: &UserId, page: &[u8]) -> Result<Self, Failure> {
        let text = std::str::from_utf8(page).map_err(|_| bad_page())?;
        let claims: Claims = tokens.open_signed(text, PAGE_AUDIENCE).ok_or_else(bad_page)?;
        if claims.sub != user.as_str() {
            return Err(bad_page());
        }
        let position = |text: &str| text.parse::<Position>().map_err(|_| bad_page());
        let spans =
            claims.spans.into_iter().map(|(room, from, through)| Span { room, from, through });
        Ok(Self {
            through: position(&claims.through)?,
            inbox_after: claims.inbox_after.as_deref().map(position).transpose()?,
            spans: spans.collect(),
            changes_after: claims.changes_after.as_deref().map(position).transpose()?,
        })
    }
}
