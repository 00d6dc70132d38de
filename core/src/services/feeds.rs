//! What `weft integrations` has to know to make the feeds of bots: which bots were members when an entry was written, and the entry as
//! it is now. And in which form a bot has its feed.
//!
//! Which bots are in a group, rows of it say that follow from the journal (`storage/src/tables/room_bot.rs`): so an entry costs its bots, and
//! not its room's members, and nobody's message waits for such a row. When each of them was a member, its own row says, which is written with
//! the entries.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tracing::error;
use weft_proto::kind::PEOPLE_LEVEL;
use weft_proto::svc::Spoken;
use weft_proto::{ErrorCode, RoomId, UserId, svc};
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::bot::{self as bot_row, Bot as BotRow};
use weft_storage::tables::feed::{self, Feed};
use weft_storage::tables::log::{self, Logged};
use weft_storage::tables::member::{self, Member};
use weft_storage::tables::{room_bot, user_room};
use weft_storage::{Batch, Error, Outcome, Snapshot};

use super::accounts::ATTEMPTS_MAX;
use super::failure::Failure;
use super::rooms::has_level;
use super::{Caller, Context};

/// Bots of a room that are looked at: far more than anybody wants, and fewer than a group may have members.
const BOTS_MAX: usize = 10_000;
/// Rooms that are looked at at once, and entries.
const ROOMS_AT_ONCE: usize = 32;
const ENTRIES_AT_ONCE: usize = 4;
/// Targets after which a page takes no further entry: with the ids 1 MB.
const TARGETS_MAX: usize = 10_000;
/// Accounts of a page, and groups of one bot.
const ACCOUNTS_AT_ONCE: usize = 1_000;
const GROUPS_AT_ONCE: usize = 1_000;
/// Bots of a list.
const FEEDS_AT_ONCE: usize = 1_000;

/// From the entry by which a bot joined to the one by which it left.
type Membership = (u64, u64);
/// By room: its bots.
type Bots = BTreeMap<RoomId, Vec<Bot>>;

struct Bot {
    id: UserId,
    memberships: Vec<Membership>,
    cloudevents: bool,
}

impl Bot {
    /// What its feed has of an entry; `None`: nothing.
    fn of_entry(&self, seq: u64) -> Option<svc::FeedBot> {
        let (since, _) =
            self.memberships.iter().find(|(since, until)| (*since..=*until).contains(&seq))?;
        let before = if seq > *since { seq - 1 } else { 0 };
        Some(svc::FeedBot { bot: self.id.to_string(), before, cloudevents: self.cloudevents })
    }
}

impl Context {
    /// Entries as bots are to have them.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`], [`ErrorCode::UnknownType`] below the level, or the store's.
    pub async fn feeds_read(&self, request: svc::ReadFeeds) -> Result<svc::FeedEntries, Failure> {
        let mut snapshot = self.store.snapshot().await?;
        refuse_below_level(&*snapshot).await?;
        if self.note_joining(&*snapshot, &request.places).await? {
            snapshot = self.store.snapshot().await?;
        }
        let mut rooms: BTreeMap<RoomId, u64> = BTreeMap::new();
        for place in &request.places {
            rooms.entry(RoomId::new(&place.room)?).or_insert(place.seq);
        }
        let bots = self.bots_of(&*snapshot, rooms).await?;
        let mut page = svc::FeedEntries::default();
        let (mut wanted, mut targets) = (Vec::new(), 0);
        for (number, place) in request.places.iter().enumerate() {
            let room = RoomId::new(&place.room)?;
            let of_room = bots.get(&room).map_or(&[][..], Vec::as_slice);
            let to: Vec<_> = of_room.iter().filter_map(|bot| bot.of_entry(place.seq)).collect();
            targets += to.len();
            if targets > TARGETS_MAX && !wanted.is_empty() {
                break;
            }
            if !to.is_empty() {
                wanted.push((number, room, place.seq, to));
            }
            page.done = u32::try_from(number + 1).unwrap_or(u32::MAX);
        }
        let read = stream::iter(wanted.into_iter().map(|(number, room, seq, bots)| {
            let snapshot = &*snapshot;
            async move { Ok::<_, Error>((number, entry(snapshot, &room, seq, bots).await?)) }
        }));
        let mut read = std::pin::pin!(read.buffered(ENTRIES_AT_ONCE));
        let mut bytes = 0;
        while let Some((number, entry)) = read.try_next().await? {
            let Some(entry) = entry else { continue };
            bytes += entry.frame.len();
            page.entries.push(entry);
            if bytes >= self.limits.page.bytes_max {
                page.done = u32::try_from(number + 1).unwrap_or(u32::MAX);
                break;
            }
        }
        Ok(page)
    }

