//! Plans what is no entry: marks, settings, drafts, relations, links, what is scheduled, who asks to come into a
//! group or is invited, and what a room lets go of.

use weft_proto::frame::{Reply, drafted_frame};
use weft_proto::kind::{Decline, Due, Expire, Unschedule};
use weft_proto::{ApiError, Body, ClientId, ErrorCode, RoomId, UserId};
use weft_storage::tables::expiry;
use weft_storage::tables::group_invitation::{GroupInvitation, InvitationKey};
use weft_storage::tables::scheduled::unlist;

use super::{Found, Plan, Times, not_loaded};
use crate::partition::marks::{self, MarkKey};
use crate::partition::rules::{self, Known};
use crate::partition::state::State;
use crate::partition::{
    asks, drafts, followers, invitations, links, relations, scheduled, settings,
};

impl Plan {
    /// Changes what is no entry, where that is allowed: a mark of the sender, a setting, a draft, a relation, a link,
    /// or asking to come into a group. The answer.
    pub(super) fn change_beside(
        &mut self,
        state: &mut State,
        found: &Found,
        times: Times,
        (key, client_id): (MarkKey, Option<ClientId>),
        body: &Body,
    ) -> Result<Vec<u8>, ApiError> {
        match body {
            Body::Link(_) | Body::Unlink(_) => {
                let (id, sender) = key;
                let room = state.rooms.get(&id).ok_or_else(not_loaded)?;
                let known = Known::of(found, state);
                let changes = rules::decide_link((&id, room), &sender, body, times.now_ms, &known)?;
                links::write(&mut self.batch, state, self.no, &id, changes);
            }
            Body::Ask(_) | Body::Decline(_) => {
                let (id, sender) = key;
                let room = state.rooms.get(&id).ok_or_else(not_loaded)?;
                let with = (&found.invitations, &*state);
                let ended = match body {
                    Body::Decline(Decline { user }) => {
                        invitations::decline((&id, room), &sender, user, times.now_ms, with)?
                    }
                    _ => None,
                };
                let known = (&found.asks, &*state, &Known::of(found, state));
                match asks::decide((&id, room), &sender, body, times.now_ms, known) {
                    Ok(None) => {}
                    Ok(Some(change)) => {
                        self.told.push(asks::write(&mut self.batch, state, self.no, change));
                    }
                    // It was about an invitation.
                    Err(_) if ended.is_some() => {}
                    Err(error) => return Err(error),
                }
                self.end_invitations(state, found, ended);
            }
            Body::Mark(wanted) if wanted.thread.is_some() => {
                let room = state.rooms.get(&key.0).ok_or_else(not_loaded)?;
                let known = (&found.followers, &found.messages, &*state);
                if let Some((at, row)) = followers::decide((&key.0, room), &key.1, wanted, known)? {
                    let with = (state, &found.followers, self.no);
                    self.journal_bytes += self.followers.take(with, at, row);
                }
            }
            Body::Mark(wanted) => {
                let room = state.rooms.get(&key.0).ok_or_else(not_loaded)?;
                if let Some(mark) = marks::decide(&key, room, wanted, (&found.marks, state))? {
                    let is_hidden = found.consent.is_hidden(state, &key.0, &key.1);
                    let with = (state, &found.marks, self.no);
                    self.journal_bytes += self.marks.take(with, key, (mark, is_hidden));
                }
            }
            Body::Setting(wanted) => {
                let (notebook, sender) = key;
                let with = (&found.settings, &*state);
                if let Some(setting) = settings::decide(&notebook, &sender, wanted, with)? {
                    let (with, key) = (
                        (state, &found.settings, self.no),
                        (sender.clone(), wanted.kept_for(&sender)),
                    );
                    self.journal_bytes += self.settings.take(with, key, setting);
                }
            }
            Body::Relation(wanted) => {
                let (notebook, sender) = key;
                let with = (&found.relations, &found.consent, &*state);
                let accounts = &found.accounts;
                let relation = relations::decide(&notebook, &sender, wanted, accounts, with)?;
                if let Some(relation) = relation {
                    let (with, key) =
                        ((state, &found.relations, self.no), (sender, wanted.user.clone()));
                    self.journal_bytes += self.relations.take(with, key, relation);
                }
            }
            Body::Draft(wanted) => {
                let (notebook, sender) = key;
                let known = (&found.drafts, &*state);
                let decided = drafts::decide(&notebook, &sender, wanted, times.now_ms, known)?;
                let version = decided.version();
                let with = (state, &found.drafts, self.no);
                self.journal_bytes += self.drafts.take(&mut self.batch, with, decided);
                return Ok(drafted_frame(version));
            }
            Body::Schedule(wanted) => {
                let (id, sender) = key;
                let room = state.rooms.get(&id).ok_or_else(not_loaded)?;
                let known = (&found.scheduled, &found.files, &*state);
                let key = client_id.map(|client_id| (sender, id.clone(), client_id));
                let decided = scheduled::schedule((&id, room), key, wanted, times.now_ms, known)?;
                self.take_scheduled(state, found, decided);
            }
            Body::Unschedule(Unschedule { schedule }) => {
                let (key, known) = ((key.1, key.0, *schedule), (&found.scheduled, &*state));
                if let Some(decided) = scheduled::unschedule(key, known)? {
                    self.take_scheduled(state, found, decided);
                }
            }
            // It is listed and does not wait, or can't be read: see `scheduled::resolve`.
            Body::Due(Due { schedule, at }) => {
                let key = (key.1, key.0, *schedule);
                let waiting = found.scheduled.waiting(state, &key);
                if waiting.is_none_or(|row| row.at_ms != *at)
                    && !found.scheduled.is_unreadable(&key)
                {
                    unlist(&mut self.batch, self.partition, *at, &key);
                }
            }
            Body::Expire(Expire { hour }) => self.expire(state, found, times, &key.0, *hour),
            _ => return Err(ApiError::new(ErrorCode::Internal, "it is an entry")),
        }
        Ok(Reply::Done {}.to_frame())
    }

