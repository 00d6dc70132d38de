//! Marks: up to where members have read a room, and got it. A mark is a command without an entry: its commit
//! writes the row of the mark (`storage/src/tables/mark.rs`), and tells the syncs of those who hear of it.
//!
//! As of messages, what was planned and is not committed counts: see [`Overlay`](super::overlay::Overlay).

use std::collections::{BTreeSet, HashMap, HashSet};

use tracing::error;
use weft_proto::kind::{self, CONVERSATIONS_LEVEL, PEOPLE_LEVEL};
use weft_proto::{
    ApiError, Body, Entry, ErrorCode, Membership, Position, RoomId, RoomKind, UserId,
};
use weft_storage::tables::change::{self, Changed};
use weft_storage::tables::journal::JournalMark;
use weft_storage::tables::mark::{self, Mark};
use weft_storage::tables::sent::{self, Sent};
use weft_storage::tables::setting;
use weft_storage::{Batch, Error, Snapshot};

use super::changes::{ChangedRow, PlannedRows, Written, told_before};
use super::command::{Command, Incoming};
use super::load::readable;
use super::messages::{EntryKey, sees};
use super::plan::PlannedEntry;
use super::rooms::Room;
use super::rules;
use super::sabotage::{self, Rule};
use super::state::{Place, PlanNo, State};
use crate::marks::{delivered, is_hidden, partner};

/// Entries of which the ordinals are read at once: with the largest ones 6 MB.
const ENTRIES_AT_ONCE: usize = 16;
/// What the rows of a mark have at most: its own, and one of each who hears of it, there and cleared.
const MARK_BYTES: usize = 1_100;
/// The places of marks in a commit are after those of its entries.
const FIRST_ORDER: u16 = 1 << 15;

/// A room and whose mark in it.
pub type MarkKey = (RoomId, UserId);

/// A mark as a commit writes it, and whether others hear of that.
#[derive(Clone, PartialEq, Debug)]
pub struct ToldMark {
    pub mark: Mark,
    /// They do: not only what counts as unread for its user has changed, nobody has turned off read receipts,
    /// neither of two has blocked the other, and the room is no request.
    pub is_told: bool,
    /// Where they heard of it last before that commit.
    told_before: Place,
}

/// A mark as its newest commit writes it.
pub type WrittenMark = Written<ToldMark>;

impl WrittenMark {
    fn nowhere() -> Self {
        let (mark, told_before) = (Mark::default(), Place::Nowhere);
        Self { row: ToldMark { mark, is_told: false, told_before }, place: Place::Nowhere }
    }

    fn stored(position: Position, mut mark: Mark) -> Self {
        let told_before = Place::At(mark.told_at(position));
        mark.told_at.clear();
        Self { row: ToldMark { mark, is_told: false, told_before }, place: Place::At(position) }
    }

    /// Where others heard of it last.
    fn told(&self) -> Place {
        if self.row.is_told { self.place } else { self.row.told_before }
    }
}

/// What the store says of the marks that a run of commands moves.
#[derive(Default, Debug)]
pub struct FoundMarks {
    marks: HashMap<MarkKey, WrittenMark>,
    /// Those whose rows can't be read: they are not written anew.
    unreadable: HashSet<MarkKey>,
    sent: HashMap<MarkKey, Sent>,
    ordinals: HashMap<EntryKey, u64>,
    /// Of those whose marks they are, and of their partners: who has turned off read receipts.
    receipts_off: BTreeSet<UserId>,
}

/// Who has read an entry without saying so: who sent it, where it counts or changes the membership, and who
/// joins by it.
pub fn read_by_sending(entry: &Entry) -> impl Iterator<Item = &UserId> {
    let membership = entry.body.membership();
    let sends = entry.counts() || membership != Membership::Stays;
    let joining = match membership {
        Membership::Joins => entry.body.users(&entry.from),
        Membership::Stays | Membership::Leaves => Vec::new(),
    };
    sends.then_some(&entry.from).into_iter().chain(joining)
}

