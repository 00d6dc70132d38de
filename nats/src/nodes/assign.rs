//! Which node owns which partition, or whatever else has a key.

use std::collections::{BTreeMap, HashMap};

use weft_proto::partition::fnv1a_64;
use weft_proto::{NodeId, Partition};

/// Spreads partitions `0..partitions` over the nodes: rendezvous hashing with bounded load. Every
/// node that knows the same nodes comes to the same answer; no node has more than its share, rounded
/// up; and when a node comes or goes, few partitions move. Empty where there is no node.
#[must_use]
pub fn assign<'a>(
    nodes: impl IntoIterator<Item = &'a NodeId>,
    partitions: Partition,
) -> BTreeMap<Partition, NodeId> {
    let mut nodes: Vec<&NodeId> = nodes.into_iter().collect();
    nodes.sort_unstable();
    nodes.dedup();
    if nodes.is_empty() {
        return BTreeMap::new();
    }
    let load_max = usize::from(partitions).div_ceil(nodes.len());
    let mut loads: HashMap<&NodeId, usize> = HashMap::new();
    let mut owners = BTreeMap::new();
    for partition in 0..partitions {
        let free = nodes.iter().filter(|node| loads.get(**node).is_none_or(|l| *l < load_max));
        // Some node is free: together they may carry all partitions.
        if let Some(node) = free.max_by_key(|node| score(node, &partition.to_string())) {
            *loads.entry(node).or_default() += 1;
            owners.insert(partition, (*node).clone());
        }
    }
    owners
}

/// Rendezvous hashing: of all nodes, the one with the highest score for a key has it. So a key moves
/// only where its own node goes, or one comes that has a higher score.
#[must_use]
pub fn score(node: &NodeId, key: &str) -> u64 {
    // FNV alone orders similar names alike; the last steps (splitmix64's) spread them.
    let mut hash = fnv1a_64(format!("{key}/{node}").as_bytes());
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<NodeId> {
        (0..count).map(|n| NodeId::new(&format!("core-{n}")).expect("id")).collect()
    }

    #[test]
    fn nobody_has_more_than_the_share() {
        for count in 1..=20 {
            for partitions in [0, 1, 4, 16, 17, 64] {
                let nodes = names(count);
                let owners = assign(&nodes, partitions);
                assert_eq!(owners.len(), usize::from(partitions));
                for node in &nodes {
                    let load = owners.values().filter(|owner| *owner == node).count();
                    assert!(load <= usize::from(partitions).div_ceil(count), "{node}: {load}");
                }
            }
        }
        assert!(assign(&[], 4).is_empty());
    }

    #[test]
    fn the_order_of_the_nodes_does_not_matter() {
        let mut nodes = names(5);
        let owners = assign(&nodes, 16);
        nodes.reverse();
        nodes.push(nodes[0].clone());
        assert_eq!(assign(&nodes, 16), owners);
    }

    #[test]
    fn few_partitions_move_when_a_node_goes() {
        let (mut moved, mut fair) = (0, 0);
        for count in 2..=12 {
            let nodes = names(count);
            let before = assign(&nodes, 64);
            for gone in &nodes {
                let rest: Vec<_> = nodes.iter().filter(|node| *node != gone).collect();
                let after = assign(rest, 64);
                moved += before.iter().filter(|(n, owner)| after[n] != **owner).count();
                fair += before.values().filter(|owner| *owner == gone).count();
            }
        }
        // Those of the node that went must move; the bound on loads moves some others.
        assert!(moved >= fair);
        assert!(moved * 2 < fair * 5, "{moved} moved where {fair} had to");
    }
}
