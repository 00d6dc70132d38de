//! A room as one of its members sees it in a list.

use tracing::error;
use weft_proto::kind::Text;
use weft_proto::kind::formatting::Range;
use weft_proto::{History, Role, RoomId, RoomKind, UserId, svc};
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::head::Head;
use weft_storage::tables::log::{self, Limit, Logged};
use weft_storage::tables::mark::{self, Mark};
use weft_storage::tables::member::{self, Member};
use weft_storage::tables::setting::{self, Setting};
use weft_storage::{Error, Snapshot};

use super::super::access::history_of;
use super::super::accounts::profile;
use super::super::messages;
use super::super::relations::between;
use super::hidden::is_hidden;
use super::unread;
use crate::{absent, marks};

/// Characters of a text that a list shows.
const PREVIEW_CHARS_MAX: usize = 200;
/// What is looked at for one to show, in a room whose head does not name it.
const LOOKED_AT: Limit = Limit { entries_max: 20, bytes_max: 100_000 };

/// Who asks, and of what.
pub(super) struct Reader<'a> {
    pub(super) snapshot: &'a dyn Snapshot,
    pub(super) user: &'a UserId,
    /// See [`keeps_lists`](super::keeps_lists).
    pub(super) keeps_lists: bool,
    /// The user has turned off read receipts.
    pub(super) receipts_off: bool,
    /// Unix milliseconds.
    pub(super) now_ms: u64,
}

pub(super) struct Summary {
    pub(super) room: svc::RoomSummary,
    /// What was read for it, about: a page ends by that.
    pub(super) read_bytes: usize,
}

impl Reader<'_> {
    /// `None`: the user is no member.
    pub(super) async fn of(&self, (room, head): (&RoomId, Head)) -> Result<Option<Summary>, Error> {
        if room.direct_users().is_some() {
            return self.of_member((room, head), (Role::Member, None)).await.map(Some);
        }
        let row = self.snapshot.get(member::key(room, self.user)).await?;
        let member = row.map(|row| Member::decode(&row)).transpose()?;
        match member.as_ref().and_then(|member| Some((member.role()?, Some(member)))) {
            Some(member) => self.of_member((room, head), member).await.map(Some),
            None => Ok(None),
        }
    }

    /// The same, for who has this role, and in a group this row.
    pub(super) async fn of_member(
        &self,
        (room, head): (&RoomId, Head),
        (role, member): (Role, Option<&Member>),
    ) -> Result<Summary, Error> {
        let Self { snapshot, user, keeps_lists, receipts_off, now_ms } = *self;
        let directs = room.direct_users();
        let (member_count, history) = match &directs {
            Some((low, high)) => (if low == high { 1 } else { 2 }, History::All),
            None => (head.member_count, history_of(&head)),
        };
        let last = match preview(snapshot, (user, now_ms), (room, &head)).await {
            // One damaged entry does not cost a user the room.
            Err(Error::Corrupt(what)) => {
                error!(%room, what, "the newest entry of a room can't be read");
                None
            }
            read => read?,
        };
        let (last, last_bytes) = last.unwrap_or_default();
        let other = directs.map(|(low, high)| if low == *user { high } else { low });
        let other = other.filter(|other| other != user);
        let whose = std::iter::once(user).chain(&other).map(|user| (room.clone(), user.clone()));
        let mut held = mark::held(snapshot, &whose.collect::<Vec<_>>()).await?.into_iter();
        let mark = held.next().unwrap_or_default().mark;
        let mark = if keeps_lists { mark } else { all_read(&head) };
        let unread = unread::of(snapshot, (room, &head), &mark).await?;
        let sees = |seq| member.is_none_or(|member| member.sees(history, seq));
        let mentions = unread::mentions(snapshot, (room, &head), user, (&mark, sees)).await?;
        let threads = unread::threads(snapshot, (room, &head), user, &mark).await?;
        let (partner, request) = match (other, held.next()) {
            (Some(other), Some(held)) => {
                let between = between(snapshot, std::slice::from_ref(room)).await?.remove(0);
                let mark = Some(&held.mark).filter(|_| !receipts_off && !between.is_hidden());
                (partner(snapshot, other, mark).await?, between.asked.contains(user))
            }
            _ => (None, false),
        };
        let setting = setting_of(snapshot, user, room).await?;
        let hidden = setting.hidden.filter(|at| is_hidden(*at, &head, member));
        let read_ordinal = unread::read_ordinal(&head, &mark);
        let (join, write, members_max) = match room.kind() {
            RoomKind::Direct => ("", "", 0),
            RoomKind::Group => {
                (head.join_rule().as_str(), head.write_rule().as_str(), head.members_max())
            }
        };
        let room = svc::RoomSummary {
            room: room.to_string(),
            title: head.title,
            seq: head.seq,
            ordinal: head.ordinal,
            time_ms: head.time_ms,
            member_count,
            role: role.as_str().to_owned(),
            large: head.large,
            history: history.as_str().to_owned(),
            topic: head.topic,
            join: join.to_owned(),
            write: write.to_owned(),
            slow_mode_s: head.slow_mode_s,
            members_max,
            archived: head.archived,
            closed: head.closed,
            last: last.into(),
            read: mark.read,
            read_ordinal,
            unread_from: mark.unread_from,
            unread: unread.count,
            unread_exact: unread.is_exact,
            mentions,
            unread_threads: threads.count,
            unread_threads_exact: threads.is_exact,
            partner,
            request,
            muted_until_ms: setting.muted_until_ms,
            notify: setting.notify,
            pinned: setting.pinned,
            hidden,
            retention_days: head.retention_days,
            file_days: head.file_days,
            avatar: head.avatar,
            previews_off: head.previews_off,
            first_seq: head.first_seq,
        };
        Ok(Summary { read_bytes: last_bytes + unread.read_bytes + threads.read_bytes, room })
    }
}

