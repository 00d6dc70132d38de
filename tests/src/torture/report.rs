//! What a torture run says: a line of numbers, and of each violation the shortest story.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::away::Notified;
use super::round::Judged;
use super::world::{Done, World};
use weft_harness::check::Violation;
use weft_harness::history::{Change, Deed, Entry, Event, Got, Rule, Setting, Wanted};

const STORY_LINES: usize = 40;
/// Most violations that are told.
const STORIES: usize = 6;
/// Faults this long before and after a story belong to it.
const AROUND: Duration = Duration::from_secs(10);

/// Says which promise, where, and all that concerns it.
pub(super) fn explain(violation: &Violation, judged: &Judged, faults: &[Done]) -> String {
    let history = &judged.history;
    let mut text = format!("VIOLATION {violation}\n");
    let story = violation.story(history);
    // The beginning and the end of a long one say most.
    let half = STORY_LINES / 2;
    for (number, at) in story.iter().enumerate() {
        if story.len() > STORY_LINES && number == half {
            let _ = writeln!(text, "    … {} more …", story.len() - STORY_LINES);
        }
        if story.len() <= STORY_LINES || number < half || number >= story.len() - half {
            let _ = writeln!(text, "    {}", history.line(*at));
        }
    }
    // What was read in the silence says nothing of when it happened.
    let times = story.iter().filter_map(|at| history.times.get(*at).copied());
    let times: Vec<Duration> = times.filter(|time| *time <= judged.talked.to).collect();
    let (Some(first), Some(last)) = (times.first().copied(), times.last().copied()) else {
        return text;
    };
    for fault in faults {
        let begins_before = fault.from <= last + AROUND;
        if begins_before && fault.to.is_none_or(|to| to + AROUND >= first) {
            let _ = writeln!(text, "    {}", fault_line(fault));
        }
    }
    text
}

/// The stories of the first violations of each kind.
pub(super) fn explain_some(judged: &Judged, faults: &[Done]) -> String {
    let mut by_kind: BTreeMap<String, Vec<&Violation>> = BTreeMap::new();
    for violation in &judged.violations {
        let kind = violation.to_string();
        let kind = kind.split(':').next().unwrap_or_default().to_owned();
        by_kind.entry(kind).or_default().push(violation);
    }
    let mut text = String::new();
    for (kind, found) in &by_kind {
        let _ = writeln!(text, "{}: {kind}", found.len());
    }
    let told = by_kind.values().flat_map(|found| found.iter().take(2)).take(STORIES);
    for violation in told {
        text.push_str(&explain(violation, judged, faults));
    }
    text
}

pub(super) fn fault_line(fault: &Done) -> String {
    let to = fault.to.map_or("?".to_owned(), |to| format!("{:.3}", to.as_secs_f64()));
    let planned = fault.planned;
    format!("{:9.3} to {to}: {:?} {}", fault.from.as_secs_f64(), planned.act, planned.target)
}

/// Where logs were read up to.
#[derive(Default, Debug)]
pub(super) struct LogReader {
    read: BTreeMap<String, usize>,
}

/// An `ERROR` line of Weft's with one of these says that something is lost.
const LOSS: [&str; 7] =
    ["lost", "loss", "corrupt", "went back", "can't be served", "store failed", "panicked"];

impl LogReader {
    /// What new lines of all logs say that must not be: panics, and errors that speak of loss.
    /// Other errors are counted.
    pub(super) fn findings(&mut self, world: &World, errors: &mut u64) -> Vec<String> {
        let mut found = Vec::new();
        for part in world.parts() {
            let output = world.system.process(&part).output();
            let read = self.read.entry(part.clone()).or_default();
            for line in output.get(*read..).unwrap_or_default().lines() {
                // nats-server's own errors are about what is being done to it.
                if part.starts_with("nats") {
                    if line.starts_with("panic: ") || line.starts_with("fatal error: ") {
                        found.push(format!("{part} says: {line}"));
                    }
                    continue;
                }
                let is_error = line.contains(" ERROR weft");
                *errors += u64::from(is_error);
                let loss = is_error && LOSS.iter().any(|word| line.contains(word));
                if loss || line.contains("panicked at") {
                    found.push(format!("{part} says: {line}"));
                }
            }
            *read = output.len();
        }
        found
    }
}

