//! Typed tables: every key's bytes, and every stored record.
//!
//! ```text
//! 01                                     layout      partition count, epoch, key version, store id
//! 02 partition                           applied     how far a partition's ingest log is applied
//! 03 partition, stream seq               journal     which entries one commit wrote
//! 04 partition, stream seq, part         dead letter a command that was put aside
//! 05                                     import      how far an unfinished import is
//! 06 partition, minute                   minute      the first commit of a minute
//! 10 room, seq, part                     log         an entry with its position
//! 11 room                                head        a room's last entry, and what the room is
//! 12 room, user                          member      a user's role in a room
//! 13 user, room kind, room               membership  a user's rooms, groups first
//! 20 user, position                      inbox       an entry of interest to the user
//! 21 partition, hour, room, sender, id   resend      the seq that a client id got
//! 30 user                                account
//! 31 user, device                        device
//! 32 key id                              signing key
//! 33 user                                chosen      how a user wants to be seen
//! 34 user                                last active when a user was last seen
//! ```
//!
//! Numbers are big-endian (partition 2 bytes, hour and minute 4, seq 8, part 1, position 12, client
//! id 16); names end with a zero byte, which none of their alphabets has. Tags are never reused. Records
//! are a version byte and prost, so that a field can be added; `head`, `log` and `minute` have the
//! commit's position before that.

use std::ops::Range;

use bytes::Bytes;

pub mod account;
pub mod applied;
pub mod chosen;
pub mod dead_letter;
pub mod device;
pub mod head;
pub mod import;
pub mod inbox;
pub mod journal;
mod key;
pub mod last_active;
pub mod layout;
pub mod log;
pub mod member;
pub mod membership;
pub mod minute;
pub mod named;
mod record;
pub mod resend;
pub mod signing_key;
pub mod unknown;

/// Every key of a store: no tag is 0xff.
#[must_use]
pub fn all() -> Range<Bytes> {
    Bytes::new()..Bytes::from_static(&[0xff])
}
