//! What edges and presence nodes ask core for: accounts and logins, rooms, logs, syncs, audits, and
//! what is kept of presence (`weft.svc.…`).
//!
//! Each call is a plain async function of [`Context`] over the store and the clock; [`start`]
//! hangs them on NATS. A call is answered from one snapshot, so what it says is of one moment.
//!
//! Invariants:
//! - Nobody is believed: every call that speaks for a user verifies the user's own token again, and
//!   that the login which it is of lasts (`callers`).
//! - Who may see what is decided in one place, `access`; a sync goes by the user's own inbox.
//! - No password, token or secret key is ever logged.
//! - Every answer is bounded, in rows and in bytes; every expensive step has a bounded queue.
//!
//! | file | duty |
//! | --- | --- |
//! | `layout` | what the store was made for |
//! | `tokens`, `verified`, `passwords`, `refresh_token` | keys and proofs |
//! | `bot_logins` | what a bot's token allows on NATS, and whose connections end |
//! | `callers` | who speaks, and whether that login lasts |
//! | `accounts`, `logins` | sign-up and profiles; login, refresh, logout, password |
//! | `bots` | accounts that are no person's, and their tokens |
//! | `interactions` | what people tell bots to do, and what these answer |
//! | `administration` | what administrators and operators do with accounts, and their log |
//! | `inspection` | what administrators and operators see of any room |
//! | `reports` | what users report to the administrators |
//! | `sign_up` | who may make an account, and invitations to do so |
//! | `deletion` | the end of an account |
//! | `sign_ins` | how fast passwords may be tried |
//! | `access`, `page` | what a caller may see of a room; filling a bounded page |
//! | `rooms`, `read`, `sync` | room lists; a part of a log; everything since a cursor |
//! | `groups` | who is kept out of a group, and links to join it |
//! | `hooks` | incoming webhooks of groups |
//! | `messages` | messages as they are now, their versions, and who has reacted |
//! | `previews` | which links are to have a preview, and what becomes of those that were read |
//! | `pins` | the messages that are pinned in a room |
//! | `receipts` | up to where a room's members have read it |
//! | `threads` | the threads that a user follows |
//! | `companions` | whom a user may see |
//! | `relations` | what others are to a user |
//! | `found_users` | users who are looked for |
//! | `files` | what is known of files, for `weft files` |
//! | `avatars` | which files are avatars, and who sees them |
//! | `audit` | what changed in a partition |
//! | `journal` | all commits of a partition, and who follows them |
//! | `index` | messages for search nodes, and what may be seen of those that were found |
//! | `feeds` | entries as bots have them on NATS |
//! | `push`, `notifications` | how devices are notified, and what `weft push` has to know of whom and of what |
//! | `webhooks` | outgoing webhooks, and what `weft integrations` has to know of them |
//! | `status` | what users chose to be seen as, and when they were last seen |
//! | `serve` | the methods on NATS |

mod access;
pub mod accounts;
mod administration;
mod at_once;
pub mod audit;
mod avatars;
mod bot_logins;
mod bots;
mod callers;
mod companions;
mod defaults;
mod deletion;
mod drafts;
mod failure;
mod feeds;
mod files;
mod found_users;
mod groups;
mod hooks;
mod index;
mod inspection;
mod interactions;
mod invitations;
mod journal;
pub mod layout;
mod logins;
mod messages;
mod notifications;
mod page;
mod passwords;
mod pins;
mod previews;
mod push;
mod read;
mod receipts;
pub(crate) mod refresh_token;
mod relations;
mod reports;
mod rooms;
mod scheduled;
mod serve;
mod sign_ins;
mod sign_up;
mod status;
mod sync;
#[cfg(test)]
mod testing;
mod threads;
mod tokens;
mod verified;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use weft_nats::Issuer;
use weft_proto::StoreId;
use weft_proto::limits::{
    COMPANIONS_MAX, PAGE_BYTES_MAX, PAGE_ENTRIES_MAX, PAGE_ROOMS_MAX, PAGE_ROWS_MAX,
    SYNC_ENTRIES_MAX,
};
use weft_runtime::Clock;
use weft_storage::{Store, tables};

