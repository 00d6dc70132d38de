//! What becomes of messages: edits, deletions, reactions and pins. Each is an entry of its own, and changes
//! the row of the message that it points at (`storage/src/tables/message.rs`), in the same commit.
//!
//! The message, or what was done to it last, may be planned and not yet committed: what the store
//! says is overlaid with what this owner's memory has ([`Written`]).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use tracing::error;
use weft_nats::MadeBy;
use weft_proto::kind::{Delete, Deleted, Edit, React, Unreact};
use weft_proto::limits::{EDITS_PER_MESSAGE_MAX, EMOJIS_PER_MESSAGE_MAX};
use weft_proto::{ApiError, Body, Entry, ErrorCode, Role, RoomId, RoomKind, UserId};
use weft_storage::tables::log::{self, At};
use weft_storage::tables::message::{self, Message, ReactionCount};
use weft_storage::tables::{member, mention, reaction, thread};
use weft_storage::{Batch, Error, Snapshot};

use super::command::{Command, Incoming};
use super::files;
use super::load::readable;
use super::overlay::Overlay;
use super::plan::Times;
use super::rights::{self, Action};
use super::rooms::Room;
use super::rules::Accounts;
use super::rules::administer::administers;
use super::sabotage::{self, Rule};
use super::state::{Place, PlanNo, Planned, State};
use super::threads;
use crate::absent;

mod mentions;
mod pins;
mod previews;

/// Entries that commands point at, read at once: with the largest ones 6 MB.
const ENTRIES_AT_ONCE: usize = 16;

/// A room and a seq.
pub type EntryKey = (RoomId, u64);
/// A message, an emoji, and who has put it on the message.
type ReactionKey = (EntryKey, (String, UserId));

/// What the store says of the messages that a run of commands points at.
#[derive(Default, Debug)]
pub struct FoundMessages {
    /// Those that there are, and the edits and previews of those that are to be deleted: without their texts.
    entries: HashMap<EntryKey, Planned>,
    /// Edits and previews that ought to be in the store, which is damaged.
    absent: HashSet<EntryKey>,
    rows: HashMap<EntryKey, Message>,
    reactions: HashSet<ReactionKey>,
    pins: pins::FoundPins,
}

/// What this owner did to messages in commits that a lookup may not have seen.
#[derive(Default)]
pub struct Written {
    pub(super) rows: Overlay<EntryKey, Message>,
    reactions: Overlay<ReactionKey, bool>,
}

impl Written {
    /// See [`State::forget_settled`].
    pub fn forget_settled(&mut self, settled: PlanNo) {
        self.rows.forget_settled(settled);
        self.reactions.forget_settled(settled);
    }
}

/// Reads what a run of commands has to know of the messages that it points at.
///
/// # Errors
/// Those of the store.
pub async fn load(
    snapshot: &dyn Snapshot,
    state: &State,
    run: &[Incoming],
    accounts: &Accounts,
) -> Result<FoundMessages, Error> {
    let mut found = FoundMessages::default();
    let commands: Vec<&Command> = run.iter().filter_map(|it| it.command.as_ref().ok()).collect();
    let at = |command: &&Command| {
        let (room, body) = (command.room.clone(), &command.body);
        let seqs = [body.target(), body.reply_to(), body.thread()].into_iter().flatten();
        seqs.map(move |seq| (room.clone(), seq))
    };
    let targets: HashSet<EntryKey> = commands.iter().flat_map(at).collect();
    if targets.is_empty() {
        return Ok(found);
    }
    let targets: Vec<EntryKey> = targets.into_iter().collect();
    read_entries(snapshot, &targets, &mut found.entries).await?;
    read_rows(snapshot, &targets, &mut found).await?;
    // Whose thread has one reply less.
    let roots = commands.iter().filter(|command| matches!(command.body, Body::Delete(_)));
    let roots = roots.filter_map(|Command { room, body, .. }| {
        let root = threads::thread_of(&found, state, &(room.clone(), body.target()?))?;
        Some((room.clone(), root))
    });
    let roots: Vec<EntryKey> = roots.filter(|at| !found.rows.contains_key(at)).collect();
    read_rows(snapshot, &roots, &mut found).await?;
    read_reactions(snapshot, &commands, &mut found.reactions).await?;
    found.pins = pins::load(snapshot, &commands).await?;
    let mut deleted = found.edits_to_delete(state, run, accounts);
    deleted.extend(found.previews_to_delete(state, &commands));
    read_entries(snapshot, &deleted, &mut found.entries).await?;
    for (room, seq) in deleted.into_iter().filter(|at| !found.entries.contains_key(at)) {
        absent::note(snapshot, &room, seq..seq + 1).await?;
        found.absent.insert((room, seq));
    }
    Ok(found)
}

