//! What the owner of a group does with it, and who comes and goes, by themselves or not.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rand::RngExt;
use serde_json::{Value, json};

use super::people::{INVITED, People, Person, Place};
use super::talk::{Stop, pause};
use super::world::World;

/// So many of a group's members come and go.
const MOVERS: usize = 3;
/// How often it is tried to end a rule.
const END_TRIES: usize = 10;

/// What became of somebody.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    In,
    Out,
    Banned,
}

pub(super) struct Group {
    world: Arc<World>,
    room: String,
    owner: Person,
    movers: Vec<(Person, State)>,
    /// How often it was dealt with.
    turns: usize,
}

impl Group {
    pub(super) fn of(world: &Arc<World>, people: &People, place: &Place) -> Self {
        let last = place.users.iter().rev().take(MOVERS);
        let movers = last.filter_map(|user| people.first_of(*user)).cloned();
        Self {
            world: Arc::clone(world),
            room: place.room.clone(),
            owner: people.persons[place.users[0]].clone(),
            movers: movers.map(|person| (person, State::In)).collect(),
            turns: 0,
        }
    }

    pub(super) async fn run(mut self, stop: Stop) {
        self.end(json!({ "kind": "update", "join": "ask" })).await;
        while !stop.load(Ordering::Relaxed) {
            self.turns += 1;
            let what = rand::rng().random_range(0..11);
            match what {
                0 => self.rule().await,
                1 => self.race().await,
                2..=4 => self.ask().await,
                _ => {
                    let which = rand::rng().random_range(0..self.movers.len());
                    self.movers[which].1 = self.change(which).await;
                }
            }
            pause(500..3_000).await;
        }
    }

    /// True where the owner's entry was taken.
    async fn own(&self, fields: Value) -> bool {
        self.owner.client.entry(&self.room, fields).await.is_ok()
    }

    /// Says what must not stay as it is: an administrator may have closed the group for a moment.
    async fn end(&self, fields: Value) {
        for _ in 0..END_TRIES {
            if self.own(fields.clone()).await {
                return;
            }
            pause(300..1_500).await;
        }
    }

    /// Takes somebody out or in, or tries it in vain.
    async fn change(&self, which: usize) -> State {
        let (person, state) = &self.movers[which];
        let (user, client, room) = (&person.login.user, &person.client, &self.room);
        let how = rand::rng().random_range(0..4);
        let then = |done: bool, then: State| if done { then } else { *state };
        match (state, how) {
            (State::In, 0..2) => {
                let done = client.entry(room, json!({ "kind": "leave" })).await.is_ok();
                then(done, State::Out)
            }
            (State::In, 2) => {
                then(self.own(json!({ "kind": "remove", "user": user })).await, State::Out)
            }
            (State::Out, 0 | 3) if person.user == INVITED => self.invite(person).await,
            (State::Out, 0) => {
                then(self.own(json!({ "kind": "add", "user": user })).await, State::In)
            }
            (State::Out, 1) => {
                let link = self.link(1).await;
                let done = match &link {
                    Some(link) => {
                        client.entry(room, json!({ "kind": "join", "link": link })).await.is_ok()
                    }
                    None => false,
                };
                then(done, State::In)
            }
            (State::Out, 2) => {
                self.own(json!({ "kind": "update", "join": "open" })).await;
                let done = client.entry(room, json!({ "kind": "join" })).await.is_ok();
                self.end(json!({ "kind": "update", "join": "ask" })).await;
                then(done, State::In)
            }
            (State::Banned, 0..2) => {
                then(self.own(json!({ "kind": "unban", "user": user })).await, State::Out)
            }
            // Where one of these is let in, the checker finds it.
            (State::Banned, 2) => {
                then(self.own(json!({ "kind": "add", "user": user })).await, State::In)
            }
            (State::Banned, _) => {
                let Some(link) = self.link(2).await else { return *state };
                let joins = json!({ "kind": "join", "link": link });
                then(client.entry(room, joins).await.is_ok(), State::In)
            }
            (State::In | State::Out, _) => {
                then(self.own(json!({ "kind": "ban", "user": user })).await, State::Banned)
            }
        }
    }

