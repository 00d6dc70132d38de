//! The marks of groups' members, for the other members who are here: not each as it comes, but those of a while
//! together. What is lost on the way, audits tell.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;
use weft_proto::svc::Change;
use weft_proto::{RoomId, UserId};

use crate::marks::group_change;

/// Between two words to a group: four a second.
const PAUSE: Duration = Duration::from_millis(250);
/// Groups of which it is known when they were last told. What others say is told at once: each of their marks
/// was paid for.
const GROUPS_MAX: usize = 10_000;

/// Up to where a member of a group has read it.
pub type GroupMark = (RoomId, UserId, u64);

/// What each group was not told yet. A group with nothing in it was told a moment ago.
#[derive(Default)]
pub struct GroupMarks {
    waiting: HashMap<RoomId, BTreeMap<UserId, u64>>,
    /// When the next word to a group may go: in the order in which they were told.
    due: VecDeque<(Instant, RoomId)>,
}

impl GroupMarks {
    /// Takes the marks of a commit. What is to be told at once.
    pub fn take(&mut self, now: Instant, marks: Vec<GroupMark>) -> Vec<Change> {
        let mut at_once: BTreeMap<RoomId, BTreeMap<UserId, u64>> = BTreeMap::new();
        for (room, user, read) in marks {
            match self.waiting.get_mut(&room) {
                Some(waiting) => waiting.insert(user, read),
                None => at_once.entry(room).or_default().insert(user, read),
            };
        }
        for room in at_once.keys() {
            if self.waiting.len() < GROUPS_MAX {
                self.waiting.insert(room.clone(), BTreeMap::new());
                self.due.push_back((now + PAUSE, room.clone()));
            }
        }
        at_once.iter().map(|(room, marks)| change(room, marks)).collect()
    }

    /// When something may be told again.
    #[must_use]
    pub fn due_at(&self) -> Option<Instant> {
        self.due.front().map(|(at, _)| *at)
    }

    /// What is to be told now.
    pub fn take_due(&mut self, now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        while self.due_at().is_some_and(|at| at <= now)
            && let Some((_, room)) = self.due.pop_front()
        {
            match self.waiting.get_mut(&room).map(std::mem::take) {
                Some(marks) if !marks.is_empty() => {
                    changes.push(change(&room, &marks));
                    self.due.push_back((now + PAUSE, room));
                }
                _ => drop(self.waiting.remove(&room)),
            }
        }
        changes
    }
}

fn change(room: &RoomId, marks: &BTreeMap<UserId, u64>) -> Change {
    group_change(room, marks.iter().map(|(user, read)| (user, *read)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(room: &str, user: &str, read: u64) -> GroupMark {
        (RoomId::new(room).expect("id"), UserId::new(user).expect("id"), read)
    }

    fn said(changes: Vec<Change>) -> Vec<String> {
        let text = |change: Change| String::from_utf8(change.frame.to_vec()).expect("utf8");
        changes.into_iter().map(text).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_is_told_four_times_a_second_and_of_the_last_one_in_the_end() {
        let mut groups = GroupMarks::default();
        let began = Instant::now();
        let mut told = Vec::new();
        for n in 0..100_u64 {
            let now = began + Duration::from_millis(10 * n);
            told.extend(said(groups.take_due(now)));
            let marks = vec![mark("team", "ann", n + 1), mark("team", "bob", n + 2)];
            told.extend(said(groups.take(now, marks)));
        }
        assert_eq!(told.len(), 4, "{told:?}");
        let first = r#"{"type":"marks","room":"team","marks":[{"user":"ann","read":1},{"user":"bob","read":2}]}"#;
        assert_eq!(told[0], first);
        let due = groups.due_at().expect("something waits");
        assert_eq!(due, began + Duration::from_secs(1));
        let last = said(groups.take_due(due));
        assert!(
            last[0].contains(r#"{"user":"ann","read":100},{"user":"bob","read":101}"#),
            "{last:?}"
        );
        // Nothing is kept of a group that is quiet.
        assert!(groups.take_due(due + PAUSE).is_empty());
        assert!(groups.due_at().is_none() && groups.waiting.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn groups_do_not_wait_for_each_other() {
        let (mut groups, now) = (GroupMarks::default(), Instant::now());
        assert_eq!(groups.take(now, vec![mark("a", "ann", 1), mark("b", "ann", 1)]).len(), 2);
        assert_eq!(groups.take(now, vec![mark("a", "ann", 2), mark("c", "ann", 1)]).len(), 1);
        assert_eq!(said(groups.take_due(now + PAUSE)).len(), 1);
    }
}