/// Writes up to where users have read by sending: of each room and user the last entry. While the store's level is
/// being raised (`level_next`), too: what is written then comes after what the walk over all rooms has seen.
pub fn write_sent(batch: &mut Batch, level_next: u32, entries: &[PlannedEntry]) {
    if level_next < CONVERSATIONS_LEVEL {
        return;
    }
    let mut written = HashSet::new();
    for PlannedEntry { entry, .. } in entries.iter().rev() {
        for user in read_by_sending(entry) {
            if written.insert((&entry.room, user)) {
                let sent = Sent { seq: entry.seq, ordinal: entry.ordinal };
                sent::put(batch, &entry.room, user, sent);
            }
        }
    }
}

/// Reads what a run of commands has to know of the marks that it moves.
///
/// # Errors
/// Those of the store.
pub async fn load(
    snapshot: &dyn Snapshot,
    state: &State,
    run: &[Incoming],
) -> Result<FoundMarks, Error> {
    let mut found = FoundMarks::default();
    let wanted: Vec<(MarkKey, &kind::Mark)> = run
        .iter()
        .filter_map(|incoming| match incoming.command.as_ref() {
            Ok(Command { room, sender, body: Body::Mark(mark), .. }) if mark.thread.is_none() => {
                Some(((room.clone(), sender.clone()), mark))
            }
            _ => None,
        })
        .collect();
    if wanted.is_empty() {
        return Ok(found);
    }
    let keys: BTreeSet<&MarkKey> = wanted.iter().map(|(key, _)| key).collect();
    let both = |(room, user): &&MarkKey| std::iter::once(user.clone()).chain(partner(room, user));
    let users: BTreeSet<UserId> = keys.iter().flat_map(both).collect();
    let rows = keys.iter().flat_map(|(room, user)| [mark::key(room, user), sent::key(room, user)]);
    let rows = rows.chain(users.iter().map(setting::of_user)).collect();
    let rows = snapshot.get_many(rows).await?;
    let (rows, of_users) = rows.split_at(2 * keys.len());
    for (user, row) in users.into_iter().zip(of_users) {
        if setting::hides_receipts(&user, row.as_deref()) {
            found.receipts_off.insert(user);
        }
    }
    for (key, rows) in keys.into_iter().zip(rows.chunks(2)) {
        let [mark, sent] = rows else { continue };
        if let Err(error) = found.take(key, mark.as_deref(), sent.as_deref()) {
            error!(room = %key.0, user = %key.1, %error, "a mark can't be read");
            found.unreadable.insert(key.clone());
        }
    }
    let entries = found.entries_to_read(state, &wanted);
    for some in entries.chunks(ENTRIES_AT_ONCE) {
        for (at, logged) in some.iter().zip(readable(snapshot, some).await?) {
            found.ordinals.extend(logged.map(|logged| (at.clone(), logged.entry.ordinal)));
        }
    }
    Ok(found)
}

impl FoundMarks {
    fn take(
        &mut self,
        key: &MarkKey,
        mark: Option<&[u8]>,
        sent: Option<&[u8]>,
    ) -> Result<(), Error> {
        if let Some((position, mark)) = mark.map(mark::decode).transpose()? {
            self.marks.insert(key.clone(), WrittenMark::stored(position, mark));
        }
        if let Some(sent) = sent.map(sent::decode).transpose()? {
            self.sent.insert(key.clone(), sent);
        }
        Ok(())
    }

    /// Entries whose ordinals are known from nowhere else. Of the newest one of a room, its head says it: that
    /// is noted here, since a command of the same run may add another one.
    fn entries_to_read(
        &mut self,
        state: &State,
        wanted: &[(MarkKey, &kind::Mark)],
    ) -> Vec<EntryKey> {
        let mut entries = BTreeSet::new();
        for (key, mark) in wanted {
            let Some(room) = state.rooms.get(&key.0) else { continue };
            let (_, held) = self.held(state, key);
            let read = mark.read.filter(|seq| *seq > held.read);
            let before_unread = mark.unread_from.map(|seq| seq.saturating_sub(1));
            for seq in [read, before_unread].into_iter().flatten() {
                let at = (key.0.clone(), seq);
                if seq == room.head.seq {
                    self.ordinals.insert(at, room.head.ordinal);
                } else if (1..room.head.seq).contains(&seq) && state.planned(&at).is_none() {
                    entries.insert(at);
                }
            }
        }
        entries.into_iter().filter(|at| !self.ordinals.contains_key(at)).collect()
    }

