//! What `weft push` has to know: which devices an entry may be of interest to, and, when one is about to be notified, what
//! holds of it at that moment. `weft push` decides; whoever was forgotten here is notified of nothing.

mod invited;

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tracing::error;
use weft_proto::notify::Notify;
use weft_proto::{Body, DeviceId, RoomId, UserId, svc};
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::head::{self, Head};
use weft_storage::tables::log::{self, Logged};
use weft_storage::tables::mark::{self, Mark};
use weft_storage::tables::member::{self, Member};
use weft_storage::tables::mention::EVERYONE;
use weft_storage::tables::message::{self, Message};
use weft_storage::tables::push_registration::PushRegistration;
use weft_storage::tables::setting::{self, Setting};
use weft_storage::tables::thread_follower::{self, ThreadFollower};
use weft_storage::tables::{reaction, thread, user_room};
use weft_storage::{Error, Snapshot};

use super::access::Access;
use super::failure::Failure;
use super::rooms::unread;
use super::{Context, push, relations};

/// A page with this many targets takes no further entry.
const TARGETS_MAX: usize = 1_000;
/// Members of a group that are looked at together.
const MEMBERS_AT_ONCE: usize = 500;
/// Users whose registrations are read at once.
const USERS_AT_ONCE: usize = 32;
/// Replies of a thread in a large group whose writers are taken to follow it.
const REPLIES_MAX: usize = 200;
/// Rooms of a user that the badge counts.
const BADGE_ROOMS_MAX: usize = 500;
/// Characters of a text that a notification shows.
const TEXT_CHARS_MAX: usize = 200;

impl Context {
    /// The devices that may have to be notified of entries.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`](weft_proto::ErrorCode::BadId), or the store's.
    pub async fn push_targets(
        &self,
        request: svc::ListPushTargets,
    ) -> Result<svc::PushTargets, Failure> {
        let snapshot = self.store.snapshot().await?;
        let mut page = svc::PushTargets::default();
        let mut after = request.after;
        for place in &request.places {
            let room = RoomId::new(&place.room)?;
            let found = match concerned(&*snapshot, &room, place.seq, &after).await {
                // One damaged entry keeps nobody from hearing of the others.
                Err(Error::Corrupt(what)) => {
                    error!(%room, seq = place.seq, what, "an entry can't be read: nobody is notified");
                    Concerned::default()
                }
                found => found?,
            };
            let targets = stream::iter(found.users.into_iter().map(|(user, first)| {
                let (snapshot, place) = (&*snapshot, place.clone());
                async move {
                    let devices = push::of_user(snapshot, &user).await?;
                    let target = move |(device, _): (DeviceId, PushRegistration)| svc::PushTarget {
                        room: place.room.clone(),
                        seq: place.seq,
                        user: user.to_string(),
                        device: device.to_string(),
                        first,
                        invited_ms: 0,
                    };
                    Ok::<_, Error>(devices.into_iter().map(target).collect::<Vec<_>>())
                }
            }));
            let targets: Vec<_> = targets.buffered(USERS_AT_ONCE).try_collect().await?;
            page.targets.extend(targets.into_iter().flatten());
            after = found.after;
            if !after.is_empty() {
                page.after = after;
                return Ok(page);
            }
            page.done += 1;
            if page.targets.len() >= TARGETS_MAX {
                return Ok(page);
            }
        }
        Ok(page)
    }

    /// What holds of a device, and of what it may have to be notified of, in one snapshot.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`](weft_proto::ErrorCode::BadId), or the store's.
    pub async fn push_look(&self, request: svc::LookAtPush) -> Result<svc::PushFacts, Failure> {
        let svc::PushTarget { room, seq, user, device, invited_ms, .. } =
            request.target.unwrap_or_default();
        let (room, user, device) =
            (RoomId::new(&room)?, UserId::new(&user)?, DeviceId::new(&device)?);
        let snapshot = self.store.snapshot().await?;
        let at = (user, device);
        let Some(registration) = push::of_device(&*snapshot, &at).await? else {
            return Ok(svc::PushFacts::default());
        };
        let user = at.0;
        let access = match invited_ms {
            0 => Access::of(&*snapshot, &room, &user).await,
            _ => {
                let facts = self.facts_of_invitation(&*snapshot, (&user, &room), invited_ms);
                return Ok(svc::PushFacts {
                    push: Some(push::with_keys(registration)),
                    ..facts.await?
                });
            }
        };
        let facts = match access {
            Ok(access) if access.role.is_some() && access.visible.contains(seq) => {
                self.facts(&*snapshot, (&room, &access), seq, &user).await
            }
            Ok(_) | Err(Failure::Refused(_)) => Ok(svc::PushFacts::default()),
            Err(failure) => return Err(failure),
        };
        let facts = match facts {
            Err(Error::Corrupt(what)) => {
                error!(%room, seq, what, "an entry can't be read: nobody is notified");
                svc::PushFacts::default()
            }
            facts => facts?,
        };
        Ok(svc::PushFacts { push: Some(push::with_keys(registration)), ..facts })
    }

