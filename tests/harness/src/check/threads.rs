//! Promises about threads: who follows one, and what is unread in it, is what the room's log and the user's marks
//! make, as it is told to who asks. What devices are told live is not judged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Violation;
use super::done::{Done, answered};
use super::facts::{Facts, RoomFacts};
use crate::history::{Act, Entry, Event, Followed, History, Mark, OfThread, Room};

/// What a user said of a thread, each attempt for itself.
#[derive(Default)]
struct SaidOf {
    read: Vec<Done>,
    follows: Vec<Done>,
    leaves: Vec<Done>,
}

/// By user, room and root.
type Said<'a> = BTreeMap<(&'a str, &'a Room, u64), SaidOf>;

pub(super) fn check(history: &History, facts: &Facts<'_>, found: &mut BTreeSet<Violation>) {
    let said = gather(history);
    let reads = history.events.iter().filter_map(|event| match event {
        Event::FinalMark { mark } => Some(((&*mark.user, &mark.room), mark.read)),
        _ => None,
    });
    let reads: BTreeMap<(&str, &Room), u64> = reads.collect();
    let mut threads: BTreeMap<&Room, BTreeMap<u64, Thread<'_>>> = BTreeMap::new();
    for event in &history.events {
        let Event::Threads { user, room, threads: told } = event else { continue };
        let Some(of) = facts.rooms.get(room) else { continue };
        let made = threads.entry(room).or_insert_with(|| made(facts, of));
        let judge = Judge {
            user,
            facts,
            said: |root| said.get(&(&**user, room, root)),
            read_room: reads.get(&(&**user, room)).copied().unwrap_or(0),
        };
        for what in judge.all(made, told) {
            let (room, user) = (room.clone(), user.clone());
            found.insert(Violation::WrongCount { room, user, device: None, what });
        }
    }
}

fn gather(history: &History) -> Said<'_> {
    let answered = answered(history);
    let mut said = Said::new();
    for (sent, event) in history.events.iter().enumerate() {
        let Event::MarkSent { mark, attempt } = event else { continue };
        let Mark { room, user, read, thread: Some(OfThread { root, follow }), .. } = mark else {
            continue;
        };
        let of = said.entry((user, room, *root)).or_default();
        let to = match follow {
            None => &mut of.read,
            Some(true) => &mut of.follows,
            Some(false) => &mut of.leaves,
        };
        to.push(Done { seq: *read, sent, answered: answered.get(attempt).copied() });
    }
    said
}

/// A thread, as the log makes it.
#[derive(Default)]
struct Thread<'a> {
    replies: Vec<Reply<'a>>,
}

struct Reply<'a> {
    entry: &'a Entry,
    is_deleted: bool,
    is_silent: bool,
    /// Whom it makes follow the thread.
    concerns: BTreeSet<&'a str>,
}

/// By the seqs of the messages with which they begin.
fn made<'a>(facts: &Facts<'a>, of: &RoomFacts<'a>) -> BTreeMap<u64, Thread<'a>> {
    let mut threads: BTreeMap<u64, Thread<'a>> = BTreeMap::new();
    for entry in of.standing.values() {
        let is_deleted = matches!(entry.act.as_deref(), Some(Act::DeletedBy(_)));
        let Some(root) = entry.thread().filter(|_| is_deleted || entry.is_message()) else {
            continue;
        };
        let said = facts.said(of, entry);
        let named = said.map_or(&[][..], |said| &said.mentions).iter();
        let mut concerns: BTreeSet<&str> =
            named.map(|name: &'a Arc<str>| &**name).filter(|name| !name.is_empty()).collect();
        concerns.insert(&entry.from);
        concerns.extend(of.standing.get(&root).map(|root| &*root.from));
        // Who has left follows none that go on without them.
        concerns.retain(|user| of.was_member(user, entry.seq));
        let is_silent = said.is_some_and(|said| said.silent);
        let reply = Reply { entry, is_deleted, is_silent, concerns };
        threads.entry(root).or_default().replies.push(reply);
    }
    threads
}

struct Judge<'a, S> {
    user: &'a str,
    facts: &'a Facts<'a>,
    said: S,
    /// Up to where the user has read the room.
    read_room: u64,
}