async fn read_rows(
    snapshot: &dyn Snapshot,
    wanted: &[EntryKey],
    found: &mut FoundMessages,
) -> Result<(), Error> {
    if wanted.is_empty() {
        return Ok(());
    }
    let keys = wanted.iter().map(|(room, seq)| message::key(room, *seq)).collect();
    for (at, row) in wanted.iter().zip(snapshot.get_many(keys).await?) {
        match row.map(|row| Message::decode(&row)) {
            None => {}
            Some(Ok(row)) => drop(found.rows.insert(at.clone(), row)),
            // As an entry that can't be read (`readable`): there is no such message.
            Some(Err(error)) => {
                error!(room = %at.0, seq = at.1, %error, "what became of a message can't be read");
                found.entries.remove(at);
            }
        }
    }
    Ok(())
}

/// Entries may be large, so only some are read at once, and what they say is not kept.
async fn read_entries(
    snapshot: &dyn Snapshot,
    wanted: &[EntryKey],
    found: &mut HashMap<EntryKey, Planned>,
) -> Result<(), Error> {
    for some in wanted.chunks(ENTRIES_AT_ONCE) {
        for (at, logged) in some.iter().zip(readable(snapshot, some).await?) {
            let Some(log::Logged { position, mut entry }) = logged else { continue };
            if let Some(it) = entry.body.as_message_mut() {
                it.text = String::new();
                if let Some(extras) = &mut it.extras {
                    (extras.ranges, extras.meta) = (Vec::new(), None);
                }
            } else if let Body::Edit(_) | Body::Preview(_) = entry.body {
                entry.body = Body::Deleted(Deleted { by: 0, thread: None });
            }
            let planned = Planned { entry: Arc::new(entry), place: Place::At(position) };
            found.insert(at.clone(), planned);
        }
    }
    Ok(())
}

async fn read_reactions(
    snapshot: &dyn Snapshot,
    commands: &[&Command],
    found: &mut HashSet<ReactionKey>,
) -> Result<(), Error> {
    let wanted: Vec<ReactionKey> = commands.iter().filter_map(|c| reaction_of(c)).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let key = |((room, seq), (emoji, user)): &ReactionKey| reaction::key(room, *seq, emoji, user);
    let rows = snapshot.get_many(wanted.iter().map(key).collect()).await?;
    let there = wanted.into_iter().zip(rows).filter(|(_, row)| row.is_some());
    found.extend(there.map(|(key, _)| key));
    Ok(())
}

fn reaction_of(command: &Command) -> Option<ReactionKey> {
    let (Body::React(React { target, emoji }) | Body::Unreact(Unreact { target, emoji })) =
        &command.body
    else {
        return None;
    };
    let at = (command.room.clone(), *target);
    Some((at, (emoji.clone(), command.sender.clone())))
}

impl FoundMessages {
    pub(super) fn entry<'a>(&'a self, state: &'a State, at: &EntryKey) -> Option<&'a Planned> {
        state.planned(at).or_else(|| self.entries.get(at))
    }

