//! Closes a plan: what is written once for a whole commit.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use weft_nats::{Answer, ReplyTo};
use weft_proto::{ErrorCode, RoomId, svc};
use weft_storage::Batch;
use weft_storage::tables::applied::{self, Applied};
use weft_storage::tables::journal::{self, Journal};
use weft_storage::tables::minute::{self, Minute};
use weft_storage::tables::relation::RelationKey;
use weft_storage::tables::{head, layout, resend};

use super::{Commands, Plan, PlannedEntry};
use crate::partition::command::hour_of;
use crate::partition::drafts::ChangedDraft;
use crate::partition::followers::ChangedFollower;
use crate::partition::invitations::ChangedInvitation;
use crate::partition::marks::{self, MovedMark};
use crate::partition::messages;
use crate::partition::relations::{self, ChangedRelation};
use crate::partition::scheduled::ChangedScheduled;
use crate::partition::settings::ChangedSetting;
use crate::partition::state::{Place, PlanNo, State};
use crate::partition::trimming::PIECE_COMMITS;

/// Resend records older than this many hours are removed, and their ids refused from then on.
pub(super) const RESEND_HOURS: u32 = 25;

/// So many hours below the floor are looked at again: a server's clock may have been set back meanwhile.
pub(super) const RESEND_HOURS_AGAIN: u32 = 48;

/// A commit, ready to be sent to the store.
#[derive(Clone)]
pub struct Sealed {
    /// Its number.
    pub no: PlanNo,
    /// Guards and operations.
    pub batch: Batch,
    /// The partition's row as this commit writes it.
    pub applied: Applied,
    /// The last minute that has a row then.
    pub minute: Minute,
    /// The commands that it covers.
    pub commands: Commands,
    /// The entries, in order.
    pub entries: Vec<PlannedEntry>,
    pub marks: Vec<MovedMark>,
    pub settings: Vec<ChangedSetting>,
    pub drafts: Vec<ChangedDraft>,
    pub relations: Vec<ChangedRelation>,
    /// Of whom one has accepted what the other one writes.
    pub sights: Vec<RelationKey>,
    pub scheduled: Vec<ChangedScheduled>,
    pub invitations: Vec<ChangedInvitation>,
    /// Who follows threads, and up to where they have read them.
    pub followers: Vec<ChangedFollower>,
    /// How many entries it deletes.
    pub expired: u64,
    /// What administrators do by it, in the words of their log.
    pub administered: Vec<String>,
    /// What users are told once, when the commit is done.
    pub told: Vec<svc::Change>,
    /// The answers, in the order of their commands: sent when the commit is done.
    pub answers: Vec<(ReplyTo, Answer)>,
    /// Refusals that nobody hears: who sent the command, and why.
    pub unheard: Vec<(String, ErrorCode)>,
    /// The rooms that it writes.
    pub rooms: BTreeSet<RoomId>,
}

/// The rows that a commit requires to be unchanged.
pub struct Guards {
    /// The partition's row.
    pub applied: Applied,
    /// The layout row's bytes.
    pub layout_row: Bytes,
    /// The last minute that has a row.
    pub minute: Minute,
}

/// What is known beside the plan when it is closed.
#[derive(Clone, Copy, Default, Debug)]
pub struct Closing {
    /// The commit number up to which events are known to be published.
    pub published: u64,
    /// The owner's time, Unix milliseconds.
    pub now_ms: u64,
    /// Every message of another system that came before this is deleted: its command does not come
    /// again. Unix milliseconds, by the clock that the made ids carry.
    pub relayed_before_ms: u64,
    /// Journal rows up to this commit number may be deleted. One piece of them is, as far as they are
    /// published.
    pub journal_trimmable: u64,
}

