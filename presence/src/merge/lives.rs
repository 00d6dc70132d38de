//! The lives of edges: which of them last.

use std::collections::HashMap;

use tokio::time::Instant;
use weft_proto::NodeId;

/// One life of an edge, in few bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct LifeId(u32);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// The bucket of nodes says so.
    Alive,
    /// Only a key of it was seen. It counts as alive until then.
    Presumed(Instant),
    /// Only a key of it was seen, while another life of the edge lives: it is about to begin, or long
    /// over. It does not count.
    Unannounced,
    /// It is over. A life does not end twice, but one that was taken for dead may show itself again.
    Dead,
}

/// Every life of which a key was seen, or that lives.
#[derive(Default, Debug)]
pub(super) struct Lives {
    ids: HashMap<NodeId, HashMap<String, LifeId>>,
    edges: Vec<NodeId>,
    states: Vec<State>,
}

impl Lives {
    /// The life that a key speaks of.
    pub(super) fn of_key(&mut self, edge: &NodeId, boot: &str, presumed_until: Instant) -> LifeId {
        let other_lives = self.ids.get(edge).is_some_and(|lives| {
            lives.values().any(|id| self.states[id.0 as usize] == State::Alive)
        });
        // An edge has one life at a time.
        let state = if other_lives { State::Unannounced } else { State::Presumed(presumed_until) };
        self.id(edge, boot, state)
    }

    fn id(&mut self, edge: &NodeId, boot: &str, state_of_new: State) -> LifeId {
        if let Some(id) = self.ids.get(edge).and_then(|lives| lives.get(boot)) {
            return *id;
        }
        // Restarts of edges are rare: the list of their lives stays short.
        let id = LifeId(u32::try_from(self.states.len()).unwrap_or(u32::MAX));
        self.states.push(state_of_new);
        self.edges.push(edge.clone());
        self.ids.entry(edge.clone()).or_default().insert(boot.to_owned(), id);
        id
    }

    /// These live, and of those that lived before no others. True where that changes something.
    pub(super) fn set(&mut self, edges: &[(NodeId, String)]) -> bool {
        let mut states = self.states.clone();
        let alive: Vec<LifeId> =
            edges.iter().map(|(edge, boot)| self.id(edge, boot, State::Dead)).collect();
        states.resize(self.states.len(), State::Dead);
        for state in &mut states {
            if *state == State::Alive {
                *state = State::Dead;
            }
        }
        for (edge, _) in edges {
            // The other lives of an edge that lives are over.
            for id in self.ids.get(edge).into_iter().flat_map(HashMap::values) {
                let state = &mut states[id.0 as usize];
                if matches!(state, State::Presumed(_)) {
                    *state = State::Dead;
                }
            }
        }
        for id in alive {
            states[id.0 as usize] = State::Alive;
        }
        let has_changed = states != self.states;
        self.states = states;
        has_changed
    }

    /// The edge that lives it, or did.
    pub(super) fn edge(&self, id: LifeId) -> Option<&NodeId> {
        self.edges.get(id.0 as usize)
    }

    /// Takes out what is of a life that is over, where something of the same edge's present life is
    /// there too.
    pub(super) fn keep_living<T>(&self, words: &mut Vec<T>, life_of: impl Fn(&T) -> LifeId) {
        if words.len() < 2 {
            return;
        }
        let alive: Vec<LifeId> =
            words.iter().map(&life_of).filter(|life| self.is_alive(*life)).collect();
        words.retain(|word| {
            let life = life_of(word);
            let is_same_edge = |other: &LifeId| self.edge(*other) == self.edge(life);
            let is_over = self.states.get(life.0 as usize) == Some(&State::Dead);
            !is_over || !alive.iter().any(is_same_edge)
        });
    }

    pub(super) fn is_alive(&self, id: LifeId) -> bool {
        matches!(self.states.get(id.0 as usize), Some(State::Alive | State::Presumed(_)))
    }

    /// Ends what was only presumed. True where there was something.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let mut has_changed = false;
        for state in &mut self.states {
            if matches!(*state, State::Presumed(until) if until <= now) {
                *state = State::Dead;
                has_changed = true;
            }
        }
        has_changed
    }

    pub(super) fn due_at(&self) -> Option<Instant> {
        let presumed = self.states.iter().filter_map(|state| match state {
            State::Presumed(until) => Some(*until),
            State::Alive | State::Unannounced | State::Dead => None,
        });
        presumed.min()
    }
}
