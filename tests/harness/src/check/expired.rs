//! Promises about entries whose time in their room is over: they are shown to nobody any more some time after that, and no other
//! entry is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Violation;
use super::facts::{Facts, RoomFacts};
use super::tries::known_at;
use crate::history::{Deed, Entry, Event, History, Room, Rule};

/// A rule that is new is carried out within minutes, whatever breaks meanwhile.
const CARRIED_OUT: Duration = Duration::from_secs(150);

pub(super) fn check(history: &History, facts: &Facts<'_>, found: &mut BTreeSet<Violation>) {
    // The newest entry that was made so old, and where that was done.
    let mut aged: BTreeMap<&Room, (u64, usize)> = BTreeMap::new();
    let (mut is_read, known) = (BTreeSet::new(), known_at(history));
    for (at, event) in history.events.iter().enumerate() {
        match event {
            Event::Deed(Deed::Aged { room, up_to }) => {
                aged.insert(room, (*up_to, at));
            }
            Event::Deed(Deed::Begins { room, first }) => {
                is_read.insert(room);
                let (up_to, aged_at) = aged.get(room).copied().unwrap_or_default();
                let mut say = |seq: u64, what: &str| {
                    let (room, what) = (room.clone(), what.to_owned());
                    found.insert(Violation::NotAllowed { room, seq, what });
                };
                if *first > up_to + 1 {
                    say(up_to + 1, "is deleted, though its time was not over");
                }
                let rules = facts.rooms.get(room).and_then(|of| {
                    let new = last_rule(of)?;
                    let known = known.get(&(room, new.seq)).copied()?;
                    let long_ago = history.times.get(known)?.saturating_add(CARRIED_OUT);
                    (known > aged_at && long_ago < *history.times.get(at)?).then_some(new)
                });
                if rules.is_some() && *first <= up_to {
                    say(*first, "is there, though its time is over");
                }
            }
            Event::Shown { room, entries, .. } => {
                let first = entries.first().filter(|_| is_read.contains(room));
                found.extend(first.and_then(|first| shown(facts, room, first)));
            }
            Event::Loaded { entry, .. } if is_read.contains(&entry.room) => {
                found.extend(shown(facts, &entry.room, entry));
            }
            _ => {}
        }
    }
}

/// The newest entry that says for how long entries are kept, where they are not kept for ever.
fn last_rule<'a>(of: &RoomFacts<'a>) -> Option<&'a Entry> {
    let mut entries = of.standing.values().rev();
    let keeps = |entry: &&&Entry| entry.rules.iter().any(|rule| matches!(rule, Rule::Keeps(_)));
    let last = entries.find(keeps)?;
    (!last.rules.contains(&Rule::Keeps(0))).then_some(*last)
}

/// One that was deleted is not shown after that.
fn shown(facts: &Facts<'_>, room: &Room, entry: &Entry) -> Option<Violation> {
    let of = facts.rooms.get(room).filter(|of| !of.is_kept(entry.seq));
    let what = "is shown, though it was deleted before".to_owned();
    of.map(|_| Violation::NotAllowed { room: room.clone(), seq: entry.seq, what })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::check::check;
    use crate::history::SessionId;

    const ROOM: &str = "team";

    fn entry(seq: u64, fields: Value) -> Entry {
        let mut frame = fields;
        (frame["room"], frame["seq"], frame["from"]) = (ROOM.into(), seq.into(), "alice".into());
        frame["client_id"] = format!("id-{seq}").into();
        frame["ordinal"] = if frame["text"].is_string() { seq - 1 } else { 3 }.into();
        Entry::read(&frame).expect("an entry")
    }

    /// A group of which the first three entries have expired by the rule that is its fifth.
    fn log() -> Vec<Entry> {
        let mut log = vec![
            entry(1, json!({ "kind": "create", "members": ["bob"], "ordinal": 0 })),
            entry(2, json!({ "text": "one" })),
            entry(3, json!({ "text": "two" })),
            entry(4, json!({ "text": "three" })),
            entry(5, json!({ "kind": "update", "retention_days": 2 })),
        ];
        log[0].ordinal = 0;
        log
    }

    fn received(entry: Entry) -> Event {
        Event::Received { device: "bob/phone".into(), session: SessionId(1), entry }
    }

    fn aged(up_to: u64) -> Event {
        Event::Deed(Deed::Aged { room: ROOM.into(), up_to })
    }

    fn begins(first: u64) -> Event {
        Event::Deed(Deed::Begins { room: ROOM.into(), first })
    }

    /// The run, and the end of it long after that; `first`: where the room begins then.
    fn judge(up_to: u64, first: u64, later: Vec<Event>) -> Vec<String> {
        let mut events: Vec<Event> = log()[..4].iter().cloned().map(received).collect();
        events.extend([aged(up_to), received(log()[4].clone()), begins(first)]);
        let kept = log().into_iter().filter(|entry| entry.seq >= first).collect::<Vec<_>>();
        let seen = History { events: events.clone(), times: Vec::new() };
        let entries = [seen.seen_before(&ROOM.into(), first), kept.clone()].concat();
        events.push(Event::Final { room: ROOM.into(), entries });
        let user = "bob".into();
        events.push(Event::Shown { user, room: ROOM.into(), entries: kept });
        events.extend(later);
        let seconds = (0..events.len() as u64).map(|at| if at > 5 { 1_000 + at } else { at });
        let times = seconds.map(Duration::from_secs).collect();
        let found = check(&History { events, times });
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_has_expired_is_not_missed() {
        let device = || "bob/tablet".into();
        let pushed = |seq: usize| Event::Received {
            device: device(),
            session: SessionId(2),
            entry: log()[seq - 1].clone(),
        };
        let settled = Event::Settled { device: device(), room: ROOM.into() };
        assert_eq!(judge(3, 4, vec![pushed(4), pushed(5), settled.clone()]), [""; 0]);
        let found = judge(3, 4, vec![pushed(5), settled]);
        assert!(found.iter().any(|it| it.contains("never got team 4")), "{found:#?}");
    }

    #[test]
    fn what_is_deleted_too_soon_or_not_at_all_is_found() {
        let has = |found: Vec<String>, words: &str| {
            assert!(found.iter().any(|it| it.contains(words)), "{words}: {found:#?}");
        };
        has(judge(2, 4, Vec::new()), "team 3 is deleted, though its time was not over");
        has(judge(3, 1, Vec::new()), "team 1 is there, though its time is over");
        let loaded = Event::Loaded { device: "bob/fresh".into(), entry: log()[1].clone() };
        has(judge(3, 4, vec![loaded]), "team 2 is shown, though it was deleted before");
    }

    #[test]
    fn an_entry_that_was_not_old_and_is_gone_is_found() {
        let hole = log().into_iter().filter(|entry| entry.seq != 4);
        let events =
            vec![aged(2), begins(3), Event::Final { room: ROOM.into(), entries: hole.collect() }];
        let found = check(&History { events, times: Vec::new() });
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert!(found.iter().any(|it| it == "hole: team has 5 where 4 should be"), "{found:#?}");
    }
}
