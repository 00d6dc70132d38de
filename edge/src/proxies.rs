//! For whom a request counts: the address that it came from, or, where that is a proxy that the
//! operator trusts, the one that the proxy names.

use std::net::IpAddr;

use axum::http::HeaderMap;
use weft_runtime::Proxies;

/// Where proxies name whom they speak for, the nearest last.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Whom a request is of, by what its head says of proxies. `None`: a trusted proxy that names nobody.
pub(crate) fn client(proxies: &Proxies, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
    let named = headers.get_all(FORWARDED_FOR).into_iter().rev();
    proxies.client(peer, named.flat_map(|value| value.to_str().unwrap_or_default().rsplit(',')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named_client(peer: &str, named: &[&str]) -> Option<String> {
        let trusted = ["10.0.0.0/8", "::1/128"].map(|text| text.parse().expect("a network"));
        let mut headers = HeaderMap::new();
        for value in named {
            headers.append(FORWARDED_FOR, value.parse().expect("a value"));
        }
        let client = client(&Proxies::new(&trusted), peer.parse().expect("ip"), &headers);
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
            assert_eq!(named_client(peer, named).as_deref(), Some(expected), "{peer} {named:?}");
        }
    }

    #[test]
    fn a_proxy_that_names_nobody_stands_for_nobody() {
        for named in [&[][..], &[""], &["unknown"], &["198.51.100.7, _hidden"], &["10.0.0.3"]] {
            assert_eq!(named_client("10.0.0.1", named), None, "{named:?}");
        }
    }
}
