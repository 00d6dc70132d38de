//! Marks, as the checker knows them: each only grows, says what the room has, and is kept once it is answered; and
//! what devices know of them is in the end what the store has.

use std::collections::{BTreeMap, BTreeSet};

use weft_proto::kind::{Add, Create, Mark as Wanted};
use weft_proto::{Body, Entry, Position, RoomId, RoomKind, UserId};
use weft_storage::tables::change::{self, Changed};
use weft_storage::tables::mark::{self, Mark};
use weft_storage::tables::sent::Sent;
use weft_storage::tables::setting::{self, Setting};
use weft_storage::tables::table::Table;
use weft_storage::{Batch, Op, Snapshot};

use super::check::{Judged, Kept, Place};
use super::client::{USERS, Wish, user};
use super::messages::all;
use super::relations::{self, Relations};
use super::scheduled;
use super::settings;
use super::store::now;
use super::world::World;

/// A room, and whose mark.
pub type Key = (RoomId, UserId);
type Entries = BTreeMap<Place, Kept>;

/// What syncs have to tell each user, and where it is.
pub type Changes = BTreeMap<UserId, BTreeMap<Position, Changed>>;

/// The marks as they were written last.
#[derive(Default)]
pub struct Marks {
    written: BTreeMap<Key, Written>,
    /// Who has turned off read receipts, from the beginning.
    off: BTreeSet<UserId>,
}

/// A mark, and where it is.
struct Written {
    position: Position,
    /// Where others were told of it last.
    told_at: Position,
    mark: Mark,
}

/// What a frame tells of a mark.
#[derive(Clone, Default)]
pub struct Told {
    pub read: u64,
    pub delivered: u64,
    /// The user's own devices are told this, too.
    pub unread_from: Option<u64>,
}

/// What a device knows of marks and all else that is no entry, and since when it hears of them: it came without a cursor.
#[derive(Clone, Default)]
pub struct Known {
    pub began: Option<Position>,
    marks: BTreeMap<Key, Told>,
    pub settings: settings::Known,
    pub relations: relations::Known,
    pub scheduled: scheduled::Known,
}

impl Known {
    /// As a client takes it: what is not greater is old, but for what counts as unread.
    pub fn take(&mut self, key: &Key, told: &Told) {
        let known = self.marks.entry(key.clone()).or_default();
        if told.read >= known.read {
            known.unread_from = told.unread_from;
        }
        known.read = known.read.max(told.read);
        known.delivered = known.delivered.max(told.delivered);
    }
}

impl Written {
    /// Where a user who hears of it was told last.
    fn told_to(&self, (_, whose): &Key, user: &UserId) -> Position {
        if whose == user { self.position } else { self.told_at }
    }
}

/// In some schedules one of the users has turned off read receipts.
pub fn turn_off(world: &World, batch: &mut Batch) {
    let Some(name) = USERS.get(world.below(3 * USERS.len() as u64) as usize) else { return };
    let (user, setting) = (user(name), Setting { receipts_off: true, ..Setting::default() });
    setting::put(batch, 0, (&user, &RoomId::direct(&user, &user)), &setting);
    world.check.lock().expect("check").marks.off.insert(user);
}

impl Marks {
    /// Others hear nothing of it.
    fn is_hidden(&self, (room, user): &Key) -> bool {
        let directs = room.direct_users().map(|(a, b)| [a, b]);
        self.off.contains(user) || directs.iter().flatten().any(|user| self.off.contains(user))
    }

    /// Takes in the marks that a commit writes.
    pub fn commits(
        &mut self,
        batch: &Batch,
        position: Position,
        snapshot: &dyn Snapshot,
        (entries, relations): (&Entries, &Relations),
    ) -> Judged<()> {
        for op in batch.ops() {
            let Op::SetPositioned { key, .. } = op else { continue };
            let Ok(at) = Mark::read_key(key) else { continue };
            let row = now(snapshot.get(key.clone())).ok_or("a mark that is not written")?;
            let (written_at, mark) = mark::decode(&row).map_err(|error| error.to_string())?;
            if written_at.with_order(0) != position.with_order(0) {
                return Err(format!("the mark of {} in {} has another place", at.1, at.0));
            }
            self.judge_step(&at, &mark, entries)?;
            let told_at = self.told_at(&at, written_at, &mark, (entries, relations))?;
            self.written.insert(at, Written { position: written_at, told_at, mark });
        }
        Ok(())
    }

