//! Who hears of a mark, and in which words: the same where it is published, audited and synced.

use std::collections::BTreeSet;

use bytes::Bytes;
use weft_proto::frame::{MarkFrame, MarksFrame, ReadUpTo, ThreadMarkFrame};
use weft_proto::{ChangeHead, Position, RoomId, RoomKind, UserId, svc};
use weft_storage::tables::mark::Mark;
use weft_storage::tables::thread_follower::{FollowerKey, ThreadFollower};

/// The other user of a direct room: their devices hear of the user's mark, too, whether they are here or not. A
/// group's other members hear of it only while they are here.
#[must_use]
pub fn partner(room: &RoomId, user: &UserId) -> Option<UserId> {
    let partner = room.direct_users().map(|(a, b)| if *user == a { b } else { a });
    partner.filter(|partner| partner != user)
}

/// Others hear nothing of the mark, of those who have turned off read receipts (`off`): its user is one, or the partner.
#[must_use]
pub fn is_hidden(room: &RoomId, user: &UserId, off: &BTreeSet<UserId>) -> bool {
    off.contains(user) || partner(room, user).is_some_and(|partner| off.contains(&partner))
}

/// What they hear, and the user's own devices, of a mark that was written at a position; `told_at`: where the partner
/// was told of it, else they hear nothing.
#[must_use]
pub fn changes(
    room: &RoomId,
    user: &UserId,
    (position, told_at): (Position, Option<Position>),
    mark: &Mark,
) -> Vec<svc::Change> {
    let change = |hears: UserId, position| svc::Change {
        frame: frame(room, user, mark, &hears),
        users: vec![hears.to_string()],
        group: String::new(),
        head: ChangeHead::mark(room, user, position).to_string(),
    };
    let others = partner(room, user).zip(told_at).map(|(partner, at)| change(partner, at));
    std::iter::once(change(user.clone(), position)).chain(others).collect()
}

/// The frame of a user's mark for somebody who hears of it.
#[must_use]
pub fn frame(room: &RoomId, user: &UserId, mark: &Mark, hears: &UserId) -> Bytes {
    let is_own = hears == user;
    let is_direct = room.kind() == RoomKind::Direct;
    let frame = MarkFrame {
        room,
        user,
        read: mark.read,
        read_ordinal: is_own.then(|| mark.unread_after()),
        delivered: is_direct.then(|| delivered(mark)),
        unread_from: Some(mark.unread_from).filter(|from| is_own && *from != 0),
    };
    frame.to_frame().into()
}

/// What a user hears, on their own devices, of a thread.
#[must_use]
pub fn thread_change(at: &FollowerKey, position: Position, row: &ThreadFollower) -> svc::Change {
    let (user, (room, root)) = at;
    svc::Change {
        users: vec![user.to_string()],
        group: String::new(),
        head: ChangeHead::thread(room, *root, user, position).to_string(),
        frame: thread_frame(at, row),
    }
}

/// The frame of that.
#[must_use]
pub fn thread_frame((user, (room, root)): &FollowerKey, row: &ThreadFollower) -> Bytes {
    let ThreadFollower { follows: following, read } = *row;
    ThreadMarkFrame { room, user, thread: *root, read, following }.to_frame().into()
}

/// Up to where it is on a device. Who has read it has got it.
#[must_use]
pub fn delivered(mark: &Mark) -> u64 {
    mark.delivered.max(mark.read)
}

/// What a group's members who are here hear of the marks of some of them.
#[must_use]
pub fn group_change<'a>(
    group: &RoomId,
    marks: impl IntoIterator<Item = (&'a UserId, u64)>,
) -> svc::Change {
    let marks = marks.into_iter().map(|(user, read)| ReadUpTo { user, read }).collect();
    svc::Change {
        users: Vec::new(),
        group: group.to_string(),
        head: ChangeHead::marks(group).to_string(),
        frame: MarksFrame { room: group, marks }.to_frame().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::new(name).expect("id")
    }

    fn room(name: &str) -> RoomId {
        RoomId::new(name).expect("id")
    }

    fn frames(room_id: &str, mark: &Mark) -> Vec<(Vec<String>, String)> {
        let at = Position::new(1, 2);
        let changes = changes(&room(room_id), &user("bob"), (at, Some(at)), mark);
        let text = |frame: Bytes| String::from_utf8(frame.to_vec()).expect("utf8");
        changes.into_iter().map(|change| (change.users, text(change.frame))).collect()
    }

    #[test]
    fn the_own_devices_hear_more_than_others() {
        let mark = Mark { read: 7, read_ordinal: 5, delivered: 9, ..Mark::default() };
        let own = r#"{"type":"mark","room":"ann~bob","user":"bob","read":7,"read_ordinal":5,"delivered":9}"#;
        let others = r#"{"type":"mark","room":"ann~bob","user":"bob","read":7,"delivered":9}"#;
        let to = |name: &str, frame: &str| (vec![name.to_owned()], frame.to_owned());
        assert_eq!(frames("ann~bob", &mark), [to("bob", own), to("ann", others)]);
        let unread = Mark { unread_from: 3, unread_ordinal: 2, unread_at: 9, ..mark };
        let own = r#"{"type":"mark","room":"bob~bob","user":"bob","read":7,"read_ordinal":2,"delivered":9,"unread_from":3}"#;
        assert_eq!(frames("bob~bob", &unread), [to("bob", own)]);
        let own = r#"{"type":"mark","room":"team","user":"bob","read":7,"read_ordinal":2,"unread_from":3}"#;
        assert_eq!(frames("team", &unread), [to("bob", own)]);
    }

    #[test]
    fn a_thread_is_for_the_own_devices() {
        let at = (user("bob"), (room("ann~bob"), 2));
        let row = ThreadFollower { follows: true, read: 7 };
        let change = thread_change(&at, Position::new(1, 2), &row);
        assert_eq!((change.users.as_slice(), change.group.as_str()), (&["bob".to_owned()][..], ""));
        assert!(change.head.starts_with("mark/ann~bob/bob/2 "), "{}", change.head);
        let frame =
            r#"{"type":"mark","room":"ann~bob","user":"bob","thread":2,"read":7,"following":true}"#;
        assert_eq!(change.frame, frame.as_bytes());
    }

    #[test]
    fn who_has_read_it_has_got_it() {
        let mark = Mark { read: 7, delivered: 3, ..Mark::default() };
        assert!(frames("ann~bob", &mark)[1].1.contains(r#""read":7,"delivered":7"#));
    }

    #[test]
    fn a_group_hears_of_several_at_once() {
        let (ann, bob) = (user("ann"), user("bob"));
        let change = group_change(&room("team"), [(&ann, 3), (&bob, 7)]);
        assert_eq!((change.group.as_str(), change.head.as_str()), ("team", "marks/team -"));
        let frame = r#"{"type":"marks","room":"team","marks":[{"user":"ann","read":3},{"user":"bob","read":7}]}"#;
        assert_eq!(change.frame, frame.as_bytes());
    }
}
