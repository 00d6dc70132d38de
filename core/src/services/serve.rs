//! The methods on NATS.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use weft_nats::subject::{WEFT_CHANGE, WEFT_LOGOUT};
use weft_nats::{Bus, IngestLog, Services, Subject};
use weft_proto::frame::ProfileFrame;
use weft_proto::svc::{self, Method};
use weft_proto::{ChangeHead, ErrorCode, UserId};

use super::Context;
use super::accounts::SetProfile;
use super::bot_logins;
use super::failure::Failure;
use super::interactions::Push;
use super::logins::{EndedLogin, Refreshed, void};
use super::previews::Told;
use crate::Error;

mod administration;
mod feeds;
mod webhooks;

/// Most calls of one method that run at once; more wait, and still more are refused.
const READS_MAX: usize = 64;
/// The same for calls that hash passwords: these have a narrower queue of their own.
const HASHES_MAX: usize = 64;
/// The same for other writes.
const WRITES_MAX: usize = 64;
/// The same for syncs and reads of logs. Beside it there is a budget of bytes, see [`PAGE_HELD_BYTES`].
const PAGES_MAX: usize = 64;
/// What a call with a page of entries holds at most, while it reads: the page, which ends after the
/// entry that passes its size, four large entries that were read together, and the answer's bytes.
const PAGE_HELD_BYTES: u32 = 3 << 20;
/// The same for what looks at up to 20,000 rows, page by page.
const SEARCHES_MAX: usize = 16;
/// The same for looks at files that are due: each is many commits.
const FILE_LOOKS_MAX: usize = 4;
/// The same for audits.
const AUDITS_MAX: usize = 8;
/// What an audit holds at most: rows and heads.
const AUDIT_HELD_BYTES: u32 = 10 << 20;

/// Serves all methods, from the moment it returns to the answer's `shutdown`, which still answers
/// what was taken.
///
/// # Errors
/// Those of the wire.
pub async fn start(context: Arc<Context>, bus: &Bus) -> Result<Services, Error> {
    let services = Services::start(bus, env!("CARGO_PKG_VERSION"));
    let mut served = Served { services, context };
    served.add::<svc::Signup, _, _>(HASHES_MAX, |c, m| async move { c.signup(m).await }).await?;
    add_logins(&mut served, bus).await?;
    administration::add(&mut served, bus).await?;
    served
        .add::<svc::GetProfile, _, _>(READS_MAX, |c, m| async move { c.profile_get(m).await })
        .await?;
    add_profiles(&mut served, bus).await?;
    served.add::<svc::GetKeys, _, _>(READS_MAX, |c, _| async move { Ok(c.keys()) }).await?;
    served.add::<svc::ListGroups, _, _>(READS_MAX, |c, m| async move { c.groups(m).await }).await?;
    served.add::<svc::ListRooms, _, _>(READS_MAX, |c, m| async move { c.list(m).await }).await?;
    served.add::<svc::GetRoom, _, _>(READS_MAX, |c, m| async move { c.get(m).await }).await?;
    served
        .add::<svc::ListMembers, _, _>(READS_MAX, |c, m| async move { c.members(m).await })
        .await?;
    served.add::<svc::ListBanned, _, _>(READS_MAX, |c, m| async move { c.banned(m).await }).await?;
    served.add::<svc::FindGroups, _, _>(READS_MAX, |c, m| async move { c.find(m).await }).await?;
    served.add::<svc::ListAsking, _, _>(READS_MAX, |c, m| async move { c.asking(m).await }).await?;
    served
        .add::<svc::ListInvited, _, _>(READS_MAX, |c, m| async move { c.invited(m).await })
        .await?;
    served
        .add::<svc::ListGroupInvitations, _, _>(READS_MAX, |c, m| async move {
            c.group_invitations(m).await
        })
        .await?;
    served.add::<svc::ListLinks, _, _>(READS_MAX, |c, m| async move { c.links(m).await }).await?;
    served
        .add::<svc::ListReceipts, _, _>(READS_MAX, |c, m| async move { c.receipts(m).await })
        .await?;
    let pages = (PAGES_MAX, PAGE_HELD_BYTES);
    served
        .add_large::<svc::ReadLog, _, _>(
            pages,
            |c, m| user(c, &m.token),
            |c, m| async move { c.log_read(m).await },
        )
        .await?;
    served
        .add_large::<svc::Sync, _, _>(
            pages,
            |c, m| user(c, &m.token),
            |c, m| async move { c.sync(m).await },
        )
        .await?;
    served
        .add_large::<svc::ReadVersions, _, _>(
            pages,
            |c, m| user(c, &m.token),
            |c, m| async move { c.versions(m).await },
        )
        .await?;
    served
        .add_large::<svc::ListPins, _, _>(
            pages,
            |c, m| user(c, &m.token),
            |c, m| async move { c.pins(m).await },
        )
        .await?;
    served
        .add_large::<svc::ListDrafts, _, _>(
            pages,
            |c, m| user(c, &m.token),
            |c, m| async move { c.drafts(m).await },
        )
        .await?;
    served
        .add_large::<svc::ListScheduled, _, _>(
            pages,
            |c, m| user(c, &m.token),
            |c, m| async move { c.scheduled(m).await },
        )
        .await?;
    served
        .add::<svc::ListThreads, _, _>(SEARCHES_MAX, |c, m| async move { c.threads(m).await })
        .await?;
    served
        .add::<svc::ListReactions, _, _>(READS_MAX, |c, m| async move { c.reactions(m).await })
        .await?;
    let audits = (AUDITS_MAX, AUDIT_HELD_BYTES);
    served
        .add_large::<svc::Audit, _, _>(audits, nobody, |c, m| async move { c.audit(m).await })
        .await?;
    add_journal(&mut served).await?;
    add_files(&mut served).await?;
    add_previews(&mut served, bus).await?;
    add_index(&mut served).await?;
    add_push(&mut served).await?;
    feeds::add(&mut served).await?;
    webhooks::add(&mut served, bus).await?;
    add_hooks(&mut served).await?;
    add_people(&mut served).await?;
    add_interactions(&mut served, bus).await?;
    add_status(&mut served).await?;
    add_bot_logins(&served, bus).await?;
    // The server knows of all of them, before anybody hears that this node is there.
    bus.flush().await?;
    Ok(served.services)
}

