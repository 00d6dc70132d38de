//! What each role is answered by the services that read a room.

use std::sync::Arc;
use std::time::Duration;

use weft_core::services::{Caller, Context, Failure, Login};
use weft_proto::{DeviceId, svc};
use weft_storage::Batch;
use weft_storage::tables::device::{self, Device};

use crate::support::{World, user_id};

/// The services, as a client asks for them.
pub const READS: [&str; 11] = [
    "`room`",
    "`history`",
    "`versions`",
    "`reactions`",
    "`threads`",
    "`pins`",
    "`members`",
    "`receipts`",
    "`banned`",
    "`links`",
    "`asking`",
];

pub struct Readers(Context);

impl Readers {
    /// Of users who all have a device.
    pub async fn open(world: &World, names: &[&str]) -> Self {
        let mut batch = Batch::new([8; 16]);
        let login = Device { refresh_hash: vec![1], login_ms: 1, ..Device::default() };
        for name in names {
            let key = device::key(&user_id(name), &DeviceId::new("d").expect("id"));
            batch.set(key, login.encode());
        }
        world.store.commit(batch).await.expect("commit");
        let clock = Arc::clone(&world.clock) as Arc<dyn weft_runtime::Clock>;
        let life = Duration::from_secs(1_000_000);
        Self(Context::open(world.store.clone(), clock, life).await.expect("the services"))
    }

    fn token(&self, name: &str) -> String {
        let device = DeviceId::new("d").expect("id");
        let caller = Caller::person(user_id(name), device, Login::MadeAt(1));
        self.0.tokens().issue(&caller).expect("a token").0
    }

    /// What a user is answered who reads the room, or something about the message at a seq: `yes`, or the code.
    pub async fn answer(&self, read: &str, user: &str, room: &str, target: u64) -> String {
        let (token, room) = (self.token(user), room.to_owned());
        let (it, after, limit) = (&self.0, String::new(), 0);
        let emoji = "+".to_owned();
        let answered = match read {
            "`room`" => it.get(svc::GetRoom { token, room }).await.map(drop),
            "`history`" => {
                let request = svc::ReadLog { token, room, merged: true, ..Default::default() };
                it.log_read(svc::ReadLog { before: Some(0), ..request }).await.map(drop)
            }
            "`versions`" => {
                it.versions(svc::ReadVersions { token, room, target, after: 0 }).await.map(drop)
            }
            "`reactions`" => {
                let request = svc::ListReactions { token, room, target, emoji, after, limit };
                it.reactions(request).await.map(drop)
            }
            "`threads`" => {
                it.threads(svc::ListThreads { token, room, before: 0, limit }).await.map(drop)
            }
            "`pins`" => it.pins(svc::ListPins { token, room, before: 0, limit }).await.map(drop),
            "`members`" => {
                it.members(svc::ListMembers { token, room, after, limit }).await.map(drop)
            }
            "`receipts`" => {
                let request = svc::ListReceipts { token, room, seq: 0, after, limit };
                it.receipts(request).await.map(drop)
            }
            "`banned`" => it.banned(svc::ListBanned { token, room, after, limit }).await.map(drop),
            "`asking`" => it.asking(svc::ListAsking { token, room, after, limit }).await.map(drop),
            "`links`" => it.links(svc::ListLinks { token, room }).await.map(drop),
            other => panic!("no such service: {other}"),
        };
        match answered {
            Ok(()) => "yes".to_owned(),
            Err(Failure::Refused(error)) => format!("`{}`", error.code.as_str()),
            Err(Failure::Store(error)) => panic!("{read}: {error}"),
        }
    }
}