    /// Writes which bots join by entries; true: there was something to write.
    async fn note_joining(
        &self,
        snapshot: &dyn Snapshot,
        places: &[svc::FeedPlace],
    ) -> Result<bool, Failure> {
        let joins = places.iter().flat_map(|place| &place.joins);
        let users = joins.map(|user| UserId::new(user)).collect::<Result<BTreeSet<_>, _>>()?;
        let bots = bots_among(snapshot, users).await?;
        if bots.is_empty() {
            return Ok(false);
        }
        let mut batch = Batch::new(rand::random());
        for place in places {
            let room = RoomId::new(&place.room)?;
            for bot in place.joins.iter().filter_map(|user| bots.get(user.as_str())) {
                batch.set(room_bot::key(&room, bot), bytes::Bytes::new());
            }
        }
        make_feeds(&mut batch, snapshot, bots.into_iter()).await?;
        self.write(batch).await?;
        Ok(true)
    }

    /// The bots of rooms. Of each room with the first seq that is asked for: who left it before that, and is no member, is none of its bots any
    /// more.
    async fn bots_of(
        &self,
        snapshot: &dyn Snapshot,
        rooms: BTreeMap<RoomId, u64>,
    ) -> Result<Bots, Failure> {
        let mut found: Bots = BTreeMap::new();
        let mut groups = Vec::new();
        let mut direct: BTreeMap<RoomId, (UserId, UserId)> = BTreeMap::new();
        for (room, first) in rooms {
            match room.direct_users() {
                Some(both) => {
                    direct.insert(room, both);
                }
                None => groups.push((room, first)),
            }
        }
        let users = direct.values().flat_map(|(low, high)| [low.clone(), high.clone()]);
        let bots = bots_among(snapshot, users.collect()).await?;
        for (room, (low, high)) in direct {
            let both = BTreeSet::from([low, high]);
            let of_room = both.intersection(&bots).cloned();
            let of_room = of_room.map(|id| (id, vec![(1, u64::MAX)]));
            found.insert(room, of_room.map(|(id, memberships)| bot(id, memberships)).collect());
        }
        let of_groups = stream::iter(groups.into_iter().map(|(room, first)| async move {
            let (bots, left) = members_of(snapshot, &room, first).await?;
            Ok::<_, Error>((room, bots, left))
        }));
        let of_groups: Vec<_> = of_groups.buffered(ROOMS_AT_ONCE).try_collect().await?;
        let mut batch = Batch::new(rand::random());
        for (room, bots, left) in of_groups {
            for (id, row) in left {
                // One that comes back meanwhile stays.
                batch.guard(member::key(&room, &id), row);
                batch.clear(room_bot::key(&room, &id));
            }
            found.insert(room, bots);
        }
        let ids = found.values().flatten().map(|bot| bot.id.clone()).collect::<BTreeSet<_>>();
        let rows = snapshot.get_many(ids.iter().map(feed::key).collect()).await?;
        let rows = ids.iter().cloned().zip(rows).collect::<BTreeMap<_, _>>();
        make_feeds(&mut batch, snapshot, bots.into_iter()).await?;
        self.write_some(batch).await?;
        for bot in found.values_mut().flatten() {
            let row = rows.get(&bot.id).cloned().flatten();
            bot.cloudevents =
                row.as_deref().map(Feed::decode).transpose()?.is_some_and(|it| it.cloudevents);
        }
        Ok(found)
    }

    /// Which bots have feeds. Those of deleted accounts end here.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`], or the store's.
    pub async fn feeds_list(&self, request: svc::ListFeeds) -> Result<svc::Feeds, Failure> {
        let after = match &*request.after {
            "" => None,
            after => Some(UserId::new(after)?),
        };
        let snapshot = self.store.snapshot().await?;
        let range = feed::range_after(after.as_ref());
        let rows = snapshot.scan(range, FEEDS_AT_ONCE, false).await?;
        let more = rows.len() == FEEDS_AT_ONCE;
        let ids = rows.iter().map(|(key, _)| feed::bot(key)).collect::<Result<Vec<_>, _>>()?;
        let last = ids.last().map(ToString::to_string).unwrap_or_default();
        let bots = bots_among(&*snapshot, ids.iter().cloned().collect()).await?;
        let (mut batch, mut ended) = (Batch::new(rand::random()), Vec::new());
        for id in ids.iter().filter(|id| !bots.contains(*id)) {
            batch.clear(feed::key(id));
            ended.push(id.to_string());
        }
        self.write_some(batch).await?;
        let bots = bots.iter().map(ToString::to_string).collect();
        Ok(svc::Feeds { bots, after: if more { last } else { String::new() }, ended })
    }

