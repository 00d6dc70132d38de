//! What a stranger reads of rooms in the end, by HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::account::Login;
use crate::history::{Draft, Entry, Followed, Listed, Mark, Room, Scheduled};

/// A room's whole log, by HTTP, page by page.
pub async fn read_room(edge: SocketAddr, login: &Login, room: &str) -> Result<Vec<Entry>> {
    let mut log = Vec::new();
    let mut after = 0;
    loop {
        let path = format!("/v1/rooms/{room}/entries?after={after}");
        let answer = login.call(edge, "GET", &path, &Value::Null).await?;
        let page = &answer.body;
        ensure!(answer.status == 200 && page["room"] == room, "history of {room}: {answer:?}");
        let newest = page["newest"].as_u64().context("a page without newest")?;
        for frame in page["entries"].as_array().context("a page without entries")? {
            let entry = Entry::read_shown(frame, newest);
            log.push(entry.with_context(|| format!("not an entry: {frame}"))?);
        }
        if page["more"] != true {
            return Ok(log);
        }
        let through = page["through"].as_u64().context("a page without through")?;
        ensure!(through > after, "a page that does not go on: {page}");
        after = through;
    }
}

/// The marks of all members of a room of at most a page of them, by HTTP.
pub async fn read_room_marks(edge: SocketAddr, login: &Login, room: &str) -> Result<Vec<Mark>> {
    let path = format!("/v1/rooms/{room}/receipts");
    let answer = login.call(edge, "GET", &path, &Value::Null).await?;
    let page = &answer.body;
    let receipts = page["receipts"].as_array();
    let receipts = receipts.with_context(|| format!("receipts of {room}: {answer:?}"))?;
    ensure!(page["more"] == false, "more marks of {room} than a page has");
    let mark = |one: &Value| {
        let delivered = one["delivered"].as_u64().unwrap_or(0);
        let (room, user) = (room.into(), one["user"].as_str()?.into());
        Some(Mark { room, user, read: one["read"].as_u64()?, delivered, ..Mark::default() })
    };
    receipts.iter().map(mark).collect::<Option<_>>().with_context(|| page.to_string())
}

/// The list of a user's rooms, page by page.
pub async fn read_list(edge: SocketAddr, login: &Login) -> Result<Vec<(Room, Listed)>> {
    let (mut list, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/rooms?limit=5{after}");
        let answer = login.call(edge, "GET", &path, &Value::Null).await?;
        let page = &answer.body;
        let rooms = page["rooms"].as_array().with_context(|| format!("rooms: {answer:?}"))?;
        for frame in rooms {
            let room = || Some((frame["room"].as_str()?.into(), Listed::read(frame)?));
            list.push(room().with_context(|| format!("not a room: {frame}"))?);
        }
        if page["more"] != true {
            return Ok(list);
        }
        let cursor = page["cursor"].as_str().context("a page without cursor")?;
        after = format!("&after={cursor}");
    }
}

/// The direct rooms that are a request to a user, page by page.
pub async fn read_requests(edge: SocketAddr, login: &Login) -> Result<Vec<Room>> {
    let (mut rooms, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/rooms?limit=5{after}");
        let answer = login.call(edge, "GET", &path, &Value::Null).await?;
        let page = &answer.body;
        let list = page["rooms"].as_array().with_context(|| format!("rooms: {answer:?}"))?;
        let requests = list.iter().filter(|room| room["request"] == true);
        rooms.extend(requests.filter_map(|room| room["room"].as_str()).map(Room::from));
        if page["more"] != true {
            return Ok(rooms);
        }
        let cursor = page["cursor"].as_str().context("a page without cursor")?;
        after = format!("&after={cursor}");
    }
}

/// The pinned messages of a room, the newest pin first: their seqs, and those of their pins.
pub async fn read_pins(edge: SocketAddr, login: &Login, room: &str) -> Result<Vec<(u64, u64)>> {
    let path = format!("/v1/rooms/{room}/pins");
    let answer = login.call(edge, "GET", &path, &Value::Null).await?;
    let page = &answer.body;
    let entries = page["entries"].as_array();
    let entries = entries.with_context(|| format!("pins of {room}: {answer:?}"))?;
    ensure!(page["more"] == false, "more pins of {room} than a page has");
    let pin = |entry: &Value| Some((entry["seq"].as_u64()?, entry["pinned"]["seq"].as_u64()?));
    entries.iter().map(pin).collect::<Option<_>>().with_context(|| page.to_string())
}

