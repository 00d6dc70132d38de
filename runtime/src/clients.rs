//! For whom a connection counts: the network of the address that it comes from, unless that is a proxy's which the
//! operator trusts.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// The proxies that are believed.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    #[must_use]
    pub fn new(trusted: &[IpNet]) -> Self {
        Self(trusted.to_vec())
    }

    #[must_use]
    pub fn is_trusted(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The last address that no trusted proxy has, of those that proxies name, the nearest first: anybody may have written
    /// what comes after it. `None`: a trusted proxy that names nobody.
    pub fn client<'a>(&self, peer: IpAddr, named: impl Iterator<Item = &'a str>) -> Option<IpAddr> {
        let mut client = peer;
        for named in named {
            if !self.is_trusted(client) {
                break;
            }
            let Some(named) = read(named.trim()) else { break };
            client = named;
        }
        Some(client).filter(|client| !self.is_trusted(*client))
    }
}

/// Some proxies name the port too.
fn read(named: &str) -> Option<IpAddr> {
    let with_port = || named.parse::<SocketAddr>().ok().map(|named| named.ip());
    named.parse().ok().or_else(with_port)
}

/// The caller that an address belongs to: an IPv6 client owns its /64.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_ipv6_client_owns_its_network() {
        let network = |text: &str| super::network(text.parse().expect("ip"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::2:0:0:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:10.0.0.1"), network("10.0.0.1"));
    }
}
