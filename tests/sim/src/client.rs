//! Clients: each wants one command applied, and sends it again until it hears.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use weft_nats::{IngestMessage, MadeBy, ReplyTo};
use weft_proto::kind::{
    Add, ChangeRole, Create, Leave, Relation, Remove, Rename, Schedule, Setting, Text, Unschedule,
};
use weft_proto::{Body, ClientId, History, Role, RoomId, UserId};

use super::answers::Asked;
use super::closed::{ADMINISTRATOR, any_close};
use super::config::Fault;
use super::marks::{aim_mark, any_mark};
use super::messages::{aim, any_change};
use super::relations::any_relation;
use super::scheduled::{aim_scheduled, any_scheduled};
use super::settings::any_setting;
use super::world::{Heard, START_MS, Told, World};

pub const USERS: [&str; 4] = ["ann", "ben", "cem", "dia"];
const HOUR_MS: u64 = 3_600_000;

#[derive(Clone)]
pub struct Wish {
    pub at_ms: u64,
    pub room: RoomId,
    pub sender: UserId,
    pub client_id: Option<ClientId>,
    pub made_by: Option<MadeBy>,
    pub body: Option<Body>,
}

pub fn user(name: &str) -> UserId {
    UserId::new(name).expect("user")
}

/// The names of a group's first members, and of those who join later.
pub fn crowd() -> Vec<UserId> {
    (0..104).map(|number| user(&format!("u{number:03}"))).collect()
}

/// What all clients of a schedule want.
pub fn wishes(world: &World) -> Vec<Wish> {
    let mut wishes = Vec::new();
    let others = vec![user("ben"), user("cem")];
    wishes.push(wish(world, 0, "team", "ann", create(others)));
    if world.has(Fault::Large) {
        let all = crowd();
        wishes.push(wish(world, 1, "crowd", "ann", create(all[..98].to_vec())));
        for joins in &all[98..] {
            let body = Body::Add(Add { user: joins.clone(), role: Role::Member });
            wishes.push(wish(world, world.below(3_000), "crowd", "ann", body));
        }
    }
    for _ in 0..world.config.commands {
        let at_ms = world.below(world.config.span_ms);
        let next = any_wish(world, at_ms);
        // Of a mark that only grows, no client id is remembered, and no entry is there that a setting conflicts with.
        let is_mark = matches!(next.body, Some(Body::Mark(_)));
        let is_setting = matches!(next.body, Some(Body::Setting(_)));
        let is_beside =
            matches!(next.body, Some(Body::Relation(_) | Body::Schedule(_) | Body::Unschedule(_)));
        let is_entry = !is_mark && !is_setting && !is_beside;
        if world.has(Fault::Conflict) && world.below(4) == 0 && is_entry {
            let body = Some(Body::Text(Text { text: "something else".into(), ..Text::default() }));
            let at_ms = at_ms + world.below(400);
            wishes.push(Wish { body, at_ms, ..next.clone() });
        }
        // Another device of the user reads, or sets, too.
        if is_setting || is_mark && world.below(2) == 0 {
            let client_id = next
                .client_id
                .map(|id| ClientId::from_parts(id.time_ms(), u128::from(world.below(u64::MAX))));
            let at_ms = at_ms + world.below(30);
            let body = match &next.body {
                Some(Body::Setting(Setting { room: Some(room), .. })) => {
                    any_setting(world, room.clone())
                }
                _ => any_mark(world),
            };
            wishes.push(Wish { client_id, at_ms, body: Some(body), ..next.clone() });
        }
        let races = races(world, &next);
        wishes.push(next);
        wishes.extend(races);
    }
    wishes
}

/// What comes at about the same time: both write to each other while one blocks the other, and what is scheduled is taken
/// back.
fn races(world: &World, Wish { at_ms, room, sender, body, .. }: &Wish) -> Vec<Wish> {
    match body {
        Some(Body::Relation(Relation { user, .. })) => {
            let direct = RoomId::direct(sender, user);
            let writes = |from: &UserId| {
                let text = format!("{}", world.below(1_000));
                let body = Body::Text(Text { text, ..Text::default() });
                wish(world, at_ms + world.below(150), direct.as_str(), from.as_str(), body)
            };
            [sender, user].map(writes).into()
        }
        Some(Body::Schedule(Schedule { at, .. })) if world.below(2) == 0 => {
            let body = Body::Unschedule(Unschedule { schedule: ClientId::from_parts(0, 0) });
            // The owner looks once a second.
            let at_ms = at_ms + at + world.below(1_300);
            vec![wish(world, at_ms, room.as_str(), sender.as_str(), body)]
        }
        _ => Vec::new(),
    }
}

fn create(members: Vec<UserId>) -> Body {
    Body::Create(Create { title: "t".into(), members, history: History::All })
}

pub fn wish(world: &World, at_ms: u64, room: &str, sender: &str, body: Body) -> Wish {
    let mut stamp_ms = START_MS + at_ms;
    if world.has(Fault::OldIds) && world.below(4) == 0 {
        stamp_ms = stamp_ms + 2 * HOUR_MS - world.below(28 * HOUR_MS);
    }
    Wish {
        at_ms,
        room: RoomId::new(room).expect("room"),
        sender: user(sender),
        client_id: Some(ClientId::from_parts(stamp_ms, u128::from(world.below(u64::MAX)))),
        made_by: None,
        body: Some(body),
    }
}

