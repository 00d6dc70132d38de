//! What the lines of an export must be, taken together: pure, and the same when it is verified and
//! when a store is filled from it.

use bytes::Bytes;
use weft_proto::{ClientId, RoomId, RoomKind, UserId};

use super::line::{ExportLine, Header, ResendLine, Trailer};
use super::{ExportCounts, VERSION, count, older};
use crate::tables::head::Head;
use crate::tables::table::{Keyed, Row};
use crate::tables::{Carried, Tag};

/// What the lines so far have said.
#[derive(Default)]
pub struct ExportCheck {
    stage: u8,
    header: Option<Header>,
    trailer: Option<Trailer>,
    room: Option<OpenRoom>,
    /// The key of the row before; and the tables whose rows have ended.
    last_key: Bytes,
    ended: Vec<u8>,
    /// How many partitions had their line.
    partitions: u16,
    counts: ExportCounts,
}

/// The room whose lines come now.
pub struct OpenRoom {
    id: RoomId,
    /// As its last entry leaves it.
    pub head: Head,
    /// The entry that came last; its `seq` 0: none yet.
    seq: u64,
    /// The first one that came: its seq, and how many messages the room had before it.
    first: Option<(u64, u64)>,
    last: Option<(UserId, Option<ClientId>)>,
}

/// The place of rooms and of what belongs to them.
const ROOMS: u8 = 3;

/// Its rows are about an entry, and come after it.
fn is_of_entry(tag: Tag) -> bool {
    matches!(tag.carried(), Carried::Entries(_))
}

/// A line's place: none comes after one of a later stage.
fn stage(line: &ExportLine, version: u32) -> u8 {
    match line {
        ExportLine::Header(_) => 1,
        ExportLine::Room(_)
        | ExportLine::Member(_)
        | ExportLine::Entry(_)
        | ExportLine::Resend(_) => ROOMS,
        ExportLine::Row(row) => match row.tag {
            Tag::Applied => 5,
            Tag::Journal => 6,
            Tag::DeadLetter if version <= older::VERSION => 4,
            tag if is_of_entry(tag) => ROOMS,
            _ => 2,
        },
        ExportLine::Trailer(_) => 7,
    }
}

