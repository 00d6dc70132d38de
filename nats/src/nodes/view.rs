//! What the bucket's changes mean for who is alive. Pure: time is handed in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;
use weft_proto::NodeId;

use super::{NodeInfo, Nodes};

/// A change of one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum NodeChange {
    /// A heartbeat.
    Alive(NodeInfo),
    /// The node left in order.
    Left,
    /// The bucket forgot the key.
    Expired,
}

/// Who is alive, by key (`<role>.<node>`).
#[derive(Debug)]
pub(super) struct NodesView {
    ttl: Duration,
    alive: BTreeMap<String, NodeInfo>,
    /// Expired while expiries did not count.
    suspects: BTreeSet<String>,
    /// When each was heard last: a heartbeat is a sign of life also where it says nothing new.
    heard: BTreeMap<String, Instant>,
    own: String,
    /// Since when own heartbeats have been accepted without a break.
    accepted_since: Option<Instant>,
}

impl NodesView {
    /// `own`: this node's key.
    pub(super) fn new(ttl: Duration, own: &str) -> Self {
        Self {
            ttl,
            alive: BTreeMap::new(),
            suspects: BTreeSet::new(),
            heard: BTreeMap::new(),
            own: own.to_owned(),
            accepted_since: None,
        }
    }

    /// Takes in a change. True where somebody came, changed or went.
    pub(super) fn apply(&mut self, key: &str, change: NodeChange, now: Instant) -> bool {
        match change {
            NodeChange::Alive(info) => {
                self.suspects.remove(key);
                self.heard.insert(key.to_owned(), now);
                self.alive.insert(key.to_owned(), info.clone()) != Some(info)
            }
            NodeChange::Left => self.remove(key),
            NodeChange::Expired if self.expiries_count(now) => self.remove(key),
            NodeChange::Expired => {
                if self.alive.contains_key(key) {
                    self.suspects.insert(key.to_owned());
                }
                false
            }
        }
    }

    /// The bucket was read anew and these keys are all that it has: the others expired unseen.
    pub(super) fn reconcile(&mut self, present: &BTreeSet<String>, now: Instant) -> bool {
        let gone: Vec<String> =
            self.alive.keys().filter(|key| !present.contains(*key)).cloned().collect();
        let mut changed = false;
        for key in gone {
            changed |= self.apply(&key, NodeChange::Expired, now);
        }
        changed
    }

    /// An own heartbeat was accepted. True where expiries begin to count and somebody went.
    pub(super) fn accepted(&mut self, now: Instant) -> bool {
        self.accepted_since.get_or_insert(now);
        if !self.expiries_count(now) {
            return false;
        }
        let mut gone = std::mem::take(&mut self.suspects);
        gone.extend(self.silent(now));
        let mut changed = false;
        for key in gone {
            changed |= self.remove(&key);
        }
        changed
    }

    /// Whose marker was missed: the bucket has forgotten them for a TTL at least. The watch brings
    /// everybody's heartbeats in the order in which the bucket took them, so nobody counts as silent
    /// who was not heard before an own one that was: where that is old, the watch itself is silent.
    fn silent(&self, now: Instant) -> Vec<String> {
        let silence = |key: &str| self.heard.get(key).map(|at| now.duration_since(*at));
        if silence(&self.own).is_none_or(|silence| silence > self.ttl) {
            return Vec::new();
        }
        let is_silent = |key: &&String| silence(key).is_none_or(|silence| silence > 2 * self.ttl);
        self.alive.keys().filter(is_silent).cloned().collect()
    }

    /// An own heartbeat failed, or the connection was made anew.
    pub(super) fn interrupted(&mut self) {
        self.accepted_since = None;
    }

    fn expiries_count(&self, now: Instant) -> bool {
        self.accepted_since.is_some_and(|since| now.duration_since(since) >= self.ttl)
    }

    fn remove(&mut self, key: &str) -> bool {
        self.suspects.remove(key);
        self.heard.remove(key);
        self.alive.remove(key).is_some()
    }

