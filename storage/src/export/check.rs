//! What the lines of an export must be, taken together: pure, and the same when it is verified and
//! when a store is filled from it.

use weft_proto::{ClientId, RoomId, RoomKind, UserId};

use super::line::{Header, Line, ResendLine, RoomLine, Trailer};
use super::{Counts, count};

/// What the lines so far have said.
#[derive(Default)]
pub struct Check {
    stage: u8,
    header: Option<Header>,
    trailer: Option<Trailer>,
    room: Option<OpenRoom>,
    /// How many partitions had their line.
    partitions: u16,
    counts: Counts,
}

/// The room whose lines come now.
pub struct OpenRoom {
    /// Its line.
    pub line: RoomLine,
    /// The entry that came last; its `seq` 0: none yet.
    seq: u64,
    last: Option<(UserId, Option<ClientId>)>,
}

/// The place of rooms and of what belongs to them.
const ROOMS: u8 = 7;

/// A line's place: none comes behind one of a later stage.
fn stage(line: &Line) -> u8 {
    match line {
        Line::Header(_) => 1,
        Line::SigningKey(_) => 2,
        Line::Account(_) => 3,
        Line::Device(_) => 4,
        Line::Chosen(_) => 5,
        Line::LastActive(_) => 6,
        Line::Room(_) | Line::Member(_) | Line::Entry(_) | Line::Resend(_) => ROOMS,
        Line::DeadLetter(_) => 8,
        Line::Partition(_) => 9,
        Line::Journal(_) => 10,
        Line::Trailer(_) => 11,
    }
}

fn must(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

impl Check {
    /// Takes the next line; else says what is wrong with it.
    pub fn take(&mut self, line: &Line) -> Result<(), String> {
        let stage = stage(line);
        must(stage >= self.stage, "it stands behind what comes later")?;
        must(self.header.is_some() || stage == 1, "there is no header before it")?;
        if stage != ROOMS {
            self.close_room()?;
        }
        self.stage = stage;
        self.take_known(line)?;
        if !matches!(line, Line::Trailer(_)) {
            count(&mut self.counts, line.name());
        }
        Ok(())
    }

    fn take_known(&mut self, line: &Line) -> Result<(), String> {
        match line {
            Line::Header(header) => {
                must(self.header.is_none(), "a second header")?;
                must(header.partitions > 0, "a store has at least one partition")?;
                self.header = Some(header.clone());
            }
            Line::SigningKey(line) => must(!line.key.contains('\0'), "a bad key id")?,
            Line::Account(_) | Line::Device(_) | Line::Chosen(_) | Line::LastActive(_) => {}
            Line::Room(line) => self.open_room(line)?,
            Line::Member(line) => {
                let room = self.open(&line.room)?;
                must(line.room.kind() == RoomKind::Group, "a direct room has no members")?;
                must(room.seq == 0, "members stand before entries")?;
            }
            Line::Entry(entry) => {
                let room = self.open(&entry.room)?;
                must(entry.seq == room.seq + 1, "the entry is not the room's next one")?;
                room.seq = entry.seq;
                room.last = Some((entry.from.clone(), entry.client_id));
            }
            Line::Resend(line) => self.open(&line.room)?.check_resend(line)?,
            Line::DeadLetter(line) => self.check_partition(line.partition)?,
            Line::Partition(line) => {
                must(line.partition == self.partitions, "not the next partition")?;
                self.check_partition(line.partition)?;
                self.partitions += 1;
            }
            Line::Journal(line) => self.check_partition(line.partition)?,
            Line::Trailer(trailer) => self.check_end(trailer)?,
        }
        Ok(())
    }

    fn check_partition(&self, partition: u16) -> Result<(), String> {
        let count = self.header.as_ref().map_or(0, |header| header.partitions);
        must(partition < count, "there is no such partition")
    }

    fn open_room(&mut self, line: &RoomLine) -> Result<(), String> {
        let is_next = self.room.as_ref().is_none_or(|before| before.line.room < line.room);
        must(is_next, "rooms do not ascend")?;
        must(line.seq > 0, "a room has an entry")?;
        self.close_room()?;
        self.room = Some(OpenRoom { line: line.clone(), seq: 0, last: None });
        Ok(())
    }

    fn open(&mut self, id: &RoomId) -> Result<&mut OpenRoom, String> {
        let room = self.room.as_mut().filter(|room| room.line.room == *id);
        room.ok_or_else(|| "its room's line is not before it".to_owned())
    }

    fn close_room(&mut self) -> Result<(), String> {
        let is_whole = self.room.take().is_none_or(|room| room.is_at_end());
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

    /// The header, when it was there.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// The trailer, when it was there.
    pub fn trailer(&self) -> Option<&Trailer> {
        self.trailer.as_ref()
    }
}

impl OpenRoom {
    /// True behind its last entry.
    pub fn is_at_end(&self) -> bool {
        self.seq == self.line.seq
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