impl<'a, S: Fn(u64) -> Option<&'a SaidOf>> Judge<'a, S> {
    fn all(&self, made: &BTreeMap<u64, Thread<'_>>, told: &[Followed]) -> Vec<String> {
        let mut wrong = Vec::new();
        let nothing = (SaidOf::default(), Thread::default());
        for pair in told.windows(2).filter(|pair| pair[0].root <= pair[1].root) {
            wrong.push(format!("the thread {} after {}", pair[1].root, pair[0].root));
        }
        for one in told {
            let said = (self.said)(one.root).unwrap_or(&nothing.0);
            let thread = made.get(&one.root).unwrap_or(&nothing.1);
            if !self.may_follow(said, thread) {
                wrong.push(format!("the thread {}, which they do not follow", one.root));
            }
            wrong.extend(self.differs(one, said, thread));
        }
        for (root, thread) in made {
            let said = (self.said)(*root).unwrap_or(&nothing.0);
            let is_told = told.iter().any(|one| one.root == *root);
            if !is_told && self.must_follow(said, thread) {
                wrong.push(format!("no thread {root}, which they follow"));
            }
        }
        wrong
    }

    fn concerning<'t>(&self, thread: &'t Thread<'_>) -> impl Iterator<Item = &'t Reply<'t>> {
        let user = self.user.to_owned();
        thread.replies.iter().filter(move |reply| reply.concerns.contains(&*user))
    }

    /// The user's own replies: who writes follows, whatever they have said before.
    fn own(&self, thread: &Thread<'_>) -> Vec<Done> {
        let own = thread.replies.iter().filter(|reply| *reply.entry.from == *self.user);
        own.map(|reply| Done::of(self.facts, reply.entry)).collect()
    }

    /// True where somebody or something made the user follow it, and nothing that was answered ended it since.
    fn may_follow(&self, said: &SaidOf, thread: &Thread<'_>) -> bool {
        let own = self.own(thread);
        let begins = || said.follows.iter().chain(&own);
        // What others write makes nobody follow who has said that they do not.
        let is_over =
            |leave: &Done| leave.answered.is_some() && begins().all(|begin| begin.is_before(leave));
        (self.concerning(thread).next().is_some() || begins().next().is_some())
            && !said.leaves.iter().any(is_over)
    }

    /// True where something made the user follow it that was answered, and nothing can have ended it since.
    fn must_follow(&self, said: &SaidOf, thread: &Thread<'_>) -> bool {
        let own = self.own(thread);
        let begins = || said.follows.iter().filter(|it| it.answered.is_some()).chain(&own);
        let is_over = |leave: &Done| begins().any(|begin| leave.is_before(begin));
        (self.concerning(thread).next().is_some() || begins().next().is_some())
            && said.leaves.iter().all(is_over)
    }

    fn differs(&self, one: &Followed, said: &SaidOf, thread: &Thread<'_>) -> Option<String> {
        let (least, most) = self.read(said, thread);
        if !(least..=most).contains(&one.read) {
            let what = format!("read up to {}, not {least} to {most}", one.read);
            return Some(format!("the thread {} {what}", one.root));
        }
        let count = thread.replies.iter().filter(|reply| !reply.is_deleted).count() as u64;
        let replies = (count, thread.last());
        let mut own = thread.replies.iter().filter(|reply| *reply.entry.from == *self.user);
        let from = own.next_back().map_or(0, |reply| reply.entry.seq).max(one.read);
        let is_unread = |it: &&Reply<'_>| it.entry.seq > from && !it.is_deleted && !it.is_silent;
        let unread = thread.replies.iter().filter(is_unread).count() as u64;
        let is_right = one.replies == replies && one.unread == unread && one.unread_exact;
        (!is_right).then(|| format!("{one:?}, not {replies:?} and {unread} unread"))
    }

    /// Up to where the user has read it: at least, and at most.
    fn read(&self, said: &SaidOf, thread: &Thread<'_>) -> (u64, u64) {
        let first = self.concerning(thread).next();
        let begins = first.map_or(0, |reply| reply.entry.seq - 1).max(self.read_room);
        let most = said.read.iter().map(|read| read.seq).max().unwrap_or(0).max(begins);
        if !said.follows.is_empty() || !said.leaves.is_empty() {
            // Who follows anew has read what was there: when that was, nobody is told.
            return (self.read_room, most.max(thread.last()));
        }
        let sure = |read: &&Done| {
            let first = first.map(|reply| Done::of(self.facts, reply.entry));
            read.answered.is_some() && first.is_some_and(|first| first.is_before(read))
        };
        let kept = said.read.iter().filter(sure).map(|read| read.seq).max().unwrap_or(0);
        (begins.max(kept), most)
    }
}

impl Thread<'_> {
    fn last(&self) -> u64 {
        self.replies.last().map_or(0, |reply| reply.entry.seq)
    }
}

#[cfg(test)]
mod tests;
