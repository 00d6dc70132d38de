use weft_proto::History;
use weft_runtime::Clock as _;
use weft_storage::tables::scheduled::Scheduled;
use weft_storage::tables::{file_reference, scheduled};

use super::super::testing::{World, code, create, remove, room, text, user};
use super::*;

pub(in super::super) const HOUR_MS: u64 = 3_600_000;

pub(in super::super) async fn begin(world: &World, who: &str, size: u64) -> svc::File {
    let request = svc::BeginFile { token: world.token(who), name: "a/cat.png".into(), size };
    world.context.file_begin(request).await.expect("begin")
}

pub(in super::super) fn finished(file: &str) -> svc::FinishFile {
    svc::FinishFile {
        file: file.into(),
        size: 9,
        sha256: vec![7; 32],
        content_type: "image/png".into(),
        image: Some(svc::ImageFacts { width: 2, height: 1, ..svc::ImageFacts::default() }),
        ..svc::FinishFile::default()
    }
}

async fn ready(world: &World, who: &str) -> FileId {
    let file = begin(world, who, 10).await.file;
    world.context.file_ready(finished(&file)).await.expect("ready");
    FileId::new(&file).expect("id")
}

/// As the owner of a room's partition does it, in the commit of the message.
pub(in super::super) async fn refer(
    world: &World,
    file: FileId,
    name: &str,
    seq: u64,
    expires_ms: u64,
) {
    let mut batch = Batch::new(rand::random());
    file_reference::put(&mut batch, &(file, (room(name), seq)), expires_ms);
    world.store.commit(batch).await.expect("commit");
}

async fn lose(world: &World, file: FileId, name: &str, seq: u64) {
    let mut batch = Batch::new(rand::random());
    file_reference::clear(&mut batch, &(file, (room(name), seq)), world.clock.now_ms());
    world.store.commit(batch).await.expect("commit");
}

pub(in super::super) async fn look(
    world: &World,
    who: &str,
    file: &str,
    at: (&str, u64),
) -> Result<svc::File, Failure> {
    let (token, file) = (world.token(who), file.to_owned());
    let (room, seq) = (at.0.into(), at.1);
    let request = svc::LookAtFile { token, file, room, seq, ..svc::LookAtFile::default() };
    world.context.file_look(request).await
}

/// All that is to be deleted, over all pages.
pub(in super::super) async fn due(world: &World) -> Vec<String> {
    let (mut files, mut after) = (Vec::new(), Vec::new());
    loop {
        let page = world.context.files_due(svc::ListDueFiles { after }).await.expect("due");
        files.extend(page.files);
        after = page.after;
        if after.is_empty() {
            return files;
        }
    }
}

pub(in super::super) async fn deleted(world: &World, file: &str) -> Result<svc::Empty, Failure> {
    world.context.file_deleted(svc::FileDeleted { file: file.into() }).await
}