#[derive(Default, Debug)]
pub(super) struct Totals {
    pub(super) violations: usize,
    pub(super) findings: usize,
    pub(super) error_lines: u64,
    pub(super) notified: Notified,
    /// Edits, deletions and reactions in the rooms' logs.
    pub(super) changes: usize,
    /// Entries in the rooms' logs by which users come, go or are kept out, or that say what a group is.
    pub(super) rulings: usize,
    /// Those by which somebody came by themselves, and by which somebody was kept out.
    pub(super) joins: usize,
    pub(super) bans: usize,
    /// Those by which an administrator closed a room.
    pub(super) closings: usize,
    /// How often somebody was blocked, and unblocked, and how often a message was scheduled and taken back.
    pub(super) blocks: usize,
    pub(super) scheduled: usize,
    pub(super) unscheduled: usize,
    /// How often somebody asked to come in, and that was declined or withdrawn.
    pub(super) asks: usize,
    pub(super) asks_ended: usize,
    pub(super) invitations: usize,
    pub(super) invitations_ended: usize,
    pub(super) suspensions: usize,
    /// How often strangers were refused what is too much, and somebody became a contact; rooms that are a request in the end.
    pub(super) not_accepted: usize,
    pub(super) contacts: usize,
    pub(super) requests: usize,
    /// Files that were uploaded, and downloads that were whole, or of what is not there.
    pub(super) uploads: usize,
    pub(super) downloads: usize,
    pub(super) not_found: usize,
    /// How often somebody searched and was answered, and the messages that were found; in the end all that were found.
    pub(super) searches: usize,
    pub(super) found: usize,
    pub(super) found_in_the_end: usize,
    /// How often a stranger asked how far their messages were read, and was shown it, or not.
    pub(super) looks: [usize; 2],
    /// Entries that expired.
    pub(super) expired: u64,
    /// Marks that were answered.
    pub(super) marks: usize,
    /// Settings that were answered.
    pub(super) settings: usize,
    /// Drafts that were answered.
    pub(super) drafts: usize,
    /// What fresh devices found in their lists of rooms in the end.
    pub(super) listed: Listing,
    /// The longest time without an ack.
    pub(super) raw: Duration,
    /// The same, where no fault explains it.
    pub(super) unexplained: Duration,
    /// With hostile clients: how soon sends were acknowledged, by round.
    pub(super) compared: Vec<Value>,
}

/// What lists of rooms say, added up.
#[derive(Default, Debug)]
pub(super) struct Listing {
    rooms: u64,
    unread: u64,
    mentions: u64,
    /// Rooms that are marked as unread.
    marked_unread: u64,
    pins: usize,
    threads: usize,
    unread_in_threads: u64,
    /// Rooms that are muted, or at the top.
    set: u64,
    drafts: usize,
    /// The most that is unread in one room.
    unread_most: u64,
}

impl Listing {
    pub(super) fn take(&mut self, event: &Event) {
        match event {
            Event::Listed { listed, .. } => {
                self.rooms += 1;
                self.unread += listed.unread;
                self.mentions += listed.mentions;
                self.marked_unread += u64::from(listed.unread_from != 0);
                self.set += u64::from(listed.setting != Setting::default());
                self.unread_most = self.unread_most.max(listed.unread);
            }
            Event::Drafts { drafts, .. } => self.drafts += drafts.len(),
            Event::Pinned { pins, .. } => self.pins += pins.len(),
            Event::Threads { threads, .. } => {
                self.threads += threads.len();
                self.unread_in_threads += threads.iter().map(|thread| thread.unread).sum::<u64>();
            }
            _ => {}
        }
    }
}

impl Totals {
    /// Counts an entry of a room's log.
    pub(super) fn count(&mut self, entry: &Entry) {
        self.changes += usize::from(entry.act.is_some() && entry.is_as_taken());
        self.rulings += usize::from(entry.change.is_some() || !entry.rules.is_empty());
        let joins = matches!(entry.change.as_deref(), Some(Change::Joined(who)) if **who == [entry.from.clone()]);
        self.joins += usize::from(joins && entry.seq > 1);
        let count = |is: fn(&Rule) -> bool| entry.rules.iter().filter(|rule| is(rule)).count();
        self.bans += count(|rule| matches!(rule, Rule::Bans(_)));
        self.closings += count(|rule| matches!(rule, Rule::IsClosed(true)));
    }

