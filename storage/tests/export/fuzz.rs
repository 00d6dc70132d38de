//! Whatever bytes are in a table or a file: they are read or refused, never more.

use std::io::Write as _;

use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};
use weft_fuzz::run;
use weft_proto::{RoomId, UserId};
use weft_storage::tables::{
    account, applied, device, head, import, inbox, journal, last_active, layout, log, member,
    presence_settings, resend, signing_key, user_room,
};
use weft_storage::{Store, export};

use super::memory;
use super::suite::moving::content::Content;
use super::suite::moving::{SMALL, exported};
use super::suite::{batch, commit, everything, seed};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

async fn rows(store: &Store) -> Vec<(Bytes, Bytes)> {
    let snapshot = store.snapshot().await.expect("snapshot");
    snapshot.scan(everything(), usize::MAX, false).await.expect("scan")
}

/// A store with everything in it, in which one row of each length of tag is another.
#[test]
fn stored_rows() {
    let runtime = runtime();
    let rows = runtime.block_on(async {
        let store = memory();
        Content::fill(&store, seed(), SMALL).await;
        rows(&store).await
    });
    // The first two bytes say which row; the rest is what it becomes.
    let with_place = |(at, (_, value)): (usize, &(Bytes, Bytes))| {
        let at = u16::try_from(at).unwrap_or(u16::MAX);
        [&at.to_be_bytes()[..], value].concat()
    };
    let seeds: Vec<Vec<u8>> = rows.iter().enumerate().map(with_place).collect();
    let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
    run("stored rows", &seeds, |bytes| {
        let Some((place, value)) = bytes.split_first_chunk::<2>() else { return };
        decode_all(value);
        let at = usize::from(u16::from_be_bytes(*place)) % rows.len();
        runtime.block_on(async {
            let store = memory();
            let mut whole = batch();
            for (place, (key, kept)) in rows.iter().enumerate() {
                let value = if place == at { Bytes::copy_from_slice(value) } else { kept.clone() };
                whole.set(key.clone(), value);
            }
            commit(&store, whole).await;
            let mut file = Vec::new();
            if export::export(&store, &mut file, 7, &mut |_| {}).await.is_ok() {
                // What it wrote it can read; whether it fits together is another question.
                let _ = export::verify(&file[..], &mut |_| {});
            }
            read_all(&store).await;
        });
    });
}

fn decode_all(bytes: &[u8]) {
    let _ = account::Account::decode(bytes);
    let _ = applied::Applied::decode(bytes);
    let _ = presence_settings::decode(bytes);
    let _ = device::Device::decode(bytes);
    let _ = head::decode(bytes);
    let _ = import::Import::decode(bytes);
    let _ = journal::Journal::decode(bytes);
    let _ = last_active::decode(bytes);
    let _ = layout::Layout::decode(bytes);
    let _ = member::Member::decode(bytes);
    let _ = resend::Resend::decode(bytes);
    let _ = signing_key::SigningKey::decode(bytes);
    // As keys, too.
    let _ = device::device(bytes);
    let _ = inbox::decode(bytes, bytes);
    let _ = journal::commit_no(bytes);
    let _ = member::user(bytes);
    let _ = user_room::room(bytes);
    let _ = signing_key::kid(bytes);
}

async fn read_all(store: &Store) {
    let snapshot = store.snapshot().await.expect("snapshot");
    let limit = log::Limit { entries_max: 100, bytes_max: 1 << 20 };
    for name in ["a", "b", "a~b"] {
        let room = RoomId::new(name).expect("room");
        let _ = log::read(&*snapshot, &room, 0..u64::MAX, limit).await;
    }
    let _ = head::page_after(&*snapshot, None, 100).await;
    let user = UserId::new("a").expect("user");
    let _ = snapshot.get(account::key(&user)).await;
}

#[test]
fn export_files() {
    let file = runtime().block_on(async {
        let store = memory();
        Content::fill(&store, seed(), SMALL).await;
        exported(&store).await.1
    });
    let text = zstd::decode_all(&file[..]).expect("zstd");
    run("export files", &[&file], |bytes| {
        let _ = export::verify(bytes, &mut |_| {});
    });
    // Behind the compression, which hides most of the reader from changed bytes.
    let pieces: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let mut seeds = vec![&text[..]];
    seeds.extend(pieces);
    run("export lines", &seeds, |bytes| {
        let mut packed = zstd::Encoder::new(Vec::new(), 1).expect("zstd");
        packed.write_all(bytes).expect("write");
        let _ = export::verify(&packed.finish().expect("zstd")[..], &mut |_| {});
    });
}