    async fn facts(
        &self,
        snapshot: &dyn Snapshot,
        (room, access): (&RoomId, &Access),
        seq: u64,
        user: &UserId,
    ) -> Result<svc::PushFacts, Error> {
        let Some(told) = what(snapshot, room, seq, user).await? else {
            return Ok(svc::PushFacts::default());
        };
        let (of_room, of_user) = settings(snapshot, (user, room)).await?;
        let held = mark::held(snapshot, &[(room.clone(), user.clone())]).await?;
        let mark = held.into_iter().next().unwrap_or_default().mark;
        let follower = match told.facts.is_in_thread {
            true => thread_of(snapshot, room, (user, told.thread)).await?,
            false => None,
        };
        let is_direct = room.direct_users().is_some();
        let between = relations::between(snapshot, std::slice::from_ref(room)).await?;
        let is_request = between.first().is_some_and(|between| between.asked.contains(user));
        let from = &told.from;
        let blocked = relations::blocked(snapshot, user, [from]).await?;
        let read_thread = follower.as_ref().map_or(0, |row| row.read);
        Ok(svc::PushFacts {
            is_own: from == user,
            is_read: is_read(&mark, seq) || (told.facts.is_in_thread && read_thread >= seq),
            is_direct,
            is_request,
            is_blocked: !blocked.is_empty(),
            follows: follower.is_some_and(|row| row.follows),
            is_large: access.head.large,
            room_notify: of_room.notify,
            user_notify: of_user.notify,
            muted_until_ms: of_room.muted_until_ms,
            dnd: of_user.dnd,
            dnd_until_ms: of_user.dnd_until_ms,
            title: access.head.title.clone(),
            from: from.to_string(),
            from_name: display_name(snapshot, from).await?,
            badge: badge(snapshot, user, self.clock.now_ms()).await?,
            ..told.facts
        })
    }
}

/// How a user wants a room to be, and all of which they have said nothing.
async fn settings(
    snapshot: &dyn Snapshot,
    (user, room): (&UserId, &RoomId),
) -> Result<(Setting, Setting), Error> {
    let own = RoomId::direct(user, user);
    let wanted = [(user.clone(), room.clone()), (user.clone(), own)];
    let mut settings = setting::get_many(snapshot, &wanted).await?.into_iter();
    let mut setting = || settings.next().flatten().unwrap_or_default().1;
    Ok((setting(), setting()))
}

/// The id, where there is none.
async fn display_name(snapshot: &dyn Snapshot, user: &UserId) -> Result<String, Error> {
    let account = snapshot.get(account::key(user)).await?;
    let account = account.as_deref().map(Account::decode).transpose()?;
    let name = account.map(|it| it.display_name).filter(|name| !name.is_empty());
    Ok(name.unwrap_or_else(|| user.to_string()))
}

fn is_read(mark: &Mark, seq: u64) -> bool {
    mark.read >= seq && (mark.unread_from == 0 || mark.unread_from > seq)
}

/// To whom an entry may be of interest.
#[derive(Default)]
struct Concerned {
    /// With whether it goes first.
    users: Vec<(UserId, bool)>,
    /// There may be more after this user; empty: there are none.
    after: String,
}

