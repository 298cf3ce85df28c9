//! Names of hosts: who knows their addresses, and what a client may make of the answer.

use crate::core::fault::{Fault, Kind, Result};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};

/// Who knows the addresses of a host.
pub(super) trait Resolver: Send + Sync {
    /// Looks a host up; it may take its time.
    fn addresses(&self, host: &str) -> Result<Vec<IpAddr>>;
}

/// The machine's own way: `/etc/hosts`, name servers, whatever it is set up with.
pub(super) struct System;

impl Resolver for System {
    fn addresses(&self, host: &str) -> Result<Vec<IpAddr>> {
        let found = (host, 0).to_socket_addrs();
        let unknown = |e| Fault::new(Kind::Unavailable, format!("the host {host} is not known: {e}"));
        Ok(found.map_err(unknown)?.map(|at| at.ip()).collect())
    }
}

/// The addresses that were looked at. A client that has this knows no other names, and no second answer to
/// the same question.
#[derive(Clone, Default)]
pub(super) struct Pinned(Arc<Mutex<HashMap<String, Vec<IpAddr>>>>);

impl Pinned {
    pub(super) fn get(&self, host: &str) -> Option<Vec<IpAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(host).cloned()
    }

    pub(super) fn pin(&self, host: &str, addresses: &[IpAddr]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned(), addresses.to_vec());
    }
}

impl Resolve for Pinned {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().trim_end_matches('.').to_ascii_lowercase();
        let found = self.get(&host).ok_or_else(|| format!("nobody has looked at the addresses of {host}").into());
        let found = found.map(|addresses| {
            // The port is the URL's.
            Box::new(addresses.into_iter().map(|ip| SocketAddr::new(ip.to_canonical(), 0))) as Addrs
        });
        Box::pin(std::future::ready(found))
    }
}
