//! `weft admin followers` and `weft admin forget-follower`: who follows the journal, and so has it kept.

use clap::Args;
use serde::Serialize;
use weft_nats::Bus;
use weft_proto::svc::{FollowerPlace, ForgetFollower, ListFollowers};
use weft_proto::{ApiError, FollowerId};

use super::nodes::Installation;
use crate::error::Error;
use crate::process::say;

/// Which follower.
#[derive(Args, Clone, Debug)]
pub struct ForgetOptions {
    /// Its name, as `weft admin followers` says it.
    #[arg(value_name = "FOLLOWER", value_parser = follower)]
    follower: FollowerId,
    #[command(flatten)]
    installation: Installation,
}

fn follower(text: &str) -> Result<FollowerId, String> {
    FollowerId::new(text).map_err(|error| error.message)
}

/// A follower in a partition, in one line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    follower: &'a str,
    partition: u32,
    commit_no: u64,
    /// Commits that it has not done.
    lag: u64,
    /// When the oldest of them was made, Unix milliseconds; 0: there is none, or that is not known.
    waiting_since_ms: u64,
    /// Some of them are deleted: it has to begin anew.
    expired: bool,
}

/// Prints them, a line for each partition.
pub async fn list(installation: &Installation) -> Result<(), Error> {
    let bus = installation.connect().await?;
    let (mut partition, mut partitions) = (0, 1);
    while partition < partitions {
        let answer = bus.call(&ListFollowers { partition }).await.map_err(refused)?;
        partitions = answer.partitions;
        for place in &answer.followers {
            let line = serde_json::to_string(&Line::new(partition, place, answer.newest));
            say(&line.map_err(|error| Error::Failed(error.to_string()))?);
        }
        partition += 1;
    }
    bus.close().await;
    Ok(())
}

impl<'a> Line<'a> {
    fn new(partition: u32, place: &'a FollowerPlace, newest: u64) -> Self {
        Self {
            follower: &place.follower,
            partition,
            commit_no: place.commit_no,
            lag: newest.saturating_sub(place.commit_no),
            waiting_since_ms: place.waiting_since_ms,
            expired: place.expired,
        }
    }
}

/// Forgets it in all partitions.
pub async fn forget(ForgetOptions { follower, installation }: &ForgetOptions) -> Result<(), Error> {
    let bus = installation.connect().await?;
    let forgotten = forget_all(&bus, follower).await;
    bus.close().await;
    match forgotten? {
        0 => Err(Error::Failed(format!("nobody follows the journal as {follower}"))),
        partitions => {
            say(&format!("{follower} is forgotten in {partitions} partitions"));
            Ok(())
        }
    }
}

async fn forget_all(bus: &Bus, follower: &FollowerId) -> Result<u32, Error> {
    let partitions = bus.call(&ListFollowers { partition: 0 }).await.map_err(refused)?.partitions;
    let mut count = 0;
    for partition in 0..partitions {
        let asked = ForgetFollower { follower: follower.to_string(), partition };
        count += u32::from(bus.call(&asked).await.map_err(refused)?.was_there);
    }
    Ok(count)
}

fn refused(error: ApiError) -> Error {
    Error::Failed(error.to_string())
}
