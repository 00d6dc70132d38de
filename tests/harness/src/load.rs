//! Devices that talk all the time, in direct and group rooms, while a test kills something; and the
//! judgement afterwards.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::account::Login;
use crate::check::{Violation, check};
use crate::client::{Client, ClientOptions};
use crate::history::{Event, Recorder};
use crate::reading::read_room;
use crate::system::{System, direct, unique};
use crate::wait::until;

/// How long the system may take to answer again after a fault, on a busy machine.
const PROGRESS_LIMIT: Duration = Duration::from_secs(60);
/// How long everything may take to reach everybody in the end.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);
/// Between the ack of a text and the next one of the same talker.
const PAUSE: Duration = Duration::from_millis(15);

/// Most violations that are said.
const VIOLATIONS_SAID: usize = 20;

#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    pub users: usize,
    /// How many devices each has.
    pub devices: usize,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { users: 3, devices: 2 }
    }
}

#[derive(Debug)]
pub struct Load {
    recorder: Recorder,
    logins: Vec<Login>,
    clients: Vec<Arc<Client>>,
    /// Room, and the users in it (indices into `logins` by user).
    rooms: Vec<(String, Vec<String>)>,
    stop: Arc<AtomicBool>,
    talkers: JoinSet<Result<()>>,
    /// What acks were there when `progress` was last asked.
    acked: u64,
}

#[derive(Clone, Debug)]
pub struct Outcome {
    pub acked: u64,
    /// Entries that are in the rooms.
    pub entries: usize,
    /// What is wrong; must be empty.
    pub violations: Vec<Violation>,
}

impl Load {
    /// Makes the users and rooms and lets them talk. Direct rooms of every two users, a notebook,
    /// and a group of all.
    pub async fn start(system: &System, options: LoadOptions) -> Result<Self> {
        let recorder = Recorder::default();
        let mut logins = Vec::new();
        for number in 0..options.users {
            let first = system.user(&format!("user{number}")).await?;
            for device in 1..options.devices {
                logins.push(system.device(&first.user, &format!("device{device}")).await?);
            }
            logins.push(first);
        }
        let rooms = make_rooms(system, &logins).await?;
        let mut edges: Vec<SocketAddr> = system.edges().to_vec();
        let mut load = Self {
            recorder,
            rooms,
            clients: Vec::new(),
            logins,
            stop: Arc::default(),
            talkers: JoinSet::new(),
            acked: 0,
        };
        for login in load.logins.clone() {
            let recorder = load.recorder.clone();
            let options = ClientOptions::new(login, edges.clone(), recorder);
            load.clients.push(Arc::new(Client::start(options)));
            edges.rotate_left(1);
        }
        load.talk();
        load.progress(50).await;
        Ok(load)
    }

    /// One talker for each device and room.
    fn talk(&mut self) {
        for (client, login) in self.clients.iter().zip(&self.logins) {
            for (room, users) in &self.rooms {
                if !users.contains(&login.user) {
                    continue;
                }
                let (client, room, stop) =
                    (Arc::clone(client), room.clone(), Arc::clone(&self.stop));
                self.talkers.spawn(async move {
                    let mut number = 0;
                    while !stop.load(Ordering::Relaxed) {
                        number += 1;
                        let text = format!("{} says {number} in {room}", client.name());
                        client.send(&room, &text).await.with_context(|| text.clone())?;
                        sleep(PAUSE).await;
                    }
                    Ok(())
                });
            }
        }
    }

    pub fn logins(&self) -> &[Login] {
        &self.logins
    }

    pub fn acked(&self) -> u64 {
        self.recorder.acked()
    }

    /// Attempts that were refused so far, for a time or for good.
    pub fn refused(&self) -> usize {
        let is_refusal = |event: &&Event| matches!(event, Event::Refused { .. });
        self.recorder.history().events.iter().filter(is_refusal).count()
    }

    /// The close codes of all sockets that have ended; `None` where one was cut.
    pub fn closes(&self) -> Vec<Option<u16>> {
        self.clients.iter().flat_map(|client| client.closes()).collect()
    }

    /// The longest time that any device was without a session.
    pub fn longest_away(&self) -> Duration {
        let away = self.clients.iter().map(|client| client.longest_away());
        away.max().unwrap_or_default()
    }

