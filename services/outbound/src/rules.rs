//! What may be asked for.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use reqwest::Url;

use crate::addresses::is_public;
use crate::error::Error;

/// What may be asked for beside public addresses, and what not.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// These addresses may be asked, public or not: an operator's own. Where one of them is named itself, on any port.
    pub allowed: Vec<IpNet>,
    /// These hosts, and those below them, are never asked: `example.org` is `www.example.org`, too.
    pub refused_hosts: Vec<String>,
    /// On which ports; empty: on any.
    pub ports: Vec<u16>,
}

impl Rules {
    /// Of hosts that the operator names, and nobody else: any address.
    #[must_use]
    pub fn of_the_operator() -> Self {
        let (v4, v6) = (Ipv4Net::default(), Ipv6Net::default());
        Self { allowed: vec![v4.into(), v6.into()], ..Self::default() }
    }

    /// True where a connection may be made to an address.
    #[must_use]
    pub fn allow(&self, address: IpAddr) -> bool {
        is_public(address) || self.names(address)
    }

    fn names(&self, address: IpAddr) -> bool {
        self.allowed.iter().any(|net| net.contains(&address))
    }

    /// Checks all of an address that is known before a name is looked up.
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::HostRefused`], [`Error::NotPublic`].
    pub fn check(&self, url: &Url) -> Result<(), Error> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Error::Url("it is neither http nor https"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::Url("it has credentials in it"));
        }
        let host = url.host_str().ok_or(Error::Url("it has no host"))?;
        if self.refuses(host) {
            return Err(Error::HostRefused);
        }
        let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        if address.is_some_and(|address| !self.allow(address)) {
            return Err(Error::NotPublic);
        }
        let is_own = address.is_some_and(|address| self.names(address));
        let port = url.port_or_known_default().unwrap_or_default();
        if !is_own && !self.ports.is_empty() && !self.ports.contains(&port) {
            return Err(Error::Url("it is of another port"));
        }
        Ok(())
    }

    fn refuses(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        self.refused_hosts.iter().any(|refused| {
            let above = host.strip_suffix(refused.trim_end_matches('.'));
            above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(rules: &Rules, url: &str) -> Result<(), Error> {
        rules.check(&Url::parse(url).expect(url))
    }

    #[test]
    fn an_address_says_much_before_it_is_asked() {
        let rules = Rules { ports: vec![80, 443], ..Rules::default() };
        for url in [
            "http://example.org/a?b#c",
            "https://example.org",
            "https://8.8.8.8/",
            "https://example.org.:443/",
        ] {
            assert!(checked(&rules, url).is_ok(), "{url}");
        }
        for url in [
            "ftp://example.org/",
            "file:///etc/passwd",
            "https://me@example.org/",
            "https://:pass@example.org/",
            "http://example.org:22/",
            "https://example.org:6379/",
            "gopher://example.org/",
        ] {
            assert!(matches!(checked(&rules, url), Err(Error::Url(_))), "{url}");
        }
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://017700000001/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://169.254.169.254/latest/meta-data/",
            "http://10.1/",
            "http://0/",
            "http://127.0.0.1:8080/",
        ] {
            assert!(matches!(checked(&rules, url), Err(Error::NotPublic)), "{url}");
        }
    }

    #[test]
    fn what_the_operator_names_may_be_anywhere() {
        let rules = Rules::of_the_operator();
        for url in ["http://127.0.0.1:8080/", "https://[::1]/", "https://10.1.2.3/"] {
            assert!(checked(&rules, url).is_ok(), "{url}");
        }
    }

    #[test]
    fn operators_allow_addresses_and_refuse_hosts() {
        let rules = Rules {
            allowed: vec!["10.0.0.0/8".parse().expect("a net")],
            refused_hosts: vec!["example.org".into()],
            ports: vec![80, 443],
        };
        assert!(checked(&rules, "http://10.1.2.3:8080/").is_ok());
        assert!(matches!(checked(&rules, "http://127.0.0.1:8080/"), Err(Error::NotPublic)));
        for url in ["https://example.org/", "https://EXAMPLE.org./", "https://a.b.example.org/"] {
            assert!(matches!(checked(&rules, url), Err(Error::HostRefused)), "{url}");
        }
        assert!(checked(&rules, "https://anexample.org/").is_ok());
        assert!(checked(&rules, "https://example.org.evil.net/").is_ok());
    }
}
