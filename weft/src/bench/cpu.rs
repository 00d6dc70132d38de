//! Processor time and memory of processes, from `/proc/<pid>/`.

use std::path::PathBuf;

use crate::error::Error;

/// The kernel's `USER_HZ`: the unit of `/proc`, fixed on every platform that Weft runs on.
const TICKS_PER_S: u64 = 100;

/// Processor time, user and system, that the processes have used, in µs.
pub fn used_us(pids: &[u32]) -> Result<u64, Error> {
    pids.iter().map(|pid| used_us_of(*pid)).sum()
}

fn used_us_of(pid: u32) -> Result<u64, Error> {
    let path = PathBuf::from(format!("/proc/{pid}/stat"));
    let text = std::fs::read_to_string(&path).map_err(Error::file(&path))?;
    let ticks = ticks_of(&text)
        .ok_or_else(|| Error::Failed(format!("{} has an unknown form", path.display())))?;
    Ok(ticks * (1_000_000 / TICKS_PER_S))
}

/// Memory that the processes have in use, in bytes.
pub fn resident_bytes(pids: &[u32]) -> Result<u64, Error> {
    let mut sum = 0;
    for pid in pids {
        let path = PathBuf::from(format!("/proc/{pid}/status"));
        let text = std::fs::read_to_string(&path).map_err(Error::file(&path))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|it| it.trim().strip_suffix(" kB")?.trim().parse().ok());
        let unknown = || Error::Failed(format!("{} has an unknown form", path.display()));
        sum += kilobytes.map(|kilobytes: u64| kilobytes * 1_024).ok_or_else(unknown)?;
    }
    Ok(sum)
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
        assert!(resident_bytes(&[std::process::id()]).is_ok_and(|bytes| bytes > 100_000));
        assert!(used_us(&[u32::MAX]).is_err());
    }
}