/// Who has no key for it leaves bots to other cores.
async fn add_bot_logins(served: &Served, bus: &Bus) -> Result<(), Error> {
    let context = Arc::clone(&served.context);
    let Some(issuer) = context.bot_issuer.clone() else { return Ok(()) };
    let looking = bot_logins::watch(Arc::clone(&context), bus.clone());
    let decide = move |login| {
        let context = Arc::clone(&context);
        async move { context.bot_grant(login).await.map_err(|failure| failure.answer("bots")) }
    };
    served.services.answer_bot_logins(issuer, decide).await?;
    served.services.run_beside(looking);
    Ok(())
}

async fn add_profiles(served: &mut Served, bus: &Bus) -> Result<(), Error> {
    served
        .add::<svc::GetProfiles, _, _>(READS_MAX, |c, m| async move { c.profiles(m).await })
        .await?;
    served
        .add::<svc::FindUsers, _, _>(SEARCHES_MAX, |c, m| async move { c.find_users(m).await })
        .await?;
    let edges = bus.clone();
    let set = move |c: Arc<Context>, m| {
        let edges = edges.clone();
        async move {
            let SetProfile { profile, hear } = c.profile_set(m).await?;
            tell_of_profile(&edges, &profile, hear).await;
            Ok(profile)
        }
    };
    served.add::<svc::SetProfile, _, _>(WRITES_MAX, set).await
}

/// Tells users that a profile has changed. It may be lost: clients ask for what they show when they connect.
async fn tell_of_profile(edges: &Bus, profile: &svc::Profile, hear: Vec<UserId>) {
    let Some(user) = hear.first() else { return };
    let head = ChangeHead::profile(user).to_string();
    let frame: Bytes = ProfileFrame { profile: profile.clone().into() }.to_frame().into();
    for user in hear {
        let subject = Subject::User(user);
        let headers = [(WEFT_CHANGE, head.as_str())];
        if let Err(error) = edges.publish(&subject, &headers, frame.clone()).await {
            tracing::debug!(%subject, %error, "users are not told of a changed profile");
            break;
        }
    }
}

