//! `profiles` and `find_users`: what others see of users.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Query, Reply, Request, or_default, page_limit};
use crate::check::empty;
use crate::error::{ApiError, ErrorCode};
use crate::ids::UserId;
use crate::json::read_object;
use crate::limits::PROFILES_MAX;
use crate::svc;

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    users: Vec<Cow<'a, str>>,
}

pub(super) fn read_profiles(text: &str) -> Result<Request, ApiError> {
    let Named { users } = read_object(text)?;
    Ok(Query::Profiles { users: profiles_of(&users)? }.into())
}

/// What users change of their own profile. What is left out stays.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct ProfileChange {
    pub display_name: Option<String>,
    /// The id of an image of theirs; empty: none.
    pub avatar: Option<String>,
    pub about: Option<String>,
}

impl ProfileChange {
    /// What core is asked for by whose token it is.
    #[must_use]
    pub fn request(self, token: String) -> svc::SetProfile {
        let Self { display_name, avatar, about } = self;
        svc::SetProfile { token, display_name, avatar, about }
    }
}

pub(super) fn read_change(text: &str) -> Result<Request, ApiError> {
    Ok(Request::Profile(Box::new(read_object(text)?)))
}

/// The users whose profiles are asked for.
///
/// # Errors
/// [`ErrorCode::BadRequest`] where there is none, [`ErrorCode::TooLong`] where there are too many, [`ErrorCode::BadId`].
pub fn profiles_of(users: &[impl AsRef<str>]) -> Result<Vec<UserId>, ApiError> {
    if users.is_empty() {
        return Err(empty("users"));
    }
    if users.len() > PROFILES_MAX {
        let message = format!("the field users has at most {PROFILES_MAX} users");
        return Err(ApiError::new(ErrorCode::TooLong, message));
    }
    users.iter().map(|user| UserId::new(user.as_ref())).collect()
}

#[derive(Deserialize)]
struct Find {
    prefix: String,
    #[serde(default, deserialize_with = "or_default")]
    after: String,
    limit: Option<u32>,
}

pub(super) fn read_find(text: &str) -> Result<Request, ApiError> {
    let Find { prefix, after, limit } = read_object(text)?;
    Ok(Query::FindUsers { prefix, after, limit: page_limit(limit)? }.into())
}

/// What others see of a user.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Profile {
    user: String,
    display_name: String,
    /// A file's id; empty: none.
    avatar: String,
    is_bot: bool,
    /// They have deleted their account.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    deleted: bool,
    /// A line of the user's own words.
    #[serde(skip_serializing_if = "String::is_empty")]
    about: String,
    /// Of two of one user, the one with the greater version is newer.
    version: u64,
}

impl From<svc::Profile> for Profile {
    fn from(profile: svc::Profile) -> Self {
        let svc::Profile { user, display_name, avatar, is_bot, about, version, deleted } = profile;
        Self { user, display_name, avatar, is_bot, deleted, about, version }
    }
}

/// A profile that has changed: `{"type":"profile",…}`, as a push, and as the answer to who has changed it.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename = "profile")]
pub struct ProfileFrame {
    #[serde(flatten)]
    pub profile: Profile,
}

impl ProfileFrame {
    /// The frame's bytes.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain fields serialise")
    }
}

impl Reply {
    /// The answer to `find_users`.
    #[must_use]
    pub fn found_users(page: svc::FoundUsers) -> Self {
        let svc::FoundUsers { profiles, more, cursor } = page;
        let users = profiles.into_iter().map(Into::into).collect();
        Self::Users { users, more, cursor }
    }

    /// The answer to `profiles`.
    #[must_use]
    pub fn profiles(found: svc::Profiles) -> Self {
        Self::Profiles { profiles: found.profiles.into_iter().map(Into::into).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_asked_for() {
        let read = |users: &str| {
            read_profiles(&format!(r#"{{"id":1,"type":"profiles","users":{users}}}"#))
        };
        let bob = UserId::new("bob").expect("id");
        let change = read_change(r#"{"id":1,"type":"profile","about":"","avatar":null}"#);
        let about = Some(String::new());
        let wanted = ProfileChange { display_name: None, avatar: None, about };
        assert_eq!(change.expect("read"), Request::Profile(Box::new(wanted)));
        let expected = Query::Profiles { users: vec![bob] };
        assert_eq!(read(r#"["bob"]"#).expect("read"), expected.into());
        let many = format!("[{}]", vec![r#""bob""#; PROFILES_MAX + 1].join(","));
        for (bad, code) in [
            ("[]", ErrorCode::BadRequest),
            (r#"["a.b"]"#, ErrorCode::BadId),
            (r#""bob""#, ErrorCode::BadRequest),
            (&many, ErrorCode::TooLong),
        ] {
            assert_eq!(read(bad).expect_err(bad).code, code);
        }
    }

    #[test]
    fn users_are_looked_for() {
        let read = |fields: &str| read_find(&format!(r#"{{"id":1,"type":"find_users",{fields}}}"#));
        let expected = Query::FindUsers { prefix: "홍".into(), after: "bob:b".into(), limit: 5 };
        let found = read(r#""prefix":"홍","after":"bob:b","limit":5"#).expect("read");
        assert_eq!(found, expected.into());
        assert_eq!(read(r#""limit":5"#).expect_err("no prefix").code, ErrorCode::BadRequest);
        let page = svc::FoundUsers { more: true, cursor: "bob:b".into(), ..Default::default() };
        let expected = br#"{"type":"users","users":[],"more":true,"cursor":"bob:b"}"#;
        assert_eq!(Reply::found_users(page).to_frame(), expected);
    }

    #[test]
    fn profiles_are_told() {
        let profile = |about: &str| svc::Profile {
            user: "bob".into(),
            display_name: "Bob".into(),
            about: about.into(),
            version: 3,
            ..svc::Profile::default()
        };
        let frame = ProfileFrame { profile: profile("").into() }.to_frame();
        let expected = br#"{"type":"profile","user":"bob","display_name":"Bob","avatar":"","is_bot":false,"version":3}"#;
        assert_eq!(frame, expected);
        let found = svc::Profiles { profiles: vec![profile("at sea")] };
        let expected = br#"{"type":"profiles","profiles":[{"user":"bob","display_name":"Bob","avatar":"","is_bot":false,"about":"at sea","version":3}]}"#;
        assert_eq!(Reply::profiles(found).to_frame(), expected);
    }
}
