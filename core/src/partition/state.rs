//! What a partition's owner keeps in memory: the rooms that were written lately, and the client ids
//! that a lookup may not have seen. Only the owner writes its rooms, so the cache is the truth; it
//! is dropped whole when a commit is rejected.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use weft_proto::{ClientId, Entry, Position, RoomId, UserId};
use weft_storage::tables::draft::DraftKey;
use weft_storage::tables::group_invitation::InvitationKey;
use weft_storage::tables::join_request::JoinRequest;
use weft_storage::tables::link::Link;
use weft_storage::tables::relation::RelationKey;
use weft_storage::tables::resend::Resend;
use weft_storage::tables::scheduled::ScheduledKey;
use weft_storage::tables::sent::Sent;
use weft_storage::tables::thread_follower::FollowerKey;

use super::asks::AskKey;
use super::bans::BanKey;
use super::drafts::WrittenDraft;
use super::followers::WrittenFollower;
use super::invitations::WrittenInvitation;
use super::letters::Letters;
use super::links::LinkKey;
use super::marks::{self, MarkKey, WrittenMark};
use super::messages::{self, EntryKey};
use super::overlay::Overlay;
use super::relations::WrittenRelation;
use super::rooms::Rooms;
use super::scheduled::WrittenScheduled;
use super::settings::{SettingKey, WrittenSetting};
use crate::services::FileLimits;

/// The number of a plan, and of its commit, of one owner: grows by one, from 1.
pub type PlanNo = u64;

/// Where an entry is in commit order, as far as that is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// There is no entry.
    Nowhere,
    /// Committed.
    At(Position),
    /// Planned: the entry with this order in this commit.
    In(PlanNo, u16),
}

/// Names a command for resends.
pub type ResendKey = (RoomId, UserId, ClientId);

/// What a client id got: the answer to a resend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answered {
    /// 0: it made no entry.
    pub seq: u64,
    /// [`weft_proto::Body::content_hash`] of the entry: another one is a conflict.
    pub content_hash: u64,
    /// The entry's ordinal; `None`, as the time: the log does not have the entry any more.
    pub ordinal: Option<u64>,
    /// The entry's time, Unix milliseconds.
    pub time_ms: Option<u64>,
    /// Whom it has invited in the place of adding them.
    pub invited: Vec<UserId>,
}

impl Answered {
    /// Of a command that made no entry.
    #[must_use]
    pub fn no_entry(content_hash: u64) -> Self {
        Self { seq: 0, content_hash, ordinal: None, time_ms: None, invited: Vec::new() }
    }

    /// What the store says; without what is in the entry alone.
    #[must_use]
    pub fn of(Resend { seq, content_hash, invited }: &Resend) -> Self {
        let invited = invited.iter().filter_map(|user| UserId::new(user).ok()).collect();
        Self { seq: *seq, invited, ..Self::no_entry(*content_hash) }
    }

    /// The row that says it to the store.
    #[must_use]
    pub fn row(&self) -> Resend {
        let invited = self.invited.iter().map(ToString::to_string).collect();
        Resend { seq: self.seq, content_hash: self.content_hash, invited }
    }
}

/// An entry and where it is.
#[derive(Clone, PartialEq, Debug)]
pub struct Planned {
    pub entry: Arc<Entry>,
    pub place: Place,
}