async fn add_logins(served: &mut Served, bus: &Bus) -> Result<(), Error> {
    served.add::<svc::Login, _, _>(HASHES_MAX, |c, m| async move { c.login(m).await }).await?;
    let edges = bus.clone();
    let refresh = move |c: Arc<Context>, m| {
        let edges = edges.clone();
        async move {
            match c.refresh(m).await? {
                Refreshed::Tokens(tokens) => Ok(tokens),
                Refreshed::Ended(ended) => {
                    tell(&edges, ended).await;
                    Err(void())
                }
            }
        }
    };
    served.add::<svc::Refresh, _, _>(WRITES_MAX, refresh).await?;
    served
        .add::<svc::CheckLogins, _, _>(READS_MAX, |c, m| async move { c.check_logins(m).await })
        .await?;
    served
        .add::<svc::ListDevices, _, _>(READS_MAX, |c, m| async move { c.devices(m).await })
        .await?;
    let edges = bus.clone();
    let logout = move |c: Arc<Context>, m| {
        let edges = edges.clone();
        async move { Ok(tell(&edges, c.logout(m).await?).await) }
    };
    served.add::<svc::Logout, _, _>(WRITES_MAX, logout).await?;
    let edges = bus.clone();
    let password = move |c: Arc<Context>, m| {
        let edges = edges.clone();
        async move { Ok(tell(&edges, c.password(m).await?).await) }
    };
    served.add::<svc::ChangePassword, _, _>(HASHES_MAX, password).await?;
    served.add::<svc::SetPush, _, _>(WRITES_MAX, |c, m| async move { c.push_set(m).await }).await?;
    served
        .add::<svc::RemovePush, _, _>(WRITES_MAX, |c, m| async move { c.push_remove(m).await })
        .await?;
    let edges = bus.clone();
    let delete = move |c: Arc<Context>, m| {
        let edges = edges.clone();
        async move {
            for ended in c.delete_account(m).await? {
                tell(&edges, ended).await;
            }
            Ok(svc::Empty {})
        }
    };
    served.add::<svc::DeleteAccount, _, _>(HASHES_MAX, delete).await
}

/// Tells edges that logins have ended, so that sessions end at once. That is a courtesy and may be
/// lost: edges ask every minute, too.
async fn tell(edges: &Bus, ended: EndedLogin) -> svc::Empty {
    let subject = Subject::User(ended.user);
    for device in &ended.devices {
        let headers = [(WEFT_LOGOUT, device.as_str())];
        if let Err(error) = edges.publish(&subject, &headers, Bytes::new()).await {
            tracing::debug!(%subject, %device, %error, "edges are not told of a logout");
            // The caller waits, and NATS is away for the others as well.
            break;
        }
    }
    svc::Empty {}
}

async fn add_journal(served: &mut Served) -> Result<(), Error> {
    let pages = (PAGES_MAX, PAGE_HELD_BYTES);
    served
        .add_large::<svc::ReadJournal, _, _>(pages, nobody, |c, m| async move {
            c.journal_read(m).await
        })
        .await?;
    served
        .add::<svc::FollowJournal, _, _>(
            WRITES_MAX,
            |c, m| async move { c.journal_follow(m).await },
        )
        .await?;
    served
        .add::<svc::MoveFollower, _, _>(WRITES_MAX, |c, m| async move { c.journal_move(m).await })
        .await?;
    served
        .add::<svc::ListFollowers, _, _>(
            READS_MAX,
            |c, m| async move { c.journal_followers(m).await },
        )
        .await?;
    served
        .add::<svc::ForgetFollower, _, _>(
            WRITES_MAX,
            |c, m| async move { c.journal_forget(m).await },
        )
        .await
}

async fn add_files(served: &mut Served) -> Result<(), Error> {
    served
        .add::<svc::BeginFile, _, _>(WRITES_MAX, |c, m| async move { c.file_begin(m).await })
        .await?;
    served
        .add::<svc::LookAtFile, _, _>(READS_MAX, |c, m| async move { c.file_look(m).await })
        .await?;
    served
        .add::<svc::DiscardFile, _, _>(WRITES_MAX, |c, m| async move { c.file_discard(m).await })
        .await?;
    served
        .add::<svc::FinishFile, _, _>(WRITES_MAX, |c, m| async move { c.file_ready(m).await })
        .await?;
    served
        .add::<svc::ListDueFiles, _, _>(FILE_LOOKS_MAX, |c, m| async move { c.files_due(m).await })
        .await?;
    served
        .add::<svc::FileDeleted, _, _>(WRITES_MAX, |c, m| async move { c.file_deleted(m).await })
        .await?;
    served
        .add::<svc::GetUrlKeys, _, _>(READS_MAX, |c, _| async move { Ok(c.file_url_keys()) })
        .await
}