    /// Waits until this many further texts are acknowledged.
    pub async fn progress(&mut self, acks: u64) {
        let from = self.acked();
        until(&format!("{acks} further acks"), PROGRESS_LIMIT, async || {
            (self.acked() >= from + acks).then_some(())
        })
        .await;
        self.acked = self.acked();
    }

    /// Ends the talking, waits for silence, reads everything once more as a stranger would, and
    /// judges.
    pub async fn finish(mut self, system: &System) -> Result<Outcome> {
        self.stop.store(true, Ordering::Relaxed);
        let all_answered = async {
            while let Some(talker) = self.talkers.join_next().await {
                talker??;
            }
            Ok::<_, anyhow::Error>(())
        };
        crate::wait::within("the last acks", PROGRESS_LIMIT, all_answered).await?;
        let mut entries = 0;
        let mut heads = Vec::new();
        for (room, users) in &self.rooms {
            let reader = self.logins.iter().find(|login| users.contains(&login.user));
            let log =
                read_room(system.edge(), reader.context("a room without users")?, room).await?;
            entries += log.len();
            let head = log.last().map_or(0, |entry| entry.seq);
            heads.push((room.clone(), users.clone(), head));
            self.recorder.record(Event::Final { room: room.as_str().into(), entries: log });
        }
        self.settle(system, &heads).await?;
        let history = self.recorder.history();
        let violations = check(&history);
        if !violations.is_empty() {
            std::fs::write(system.path().join("history.log"), history.to_lines())?;
        }
        Ok(Outcome { acked: self.acked(), entries, violations })
    }

    /// Ends as [`Load::finish`] does; says what was done and what it came to, and that nothing is
    /// wrong.
    pub async fn judge(self, what: &str, system: &System) -> Result<()> {
        let outcome = self.finish(system).await?;
        eprintln!("{what}: {} acks, {} entries", outcome.acked, outcome.entries);
        for violation in outcome.violations.iter().take(VIOLATIONS_SAID) {
            eprintln!("{violation}");
        }
        assert!(outcome.violations.is_empty(), "{} violations", outcome.violations.len());
        Ok(())
    }

    /// Waits until every device has every room, a fresh one of each user included.
    async fn settle(
        &mut self,
        system: &System,
        heads: &[(String, Vec<String>, u64)],
    ) -> Result<()> {
        let mut logins = std::mem::take(&mut self.logins);
        let mut users: Vec<String> = logins.iter().map(|login| login.user.clone()).collect();
        users.dedup();
        for user in users {
            let login = system.device(&user, "fresh").await?;
            let (edges, recorder) = (system.edges().to_vec(), self.recorder.clone());
            let options = ClientOptions::new(login.clone(), edges, recorder);
            self.clients.push(Arc::new(Client::start(options)));
            logins.push(login);
        }
        for (client, login) in self.clients.iter().zip(&logins) {
            for (room, _, head) in heads.iter().filter(|(_, users, _)| users.contains(&login.user))
            {
                client.wait_for(room, *head, SETTLE_LIMIT).await;
            }
        }
        for (client, login) in self.clients.drain(..).zip(&logins) {
            for (room, ..) in heads.iter().filter(|(_, users, _)| users.contains(&login.user)) {
                let (device, room) = (client.name().clone(), room.as_str().into());
                self.recorder.record(Event::Settled { device, room });
            }
            Arc::into_inner(client).context("a client is still in use")?.stop().await?;
        }
        Ok(())
    }
}

async fn make_rooms(system: &System, logins: &[Login]) -> Result<Vec<(String, Vec<String>)>> {
    let mut by_user: Vec<&Login> = Vec::new();
    for login in logins {
        if !by_user.iter().any(|known| known.user == login.user) {
            by_user.push(login);
        }
    }
    let all: Vec<String> = by_user.iter().map(|login| login.user.clone()).collect();
    let group = unique("group");
    let create = json!({ "kind": "create", "title": "everybody", "members": all[1..] });
    let path = format!("/v1/rooms/{group}/entries");
    let answer = by_user[0].call(system.edge(), "POST", &path, &create).await?;
    ensure!(answer.status == 201 && answer.body["seq"] == 1, "create: {answer:?}");
    let mut rooms = vec![(group, all)];
    for (i, a) in by_user.iter().enumerate() {
        for b in &by_user[i + 1..] {
            rooms.push((direct(a, b), vec![a.user.clone(), b.user.clone()]));
        }
    }
    rooms.push((direct(by_user[0], by_user[0]), vec![by_user[0].user.clone()]));
    Ok(rooms)
}
