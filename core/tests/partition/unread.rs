//! How much is unread for whom: a simple model, and what lists of rooms say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use weft_core::services::{Caller, Context, Login};
use weft_proto::kind::Mark;
use weft_proto::{DeviceId, svc};
use weft_storage::tables::device::{self, Device};
use weft_storage::{Batch, Store};

use crate::support::{World, user_id};

/// Up to where a user has read.
#[derive(Default)]
struct Read {
    seq: u64,
    /// What is marked as unread, and the room's last entry then; 0: nothing.
    unread_from: u64,
    unread_at: u64,
}

/// Of one room.
#[derive(Default)]
pub struct Marks(BTreeMap<String, Read>);

impl Marks {
    /// A user has sent a message.
    pub fn sent(&mut self, user: &str, seq: u64) {
        let read = self.0.entry(user.to_owned()).or_default();
        read.seq = seq;
        if seq > read.unread_at {
            (read.unread_from, read.unread_at) = (0, 0);
        }
    }

    /// Takes a mark, where the room's last entry is `head`; false: it is refused.
    pub fn mark(&mut self, user: &str, mark: &Mark, head: u64) -> bool {
        let read = self.0.entry(user.to_owned()).or_default();
        let seqs = [mark.read, mark.delivered, mark.unread_from];
        if seqs.into_iter().flatten().any(|seq| seq > head) {
            return false;
        }
        if let Some(seq) = mark.read {
            read.seq = read.seq.max(seq);
            if seq >= read.unread_from {
                (read.unread_from, read.unread_at) = (0, 0);
            }
        }
        if let Some(from) = mark.unread_from.filter(|from| *from <= read.seq) {
            (read.unread_from, read.unread_at) = (from, head);
        }
        true
    }

    /// Up to where everything is read for the user.
    pub fn read_through(&self, user: &str) -> u64 {
        self.0.get(user).map_or(0, |read| match read.unread_from {
            0 => read.seq,
            from => from - 1,
        })
    }
}

/// Asks what devices ask.
pub struct Lists {
    store: Store,
    context: Context,
}

impl Lists {
    pub async fn open(world: &World) -> Self {
        let (store, clock) = (world.store.clone(), Arc::clone(&world.clock));
        let life = Duration::from_secs(100 * 86_400);
        let context = Context::open(store.clone(), clock, life).await.expect("open");
        Self { store, context }
    }

    /// A token of a device of the user.
    async fn token(&self, name: &str) -> String {
        let (user, device) = (user_id(name), DeviceId::new("d").expect("id"));
        let login = Device { refresh_hash: vec![1], login_ms: 1, ..Device::default() };
        let mut batch = Batch::new(rand::random());
        batch.set(device::key(&user, &device), login.encode());
        self.store.commit(batch).await.expect("commit");
        let caller = Caller::person(user, device, Login::MadeAt(1));
        self.context.tokens().issue(&caller).expect("issue").0
    }

    /// What the user's list of rooms says.
    pub async fn of(&self, name: &str) -> Vec<svc::RoomSummary> {
        let request = svc::ListRooms { token: self.token(name).await, ..Default::default() };
        self.context.list(request).await.expect("list").rooms
    }

    /// A room, or a thread of it, as the user is shown it.
    pub async fn history(&self, name: &str, room: &str, thread: Option<u64>) -> Vec<Value> {
        let (token, room) = (self.token(name).await, room.to_owned());
        let (after, merged) = (Some(0), true);
        let request = svc::ReadLog { token, room, thread, after, merged, ..Default::default() };
        let page = self.context.log_read(request).await.expect("a page");
        assert!(!page.more);
        page.entries.iter().map(|it| frame(&it.frame)).collect()
    }

    /// What is pinned in a room.
    pub async fn pins(&self, name: &str, room: &str) -> Vec<Value> {
        let (token, room) = (self.token(name).await, room.to_owned());
        let request = svc::ListPins { token, room, ..Default::default() };
        let page = self.context.pins(request).await.expect("a page");
        assert!(!page.more);
        page.entries.iter().map(|it| frame(it)).collect()
    }
}

fn frame(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("json")
}