    /// The mark as it was written last, and what holds.
    fn held(&self, state: &State, key: &MarkKey) -> (WrittenMark, Mark) {
        let planned = state.marks.get(key).filter(|_| !sabotage::is_out(Rule::MarksPlanned));
        let written = planned.or_else(|| self.marks.get(key));
        let written = written.cloned().unwrap_or_else(WrittenMark::nowhere);
        let sent = state.newest_sent(&key.0, &key.1).or_else(|| self.sent.get(key).copied());
        let held = written.row.mark.clone().with_sent(sent);
        (written, held)
    }

    /// The ordinal of an entry; 0: of none.
    fn ordinal(&self, state: &State, room: &RoomId, seq: u64) -> Result<u64, ApiError> {
        if seq == 0 {
            return Ok(0);
        }
        // All up to there has expired, and more perhaps: none of it is unread.
        let head = state.rooms.get(room).map(|room| &room.head);
        if let Some(head) = head.filter(|head| seq < head.first_seq) {
            return Ok(head.expired_ordinal);
        }
        let at = (room.clone(), seq);
        let planned = state.planned(&at).map(|planned| planned.entry.ordinal);
        planned.or_else(|| self.ordinals.get(&at).copied()).ok_or_else(no_such_entry)
    }
}

/// The marks that a commit moves, each once, by its newest command.
pub struct PlannedMarks(PlannedRows<MarkKey, ToldMark>);

/// A mark that a commit has moved.
pub type MovedMark = ChangedRow<MarkKey, ToldMark>;

impl Default for PlannedMarks {
    fn default() -> Self {
        Self(PlannedRows::new(FIRST_ORDER))
    }
}

impl PlannedMarks {
    /// What they will take in the commit, about: with the longest names, as they are written when it is closed.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.count() * MARK_BYTES
    }

    /// Takes a mark that was allowed; `is_apart`: the room's two users hear of each other nothing but entries. What it adds to the
    /// commit's row of the journal, in bytes.
    pub fn take(
        &mut self,
        (state, found, no): (&mut State, &FoundMarks, PlanNo),
        key: MarkKey,
        (mark, is_apart): (Mark, bool),
    ) -> usize {
        let (written, before) = found.held(state, &key);
        // Cores of before have no field for where others were told.
        let tells_all = state.feature_level < PEOPLE_LEVEL || sabotage::is_out(Rule::UnreadIsOwn);
        let is_new = tells_all || others_see(&mark) != others_see(&before);
        let is_hidden = is_hidden(&key.0, &key.1, &found.receipts_off)
            && !sabotage::is_out(Rule::ReceiptsHidden);
        let is_apart = is_apart && !sabotage::is_out(Rule::BlocksHideMarks);
        let may_tell = !is_hidden && !is_apart;
        let is_told = is_new && may_tell;
        let row = match written.place {
            Place::In(of, _) if of == no => {
                let is_told = is_told || (written.row.is_told && may_tell);
                ToldMark { mark, is_told, ..written.row }
            }
            // Known now it is, or when this commit is closed; later the commit may be forgotten.
            _ => ToldMark { mark, is_told, told_before: state.settled(written.told()) },
        };
        let journal_bytes = journal_mark(&key, true).size_bytes();
        let is_new = self.0.take((&mut state.marks, no), written.place, key, row);
        if is_new { journal_bytes } else { 0 }
    }

    /// Writes them: rows, and what their users' syncs are told instead of what they were told before. Commits
    /// before this one are done.
    pub fn write(&self, batch: &mut Batch, state: &State) -> Vec<JournalMark> {
        for ((room, user), row, order, before) in self.0.rows(state) {
            let changed = Changed::Mark(room.clone(), user.clone());
            change::put_again(batch, user, before, order, &changed);
            let mut mark = row.mark.clone();
            if let Some(partner) = partner(room, user) {
                let told_before = told_before(state, row.told_before);
                if row.is_told {
                    change::put_again(batch, &partner, told_before, order, &changed);
                } else {
                    mark.told_at = told_before.unwrap_or(Position::MIN).0.to_vec();
                }
            }
            mark::put(batch, order, (room, user), &mark);
        }
        self.0.named().map(|(key, row)| journal_mark(key, !row.is_told)).collect()
    }

    /// For what follows the commit.
    #[must_use]
    pub fn into_moved(self) -> Vec<MovedMark> {
        self.0.into_changed()
    }
}

