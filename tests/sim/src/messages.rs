//! What becomes of messages, by a model that has no plan, no memory and no store: it takes the committed
//! entries, one after the other.

use std::collections::BTreeMap;

use weft_proto::kind::{Add, ChangeRole, Create, Delete, Deleted, Edit, React, Unreact};
use weft_proto::{Body, Entry, Role, RoomId, RoomKind, UserId};
use weft_storage::Snapshot;
use weft_storage::tables::message::{Message, ReactionCount};
use weft_storage::tables::reaction::Reaction;
use weft_storage::tables::table::{Name, Table};

use super::check::{Judged, Place};
use super::client::Wish;
use super::store::now;
use super::world::World;

#[derive(Default)]
pub struct Messages {
    of: BTreeMap<Place, OfMessage>,
    /// Entries that say nothing any more, and which deletion took it.
    deleted: BTreeMap<Place, u64>,
    roles: BTreeMap<(RoomId, UserId), Role>,
}

struct OfMessage {
    sender: UserId,
    edits: Vec<u64>,
    edited_at_ms: u64,
    deleted_by: u64,
    /// In the order in which the emojis came: who put them on, and by which entry.
    reactions: Vec<(String, BTreeMap<UserId, u64>)>,
}

impl Messages {
    /// Takes the next entry of its room, as it was when it was committed.
    pub fn take(&mut self, entry: &Entry) -> Judged<()> {
        let Entry { room, seq, from, body, .. } = entry;
        self.take_roles(entry);
        if matches!(body, Body::Text(_)) {
            let of = OfMessage {
                sender: from.clone(),
                edits: Vec::new(),
                edited_at_ms: 0,
                deleted_by: 0,
                reactions: Vec::new(),
            };
            self.of.insert((room.clone(), *seq), of);
        }
        let Some(target) = body.target() else { return Ok(()) };
        let wrong = |what: &str| format!("{room} {seq} changes {target}, {what}");
        let role = self.roles.get(&(room.clone(), from.clone()));
        let may_any = matches!(role, Some(Role::Admin | Role::Owner));
        let message = self.of.get_mut(&(room.clone(), target));
        let message = message.ok_or_else(|| wrong("which is no message"))?;
        let is_own = message.sender == *from;
        if message.deleted_by != 0 {
            return Err(wrong("which is deleted"));
        }
        match body {
            Body::Edit(_) if is_own => {
                message.edits.push(*seq);
                message.edited_at_ms = entry.time_ms;
            }
            Body::Delete(_) if is_own || may_any => {
                message.deleted_by = *seq;
                message.reactions.clear();
                message.edited_at_ms = 0;
                let edits = std::mem::take(&mut message.edits);
                for taken in edits.into_iter().chain([target]) {
                    self.deleted.insert((room.clone(), taken), *seq);
                }
            }
            Body::React(React { emoji, .. }) => {
                if !message.puts_on(emoji, from, *seq) {
                    return Err(wrong("which has the reaction already"));
                }
            }
            Body::Unreact(Unreact { emoji, .. }) => {
                if !message.takes_off(emoji, from) {
                    return Err(wrong("which has no such reaction"));
                }
            }
            _ => return Err(wrong("which is another's")),
        }
        Ok(())
    }

    fn take_roles(&mut self, Entry { room, from, body, .. }: &Entry) {
        if room.kind() != RoomKind::Group {
            return;
        }
        let mut set = |user: &UserId, role| {
            self.roles.insert((room.clone(), user.clone()), role);
        };
        match body {
            Body::Create(Create { members, .. }) => {
                members.iter().for_each(|user| set(user, Role::Member));
                set(from, Role::Owner);
            }
            Body::Add(Add { user, role }) | Body::ChangeRole(ChangeRole { user, role }) => {
                set(user, *role);
            }
            Body::Leave(_) | Body::Remove(_) => {
                let user = body.user(from).expect("who leaves");
                self.roles.remove(&(room.clone(), user.clone()));
            }
            _ => {}
        }
    }

    /// The newest messages of a room, and who sent them; the last one first.
    fn newest(&self, room: &RoomId) -> Vec<(u64, &UserId)> {
        let all = self.of.range((room.clone(), 0)..=(room.clone(), u64::MAX));
        all.rev().take(3).map(|((_, seq), of)| (*seq, &of.sender)).collect()
    }

    /// An entry as the store has it by now.
    pub fn now(&self, taken: &Entry) -> Entry {
        match self.deleted.get(&(taken.room.clone(), taken.seq)) {
            Some(by) => Entry {
                body: Body::Deleted(Deleted { by: *by, thread: taken.body.thread() }),
                ..taken.clone()
            },
            None => taken.clone(),
        }
    }

