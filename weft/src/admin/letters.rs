//! Dead letters of a kind, for those who list and replay them.

use serde::de::DeserializeOwned;
use weft_nats::Bus;
use weft_nats::jobs::{self, Letters};

use crate::error::Error;

/// Letters that are read at once.
const AT_ONCE: usize = 100;

/// A letter, and what it is known by.
pub struct Letter<T> {
    pub number: u64,
    pub letter: T,
}

/// Those that there are, oldest first, or the one with this number.
pub async fn read<T: DeserializeOwned>(
    bus: &Bus,
    of: Letters,
    number: Option<u64>,
) -> Result<Vec<Letter<T>>, Error> {
    let (mut found, mut after) = (Vec::new(), number.map_or(0, |number| number.saturating_sub(1)));
    loop {
        let at_once = if number.is_some() { 1 } else { AT_ONCE };
        let page = jobs::dead_letters(bus, of, after, at_once).await?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        for it in page {
            let letter = serde_json::from_slice(&it.payload).map_err(unreadable)?;
            found.push(Letter { number: it.seq, letter });
        }
        if number.is_some() {
            break;
        }
    }
    found.retain(|it| number.is_none_or(|number| it.number == number));
    Ok(found)
}

pub fn unreadable(error: serde_json::Error) -> Error {
    Error::Failed(format!("a letter can't be read: {error}"))
}
