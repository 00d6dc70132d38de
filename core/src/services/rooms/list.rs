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
use weft_storage::tables::setting::receipts_off;
use weft_storage::tables::user_room;
use weft_storage::{Error, Snapshot};

use super::super::Context;
use super::super::failure::Failure;
use super::summary::{Reader, Summary};
use super::{broken, keeps_lists};

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
        let user = self.caller(snapshot, &request.token).await?.user;
        let after = match &*request.after {
            "" => None,
            after => Some(after.parse()?),
        };
        let limit = match request.limit as usize {
            0 => self.limits.rooms_max,
            asked => asked.min(self.limits.rooms_max),
        };
        let rows_per_read = (limit + ROWS_BEYOND).min(ROWS_PER_READ);
        let mut search = Search { snapshot, after, limit, rows_per_read, found: Vec::new() };
        let keeps_lists = keeps_lists(snapshot).await?;
        if keeps_lists {
            search.newest(&user).await?;
        } else {
            search.all(&user).await?;
        }
        let mut found = search.found;
        let mut more = found.len() > limit;
        found.truncate(limit);
        let receipts_off = !receipts_off(snapshot, [&user]).await?.is_empty();
        let reader = &Reader { snapshot, user: &user, keeps_lists, receipts_off };
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
        let (mut page, mut bytes) = (svc::Rooms { receipts_off, ..svc::Rooms::default() }, 0);
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

/// A search for the rooms of a page.
struct Search<'a> {
    snapshot: &'a dyn Snapshot,
    /// Rooms from there on alone.
    after: Option<Place>,
    limit: usize,
    rows_per_read: usize,
    /// The first `limit` ones and one more of those that were looked at, in their order.
    found: Vec<(Place, Head)>,
}

impl Search<'_> {
    /// Finds the first rooms by the rows that are in their order.
    async fn newest(&mut self, user: &UserId) -> Result<(), Error> {
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
        self.add(there.collect());
        Ok(rows.into_iter().next_back().map(|(key, _)| key))
    }

    /// Looks at all rooms of the user, in a store that does not keep them in order yet.
    async fn all(&mut self, user: &UserId) -> Result<(), Error> {
        let mut last = None;
        loop {
            let range = user_room::range_after(user, last.as_ref());
            let (rooms, more) = super::room_page(self.snapshot, range, ROWS_PER_READ).await?;
            last = rooms.last().cloned();
            let heads = self.with_heads(rooms).await?.into_iter();
            self.add(heads.filter_map(|(room, head)| Some((room, head?))).collect());
            if !more {
                return Ok(());
            }
        }
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

    fn add(&mut self, rooms: Vec<(RoomId, Head)>) {
        let after = self.after.as_ref();
        let place = |room, head: &Head| Place { time_ms: Reverse(head.time_ms), room };
        let rooms = rooms.into_iter().map(|(room, head)| (place(room, &head), head));
        self.found.extend(rooms.filter(|(place, _)| after.is_none_or(|after| place > after)));
        // A user may have any number of rooms that were active within an hour.
        self.found.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        self.found.truncate(self.limit + 1);
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
        let (snapshot, found) = (&*snapshot, Vec::new());
        let mut search = Search { snapshot, after: None, limit: 2, rows_per_read: 3, found };
        search.newest(&user("alice")).await.expect("found");
        assert_eq!(search.found.len(), 3);
    }
}
