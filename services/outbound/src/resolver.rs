//! Names, and the addresses that are left of them. The client connects to what it gets here, so nothing is looked up twice.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::error::{Error, NoPublicAddress};
use crate::rules::Rules;

/// Names that are looked up at once. A name server that does not answer holds a thread for some seconds, also where
/// nobody waits for it any more.
const LOOKUPS_MAX: usize = 16;

/// Looks up a name.
pub(crate) type Lookup =
    Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// As the machine does it.
pub(crate) fn system() -> Lookup {
    let places = Arc::new(Semaphore::new(LOOKUPS_MAX));
    Arc::new(move |name| {
        let places = Arc::clone(&places);
        let looked_up = async move {
            let place = places.acquire_owned().await.map_err(io::Error::other)?;
            let work = spawn_blocking(move || {
                let found = (name.as_str(), 0).to_socket_addrs()?.map(|found| found.ip()).collect();
                drop(place);
                Ok(found)
            });
            work.await.map_err(io::Error::other)?
        };
        looked_up.boxed()
    })
}

pub(crate) struct Resolver {
    pub(crate) lookup: Lookup,
    pub(crate) rules: Arc<Rules>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (found, rules) = ((self.lookup)(name.as_str().to_owned()), Arc::clone(&self.rules));
        Box::pin(async move {
            let found = found.await.map_err(Error::Lookup)?;
            let allowed = found.into_iter().filter(|address| rules.allow(*address));
            let allowed: Vec<SocketAddr> = allowed.map(|address| (address, 0).into()).collect();
            if allowed.is_empty() {
                return Err(NoPublicAddress.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}
