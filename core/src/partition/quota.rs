//! How much one sender may ask of this process: a flood is refused cheaply. All partitions of a
//! process draw on one allowance, so that whoever sends to many rooms has no more than who sends to
//! one. Several processes can't ask each other: each gives its share.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use weft_proto::limits::FANOUT_LIMIT;
use weft_proto::{Body, Membership, UserId};
use weft_runtime::lock;

use super::rooms::Room;

/// Senders kept; those with a full bucket are forgotten first.
const SENDERS_MAX: usize = 100_000;
/// A bucket's unit: millionths of a command. One command per second is a thousand per millisecond.
const MICRO: u64 = 1_000_000;
/// What a member adds who gets the entry: a pointer and an event. A hundred are a command more.
const PER_RECEIVER: u64 = MICRO / 100;
/// What a user adds who is put into a group: as much as if each were added alone.
const PER_ADDED: u64 = MICRO;
/// What an ordinary text has costs nothing beside the command...
const BYTES_FREE: usize = 4_096;
/// ...and every further this-many bytes count as another command.
const BYTES_OF_A_COMMAND: u64 = 65_536;

/// Commands per sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuotaLimits {
    pub rate_per_s: u32,
    /// How many may come at once.
    pub burst: u32,
}

/// What a command costs: how often it is written and handed on, and how many bytes it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cost {
    /// Of an entry.
    Entry(u64),
    /// Of a mark, or of another command without an entry: of these a sender may send as many again.
    Mark(u64),
}

impl Cost {
    /// What a command of this size to this room costs. A text to another person costs one command.
    #[must_use]
    pub fn of(room: &Room, sender: &UserId, body: &Body, bytes: usize) -> Self {
        let count = |count: usize| count as u64;
        let large = count(bytes.saturating_sub(BYTES_FREE)) * MICRO / BYTES_OF_A_COMMAND;
        // Who schedules a message pays for the entry that it becomes: nobody is charged when it is sent.
        let becomes_entry = matches!(body, Body::Schedule(_));
        if !body.kind().is_entry && !becomes_entry {
            return Self::Mark(MICRO + large);
        }
        // One is what the command itself costs.
        let added = match body.membership() {
            Membership::Joins => body.users(sender).len().saturating_sub(1),
            Membership::Stays | Membership::Leaves => 0,
        };
        // Of a large group it is the sessions that hear it. Who is no member pays nothing for those who are: how soon
        // their quota is used up would tell them that there is a group.
        let members = match room.members.role(sender) {
            Some(_) => (room.head.member_count as usize).min(FANOUT_LIMIT),
            None => 0,
        };
        let receivers = members.max(added);
        Self::Entry(MICRO + count(receivers) * PER_RECEIVER + count(added) * PER_ADDED + large)
    }
}

type Buckets = HashMap<UserId, Bucket>;

struct Bucket {
    /// Below 0: it paid for something larger than a full bucket.
    left: i64,
    filled_ms: u64,
}

/// How full each sender's buckets are.
pub struct Quota {
    limits: QuotaLimits,
    /// This process's share, in millionths.
    share: AtomicU64,
    entries: Mutex<Buckets>,
    marks: Mutex<Buckets>,
}

impl Quota {
    /// Full buckets for everybody, and the whole of the limits.
    #[must_use]
    pub fn new(limits: QuotaLimits) -> Self {
        let (entries, marks) = Default::default();
        Self { limits, share: MICRO.into(), entries, marks }
    }

    /// This process owns this many of all partitions, and gives the same share of the limits.
    pub fn set_share(&self, owned: usize, partitions: usize) {
        let share = (owned as u64 * MICRO).checked_div(partitions as u64).unwrap_or(MICRO);
        self.share.store(share, Ordering::Relaxed);
    }

    /// A full bucket, and what flows into it per millisecond.
    fn full_and_rate(&self) -> (i64, u64) {
        let share = self.share.load(Ordering::Relaxed);
        let full = (u64::from(self.limits.burst) * share).max(MICRO);
        let rate = (u64::from(self.limits.rate_per_s) * share / 1_000).max(1);
        (i64::try_from(full).unwrap_or(i64::MAX), rate)
    }