    /// The edits, in the store, of those messages that commands may delete: each once, since they are many and
    /// large, and not for whom will be refused.
    fn edits_to_delete(
        &self,
        state: &State,
        run: &[Incoming],
        accounts: &Accounts,
    ) -> Vec<EntryKey> {
        let commands = || run.iter().filter_map(|it| Some((it, it.command.as_ref().ok()?)));
        // A command of the same run may make its sender an admin.
        let named: HashSet<(&RoomId, &UserId)> = commands()
            .filter_map(|(_, command)| Some((&command.room, command.body.user(&command.sender)?)))
            .collect();
        let mut edits = BTreeSet::new();
        for (Incoming { stored_at_ms, .. }, Command { room, sender, body, made_by, .. }) in
            commands()
        {
            let Body::Delete(Delete { target, .. }) = body else { continue };
            let at = (room.clone(), *target);
            let Some(message) = self.entry(state, &at) else { continue };
            let role = state.rooms.get(room).and_then(|room| room.members.role(sender));
            let is_there = room.kind() == RoomKind::Direct || role.is_some();
            let is_late = is_late(state, &message.entry, *stored_at_ms);
            let is_own = message.entry.from == *sender && is_there && !is_late;
            let may_any = role.is_some_and(|role| rights::may(role, Action::DeleteAny))
                || administers(sender, body, accounts)
                || *made_by == Some(MadeBy::Owner);
            if is_own || may_any || named.contains(&(room, sender)) {
                let of_message = self.row(state, &at).edits.into_iter();
                edits.extend(of_message.map(|seq| (room.clone(), seq)));
            }
        }
        edits.into_iter().filter(|edit| self.entry(state, edit).is_none()).collect()
    }

    pub(super) fn row(&self, state: &State, at: &EntryKey) -> Message {
        let planned = state.messages.rows.get(at);
        planned.or_else(|| self.rows.get(at)).cloned().unwrap_or_default()
    }

    fn has_reacted(&self, state: &State, key: &ReactionKey) -> bool {
        let planned = state.messages.reactions.get(key).copied();
        planned.unwrap_or_else(|| self.reactions.contains(key))
    }
}

/// What an allowed command changes of a message.
#[derive(Clone, PartialEq, Debug)]
pub struct MessageChange {
    /// The message.
    target: u64,
    /// Its row until now, and from now on.
    before: Message,
    row: Message,
    /// The sender's emoji: put on, or taken off.
    reaction: Option<(String, bool)>,
    /// What becomes of the message and its edits, and where they are.
    rewrites: Vec<(Entry, Place)>,
}

/// Where an entry is that a commit writes anew: known when the commit is closed.
pub type Rewrite = (Entry, Place);

