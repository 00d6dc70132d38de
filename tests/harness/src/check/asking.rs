//! Promises about asking to come into a group, and about being invited into one: who asked, or was invited, is so in the end, unless
//! something that may have come later has ended it; and nobody is who was not, or of whom an answer said that it has
//! ended. Who decides by themselves is put into no group by others, and all of their devices know into which they are
//! invited.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Violation;
use super::facts::{Facts, RoomFacts, user_of};
use super::newest::Newest;
use super::tries::{Try, known_at, tries};
use crate::history::{Change, Deed, Device, Entry, Event, History, Room, Rule, Wanted};

/// What was said of one user and group.
#[derive(Default)]
struct Of {
    asks: Vec<Try>,
    /// Withdrawn or declined, and the entries by which they came in or were banned.
    ends: Vec<Try>,
}

/// What waits for somebody's word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Asking,
    Invited,
}

pub(super) fn check(history: &History, facts: &Facts<'_>, found: &mut BTreeSet<Violation>) {
    judge(history, facts, What::Asking, found);
    judge(history, facts, What::Invited, found);
    judge_joinings(history, facts, found);
    judge_devices(history, found);
}

fn judge(history: &History, facts: &Facts<'_>, what: What, found: &mut BTreeSet<Violation>) {
    let mut all: BTreeMap<(&Room, &str), Of> = BTreeMap::new();
    for (wanted, attempt) in tries(history) {
        match (wanted, what) {
            (Wanted::Ask { user, room }, What::Asking)
            | (Wanted::Invite { user, room }, What::Invited) => {
                all.entry((room, user)).or_default().asks.push(attempt);
            }
            (Wanted::EndAsking { user, room }, What::Asking)
            | (Wanted::EndInvitation { user, room }, What::Invited) => {
                all.entry((room, user)).or_default().ends.push(attempt);
            }
            _ => {}
        }
    }
    let known = known_at(history);
    for ((room, user), of) in &mut all {
        if let Some(log) = facts.rooms.get(*room) {
            of.ends.extend(ends(facts, log, user).map(|(entry, sent)| {
                let known = known.get(&(*room, entry.seq)).copied();
                Try::of_entry(sent, known.unwrap_or(usize::MAX))
            }));
        }
    }
    for event in &history.events {
        let (room, users) = match (event, what) {
            (Event::Deed(Deed::Asking { room, users }), What::Asking)
            | (Event::Deed(Deed::Invited { room, users }), What::Invited) => (room, users),
            _ => continue,
        };
        let asking: BTreeSet<&str> = users.iter().map(|user| &**user).collect();
        let of_room = all.iter().filter(|((of, _), _)| *of == room);
        let wrong = of_room.filter_map(|((_, user), of)| {
            let is_wrong = if asking.contains(user) { of.has_ended() } else { of.lasts() };
            is_wrong.then_some(*user)
        });
        let strangers = asking.iter().copied().filter(|user| !all.contains_key(&(room, *user)));
        for user in wrong.chain(strangers) {
            let is = if what == What::Asking { "asking to come in" } else { "invited" };
            let what = format!("{is}: {}, in the end", asking.contains(user));
            let (room, user) = (room.clone(), user.into());
            found.insert(Violation::WrongMark { room, user, device: None, what });
        }
    }
}

/// Who decides by themselves is put into no group by others.
fn judge_joinings(history: &History, facts: &Facts<'_>, found: &mut BTreeSet<Violation>) {
    for event in &history.events {
        let Event::Deed(Deed::Decides { user }) = event else { continue };
        for (room, of) in &facts.rooms {
            // Of who made the group they were no stranger yet.
            for (seq, entry) in of.standing.range(2..) {
                let Some(Change::Joined(users)) = entry.change.as_deref() else { continue };
                if entry.from != *user && users.contains(user) {
                    let what = format!("brings in {user}, who decides that by themselves");
                    let (room, seq) = ((*room).clone(), *seq);
                    found.insert(Violation::NotAllowed { room, seq, what });
                }
            }
        }
    }
}

