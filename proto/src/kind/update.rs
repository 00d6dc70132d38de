//! `update`: what a group is, beside its title, and how long a room's entries and files are kept. Only what it names changes.

use serde::{Deserialize, Serialize};

use super::{EntryKind, Kind, PEOPLE_LEVEL, number_of_word, word_of_number};
use crate::check::check_chars;
use crate::error::{ApiError, ErrorCode};
use crate::file::Avatar;
use crate::limits::{
    FILE_DAYS_MAX, GROUP_MEMBERS_MAX, RETENTION_DAYS_MAX, SLOW_MODE_S_MAX, TOPIC_CHARS_MAX,
};
use crate::room::{JoinRule, WriteRule};

/// Fewest members that a group may be limited to.
const MEMBERS_MAX_LEAST: u32 = 2;

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Update {
    /// Shown to people; empty: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<Box<str>>,
    /// Who may join.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub join: Option<JoinRule>,
    /// Who may write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write: Option<WriteRule>,
    /// Seconds between two messages of one member; 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_mode_s: Option<u32>,
    /// Nobody comes in while the group has so many members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members_max: Option<u32>,
    /// Nobody writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived: Option<bool>,
    /// For how many days an entry is kept; 0: for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
    /// For how many days a message has its files; 0: as everywhere in the installation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_days: Option<u32>,
    /// What is shown beside the title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar: Option<Box<Avatar>>,
    /// Links may have previews, where the installation makes any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previews: Option<bool>,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Inner")]
pub struct Fields {
    #[prost(message, required, tag = "31")]
    update: Inner,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
struct Inner {
    #[prost(string, optional, tag = "1")]
    topic: Option<String>,
    #[prost(enumeration = "JoinRule", optional, tag = "2")]
    #[serde(default, deserialize_with = "number_of_word::<_, JoinRule>")]
    join: Option<i32>,
    #[prost(enumeration = "WriteRule", optional, tag = "3")]
    #[serde(default, deserialize_with = "number_of_word::<_, WriteRule>")]
    write: Option<i32>,
    #[prost(uint32, optional, tag = "4")]
    slow_mode_s: Option<u32>,
    #[prost(uint32, optional, tag = "5")]
    members_max: Option<u32>,
    #[prost(bool, optional, tag = "6")]
    archived: Option<bool>,
    #[prost(uint32, optional, tag = "7")]
    retention_days: Option<u32>,
    #[prost(uint32, optional, tag = "8")]
    file_days: Option<u32>,
    #[prost(string, optional, tag = "9")]
    avatar: Option<String>,
    #[prost(bool, optional, tag = "46")]
    previews: Option<bool>,
}

impl From<Inner> for Fields {
    fn from(update: Inner) -> Self {
        Self { update }
    }
}

impl EntryKind for Update {
    type Fields = Fields;
    const KIND: Kind = Kind { is_for_direct: true, ..Kind::new("update", 18, PEOPLE_LEVEL) };

    fn check(Fields { update }: Fields) -> Result<Self, ApiError> {
        let bad = |message: String| ApiError::new(ErrorCode::BadRequest, message);
        let Inner { topic, join, write, slow_mode_s, members_max, archived, .. } = update;
        let Inner { retention_days, file_days, avatar, previews, .. } = update;
        if let Some(topic) = &topic {
            check_chars("topic", topic, TOPIC_CHARS_MAX)?;
        }
        if slow_mode_s.is_some_and(|seconds| seconds > SLOW_MODE_S_MAX) {
            return Err(bad(format!("the field slow_mode_s is 0 to {SLOW_MODE_S_MAX} seconds")));
        }
        let most = u32::try_from(GROUP_MEMBERS_MAX).unwrap_or(u32::MAX);
        if members_max.is_some_and(|count| !(MEMBERS_MAX_LEAST..=most).contains(&count)) {
            return Err(bad(format!("the field members_max is {MEMBERS_MAX_LEAST} to {most}")));
        }
        if retention_days.is_some_and(|days| days > RETENTION_DAYS_MAX) {
            return Err(bad(format!("the field retention_days is 0 to {RETENTION_DAYS_MAX} days")));
        }
        if file_days.is_some_and(|days| days > FILE_DAYS_MAX) {
            return Err(bad(format!("the field file_days is 0 to {FILE_DAYS_MAX} days")));
        }
        let avatar = avatar.as_deref().map(Avatar::new).transpose()?;
        let join = join.map(|number| word_of_number("join", number)).transpose()?;
        let write = write.map(|number| word_of_number("write", number)).transpose()?;
        let update = Self {
            topic: topic.map(Into::into),
            join,
            write,
            slow_mode_s,
            members_max,
            archived,
            retention_days,
            file_days,
            avatar: avatar.map(Box::new),
            previews,
        };
        if update == Self::default() {
            return Err(bad(
                "an update has topic, join, write, slow_mode_s, members_max, archived, retention_days, file_days, avatar or previews"
                    .into(),
            ));
        }
        Ok(update)
    }

    fn fields(&self) -> Fields {
        let Self { topic, join, write, slow_mode_s, members_max, archived, avatar, .. } =
            self.clone();
        Inner {
            topic: topic.map(Into::into),
            join: join.map(Into::into),
            write: write.map(Into::into),
            slow_mode_s,
            members_max,
            archived,
            retention_days: self.retention_days,
            file_days: self.file_days,
            avatar: avatar.map(|avatar| avatar.to_string()),
            previews: self.previews,
        }
        .into()
    }
}
