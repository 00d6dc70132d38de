//! What administrators ask for, and operators on subjects of their own.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use weft_nats::subject::{ALL_DEVICES, WEFT_LOGOUT, WEFT_SUSPENDED};
use weft_nats::{Bus, Subject};
use weft_proto::svc::{self, Method};

use super::{HASHES_MAX, READS_MAX, Served, WRITES_MAX};
use crate::Error;
use crate::services::administration::{Administered, Authority};
use crate::services::{Context, Failure};

/// Pages of entries that administrators read at once: each holds up to 3 MB, and takes none of what others' pages share.
const LOOKS_MAX: usize = 2;

pub(super) async fn add(served: &mut Served, bus: &Bus) -> Result<(), Error> {
    let edges = bus.clone();
    let administer = move |c: Arc<Context>, by, m| {
        let edges = edges.clone();
        async move {
            let done = c.administer(by, m).await?;
            tell(&edges, &done).await;
            Ok(done.answer)
        }
    };
    add_both::<svc::Administer, svc::OperatorAdminister, _, _>(served, HASHES_MAX, administer)
        .await?;
    add_both::<svc::ListAccounts, svc::OperatorListAccounts, _, _>(
        served,
        READS_MAX,
        |c, by, m| async move { c.list_accounts(by, m).await },
    )
    .await?;
    add_both::<svc::ReadAdminLog, svc::OperatorReadAdminLog, _, _>(
        served,
        READS_MAX,
        |c, by, m| async move { c.admin_log(by, m).await },
    )
    .await?;
    add_rooms(served).await?;
    add_sign_up(served).await?;
    add_bots(served, bus).await
}

/// Bots are their owners', administrators' and operators'.
async fn add_bots(served: &mut Served, bus: &Bus) -> Result<(), Error> {
    add_both::<svc::MakeBot, svc::OperatorMakeBot, _, _>(
        served,
        WRITES_MAX,
        |c, by, m| async move { c.make_bot(by, m).await },
    )
    .await?;
    add_both::<svc::ListBots, svc::OperatorListBots, _, _>(
        served,
        READS_MAX,
        |c, by, m| async move { c.bots(by, m).await },
    )
    .await?;
    let edges = bus.clone();
    let delete = move |c: Arc<Context>, by, m| {
        let edges = edges.clone();
        async move {
            for ended in c.delete_bot(by, m).await? {
                super::tell(&edges, ended).await;
            }
            Ok(svc::Empty {})
        }
    };
    add_both::<svc::DeleteBot, svc::OperatorDeleteBot, _, _>(served, WRITES_MAX, delete).await?;
    add_both::<svc::MakeBotToken, svc::OperatorMakeBotToken, _, _>(
        served,
        WRITES_MAX,
        |c, by, m| async move { c.make_bot_token(by, m).await },
    )
    .await?;
    add_both::<svc::ListBotTokens, svc::OperatorListBotTokens, _, _>(
        served,
        READS_MAX,
        |c, by, m| async move { c.bot_tokens(by, m).await },
    )
    .await?;
    let edges = bus.clone();
    let revoke = move |c: Arc<Context>, by, m| {
        let edges = edges.clone();
        async move { Ok(super::tell(&edges, c.revoke_bot_token(by, m).await?).await) }
    };
    add_both::<svc::RevokeBotToken, svc::OperatorRevokeBotToken, _, _>(served, WRITES_MAX, revoke)
        .await
}

async fn add_rooms(served: &mut Served) -> Result<(), Error> {
    served.add::<svc::Report, _, _>(WRITES_MAX, |c, m| async move { c.report(m).await }).await?;
    add_both::<svc::ListReports, svc::OperatorListReports, _, _>(
        served,
        READS_MAX,
        |c, by, m| async move { c.reports(by, m).await },
    )
    .await?;
    add_both::<svc::ResolveReport, svc::OperatorResolveReport, _, _>(
        served,
        WRITES_MAX,
        |c, by, m| async move { c.resolve_report(by, m).await },
    )
    .await?;
    add_both::<svc::InspectRoom, svc::OperatorInspectRoom, _, _>(
        served,
        READS_MAX,
        |c, by, m| async move { c.inspect_room(by, m).await },
    )
    .await?;
    add_both::<svc::InspectMembers, svc::OperatorInspectMembers, _, _>(
        served,
        READS_MAX,
        |c, by, m| async move { c.inspect_members(by, m).await },
    )
    .await?;
    add_both::<svc::InspectLog, svc::OperatorInspectLog, _, _>(
        served,
        LOOKS_MAX,
        |c, by, m| async move { c.inspect_log(by, m).await },
    )
    .await
}

async fn add_sign_up(served: &mut Served) -> Result<(), Error> {
    add_both::<svc::GetDefaults, svc::OperatorGetDefaults, _, _>(
        served,
        READS_MAX,
        |c, by, m| async move { c.defaults(by, m).await },
    )
    .await?;
    add_both::<svc::SetDefault, svc::OperatorSetDefault, _, _>(
        served,
        WRITES_MAX,
        |c, by, m| async move { c.set_default(by, m).await },
    )
    .await?;
    add_both::<svc::GetSignUp, svc::OperatorGetSignUp, _, _>(
        served,
        READS_MAX,
        |c, by, m| async move { c.get_sign_up(by, m).await },
    )
    .await?;
    add_both::<svc::SetSignUp, svc::OperatorSetSignUp, _, _>(
        served,
        WRITES_MAX,
        |c, by, m| async move { c.set_sign_up(by, m).await },
    )
    .await?;
    add_both::<svc::MakeInvitation, svc::OperatorMakeInvitation, _, _>(
        served,
        WRITES_MAX,
        |c, by, m| async move { c.make_invitation(by, m).await },
    )
    .await?;
    add_both::<svc::ListInvitations, svc::OperatorListInvitations, _, _>(
        served,
        READS_MAX,
        |c, by, m| async move { c.invitations(by, m).await },
    )
    .await?;
    add_both::<svc::RemoveInvitation, svc::OperatorRemoveInvitation, _, _>(
        served,
        WRITES_MAX,
        |c, by, m| async move { c.remove_invitation(by, m).await },
    )
    .await
}

/// Serves a method for administrators, and the same one for operators.
async fn add_both<M, O, F, Fut>(
    served: &mut Served,
    concurrency_max: usize,
    call: F,
) -> Result<(), Error>
where
    M: Method + 'static,
    O: Method<Reply = M::Reply> + Into<M> + 'static,
    F: Fn(Arc<Context>, Authority, M) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<M::Reply, Failure>> + Send + 'static,
{
    let by_token = call.clone();
    let by_token = move |c, m| by_token(c, Authority::Token, m);
    served.add::<M, _, _>(concurrency_max, by_token).await?;
    let by_operator = move |c, m: O| call(c, Authority::Operator, m.into());
    served.add::<O, _, _>(concurrency_max, by_operator).await
}

/// Tells edges that all logins of users have ended, so that sessions end at once. It may be lost: edges ask every minute, too.
async fn tell(edges: &Bus, done: &Administered) {
    let headers = [(WEFT_LOGOUT, ALL_DEVICES), (WEFT_SUSPENDED, "1")];
    let headers = &headers[..if done.suspended { 2 } else { 1 }];
    for user in &done.ended {
        let subject = Subject::User(user.clone());
        if let Err(error) = edges.publish(&subject, headers, Bytes::new()).await {
            tracing::debug!(%subject, %error, "edges are not told that logins have ended");
            break;
        }
    }
}