async fn add_previews(served: &mut Served, bus: &Bus) -> Result<(), Error> {
    served
        .add::<svc::FindLinks, _, _>(FILE_LOOKS_MAX, |c, m| async move { c.preview_links(m).await })
        .await?;
    served
        .add::<svc::BeginImage, _, _>(WRITES_MAX, |c, m| async move { c.preview_image(m).await })
        .await?;
    let bus = bus.clone();
    let put = move |c: Arc<Context>, m| {
        let bus = bus.clone();
        async move { tell_owner(&bus, c.preview_put(m).await?).await }
    };
    served.add::<svc::PutPreview, _, _>(WRITES_MAX, put).await
}

/// The room's owner reads it in the order of its log, as what it tells itself.
async fn tell_owner(bus: &Bus, told: Told) -> Result<svc::Empty, Failure> {
    let Told { partition, sender, room, body } = told;
    let log = IngestLog::open(bus, partition);
    match log.tell_itself(&sender, &room, body.to_json().into()).await {
        Ok(_) => Ok(svc::Empty {}),
        Err(error) => {
            tracing::debug!(%room, %error, "an owner is not told");
            Err(Failure::new(ErrorCode::Unavailable, "the ingest log is away"))
        }
    }
}

async fn add_index(served: &mut Served) -> Result<(), Error> {
    let pages = (PAGES_MAX, PAGE_HELD_BYTES);
    served
        .add_large::<svc::ReadChanged, _, _>(pages, nobody, |c, m| async move {
            c.index_changed(m).await
        })
        .await?;
    served
        .add_large::<svc::WalkMessages, _, _>(
            pages,
            nobody,
            |c, m| async move { c.index_walk(m).await },
        )
        .await?;
    served
        .add::<svc::ListIndexed, _, _>(READS_MAX, |c, m| async move { c.index_rooms(m).await })
        .await?;
    served
        .add::<svc::ListSearchable, _, _>(READS_MAX, |c, m| async move { c.searchable(m).await })
        .await?;
    served
        .add_large::<svc::ReadFound, _, _>(
            pages,
            |c, m| user(c, &m.token),
            |c, m| async move { c.found_entries(m).await },
        )
        .await
}

async fn add_push(served: &mut Served) -> Result<(), Error> {
    let pages = (PAGES_MAX, PAGE_HELD_BYTES);
    served
        .add_large::<svc::ListPushTargets, _, _>(pages, nobody, |c, m| async move {
            c.push_targets(m).await
        })
        .await?;
    served
        .add_large::<svc::ListInvitedTargets, _, _>(pages, nobody, |c, m| async move {
            c.push_invited(m).await
        })
        .await?;
    served
        .add::<svc::LookAtPush, _, _>(READS_MAX, |c, m| async move { c.push_look(m).await })
        .await?;
    served.add::<svc::DropPush, _, _>(WRITES_MAX, |c, m| async move { c.push_drop(m).await }).await
}

async fn add_interactions(served: &mut Served, bus: &Bus) -> Result<(), Error> {
    served
        .add::<svc::SetBotCommands, _, _>(
            WRITES_MAX,
            |c, m| async move { c.set_bot_commands(m).await },
        )
        .await?;
    served
        .add::<svc::ListBotCommands, _, _>(
            SEARCHES_MAX,
            |c, m| async move { c.bot_commands(m).await },
        )
        .await?;
    let edges = bus.clone();
    let interact = move |c: Arc<Context>, m| {
        let edges = edges.clone();
        async move {
            let (told, push) = c.interact(m).await?;
            push_interaction(&edges, push).await?;
            Ok(told)
        }
    };
    served.add::<svc::Interact, _, _>(READS_MAX, interact).await?;
    let edges = bus.clone();
    let answer = move |c: Arc<Context>, m| {
        let edges = edges.clone();
        async move {
            let (answered, push) = c.answer_interaction(m).await?;
            if let Some(push) = push {
                push_interaction(&edges, push).await?;
            }
            Ok(answered)
        }
    };
    served.add::<svc::AnswerInteraction, _, _>(READS_MAX, answer).await
}

