//! A real process under a name: started, killed, frozen and started again, with its output in a
//! file. It never outlives the test, however that ends.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait::until;

/// How to start a process, again and again.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its name in a test, and of its log file.
    pub name: String,
    pub program: PathBuf,
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    /// Where its log file goes.
    pub folder: PathBuf,
}

#[derive(Debug)]
pub struct Process {
    spec: Spec,
    child: Mutex<Option<Child>>,
}

impl Process {
    pub fn start(spec: Spec) -> Result<Self> {
        let process = Self { spec, child: Mutex::new(None) };
        process.restart()?;
        Ok(process)
    }

    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Where its output goes; the outputs of all its lives, one after the other.
    pub fn log(&self) -> PathBuf {
        self.spec.folder.join(format!("{}.log", self.spec.name))
    }

    /// All that it has said.
    pub fn output(&self) -> String {
        let bytes = std::fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Starts it again; it must not be running.
    pub fn restart(&self) -> Result<()> {
        let mut child = self.lock();
        if child.is_some() {
            bail!("{} is running", self.spec.name);
        }
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        *child = Some(spawn(&self.spec, log).with_context(|| format!("{:?}", self.spec))?);
        Ok(())
    }

    pub fn pid(&self) -> Result<u32> {
        let child = self.lock();
        child.as_ref().map(Child::id).with_context(|| format!("{} is not running", self.spec.name))
    }

    /// `kill -9`; returns when it has ended.
    pub fn kill(&self) -> Result<()> {
        let mut child = self.lock();
        let mut killed =
            child.take().with_context(|| format!("{} is not running", self.spec.name))?;
        killed.kill()?;
        killed.wait()?;
        Ok(())
    }

    /// Sends a signal: SIGSTOP, SIGCONT, SIGTERM, SIGINT.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        send_signal(self.pid()?, signal)
    }

    /// Writes a line to its standard input.
    pub fn say(&self, line: &str) -> Result<()> {
        let mut child = self.lock();
        let input = child.as_mut().and_then(|child| child.stdin.as_mut());
        let input = input.with_context(|| format!("{} is not running", self.spec.name))?;
        Ok(writeln!(input, "{line}")?)
    }

    /// Waits until it ends by itself.
    pub async fn ended(&self, limit: Duration) -> ExitStatus {
        let what = format!("{} ends", self.spec.name);
        until(&what, limit, async || self.reap()).await
    }

    /// How it has ended, where it has by itself; then it can be started again.
    pub fn reap(&self) -> Option<ExitStatus> {
        let mut child = self.lock();
        let status = child.as_mut()?.try_wait().ok().flatten()?;
        child.take();
        Some(status)
    }

    /// True where it was started and has not ended.
    pub fn is_running(&self) -> bool {
        self.lock().as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.lock().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub fn send_signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("not a process id")?;
    Ok(kill_process(pid, signal)?)
}

/// The living children of a process: id and command.
pub fn children(parent: u32) -> Result<Vec<(u32, String)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        // `<pid> (<command>) <state> <parent> …`; a command may hold anything.
        let Some((head, tail)) = stat.rsplit_once(')') else { continue };
        let Some((_, command)) = head.split_once('(') else { continue };
        let mut fields = tail.split_whitespace();
        let (state, of) = (fields.next(), fields.next().and_then(|of| of.parse().ok()));
        if of == Some(parent) && state != Some("Z") {
            found.push((pid, command.to_owned()));
        }
    }
    Ok(found)
}

/// True where a process with this id lives.
pub fn lives(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

type Order = (Command, SyncSender<io::Result<Child>>);

/// The kernel's parent-death signal comes when the *thread* ends that started the child. So all are
/// started by one that lives as long as the test's process.
static STARTER: LazyLock<SyncSender<Order>> = LazyLock::new(|| {
    let (orders, taken) = sync_channel::<Order>(16);
    std::thread::spawn(move || {
        for (mut command, started) in taken {
            let _ = started.send(command.spawn());
        }
    });
    orders
});

fn spawn(spec: &Spec, log: File) -> io::Result<Child> {
    let mut command = Command::new(&spec.program);
    command.args(&spec.args).envs(spec.env.iter().cloned()).current_dir(&spec.folder);
    command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
    die_with_the_test(&mut command);
    let (started, answer) = sync_channel(1);
    STARTER.send((command, started)).map_err(io::Error::other)?;
    answer.recv().map_err(io::Error::other)?
}

fn die_with_the_test(command: &mut Command) {
    let tie = || Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?);
    #[expect(unsafe_code, reason = "runs between fork and exec: one system call, no allocation")]
    // SAFETY: the closure makes one async-signal-safe system call.
    unsafe {
        command.pre_exec(tie);
    }
}