#[tokio::test]
async fn a_file_is_its_owners_until_a_message_has_it() {
    let mut world = World::new().await;
    world.one("team", "alice", create(&["bob"], History::All)).await;
    world.one("team", "alice", text("one")).await;
    let begun = begin(&world, "alice", 10).await;
    assert_eq!((&*begun.name, begun.state(), begun.size), ("cat.png", FileState::Uploading, 10));
    assert_eq!(begun.until_ms, world.clock.now_ms() + DAY_MS);
    let id = FileId::new(&begun.file).expect("id");
    let ready = world.context.file_ready(finished(&begun.file)).await.expect("ready");
    assert_eq!((ready.state(), ready.size, ready.owner.as_str()), (FileState::Ready, 9, "alice"));
    // The same again is no change, another content is.
    let again = world.context.file_ready(finished(&begun.file)).await.expect("again");
    assert_eq!(again, ready);
    let other = svc::FinishFile { size: 8, ..finished(&begun.file) };
    assert_eq!(code(world.context.file_ready(other).await), ErrorCode::Conflict);

    assert_eq!(look(&world, "alice", &begun.file, ("", 0)).await.expect("own"), ready);
    assert_eq!(code(look(&world, "bob", &begun.file, ("", 0)).await), ErrorCode::NotFound);
    assert_eq!(code(look(&world, "bob", &begun.file, ("team", 2)).await), ErrorCode::NotFound);
    let expires_ms = world.clock.now_ms() + 3 * HOUR_MS;
    refer(&world, id, "team", 2, expires_ms).await;
    let seen = look(&world, "bob", &begun.file, ("team", 2)).await.expect("a member's");
    assert_eq!(seen, svc::File { until_ms: expires_ms, ..ready });
    for (who, at) in
        [("bob", ("team", 1)), ("bob", ("", 0)), ("eve", ("team", 2)), ("bob", ("no", 2))]
    {
        assert_eq!(code(look(&world, who, &begun.file, at).await), ErrorCode::NotFound, "{at:?}");
    }
    // Who has left reads what was before.
    world.one("team", "alice", remove("bob")).await;
    world.one("team", "alice", text("two")).await;
    refer(&world, id, "team", 4, expires_ms).await;
    assert!(look(&world, "bob", &begun.file, ("team", 2)).await.is_ok());
    assert_eq!(code(look(&world, "bob", &begun.file, ("team", 4)).await), ErrorCode::NotFound);
    world.clock.advance_ms(3 * HOUR_MS);
    assert_eq!(code(look(&world, "alice", &begun.file, ("team", 4)).await), ErrorCode::NotFound);
}

