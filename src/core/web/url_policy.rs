//! The policy for URLs that an agent may request: syntax and ports, the hosts listed in its AGENT.md, and the owner's
//! exceptions for hosts outside the public internet.

use crate::core::fault::{Fault, Result};
use crate::core::web::special_use::special;
use serde::Deserialize;
use serde::de::{self, Deserializer};
use std::net::IpAddr;
use url::{Host, Url};

/// The longest accepted URL, in bytes.
const MAX_URL: usize = 8 << 10;

/// Ports above 1023 that browsers do not connect to, because services there may interpret an HTTP request as commands:
/// the Fetch standard's "bad ports".
const BAD_PORTS: &[u16] = &[
    1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
];

/// A URL that passed every check that needs no name resolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The URL, without a fragment.
    pub url: Url,
    /// Its host in lower-case ASCII, without brackets and without a trailing dot.
    pub host: String,
    /// The address, if the host is one; also for forms like `0x7f.1` and `2130706433`, which the URL standard defines.
    pub ip: Option<IpAddr>,
    /// Its port, explicit or the default of the scheme.
    pub port: u16,
}

impl Target {
    /// Parses and checks a URL.
    ///
    /// # Errors
    /// `Data` if it is invalid or refused.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > MAX_URL {
            return Err(Fault::data(format!("the URL has {} bytes, the limit is {MAX_URL}", text.len())));
        }
        let url = Url::parse(text.trim()).map_err(|e| Fault::data(format!("`{text}` is not a URL: {e}")))?;
        Self::new(url)
    }

    fn new(mut url: Url) -> Result<Self> {
        let refused = |why: &str| Err(Fault::data(format!("{}: {why}", bare(&url))));
        if !matches!(url.scheme(), "http" | "https") {
            return refused("only http and https are allowed");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refused("a URL with a user name or password is not allowed");
        }
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return refused("the URL has no host");
        };
        if !matches!(port, 80 | 443 | 1024..) || BAD_PORTS.contains(&port) {
            return refused(&format!(
                "port {port} is not allowed (only 80, 443 and the ports from 1024 that browsers allow)"
            ));
        }
        let (host, ip) = match host {
            Host::Domain(name) => (rootless(name), None),
            Host::Ipv4(ip) => (ip.to_string(), Some(IpAddr::V4(ip))),
            Host::Ipv6(ip) => (ip.to_string(), Some(IpAddr::V6(ip))),
        };
        if host.is_empty() {
            return refused("the URL has no host");
        }
        // `127.0.0.1..` is not an address by the URL standard, but some resolvers accept it.
        if host.split('.').any(str::is_empty) {
            return refused("the host has an empty label");
        }
        url.set_fragment(None);
        Ok(Self { url, host, ip, port })
    }

    /// The target of a redirect from this one.
    ///
    /// # Errors
    /// `Data` if the target is refused, or goes from https to http.
    pub fn next(&self, location: &str) -> Result<Self> {
        if location.len() > MAX_URL {
            return Err(Fault::data(format!("the redirect has {} bytes, the limit is {MAX_URL}", location.len())));
        }
        let bad = |e| Fault::data(format!("{} redirects to an invalid URL: {e}", self.url));
        let next = Self::new(self.url.join(location).map_err(bad)?)?;
        if self.url.scheme() == "https" && next.url.scheme() != "https" {
            return Err(Fault::data(format!("{} redirects from https to {}", self.url, next.url)));
        }
        Ok(next)
    }

    /// Checks the resolved addresses of its host: if one is not public, the host is refused.
    ///
    /// # Errors
    /// `Data`, with the purpose of the address.
    pub fn check_addresses(&self, addresses: &[IpAddr], private: &[PrivateHost]) -> Result<()> {
        if private.iter().any(|listed| listed.host == self.host && listed.port == self.port) {
            return Ok(());
        }
        match addresses.iter().find_map(|ip| special(*ip).map(|purpose| (ip, purpose))) {
            None => Ok(()),
            Some((ip, purpose)) => {
                let message = format!("{}: {ip} is not a public address: {purpose}", bare(&self.url));
                Err(Fault::data(message).hint("the owner can allow it with web.allow_private in claw.yaml"))
            }
        }
    }
}

