//! The judge: a pure function from a [`History`] to what is wrong with it.
//!
//! It knows nothing of Weft but the promises of `docs/protocol.md` (and, of a cursor, how two of
//! them compare), and believes no component: an ack is compared with what readers saw, a reader
//! with all others.
//!
//! | module | promises |
//! | --- | --- |
//! | `room` | a room's log: kept, once, dense, the same for all |
//! | `rules` | a group: only members write, nobody comes in who is banned, who has left is shown nothing later |
//! | `order` | what one session sends keeps its order, and nothing comes before what was acked earlier |
//! | `messages` | what became of a message is the same by the log, in each member's history, and on each device |
//! | `marks` | what was answered of a mark is kept, and every device ends with what the store has |
//! | `counts`, `unread`, `unread_from` | what is unread, and who is mentioned, is the same by the log, in the list of rooms, and on each device |
//! | `threads`, `thread_marks` | who follows which thread, and what is unread in it |
//! | `settings` | how a user wants a room to be is what was answered, on each of their devices, and nobody else's |
//! | `drafts` | what a user has typed is on all of their devices, and nobody else's, and nothing old comes back |
//! | `apart` | who blocks somebody, or has not accepted that they write, and the other one hear nothing of each other |
//! | `strangers`, `requests` | first messages of strangers: how many are taken, and what is not shown until they are accepted |
//! | `blocks` | where one user blocks another nothing comes from the one to the other, and all devices know it |
//! | `scheduled` | what was to be sent later is sent once, at its time or later, and never where it was taken back |
//! | `asking` | who asks to come into a group, or is invited, is so until they come in, or somebody declines or withdraws it |
//! | `files` | what a message has can be read, whole, by who may see it, as long as it is there, and no longer |
//! | `search` | what is found is as it is, and for who looks; in the end search over everything is a plain scan |
//! | `suspended` | who is suspended gets nothing |
//! | `expired` | what is as old as its room's rule says is deleted, and nothing else is |
//! | `done`, `tries` | what was done before what |
//! | `has`, `newest` | what each device has, and what it knows of that of which the newest frame counts |
//! | `socket` | a socket and a device: no hole, no cursor ahead of an entry, everything in the end |

mod apart;
mod asking;
mod blocks;
mod counts;
mod done;
mod drafts;
mod expired;
mod facts;
mod files;
mod has;
mod marks;
mod messages;
mod newest;
mod order;
mod requests;
mod room;
mod rules;
mod scheduled;
mod search;
mod seqs;
mod settings;
mod socket;
mod strangers;
mod suspended;
mod thread_marks;
mod threads;
mod tries;
mod unread;
mod unread_from;
mod violation;

use std::collections::BTreeSet;

pub use facts::visible;
pub use marks::read_by_writing;
pub use search::scan;
pub use violation::Violation;

use crate::history::History;
use apart::Apart;
use facts::Facts;

/// Everything that is wrong with a run, each thing once; empty where every promise was kept.
pub fn check(history: &History) -> Vec<Violation> {
    let facts = Facts::gather(history);
    let mut found = BTreeSet::new();
    room::check(&facts, &mut found);
    order::check(&facts, &mut found);
    rules::check(history, &facts, &mut found);
    socket::check(history, &facts, &mut found);
    messages::check(history, &facts, &mut found);
    let apart = Apart::gather(history, &facts);
    marks::check(history, &facts, &apart, &mut found);
    apart::check(history, &facts, &apart, &mut found);
    strangers::check(history, &facts, &apart, &mut found);
    let has = has::all_have(history);
    unread::check(history, &facts, &has, &mut found);
    threads::check(history, &facts, &mut found);
    thread_marks::check(history, &facts, &has, &mut found);
    settings::check(history, &facts, &mut found);
    drafts::check(history, &facts, &mut found);
    blocks::check(history, &facts, &mut found);
    scheduled::check(history, &facts, &mut found);
    expired::check(history, &facts, &mut found);
    asking::check(history, &facts, &mut found);
    files::check(history, &facts, &mut found);
    search::check(history, &facts, &mut found);
    suspended::check(history, &mut found);
    found.into_iter().collect()
}

#[cfg(test)]
mod tests;
