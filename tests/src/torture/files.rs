//! Who uploads files, in pieces and whatever breaks; sends, forwards, reads and deletes them. In the end everybody's are read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use rand::RngExt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use weft_harness::account::Login;
use weft_harness::files::Files;
use weft_harness::history::{Attempt, Deed, Entry, Event, Got, Room};
use weft_runtime::lock;

use super::people::{People, Person, PlaceKind};
use super::search::with_word;
use super::talk::{Stop, long_pause, pause};
use super::world::World;

/// Users who do that: each is in several rooms.
const USERS: [usize; 5] = [0, 2, 3, 5, 7];
const BYTES_MAX: usize = 60_000;
/// For so long somebody tries to upload, or to read in the end.
const PATIENCE: Duration = Duration::from_secs(90);
/// In the end so many are read at once.
const AT_ONCE: usize = 8;
/// One pixel, without anything that is taken out of an image.
const PIXEL: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU\0\0\0\nIDATx\x9cc\xf8\x0f\0\x01\x01\x01\0\xb18\xf6\x14\0\0\0\0IEND\xaeB`\x82";

/// A message that has a file.
#[derive(Clone)]
struct Carrier {
    room: Room,
    seq: u64,
    file: Arc<str>,
}

/// All messages with files that were acknowledged.
type Carriers = Arc<Mutex<Vec<Carrier>>>;

struct Filer {
    world: Arc<World>,
    person: Person,
    /// Their rooms.
    rooms: Vec<Room>,
    carriers: Carriers,
}

pub(super) fn start(world: &Arc<World>, people: &People, stop: &Stop, talkers: &mut JoinSet<()>) {
    let carriers = Carriers::default();
    for person in USERS.iter().filter_map(|user| people.first_of(*user)) {
        let of_them = people.places.iter().filter(|place| {
            let is_for_files = !matches!(place.kind, PlaceKind::Strangers | PlaceKind::Expiring);
            is_for_files && place.users.contains(&person.user)
        });
        let rooms = of_them.map(|place| place.room.as_str().into()).collect();
        let (world, carriers) = (Arc::clone(world), Arc::clone(&carriers));
        let filer = Filer { world, person: person.clone(), rooms, carriers };
        talkers.spawn(filer.run(Arc::clone(stop)));
    }
}

impl Filer {
    async fn run(self, stop: Stop) {
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            number += 1;
            let (what, room) = {
                let mut rng = rand::rng();
                let room = self.rooms[rng.random_range(0..self.rooms.len())].clone();
                (rng.random_range(0..10), room)
            };
            match what {
                0..4 => self.send_new(&room, number, &stop).await,
                4 => self.forward(&room, number).await,
                5 => self.take_back().await,
                _ => self.read_some().await,
            }
            long_pause(500..4_000, &stop).await;
        }
    }

    fn files(&self) -> Files {
        Files::of(self.world.files_link.addr(), &self.person.login)
    }

    fn user(&self) -> Arc<str> {
        self.person.login.user.as_str().into()
    }

    fn say(&self, deed: Deed) {
        self.world.recorder.record(Event::Deed(deed));
    }

    fn carriers(&self) -> Vec<Carrier> {
        lock(&self.carriers).clone()
    }

    /// One of those that were sent, as `is` says.
    fn one(&self, is: impl Fn(&Carrier) -> bool) -> Option<Carrier> {
        let some: Vec<Carrier> = self.carriers().into_iter().filter(is).collect();
        let which = rand::rng().random_range(0..some.len().max(1));
        some.get(which).cloned()
    }

    async fn send_new(&self, room: &Room, number: usize, stop: &Stop) {
        let (bytes, is_image, is_unwanted) = {
            let mut rng = rand::rng();
            let is_image = rng.random_range(0..5) == 0;
            let size = rng.random_range(1..BYTES_MAX);
            let bytes = if is_image { PIXEL.to_vec() } else { noise(size, rng.random()) };
            (bytes, is_image, rng.random_range(0..8) == 0)
        };
        let Some(path) = self.upload(&bytes, number, stop).await else { return };
        let file: Arc<str> = path.trim_start_matches("/v1/files/").into();
        if is_unwanted {
            self.say(Deed::Discards { user: self.user(), file });
            // Without an answer it may be discarded or not.
            let _ = self.files().tus("DELETE", &path, &[], b"").await;
            return;
        }
        let kind = if is_image { "image" } else { "file" };
        self.send(room, (kind, number), file, Value::Null).await;
    }

    async fn send(&self, room: &Room, (kind, number): (&str, usize), file: Arc<str>, of: Value) {
        let text = format!("{} carries {number} to {room}", self.person.client.name());
        let mut message =
            json!({ "kind": kind, "text": with_word(&text), "files": [{ "id": &*file }] });
        if !of.is_null() {
            message["forwarded"] = of;
        }
        // A refusal is in the history.
        if let Ok(seq) = self.person.client.entry(room, message).await {
            lock(&self.carriers).push(Carrier { room: room.clone(), seq, file });
        }
    }

    /// Uploads in some pieces, each until it is there: its path. `None`: it could not be done.
    async fn upload(&self, bytes: &[u8], number: usize, stop: &Stop) -> Option<String> {
        let (files, end) = (self.files(), Instant::now() + PATIENCE);
        let name = format!("{}-{number}.bin", self.person.login.user);
        // Where its answer is lost, another one is begun.
        let path = loop {
            match files.begin(&name, bytes.len()).await {
                Ok(path) => break path,
                Err(_) if Instant::now() > end || stop.load(Ordering::Relaxed) => return None,
                Err(_) => pause(200..1_000).await,
            }
        };
        let piece = bytes.len().div_ceil(rand::rng().random_range(1..4));
        while Instant::now() < end {
            // The one that finds all bytes there says that the file is kept.
            match files.offset(&path).await {
                Ok(offset) if offset == bytes.len() => {
                    return self.told(&files, path, bytes, end).await;
                }
                Ok(offset) => {
                    let part = &bytes[offset..bytes.len().min(offset + piece)];
                    if files.patch(&path, offset, part).await.is_err() {
                        pause(100..1_000).await;
                    }
                }
                Err(_) => pause(200..1_000).await,
            }
        }
        self.world.found(format!("{path} could not be uploaded within {PATIENCE:?}"));
        None
    }

    /// Asks what it is now that it is uploaded.
    async fn told(
        &self,
        files: &Files,
        path: String,
        bytes: &[u8],
        end: Instant,
    ) -> Option<String> {
        let file = path.trim_start_matches("/v1/files/").into();
        while Instant::now() < end {
            match files.look(&path).await {
                Ok((200, shown)) => {
                    let sha256: Arc<str> = shown["sha256"].as_str().unwrap_or_default().into();
                    let is_as_sent = *sha256 == *digest(bytes)
                        && shown["size"].as_u64() == Some(bytes.len() as u64);
                    self.say(Deed::Uploaded { user: self.user(), file, sha256, is_as_sent });
                    return Some(path);
                }
                Ok((status @ (404 | 409), shown)) => {
                    let what = format!("{path} is uploaded, and {status}: {shown}");
                    self.world.found(what);
                    return None;
                }
                _ => pause(200..1_000).await,
            }
        }
        self.world.found(format!("nobody says what {path} is"));
        None
    }

    /// What somebody else sent, in another room, or this one.
    async fn forward(&self, room: &Room, number: usize) {
        let Some(of) = self.one(|it| self.rooms.contains(&it.room)) else { return };
        let origin = json!({ "room": &*of.room, "seq": of.seq });
        self.send(room, ("file", number), of.file, origin).await;
    }

    /// What may be deleted is theirs, or their group's.
    async fn take_back(&self) {
        let Some(of) = self.one(|it| self.rooms.contains(&it.room)) else { return };
        let delete = json!({ "kind": "delete", "target": of.seq });
        let _ = self.person.client.entry(&of.room, delete).await;
    }

    /// Their own rooms', and now and then what they may not see.
    async fn read_some(&self) {
        let is_foreign = rand::rng().random_range(0..8) == 0;
        let Some(of) = self.one(|it| is_foreign != self.rooms.contains(&it.room)) else { return };
        read(&self.world, &self.person.login, &of).await;
    }
}

/// Reads a file of a message, and writes down what was got; false: whoever was asked did not say.
async fn read(world: &World, login: &Login, of: &Carrier) -> bool {
    let attempt = Attempt(world.recorder.session(), 1);
    let (user, Carrier { room, seq, file }) = (Arc::<str>::from(&*login.user), of.clone());
    let said = |deed: Deed| world.recorder.record(Event::Deed(deed));
    said(Deed::Fetches { user: user.clone(), room: room.clone(), seq, attempt });
    let Some(got) = got(world, login, of).await else { return false };
    said(Deed::Fetched { user, room, seq, file, attempt, got });
    true
}

async fn got(world: &World, login: &Login, of: &Carrier) -> Option<Got> {
    let files = Files::of(world.files_link.addr(), login);
    let path = format!("/v1/files/{}?room={}&seq={}", of.file, of.room, of.seq);
    let shown = match files.look(&path).await.ok()? {
        (200, shown) => shown,
        (404, _) => return Some(Got::NotFound),
        _ => return None,
    };
    let read = files.read(&shown["url"], &[]).await.ok()?;
    let told: usize = read.header("content-length")?.parse().ok()?;
    match read.status {
        // It is deleted between the two.
        404 => Some(Got::NotFound),
        // It was cut off, and says so by its length.
        200 if read.body.len() != told => None,
        200 if shown["size"].as_u64() != Some(told as u64) => {
            Some(Got::Broken(format!("{told} bytes as the whole file: {shown}")))
        }
        200 => Some(Got::Whole(digest(&read.body).into())),
        _ => None,
    }
}

/// In silence: each file of each message is read by one of who may see it.
pub(super) async fn read_all(world: &World, people: &People, logs: &[(Room, Vec<Entry>)]) {
    world.recorder.record(Event::Deed(Deed::FilesRead));
    let places: BTreeMap<&str, _> = people.by_room();
    let mut all = Vec::new();
    for (room, log) in logs {
        let Some(place) = places.get(&**room) else { continue };
        let reader = &people.users[place.users[0]];
        for entry in log.iter().filter(|entry| entry.is_message()) {
            let of = |file: &Arc<str>| Carrier {
                room: room.clone(),
                seq: entry.seq,
                file: file.clone(),
            };
            all.extend(entry.files().iter().map(|file| (reader, of(file))));
        }
    }
    let (end, late) = (Instant::now() + PATIENCE, AtomicUsize::new(0));
    stream::iter(all)
        .for_each_concurrent(AT_ONCE, |(reader, of)| {
            let late = &late;
            async move {
                while !read(world, reader, &of).await {
                    if Instant::now() > end {
                        late.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                    sleep(Duration::from_millis(250)).await;
                }
            }
        })
        .await;
    let late = late.into_inner();
    if late > 0 {
        world.found(format!("{late} files could not be read within {PATIENCE:?}"));
    }
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Bytes that no other file has.
fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let next = |_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..size).map(next).collect()
}
