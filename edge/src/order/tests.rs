//! The delivery rule, by example and against a wire that loses, repeats and reorders.

use proptest::prelude::*;

use weft_proto::Membership;

use super::*;

fn me() -> UserId {
    UserId::new("me").expect("id")
}

fn room() -> RoomId {
    RoomId::new("team").expect("id")
}

/// Entry `seq` has position `seq * 10`.
fn position(seq: u64) -> Position {
    Position::new(seq * 10, 0)
}

fn head(seq: u64, membership: Membership) -> EventHead {
    EventHead {
        room: room(),
        seq,
        kind: "any".into(),
        position: position(seq),
        position_before: (seq > 1).then(|| position(seq - 1)),
        user: (membership != Membership::Stays).then(me),
        membership,
        is_unread: membership == Membership::Stays,
    }
}

fn message(seq: u64) -> EventHead {
    head(seq, Membership::Stays)
}

fn member_at(read: u64) -> Order {
    let mut order = Order::new(me());
    order.restart([room()]);
    order.synced(position(read));
    order
}

fn repair(since: Since, to: u64) -> Verdict {
    Verdict::Repair(Missing { room: room(), since, to, joined_after: None })
}

/// The same of who was no member.
fn repair_joining(since: Since, to: u64, read: u64) -> Verdict {
    let joined_after = Some(position(read));
    Verdict::Repair(Missing { room: room(), since, to, joined_after })
}

#[test]
#[should_panic(expected = "team 7 goes out after 5")]
fn an_entry_after_a_hole_never_goes_out() {
    let mut order = member_at(40);
    order.put(&message(5), false);
    order.put(&message(7), false);
}

#[test]
#[should_panic(expected = "team 5 goes out after 5")]
fn an_entry_never_goes_out_twice() {
    let mut order = member_at(40);
    order.put(&message(5), true);
    order.put(&message(5), true);
}

#[test]
fn what_follows_goes_out_and_repeats_do_not() {
    let mut order = member_at(4);
    assert_eq!(order.offer(&message(4)), Verdict::Drop);
    assert_eq!(order.offer(&message(5)), Verdict::Put);
    assert_eq!(order.offer(&message(5)), Verdict::Drop);
    assert_eq!(order.offer(&message(6)), Verdict::Put);
    assert_eq!(order.offer(&message(9)), repair(Since::Seq(6), 8));
}

#[test]
fn the_first_event_after_a_sync_asks_for_what_lies_between() {
    let mut order = member_at(4);
    assert_eq!(order.offer(&message(7)), repair(Since::Position(position(4)), 6));
    // All hidden: the page says nothing but how far it speaks.
    order.cover(&room(), 6);
    assert_eq!(order.offer(&message(7)), Verdict::Put);
}

#[test]
fn the_first_entry_of_a_room_needs_nothing_before() {
    let mut order = Order::new(me());
    order.synced(position(0));
    let mut first = message(1);
    // A group that the user is not known to be in.
    assert_eq!(order.offer(&first), Verdict::Drop);
    first.room = RoomId::new("me~you").expect("id");
    assert_eq!(order.offer(&first), Verdict::Put);
}

#[test]
fn who_joins_starts_at_the_joining() {
    let mut order = Order::new(me());
    order.synced(position(2));
    // Another joining and leaving may have been lost before it.
    let add = head(9, Membership::Joins);
    assert_eq!(order.offer(&add), repair_joining(Since::Position(position(2)), 8, 2));
    assert!(!order.offer_stored(&message(8)));
    order.cover(&room(), 8);
    assert_eq!(order.offer(&add), Verdict::Put);
    assert!(order.is_in(&room()));
    assert_eq!(order.take_moved(), [room()]);
    assert_eq!(order.since(&room()), Since::Seq(9));
}

