//! Each planted fault of a setting is found, and a good run has none.

use super::*;
use crate::check::check;
use crate::history::{Attempt, Listed, SessionId};

const ROOM: &str = "alice~bob";

fn wish(muted_until: Option<u64>, pinned: Option<bool>) -> Wish {
    Wish { room: ROOM.into(), user: "bob".into(), muted_until, pinned }
}

fn said(number: u64, muted_until: Option<u64>, pinned: Option<bool>) -> [Event; 2] {
    let (wish, attempt) = (wish(muted_until, pinned), Attempt(SessionId(1), number));
    [Event::SettingSent { wish: wish.clone(), attempt }, Event::SettingKept { wish, attempt }]
}

fn told(device: &str, muted_until: u64, pinned: bool) -> Event {
    let setting = Setting { muted_until, pinned };
    Event::SettingTold { device: device.into(), room: ROOM.into(), setting }
}

fn listed(muted_until: u64, pinned: bool) -> Event {
    let setting = Setting { muted_until, pinned };
    let listed = Listed { setting, ..Listed::default() };
    Event::Listed { user: "bob".into(), room: ROOM.into(), listed }
}

fn settled() -> Event {
    Event::Settled { device: "bob/phone".into(), room: ROOM.into() }
}

/// Bob mutes the room, and again up to another time, and pins it.
fn good() -> Vec<Event> {
    let mut events: Vec<Event> = said(1, Some(7), None).into();
    events.push(told("bob/phone", 7, false));
    events.extend(said(2, Some(9), None));
    events.extend(said(3, None, Some(true)));
    events.push(told("bob/phone", 9, true));
    events.extend([listed(9, true), settled()]);
    events
}

fn judge(events: Vec<Event>) -> Vec<String> {
    let found = check(&History { events, times: Vec::new() });
    found.iter().map(ToString::to_string).collect()
}

/// The good run with another event in the place of one.
fn is_found(at: &Event, by: Option<Event>, words: &str) {
    let mut events = good();
    let index = events.iter().rposition(|event| event == at).expect("an event of the good run");
    events.splice(index..=index, by);
    let found = judge(events);
    assert!(found.iter().any(|it| it.contains(words)), "{words} is not in {found:#?}");
}

#[test]
fn a_good_run_has_no_violation() {
    assert_eq!(judge(good()), [""; 0]);
    assert_eq!(judge(vec![listed(0, false), settled()]), [""; 0]);
    // What was underway at once may have come in each order, and an attempt without an answer at any time.
    let [[a, b], [c, d]] = [said(1, Some(7), None), said(2, Some(9), None)];
    for last in [7, 9] {
        let mut events = vec![a.clone(), c.clone(), b.clone(), d.clone()];
        events.extend([told("bob/phone", last, false), listed(last, false), settled()]);
        assert_eq!(judge(events), [""; 0]);
        let mut events = vec![a.clone(), c.clone(), d.clone()];
        events.extend([told("bob/phone", last, false), listed(last, false), settled()]);
        assert_eq!(judge(events), [""; 0]);
    }
}

#[test]
fn a_setting_that_was_answered_and_is_not_there_is_found() {
    is_found(&listed(9, true), Some(listed(7, true)), "muted_until 7 in the end");
    is_found(&listed(9, true), Some(listed(0, true)), "muted_until 0 in the end");
    is_found(&listed(9, true), Some(listed(9, false)), "pinned: false in the end");
    is_found(&listed(9, true), Some(listed(8, true)), "muted_until 8 in the end");
}

#[test]
fn a_device_that_lacks_a_setting_or_is_told_anothers_is_found() {
    let last = told("bob/phone", 9, true);
    is_found(&last, None, "bob/phone has for bob");
    is_found(&last, Some(told("bob/phone", 9, false)), "bob/phone has for bob");
    is_found(&last, Some(told("bob/phone", 5, true)), "which they never said");
    is_found(&last, Some(told("alice/phone", 9, true)), "which they never said");
}

#[test]
fn a_setting_that_is_refused_without_a_reason_is_found() {
    let refused = Event::SettingRefused { wish: wish(Some(3), None), code: "not_member".into() };
    let last = Event::Final { room: ROOM.into(), entries: Vec::new() };
    let found = judge(vec![refused, last]);
    assert!(found.len() == 1 && found[0].contains("refused with not_member"), "{found:#?}");
}
