//! What people say: messages of all sorts, and what is done to them.

use std::collections::VecDeque;

use rand::RngExt;
use rand::rngs::ThreadRng;
use serde_json::{Value, json};

use super::people::{People, Person, Place, PlaceKind};
use super::search::with_word;

/// Threads begin with messages whose seqs are a multiple of this, so that they grow.
const THREAD_EVERY: u64 = 40;

/// Where a thread begins, if there is a message: the newest one up to a seq, or the one before it.
pub(super) fn thread_near(seq: u64) -> u64 {
    let back = THREAD_EVERY * rand::rng().random_range(0..2);
    (seq / THREAD_EVERY * THREAD_EVERY).saturating_sub(back).max(2)
}

/// What is said in a room whose entries expire: nothing there belongs to a message that may have expired before it.
fn plain(rng: &mut ThreadRng, text: &str, own: Option<u64>, any: u64) -> Value {
    let text = with_word(text);
    match (rng.random_range(0..12), own) {
        (0..2, Some(target)) => json!({ "kind": "edit", "target": target, "text": text }),
        (2, Some(target)) => json!({ "kind": "delete", "target": target }),
        (3..5, _) => json!({ "kind": "react", "target": any, "emoji": "+1" }),
        _ => json!({ "text": text }),
    }
}

/// What somebody may say in a room.
#[derive(Debug)]
pub(super) struct Words {
    room: String,
    /// The user's rooms.
    rooms: Vec<String>,
    /// The room's members; those who come and go may be away.
    members: Vec<String>,
    kind: PlaceKind,
    /// Who made the group may mention everyone, pin, and delete what others said.
    is_owner: bool,
}

impl Words {
    pub(super) fn new(people: &People, place: &Place, person: &Person) -> Self {
        let own = people.places.iter().filter(|place| place.users.contains(&person.user));
        Self {
            room: place.room.clone(),
            rooms: own.map(|place| place.room.clone()).collect(),
            members: place.users.iter().map(|user| people.users[*user].user.clone()).collect(),
            kind: place.kind,
            is_owner: place.kind != PlaceKind::Direct && place.users[0] == person.user,
        }
    }

    pub(super) fn room(&self) -> &str {
        &self.room
    }

    /// A message, or now and then a change of one: of an own one (`own` has their seqs), or of one of the
    /// room's newest. `has`: up to where a room is known.
    pub(super) fn any(&self, text: &str, own: &VecDeque<u64>, has: impl Fn(&str) -> u64) -> Value {
        let mut rng = rand::rng();
        let emoji = ["👍", "❤", "+1"][rng.random_range(0..3)];
        let own = (!own.is_empty()).then(|| own[rng.random_range(0..own.len())]);
        let head = has(&self.room);
        let any = head.saturating_sub(rng.random_range(0..8)).max(1);
        if self.kind == PlaceKind::Expiring {
            return plain(&mut rng, text, own, any);
        }
        let pins = self.kind == PlaceKind::Direct || self.is_owner;
        match (rng.random_range(0..40), own) {
            (0..6, Some(target)) => {
                let ranges = self.mentions(&mut rng, 2);
                let text = with_word(&format!("{text}, edited"));
                json!({ "kind": "edit", "target": target, "text": text, "ranges": ranges })
            }
            (6..8, Some(target)) => json!({ "kind": "delete", "target": target }),
            (8, _) if self.is_owner => json!({ "kind": "delete", "target": any }),
            (9..17, _) => json!({ "kind": "react", "target": any, "emoji": emoji }),
            (17..20, _) => json!({ "kind": "unreact", "target": any, "emoji": emoji }),
            (20..22, _) if pins => json!({ "kind": "pin", "target": any }),
            (22, _) if pins => json!({ "kind": "unpin", "target": any }),
            _ => self.message(&mut rng, text, any, has),
        }
    }

    fn message(
        &self,
        rng: &mut ThreadRng,
        text: &str,
        any: u64,
        has: impl Fn(&str) -> u64,
    ) -> Value {
        let mut message = json!({ "text": with_word(text), "ranges": self.mentions(rng, 4) });
        let one_in = |rng: &mut ThreadRng, count: u32| rng.random_range(0..count) == 0;
        for field in ["silent", "skip_push"] {
            if one_in(rng, 8) {
                message[field] = true.into();
            }
        }
        if one_in(rng, 8) {
            message["reply_to"] = any.into();
        }
        if one_in(rng, 4) {
            message["thread"] = thread_near(any).into();
        }
        if one_in(rng, 16) {
            let room = &self.rooms[rng.random_range(0..self.rooms.len())];
            let seq = has(room).saturating_sub(rng.random_range(0..4)).max(1);
            message["forwarded"] = json!({ "room": room, "seq": seq });
        }
        message
    }

    /// Whom a text mentions: one in `one_in` somebody.
    fn mentions(&self, rng: &mut ThreadRng, one_in: u32) -> Value {
        let range = |name: &str, who: &str| {
            let mut range = json!({ "at": 0, "len": 1, "style": "mention" });
            range[name] = who.into();
            range
        };
        let mut ranges = Vec::new();
        if rng.random_range(0..one_in) == 0 {
            let user = &self.members[rng.random_range(0..self.members.len())];
            ranges.push(range("user", user));
        }
        if self.is_owner && rng.random_range(0..2 * one_in) == 0 {
            ranges.push(range("everyone", if rng.random() { "all" } else { "here" }));
        }
        ranges.into()
    }
}