    fn judge_step(&self, (room, user): &Key, mark: &Mark, entries: &Entries) -> Judged<()> {
        let wrong = |what: &str| Err(format!("the mark of {user} in {room} {what}: {mark:?}"));
        let ordinal = |seq| match seq {
            0 => Some(0),
            seq => entries.get(&(room.clone(), seq)).map(|kept| kept.entry.ordinal),
        };
        let before = self.written.get(&(room.clone(), user.clone())).map(|it| &it.mark);
        if before.is_some_and(|it| mark.read < it.read || mark.delivered < it.delivered) {
            return wrong("goes back");
        }
        if ordinal(mark.read) != Some(mark.read_ordinal) {
            return wrong("counts what is not there");
        }
        let unread = mark.unread_from;
        if unread > mark.read || unread > 0 && ordinal(unread - 1) != Some(mark.unread_ordinal) {
            return wrong("has unread what is not there");
        }
        Ok(())
    }

    /// Where the other user of a direct room is told of a mark that is written: there, where it says something new to
    /// them, and only then.
    fn told_at(
        &self,
        key: &Key,
        written_at: Position,
        mark: &Mark,
        (entries, relations): (&Entries, &Relations),
    ) -> Judged<Position> {
        let (room, user) = key;
        if room.direct_users().is_none_or(|(a, b)| a == b) {
            return Ok(written_at);
        }
        let told_at = mark.told_at(written_at);
        let see = |mark: &Mark| (mark.read, mark.delivered.max(mark.read));
        let nothing = Mark::default();
        let before = self.written.get(key);
        let (last, before) = before.map_or((Position::MIN, &nothing), |it| (it.told_at, &it.mark));
        match relations.blocks_in(room) {
            Some(true) if told_at != last => {
                return Err(format!(
                    "others hear of {user} in {room}, though one blocks the other"
                ));
            }
            Some(false) => {}
            // It may have come before that or after it.
            Some(true) | None => return Ok(told_at),
        }
        if self.is_hidden(key) && told_at != Position::MIN {
            return Err(format!("others hear of {user} in {room}, though one has turned that off"));
        }
        if told_at == written_at && see(mark) == see(before) {
            return Err(format!("others hear what {user} has unread in {room}"));
        }
        // They see what the user has sent meanwhile.
        let seen = see(&before.clone().with_sent(sent(entries, key)));
        let is_seen = see(mark).0 <= seen.0 && see(mark).1 <= seen.1 || self.is_hidden(key);
        if told_at != written_at && !(is_seen && told_at == last) {
            return Err(format!("others do not hear of the mark of {user} in {room}"));
        }
        Ok(told_at)
    }

    /// What holds: with what the user has sent.
    fn held(&self, key: &Key, entries: &Entries) -> Mark {
        let mark = self.written.get(key).map(|it| it.mark.clone()).unwrap_or_default();
        mark.with_sent(sent(entries, key))
    }

    /// A mark is answered: it is kept.
    pub fn answered(&self, key: &Key, wanted: &Wanted, entries: &Entries) -> Judged<()> {
        let held = self.held(key, entries);
        let read = wanted.read.unwrap_or(0);
        let delivered = wanted.delivered.unwrap_or(0);
        if held.read < read || held.delivered.max(held.read) < delivered {
            return Err(format!("{} hears that {wanted:?} is done; it is lost: {held:?}", key.1));
        }
        Ok(())
    }

    /// A user's device hears nothing that is not so, and nothing that is hidden.
    pub fn shows(&self, user: &UserId, key: &Key, told: &Told, entries: &Entries) -> Judged<()> {
        let held = self.held(key, entries);
        if *user != key.1 && (self.is_hidden(key) || self.off.contains(user)) {
            return Err(format!(
                "{user} hears of {} in {}, though one has turned that off",
                key.1, key.0
            ));
        }
        if told.read > held.read || told.delivered > held.delivered.max(held.read) {
            return Err(format!("{} in {} is said to have read what is not so", key.1, key.0));
        }
        Ok(())
    }

    /// A user's device knows all marks that it hears of and that moved up to there: those that move again later are
    /// told later.
    pub fn judge_known(
        &self,
        user: &UserId,
        known: &Known,
        up_to: Position,
        (entries, relations): (&Entries, &Relations),
    ) -> Judged<()> {
        let Some(began) = known.began else { return Ok(()) };
        for (key, written @ Written { mark, .. }) in &self.written {
            let position = written.told_to(key, user);
            if position <= began || position > up_to || !hears(key).contains(user) {
                continue;
            }
            let mut told = known.marks.get(key).cloned().unwrap_or_default();
            let is_own = key.1 == *user;
            // What was said while one blocked the other is told with the next one.
            if !is_own && relations.may_have_blocked_in(&key.0) {
                continue;
            }
            if !is_own {
                // Who sees an entry knows that its sender has read up to it.
                let read = sent(entries, key).map_or(0, |sent| sent.seq);
                (told.read, told.delivered) = (told.read.max(read), told.delivered.max(read));
            }
            let is_direct = key.0.kind() == RoomKind::Direct;
            let has_unread = !is_own
                || told.read > mark.read
                || mark.unread_from == told.unread_from.unwrap_or(0);
            if told.read < mark.read || is_direct && told.delivered < mark.delivered || !has_unread
            {
                let (room, whose) = key;
                return Err(format!(
                    "a device of {user} never hears of the mark of {whose} in {room}"
                ));
            }
        }
        Ok(())
    }