/// A name without the trailing dot of the DNS root.
fn rootless(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_owned()
}

/// A URL without user name and password, for messages.
fn bare(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.to_string()
}

/// A host and port outside the public internet that the owner lets agents read: `127.0.0.1:8080`, `wiki.lan:80`,
/// `[::1]:8080`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateHost {
    host: String,
    port: u16,
}

impl<'de> Deserialize<'de> for PrivateHost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let invalid = || de::Error::custom(format!("`{text}` is not HOST:PORT, like 127.0.0.1:8080"));
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        let port = port.parse().map_err(|_| invalid())?;
        let host = match Host::parse(host).map_err(|_| invalid())? {
            Host::Domain(name) => rootless(&name),
            Host::Ipv4(ip) => ip.to_string(),
            Host::Ipv6(ip) => ip.to_string(),
        };
        Ok(Self { host, port })
    }
}

/// The hosts that an agent may read: `example.org` is this host, `*.example.org` every host below it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Hosts(#[cfg_attr(test, schemars(with = "Vec<String>"))] Vec<Pattern>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    host: String,
    is_below: bool,
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let invalid = || de::Error::custom(format!("`{text}` is not a host, like example.org or \"*.example.org\""));
        let (name, is_below) = text.strip_prefix("*.").map_or((&text[..], false), |name| (name, true));
        match Host::parse(name).map_err(|_| invalid())? {
            Host::Domain(host) if !host.contains('*') => Ok(Self { host: rootless(&host), is_below }),
            Host::Ipv4(ip) if !is_below => Ok(Self { host: ip.to_string(), is_below }),
            Host::Ipv6(ip) if !is_below => Ok(Self { host: ip.to_string(), is_below }),
            _ => Err(invalid()),
        }
    }
}

