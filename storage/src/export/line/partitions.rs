//! What belongs to partitions: how far they are, and what is still to be done.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::{Partition, RoomId, UserId};

use super::hex;
use crate::batch::BatchId;
use crate::tables::applied::Applied;
use crate::tables::dead_letter::{DeadLetter, Kept};
use crate::tables::journal::{Journal, JournalEntry};

/// How far a partition is.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartitionLine {
    pub partition: Partition,
    epoch: u64,
    /// Every command of its ingest log up to this stream sequence is in the export.
    applied: u64,
    /// Every event up to this one is published.
    published: u64,
    floor_hour: u32,
    loss_accepted: bool,
}

impl PartitionLine {
    pub fn new(partition: Partition, row: &Applied) -> Self {
        Self {
            partition,
            epoch: row.epoch,
            applied: row.stream_seq,
            published: row.published_up_to,
            floor_hour: row.floor_hour,
            loss_accepted: row.loss_accepted,
        }
    }

    /// The row, as this batch writes it. Nobody owns the partition yet.
    pub fn row(&self, batch_id: BatchId) -> Applied {
        Applied {
            stream_seq: self.applied,
            owner: String::new(),
            epoch: self.epoch,
            batch_id: batch_id.to_vec(),
            published_up_to: self.published,
            floor_hour: self.floor_hour,
            loss_accepted: self.loss_accepted,
        }
    }
}

/// A commit whose events may not be published.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalLine {
    pub partition: Partition,
    pub stream_seq: u64,
    entries: Vec<JournalEntryLine>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JournalEntryLine {
    room: RoomId,
    seq: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    users: Vec<UserId>,
}

impl JournalLine {
    pub fn new(partition: Partition, stream_seq: u64, row: &Journal) -> Result<Self, crate::Error> {
        let corrupt = |error| crate::Error::Corrupt(format!("journal: {error}"));
        let line = |entry: &JournalEntry| {
            let users = entry.users.iter().map(|user| UserId::new(user)).collect::<Result<_, _>>();
            Ok(JournalEntryLine {
                room: RoomId::new(&entry.room).map_err(corrupt)?,
                seq: entry.seq,
                users: users.map_err(corrupt)?,
            })
        };
        let entries = row.entries.iter().map(line).collect::<Result<_, crate::Error>>()?;
        Ok(Self { partition, stream_seq, entries })
    }

    /// The row.
    pub fn row(&self) -> Journal {
        let entry = |line: &JournalEntryLine| JournalEntry {
            room: line.room.to_string(),
            seq: line.seq,
            users: line.users.iter().map(ToString::to_string).collect(),
        };
        Journal { entries: self.entries.iter().map(entry).collect() }
    }
}

/// A command that was put aside.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadLetterLine {
    pub partition: Partition,
    pub stream_seq: u64,
    time: u64,
    sender: String,
    room: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    outside: bool,
    json: bool,
    reason: String,
    /// Where it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    /// Where it is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "hex")]
    payload_hex: Vec<u8>,
}

impl From<Kept> for DeadLetterLine {
    fn from(kept: Kept) -> Self {
        let Kept { partition, stream_seq, letter } = kept;
        let DeadLetter { sender, room, client_id, is_outsider, is_json, reason, time_ms, payload } =
            letter;
        let (payload, payload_hex) = match std::str::from_utf8(&payload) {
            Ok(text) => (Some(text.to_owned()), Vec::new()),
            Err(_) => (None, payload.to_vec()),
        };
        Self {
            partition,
            stream_seq,
            time: time_ms,
            sender,
            room,
            client_id,
            outside: is_outsider,
            json: is_json,
            reason,
            payload,
            payload_hex,
        }
    }
}

impl DeadLetterLine {
    /// The row.
    pub fn row(&self) -> DeadLetter {
        DeadLetter {
            sender: self.sender.clone(),
            room: self.room.clone(),
            client_id: self.client_id.clone(),
            is_outsider: self.outside,
            is_json: self.json,
            reason: self.reason.clone(),
            time_ms: self.time,
            payload: match &self.payload {
                Some(text) => Bytes::copy_from_slice(text.as_bytes()),
                None => Bytes::copy_from_slice(&self.payload_hex),
            },
        }
    }
}