/// Whom an entry may be of interest to, as it is now.
async fn concerned(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    seq: u64,
    after: &str,
) -> Result<Concerned, Error> {
    let Some(logged) = one(snapshot, room, seq).await? else { return Ok(Concerned::default()) };
    let from = logged.entry.from.clone();
    let only = |users: BTreeSet<UserId>| {
        let users = users.into_iter().filter(|user| *user != from);
        Concerned { users: users.map(|user| (user, true)).collect(), after: String::new() }
    };
    let target = match &logged.entry.body {
        Body::Add(add) => return Ok(only(BTreeSet::from([add.user.clone()]))),
        Body::React(react) => {
            let author = one(snapshot, room, react.target).await?;
            let author = author.filter(|it| it.entry.body.as_message().is_some());
            return Ok(only(author.map(|it| it.entry.from).into_iter().collect()));
        }
        Body::Edit(edit) => edit.target,
        body if body.as_message().is_some_and(|text| !text.extras().skip_push) => seq,
        _ => return Ok(Concerned::default()),
    };
    let mentioned = mentioned_by(snapshot, room, (target, seq)).await?;
    let is_everyone = mentioned.contains(EVERYONE);
    let named = mentioned.iter().filter_map(|name| UserId::new(name).ok());
    let mut named: BTreeSet<UserId> = named.collect();
    if let Some((low, high)) = room.direct_users() {
        let is_edit = target != seq;
        let both = [low, high].into_iter().filter(|user| !is_edit || named.contains(user));
        return Ok(only(both.collect()));
    }
    let Some(row) = snapshot.get(head::key(room)).await? else { return Ok(Concerned::default()) };
    let (_, head) = head::decode(&row)?;
    let is_for_all = is_everyone || (target == seq && !head.large);
    if !is_for_all {
        if let Some(root) = logged.entry.body.thread() {
            named.extend(writers_of(snapshot, room, root).await?);
        }
        return Ok(only(named));
    }
    let is_first = |user: &UserId| is_everyone || named.contains(user);
    let (members, after) = members_after(snapshot, room, after).await?;
    let users = members.into_iter().filter(|user| *user != from);
    Ok(Concerned { users: users.map(|user| (user.clone(), is_first(&user))).collect(), after })
}

/// Members of a group after a user, and after which one there may be more.
pub(super) async fn members_after(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    after: &str,
) -> Result<(Vec<UserId>, String), Error> {
    let rows = snapshot.scan(member::range_after(room, after), MEMBERS_AT_ONCE, false).await?;
    let is_last = rows.len() < MEMBERS_AT_ONCE;
    let (mut members, mut last) = (Vec::new(), String::new());
    for (key, row) in rows {
        let user = member::user(&key)?;
        last = user.to_string();
        if Member::decode(&row)?.role().is_some() {
            members.push(user);
        }
    }
    Ok((members, if is_last { String::new() } else { last }))
}

/// Who has begun a thread, and written in it lately: who follows it, as far as that can be known without asking all members.
async fn writers_of(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    root: u64,
) -> Result<BTreeSet<UserId>, Error> {
    let mut users = BTreeSet::new();
    users.extend(one(snapshot, room, root).await?.map(|it| it.entry.from));
    let newest = (REPLIES_MAX, true);
    for (_, reply) in thread::replies(snapshot, (room, root), 0..u64::MAX, newest).await? {
        users.extend(UserId::new(&reply.from).ok());
    }
    Ok(users)
}

/// Whom a message mentions by the entry at a seq: itself, or an edit. Names of users, and [`EVERYONE`].
pub(super) async fn mentioned_by(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    (target, seq): (u64, u64),
) -> Result<BTreeSet<String>, Error> {
    let row = snapshot.get(message::key(room, target)).await?;
    let row = row.as_deref().map(Message::decode).transpose()?.unwrap_or_default();
    if row.deleted_by != 0 {
        return Ok(BTreeSet::new());
    }
    Ok(row.mentions.into_iter().filter(|it| it.seq == seq).map(|it| it.user).collect())
}

/// What there is to tell of an entry.
struct Told {
    from: UserId,
    /// With which message its thread begins.
    thread: u64,
    facts: svc::PushFacts,
}

