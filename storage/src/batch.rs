//! A conditional write as data: guards that must hold, operations that then happen, all or none.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::Error;
use crate::limits::{BATCH_BYTES_MAX, KEY_BYTES_MAX, PREFIX_BYTES_MAX, VALUE_BYTES_MAX};

/// Names one batch for ever: the evidence that settles an unknown outcome.
pub type BatchId = [u8; 16];

/// Where the position is in a value written by [`Op::SetPositioned`]: its first bytes.
pub const POSITION_BYTES: usize = 12;
/// FoundationDB wants to be told where in a value the position goes, in as many bytes of the value.
const PLACE_BYTES: usize = 4;
/// What FoundationDB counts for one operation beside its bytes: a mutation and a conflict range.
const BOOKKEEPING_BYTES: usize = 72;

/// A condition: the key has exactly this value, or does not exist (`None`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Guard {
    pub key: Bytes,
    pub expected: Option<Bytes>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    Set {
        key: Bytes,
        value: Bytes,
    },
    Clear {
        key: Bytes,
    },
    /// Removes every key in `from..to`.
    ClearRange {
        /// The first key.
        from: Bytes,
        /// The first key that stays.
        to: Bytes,
    },
    /// Sets the key where it does not exist or has a byte-wise smaller value.
    Max {
        key: Bytes,
        /// Its least value from now on.
        value: Bytes,
    },
    /// Sets the key to the commit's position (12 bytes, with `order` as its last two) and `value`.
    SetPositioned {
        key: Bytes,
        /// The place inside of the commit.
        order: u16,
        /// What follows the position.
        value: Bytes,
    },
    /// Sets the key `prefix` + the commit's position (12 bytes, with `order` as its last two).
    SetAtPosition {
        /// What comes before the position in the key.
        prefix: Bytes,
        /// The place inside of the commit.
        order: u16,
        value: Bytes,
    },
}

/// Guards and operations that are committed together. Operations happen in their order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    id: BatchId,
    guards: Vec<Guard>,
    /// Shared: who has it committed keeps it for another try.
    ops: Arc<Vec<Op>>,
    size_bytes: usize,
    transaction_bytes: usize,
    is_replayable: bool,
}

impl Batch {
    #[must_use]
    pub fn new(id: BatchId) -> Self {
        Self {
            id,
            guards: Vec::new(),
            ops: Arc::default(),
            size_bytes: 0,
            transaction_bytes: 0,
            is_replayable: false,
        }
    }

    /// Says that a log still has what this is made of, until a later commit of the same writer was
    /// answered: so a store that loses it makes it again. The embedded engine answers such a commit
    /// after one sync. Any other is answered after a second one: damage in the last group that was
    /// synced can't be told from a group that was never synced, and is dropped.
    pub fn set_replayable(&mut self, is_replayable: bool) {
        self.is_replayable = is_replayable;
    }

    /// See [`set_replayable`](Self::set_replayable).
    #[must_use]
    pub fn is_replayable(&self) -> bool {
        self.is_replayable
    }

    #[must_use]
    pub fn id(&self) -> BatchId {
        self.id
    }

    #[must_use]
    pub fn guards(&self) -> &[Guard] {
        &self.guards
    }

    #[must_use]
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Keys and values of all guards and operations, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Requires the key to have this value, or not to exist.
    pub fn guard(&mut self, key: Bytes, expected: Option<Bytes>) {
        self.size_bytes += key.len() + expected.as_ref().map_or(0, Bytes::len);
        // Both ends of a conflict range.
        self.transaction_bytes += 2 * (key.len() + PREFIX_BYTES_MAX) + BOOKKEEPING_BYTES;
        self.guards.push(Guard { key, expected });
    }

    /// What FoundationDB counts for the batch, or a little more: a key is also both ends of a
    /// conflict range.
    #[must_use]
    pub fn transaction_bytes(&self) -> usize {
        self.transaction_bytes
    }

    pub fn set(&mut self, key: Bytes, value: impl Into<Bytes>) {
        self.push(Op::Set { key, value: value.into() });
    }

    pub fn clear(&mut self, key: Bytes) {
        self.push(Op::Clear { key });
    }

    pub fn clear_range(&mut self, from: Bytes, to: Bytes) {
        self.push(Op::ClearRange { from, to });
    }

    pub fn max(&mut self, key: Bytes, value: impl Into<Bytes>) {
        self.push(Op::Max { key, value: value.into() });
    }

    pub fn set_positioned(&mut self, key: Bytes, order: u16, value: impl Into<Bytes>) {
        self.push(Op::SetPositioned { key, order, value: value.into() });
    }

    pub fn set_at_position(&mut self, prefix: Bytes, order: u16, value: impl Into<Bytes>) {
        self.push(Op::SetAtPosition { prefix, order, value: value.into() });
    }

    fn push(&mut self, op: Op) {
        let (key, value) = op.sizes();
        self.size_bytes += key + value;
        self.transaction_bytes += op.transaction_bytes();
        Arc::make_mut(&mut self.ops).push(op);
    }

    /// Checks every limit.
    ///
    /// # Errors
    /// [`Error::Limit`] for the first that is broken.
    pub fn check(&self) -> Result<(), Error> {
        let check = |what, bytes, bytes_max| {
            if bytes <= bytes_max { Ok(()) } else { Err(Error::Limit { what, bytes, bytes_max }) }
        };
        for guard in &self.guards {
            check("key", guard.key.len(), KEY_BYTES_MAX)?;
            check("value", guard.expected.as_ref().map_or(0, Bytes::len), VALUE_BYTES_MAX)?;
        }
        for op in self.ops.iter() {
            let (key, value) = op.sizes();
            if let Op::ClearRange { from, to } = op {
                check("key", from.len().max(to.len()), KEY_BYTES_MAX)?;
            } else {
                check("key", key, KEY_BYTES_MAX)?;
            }
            check("value", value, VALUE_BYTES_MAX)?;
        }
        check("batch", self.transaction_bytes, BATCH_BYTES_MAX)
    }
}

impl Op {
    /// What FoundationDB counts for it, or a little more.
    fn transaction_bytes(&self) -> usize {
        let (key, value) = self.sizes();
        // A key is also both ends of a conflict range, and what is cleared is a range itself.
        let (key_bytes, keys) = match self {
            Self::ClearRange { .. } => (2 * key, 4),
            Self::Clear { .. } => (4 * key, 4),
            _ => (3 * key, 3),
        };
        key_bytes + value + keys * PREFIX_BYTES_MAX + BOOKKEEPING_BYTES
    }

    /// Bytes of key and value as they will be written.
    fn sizes(&self) -> (usize, usize) {
        match self {
            Self::Set { key, value } | Self::Max { key, value } => (key.len(), value.len()),
            Self::Clear { key } => (key.len(), 0),
            Self::ClearRange { from, to } => (from.len() + to.len(), 0),
            Self::SetPositioned { key, value, .. } => {
                (key.len(), POSITION_BYTES + value.len() + PLACE_BYTES)
            }
            Self::SetAtPosition { prefix, value, .. } => {
                (prefix.len() + POSITION_BYTES, value.len())
            }
        }
    }
}
