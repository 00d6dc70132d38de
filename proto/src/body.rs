//! What a sender asks a room to take: the same words in a frame, in the ingest log and in the entry.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::error::{ApiError, ErrorCode};
use crate::ids::UserId;
use crate::json::read_json;
use crate::limits::{CREATE_MEMBERS_MAX, TEXT_CHARS_MAX, TITLE_CHARS_MAX};

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, prost::Enumeration)]
#[serde(rename_all = "snake_case")]
#[repr(i32)]
pub enum Kind {
    /// A text message: the only kind that counts as unread.
    Message = 1,
    /// The first entry of a group.
    Create = 2,
    /// The group has a new title.
    Rename = 3,
    /// A user joins.
    Add = 4,
    /// A user is removed by another.
    Remove = 5,
    /// A user leaves.
    Leave = 6,
    /// A member has a new role.
    Role = 7,
}

impl Kind {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Create => "create",
            Self::Rename => "rename",
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Leave => "leave",
            Self::Role => "role",
        }
    }

    /// The kind of a word on the wire.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [
            Self::Message,
            Self::Create,
            Self::Rename,
            Self::Add,
            Self::Remove,
            Self::Leave,
            Self::Role,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == word)
    }
}

/// What a member may do. Ordered: a later one may do all that an earlier one may.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, prost::Enumeration,
)]
#[serde(rename_all = "snake_case")]
#[repr(i32)]
pub enum Role {
    /// Reads and writes.
    Member = 1,
    /// Also renames the room, adds and removes members.
    Admin = 2,
    /// Also gives and takes roles. A group's creator is its first owner.
    Owner = 3,
}

/// From where on a member sees the room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, prost::Enumeration)]
#[serde(rename_all = "snake_case")]
#[repr(i32)]
pub enum History {
    /// From the first entry: the default.
    All = 1,
    /// From the member's own joining.
    Joined = 2,
}

/// The content of an entry, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// A text of 1 to 100,000 characters.
    Message {
        /// The text.
        text: String,
    },
    /// Makes the group; the sender becomes its owner.
    Create {
        /// Shown to people.
        title: String,
        /// The other members, each once.
        members: Vec<UserId>,
        /// From where on members see the room.
        history: History,
    },
    /// Gives the group another title.
    Rename {
        /// Shown to people.
        title: String,
    },
    /// Adds a user.
    Add {
        /// Who joins.
        user: UserId,
        /// As what.
        role: Role,
    },
    /// Removes a user.
    Remove {
        /// Who is removed.
        user: UserId,
    },
    /// The sender leaves.
    Leave,
    /// Gives a member another role.
    Role {
        /// Whose.
        user: UserId,
        /// The new role.
        role: Role,
    },
}

impl Body {
    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Message { .. } => Kind::Message,
            Self::Create { .. } => Kind::Create,
            Self::Rename { .. } => Kind::Rename,
            Self::Add { .. } => Kind::Add,
            Self::Remove { .. } => Kind::Remove,
            Self::Leave => Kind::Leave,
            Self::Role { .. } => Kind::Role,
        }
    }

    /// The member whom an entry of this body concerns beside all others (`leave`: its sender, which
    /// the body does not know; `create`: all members, see there).
    #[must_use]
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::Add { user, .. } | Self::Remove { user } | Self::Role { user, .. } => Some(user),
            Self::Message { .. } | Self::Create { .. } | Self::Rename { .. } | Self::Leave => None,
        }
    }

    /// A text message, checked.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`] for an empty text, [`ErrorCode::TooLong`] past the limit.
    pub fn message(text: String) -> Result<Self, ApiError> {
        if text.is_empty() {
            return Err(ApiError::new(ErrorCode::BadRequest, "the field text is empty"));
        }
        check_chars("text", &text, TEXT_CHARS_MAX)?;
        Ok(Self::Message { text })
    }

    /// The form in which it travels: flat, with `kind`.
    #[must_use]
    pub fn to_raw(&self) -> RawBody<'_> {
        let mut raw =
            RawBody { kind: Some(Cow::Borrowed(self.kind().as_str())), ..RawBody::default() };
        match self {
            Self::Message { text } => raw.text = Some(Cow::Borrowed(text)),
            Self::Create { title, members, history } => {
                raw.title = Some(Cow::Borrowed(title));
                raw.members =
                    Some(members.iter().map(|user| Cow::Borrowed(user.as_str())).collect());
                raw.history = Some(*history);
            }
            Self::Rename { title } => raw.title = Some(Cow::Borrowed(title)),
            Self::Add { user, role } | Self::Role { user, role } => {
                raw.user = Some(Cow::Borrowed(user.as_str()));
                raw.role = Some(*role);
            }
            Self::Remove { user } => raw.user = Some(Cow::Borrowed(user.as_str())),
            Self::Leave => {}
        }
        raw
    }

    /// The JSON form, as the ingest log carries it.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(&self.to_raw()).expect("plain fields serialise")
    }

    /// Reads the JSON form.
    ///
    /// # Errors
    /// Those of [`read_json`], or what [`RawBody::check`] says.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ApiError> {
        read_json::<RawBody<'_>>(bytes)?.check()
    }

    /// A hash of the content: tells a resend from another content under the same client id.
    #[must_use]
    pub fn content_hash(&self) -> u64 {
        crate::partition::fnv1a_64(&self.to_json())
    }
}

/// A body as it was sent: flat, nothing checked. Fields that its kind does not use are ignored.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct RawBody<'a> {
    /// `message` where it is missing.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Cow<'a, str>>,
    /// See [`Body`].
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub text: Option<Cow<'a, str>>,
    /// See [`Body`].
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub title: Option<Cow<'a, str>>,
    /// See [`Body`].
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<Cow<'a, str>>>,
    /// See [`Body`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// See [`Body`].
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    pub user: Option<Cow<'a, str>>,
    /// See [`Body`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
}

