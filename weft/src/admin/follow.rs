//! `weft admin follow`: says what is committed in a partition, entry by entry, from where the name was.

use std::time::Duration;

use clap::Args;
use tokio::time::sleep;
use weft_proto::svc::{CommittedEntry, FollowJournal, MoveFollower, ReadJournal};

use super::nodes::Installation;
use crate::error::Error;
use crate::process::say;

/// Who follows what.
#[derive(Args, Clone, Debug)]
pub struct FollowOptions {
    /// The name under which its place is kept.
    follower: String,
    /// The partition.
    #[arg(long, default_value_t = 0)]
    partition: u32,
    #[command(flatten)]
    installation: Installation,
}

/// Follows until it is ended, or replaced by another process of this name.
pub async fn run(options: &FollowOptions) -> Result<(), Error> {
    let FollowOptions { follower, partition, installation } = options;
    let (follower, partition) = (follower.clone(), *partition);
    let refused = |error: weft_proto::ApiError| Error::Failed(error.to_string());
    let bus = installation.connect().await?;
    let begin = async |after| {
        let follower = follower.clone();
        bus.call(&FollowJournal { follower, partition, after }).await.map_err(refused)
    };
    let mut place = begin(None).await?;
    loop {
        let asked = ReadJournal { partition, after: place.commit_no };
        let page = bus.call(&asked).await.map_err(refused)?;
        if page.expired || page.store != place.store {
            say("expired: read all rooms");
            place = begin(Some(begin(None).await?.newest)).await?;
            continue;
        }
        for CommittedEntry { room, seq, kind, from, .. } in
            page.commits.iter().flat_map(|it| &it.entries)
        {
            say(&format!("{room} {seq} {kind} {from}"));
        }
        if let Some(commit) = page.commits.last() {
            let (follower, epoch, commit_no) = (follower.clone(), place.epoch, commit.commit_no);
            let moved = MoveFollower { follower, partition, epoch, commit_no };
            place = bus.call(&moved).await.map_err(refused)?;
        }
        if !page.more {
            sleep(Duration::from_millis(200)).await;
        }
    }
}