    /// The store's rows, when all is quiet.
    pub fn judge(&self, snapshot: &dyn Snapshot, entries: &Entries) -> Judged<()> {
        let rows: BTreeMap<Key, Mark> = all::<Mark>(snapshot).into_iter().collect();
        if !rows.iter().eq(self.written.iter().map(|(key, it)| (key, &it.mark))) {
            return Err(format!("the marks are {rows:?}"));
        }
        let mut wanted = BTreeMap::new();
        for Kept { entry, .. } in entries.values() {
            for user in reads(entry) {
                let row = Sent { seq: entry.seq, ordinal: entry.ordinal };
                wanted.insert((entry.room.clone(), user.clone()), row);
            }
        }
        let sent: BTreeMap<Key, Sent> = all::<Sent>(snapshot).into_iter().collect();
        if sent != wanted {
            return Err(format!("what was read by sending is {sent:?}, not {wanted:?}"));
        }
        Ok(())
    }

    /// What syncs have to tell.
    pub fn changes(&self, changes: &mut Changes) {
        for (key, written) in &self.written {
            for user in hears(key) {
                let position = written.told_to(key, &user);
                let rows = changes.entry(user).or_default();
                if position > Position::MIN {
                    rows.insert(position, Changed::Mark(key.0.clone(), key.1.clone()));
                }
            }
        }
    }
}

/// Each change is told once, in its newest place.
pub fn judge_changes(snapshot: &dyn Snapshot, changes: Changes) -> Judged<()> {
    for (user, wanted) in changes {
        let range = change::range(&user, Position::MIN, Position::MAX);
        let rows = now(snapshot.scan(range, usize::MAX, false));
        let rows = rows.iter().map(|(key, value)| change::decode(key, value));
        let rows = rows.collect::<Result<BTreeMap<_, _>, _>>();
        let rows = rows.map_err(|error| error.to_string())?;
        if rows != wanted {
            return Err(format!(
                "what has changed for {user} is not told once: {rows:?}, not {wanted:?}"
            ));
        }
    }
    Ok(())
}

/// Whose devices hear of it.
fn hears((room, user): &Key) -> Vec<UserId> {
    match room.direct_users() {
        Some((a, b)) => vec![a, b],
        None => vec![user.clone()],
    }
}

/// Who has read an entry because it is their own, or because they join by it.
fn reads(entry: &Entry) -> Vec<&UserId> {
    match &entry.body {
        Body::Text(_) | Body::Remove(_) | Body::Leave(_) => vec![&entry.from],
        Body::Create(Create { members, .. }) => members.iter().chain([&entry.from]).collect(),
        Body::Add(Add { user, .. }) => vec![&entry.from, user],
        _ => Vec::new(),
    }
}

fn sent(entries: &Entries, (room, user): &Key) -> Option<Sent> {
    let of_room = entries.range((room.clone(), 0)..=(room.clone(), u64::MAX));
    let mut own = of_room.rev().filter(|(_, kept)| reads(&kept.entry).contains(&user));
    own.next().map(|(_, kept)| Sent { seq: kept.entry.seq, ordinal: kept.entry.ordinal })
}

/// A mark of an entry that [`aim_mark`] finds.
pub fn any_mark(world: &World) -> Body {
    let wanted = match world.below(8) {
        0..4 => Wanted { read: Some(0), ..Wanted::default() },
        4..6 => Wanted { delivered: Some(0), ..Wanted::default() },
        6 => Wanted { read: Some(0), delivered: Some(0), ..Wanted::default() },
        _ => Wanted { unread_from: Some(0), ..Wanted::default() },
    };
    Body::Mark(wanted)
}

/// A mark gets its entry as it is sent: one of the room's newest, or one that is planned at best.
pub fn aim_mark(world: &World, wish: &mut Wish) {
    let Some(Body::Mark(wanted)) = wish.body.as_mut() else { return };
    let check = world.check.lock().expect("check");
    let of_room = check.entries.range((wish.room.clone(), 0)..=(wish.room.clone(), u64::MAX));
    let newest = of_room.last().map_or(0, |((_, seq), _)| *seq);
    drop(check);
    let some = || (newest + 2).saturating_sub(world.below(4)).max(1);
    for seq in [&mut wanted.read, &mut wanted.delivered, &mut wanted.unread_from] {
        *seq = seq.map(|_| some());
    }
}