impl Hosts {
    /// Whether a host is among them. `host` is normalised as in [`Target::host`].
    #[must_use]
    pub fn has(&self, host: &str) -> bool {
        self.0.iter().any(|pattern| {
            if pattern.is_below {
                host.strip_suffix(&pattern.host).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            } else {
                host == pattern.host
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn refusal(url: &str) -> Option<String> {
        let target = match Target::parse(url) {
            Ok(target) => target,
            Err(fault) => return Some(fault.message),
        };
        let addresses: Vec<IpAddr> = target.ip.into_iter().collect();
        target.check_addresses(&addresses, &[]).err().map(|fault| fault.message)
    }

    #[test]
    fn every_spelling_of_a_private_address_is_refused() {
        for host in [
            "127.0.0.1",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "017700000001",
            "0",
            "0.0.0.0",
            "127.0.0.1.",
            "%31%32%37.0.0.1",
            "１２７.０.０.１",
            "127。0。0。1",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[0:0:0:0:0:0:0:1]",
            "[fe80::1]",
            "169.254.169.254",
            "0xa9fea9fe",
            "2852039166",
        ] {
            let why = refusal(&format!("http://{host}/"));
            assert!(why.as_ref().is_some_and(|why| why.contains("not a public address")), "{host}: {why:?}");
        }
    }

    #[test]
    fn urls_outside_the_web_are_refused() {
        for url in [
            "file:///etc/passwd",
            "ftp://example.org/",
            "gopher://example.org/",
            "data:text/html,x",
            "javascript:alert(1)",
            "example.org",
            "http://",
            "http://.",
            "http:///",
            "https://ann:secret@example.org/",
            "https://ann@example.org/",
            "https://example.org:0/",
            "https://example.org:22/",
            "http://example.org:25/",
            "http://example.org:6379x/",
            "http://example.org:6667/",
            "http://256.1.1.1/",
            "http://1.2.3.4.5/",
            "http://[::1/",
            "http://[fe80::1%25eth0]/",
            "http://exa mple.org/",
        ] {
            assert!(refusal(url).is_some(), "{url}");
        }
        let why = refusal("https://ann:secret@example.org/x").unwrap();
        assert!(!why.contains("secret") && !why.contains("ann"), "{why}");
        for url in
            ["http://example.org", "HTTPS://EXAMPLE.ORG:443/a#b", "https://1.1.1.1:8443/", "https://[2606:4700::1111]/"]
        {
            assert_eq!(refusal(url), None, "{url}");
        }
    }

    #[test]
    fn host_with_one_private_address_is_refused() {
        let target = Target::parse("https://example.org/").unwrap();
        assert!(target.check_addresses(&[ip("1.1.1.1"), ip("2606:4700::1111")], &[]).is_ok());
        assert!(target.check_addresses(&[ip("1.1.1.1"), ip("10.0.0.1")], &[]).is_err());
    }

    #[test]
    fn private_host_is_allowed_with_its_port_only() {
        let private: Vec<PrivateHost> =
            serde_yaml::from_str("['127.0.0.1:8080', 'Wiki.LAN:80', '[::1]:8080']").unwrap();
        let may = |url: &str, at: &str| Target::parse(url).unwrap().check_addresses(&[ip(at)], &private).is_ok();
        assert!(may("http://127.0.0.1:8080/x", "127.0.0.1"));
        assert!(may("http://0x7f.1:8080/x", "127.0.0.1"));
        assert!(may("http://[::1]:8080/x", "::1"));
        assert!(may("http://wiki.lan./", "10.0.0.9"));
        assert!(!may("http://127.0.0.1:8081/", "127.0.0.1"));
        assert!(!may("http://127.0.0.2:8080/", "127.0.0.2"));
        assert!(!may("http://evil.org:8080/", "127.0.0.1"), "another name of the same address is not listed");
        for bad in ["['localhost']", "['127.0.0.1:']", "[':80']", "['a b:80']"] {
            assert!(serde_yaml::from_str::<Vec<PrivateHost>>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn redirect_is_checked_and_never_leaves_https() {
        let from = Target::parse("https://example.org/a/b").unwrap();
        assert_eq!(from.next("../c?d#e").unwrap().url.as_str(), "https://example.org/c?d");
        assert_eq!(from.next("//other.org/").unwrap().host, "other.org");
        for bad in
            ["http://example.org/", "https://u:p@example.org/", "file:///etc/passwd", "https://example.org:22/", "//"]
        {
            assert!(from.next(bad).is_err(), "{bad}");
        }
        assert!(Target::parse("http://example.org/").unwrap().next("https://example.org/").is_ok());
    }

    #[test]
    fn host_pattern_matches_a_host_or_its_subdomains() {
        let hosts: Hosts = serde_yaml::from_str("[example.org, '*.Müller.example', 1.1.1.1]").unwrap();
        for (host, is_in) in [
            ("example.org", true),
            ("www.example.org", false),
            ("example.org.evil.com", false),
            ("a.xn--mller-kva.example", true),
            ("a.b.xn--mller-kva.example", true),
            ("xn--mller-kva.example", false),
            ("evilxn--mller-kva.example", false),
            ("1.1.1.1", true),
        ] {
            assert_eq!(hosts.has(host), is_in, "{host}");
        }
        assert!(!serde_yaml::from_str::<Hosts>("[]").unwrap().has("example.org"));
        for bad in ["['*']", "['a.*.b']", "['https://example.org']", "['example.org/x']", "['']", "['*.1.1.1.1']"] {
            assert!(serde_yaml::from_str::<Hosts>(bad).is_err(), "{bad}");
        }
    }
}
