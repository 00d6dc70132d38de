//! Whether a user is notified: the one rule. `docs/protocol.md` (section 14) has it as a table, line by line.

use weft_proto::notify::Notify;
use weft_proto::svc::PushFacts;

/// Why nobody is notified.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// The device is not registered any more.
    Unregistered,
    /// The entry is deleted, has expired, or is not for the user any more.
    Gone,
    Own,
    /// Its sender wants nobody to be notified.
    Skipped,
    /// An edit that mentions nobody anew.
    Edit,
    Blocked,
    /// A first message of a stranger.
    Request,
    Read,
    Muted,
    Level,
    /// The user is not to be disturbed.
    Dnd,
}

impl Why {
    pub const ALL: &[&str] = &[
        "unregistered",
        "gone",
        "own",
        "skipped",
        "edit",
        "blocked",
        "request",
        "read",
        "muted",
        "level",
        "dnd",
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL[self as usize]
    }
}

/// Decides by what holds at this moment.
///
/// # Errors
/// The first line of the table by which nobody is notified.
pub fn decide(facts: &PushFacts, now_ms: u64) -> Result<(), Why> {
    let lines = [
        (facts.push.is_none(), Why::Unregistered),
        (facts.what.is_empty(), Why::Gone),
        (facts.is_own, Why::Own),
        (facts.is_skipped, Why::Skipped),
        (facts.is_edit && !facts.is_mention, Why::Edit),
        (facts.is_blocked, Why::Blocked),
        (facts.is_request, Why::Request),
        (facts.is_read, Why::Read),
        (facts.muted_until_ms > now_ms, Why::Muted),
        (!is_wanted(facts), Why::Level),
        (is_undisturbed(facts, now_ms), Why::Dnd),
    ];
    let first = lines.into_iter().find(|(holds, _)| *holds);
    first.map_or(Ok(()), |(_, why)| Err(why))
}

/// Whether it is of those things of which the user wants to hear.
fn is_wanted(facts: &PushFacts) -> bool {
    // What is said to the user, and to no room.
    let is_personal = facts.is_mention
        || (facts.is_direct && facts.what != "reaction")
        || (facts.is_in_thread && facts.follows)
        || matches!(&*facts.what, "added" | "invitation");
    match Notify::of(facts.room_notify(), facts.user_notify()) {
        Notify::None => false,
        Notify::Mentions => is_personal,
        Notify::All | Notify::Default => {
            let is_of_room = !facts.is_in_thread && (!facts.is_large || facts.what == "reaction");
            is_personal || is_of_room
        }
    }
}

fn is_undisturbed(facts: &PushFacts, now_ms: u64) -> bool {
    let hours = facts.dnd.as_ref();
    facts.dnd_until_ms > now_ms || hours.is_some_and(|hours| hours.contain(now_ms))
}

#[cfg(test)]
mod tests {
    use weft_proto::kind::DndHours;
    use weft_proto::svc::Push;

    use super::*;

    const NOW: u64 = 1_790_000_000_000;

    /// A message in a small group, which its reader has not seen.
    fn message() -> PushFacts {
        PushFacts { push: Some(Push::default()), what: "message".into(), ..PushFacts::default() }
    }

    /// The message with this done to it, in the order of the table: what is decided.
    fn with(change: impl FnOnce(&mut PushFacts)) -> Result<(), Why> {
        let mut facts = message();
        change(&mut facts);
        decide(&facts, NOW)
    }

    #[test]
    fn each_line_of_the_table_holds() {
        assert_eq!(decide(&message(), NOW), Ok(()));
        assert_eq!(with(|it| it.push = None), Err(Why::Unregistered));
        assert_eq!(with(|it| it.what.clear()), Err(Why::Gone));
        assert_eq!(with(|it| it.is_own = true), Err(Why::Own));
        assert_eq!(with(|it| it.is_skipped = true), Err(Why::Skipped));
        assert_eq!(with(|it| it.is_edit = true), Err(Why::Edit));
        assert_eq!(with(|it| (it.is_edit, it.is_mention) = (true, true)), Ok(()));
        assert_eq!(with(|it| it.is_blocked = true), Err(Why::Blocked));
        assert_eq!(with(|it| it.is_request = true), Err(Why::Request));
        assert_eq!(with(|it| it.is_read = true), Err(Why::Read));
        assert_eq!(with(|it| it.muted_until_ms = NOW), Ok(()), "the time is over");
        assert_eq!(with(|it| it.muted_until_ms = NOW + 1), Err(Why::Muted));
        let muted = |it: &mut PushFacts| (it.muted_until_ms, it.is_mention) = (NOW + 1, true);
        assert_eq!(with(muted), Err(Why::Muted), "mentions, too");
        assert_eq!(with(|it| it.dnd_until_ms = NOW + 1), Err(Why::Dnd));
        let always = DndHours {
            from: "00:00".into(),
            to: "00:00".into(),
            days: ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].map(str::to_owned).into(),
            time_zone: "UTC".into(),
        };
        assert_eq!(with(|it| it.dnd = Some(always)), Err(Why::Dnd));
        assert_eq!(Why::Dnd.as_str(), "dnd");
        assert_eq!(Why::Unregistered.as_str(), "unregistered");
    }

    #[test]
    fn levels_say_of_what_one_hears() {
        let (all, mentions, none) = (Notify::All, Notify::Mentions, Notify::None);
        let default = Notify::Default;
        for (room, user, of_room, of_mentions) in [
            (default, default, true, true),
            (default, all, true, true),
            (default, mentions, false, true),
            (default, none, false, false),
            (all, none, true, true),
            (mentions, all, false, true),
            (none, all, false, false),
        ] {
            let heard = |is_mention| {
                with(|it| {
                    (it.room_notify, it.user_notify) = (room.into(), user.into());
                    it.is_mention = is_mention;
                })
            };
            let expected = |is_heard| if is_heard { Ok(()) } else { Err(Why::Level) };
            assert_eq!(heard(false), expected(of_room), "{room:?} {user:?}");
            assert_eq!(heard(true), expected(of_mentions), "{room:?} {user:?}");
        }
        let quiet = |it: &mut PushFacts| it.user_notify = Notify::Mentions.into();
        for personal in [
            (|it| it.is_direct = true) as fn(&mut PushFacts),
            |it| (it.is_in_thread, it.follows) = (true, true),
            |it| it.what = "added".into(),
            |it| it.what = "invitation".into(),
        ] {
            let change = |it: &mut PushFacts| {
                quiet(it);
                personal(it);
            };
            assert_eq!(with(change), Ok(()));
        }
        let reaction = |it: &mut PushFacts| {
            quiet(it);
            (it.is_direct, it.what) = (true, "reaction".into());
        };
        assert_eq!(with(reaction), Err(Why::Level));
    }

    #[test]
    fn of_threads_hears_who_follows_them_and_of_large_groups_who_is_mentioned() {
        assert_eq!(with(|it| it.is_in_thread = true), Err(Why::Level));
        assert_eq!(with(|it| (it.is_in_thread, it.follows) = (true, true)), Ok(()));
        assert_eq!(with(|it| (it.is_in_thread, it.is_mention) = (true, true)), Ok(()));
        assert_eq!(with(|it| it.is_large = true), Err(Why::Level));
        assert_eq!(with(|it| (it.is_large, it.is_mention) = (true, true)), Ok(()));
        assert_eq!(with(|it| (it.is_large, it.what) = (true, "reaction".into())), Ok(()));
    }
}
