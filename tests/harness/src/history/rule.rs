//! What an entry says about who may do what in its group.

use std::sync::Arc;

use serde_json::Value;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rule {
    /// The user is kept out.
    Bans(Arc<str>),
    /// Not any more.
    Unbans(Arc<str>),
    /// The user's role: it is owner or admin.
    Leads(Arc<str>, bool),
    /// Only owners and admins write.
    IsReadOnly(bool),
    /// A member waits between two messages.
    IsSlow(bool),
    /// Nobody says or changes anything.
    IsArchived(bool),
    /// The same, by an administrator of the installation.
    IsClosed(bool),
    /// Entries are kept for so many days; 0: for ever.
    Keeps(u64),
}

impl Rule {
    /// Reads an `entry` frame.
    pub(super) fn read(frame: &Value) -> Vec<Self> {
        let user = |field: &str| frame[field].as_str().map(Arc::from);
        let leads = || matches!(frame["role"].as_str(), Some("owner" | "admin"));
        let one = match frame["kind"].as_str().unwrap_or_default() {
            "create" => user("from").map(|user| Self::Leads(user, true)),
            "add" | "role" => user("user").map(|user| Self::Leads(user, leads())),
            "ban" => user("user").map(Self::Bans),
            "unban" => user("user").map(Self::Unbans),
            "close" => frame["closed"].as_bool().map(Self::IsClosed),
            "update" => return Self::read_update(frame),
            _ => None,
        };
        one.into_iter().collect()
    }

    fn read_update(frame: &Value) -> Vec<Self> {
        let write = frame["write"].as_str().map(|who| Self::IsReadOnly(who == "admins"));
        let slow = frame["slow_mode_s"].as_u64().map(|seconds| Self::IsSlow(seconds > 0));
        let archived = frame["archived"].as_bool().map(Self::IsArchived);
        let keeps = frame["retention_days"].as_u64().map(Self::Keeps);
        [write, slow, archived, keeps].into_iter().flatten().collect()
    }
}
