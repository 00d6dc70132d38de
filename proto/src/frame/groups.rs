//! `banned`, `link`, `unlink` and `links`: what owners and admins of a group ask for; and `find_groups`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::rooms::read_room_id;
use super::{Query, Reply, Request, or_default, page_limit};
use crate::check::check_chars;
use crate::error::ApiError;
use crate::json::{read_object, text_of};
use crate::kind::{Link, Unlink};
use crate::limits::SEARCH_CHARS_MAX;
use crate::link::LinkToken;
use crate::room::RoomId;
use crate::svc;

/// A group that somebody has found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FoundGroup {
    room: String,
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    topic: String,
    /// A file's id.
    #[serde(skip_serializing_if = "String::is_empty")]
    avatar: String,
    member_count: u32,
    /// Who may come in.
    join: String,
    /// The caller is a member.
    member: bool,
    /// The caller asks to come in.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    asked: bool,
}

/// Who is kept out of a group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct BannedUser {
    user: String,
    /// Seq of the `ban`: it says who did it, and when.
    seq: u64,
}

/// A link as it is asked for: without a token, one is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WantedLink {
    link: Option<LinkToken>,
    expires_at: Option<u64>,
    uses: Option<u32>,
}

#[derive(Deserialize)]
struct LinkFields<'a> {
    #[serde(borrow)]
    link: Option<Cow<'a, str>>,
    expires_at: Option<u64>,
    uses: Option<u32>,
}

impl WantedLink {
    fn from_text(text: &str) -> Result<Self, ApiError> {
        let LinkFields { link, expires_at, uses } = read_object(text)?;
        let link = link.map(|link| LinkToken::new(&link)).transpose()?;
        Ok(Self { link, expires_at, uses })
    }

    /// Reads it from bytes that may be anything.
    ///
    /// # Errors
    /// [`ErrorCode::BadEncoding`](crate::ErrorCode::BadEncoding) where they are not UTF-8; those of [`read_object`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, ApiError> {
        Self::from_text(text_of(bytes)?)
    }

    /// The command; `random`: of what a token is made where none is given.
    ///
    /// # Errors
    /// Those of [`Link::new`].
    pub fn command(self, random: [u8; 16]) -> Result<Link, ApiError> {
        let link = self.link.unwrap_or_else(|| LinkToken::of_random(random));
        Link::new(link, self.expires_at, self.uses)
    }
}

pub(super) fn read_link(text: &str) -> Result<Request, ApiError> {
    Ok(Request::Link { room: read_room_id(text)?, wanted: WantedLink::from_text(text)? })
}

pub(super) fn read_unlink(text: &str) -> Result<Request, ApiError> {
    Ok(Request::Unlink { room: read_room_id(text)?, unlink: Unlink::from_text(text)? })
}

pub(super) fn read_links(text: &str) -> Result<Request, ApiError> {
    Ok(Query::Links { room: read_room_id(text)? }.into())
}

pub(super) fn read_find(text: &str) -> Result<Request, ApiError> {
    #[derive(Deserialize)]
    struct Find {
        #[serde(default, deserialize_with = "or_default")]
        text: String,
        #[serde(default, deserialize_with = "or_default")]
        after: String,
        limit: Option<u32>,
    }
    let Find { text, after, limit } = read_object(text)?;
    Ok(Query::FindGroups { text: searched(text)?, after, limit: page_limit(limit)? }.into())
}

/// A text that is looked for.
///
/// # Errors
/// [`ErrorCode::TooLong`](crate::ErrorCode::TooLong).
pub fn searched(text: String) -> Result<String, ApiError> {
    check_chars("text", &text, SEARCH_CHARS_MAX)?;
    Ok(text)
}

/// A link without its token.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LinkShown {
    link_id: String,
    /// Who made it.
    by: String,
    /// When, Unix milliseconds.
    made_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    /// How often one may join by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    uses: Option<u32>,
    /// How often somebody did.
    used: u32,
}

impl Reply {
    /// The answer to `link`.
    #[must_use]
    pub fn link(room: &RoomId, link: &LinkToken) -> Self {
        let link_id = link.id().to_string();
        Self::Link { room: room.to_string(), link: link.as_str().to_owned(), link_id }
    }

    /// The answer to `links`.
    #[must_use]
    pub fn links(list: svc::Links) -> Self {
        let shown = |it: svc::Link| LinkShown {
            link_id: it.id,
            by: it.by,
            made_at: it.made_ms,
            expires_at: Some(it.expires_ms).filter(|at| *at > 0),
            uses: Some(it.uses_max).filter(|uses| *uses > 0),
            used: it.used,
        };
        Self::Links { links: list.links.into_iter().map(shown).collect() }
    }

    /// The answer to `find_groups`.
    #[must_use]
    pub fn groups(page: svc::FoundGroups) -> Self {
        let svc::FoundGroups { groups, cursor } = page;
        let shown = |it: svc::FoundGroup| {
            let svc::FoundGroup { room, title, topic, member_count, join, member, asked, avatar } =
                it;
            FoundGroup { room, title, topic, avatar, member_count, join, member, asked }
        };
        Self::Groups { groups: groups.into_iter().map(shown).collect(), cursor }
    }

    /// The answer to `banned`.
    #[must_use]
    pub fn banned(page: svc::Banned) -> Self {
        let svc::Banned { users, more } = page;
        let user = |svc::BannedUser { user, seq }| BannedUser { user, seq };
        Self::Banned { banned: users.into_iter().map(user).collect(), more }
    }
}