/// The owner's memory.
pub struct State {
    pub rooms: Rooms,
    /// Commits up to this one were done when the last lookup began.
    pub settled: PlanNo,
    /// The store's feature level, as of the taking: a change of it fails the next commit's guard.
    pub feature_level: u32,
    /// The one that it is being raised to; else the same. Only who knows it works on the store: what is not read
    /// before it is reached may be written already.
    pub level_next: u32,
    /// How long after it was taken a message may be changed by its sender; 0: for ever.
    pub edit_window_ms: u64,
    /// For how many days a message has its files, where its room says nothing else.
    pub file_days: u32,
    /// What was done to messages in commits that lookups may not have seen.
    pub messages: messages::Written,
    /// The marks that such commits have moved.
    pub marks: Overlay<MarkKey, WrittenMark>,
    /// Whom they made follow a thread, and the threads' marks that they have moved.
    pub followers: Overlay<FollowerKey, WrittenFollower>,
    /// The settings that such commits have changed.
    pub settings: Overlay<SettingKey, WrittenSetting>,
    /// The drafts that they have changed.
    pub drafts: Overlay<DraftKey, WrittenDraft>,
    /// What they have changed of what is scheduled.
    pub scheduled: Overlay<ScheduledKey, WrittenScheduled>,
    /// Whom they ban, or not any more.
    pub bans: Overlay<BanKey, bool>,
    /// The links that they make, use, or remove.
    pub links: Overlay<LinkKey, Option<Link>>,
    /// Who asks to come into groups since then, or not any more.
    pub asks: Overlay<AskKey, Option<JoinRequest>>,
    /// Who is invited to come into groups since then, or not any more.
    pub invitations: Overlay<InvitationKey, WrittenInvitation>,
    /// The partition's commands in quarantine.
    pub letters: Letters,
    /// The relations that they have changed.
    pub relations: Overlay<RelationKey, WrittenRelation>,
    recent: HashMap<ResendKey, Answered>,
    recent_order: VecDeque<(PlanNo, ResendKey)>,
    /// With their seqs, in their order, as [`recent`](Self::recent): what a lookup may not have seen. Every
    /// entry comes in here, few are looked for: so it is no map.
    planned: VecDeque<(PlanNo, u64, Planned)>,
    positions: BTreeMap<PlanNo, Position>,
}

impl State {
    /// Nothing yet. `rooms_bytes_max`: what rooms in memory may take, about.
    #[must_use]
    pub fn new(rooms_bytes_max: usize, feature_level: u32) -> Self {
        Self {
            rooms: Rooms::new(rooms_bytes_max),
            settled: 0,
            feature_level,
            level_next: feature_level,
            edit_window_ms: 0,
            file_days: FileLimits::default().days,
            messages: messages::Written::default(),
            marks: Overlay::default(),
            followers: Overlay::default(),
            settings: Overlay::default(),
            drafts: Overlay::default(),
            scheduled: Overlay::default(),
            bans: Overlay::default(),
            links: Overlay::default(),
            asks: Overlay::default(),
            invitations: Overlay::default(),
            letters: Letters::default(),
            relations: Overlay::default(),
            recent: HashMap::new(),
            recent_order: VecDeque::new(),
            planned: VecDeque::new(),
            positions: BTreeMap::new(),
        }
    }

    /// While the store's level is being raised to this one.
    #[must_use]
    pub fn with_level_next(mut self, level: u32) -> Self {
        self.level_next = level;
        self
    }