    /// Takes what a command costs from the sender's bucket. What costs more than a full bucket needs
    /// a full one, and is paid for later.
    ///
    /// # Errors
    /// How long to wait until it may come, in milliseconds.
    pub fn take(&self, sender: &UserId, cost: Cost, now_ms: u64) -> Result<(), u64> {
        let (full, rate) = self.full_and_rate();
        let (buckets, cost) = match cost {
            Cost::Entry(cost) => (&self.entries, cost),
            Cost::Mark(cost) => (&self.marks, cost),
        };
        let mut buckets = lock(buckets);
        if buckets.len() >= SENDERS_MAX && !buckets.contains_key(sender) {
            forget_idle(&mut buckets, full, rate, now_ms);
        }
        let bucket = match buckets.get_mut(sender) {
            Some(bucket) => bucket,
            None => {
                buckets.entry(sender.clone()).or_insert(Bucket { left: full, filled_ms: now_ms })
            }
        };
        bucket.fill(full, rate, now_ms);
        let cost = i64::try_from(cost).unwrap_or(i64::MAX);
        let missing = cost.min(full).saturating_sub(bucket.left);
        if missing > 0 {
            return Err(missing.unsigned_abs().div_ceil(rate));
        }
        bucket.left = bucket.left.saturating_sub(cost);
        Ok(())
    }
}

impl Bucket {
    fn fill(&mut self, full: i64, rate: u64, now_ms: u64) {
        let earned = now_ms.saturating_sub(self.filled_ms).saturating_mul(rate);
        self.left = self.left.saturating_add_unsigned(earned).min(full);
        self.filled_ms = self.filled_ms.max(now_ms);
    }
}

