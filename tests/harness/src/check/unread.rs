//! Promises about what is unread: the room list of a fresh device, and what each device computes of what it was told,
//! are what the room's log and the user's mark make.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::Violation;
use super::counts::{Counted, first_unread};
use super::facts::{Facts, RoomFacts, user_of};
use super::has::{AllHave, Has, Own};
use super::newest::Newest;
use super::unread_from;
use crate::history::{Device, Event, History, Listed, Mark, Room};

pub(super) fn check(
    history: &History,
    facts: &Facts<'_>,
    has: &AllHave<'_>,
    found: &mut BTreeSet<Violation>,
) {
    let mut counted: BTreeMap<&Room, Counted<'_>> = BTreeMap::new();
    for (room, of) in &facts.rooms {
        let Some(log) = of.last else { continue };
        let model = Counted::of(log, |entry| facts.said(of, entry));
        let wrongs = model.wrong_ordinals(|entry| facts.said(of, entry));
        // Of those that have expired some may be known to nobody.
        for (entry, expected) in wrongs.filter(|(entry, _)| of.is_kept(entry.seq - 1)) {
            let what = format!("the ordinal {} at {}, not {expected}", entry.ordinal, entry.seq);
            found.insert(wrong(room, &entry.from, None, what));
        }
        counted.insert(room, model);
    }
    let lists = listed(history);
    judge_lists(history, facts, (&counted, &lists), found);
    unread_from::check(history, facts, &lists, found);
    judge_devices(history, facts, (&counted, &lists, has), found);
}

/// By user and room.
pub(super) type Lists<'a> = BTreeMap<(&'a str, &'a Room), &'a Listed>;

fn listed(history: &History) -> Lists<'_> {
    let lists = history.events.iter().filter_map(|event| match event {
        Event::Listed { user, room, listed } => Some(((&**user, room), listed)),
        _ => None,
    });
    lists.collect()
}

fn wrong(room: &Room, user: &str, device: Option<&Device>, what: String) -> Violation {
    Violation::WrongCount { room: room.clone(), user: user.into(), device: device.cloned(), what }
}

fn judge_lists(
    history: &History,
    facts: &Facts<'_>,
    (counted, lists): (&BTreeMap<&Room, Counted<'_>>, &Lists<'_>),
    found: &mut BTreeSet<Violation>,
) {
    let asked: BTreeSet<&str> = lists.keys().map(|(user, _)| *user).collect();
    for event in &history.events {
        let Event::FinalMark { mark: Mark { room, user, read, .. } } = event else { continue };
        let (Some(model), true) = (counted.get(room), asked.contains(&**user)) else { continue };
        let Some(listed) = lists.get(&(&**user, room)) else {
            found.insert(wrong(room, user, None, "no such room in the list".to_owned()));
            continue;
        };
        let first = first_unread(*read, listed.unread_from);
        // What has expired is not unread any more.
        let first = first.max(facts.rooms.get(room).map_or(0, |of| of.begins()));
        let head = model.head();
        let is = [listed.seq, listed.ordinal, listed.read, listed.read_ordinal, listed.mentions];
        let mentions = model.mentions(user, first);
        let should = [head.0, head.1, *read, model.ordinal(first - 1), mentions];
        let names = ["seq", "ordinal", "read", "read_ordinal", "mentions"];
        for (name, (is, should)) in names.iter().zip(is.into_iter().zip(should)) {
            if is != should {
                found.insert(wrong(room, user, None, format!("the {name} {is}, not {should}")));
            }
        }
        let (is, should) = (listed.unread, model.unread(first));
        if is < should || listed.unread_exact && is > should {
            let what = format!("{is} unread, not {should}, from {first} on");
            found.insert(wrong(room, user, None, what));
        }
    }
}

/// What a device knows of its own marks.
type Knows<'a> = Newest<'a, &'a Room, Own>;

