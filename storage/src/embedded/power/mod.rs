//! What a power cut may leave, and what is done about it before the library opens the folder.
//!
//! The library writes each batch whole into its journal, and one sync covers a group of them. A
//! power cut in front of that sync may leave any part of the group: its tail torn off, or a hole in
//! the middle of it. The library takes a torn tail, refuses most other damage for good, and cuts
//! off without a word what follows a damaged tag. So we look first:
//!
//! - [`batch`] reads one batch of the journal, [`journal`] all files of it. Each batch has our state row,
//!   which says what was synced when it was written ([`keys::State`](super::keys::State)). So
//!   where a whole batch follows some damage, it tells whether that was in the newest group.
//! - [`damage`] is the verdict: nothing, a torn end, damage in the newest sync group, or before it.
//! - [`repair`] does it, and says so. [`by_hand`] is for an operator, and [`lost`] tells them what a
//!   cut would lose.
//! - [`life`] is a small file of our own: which boot of the machine wrote last, and the store's
//!   mark, which nobody outside of the store knows.
//!
//! What was acknowledged is never dropped in silence: see docs/adr/0010-power-loss.md.

pub mod batch;
pub mod by_hand;
pub mod damage;
pub mod journal;
pub mod life;
pub mod lost;
pub mod repair;
pub mod tables;
