//! `weft admin lower-floor`.

use clap::Args;
use weft_core::partition::floor::Lowering;
use weft_runtime::{Clock as _, SystemClock};

use super::StoreOptions;
use crate::error::Error;
use crate::process::say;

/// Lets fresh client ids in again after a clock was ahead.
#[derive(Args, Clone, Debug)]
pub struct LowerFloorOptions {
    #[command(flatten)]
    place: StoreOptions,
    /// Do it; else it is only said what would be done.
    #[arg(long)]
    yes: bool,
}

/// Says what is done, and does it where that is wanted.
pub async fn run(options: LowerFloorOptions) -> Result<(), Error> {
    let opened = options.place.open()?;
    let now_ms = SystemClock.now_ms();
    let lowering = Lowering::prepare(&opened.store, now_ms, rand::random()).await?;
    if lowering.ahead.is_empty() {
        say(&format!("The store at {} is in order: no floor is in the future.", opened.place));
        return Ok(());
    }
    say(&describe(&opened.place, &lowering));
    if !options.yes {
        return Err(Error::Failed("nothing was changed: add --yes to do it".to_owned()));
    }
    lowering.commit(&opened.store).await?;
    say("done: start core again");
    Ok(())
}

fn describe(place: &str, Lowering { ahead, hour, .. }: &Lowering) -> String {
    let ahead: String = ahead
        .iter()
        .map(|(partition, floor)| format!("\n    partition {partition}: {} hours", floor - hour))
        .collect();
    format!(
        "The store at {place} refuses fresh client ids (expired_id), since a clock was ahead once. Its
  floors are in the future by:{ahead}
  They are lowered to the hour that it is by this machine's clock, which must be right. Ids of
    earlier hours stay refused: nobody can tell any more whether their entries were committed.
  What was sent earlier in this hour, before the clock was ahead, and is sent again now could
    be there twice. To exclude that, wait for the next full hour."
    )
}
