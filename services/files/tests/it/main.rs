//! A files node beside a core that tells what the test says: real NATS, a real folder.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use weft_files::{BackendPlace, FilesNode, FilesOptions, Limits};
use weft_harness::http::request;
use weft_harness::server::Server;
use weft_harness::wait::{eventually, soon};
use weft_nats::Services;
use weft_proto::svc::{
    BeginFile, DueFiles, Empty, File, FileDeleted, FileState, GetUrlKeys, ListDueFiles, LookAtFile,
    UrlKeys,
};
use weft_proto::{ApiError, ErrorCode, FileId};
use weft_runtime::lock;

/// What core has listed and was told.
#[derive(Default)]
struct Rows {
    due: Vec<String>,
    deleted: Vec<String>,
    /// So many answers to what is deleted are lost.
    lost: usize,
}

async fn core(services: &mut Services, rows: &Arc<Mutex<Rows>>) {
    let keys = |_: GetUrlKeys| async { Ok(UrlKeys { keys: vec![vec![7; 32]] }) };
    services.handle::<GetUrlKeys, _, _>(1, keys).await.expect("served");
    let all = Arc::clone(rows);
    // One a page.
    let due = move |request: ListDueFiles| {
        let due = lock(&all).due.clone();
        async move {
            let place = request.after.first().map_or(0, |after| usize::from(*after));
            let after = if place + 1 < due.len() { vec![place as u8 + 1] } else { Vec::new() };
            Ok(DueFiles { files: due.get(place).cloned().into_iter().collect(), after })
        }
    };
    services.handle::<ListDueFiles, _, _>(1, due).await.expect("served");
    let all = Arc::clone(rows);
    let deleted = move |request: FileDeleted| {
        let mut rows = lock(&all);
        let answer = if rows.lost > 0 {
            rows.lost -= 1;
            Err(ApiError::new(ErrorCode::Unavailable, "the store is away"))
        } else {
            rows.due.retain(|file| *file != request.file);
            rows.deleted.push(request.file);
            Ok(Empty {})
        };
        async move { answer }
    };
    services.handle::<FileDeleted, _, _>(1, deleted).await.expect("served");
}

/// Puts a file where the node has it.
fn keep(data: &Path, file: FileId) -> Vec<std::path::PathBuf> {
    let id = file.to_string();
    let folder = data.join("objects").join(&id[id.len() - 2..]);
    std::fs::create_dir_all(&folder).expect("a folder");
    let paths = ["o", "s", "m"].map(|variant| folder.join(format!("{id}.{variant}"))).to_vec();
    for path in &paths {
        std::fs::write(path, b"bytes").expect("written");
    }
    paths
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_is_deleted_and_stays_due_until_core_knows() {
    let server = Server::new(1).await;
    let data = server.folder().path().join("files");
    let files = [1, 2, 3].map(|chance| FileId::from_parts(1, chance));
    let paths = files.map(|file| keep(&data, file));
    // One is not due, and of one the bytes are deleted already: the node was killed before it said so.
    let due: Vec<_> = files[..2].iter().map(FileId::to_string).collect();
    for path in &paths[1] {
        std::fs::remove_file(path).expect("removed");
    }
    let rows = Arc::new(Mutex::new(Rows { due: due.clone(), lost: 2, ..Rows::default() }));
    let core_bus = server.bus("core", "core-1").await;
    let mut services = Services::start(&core_bus, "0.0.1");
    core(&mut services, &rows).await;
    let node = FilesNode::start(FilesOptions {
        previews: None,
        bus: server.bus("files", "files-1").await,
        data: data.clone(),
        backend: BackendPlace::Folder,
        listen: None,
        url: None,
        limits: Limits { look_every: Duration::from_millis(50), ..Limits::default() },
    });
    let node = node.await.expect("a node");
    eventually("core was told of both", async || lock(&rows).deleted.len() == 2).await;
    assert_eq!(lock(&rows).deleted, due);
    assert!(paths[0].iter().all(|path| !path.exists()), "its bytes are deleted");
    assert!(paths[2].iter().all(|path| path.is_file()), "it was not due");
    assert_eq!(node.shutdown(Duration::from_secs(5)).await, Vec::<&str>::new());
    services.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_brings_nothing_for_too_long_is_told_and_what_came_stays() {
    let server = Server::new(1).await;
    let core_bus = server.bus("core", "core-1").await;
    let mut services = Services::start(&core_bus, "0.0.1");
    core(&mut services, &Arc::default()).await;
    let file = FileId::from_parts(1, 1);
    let row = File {
        file: file.to_string(),
        owner: "alice".into(),
        size: 10,
        state: FileState::Uploading.into(),
        until_ms: 4_000_000_000_000,
        ..File::default()
    };
    let begun = row.clone();
    let begin = move |_: BeginFile| {
        let begun = begun.clone();
        async move { Ok(begun) }
    };
    services.handle::<BeginFile, _, _>(1, begin).await.expect("served");
    let look = move |_: LookAtFile| {
        let row = row.clone();
        async move { Ok(row) }
    };
    services.handle::<LookAtFile, _, _>(1, look).await.expect("served");
    let node = FilesNode::start(FilesOptions {
        previews: None,
        bus: server.bus("files", "files-1").await,
        data: server.folder().path().join("files"),
        backend: BackendPlace::Folder,
        listen: Some(([127, 0, 0, 1], 0).into()),
        url: None,
        limits: Limits { stall_max: Duration::from_millis(300), ..Limits::default() },
    });
    let node = node.await.expect("a node");
    let address = node.local_addr().expect("it listens");
    let tus = [("tus-resumable", "1.0.0"), ("authorization", "Bearer x")];
    let head = [&tus[..], &[("upload-length", "10")]].concat();
    let answer = request(address, "POST", "/v1/files", &head, b"").await.expect("an answer");
    assert_eq!(answer.status, 201, "{answer:?}");
    let path = format!("/v1/files/{file}");
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nhost: files\r\ntus-resumable: 1.0.0\r\nauthorization: Bearer x\r\n\
         content-type: application/offset+octet-stream\r\nupload-offset: 0\r\ncontent-length: 10\r\n\r\n01234"
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = vec![0; 4_096];
    let read = soon("an answer", stream.read(&mut answer)).await.expect("read");
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let answer = request(address, "HEAD", &path, &tus, b"").await.expect("an answer");
    assert_eq!((answer.status, answer.header("upload-offset")), (200, Some("5")), "{answer:?}");
    assert_eq!(node.shutdown(Duration::from_secs(5)).await, Vec::<&str>::new());
    services.shutdown().await;
}
