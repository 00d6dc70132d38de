//! How a planned fault is made and undone.

use std::pin::pin;
use std::time::Duration;

use anyhow::Result;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use rustix::process::Signal;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::schedule::{Act, Planned, Schedule, Target};
use super::world::World;
use weft_harness::proxy::{Fault, Proxy};

/// How long an orderly end may take, on a busy machine.
const END_LIMIT: Duration = Duration::from_secs(30);
/// How often the data of a nats-server is copied, to go back to.
const COPY_EVERY: Duration = Duration::from_secs(40);

/// Makes the faults of a schedule until `end`, and undoes all of them.
pub(super) async fn run(world: &World, schedule: &mut Schedule, began: Instant, end: Instant) {
    let (stop, stopped) = watch::channel(false);
    let mut underway = FuturesUnordered::new();
    let mut copies = pin!(copy_at_times(world, stopped.clone()).fuse());
    let mut next = schedule.next().filter(|planned| began + planned.at < end);
    loop {
        let at = next.map_or(end, |planned| began + planned.at);
        tokio::select! {
            () = sleep_until(at) => match next {
                Some(planned) => {
                    underway.push(one(world, planned, stopped.clone()));
                    next = schedule.next().filter(|planned| began + planned.at < end);
                }
                None => break,
            },
            Some(()) = underway.next() => {}
            () = &mut copies => {}
        }
    }
    stop.send_replace(true);
    while underway.next().await.is_some() {}
    copies.await;
}

async fn one(world: &World, planned: Planned, mut stop: watch::Receiver<bool>) {
    let number = world.fault_begins(planned);
    let Planned { act, target, lasts, .. } = planned;
    let now = world.recorder.now().as_secs_f64();
    eprintln!("{now:9.3} fault {number}: {act:?} {target} for {:.1} s", lasts.as_secs_f64());
    let wait = async {
        let _ = timeout_at(Instant::now() + lasts, stop.wait_for(|stop| *stop)).await;
    };
    let made = match target {
        Target::Nats(_)
        | Target::Core(_)
        | Target::Edge(_)
        | Target::Presence(_)
        | Target::Push(_)
        | Target::Search
        | Target::Files
        | Target::Fdb => process(world, &target.part(world.shape), act, wait).await,
        Target::ClientLink(edge) => {
            link(std::slice::from_ref(&world.client_links[edge]), act, wait).await;
            Ok(())
        }
        Target::FilesDoor => {
            link(std::slice::from_ref(&world.files_link), act, wait).await;
            Ok(())
        }
        Target::EdgeLink(_)
        | Target::CoreLink(_)
        | Target::PresenceLink(_)
        | Target::PushLink(_)
        | Target::SearchLink
        | Target::FilesLink => {
            let part = target.part(world.shape);
            link(world.system.proxies(&part), act, wait).await;
            Ok(())
        }
    };
    if let Err(error) = made {
        world.found(format!("{act} {target}: {error:#}"));
    }
    world.fault_ends(number);
}

async fn process(
    world: &World,
    part: &str,
    act: Act,
    wait: impl Future<Output = ()>,
) -> Result<()> {
    let _turn = world.turn(part).await;
    let process = world.system.process(part);
    if act == Act::Freeze {
        // Where it has just ended by itself, there is nothing to freeze.
        if process.signal(Signal::STOP).is_ok() {
            wait.await;
            process.signal(Signal::CONT)?;
        }
        return Ok(());
    }
    world.takes_down(part);
    let done = down_and_up(world, part, act, wait).await;
    world.brings_up(part);
    done
}

/// Does something while a process is down, which ends in order.
pub(super) async fn while_down<T>(
    world: &World,
    part: &str,
    act: impl AsyncFnOnce() -> Result<T>,
) -> Result<T> {
    let _turn = world.turn(part).await;
    world.takes_down(part);
    let process = world.system.process(part);
    end(world, part).await?;
    let done = act().await;
    let restarted = process.restart();
    world.brings_up(part);
    restarted?;
    done
}

/// Ends a process in order.
async fn end(world: &World, part: &str) -> Result<()> {
    let process = world.system.process(part);
    if process.signal(Signal::TERM).is_ok() {
        let limit = Instant::now() + END_LIMIT;
        while process.is_running() && Instant::now() < limit {
            sleep(Duration::from_millis(20)).await;
        }
        if process.is_running() {
            world.found(format!("{part} did not end within {END_LIMIT:?} of SIGTERM"));
        }
    }
    if process.is_running() {
        process.kill()?;
    } else {
        process.reap();
    }
    Ok(())
}

async fn down_and_up(
    world: &World,
    part: &str,
    act: Act,
    wait: impl Future<Output = ()>,
) -> Result<()> {
    let process = world.system.process(part);
    if act == Act::OlderCopy
        && let Some(copy) = world.copy(part)
    {
        return world.system.put_back(&copy).await;
    }
    if act == Act::Restart {
        end(world, part).await?;
    } else if process.is_running() {
        process.kill()?;
    } else {
        process.reap();
    }
    if act == Act::Wipe {
        std::fs::remove_dir_all(world.system.path().join(part))?;
    }
    if act != Act::Restart {
        wait.await;
    }
    process.restart()
}

async fn link(proxies: &[Proxy], act: Act, wait: impl Future<Output = ()>) {
    let fault = match act {
        Act::Delay(time) => Fault::Delay(time),
        Act::Stall => Fault::Stall,
        Act::Refuse => Fault::Refuse,
        Act::Swallow => Fault::Swallow,
        Act::SwallowSome(every) => Fault::SwallowSome { every },
        Act::SwallowOne(prefix) => Fault::SwallowOne { subject_prefix: prefix.to_owned() },
        _ => Fault::None,
    };
    for proxy in proxies {
        proxy.set(fault.clone());
        if matches!(act, Act::Cut | Act::Refuse) {
            proxy.cut();
        }
    }
    wait.await;
    for proxy in proxies {
        proxy.set(Fault::None);
    }
}

/// Copies to go back to, of the one server, until all is over.
async fn copy_at_times(world: &World, mut stop: watch::Receiver<bool>) {
    if world.shape.servers > 1 {
        let _ = stop.wait_for(|stop| *stop).await;
        return;
    }
    loop {
        for server in world.system.server_names() {
            if !world.system.process(&server).is_running() {
                continue;
            }
            match world.system.copy_streams(&server) {
                Ok(copy) => world.forget_copy(world.keep_copy(&server, copy)),
                // It was killed and its files went away meanwhile: the next time, then.
                Err(error) => eprintln!("no copy of {server}: {error:#}"),
            }
        }
        let next = Instant::now() + COPY_EVERY;
        if timeout_at(next, stop.wait_for(|stop| *stop)).await.is_ok() {
            return;
        }
    }
}
