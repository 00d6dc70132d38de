//! `weft admin defaults`: what holds for users who have not said it themselves, and what they may not say otherwise.

use clap::Args;
use serde::Serialize;
use weft_proto::consent::{AddBy, Strangers};
use weft_proto::svc::{
    GetDefaults, OperatorGetDefaults, OperatorSetDefault, SetDefault, WrittenMessages,
};

use super::administrators::{line, refused};
use super::nodes::Installation;
use crate::error::Error;
use crate::process::say;

#[derive(Args, Clone, Debug)]
pub struct DefaultsOptions {
    /// Who may put a user into a group: `all`, `known` or `none`. Others invite them.
    #[arg(long, value_parser = add_by, conflicts_with = "strangers")]
    add_by: Option<AddBy>,
    /// What first messages of who is not known to a user are: `welcome`, or a `request`.
    #[arg(long, value_parser = strangers)]
    strangers: Option<Strangers>,
    /// What becomes of messages when accounts are deleted, whoever deletes them: `keep`, `empty`, or `any`, as they say.
    #[arg(long, value_parser = messages, conflicts_with_all = ["add_by", "strangers"])]
    messages: Option<WrittenMessages>,
    /// Why: it is kept in the administrators' log.
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    installation: Installation,
}

fn add_by(text: &str) -> Result<AddBy, String> {
    AddBy::parse(text).map_err(|error| error.message)
}

fn strangers(text: &str) -> Result<Strangers, String> {
    Strangers::parse(text).map_err(|error| error.message)
}

pub fn messages(text: &str) -> Result<WrittenMessages, String> {
    WrittenMessages::parse(text).map_err(|error| error.message)
}

/// What holds, in one line of JSON.
#[derive(Serialize)]
struct DefaultsLine {
    add_by: &'static str,
    strangers: &'static str,
    messages: &'static str,
}

/// Says or changes what holds.
pub async fn run(options: &DefaultsOptions) -> Result<(), Error> {
    let DefaultsOptions { add_by, strangers, messages, reason, installation } = options;
    let bus = installation.connect().await?;
    if add_by.is_none() && strangers.is_none() && messages.is_none() {
        let request = Some(GetDefaults::default());
        let defaults = bus.call(&OperatorGetDefaults { request }).await.map_err(refused)?;
        let (add_by, strangers) = (defaults.add_by().as_str(), defaults.strangers().as_str());
        let messages = defaults.messages().as_str();
        line(&DefaultsLine { add_by, strangers, messages })?;
    } else {
        let (add_by, strangers) = (add_by.map(Into::into), strangers.map(Into::into));
        let (token, reason) = (String::new(), reason.clone());
        let messages = messages.map(Into::into);
        let request = Some(SetDefault { token, add_by, strangers, reason, messages });
        bus.call(&OperatorSetDefault { request }).await.map_err(refused)?;
        say("done");
    }
    bus.close().await;
    Ok(())
}