    /// By role. Keys that are not `<role>.<node>` are nobody's.
    pub(super) fn by_role(&self) -> BTreeMap<String, Nodes> {
        let mut roles: BTreeMap<String, Nodes> = BTreeMap::new();
        for (key, info) in &self.alive {
            let Some((role, node)) = key.split_once('.') else { continue };
            let Ok(node) = NodeId::new(node) else { continue };
            roles.entry(role.to_owned()).or_default().insert(node, info.clone());
        }
        roles
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    fn view() -> (NodesView, Instant) {
        let (mut view, now) = (NodesView::new(TTL, "core.a"), Instant::now());
        for key in ["core.a", "core.b", "edge.c"] {
            assert!(view.apply(key, NodeChange::Alive(NodeInfo::default()), now));
        }
        (view, now)
    }

    fn cores(view: &NodesView) -> Vec<String> {
        view.by_role().remove("core").unwrap_or_default().keys().map(NodeId::to_string).collect()
    }

    #[test]
    fn an_expiry_counts_after_a_full_ttl_of_own_heartbeats() {
        let (mut view, start) = view();
        view.accepted(start);
        assert!(!view.apply("core.b", NodeChange::Expired, start + TTL / 2));
        assert_eq!(cores(&view), ["a", "b"]);
        assert!(view.apply("core.a", NodeChange::Expired, start + TTL));
        assert_eq!(cores(&view), ["b"]);
        // b did not come back meanwhile.
        assert!(view.accepted(start + TTL));
        assert!(cores(&view).is_empty());
    }

    #[test]
    fn an_outage_takes_nobody_with_it() {
        let (mut view, start) = view();
        view.accepted(start);
        let back = start + 10 * TTL;
        view.interrupted();
        for key in ["core.a", "core.b", "edge.c"] {
            assert!(!view.apply(key, NodeChange::Expired, back));
        }
        assert!(!view.accepted(back));
        assert!(!view.apply("core.a", NodeChange::Alive(NodeInfo::default()), back));
        assert_eq!(cores(&view), ["a", "b"]);
        // a came back, b did not.
        assert!(view.accepted(back + TTL));
        assert_eq!(cores(&view), ["a"]);
    }

    #[test]
    fn an_orderly_leave_counts_at_once() {
        let (mut view, start) = view();
        assert!(view.apply("core.a", NodeChange::Left, start));
        assert!(!view.apply("core.a", NodeChange::Left, start));
        assert_eq!(cores(&view), ["b"]);
    }

    /// Own heartbeats from `from` to `to`, each accepted and heard; `others` are heard with them.
    /// True where somebody went.
    fn beat(view: &mut NodesView, others: &[&str], from: Instant, to: Instant) -> bool {
        let (mut now, mut changed) = (from, false);
        while now <= to {
            changed |= view.accepted(now);
            for key in others.iter().chain([&"core.a"]) {
                view.apply(key, NodeChange::Alive(NodeInfo::default()), now);
            }
            now += TTL / 5;
        }
        changed
    }

    #[test]
    fn a_missed_marker_only_delays_an_expiry() {
        let (mut view, start) = view();
        // c says nothing new with each heartbeat, and is heard for all that.
        assert!(!beat(&mut view, &["edge.c"], start, start + 2 * TTL));
        assert_eq!(cores(&view), ["a", "b"]);
        assert!(view.accepted(start + 2 * TTL + TTL / 5));
        assert_eq!(cores(&view), ["a"]);
        assert!(view.by_role().contains_key("edge"));
        assert!(!beat(&mut view, &["edge.c"], start + 3 * TTL, start + 9 * TTL));
    }

    #[test]
    fn a_silent_watch_takes_nobody_with_it() {
        let (mut view, start) = view();
        // Heartbeats are accepted all the time, but the watch shows none, own ones neither.
        for beats in 1..50 {
            assert!(!view.accepted(start + beats * TTL / 5));
        }
        // It comes to life: in order, so the others are heard before this node itself.
        let back = start + 10 * TTL;
        assert!(!view.apply("core.b", NodeChange::Alive(NodeInfo::default()), back));
        assert!(!view.accepted(back));
        assert!(!view.apply("core.a", NodeChange::Alive(NodeInfo::default()), back));
        assert!(view.accepted(back));
        assert_eq!(cores(&view), ["a", "b"]);
        assert!(!view.by_role().contains_key("edge"));
    }

    #[test]
    fn silence_counts_no_sooner_than_an_expiry() {
        let (mut view, start) = view();
        view.accepted(start);
        view.interrupted();
        let back = start + 10 * TTL;
        view.apply("core.a", NodeChange::Alive(NodeInfo::default()), back);
        assert!(!view.accepted(back));
        assert_eq!(cores(&view), ["a", "b"]);
        view.apply("core.a", NodeChange::Alive(NodeInfo::default()), back + TTL);
        assert!(view.accepted(back + TTL));
        assert_eq!(cores(&view), ["a"]);
    }

    #[test]
    fn what_a_new_watch_does_not_show_has_expired() {
        let (mut view, start) = view();
        view.accepted(start);
        let present = BTreeSet::from(["core.a".to_owned()]);
        assert!(!view.reconcile(&present, start));
        assert_eq!(cores(&view), ["a", "b"]);
        assert!(view.reconcile(&present, start + TTL));
        assert_eq!(cores(&view), ["a"]);
    }
}