/// It may be lost: then the bot has said nothing, or the user is told that it has not.
async fn push_interaction(edges: &Bus, push: Push) -> Result<(), Failure> {
    let Push { user, interaction, room, frame } = push;
    let head = ChangeHead::interaction(&room, &interaction).to_string();
    let headers = [(WEFT_CHANGE, head.as_str())];
    edges.publish(&Subject::User(user), &headers, frame).await.map_err(|error| {
        tracing::debug!(%room, %error, "an interaction is not told");
        Failure::new(ErrorCode::Unavailable, "NATS is away")
    })
}

async fn add_hooks(served: &mut Served) -> Result<(), Error> {
    served
        .add::<svc::MakeHook, _, _>(WRITES_MAX, |c, m| async move { c.hook_make(m).await })
        .await?;
    served.add::<svc::ListHooks, _, _>(READS_MAX, |c, m| async move { c.hooks(m).await }).await?;
    served
        .add::<svc::RenewHook, _, _>(WRITES_MAX, |c, m| async move { c.hook_renew(m).await })
        .await?;
    served
        .add::<svc::RemoveHook, _, _>(WRITES_MAX, |c, m| async move { c.hook_remove(m).await })
        .await?;
    served.add::<svc::OpenHook, _, _>(READS_MAX, |c, m| async move { c.hook_open(m).await }).await
}

async fn add_people(served: &mut Served) -> Result<(), Error> {
    served.add::<svc::Reaches, _, _>(READS_MAX, |c, m| async move { c.reaches(m).await }).await?;
    served
        .add::<svc::ListRelations, _, _>(READS_MAX, |c, m| async move { c.relations(m).await })
        .await?;
    served
        .add::<svc::ListCompanions, _, _>(SEARCHES_MAX, |c, m| async move { c.companions(m).await })
        .await?;
    served
        .add::<svc::AreVisible, _, _>(SEARCHES_MAX, |c, m| async move { c.visible(m).await })
        .await
}

async fn add_status(served: &mut Served) -> Result<(), Error> {
    served
        .add::<svc::ChooseStatus, _, _>(WRITES_MAX, |c, m| async move { c.status_choose(m).await })
        .await?;
    served
        .add::<svc::GetStatus, _, _>(READS_MAX, |c, m| async move { c.status_get(m).await })
        .await?;
    served
        .add::<svc::LoadStatuses, _, _>(READS_MAX, |c, m| async move { c.status_load(m).await })
        .await?;
    served
        .add::<svc::NoteActive, _, _>(WRITES_MAX, |c, m| async move { c.status_active(m).await })
        .await
}

struct Served {
    services: Services,
    context: Arc<Context>,
}

impl Served {
    async fn add<M, F, Fut>(&mut self, concurrency_max: usize, call: F) -> Result<(), Error>
    where
        M: Method + 'static,
        F: Fn(Arc<Context>, M) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<M::Reply, Failure>> + Send + 'static,
    {
        self.add_large::<M, F, Fut>((concurrency_max, 0), nobody, call).await
    }

    /// With the most bytes that a call holds, and whose share that is.
    async fn add_large<M, F, Fut>(
        &mut self,
        (concurrency_max, call_bytes_max): (usize, u32),
        caller: fn(&Context, &M) -> Option<String>,
        call: F,
    ) -> Result<(), Error>
    where
        M: Method + 'static,
        F: Fn(Arc<Context>, M) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<M::Reply, Failure>> + Send + 'static,
    {
        let context = Arc::clone(&self.context);
        let handler = move |request: M| {
            let answer = call(Arc::clone(&context), request);
            async move { answer.await.map_err(|failure| failure.answer(M::METHOD)) }
        };
        let context = Arc::clone(&self.context);
        let caller = move |request: &M| caller(&context, request);
        let services = &mut self.services;
        let handled =
            services.handle_large::<M, _, _>(concurrency_max, call_bytes_max, caller, handler);
        Ok(handled.await?)
    }
}

/// The user of a token, in whose share a call counts. Who has none is refused by the call itself.
fn user(context: &Context, token: &str) -> Option<String> {
    context.tokens.verify(token).ok().map(|caller| caller.user.to_string())
}

