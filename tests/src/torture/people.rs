//! Who talks in a round: users, their devices, and the rooms of a round. Each round has its own, so
//! that what was compared can be forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::task::JoinSet;

use super::away::Away;
use super::round::asked;
use super::strangers;
use super::world::World;
use weft_harness::account::{self, Login};
use weft_harness::client::{Client, ClientOptions};
use weft_harness::history::{Deed, Event};
use weft_harness::system::{BOT, direct, unique};

const USERS: usize = 13;
/// This one is suspended now and then.
pub(super) const SUSPENDED: usize = 10;
/// These have turned off read receipts.
const RECEIPTS_OFF: [usize; 2] = [4, 8];
/// This one lets nobody put them into groups.
pub(super) const INVITED: usize = 8;
/// Members without a session: with them a group is large.
const CROWD: usize = 98;

/// A room, and who is in it from its first entry on.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) room: String,
    pub(super) users: Vec<usize>,
    pub(super) kind: PlaceKind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PlaceKind {
    Direct,
    Group,
    /// With the bot in it.
    BotGroup,
    /// The last three come and go, and what the group is changes.
    Changing,
    Large,
    /// Its entries expire, in great leaps.
    Expiring,
    /// Of two who don't know each other.
    Strangers,
}

#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) user: usize,
    pub(super) login: Login,
    pub(super) client: Arc<Client>,
}

#[derive(Debug)]
pub(super) struct People {
    /// By user: the first device's login.
    pub(super) users: Vec<Login>,
    pub(super) persons: Vec<Person>,
    pub(super) places: Vec<Place>,
    /// Of the installation; in none of the places.
    pub(super) administrator: Login,
    /// In none of the places, too.
    pub(super) away: Arc<Away>,
}

/// Users that are in no hurry to come back: made once, for all rounds.
pub(super) async fn crowd(world: &World) -> Result<Vec<String>> {
    let names: Vec<String> = (0..CROWD).map(|_| unique("crowd")).collect();
    sign_up_all(world, &names).await?;
    Ok(names)
}

async fn sign_up_all(world: &World, names: &[String]) -> Result<()> {
    let mut underway = JoinSet::new();
    for name in names {
        // Each costs core a password hash.
        if underway.len() >= 4 {
            underway.join_next().await.context("a sign-up")???;
        }
        let edge = world.system.edge();
        let name = name.clone();
        underway.spawn(async move { account::sign_up(edge, &name).await });
    }
    while let Some(done) = underway.join_next().await {
        done??;
    }
    Ok(())
}

/// True where the user tells others how far they have read.
pub(super) fn tells_receipts(user: usize) -> bool {
    !RECEIPTS_OFF.contains(&user)
}

impl People {
    /// Makes them, while nothing is broken.
    pub(super) async fn arrive(world: &World, crowd: &[String]) -> Result<Self> {
        let names: Vec<String> = (0..USERS).map(|number| unique(&format!("u{number}"))).collect();
        sign_up_all(world, &names).await?;
        let mut users = Vec::new();
        for name in &names {
            users.push(world.system.device(name, "phone").await?);
        }
        for login in RECEIPTS_OFF.map(|user| &users[user]) {
            let off = json!({ "receipts": false });
            let answer = login.call(world.system.edge(), "PUT", "/v1/setting", &off).await?;
            ensure!(answer.status == 204, "read receipts of {}: {answer:?}", login.user);
            world.recorder.record(Event::ReceiptsOff { user: login.user.as_str().into() });
        }
        let places = make_places(world, &users, crowd).await?;
        let (decides, none) = (&users[INVITED], json!({ "add_by": "none" }));
        let answer = decides.call(world.system.edge(), "PUT", "/v1/setting", &none).await?;
        ensure!(answer.status == 204, "who adds {}: {answer:?}", decides.user);
        let user = decides.user.as_str().into();
        world.recorder.record(Event::Deed(Deed::Decides { user }));
        let administrator = administrator(world).await?;
        let away = Away::arrive(world).await?;
        let mut people = Self { users, persons: Vec::new(), places, administrator, away };
        for (user, login) in people.users.clone().into_iter().enumerate() {
            people.connect(world, user, login);
        }
        for user in [0, 1, SUSPENDED] {
            let login = world.system.device(&names[user], "tablet").await?;
            people.connect(world, user, login);
        }
        Ok(people)
    }