/// Decides about an entry that changes a message, or is one that has a row from the beginning; `None`: it
/// changes none. `role`: the sender's, in a group.
///
/// # Errors
/// The refusal.
pub fn decide(
    (id, room, seq): (&RoomId, &Room, u64),
    (sender, role): (&UserId, Option<Role>),
    body: &Body,
    (found, state, times): (&FoundMessages, &State, Times),
) -> Result<Option<MessageChange>, ApiError> {
    let new = || mentions::of_new((id, room, seq), (sender, role), body);
    let Some(target) = body.target().or_else(|| body.reply_to()) else { return new() };
    let at = (id.clone(), target);
    let message = found.entry(state, &at).filter(|_| sees(room, sender, target));
    let mut row = found.row(state, &at);
    // An edit is no message, and does not become one by being deleted with its message.
    let is_message = |it: &&Planned| match it.entry.body {
        Body::Deleted(_) => row.deleted_by != 0,
        _ => it.entry.body.as_message().is_some(),
    };
    let no_message = || no(ErrorCode::NotFound, "there is no such message");
    let message = message.filter(is_message).ok_or_else(no_message)?;
    // What is deleted may still be answered: only the answer says what it is about.
    if body.target().is_none() {
        return new();
    }
    let before = row.clone();
    if row.deleted_by != 0 {
        return Err(no(ErrorCode::Deleted, "the message was deleted"));
    }
    let is_own = message.entry.from == *sender;
    let is_late = is_late(state, &message.entry, times.stored_at_ms);
    let too_late = || no(ErrorCode::TooLate, "the message is too old to be changed");
    let time_ms = room.head.time_ms.max(times.now_ms);
    let (mut reaction, mut rewrites) = (None, Vec::new());
    let may_any = role.is_some_and(|role| rights::may(role, Action::DeleteAny));
    let gone = (id, seq, found, state);
    match body {
        Body::Edit(Edit { .. }) if !is_own => {
            return Err(no(ErrorCode::Forbidden, "a message is edited by its sender"));
        }
        Body::Edit(Edit { .. }) if is_late => return Err(too_late()),
        Body::Edit(Edit { text, .. })
            if text.is_empty() && matches!(message.entry.body, Body::Text(_)) =>
        {
            return Err(no(ErrorCode::BadRequest, "a message without files has a text"));
        }
        Body::Edit(Edit { .. }) => {
            if row.edits.len() >= EDITS_PER_MESSAGE_MAX {
                let message = format!("the message has {EDITS_PER_MESSAGE_MAX} edits already");
                return Err(ApiError::new(ErrorCode::LimitReached, message));
            }
            let text = message.entry.body.as_message();
            let is_silent = text.is_some_and(|text| text.extras().silent);
            let (places, writer) = ((id, room), (sender, role));
            let context =
                mentions::Context { room: places, sender: writer, message: target, seq, is_silent };
            row.mentions = mentions::decide(&before.mentions, &body.mentions(), &context)?;
            row.edits.push(seq);
            row.edited_at_ms = time_ms;
            rewrites.extend(previews::after_edit(&mut row, body, gone)?);
        }
        Body::Delete(Delete { .. }) => {
            if !is_own && !may_any {
                let message = "a message is deleted by its sender, or by an admin of the group";
                return Err(no(ErrorCode::Forbidden, message));
            }
            if is_late && !may_any {
                return Err(too_late());
            }
            rewrites.push(deleted(message, seq));
            rewrites.extend(previews::remove(&mut row, gone)?);
            for edit in row.edits.iter().filter(|_| !sabotage::is_out(Rule::EditsDeleted)) {
                let at = (id.clone(), *edit);
                let unread = || no(ErrorCode::Internal, "an edit of the message was not read");
                match found.entry(state, &at) {
                    Some(edit) => rewrites.push(deleted(edit, seq)),
                    // Of what is lost, nothing is left.
                    None if found.absent.contains(&at) => {}
                    None => return Err(unread()),
                }
            }
            let was_uncounted = !message.entry.counts();
            let thread = row.thread;
            row = Message { deleted_by: seq, was_uncounted, thread, ..Message::default() };
        }
        Body::React(React { emoji, .. }) | Body::Unreact(Unreact { emoji, .. }) => {
            let is_on = matches!(body, Body::React(_));
            let key = (at, (emoji.clone(), sender.clone()));
            if found.has_reacted(state, &key) == is_on {
                let message = match is_on {
                    true => "this reaction of the sender is there already",
                    false => "there is no such reaction of the sender",
                };
                return Err(no(ErrorCode::Unchanged, message));
            }
            count(&mut row.reactions, emoji, is_on)?;
            reaction = Some((emoji.clone(), is_on));
        }
        Body::Pin(_) | Body::Unpin(_) => {
            let (is_on, by) = (matches!(body, Body::Pin(_)), (seq, sender, time_ms));
            pins::decide(&mut row, is_on, by, (&found.pins, state, id))?;
        }
        Body::Preview(it) => previews::add(&mut row, it, (seq, &room.head))?,
        Body::Unpreview(_) if !is_own && !may_any => {
            let message =
                "a preview is removed by who has written the message, or by an admin of the group";
            return Err(no(ErrorCode::Forbidden, message));
        }
        Body::Unpreview(_) => rewrites.extend(previews::turn_off(&mut row, gone)?),
        _ => return Err(no_message()),
    }
    Ok(Some(MessageChange { target, before, row, reaction, rewrites }))
}

/// True where only an admin may still change it, by a command that the log took then. The owner's own time does
/// not count: a command may wait for hours, and one that was acknowledged may have to be applied again.
fn is_late(state: &State, message: &Entry, stored_at_ms: u64) -> bool {
    let window_ms = state.edit_window_ms;
    window_ms != 0 && stored_at_ms.saturating_sub(message.time_ms) > window_ms
}