    /// With a window for edits; zero: for ever.
    #[must_use]
    pub fn with_edit_window(mut self, window: Duration) -> Self {
        self.edit_window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// With files that are kept for so long.
    #[must_use]
    pub fn with_file_days(mut self, days: u32) -> Self {
        self.file_days = days;
        self
    }

    /// What a client id got in a commit that lookups may not have seen.
    #[must_use]
    pub fn recent(&self, key: &ResendKey) -> Option<&Answered> {
        self.recent.get(key)
    }

    /// Remembers what a client id gets in this commit.
    pub fn remember(&mut self, no: PlanNo, key: ResendKey, answered: Answered) {
        self.recent.insert(key.clone(), answered);
        self.recent_order.push_back((no, key));
    }

    /// An entry of a commit that lookups may not have seen.
    #[must_use]
    pub fn planned(&self, (room, seq): &EntryKey) -> Option<&Planned> {
        let is_it = |(_, at, it): &&(PlanNo, u64, Planned)| at == seq && it.entry.room == *room;
        self.planned.iter().rfind(is_it).map(|(_, _, planned)| planned)
    }

    /// The newest entry of such a commit that the user has read without saying so.
    #[must_use]
    pub fn newest_sent(&self, room: &RoomId, user: &UserId) -> Option<Sent> {
        let is_it = |entry: &Entry| {
            entry.room == *room && marks::read_by_sending(entry).any(|reads| reads == user)
        };
        let entry = self.planned.iter().rev().map(|(.., it)| &it.entry).find(|it| is_it(it))?;
        Some(Sent { seq: entry.seq, ordinal: entry.ordinal })
    }

    /// Remembers an entry that this commit writes.
    pub fn remember_entry(&mut self, no: PlanNo, entry: Arc<Entry>, place: Place) {
        self.planned.push_back((no, entry.seq, Planned { entry, place }));
    }

    /// Called as a lookup begins, when every earlier one was planned: what is committed by now is
    /// seen by it and by all later ones, so it need not be remembered; and rooms that no open
    /// commit writes can be read again.
    pub fn forget_settled(&mut self, settled: PlanNo) {
        while self.recent_order.front().is_some_and(|(no, _)| *no <= settled) {
            if let Some((_, key)) = self.recent_order.pop_front() {
                self.recent.remove(&key);
            }
        }
        while self.planned.front().is_some_and(|(no, ..)| *no <= settled) {
            self.planned.pop_front();
        }
        self.messages.forget_settled(settled);
        self.marks.forget_settled(settled);
        self.followers.forget_settled(settled);
        self.settings.forget_settled(settled);
        self.drafts.forget_settled(settled);
        self.scheduled.forget_settled(settled);
        self.bans.forget_settled(settled);
        self.links.forget_settled(settled);
        self.relations.forget_settled(settled);
        self.asks.forget_settled(settled);
        self.invitations.forget_settled(settled);
        self.settled = settled;
        self.rooms.forget(settled);
    }

    /// Called when a commit is done: the places of what it wrote are known now.
    pub fn settle<'a>(
        &mut self,
        no: PlanNo,
        position: Position,
        rooms: impl Iterator<Item = &'a RoomId>,
    ) {
        for id in rooms {
            self.rooms.change(id, |room| match room.place {
                Place::In(commit, order) if commit == no => {
                    room.place = Place::At(position.with_order(order));
                }
                _ => {}
            });
        }
        self.positions.insert(no, position);
        // An entry of the commit that is planned now can follow one of this commit, not older ones.
        self.positions.retain(|commit, _| *commit + 1 >= no);
    }

    /// The place by its position, where its commit is done.
    #[must_use]
    pub fn settled(&self, place: Place) -> Place {
        self.position(place).map_or(place, Place::At)
    }

    /// The position of a place that is settled.
    #[must_use]
    pub fn position(&self, place: Place) -> Option<Position> {
        match place {
            Place::Nowhere => None,
            Place::At(position) => Some(position),
            Place::In(no, order) => {
                self.positions.get(&no).map(|position| position.with_order(order))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use weft_proto::Body;

    use super::*;

    #[test]
    fn an_entry_is_found_until_a_lookup_began_after_its_commit() {
        let mut state = State::new(usize::MAX, 1);
        let room = RoomId::new("team").expect("id");
        for (no, seq) in [(1, 1), (1, 2), (2, 3)] {
            let entry = Entry {
                room: room.clone(),
                seq,
                ordinal: seq,
                from: UserId::new("alice").expect("id"),
                client_id: None,
                time_ms: 1,
                body: Body::message(format!("{seq}")).expect("text"),
            };
            state.remember_entry(no, Arc::new(entry), Place::In(no, 0));
        }
        let found = |state: &State| {
            let is_planned = |seq: &u64| state.planned(&(room.clone(), *seq)).is_some();
            (1..=3).filter(is_planned).collect::<Vec<_>>()
        };
        assert_eq!(found(&state), [1, 2, 3]);
        state.forget_settled(1);
        assert_eq!(found(&state), [3]);
        state.forget_settled(2);
        assert!(found(&state).is_empty());
    }
}