fn step<'a>(knows: &mut Knows<'a>, device: &Device, event: &'a Event) {
    match event {
        Event::MarkTold { mark, .. } => {
            let Some(read_ordinal) = mark.read_ordinal.filter(|_| user_of(device) == &*mark.user)
            else {
                return;
            };
            let Mark { read, unread_from, .. } = *mark;
            knows.tell(&mark.room, Own { read, read_ordinal, unread_from });
        }
        Event::ListLoaded { room, listed, .. } => {
            let Listed { read, read_ordinal, unread_from, .. } = *listed;
            let own = Own { read, read_ordinal, unread_from };
            knows.load(|key| *key == room, BTreeMap::from([(room, own)]));
        }
        event => knows.step(event),
    }
}

fn judge_devices(
    history: &History,
    facts: &Facts<'_>,
    (counted, lists, has): (&BTreeMap<&Room, Counted<'_>>, &Lists<'_>, &AllHave<'_>),
    found: &mut BTreeSet<Violation>,
) {
    let mut knows: HashMap<&Device, Knows<'_>> = HashMap::new();
    for event in &history.events {
        match event {
            Event::MarkTold { device, mark } => {
                // How many messages there were before those that have expired is known to the room alone.
                if !facts.rooms.get(&mark.room).is_some_and(RoomFacts::is_aged) {
                    judge_frame(device, mark, counted, found);
                }
                step(knows.entry(device).or_default(), device, event);
            }
            Event::ListLoaded { device, .. }
            | Event::Opened { device, .. }
            | Event::Synced { device, .. }
            | Event::Cursor { device, .. }
            | Event::LoadedAll { device, .. } => {
                step(knows.entry(device).or_default(), device, event);
            }
            Event::Settled { device, room } => {
                let user: Arc<str> = user_of(device).into();
                let (Some(of), Some(listed)) = (facts.rooms.get(room), lists.get(&(&*user, room)))
                else {
                    continue;
                };
                let told = knows.get(device).and_then(|knows| knows.get(&room));
                let told = told.unwrap_or_default();
                if let Some(has) = has.get(&(device, room)).filter(|_| !of.is_aged()) {
                    judge_device((device, room), of, (has, told), listed, found);
                }
            }
            _ => {}
        }
    }
}

/// A frame of the own user's mark says how many messages there are up to it.
fn judge_frame(
    device: &Device,
    mark: &Mark,
    counted: &BTreeMap<&Room, Counted<'_>>,
    found: &mut BTreeSet<Violation>,
) {
    let (Some(is), Some(model)) = (mark.read_ordinal, counted.get(&mark.room)) else { return };
    let should = model.ordinal(first_unread(mark.read, mark.unread_from) - 1);
    if is != should {
        let what = format!("the read_ordinal {is}, not {should}, in the frame: {mark}");
        found.insert(wrong(&mark.room, &mark.user, Some(device), what));
    }
}

fn judge_device(
    (device, room): (&Device, &Room),
    of: &RoomFacts<'_>,
    (has, told): (&Has<'_>, Own),
    listed: &Listed,
    found: &mut BTreeSet<Violation>,
) {
    let user = user_of(device);
    let own = has.own(user, told);
    let first = first_unread(own.read, own.unread_from);
    let head = of.last.and_then(|log| log.last()).map_or(0, |entry| entry.seq);
    // An entry that is missing is said elsewhere; who came back has not what was said meanwhile.
    if !has.has_all(first, head) {
        return;
    }
    let mut say = |what: String| {
        found.insert(wrong(room, user, Some(device), format!("{what} (told: {told:?})")));
    };
    if (own.read, own.unread_from) != (listed.read, listed.unread_from) {
        say(format!("{own:?}, not {listed:?}"));
        return;
    }
    let unread = has.unread(own, first);
    if unread != listed.unread && listed.unread_exact {
        say(format!("{unread} unread, not {}, from {first} on", listed.unread));
    }
    let (least, most) = has.mentions(user, first);
    if !(least..=most).contains(&listed.mentions) {
        say(format!("{least} to {most} mentions, not {}, from {first} on", listed.mentions));
    }
}

#[cfg(test)]
mod tests;
