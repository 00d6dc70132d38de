//! Commands on their way from edges and other systems to the owner of the room's partition, and
//! the answers to edges.
//!
//! ```text
//! other systems ──▶ WEFT_OUT_<n> ──▶ OutsideLog ──▶ ┐
//! IngestPublisher ──weft.in.<sender>.<room>──▶ WEFT_IN_<n> ──▶ IngestLog::read_from ──▶ owner
//!  IngestSignals  ◀──PubAck: Stored/Refused──       │
//!                 ◀──weft.ack.e.<edge>.<token>: Answered────────────────────────────────┘
//! ```
//!
//! The log speaks of sequences of its stream. A reader returns them without a hole or says which
//! one it is.

mod answer;
mod log;
mod message;
mod outside;
mod publisher;
mod raw;
mod reader;
mod trimmed;

pub use answer::Answer;
pub use log::{IngestLog, LogInfo};
pub use message::{IngestMessage, MadeBy, Problem, ReplyTo};
pub use outside::{OutsideLog, OutsideMessage, Relayed};
pub use publisher::{IngestPublisher, IngestSignals, Signal};
pub use reader::IngestReader;
pub use trimmed::Trimmed;
