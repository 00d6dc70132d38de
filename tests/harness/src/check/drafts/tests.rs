//! Each planted fault of a draft is found, and a good run has none.

use super::*;
use crate::check::check;
use crate::history::{Attempt, Cursor, SessionId};

const ROOM: &str = "alice~bob";

fn draft(version: u64, text: u64) -> Draft {
    Draft { room: ROOM.into(), user: "bob".into(), version, text }
}

/// Bob says a text after the version that he has seen, and it is kept as another one.
fn kept(seen: u64, text: u64, version: u64) -> [Event; 2] {
    let (draft, attempt) = (draft(seen, text), Attempt(SessionId(1), version));
    let sent = Event::DraftSent { draft: draft.clone(), attempt };
    [sent, Event::DraftKept { draft, version, attempt }]
}

fn told(version: u64, text: u64) -> Event {
    Event::DraftTold { device: "bob/phone".into(), draft: draft(version, text) }
}

fn last(drafts: &[(u64, u64)]) -> [Event; 2] {
    let drafts = drafts.iter().map(|(version, text)| draft(*version, *text)).collect();
    let settled = Event::Settled { device: "bob/phone".into(), room: ROOM.into() };
    [Event::Drafts { user: "bob".into(), drafts }, settled]
}

fn judge(events: impl IntoIterator<Item = Event>) -> Vec<String> {
    let found = check(&History { events: events.into_iter().collect(), times: Vec::new() });
    found.iter().map(ToString::to_string).collect()
}

fn is_found(events: impl IntoIterator<Item = Event>, words: &str) {
    let found = judge(events);
    assert!(found.len() == 1 && found[0].contains(words), "{words} is not in {found:#?}");
}

#[test]
fn a_good_run_has_no_violation() {
    let begins = || kept(0, 70, 5).into_iter().chain([told(5, 70)]).chain(kept(5, 71, 9));
    assert_eq!(judge(begins().chain([told(9, 71)]).chain(last(&[(9, 71)]))), [""; 0]);
    // A late frame is nothing new, and what is dismissed is not listed.
    let dismissed = begins().chain(kept(9, 0, 12)).chain([told(12, 0), told(9, 71)]);
    assert_eq!(judge(dismissed.chain(last(&[]))), [""; 0]);
    // Another device was first.
    let draft = draft(5, 72);
    let conflict = [
        Event::DraftSent { draft: draft.clone(), attempt: Attempt(SessionId(2), 1) },
        Event::DraftConflict { draft, found: super::Draft { version: 9, ..self::draft(0, 71) } },
    ];
    let events = begins().chain(conflict).chain([told(9, 71)]).chain(last(&[(9, 71)]));
    assert_eq!(judge(events), [""; 0]);
    assert_eq!(judge(last(&[])), [""; 0]);
}

#[test]
fn a_draft_that_was_answered_and_is_not_there_is_found() {
    let begins = || kept(0, 70, 5).into_iter().chain(kept(5, 71, 9));
    is_found(begins().chain([told(9, 71)]).chain(last(&[])).take(6), "no draft, after version 9");
    let back = begins().chain([told(5, 70)]).chain(last(&[(5, 70)]));
    is_found(back, "version 5 of the draft, after 9");
}

#[test]
fn a_draft_that_overwrites_one_that_its_device_has_not_seen_is_found() {
    let events = kept(0, 70, 5).into_iter().chain(kept(0, 71, 9)).chain([told(9, 71)]);
    is_found(events.chain(last(&[(9, 71)])), "version 9 of the draft instead of 5, unseen");
    let events = kept(9, 70, 5).into_iter().chain([told(5, 70)]);
    is_found(events.chain(last(&[(5, 70)])), "version 5 of the draft after 9");
    let events = kept(0, 70, 5).into_iter().chain([told(5, 0)]);
    let found = judge(events.chain(last(&[(5, 70)])));
    assert!(found.iter().any(|it| it.contains("two texts as version 5")), "{found:#?}");
}

#[test]
fn a_device_that_lacks_a_draft_or_is_told_anothers_is_found() {
    let begins = || kept(0, 70, 5).into_iter().chain([told(5, 70)]).chain(kept(5, 71, 9));
    is_found(begins().chain(last(&[(9, 71)])), "bob/phone has for bob in alice~bob the draft");
    let cursor: Cursor = format!("{:016x}.{:024x}", 7, 1).into();
    let (device, session) = (Device::from("bob/phone"), SessionId(1));
    let at_cursor = Event::Cursor { device: device.clone(), session, cursor: cursor.clone() };
    let opened = Event::Opened { device, session: SessionId(2), cursor: Some(cursor) };
    let events = begins().chain([at_cursor, told(9, 71), opened]).chain(last(&[(9, 71)]));
    is_found(events, "bob/phone has for bob in alice~bob the draft");
    let another = draft(11, 99);
    let another = Draft { user: "alice".into(), ..another };
    let leaked = Event::DraftTold { device: "alice/phone".into(), draft: another };
    let events = begins().chain([told(9, 71), leaked]).chain(last(&[(9, 71)]));
    is_found(events, "version 11 of the draft, which they never said");
}

#[test]
fn a_draft_that_is_refused_without_a_reason_is_found() {
    let refused = Event::DraftRefused { draft: draft(0, 70), code: "not_member".into() };
    let last = Event::Final { room: ROOM.into(), entries: Vec::new() };
    is_found([refused, last], "refused with not_member");
}
