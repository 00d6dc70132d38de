//! Who follows which thread, and up to where they have read it. Who writes in a thread follows it, and so do the
//! sender of the message with which it begins and whoever is mentioned in it, unless they have said that they
//! do not. Following, and a thread's mark, is told by nothing but the user's row (`thread_follower.rs`). The user's own
//! devices hear of it as of the marks of rooms.

use std::collections::{BTreeSet, HashMap, HashSet};

use tracing::error;
use weft_proto::kind::Mark;
use weft_proto::svc::Change;
use weft_proto::{ApiError, Body, Entry, ErrorCode, Position, RoomId, UserId};
use weft_storage::tables::change::{self, Changed};
use weft_storage::tables::journal::JournalMark;
use weft_storage::tables::thread_follower::{self, FollowerKey, ThreadFollower};
use weft_storage::{Batch, Error, Snapshot};

use super::changes::{ChangedRow, PlannedRows, Written};
use super::command::{Command, Incoming};
use super::load;
use super::marks::may_mark;
use super::messages::{FoundMessages, sees};
use super::rooms::{Members, Room};
use super::state::{Place, PlanNo, State};
use super::threads;
use crate::marks::thread_change;

/// The places of these rows in a commit are after those of its marks.
const FIRST_ORDER: u16 = 5 << 13;

/// A row as its newest commit writes it.
pub type WrittenFollower = Written<ThreadFollower>;

/// What the store says of those whom a run of commands may make follow a thread, or whose threads it marks.
#[derive(Default, Debug)]
pub struct FoundFollowers {
    rows: HashMap<FollowerKey, WrittenFollower>,
    /// Those whose rows can't be read: they are not written anew.
    unreadable: HashSet<FollowerKey>,
}

/// Those whom a message in a thread concerns: its sender, the sender of the message with which the thread
/// begins, and whom it mentions.
fn concerned(from: &UserId, body: &Body, root_from: Option<&UserId>) -> BTreeSet<UserId> {
    let mut users: BTreeSet<UserId> = root_from.into_iter().cloned().collect();
    if body.as_message().is_some() {
        users.extend(body.mentions().users);
    }
    users.insert(from.clone());
    users
}

/// Reads what a run of commands has to know: of large groups also whether those are still members with whose
/// messages threads begin.
///
/// # Errors
/// Those of the store.
pub async fn load(
    snapshot: &dyn Snapshot,
    state: &mut State,
    run: &[Incoming],
    messages: &FoundMessages,
) -> Result<FoundFollowers, Error> {
    let mut wanted: BTreeSet<FollowerKey> = BTreeSet::new();
    let mut members: BTreeSet<(RoomId, UserId)> = BTreeSet::new();
    for Command { room, sender, body, .. } in run.iter().filter_map(|it| it.command.as_ref().ok()) {
        let is_wanted = body.as_message().is_some() || matches!(body, Body::Mark(_));
        let Some(root) = body.thread().filter(|_| is_wanted) else { continue };
        let at = (room.clone(), root);
        // Of a message that this run adds there is nobody yet.
        let root_from = messages.entry(state, &at).map(|it| &it.entry.from);
        let is_unknown = |room: &Room, user: &UserId| {
            matches!(room.members, Members::Some(_)) && room.members.get(user).is_none()
        };
        if let (Some(from), Some(of)) = (root_from, state.rooms.get(room))
            && is_unknown(of, from)
        {
            members.insert((room.clone(), from.clone()));
        }
        let users = concerned(sender, body, root_from);
        wanted.extend(users.into_iter().map(|user| (user, at.clone())));
    }
    let mut found = FoundFollowers::default();
    if wanted.is_empty() {
        return Ok(found);
    }
    load::look_up(snapshot, state, members).await?;
    let keys = wanted.iter().map(thread_follower::key).collect();
    for (at, row) in wanted.into_iter().zip(snapshot.get_many(keys).await?) {
        match row.as_deref().map(thread_follower::decode).transpose() {
            Ok(None) => {}
            Ok(Some((position, row))) => {
                let place = Place::At(position);
                found.rows.insert(at, Written { row, place });
            }
            Err(error) => {
                error!(user = %at.0, room = %at.1.0, %error, "who follows a thread can't be read");
                found.unreadable.insert(at);
            }
        }
    }
    Ok(found)
}

impl FoundFollowers {
    fn written<'a>(&'a self, state: &'a State, at: &FollowerKey) -> Option<&'a WrittenFollower> {
        state.followers.get(at).or_else(|| self.rows.get(at))
    }

    fn row(&self, state: &State, at: &FollowerKey) -> Option<ThreadFollower> {
        self.written(state, at).map(|written| written.row.clone())
    }
}

