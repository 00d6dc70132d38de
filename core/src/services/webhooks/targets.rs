//! What `weft integrations` has to know: which webhooks are to be told of an entry, and, when one is about to be told, what holds
//! of it at that moment.

use std::collections::BTreeSet;

use tracing::error;
use weft_proto::{Body, RoomId, UserId, svc};
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::log::{self, Logged};
use weft_storage::tables::mention::EVERYONE;
use weft_storage::tables::webhook::{self, Webhook, Webhooks};
use weft_storage::{Error, Snapshot};

use super::super::access::Access;
use super::super::failure::Failure;
use super::super::notifications::{members_after, mentioned_by};
use super::super::{Context, relations};

/// A page with this many targets takes no further entry.
const TARGETS_MAX: usize = 1_000;

impl Context {
    /// The webhooks that are to be told of entries.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`](weft_proto::ErrorCode::BadId), or the store's.
    pub async fn webhook_targets(
        &self,
        request: svc::ListWebhookTargets,
    ) -> Result<svc::WebhookTargets, Failure> {
        let snapshot = self.store.snapshot().await?;
        let mut page = svc::WebhookTargets::default();
        let mut after = request.after;
        for place in &request.places {
            let room = RoomId::new(&place.room)?;
            let found = match told_of(&*snapshot, &room, place.seq, &after).await {
                // One damaged entry keeps nobody from hearing of the others.
                Err(Error::Corrupt(what)) => {
                    error!(%room, seq = place.seq, what, "an entry can't be read: no webhook is told");
                    Found::default()
                }
                found => found?,
            };
            let target = |webhook| svc::WebhookTarget {
                webhook: Some(webhook),
                room: place.room.clone(),
                seq: place.seq,
            };
            page.targets.extend(found.webhooks.into_iter().map(target));
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

    /// What holds of a webhook, and of what it is to be told, in one snapshot.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`](weft_proto::ErrorCode::BadId), or the store's.
    pub async fn webhook_look(
        &self,
        request: svc::LookAtWebhook,
    ) -> Result<svc::WebhookFacts, Failure> {
        let svc::WebhookTarget { webhook, room, seq } = request.target.unwrap_or_default();
        let svc::WebhookPlace { owner, id } = webhook.unwrap_or_default();
        let (owner, room) = (RoomId::new(&owner)?, RoomId::new(&room)?);
        let snapshot = self.store.snapshot().await?;
        let nothing = svc::WebhookFacts::default();
        let Some(row) = snapshot.get(webhook::key(&owner)).await? else { return Ok(nothing) };
        let webhooks = Webhooks::decode(&row)?;
        let Some(found) = webhooks.of(&id).filter(|it| !it.paused) else { return Ok(nothing) };
        let facts = facts_of(found, self.clock.now_ms());
        if seq == 0 {
            return Ok(svc::WebhookFacts { kind: "test".into(), ..facts });
        }
        let entry = match one(&*snapshot, &room, seq).await {
            Err(Error::Corrupt(what)) => {
                error!(%room, seq, what, "an entry can't be read: no webhook is told");
                None
            }
            entry => entry?,
        };
        let entry = entry.map(|it| it.entry).filter(|it| !matches!(it.body, Body::Deleted(_)));
        let Some(entry) = entry else { return Ok(nothing) };
        if let Some((user, _)) = owner.direct_users()
            && !may_see(&*snapshot, &user, (&room, seq), &entry.from).await?
        {
            return Ok(nothing);
        }
        Ok(svc::WebhookFacts {
            frame: entry.to_frame().into(),
            kind: entry.body.kind().word.to_owned(),
            time_ms: entry.time_ms,
            ..facts
        })
    }
}

fn facts_of(webhook: &Webhook, now_ms: u64) -> svc::WebhookFacts {
    let mut secrets = vec![webhook.secret.clone()];
    if !webhook.old_secret.is_empty() && webhook.old_secret_until_ms > now_ms {
        secrets.push(webhook.old_secret.clone());
    }
    svc::WebhookFacts {
        is_wanted: true,
        is_failed: webhook.ended_ms != 0,
        url: webhook.url.clone(),
        secrets,
        format: webhook.format.clone(),
        failing_since_ms: webhook.failing_since_ms,
        missed: webhook.missed,
        ..svc::WebhookFacts::default()
    }
}

/// Whether a user still may see an entry that is of interest to them, and wants to hear of who wrote it.
async fn may_see(
    snapshot: &dyn Snapshot,
    user: &UserId,
    (room, seq): (&RoomId, u64),
    from: &UserId,
) -> Result<bool, Failure> {
    let account = snapshot.get(account::key(user)).await?;
    let account = account.as_deref().map(Account::decode).transpose()?;
    if account.is_none_or(|it| it.is_deleted() || it.is_suspended()) {
        return Ok(false);
    }
    match Access::of(snapshot, room, user).await {
        Ok(access) if access.role.is_some() && access.visible.contains(seq) => {}
        Ok(_) | Err(Failure::Refused(_)) => return Ok(false),
        Err(failure) => return Err(failure),
    }
    let between = relations::between(snapshot, std::slice::from_ref(room)).await?;
    let is_request = between.first().is_some_and(|between| between.asked.contains(user));
    Ok(!is_request && relations::blocked(snapshot, user, [from]).await?.is_empty())
}

/// Which webhooks are to be told of an entry.
#[derive(Default)]
struct Found {
    webhooks: Vec<svc::WebhookPlace>,
    /// There may be more of members after this user; empty: there are none.
    after: String,
}

async fn told_of(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    seq: u64,
    after: &str,
) -> Result<Found, Error> {
    let Some(Logged { entry, .. }) = one(snapshot, room, seq).await? else {
        return Ok(Found::default());
    };
    let kind = entry.body.kind().word;
    if matches!(entry.body, Body::Deleted(_)) {
        return Ok(Found::default());
    }
    let mut found = Found::default();
    let mut owners = Vec::new();
    let (mut users, next) = concerned(snapshot, room, (seq, &entry.body), after).await?;
    found.after = next;
    users.remove(&entry.from);
    if after.is_empty() && room.direct_users().is_none() {
        owners.push(room.clone());
    }
    owners.extend(users.iter().map(|user| RoomId::direct(user, user)));
    let rows = snapshot.get_many(owners.iter().map(webhook::key).collect()).await?;
    for (owner, row) in owners.iter().zip(rows) {
        let Some(row) = row else { continue };
        let webhooks = Webhooks::decode(&row)?.webhooks.into_iter();
        let told = webhooks.filter(|it| it.is_active() && it.wants(kind));
        let place = |it: Webhook| svc::WebhookPlace { owner: owner.to_string(), id: it.id };
        found.webhooks.extend(told.map(place));
    }
    Ok(found)
}

/// Whom a message mentions, or to whom it is written, and after which member there may be more.
async fn concerned(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    (seq, body): (u64, &Body),
    after: &str,
) -> Result<(BTreeSet<UserId>, String), Error> {
    let target = match body {
        Body::Edit(edit) => edit.target,
        body if body.as_message().is_some() => seq,
        _ => return Ok(Default::default()),
    };
    if let Some((low, high)) = room.direct_users().filter(|_| target == seq) {
        return Ok((BTreeSet::from([low, high]), String::new()));
    }
    let mentioned = mentioned_by(snapshot, room, (target, seq)).await?;
    if mentioned.contains(EVERYONE) && room.direct_users().is_none() {
        let (members, after) = members_after(snapshot, room, after).await?;
        return Ok((members.into_iter().collect(), after));
    }
    let named = mentioned.iter().filter_map(|name| UserId::new(name).ok());
    Ok((named.collect(), String::new()))
}

async fn one(snapshot: &dyn Snapshot, room: &RoomId, seq: u64) -> Result<Option<Logged>, Error> {
    Ok(log::get_many(snapshot, &[(room.clone(), seq)]).await?.pop().flatten())
}
