//! `weft admin repair`.

use clap::Args;

use super::StoreOptions;
use crate::error::Error;
use crate::process::say;

/// Leaves out what is damaged in an embedded store's journal, and what follows it.
#[derive(Args, Clone, Debug)]
pub struct RepairOptions {
    #[command(flatten)]
    place: StoreOptions,
    /// Do it; else it is only said what would be lost.
    #[arg(long)]
    yes: bool,
}

/// Says what would be lost, and does it where that is wanted.
pub fn run(options: &RepairOptions) -> Result<(), Error> {
    let Some((damage, _kept)) = options.place.damage()? else {
        say("the journal is whole: nothing to do");
        return Ok(());
    };
    say(&damage.describe()?);
    if !damage.is_synced() {
        say("It is the end of what was written: the next start leaves it out by itself.");
    } else if options.yes {
        damage.leave_out()?;
        say("done: the store gets a new id with its next start, so every device loads its rooms \
             anew.\nWhere ingest logs have trimmed what is lost, core asks for `weft admin \
             accept-loss`.");
    } else {
        return Err(Error::Failed("nothing was changed: add --yes to do it".to_owned()));
    }
    Ok(())
}