fn journal_mark((room, user): &MarkKey, own: bool) -> JournalMark {
    JournalMark { room: room.to_string(), user: user.to_string(), thread: 0, own }
}

/// What others see of a mark.
fn others_see(mark: &Mark) -> (u64, u64) {
    (mark.read, delivered(mark))
}

/// Decides about a mark: what it is then. `None`: it moves nothing.
///
/// # Errors
/// The refusal.
pub fn decide(
    key: &MarkKey,
    room: &Room,
    wanted: &kind::Mark,
    (found, state): (&FoundMarks, &State),
) -> Result<Option<Mark>, ApiError> {
    let (id, sender) = key;
    may_mark(id, room, sender)?;
    let is_direct = id.kind() == RoomKind::Direct;
    if wanted.delivered.is_some() && !is_direct {
        let message = "in a group nobody says what they have got";
        return Err(ApiError::new(ErrorCode::BadRequest, message));
    }
    let seqs = [wanted.read, wanted.delivered, wanted.unread_from];
    for seq in seqs.into_iter().flatten() {
        // Who has read what has expired since has read it.
        let has_expired = (1..room.head.first_seq).contains(&seq);
        if seq > room.head.seq || !(has_expired || sees(room, sender, seq)) {
            return Err(no_such_entry());
        }
    }
    if found.unreadable.contains(key) {
        return Err(ApiError::new(ErrorCode::Internal, "the sender's mark can't be read"));
    }
    let (_, before) = found.held(state, key);
    let mut held = before.clone();
    if let Some(read) = wanted.read {
        if read > held.read {
            (held.read, held.read_ordinal) = (read, found.ordinal(state, id, read)?);
        }
        if held.unread_from != 0 && read >= held.unread_from {
            (held.unread_from, held.unread_ordinal, held.unread_at) = (0, 0, 0);
        }
    }
    // Who has read it has got it.
    if let Some(delivered) = wanted.delivered.max(wanted.read).filter(|_| is_direct)
        && delivered > before.delivered.max(before.read)
    {
        held.delivered = delivered;
    }
    // What is not read is unread already.
    if let Some(from) = wanted.unread_from.filter(|from| *from <= held.read) {
        held.unread_from = from;
        held.unread_ordinal = found.ordinal(state, id, from - 1)?;
        held.unread_at = room.head.seq;
    }
    let is_moved = held != before;
    Ok(is_moved.then_some(held))
}

pub(super) fn may_mark(id: &RoomId, room: &Room, sender: &UserId) -> Result<(), ApiError> {
    let is_member = match id.direct_users() {
        Some((a, b)) => *sender == a || *sender == b,
        None if room.members.role(sender).is_none() => {
            return Err(rules::not_member(room, sender));
        }
        None => true,
    };
    if is_member {
        return Ok(());
    }
    Err(ApiError::new(ErrorCode::NotMember, "the sender is not a member of the room"))
}

fn no_such_entry() -> ApiError {
    ApiError::new(ErrorCode::NotFound, "there is no such entry")
}