#[tokio::test]
async fn a_file_that_no_message_has_is_deleted_after_a_day() {
    let world = World::new().await;
    let uploading = begin(&world, "alice", 10).await.file;
    let ready = ready(&world, "alice").await.to_string();
    let discarded = begin(&world, "alice", 10).await.file;
    let discard = |who: &str| svc::DiscardFile { token: world.token(who), file: discarded.clone() };
    assert_eq!(code(world.context.file_discard(discard("bob")).await), ErrorCode::NotFound);
    world.context.file_discard(discard("alice")).await.expect("discard");
    assert_eq!(code(look(&world, "alice", &discarded, ("", 0)).await), ErrorCode::NotFound);
    assert_eq!(code(world.context.file_ready(finished(&discarded)).await), ErrorCode::NotFound);
    assert_eq!(due(&world).await, Vec::<String>::new());
    assert_eq!(code(deleted(&world, &discarded).await), ErrorCode::Conflict);
    world.clock.advance_ms(HOUR_MS);
    assert_eq!(due(&world).await.join(" "), discarded);
    // Until it is said to be done.
    assert_eq!(due(&world).await.join(" "), discarded);
    deleted(&world, &discarded).await.expect("deleted");
    assert_eq!(code(deleted(&world, &discarded).await), ErrorCode::NotFound);
    world.clock.advance_ms(DAY_MS - HOUR_MS);
    assert_eq!(due(&world).await, Vec::<String>::new());
    assert_eq!(code(world.context.file_ready(finished(&uploading)).await), ErrorCode::NotFound);
    world.clock.advance_ms(HOUR_MS);
    let mut both = due(&world).await;
    both.sort_unstable();
    let mut wanted = [uploading, ready];
    wanted.sort_unstable();
    assert_eq!(both, wanted);
    for file in both {
        deleted(&world, &file).await.expect("deleted");
    }
    world.clock.advance_ms(10 * DAY_MS);
    assert_eq!(due(&world).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_file_lives_as_long_as_one_message_has_it() {
    let world = World::new().await;
    let file = ready(&world, "alice").await;
    let begun_ms = world.clock.now_ms();
    refer(&world, file, "team", 1, begun_ms + 30 * DAY_MS).await;
    refer(&world, file, "other", 1, begun_ms + 40 * DAY_MS).await;
    world.clock.advance_ms(2 * DAY_MS);
    assert_eq!(due(&world).await, Vec::<String>::new());
    lose(&world, file, "team", 1).await;
    world.clock.advance_ms(29 * DAY_MS);
    assert_eq!(due(&world).await, Vec::<String>::new());
    assert!(look(&world, "alice", &file.to_string(), ("", 0)).await.is_ok());
    world.clock.advance_ms(9 * DAY_MS);
    // Its last message's time is over: it dies, and an hour later it is deleted.
    assert_eq!(due(&world).await, Vec::<String>::new());
    assert_eq!(code(look(&world, "alice", &file.to_string(), ("", 0)).await), ErrorCode::NotFound);
    world.clock.advance_ms(HOUR_MS - 1);
    assert_eq!(due(&world).await, Vec::<String>::new());
    world.clock.advance_ms(1);
    assert_eq!(due(&world).await, [file.to_string()]);
    deleted(&world, &file.to_string()).await.expect("deleted");
    let snapshot = world.store.snapshot().await.expect("snapshot");
    assert_eq!(file_reference::first(&*snapshot, file, 9).await.expect("read"), []);
    assert_eq!(file_due::due(&*snapshot, None, u64::MAX, 9).await.expect("read"), []);
}

/// A message was planned while the file was ready, and committed after it was marked.
#[tokio::test]
async fn a_message_that_came_in_the_last_hour_saves_its_file() {
    let world = World::new().await;
    let file = ready(&world, "alice").await;
    world.clock.advance_ms(DAY_MS);
    assert_eq!(due(&world).await, Vec::<String>::new());
    assert_eq!(code(look(&world, "alice", &file.to_string(), ("", 0)).await), ErrorCode::NotFound);
    let expires_ms = world.clock.now_ms() + DAY_MS;
    refer(&world, file, "team", 1, expires_ms).await;
    world.clock.advance_ms(HOUR_MS);
    assert_eq!(due(&world).await, Vec::<String>::new());
    assert!(look(&world, "alice", &file.to_string(), ("", 0)).await.is_ok());
    world.clock.advance_ms(DAY_MS);
    assert_eq!(due(&world).await, Vec::<String>::new());
    world.clock.advance_ms(HOUR_MS);
    assert_eq!(due(&world).await, [file.to_string()]);
}

#[tokio::test]
async fn a_file_stays_while_a_message_waits_to_be_sent_with_it() {
    let world = World::new().await;
    let file = ready(&world, "alice").await;
    let begun_ms = world.clock.now_ms();
    let id = weft_proto::ClientId::from_parts(begun_ms, 1);
    let key = (user("alice"), room("alice~bob"), id);
    let waits = Scheduled {
        id: id.to_string(),
        at_ms: begun_ms + 9 * DAY_MS,
        parts: 1,
        files: vec![file.to_string()],
        ..Scheduled::default()
    };
    let write = async |row: &Scheduled| {
        let mut batch = Batch::new(rand::random());
        scheduled::put(&mut batch, 0, &key, row, None);
        world.store.commit(batch).await.expect("commit");
    };
    write(&waits).await;
    for _ in 0..8 {
        world.clock.advance_ms(DAY_MS);
        assert_eq!(due(&world).await, Vec::<String>::new());
        let discard = svc::DiscardFile { token: world.token("alice"), file: file.to_string() };
        assert_eq!(code(world.context.file_discard(discard).await), ErrorCode::Conflict);
    }
    assert!(look(&world, "alice", &file.to_string(), ("", 0)).await.is_ok());
    // It was refused, or taken back, or its user has deleted the account.
    write(&Scheduled { code: "forbidden".into(), ..waits }).await;
    world.clock.advance_ms(DAY_MS);
    assert_eq!(due(&world).await, Vec::<String>::new());
    world.clock.advance_ms(HOUR_MS);
    assert_eq!(due(&world).await, [file.to_string()]);
}

#[tokio::test]
async fn references_that_are_over_are_removed_in_pieces() {
    let world = World::new().await;
    let file = ready(&world, "alice").await;
    let expires_ms = world.clock.now_ms() + DAY_MS;
    let mut batch = Batch::new(rand::random());
    for seq in 1..=2 * REFERENCES_MAX as u64 + 1 {
        file_reference::put(&mut batch, &(file, (room("team"), seq)), expires_ms);
    }
    world.store.commit(batch).await.expect("commit");
    world.clock.advance_ms(DAY_MS);
    for _ in 0..3 {
        assert_eq!(due(&world).await, Vec::<String>::new());
    }
    world.clock.advance_ms(HOUR_MS);
    assert_eq!(due(&world).await, [file.to_string()]);
}

#[tokio::test]
async fn a_user_uploads_so_much_on_a_day() {
    let mut world = World::new().await;
    let limits = FileLimits { bytes_max: 100, day_bytes_max: 150, day_files_max: 3, days: 1 };
    world.context.file_limits = limits;
    let ask = async |who: &str, size| {
        let request = svc::BeginFile { token: world.token(who), name: String::new(), size };
        world.context.file_begin(request).await
    };
    assert_eq!(code(ask("alice", 0).await), ErrorCode::BadRequest);
    assert_eq!(code(ask("alice", 101).await), ErrorCode::TooLarge);
    assert_eq!(ask("alice", 100).await.expect("begin").name, "file");
    let refused = ask("alice", 51).await.expect_err("too much").answer("begin");
    let now_ms = world.clock.now_ms();
    assert_eq!(refused.code, ErrorCode::LimitReached);
    assert_eq!(refused.retry_after_ms, Some(DAY_MS - now_ms % DAY_MS));
    ask("bob", 100).await.expect("another one's");
    for _ in 0..2 {
        ask("alice", 1).await.expect("begin");
    }
    assert_eq!(code(ask("alice", 1).await), ErrorCode::LimitReached);
    world.clock.advance_ms(DAY_MS - now_ms % DAY_MS);
    ask("alice", 100).await.expect("another day");
    let range = file_quota::range_before(&user("alice"), u32::MAX);
    let snapshot = world.store.snapshot().await.expect("snapshot");
    assert_eq!(snapshot.scan(range, 9, false).await.expect("read").len(), 1);
}

#[tokio::test]
async fn what_the_role_says_of_a_file_is_checked() {
    let world = World::new().await;
    let file = begin(&world, "alice", 10).await.file;
    let good = finished(&file);
    let image = |width| Some(svc::ImageFacts { width, height: 1, ..svc::ImageFacts::default() });
    let thumbhash = svc::ImageFacts { thumbhash: vec![0; 33], ..image(1).expect("one") };
    for bad in [
        svc::FinishFile { size: 0, ..good.clone() },
        svc::FinishFile { size: 10 + REWRITTEN_BYTES_MAX + 1, ..good.clone() },
        svc::FinishFile { sha256: vec![0; 31], ..good.clone() },
        svc::FinishFile { content_type: "png".into(), ..good.clone() },
        svc::FinishFile { content_type: "image/png\r\nx: y".into(), ..good.clone() },
        svc::FinishFile { content_type: format!("a/{}", "x".repeat(126)), ..good.clone() },
        svc::FinishFile { image: image(0), ..good.clone() },
        svc::FinishFile { no_preview: "Too large".into(), ..good.clone() },
        svc::FinishFile { no_preview: "x".repeat(33), ..good.clone() },
        svc::FinishFile { image: image(65_536), ..good.clone() },
        svc::FinishFile { image: Some(thumbhash), ..good.clone() },
    ] {
        assert_eq!(code(world.context.file_ready(bad).await), ErrorCode::BadRequest);
    }
    let none = finished(&FileId::from_parts(1, 1).to_string());
    assert_eq!(code(world.context.file_ready(none).await), ErrorCode::NotFound);
    assert_eq!(code(world.context.file_ready(finished("x")).await), ErrorCode::BadId);
}

#[tokio::test]
async fn all_nodes_sign_addresses_by_the_same_keys() {
    let world = World::new().await;
    let keys = world.context.file_url_keys().keys;
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].len(), 32);
    let other = World::on(world.store.clone()).await;
    assert_eq!(other.context.file_url_keys().keys, keys);
    // Who has it can sign nothing else.
    assert!(world.context.tokens.secrets().all(|secret| secret != keys[0]));
}
