//! The zone of a job, and a mark of the zone's data, so that the ledger shows by which data an instant was computed.

use crate::core::fault::{Fault, Result};
use crate::core::text::base32::hash32;
use crate::store::fs::file_cache::FileCache;
use crate::store::workspace::Workspace;
use crate::world;
use jiff::tz::TimeZone;
use std::fs;
use std::path::Path;

/// Where zone files are.
const FILES: &str = "/usr/share/zoneinfo";

/// A zone.
#[derive(Clone, Debug)]
pub struct Zone {
    /// The zone itself.
    pub zone: TimeZone,
    /// Its name.
    pub name: String,
    /// A mark of its data; empty if they have no file.
    pub data: String,
}

/// Zones by name.
#[derive(Default)]
struct ZoneCache(FileCache<Zone>);

/// The zone of this name, or the owner's.
///
/// # Errors
/// `Config` if there is no such zone.
pub fn of(workspace: &Workspace, name: Option<&str>) -> Result<Zone> {
    let own = world::zone();
    let key = name.or(own.iana_name()).unwrap_or("local").to_owned();
    let file = Path::new(FILES).join(&key);
    let files = std::slice::from_ref(&file);
    workspace.caches.of::<ZoneCache>().0.get(&key, files, workspace.world.now(), || {
        let zone = match name {
            Some(name) => TimeZone::get(name).map_err(|e| Fault::config(format!("zone `{name}`: {e}")))?,
            None => own.clone(),
        };
        let data = fs::read(&file).map(|bytes| hash32(&blake3::hash(&bytes).to_hex(), 8)).unwrap_or_default();
        Ok(Zone { zone, name: key.clone(), data })
    })
}
