//! Pairs of users who send each other messages at a rate that is named, beside something else that is measured.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use weft_harness::account::Login;
use weft_harness::system::System;

use crate::progress;
use crate::report::{CpuPerMessage, Quantiles};
use crate::system::pids;
use crate::timeline::{Pace, Tally, get};
use crate::worker::{Job, work_prepared};

/// So many pairs.
pub const PAIRS: u32 = 20;

pub struct Pairs<'a> {
    /// Names the users.
    pub phase: &'a str,
    /// Messages per second, of all.
    pub rate: u32,
    /// After a time of warming up.
    pub measured: Duration,
}

/// What sending was like.
pub struct Sent {
    /// From due to `ack`, in ms.
    pub ack: Quantiles,
    pub cpu: CpuPerMessage,
    /// Messages, those of the warming up, too.
    pub messages: u64,
}

impl Pairs<'_> {
    /// Sends, after something was done with the users: sender, receiver, sender, …
    ///
    /// # Errors
    /// Where a message is lost, comes twice, or has no answer.
    pub async fn send(
        &self,
        system: &System,
        prepare: impl AsyncFnOnce(&[Login]) -> Result<()>,
    ) -> Result<Sent> {
        let (phase, edges) = (self.phase, system.edges());
        let turn = Duration::from_secs(1) / self.rate;
        let pair = |index: u32| {
            let [sender, receiver] = ["a", "b"].map(|end| format!("{phase}-{index}-{end}"));
            let room = format!("{sender}~{receiver}");
            let at = |end: u32| edges[((index + end) % 2) as usize];
            let pace = Pace::Every { offset: turn * index, interval: turn * PAIRS };
            let job = |user, edge: SocketAddr, targets| Job {
                user,
                edge,
                targets,
                pace,
                text_bytes: 200,
            };
            [job(sender, at(0), vec![room]), job(receiver, at(1), Vec::new())]
        };
        let jobs = (0..PAIRS).flat_map(pair).collect();
        let tally = Arc::new(Tally::default());
        let pids = pids(system)?;
        let cpu = work_prepared(jobs, self.measured, &tally, pids, prepare).await?;
        let faults = tally.lost() + get(&tally.duplicated) + get(&tally.reordered);
        ensure!(faults + get(&tally.unanswered) == 0, "messages were lost or came twice: {phase}");
        let ack = tally.ack.quantiles();
        progress(&format!("{phase}: ack p50 {} ms, p99 {} ms", ack.p50, ack.p99));
        Ok(Sent { ack, cpu, messages: get(&tally.sent) })
    }
}
