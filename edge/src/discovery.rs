//! Which edge a client is to connect to: of the region that it asks for, and there by rendezvous
//! hashing of the user with bounded load, so that a user's devices meet, and no edge has much more
//! than its share. From what this edge knows of the live ones; nobody is asked.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;
use weft_nats::NodeInfo;
use weft_nats::nodes::{Nodes, score};
use weft_proto::NodeId;
use weft_runtime::lock;

/// Most edges that a client is told of.
const EDGES_MAX: usize = 3;
/// An edge has at most this many hundredths of its share of all sessions, before others are taken.
const LOAD_PERCENT_MAX: u64 = 125;
/// So few sessions are no load, whatever the share is: among few users everybody's devices meet.
const LOAD_FREE: u64 = 32;
/// Whoever was sent to an edge and is not among its sessions after this long does not come.
const ON_THE_WAY: Duration = Duration::from_secs(10);

/// Picks edges. It remembers whom it has sent where until an edge's number of sessions says so:
/// else all who come between two heartbeats would go to one.
#[derive(Debug, Default)]
pub(crate) struct Discovery {
    sent: Mutex<HashMap<NodeId, Sent>>,
}

/// Answers that named an edge, since what it says of itself has changed.
#[derive(Clone, Debug)]
struct Sent {
    boot: String,
    sessions: u32,
    since: Instant,
    count: u64,
}

impl Sent {
    fn is_of(&self, info: &NodeInfo, now: Instant) -> bool {
        let is_same = self.boot == info.boot && self.sessions == info.sessions;
        is_same && now.duration_since(self.since) < ON_THE_WAY
    }
}

impl Discovery {
    /// The edges for a client, best first, at most three; none where nobody takes sessions. Equal
    /// keys meet. An empty region, and one without a free edge: all regions.
    pub(crate) fn pick(
        &self,
        edges: &Nodes,
        region: &str,
        key: &str,
        now: Instant,
    ) -> Vec<NodeInfo> {
        let mut sent = lock(&self.sent);
        sent.retain(|node, sent| edges.get(node).is_some_and(|info| sent.is_of(info, now)));
        let load = |node: &NodeId, info: &NodeInfo| {
            u64::from(info.sessions) + sent.get(node).map_or(0, |sent| sent.count)
        };
        let picked = choose(edges, load, region, key);
        if let Some((node, info)) = picked.first() {
            let fresh =
                || Sent { boot: info.boot.clone(), sessions: info.sessions, since: now, count: 0 };
            sent.entry((*node).clone()).or_insert_with(fresh).count += 1;
        }
        picked.into_iter().map(|(_, info)| info.clone()).collect()
    }
}

/// True where clients are sent to an edge, as long as it has a place.
fn is_named(info: &NodeInfo) -> bool {
    !info.url.is_empty() && !info.draining && !info.unready
}

/// True where an edge with this many sessions takes one more.
fn has_place(info: &NodeInfo, sessions: u64) -> bool {
    info.sessions_max == 0 || sessions < u64::from(info.sessions_max)
}

/// An edge that takes sessions.
struct Candidate<'a> {
    node: &'a NodeId,
    info: &'a NodeInfo,
    load: u64,
}

