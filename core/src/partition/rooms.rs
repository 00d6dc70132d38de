//! The rooms that an owner has in memory. They are forgotten by their bytes, those first that were
//! not used for longest; never one that an open commit writes, since the store does not show it yet.

use std::collections::{BTreeMap, HashMap};

use lru::LruCache;
use weft_proto::{Role, RoomId, UserId};
use weft_storage::tables::head::Head;
use weft_storage::tables::member::Member;

use super::state::{Place, PlanNo};
use crate::metrics;

/// What a room takes beside its names: about as much as its maps and counters do.
const ROOM_BYTES: usize = 400;
/// What a member takes, with a name of usual length.
const MEMBER_BYTES: usize = 160;
/// Looked-up users of one large group that are kept.
const LOOKED_UP_MAX: usize = 10_000;

/// A group's members, as far as they are in memory.
#[derive(Clone, Debug)]
pub enum Members {
    /// All who are members now.
    All(BTreeMap<UserId, Member>),
    /// Of a large group: those who were looked up.
    Some(LookedUp),
}

/// Users of a large group who were looked up, members or not.
#[derive(Clone, Debug)]
pub struct LookedUp(LruCache<UserId, Looked>);

#[derive(Clone, Debug)]
struct Looked {
    /// `None`: not a member.
    member: Option<Member>,
    /// The last commit that writes it; 0: none since it was read.
    touched: PlanNo,
}

impl Default for LookedUp {
    fn default() -> Self {
        Self(LruCache::unbounded())
    }
}

impl LookedUp {
    /// True where the user is known, and used from now on.
    pub fn knows(&mut self, user: &UserId) -> bool {
        self.0.get(user).is_some()
    }

    /// Takes in what the store says.
    pub fn insert(&mut self, user: UserId, member: Option<Member>) {
        self.0.put(user, Looked { member, touched: 0 });
    }

    /// Forgets the least used ones, where there are too many.
    pub fn forget(&mut self, settled: PlanNo) {
        while self.0.len() > LOOKED_UP_MAX
            && self.0.peek_lru().is_some_and(|(_, looked)| looked.touched <= settled)
        {
            self.0.pop_lru();
        }
    }
}

impl Members {
    /// The user's row; `None`: not a member.
    #[must_use]
    pub fn get(&self, user: &UserId) -> Option<&Member> {
        match self {
            Self::All(all) => all.get(user),
            Self::Some(known) => known.0.peek(user).and_then(|looked| looked.member.as_ref()),
        }
    }

    /// The user's role; `None`: not a member.
    #[must_use]
    pub fn role(&self, user: &UserId) -> Option<Role> {
        self.get(user).and_then(Member::role)
    }

    /// Takes over a row that the commit `touched` changes.
    pub fn set(&mut self, user: UserId, member: Member, touched: PlanNo) {
        let is_member = member.role().is_some();
        match self {
            Self::All(all) if is_member => {
                all.insert(user, member);
            }
            Self::All(all) => {
                all.remove(&user);
            }
            Self::Some(known) => {
                known.0.put(user, Looked { member: is_member.then_some(member), touched });
            }
        }
    }

    fn count(&self) -> usize {
        match self {
            Self::All(all) => all.len(),
            Self::Some(known) => known.0.len(),
        }
    }
}

/// Rows of users who have left a group: those of commits that a lookup may not have seen, and those that were
/// looked up for whom a command adds again.
#[derive(Clone, Default, Debug)]
pub struct Former(HashMap<UserId, (Member, PlanNo)>);

impl Former {
    #[must_use]
    pub fn get(&self, user: &UserId) -> Option<&Member> {
        self.0.get(user).map(|(row, _)| row)
    }

    /// Takes in what the store says.
    pub fn insert(&mut self, user: UserId, row: Member) {
        self.0.insert(user, (row, 0));
    }

    /// Takes over a row that the commit `touched` changes.
    fn set(&mut self, user: &UserId, row: &Member, touched: PlanNo) {
        match row.role() {
            Some(_) => self.0.remove(user),
            None => self.0.insert(user.clone(), (row.clone(), touched)),
        };
    }

    /// Called as a lookup begins: it sees what commits up to `settled` wrote.
    pub fn forget(&mut self, settled: PlanNo) {
        self.0.retain(|_, (_, touched)| *touched > settled);
    }
}

/// A room in memory.
#[derive(Clone, Debug)]
pub struct Room {
    /// As the last planned entry leaves it; `seq` 0: there is no such room.
    pub head: Head,
    pub place: Place,
    /// Groups only.
    pub members: Members,
    pub former: Former,
    /// Of a direct room: both have written in it. Else that is not known.
    pub is_accepted: bool,
    /// The last commit that writes it; 0: none since it was read.
    pub touched: PlanNo,
}

impl Room {
    /// About what it takes in memory.
    fn bytes(&self, id: &RoomId) -> usize {
        let names = id.as_str().len() + self.head.title.len() + self.head.topic.len();
        ROOM_BYTES + names + (self.members.count() + self.former.0.len()) * MEMBER_BYTES
    }