    /// Finds bots among accounts, and writes in which groups they are.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`], [`ErrorCode::UnknownType`] below the level, or the store's.
    pub async fn feeds_find(&self, request: svc::FindBots) -> Result<svc::FoundBots, Failure> {
        let snapshot = self.store.snapshot().await?;
        refuse_below_level(&*snapshot).await?;
        if !request.room.is_empty() {
            let (bot, after) = (UserId::new(&request.after)?, RoomId::new(&request.room)?);
            let mut batch = Batch::new(rand::random());
            let (_, room) = note_groups(&mut batch, &*snapshot, &bot, Some(&after)).await?;
            self.write_some(batch).await?;
            return Ok(svc::FoundBots { after: request.after, room });
        }
        let after = match &*request.after {
            "" => None,
            after => Some(UserId::new(after)?),
        };
        let page = account::page_after(&*snapshot, after.as_ref(), ACCOUNTS_AT_ONCE).await?;
        // One commit for many bots: each is synced.
        let (mut batch, mut groups) = (Batch::new(rand::random()), 0);
        for (user, account) in &page {
            if account.is_bot && !account.is_deleted() {
                let (count, room) = note_groups(&mut batch, &*snapshot, user, None).await?;
                groups += count;
                if groups >= GROUPS_AT_ONCE {
                    self.write_some(batch).await?;
                    return Ok(svc::FoundBots { after: user.to_string(), room });
                }
            }
        }
        self.write_some(batch).await?;
        let is_last = page.len() < ACCOUNTS_AT_ONCE;
        let last = page.last().filter(|_| !is_last).map(|(user, _)| user.to_string());
        Ok(svc::FoundBots { after: last.unwrap_or_default(), room: String::new() })
    }

    /// In which form a bot has its feed.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`], [`ErrorCode::NotFound`] where it is not the caller's, those of the token, or the store's.
    pub async fn feed_get(&self, request: svc::GetFeed) -> Result<svc::Feed, Failure> {
        let snapshot = self.store.snapshot().await?;
        let bot = self.own_bot(&*snapshot, &request, &request.bot).await?;
        let row = snapshot.get(feed::key(&bot)).await?;
        let row = row.as_deref().map(Feed::decode).transpose()?.unwrap_or_default();
        Ok(svc::Feed { cloudevents: row.cloudevents })
    }

    /// Sets it.
    ///
    /// # Errors
    /// As [`feed_get`](Self::feed_get), and [`ErrorCode::UnknownType`] below the level.
    pub async fn feed_set(&self, request: svc::SetFeed) -> Result<svc::Empty, Failure> {
        let svc::Feed { cloudevents } = request.feed.clone().unwrap_or_default();
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.store.snapshot().await?;
            let bot = self.own_bot(&*snapshot, &request, &request.bot).await?;
            refuse_below_level(&*snapshot).await?;
            let before = snapshot.get(feed::key(&bot)).await?;
            let mut batch = Batch::new(rand::random());
            batch.guard(feed::key(&bot), before);
            batch.set(feed::key(&bot), Feed { cloudevents }.encode());
            if self.commit(batch).await? {
                return Ok(svc::Empty {});
            }
        }
        Err(Failure::contended())
    }

    /// A bot that is the caller, or the caller's.
    async fn own_bot(
        &self,
        snapshot: &dyn Snapshot,
        request: &impl Spoken,
        bot: &str,
    ) -> Result<UserId, Failure> {
        let Caller { user, .. } = self.caller(snapshot, request).await?;
        let bot = UserId::new(bot)?;
        let owned = snapshot.get(bot_row::key(&bot)).await?;
        let owned = owned.as_deref().map(BotRow::decode).transpose()?;
        let is_own = bot == user || owned.is_some_and(|row| row.owner == user.as_str());
        if is_own && !bots_among(snapshot, BTreeSet::from([bot.clone()])).await?.is_empty() {
            return Ok(bot);
        }
        Err(Failure::new(ErrorCode::NotFound, "no such bot, or it is not yours"))
    }

    /// The same, where there is something.
    async fn write_some(&self, batch: Batch) -> Result<(), Failure> {
        if batch.ops().is_empty() { Ok(()) } else { self.write(batch).await }
    }

    /// Commits what nobody decides by: where it fails, the same is asked again.
    async fn write(&self, batch: Batch) -> Result<(), Failure> {
        match self.store.commit(batch).await? {
            Outcome::Committed(_) => Ok(()),
            Outcome::Rejected { .. } => Err(Failure::contended()),
        }
    }
}

