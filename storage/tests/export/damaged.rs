//! What is no whole export is refused before anything is written.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use weft_storage::export::{self, Absent, Error};
use weft_storage::tables::head::{self, Head};
use weft_storage::tables::{Tag, expiry, log};
use weft_storage::{Batch, Store};

use super::memory;
use super::suite::moving::content::Content;
use super::suite::moving::{
    SIZE, SMALL, check_positions, content_of, exported, import, imported, lines,
};
use super::suite::{batch, commit, everything, seed};

fn verify(file: &[u8]) -> Result<(), Error> {
    export::verify(file, &mut |_| {}).map(|_| ())
}

/// An export of these lines, with a trailer that fits.
fn packed(lines: &[String]) -> Vec<u8> {
    let mut counts = std::collections::BTreeMap::<String, u64>::new();
    let mut text = String::new();
    for line in lines {
        let value: Value = serde_json::from_str(line).expect("json");
        *counts.entry(value["type"].as_str().expect("type").to_owned()).or_default() += 1;
        text += line;
        text.push('\n');
    }
    let sha256: String = Sha256::digest(&text).iter().map(|b| format!("{b:02x}")).collect();
    let trailer = json!({ "type": "trailer", "whole": true, "counts": counts, "sha256": sha256 });
    zstd::encode_all(format!("{text}{trailer}\n").as_bytes(), 3).expect("zstd")
}

/// A small export's lines, without its trailer.
/// The lines of a small store, of the first seed that gives it an entry of a room that keeps its entries.
async fn small() -> Vec<String> {
    for seed in 0.. {
        let store = memory();
        Content::fill(&store, seed, SMALL).await;
        let mut lines = lines(&exported(&store).await.1);
        lines.pop();
        if last_kept(&lines).is_some() {
            return lines;
        }
    }
    unreachable!("there are more seeds than time")
}

/// Where the last entry is of a room that keeps its entries for ever: others may lack some.
fn last_kept(lines: &[String]) -> Option<usize> {
    let (mut is_kept, mut last) = (false, None);
    for (at, line) in lines.iter().enumerate() {
        let line: Value = serde_json::from_str(line).expect("json");
        match line["type"].as_str() {
            Some("room") => is_kept = line["row"]["retention_days"].as_u64().unwrap_or(0) == 0,
            Some("entry") if is_kept => last = Some(at),
            _ => {}
        }
    }
    last
}

#[tokio::test]
async fn a_file_that_was_cut_off_or_changed_is_refused() {
    let store = memory();
    Content::fill(&store, seed(), SMALL).await;
    let (_, file) = exported(&store).await;
    verify(&file).expect("as it was written");
    let text = zstd::decode_all(&file[..]).expect("zstd");
    for end in 0..file.len() {
        assert!(matches!(verify(&file[..end]), Err(Error::Damaged(_))), "{end} bytes");
    }
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut changed = file.clone();
            changed[at] ^= 1 << bit;
            // A bit may say only how much memory unpacking takes.
            let is_same = zstd::decode_all(&changed[..]).is_ok_and(|unpacked| unpacked == text);
            assert!(is_same || verify(&changed).is_err(), "byte {at}, bit {bit}");
        }
    }
    let mut longer = file.clone();
    longer.extend_from_slice(&file);
    assert!(matches!(verify(&longer), Err(Error::Damaged(_))), "two in one");
}

#[tokio::test]
async fn entries_that_a_store_lacks_are_told_and_the_rest_is_exported() {
    let store = memory();
    Content::fill(&store, 5, SIZE).await;
    let (whole, _) = exported(&store).await;
    assert_eq!(whole.absent, Absent::default());
    let (room, row) = {
        let snapshot = store.snapshot().await.expect("snapshot");
        let heads = head::page_after(&*snapshot, None, 1_000).await.expect("heads");
        heads.into_iter().find(|(_, head)| head.seq >= 5).expect("a room with 5 entries")
    };
    let mut damage = Batch::new([8; 16]);
    for seqs in [1..3, 4..5] {
        let rows = log::range(&room, seqs);
        damage.clear_range(rows.start, rows.end);
    }
    store.commit(damage).await.expect("commit");
    let (damaged, file) = exported(&store).await;
    let first = Some((room.clone(), 1));
    assert_eq!(damaged.absent, Absent { entries: 3, rooms: 1, first });
    let lost = |name: &str| whole.counts[name] - damaged.counts[name];
    assert_eq!((lost("room"), lost("entry")), (0, 3));
    verify(&file).expect("what is there is exported whole");
    // What a room has let go of is not missing.
    let mut raise = Batch::new([9; 16]);
    head::put(&mut raise, &room, 0, &Head { first_seq: 5, ..row });
    store.commit(raise).await.expect("commit");
    assert_eq!(exported(&store).await.0.absent, Absent::default());
}

