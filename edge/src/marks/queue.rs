//! Which marks of a session go out, and when. Pure: time is handed in.
//!
//! Of a room at most one command is underway, and between the beginnings of two there is [`PAUSE`]. What
//! is asked for meanwhile waits, and goes as one: marks only grow, so the commit of the greatest does what
//! all of them ask for. "Unread from here" does not grow, and threads have marks of their own: these
//! go alone and in their turn.
//!
//! Where a command that does the work of several is refused, each of them is tried alone: so everybody
//! gets the answer to what was asked, whatever else was asked.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;
use weft_proto::RoomId;
use weft_proto::kind::Mark;

/// Between the beginnings of two commands of one room.
pub(super) const PAUSE: Duration = Duration::from_millis(250);

/// What a session has marked, as far as that is not answered.
pub(super) struct Queue {
    rooms: BTreeMap<RoomId, RoomMarks>,
    next_number: u64,
    /// What has waited for this long is given up.
    waits_max: Duration,
}

struct RoomMarks {
    /// Before it no command begins.
    next_at: Instant,
    underway: Option<(u64, Group)>,
    waiting: VecDeque<Group>,
}

/// Requests that one command answers.
struct Group {
    mark: Mark,
    /// Each with what it asked for itself. Never empty.
    requests: Vec<(u64, Mark)>,
    /// No other request joins it.
    is_alone: bool,
    /// When the first of them came.
    since: Instant,
}

/// A command that is to be sent.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Go {
    /// Names it in the answer.
    pub(super) number: u64,
    pub(super) room: RoomId,
    pub(super) mark: Mark,
}

/// What has come due.
#[derive(Default, Debug)]
pub(super) struct Due {
    pub(super) go: Vec<Go>,
    /// Requests that have waited for too long.
    pub(super) given_up: Vec<u64>,
}

impl Queue {
    pub(super) fn new(waits_max: Duration) -> Self {
        Self { rooms: BTreeMap::new(), next_number: 0, waits_max }
    }

    /// Requests without an answer.
    pub(super) fn len(&self) -> usize {
        let groups =
            |room: &RoomMarks| room.groups().map(|group| group.requests.len()).sum::<usize>();
        self.rooms.values().map(groups).sum()
    }

    /// Takes a request in. [`due`](Self::due) says when it goes, which may be at once.
    pub(super) fn add(&mut self, request_id: u64, room: RoomId, mark: Mark, now: Instant) {
        let room = self.rooms.entry(room).or_insert_with(|| RoomMarks {
            next_at: now,
            underway: None,
            waiting: VecDeque::new(),
        });
        let is_alone = mark.unread_from.is_some() || mark.thread.is_some();
        let last = room.waiting.back_mut().filter(|last| !is_alone && !last.is_alone);
        match last {
            Some(last) => {
                last.mark.read = last.mark.read.max(mark.read);
                last.mark.delivered = last.mark.delivered.max(mark.delivered);
                last.requests.push((request_id, mark));
            }
            None => {
                let requests = vec![(request_id, mark.clone())];
                room.waiting.push_back(Group { mark, requests, is_alone, since: now });
            }
        }
    }

    /// What goes out now, and what is given up.
    pub(super) fn due(&mut self, now: Instant) -> Due {
        let mut due = Due::default();
        for (id, room) in &mut self.rooms {
            while let Some(late) =
                room.waiting.pop_front_if(|group| now >= group.since + self.waits_max)
            {
                due.given_up.extend(late.ids());
            }
            if room.underway.is_some() || now < room.next_at {
                continue;
            }
            let Some(group) = room.waiting.pop_front() else { continue };
            let number = self.next_number;
            self.next_number += 1;
            due.go.push(Go { number, room: id.clone(), mark: group.mark.clone() });
            room.next_at = now + PAUSE;
            room.underway = Some((number, group));
        }
        self.rooms.retain(|_, room| room.groups().next().is_some() || now < room.next_at);
        due
    }

