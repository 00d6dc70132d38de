//! What one device has seen: entries, its cursor, and who is online.

use std::collections::HashSet;
use std::ops::Range;

use serde::Deserialize;
use weft_proto::Presence;
use weft_proto::presence::Status;

use super::groups::{CREATED, group_of_room};
use crate::bench::log_check::LogCheck;
use crate::bench::scan::{number, text};

/// Kept over all sessions of a device; who is online is of the present session.
pub struct Seen {
    name: String,
    first_group: usize,
    /// Per group, what comes after its creation.
    logs: Vec<LogCheck>,
    cursor: String,
    contacts: usize,
    online: HashSet<String>,
}

#[derive(Deserialize)]
struct PresenceFrame {
    users: Vec<Presence>,
}

impl Seen {
    /// `contacts`: how many others it will see.
    pub fn new(name: String, groups: Range<usize>, contacts: usize) -> Self {
        let logs = groups.clone().map(|_| LogCheck::default()).collect();
        let (cursor, online) = (String::new(), HashSet::new());
        Self { name, first_group: groups.start, logs, cursor, contacts, online }
    }

    /// `None`: an entry that nobody sent.
    pub fn on_entry(&mut self, frame: &str) -> Option<()> {
        let group = group_of_room(text(frame, r#""room":""#)?)?;
        let log = self.logs.get_mut(group.checked_sub(self.first_group)?)?;
        // Nobody is connected when the group is made.
        let seq = number(frame, r#""seq":"#)?.checked_sub(CREATED).filter(|seq| *seq > 0)?;
        log.saw(seq, seq - 1);
        Some(())
    }

    /// `synced` or `cursor`; everything before it is taken in.
    pub fn on_cursor(&mut self, frame: &str) -> Option<()> {
        text(frame, r#""cursor":""#)?.clone_into(&mut self.cursor);
        Some(())
    }

    /// Takes in who is how; how many it says to be offline. `None`: it can't be read.
    pub fn on_presence(&mut self, frame: &str) -> Option<u64> {
        let frame: PresenceFrame = serde_json::from_str(frame).ok()?;
        let mut offline = 0;
        for presence in frame.users {
            let user = presence.user.to_string();
            if user == self.name {
                continue;
            }
            if presence.status == Status::Offline {
                offline += 1;
                self.online.remove(&user);
            } else {
                self.online.insert(user);
            }
        }
        Some(offline)
    }

    /// The session is over: the next one is told everything anew.
    pub fn forget_who_is_online(&mut self) {
        self.online.clear();
    }

    /// `None`: on the first connect.
    pub fn cursor(&self) -> Option<&str> {
        (!self.cursor.is_empty()).then_some(&self.cursor)
    }

    /// Contacts of whom the session does not know that they are online.
    pub fn unseen_contacts(&self) -> usize {
        self.contacts.saturating_sub(self.online.len())
    }

    /// How many entries it lacks. `heads`: of all groups, the seq of the last entry.
    pub fn missed(&self, heads: &[u64]) -> u64 {
        let own = self.logs.iter().zip(&heads[self.first_group..]);
        own.map(|(log, head)| log.lost(head.saturating_sub(CREATED))).sum()
    }

    pub fn duplicated(&self) -> u64 {
        self.logs.iter().map(LogCheck::duplicated).sum()
    }

    /// Entries that came behind a later one of their room.
    pub fn reordered(&self) -> u64 {
        self.logs.iter().map(LogCheck::reordered).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(group: usize, seq: u64) -> String {
        format!(r#"{{"type":"entry","room":"storm-{group}","seq":{seq},"text":"x"}}"#)
    }

    #[test]
    fn what_is_missed_is_counted_by_the_rooms_heads() {
        let mut seen = Seen::new("me".to_owned(), 1..3, 1);
        for (group, seq) in [(1, 2), (1, 3), (2, 2), (2, 4), (1, 2)] {
            seen.on_entry(&entry(group, seq)).expect("taken");
        }
        assert_eq!(seen.missed(&[99, 3, 4]), 1);
        assert_eq!(seen.missed(&[99, 5, 4]), 3);
        assert_eq!((seen.duplicated(), seen.reordered()), (1, 0));
        // Not its own, or the creation.
        assert!(seen.on_entry(&entry(3, 2)).is_none());
        assert!(seen.on_entry(&entry(1, 1)).is_none());
    }

    #[test]
    fn others_are_online_and_offline() {
        let mut seen = Seen::new("me".to_owned(), 0..1, 2);
        let told = |user: &str, status: &str| {
            format!(
                r#"{{"type":"presence","users":[{{"user":"{user}","status":"{status}","version":1}}]}}"#
            )
        };
        for (user, status, offline) in
            [("me", "online", 0), ("a", "online", 0), ("b", "away", 0), ("a", "offline", 1)]
        {
            assert_eq!(seen.on_presence(&told(user, status)), Some(offline));
        }
        assert_eq!(seen.unseen_contacts(), 1);
        seen.forget_who_is_online();
        assert_eq!(seen.unseen_contacts(), 2);
        assert_eq!(seen.on_presence("{}"), None);
    }
}
