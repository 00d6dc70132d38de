//! Permits by bytes or by number: taken before something is queued or begun, given back when it is
//! over.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::lock;

/// So much may be used.
#[derive(Debug)]
pub struct Budget {
    used: AtomicUsize,
    max: usize,
}

impl Budget {
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { used: AtomicUsize::new(0), max }
    }

    /// Takes an amount, or nothing where it does not fit any more.
    pub fn try_take(&self, amount: usize) -> bool {
        let taken = |used: usize| used.checked_add(amount).filter(|sum| *sum <= self.max);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }

    /// Gives back what [`try_take`](Self::try_take) took.
    pub fn give_back(&self, amount: usize) {
        self.used.fetch_sub(amount, Ordering::Relaxed);
    }
}

/// A budget of which no holder (a user, an address) gets more than a share: so nobody takes all.
#[derive(Debug)]
pub struct Shares<K> {
    total: Budget,
    share_max: usize,
    /// Those who have something: no more than what is taken in all.
    used: Mutex<HashMap<K, usize>>,
}

/// What there is not enough of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    Share,
    /// The whole.
    Total,
}

impl<K: Clone + Eq + Hash> Shares<K> {
    #[must_use]
    pub fn new(max: usize, share_max: usize) -> Self {
        Self { total: Budget::new(max), share_max, used: Mutex::default() }
    }

    /// Takes an amount for a holder until the share is dropped.
    ///
    /// # Errors
    /// [`Over`] where it does not fit.
    pub fn take(self: &Arc<Self>, holder: &K, amount: usize) -> Result<Share<K>, Over> {
        let mut used = self.lock();
        let sum = used.get(holder).copied().unwrap_or(0).saturating_add(amount);
        if sum > self.share_max {
            return Err(Over::Share);
        }
        if !self.total.try_take(amount) {
            return Err(Over::Total);
        }
        used.insert(holder.clone(), sum);
        Ok(Share { all: Arc::clone(self), holder: holder.clone(), amount })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        // Nothing panics while it is held.
        lock(&self.used)
    }
}

/// A part of [`Shares`], given back on drop.
#[derive(Debug)]
pub struct Share<K: Clone + Eq + Hash> {
    all: Arc<Shares<K>>,
    holder: K,
    amount: usize,
}

impl<K: Clone + Eq + Hash> Share<K> {
    /// Takes more.
    ///
    /// # Errors
    /// [`Over`]: it stays as it is.
    pub fn grow(&mut self, amount: usize) -> Result<(), Over> {
        let mut more = self.all.take(&self.holder, amount)?;
        self.amount += std::mem::take(&mut more.amount);
        Ok(())
    }
}

impl<K: Clone + Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut used = self.all.lock();
        if let Some(sum) = used.get_mut(&self.holder) {
            *sum -= self.amount;
            if *sum == 0 {
                used.remove(&self.holder);
            }
        }
        self.all.total.give_back(self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_takes_nothing() {
        let budget = Budget::new(10);
        assert!(budget.try_take(6));
        assert!(!budget.try_take(5));
        assert!(budget.try_take(4));
        budget.give_back(6);
        assert!(!budget.try_take(usize::MAX));
        assert!(budget.try_take(6));
    }

    #[test]
    fn nobody_gets_more_than_a_share_and_all_together_no_more_than_there_is() {
        let shares = Arc::new(Shares::new(10, 6));
        let mut first = shares.take(&"alice", 4).expect("fits");
        assert_eq!(shares.take(&"alice", 3).expect_err("too much"), Over::Share);
        assert_eq!(shares.take(&"alice", usize::MAX).expect_err("too much"), Over::Share);
        let second = shares.take(&"bob", 6).expect("fits exactly");
        assert_eq!(shares.take(&"carol", 1).expect_err("none left"), Over::Total);
        assert_eq!(first.grow(2), Err(Over::Total));
        drop(second);
        assert_eq!(first.grow(2), Ok(()));
        assert_eq!(first.grow(1), Err(Over::Share));
        let second = shares.take(&"bob", 4).expect("fits exactly");
        drop(first);
        let third = shares.take(&"carol", 4).expect("given back");
        drop((second, third));
        assert!(shares.lock().is_empty());
    }
}