/// A call of a part of Weft for itself.
fn nobody<M>(_: &Context, _: &M) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use weft_harness::server::Server;
    use weft_proto::ErrorCode;

    use super::super::testing::World;
    use super::*;

    /// Logs alice in twice on the phone, and on a tablet, which the new password ends, then out:
    /// the devices that edges hear of.
    async fn tell_of_logouts(edge: &Bus) -> Vec<String> {
        let user = weft_proto::UserId::new("alice").expect("id");
        let mut told = edge.subscribe(&Subject::User(user)).await.expect("subscribe");
        edge.flush().await.expect("flush");
        let login = async |device: &str| {
            let (user, password) = ("alice".into(), "hunter22".into());
            let login =
                svc::Login { user, password, device: device.into(), ..svc::Login::default() };
            edge.call(&login).await.expect("login").token
        };
        login("tablet").await;
        login("phone").await;
        let token = login("phone").await;
        let (old, new) = ("hunter22".into(), "hunter33".into());
        let password = svc::ChangePassword { token: token.clone(), old, new };
        edge.call(&password).await.expect("password");
        edge.call(&svc::Logout { token, ..svc::Logout::default() }).await.expect("logout");
        let mut devices = Vec::new();
        for _ in 0..2 {
            let message = told.next().await.expect("a message");
            assert!(message.payload().is_empty());
            devices.push(message.header(WEFT_LOGOUT).expect("a device").to_owned());
        }
        devices
    }

    #[tokio::test]
    async fn edges_and_presence_nodes_get_answers_over_nats() {
        let mut server = Server::bare(1).await;
        let (core, edge) = (server.bus("core", "n").await, server.bus("edge", "n").await);
        let context = World::new().await.context;
        let services = super::start(Arc::new(context), &core).await.expect("start");

        let signup = svc::Signup {
            user: "alice".into(),
            password: "hunter22".into(),
            display_name: "Alice".into(),
            ..svc::Signup::default()
        };
        assert_eq!(edge.call(&signup).await.expect("signup").display_name, "Alice");
        let taken = edge.call(&signup).await.expect_err("taken");
        assert_eq!(taken.code, ErrorCode::UserExists);
        let login = svc::Login {
            user: "alice".into(),
            password: "hunter22".into(),
            device: "phone".into(),
            ..svc::Login::default()
        };
        let token = edge.call(&login).await.expect("login").token;
        assert_eq!(edge.call(&svc::GetKeys {}).await.expect("keys").keys.len(), 1);
        let rooms = svc::ListRooms { token: token.clone(), ..svc::ListRooms::default() };
        assert!(edge.call(&rooms).await.expect("rooms").rooms.is_empty());
        let companions = svc::ListCompanions { token: token.clone() };
        assert!(edge.call(&companions).await.expect("companions").users.is_empty());
        let (users, own) = (vec!["alice".to_owned()], token.clone());
        let visible = svc::AreVisible { token: own, users: users.clone(), room: String::new() };
        assert_eq!(edge.call(&visible).await.expect("visible").users, users);
        let choose = svc::ChooseStatus { token: token.clone(), ..svc::ChooseStatus::default() };
        let chosen = edge.call(&choose).await.expect("choose");
        let get = svc::GetStatus { token: token.clone() };
        assert_eq!(edge.call(&get).await.expect("get"), chosen);
        let active = svc::Active { user: "alice".into(), last_active_ms: 7 };
        let presence = server.bus("presence", "n").await;
        presence.call(&svc::NoteActive { users: vec![active] }).await.expect("active");
        let kept = presence.call(&svc::LoadStatuses { users }).await.expect("load").users;
        assert_eq!(kept, [svc::KeptStatus { chosen: Some(chosen), last_active_ms: 7 }]);
        let sync = svc::Sync { token, ..svc::Sync::default() };
        let page = edge.call(&sync).await.expect("sync");
        assert_eq!(page.resync(), svc::Resync::NoCursor);
        let audit = svc::Audit { partition: 0, since: Some(0) };
        assert_eq!(edge.call(&audit).await.expect("audit").through, 0);
        assert_eq!(tell_of_logouts(&edge).await, ["tablet", "phone"]);
        services.shutdown().await;
        server.stop().await;
    }
}
