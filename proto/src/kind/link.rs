//! `link`: a token by which one joins the group. A command without an entry: the room's log, which members read,
//! has no tokens.

use serde::{Deserialize, Serialize};

use super::{EntryKind, Kind, PEOPLE_LEVEL};
use crate::check::missing;
use crate::error::{ApiError, ErrorCode};
use crate::limits::LINK_USES_MAX;
use crate::link::LinkToken;

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Link {
    pub link: LinkToken,
    /// Unix milliseconds; `None`: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// How often one may join by it; `None`: as often as one likes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Inner")]
pub struct Fields {
    #[prost(message, required, tag = "35")]
    link: Inner,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
struct Inner {
    #[prost(string, optional, tag = "1")]
    link: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    expires_at: Option<u64>,
    #[prost(uint32, optional, tag = "3")]
    uses: Option<u32>,
}

impl From<Inner> for Fields {
    fn from(link: Inner) -> Self {
        Self { link }
    }
}

impl Link {
    /// Checks when it ends.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`].
    pub fn new(
        link: LinkToken,
        expires_at: Option<u64>,
        uses: Option<u32>,
    ) -> Result<Self, ApiError> {
        let bad = |message: String| Err(ApiError::new(ErrorCode::BadRequest, message));
        if uses.is_some_and(|uses| !(1..=LINK_USES_MAX).contains(&uses)) {
            return bad(format!("the field uses is 1 to {LINK_USES_MAX}"));
        }
        if expires_at == Some(0) {
            return bad("the field expires_at is a time".into());
        }
        Ok(Self { link, expires_at, uses })
    }
}

impl EntryKind for Link {
    type Fields = Fields;
    const KIND: Kind = Kind { is_entry: false, ..Kind::new("link", 22, PEOPLE_LEVEL) };

    fn check(Fields { link: Inner { link, expires_at, uses } }: Fields) -> Result<Self, ApiError> {
        Self::new(LinkToken::new(&link.ok_or_else(|| missing("link"))?)?, expires_at, uses)
    }

    fn fields(&self) -> Fields {
        let (expires_at, uses) = (self.expires_at, self.uses);
        Inner { link: Some(self.link.as_str().to_owned()), expires_at, uses }.into()
    }
}
