//! Groups that everybody may come into, by what people look for: the beginnings of their titles and ids.
//!
//! A row is written with the head that it follows from. Whoever finds one looks at the head.

use bytes::Bytes;
use weft_proto::limits::SEARCH_CHARS_MAX;
use weft_proto::{JoinRule, RoomId};

use super::Tag;
use super::head::Head;
use super::key::{Key, KeyReader, next_key};
use crate::batch::Batch;
use crate::engine::Snapshot;
use crate::error::Error;

/// A text as it is looked for: in lower case, without control characters, and with one space for several.
#[must_use]
pub fn folded(text: &str) -> String {
    let lower = text.to_lowercase();
    let words = lower.split(|char: char| char.is_whitespace() || char.is_control());
    let words = words.filter(|word| !word.is_empty());
    let mut folded = words.collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = folded.char_indices().nth(SEARCH_CHARS_MAX) {
        folded.truncate(end);
    }
    folded
}

/// True of a group that everybody may find while somebody is in it.
#[must_use]
pub fn is_found(head: &Head) -> bool {
    head.join_rule() != JoinRule::Invitation && !head.archived && !head.closed
}

/// By what a group is found, ascending, each once: nothing where not everybody may find it.
#[must_use]
pub fn names(room: &RoomId, head: &Head) -> Vec<String> {
    if !is_found(head) {
        return Vec::new();
    }
    let mut names = vec![room.to_string(), folded(&head.title)];
    names.sort_unstable();
    names.dedup();
    names
}

fn key(name: &str, room: &RoomId) -> Bytes {
    Key::new(Tag::OpenGroup).name(name).name(room.as_str()).build()
}

/// Writes what is found by these names from now on, and not by those of before any more.
pub fn put(batch: &mut Batch, room: &RoomId, before: &[String], names: &[String]) {
    for name in before.iter().filter(|name| !names.contains(name)) {
        batch.clear(key(name, room));
    }
    for name in names.iter().filter(|name| !before.contains(name)) {
        batch.set(key(name, room), Bytes::new());
    }
}

/// At most `limit` groups with a name that begins with a folded text, by name and id, after a place (`None`: from
/// the first).
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn page_after(
    snapshot: &dyn Snapshot,
    text: &str,
    after: Option<&(String, RoomId)>,
    limit: usize,
) -> Result<Vec<(String, RoomId)>, Error> {
    let mut range = Key::new(Tag::OpenGroup).raw(text.as_bytes()).prefix_range();
    if let Some((name, room)) = after {
        range.start = range.start.max(next_key(&key(name, room)));
    }
    if range.start >= range.end {
        return Ok(Vec::new());
    }
    let rows = snapshot.scan(range, limit, false).await?;
    let read = |(key, _): &(Bytes, Bytes)| {
        let mut reader = KeyReader::new(Tag::OpenGroup, key)?;
        let name = reader.name()?.to_owned();
        let room = RoomId::new(reader.name()?);
        let room = room.map_err(|error| Error::Corrupt(format!("open group: {error}")))?;
        Ok((name, room))
    };
    rows.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Store;
    use crate::memory::Memory;

    #[test]
    fn what_is_looked_for_is_folded() {
        for (text, wanted) in [
            ("", ""),
            (" \t", ""),
            ("  Grüne \n TEE  Stube", "grüne tee stube"),
            ("a\0b", "a b"),
            ("홍길동", "홍길동"),
        ] {
            assert_eq!(folded(text), wanted);
        }
        assert_eq!(folded(&"İ".repeat(1_000)).chars().count(), SEARCH_CHARS_MAX);
    }

    #[tokio::test]
    async fn groups_are_found_by_beginnings_page_by_page() {
        let store = Store::new(Memory::new());
        let mut batch = Batch::new([1; 16]);
        let room = |id: &str| RoomId::new(id).expect("id");
        let open = |title: &str, archived| Head {
            title: title.into(),
            join: JoinRule::Open.into(),
            archived,
            ..Head::default()
        };
        for (id, title) in [("tea", "Green tea"), ("green", "Tea"), ("tea-2", "Tea"), ("x", "X")] {
            let names = names(&room(id), &open(title, false));
            put(&mut batch, &room(id), &[], &names);
        }
        // One that is renamed, and one that is not open any more.
        let before = names(&room("x"), &open("X", false));
        put(&mut batch, &room("x"), &before, &names(&room("x"), &open("Teas", false)));
        let before = names(&room("tea-2"), &open("Tea", false));
        put(&mut batch, &room("tea-2"), &before, &names(&room("tea-2"), &open("Tea", true)));
        store.commit(batch).await.expect("commit");
        let snapshot = store.snapshot().await.expect("snapshot");
        let all = [("tea", "green"), ("tea", "tea"), ("teas", "x")];
        let all = all.map(|(name, id)| (name.to_owned(), room(id)));
        for limit in 1..=4 {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let page =
                    page_after(&*snapshot, "tea", after.as_ref(), limit).await.expect("page");
                found.extend(page.iter().cloned());
                match page.last() {
                    Some(last) => after = Some(last.clone()),
                    None => break,
                }
            }
            assert_eq!(found, all, "{limit}");
        }
        let beyond = ("x".to_owned(), room("x"));
        assert!(page_after(&*snapshot, "tea", Some(&beyond), 9).await.expect("page").is_empty());
        assert_eq!(page_after(&*snapshot, "", None, 9).await.expect("page").len(), 6);
    }
}