/// What there is to tell a user of an entry, as it is now; `None`: nothing, or it is not there any more.
async fn what(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    seq: u64,
    user: &UserId,
) -> Result<Option<Told>, Error> {
    let Some(Logged { entry, .. }) = one(snapshot, room, seq).await? else { return Ok(None) };
    let from = entry.from.clone();
    let mut facts = svc::PushFacts { time_ms: entry.time_ms, ..svc::PushFacts::default() };
    let target = match &entry.body {
        Body::Add(add) if add.user == *user => {
            facts.what = "added".into();
            return Ok(Some(Told { from, thread: 0, facts }));
        }
        Body::React(react) => {
            facts.emoji.clone_from(&react.emoji);
            react.target
        }
        Body::Edit(edit) => edit.target,
        body if body.as_message().is_some() => seq,
        _ => return Ok(None),
    };
    let message =
        one(snapshot, room, target).await?.filter(|it| it.entry.body.as_message().is_some());
    let Some(message) = message else { return Ok(None) };
    let row = snapshot.get(message::key(room, target)).await?;
    let row = row.as_deref().map(Message::decode).transpose()?.unwrap_or_default();
    if row.deleted_by != 0 {
        return Ok(None);
    }
    let body = &message.entry.body;
    let (Some(text), files) = (body.as_message(), body.files()) else { return Ok(None) };
    let newest = match row.edits.last() {
        Some(edit) => one(snapshot, room, *edit).await?,
        None => None,
    };
    let shown = match newest.map(|it| it.entry.body) {
        Some(Body::Edit(edit)) => edit.text.clone(),
        _ => text.text.clone(),
    };
    facts.text = shown.chars().take(TEXT_CHARS_MAX).collect();
    facts.files = u32::try_from(files.len()).unwrap_or(u32::MAX);
    let first = files.first().and_then(|file| file.facts.as_ref());
    facts.file_name = first.map(|facts| facts.name.clone()).unwrap_or_default();
    facts.is_skipped = text.extras().skip_push;
    let thread = text.extras().thread.unwrap_or_default();
    if let Body::React(_) = &entry.body {
        // It is taken off again, or of a message of somebody else.
        if message.entry.from != *user
            || !is_on(snapshot, room, (target, &facts.emoji), &from).await?
        {
            return Ok(None);
        }
        facts.what = "reaction".into();
        return Ok(Some(Told { from, thread: 0, facts }));
    }
    facts.what = body.kind().word.to_owned();
    facts.is_edit = target != seq;
    facts.is_in_thread = thread != 0;
    let names = row.mentions.iter().filter(|it| it.seq == seq).map(|it| it.user.as_str());
    facts.is_mention = names.into_iter().any(|name| name == EVERYONE || name == user.as_str());
    Ok(Some(Told { from, thread, facts }))
}

async fn is_on(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    (target, emoji): (u64, &str),
    from: &UserId,
) -> Result<bool, Error> {
    Ok(snapshot.get(reaction::key(room, target, emoji, from)).await?.is_some())
}

async fn thread_of(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    (user, root): (&UserId, u64),
) -> Result<Option<ThreadFollower>, Error> {
    let at = (user.clone(), (room.clone(), root));
    let rows = thread_follower::get_many(snapshot, &[at]).await?;
    Ok(rows.into_iter().next().flatten().map(|(_, row)| row))
}

async fn one(snapshot: &dyn Snapshot, room: &RoomId, seq: u64) -> Result<Option<Logged>, Error> {
    Ok(log::get_many(snapshot, &[(room.clone(), seq)]).await?.pop().flatten())
}

/// How much a user has unread in their rooms, without those that are muted, or of which they are notified of nothing.
async fn badge(snapshot: &dyn Snapshot, user: &UserId, now_ms: u64) -> Result<u64, Error> {
    let rows = snapshot.scan(user_room::range_after(user, None), BADGE_ROOMS_MAX, false).await?;
    let rooms = rows.iter().map(|(key, _)| user_room::room(key));
    let rooms: Vec<RoomId> = rooms.collect::<Result<_, _>>()?;
    let heads = snapshot.get_many(rooms.iter().map(head::key).collect()).await?;
    let whose: Vec<_> = rooms.iter().map(|room| (room.clone(), user.clone())).collect();
    let marks = mark::held(snapshot, &whose).await?;
    let wanted: Vec<_> = rooms.iter().map(|room| (user.clone(), room.clone())).collect();
    let settings = setting::get_many(snapshot, &wanted).await?;
    let mut count = 0;
    for (((room, head), held), setting) in rooms.iter().zip(heads).zip(marks).zip(settings) {
        let Some(head) = head else { continue };
        let (_, head): (_, Head) = head::decode(&head)?;
        let setting = setting.unwrap_or_default().1;
        let is_quiet = setting.muted_until_ms > now_ms || setting.notify() == Notify::None;
        if !is_quiet && head.ordinal > unread::read_ordinal(&head, &held.mark) {
            count += unread::of(snapshot, (room, &head), &held.mark).await?.count;
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests;
