//! How devices are notified: what they register, for as long as their login lasts.

use weft_proto::check::missing;
use weft_proto::kind::PEOPLE_LEVEL;
use weft_proto::{DeviceId, ErrorCode, UserId, svc};
use weft_storage::tables::device::{self, Device};
use weft_storage::tables::push_endpoint::{self, PushEndpoint};
use weft_storage::tables::push_registration::{self, PushKey, PushRegistration};
use weft_storage::{Batch, Error, Snapshot};

use super::accounts::ATTEMPTS_MAX;
use super::failure::Failure;
use super::rooms::has_level;
use super::{Caller, Context};

/// Of one user: about 50 of their devices are logged in, and registrations of others go within a day.
const ROWS_MAX: usize = 1_000;

impl Context {
    /// Registers how the caller's device is to be notified, in the place of what it had registered. An address belongs to
    /// who registered it last: whoever else had it is not notified there any more.
    ///
    /// # Errors
    /// What [`svc::Push::check`] says, [`ErrorCode::UnknownType`] below the level, those of the token, or the store's.
    pub async fn push_set(&self, request: svc::SetPush) -> Result<svc::Empty, Failure> {
        let push = request.push.clone().ok_or_else(|| missing("push"))?;
        push.check()?;
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.store.snapshot().await?;
            let Caller { user, device, .. } = self.caller(&*snapshot, &request).await?;
            if !has_level(&*snapshot, PEOPLE_LEVEL).await? {
                let message = "the service takes that after `weft admin upgrade`";
                return Err(Failure::new(ErrorCode::UnknownType, message));
            }
            let login_key = device::key(&user, &device);
            let at = (user, device);
            let keys = vec![
                login_key.clone(),
                push_registration::key(&at),
                push_endpoint::key(&push.address),
            ];
            let rows = snapshot.get_many(keys).await?;
            let [Some(login), before, holder] = &rows[..] else { continue };
            let row = PushRegistration {
                login_ms: Device::decode(login)?.login_ms,
                kind: push.kind.clone(),
                address: push.address.clone(),
                p256dh: push.p256dh.clone(),
                secret: push.secret.clone(),
                language: push.language.clone(),
                private: push.private,
                made_ms: self.clock.now_ms(),
                topic: push.topic.clone(),
                sandbox: push.sandbox,
            };
            let mut batch = Batch::new(rand::random());
            // A login that ends meanwhile registers nothing.
            batch.guard(login_key, Some(login.clone()));
            let is_new = match before {
                Some(before) => {
                    let is = PushRegistration::decode(before)?;
                    if (PushRegistration { made_ms: is.made_ms, ..row.clone() }) == is {
                        return Ok(svc::Empty {});
                    }
                    push_registration::clear(&mut batch, &*snapshot, (&at, before.clone())).await?;
                    is.address != push.address
                }
                None => {
                    batch.guard(push_registration::key(&at), None);
                    true
                }
            };
            if is_new {
                batch.guard(push_endpoint::key(&push.address), holder.clone());
                self.take_over(&mut batch, &*snapshot, (&at, holder.as_deref(), &push.address))
                    .await?;
            }
            drop(snapshot);
            push_registration::put(&mut batch, &at, &row);
            if self.commit(batch).await? {
                return Ok(svc::Empty {});
            }
        }
        Err(Failure::contended())
    }

    /// Ends that a device of the caller is notified.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`] where nothing is registered, [`ErrorCode::BadId`], those of the token, or the store's.
    pub async fn push_remove(&self, request: svc::RemovePush) -> Result<svc::Empty, Failure> {
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.store.snapshot().await?;
            let Caller { user, device: own, .. } = self.caller(&*snapshot, &request).await?;
            let device = match &*request.device {
                "" => own,
                other => DeviceId::new(other)?,
            };
            let at = (user, device);
            let key = push_registration::key(&at);
            let Some(row) = snapshot.get(key.clone()).await? else {
                let message = "nothing is registered for this device";
                return Err(Failure::new(ErrorCode::NotFound, message));
            };
            let mut batch = Batch::new(rand::random());
            push_registration::clear(&mut batch, &*snapshot, (&at, row)).await?;
            drop(snapshot);
            if self.commit(batch).await? {
                return Ok(svc::Empty {});
            }
        }
        Err(Failure::contended())
    }

    /// Removes the registration of an address that its gateway knows no longer. Another one by now stays.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`], or the store's.
    pub async fn push_drop(&self, request: svc::DropPush) -> Result<svc::Empty, Failure> {
        let at = (UserId::new(&request.user)?, DeviceId::new(&request.device)?);
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.store.snapshot().await?;
            let row = snapshot.get(push_registration::key(&at)).await?;
            let Some(row) = row else { return Ok(svc::Empty {}) };
            if PushRegistration::decode(&row)?.address != request.address {
                return Ok(svc::Empty {});
            }
            let mut batch = Batch::new(rand::random());
            push_registration::clear(&mut batch, &*snapshot, (&at, row)).await?;
            drop(snapshot);
            if self.commit(batch).await? {
                return Ok(svc::Empty {});
            }
        }
        Err(Failure::contended())
    }

    /// Who had the address before is not notified there any more.
    async fn take_over(
        &self,
        batch: &mut Batch,
        snapshot: &dyn Snapshot,
        (at, holder, address): (&PushKey, Option<&[u8]>, &str),
    ) -> Result<(), Error> {
        let Some(holder) = holder.map(PushEndpoint::decode).transpose()? else { return Ok(()) };
        let holder = holder.owner()?;
        if holder == *at {
            return Ok(());
        }
        let key = push_registration::key(&holder);
        let Some(row) = snapshot.get(key.clone()).await? else { return Ok(()) };
        if PushRegistration::decode(&row)?.address == address {
            batch.guard(key.clone(), Some(row));
            batch.clear(key);
        }
        Ok(())
    }
}

