//! FoundationDB's limits, kept by every engine, so that none accepts what another refuses.

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 10_000;
/// Longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 100_000;
/// Largest batch: keys and values of all guards and operations, in bytes.
pub const BATCH_BYTES_MAX: usize = 10_000_000;