impl Plan {
    /// Closes the plan: heads, journal, the partition's row and the guards come in.
    #[must_use]
    pub fn seal(mut self, state: &State, guards: &Guards, closing: Closing) -> Sealed {
        for id in &self.rooms {
            let Some(room) = state.rooms.get(id) else { continue };
            match room.place {
                Place::In(no, order) if no == self.no => {
                    head::put(&mut self.batch, id, order, &room.head);
                }
                place => {
                    if let Some(position) = state.position(place) {
                        head::put_again(&mut self.batch, id, position, &room.head);
                    }
                }
            }
        }
        messages::write_again(&mut self.batch, state, self.no, &self.rewrites);
        for deletion in &self.deletions {
            deletion.write(&mut self.batch);
        }
        marks::write_sent(&mut self.batch, state.level_next, &self.entries);
        let mut marks = self.marks.write(&mut self.batch, state);
        marks.extend(self.followers.write(&mut self.batch, state));
        let settings = self.settings.write(&mut self.batch, state);
        let drafts = self.drafts.write(&mut self.batch, state);
        let relations = self.relations.write(&mut self.batch, state);
        let scheduled = self.scheduled.write(&mut self.batch, state);
        let invitations = self.invitations.write(&mut self.batch, state);
        let before = &guards.applied;
        self.assert_in_order(state, before);
        let of_notebooks = !settings.is_empty() || !drafts.is_empty() || !relations.is_empty();
        let of_rooms = !marks.is_empty() || !scheduled.is_empty() || !invitations.is_empty();
        let is_beside = of_rooms || of_notebooks;
        let has_row = !self.entries.is_empty() || is_beside;
        let commit_no = before.last_commit_no() + u64::from(has_row);
        let mut applied = Applied {
            stream_seq: before.stream_seq.max(self.stream_seq),
            commit_no: Some(commit_no),
            batch_id: self.batch.id().to_vec(),
            published_up_to: before.published_up_to.max(closing.published),
            ..before.clone()
        };
        if has_row {
            let journal = Journal {
                entries: std::mem::take(&mut self.journal),
                stream_seq: applied.stream_seq,
                time_ms: closing.now_ms,
                marks,
                settings,
                drafts,
                relations,
                scheduled,
                invitations,
                sights: relations::journal_sights(&self.sights),
            };
            self.batch.set(journal::key(self.partition, commit_no), journal.encode());
        }
        self.raise_stored_floor(&mut applied, closing);
        self.trim_journal(&mut applied, closing.journal_trimmable);
        let minute = guards.minute.max(minute::of_ms(closing.now_ms));
        if minute > guards.minute {
            minute::put(&mut self.batch, self.partition, minute, &applied);
        }
        self.batch.guard(applied::key(self.partition), Some(before.encode()));
        self.batch.guard(layout::key(), Some(guards.layout_row.clone()));
        self.batch.set(applied::key(self.partition), applied.encode());
        Sealed {
            no: self.no,
            commands: self.commands(),
            batch: self.batch,
            applied,
            minute,
            entries: self.entries,
            marks: self.marks.into_moved(),
            settings: self.settings.into_changed(),
            drafts: self.drafts.into_changed(),
            relations: self.relations.into_changed(),
            sights: self.sights,
            scheduled: self.scheduled.into_changed(),
            invitations: self.invitations.into_changed(),
            followers: self.followers.into_changed(),
            expired: self.deletions.iter().map(|it| it.seqs.end - it.seqs.start).sum(),
            administered: self.administered,
            told: self.told,
            answers: self.answers,
            unheard: self.unheard,
            rooms: self.rooms,
        }
    }

    /// What the log gave comes after what was applied, and what a room gets has no hole. The heads are
    /// those of this plan: the next one begins after it is closed.
    fn assert_in_order(&self, state: &State, before: &Applied) {
        let (seq, applied) = (self.stream_seq, before.stream_seq);
        assert!(self.commands == 0 || seq > applied, "command {seq} after {applied} is applied");
        let mut last: HashMap<&RoomId, u64> = HashMap::new();
        for PlannedEntry { entry, .. } in &self.entries {
            let before = last.insert(&entry.room, entry.seq).unwrap_or(entry.seq - 1);
            assert_eq!(entry.seq, before + 1, "{} would have a hole", entry.room);
        }
        for (room, seq) in last {
            let head = state.rooms.get(room).map(|room| room.head.seq);
            assert_eq!(head, Some(seq), "the head of {room} is not its last entry");
        }
    }

    /// Deletes one piece of the journal, as far as it is published.
    fn trim_journal(&mut self, applied: &mut Applied, trimmable: u64) {
        let piece_end = applied.trimmed_up_to.saturating_add(PIECE_COMMITS);
        let up_to = trimmable.min(applied.published_up_to).min(piece_end);
        if up_to > applied.trimmed_up_to {
            journal::trim(&mut self.batch, self.partition, applied, up_to);
        }
    }

    /// Removes the resend records that nobody asks for any more.
    ///
    /// No clock alone raises the floor: it stays behind this owner's time and behind the log's own.
    /// A commit without a command has no time of the log.
    fn raise_stored_floor(&mut self, applied: &mut Applied, closing: Closing) {
        if self.oldest_ms == u64::MAX {
            return;
        }
        let hour = hour_of(self.oldest_ms.min(closing.now_ms));
        let floor_hour = hour.saturating_sub(RESEND_HOURS);
        if floor_hour <= applied.floor_hour {
            return;
        }
        // What is below the floor until now is removed already. An engine that keeps the places of removed
        // keys for a while would pass over a year of them, every hour.
        let hours = applied.floor_hour.saturating_sub(RESEND_HOURS_AGAIN)..floor_hour;
        applied.floor_hour = floor_hour;
        for old in [
            resend::range(self.partition, hours.clone()),
            resend::edge_made_range(self.partition, hours),
            resend::relayed_below(self.partition, hour_of(closing.relayed_before_ms)),
        ] {
            self.batch.clear_range(old.start, old.end);
        }
    }
}
