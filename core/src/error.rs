//! What can go wrong in core. Each message is one line that an operator can act on.

use weft_proto::Partition;
use weft_storage::tables::layout::NotServed;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] weft_storage::Error),
    #[error(transparent)]
    Nats(#[from] weft_nats::Error),
    /// Another owner has taken the partition.
    #[error("partition {0} was taken by another owner")]
    Lost(Partition),
    /// The store's layout has changed: the partition is still this owner's to take.
    #[error("the layout of the store changed while partition {0} was owned")]
    LayoutChanged(Partition),
    /// The store is of a version that this Weft does not serve.
    #[error(transparent)]
    NotServed(#[from] NotServed),
    /// The ingest log lost what this owner has read and not yet applied.
    #[error("the ingest log of partition {partition} went back to {last_seq}; {read} was read")]
    LogBack { partition: Partition, read: u64, last_seq: u64 },
    /// The ingest log lacks commands that were not read.
    #[error(
        "the ingest log of partition {partition} lacks what comes after {read}, up to {through}"
    )]
    LogHole { partition: Partition, read: u64, through: u64 },
    /// The store lacks what its ingest log has trimmed already.
    #[error(
        "the store went back: partition {partition} is applied up to {applied}, but its ingest log \
         was applied and trimmed up to {trimmed}; entries that were acknowledged are missing from this store: put a \
         newer copy back, or accept that they are lost with `weft admin accept-loss`"
    )]
    StoreBehind {
        partition: Partition,
        /// Applied according to the store.
        applied: u64,
        trimmed: u64,
    },
    /// One command would take the partition down. It is put in quarantine when the partition is taken again.
    #[error("command {stream_seq} of partition {partition} can't be applied: {reason}")]
    Poison {
        partition: Partition,
        /// The command's place in the ingest log.
        stream_seq: u64,
        stored_at_ms: u64,
        reason: String,
    },
    /// Many commands can't be committed together. They are committed one by one when the partition is
    /// taken anew.
    #[error("the commit of partition {partition} up to {through} is refused: {reason}")]
    TooMuch {
        partition: Partition,
        /// The stream sequence of its last command.
        through: u64,
        reason: String,
    },
    /// The store was made with other settings.
    #[error("{0}")]
    Layout(String),
    #[error("stopped")]
    Stopped,
}

impl Error {
    /// True where trying again may help without anybody's doing.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Nats(error) => error.is_retryable(),
            Self::Lost(_)
            | Self::LayoutChanged(_)
            | Self::LogBack { .. }
            | Self::LogHole { .. }
            | Self::Poison { .. }
            | Self::TooMuch { .. } => true,
            Self::StoreBehind { .. } | Self::NotServed(_) | Self::Layout(_) | Self::Stopped => {
                false
            }
        }
    }
}
