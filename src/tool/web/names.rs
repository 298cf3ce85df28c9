//! Host names: the lookup of their addresses, and the addresses that a client may connect to.

use crate::core::fault::{Fault, Kind, Result};
use crate::http::Resolver;
use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};

/// A lookup of host names. It may block.
pub(super) trait DnsLookup: Send + Sync {
    /// The addresses of a host.
    fn addresses(&self, host: &str) -> Result<Vec<IpAddr>>;
}

/// The lookup of the system: `/etc/hosts`, name servers, and other sources that it is configured with.
pub(super) struct System;

impl DnsLookup for System {
    fn addresses(&self, host: &str) -> Result<Vec<IpAddr>> {
        let found = (host, 0).to_socket_addrs();
        let unknown = |e| Fault::new(Kind::Unavailable, format!("the host {host} is not known: {e}"));
        Ok(found.map_err(unknown)?.map(|at| at.ip()).collect())
    }
}

/// Addresses that passed the check. A client with this resolver connects to no other host, and a second lookup of
/// the same name cannot give it another address (DNS rebinding).
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

impl Resolver for Pinned {
    fn resolve(&self, host: &str) -> std::result::Result<Vec<IpAddr>, String> {
        self.get(host).ok_or_else(|| format!("the addresses of {host} were not checked"))
    }
}
