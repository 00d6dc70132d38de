//! Outgoing webhooks: who makes and changes them, and how they fare ([ADR 30](../../../docs/adr/0030-webhooks.md)).

use std::fmt::Write as _;

use bytes::Bytes;
use weft_proto::kind::PEOPLE_LEVEL;
use weft_proto::limits::{WEBHOOKS_PER_MAKER_MAX, WEBHOOKS_PER_ROOM_MAX, WEBHOOKS_PER_USER_MAX};
use weft_proto::svc::{Spoken, WebhookState};
use weft_proto::{
    ApiError, Body, ErrorCode, Partition, RoomId, UserId, WebhookId, partition_of, svc,
};
use weft_storage::tables::admin_log::AdminLog;
use weft_storage::tables::member;
use weft_storage::tables::webhook::{self, Webhook, Webhooks};
use weft_storage::tables::webhook_maker::{self, MadeWebhook, WebhookMaker};
use weft_storage::{Batch, Snapshot};

use super::Context;
use super::access::Access;
use super::accounts::ATTEMPTS_MAX;
use super::administration::{Authority, Begun};
use super::failure::Failure;
use super::previews::Told;
use super::rooms::has_level;
use crate::partition::rights::{self, Action};

mod targets;
#[cfg(test)]
mod tests;

const SECRET_BYTES: usize = 32;
/// Both secrets are good for so long after one was renewed.
const OLD_SECRET_MS: u64 = 24 * 3_600_000;
/// Longest reason that is kept, in bytes.
const REASON_BYTES_MAX: usize = 200;

/// Whose webhooks a caller is about, as they are in the store.
struct Theirs {
    caller: UserId,
    owner: RoomId,
    row: Option<Bytes>,
    webhooks: Webhooks,
    /// With which the commit is made: the caller may change them while this holds.
    guard: Option<(Bytes, Option<Bytes>)>,
}

impl Theirs {
    fn batch(&self) -> Batch {
        let mut batch = Batch::new(rand::random());
        if let Some((key, row)) = self.guard.clone() {
            batch.guard(key, row);
        }
        batch
    }

    fn put(&self, batch: &mut Batch, webhooks: &Webhooks) {
        put(batch, &self.owner, self.row.clone(), webhooks);
    }

    fn is_own(&self) -> bool {
        self.owner.direct_users().is_some()
    }

    /// Those of them, one changed.
    fn with(
        &self,
        id: &str,
        change: impl FnOnce(&mut Webhook),
    ) -> Result<(Webhooks, Webhook), Failure> {
        let mut webhooks = self.webhooks.clone();
        let found = webhooks.webhooks.iter_mut().find(|it| it.id == id).ok_or_else(no_such)?;
        change(found);
        let changed = found.clone();
        Ok((webhooks, changed))
    }
}

fn no_such() -> Failure {
    Failure::new(ErrorCode::NotFound, "there is no such webhook")
}

fn put(batch: &mut Batch, owner: &RoomId, row: Option<Bytes>, webhooks: &Webhooks) {
    let key = webhook::key(owner);
    if webhooks.webhooks.is_empty() {
        batch.clear(key.clone());
    } else {
        batch.set(key.clone(), webhooks.encode());
    }
    batch.guard(key, row);
}

