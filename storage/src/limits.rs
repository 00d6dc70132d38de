//! FoundationDB's limits, kept by every engine, so that none accepts what another refuses.

/// What FoundationDB's engine puts before a key: a namespace.
pub const PREFIX_BYTES_MAX: usize = 34;
/// Longest key, in bytes. FoundationDB's 10,000, less that prefix, and what comes after a
/// key that a position goes into.
pub const KEY_BYTES_MAX: usize = 9_900;
pub const VALUE_BYTES_MAX: usize = 100_000;
/// Largest batch: what FoundationDB counts for its guards and operations, in bytes.
pub const BATCH_BYTES_MAX: usize = 10_000_000;