    /// The store's rows are the model's.
    pub fn judge(&self, snapshot: &dyn Snapshot) -> Judged<()> {
        let mut wanted = BTreeMap::new();
        let mut on = BTreeMap::new();
        for ((room, seq), of) in &self.of {
            let row = of.row();
            if row != Message::default() {
                wanted.insert((room.clone(), *seq), row);
            }
            for (emoji, users) in &of.reactions {
                on.extend(
                    users
                        .iter()
                        .map(|(user, by)| (format!("{emoji} of {user} on {room} {seq}"), *by)),
                );
            }
        }
        let rows: BTreeMap<Place, Message> = all::<Message>(snapshot).into_iter().collect();
        // A message whose reactions were all taken off again has a row that says nothing.
        let rows = rows.into_iter().filter(|(_, row)| *row != Message::default());
        for ((room, seq), row) in rows {
            let wanted = wanted.remove(&(room.clone(), seq));
            if wanted.as_ref() != Some(&row) {
                return Err(format!("the row of message {room} {seq} is {row:?}, not {wanted:?}"));
            }
        }
        if let Some(((room, seq), _)) = wanted.first_key_value() {
            return Err(format!("the row of message {room} {seq} is missing"));
        }
        let found = all::<Reaction>(snapshot).into_iter().map(|(key, row)| {
            let ((room, seq), (emoji, user)) = key;
            let emoji: Name = emoji;
            let emoji = serde_json::to_value(&emoji).expect("a name");
            let emoji = emoji.as_str().expect("a text").to_owned();
            (format!("{emoji} of {user} on {room} {seq}"), row.seq)
        });
        if found.collect::<BTreeMap<_, _>>() == on {
            Ok(())
        } else {
            Err(format!("the reactions are not {on:?}"))
        }
    }
}

pub fn all<T: Table>(snapshot: &dyn Snapshot) -> Vec<(T::Key, T::Row)> {
    let mut rows = Vec::new();
    loop {
        let page = now(T::page(snapshot, rows.last().map(|(key, _)| key)));
        if page.is_empty() {
            return rows;
        }
        rows.extend(page);
    }
}

impl OfMessage {
    fn row(&self) -> Message {
        let count = |(emoji, users): &(String, BTreeMap<UserId, u64>)| ReactionCount {
            emoji: emoji.clone(),
            count: users.len() as u32,
        };
        Message {
            edits: self.edits.clone(),
            edited_at_ms: self.edited_at_ms,
            deleted_by: self.deleted_by,
            reactions: self.reactions.iter().map(count).collect(),
            ..Message::default()
        }
    }

    fn puts_on(&mut self, emoji: &str, user: &UserId, by: u64) -> bool {
        let at = self.reactions.iter().position(|(on, _)| on == emoji);
        let at = at.unwrap_or_else(|| {
            self.reactions.push((emoji.to_owned(), BTreeMap::new()));
            self.reactions.len() - 1
        });
        self.reactions[at].1.insert(user.clone(), by).is_none()
    }

    fn takes_off(&mut self, emoji: &str, user: &UserId) -> bool {
        let was = self.reactions.iter_mut().find(|(on, _)| on == emoji);
        let was = was.is_some_and(|(_, users)| users.remove(user).is_some());
        self.reactions.retain(|(_, users)| !users.is_empty());
        was
    }
}

/// A change that has no target yet gets one, as it is sent: one of the room's newest messages, or one that is
/// planned at best.
pub fn aim(world: &World, wish: &mut Wish) {
    let Some(body) = wish.body.as_mut().filter(|body| body.target() == Some(0)) else { return };
    let check = world.check.lock().expect("check");
    let newest = check.messages.newest(&wish.room);
    let next = check
        .entries
        .range((wish.room.clone(), 0)..)
        .map_while(|((room, seq), _)| (*room == wish.room).then_some(seq + 1));
    let next = next.last().unwrap_or(1) + world.below(3);
    let own = newest.iter().find(|(_, sender)| **sender == wish.sender).map(|(seq, _)| *seq);
    let any = newest.get(world.below(3) as usize).map(|(seq, _)| *seq);
    let any = any.filter(|_| world.below(4) > 0).unwrap_or(next);
    let own = own.filter(|_| world.below(4) > 0).unwrap_or(any);
    match body {
        Body::Edit(Edit { target, .. }) | Body::Delete(Delete { target, .. }) => *target = own,
        Body::React(React { target, .. }) | Body::Unreact(Unreact { target, .. }) => *target = any,
        _ => {}
    }
}

/// What somebody may want to become of a message that [`aim`] finds.
pub fn any_change(world: &World) -> Body {
    let emoji = || ["+", "-"][world.below(2) as usize].to_owned();
    match world.below(10) {
        0..3 => {
            Body::Edit(Edit { target: 0, text: format!("{}", world.below(1_000)), ranges: vec![] })
        }
        3 => Body::Delete(Delete::of(0)),
        4..8 => Body::React(React { target: 0, emoji: emoji() }),
        _ => Body::Unreact(Unreact { target: 0, emoji: emoji() }),
    }
}