impl RawBody<'_> {
    /// Checks form and lengths.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownType`], [`ErrorCode::BadRequest`] (names the missing field),
    /// [`ErrorCode::BadId`] or [`ErrorCode::TooLong`].
    pub fn check(self) -> Result<Body, ApiError> {
        let word = self.kind.as_deref().unwrap_or("message");
        let kind = Kind::from_word(word).ok_or_else(|| {
            ApiError::new(ErrorCode::UnknownType, format!("unknown kind {:?}", shorten(word)))
        })?;
        match kind {
            Kind::Message => Body::message(self.text.ok_or_else(|| missing("text"))?.into_owned()),
            Kind::Create => {
                let members = check_members(&self.members.unwrap_or_default())?;
                let title = check_title(self.title)?;
                Ok(Body::Create { title, members, history: self.history.unwrap_or_default() })
            }
            Kind::Rename => Ok(Body::Rename { title: check_title(self.title)? }),
            Kind::Add => Ok(Body::Add {
                user: check_user(self.user)?,
                role: self.role.unwrap_or(Role::Member),
            }),
            Kind::Remove => Ok(Body::Remove { user: check_user(self.user)? }),
            Kind::Leave => Ok(Body::Leave),
            Kind::Role => Ok(Body::Role {
                user: check_user(self.user)?,
                role: self.role.ok_or_else(|| missing("role"))?,
            }),
        }
    }
}

/// The error for a field that is not there.
#[must_use]
pub fn missing(field: &str) -> ApiError {
    ApiError::new(ErrorCode::BadRequest, format!("the field {field} is missing"))
}

/// The error for a text field of more than `chars_max` Unicode scalar values.
///
/// # Errors
/// [`ErrorCode::TooLong`].
pub fn check_chars(field: &str, text: &str, chars_max: usize) -> Result<(), ApiError> {
    // Bytes are never fewer than characters, so most texts need no counting.
    if text.len() > chars_max && text.chars().count() > chars_max {
        return Err(ApiError::new(
            ErrorCode::TooLong,
            format!("the field {field} has more than {chars_max} characters"),
        ));
    }
    Ok(())
}

fn shorten(text: &str) -> String {
    text.chars().take(32).collect()
}

fn check_title(title: Option<Cow<'_, str>>) -> Result<String, ApiError> {
    let title = title.ok_or_else(|| missing("title"))?;
    if title.trim().is_empty() {
        return Err(ApiError::new(ErrorCode::BadRequest, "the field title is empty"));
    }
    check_chars("title", &title, TITLE_CHARS_MAX)?;
    Ok(title.into_owned())
}

fn check_user(user: Option<Cow<'_, str>>) -> Result<UserId, ApiError> {
    UserId::new(&user.ok_or_else(|| missing("user"))?)
}

fn check_members(names: &[Cow<'_, str>]) -> Result<Vec<UserId>, ApiError> {
    if names.len() > CREATE_MEMBERS_MAX {
        return Err(ApiError::new(
            ErrorCode::TooLong,
            format!("the field members names more than {CREATE_MEMBERS_MAX} users"),
        ));
    }
    let mut members = names.iter().map(|name| UserId::new(name)).collect::<Result<Vec<_>, _>>()?;
    members.sort();
    members.dedup();
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(json: &str) -> ErrorCode {
        Body::from_json(json.as_bytes()).expect_err(json).code
    }

    #[test]
    fn bad_bodies_have_stable_codes() {
        let not_utf8 = Body::from_json(b"{\"text\":\"\xc3\x28\"}").expect_err("not UTF-8");
        assert_eq!(not_utf8.code, ErrorCode::BadEncoding);
        assert_eq!(code("{"), ErrorCode::BadJson);
        assert_eq!(code("[]"), ErrorCode::BadRequest);
        assert_eq!(code(r#"["message","hi"]"#), ErrorCode::BadRequest);
        assert_eq!(code("{}"), ErrorCode::BadRequest);
        assert_eq!(code(r#"{"text":""}"#), ErrorCode::BadRequest);
        assert_eq!(code(r#"{"text":7}"#), ErrorCode::BadRequest);
        assert_eq!(code(r#"{"kind":"dance"}"#), ErrorCode::UnknownType);
        assert_eq!(code(r#"{"kind":"add","user":"a.b"}"#), ErrorCode::BadId);
        assert_eq!(code(r#"{"kind":"add","user":"bob","role":"king"}"#), ErrorCode::BadRequest);
        assert_eq!(code(r#"{"kind":"rename","title":"  "}"#), ErrorCode::BadRequest);
    }

    #[test]
    fn length_is_counted_in_characters() {
        assert!(Body::message("한".repeat(TEXT_CHARS_MAX)).is_ok());
        let error = Body::message("한".repeat(TEXT_CHARS_MAX + 1)).expect_err("too long");
        assert_eq!(error.code, ErrorCode::TooLong);
    }

    #[test]
    fn json_form_round_trips() {
        let user = || UserId::new("bob").expect("id");
        for body in [
            Body::Message { text: "hé \"you\"\n".into() },
            Body::Create { title: "T".into(), members: vec![user()], history: History::Joined },
            Body::Rename { title: "N".into() },
            Body::Add { user: user(), role: Role::Admin },
            Body::Remove { user: user() },
            Body::Leave,
            Body::Role { user: user(), role: Role::Owner },
        ] {
            assert_eq!(Body::from_json(&body.to_json()).expect("parse"), body);
        }
    }
}
