//! Plans one commit: commands in, operations, answers and events out. No clock, no IO, no chance:
//! all of that is handed in, so the same input always gives the same bytes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use weft_nats::{Answer, MadeBy, ReplyTo};
use weft_proto::frame::{Ack, Reply, invited_frame};
use weft_proto::kind::CONVERSATIONS_LEVEL;
use weft_proto::{
    ApiError, Body, ClientId, Entry, ErrorCode, Partition, Role, RoomId, UserId, svc,
};
use weft_storage::tables::account::Account;
use weft_storage::tables::journal::JournalEntry;
use weft_storage::tables::relation::RelationKey;
use weft_storage::tables::{admin_log, dead_letter};
use weft_storage::{Batch, BatchId};

use super::asks::{self, FoundAsks};
use super::bans::{self, FoundBans};
use super::command::{Command, Incoming};
use super::consent::{self, FoundConsent};
use super::drafts::{FoundDrafts, PlannedDrafts};
use super::expiry::{Deletion, FoundExpired};
use super::files::{self, FoundFiles};
use super::followers::{FoundFollowers, PlannedFollowers};
use super::forwards::Origins;
use super::invitations::{self, FoundInvitations, PlannedInvitations};
use super::links::{self, FoundLinks};
use super::marks::{FoundMarks, PlannedMarks};
use super::messages::{self, FoundMessages, Rewrite};
use super::open_groups;
use super::quota::{Cost, Quota};
use super::relations::{FoundRelations, PlannedRelations};
use super::rooms::Room;
use super::rules::{self, Known, administer};
use super::sabotage::{self, Rule};
use super::scheduled::{self, FoundScheduled, PlannedScheduled};
use super::settings::{FoundSettings, PlannedSettings};
use super::state::{Answered, Place, PlanNo, ResendKey, State};
use super::threads;
use crate::metrics;

mod beside;
mod client_ids;
mod seal;
mod write;

use self::client_ids::{answer_resend, check_age};
pub use self::seal::{Closing, Guards, Sealed};
use self::write::Writing;

/// A plan with so many bytes takes nothing more. One entry more (400 kB of text, 100 inbox
/// pointers) still leaves it near the 1 MB that FoundationDB wants a transaction to stay below.
const FULL_BYTES: usize = 600_000;
/// A plan with so many commands takes nothing more.
const FULL_COMMANDS: usize = 512;
/// A plan with so large a journal row takes nothing more. One entry more (a group of 100 names
/// 6.6 kB of users) keeps it under the limit for values, 100 kB.
const FULL_JOURNAL_BYTES: usize = 80_000;
/// A plan whose answers have so many bytes takes nothing more: a refused draft is answered with the newest one.
const FULL_ANSWER_BYTES: usize = 4_000_000;
/// A plan that writes so many entries anew, or rows of who follows threads, takes nothing more: each has some
/// 400 bytes, keys included.
const FULL_REWRITES: usize = 1_000;
/// From this feature level on, what all of a group get has no pointers.
const WITHOUT_FAN_OUT: u32 = 2;

/// What the store says about a run of commands; see [`load`](super::load).
#[derive(Default, Debug)]
pub struct Found {
    /// What client ids got before.
    pub resends: HashMap<ResendKey, Answered>,
    /// The accounts of those users that exist, of all that a command needs to know about.
    pub accounts: HashMap<UserId, Account>,
    /// The messages that commands change, as far as they are committed.
    pub messages: FoundMessages,
    /// The marks that commands move, as far as they are committed.
    pub marks: FoundMarks,
    /// Those whom commands may make follow a thread, or whose threads they mark, as far as they are committed.
    pub followers: FoundFollowers,
    /// The settings that commands change, as far as they are committed.
    pub settings: FoundSettings,
    /// Who is kept out of groups, of those whom commands ban or bring in.
    pub bans: FoundBans,
    /// Who asks to come into groups, of those of whom commands say it.
    pub asks: FoundAsks,
    /// Who is invited to come into groups, of those whom commands bring in, invite or decline.
    pub invitations: FoundInvitations,
    /// The links to groups that commands make, use, or take back.
    pub links: FoundLinks,
    /// The drafts that commands change, as far as they are committed.
    pub drafts: FoundDrafts,
    /// The relations that commands change, as far as they are committed.
    pub relations: FoundRelations,
    /// In how many groups those are whom a command puts into one, about.
    pub groups: HashMap<UserId, usize>,
    /// What commands forward.
    pub origins: Origins,
    /// The files that commands name.
    pub files: FoundFiles,
    /// What has expired in rooms.
    pub expired: FoundExpired,
    /// Who wants nothing of whom.
    pub consent: FoundConsent,
    /// What is scheduled, taken back, or due.
    pub scheduled: FoundScheduled,
}

