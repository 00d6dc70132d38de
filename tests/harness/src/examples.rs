//! The examples of `docs/integrations.md`, run as they are on the page.
//!
//! A block of code that is run has a comment before it, `<!-- example: name.py -->`. The end of the name says what runs
//! it: `py` or `sh`. What differs from one reader to the other comes from environment variables.
//!
//! Python's packages are those of `tests/python/requirements.txt`, by their hashes, in a folder of their own in the target.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::system::target;

/// How long an example may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);
const PAGE: &str = include_str!("../../../docs/integrations.md");
const REQUIREMENTS: &str = include_str!("../../python/requirements.txt");

/// A block of code of the page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Example {
    name: &'static str,
    pub code: &'static str,
}

/// The example of this name.
pub fn example(name: &str) -> Result<Example> {
    let found = all().into_iter().find(|it| it.name == name);
    found.with_context(|| format!("docs/integrations.md has no example {name}"))
}

/// The names of all examples.
pub fn names() -> Vec<&'static str> {
    all().into_iter().map(|it| it.name).collect()
}

fn all() -> Vec<Example> {
    let blocks = PAGE.split("<!-- example: ").skip(1);
    let read = |block: &'static str| {
        let (name, rest) = block.split_once(" -->\n```")?;
        let (_language, rest) = rest.split_once('\n')?;
        let (code, _) = rest.split_once("\n```")?;
        Some(Example { name, code })
    };
    blocks.filter_map(read).collect()
}

/// Whether examples can run here: there is a python3 with pip. Where not, that is said.
pub async fn can_run() -> bool {
    static CAN_RUN: OnceCell<bool> = OnceCell::const_new();
    let tried = async || {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
        pip.status().await.is_ok_and(|status| status.success())
    };
    let can_run = *CAN_RUN.get_or_init(tried).await;
    if !can_run {
        eprintln!("skipped: the examples of docs/integrations.md need python3 with pip");
    }
    can_run
}

impl Example {
    /// Runs it to its end, which has to be a good one; what it has printed.
    pub async fn run(&self, folder: &Path, env: &[(&str, &str)]) -> Result<String> {
        let mut command = self.command(folder, env).await?;
        let output = timeout(LIMIT, command.output()).await;
        let output =
            output.with_context(|| format!("{} took more than {LIMIT:?}", self.name))??;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "{}: {}", self.name, shown(&output));
        Ok(printed)
    }

    /// Starts it. It ends with the value, at the latest; what it prints is in `<name>.log` of the folder.
    pub async fn start(&self, folder: &Path, env: &[(&str, &str)]) -> Result<Child> {
        let log = std::fs::File::create(folder.join(format!("{}.log", self.name)))?;
        let mut command = self.command(folder, env).await?;
        command.stdout(log.try_clone()?).stderr(log);
        Ok(command.spawn()?)
    }

    async fn command(&self, folder: &Path, env: &[(&str, &str)]) -> Result<Command> {
        let file = folder.join(self.name);
        std::fs::write(&file, self.code)?;
        let (program, packages) = match self.name.rsplit_once('.') {
            Some((_, "py")) => ("python3", Some(packages().await?)),
            Some((_, "sh")) => ("sh", None),
            _ => bail!("nobody knows how {} is run", self.name),
        };
        let mut command = Command::new(program);
        if program == "sh" {
            command.arg("-e");
        }
        command.arg(file).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
        command.env("PYTHONUNBUFFERED", "1").env("PYTHONDONTWRITEBYTECODE", "1");
        command.envs(packages.map(|folder| ("PYTHONPATH", folder))).envs(env.iter().copied());
        Ok(command)
    }
}

fn shown(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// The folder with Python's packages.
async fn packages() -> Result<&'static Path> {
    static FOLDER: OnceCell<PathBuf> = OnceCell::const_new();
    FOLDER.get_or_try_init(install).await.map(PathBuf::as_path)
}

/// Works in a folder of its own and moves the result into place at the end, so several processes may do it at once.
async fn install() -> Result<PathBuf> {
    let cache = target().join("weft-tests").join("cache");
    let folder = cache.join(format!("python-{:016x}", fnv(REQUIREMENTS)));
    if folder.is_dir() {
        return Ok(folder);
    }
    let work = cache.join(format!("python-{:016x}.new", rand::random::<u64>()));
    std::fs::create_dir_all(&work)?;
    let wanted = work.join("requirements.txt");
    std::fs::write(&wanted, REQUIREMENTS)?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]);
    pip.args(["--require-hashes", "--target"]).arg(&work).arg("-r").arg(&wanted);
    let output = pip.stdin(Stdio::null()).output().await?;
    if !output.status.success() {
        let _ = std::fs::remove_dir_all(&work);
        bail!("pip: {}", shown(&output));
    }
    if std::fs::rename(&work, &folder).is_err() {
        // Another process was faster.
        let _ = std::fs::remove_dir_all(&work);
        ensure!(folder.is_dir(), "{} is not there", folder.display());
    }
    Ok(folder)
}

/// FNV-1a: other requirements are another folder.
fn fnv(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_marked_block_is_an_example() {
        let names = names();
        assert_eq!(names.len(), PAGE.matches("<!-- example: ").count(), "{names:?}");
        assert!(names.iter().all(|name| name.ends_with(".py") || name.ends_with(".sh")));
        let is_single = |name: &&str| names.iter().filter(|it| *it == name).count() == 1;
        assert!(names.iter().all(is_single), "{names:?}");
        assert!(example("bot.py").expect("it is there").code.contains("hello"));
        assert!(example("nothing.py").is_err());
    }
}
