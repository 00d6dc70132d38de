//! A FoundationDB server of the test's own: one process, on loopback, in a folder that goes with it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// Killed when dropped.
pub struct Server {
    programs: PathBuf,
    folder: TempDir,
    file: PathBuf,
    address: String,
    running: Child,
}

fn start(programs: &Path, folder: &Path, address: &str) -> Child {
    let data = folder.join("data");
    std::fs::create_dir_all(&data).expect("data folder");
    Command::new(programs.join("fdbserver"))
        .args(["--public-address", address, "--listen-address", "public", "--datadir"])
        .arg(&data)
        .arg("--logdir")
        .arg(folder)
        .arg("--cluster-file")
        .arg(folder.join("fdb.cluster"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("fdbserver starts")
}

impl Server {
    /// Starts a server with an empty database, from the folder with `fdbserver` and `fdbcli`.
    pub fn start(programs: &Path) -> Self {
        let folder = TempDir::new().expect("folder");
        let port = {
            let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
            free.local_addr().expect("address").port()
        };
        let address = format!("127.0.0.1:{port}");
        let file = folder.path().join("fdb.cluster");
        std::fs::write(&file, format!("test:test@{address}\n")).expect("cluster file");
        let running = start(programs, folder.path(), &address);
        let new = Self { programs: programs.to_owned(), folder, file, address, running };
        let configured = Command::new(new.programs.join("fdbcli"))
            .arg("-C")
            .arg(&new.file)
            .args(["--timeout", "60", "--exec", "configure new single ssd"])
            .output()
            .expect("fdbcli runs");
        assert!(configured.status.success(), "{}", String::from_utf8_lossy(&configured.stdout));
        new
    }

    /// Its cluster file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.running.kill().expect("kill");
        self.running.wait().expect("wait");
    }

    /// Starts it again on its data.
    pub fn restart(&mut self) {
        self.running = start(&self.programs, self.folder.path(), &self.address);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be down already.
        let _ = self.running.kill();
        let _ = self.running.wait();
    }
}
