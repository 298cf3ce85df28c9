//! Logging a page in: `claw page` gets a code from the listener over its Unix socket, which only this user can open, and
//! the page exchanges the code for a token. So the code reaches no other program that may have taken the port.

use crate::core::channel::settings::ChannelSettings;
use crate::core::fault::{Fault, Kind, Result};
use crate::http::local;
use crate::store::channel::listener_state;
use crate::store::channel::tokens;
use crate::store::fs::{At, durable};
use crate::store::workspace::Workspace;
use serde_json::Value;
use std::cell::RefCell;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use url::{Host, Url};

/// How long a code is valid.
const VALID: Duration = Duration::from_mins(2);
/// The most codes at a time; older ones end.
const MAX_CODES: usize = 8;
/// The path on the control socket that makes a code.
pub(super) const CODE_PATH: &str = "/control/code";

/// The control socket of a channel, relative to the workspace.
pub(super) fn control_socket(channel: &str) -> PathBuf {
    PathBuf::from(listener_state::FOLDER).join(format!("{channel}.sock"))
}

/// The codes that were made and not used.
#[derive(Default)]
pub(super) struct Codes(RefCell<Vec<(blake3::Hash, Instant)>>);

impl Codes {
    /// Remembers a new code.
    pub(super) fn add(&self, code: &str) {
        let mut codes = self.0.borrow_mut();
        if codes.len() >= MAX_CODES {
            codes.remove(0);
        }
        codes.push((blake3::hash(code.as_bytes()), Instant::now() + VALID));
    }

    /// Takes a code: true once, and only while it is valid.
    pub(super) fn take(&self, code: &str) -> bool {
        let wanted = blake3::hash(code.as_bytes());
        let mut codes = self.0.borrow_mut();
        codes.retain(|(_, until)| *until > Instant::now());
        let before = codes.len();
        codes.retain(|(hash, _)| *hash != wanted);
        codes.len() < before
    }
}

/// A link to the page, with a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageLink {
    /// The URL, with the code after its `#`.
    pub url: String,
}

/// Asks the listener of `channel` for a code. `host` is a name of a tunnel or a proxy.
///
/// # Errors
/// `Unavailable` if no listener answers; `Usage` if `host` is not in the settings.
pub fn link(workspace: &Workspace, channel: &str, settings: &ChannelSettings, host: Option<&str>) -> Result<PageLink> {
    if let Some(host) = host.filter(|host| !settings.hosts.iter().any(|own| own.eq_ignore_ascii_case(host))) {
        return Err(Fault::new(
            Kind::Usage,
            format!("`{}` is not in `hosts` of channel {channel}", host.escape_debug()),
        )
        .hint(format!("add it to channels.{channel}.hosts in claw.yaml")));
    }
    let socket = workspace.root.join(control_socket(channel));
    let answer =
        local::post(&socket, CODE_PATH).map_err(|fault| fault.hint(format!("start it: claw listen {channel}")))?;
    let answer: Value = serde_json::from_str(&answer)
        .map_err(|e| Fault::new(Kind::Unavailable, format!("the listener's answer: {e}")))?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
    let base = match (host, text("base")) {
        (Some(host), _) => base_of(host),
        (None, "") => {
            return Err(Fault::new(Kind::Usage, format!("channel {channel} listens on a Unix socket"))
                .hint("name your proxy: claw page --host NAME"));
        }
        (None, base) => base.to_owned(),
    };
    Ok(PageLink { url: format!("{base}/#{}", text("code")) })
}

/// The beginning of the URL of a name of `hosts`. A loopback name is the near end of an SSH tunnel, which has no TLS; any
/// other one is a proxy's.
fn base_of(host: &str) -> String {
    let is_tunnel = Url::parse(&format!("http://{host}")).is_ok_and(|url| match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    });
    format!("{}://{host}", if is_tunnel { "http" } else { "https" })
}

/// Ends all logins. Returns how many.
///
/// # Errors
/// Those of the file system.
pub fn log_out(workspace: &Workspace, channel: &str) -> Result<usize> {
    tokens::log_out(workspace, channel, None)
}

/// Writes a file that opens the link, readable by this user alone: arguments of programs are not.
///
/// # Errors
/// Those of the file system.
pub fn open_file(workspace: &Workspace, link: &PageLink) -> Result<PathBuf> {
    let path = workspace.path(listener_state::FOLDER).join("page.html");
    let html = format!(
        "<!doctype html><meta charset=utf-8><title>claw</title><meta http-equiv=refresh content=\"0; url={}\">\n",
        link.url
    );
    durable::remove(&path)?;
    durable::write_new(&path, html.as_bytes(), crate::core::config::Sync::None)?;
    std::fs::canonicalize(&path).at("find", &path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tunnels_have_no_tls_and_those_of_proxies_have() {
        for host in ["localhost:8000", "claw.localhost", "127.0.0.1:8000", "127.0.0.2", "[::1]:8000"] {
            assert_eq!(base_of(host), format!("http://{host}"));
        }
        for host in ["claw.example.org", "box:8443", "localhost.example.org", "10.0.0.7"] {
            assert_eq!(base_of(host), format!("https://{host}"));
        }
    }

    #[test]
    fn code_is_taken_once_and_old_ones_end() {
        let codes = Codes::default();
        codes.add("first");
        (0..MAX_CODES).for_each(|number| codes.add(&number.to_string()));
        assert!(!codes.take("first"), "there are at most {MAX_CODES}");
        assert!(codes.take("7") && !codes.take("7") && !codes.take("8"));
        codes.0.borrow_mut().iter_mut().for_each(|(_, until)| *until = Instant::now());
        assert!(!codes.take("6"), "it is too old");
    }
}