fn forget_idle(buckets: &mut Buckets, full: i64, rate: u64, now_ms: u64) {
    buckets.retain(|_, bucket| {
        bucket.fill(full, rate, now_ms);
        bucket.left < full
    });
    if buckets.len() >= SENDERS_MAX {
        // Everybody is busy: all start anew rather than one more sender being refused.
        buckets.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use weft_proto::kind::Create;
    use weft_proto::{History, Role};
    use weft_storage::tables::head::Head;
    use weft_storage::tables::member::Member;

    use super::*;
    use crate::partition::rooms::{Former, Members};
    use crate::partition::state::Place;

    fn user(name: &str) -> UserId {
        UserId::new(name).expect("id")
    }

    fn room(member_count: u32) -> Room {
        let head = Head { member_count, ..Head::default() };
        let owner = Member::joined(Role::Owner, 1);
        let members = Members::All(BTreeMap::from([(user("alice"), owner)]));
        let former = Former::default();
        Room { head, place: Place::Nowhere, members, former, is_accepted: false, touched: 0 }
    }

    fn text() -> Body {
        Body::message("x".into()).expect("text")
    }

    fn create(members: usize) -> Body {
        let members = (0..members).map(|n| user(&format!("u{n}"))).collect();
        Body::Create(Create { title: "t".into(), members, history: History::All })
    }

    #[test]
    fn who_schedules_a_message_pays_for_what_it_becomes() {
        let later = br#"{"kind":"schedule","at":7,"text":"x"}"#;
        let later = Body::from_json(later).expect("a body");
        let of = |body: &Body| Cost::of(&room(100), &user("alice"), body, 9);
        assert_eq!(of(&later), of(&text()));
    }

    #[test]
    fn a_flood_waits_and_others_do_not() {
        let quota = Quota::new(QuotaLimits { rate_per_s: 10, burst: 3 });
        let (flood, calm) = (user("flood"), user("calm"));
        let one = Cost::of(&room(0), &user("alice"), &text(), 0);
        assert!((0..3).all(|_| quota.take(&flood, one, 1_000).is_ok()));
        assert_eq!(quota.take(&flood, one, 1_000), Err(100));
        assert_eq!(quota.take(&flood, one, 1_040), Err(60));
        assert_eq!(quota.take(&calm, one, 1_040), Ok(()));
        assert_eq!(quota.take(&flood, one, 1_100), Ok(()));
        assert_eq!(quota.take(&flood, one, 1_100), Err(100));
        // A clock that goes back gives nothing.
        assert_eq!(quota.take(&flood, one, 500), Err(100));
    }

    #[test]
    fn who_puts_many_into_groups_pays_for_each_of_them() {
        let quota = Quota::new(QuotaLimits { rate_per_s: 50, burst: 200 });
        let (mallory, crowd) =
            (user("mallory"), Cost::of(&room(0), &user("alice"), &create(99), 2_000));
        assert_eq!(quota.take(&mallory, crowd, 0), Ok(()));
        let wait_ms = quota.take(&mallory, crowd, 0).expect_err("a second one at once");
        assert!((20..100).contains(&wait_ms), "{wait_ms}");
        // In the long run one in two seconds.
        let taken = (0..60_000).filter(|ms| quota.take(&mallory, crowd, *ms).is_ok()).count();
        assert!((28..33).contains(&taken), "{taken}");
    }

    #[test]
    fn what_is_large_is_paid_for_and_never_impossible() {
        let cost = |members, bytes| Cost::of(&room(members), &user("alice"), &text(), bytes);
        let commands = |count| Cost::Entry(count * MICRO);
        assert_eq!(cost(0, 0), commands(1));
        assert_eq!(cost(100, 0), commands(2));
        assert_eq!(cost(100_000, 0), commands(2), "a large group is handed on as one");
        assert_eq!(cost(0, 4_096 + 655_360), commands(11));
        let stranger = Cost::of(&room(100), &user("mallory"), &text(), 0);
        assert_eq!(stranger, commands(1), "a stranger learns nothing of who is there");
        // More than a full bucket: passes where it is full, and the next one waits for long.
        let quota = Quota::new(QuotaLimits { rate_per_s: 10, burst: 20 });
        let (sender, crowd) = (user("alice"), Cost::of(&room(0), &user("alice"), &create(99), 0));
        assert_eq!(quota.take(&sender, crowd, 0), Ok(()));
        let wait_ms = quota.take(&sender, Cost::Entry(MICRO), 0).expect_err("it owes");
        assert_eq!(wait_ms, (100_990 - 20_000 + 1_000) / 10);
        assert_eq!(quota.take(&sender, Cost::Entry(MICRO), wait_ms), Ok(()));
    }

    #[test]
    fn marks_are_counted_apart() {
        let quota = Quota::new(QuotaLimits { rate_per_s: 10, burst: 3 });
        let (sender, mark) = (user("alice"), Body::from_json(br#"{"kind":"mark","read":1}"#));
        let mark = Cost::of(&room(100), &sender, &mark.expect("a mark"), 30);
        let one = Cost::of(&room(0), &sender, &text(), 0);
        assert!((0..3).all(|_| quota.take(&sender, mark, 0).is_ok()));
        assert_eq!(quota.take(&sender, mark, 0), Err(100));
        assert!((0..3).all(|_| quota.take(&sender, one, 0).is_ok()));
        assert_eq!(
            (quota.take(&sender, one, 0), quota.take(&sender, mark, 100)),
            (Err(100), Ok(()))
        );
    }

    #[test]
    fn several_processes_share() {
        let quota = Quota::new(QuotaLimits { rate_per_s: 40, burst: 40 });
        quota.set_share(4, 16);
        let (sender, one) = (user("alice"), Cost::Entry(MICRO));
        assert_eq!((0..100).filter(|_| quota.take(&sender, one, 0).is_ok()).count(), 10);
        assert_eq!((0..100).filter(|_| quota.take(&sender, one, 1_000).is_ok()).count(), 10);
        quota.set_share(16, 16);
        assert_eq!((0..100).filter(|_| quota.take(&sender, one, 60_000).is_ok()).count(), 40);
    }
}
