//! The client library's network thread: started here, stopped here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foundationdb::api::{FdbApiBuilder, NetworkAutoStop};

use crate::error::Error;

/// The library allows one start per process, also after a stop.
static STARTED: AtomicBool = AtomicBool::new(false);

/// The network thread that every FoundationDB store of this process uses. It stops when the last
/// clone is dropped; stores and snapshots hold one. Keep one in `main` until the runtime has ended.
#[derive(Clone)]
pub struct Network {
    _running: Arc<NetworkAutoStop>,
}

impl Network {
    /// Starts it.
    ///
    /// # Errors
    /// [`Error::Open`] at the second start in a process, and where the installed client library is
    /// older than 7.3.
    pub fn start() -> Result<Self, Error> {
        if STARTED.swap(true, Ordering::AcqRel) {
            let place = "FoundationDB: its network thread starts once per process";
            return Err(Error::Open(place.to_owned()));
        }
        let cannot = |error| {
            Error::Open(format!("FoundationDB: its client library (7.3 is needed): {error}"))
        };
        let library = FdbApiBuilder::default().build().map_err(cannot)?;
        // SAFETY: the thread must be stopped before the process ends, or it runs into the
        // library's destructors. Dropping the guard stops and joins it; whoever starts it holds a
        // clone in `main`, and everything that uses it has one of its own, so that it isn't
        // stopped too early either.
        #[expect(unsafe_code, reason = "the library asks for a promise: see above")]
        let running = unsafe { library.boot() }.map_err(cannot)?;
        Ok(Self { _running: Arc::new(running) })
    }
}
