//! For whom a request counts: the address that it came from, or, where that is a proxy that the
//! operator trusts, the one that the proxy names.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use ipnet::IpNet;

/// Where proxies name whom they speak for, the nearest last.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The proxies that are believed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies(Vec<IpNet>);

impl Proxies {
    pub(crate) fn new(trusted: &[IpNet]) -> Self {
        Self(trusted.to_vec())
    }

    pub(crate) fn is_trusted(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The last address that no trusted proxy has: anybody may have written what is before it.
    /// `None`: a trusted proxy that names nobody.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        let mut client = peer;
        let named = headers.get_all(FORWARDED_FOR).into_iter().rev();
        let named = named.flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, named: &[&str]) -> Option<String> {
        let trusted = ["10.0.0.0/8", "::1/128"].map(|text| text.parse().expect("a network"));
        let mut headers = HeaderMap::new();
        for value in named {
            headers.append(FORWARDED_FOR, value.parse().expect("a value"));
        }
        let client = Proxies::new(&trusted).client(peer.parse().expect("ip"), &headers);
        client.map(|client| client.to_string())
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_nobody_else() {
        for (peer, named, expected) in [
            ("192.0.2.1", &["198.51.100.7"][..], "192.0.2.1"),
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("::ffff:10.0.0.1", &["2001:db8::7"], "2001:db8::7"),
            ("::1", &["198.51.100.7:4711"], "198.51.100.7"),
            // What the client itself wrote comes before what the proxy added.
            ("10.0.0.1", &["127.0.0.1, 198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["127.0.0.1", "198.51.100.7,10.0.0.2"], "198.51.100.7"),
        ] {
            assert_eq!(client(peer, named).as_deref(), Some(expected), "{peer} {named:?}");
        }
    }

    #[test]
    fn a_proxy_that_names_nobody_stands_for_nobody() {
        for named in [&[][..], &[""], &["unknown"], &["198.51.100.7, _hidden"], &["10.0.0.3"]] {
            assert_eq!(client("10.0.0.1", named), None, "{named:?}");
        }
    }
}
