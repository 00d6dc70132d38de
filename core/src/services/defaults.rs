//! What holds for users who have not said it themselves, and what they may not say otherwise: administrators and operators say it.

use weft_proto::consent::{AddBy, Strangers};
use weft_proto::limits::REASON_CHARS_MAX;
use weft_proto::svc::WrittenMessages;
use weft_proto::{ErrorCode, check, svc};
use weft_storage::Batch;
use weft_storage::tables::admin_log::AdminLog;
use weft_storage::tables::installation::{self, Installation};

use super::Context;
use super::accounts::ATTEMPTS_MAX;
use super::administration::{Authority, Begun};
use super::failure::Failure;

impl Context {
    /// Says what holds.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`], those of the token, or the store's.
    pub async fn defaults(
        &self,
        authority: Authority,
        request: svc::GetDefaults,
    ) -> Result<svc::Defaults, Failure> {
        let snapshot = self.store.snapshot().await?;
        self.by(&*snapshot, &authority, &request.token).await?;
        let row = snapshot.get(installation::key()).await?;
        let installation = row.as_deref().map(Installation::decode).transpose()?;
        let installation = installation.unwrap_or_default();
        let add_by = installation.add_by_of(AddBy::Default).into();
        let strangers = installation.strangers_of(Strangers::Default).into();
        Ok(svc::Defaults { add_by, strangers, messages: installation.messages().into() })
    }

    /// Changes one of them.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`], [`ErrorCode::BadRequest`], [`ErrorCode::Unchanged`], [`ErrorCode::TooLong`], those of the
    /// token, or the store's.
    pub async fn set_default(
        &self,
        authority: Authority,
        request: svc::SetDefault,
    ) -> Result<svc::Empty, Failure> {
        let svc::SetDefault { token, add_by, strangers, reason, messages } = request;
        check::check_chars("reason", &reason, REASON_CHARS_MAX)?;
        let add_by = add_by.and_then(|it| AddBy::try_from(it).ok());
        let strangers = strangers.and_then(|it| Strangers::try_from(it).ok());
        let messages = messages.and_then(|it| WrittenMessages::try_from(it).ok());
        let action = match (add_by, strangers, messages) {
            (Some(it), None, None) if it != AddBy::Default => {
                format!("default_add_by_{}", it.as_str())
            }
            (None, Some(it), None) if it != Strangers::Default => {
                format!("default_strangers_{}", it.as_str())
            }
            (None, None, Some(it)) => format!("policy_messages_{}", it.as_str()),
            _ => {
                let message =
                    "one of the fields add_by, strangers and messages is changed at a time";
                return Err(Failure::new(ErrorCode::BadRequest, message));
            }
        };
        let told = AdminLog { action, reason, ..AdminLog::default() };
        for _ in 0..ATTEMPTS_MAX {
            let Begun { snapshot, mut batch, .. } =
                self.begin_action(&authority, &token, &told).await?;
            let row = snapshot.get(installation::key()).await?;
            let before = row.as_deref().map(Installation::decode).transpose()?.unwrap_or_default();
            let mut after = before.clone();
            after.add_by = add_by.map_or(after.add_by, Into::into);
            after.strangers = strangers.map_or(after.strangers, Into::into);
            after.messages = messages.map_or(after.messages, Into::into);
            if says_the_same(&before, &after) {
                return Err(Failure::new(ErrorCode::Unchanged, "it is so already"));
            }
            put(&mut batch, row, &after);
            if self.commit(batch).await? {
                return Ok(svc::Empty {});
            }
        }
        Err(Failure::contended())
    }
}

fn says_the_same(one: &Installation, other: &Installation) -> bool {
    let says = |it: &Installation| {
        let consent = (it.add_by_of(AddBy::Default), it.strangers_of(Strangers::Default));
        (consent, it.messages())
    };
    says(one) == says(other)
}

fn put(batch: &mut Batch, row: Option<bytes::Bytes>, after: &Installation) {
    batch.guard(installation::key(), row);
    batch.set(installation::key(), after.encode());
}