pub use self::administration::{Administered, Authority};
pub use self::callers::BotLogin;
pub use self::failure::Failure;
pub use self::files::FileLimits;
pub use self::logins::{EndedLogin, Refreshed};
pub use self::serve::start;
pub use self::tokens::{Caller, Login, TokenIssuer};

use self::page::PageLimit;
use self::passwords::Passwords;
use self::sign_ins::SignIns;
use crate::Error;

/// How much one answer carries. Tests make it small.
#[derive(Clone, Copy)]
struct ServiceLimits {
    page: PageLimit,
    rows_max: usize,
    rooms_max: usize,
    sync_entries_max: usize,
    companions_max: usize,
    lookups_max: usize,
}

impl Default for ServiceLimits {
    fn default() -> Self {
        Self {
            page: PageLimit { entries_max: PAGE_ENTRIES_MAX as usize, bytes_max: PAGE_BYTES_MAX },
            rows_max: PAGE_ROWS_MAX as usize,
            rooms_max: PAGE_ROOMS_MAX as usize,
            sync_entries_max: usize::try_from(SYNC_ENTRIES_MAX).unwrap_or(usize::MAX),
            companions_max: COMPANIONS_MAX,
            lookups_max: companions::LOOKUPS_MAX,
        }
    }
}

/// What the calls work with; each call is a method of it.
pub struct Context {
    store: Store,
    clock: Arc<dyn Clock>,
    store_id: StoreId,
    partitions: u32,
    tokens: TokenIssuer,
    passwords: Passwords,
    sign_ins: SignIns,
    limits: ServiceLimits,
    file_limits: FileLimits,
    /// By this it answers for bots' logins on NATS.
    bot_issuer: Option<Arc<Issuer>>,
}

impl Context {
    /// Reads the store's id and the signing keys; makes the first key where there is none.
    /// `token_life`: how long an access token lives, in whole seconds.
    ///
    /// # Errors
    /// [`Error::Layout`] where [`layout::open`] was not called before, or those of the store.
    pub async fn open(
        store: Store,
        clock: Arc<dyn Clock>,
        token_life: Duration,
    ) -> Result<Self, Error> {
        let row = store.snapshot().await?.get(tables::layout::key()).await?;
        let row = row.ok_or_else(|| Error::Layout("the store has no layout row".into()))?;
        let layout = tables::layout::Layout::decode(&row)?;
        let (store_id, partitions) = (StoreId(layout.store_id), layout.partitions);
        let tokens = TokenIssuer::open(&store, store_id, Arc::clone(&clock), token_life).await?;
        Ok(Self {
            store,
            clock,
            store_id,
            partitions,
            tokens,
            passwords: Passwords::new(),
            sign_ins: SignIns::new(),
            limits: ServiceLimits::default(),
            file_limits: FileLimits::default(),
            bot_issuer: None,
        })
    }

    /// With other limits of files than the default ones.
    #[must_use]
    pub fn with_file_limits(self, file_limits: FileLimits) -> Self {
        Self { file_limits, ..self }
    }

    /// Answers for bots' logins by this.
    #[must_use]
    pub fn with_bot_issuer(self, bot_issuer: Option<Arc<Issuer>>) -> Self {
        Self { bot_issuer, ..self }
    }

    #[must_use]
    pub fn tokens(&self) -> &TokenIssuer {
        &self.tokens
    }

    /// What an edge has to know before it can serve.
    #[must_use]
    pub fn keys(&self) -> weft_proto::svc::Keys {
        weft_proto::svc::Keys { keys: self.tokens.public_keys(), partitions: self.partitions }
    }

    /// A limit of entries as it was asked for (0: as many as a page holds).
    fn entries_max(&self, asked: u32) -> usize {
        match asked as usize {
            0 => self.limits.page.entries_max,
            asked => asked.min(self.limits.page.entries_max),
        }
    }

    /// A row limit as it was asked for (0: as many as a page holds).
    fn rows_max(&self, asked: u32) -> usize {
        match asked as usize {
            0 => self.limits.rows_max,
            asked => asked.min(self.limits.rows_max),
        }
    }
}