    /// Writes that these users are invited to a group from now on.
    pub(super) fn invite(
        &mut self,
        state: &mut State,
        found: &Found,
        (id, by, now_ms): (&RoomId, &UserId, u64),
        users: Vec<UserId>,
    ) {
        let row = GroupInvitation { by: by.to_string(), invited_ms: now_ms };
        for user in users {
            let with = (&mut *state, &found.invitations, self.no);
            self.journal_bytes += self.invitations.take(with, (user, id.clone()), row.clone());
        }
    }

    /// Writes that these invitations have ended.
    pub(super) fn end_invitations(
        &mut self,
        state: &mut State,
        found: &Found,
        ended: impl IntoIterator<Item = InvitationKey>,
    ) {
        for key in ended {
            let with = (&mut *state, &found.invitations, self.no);
            self.journal_bytes += self.invitations.take(with, key, GroupInvitation::default());
        }
    }

    fn take_scheduled(&mut self, state: &mut State, found: &Found, decided: scheduled::Decided) {
        let (to, with) = ((&mut self.batch, self.partition), (state, &found.scheduled, self.no));
        self.journal_bytes += self.scheduled.take(to, with, decided);
    }

    /// Deletes what has expired in a room, as far as it is still so, and lists the room by what expires next.
    fn expire(&mut self, state: &mut State, found: &Found, times: Times, id: &RoomId, hour: u32) {
        let (partition, no) = (self.partition, self.no);
        let Some(head) = state.rooms.get(id).map(|room| &room.head) else { return };
        if head.expiry_hour != hour {
            self.batch.clear(expiry::key(partition, hour, id));
            return;
        }
        let Some(expired) = found.expired.get(id).filter(|expired| expired.is_of(head)) else {
            return;
        };
        self.deletions.extend(expired.deletion(state, id, times.now_ms));
        if self.rooms.insert(id.clone()) {
            self.head_bytes += head.title.len() + head.topic.len();
        }
        state.rooms.change(id, |room| {
            room.touched = no;
            let next_hour = expired.next_hour(&room.head, times.now_ms);
            expired.apply(&mut room.head);
            expiry::list(&mut self.batch, partition, id, &mut room.head, next_hour);
        });
    }
}
