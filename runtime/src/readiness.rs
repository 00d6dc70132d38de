//! Whether the parts of a process can serve, and why not.

use std::sync::{Arc, PoisonError, RwLock};

/// Tells what a part lacks, in words; `None`: nothing, it can serve. Cheap: each question calls it.
pub type Check = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// The parts of a process. Cheap to clone. A part that nobody has named yet lacks nothing.
#[derive(Clone, Default)]
pub struct Readiness(Arc<RwLock<Vec<(&'static str, Check)>>>);

impl Readiness {
    /// Nothing lacks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on a part is as ready as `check` says, in place of an earlier one's word.
    pub fn set(
        &self,
        part: &'static str,
        check: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) {
        let mut parts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        parts.retain(|(known, _)| *known != part);
        parts.push((part, Box::new(check)));
    }

    /// What is lacking, each with its part's name.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let parts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let reason = |(part, check): &(&'static str, Check)| {
            check().map(|reason| format!("{part}: {reason}"))
        };
        parts.iter().filter_map(reason).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parts_last_word_counts() {
        let readiness = Readiness::new();
        assert!(readiness.reasons().is_empty());
        readiness.set("core", || Some("is starting".to_owned()));
        readiness.set("edge", || Some("NATS is away".to_owned()));
        assert_eq!(readiness.reasons(), ["core: is starting", "edge: NATS is away"]);
        readiness.set("core", || None);
        assert_eq!(readiness.clone().reasons(), ["edge: NATS is away"]);
    }
}
