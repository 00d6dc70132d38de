//! Invitations to groups, of which devices are notified: they are no entries, so they are known by when they were made.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tracing::error;
use weft_proto::{RoomId, UserId, svc};
use weft_storage::tables::group_invitation::{self, GroupInvitation, InvitationKey};
use weft_storage::tables::head;
use weft_storage::{Error, Snapshot};

use super::super::failure::Failure;
use super::super::{Context, push, relations};
use super::{USERS_AT_ONCE, badge, display_name, settings};

impl Context {
    /// The devices that may have to be notified of invitations. Of those that have ended none are.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`](weft_proto::ErrorCode::BadId), or the store's.
    pub async fn push_invited(
        &self,
        request: svc::ListInvitedTargets,
    ) -> Result<svc::PushTargets, Failure> {
        let keys = request.invited.iter();
        let keys = keys.map(|it| Ok((UserId::new(&it.user)?, RoomId::new(&it.room)?)));
        let keys = keys.collect::<Result<Vec<InvitationKey>, Failure>>()?;
        let (snapshot, now_ms) = (self.store.snapshot().await?, self.clock.now_ms());
        let targets = stream::iter(keys.into_iter().map(|key| {
            let snapshot = &*snapshot;
            async move {
                let Some(row) = open(snapshot, &key, now_ms).await? else { return Ok(Vec::new()) };
                let devices = push::of_user(snapshot, &key.0).await?;
                let target = |(device, _)| svc::PushTarget {
                    room: key.1.to_string(),
                    user: key.0.to_string(),
                    device: ToString::to_string(&device),
                    first: true,
                    invited_ms: row.invited_ms,
                    ..svc::PushTarget::default()
                };
                Ok::<_, Error>(devices.into_iter().map(target).collect::<Vec<_>>())
            }
        }));
        let targets: Vec<_> = targets.buffered(USERS_AT_ONCE).try_collect().await?;
        let (targets, done) = (targets.into_iter().flatten().collect(), 0);
        Ok(svc::PushTargets { targets, done, after: String::new() })
    }

    /// What holds of an invitation that was made then; nothing, where it has ended.
    pub(super) async fn facts_of_invitation(
        &self,
        snapshot: &dyn Snapshot,
        (user, room): (&UserId, &RoomId),
        invited_ms: u64,
    ) -> Result<svc::PushFacts, Error> {
        let (key, now_ms) = ((user.clone(), room.clone()), self.clock.now_ms());
        let row = open(snapshot, &key, now_ms).await?;
        let Some(row) = row.filter(|row| row.invited_ms == invited_ms) else {
            return Ok(svc::PushFacts::default());
        };
        let (Ok(from), Some(head)) = (UserId::new(&row.by), snapshot.get(head::key(room)).await?)
        else {
            return Ok(svc::PushFacts::default());
        };
        let (_, head) = head::decode(&head)?;
        let (of_room, of_user) = settings(snapshot, (user, room)).await?;
        let blocked = relations::blocked(snapshot, user, [&from]).await?;
        Ok(svc::PushFacts {
            what: "invitation".into(),
            is_blocked: !blocked.is_empty(),
            room_notify: of_room.notify,
            user_notify: of_user.notify,
            muted_until_ms: of_room.muted_until_ms,
            dnd: of_user.dnd,
            dnd_until_ms: of_user.dnd_until_ms,
            title: head.title,
            from: from.to_string(),
            from_name: display_name(snapshot, &from).await?,
            time_ms: invited_ms,
            badge: badge(snapshot, user, now_ms).await?,
            ..svc::PushFacts::default()
        })
    }
}

/// The row, where the user may come in by it. One that can't be read notifies nobody.
async fn open(
    snapshot: &dyn Snapshot,
    key: &InvitationKey,
    now_ms: u64,
) -> Result<Option<GroupInvitation>, Error> {
    let row = snapshot.get(group_invitation::key(key)).await?;
    let row = row.as_deref().map(group_invitation::decode).transpose();
    let row = row.inspect_err(
        |error| error!(user = %key.0, room = %key.1, %error, "an invitation can't be read"),
    );
    Ok(row.ok().flatten().map(|(_, row)| row).filter(|row| row.is_open(now_ms)))
}