#[test]
fn who_leaves_gets_nothing_until_the_next_joining() {
    let mut order = member_at(4);
    assert_eq!(order.offer(&head(5, Membership::Leaves)), Verdict::Put);
    assert!(!order.is_in(&room()));
    assert_eq!(order.offer(&message(6)), Verdict::Drop);
    assert!(!order.offer_stored(&message(7)));
    assert_eq!(order.offer(&head(5, Membership::Leaves)), Verdict::Drop);
    assert_eq!(order.offer(&head(8, Membership::Joins)), repair_joining(Since::Seq(5), 7, 4));
    assert!(!order.offer_stored(&message(6)));
    order.cover(&room(), 7);
    assert_eq!(order.offer(&head(8, Membership::Joins)), Verdict::Put);
    assert_eq!(order.offer(&message(9)), Verdict::Put);
}

#[test]
fn a_removal_that_was_missed_is_found_by_the_repair() {
    let mut order = member_at(4);
    assert_eq!(order.offer(&message(5)), Verdict::Put);
    let add = head(9, Membership::Joins);
    assert_eq!(order.offer(&add), repair(Since::Seq(5), 8));
    assert!(order.offer_stored(&message(6)));
    assert!(order.offer_stored(&head(7, Membership::Leaves)));
    // A group whose history is open shows its members what was said while they were away.
    assert!(!order.offer_stored(&message(8)));
    order.cover(&room(), 8);
    assert_eq!(order.offer(&add), Verdict::Put);
    assert_eq!(order.take_moved(), [room(), room()]);
}

#[test]
fn what_the_store_refuses_does_not_go_out() {
    let mut order = member_at(4);
    assert_eq!(order.offer(&message(7)), repair(Since::Position(position(4)), 6));
    order.refuse(&room(), 7);
    assert_eq!(order.offer(&message(7)), Verdict::Drop);
    assert_eq!(order.offer(&message(8)), Verdict::Drop);
    assert_eq!(order.take_moved(), [room()]);
    assert!(!order.is_in(&room()));
}

#[test]
fn an_old_joining_that_comes_again_changes_nothing() {
    let mut order = member_at(9);
    assert_eq!(order.offer(&head(3, Membership::Joins)), Verdict::Drop);
    assert_eq!(order.offer(&head(4, Membership::Leaves)), Verdict::Drop);
    assert!(order.is_in(&room()));
}

fn notice(seq: u64, concerned: Option<u64>) -> Notice {
    Notice { room: room(), seq, position: position(seq), concerned }
}

fn missing(since: Since, to: u64) -> Option<Missing> {
    Some(Missing { room: room(), since, to, joined_after: None })
}

fn missing_joining(since: Since, to: u64, read: u64) -> Option<Missing> {
    Some(Missing { room: room(), since, to, joined_after: Some(position(read)) })
}

#[test]
fn a_notice_finds_what_is_missing_at_the_end() {
    let mut order = member_at(4);
    assert_eq!(order.notice(&notice(4, None)), None);
    assert_eq!(order.notice(&notice(6, None)), missing(Since::Position(position(4)), 6));
    assert!(order.offer_stored(&message(5)));
    order.cover(&room(), 5);
    assert_eq!(order.notice(&notice(6, None)), missing(Since::Seq(5), 6));
    order.cover(&room(), 6);
    assert_eq!(order.notice(&notice(6, Some(5))), None);
}

#[test]
fn a_notice_concerns_members_alone() {
    let mut order = Order::new(me());
    order.synced(position(4));
    assert_eq!(order.notice(&notice(9, None)), None);
    assert_eq!(order.notice(&notice(4, Some(3))), None);
    assert_eq!(order.notice(&notice(9, Some(6))), missing_joining(Since::Seq(5), 9, 4));
    assert!(order.offer_stored(&head(6, Membership::Joins)));
    assert!(order.offer_stored(&head(7, Membership::Leaves)));
    order.cover(&room(), 9);
    assert_eq!(order.notice(&notice(12, None)), None);
    assert_eq!(order.notice(&notice(12, Some(7))), missing_joining(Since::Seq(9), 12, 4));
}