    /// When [`due`](Self::due) has to be called, at the latest.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let due_at = |room: &RoomMarks| {
            let first = room.waiting.front()?;
            let late_at = first.since + self.waits_max;
            let is_free = room.underway.is_none();
            Some(if is_free { late_at.min(room.next_at) } else { late_at })
        };
        self.rooms.values().filter_map(due_at).min()
    }

    /// A command is done: the requests that are answered by that.
    pub(super) fn done(&mut self, number: u64) -> Vec<u64> {
        let taken = self.take(number);
        taken.map_or_else(Vec::new, |(_, group)| group.ids().collect())
    }

    /// A command was refused: the requests that hear so. With `for_good` the same command would be refused
    /// again; then, of several requests, each is tried alone.
    pub(super) fn refused(&mut self, number: u64, for_good: bool) -> Vec<u64> {
        let Some((room, group)) = self.take(number) else { return Vec::new() };
        let is_same = group.requests.iter().all(|(_, mark)| *mark == group.mark);
        if !for_good || is_same {
            return group.ids().collect();
        }
        for request in group.requests.into_iter().rev() {
            let (mark, requests) = (request.1.clone(), vec![request]);
            let alone = Group { mark, requests, is_alone: true, since: group.since };
            room.waiting.push_front(alone);
        }
        Vec::new()
    }

    fn take(&mut self, number: u64) -> Option<(&mut RoomMarks, Group)> {
        let is_it = |room: &&mut RoomMarks| {
            room.underway.as_ref().is_some_and(|(underway, _)| *underway == number)
        };
        let room = self.rooms.values_mut().find(is_it)?;
        let (_, group) = room.underway.take()?;
        Some((room, group))
    }
}

impl RoomMarks {
    fn groups(&self) -> impl Iterator<Item = &Group> {
        self.underway.iter().map(|(_, group)| group).chain(&self.waiting)
    }
}

