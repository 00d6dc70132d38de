//! Who is connected. Of callers who have shown a valid token there is a limit; of the others,
//! *strangers*, too, and where one more comes the one that has waited longest has to go. So strangers
//! shut nobody out: neither those who have a token, nor those who come with their login, nor whoever
//! asks for `/readyz`. One address has at most a share of both.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio_util::sync::CancellationToken;
use weft_proto::{ApiError, ErrorCode};
use weft_runtime::{Share, Shares, lock, network};

use crate::limited::{LimitKind, Limited};
use crate::limits::Limits;
use crate::metrics;
use crate::rate::come_back_later;

#[derive(Debug)]
pub(crate) struct Connections {
    known_max: usize,
    strangers_max: usize,
    addresses: Arc<Shares<IpAddr>>,
    limited: Arc<Limited>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// Those that may be closed for others, by age.
    strangers: BTreeMap<u64, CancellationToken>,
    next_number: u64,
    /// Strangers whose request core is working on: they are bounded by permits.
    busy: usize,
    /// Strangers that were told to go and have not yet.
    leaving: usize,
    known: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    /// Under this number; where that is not in the table, it has to go.
    Stranger(u64),
    Busy,
    Known,
}

/// The place of one connection, given back on drop.
#[derive(Debug)]
pub(crate) struct ConnectionPlace {
    all: Arc<Connections>,
    evicted: CancellationToken,
    /// Changed under the lock of the table alone.
    standing: Mutex<Standing>,
    /// `None`: a trusted proxy's, which has many clients.
    _address: Option<Share<IpAddr>>,
}

impl Connections {
    pub(crate) fn new(limits: &Limits, limited: Arc<Limited>) -> Self {
        Self {
            known_max: limits.connections_max,
            strangers_max: limits.strangers_max,
            addresses: Arc::new(Shares::new(usize::MAX, limits.address_connections_max)),
            limited,
            table: Mutex::default(),
        }
    }

    /// A place for a new connection. `address`: whom it counts for.
    ///
    /// # Errors
    /// The limit that is reached.
    pub(crate) fn enter(
        self: &Arc<Self>,
        address: Option<IpAddr>,
    ) -> Result<Arc<ConnectionPlace>, LimitKind> {
        let address = address.map(|address| self.share_of(address)).transpose()?;
        let mut table = self.lock();
        if table.strangers.len() + table.busy >= self.strangers_max {
            // Whoever floods faster than the flooded can leave waits.
            if table.leaving >= self.strangers_max || !table.evict() {
                return Err(LimitKind::Strangers);
            }
            self.limited.note(LimitKind::Strangers);
        }
        let evicted = CancellationToken::new();
        let number = table.add(evicted.clone());
        drop(table);
        metrics::CONNECTIONS.increment();
        let standing = Mutex::new(Standing::Stranger(number));
        Ok(Arc::new(ConnectionPlace {
            all: Arc::clone(self),
            evicted,
            standing,
            _address: address,
        }))
    }

    /// A place in an address's share.
    ///
    /// # Errors
    /// [`LimitKind::AddressConnections`].
    pub(crate) fn share_of(&self, address: IpAddr) -> Result<Share<IpAddr>, LimitKind> {
        let share = self.addresses.take(&network(address), 1);
        share.map_err(|_| LimitKind::AddressConnections)
    }

    /// Closes the stranger that has waited longest: the process can open no more files.
    pub(crate) fn make_way(&self) {
        self.lock().evict();
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing panics while it is held.
        lock(&self.table)
    }
}

impl Table {
    fn add(&mut self, evicted: CancellationToken) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.strangers.insert(number, evicted);
        number
    }

    /// False where there is no stranger.
    fn evict(&mut self) -> bool {
        let Some((_, evicted)) = self.strangers.pop_first() else { return false };
        self.leaving += 1;
        evicted.cancel();
        true
    }
}

impl ConnectionPlace {
    /// Resolves when the connection has to go, for another one.
    pub(crate) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    /// The connection's caller has shown a valid token.
    ///
    /// # Errors
    /// `overloaded` where there are too many such.
    pub(crate) fn know(&self) -> Result<(), ApiError> {
        let mut table = self.all.lock();
        let mut standing = self.standing();
        match *standing {
            Standing::Known => return Ok(()),
            Standing::Stranger(_) | Standing::Busy if table.known >= self.all.known_max => {
                drop((standing, table));
                self.all.limited.note(LimitKind::Connections);
                return Err(too_many());
            }
            Standing::Busy => table.busy -= 1,
            Standing::Stranger(number) => {
                if table.strangers.remove(&number).is_none() {
                    return Err(too_many());
                }
            }
        }
        table.known += 1;
        *standing = Standing::Known;
        Ok(())
    }