/// In a store that keeps nothing of it: nobody can say what they have read.
fn all_read(head: &Head) -> Mark {
    Mark { read: head.seq, read_ordinal: head.ordinal, ..Mark::default() }
}

/// How the user wants the room to be.
async fn setting_of(
    snapshot: &dyn Snapshot,
    user: &UserId,
    room: &RoomId,
) -> Result<Setting, Error> {
    match setting::get_many(snapshot, &[(user.clone(), room.clone())]).await {
        Err(Error::Corrupt(what)) => {
            error!(%user, %room, what, "a setting can't be read");
            Ok(Setting::default())
        }
        read => Ok(read?.pop().flatten().unwrap_or_default().1),
    }
}

/// The other user of a direct room; `mark`: as far as the reader wants to see it.
async fn partner(
    snapshot: &dyn Snapshot,
    user: UserId,
    mark: Option<&Mark>,
) -> Result<Option<svc::Partner>, Error> {
    let rows = snapshot.get_many(vec![account::key(&user), setting::of_user(&user)]).await?;
    let [account, of_user] = &rows[..] else { return Ok(None) };
    let account = account.as_ref().map(|row| Account::decode(row)).transpose()?;
    let is_hidden = setting::hides_receipts(&user, of_user.as_deref());
    let mark = mark.filter(|_| !is_hidden);
    let (read, delivered) = mark.map(|mark| (mark.read, marks::delivered(mark))).unzip();
    let partner = |account| {
        let profile = Some(profile(&user, account));
        svc::Partner { profile, read, delivered }
    };
    Ok(account.map(partner))
}

/// The frame of the newest entry that is worth showing, as history would show it now, with the beginning
/// of its text; and how much the whole text has.
async fn preview(
    snapshot: &dyn Snapshot,
    reader: (&UserId, u64),
    (room, head): (&RoomId, &Head),
) -> Result<Option<(Vec<u8>, usize)>, Error> {
    let found = match head.preview_seq {
        0 => newest(snapshot, room, head).await?,
        seq => {
            let found = log::get_many(snapshot, &[(room.clone(), seq)]).await?.pop().flatten();
            if found.is_none() {
                absent::note(snapshot, room, seq..seq + 1).await?;
            }
            found
        }
    };
    let Some(found) = found else { return Ok(None) };
    let shown = messages::now(snapshot, room, reader, (vec![found], usize::MAX)).await?;
    Ok(shown.into_iter().next().map(|(Logged { mut entry, .. }, now)| {
        let mut bytes = 0;
        if let Some(text) = entry.body.as_message_mut() {
            bytes = text.text.len();
            cut(text);
        }
        (now.map_or_else(|| entry.to_frame(), |now| entry.to_frame_now(&now)), bytes)
    }))
}

/// It of a room that had none since heads name it.
async fn newest(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    head: &Head,
) -> Result<Option<Logged>, Error> {
    let seqs = head.first_seq..head.seq + 1;
    let read = log::read_back(snapshot, room, seqs, LOOKED_AT).await?;
    let is_shown = |it: &Logged| it.entry.body.is_preview() && !it.entry.body.kind().is_made;
    Ok(read.into_iter().find(is_shown))
}

fn cut(text: &mut Text) {
    let Some((end, _)) = text.text.char_indices().nth(PREVIEW_CHARS_MAX) else { return };
    text.text.truncate(end);
    let chars = u32::try_from(PREVIEW_CHARS_MAX).unwrap_or(u32::MAX);
    let mut ranges = text.extras().ranges.clone();
    ranges.retain(|range| range.at < chars);
    for Range { at, len, .. } in &mut ranges {
        *len = (*len).min(chars - *at);
    }
    text.set_ranges(ranges);
}