/// The best edges for a key, where each has the `load` that is given.
fn choose<'a>(
    edges: &'a Nodes,
    load: impl Fn(&NodeId, &NodeInfo) -> u64,
    region: &str,
    key: &str,
) -> Vec<(&'a NodeId, &'a NodeInfo)> {
    let mut free: Vec<Candidate<'_>> = edges
        .iter()
        .map(|(node, info)| Candidate { node, info, load: load(node, info) })
        .filter(|edge| {
            let info = edge.info;
            is_named(info) && has_place(info, info.sessions.into())
        })
        .collect();
    if !region.is_empty() && free.iter().any(|edge| edge.info.region == region) {
        free.retain(|edge| edge.info.region == region);
    }
    let total: u64 = free.iter().map(|edge| edge.load).sum();
    let share = ((total + 1) * LOAD_PERCENT_MAX).div_ceil(100 * (free.len() as u64).max(1));
    let load_max = share.max(LOAD_FREE);
    // Who has more than the share comes after all that have not. So does an edge that is full when
    // all have come who were sent there: whether they come nobody knows, and whoever asks in vain
    // again and again must not make the others believe that there is no place.
    let is_behind =
        |edge: &Candidate<'_>| edge.load >= load_max || !has_place(edge.info, edge.load);
    free.sort_by_cached_key(|edge| (is_behind(edge), Reverse(score(edge.node, key))));
    free.into_iter().take(EDGES_MAX).map(|edge| (edge.node, edge.info)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn name(number: usize) -> NodeId {
        NodeId::new(&format!("edge-{number}")).expect("node")
    }

    fn edge(number: usize) -> NodeInfo {
        NodeInfo { url: format!("wss://edge-{number}"), ..NodeInfo::default() }
    }

    fn edges(count: usize) -> Nodes {
        (0..count).map(|number| (name(number), edge(number))).collect()
    }

    /// Where each user goes when all come one after the other, and everybody's edge is known at once.
    fn arrive(edges: &Nodes, users: usize) -> (Vec<NodeId>, BTreeMap<NodeId, u64>) {
        let mut loads: BTreeMap<NodeId, u64> = BTreeMap::new();
        let mut places = Vec::new();
        for user in 0..users {
            let load = |node: &NodeId, _: &NodeInfo| loads.get(node).copied().unwrap_or(0);
            let picked = choose(edges, load, "", &format!("user-{user}"))[0].0.clone();
            *loads.entry(picked.clone()).or_default() += 1;
            places.push(picked);
        }
        (places, loads)
    }

    #[test]
    fn no_edge_has_much_more_than_its_share() {
        let (places, loads) = arrive(&edges(20), 100_000);
        let most = loads.values().copied().max().expect("loads");
        let average = places.len() / loads.len();
        eprintln!("20 edges, 100,000 users: {average} on average, {most} at the most");
        assert_eq!(loads.len(), 20);
        assert!(most * 100 <= average as u64 * LOAD_PERCENT_MAX + 100, "{most} of {average}");
    }

    #[test]
    fn only_the_users_of_an_edge_move_when_it_goes() {
        let all = edges(20);
        let mut fewer = all.clone();
        fewer.remove(&name(7));
        let first =
            |edges, user: usize| choose(edges, |_, _| 0, "", &format!("user-{user}"))[0].0.clone();
        let mut moved = 0;
        for user in 0..10_000 {
            let (with, without) = (first(&all, user), first(&fewer, user));
            assert!(with == without || with == name(7), "{with} → {without}");
            moved += usize::from(with != without);
        }
        assert!((300..700).contains(&moved), "{moved} of 10,000");
    }

    #[test]
    fn few_users_move_when_an_edge_goes_though_loads_are_bounded() {
        let (mut moved, mut fair) = (0, 0);
        for count in [3, 5, 10] {
            let all = edges(count);
            let (before, _) = arrive(&all, 5_000);
            for gone in all.keys() {
                let mut rest = all.clone();
                rest.remove(gone);
                let (after, _) = arrive(&rest, 5_000);
                moved += before.iter().zip(&after).filter(|(one, other)| one != other).count();
                fair += before.iter().filter(|place| *place == gone).count();
            }
        }
        eprintln!("{moved} users moved where {fair} had to");
        assert!(moved >= fair);
        assert!(moved * 2 < fair * 3, "{moved} moved where {fair} had to");
    }

    #[test]
    fn who_takes_no_sessions_is_left_out() {
        let mut all = edges(7);
        let mut change = |number, change: fn(&mut NodeInfo)| {
            change(all.get_mut(&name(number)).expect("an edge"));
        };
        change(0, |info| info.draining = true);
        change(1, |info| info.url.clear());
        change(2, |info| (info.sessions, info.sessions_max) = (10, 10));
        change(3, |info| (info.sessions, info.sessions_max) = (9, 10));
        change(4, |info| info.sessions = 1_000_000);
        change(6, |info| info.unready = true);
        let discovery = Discovery::default();
        let pick = |user: usize| discovery.pick(&all, "", &format!("user-{user}"), Instant::now());
        // Two are far below the third.
        let first = pick(0);
        assert_eq!(first.len(), 3);
        assert_eq!(first[2].url, "wss://edge-4");
        for user in 1..100 {
            let picked = pick(user);
            assert!(["wss://edge-3", "wss://edge-5"].contains(&picked[0].url.as_str()));
        }
        // The last place of edge 3 is given away, perhaps.
        assert_eq!(pick(100)[0].url, "wss://edge-5");
        all.retain(|node, _| *node == name(0));
        assert!(discovery.pick(&all, "", "user", Instant::now()).is_empty());
    }

    #[test]
    fn the_region_comes_first_while_it_has_room() {
        let mut all = edges(10);
        for (number, info) in all.values_mut().enumerate() {
            info.region = if number < 2 { "eu" } else { "us" }.to_owned();
            info.sessions_max = 1_000;
        }
        let discovery = Discovery::default();
        let now = Instant::now();
        for user in 0..100 {
            let picked = discovery.pick(&all, "eu", &format!("user-{user}"), now);
            assert_eq!(picked.len(), 2);
            assert!(picked.iter().all(|info| info.region == "eu"), "{picked:?}");
        }
        assert_eq!(discovery.pick(&all, "mars", "user", now).len(), 3);
        for info in all.values_mut().filter(|info| info.region == "eu") {
            info.draining = true;
        }
        assert_eq!(discovery.pick(&all, "eu", "user", now)[0].region, "us");
    }

    #[tokio::test(start_paused = true)]
    async fn a_storm_between_two_heartbeats_is_spread() {
        let mut all = edges(4);
        let discovery = Discovery::default();
        // All the same key: without a count they would all go to one.
        let pick = |all: &Nodes| discovery.pick(all, "", "user", Instant::now())[0].url.clone();
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let home = pick(&all);
        for _ in 1..1_000 {
            *counts.entry(pick(&all)).or_default() += 1;
        }
        assert!(counts.values().all(|count| *count <= 313), "{counts:?}");
        // They have come, and are not counted twice.
        for info in all.values_mut() {
            info.sessions = 250;
        }
        for _ in 0..60 {
            assert_eq!(pick(&all), home);
        }
        // Or they never come, and are forgotten.
        while pick(&all) == home {}
        tokio::time::advance(ON_THE_WAY).await;
        assert_eq!(pick(&all), home);
    }

    #[test]
    fn an_edge_that_starts_anew_is_filled_first() {
        let mut all = edges(3);
        for number in [0, 1] {
            all.get_mut(&name(number)).expect("an edge").sessions = 1_000;
        }
        let discovery = Discovery::default();
        for user in 0..300 {
            let picked = discovery.pick(&all, "", &format!("user-{user}"), Instant::now());
            assert_eq!(picked[0].url, "wss://edge-2");
        }
    }

    #[test]
    fn among_few_a_users_devices_meet() {
        let all = edges(2);
        let discovery = Discovery::default();
        let pick = || discovery.pick(&all, "", "alice", Instant::now());
        let first = pick();
        assert_eq!(first.len(), 2);
        for _ in 0..20 {
            assert_eq!(pick(), first);
        }
    }

    /// Prints what one answer costs, for docs/operations.md.
    #[test]
    fn it_is_picked_from_memory() {
        let all: Nodes = edges(200)
            .into_iter()
            .map(|(node, info)| (node, NodeInfo { sessions: 10_000, ..info }))
            .collect();
        let discovery = Discovery::default();
        let began = std::time::Instant::now();
        for user in 0..1_000 {
            assert_eq!(discovery.pick(&all, "", &user.to_string(), Instant::now()).len(), 3);
        }
        eprintln!("one of 200 edges: {:?}", began.elapsed() / 1_000);
    }
}
