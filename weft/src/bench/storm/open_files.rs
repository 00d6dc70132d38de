//! How many files may be open: a socket is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::Error;

/// Lets this process, and those that it starts, have so many files open.
pub fn allow(count: u64) -> Result<(), Error> {
    let limits = getrlimit(Resource::Nofile);
    // `None`: no limit.
    if limits.current.is_none_or(|current| current >= count) {
        return Ok(());
    }
    if limits.maximum.is_some_and(|maximum| maximum < count) {
        let maximum = limits.maximum.unwrap_or_default();
        return Err(Error::Failed(format!(
            "a process may have {maximum} open files here, {count} are needed: raise the hard limit \
             (ulimit -Hn), or take fewer --devices"
        )));
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(count), ..limits })
        .map_err(|error| Error::Failed(format!("can't have {count} open files: {error}")))
}
