//! A user's rooms, those with the newest entries first, page by page.
//!
//! A page reads the heads of all the user's large groups; and of the others, those of its own rooms and of
//! the rooms whose newest entry was taken in the same hours. So it costs the same however many rooms there
//! are beside these, and however much is in them.

use std::cmp::Reverse;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use prost::Message as _;
use tracing::error;
use weft_proto::{ErrorCode, RoomId, UserId, svc};
use weft_storage::tables::activity::{self, ActivityBucket};
use weft_storage::tables::head::{self, Head};
use weft_storage::tables::setting;
use weft_storage::tables::user_room;
use weft_storage::{Error, Snapshot};

use super::super::Context;
use super::super::failure::Failure;
use super::hidden::HiddenRooms;
use super::summary::{Reader, Summary};
use super::{broken, keeps_lists, rooms_of_scope};
use crate::settings;

/// Rows read at once, at the most: small ones, and a head for each. As a rule a page needs one for each of its
/// rooms, and a few to see that the last of these has come.
const ROWS_PER_READ: usize = 256;
const ROWS_BEYOND: usize = 16;
/// Rooms of a page whose rows are read side by side. An entry may have 400 kB.
const ROOMS_AT_ONCE: usize = 16;

/// A place in the list. As text it is a page's cursor.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Place {
    time_ms: Reverse<u64>,
    room: RoomId,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.time_ms.0, self.room)
    }
}

impl FromStr for Place {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let parse = || {
            let (time_ms, room) = text.split_once(':')?;
            Some(Self { time_ms: Reverse(time_ms.parse().ok()?), room: RoomId::new(room).ok()? })
        };
        let message = "the field after is the cursor of a page of rooms";
        parse().ok_or_else(|| Failure::new(ErrorCode::BadCursor, message))
    }
}

impl Context {
    /// The caller's rooms by the time of their newest entries.
    ///
    /// # Errors
    /// [`ErrorCode::BadCursor`], those of the token, or the store's.
    pub async fn list(&self, request: svc::ListRooms) -> Result<svc::Rooms, Failure> {
        let snapshot = self.store.snapshot().await?;
        let snapshot = &*snapshot;
        let caller = self.caller(snapshot, &request).await?;
        let scoped = rooms_of_scope(snapshot, &caller).await?;
        let user = caller.user;
        let after = match &*request.after {
            "" => None,
            after => Some(after.parse()?),
        };
        let limit = match request.limit as usize {
            0 => self.limits.rooms_max,
            asked => asked.min(self.limits.rooms_max),
        };
        let rows_per_read = (limit + ROWS_BEYOND).min(ROWS_PER_READ);
        let hidden = HiddenRooms::of(snapshot, &user).await?;
        let found = Vec::new();
        let mut search =
            Search { snapshot, user: &user, hidden, after, limit, rows_per_read, found };
        let keeps_lists = keeps_lists(snapshot).await?;
        if let Some(rooms) = scoped {
            search.these(rooms, request.hidden).await?;
        } else if request.hidden {
            search.hidden().await?;
        } else if keeps_lists {
            search.newest().await?;
        } else {
            search.all().await?;
        }
        let mut found = search.found;
        let mut more = found.len() > limit;
        found.truncate(limit);
        let own = snapshot.get(setting::of_user(&user)).await?;
        let receipts_off = setting::hides_receipts(&user, own.as_deref());
        let now_ms = self.clock.now_ms();
        let reader = &Reader { snapshot, user: &user, keeps_lists, receipts_off, now_ms };
        let read = |(place, head): (Place, Head)| async move {
            match reader.of((&place.room, head)).await {
                // One damaged room does not cost a user the list of all.
                Err(Error::Corrupt(what)) => {
                    error!(room = %place.room, what, "a room of a list can't be read");
                    Ok((place, None))
                }
                read => read.map(|summary| (place, summary)),
            }
        };
        let reads: Vec<BoxFuture<'_, _>> = found.into_iter().map(|it| read(it).boxed()).collect();
        let mut reads = stream::iter(reads).buffered(ROOMS_AT_ONCE);
        let setting = of_all_rooms(&user, own.as_deref());
        let mut page = svc::Rooms { receipts_off, setting, ..svc::Rooms::default() };
        let mut bytes = 0;
        while let Some((place, summary)) = reads.try_next().await? {
            page.cursor = place.to_string();
            if let Some(Summary { room, read_bytes }) = summary {
                bytes += room.encoded_len() + read_bytes;
                page.rooms.push(room);
            }
            if bytes >= self.limits.page.bytes_max {
                more |= reads.next().await.is_some();
                break;
            }
        }
        Ok(svc::Rooms { more, ..page })
    }
}

/// The frame of what the user has set for all rooms; empty: that can't be read.
fn of_all_rooms(user: &UserId, row: Option<&[u8]>) -> Bytes {
    let setting = row.map(setting::decode).transpose().map(|row| row.unwrap_or_default().1);
    let notebook = RoomId::direct(user, user);
    setting.map(|setting| settings::frame(&notebook, &setting)).unwrap_or_default()
}

/// A search for the rooms of a page.
struct Search<'a> {
    snapshot: &'a dyn Snapshot,
    user: &'a UserId,
    hidden: HiddenRooms,
    /// Rooms from there on alone.
    after: Option<Place>,
    limit: usize,
    rows_per_read: usize,
    /// The first `limit` ones and one more of those that were looked at, in their order.
    found: Vec<(Place, Head)>,
}

