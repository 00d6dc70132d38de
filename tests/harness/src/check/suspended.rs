//! Promises about users who are suspended: no session of theirs is synced from the answer on, and what lives goes on for no
//! longer than an edge may take to hear of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::Violation;
use super::facts::user_of;
use super::tries::{Try, is_sure, tries};
use crate::history::{Deed, Entry, Event, History, Room, SessionId, Wanted};

/// Edges ask once a minute about what lives, again where core is silent, and faults last for some of that.
const LIFE_MAX: Duration = Duration::from_secs(150);

pub(super) fn check(history: &History, found: &mut BTreeSet<Violation>) {
    let mut said: BTreeMap<&str, Vec<(bool, Try)>> = BTreeMap::new();
    for (wanted, attempt) in tries(history) {
        if let Wanted::Suspend { user, is_on } = wanted {
            said.entry(user).or_default().push((*is_on, attempt));
        }
    }
    let mut opened: HashMap<SessionId, usize> = HashMap::new();
    for (at, event) in history.events.iter().enumerate() {
        match event {
            Event::Deed(Deed::Refused { wanted: Wanted::Suspend { user, .. }, code, .. }) => {
                found.insert(wrong(user, format!("refused with {code} to be suspended")));
            }
            Event::Opened { session, .. } => {
                opened.insert(*session, at);
            }
            Event::Synced { device, session, .. } => {
                let said = said.get(user_of(device)).map_or(&[][..], Vec::as_slice);
                let Some(opened) = opened.get(session) else { continue };
                if is_sure(said, *opened, at) {
                    let what = format!("synced {device} on its {session}");
                    found.insert(wrong(user_of(device), what));
                }
            }
            Event::Received { device, session, entry: Entry { room, seq, .. } } => {
                let said = said.get(user_of(device)).map_or(&[][..], Vec::as_slice);
                if before(history, at).is_some_and(|since| is_sure(said, since, at)) {
                    let what = format!("pushed {room} {seq} to {device} on its {session}");
                    found.insert(wrong(user_of(device), what));
                }
            }
            _ => {}
        }
    }
}

/// The first event that is not so long before another one that a session may live on; `None`: that was before all.
fn before(history: &History, at: usize) -> Option<usize> {
    let since = history.times.get(at)?.checked_sub(LIFE_MAX)?;
    Some(history.times.partition_point(|time| *time < since))
}

fn wrong(user: &str, what: String) -> Violation {
    let (room, what) = (Room::from(user), format!("{what}, though they are suspended"));
    Violation::WrongMark { room, user: user.into(), device: None, what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Attempt;

    fn says(number: u64, is_on: bool) -> [Event; 2] {
        let wanted = Wanted::Suspend { user: "bob".into(), is_on };
        let attempt = Attempt(SessionId(1), number);
        let asked = Deed::Asked { wanted: wanted.clone(), attempt };
        [asked, Deed::Done { wanted, attempt }].map(Event::Deed)
    }

    fn opens(session: u64) -> [Event; 2] {
        let (device, session) = ("bob/phone".into(), SessionId(session));
        let cursor = "c".into();
        let synced = Event::Synced { device, session, recovered: true, cursor };
        [Event::Opened { device: "bob/phone".into(), session, cursor: None }, synced]
    }

    fn pushes(session: u64) -> Event {
        let frame = serde_json::json!({ "room": "team", "seq": 1, "from": "alice", "text": "x", "ordinal": 1 });
        let entry = Entry::read(&frame).expect("an entry");
        Event::Received { device: "bob/phone".into(), session: SessionId(session), entry }
    }

    /// `seconds`: when each event is.
    fn judge(events: &[Event], seconds: &[u64]) -> Vec<String> {
        let times = seconds.iter().map(|seconds| Duration::from_secs(*seconds)).collect();
        let mut found = BTreeSet::new();
        check(&History { events: events.to_vec(), times }, &mut found);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_session_of_who_is_suspended_is_found() {
        let [on, off] = [says(1, true), says(2, false)];
        let [open, synced] = opens(2);
        let before = [&[open.clone(), synced.clone()][..], &on, &off, &opens(3)].concat();
        assert_eq!(judge(&before, &[]), [""; 0]);
        let late = [&on[..], &opens(2), &off].concat();
        let found = judge(&late, &[]);
        assert!(found.len() == 1 && found[0].contains("synced bob/phone"), "{found:#?}");
        // It was opened before the answer, or the end was underway.
        let at_once = [&[on[0].clone(), open.clone(), on[1].clone(), synced.clone()][..], &off];
        assert_eq!(judge(&at_once.concat(), &[]), [""; 0]);
        let ends = [&on[..], &[open, off[0].clone(), synced, off[1].clone()]].concat();
        assert_eq!(judge(&ends, &[]), [""; 0]);
    }

    #[test]
    fn a_session_that_lives_on_is_found() {
        let [open, synced] = opens(2);
        let events = [&[open, synced][..], &says(1, true), &[pushes(2)]].concat();
        assert_eq!(judge(&events, &[0, 1, 2, 3, 60]), [""; 0]);
        let found = judge(&events, &[0, 1, 2, 3, 160]);
        assert!(found.len() == 1 && found[0].contains("pushed team 1 to bob/phone"), "{found:#?}");
        let back = [&events[..4], &says(2, false), &[pushes(2)]].concat();
        assert_eq!(judge(&back, &[0, 1, 2, 3, 10, 11, 170]), [""; 0]);
    }

    #[test]
    fn a_suspension_that_is_refused_is_found() {
        let [asked, _] = says(1, true);
        let Event::Deed(Deed::Asked { wanted, attempt }) = asked.clone() else { panic!("asked") };
        let refused = Event::Deed(Deed::Refused { wanted, attempt, code: "forbidden".into() });
        let found = judge(&[asked, refused], &[]);
        assert!(found.len() == 1 && found[0].contains("refused with forbidden"), "{found:#?}");
    }
}