/// All entries of a room have expired, or do so while the export is written: some, or all.
#[tokio::test]
async fn a_room_whose_entries_expire_moves_with_those_that_are_left() {
    let store = memory();
    Content::fill(&store, 5, SIZE).await;
    let snapshot = store.snapshot().await.expect("snapshot");
    let heads = head::page_after(&*snapshot, None, 1_000).await.expect("heads");
    let (room, row) = heads.into_iter().find(|(_, head)| head.seq >= 5).expect("a room");
    let position = head::decode(&snapshot.get(head::key(&room)).await.expect("get").expect("row"));
    let (position, _) = position.expect("a head");
    drop(snapshot);
    let partition = weft_proto::partition_of(&room, 4);
    let moved = async |file: &[u8]| {
        let target = memory();
        imported(&target, file).await;
        let snapshot = target.snapshot().await.expect("snapshot");
        let row = snapshot.get(head::key(&room)).await.expect("get").expect("a head");
        let limit = log::Limit { entries_max: usize::MAX, bytes_max: usize::MAX };
        let left = log::read(&*snapshot, &room, 0..u64::MAX, limit).await.expect("log");
        let left: Vec<u64> = left.iter().map(|logged| logged.entry.seq).collect();
        let mut listed = Vec::new();
        for partition in 0..8 {
            let due = expiry::due(&*snapshot, partition, (None, 9), 1_000).await.expect("rows");
            listed.extend(due.into_iter().filter(|(_, of)| *of == room));
        }
        assert_eq!(listed, [(1, room.clone())]);
        (head::decode(&row).expect("whole").1, left)
    };
    let mut batch = batch();
    let mut row = Head { retention_days: 7, expiry_hour: 0, ..row };
    expiry::list(&mut batch, partition, &room, &mut row, 9);
    head::put_again(&mut batch, &room, position, &row);
    commit(&store, batch).await;
    let mut lines = lines(&exported(&store).await.1);
    lines.pop();
    let of_room = |line: &str, word: &str| {
        let line: Value = serde_json::from_str(line).expect("json");
        let is_of = |it: &Value| it == room.as_str() || it[0] == room.as_str();
        line["type"] == word && (is_of(&line["room"]) || is_of(&line["key"]))
    };
    // While it is written: what comes first is not there any more.
    let first = |lines: &[String]| lines.iter().position(|line| of_room(line, "entry"));
    let kinds = ["entry", "message", "pin", "reaction", "mention", "resend"];
    for left in [row.seq - 2, 0] {
        let mut some = lines.clone();
        while some.iter().filter(|line| of_room(line, "entry")).count() as u64 > left {
            let at = first(&some).expect("an entry");
            some.remove(at);
            let is_its = |line: &String| kinds[1..].iter().any(|kind| of_room(line, kind));
            while some.get(at).is_some_and(|line| is_its(line) || line.contains("[[\"")) {
                some.remove(at);
            }
        }
        let (head, seqs) = moved(&packed(&some)).await;
        assert_eq!((head.first_seq, head.seq), (row.seq + 1 - left, row.seq));
        assert_eq!(seqs, (head.first_seq..=head.seq).collect::<Vec<_>>());
        assert!(left > 0 || head.expired_ordinal == row.ordinal);
    }
    // Before it is: the room has no entry.
    let mut batch = Batch::new([7; 16]);
    let seqs = 1..row.seq + 1;
    row = Head { first_seq: row.seq + 1, expired_ordinal: row.ordinal, ..row };
    expiry::delete(&mut batch, &room, &seqs, std::iter::empty(), (&[], 0));
    head::put_again(&mut batch, &room, position, &row);
    store.commit(batch).await.expect("commit");
    let (told, file) = exported(&store).await;
    assert_eq!(told.absent, Absent::default());
    let (head, seqs) = moved(&file).await;
    assert_eq!((head, seqs), (Head { expiry_hour: 1, ..row }, Vec::new()));
}

#[tokio::test]
async fn a_bad_file_leaves_no_trace() {
    let store = memory();
    Content::fill(&store, seed(), SIZE).await;
    let (_, mut file) = exported(&store).await;
    let at = file.len() / 2;
    file[at] ^= 0x10;
    let target = memory();
    let error = import(&target, &file).await.expect_err("changed").to_string();
    assert!(error.contains("no whole export") && !error.contains('\n'), "{error}");
    let snapshot = target.snapshot().await.expect("snapshot");
    assert!(snapshot.scan(everything(), 1, false).await.expect("scan").is_empty());
}