fn must(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

impl ExportCheck {
    /// Takes the next line; else says what is wrong with it.
    pub fn take(&mut self, line: &ExportLine) -> Result<(), String> {
        let version = self.header.as_ref().map_or(VERSION, |header| header.version);
        let stage = stage(line, version);
        must(stage >= self.stage, "it comes after what belongs later")?;
        must(self.header.is_some() || stage == 1, "there is no header before it")?;
        if stage != ROOMS {
            self.close_room()?;
        }
        self.stage = stage;
        self.take_known(line)?;
        if !matches!(line, ExportLine::Trailer(_)) {
            count(&mut self.counts, older::counted_as(line.name(), version));
        }
        Ok(())
    }

    fn take_known(&mut self, line: &ExportLine) -> Result<(), String> {
        match line {
            ExportLine::Header(header) => {
                must(self.header.is_none(), "a second header")?;
                must(header.partitions > 0, "a store has at least one partition")?;
                self.header = Some(header.clone());
            }
            ExportLine::Row(row) => self.take_row(row)?,
            ExportLine::Room(line) => self.open_room(line)?,
            ExportLine::Member(line) => {
                let (id, _) = &line.key;
                let room = self.open(id)?;
                must(id.kind() == RoomKind::Group, "a direct room has no members")?;
                must(room.seq == 0, "members come before entries")?;
            }
            ExportLine::Entry(entry) => {
                let room = self.open(&entry.room)?;
                let is_next = entry.seq > room.seq && entry.seq <= room.head.seq;
                must(is_next, "the entry is not one of the room's next ones")?;
                room.seq = entry.seq;
                let counted = u64::from(entry.counts());
                room.first.get_or_insert((entry.seq, entry.ordinal.saturating_sub(counted)));
                room.last = Some((entry.from.clone(), entry.client_id));
            }
            ExportLine::Resend(line) => self.open(&line.room)?.check_resend(line)?,
            ExportLine::Trailer(trailer) => self.check_end(trailer)?,
        }
        Ok(())
    }

    fn take_row(&mut self, row: &Row) -> Result<(), String> {
        if is_of_entry(row.tag) {
            let has_entry = self.room.as_ref().is_some_and(|room| room.seq > 0);
            return must(has_entry, "its entry is not before it");
        }
        if row.key.first() == self.last_key.first() {
            must(row.key > self.last_key, "rows do not ascend")?;
        } else {
            self.ended.extend(self.last_key.first());
            must(!self.ended.contains(&(row.tag as u8)), "its table has ended before")?;
        }
        self.last_key = row.key.clone();
        if let Some(partition) = row.partition {
            let count = self.header.as_ref().map_or(0, |header| header.partitions);
            must(partition < count, "there is no such partition")?;
        }
        if row.tag == Tag::Applied {
            must(row.partition == Some(self.partitions), "not the next partition")?;
            self.partitions += 1;
        }
        Ok(())
    }

    fn open_room(&mut self, line: &Keyed<RoomId, Head>) -> Result<(), String> {
        let is_next = self.room.as_ref().is_none_or(|before| before.id < line.key);
        must(is_next, "rooms do not ascend")?;
        must(line.row.seq > 0, "a room has an entry")?;
        self.close_room()?;
        let (id, head) = (line.key.clone(), line.row.clone());
        self.room = Some(OpenRoom { id, head, seq: 0, first: None, last: None });
        Ok(())
    }

    fn open(&mut self, id: &RoomId) -> Result<&mut OpenRoom, String> {
        let room = self.room.as_mut().filter(|room| room.id == *id);
        room.ok_or_else(|| "its room's line is not before it".to_owned())
    }

    fn close_room(&mut self) -> Result<(), String> {
        // Entries may have expired since the room's line was written, the last one too.
        let expires = |room: &OpenRoom| room.head.retention_days > 0;
        let is_whole = self.room.take().is_none_or(|room| room.is_at_end() || expires(&room));
        must(is_whole, "entries of the room before it are missing")
    }

    fn check_end(&mut self, trailer: &Trailer) -> Result<(), String> {
        self.check_partitions()?;
        must(trailer.counts == self.counts, "the number of lines is another")?;
        let has_journal = self.counts.contains_key("journal");
        must(trailer.whole || !has_journal, "a journal, but rooms of different moments")?;
        self.trailer = Some(trailer.clone());
        Ok(())
    }

    fn check_partitions(&self) -> Result<(), String> {
        let count = self.header.as_ref().map_or(0, |header| header.partitions);
        must(self.partitions == count, "partitions are missing")
    }

    /// The room that the last line belongs to.
    pub fn room(&self) -> Option<&OpenRoom> {
        self.room.as_ref()
    }

    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    pub fn trailer(&self) -> Option<&Trailer> {
        self.trailer.as_ref()
    }
}

impl OpenRoom {
    /// True after its last entry.
    pub fn is_at_end(&self) -> bool {
        self.seq == self.head.seq
    }

    /// Its head in a store that lists it under this hour, where its entries expire: what came before the first that there
    /// is has expired.
    pub fn head_at_end(&self, expiry_hour: u32) -> Head {
        let mut head = self.head.clone();
        if head.retention_days > 0 {
            head.expiry_hour = expiry_hour;
            if let Some((seq, ordinal)) = self.first.filter(|(seq, _)| *seq > head.first_seq.max(1))
            {
                (head.first_seq, head.expired_ordinal) = (seq, ordinal);
            }
        }
        head
    }

    /// A record for another entry than the one before it would acknowledge what is not there.
    fn check_resend(&self, line: &ResendLine) -> Result<(), String> {
        let is_of_last = self.last.as_ref().is_some_and(|(from, id)| {
            let id = id.map(|id| id.to_string());
            *from == line.from && id.as_deref() == Some(&line.client_id)
        });
        must(is_of_last && line.seq == self.seq, "its entry is not before it")
    }
}
