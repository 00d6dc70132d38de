//! What must never be committed stops the owner.

use bytes::Bytes;
use weft_proto::Body;
use weft_storage::tables::applied::Applied;
use weft_storage::tables::resend;

use super::seal::{RESEND_HOURS, RESEND_HOURS_AGAIN};
use super::*;
use crate::FEATURE_LEVEL;

fn entry(seq: u64) -> PlannedEntry {
    let id = |name| UserId::new(name).expect("id");
    let entry = Entry {
        room: RoomId::new("team").expect("id"),
        seq,
        ordinal: seq,
        from: id("alice"),
        client_id: None,
        time_ms: 1,
        body: Body::message("x".to_owned()).expect("text"),
    };
    PlannedEntry {
        entry: entry.into(),
        place: Place::Nowhere,
        place_before: Place::Nowhere,
        concerned: vec![],
    }
}

/// Closes a plan with this command and these entries, where 7 is applied.
fn seal(stream_seq: u64, seqs: &[u64]) -> Sealed {
    let mut plan = Plan::new(1, [1; 16], 0, 0);
    (plan.commands, plan.stream_seq) = (1, stream_seq);
    plan.entries = seqs.iter().copied().map(entry).collect();
    let applied = Applied { stream_seq: 7, ..Applied::default() };
    let guards = Guards { applied, layout_row: Bytes::new(), minute: 0 };
    plan.seal(&State::new(1 << 20, FEATURE_LEVEL), &guards, Closing::default())
}

#[test]
fn a_refusal_alone_moves_what_is_applied() {
    assert_eq!(seal(8, &[]).applied.stream_seq, 8);
}

#[test]
#[should_panic(expected = "command 7 after 7 is applied")]
fn what_is_applied_is_not_applied_again() {
    seal(7, &[]);
}

#[test]
#[should_panic(expected = "team would have a hole")]
fn a_room_gets_no_hole() {
    seal(8, &[3, 5]);
}

#[test]
#[should_panic(expected = "the head of team is not its last entry")]
fn a_head_is_the_last_entry() {
    seal(8, &[3, 4]);
}

/// Also where the store is a year old: see `raise_stored_floor`.
#[test]
fn what_client_ids_got_is_removed_from_the_last_floor_on() {
    const HOUR_MS: u64 = 3_600_000;
    let now_hour = 500_000;
    let mut plan = Plan::new(1, [1; 16], 3, 0);
    (plan.commands, plan.stream_seq, plan.oldest_ms) = (1, 8, u64::from(now_hour) * HOUR_MS);
    let was = now_hour - RESEND_HOURS - 1;
    let applied = Applied { stream_seq: 7, floor_hour: was, ..Applied::default() };
    let guards = Guards { applied, layout_row: Bytes::new(), minute: 0 };
    let closing = Closing { now_ms: u64::from(now_hour) * HOUR_MS, ..Closing::default() };
    let sealed = plan.seal(&State::new(1 << 20, FEATURE_LEVEL), &guards, closing);
    assert_eq!(sealed.applied.floor_hour, was + 1);
    let cleared = |range: std::ops::Range<Bytes>| {
        let op = weft_storage::Op::ClearRange { from: range.start, to: range.end };
        sealed.batch.ops().contains(&op)
    };
    let hours = was - RESEND_HOURS_AGAIN..was + 1;
    assert!(cleared(resend::range(3, hours.clone())) && cleared(resend::edge_made_range(3, hours)));
}