impl Context {
    /// Makes a webhook, of a group or the caller's own. The answer has its secret.
    ///
    /// # Errors
    /// What [`svc::MakeWebhook::check`] says, [`ErrorCode::LimitReached`], [`ErrorCode::UnknownType`] below the level, those of
    /// [`Access`] and of the token, [`ErrorCode::Forbidden`], or the store's.
    pub async fn webhook_make(&self, request: svc::MakeWebhook) -> Result<svc::Webhook, Failure> {
        request.check()?;
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.store.snapshot().await?;
            let theirs = self.theirs(&*snapshot, &request, &request.room).await?;
            if !has_level(&*snapshot, PEOPLE_LEVEL).await? {
                let message = "the service takes that after `weft admin upgrade`";
                return Err(Failure::new(ErrorCode::UnknownType, message));
            }
            let maker_key = webhook_maker::key(&theirs.caller);
            let maker_row = snapshot.get(maker_key.clone()).await?;
            let maker = maker_row.as_deref().map(WebhookMaker::decode).transpose()?;
            let mut maker = maker.unwrap_or_default();
            let (most, whose) = match theirs.is_own() {
                true => (WEBHOOKS_PER_USER_MAX, "you have"),
                false => (WEBHOOKS_PER_ROOM_MAX, "the group has"),
            };
            bound(theirs.webhooks.webhooks.len(), most, whose)?;
            bound(maker.made.len(), WEBHOOKS_PER_MAKER_MAX, "you have made")?;
            let made = Webhook {
                id: format!("{:024x}", rand::random::<u128>() >> 32),
                url: request.url.clone(),
                secret: rand::random::<[u8; SECRET_BYTES]>().to_vec(),
                kinds: request.kinds.clone(),
                format: request.format.clone(),
                by: theirs.caller.to_string(),
                made_ms: self.clock.now_ms(),
                ..Webhook::default()
            };
            let owner = theirs.owner.to_string();
            maker.made.push(MadeWebhook { owner, id: made.id.clone() });
            let mut webhooks = theirs.webhooks.clone();
            webhooks.webhooks.push(made.clone());
            let mut batch = theirs.batch();
            theirs.put(&mut batch, &webhooks);
            batch.guard(maker_key.clone(), maker_row);
            batch.set(maker_key, maker.encode());
            drop(snapshot);
            if self.commit(batch).await? {
                return Ok(svc::Webhook { secret: made.secret.clone(), ..shown(made) });
            }
        }
        Err(Failure::contended())
    }

    /// The webhooks of a group, or the caller's own.
    ///
    /// # Errors
    /// As [`webhook_make`](Self::webhook_make).
    pub async fn webhook_list(&self, request: svc::ListWebhooks) -> Result<svc::Webhooks, Failure> {
        let snapshot = self.store.snapshot().await?;
        let theirs = self.theirs(&*snapshot, &request, &request.room).await?;
        let webhooks = theirs.webhooks.webhooks.into_iter().map(shown);
        Ok(svc::Webhooks { webhooks: webhooks.collect() })
    }

    /// Changes a webhook.
    ///
    /// # Errors
    /// As [`webhook_make`](Self::webhook_make), and [`ErrorCode::NotFound`].
    pub async fn webhook_change(
        &self,
        request: svc::ChangeWebhook,
    ) -> Result<svc::Webhook, Failure> {
        request.check()?;
        let changed = self.changed(&request, (&request.room, &request.id), |webhook| {
            if let Some(url) = &request.url {
                webhook.url.clone_from(url);
            }
            match request.paused {
                Some(true) => webhook.paused = true,
                Some(false) => {
                    webhook.paused = false;
                    resume(webhook);
                }
                None => {}
            }
        });
        Ok(shown(changed.await?))
    }

    /// Gives a webhook another secret. The one before it is good for another day.
    ///
    /// # Errors
    /// As [`webhook_change`](Self::webhook_change).
    pub async fn webhook_renew(&self, request: svc::RenewWebhook) -> Result<svc::Webhook, Failure> {
        let until_ms = self.clock.now_ms() + OLD_SECRET_MS;
        let secret = rand::random::<[u8; SECRET_BYTES]>().to_vec();
        let changed = self.changed(&request, (&request.room, &request.id), |webhook| {
            webhook.old_secret = std::mem::replace(&mut webhook.secret, secret.clone());
            webhook.old_secret_until_ms = until_ms;
        });
        let changed = changed.await?;
        Ok(svc::Webhook { secret, ..shown(changed) })
    }

    /// Removes a webhook.
    ///
    /// # Errors
    /// As [`webhook_change`](Self::webhook_change).
    pub async fn webhook_remove(&self, request: svc::RemoveWebhook) -> Result<svc::Empty, Failure> {
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.store.snapshot().await?;
            let theirs = self.theirs(&*snapshot, &request, &request.room).await?;
            let (mut webhooks, removed) = theirs.with(&request.id, |_| {})?;
            webhooks.webhooks.retain(|it| it.id != removed.id);
            let mut batch = theirs.batch();
            theirs.put(&mut batch, &webhooks);
            if let Ok(by) = UserId::new(&removed.by) {
                let key = webhook_maker::key(&by);
                if let Some(row) = snapshot.get(key.clone()).await? {
                    let mut maker = WebhookMaker::decode(&row)?;
                    maker.made.retain(|it| it.id != removed.id);
                    batch.guard(key.clone(), Some(row));
                    match maker.made.is_empty() {
                        true => batch.clear(key),
                        false => batch.set(key, maker.encode()),
                    }
                }
            }
            drop(snapshot);
            if self.commit(batch).await? {
                return Ok(svc::Empty {});
            }
        }
        Err(Failure::contended())
    }

    /// That a caller may have something delivered to a webhook, and which one it is.
    ///
    /// # Errors
    /// As [`webhook_change`](Self::webhook_change), and [`ErrorCode::Conflict`] where it is paused.
    pub async fn webhook_test(
        &self,
        request: svc::TestWebhook,
    ) -> Result<(RoomId, WebhookId), Failure> {
        let snapshot = self.store.snapshot().await?;
        let theirs = self.theirs(&*snapshot, &request, &request.room).await?;
        let found = theirs.webhooks.of(&request.id).ok_or_else(no_such)?;
        if !found.is_active() {
            return Err(Failure::new(ErrorCode::Conflict, "the webhook is paused"));
        }
        let id = WebhookId::new(&found.id)?;
        Ok((theirs.owner, id))
    }

    /// Writes down how a webhook fares; where it is told nothing more with that, what its maker is to be told.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`], or the store's.
    pub async fn webhook_note(&self, request: svc::NoteWebhook) -> Result<Option<Told>, Failure> {
        let svc::WebhookPlace { owner, id } = request.webhook.clone().unwrap_or_default();
        let owner = RoomId::new(&owner)?;
        for _ in 0..ATTEMPTS_MAX {
            let row = self.store.snapshot().await?.get(webhook::key(&owner)).await?;
            let Some(row) = row else { return Ok(None) };
            let mut webhooks = Webhooks::decode(&row)?;
            let found = webhooks.webhooks.iter_mut().find(|it| it.id == id);
            let Some(found) = found else { return Ok(None) };
            let before = found.clone();
            note(found, &request, self.clock.now_ms());
            if *found == before {
                return Ok(None);
            }
            let has_ended = before.ended_ms == 0 && found.ended_ms != 0;
            let word = has_ended.then(|| self.word(&owner, found)).flatten();
            let mut batch = Batch::new(rand::random());
            put(&mut batch, &owner, Some(row), &webhooks);
            if self.commit(batch).await? {
                return Ok(word);
            }
        }
        Err(Failure::contended())
    }

    /// What an operator asks for: that a webhook is told again.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`], [`ErrorCode::NotFound`], or the store's.
    pub async fn webhook_resume(
        &self,
        request: svc::OperatorResumeWebhook,
    ) -> Result<svc::Empty, Failure> {
        let svc::WebhookPlace { owner, id } = request.webhook.unwrap_or_default();
        let owner = RoomId::new(&owner)?;
        let told = AdminLog {
            action: "resume_webhook".into(),
            room: owner.to_string(),
            ..AdminLog::default()
        };
        for _ in 0..ATTEMPTS_MAX {
            let Begun { snapshot, mut batch, .. } =
                self.begin_action(&Authority::Operator, "", &told).await?;
            let row = snapshot.get(webhook::key(&owner)).await?.ok_or_else(no_such)?;
            let mut webhooks = Webhooks::decode(&row)?;
            let found = webhooks.webhooks.iter_mut().find(|it| it.id == id);
            resume(found.ok_or_else(no_such)?);
            put(&mut batch, &owner, Some(row), &webhooks);
            if self.commit_action(batch, &told).await? {
                return Ok(svc::Empty {});
            }
        }
        Err(Failure::contended())
    }

    async fn changed(
        &self,
        request: &impl Spoken,
        (room, id): (&str, &str),
        change: impl Fn(&mut Webhook),
    ) -> Result<Webhook, Failure> {
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.store.snapshot().await?;
            let theirs = self.theirs(&*snapshot, request, room).await?;
            let (webhooks, changed) = theirs.with(id, &change)?;
            drop(snapshot);
            if webhooks == theirs.webhooks {
                return Ok(changed);
            }
            let mut batch = theirs.batch();
            theirs.put(&mut batch, &webhooks);
            if self.commit(batch).await? {
                return Ok(changed);
            }
        }
        Err(Failure::contended())
    }

    /// The webhooks that a caller may see and change: those of a group for who may change the group, and everybody's own.
    async fn theirs(
        &self,
        snapshot: &dyn Snapshot,
        request: &impl Spoken,
        room: &str,
    ) -> Result<Theirs, Failure> {
        let caller = self.caller(snapshot, request).await?.user;
        let (owner, guard) = match room {
            "" => (RoomId::direct(&caller, &caller), None),
            room => {
                let room = RoomId::new(room)?;
                let role = Access::of(snapshot, &room, &caller).await?.member_role()?;
                if room.direct_users().is_some() {
                    let message =
                        "a direct room has no webhooks: each of the two may have their own";
                    return Err(Failure::new(ErrorCode::Forbidden, message));
                }
                rights::check(role, Action::Update)?;
                let key = member::key(&room, &caller);
                let row = snapshot.get(key.clone()).await?;
                (room, Some((key, row)))
            }
        };
        let row = snapshot.get(webhook::key(&owner)).await?;
        let webhooks = row.as_deref().map(Webhooks::decode).transpose()?.unwrap_or_default();
        Ok(Theirs { caller, owner, row, webhooks, guard })
    }

    /// What the maker of a webhook finds in their notebook when it is paused.
    fn word(&self, owner: &RoomId, webhook: &Webhook) -> Option<Told> {
        let sender = UserId::new(&webhook.by).ok()?;
        let room = RoomId::direct(&sender, &sender);
        let mut text = format!("The webhook {}", webhook.id);
        if owner.direct_users().is_none() {
            let _ = write!(text, " of the group {owner}");
        }
        let _ = write!(
            text,
            " is paused: nothing could be delivered to it for too long ({}). When its receiver is well, it can be resumed.",
            webhook.reason
        );
        let body = Body::message(text).ok()?;
        let partitions = Partition::try_from(self.partitions).unwrap_or(Partition::MAX);
        Some(Told { partition: partition_of(&room, partitions), sender, room, body })
    }
}