fn bot(id: UserId, memberships: Vec<Membership>) -> Bot {
    Bot { id, memberships, cloudevents: false }
}

async fn refuse_below_level(snapshot: &dyn Snapshot) -> Result<(), Failure> {
    if has_level(snapshot, PEOPLE_LEVEL).await? {
        return Ok(());
    }
    let message = "bots have feeds after `weft admin upgrade`";
    Err(Failure::new(ErrorCode::UnknownType, message))
}

/// Those of the users who are bots.
async fn bots_among(
    snapshot: &dyn Snapshot,
    users: BTreeSet<UserId>,
) -> Result<BTreeSet<UserId>, Error> {
    let rows = snapshot.get_many(users.iter().map(account::key).collect()).await?;
    let mut bots = BTreeSet::new();
    for (user, row) in users.into_iter().zip(rows) {
        let account = row.as_deref().map(Account::decode).transpose()?;
        if account.is_some_and(|it| it.is_bot && !it.is_deleted()) {
            bots.insert(user);
        }
    }
    Ok(bots)
}

/// Writes a page of the groups in which a bot is: how many, and after which one there are more.
async fn note_groups(
    batch: &mut Batch,
    snapshot: &dyn Snapshot,
    bot: &UserId,
    after: Option<&RoomId>,
) -> Result<(usize, String), Error> {
    let range = user_room::groups_after(bot, after);
    let rows = snapshot.scan(range, GROUPS_AT_ONCE, false).await?;
    let rooms = rows.iter().map(|(key, _)| user_room::room(key)).collect::<Result<Vec<_>, _>>()?;
    for room in &rooms {
        batch.set(room_bot::key(room, bot), bytes::Bytes::new());
    }
    make_feeds(batch, snapshot, std::iter::once(bot.clone())).await?;
    let last = rooms.last().filter(|_| rooms.len() == GROUPS_AT_ONCE);
    Ok((rooms.len(), last.map(ToString::to_string).unwrap_or_default()))
}

/// Gives bots their rows that have none.
async fn make_feeds(
    batch: &mut Batch,
    snapshot: &dyn Snapshot,
    bots: impl Iterator<Item = UserId>,
) -> Result<(), Error> {
    let keys: Vec<_> = bots.map(|bot| feed::key(&bot)).collect();
    let rows = snapshot.get_many(keys.clone()).await?;
    for (key, _) in keys.into_iter().zip(rows).filter(|(_, row)| row.is_none()) {
        batch.guard(key.clone(), None);
        batch.set(key, Feed::default().encode());
    }
    Ok(())
}

/// The row of a bot's membership, as it was read.
type Left = (UserId, Option<bytes::Bytes>);

/// The bots of a group, and those that have left it before a seq.
async fn members_of(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    first: u64,
) -> Result<(Vec<Bot>, Vec<Left>), Error> {
    let rows = snapshot.scan(room_bot::range(room), BOTS_MAX, false).await?;
    if rows.len() == BOTS_MAX {
        error!(%room, bots = BOTS_MAX, "a room has more bots than are looked at: the others, by id, get nothing of it");
    }
    let ids = rows.iter().map(|(key, _)| room_bot::bot(key)).collect::<Result<Vec<_>, _>>()?;
    let rows = snapshot.get_many(ids.iter().map(|id| member::key(room, id)).collect()).await?;
    let (mut bots, mut left) = (Vec::new(), Vec::new());
    for (id, row) in ids.into_iter().zip(rows) {
        let member = row.as_deref().map(Member::decode).transpose()?;
        match member {
            Some(member) if member.role().is_some() || member.until_seq >= first => {
                bots.push(bot(id, member.memberships().collect()));
            }
            _ => left.push((id, row)),
        }
    }
    Ok((bots, left))
}

/// `None`: it is not there any more, or can't be read.
async fn entry(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    seq: u64,
    bots: Vec<svc::FeedBot>,
) -> Result<Option<svc::FeedEntry>, Error> {
    let read = match log::get_many(snapshot, &[(room.clone(), seq)]).await {
        // One damaged entry keeps no bot from the others.
        Err(Error::Corrupt(what)) => {
            error!(%room, seq, what, "an entry can't be read: no bot has it");
            return Ok(None);
        }
        read => read?.pop().flatten(),
    };
    Ok(read.map(|Logged { entry, .. }| svc::FeedEntry {
        room: room.to_string(),
        seq,
        frame: entry.to_frame(),
        time_ms: entry.time_ms,
        kind: entry.body.kind().word.to_owned(),
        bots,
    }))
}

#[cfg(test)]
mod tests;
