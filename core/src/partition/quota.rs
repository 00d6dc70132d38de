//! How much one sender may ask of a partition: a flood is refused cheaply.

use std::collections::HashMap;

use weft_proto::UserId;

/// Senders kept; those with a full bucket are forgotten first.
const SENDERS_MAX: usize = 100_000;

/// Commands per sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuotaLimits {
    /// Long-term rate, commands per second.
    pub rate_per_s: u32,
    /// How many may come at once.
    pub burst: u32,
}

struct Bucket {
    /// In thousandths of a command.
    left_milli: u64,
    filled_ms: u64,
}

/// A token bucket for each sender.
pub struct Quota {
    limits: QuotaLimits,
    buckets: HashMap<UserId, Bucket>,
}

impl Quota {
    /// Full buckets for everybody.
    #[must_use]
    pub fn new(limits: QuotaLimits) -> Self {
        Self { limits, buckets: HashMap::new() }
    }

    /// Takes one command from the sender's bucket.
    ///
    /// # Errors
    /// How long to wait for the next one, in milliseconds.
    pub fn take(&mut self, sender: &UserId, now_ms: u64) -> Result<(), u64> {
        if self.buckets.len() >= SENDERS_MAX && !self.buckets.contains_key(sender) {
            self.forget_idle(now_ms);
        }
        let full_milli = u64::from(self.limits.burst) * 1000;
        let rate = u64::from(self.limits.rate_per_s).max(1);
        let bucket = match self.buckets.get_mut(sender) {
            Some(bucket) => bucket,
            None => self
                .buckets
                .entry(sender.clone())
                .or_insert(Bucket { left_milli: full_milli, filled_ms: now_ms }),
        };
        // One command per second is a thousandth per millisecond.
        let earned = now_ms.saturating_sub(bucket.filled_ms).saturating_mul(rate);
        bucket.left_milli = bucket.left_milli.saturating_add(earned).min(full_milli);
        bucket.filled_ms = bucket.filled_ms.max(now_ms);
        if bucket.left_milli >= 1000 {
            bucket.left_milli -= 1000;
            return Ok(());
        }
        Err((1000 - bucket.left_milli).div_ceil(rate))
    }

    fn forget_idle(&mut self, now_ms: u64) {
        let (rate, burst) =
            (u64::from(self.limits.rate_per_s).max(1), u64::from(self.limits.burst));
        let refill_ms = (burst * 1000).div_ceil(rate);
        self.buckets.retain(|_, bucket| bucket.filled_ms.saturating_add(refill_ms) > now_ms);
        if self.buckets.len() >= SENDERS_MAX {
            // Everybody is busy: all start anew rather than one more sender being refused.
            self.buckets.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_waits_and_others_do_not() {
        let mut quota = Quota::new(QuotaLimits { rate_per_s: 10, burst: 3 });
        let (flood, calm) = (UserId::new("flood").expect("id"), UserId::new("calm").expect("id"));
        assert!((0..3).all(|_| quota.take(&flood, 1_000).is_ok()));
        assert_eq!(quota.take(&flood, 1_000), Err(100));
        assert_eq!(quota.take(&flood, 1_040), Err(60));
        assert_eq!(quota.take(&calm, 1_040), Ok(()));
        assert_eq!(quota.take(&flood, 1_100), Ok(()));
        assert_eq!(quota.take(&flood, 1_100), Err(100));
        // A clock that goes back gives nothing.
        assert_eq!(quota.take(&flood, 500), Err(100));
    }
}
