//! `weft admin`: what an operator does by hand: to a store, while no core runs on it, and to the
//! nodes that run.

mod accept_loss;
mod administrators;
mod bots;
mod dead_letters;
mod defaults;
mod drain;
mod export;
mod export_room;
mod followers;
mod import;
mod letters;
mod lower_floor;
mod nodes;
mod presence;
mod progress;
mod push;
mod reindex;
mod repair;
mod reports;
mod sign_up;
mod upgrade;
mod webhooks;

use std::any::Any;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use weft_proto::svc::AccountAction;
use weft_storage::embedded::{Damage, Embedded};
use weft_storage::{Store, StorePlace};

use crate::dev::Folder;
use crate::error::Error;
use crate::process::{block_on, until_free};

/// What to do.
#[derive(Args, Clone, Debug)]
pub struct AdminOptions {
    #[command(subcommand)]
    command: AdminCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum AdminCommand {
    /// Lists the commands that could not be applied and are in quarantine: a JSON object a line.
    DeadLetters(StoreOptions),
    /// Lets a store be served again that was replaced by an older copy, and lacks what was
    /// acknowledged since.
    AcceptLoss(accept_loss::AcceptLossOptions),
    /// Says what an embedded store whose journal is damaged would lose, and leaves that out where it
    /// is told to.
    Repair(repair::RepairOptions),
    /// Lets fresh client ids in again that are all refused as `expired_id`, since a clock was ahead
    /// once.
    LowerFloor(lower_floor::LowerFloorOptions),
    /// Raises what the store may contain to what this Weft knows: a core of an earlier version does not
    /// serve it any more.
    Upgrade(upgrade::UpgradeOptions),
    /// Writes everything in a store to a file, from which any store can be filled: a backup, or the
    /// way to another engine.
    Export(export::ExportOptions),
    /// Fills a new store with an export. Can be run again where it was interrupted.
    Import(import::ImportOptions),
    /// Lists the nodes that live: a JSON object a line.
    Nodes(nodes::Installation),
    /// Says what is known of a user's presence: a JSON object.
    Presence(presence::PresenceOptions),
    /// Has an edge send its sessions away and end, and says how far it is: a JSON object a line.
    Drain(drain::DrainOptions),
    /// Lists who follows the journal, and how far each is: a JSON object a line.
    Followers(nodes::Installation),
    /// Forgets a follower of the journal that does not exist any more: the journal is not kept for it.
    ForgetFollower(followers::ForgetOptions),
    /// Has search nodes make their index of all messages anew, from the store; they answer from the one that they have
    /// until the new one is complete.
    Reindex(reindex::ReindexOptions),
    /// Lists notifications that could not be delivered, has them tried again, or removes them.
    Push(push::PushOptions),
    /// Lists what could not be delivered to webhooks, and has it tried again; has a webhook told again that was paused.
    Webhooks(webhooks::WebhooksOptions),
    /// Makes a user an administrator of the installation.
    MakeAdministrator(administrators::AccountOptions),
    /// Makes an administrator a user like others.
    RemoveAdministrator(administrators::AccountOptions),
    /// Makes a user, and says the password for their first login.
    MakeUser(administrators::AccountOptions),
    /// Ends all logins of a user, and lets them make none.
    SuspendUser(administrators::AccountOptions),
    /// Lets a suspended user log in again.
    UnsuspendUser(administrators::AccountOptions),
    /// Deletes an account. It can't be taken back.
    DeleteUser(administrators::DeleteOptions),
    /// Ends all logins of a user, and says a password for one login.
    ResetUser(administrators::AccountOptions),
    /// Makes bots, lists and deletes them, and makes and ends the tokens by which they come in.
    Bots(bots::BotsOptions),
    /// Lists all users: a JSON object a line.
    Users(nodes::Installation),
    /// Says who may make an account, or changes it.
    SignUp(sign_up::SignUpOptions),
    /// Says what holds for users who have not said it themselves, and what they may not say otherwise, or changes it.
    Defaults(defaults::DefaultsOptions),
    /// Makes an invitation to make an account: a JSON object.
    MakeInvitation(sign_up::InvitationOptions),
    /// Lists the invitations by which accounts can be made: a JSON object a line.
    Invitations(nodes::Installation),
    /// Takes an invitation back.
    RemoveInvitation(sign_up::RemoveOptions),
    /// Lists what users have reported and nobody has dealt with: a JSON object a line.
    Reports(nodes::Installation),
    /// Takes a report off the list: it is dealt with.
    ResolveReport(reports::ResolveOptions),
    /// Writes all entries of a room, oldest first: a JSON object a line.
    ExportRoom(export_room::ExportRoomOptions),
    /// Lists what administrators and operators have done, newest first: a JSON object a line.
    Log(nodes::Installation),
}

/// Which store.
#[derive(Args, Clone, Debug)]
struct StoreOptions {
    /// The data folder of a `weft dev`.
    #[arg(long, env = "WEFT_DATA", default_value = ".weft")]
    data: PathBuf,
    /// The store of a `weft core`, instead of a data folder: `embedded:<folder>` or
    /// `fdb:<cluster file>`.
    #[arg(long)]
    store: Option<StorePlace>,
}

/// An open store; an embedded one is open here alone.
struct Opened {
    store: Store,
    /// Where it is, for people.
    place: String,
    /// What must live for as long as the store.
    _kept: Option<Box<dyn Any>>,
}

/// How an embedded store and a data folder are opened: as they are, or made where there is none.
type StoreOpener = fn(&Path) -> Result<Embedded, weft_storage::Error>;
type FolderOpener = fn(&Path) -> Result<Folder, Error>;

impl StoreOptions {
    /// Opens the store; makes none.
    fn open(&self) -> Result<Opened, Error> {
        self.open_when_free(Embedded::open_existing, Folder::open_existing)
    }

