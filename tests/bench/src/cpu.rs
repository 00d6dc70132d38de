//! Processor time and memory of processes, from `/proc/<pid>/`.

use anyhow::{Context, Result};

/// The kernel's `USER_HZ`: the unit of `/proc`, fixed on every platform that Weft runs on.
const TICKS_PER_S: u64 = 100;

/// Processor time, user and system, that the processes have used, in µs.
pub fn used_us(pids: &[u32]) -> Result<u64> {
    pids.iter().map(|pid| used_us_of(*pid)).sum()
}

fn used_us_of(pid: u32) -> Result<u64> {
    let ticks = ticks_of(&read(pid, "stat")?).context("/proc has an unknown form")?;
    Ok(ticks * (1_000_000 / TICKS_PER_S))
}

fn read(pid: u32, file: &str) -> Result<String> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::read_to_string(&path).context(path)
}

/// Memory that a process has in use, in bytes.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let text = read(pid, "status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|it| it.trim().strip_suffix(" kB")?.trim().parse().ok());
    kilobytes.map(|kilobytes: u64| kilobytes * 1_024).context("/proc has an unknown form")
}

/// Fields 14 and 15; the second field, the name in parentheses, may hold anything.
fn ticks_of(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_is_skipped() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 12 34 0 0 20 0 1 0 5";
        assert_eq!(ticks_of(stat), Some(46));
        assert_eq!(ticks_of("nonsense"), None);
    }

    #[test]
    fn this_process_is_found() {
        assert!(used_us(&[std::process::id()]).is_ok());
        assert!(resident_bytes(std::process::id()).is_ok_and(|bytes| bytes > 100_000));
        assert!(used_us(&[u32::MAX]).is_err());
    }
}