impl Search<'_> {
    /// Finds the first rooms by the rows that are in their order.
    async fn newest(&mut self) -> Result<(), Error> {
        let user = self.user;
        let mut range = activity::range(user, ActivityBucket::LARGE, ActivityBucket::LARGE);
        while let Some(key) = self.next_of(&range).await? {
            range = activity::after(&range, &key);
        }
        let first = self.after.as_ref().map(|place| ActivityBucket::at(place.time_ms.0));
        let mut range = activity::range_from(user, first.unwrap_or(ActivityBucket::NEWEST));
        while let Some(key) = self.next_of(&range).await? {
            range = activity::after(&range, &key);
            // More of the last bucket may come: nothing is known yet of who is the first there.
            let (open, _) = activity::read_key(&key)?;
            let is_known = |(place, _): &&(Place, Head)| ActivityBucket::at(place.time_ms.0) < open;
            if self.found.iter().filter(is_known).count() > self.limit {
                break;
            }
        }
        Ok(())
    }

    /// Takes the first rows of a range; the last one's key.
    async fn next_of(&mut self, range: &Range<Bytes>) -> Result<Option<Bytes>, Error> {
        let rows = self.snapshot.scan(range.clone(), self.rows_per_read, false).await?;
        let read = |(key, _): &(Bytes, Bytes)| activity::read_key(key);
        let rooms = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let (buckets, rooms): (Vec<_>, Vec<_>) = rooms.into_iter().unzip();
        let heads = self.with_heads(rooms).await?.into_iter().zip(buckets);
        let is_there = |head: &Head, bucket| ActivityBucket::of(head) == bucket;
        let there = heads.filter_map(|((room, head), bucket)| {
            Some((room, head.filter(|head| is_there(head, bucket))?))
        });
        self.add(there.collect(), false).await?;
        Ok(rows.into_iter().next_back().map(|(key, _)| key))
    }

    /// Looks at all rooms of the user, in a store that does not keep them in order yet.
    async fn all(&mut self) -> Result<(), Error> {
        let user = self.user;
        let mut last = None;
        loop {
            let range = user_room::range_after(user, last.as_ref());
            let (rooms, more) = super::room_page(self.snapshot, range, ROWS_PER_READ).await?;
            last = rooms.last().cloned();
            let heads = self.with_heads(rooms).await?.into_iter();
            self.add(heads.filter_map(|(room, head)| Some((room, head?))).collect(), false).await?;
            if !more {
                return Ok(());
            }
        }
    }

    /// Finds the rooms that the user has hidden. A direct room may have no entry yet.
    async fn hidden(&mut self) -> Result<(), Error> {
        let rooms: Vec<RoomId> = self.hidden.rooms().cloned().collect();
        for some in rooms.chunks(ROWS_PER_READ) {
            let keys = some.iter().map(|room| user_room::key(self.user, room)).collect();
            let there = some.iter().zip(self.snapshot.get_many(keys).await?);
            let there = there.filter_map(|(room, row)| row.map(|_| room.clone())).collect();
            self.these(there, true).await?;
        }
        Ok(())
    }

    /// Looks at rooms of the user.
    async fn these(&mut self, rooms: Vec<RoomId>, hidden: bool) -> Result<(), Error> {
        let heads = self.with_heads(rooms).await?.into_iter();
        self.add(heads.filter_map(|(room, head)| Some((room, head?))).collect(), hidden).await
    }

    async fn with_heads(&self, rooms: Vec<RoomId>) -> Result<Vec<(RoomId, Option<Head>)>, Error> {
        let rows = self.snapshot.get_many(rooms.iter().map(head::key).collect()).await?;
        let read = |(room, row): (RoomId, Option<Bytes>)| {
            let head = row.ok_or_else(|| broken(&room)).and_then(|row| head::decode(&row));
            let head = head.map(|(_, head)| head).inspect_err(|error| {
                error!(%room, %error, "a room of a list can't be read");
            });
            (room, head.ok())
        };
        Ok(rooms.into_iter().zip(rows).map(read).collect())
    }

    /// Takes in those of the rooms that are hidden, or those that are not.
    async fn add(&mut self, rooms: Vec<(RoomId, Head)>, hidden: bool) -> Result<(), Error> {
        let are_hidden = self.hidden.are_hidden(self.snapshot, self.user, &rooms).await?;
        let after = self.after.as_ref();
        let rooms = rooms.into_iter().zip(are_hidden).filter(|(_, is)| *is == hidden);
        let place = |room, head: &Head| Place { time_ms: Reverse(head.time_ms), room };
        let rooms = rooms.map(|((room, head), _)| (place(room, &head), head));
        self.found.extend(rooms.filter(|(place, _)| after.is_none_or(|after| place > after)));
        // A user may have any number of rooms that were active within an hour.
        self.found.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        self.found.truncate(self.limit + 1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{World, text, user};
    use super::*;

    #[tokio::test]
    async fn a_page_holds_no_more_than_its_own_rooms_however_many_were_active_with_them() {
        let mut world = World::new().await;
        for n in 0..30 {
            world.one(&format!("alice~u{n}"), "alice", text("x")).await;
        }
        let snapshot = world.store.snapshot().await.expect("snapshot");
        let (snapshot, found, user) = (&*snapshot, Vec::new(), &user("alice"));
        let hidden = HiddenRooms::of(snapshot, user).await.expect("read");
        let (after, limit, rows_per_read) = (None, 2, 3);
        let mut search = Search { snapshot, user, hidden, after, limit, rows_per_read, found };
        search.newest().await.expect("found");
        assert_eq!(search.found.len(), 3);
    }
}