#[tokio::test]
async fn what_a_newer_weft_wrote_is_refused_and_said() {
    let lines = small().await;
    let target = memory();
    imported(&target, &packed(&lines)).await;
    let mut newer = lines.clone();
    newer[0] = json!({ "type": "header", "format": "weft-export", "version": 7 }).to_string();
    let error = verify(&packed(&newer)).expect_err("version 7");
    assert!(matches!(error, Error::NewerFormat(7)), "{error}");
    assert!(error.to_string().contains("newer Weft"), "{error}");
    let with = |at: usize, line: String| {
        let mut lines = lines.clone();
        lines.insert(at, line);
        verify(&packed(&lines)).expect_err("refused").to_string()
    };
    let error = with(1, json!({ "type": "sticker" }).to_string());
    assert!(error.contains("line 2") && error.contains("sticker"), "{error}");
    let account = lines.iter().position(|line| line.contains("\"account\"")).expect("account");
    let more = lines[account].replace("{\"type\"", "{\"mood\":\"sad\",\"type\"");
    let error = with(account, more);
    assert!(error.contains("mood"), "{error}");
    let entry = lines.iter().position(|line| line.contains("\"entry\"")).expect("entry");
    let more = lines[entry].replace("\"entry\",", "\"entry\",\"mood\":\"sad\",");
    let error = with(entry, more);
    assert!(error.contains("does not know"), "{error}");
}

/// A file as it was written once, without its compression.
fn kept(version: u32) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/export/files");
    let text = std::fs::read(format!("{folder}/version-{version}.jsonl")).expect("the file");
    zstd::encode_all(&text[..], 3).expect("zstd")
}

/// The stores that these files were made from are the same, but for what a version did not know.
#[tokio::test]
async fn what_an_older_weft_wrote_is_taken() {
    let read = |line: &String| serde_json::from_str::<Value>(line).expect("json");
    let newest = memory();
    imported(&newest, &kept(4)).await;
    let newest = content_of(&exported(&newest).await.1);
    for version in [2, 3] {
        let target = memory();
        imported(&target, &kept(version)).await;
        check_positions(&target).await;
        let mut wanted: Vec<Value> = newest.iter().map(read).collect();
        for line in wanted.iter_mut().filter(|line| line["type"] == "device" && version < 3) {
            line["row"]["family_hash"] = json!("");
            line["row"]["repeat_hash"] = json!("");
            line["row"]["repeat_until_ms"] = json!(0);
        }
        let again: Vec<Value> = content_of(&exported(&target).await.1).iter().map(read).collect();
        assert_eq!(again, wanted, "version {version}");
    }
}

/// Without what version 2 added.
#[tokio::test]
async fn a_file_of_version_1_is_taken() {
    let text = zstd::decode_all(&kept(2)[..]).expect("zstd");
    let mut lines: Vec<String> =
        String::from_utf8(text).expect("text").lines().map(str::to_owned).collect();
    lines.pop();
    lines.retain(|line| !line.contains("\"chosen_at\"") && !line.contains("\"last_active\""));
    lines[0] = lines[0].replace("\"version\":2", "\"version\":1");
    let target = memory();
    imported(&target, &packed(&lines)).await;
    let again = content_of(&exported(&target).await.1);
    assert_eq!(
        again.iter().filter(|line| !line.starts_with("{\"type\":\"sent\"")).count(),
        lines.len()
    );
}

#[tokio::test]
async fn of_a_file_from_before_there_were_marks_everything_is_read() {
    let target = memory();
    imported(&target, &kept(4)).await;
    let lines = content_of(&exported(&target).await.1);
    let lines: Vec<Value> =
        lines.iter().map(|line| serde_json::from_str(line).expect("json")).collect();
    let of = |word: &'static str| lines.iter().filter(move |line| line["type"] == word);
    let word = |value: &Value| value.as_str().expect("a word").to_owned();
    let (mut read, mut members) = (BTreeMap::new(), BTreeSet::new());
    for line in of("room") {
        let (room, row) = (word(&line["key"]), &line["row"]);
        members.extend(
            room.split_once('~')
                .into_iter()
                .flat_map(|(low, high)| [low, high].map(|user| (room.clone(), user.to_owned()))),
        );
        read.insert(room, (row["seq"].clone(), row["ordinal"].clone()));
    }
    let present = of("member").filter(|line| line["row"]["role"] != 0);
    members.extend(present.map(|line| (word(&line["key"][0]), word(&line["key"][1]))));
    assert!(members.iter().any(|(room, _)| room.contains('~')), "{members:?}");
    let wanted: BTreeMap<_, _> =
        members.into_iter().map(|key| (key.clone(), read[&key.0].clone())).collect();
    let sent = of("sent").map(|line| {
        let key = (word(&line["key"][0]), word(&line["key"][1]));
        (key, (line["row"]["seq"].clone(), line["row"]["ordinal"].clone()))
    });
    assert_eq!(sent.collect::<BTreeMap<_, _>>(), wanted);
}

