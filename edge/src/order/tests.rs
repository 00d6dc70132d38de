//! The delivery rule, by example. Against a wire that loses, repeats and reorders: `tests/sim/`.

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
