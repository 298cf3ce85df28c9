//! Where the web listener listens: a loopback address, or a Unix socket for a proxy.

use std::net::SocketAddr;
use std::path::PathBuf;

/// The address if the settings name none.
pub const DEFAULT: &str = "127.0.0.1:7171";

/// Where the listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// A loopback address and a port.
    Tcp(SocketAddr),
    /// A Unix socket; relative to the workspace.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Parses `127.0.0.1:PORT`, `[::1]:PORT` or `unix:PATH`.
    ///
    /// # Errors
    /// The reason why the text is neither, in words for the owner.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err("the path of the socket is missing".to_owned())
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => Ok(Self::Tcp(address)),
            Ok(_) => Err(format!(
                "`{text}` can be reached from other machines; listen on 127.0.0.1 and put a TLS proxy or a tunnel before it (`hosts`)"
            )),
            Err(_) => Err(format!("`{text}` is neither 127.0.0.1:PORT nor unix:PATH")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_and_unix_sockets_are_accepted() {
        assert_eq!(ListenAddress::parse("unix:run/web"), Ok(ListenAddress::Unix("run/web".into())));
        for good in [DEFAULT, "[::1]:7171", "127.0.0.2:0"] {
            assert!(matches!(ListenAddress::parse(good), Ok(ListenAddress::Tcp(_))), "{good}");
        }
        for bad in ["0.0.0.0:7171", "[::]:1", "192.168.1.7:80", "localhost:7171", "7171", "", "unix:", "127.0.0.1"] {
            assert!(ListenAddress::parse(bad).is_err(), "{bad}");
        }
    }
}