fn judge_devices(history: &History, found: &mut BTreeSet<Violation>) {
    let mut last: HashMap<&str, BTreeSet<&Room>> = HashMap::new();
    let mut knows: HashMap<&Device, Newest<'_, &Room, bool>> = HashMap::new();
    for event in &history.events {
        match event {
            Event::Deed(Deed::InvitationTold { device, room, is_on }) => {
                knows.entry(device).or_default().tell(room, *is_on);
            }
            Event::Deed(Deed::InvitationsLoaded { device, rooms }) => {
                let loaded = rooms.iter().map(|room| (room, true)).collect();
                knows.entry(device).or_default().load(|_| true, loaded);
            }
            Event::Deed(Deed::Invitations { user, rooms }) => {
                last.insert(user, rooms.iter().collect());
            }
            Event::Opened { device, .. }
            | Event::Synced { device, .. }
            | Event::Cursor { device, .. }
            | Event::LoadedAll { device, .. } => knows.entry(device).or_default().step(event),
            Event::Settled { device, room } => {
                let user = user_of(device);
                let Some(last) = last.get(user) else { continue };
                let known = knows.get(device).and_then(|knows| knows.get(&room)).unwrap_or(false);
                if known != last.contains(room) {
                    let what = format!("invited: {known}, not {}", last.contains(room));
                    let (room, user, device) = (room.clone(), user.into(), Some(device.clone()));
                    found.insert(Violation::WrongMark { room, user, device, what });
                }
            }
            _ => {}
        }
    }
}

/// The entries by which a user came in or was banned, and when each was sent.
fn ends<'a>(
    facts: &'a Facts<'a>,
    log: &'a RoomFacts<'a>,
    user: &'a str,
) -> impl Iterator<Item = (&'a Entry, usize)> {
    let is_end = move |entry: &&&Entry| {
        let joins = match entry.change.as_deref() {
            Some(Change::Joined(users)) => users.iter().any(|it| **it == *user),
            _ => false,
        };
        let bans = |rule: &Rule| matches!(rule, Rule::Bans(banned) if **banned == *user);
        joins || entry.rules.iter().any(bans)
    };
    log.standing.values().filter(is_end).map(|entry| {
        let send = entry.client_id.as_ref().and_then(|id| facts.sends.get(id));
        (*entry, send.and_then(|send| send.first_sent_at).unwrap_or(0))
    })
}

impl Of {
    /// True where one was answered that nothing can have ended.
    fn lasts(&self) -> bool {
        let is_last = |ask: &&Try| self.ends.iter().all(|end| end.is_over_before(ask.asked));
        self.asks.iter().filter(|ask| ask.done.is_some()).any(|ask| is_last(&ask))
    }