    /// Opens the store, or makes it.
    fn open_or_make(&self) -> Result<Opened, Error> {
        self.open_when_free(Embedded::open, Folder::open)
    }

    /// The damage in an embedded store, which is not opened: beside it what keeps others away.
    fn damage(&self) -> Result<Option<(Damage, Option<Folder>)>, Error> {
        let find = || match &self.store {
            Some(StorePlace::Embedded(path)) => Ok(Damage::find(path)?.map(|found| (found, None))),
            Some(StorePlace::Fdb { .. }) => {
                Err(Error::Failed("FoundationDB repairs its files itself".to_owned()))
            }
            None => {
                let folder = Folder::open_existing(&self.data)?;
                Ok(Damage::find(&folder.store())?.map(|found| (found, Some(folder))))
            }
        };
        when_free(find)
    }

    fn open_when_free(&self, store: StoreOpener, folder: FolderOpener) -> Result<Opened, Error> {
        when_free(|| self.try_open(store, folder))
    }
}

/// Waits a moment for who is about to end; an error says that somebody works on it.
fn when_free<T>(attempt: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
    let is_held = |error: &Error| {
        matches!(error, Error::InUse { .. } | Error::Store(weft_storage::Error::Locked(_)))
    };
    until_free(attempt, is_held).map_err(|error| {
        if is_held(&error) {
            return Error::Failed(format!("stop what runs on the store first: {error}"));
        }
        error
    })
}

impl StoreOptions {
    fn try_open(&self, store: StoreOpener, folder: FolderOpener) -> Result<Opened, Error> {
        match &self.store {
            Some(StorePlace::Embedded(path)) => open_embedded(store, path, None),
            Some(place @ StorePlace::Fdb { cluster, .. }) => {
                let opened = place.open()?;
                let place = cluster.display().to_string();
                Ok(Opened { store: opened.store.clone(), place, _kept: Some(Box::new(opened)) })
            }
            None => {
                let folder = folder(&self.data)?;
                open_embedded(store, &folder.store(), Some(Box::new(folder)))
            }
        }
    }
}

fn open_embedded(
    open: StoreOpener,
    path: &Path,
    kept: Option<Box<dyn Any>>,
) -> Result<Opened, Error> {
    let store = Store::new(open(path)?);
    Ok(Opened { store, place: path.display().to_string(), _kept: kept })
}

/// Does it.
pub fn run(options: AdminOptions) -> Result<(), Error> {
    block_on(async move {
        match options.command {
            AdminCommand::DeadLetters(place) => dead_letters::list(&place.open()?.store).await,
            AdminCommand::AcceptLoss(options) => accept_loss::run(options).await,
            AdminCommand::Repair(options) => repair::run(&options),
            AdminCommand::LowerFloor(options) => lower_floor::run(options).await,
            AdminCommand::Upgrade(options) => upgrade::run(options).await,
            AdminCommand::Export(options) => export::run(options).await,
            AdminCommand::Import(options) => import::run(options).await,
            AdminCommand::Presence(options) => presence::run(&options).await,
            AdminCommand::Nodes(installation) => nodes::run(&installation).await,
            AdminCommand::Drain(options) => drain::run(options).await,
            AdminCommand::Followers(installation) => followers::list(&installation).await,
            AdminCommand::ForgetFollower(options) => followers::forget(&options).await,
            AdminCommand::Push(options) => push::run(options).await,
            AdminCommand::Webhooks(options) => webhooks::run(options).await,
            AdminCommand::Reindex(options) => reindex::run(&options).await,
            AdminCommand::MakeAdministrator(options) => {
                administrators::act(AccountAction::MakeAdministrator, &options).await
            }
            AdminCommand::RemoveAdministrator(options) => {
                administrators::act(AccountAction::RemoveAdministrator, &options).await
            }
            AdminCommand::MakeUser(options) => {
                administrators::act(AccountAction::Make, &options).await
            }
            AdminCommand::SuspendUser(options) => {
                administrators::act(AccountAction::Suspend, &options).await
            }
            AdminCommand::DeleteUser(options) => administrators::delete(&options).await,
            AdminCommand::UnsuspendUser(options) => {
                administrators::act(AccountAction::Unsuspend, &options).await
            }
            AdminCommand::ResetUser(options) => {
                administrators::act(AccountAction::Reset, &options).await
            }
            AdminCommand::Bots(options) => bots::run(options).await,
            AdminCommand::Users(installation) => administrators::users(&installation).await,
            AdminCommand::Defaults(options) => defaults::run(&options).await,
            AdminCommand::Reports(installation) => reports::list(&installation).await,
            AdminCommand::ResolveReport(options) => reports::resolve(&options).await,
            AdminCommand::SignUp(options) => sign_up::run(&options).await,
            AdminCommand::MakeInvitation(options) => sign_up::invite(&options).await,
            AdminCommand::Invitations(installation) => sign_up::list(&installation).await,
            AdminCommand::RemoveInvitation(options) => sign_up::take_back(&options).await,
            AdminCommand::ExportRoom(options) => export_room::run(&options).await,
            AdminCommand::Log(installation) => administrators::log(&installation).await,
        }
    })
}