pub(super) fn no(code: ErrorCode, message: &str) -> ApiError {
    ApiError::new(code, message)
}

/// A member changes nothing that history does not show them.
pub(super) fn sees(room: &Room, user: &UserId, seq: u64) -> bool {
    let history = weft_proto::History::try_from(room.head.history);
    let history = history.unwrap_or(weft_proto::History::Joined);
    let member: Option<&member::Member> = room.members.get(user);
    seq >= room.head.first_seq && member.is_none_or(|member| member.sees(history, seq))
}

/// What is left of an entry, and where.
fn deleted(it: &Planned, by: u64) -> Rewrite {
    let body = Body::Deleted(Deleted { by, thread: it.entry.body.thread() });
    (Entry { body, ..Entry::clone(&it.entry) }, it.place)
}

fn count(counts: &mut Vec<ReactionCount>, emoji: &str, is_on: bool) -> Result<(), ApiError> {
    let at = counts.iter().position(|it| it.emoji == emoji);
    match (at, is_on) {
        (Some(at), true) => counts[at].count += 1,
        (None, true) if counts.len() >= EMOJIS_PER_MESSAGE_MAX => {
            let message = format!("the message has {EMOJIS_PER_MESSAGE_MAX} emojis already");
            return Err(ApiError::new(ErrorCode::LimitReached, message));
        }
        (None, true) => counts.push(ReactionCount { emoji: emoji.to_owned(), count: 1 }),
        (Some(at), false) if counts[at].count > 1 => counts[at].count -= 1,
        (Some(at), false) => drop(counts.remove(at)),
        (None, false) => {}
    }
    Ok(())
}

/// Writes a change. `by`: the entry that makes it. What is to be written anew is given back: where it
/// goes, only the end of the plan knows.
pub fn write(
    batch: &mut Batch,
    state: &mut State,
    no: PlanNo,
    by: &Entry,
    change: MessageChange,
) -> Vec<Rewrite> {
    let MessageChange { target, before, row, reaction, rewrites } = change;
    let at = (by.room.clone(), target);
    batch.set(message::key(&by.room, target), row.encode());
    mention::change(batch, (&by.room, target, &by.from), &before, &row);
    if row.deleted_by != 0 {
        let all = reaction::range(&by.room, target);
        batch.clear_range(all.start, all.end);
        files::forget(batch, (&by.room, target), &before, by.time_ms);
    } else {
        previews::forget_image(batch, (&by.room, target), (&before, &row), by.time_ms);
    }
    pins::write(batch, by, target);
    if reaction.is_none() || !sabotage::is_out(Rule::CountsPlanned) {
        state.messages.rows.remember(no, at.clone(), row);
    }
    if let Some((emoji, is_on)) = reaction {
        let key = reaction::key(&by.room, target, &emoji, &by.from);
        if is_on {
            batch.set(key, reaction::encode(by.seq));
        } else {
            batch.clear(key);
        }
        if !sabotage::is_out(Rule::ReactionsPlanned) {
            let key = (at, (emoji, by.from.clone()));
            state.messages.reactions.remember(no, key, is_on);
        }
    }
    rewrites
}

/// Writes entries anew, in their places: their commits are done, but for this one.
pub fn write_again(batch: &mut Batch, state: &State, no: PlanNo, rewrites: &[Rewrite]) {
    for (entry, place) in rewrites {
        let at = match place {
            Place::In(commit, order) if *commit == no => At::Order(*order),
            _ if sabotage::is_out(Rule::PlacesKept) => At::Order(0),
            place => At::Position(state.position(*place).expect("an earlier commit is done")),
        };
        log::put_again(batch, at, entry);
        let first_seq = state.rooms.get(&entry.room).map_or(0, |room| room.head.first_seq);
        if entry.body.thread().is_none_or(|root| root >= first_seq) {
            thread::put(batch, entry);
        }
    }
}

#[cfg(test)]
mod tests;