    /// True where each of them was over when something was asked for that has ended it.
    fn has_ended(&self) -> bool {
        let ends = |ask: &Try| {
            self.ends.iter().any(|end| end.done.is_some() && ask.is_over_before(end.asked))
        };
        self.asks.iter().all(ends)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::history::{Attempt, SessionId};

    const ROOM: &str = "team";

    fn entry(seq: u64, from: &str, fields: Value) -> Entry {
        let mut frame = fields;
        for (name, value) in [("room", json!(ROOM)), ("seq", json!(seq)), ("from", json!(from))] {
            frame[name] = value;
        }
        (frame["client_id"], frame["ordinal"]) = (format!("{from}-{seq}").into(), 0.into());
        Entry::read(&frame).expect("an entry")
    }

    fn sends(entry: &Entry) -> [Event; 2] {
        let (device, session) = (format!("{}/phone", entry.from).into(), SessionId(1));
        let (room, client_id) = (entry.room.clone(), entry.client_id.clone().expect("an id"));
        let sent = Event::Sent {
            device,
            session,
            room: room.clone(),
            client_id: client_id.clone(),
            text: 0,
            said: None,
        };
        let device = "alice/phone".into();
        [sent, Event::Acked { device, session, room, client_id, seq: entry.seq }]
    }

    fn says(number: u64, is_ask: bool) -> [Event; 2] {
        let (user, room) = ("bob".into(), ROOM.into());
        let wanted =
            if is_ask { Wanted::Ask { user, room } } else { Wanted::EndAsking { user, room } };
        let attempt = Attempt(SessionId(1), number);
        let asked = Deed::Asked { wanted: wanted.clone(), attempt };
        [asked, Deed::Done { wanted, attempt }].map(Event::Deed)
    }

    fn judge(mut events: Vec<Event>, entries: &[Entry], asking: &[&str]) -> Vec<String> {
        let create = entry(1, "alice", json!({ "kind": "create", "members": [] }));
        let entries = [&[create], entries].concat();
        events.push(Event::Final { room: ROOM.into(), entries });
        let users = asking.iter().map(|user| (*user).into()).collect();
        events.push(Event::Deed(Deed::Asking { room: ROOM.into(), users }));
        let history = History { events, times: Vec::new() };
        let mut found = BTreeSet::new();
        check(&history, &Facts::gather(&history), &mut found);
        found.iter().map(ToString::to_string).collect()
    }

    fn decides() -> Event {
        Event::Deed(Deed::Decides { user: "bob".into() })
    }

    #[test]
    fn who_decides_by_themselves_is_not_added_and_all_devices_know_who_is_invited() {
        let add = entry(2, "alice", json!({ "kind": "add", "user": "bob" }));
        let found = judge(vec![decides()], std::slice::from_ref(&add), &[]);
        assert_eq!(found, ["not allowed: team 2 brings in bob, who decides that by themselves"]);
        let join = entry(2, "bob", json!({ "kind": "join" }));
        assert_eq!(judge(vec![decides()], &[join], &[]), [""; 0]);
        let (device, room) = (|| "bob/phone".into(), || Room::from(ROOM));
        let told =
            |is_on| Event::Deed(Deed::InvitationTold { device: device(), room: room(), is_on });
        let last = |rooms: &[Room]| {
            let listed = Deed::Invitations { user: "bob".into(), rooms: rooms.to_vec() };
            [Event::Deed(listed), Event::Settled { device: device(), room: room() }]
        };
        let of = |told: &[Event], rooms: &[Room]| judge([told, &last(rooms)].concat(), &[], &[]);
        assert_eq!(of(&[told(true)], &[room()]), [""; 0]);
        assert_eq!(of(&[told(true), told(false)], &[]), [""; 0]);
        for (told, rooms) in [(vec![], vec![room()]), (vec![told(true)], vec![])] {
            let found = of(&told, &rooms);
            assert!(found.len() == 1 && found[0].contains("invited: "), "{found:#?}");
        }
    }

    #[test]
    fn who_is_invited_stays_so_until_something_ends_it() {
        let says = |number, wanted: Wanted| {
            let attempt = Attempt(SessionId(1), number);
            let asked = Deed::Asked { wanted: wanted.clone(), attempt };
            [asked, Deed::Done { wanted, attempt }].map(Event::Deed)
        };
        let (user, room) = (|| Arc::<str>::from("bob"), || Room::from(ROOM));
        let invite = says(1, Wanted::Invite { user: user(), room: room() });
        let end = says(2, Wanted::EndInvitation { user: user(), room: room() });
        let of = |mut events: Vec<Event>, users: &[&str]| {
            let users = users.iter().map(|user| (*user).into()).collect();
            events.push(Event::Deed(Deed::Invited { room: room(), users }));
            judge(events, &[], &[])
        };
        let ended = [invite.clone(), end].concat();
        assert_eq!(of(invite.to_vec(), &["bob"]), [""; 0]);
        assert_eq!(of(ended.clone(), &[]), [""; 0]);
        for (events, users) in
            [(invite.to_vec(), &[] as &[&str]), (ended, &["bob"]), (vec![], &["bob"])]
        {
            let found = of(events, users);
            assert!(found.len() == 1 && found[0].contains("invited: "), "{found:#?}");
        }
    }

    #[test]
    fn who_asks_lasts_until_something_ends_it() {
        let (ask, end) = (says(1, true), says(2, false));
        let add = entry(2, "alice", json!({ "kind": "add", "user": "bob" }));
        let ban = entry(2, "alice", json!({ "kind": "ban", "user": "bob" }));
        let right = |events: Vec<Event>, entries: &[Entry], asking: &[&str]| {
            assert_eq!(judge(events, entries, asking), [""; 0]);
        };
        let wrong = |events: Vec<Event>, entries: &[Entry], asking: &[&str]| {
            let is = !asking.is_empty();
            let words = format!("asking to come in: {is}, in the end");
            let found = judge(events, entries, asking);
            assert!(found.len() == 1 && found[0].contains(&words), "{found:#?}");
        };
        right(ask.to_vec(), &[], &["bob"]);
        wrong(ask.to_vec(), &[], &[]);
        wrong(Vec::new(), &[], &["bob"]);
        let declined = [ask.clone(), end.clone()].concat();
        right(declined.clone(), &[], &[]);
        wrong(declined, &[], &["bob"]);
        for ends in [add, ban] {
            let ended = [ask.clone(), sends(&ends)].concat();
            right(ended.clone(), std::slice::from_ref(&ends), &[]);
            wrong(ended.clone(), std::slice::from_ref(&ends), &["bob"]);
            let again = [&ended[..], &says(3, true)].concat();
            right(again.clone(), std::slice::from_ref(&ends), &["bob"]);
            wrong(again, &[ends], &[]);
        }
        // What was underway at once may have come in each order.
        let [asked, done] = ask;
        let [ended, answered] = end;
        for asking in [&["bob"][..], &[]] {
            let at_once = vec![asked.clone(), ended.clone(), done.clone(), answered.clone()];
            right(at_once, &[], asking);
            right(vec![asked.clone()], &[], asking);
        }
    }
}
