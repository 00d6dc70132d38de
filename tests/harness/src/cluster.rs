//! The nats-servers of a system of separate processes: `nats`, or `nats-0`, `nats-1`, `nats-2` as
//! one cluster; and older copies of their data.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::json;
use tokio::net::TcpStream;

use crate::nats::Nats;
use crate::system::{
    START_LIMIT, System, copy_folder, free_address, nats_server, split_password, weft,
};
use crate::wait::until;

/// JetStream's files of a server, as they were at a moment.
#[derive(Clone, Debug)]
pub struct OlderCopy {
    server: String,
    folder: PathBuf,
}

impl OlderCopy {
    pub fn remove(self) -> Result<()> {
        Ok(std::fs::remove_dir_all(self.folder)?)
    }
}

impl System {
    /// The names of the processes of the nats-servers.
    pub fn server_names(&self) -> Vec<String> {
        match self.servers().len() {
            1 => vec!["nats".to_owned()],
            servers => (0..servers).map(|i| format!("nats-{i}")).collect(),
        }
    }

    /// Starts them all and waits until they serve.
    pub(crate) async fn start_servers(&mut self, partitions: u16) -> Result<()> {
        let names = self.server_names();
        let routes = names.iter().map(|_| free_address()).collect::<Result<Vec<_>>>()?;
        let password = split_password("route");
        for (i, name) in names.iter().enumerate() {
            let port = self.servers()[i].port().to_string();
            let streams = self.streams_of(name).display().to_string();
            let mut args = vec!["nats-config", "--name", name, "--host", "127.0.0.1"];
            args.extend(["--port", &port, "--store-dir", &streams]);
            let route_port = routes[i].port().to_string();
            if names.len() > 1 {
                // All addresses are given to the parts, and some are those of proxies.
                args.extend(["--cluster", "weft", "--cluster-port", &route_port, "--no-advertise"]);
            }
            let output = {
                let mut command = tokio::process::Command::new(weft().await);
                command.args(args).env("WEFT_PARTITIONS", partitions.to_string());
                command.output().await?
            };
            ensure!(output.status.success(), "weft nats-config: {output:?}");
            let file = self.path().join(format!("{name}.conf"));
            std::fs::write(&file, output.stdout)?;
            let users = [
                "edge",
                "core",
                "presence",
                "search",
                "push",
                "integrations",
                "files",
                "admin",
                "route",
            ];
            let variable = |user: &str| format!("WEFT_{}_PASSWORD", user.to_uppercase());
            let mut env = users.map(|user| (variable(user), split_password(user))).to_vec();
            let issuer = crate::server::bots_issuer().public().to_owned();
            env.push(("WEFT_BOTS_ISSUER".to_owned(), issuer));
            let others = routes.iter().filter(|other| **other != routes[i]);
            let urls: Vec<_> = others.map(|at| format!("nats://route:{password}@{at}")).collect();
            env.push(("WEFT_ROUTES".to_owned(), json!(urls).to_string()));
            let args = vec!["-c".to_owned(), file.display().to_string()];
            self.add(name, nats_server().await, args, env).await?;
        }
        for name in &names {
            self.server_answers(name).await;
        }
        if names.len() > 1 {
            self.cluster_is_complete().await;
        }
        Ok(())
    }

    pub async fn server_answers(&self, name: &str) {
        let index = self.server_names().iter().position(|server| server == name);
        let address = self.servers()[index.unwrap_or_default()];
        until(&format!("{name} answers"), START_LIMIT, async || {
            TcpStream::connect(address).await.ok()
        })
        .await;
    }

    /// Waits until the cluster can make a stream with a copy on each server.
    pub async fn cluster_is_complete(&self) {
        until("the cluster is complete", START_LIMIT, async || {
            let password = split_password("admin");
            let mut admin = Nats::connect(self.nats(), "admin", &password).await.ok()?;
            let replicas = self.servers().len();
            let stream =
                json!({ "name": "whole", "subjects": ["whole"], "num_replicas": replicas });
            let stream = stream.to_string();
            let steps = [("CREATE", stream.as_bytes()), ("DELETE", b"")];
            for (step, payload) in steps {
                let subject = format!("$JS.API.STREAM.{step}.whole");
                let inbox = format!("_INBOX_admin.{step}");
                let answer = admin.request(&subject, &inbox, payload).await.ok()?;
                answer.json()["error"].is_null().then_some(())?;
            }
            Some(())
        })
        .await;
    }

    /// Copies a nats-server's streams, as a crash would leave them: it is stopped meanwhile.
    pub fn copy_streams(&self, server: &str) -> Result<OlderCopy> {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = self.path().join(format!("{server}.copy-{number}"));
        let process = self.process(server);
        let runs = process.is_running();
        if runs {
            process.signal(Signal::STOP)?;
        }
        let copied = copy_folder(&self.streams_of(server), &folder);
        if runs {
            process.signal(Signal::CONT)?;
        }
        copied?;
        Ok(OlderCopy { server: server.to_owned(), folder })
    }

    /// Kills a nats-server where it runs, puts the copy in the place of its streams and starts it.
    pub async fn put_back(&self, copy: &OlderCopy) -> Result<()> {
        let process = self.process(&copy.server);
        if process.is_running() {
            process.kill()?;
        }
        let streams = self.streams_of(&copy.server);
        std::fs::remove_dir_all(&streams).with_context(|| streams.display().to_string())?;
        copy_folder(&copy.folder, &streams)?;
        process.restart()?;
        self.server_answers(&copy.server).await;
        Ok(())
    }

    fn streams_of(&self, server: &str) -> PathBuf {
        self.path().join(format!("{server}.streams"))
    }
}
