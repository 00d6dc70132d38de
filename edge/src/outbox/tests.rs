//! When a send is published again, and in which order.

use std::sync::Arc;

use super::*;
use weft_proto::Tick;
use weft_runtime::Shares;

const PATIENCE: SendTimeouts =
    SendTimeouts { resend_after: Duration::from_secs(5), give_up_after: Duration::from_secs(60) };

fn command() -> Command {
    Command {
        room: RoomId::new("team").expect("id"),
        is_made: false,
        client_id: ClientId::from_parts(1, 2),
        payload: Bytes::from_static(b"{}"),
    }
}

fn user() -> UserId {
    UserId::new("alice").expect("id")
}

/// Room for this many of [`command`].
fn shares(count: u64) -> Arc<Shares<UserId>> {
    let bytes = count as usize * command().cost();
    Arc::new(Shares::new(bytes, bytes))
}

/// Has a window for this many commands to the room.
fn open_outbox(count: u64) -> Outbox {
    let mut outbox = Outbox::new(PATIENCE);
    (0..count).for_each(|_| outbox.windows.widen(&command().room));
    outbox
}

fn outbox(count: u64, now: Instant) -> (Outbox, Arc<Shares<UserId>>) {
    let shares = shares(count);
    let mut outbox = open_outbox(count);
    for request_id in 0..count {
        let share = shares.take(&user(), command().cost()).expect("a share");
        let attempt = outbox.add(request_id + 100, command(), share, now).expect("a window");
        assert_eq!(attempt.number, request_id);
    }
    (outbox, shares)
}

/// Of one partition that has not ticked.
fn ticks() -> Ticks {
    Ticks::new(1, None)
}

fn attempts(due: &[Due]) -> Vec<u32> {
    due.iter()
        .map(|due| match due {
            Due::Publish(attempt) => attempt.attempt,
            Due::GiveUp { .. } => panic!("too soon"),
        })
        .collect()
}

/// Looks once a second, each time after a tick that says how far the log is applied, and where it
/// ends; which attempts were made.
fn looks(outbox: &mut Outbox, ticks: &Ticks, said: &[(u64, u64)]) -> Vec<Vec<u32>> {
    let mut made = Vec::new();
    for (number, (applied, last_seq)) in (1..).zip(said) {
        let (applied, last_seq) = (*applied, *last_seq);
        ticks.note(0, &Tick { epoch: 1, number, applied, last_seq, ..Tick::default() });
        let at = outbox.due_at().expect("pending");
        made.push(attempts(&outbox.due(at, true, ticks)));
    }
    made
}

