//! `weft admin sign-up` and its kin: who may make an account, and invitations to do so.

use clap::Args;
use serde::Serialize;
use weft_proto::sign_up::SignUpMode;
use weft_proto::svc::{
    GetSignUp, Link, ListInvitations, MakeInvitation, OperatorGetSignUp, OperatorListInvitations,
    OperatorMakeInvitation, OperatorRemoveInvitation, OperatorSetSignUp, RemoveInvitation,
    SetSignUp,
};
use weft_runtime::{Clock as _, SystemClock};

use super::administrators::{line, refused};
use super::nodes::Installation;
use crate::error::Error;
use crate::process::say;

const HOUR_MS: u64 = 3_600_000;

#[derive(Args, Clone, Debug)]
pub struct SignUpOptions {
    /// `open` (everybody), `invitation` (who has one) or `closed` (nobody by themselves); left out: it is only said.
    #[arg(value_parser = mode)]
    mode: Option<SignUpMode>,
    /// Why: it is kept in the administrators' log.
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    installation: Installation,
}

fn mode(text: &str) -> Result<SignUpMode, String> {
    SignUpMode::parse(text).map_err(|error| error.message)
}

#[derive(Args, Clone, Debug)]
pub struct InvitationOptions {
    /// How many accounts may be made by it.
    #[arg(long, default_value_t = 1)]
    uses: u32,
    /// For how many hours it is good; left out: until it is used up.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=87_600))]
    hours: Option<u64>,
    /// Why: it is kept in the administrators' log.
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    installation: Installation,
}

#[derive(Args, Clone, Debug)]
pub struct RemoveOptions {
    /// Its id, as `weft admin invitations` says it.
    #[arg(value_name = "ID")]
    id: String,
    /// Why: it is kept in the administrators' log.
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    installation: Installation,
}

/// Says or changes who may make an account.
pub async fn run(options: &SignUpOptions) -> Result<(), Error> {
    let SignUpOptions { mode, reason, installation } = options;
    let bus = installation.connect().await?;
    match mode {
        None => {
            let request = Some(GetSignUp::default());
            let mode = bus.call(&OperatorGetSignUp { request }).await.map_err(refused)?.mode;
            say(SignUpMode::try_from(mode).unwrap_or(SignUpMode::Closed).as_str());
        }
        Some(mode) => {
            let (mode, reason) = ((*mode).into(), reason.clone());
            let request = Some(SetSignUp { mode, reason, ..SetSignUp::default() });
            bus.call(&OperatorSetSignUp { request }).await.map_err(refused)?;
            say("done");
        }
    }
    bus.close().await;
    Ok(())
}

/// A new invitation, in one line of JSON.
#[derive(Serialize)]
struct InvitedLine<'a> {
    id: &'a str,
    /// The secret.
    invitation: &'a str,
}

/// Makes one, and prints it.
pub async fn invite(options: &InvitationOptions) -> Result<(), Error> {
    let InvitationOptions { uses, hours, reason, installation } = options;
    let expires_ms = hours.map_or(0, |hours| SystemClock.now_ms() + hours * HOUR_MS);
    let (uses, reason, token) = (*uses, reason.clone(), String::new());
    let request = Some(MakeInvitation { token, expires_ms, uses, reason });
    let bus = installation.connect().await?;
    let made = bus.call(&OperatorMakeInvitation { request }).await;
    bus.close().await;
    let made = made.map_err(refused)?;
    line(&InvitedLine { id: &made.id, invitation: &made.invitation })
}

/// An invitation, in one line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    /// Which administrator made it; empty: an operator.
    by: &'a str,
    made_ms: u64,
    /// 0: it does not expire.
    expires_ms: u64,
    uses: u32,
    used: u32,
}

/// Prints all by which accounts can be made, a line each.
pub async fn list(installation: &Installation) -> Result<(), Error> {
    let bus = installation.connect().await?;
    let request = Some(ListInvitations::default());
    let links = bus.call(&OperatorListInvitations { request }).await;
    bus.close().await;
    for Link { id, by, made_ms, expires_ms, uses_max: uses, used } in links.map_err(refused)?.links
    {
        line(&Line { id: &id, by: &by, made_ms, expires_ms, uses, used })?;
    }
    Ok(())
}

/// Takes one back.
pub async fn take_back(options: &RemoveOptions) -> Result<(), Error> {
    let RemoveOptions { id, reason, installation } = options;
    let (id, reason) = (id.clone(), reason.clone());
    let request = Some(RemoveInvitation { id, reason, ..RemoveInvitation::default() });
    let bus = installation.connect().await?;
    let done = bus.call(&OperatorRemoveInvitation { request }).await;
    bus.close().await;
    done.map_err(refused)?;
    say("done");
    Ok(())
}