fn bound(count: usize, most: usize, whose: &str) -> Result<(), ApiError> {
    if count < most {
        return Ok(());
    }
    let message = format!("{whose} {most} webhooks already");
    Err(ApiError::new(ErrorCode::LimitReached, message))
}

fn resume(webhook: &mut Webhook) {
    webhook.ended_ms = 0;
    webhook.failing_since_ms = 0;
    webhook.reason.clear();
}

/// What becomes of a webhook by what is said of it.
fn note(webhook: &mut Webhook, said: &svc::NoteWebhook, now_ms: u64) {
    webhook.missed = webhook.missed.saturating_add(said.missed);
    if let Some(told) = said.delivered {
        webhook.missed = webhook.missed.saturating_sub(told);
        // One that was underway when it ended changes nothing: somebody has to say that it is well.
        if webhook.ended_ms == 0 {
            resume(webhook);
        }
    }
    let Some(reason) = &said.failed else { return };
    if webhook.ended_ms == 0 {
        if webhook.failing_since_ms == 0 {
            webhook.failing_since_ms = now_ms;
            webhook.reason = short(reason);
        }
        if said.ends {
            webhook.ended_ms = now_ms;
            webhook.reason = short(reason);
        }
    }
}

fn short(reason: &str) -> String {
    reason[..reason.floor_char_boundary(REASON_BYTES_MAX)].to_owned()
}

/// As those see it who may change it.
fn shown(webhook: Webhook) -> svc::Webhook {
    let state = match &webhook {
        Webhook { ended_ms: 1.., .. } => WebhookState::Failed,
        Webhook { paused: true, .. } => WebhookState::Paused,
        _ => WebhookState::Active,
    };
    let Webhook { id, url, kinds, format, by, made_ms, reason, failing_since_ms, missed, .. } =
        webhook;
    svc::Webhook {
        id,
        url,
        kinds,
        format,
        by,
        made_ms,
        state: state.into(),
        reason,
        failing_since_ms,
        missed,
        secret: Vec::new(),
    }
}
