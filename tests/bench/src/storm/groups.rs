//! Who talks to whom: small groups of devices, and survivors who are members of many groups.

use std::ops::Range;

use anyhow::{Result, ensure};
use serde_json::json;
use weft_harness::account::Login;

/// Devices of a group: few, so that all of them are companions.
const GROUP: usize = 10;
/// Groups of a survivor, who sees no more than [`COMPANIONS_MAX`](weft_proto::limits::COMPANIONS_MAX)
/// users without asking.
const GROUPS_PER_SURVIVOR: usize = 90;

/// Devices in groups. Each group has one survivor, its owner, beside the devices.
#[derive(Clone, Copy, Debug)]
pub struct Groups {
    pub devices: usize,
}

impl Groups {
    pub fn count(self) -> usize {
        self.devices.div_ceil(GROUP)
    }

    pub fn survivors(self) -> usize {
        self.count().div_ceil(GROUPS_PER_SURVIVOR)
    }

    pub fn members(self, group: usize) -> Range<usize> {
        group * GROUP..self.devices.min((group + 1) * GROUP)
    }

    pub fn of_survivor(self, survivor: usize) -> Range<usize> {
        let first = survivor * GROUPS_PER_SURVIVOR;
        first..self.count().min(first + GROUPS_PER_SURVIVOR)
    }

    /// The groups of the device or, after the devices, the survivor with this number.
    pub fn of(self, number: usize) -> Range<usize> {
        match number.checked_sub(self.devices) {
            Some(survivor) => self.of_survivor(survivor),
            None => number / GROUP..number / GROUP + 1,
        }
    }

    /// Users whom it sees: of a device the others of its group and the survivor, of a survivor all
    /// devices.
    pub fn companions_of(self, number: usize) -> usize {
        self.of(number).map(|group| self.members(group).len()).sum()
    }

    /// Of the devices, then of the survivors.
    pub fn names(self) -> Vec<String> {
        let devices = (0..self.devices).map(device_name);
        let survivors = (0..self.survivors()).map(|number| format!("survivor-{number:03}"));
        devices.chain(survivors).collect()
    }

    /// A survivor makes a group.
    pub async fn create(
        self,
        group: usize,
        owner: &Login,
        edge: std::net::SocketAddr,
    ) -> Result<()> {
        let members: Vec<String> = self.members(group).map(device_name).collect();
        let create = json!({ "kind": "create", "title": room(group), "members": members });
        let path = format!("/v1/rooms/{}/entries", room(group));
        let answer = owner.call(edge, "POST", &path, &create).await?;
        ensure!(answer.status == 201 && answer.body["seq"] == 1, "no group: {answer:?}");
        Ok(())
    }
}

pub fn room(group: usize) -> String {
    format!("storm-{group}")
}

fn device_name(device: usize) -> String {
    format!("device-{device:06}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_in_one_group_and_seen_by_one_survivor() {
        let groups = Groups { devices: 1_997 };
        assert_eq!((groups.count(), groups.survivors()), (200, 3));
        let all: Vec<usize> = (0..groups.count()).flat_map(|group| groups.members(group)).collect();
        assert_eq!(all, (0..1_997).collect::<Vec<_>>());
        let seen: usize = (1_997..2_000).map(|survivor| groups.companions_of(survivor)).sum();
        assert_eq!(seen, 1_997);
        assert_eq!((groups.companions_of(0), groups.companions_of(1_996)), (10, 7));
        assert_eq!((groups.of(1_996), groups.of(1_999)), (199..200, 180..200));
    }
}
