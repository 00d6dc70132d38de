//! Devices: each connects, listens for a while, goes away, and resumes by the newest cursor that it
//! has kept.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use weft_proto::frame::CloseCode;

use super::client::{USERS, user};
use super::marks::Known;
use super::socket::{Out, Socket, position};
use super::world::World;

/// Never ends: at the end of the schedule it listens.
pub async fn device(world: Arc<World>, number: u64) {
    let user = user(USERS[world.below(3) as usize]);
    let (mut cursor, mut known) = (String::new(), Known::default());
    world.sleep_below(world.config.span_ms).await;
    loop {
        let edge = world.edge();
        let session = world.new_number();
        let mut socket = Socket::open(&edge, session, &user, (&cursor, &known));
        world.say(format_args!("device {number} opens {} at {}", socket.name, edge.name));
        let end = socket.end.clone();
        let code = tokio::select! {
            biased;
            code = end.ended() => Some(code),
            () = leaves(&world) => None,
            code = socket.run() => Some(code),
        };
        // Its edge has died, or it reads too slowly; core refuses it nothing.
        if !matches!(code, None | Some(CloseCode::GoingAway | CloseCode::SlowReader)) {
            world.violate(format!("{} is closed with {code:?}", socket.name));
        }
        keep(kept(&world, &socket.out), &mut cursor, &mut known);
        world.say(format_args!("{} ends; device {number} has {cursor}", socket.name));
        drop(socket);
        world.sleep_below(2_000).await;
    }
}

async fn leaves(world: &World) {
    let stays = world.is_calm() || world.below(3) == 0;
    if stays {
        std::future::pending::<()>().await;
    }
    sleep(Duration::from_millis(world.below(6_000))).await;
}

/// What has reached the device: the end of what went out may have not.
fn kept<'a>(world: &World, out: &'a [Out]) -> &'a [Out] {
    let lost = if world.below(2) == 0 { world.below(out.len() as u64 + 1) } else { 0 };
    &out[..out.len() - lost as usize]
}

/// The device keeps the newest cursor, and what it was told beside entries.
fn keep(out: &[Out], cursor: &mut String, known: &mut Known) {
    for out in out {
        match out {
            Out::Entry => {}
            Out::Mark(key, told) => known.take(key, told),
            Out::Setting(room, told) => {
                known.settings.insert(room.clone(), told.clone());
            }
            Out::Relation(other, told) => {
                known.relations.insert(other.clone(), told.clone());
            }
            Out::Scheduled(key, told) => {
                known.scheduled.insert(key.clone(), told.clone());
            }
            Out::Cursor(newest) => {
                known.began.get_or_insert(position(newest));
                cursor.clone_from(newest);
            }
        }
    }
}
