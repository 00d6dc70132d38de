//! Who sends, logs in and follows.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use rand::RngExt as _;
use rand::rngs::SmallRng;
use tokio::time::timeout;
use weft_core::services::Context;
use weft_nats::IngestMessage;
use weft_proto::kind::{Add, Create, Text, Update};
use weft_proto::limits::{CREATE_MEMBERS_MAX, FANOUT_LIMIT};
use weft_proto::{Body, ClientId, DeviceId, History, Role, RoomId, UserId, partition_of, svc};
use weft_runtime::Clock as _;
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::dead_letter::{self, DeadLetter};
use weft_storage::tables::device::{self, Device};
use weft_storage::{Batch, Engine as _};

use super::PARTITIONS;
use super::cost::Counted;
use super::ports::{FastClock, Log, MemoryBus};

/// Users whom each one writes to.
const FRIENDS: usize = 5;
/// Users who do something; the others have an account and nothing else.
const ACTIVE_MAX: usize = 1_000;
const SMALL_GROUP: usize = 10;
const LARGE_GROUPS: usize = 2;
const TEXT_BYTES: usize = 100;
/// Of ten messages so many go to direct rooms, so many more to small groups, and the others to large ones.
const DIRECT_OF_TEN: u32 = 6;
const SMALL_OF_TEN: u32 = 3;
/// A user logs in anew about once in so many days.
const LOGIN_DAYS: usize = 30;
/// Commands that are quarantined in a day.
const LETTERS_PER_DAY: u64 = 20;
/// How long a refresh token lasts, in milliseconds.
const REFRESH_MS: u64 = 30 * 86_400_000;
/// How long the owners may take, by the runtime's clock.
const PATIENCE: Duration = Duration::from_secs(600);
const TOKEN_LIFE: Duration = Duration::from_secs(3_600);
const ACCOUNTS_AT_ONCE: usize = 1_000;
const READER: &str = "search";
const IDLER: &str = "idler";

pub struct Town {
    store: Counted,
    services: Context,
    clock: Arc<FastClock>,
    logs: Vec<Log>,
    bus: Arc<MemoryBus>,
    random: SmallRng,
    users: Vec<UserId>,
    /// Rooms, and who sends there.
    direct: Vec<(RoomId, UserId)>,
    small: Vec<(RoomId, UserId)>,
    large: Vec<(RoomId, UserId)>,
    messages: u64,
    commands: u64,
    letters: u64,
    /// The reader's epoch in each partition.
    epochs: Vec<u64>,
}

impl Town {
    /// Makes the users and their rooms.
    pub async fn found(
        store: &Counted,
        clock: &Arc<FastClock>,
        (logs, bus): (Vec<Log>, Arc<MemoryBus>),
        users: u32,
        random: SmallRng,
    ) -> Result<Self> {
        let services = Context::open(store.store(), Arc::clone(clock) as _, TOKEN_LIFE).await?;
        let mut users: Vec<UserId> = (0..users)
            .map(|number| UserId::new(&format!("u{number}")))
            .collect::<Result<_, _>>()?;
        for some in users.chunks(ACCOUNTS_AT_ONCE) {
            let mut batch = Batch::new(rand::random());
            for user in some {
                batch.set(account::key(user), Account::default().encode());
            }
            store.commit(batch).await?;
        }
        users.truncate(ACTIVE_MAX);
        let count = users.len();
        let pairs =
            (0..count).flat_map(|one| (1..=FRIENDS).map(move |by| (one, (one + by) % count)));
        let direct = pairs
            .map(|(one, other)| (RoomId::direct(&users[one], &users[other]), users[one].clone()));
        let direct = direct.collect();
        let mut town = Self {
            store: store.clone(),
            services,
            clock: Arc::clone(clock),
            logs,
            bus,
            random,
            direct,
            small: Vec::new(),
            large: Vec::new(),
            users,
            messages: 0,
            commands: 0,
            letters: 0,
            epochs: Vec::new(),
        };
        town.make_groups().await?;
        for partition in 0..PARTITIONS {
            let epoch = town.begin_to_follow(READER, partition.into()).await?;
            town.epochs.push(epoch);
        }
        Ok(town)
    }

    async fn make_groups(&mut self) -> Result<()> {
        for first in (0..self.users.len()).step_by(SMALL_GROUP) {
            let members = self.users[first..].iter().take(SMALL_GROUP).cloned().collect();
            let group = self.make_group(&format!("small-{first}"), members).await?;
            self.small.push(group);
        }
        for number in 0..LARGE_GROUPS {
            let members = self.users.iter().take(FANOUT_LIMIT + 20).cloned().collect();
            let group = self.make_group(&format!("large-{number}"), members).await?;
            self.large.push(group);
        }
        Ok(())
    }

    /// Makes a group of which the first one is the owner, who sends.
    async fn make_group(
        &mut self,
        name: &str,
        mut members: Vec<UserId>,
    ) -> Result<(RoomId, UserId)> {
        let owner = members.remove(0);
        let room = RoomId::new(name)?;
        let later = members.split_off(members.len().min(CREATE_MEMBERS_MAX));
        let create = Create { title: name.to_owned(), members, history: History::All };
        self.publish(&room, &owner, &Body::Create(create));
        for user in later {
            self.publish(&room, &owner, &Body::Add(Add { user, role: Role::Member }));
        }
        self.settled().await?;
        Ok((room, owner))
    }