    /// Counts what was done that is no entry.
    pub(super) fn take_deed(&mut self, event: &Event) {
        if let Event::Deed(Deed::Begins { first, .. }) = event {
            self.expired += first - 1;
        }
        match event {
            Event::Refused { code, .. } if &**code == "not_accepted" => self.not_accepted += 1,
            Event::Deed(Deed::Sees { is_shown, .. }) => self.looks[usize::from(!is_shown)] += 1,
            Event::Deed(Deed::Uploaded { .. }) => self.uploads += 1,
            Event::Deed(Deed::Fetched { got: Got::Whole(_), .. }) => self.downloads += 1,
            Event::Deed(Deed::Fetched { got: Got::NotFound, .. }) => self.not_found += 1,
            Event::Deed(Deed::Finds { entries, .. }) => {
                self.searches += 1;
                self.found += entries.len();
            }
            Event::Deed(Deed::FoundAll { places, .. }) => self.found_in_the_end += places.len(),
            Event::Deed(Deed::Requests { rooms, .. }) => self.requests += rooms.len(),
            _ => {}
        }
        let Event::Deed(Deed::Done { wanted, .. }) = event else { return };
        match wanted {
            Wanted::Contact { is_on, .. } => self.contacts += usize::from(*is_on),
            Wanted::AskStrangers { .. } | Wanted::Type { .. } => {}
            Wanted::Block { .. } => self.blocks += 1,
            Wanted::Schedule { .. } => self.scheduled += 1,
            Wanted::Unschedule { .. } => self.unscheduled += 1,
            Wanted::Ask { .. } => self.asks += 1,
            Wanted::EndAsking { .. } => self.asks_ended += 1,
            Wanted::Invite { .. } => self.invitations += 1,
            Wanted::EndInvitation { .. } => self.invitations_ended += 1,
            Wanted::Suspend { is_on, .. } => self.suspensions += usize::from(*is_on),
        }
    }

    /// What was done beside.
    fn deeds(&self) -> Value {
        json!({
            "closings_of_rooms": self.closings,
            "blocks": self.blocks,
            "scheduled": self.scheduled,
            "scheduled_and_taken_back": self.unscheduled,
            "asks": self.asks,
            "asks_declined_or_withdrawn": self.asks_ended,
            "invitations": self.invitations,
            "invitations_declined_or_taken_back": self.invitations_ended,
            "suspensions": self.suspensions,
            "refused_as_not_accepted": self.not_accepted,
            "contacts": self.contacts,
            "requests_in_the_end": self.requests,
            "looks_shown_and_not": self.looks,
            "uploads": self.uploads,
            "downloads": self.downloads,
            "downloads_not_found": self.not_found,
            "searches": self.searches,
            "found": self.found,
            "found_in_the_end": self.found_in_the_end,
            "expired_entries": self.expired,
        })
    }

    pub(super) fn line(&self, world: &World, options: &super::Options) -> Value {
        let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
        let faults = world.faults();
        for fault in &faults {
            *kinds.entry(fault.planned.act.to_string()).or_default() += 1;
        }
        let counts = world.recorder.counts();
        json!({
            "minutes": options.minutes,
            "seed": options.seed,
            "mode": if options.cluster { "cluster" } else { "single" },
            "store": format!("{:?}", options.store).to_lowercase(),
            "cores": options.cores,
            "hostile_clients": self.compared,
            "faults": faults.len(),
            "faults_by_kind": kinds,
            "sends": counts.sends,
            "acks": counts.acks,
            "deliveries": counts.deliveries,
            "cursors": counts.cursors,
            "changes_of_messages": self.changes,
            "changes_of_groups": self.rulings,
            "joins": self.joins,
            "bans": self.bans,
            "deeds": self.deeds(),
            "marks": self.marks,
            "settings": self.settings,
            "drafts": self.drafts,
            "listed_drafts": self.listed.drafts,
            "listed_rooms": self.listed.rooms,
            "listed_with_settings": self.listed.set,
            "listed_unread": self.listed.unread,
            "listed_unread_most": self.listed.unread_most,
            "listed_mentions": self.listed.mentions,
            "listed_as_marked_unread": self.listed.marked_unread,
            "listed_pins": self.listed.pins,
            "listed_threads": self.listed.threads,
            "listed_unread_in_threads": self.listed.unread_in_threads,
            "longest_without_ack_ms": u64::try_from(self.raw.as_millis()).unwrap_or(u64::MAX),
            "longest_without_ack_outside_of_faults_ms":
                u64::try_from(self.unexplained.as_millis()).unwrap_or(u64::MAX),
            "processes_that_ended_by_themselves": world.exits().len(),
            "notified": self.notified.line(),
            "error_lines": self.error_lines,
            "violations": self.violations + self.findings,
        })
    }
}
