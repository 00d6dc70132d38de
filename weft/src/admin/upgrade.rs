//! `weft admin upgrade`.

use clap::Args;
use weft_core::{FEATURE_LEVEL, UPGRADE_PAUSE, Upgrade};

use super::StoreOptions;
use crate::error::Error;
use crate::process::say;

/// Raises the store's feature level.
#[derive(Args, Clone, Debug)]
pub struct UpgradeOptions {
    #[command(flatten)]
    place: StoreOptions,
    /// Do it; else it is only said what would be done.
    #[arg(long)]
    yes: bool,
}

/// Says what is done, and does it where that is wanted.
pub async fn run(options: UpgradeOptions) -> Result<(), Error> {
    let opened = options.place.open()?;
    let place = &opened.place;
    let upgrade = Upgrade::prepare(&opened.store, FEATURE_LEVEL).await?;
    let Some(upgrade) = upgrade else {
        say(&format!("The store at {place} is at feature level {FEATURE_LEVEL}: nothing to do."));
        return Ok(());
    };
    say(&describe(place, &upgrade));
    if !options.yes {
        return Err(Error::Failed("nothing was changed: add --yes to do it".to_owned()));
    }
    upgrade.commit(&opened.store, UPGRADE_PAUSE).await?;
    say("done");
    Ok(())
}

fn describe(place: &str, Upgrade { from, to, .. }: &Upgrade) -> String {
    let stop = match from {
        0 => {
            "Every core and every edge must be stopped while this is done. Start them again after it."
        }
        _ => "Cores of this version may run: each takes its partitions anew, twice within seconds.",
    };
    format!(
        "The feature level of the store at {place} is raised from {from} to {to}.
  A core of an earlier version does not serve the store any more: it ends, and says why.
  There is no way back, but for a copy of the store.
  {stop}"
    )
}