impl Group {
    fn ids(&self) -> impl Iterator<Item = u64> {
        self.requests.iter().map(|(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITS_MAX: Duration = Duration::from_secs(30);

    fn room() -> RoomId {
        RoomId::new("alice~bob").expect("id")
    }

    fn read(seq: u64) -> Mark {
        Mark { read: Some(seq), ..Mark::default() }
    }

    fn delivered(seq: u64) -> Mark {
        Mark { delivered: Some(seq), ..Mark::default() }
    }

    fn unread_from(seq: u64) -> Mark {
        Mark { unread_from: Some(seq), ..Mark::default() }
    }

    /// A queue with these requests, named from 1 on, of which the first is underway as command 0.
    fn queue(marks: &[Mark], now: Instant) -> Queue {
        let mut queue = Queue::new(WAITS_MAX);
        for (id, mark) in (1..).zip(marks) {
            queue.add(id, room(), mark.clone(), now);
            if id == 1 {
                assert_eq!(queue.due(now).go, [Go { number: 0, room: room(), mark: mark.clone() }]);
            }
        }
        queue
    }

    /// The mark of the only command that goes.
    fn goes(queue: &mut Queue, now: Instant) -> Mark {
        let mut due = queue.due(now);
        assert_eq!((due.go.len(), &due.given_up), (1, &Vec::new()));
        due.go.remove(0).mark
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_goes_at_once_and_what_comes_meanwhile_goes_as_one() {
        let start = Instant::now();
        let mut queue = queue(&[read(1), read(3), delivered(9), read(2)], start);
        assert_eq!(queue.len(), 4);
        assert!(queue.due(start + PAUSE).go.is_empty(), "one is underway");
        assert_eq!(queue.done(0), [1]);
        assert_eq!(queue.due_at(), Some(start + PAUSE));
        assert!(queue.due(start + PAUSE / 2).go.is_empty(), "too soon");
        let merged = Mark { delivered: Some(9), ..read(3) };
        assert_eq!(goes(&mut queue, start + PAUSE), merged);
        // Answers to others, and a second answer, are none.
        assert_eq!((queue.done(0), queue.done(7)), (vec![], vec![]));
        assert_eq!(queue.done(1), [2, 3, 4]);
        assert_eq!((queue.len(), queue.due_at()), (0, None));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_slow_is_waited_for_and_nothing_else() {
        let start = Instant::now();
        let mut queue = queue(&[read(1), read(2)], start);
        let later = start + 10 * PAUSE;
        assert!(queue.due(later).go.is_empty(), "one is underway");
        let other = RoomId::new("team").expect("id");
        queue.add(9, other.clone(), read(5), later);
        let go = Go { number: 1, room: other, mark: read(5) };
        assert_eq!(queue.due(later).go, [go]);
        assert_eq!(queue.done(0), [1]);
        assert_eq!(goes(&mut queue, later), read(2));
    }

    #[tokio::test(start_paused = true)]
    async fn unread_from_goes_alone_and_in_its_turn() {
        let start = Instant::now();
        let marks = [read(1), read(7), unread_from(5), unread_from(4), read(6), read(8)];
        let mut queue = queue(&marks, start);
        let mut answered = Vec::new();
        for (number, expected) in (1_u32..).zip([read(7), unread_from(5), unread_from(4), read(8)])
        {
            answered.extend(queue.done(u64::from(number - 1)));
            assert_eq!(goes(&mut queue, start + PAUSE * number), expected);
        }
        answered.extend(queue.done(4));
        assert_eq!(answered, [1, 2, 3, 4, 5, 6]);
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_refused_command_each_request_is_tried_alone() {
        let start = Instant::now();
        let mut queue = queue(&[read(1), read(2), read(99), delivered(3)], start);
        assert_eq!(queue.done(0), [1]);
        let merged = Mark { delivered: Some(3), ..read(99) };
        assert_eq!(goes(&mut queue, start + PAUSE), merged);
        // What comes now waits for its turn, and joins none of those that go alone.
        assert!(queue.refused(1, true).is_empty());
        queue.add(5, room(), read(4), start + PAUSE);
        let mut told = Vec::new();
        for (number, expected) in (2_u32..).zip([read(2), read(99), delivered(3), read(4)]) {
            assert_eq!(goes(&mut queue, start + PAUSE * number), expected);
            let number = number.into();
            told.push(if expected == read(99) {
                (queue.refused(number, true), false)
            } else {
                (queue.done(number), true)
            });
        }
        assert_eq!(told, [(vec![2], true), (vec![3], false), (vec![4], true), (vec![5], true)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_for_now_is_told_to_all_who_asked_for_it() {
        let start = Instant::now();
        let mut queue = queue(&[read(1), read(2), read(3), unread_from(1)], start);
        assert_eq!(queue.refused(0, false), [1]);
        assert_eq!(goes(&mut queue, start + PAUSE), read(3));
        assert_eq!(queue.refused(1, false), [2, 3]);
        assert_eq!(goes(&mut queue, start + 2 * PAUSE), unread_from(1));
        assert_eq!(queue.refused(2, true), [4]);
        assert_eq!(queue.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_too_long_is_given_up() {
        let start = Instant::now();
        let mut queue = queue(&[read(1), read(2), unread_from(1)], start);
        queue.add(4, room(), unread_from(2), start + PAUSE);
        assert_eq!(queue.due_at(), Some(start + WAITS_MAX));
        assert_eq!(queue.due(start + WAITS_MAX).given_up, [2, 3]);
        assert_eq!(queue.done(0), [1]);
        assert_eq!(goes(&mut queue, start + WAITS_MAX), unread_from(2));
    }

    #[tokio::test(start_paused = true)]
    async fn rooms_are_forgotten_when_nothing_is_left() {
        let start = Instant::now();
        let mut queue = queue(&[read(1)], start);
        assert_eq!(queue.done(0), [1]);
        queue.due(start + PAUSE / 2);
        assert_eq!(queue.rooms.len(), 1, "the next one has to wait");
        queue.due(start + PAUSE);
        assert_eq!(queue.rooms.len(), 0);
    }
}
