//! A nats-server with Weft's configuration as a child of this process: for tests of single crates,
//! each with one of its own. A user's password is `<user>-password`.

use rustix::process::Signal;
use weft_nats::config::{Bot, NatsPasswords, Secret, ServerConfig};
use weft_nats::{AssetOptions, Bus, BusOptions, NatsServer, ServerOptions, assets};
use weft_proto::{NodeId, Partition, RoomId, UserId};

use crate::nats::Nats;
use crate::process::send_signal;
use crate::system::{Folder, nats_server};

pub struct Server {
    /// `None`: killed or taken.
    pub running: Option<NatsServer>,
    pub options: ServerOptions,
    pub assets: AssetOptions,
    // Last, so that the server has ended before its folder.
    folder: Folder,
}

pub fn user(name: &str) -> UserId {
    UserId::new(name).expect("user id")
}

pub fn room(name: &str) -> RoomId {
    RoomId::new(name).expect("room id")
}

pub fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("node id")
}

/// With a bot that may read the events of one group, one that may read all, and one that may read none.
pub fn server_config(partitions: Partition) -> ServerConfig {
    let secret = |role: &str| Secret::Value(password(role));
    let bot = |name: &str, rooms| Bot { name: user(name), password: secret(name), rooms };
    ServerConfig {
        partitions,
        passwords: NatsPasswords {
            edge: secret("edge"),
            core: secret("core"),
            presence: secret("presence"),
            files: secret("files"),
            search: secret("search"),
            push: secret("push"),
            integrations: secret("integrations"),
            admin: secret("admin"),
        },
        bots: vec![
            bot("bot", Some(vec![room("public")])),
            bot("eve", None),
            bot("cron", Some(Vec::new())),
        ],
        files_bytes_max: 0,
    }
}

fn password(user: &str) -> String {
    format!("{user}-password")
}

impl Server {
    /// A server without streams.
    pub async fn bare(partitions: Partition) -> Self {
        let folder = Folder::new().expect("a folder");
        let (binary, dir) = (nats_server().await.to_owned(), folder.path().join("nats"));
        let mut options =
            ServerOptions { binary, dir, port: None, config: server_config(partitions) };
        let server = NatsServer::start(options.clone()).await.expect("start");
        options.port = Some(server.port());
        let small = 64 << 20;
        let assets = AssetOptions {
            partitions,
            replicas: 1,
            ingest_bytes_max: small,
            event_bytes_max: small,
            files_bytes_max: small,
        };
        Self { running: Some(server), options, assets, folder }
    }

    /// A server with its streams.
    pub async fn new(partitions: Partition) -> Self {
        let server = Self::bare(partitions).await;
        let core = server.bus("core", "setup").await;
        assets::ensure(&core, &server.assets).await.expect("assets");
        core.close().await;
        server
    }

    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    pub fn port(&self) -> u16 {
        self.options.port.expect("a port")
    }

    pub fn bus_options(&self, role: &'static str, name: &str) -> BusOptions {
        BusOptions {
            url: format!("nats://127.0.0.1:{}", self.port()),
            user: role.to_owned(),
            password: password(role),
            role,
            node: node(name),
        }
    }

    /// A connection of a part.
    pub async fn bus(&self, role: &'static str, name: &str) -> Bus {
        Bus::connect(&self.bus_options(role, name)).await.expect("connect")
    }

    pub async fn by_hand(&self, user: &str) -> Nats {
        let address = ([127, 0, 0, 1], self.port()).into();
        Nats::connect(address, user, &password(user)).await.expect("connect")
    }

    /// Asks JetStream as the admin, as no part of Weft may; its answer.
    pub async fn ask(&self, verb: &str, body: &str) -> String {
        let mut admin = self.by_hand("admin").await;
        let subject = format!("$JS.API.{verb}");
        let answer = admin.request(&subject, "_INBOX_admin.1", body.as_bytes()).await;
        String::from_utf8(answer.expect("an answer").payload).expect("text")
    }

    /// Stops the server for a moment, or lets it go on.
    pub fn signal(&self, signal: Signal) {
        let pid = self.running.as_ref().expect("running").pid();
        send_signal(pid, signal).expect("a signal");
    }

    /// kill -9
    pub async fn kill(&mut self) {
        self.running.take().expect("running").kill().await;
    }

    pub async fn stop(&mut self) {
        self.running.take().expect("running").stop().await;
    }

    /// Starts it again, on the same port and files.
    pub async fn restart(&mut self) {
        self.running = Some(NatsServer::start(self.options.clone()).await.expect("restart"));
    }
}