    /// Core works on a request of the connection: it is not closed for others meanwhile.
    pub(crate) fn work(self: &Arc<Self>) -> Work {
        let mut table = self.all.lock();
        let mut standing = self.standing();
        if let Standing::Stranger(number) = *standing
            && table.strangers.remove(&number).is_some()
        {
            table.busy += 1;
            *standing = Standing::Busy;
        }
        Work(Arc::clone(self))
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        lock(&self.standing)
    }
}

/// A request that core works on.
pub(crate) struct Work(Arc<ConnectionPlace>);

impl Drop for Work {
    fn drop(&mut self) {
        let mut table = self.0.all.lock();
        let mut standing = self.0.standing();
        if *standing == Standing::Busy {
            table.busy -= 1;
            *standing = Standing::Stranger(table.add(self.0.evicted.clone()));
        }
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        metrics::CONNECTIONS.decrement();
        let mut table = self.all.lock();
        match *self.standing() {
            Standing::Known => table.known -= 1,
            Standing::Busy => table.busy -= 1,
            Standing::Stranger(number) => {
                if table.strangers.remove(&number).is_none() {
                    table.leaving -= 1;
                }
            }
        }
    }
}

fn too_many() -> ApiError {
    come_back_later(ApiError::new(ErrorCode::Overloaded, "this edge has no place left"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(known: usize, strangers: usize, per_address: usize) -> Arc<Connections> {
        let limits = Limits {
            connections_max: known,
            strangers_max: strangers,
            address_connections_max: per_address,
            ..Limits::default()
        };
        Arc::new(Connections::new(&limits, Arc::default()))
    }

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn the_stranger_that_waited_longest_makes_way() {
        let all = connections(10, 2, 10);
        let first = all.enter(address(1)).expect("a place");
        let second = all.enter(address(2)).expect("a place");
        first.know().expect("a token");
        let third = all.enter(address(3)).expect("a place");
        let _fourth = all.enter(address(4)).expect("a place");
        let is_evicted = |place: &ConnectionPlace| place.evicted.is_cancelled();
        assert!(!is_evicted(&first) && is_evicted(&second) && !is_evicted(&third));
        // Too late.
        assert_eq!(second.know().expect_err("evicted").code, ErrorCode::Overloaded);
        drop((first, second));
        let table = all.lock();
        assert_eq!((table.known, table.leaving), (0, 0));
    }

    #[test]
    fn who_is_served_does_not_make_way() {
        let all = connections(10, 2, 10);
        let first = all.enter(address(1)).expect("a place");
        let second = all.enter(address(1)).expect("a place");
        let work = first.work();
        let third = all.enter(address(1)).expect("a place");
        assert!(!first.evicted.is_cancelled() && second.evicted.is_cancelled());
        let busy = third.work();
        assert_eq!(all.enter(address(1)).expect_err("nobody can go"), LimitKind::Strangers);
        drop((work, busy, second));
        let _fourth = all.enter(address(1)).expect("a place");
        assert!(first.evicted.is_cancelled());
    }

    #[test]
    fn one_address_has_a_share_and_a_proxy_stands_for_many() {
        let all = connections(10, 10, 2);
        let places =
            [all.enter(address(1)).expect("first"), all.enter(address(1)).expect("second")];
        assert_eq!(all.enter(address(1)).expect_err("too many"), LimitKind::AddressConnections);
        all.enter(address(2)).expect("another address");
        let _proxied: Vec<_> = (0..5).map(|_| all.enter(None).expect("a proxy's")).collect();
        drop(places);
        all.enter(address(1)).expect("again");
    }

    #[test]
    fn known_callers_are_bounded_too() {
        let all = connections(1, 10, 10);
        let first = all.enter(address(1)).expect("a place");
        let second = all.enter(address(1)).expect("a place");
        first.know().expect("a token");
        first.know().expect("once more");
        assert_eq!(second.know().expect_err("full").code, ErrorCode::Overloaded);
        drop(first);
        second.know().expect("room again");
    }
}