#[test]
fn a_notice_brings_a_direct_rooms_first_entry() {
    let mut order = Order::new(me());
    order.synced(position(4));
    let room = RoomId::new("me~you").expect("id");
    let notice = Notice { room: room.clone(), ..notice(1, None) };
    assert_eq!(order.notice(&notice), None);
    let notice = Notice { position: position(5), ..notice };
    let since = Since::Position(position(4));
    assert_eq!(order.notice(&notice), Some(Missing { room, since, to: 1, joined_after: None }));
}

#[test]
fn what_a_sync_has_covered_is_not_put_out_by_a_repair() {
    let mut order = Order::new(me());
    order.synced(position(6));
    // Added and removed before the sync, by its own cursor on another edge.
    assert_eq!(order.notice(&notice(9, Some(5))), missing_joining(Since::Seq(4), 9, 6));
    assert!(!order.offer_stored(&head(5, Membership::Joins)));
    assert!(!order.offer_stored(&head(6, Membership::Leaves)));
    order.cover(&room(), 9);
    assert!(!order.is_in(&room()));
}

#[test]
fn another_stores_positions_start_anew() {
    let mut order = member_at(50);
    order.restart([room()]);
    order.synced(position(4));
    assert_eq!(order.offer(&message(5)), Verdict::Put);
}

/// The store and the wire of one room, and a session that listens.
struct World {
    kinds: Vec<Membership>,
    order: Order,
    out: Vec<u64>,
    page_entries: usize,
}

impl World {
    fn entry(&self, seq: u64) -> EventHead {
        head(seq, self.kinds[seq as usize - 1])
    }

    /// What a read as of now shows: the room's history is open to its members.
    fn is_visible(&self, seq: u64) -> bool {
        self.is_member_before(self.kinds.len() as u64 + 1) || self.was_member_at(seq)
    }

    fn is_member_before(&self, seq: u64) -> bool {
        let before = &self.kinds[..seq as usize - 1];
        let last = before.iter().rev().find(|kind| **kind != Membership::Stays);
        // Who is neither added nor removed here was a member from the start.
        !matches!(last, Some(Membership::Leaves))
    }

    /// Entry `seq` concerns the user: a member then, joining or leaving by it.
    fn was_member_at(&self, seq: u64) -> bool {
        self.is_member_before(seq) || self.kinds[seq as usize - 1] == Membership::Joins
    }

    fn put_stored(&mut self, seqs: Vec<u64>) {
        for seq in seqs {
            if self.order.offer_stored(&self.entry(seq)) {
                self.out.push(seq);
            }
        }
    }

    /// An event arrives; repairs go page by page.
    fn hear(&mut self, seq: u64) {
        let event = self.entry(seq);
        for _ in 0..1_000 {
            match self.order.offer(&event) {
                Verdict::Drop => return,
                Verdict::Put => return self.out.push(seq),
                Verdict::Repair(missing) => self.repair(&missing),
            }
        }
        panic!("the repair does not end");
    }

    /// An audit of the entries after `since` says where the room's head is.
    fn audit(&mut self, since: u64, to: u64) {
        let concerns = |seq: &u64| self.kinds[*seq as usize - 1] != Membership::Stays;
        let concerned = (since + 1..=to).find(concerns);
        // Nobody tells who is no member, unless it concerns them.
        if since == to || (concerned.is_none() && !self.order.is_in(&room())) {
            return;
        }
        let notice = notice(to, concerned);
        while let Some(missing) = self.order.notice(&notice) {
            self.repair(&missing);
        }
    }

    /// Reads one page of what is missing.
    fn repair(&mut self, missing: &Missing) {
        let first = match missing.since {
            Since::Seq(after) => after + 1,
            Since::Position(after) => (1..).find(|seq| position(*seq) > after).expect("endless"),
        };
        let through = missing.to.min(first + self.page_entries as u64 - 1);
        let joins = |seq: &u64, after| {
            position(*seq) > after && self.kinds[*seq as usize - 1] == Membership::Joins
        };
        let joined = missing.joined_after.map_or(first, |after| {
            let all = first..=self.kinds.len() as u64;
            all.clone().find(|seq| joins(seq, after)).unwrap_or(all.end() + 1)
        });
        let visible = (first..=through).filter(|seq| *seq >= joined && self.is_visible(*seq));
        let page = visible.collect();
        self.put_stored(page);
        self.order.cover(&room(), through);
    }