    /// Somebody who decides by themselves is invited, and comes in, declines it, or somebody takes it back. They are out.
    async fn invite(&self, person: &Person) -> State {
        let (user, client, room) = (&person.login.user, &person.client, &self.room);
        let owner = &self.owner.client;
        // What is refused is in the history: an administrator may have closed the group.
        let _ = owner.invite(room, user).await;
        pause(0..1_500).await;
        let what = rand::rng().random_range(0..5);
        match what {
            0 | 1 => {
                let joins = client.entry(room, json!({ "kind": "join" })).await;
                return if joins.is_ok() { State::In } else { State::Out };
            }
            2 => drop(client.end_invitation(room, user).await),
            3 => {
                let both = (client.end_invitation(room, user), owner.end_invitation(room, user));
                drop(tokio::join!(both.0, both.1));
            }
            _ => {}
        }
        State::Out
    }

    /// Mostly somebody who is out, where there is anybody.
    fn one_outside(&self) -> usize {
        let mut rng = rand::rng();
        let movers = self.movers.iter().enumerate();
        let outside = movers.filter(|(_, (_, state))| *state == State::Out).map(|(which, _)| which);
        let outside: Vec<usize> = outside.collect();
        if outside.is_empty() || rng.random_range(0..4) == 0 {
            return rng.random_range(0..self.movers.len());
        }
        outside[rng.random_range(0..outside.len())]
    }

    /// Somebody asks to come in, and is let in, declined, or does not ask any more.
    async fn ask(&mut self) {
        let which = self.one_outside();
        let (person, state) = &self.movers[which];
        if person.user == INVITED {
            if *state == State::Out {
                self.movers[which].1 = self.invite(person).await;
            }
            return;
        }
        let (user, client, room) = (&person.login.user, &person.client, &self.room);
        let words = format!("please, {}", self.turns);
        let asked = client.ask(room, &words).await.is_ok();
        match state {
            State::Banned if asked => self.world.found(format!("{user} asks, and is banned")),
            State::In if asked => self.world.found(format!("{user} asks, and is a member")),
            _ => {}
        }
        if !asked {
            return;
        }
        pause(0..1_500).await;
        let what = rand::rng().random_range(0..5);
        let owner = &self.owner.client;
        match what {
            0 | 1 => {
                if self.own(json!({ "kind": "add", "user": user })).await {
                    self.movers[which].1 = State::In;
                }
            }
            2 => drop(owner.decline(room, user).await),
            3 => drop(client.withdraw(room).await),
            _ => drop(tokio::join!(owner.decline(room, user), client.withdraw(room))),
        }
    }

    /// A rule for a while.
    async fn rule(&self) {
        let which = rand::rng().random_range(0..4);
        let (rule, end) = match which {
            0 => (json!({ "write": "admins" }), json!({ "write": "all" })),
            1 => (json!({ "slow_mode_s": 1 }), json!({ "slow_mode_s": 0 })),
            2 => (json!({ "archived": true }), json!({ "archived": false })),
            _ => (json!({ "topic": format!("topic {}", self.turns) }), json!({ "topic": "" })),
        };
        let update = |mut fields: Value| {
            fields["kind"] = "update".into();
            fields
        };
        if self.own(update(rule)).await {
            pause(300..2_500).await;
            self.end(update(end)).await;
        }
    }

    /// Two come at the last use of a link. Of who is invited it is not looked at.
    async fn race(&mut self) {
        let outside = |(_, (person, state)): &(usize, &(Person, State))| {
            *state == State::Out && person.user != INVITED
        };
        let mut two = self.movers.iter().enumerate().filter(outside).map(|(which, _)| which);
        let (Some(one), Some(other)) = (two.next(), two.next()) else { return };
        let Some(link) = self.link(1).await else { return };
        let join = async |which: usize| {
            let joins = json!({ "kind": "join", "link": link });
            self.movers[which].0.client.entry(&self.room, joins).await.is_ok()
        };
        let done = tokio::join!(join(one), join(other));
        if done == (true, true) {
            self.world.found(format!("two came into {} by one use of a link", self.room));
        }
        for (which, done) in [(one, done.0), (other, done.1)] {
            if done {
                self.movers[which].1 = State::In;
            }
        }
    }

    /// A link with so many uses; `None`: no edge has made one.
    async fn link(&self, uses: u32) -> Option<String> {
        let path = format!("/v1/rooms/{}/links", self.room);
        let edge = self.world.doors(self.turns)[0];
        let wanted = json!({ "uses": uses });
        let answer = self.owner.login.call(edge, "POST", &path, &wanted).await.ok()?;
        answer.body["link"].as_str().map(Into::into)
    }
}
