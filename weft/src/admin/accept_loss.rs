//! `weft admin accept-loss`.

use clap::Args;
use weft_core::partition::loss::Acceptance;
use weft_proto::StoreId;

use super::StoreOptions;
use crate::error::Error;
use crate::process::say;

/// Accepts that a store lacks what was acknowledged after it was copied.
#[derive(Args, Clone, Debug)]
pub struct AcceptLossOptions {
    #[command(flatten)]
    place: StoreOptions,
    /// Do it; else it is only said what would be done.
    #[arg(long)]
    yes: bool,
}

/// Says what is done, and does it where that is wanted.
pub async fn run(options: AcceptLossOptions) -> Result<(), Error> {
    let opened = options.place.open()?;
    let id = StoreId(rand::random());
    let acceptance = Acceptance::prepare(&opened.store, id, rand::random()).await?;
    say(&describe(&opened.place, &acceptance));
    if !options.yes {
        return Err(Error::Failed("nothing was changed: add --yes to do it".to_owned()));
    }
    acceptance.commit(&opened.store).await?;
    say("done: start core again; edges that run notice it, and tell their sessions");
    Ok(())
}

fn describe(place: &str, acceptance: &Acceptance) -> String {
    let Acceptance { id_before, id, applied, .. } = acceptance;
    let applied: String = applied
        .iter()
        .map(|(partition, stream_seq)| format!("\n    partition {partition}: {stream_seq}"))
        .collect();
    format!(
        "The store at {place} is served again as it is.
  Lost for good: entries that were acknowledged after this copy of it was made, and that
    its ingest logs have trimmed.
  Its id changes from {:016x} to {:016x}: every device loads its rooms anew.
  Each partition goes on where its ingest log begins, where that is after what is applied:{applied}",
        id_before.0, id.0,
    )
}