/// An entry that a commit writes.
#[derive(Clone, PartialEq, Debug)]
pub struct PlannedEntry {
    /// The entry.
    pub entry: Arc<Entry>,
    /// Its place.
    pub place: Place,
    /// The place of the room's entry before it.
    pub place_before: Place,
    /// Who gets it on their own subject.
    pub concerned: Vec<UserId>,
}

/// The commands of a plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Commands {
    /// How many they are.
    pub count: usize,
    /// The stream sequence of the first one; 0: there is none.
    pub from: u64,
    /// That of the last one.
    pub through: u64,
    /// When the log took the last one.
    pub stored_at_ms: u64,
}

/// What one commit will hold, while it is planned.
pub struct Plan {
    no: PlanNo,
    batch: Batch,
    partition: Partition,
    floor_hour: u32,
    commands: usize,
    /// The stream sequence of the first one.
    from_seq: u64,
    stream_seq: u64,
    stored_at_ms: u64,
    /// When the log took the oldest of its commands.
    oldest_ms: u64,
    entries: Vec<PlannedEntry>,
    journal: Vec<JournalEntry>,
    journal_bytes: usize,
    /// What the titles and topics of its rooms have.
    head_bytes: usize,
    /// Entries of this and of earlier commits that are written anew.
    rewrites: Vec<Rewrite>,
    marks: PlannedMarks,
    settings: PlannedSettings,
    drafts: PlannedDrafts,
    relations: PlannedRelations,
    /// Of whom one has accepted what the other one writes.
    sights: Vec<RelationKey>,
    scheduled: PlannedScheduled,
    invitations: PlannedInvitations,
    followers: PlannedFollowers,
    /// What users are told once, and not again by audits and syncs.
    told: Vec<svc::Change>,
    /// What rooms let go of.
    deletions: Vec<Deletion>,
    /// What administrators do, in the words of their log.
    administered: Vec<String>,
    answers: Vec<(ReplyTo, Answer)>,
    answer_bytes: usize,
    unheard: Vec<(String, ErrorCode)>,
    rooms: BTreeSet<RoomId>,
}

impl Plan {
    /// An empty plan, the owner's number `no`.
    #[must_use]
    pub fn new(no: PlanNo, id: BatchId, partition: Partition, floor_hour: u32) -> Self {
        let mut batch = Batch::new(id);
        // The ingest log is trimmed one commit later: see `Owned::act`.
        batch.set_replayable(true);
        Self {
            no,
            batch,
            partition,
            floor_hour,
            commands: 0,
            from_seq: 0,
            stream_seq: 0,
            stored_at_ms: 0,
            oldest_ms: u64::MAX,
            entries: Vec::new(),
            journal: Vec::new(),
            journal_bytes: 0,
            head_bytes: 0,
            rewrites: Vec::new(),
            marks: PlannedMarks::default(),
            settings: PlannedSettings::default(),
            drafts: PlannedDrafts::default(),
            relations: PlannedRelations::default(),
            sights: Vec::new(),
            scheduled: PlannedScheduled::default(),
            invitations: PlannedInvitations::default(),
            followers: PlannedFollowers::default(),
            told: Vec::new(),
            deletions: Vec::new(),
            administered: Vec::new(),
            answers: Vec::new(),
            answer_bytes: 0,
            unheard: Vec::new(),
            rooms: BTreeSet::new(),
        }
    }

    /// The commit before this one removes the resend records below that hour: what is planned now
    /// may be looked up after it.
    pub fn raise_floor(&mut self, floor_hour: u32) {
        self.floor_hour = floor_hour;
    }

