//! The parts as processes of their own: `weft edge`, `weft core`, `weft presence`, `weft search`, `weft push`, `weft integrations`.
//!
//! Each writes one line to standard output when it is ready, for whoever started it.

pub mod core;
pub mod edge;
pub mod files;
pub mod integrations;
pub mod presence;
pub mod push;
pub mod search;