#[tokio::test(start_paused = true)]
async fn what_the_log_has_lost_is_published_again() {
    let (mut outbox, _shares) = outbox(1, Instant::now());
    let ticks = ticks();
    outbox.stored(0, 0, 40);
    // The first tick may have been made before the log had it.
    let made = looks(&mut outbox, &ticks, &[(30, 39), (30, 39), (30, 39)]);
    assert_eq!(made, [vec![], vec![1], vec![]]);
    // The late word on the first attempt says nothing of the second.
    outbox.stored(0, 0, 40);
    assert!(outbox.pending[0].evidence.stream_seq.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_asked_for_again() {
    let (mut outbox, _shares) = outbox(1, Instant::now());
    outbox.stored(0, 0, 40);
    let made = looks(&mut outbox, &ticks(), &[(39, 50), (40, 50), (45, 51), (46, 52)]);
    assert_eq!(made, [vec![], vec![], vec![1], vec![]]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_core_gets_nothing_twice() {
    let start = Instant::now();
    let (mut outbox, _shares) = outbox(3, start);
    for number in 0..3 {
        outbox.stored(number, 0, 40 + number);
    }
    let made = looks(&mut outbox, &ticks(), &[(1, 99); 58]);
    assert_eq!(made, vec![Vec::<u32>::new(); 58]);
    // Neither does one that is away: no tick, no evidence.
    let (mut outbox, _shares) = self::outbox(1, start);
    outbox.stored(0, 0, 40);
    for _ in 0..58 {
        let at = outbox.due_at().expect("pending");
        assert_eq!(attempts(&outbox.due(at, true, &ticks())).len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn evidence_of_the_last_attempt_counts_alone() {
    let (mut outbox, _shares) = outbox(1, Instant::now());
    let ticks = ticks();
    outbox.stored(0, 0, 40);
    assert_eq!(looks(&mut outbox, &ticks, &[(40, 40), (40, 40)]), [vec![], vec![1]]);
    outbox.stored(0, 1, 60);
    let at = outbox.due_at().expect("pending");
    for number in 3_u32..6 {
        ticks.note(
            0,
            &Tick { epoch: 1, number: number.into(), applied: 59, last_seq: 61, ..Tick::default() },
        );
        assert_eq!(attempts(&outbox.due(at + LOOK_PAUSE * number, true, &ticks)).len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_that_were_answered_do_not_lengthen_the_wait() {
    let start = Instant::now();
    let (mut outbox, _shares) = outbox(1, start);
    for attempt in 0..7 {
        let again = outbox.in_order(0, attempt, start);
        assert_eq!(again.iter().map(|it| it.attempt).collect::<Vec<_>>(), [attempt + 1]);
    }
    let due = start + PATIENCE.resend_after;
    assert_eq!(attempts(&outbox.due(due, true, &ticks())), [8]);
}

#[tokio::test(start_paused = true)]
async fn resends_double_and_end_after_a_minute() {
    let start = Instant::now();
    let (mut outbox, shares) = outbox(1, start);
    let mut seen = Vec::new();
    while let Some(at) = outbox.due_at() {
        assert!(outbox.due(at - Duration::from_millis(1), true, &ticks()).is_empty());
        for due in outbox.due(at, true, &ticks()) {
            seen.push((at - start).as_secs());
            match due {
                Due::Publish(attempt) => assert_eq!(attempt.attempt as usize, seen.len()),
                Due::GiveUp { request_id } => assert_eq!(request_id, 100),
            }
        }
    }
    assert_eq!(seen, [5, 15, 35, 60]);
    assert!(shares.take(&user(), command().cost()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_outage_uses_up_no_attempts() {
    let start = Instant::now();
    let (mut outbox, _shares) = outbox(1, start);
    let mut now = start;
    while now - start < Duration::from_secs(40) {
        now = outbox.due_at().expect("pending");
        assert!(outbox.due(now, false, &ticks()).is_empty());
    }
    now = outbox.due_at().expect("pending");
    assert!(now - start <= Duration::from_secs(42));
    let due = outbox.due(now, true, &ticks());
    assert!(matches!(&due[..], [Due::Publish(attempt)] if attempt.attempt == 1), "{due:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_settles_once_and_order_is_kept() {
    let start = Instant::now();
    let (mut outbox, _shares) = outbox(5, start);
    assert_eq!(outbox.settle(1).map(|(id, _)| id), Some(101));
    assert_eq!(outbox.settle(1), None);
    assert_eq!(outbox.settle(77), None);
    let due = outbox.due(start + PATIENCE.resend_after, true, &ticks());
    let numbers: Vec<u64> = due
        .iter()
        .map(|due| match due {
            Due::Publish(attempt) => attempt.number,
            Due::GiveUp { .. } => panic!("too soon"),
        })
        .collect();
    assert_eq!(numbers, [0, 2, 3, 4]);
    for number in numbers {
        assert!(outbox.settle(number).is_some());
    }
    assert_eq!(outbox.due_at(), None);
}

#[tokio::test(start_paused = true)]
async fn a_command_names_the_one_before_it_until_that_is_answered() {
    let start = Instant::now();
    let (shares, mut outbox) = (shares(10), open_outbox(10));
    let mut add = |number: u64, room: &str| {
        let room = RoomId::new(room).expect("id");
        let client_id = ClientId::from_parts(1, number.into());
        let command = Command { room, client_id, ..command() };
        let share = shares.take(&user(), command.cost()).expect("a share");
        outbox.add(number, command, share, start).expect("a window").after
    };
    let id = |number: u64| Some(ClientId::from_parts(1, number.into()));
    assert_eq!(add(0, "team"), None);
    assert_eq!(add(1, "other"), None);
    assert_eq!(add(2, "team"), id(0));
    assert_eq!(add(3, "team"), id(2));
    let numbers = |attempts: Vec<Attempt>| {
        attempts.into_iter().map(|a| (a.number, a.attempt, a.after)).collect::<Vec<_>>()
    };
    assert_eq!(numbers(outbox.in_order(3, 0, start)), [(2, 1, id(0)), (3, 1, id(2))]);
    // What is said of an attempt before the last one is old.
    assert_eq!(numbers(outbox.in_order(3, 0, start)), []);
    assert_eq!(outbox.settle(0).map(|(id, _)| id), Some(0));
    assert_eq!(numbers(outbox.in_order(2, 1, start)), [(2, 2, None)]);
    // The one before it is on its way: it waits for the answer.
    assert_eq!(numbers(outbox.in_order(3, 1, start)), []);
    assert!(outbox.due(start, true, &ticks()).is_empty());
    assert_eq!(outbox.settle(2).map(|(id, _)| id), Some(2));
    assert_eq!(outbox.due_at(), Some(start));
    let due = outbox.due(start, true, &ticks());
    assert!(
        matches!(&due[..], [Due::Publish(a)] if (a.number, a.attempt, a.after) == (3, 2, None)),
        "{due:?}"
    );
    assert_eq!(numbers(outbox.in_order(2, 2, start)), []);
}

/// Answers what is in the log as core does: nothing before what it comes after is applied. `lost`:
/// how many of the first never reach the log; `is_refused`: whose content core does not take. How
/// many attempts were made until all was answered; those that are committed are in order.
fn attempts_of_a_row(
    mut outbox: Outbox,
    len: u64,
    lost: u64,
    is_refused: impl Fn(u64) -> bool,
) -> u64 {
    let start = Instant::now();
    let shares = shares(len);
    let (mut log, mut made) = (VecDeque::new(), 0);
    for number in 0..len {
        let client_id = ClientId::from_parts(1, number.into());
        let share = shares.take(&user(), command().cost()).expect("a share");
        let attempt = outbox.add(number, Command { client_id, ..command() }, share, start);
        made += u64::from(attempt.is_some());
        log.extend(attempt.filter(|_| number >= lost));
    }
    let (mut now, mut applied) = (start, Vec::new());
    while outbox.len() > 0 {
        let again = match log.pop_front() {
            Some(attempt) if attempt.after.is_some_and(|after| !applied.contains(&after)) => {
                outbox.in_order(attempt.number, attempt.attempt, now)
            }
            Some(attempt) if is_refused(attempt.number) => {
                let error = ApiError::new(ErrorCode::NotMember, "no");
                outbox.refuse((attempt.number, attempt.attempt), error);
                Vec::new()
            }
            Some(attempt) => {
                // A resend of what is committed is answered as the first.
                let id = attempt.command.client_id;
                if !applied.contains(&id) {
                    applied.push(id);
                }
                outbox.settle(attempt.number);
                Vec::new()
            }
            None => {
                now = outbox.due_at().expect("pending").max(now);
                Vec::new()
            }
        };
        let due = outbox.due(now, true, &ticks()).into_iter().map(|due| match due {
            Due::Publish(attempt) => attempt,
            Due::GiveUp { .. } => panic!("too late"),
        });
        let again: Vec<Attempt> = again.into_iter().chain(due).collect();
        made += again.len() as u64;
        assert!(made < 100_000, "a storm");
        log.extend(again);
    }
    let taken = (0..len).filter(|number| !is_refused(*number));
    let taken: Vec<ClientId> = taken.map(|number| ClientId::from_parts(1, number.into())).collect();
    assert_eq!(applied, taken);
    made
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_a_resend_comes_after_what_was_sent_first() {
    let start = Instant::now();
    let (shares, mut outbox) = (shares(10), open_outbox(10));
    let id = |number: u128| ClientId::from_parts(1, number);
    let send = |outbox: &mut Outbox, number: u128| {
        let share = shares.take(&user(), command().cost()).expect("a share");
        let command = Command { client_id: id(number), ..command() };
        outbox.add(0, command, share, start).expect("a window").after
    };
    assert_eq!(send(&mut outbox, 1), None);
    assert_eq!(send(&mut outbox, 2), Some(id(1)));
    assert_eq!(send(&mut outbox, 3), Some(id(2)));
    // The client sends again what has no answer yet: each has the place of the first.
    assert_eq!(send(&mut outbox, 1), None);
    assert_eq!(send(&mut outbox, 2), Some(id(1)));
    assert_eq!(send(&mut outbox, 4), Some(id(3)));
    // The first is acknowledged, and crosses with one more resend of it.
    assert!(outbox.settle(0).is_some());
    assert_eq!(send(&mut outbox, 1), None);
    assert_eq!(send(&mut outbox, 5), Some(id(4)));
    assert_eq!(outbox.in_order(7, 0, start).iter().map(|a| a.number).collect::<Vec<_>>(), [5, 7]);
}

#[tokio::test(start_paused = true)]
async fn a_row_is_not_published_more_often_than_it_has_to_be() {
    let all_stand = |_| false;
    for window in [0, 256] {
        assert_eq!(attempts_of_a_row(open_outbox(window), 256, 0, all_stand), 256);
    }
    for lost in [1, 2, 255] {
        let made = attempts_of_a_row(open_outbox(256), 256, lost, all_stand);
        assert!(made < 4 * 256, "{lost} lost: {made}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_in_a_row_is_published_about_once() {
    // But for those that are underway before the first answer.
    assert_eq!(attempts_of_a_row(open_outbox(0), 256, 0, |_| true), 256 + 15);
    // Where it was well until now, what is underway comes back once.
    assert_eq!(attempts_of_a_row(open_outbox(255), 256, 0, |_| true), 511);
    for every in [2, 3, 5, 17, 100] {
        let made = attempts_of_a_row(open_outbox(0), 256, 0, |number| number % every == every - 1);
        assert!(made <= 2 * 256, "each {every}th is refused: {made}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_window_of_a_room_grows_with_acks_alone() {
    let start = Instant::now();
    let (shares, mut outbox) = (shares(40), open_outbox(0));
    let add = |outbox: &mut Outbox, number: u64, room: &str| {
        let (room, client_id) =
            (RoomId::new(room).expect("id"), ClientId::from_parts(1, number.into()));
        let command = Command { room, client_id, ..command() };
        let share = shares.take(&user(), command.cost()).expect("a share");
        outbox.add(number, command, share, start).is_some()
    };
    let published = |outbox: &mut Outbox| {
        let numbers = outbox.due(start, true, &ticks()).into_iter().map(|due| match due {
            Due::Publish(attempt) => (attempt.number, attempt.attempt),
            Due::GiveUp { .. } => panic!("too soon"),
        });
        numbers.collect::<Vec<_>>()
    };
    outbox.windows.narrow(&RoomId::new("team").expect("id"));
    assert!(add(&mut outbox, 0, "team"));
    assert!((1..6).all(|number| !add(&mut outbox, number, "team")));
    assert!(add(&mut outbox, 6, "other"), "another room's window is its own");
    assert!(published(&mut outbox).is_empty());
    outbox.settle(0);
    // A new one does not overtake those that are held.
    assert!(!add(&mut outbox, 7, "team"));
    assert_eq!(published(&mut outbox), [(1, 0), (2, 0)]);
    outbox.settle(1);
    assert_eq!(published(&mut outbox), [(3, 0), (4, 0)]);
    let error = ApiError::new(ErrorCode::TooLong, "no");
    outbox.refuse((2, 0), error);
    assert!(published(&mut outbox).is_empty());
    // Where nothing was refused, a room begins with some.
    assert!((8..24).all(|number| add(&mut outbox, number, "new")));
    assert!(!add(&mut outbox, 24, "new"));
}

#[test]
fn a_refusal_that_is_forgotten_gives_no_first_places_again() {
    let room = |number: usize| RoomId::new(&format!("room-{number}")).expect("id");
    let mut windows = Windows::new();
    windows.narrow(&room(0));
    (1..200).for_each(|number| windows.widen(&room(number)));
    assert_eq!((windows.of(&room(0)), windows.of(&room(200))), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_a_no_where_no_other_attempt_is_open() {
    let start = Instant::now();
    let (mut outbox, _shares) = outbox(3, start);
    let full = ApiError::new(ErrorCode::Overloaded, "full").retry_after_ms(250);
    let (id, error) = outbox.refuse((0, 0), full.clone()).expect("pending");
    assert_eq!((id, error.code), (100, ErrorCode::Overloaded));
    // The second was published again as the first attempt's own answer asked for: that is not open.
    assert_eq!(outbox.in_order(1, 0, start).len(), 1);
    let (id, error) = outbox.refuse((1, 1), full.clone()).expect("pending");
    assert_eq!((id, error.code), (101, ErrorCode::Overloaded));
    outbox.due(start + PATIENCE.resend_after, true, &ticks());
    let (id, error) = outbox.refuse((2, 1), full).expect("pending");
    assert_eq!((id, error.code), (102, ErrorCode::Unknown));
    assert_eq!(error.retry_after_ms, Some(250));
}
