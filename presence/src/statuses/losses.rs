//! Whether statuses were lost on their way: by the numbers of those who publish. Pure.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use weft_proto::presence::PresenceTick;

/// Between a sign of loss and the question: so that one question answers several signs, and not all
/// edges ask in one instant.
const ASK_AFTER: Duration = Duration::from_millis(300);
/// Between two questions.
const ASK_PAUSE: Duration = Duration::from_secs(3);
/// A presence node that was not heard for this long is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(30);

/// What was heard of each presence node, and when to ask for everything again.
#[derive(Debug)]
pub(super) struct Losses {
    /// By boot: the last number, and when it was heard.
    sources: HashMap<String, (u64, Instant)>,
    ask_at: Instant,
    asked_at: Instant,
    every: Duration,
}

impl Losses {
    pub(super) fn new(now: Instant, every: Duration) -> Self {
        Self { sources: HashMap::new(), ask_at: now + every, asked_at: now, every }
    }

    /// When everything is to be asked for.
    pub(super) fn ask_at(&self) -> Instant {
        self.ask_at
    }

    /// Everything was asked for.
    pub(super) fn asked(&mut self, now: Instant) {
        self.asked_at = now;
        self.ask_at = now + self.every;
        self.sources.retain(|_, (_, heard_at)| *heard_at + FORGET_AFTER > now);
    }

    pub(super) fn lost(&mut self, now: Instant) {
        let jitter = ASK_AFTER.mul_f64(rand::random::<f64>());
        let earliest = (now + ASK_AFTER + jitter).max(self.asked_at + ASK_PAUSE);
        self.ask_at = self.ask_at.min(earliest);
    }

    /// A status came: `<boot> <number>`.
    pub(super) fn on_status(&mut self, source: Option<&str>, now: Instant) {
        let source = source.and_then(|source| source.split_once(' '));
        let number = source.and_then(|(boot, number)| Some((boot, number.parse::<u64>().ok()?)));
        let Some((boot, number)) = number else { return self.lost(now) };
        self.on_number(boot, number, number.saturating_sub(1), now);
    }

    /// A presence node says how far it is.
    pub(super) fn on_tick(&mut self, tick: &PresenceTick, now: Instant) {
        self.on_number(&tick.boot, tick.number, tick.number, now);
    }

    /// `before`: everything up to it should have come by now.
    fn on_number(&mut self, boot: &str, number: u64, before: u64, now: Instant) {
        match self.sources.get_mut(boot) {
            Some((last, heard_at)) => {
                let is_missing = *last < before;
                *last = number.max(*last);
                *heard_at = now;
                if is_missing {
                    self.lost(now);
                }
            }
            None => {
                // It has just started, or it was not heard for a while: either may have cost
                // something.
                self.sources.insert(boot.to_owned(), (number, now));
                self.lost(now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(300);

    fn tick(boot: &str, number: u64) -> PresenceTick {
        PresenceTick { boot: boot.to_owned(), number }
    }

    fn is_lost(losses: &mut Losses, now: Instant) -> bool {
        let is_lost = losses.ask_at() < losses.asked_at + EVERY;
        if is_lost {
            assert!(losses.ask_at() >= now + ASK_AFTER && losses.ask_at() <= now + ASK_PAUSE);
            losses.asked(losses.ask_at());
        }
        is_lost
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_number_is_a_loss() {
        let mut now = Instant::now();
        let mut losses = Losses::new(now, EVERY);
        losses.on_status(Some("a 1"), now);
        assert!(is_lost(&mut losses, now), "a new node");
        now += ASK_PAUSE;
        losses.on_status(Some("a 2"), now);
        losses.on_tick(&tick("a", 2), now);
        losses.on_status(Some("a 3"), now);
        assert!(!is_lost(&mut losses, now));
        losses.on_status(Some("a 5"), now);
        assert!(is_lost(&mut losses, now), "4 is missing");
        now += ASK_PAUSE;
        losses.on_tick(&tick("a", 5), now);
        assert!(!is_lost(&mut losses, now));
        losses.on_tick(&tick("a", 6), now);
        assert!(is_lost(&mut losses, now), "the last one is missing");
        now += ASK_PAUSE;
        // It comes late.
        losses.on_status(Some("a 6"), now);
        assert!(!is_lost(&mut losses, now));
        losses.on_tick(&tick("b", 0), now);
        assert!(is_lost(&mut losses, now), "another node");
        now += ASK_PAUSE;
        losses.on_status(None, now);
        assert!(is_lost(&mut losses, now), "nobody can tell");
    }

    #[tokio::test(start_paused = true)]
    async fn everything_is_asked_for_now_and_then() {
        let now = Instant::now();
        let mut losses = Losses::new(now, EVERY);
        assert_eq!(losses.ask_at(), now + EVERY);
        losses.asked(now + EVERY);
        assert_eq!(losses.ask_at(), now + EVERY * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn many_losses_are_one_question() {
        let now = Instant::now();
        let mut losses = Losses::new(now, EVERY);
        losses.lost(now);
        let first = losses.ask_at();
        losses.lost(now + ASK_AFTER / 2);
        assert_eq!(losses.ask_at(), first);
        losses.asked(first);
        losses.lost(first);
        assert!(losses.ask_at() >= first + ASK_PAUSE);
    }
}