    fn publish(&mut self, room: &RoomId, sender: &UserId, body: &Body) {
        let client_id = ClientId::from_parts(self.clock.now_ms(), self.random.random());
        self.commands += 1;
        self.logs[usize::from(partition_of(room, PARTITIONS))].publish(IngestMessage {
            stream_seq: 0,
            stored_at_ms: 0,
            sender: sender.to_string(),
            room: room.to_string(),
            client_id: Some(client_id.to_string()),
            made_by: None,
            after: None,
            kind: None,
            reply: None,
            is_json: true,
            is_outsider: false,
            payload: Bytes::from(body.to_json()),
            problem: None,
        });
    }

    /// All rooms that somebody has written in get the rule that they keep an entry for so many days. How many there are.
    pub async fn keep_for(&mut self, days: u32) -> Result<usize> {
        let update = Body::Update(Update { retention_days: Some(days), ..Update::default() });
        let rooms = [&self.direct, &self.small, &self.large].into_iter().flatten();
        let rooms: Vec<_> = rooms.cloned().collect();
        for (room, sender) in &rooms {
            self.publish(room, sender, &update);
        }
        self.settled().await?;
        Ok(rooms.len())
    }

    /// Waits until everything that was published is an entry whose event went out.
    async fn settled(&self) -> Result<()> {
        let settled = timeout(PATIENCE, self.bus.reached(self.commands)).await;
        settled.context("a command was refused, or an owner has ended")
    }

    /// So many messages at once, in any rooms.
    pub async fn talk(&mut self, messages: u64) -> Result<()> {
        for _ in 0..messages {
            let rooms = match self.random.random_range(0..10_u32) {
                0..DIRECT_OF_TEN => &self.direct,
                of_ten if of_ten < DIRECT_OF_TEN + SMALL_OF_TEN => &self.small,
                _ => &self.large,
            };
            let (room, sender) = rooms[self.random.random_range(0..rooms.len())].clone();
            let text = (0..TEXT_BYTES).map(|_| self.random.random_range('!'..='~')).collect();
            self.publish(&room, &sender, &Body::Text(Text { text, ..Text::default() }));
        }
        self.messages += messages;
        self.settled().await
    }

    /// How many there were.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Logins on new devices, and commands that are quarantined: written as core writes them. A password
    /// or a defect of core's would take their time.
    pub async fn live_a_day(&mut self, day: u64) -> Result<()> {
        let now_ms = self.clock.now_ms();
        let mut batch = Batch::new(rand::random());
        let today = usize::try_from(day)? % LOGIN_DAYS;
        for user in self.users.iter().skip(today).step_by(LOGIN_DAYS) {
            let key = device::key(user, &DeviceId::new(&format!("d{day}"))?);
            let login = Device {
                login_ms: now_ms,
                refresh_expires_ms: now_ms + REFRESH_MS,
                refresh_hash: vec![1; 32],
                family_hash: vec![2; 32],
                ..Device::default()
            };
            batch.set(key, login.encode());
        }
        for _ in 0..LETTERS_PER_DAY {
            self.letters += 1;
            let letter = DeadLetter {
                sender: "u0".to_owned(),
                room: "u0~u1".to_owned(),
                is_json: true,
                reason: "a defect".to_owned(),
                time_ms: now_ms,
                payload: vec![b'x'; TEXT_BYTES].into(),
                ..DeadLetter::default()
            };
            let partition = u16::try_from(self.letters % u64::from(PARTITIONS))?;
            dead_letter::put(&mut batch, partition, self.letters, &letter);
        }
        self.store.commit(batch).await?;
        Ok(())
    }

    /// The reader reads all that is new, and moves on.
    pub async fn follow(&self) -> Result<()> {
        for (partition, epoch) in (0..u32::from(PARTITIONS)).zip(&self.epochs) {
            let follower = READER.to_owned();
            let mut to = svc::MoveFollower { follower, partition, epoch: *epoch, commit_no: 0 };
            let mut after = self.services.journal_move(to.clone()).await?.commit_no;
            loop {
                let asked = svc::ReadJournal { partition, after };
                let page = self.services.journal_read(asked).await?;
                ensure!(!page.expired, "the reader missed what was deleted");
                after = page.commits.last().map_or(after, |commit| commit.commit_no);
                if !page.more {
                    break;
                }
            }
            to.commit_no = after;
            self.services.journal_move(to).await?;
        }
        Ok(())
    }

    /// Another follower begins, and never moves.
    pub async fn follow_idly(&self) -> Result<()> {
        for partition in 0..PARTITIONS {
            self.begin_to_follow(IDLER, partition.into()).await?;
        }
        Ok(())
    }

    /// It is removed.
    pub async fn forget_the_idler(&self) -> Result<()> {
        for partition in 0..u32::from(PARTITIONS) {
            let asked = svc::ForgetFollower { follower: IDLER.to_owned(), partition };
            self.services.journal_forget(asked).await?;
        }
        Ok(())
    }

    async fn begin_to_follow(&self, follower: &str, partition: u32) -> Result<u64> {
        let asked = svc::FollowJournal { follower: follower.to_owned(), partition, after: None };
        Ok(self.services.journal_follow(asked).await?.epoch)
    }
}