    /// Takes over a member's row that the open commit changes.
    pub fn set_member(&mut self, user: &UserId, row: &Member) {
        self.former.set(user, row, self.touched);
        self.members.set(user.clone(), row.clone(), self.touched);
    }
}

struct Counted {
    room: Room,
    bytes: usize,
}

pub struct Rooms {
    rooms: LruCache<RoomId, Counted>,
    bytes: usize,
    bytes_max: usize,
}

impl Rooms {
    /// None yet. `bytes_max`: more are forgotten.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { rooms: LruCache::unbounded(), bytes: 0, bytes_max }
    }

    /// What they take, in bytes, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The room, where it is in memory.
    #[must_use]
    pub fn get(&self, id: &RoomId) -> Option<&Room> {
        self.rooms.peek(id).map(|counted| &counted.room)
    }

    /// True where it is in memory, and used from now on.
    pub fn knows(&mut self, id: &RoomId) -> bool {
        self.rooms.get(id).is_some()
    }

    /// Takes in what was read.
    pub fn insert(&mut self, id: RoomId, room: Room) {
        let bytes = room.bytes(&id);
        self.bytes += bytes;
        if let Some(before) = self.rooms.put(id, Counted { room, bytes }) {
            self.bytes -= before.bytes;
        }
    }

    /// Changes the room, where it is in memory.
    pub fn change<T>(&mut self, id: &RoomId, change: impl FnOnce(&mut Room) -> T) -> Option<T> {
        let counted = self.rooms.peek_mut(id)?;
        let changed = change(&mut counted.room);
        let bytes = counted.room.bytes(id);
        self.bytes = self.bytes - counted.bytes + bytes;
        counted.bytes = bytes;
        Some(changed)
    }

    /// Forgets what was not used for longest, where there is too much. Commits up to `settled` are
    /// done: what they wrote can be read again.
    pub fn forget(&mut self, settled: PlanNo) {
        while self.bytes > self.bytes_max
            && self.rooms.peek_lru().is_some_and(|(_, counted)| counted.room.touched <= settled)
        {
            if let Some((_, counted)) = self.rooms.pop_lru() {
                self.bytes -= counted.bytes;
                metrics::ROOMS_FORGOTTEN.increment();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> RoomId {
        RoomId::new(&format!("room-{number:04}")).expect("id")
    }

    fn user(number: usize) -> UserId {
        UserId::new(&format!("user-{number:06}")).expect("id")
    }

    fn room(members: usize, touched: PlanNo) -> Room {
        let all = (0..members).map(|n| (user(n), Member::joined(Role::Member, 1)));
        let members = Members::All(all.collect());
        let (head, former) = (Head::default(), Former::default());
        Room { head, place: Place::Nowhere, members, former, is_accepted: false, touched }
    }

    #[test]
    fn large_rooms_go_sooner_and_those_in_use_or_not_readable_yet_stay() {
        let mut rooms = Rooms::new(100_000);
        for number in 0..20 {
            rooms.insert(id(number), room(100, 0));
        }
        assert!(rooms.bytes() > 300_000);
        assert!(rooms.knows(&id(0)));
        rooms.forget(5);
        assert!(rooms.bytes() <= 100_000, "{}", rooms.bytes());
        assert!(rooms.get(&id(0)).is_some(), "used last");
        assert!(rooms.get(&id(1)).is_none() && rooms.get(&id(19)).is_some());
        // A commit writes one; another one grows.
        rooms.change(&id(0), |room| room.touched = 6);
        let before = rooms.bytes();
        rooms.change(&id(19), |room| room.members = self::room(1_000, 0).members);
        assert!(rooms.bytes() > before + 100_000);
        for number in 20..40 {
            rooms.insert(id(number), room(0, 7));
        }
        rooms.forget(5);
        assert!((20..40).all(|number| rooms.get(&id(number)).is_some()));
        assert!(rooms.get(&id(0)).is_some());
        rooms.forget(7);
        assert!(rooms.bytes() <= 100_000);
    }

    #[test]
    fn who_was_looked_up_in_a_large_group_is_not_kept_for_ever() {
        let mut rooms = Rooms::new(usize::MAX);
        rooms.insert(id(1), Room { members: Members::Some(LookedUp::default()), ..room(0, 0) });
        let bytes = rooms.change(&id(1), |room| {
            let Members::Some(known) = &mut room.members else { panic!("large") };
            for number in 0..LOOKED_UP_MAX + 500 {
                known.insert(user(number), None);
            }
            assert!(known.knows(&user(0)));
            room.members.set(user(1), Member::joined(Role::Member, 3), 9);
            let Members::Some(known) = &mut room.members else { panic!("large") };
            known.forget(8);
            assert!(known.knows(&user(0)) && !known.knows(&user(2)));
            known.0.len()
        });
        assert_eq!(bytes, Some(LOOKED_UP_MAX));
        assert_eq!(
            rooms.get(&id(1)).and_then(|room| room.members.role(&user(1))),
            Some(Role::Member)
        );
        assert_eq!(rooms.bytes(), ROOM_BYTES + id(1).as_str().len() + LOOKED_UP_MAX * MEMBER_BYTES);
    }
}
