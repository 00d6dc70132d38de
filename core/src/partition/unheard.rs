//! Refusals that nobody hears: of other systems that named no address for the answer. What is lost so
//! can be told to the operator alone: by a metric, and by a line of the log now and then.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::Instant;
use weft_proto::ErrorCode;

use crate::metrics::REFUSED_UNHEARD;

/// Between two lines of the log.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Senders (each with a code) that a line names; others are counted together.
const NAMED_MAX: usize = 8;

#[derive(Default)]
pub struct Unheard {
    named: BTreeMap<(String, &'static str), u64>,
    others: u64,
    told_at: Option<Instant>,
}

impl Unheard {
    /// A command of the sender was refused, and nobody is told.
    pub fn note(&mut self, sender: &str, code: ErrorCode) {
        REFUSED_UNHEARD.increment(code.as_str());
        let key = (sender.to_owned(), code.as_str());
        if self.named.len() < NAMED_MAX || self.named.contains_key(&key) {
            *self.named.entry(key).or_default() += 1;
        } else {
            self.others += 1;
        }
    }

    /// What there is to tell, where it is time to.
    pub fn tell(&mut self, now: Instant) -> Option<String> {
        let is_early = self.told_at.is_some_and(|at| now < at + TELL_EVERY);
        if self.named.is_empty() || is_early {
            return None;
        }
        self.told_at = Some(now);
        let mut line = String::new();
        for ((sender, code), count) in std::mem::take(&mut self.named) {
            let comma = if line.is_empty() { "" } else { ", " };
            // Writing to a string does not fail.
            let _ = write!(line, "{comma}{count} of {sender} ({code})");
        }
        let others = std::mem::take(&mut self.others);
        if others > 0 {
            let _ = write!(line, ", {others} more");
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_nobody_hears_is_told_once_in_a_while() {
        let mut unheard = Unheard::default();
        assert_eq!(unheard.tell(Instant::now()), None);
        for _ in 0..3 {
            unheard.note("bot", ErrorCode::RateLimited);
        }
        unheard.note("bot", ErrorCode::NotMember);
        let told = unheard.tell(Instant::now()).expect("told");
        assert_eq!(told, "1 of bot (not_member), 3 of bot (rate_limited)");
        // A flood of refusals is no flood of lines, whoever sends it.
        for number in 0..100 {
            unheard.note(&format!("bot{number:02}"), ErrorCode::TooLong);
        }
        assert_eq!(unheard.tell(Instant::now()), None);
        tokio::time::advance(TELL_EVERY).await;
        let told = unheard.tell(Instant::now()).expect("told");
        assert!(told.starts_with("1 of bot00 (too_long), "), "{told}");
        assert!(told.ends_with(", 92 more") && told.len() < 300, "{told}");
    }
}
