//! Several servers as one cluster.

use std::fmt::Write as _;

use super::quote;

/// One server's part in a cluster. Streams with three copies need three servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The cluster's name: the same on every server.
    pub name: String,
    /// The address that it listens on for the other servers.
    pub host: String,
    /// The port that it listens on for the other servers.
    pub port: u16,
    /// How it finds the others, and how they know each other.
    pub routes: Routes,
    /// Clients are told the addresses of the other servers. Not where those reach them through
    /// something else: a proxy, a load balancer.
    pub advertise: bool,
}

/// How servers of a cluster find and know each other. Their user is `route`.
#[derive(Clone, PartialEq, Eq)]
pub enum Routes {
    /// Everything is in the file.
    Value {
        /// The password that all servers share: letters, digits, `-` and `_`, because it is in
        /// URLs.
        password: String,
        /// `host:port` of each of the others.
        others: Vec<String>,
    },
    /// nats-server takes no variable inside of a URL, so the whole list comes from its environment.
    Env {
        /// The name of the variable with the password.
        password: String,
        /// The name of the variable with the list:
        /// `["nats://route:<password>@<host>:<port>", …]`.
        list: String,
    },
}

impl std::fmt::Debug for Routes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Value { others, .. } => write!(f, "Routes(…, {others:?})"),
            Self::Env { list, .. } => write!(f, "Routes(${list})"),
        }
    }
}

impl Cluster {
    pub(super) fn write(&self, out: &mut String) -> std::fmt::Result {
        let (password, routes) = match &self.routes {
            Routes::Value { password, others } => {
                let url = |other| quote(&format!("nats://route:{password}@{other}"));
                let urls: Vec<String> = others.iter().map(url).collect();
                (quote(password), format!("[ {} ]", urls.join(", ")))
            }
            Routes::Env { password, list } => (format!("${password}"), format!("${list}")),
        };
        writeln!(out, "cluster {{")?;
        writeln!(out, "  name: {}", quote(&self.name))?;
        writeln!(out, "  listen: {}", quote(&format!("{}:{}", self.host, self.port)))?;
        writeln!(out, "  authorization {{ user: route, password: {password} }}")?;
        writeln!(out, "  routes: {routes}")?;
        if !self.advertise {
            writeln!(out, "  # Clients are told of no other server.")?;
            writeln!(out, "  no_advertise: true")?;
        }
        writeln!(out, "}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(routes: Routes, advertise: bool) -> String {
        let (name, host) = ("weft".to_owned(), "10.0.0.1".to_owned());
        let mut text = String::new();
        let cluster = Cluster { name, host, port: 6222, routes, advertise };
        cluster.write(&mut text).expect("a string");
        text
    }

    #[test]
    fn routes_carry_the_password() {
        let others = vec!["10.0.0.2:6222".to_owned(), "10.0.0.3:6222".to_owned()];
        let routes = Routes::Value { password: "geheim".to_owned(), others };
        assert!(!format!("{routes:?}").contains("geheim"));
        let text = rendered(routes, true);
        assert_eq!(
            text,
            "cluster {\n  name: \"weft\"\n  listen: \"10.0.0.1:6222\"\n  \
             authorization { user: route, password: \"geheim\" }\n  \
             routes: [ \"nats://route:geheim@10.0.0.2:6222\", \
             \"nats://route:geheim@10.0.0.3:6222\" ]\n}\n"
        );
    }

    #[test]
    fn from_the_environment_come_password_and_list() {
        let (password, list) = ("WEFT_ROUTE_PASSWORD".to_owned(), "WEFT_ROUTES".to_owned());
        let text = rendered(Routes::Env { password, list }, false);
        assert!(text.contains("password: $WEFT_ROUTE_PASSWORD }"), "{text}");
        assert!(text.contains("routes: $WEFT_ROUTES\n"), "{text}");
        assert!(text.contains("no_advertise: true"), "{text}");
    }
}