/// The registrations of a user's devices that are good.
pub(super) async fn of_user(
    snapshot: &dyn Snapshot,
    user: &UserId,
) -> Result<Vec<(DeviceId, PushRegistration)>, Error> {
    let rows = snapshot.scan(push_registration::range(user), ROWS_MAX, false).await?;
    let devices = rows.iter().map(|(key, _)| Ok(push_registration::read_key(key)?.1));
    let devices = devices.collect::<Result<Vec<DeviceId>, Error>>()?;
    let keys = devices.iter().map(|device| device::key(user, device)).collect();
    let logins = snapshot.get_many(keys).await?;
    let mut good = Vec::new();
    for ((device, (_, row)), login) in devices.into_iter().zip(rows).zip(logins) {
        if push_registration::is_of(&row, login.as_deref())? {
            good.push((device, PushRegistration::decode(&row)?));
        }
    }
    Ok(good)
}

/// The registration of a user's device, where it is good.
pub(super) async fn of_device(
    snapshot: &dyn Snapshot,
    at: &PushKey,
) -> Result<Option<PushRegistration>, Error> {
    let keys = vec![push_registration::key(at), device::key(&at.0, &at.1)];
    let rows = snapshot.get_many(keys).await?;
    let [Some(row), login] = &rows[..] else { return Ok(None) };
    let is_good = push_registration::is_of(row, login.as_deref())?;
    is_good.then(|| PushRegistration::decode(row)).transpose()
}

/// As who notifies the device needs it.
pub(super) fn with_keys(row: PushRegistration) -> svc::Push {
    let PushRegistration {
        kind,
        address,
        p256dh,
        secret,
        language,
        private,
        made_ms,
        topic,
        sandbox,
        ..
    } = row;
    svc::Push { kind, address, p256dh, secret, language, private, made_ms, topic, sandbox }
}

/// What its user is shown of it.
pub(super) fn shown(row: PushRegistration) -> svc::Push {
    svc::Push { p256dh: Vec::new(), secret: Vec::new(), ..with_keys(row) }
}

#[cfg(test)]
mod tests;