    /// A sync from `from` (exclusive) to `to`.
    fn sync(&mut self, from: u64, to: u64) {
        let pages = (from + 1..=to).filter(|seq| self.was_member_at(*seq)).collect();
        self.put_stored(pages);
        self.order.synced(position(to));
    }
}

fn kinds() -> impl Strategy<Value = Vec<Membership>> {
    prop::collection::vec(prop_oneof![6 => Just(true), 1 => Just(false)], 3..60).prop_map(|list| {
        let mut member = true;
        list.into_iter()
            .map(|is_message| {
                if is_message {
                    return Membership::Stays;
                }
                member = !member;
                if member { Membership::Joins } else { Membership::Leaves }
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the wire does: what goes out grows, is never hidden from the user, and lacks
    /// nothing between its first entry and the last event that arrived.
    #[test]
    fn output_is_contiguous(
        kinds in kinds(),
        synced in 0_u64..20,
        page_entries in 1_usize..8,
        wire in prop::collection::vec((0_u64..60, 0_u8..20), 0..120),
    ) {
        let count = kinds.len() as u64;
        let synced = synced % count;
        let mut world = World { kinds, order: Order::new(me()), out: Vec::new(), page_entries };
        let listed = world.is_member_before(synced + 1).then(room);
        world.order.restart(listed);
        world.order.synced(position(synced));
        let mut covered = synced;
        for (jitter, action) in wire {
            // Events arrive around where the log is by now, now and then far away; each may come
            // twice, or never.
            match action {
                0 => {
                    let to = (covered + jitter % 9).min(count);
                    world.sync(covered, to);
                    covered = to;
                }
                1 => world.hear(jitter % count + 1),
                _ => world.hear((covered + jitter % 6).clamp(1, count)),
            }
            covered = covered.max(world.out.last().copied().unwrap_or(0));
        }
        world.hear(count);
        world.sync(covered, count);
        let out = &world.out;
        prop_assert!(out.is_sorted_by(|a, b| a < b), "{out:?}");
        if let Some(first) = out.first() {
            let wanted: Vec<u64> =
                (*first..=count).filter(|seq| world.was_member_at(*seq)).collect();
            prop_assert_eq!(out, &wanted);
        }
    }

    /// After an audit's notice of the head everything that the user may see since the sync is out,
    /// each entry once and in order, whatever the wire did before; and what audits have covered may
    /// be counted as covered.
    #[test]
    fn after_a_notice_nothing_is_missing(
        kinds in kinds(),
        synced in 0_u64..20,
        audited in 0_u64..20,
        page_entries in 1_usize..8,
        wire in prop::collection::vec((0_u64..60, 0_u8..20), 0..120),
    ) {
        let count = kinds.len() as u64;
        let synced = synced % count;
        let mut audited = audited.min(synced);
        let mut world = World { kinds, order: Order::new(me()), out: Vec::new(), page_entries };
        let listed = world.is_member_before(synced + 1).then(room);
        world.order.restart(listed);
        world.order.synced(position(synced));
        for (jitter, action) in wire {
            let near = world.out.last().copied().unwrap_or(synced);
            match action {
                0 | 1 => {
                    let to = (audited + jitter % 20).min(count);
                    world.audit(audited, to);
                    audited = to;
                    if action == 1 {
                        world.order.synced(position(to));
                    }
                }
                2 => world.hear(jitter % count + 1),
                _ => world.hear((near + jitter % 6).clamp(1, count)),
            }
        }
        world.audit(audited, count);
        let wanted: Vec<u64> =
            (synced + 1..=count).filter(|seq| world.was_member_at(*seq)).collect();
        prop_assert_eq!(&world.out, &wanted);
    }
}