/// Else nothing shows that it is carried.
#[tokio::test]
async fn what_is_moved_has_a_row_of_every_table() {
    // An import makes no rows of bots in rooms: who makes the feeds finds these anew.
    let is_moved = |tag: &Tag| !matches!(tag, Tag::Import | Tag::RoomBot);
    let mut missing: Vec<Tag> = Tag::all().filter(is_moved).collect();
    for seed in 0..20 {
        let store = memory();
        Content::fill(&store, seed, SIZE).await;
        let snapshot = store.snapshot().await.expect("snapshot");
        let rows = snapshot.scan(everything(), usize::MAX, false).await.expect("scan");
        missing.retain(|tag| !rows.iter().any(|(key, _)| key[0] == *tag as u8));
    }
    assert!(missing.is_empty(), "suite/moving/content.rs writes no row of {missing:?}");
}

#[tokio::test]
async fn lines_that_do_not_fit_together_are_refused() {
    let lines = small().await;
    let at = |word: &str| {
        lines
            .iter()
            .position(|line| line.starts_with(&format!("{{\"type\":\"{word}\"")))
            .expect(word)
    };
    let refused = |change: &dyn Fn(&mut Vec<String>)| {
        let mut changed = lines.clone();
        change(&mut changed);
        assert_ne!(changed, lines);
        verify(&packed(&changed)).expect_err("refused").to_string()
    };
    let (room, entry) = (at("room"), at("entry"));
    let error = refused(&|lines| drop(lines.remove(0)));
    assert!(error.contains("header"), "{error}");
    let error = refused(&|lines| drop(lines.remove(room)));
    assert!(error.contains("room"), "{error}");
    let last = last_kept(&lines).expect("an entry");
    let error = refused(&|lines| drop(lines.remove(last)));
    assert!(error.contains("entries") || error.contains("entry"), "{error}");
    let error = refused(&|lines| lines.insert(entry, lines[entry].clone()));
    assert!(error.contains("not one of the room's next ones"), "{error}");
    let error = refused(&|lines| drop(lines.remove(at("applied"))));
    assert!(error.contains("partition"), "{error}");
    let error = refused(&|lines| {
        let account = lines.remove(at("account"));
        lines.push(account);
    });
    assert!(error.contains("comes after what belongs later"), "{error}");
    // A record for an entry that is not there would acknowledge what is lost.
    let error = refused(&|lines| {
        let id = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
        let value: Value = serde_json::from_str(&lines[entry]).expect("json");
        let line = json!({ "type": "resend", "room": value["room"], "from": value["from"],
            "client_id": id, "seq": 1, "content_hash": "0000000000000000" });
        lines.insert(entry + 1, line.to_string());
    });
    assert!(error.contains("its entry is not before it"), "{error}");
    for text in ["", "{}", "hello", "[1]"] {
        let mut file = zstd::Encoder::new(Vec::new(), 1).expect("zstd");
        file.write_all(text.as_bytes()).expect("write");
        let error = verify(&file.finish().expect("zstd")).expect_err("no export");
        assert!(matches!(error, Error::Damaged(_)), "{text}");
    }
}

#[tokio::test]
async fn what_this_weft_does_not_know_of_a_store_is_not_left_behind_in_silence() {
    let refused = async |key: Bytes, value: Bytes| {
        let store: Store = memory();
        Content::fill(&store, 5, SMALL).await;
        let mut batch = batch();
        batch.set(key, value);
        commit(&store, batch).await;
        let exported = export::export(&store, Vec::new(), 0, &mut |_| {}).await;
        exported.expect_err("refused").to_string()
    };
    let error = refused(Bytes::from_static(b"\x2fuser"), Bytes::new()).await;
    assert!(error.contains("0x2f"), "{error}");
    let user = weft_proto::UserId::new("alice").expect("id");
    let key = weft_storage::tables::account::key(&user);
    // Version 1, then a field 15 of three bytes.
    let error = refused(key, Bytes::from_static(&[1, 0x7a, 3, b'a', b'b', b'c'])).await;
    assert!(error.contains("account") && error.contains("does not know"), "{error}");
}