fn any_wish(world: &World, at_ms: u64) -> Wish {
    // Most may write where they do.
    let (room, members) = match world.below(10) {
        0..2 => ("ann~ben", 2),
        2 => ("ben~cem", 3),
        3 => ("ann~ann", 1),
        4 if world.has(Fault::Large) => ("crowd", 1),
        4 => ("ann~nobody", 1),
        _ => ("team", 3),
    };
    let known = if world.below(8) == 0 { 4 } else { members };
    let sender = USERS[world.below(known) as usize];
    if world.below(12) == 0 {
        // Now and then it goes to another one's notebook.
        let whose = if world.below(16) == 0 { "ann" } else { sender };
        let rooms = ["team", "ann~ben", "ben~cem", "ann~ann"];
        let of = RoomId::new(rooms[world.below(4) as usize]).expect("room");
        return wish(world, at_ms, &format!("{whose}~{whose}"), sender, any_setting(world, of));
    }
    match world.below(24) {
        0 | 1 => {
            let to = format!("{sender}~{sender}");
            return wish(world, at_ms, &to, sender, any_relation(world, sender));
        }
        2 | 3 => return wish(world, at_ms, room, sender, any_scheduled(world)),
        4 => return wish(world, at_ms, room, ADMINISTRATOR, any_close(world)),
        _ => {}
    }
    let text = format!("{}", world.below(1_000));
    let mut body = Body::Text(Text { text, ..Text::default() });
    match world.below(12) {
        0..3 if room == "team" => body = membership(world),
        3..6 => body = any_change(world),
        6..9 => body = any_mark(world),
        _ => {}
    }
    let mut wish = wish(world, at_ms, room, sender, body);
    match world.below(24) {
        // Without an id: of another system, and sent once.
        0 => wish.client_id = None,
        1 => wish.body = None,
        // A server made the id: its clock may be wrong by weeks. An edge sends again for a minute,
        // a relay whenever it likes.
        2 => {
            let stamp_ms = START_MS + world.below(1_000 * HOUR_MS) - 500 * HOUR_MS;
            let number = u128::from(world.below(u64::MAX));
            wish.client_id = Some(ClientId::from_parts(stamp_ms, number));
            let is_edge = !world.has(Fault::ClockJump) && world.below(2) == 0;
            wish.made_by = Some(if is_edge { MadeBy::Edge } else { MadeBy::Relay });
        }
        _ => {}
    }
    wish
}

fn membership(world: &World) -> Body {
    let user = user(USERS[world.below(4) as usize]);
    let role = [Role::Member, Role::Admin, Role::Owner][world.below(3) as usize];
    match world.below(7) {
        0..2 => Body::Add(Add { user, role }),
        2 => Body::Remove(Remove { user }),
        3 => Body::Leave(Leave {}),
        4 => Body::ChangeRole(ChangeRole { user, role }),
        5 => create(vec![user]),
        _ => Body::Rename(Rename { title: format!("{}", world.below(1_000)) }),
    }
}

/// Sends until there is an answer that will not change.
pub async fn client(world: Arc<World>, number: usize, mut wish: Wish, mut ear: Ear) {
    sleep(Duration::from_millis(wish.at_ms)).await;
    aim(&world, &mut wish);
    aim_mark(&world, &mut wish);
    aim_scheduled(&world, &mut wish);
    let mut attempt = 0;
    // Some ask again although they know: a phone that was away.
    let mut again = if world.has(Fault::Resend) { world.below(3) } else { 0 };
    let mut patience_ms = 1_000 + world.below(5_000);
    loop {
        let copies = 1 + u64::from(world.hit(Fault::Resend));
        for copy in 0..copies {
            if copy > 0 {
                world.sleep_below(60).await;
            }
            attempt += 1;
            let token = format!("c{number}-{attempt}");
            if let Some((token, asked)) = publish(&world, token, number, &wish) {
                world.check.lock().expect("check").asks(token, asked);
            }
        }
        if wish.client_id.is_none() {
            return;
        }
        let heard = timeout(Duration::from_millis(patience_ms), ear.recv()).await;
        patience_ms = (2 * patience_ms).min(20_000);
        match heard {
            Err(_) => {}
            Ok(Some(Told { heard: Heard::Later, .. })) => world.sleep_below(3_000).await,
            Ok(_) if again == 0 => return,
            Ok(_) => {
                again -= 1;
                world.sleep_below(4_000).await;
            }
        }
    }
}

/// Where a client hears its answers.
pub type Ear = mpsc::UnboundedReceiver<Told>;

/// Publishes a client's command. `None`: it got lost.
fn publish(world: &World, token: String, client: usize, wish: &Wish) -> Option<(String, Asked)> {
    if world.hit(Fault::PublishLost) {
        world.say(format_args!("{token} is lost"));
        return None;
    }
    let payload = wish.body.as_ref().map_or_else(|| b"{".to_vec(), Body::to_json);
    let stream_seq = world.publish(IngestMessage {
        stream_seq: 0,
        stored_at_ms: 0,
        sender: wish.sender.to_string(),
        room: wish.room.to_string(),
        client_id: wish.client_id.map(|id| id.to_string()),
        made_by: wish.made_by,
        after: None,
        kind: None,
        reply: Some(ReplyTo::User { user: wish.sender.clone(), token: token.clone() }),
        is_json: true,
        is_outsider: wish.client_id.is_none(),
        payload: Bytes::from(payload),
        problem: None,
    });
    world.say(format_args!("{token} at {stream_seq}: {} in {}", wish.sender, wish.room));
    let stored_at_ms = world.server_ms();
    let Wish { room, sender, client_id, made_by, body, .. } = wish.clone();
    let asked = Asked {
        client: Some(client),
        room,
        sender,
        client_id,
        made_by,
        after: None,
        body,
        stream_seq,
        stored_at_ms,
    };
    Some((token, asked))
}
