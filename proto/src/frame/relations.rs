//! `relation` and `relations`: what others are to a user, which the own devices alone hear of.

use serde::{Deserialize, Serialize};

use super::{Query, Reply, Request, or_default, page_limit};
use crate::error::ApiError;
use crate::ids::UserId;
use crate::json::read_object;
use crate::kind::Relation;
use crate::svc;

pub(super) fn read(text: &str) -> Result<Request, ApiError> {
    Relation::from_text(text).map(Request::Relation)
}

#[derive(Deserialize)]
struct Page {
    #[serde(default, deserialize_with = "or_default")]
    after: String,
    limit: Option<u32>,
}

pub(super) fn read_relations(text: &str) -> Result<Request, ApiError> {
    let Page { after, limit } = read_object(text)?;
    Ok(Query::Relations { after, limit: page_limit(limit)? }.into())
}

/// What another user is to the user: `{"type":"relation",…}`.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "type", rename = "relation")]
pub struct RelationFrame<'a> {
    pub user: &'a UserId,
    pub contact: bool,
    pub blocked: bool,
}

impl RelationFrame<'_> {
    /// The frame's bytes.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain fields serialise")
    }
}

/// A user in a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RelatedUser {
    user: String,
    contact: bool,
    blocked: bool,
}

impl Reply {
    /// The answer to `relations`.
    #[must_use]
    pub fn relations(page: svc::Relations) -> Self {
        let svc::Relations { relations, more } = page;
        let related = |svc::RelatedUser { user, contact, blocked }: svc::RelatedUser| RelatedUser {
            user,
            contact,
            blocked,
        };
        Self::Relations { relations: relations.into_iter().map(related).collect(), more }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    #[test]
    fn requests_about_others_are_read() {
        let bob = || UserId::new("bob").expect("id");
        let relation = read(r#"{"id":1,"type":"relation","user":"bob","blocked":true}"#);
        let expected = Relation { user: bob(), contact: None, blocked: Some(true) };
        assert_eq!(relation.expect("read"), Request::Relation(expected));
        let bad = read(r#"{"id":1,"type":"relation","user":"bob"}"#).expect_err("nothing");
        assert_eq!(bad.code, ErrorCode::BadRequest);
        let of_path = |json: &[u8]| Relation::of_user(&bob(), json);
        assert_eq!(of_path(br#"{"contact":true}"#).expect("read").user, bob());
        let other = of_path(br#"{"user":"cem","contact":true}"#).expect_err("another user");
        assert_eq!(other.code, ErrorCode::BadRequest);
        let page = read_relations(r#"{"id":1,"type":"relations","after":"bob"}"#).expect("read");
        assert_eq!(page, Query::Relations { after: "bob".into(), limit: 0 }.into());
    }

    #[test]
    fn what_others_are_is_told() {
        let bob = UserId::new("bob").expect("id");
        let frame = RelationFrame { user: &bob, contact: true, blocked: false }.to_frame();
        assert_eq!(frame, br#"{"type":"relation","user":"bob","contact":true,"blocked":false}"#);
        let bob = svc::RelatedUser { user: "bob".into(), contact: false, blocked: true };
        let page = svc::Relations { relations: vec![bob], more: true };
        let expected = br#"{"type":"relations","relations":[{"user":"bob","contact":false,"blocked":true}],"more":true}"#;
        assert_eq!(Reply::relations(page).to_frame(), expected);
    }
}
