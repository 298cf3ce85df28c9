//! `Host` and `Origin`: a browser sends both, and a page of another site cannot choose them. A name that an attacker's
//! DNS points to this machine has another `Host` (DNS rebinding).

/// The names under which the listener is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SameOrigin(Vec<String>);

impl SameOrigin {
    /// The loopback names with `port`, and `hosts` of the settings. Without a port (a Unix socket) a loopback name has none.
    #[must_use]
    pub fn new(port: Option<u16>, hosts: &[String]) -> Self {
        let port = port.filter(|port| *port != 80).map(|port| format!(":{port}")).unwrap_or_default();
        let own = ["127.0.0.1", "localhost", "[::1]"].map(|name| format!("{name}{port}"));
        Self(own.into_iter().chain(hosts.iter().map(|host| host.to_ascii_lowercase())).collect())
    }

    /// Whether the value of `Host` is one of the names. A configured name without a port stands for every port.
    #[must_use]
    pub fn is_host(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let is_loopback = |name: &str| self.0.iter().take(3).any(|own| own == name);
        let bare = match host.rsplit_once(':') {
            Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => &host,
        };
        is_loopback(&host) || self.0.iter().skip(3).any(|own| *own == host || own == bare)
    }

    /// Whether the value of `Origin` is one of the names with `http` or `https`.
    #[must_use]
    pub fn is_origin(&self, origin: &str) -> bool {
        let name = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        name.is_some_and(|name| self.is_host(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_names_are_accepted() {
        let own = SameOrigin::new(Some(7171), &["Claw.example.org".into(), "box:8443".into()]);
        for host in
            ["127.0.0.1:7171", "LOCALHOST:7171", "[::1]:7171", "claw.example.org", "claw.example.org:443", "box:8443"]
        {
            assert!(own.is_host(host), "{host}");
            assert!(own.is_origin(&format!("https://{host}")), "{host}");
        }
        for host in [
            "",
            "127.0.0.1",
            "127.0.0.1:7172",
            "evil.example",
            "claw.example.org.evil",
            "evil.claw.example.org",
            "box",
            "box:1",
            "127.0.0.1:7171:1",
            "localhost.evil:7171",
        ] {
            assert!(!own.is_host(host), "{host}");
        }
        for origin in
            ["null", "", "file://", "ftp://127.0.0.1:7171", "http://evil@127.0.0.1:7172", "http://127.0.0.1:7171/"]
        {
            assert!(!own.is_origin(origin), "{origin}");
        }
        assert!(SameOrigin::new(Some(80), &[]).is_host("localhost"));
    }
}
