//! Permits by bytes: taken before something is queued, given back when it is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So many bytes may be queued.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    bytes_max: usize,
}

impl Budget {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { used: AtomicUsize::new(0), bytes_max }
    }

    /// Takes `bytes`, or nothing where they do not fit any more.
    pub(crate) fn try_take(&self, bytes: usize) -> bool {
        let taken = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.bytes_max);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }

    /// Gives back what [`try_take`](Self::try_take) took.
    pub(crate) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Takes `bytes` until the permit is dropped.
    pub(crate) fn permit(self: &Arc<Self>, bytes: usize) -> Option<Permit> {
        self.try_take(bytes).then(|| Permit { budget: Arc::clone(self), bytes })
    }
}

/// A part of a [`Budget`], given back on drop.
#[derive(Debug)]
pub(crate) struct Permit {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_takes_nothing() {
        let budget = Arc::new(Budget::new(10));
        let first = budget.permit(6).expect("fits");
        assert!(budget.permit(5).is_none());
        let second = budget.permit(4).expect("fits exactly");
        drop(first);
        assert!(budget.permit(7).is_none());
        assert!(budget.permit(6).is_some());
        drop(second);
        assert!(!budget.try_take(usize::MAX));
        assert!(budget.try_take(10));
    }
}
