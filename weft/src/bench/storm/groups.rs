//! Who talks to whom: small groups of devices, and survivors who are members of many groups.

use std::collections::HashSet;
use std::ops::Range;

use serde_json::{Value, json};
use weft_proto::ClientId;
use weft_runtime::{Clock, SystemClock};

use crate::bench::pair::{User, open_session};
use crate::bench::scan::{self, Kind, text};
use crate::bench::socket::Socket;
use crate::error::Error;

/// Devices of a group: few, so that all of them are contacts.
const GROUP: usize = 10;
/// Groups of a survivor, who sees no more than [`CONTACTS_MAX`](weft_proto::limits::CONTACTS_MAX)
/// users without asking.
const GROUPS_PER_SURVIVOR: usize = 90;
/// The seq that makes a group. Everybody connects after it and before the next one.
pub const CREATED: u64 = 1;

/// Devices in groups. Each group has one survivor, its owner, beside the devices.
#[derive(Clone, Copy, Debug)]
pub struct Groups {
    pub devices: usize,
}

/// A room's log, as it stands in the store.
#[derive(Default)]
pub struct Log {
    /// Seq of the last entry.
    pub head: u64,
    /// Each entry's seq and client id.
    entries: HashSet<(u64, String)>,
    /// Entries whose client id stands in the room before.
    pub doubled: u64,
}

impl Groups {
    pub fn count(self) -> usize {
        self.devices.div_ceil(GROUP)
    }

    pub fn survivors(self) -> usize {
        self.count().div_ceil(GROUPS_PER_SURVIVOR)
    }

    pub fn group_of(self, device: usize) -> usize {
        device / GROUP
    }

    pub fn members(self, group: usize) -> Range<usize> {
        group * GROUP..self.devices.min((group + 1) * GROUP)
    }

    pub fn of_survivor(self, survivor: usize) -> Range<usize> {
        let first = survivor * GROUPS_PER_SURVIVOR;
        first..self.count().min(first + GROUPS_PER_SURVIVOR)
    }

    /// Users whom a device sees: the other devices of its group, and the survivor.
    pub fn contacts_of_device(self, device: usize) -> usize {
        self.members(self.group_of(device)).len()
    }

    /// Users whom a survivor sees.
    pub fn contacts_of_survivor(self, survivor: usize) -> usize {
        self.of_survivor(survivor).map(|group| self.members(group).len()).sum()
    }

    /// A survivor makes its groups.
    pub async fn create(self, survivor: usize, user: User) -> Result<(), Error> {
        let groups = self.of_survivor(survivor);
        let mut socket = open_session(user).await?;
        for group in groups.clone() {
            let members: Vec<String> = self.members(group).map(device_name).collect();
            let client_id = ClientId::from_parts(SystemClock.now_ms(), rand::random());
            let create = json!({
                "id": group + 2, "type": "send", "kind": "create", "room": room(group),
                "client_id": client_id, "title": room(group), "members": members,
            });
            socket.feed(create.to_string()).await?;
        }
        socket.flush().await?;
        let mut created = 0;
        while created < groups.len() {
            let frame = socket.next().await?;
            match scan::kind(&frame) {
                Kind::Ack => created += 1,
                Kind::Error => return Err(Error::Failed(format!("no group: {frame}"))),
                Kind::Entry | Kind::Other => {}
            }
        }
        Ok(())
    }

    /// The logs of a survivor's groups.
    pub async fn read_logs(self, survivor: usize, user: User) -> Result<Vec<Log>, Error> {
        let mut socket = open_session(user).await?;
        let mut logs = Vec::new();
        for group in self.of_survivor(survivor) {
            logs.push(read_log(&mut socket, group).await?);
        }
        Ok(logs)
    }
}

impl Log {
    /// True where the entry with this client id stands at this seq.
    pub fn has(&self, seq: u64, client_id: &str) -> bool {
        self.entries.contains(&(seq, client_id.to_owned()))
    }

    fn take(&mut self, page: &Value, known: &mut HashSet<String>) -> Option<()> {
        for entry in page["entries"].as_array()? {
            let (seq, client_id) = (entry["seq"].as_u64()?, entry["client_id"].as_str()?);
            self.head = self.head.max(seq);
            self.doubled += u64::from(!known.insert(client_id.to_owned()));
            self.entries.insert((seq, client_id.to_owned()));
        }
        Some(())
    }
}

async fn read_log(socket: &mut Socket, group: usize) -> Result<Log, Error> {
    let (mut log, mut known) = (Log::default(), HashSet::new());
    loop {
        let (room, after) = (room(group), log.head);
        let ask = json!({ "id": group + 2, "type": "history", "room": room, "after": after });
        socket.feed(ask.to_string()).await?;
        socket.flush().await?;
        let frame = loop {
            let frame = socket.next().await?;
            match text(&frame, r#""type":""#) {
                Some("history") => break frame,
                Some("error") => return Err(Error::Failed(format!("no history: {frame}"))),
                _ => {}
            }
        };
        let malformed = || Error::Failed(format!("a history that can't be read: {frame}"));
        let page: Value = serde_json::from_str(&frame).map_err(|_| malformed())?;
        log.take(&page, &mut known).ok_or_else(malformed)?;
        if page["more"] != true {
            return Ok(log);
        }
    }
}

pub fn room(group: usize) -> String {
    format!("storm-{group}")
}

/// The group of a room's id.
pub fn group_of_room(room: &str) -> Option<usize> {
    room.strip_prefix("storm-")?.parse().ok()
}

pub fn device_name(device: usize) -> String {
    format!("device-{device:06}")
}

pub fn survivor_name(survivor: usize) -> String {
    format!("survivor-{survivor:03}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_in_one_group_and_seen_by_one_survivor() {
        let groups = Groups { devices: 1_997 };
        assert_eq!((groups.count(), groups.survivors()), (200, 3));
        let all: Vec<usize> = (0..groups.count()).flat_map(|group| groups.members(group)).collect();
        assert_eq!(all, (0..1_997).collect::<Vec<_>>());
        let seen: usize = (0..3).map(|survivor| groups.contacts_of_survivor(survivor)).sum();
        assert_eq!(seen, 1_997);
        assert_eq!((groups.contacts_of_device(0), groups.contacts_of_device(1_996)), (10, 7));
        assert_eq!(group_of_room(&room(17)), Some(17));
    }

    #[test]
    fn a_log_knows_what_stands_where() {
        let page = json!({ "entries": [
            { "seq": 1, "client_id": "a" }, { "seq": 2, "client_id": "b" },
            { "seq": 3, "client_id": "a" },
        ]});
        let mut log = Log::default();
        log.take(&page, &mut HashSet::new()).expect("entries");
        assert_eq!((log.head, log.doubled), (3, 1));
        assert!(log.has(2, "b") && !log.has(1, "b"));
    }
}