/// Decides about a mark of a thread; `None`: it changes nothing.
///
/// # Errors
/// The refusal.
pub fn decide(
    (id, room): (&RoomId, &Room),
    sender: &UserId,
    wanted: &Mark,
    (found, messages, state): (&FoundFollowers, &FoundMessages, &State),
) -> Result<Option<(FollowerKey, ThreadFollower)>, ApiError> {
    may_mark(id, room, sender)?;
    let Some(root) = wanted.thread else { return Ok(None) };
    let row = threads::root((id, room, root), sender, (messages, state))?;
    let at = (sender.clone(), (id.clone(), root));
    if found.unreadable.contains(&at) {
        return Err(ApiError::new(ErrorCode::Internal, "the sender's thread can't be read"));
    }
    let before = found.row(state, &at);
    let held = before.clone().unwrap_or_default();
    let after = match (wanted.follow, wanted.read) {
        (Some(true), _) if held.follows => held,
        // What there is by now is not new to who begins to follow.
        (Some(true), _) => {
            let last = row.thread.map_or(0, |thread| thread.last_reply);
            ThreadFollower { follows: true, read: held.read.max(last) }
        }
        (Some(false), _) => ThreadFollower { follows: false, ..held },
        (None, Some(read)) if read > room.head.seq || !sees(room, sender, read) => {
            return Err(ApiError::new(ErrorCode::NotFound, "there is no such entry"));
        }
        // Who does not follow a thread has nothing unread in it.
        (None, Some(read)) if held.follows => ThreadFollower { read: held.read.max(read), ..held },
        (None, _) => return Ok(None),
    };
    Ok((before.as_ref() != Some(&after)).then_some((at, after)))
}

/// The rows that a commit writes, each once.
pub struct PlannedFollowers(PlannedRows<FollowerKey, ThreadFollower>);

/// A row that a commit has written.
pub type ChangedFollower = ChangedRow<FollowerKey, ThreadFollower>;

impl Default for PlannedFollowers {
    fn default() -> Self {
        Self(PlannedRows::new(FIRST_ORDER))
    }
}

impl PlannedFollowers {
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.count()
    }

    /// Takes a row. What it adds to the commit's row of the journal, in bytes.
    pub fn take(
        &mut self,
        (state, found, no): (&mut State, &FoundFollowers, PlanNo),
        at: FollowerKey,
        row: ThreadFollower,
    ) -> usize {
        let before = found.written(state, &at).map_or(Place::Nowhere, |written| written.place);
        let journal_bytes = journal_mark(&at).size_bytes();
        let is_new = self.0.take((&mut state.followers, no), before, at, row);
        if is_new { journal_bytes } else { 0 }
    }

    /// Takes that a message makes users follow the thread that it is in. What comes before it is not new to
    /// them.
    pub fn take_reply(
        &mut self,
        (state, found, no): (&mut State, &FoundFollowers, PlanNo),
        entry: &Entry,
        messages: &FoundMessages,
    ) -> usize {
        let (Some(_), Some(root)) = (entry.body.as_message(), entry.body.thread()) else {
            return 0;
        };
        let thread = (entry.room.clone(), root);
        let root_from = messages.entry(state, &thread).map(|it| it.entry.from.clone());
        let mut journal_bytes = 0;
        for user in concerned(&entry.from, &entry.body, root_from.as_ref()) {
            // Who has left hears nothing of what comes afterwards.
            let room = state.rooms.get(&entry.room);
            if room.is_none_or(|room| may_mark(&entry.room, room, &user).is_err()) {
                continue;
            }
            let is_own = user == entry.from;
            let at = (user, thread.clone());
            if found.unreadable.contains(&at) {
                continue;
            }
            let row = match found.row(state, &at) {
                None => ThreadFollower { follows: true, read: entry.seq - 1 },
                Some(row) if is_own && !row.follows => ThreadFollower { follows: true, ..row },
                Some(_) => continue,
            };
            journal_bytes += self.take((&mut *state, found, no), at, row);
        }
        journal_bytes
    }

    /// Writes them: rows, and what their users' syncs are told. Commits before this one are done.
    pub fn write(&self, batch: &mut Batch, state: &State) -> Vec<JournalMark> {
        for (at, row, order, before) in self.0.rows(state) {
            let (user, (room, root)) = at;
            let changed = Changed::Thread(room.clone(), *root);
            change::put_again(batch, user, before, order, &changed);
            thread_follower::put(batch, order, at, row);
        }
        self.0.named().map(|(at, _)| journal_mark(at)).collect()
    }

    /// For what follows the commit.
    #[must_use]
    pub fn into_changed(self) -> Vec<ChangedFollower> {
        self.0.into_changed()
    }
}

/// What users' devices are told of rows that the commit at this position has written.
pub fn told(changed: &[ChangedFollower], position: Position) -> impl Iterator<Item = Change> {
    changed.iter().map(move |ChangedRow { key, row, order }| {
        thread_change(key, position.with_order(*order), row)
    })
}

fn journal_mark((user, (room, root)): &FollowerKey) -> JournalMark {
    JournalMark { room: room.to_string(), user: user.to_string(), thread: *root, own: false }
}