    /// The logins of who was suspended have ended: they read with another one.
    pub(super) async fn return_suspended(&mut self, world: &World) -> Result<()> {
        let name = self.users[SUSPENDED].user.clone();
        // The service takes few attempts for an account.
        let log_in = async || world.system.device(&name, "reader").await;
        self.users[SUSPENDED] = asked(log_in).await.context("who was suspended can't log in")?;
        Ok(())
    }

    /// Connects a device, and waits for nothing.
    pub(super) fn connect(&mut self, world: &World, user: usize, login: Login) {
        let (edges, recorder) = (world.doors(self.persons.len()), world.recorder.clone());
        let options = ClientOptions::new(login.clone(), edges, recorder);
        let client = Arc::new(Client::start(options));
        self.persons.push(Person { user, login, client });
    }

    /// The first device of a user.
    pub(super) fn first_of(&self, user: usize) -> Option<&Person> {
        self.persons.iter().find(|person| person.user == user)
    }

    pub(super) fn by_room(&self) -> BTreeMap<&str, &Place> {
        self.places.iter().map(|place| (place.room.as_str(), place)).collect()
    }
}

async fn administrator(world: &World) -> Result<Login> {
    let login = world.system.user("root").await?;
    world.system.operated(&["make-administrator", &login.user]).await?;
    let user = login.user.as_str().into();
    world.recorder.record(Event::Deed(Deed::Administers { user }));
    Ok(login)
}

async fn make_places(world: &World, users: &[Login], crowd: &[String]) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    for (a, b) in [(0, 1), (2, 3), (4, 5), (0, 6), (7, 8), (9, 9), (1, SUSPENDED)] {
        let room = direct(&users[a], &users[b]);
        let users = if a == b { vec![a] } else { vec![a, b] };
        places.push(Place { room, users, kind: PlaceKind::Direct });
    }
    world.system.bots().await?;
    let groups: [(PlaceKind, &[usize]); 5] = [
        (PlaceKind::Group, &[1, 2, 3, 4, SUSPENDED]),
        (PlaceKind::BotGroup, &[5, 6, 0]),
        (PlaceKind::Changing, &[0, 2, 4, 7, 8, 9]),
        (PlaceKind::Large, &[0, 1, 2, 3]),
        (PlaceKind::Expiring, &[3, 5, 7, 9]),
    ];
    for (kind, members) in groups {
        let room = unique("group");
        let mut others: Vec<String> =
            members[1..].iter().map(|number| users[*number].user.clone()).collect();
        match kind {
            PlaceKind::BotGroup => others.push(BOT.to_owned()),
            // 99 at once are the most; whoever is left is added.
            PlaceKind::Large => {
                others.truncate(1);
                others.extend(crowd.iter().cloned());
            }
            _ => {}
        }
        let create = json!({ "kind": "create", "title": format!("{kind:?}"), "members": others });
        post(world, &users[members[0]], &room, &create).await?;
        if kind == PlaceKind::Large {
            for member in &members[2..] {
                let add = json!({ "kind": "add", "user": users[*member].user });
                post(world, &users[members[0]], &room, &add).await?;
            }
        }
        places.push(Place { room, users: members.to_vec(), kind });
    }
    for (place, stranger) in strangers::places(users) {
        post(world, stranger, &place.room, &json!({ "text": "do you know me?" })).await?;
        places.push(place);
    }
    Ok(places)
}

async fn post(world: &World, login: &Login, room: &str, entry: &serde_json::Value) -> Result<()> {
    let path = format!("/v1/rooms/{room}/entries");
    let answer = login.call(world.system.edge(), "POST", &path, entry).await?;
    ensure!(answer.status == 201, "{entry} in {room}: {answer:?}");
    Ok(())
}