    /// True where it takes no further command.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.commands >= FULL_COMMANDS
            || self.batch.size_bytes()
                + self.marks.bytes()
                + self.drafts.bytes()
                + self.scheduled.bytes()
                + self.invitations.bytes()
                + self.head_bytes
                >= FULL_BYTES
            || self.drafts.is_full()
            || self.answer_bytes >= FULL_ANSWER_BYTES
            || self.journal_bytes >= FULL_JOURNAL_BYTES
            || self.rewrites.len() + self.followers.count() + self.deleted_keys() >= FULL_REWRITES
    }

    fn deleted_keys(&self) -> usize {
        self.deletions.iter().map(Deletion::keys).sum()
    }

    /// True where it has no command yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.commands == 0
    }

    /// The stream sequence of the last command that it took; 0: none.
    #[must_use]
    pub fn stream_seq(&self) -> u64 {
        self.stream_seq
    }

    /// The commands that it took.
    #[must_use]
    pub fn commands(&self) -> Commands {
        let (count, from, through) = (self.commands, self.from_seq, self.stream_seq);
        Commands { count, from, through, stored_at_ms: self.stored_at_ms }
    }

    /// Takes the next command of the log. Its rooms are in `state`, its lookups in `found`.
    pub fn take(
        &mut self,
        state: &mut State,
        quota: &Quota,
        found: &Found,
        now_ms: u64,
        incoming: Incoming,
    ) {
        if self.is_empty() {
            self.from_seq = incoming.stream_seq;
        }
        self.commands += 1;
        self.stream_seq = incoming.stream_seq;
        self.stored_at_ms = incoming.stored_at_ms;
        let times = Times { now_ms, stored_at_ms: incoming.stored_at_ms };
        if incoming.command.is_ok() {
            self.oldest_ms = self.oldest_ms.min(times.stored_at_ms);
        }
        if let Some(letter) = &incoming.letter {
            dead_letter::put(&mut self.batch, self.partition, incoming.stream_seq, letter);
            state.letters.add(incoming.stream_seq, letter);
        }
        // Its message has changed meanwhile: nobody waits for it.
        let is_preview = |command: &Command| matches!(command.body, Body::Preview(_));
        let is_preview = incoming.command.as_ref().is_ok_and(is_preview);
        let answer = incoming.command.and_then(|command| match command.scheduled {
            Some(id) => self.send_scheduled(state, quota, found, times, (id, command)),
            None => self.decide(state, quota, found, times, command),
        });
        if let Err(error) = &answer {
            metrics::REFUSED.increment(error.code.as_str());
        }
        match (incoming.reply, answer) {
            (Some(reply), Ok(ack)) => self.answer(reply, Answer::ack(ack)),
            (Some(reply), Err(error)) => self.answer(reply, Answer::error(&error)),
            (None, Err(_)) if is_preview => {}
            (None, Err(error)) => self.unheard.push((incoming.sender, error.code)),
            (None, Ok(_)) => {}
        }
    }

    fn answer(&mut self, reply: ReplyTo, answer: Answer) {
        self.answer_bytes += answer.frame.len();
        self.answers.push((reply, answer));
    }

    fn decide(
        &mut self,
        state: &mut State,
        quota: &Quota,
        found: &Found,
        times: Times,
        command: Command,
    ) -> Result<Vec<u8>, ApiError> {
        let row = command.resend_rows(self.partition, times.stored_at_ms).into_iter().next();
        let Command {
            sender, room: id, client_id, made_by, after, body, bytes, content_hash, ..
        } = command;
        let own_id = client_id.filter(|_| made_by.is_none());
        // What the relay made names the message for resends, and for nothing else.
        let given_id = client_id.filter(|_| made_by != Some(MadeBy::Relay));
        let cost = Cost::of(state.rooms.get(&id).ok_or_else(not_loaded)?, &sender, &body, bytes);
        let key = client_id.map(|client_id| (id.clone(), sender.clone(), client_id));
        if sabotage::is_out(Rule::ResendsFirst) {
            self.may_ask(quota, (&sender, cost), own_id, times)?;
        }
        // Before every other check: nobody hears "no" for an entry that stands.
        if let Some(key) = &key
            && let Some(answered) = state.recent(key).or_else(|| found.resends.get(key))
        {
            return answer_resend(&id, given_id, answered, content_hash);
        }
        if let Some(after) = after.filter(|_| !sabotage::is_out(Rule::SessionOrder)) {
            let before = (id.clone(), sender.clone(), after);
            if state.recent(&before).is_none() && !found.resends.contains_key(&before) {
                let message = "the command before it is not applied: send both again, in order";
                return Err(ApiError::new(ErrorCode::ResendInOrder, message));
            }
        }
        if made_by != Some(MadeBy::Owner) {
            self.may_ask(quota, (&sender, cost), own_id, times)?;
        }
        let room = state.rooms.get(&id).ok_or_else(not_loaded)?;
        let seq = room.head.seq + 1;
        rules::may_take(&body, made_by, state.feature_level)?;
        if !body.kind().is_entry {
            let by = ((id, sender), client_id);
            let done = self.change_beside(state, found, times, by, &body)?;
            self.remember(state, key.zip(row), Answered::no_entry(content_hash));
            return Ok(done);
        }
        let at = (seq, times.now_ms);
        let known = Known::of(found, state);
        // Of an account that is being deleted: what its user wrote goes, whatever they may do there now.
        let is_emptied = made_by == Some(MadeBy::Owner) && matches!(body, Body::Delete(_));
        let mut change = match is_emptied {
            true => administer::of_message(&id),
            false => rules::decide((&id, room), at, &sender, &body, &known)?,
        };
        if state.feature_level < CONVERSATIONS_LEVEL {
            change.leave_out_earlier();
        }
        rules::may_join(&change, room, &found.groups)?;
        let with = (&found.consent, &found.asks, &*state);
        let invited = consent::check(&id, &sender, &body, with)?;
        let with = (&found.invitations, &*state);
        let new_invited = invitations::invite(&id, &invited, times.now_ms, with)?;
        let new_invited: Vec<UserId> = new_invited.into_iter().cloned().collect();
        if matches!(body, Body::Add(_)) && !invited.is_empty() {
            let frame = invited_frame(&invited);
            self.invite(state, found, (&id, &sender, times.now_ms), new_invited);
            let answered = Answered { invited, ..Answered::no_entry(content_hash) };
            self.remember(state, key.zip(row), answered);
            return Ok(frame);
        }
        change.leave_out(&invited);
        let accepted = found.consent.accepted_by(state, &id, &sender, &body);
        self.sights.extend(accepted.map(|other| (sender.clone(), other)));
        found.files.check_avatar(&sender, &room.head, &body)?;
        let told = administer::told(&sender, &id, seq, &body);
        let kept = (room.head.time_ms.max(times.now_ms), file_days(state, room));
        let body = found.files.resolve(&sender, body, kept, &found.origins)?;
        let body = rules::as_taken(found.origins.resolve(&id, &sender, body)?, &change);
        // What is told, an administrator has done: with an owner's rights, whatever they are in the room.
        let has_all_rights = told.is_some() || is_emptied;
        let role = if has_all_rights { Some(Role::Owner) } else { room.members.role(&sender) };
        let sent_by = (&sender, role);
        let known = (&found.messages, &*state, times);
        let message = messages::decide((&id, room, seq), sent_by, &body, known)?;
        let thread = threads::decide((&id, room, seq), &sender, &body, (&found.messages, state))?;
        let fans_out = state.feature_level < WITHOUT_FAN_OUT;
        let writing = Writing {
            now_ms: times.now_ms,
            has_previews: state.feature_level >= CONVERSATIONS_LEVEL,
            has_activity: state.level_next >= CONVERSATIONS_LEVEL,
        };
        let used_link = change.link.take();
        let written = state.rooms.change(&id, |room| {
            if fans_out {
                self.fan_out(&id, room, &change);
            }
            let found_by = open_groups::before(&id, &room.head, &change);
            let avatar = room.head.avatar.clone();
            self.write(&id, room, change, (sender, given_id, body), writing);
            open_groups::write(&mut self.batch, &id, found_by.as_deref(), &room.head);
            files::write_avatar(&mut self.batch, &id, &avatar, &room.head);
            (room.head.ordinal, room.head.time_ms)
        });
        if let Some(PlannedEntry { entry, place, .. }) = self.entries.last() {
            state.remember_entry(self.no, Arc::clone(entry), *place);
            files::write(&mut self.batch, entry);
            bans::write(&mut self.batch, state, self.no, entry);
            asks::end(&mut self.batch, state, self.no, entry);
            let used_link = used_link.map(|(id, row)| (id, Some(row)));
            links::write(&mut self.batch, state, self.no, &id, used_link);
            if let Some(change) = message {
                let rewrites = messages::write(&mut self.batch, state, self.no, entry, change);
                for (deleted, _) in &rewrites {
                    state.letters.remove(&mut self.batch, self.partition, deleted);
                }
                self.rewrites.extend(rewrites);
            }
            if let Some(change) = thread {
                threads::write(&mut self.batch, state, self.no, entry, change);
            }
            let with = (&mut *state, &found.followers, self.no);
            self.journal_bytes += self.followers.take_reply(with, entry, &found.messages);
            let entry = Arc::clone(entry);
            self.end_invitations(
                state,
                found,
                invitations::ended_by(&entry, (&found.invitations, state)),
            );
            self.invite(state, found, (&id, &entry.from, times.now_ms), new_invited);
        }
        if let Some(told) = told {
            // No other command has this number, and no other row its key.
            let id = u64::from(self.partition) << 48 | self.stream_seq;
            admin_log::put(&mut self.batch, (times.now_ms, id), &told);
            self.administered.push(told.action);
        }
        let (ordinal, time_ms) = written.unzip();
        let answered = Answered { seq, content_hash, ordinal, time_ms, invited };
        let (client_id, invited) = (given_id, &*answered.invited);
        let ack = Ack { room: &id, seq, ordinal, time: time_ms, client_id, invited }.to_frame();
        self.remember(state, key.zip(row), answered);
        Ok(ack)
    }

    /// Keeps what a client id got.
    fn remember(&mut self, state: &mut State, at: Option<(ResendKey, Bytes)>, answered: Answered) {
        let Some((key, row)) = at else { return };
        self.batch.set(row, answered.row().encode());
        state.remember(self.no, key, answered);
    }

    /// Sends a message whose time has come, where it still waits for it, and says in its row what became of it.
    fn send_scheduled(
        &mut self,
        state: &mut State,
        quota: &Quota,
        found: &Found,
        times: Times,
        (id, command): (ClientId, Command),
    ) -> Result<Vec<u8>, ApiError> {
        let key = (command.sender.clone(), command.room.clone(), id);
        let waiting = found.scheduled.waiting(state, &key);
        if let Some(row) = waiting.filter(|row| row.at_ms <= times.now_ms) {
            let sent = match command.body {
                Body::Due(_) => {
                    Err(ApiError::new(ErrorCode::Forbidden, "the sender sends nothing"))
                }
                _ => self.decide(state, quota, found, times, command),
            };
            let seq = self.entries.last().map_or(0, |planned| planned.entry.seq);
            let done = scheduled::done(key, row, sent.as_ref().map(|_| seq));
            let with = (&mut *state, &found.scheduled, self.no);
            let to = (&mut self.batch, self.partition);
            self.journal_bytes += self.scheduled.take(to, with, done);
        }
        Ok(Reply::Done {}.to_frame())
    }

    fn may_ask(
        &self,
        quota: &Quota,
        (sender, cost): (&UserId, Cost),
        own_id: Option<ClientId>,
        times: Times,
    ) -> Result<(), ApiError> {
        check_age(own_id, self.floor_hour, times)?;
        quota.take(sender, cost, times.now_ms).map_err(|wait_ms| {
            ApiError::new(ErrorCode::RateLimited, "the sender's quota is used up")
                .retry_after_ms(wait_ms)
        })
    }
}

/// A command's times, Unix milliseconds, of two clocks.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The owner's, when it plans.
    pub now_ms: u64,
    /// The server's, when the log took it.
    pub stored_at_ms: u64,
}

/// For how many days a message of the room has its files.
fn file_days(state: &State, room: &Room) -> u32 {
    match room.head.file_days {
        0 => state.file_days,
        days => days,
    }
}

/// A defect of the caller: every room of a run is loaded before it is planned.
fn not_loaded() -> ApiError {
    ApiError::new(ErrorCode::Internal, "the room was not loaded")
}

#[cfg(test)]
mod tests;
