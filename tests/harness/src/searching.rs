//! Searching, by HTTP.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::account::Login;
use crate::history::{Entry, Room, WORDS};

/// A page of what a user finds.
#[derive(Clone, Debug)]
pub struct Found {
    pub entries: Vec<Entry>,
    pub cursor: Option<String>,
    /// Something may be missing.
    pub partial: bool,
}

/// Searches for one of [`WORDS`]. `after`: the cursor of the page before.
pub async fn search(
    edge: SocketAddr,
    login: &Login,
    (word, limit): (usize, usize),
    after: Option<&str>,
) -> Result<Found> {
    let text: String = WORDS[word].1.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let after = after.map_or_else(String::new, |after| format!("&after={after}"));
    let path = format!("/v1/search?text={text}&limit={limit}{after}");
    let answer = login.call(edge, "GET", &path, &Value::Null).await?;
    let page = &answer.body;
    ensure!(answer.status == 200, "a search: {answer:?}");
    let messages = page["messages"].as_array().context("a page without messages")?;
    let entry = |message: &Value| Entry::read_shown(&message["entry"], 0);
    let entries = messages.iter().map(entry).collect::<Option<_>>();
    Ok(Found {
        entries: entries.with_context(|| format!("not messages: {page}"))?,
        cursor: page["cursor"].as_str().map(str::to_owned),
        partial: page["partial"] != false,
    })
}

/// The places of all that a user finds of a word, page by page, and whether something may be missing.
pub async fn search_all(
    edge: SocketAddr,
    login: &Login,
    word: usize,
) -> Result<(Vec<(Room, u64)>, bool)> {
    let (mut places, mut after, mut partial) = (Vec::new(), None, false);
    loop {
        let page = search(edge, login, (word, 50), after.as_deref()).await?;
        places.extend(page.entries.into_iter().map(|entry| (entry.room, entry.seq)));
        partial |= page.partial;
        match page.cursor {
            Some(cursor) => after = Some(cursor),
            None => return Ok((places, partial)),
        }
    }
}