/// The threads of a room that a user follows, page by page, that which began last first.
pub async fn read_threads(edge: SocketAddr, login: &Login, room: &str) -> Result<Vec<Followed>> {
    let (mut threads, mut before): (Vec<Followed>, _) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/rooms/{room}/threads?limit=5{before}");
        let answer = login.call(edge, "GET", &path, &Value::Null).await?;
        let page = &answer.body;
        let followed = page["threads"].as_array();
        for frame in followed.with_context(|| format!("threads of {room}: {answer:?}"))? {
            let thread = Followed::read(frame);
            threads.push(thread.with_context(|| format!("not a thread: {frame}"))?);
        }
        if page["more"] != true {
            return Ok(threads);
        }
        let last = threads.last().context("an empty page that is not the last")?;
        before = format!("&before={}", last.root);
    }
}

/// A user's drafts that are not dismissed, page by page.
pub async fn read_drafts(edge: SocketAddr, login: &Login) -> Result<Vec<Draft>> {
    let (mut drafts, mut after): (Vec<Draft>, _) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/drafts?limit=3{after}");
        let answer = login.call(edge, "GET", &path, &Value::Null).await?;
        let page = &answer.body;
        for frame in page["drafts"].as_array().with_context(|| format!("drafts: {answer:?}"))? {
            let draft = Draft::read(&login.user, frame);
            drafts.push(draft.with_context(|| format!("not a draft: {frame}"))?);
        }
        if page["more"] != true {
            return Ok(drafts);
        }
        let last = drafts.last().context("an empty page that is not the last")?;
        after = format!("&after={}", last.room);
    }
}

/// Whom a user blocks, page by page.
pub async fn read_blocks(edge: SocketAddr, login: &Login) -> Result<Vec<Arc<str>>> {
    let (mut blocked, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/relations?limit=3{after}");
        let answer = login.call(edge, "GET", &path, &Value::Null).await?;
        let page = &answer.body;
        let relations = page["relations"].as_array();
        let relations = relations.with_context(|| format!("relations: {answer:?}"))?;
        let others = relations.iter().filter(|it| it["blocked"] == true);
        blocked.extend(others.filter_map(|it| it["user"].as_str()).map(Arc::from));
        if page["more"] != true {
            return Ok(blocked);
        }
        let last = relations.last().context("an empty page that is not the last")?;
        after = format!("&after={}", last["user"].as_str().context("a relation without user")?);
    }
}

/// What of a user's scheduled messages waits or has failed, page by page.
pub async fn read_scheduled(edge: SocketAddr, login: &Login) -> Result<Vec<Scheduled>> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/scheduled{after}");
        let answer = login.call(edge, "GET", &path, &Value::Null).await?;
        let page = &answer.body;
        let scheduled = page["scheduled"].as_array();
        for frame in scheduled.with_context(|| format!("scheduled: {answer:?}"))? {
            let one = Scheduled::read(frame);
            all.push(one.with_context(|| format!("not scheduled: {frame}"))?);
        }
        if page["more"] != true {
            return Ok(all);
        }
        let cursor = page["cursor"].as_str().context("a page without cursor")?;
        after = format!("?after={cursor}");
    }
}

/// Who asks to come into a group (`asking`), or is invited (`invited`), of which at most a page do.
pub async fn read_waiting(
    edge: SocketAddr,
    login: &Login,
    room: &str,
    what: &str,
) -> Result<Vec<Arc<str>>> {
    let path = format!("/v1/rooms/{room}/{what}");
    read_names(edge, login, &path, (what, "user")).await
}

/// Into which groups a user is invited, at most a page of them.
pub async fn read_invitations(edge: SocketAddr, login: &Login) -> Result<Vec<Room>> {
    read_names(edge, login, "/v1/invitations", ("invitations", "room")).await
}

/// A field of each element of a list that has one page.
async fn read_names(
    edge: SocketAddr,
    login: &Login,
    path: &str,
    (list, field): (&str, &str),
) -> Result<Vec<Arc<str>>> {
    let answer = login.call(edge, "GET", path, &Value::Null).await?;
    let page = &answer.body;
    let all = page[list].as_array().with_context(|| format!("{path}: {answer:?}"))?;
    ensure!(page["more"] == false, "more in {path} than a page has");
    let names = all.iter().map(|one| one[field].as_str().map(Arc::from));
    names.collect::<Option<_>>().with_context(|| page.to_string())
}
