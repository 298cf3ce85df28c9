//! Time zones by name, from the zone files of this machine.

use crate::core::fault::{Fault, Result};
use crate::core::text::problem::nearest;
use crate::store::fs::file_cache::FileCache;
use crate::store::fs::io_fault;
use crate::store::workspace::Workspace;
use crate::world::{self, ZONE_FILES};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use walkdir::WalkDir;

/// The name of the owner's zone if it has none.
pub const LOCAL: &str = "local";
/// The length of the hash of a zone's file.
const HASH: usize = 16;

/// A time zone.
#[derive(Clone, Debug)]
pub struct Zone {
    /// Its name, like `Europe/Berlin`; `local` if this machine's zone has none.
    pub name: String,
    /// Its rules.
    pub rules: TimeZone,
    /// A hash of the file of its rules: it changes with an update of the zone files. Empty if the rules are built in.
    pub data: String,
}

impl Zone {
    /// An instant in this zone: `2026-12-24 18:00:00 CET`.
    #[must_use]
    pub fn show(&self, instant: Timestamp) -> String {
        instant.to_zoned(self.rules.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
    }
}

/// Zones by name.
#[derive(Default)]
struct ZoneCache(FileCache<Arc<Zone>>);

/// The name of the owner's zone, while the file of its rules stays the same.
#[derive(Default)]
struct OwnZoneCache(FileCache<Option<String>>);

/// The zone called `name`, or the owner's.
///
/// # Errors
/// `Data` if there is no such zone; `Machine` on a disk error.
pub fn of(workspace: &Workspace, name: Option<&str>) -> Result<Arc<Zone>> {
    if let Some(name) = name {
        return named(workspace, name);
    }
    let files = [PathBuf::from(world::LOCAL_ZONE)];
    let read = || Ok::<_, Fault>(world::zone_name());
    let own_name = workspace.caches.of::<OwnZoneCache>().0.get(LOCAL, &files, workspace.world.now(), read)?;
    let Some(name) = own_name else {
        let rules = world::zone();
        let name = rules.iana_name().unwrap_or(LOCAL).to_owned();
        return Ok(Arc::new(Zone { name, rules, data: String::new() }));
    };
    let own = |fault: Fault| Fault { message: format!("the owner's time zone: {}", fault.message), ..fault };
    named(workspace, &name).map_err(own)
}

fn named(workspace: &Workspace, name: &str) -> Result<Arc<Zone>> {
    if name == "UTC" {
        return Ok(Arc::new(Zone { name: name.to_owned(), rules: TimeZone::UTC, data: String::new() }));
    }
    let is_plain =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+-".contains(&b));
    // Times in `right/` count leap seconds.
    if !name.split('/').all(is_plain) || name.starts_with("right/") {
        return Err(unknown(name));
    }
    let path = Path::new(ZONE_FILES).join(name);
    let read = || match fs::read(&path) {
        Ok(bytes) => {
            let rules = TimeZone::tzif(name, &bytes).map_err(|_| unknown(name))?;
            let data = blake3::hash(&bytes).to_hex().chars().take(HASH).collect();
            Ok(Arc::new(Zone { name: name.to_owned(), rules, data }))
        }
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory) => {
            Err(unknown(name))
        }
        Err(e) => Err(io_fault("read", &path, &e)),
    };
    workspace.caches.of::<ZoneCache>().0.get(name, std::slice::from_ref(&path), workspace.world.now(), read)
}

fn unknown(name: &str) -> Fault {
    let names: Vec<String> = names();
    let fault = Fault::data(format!("there is no time zone `{}`", name.escape_debug()));
    let same = names.iter().find(|known| known.eq_ignore_ascii_case(name)).map(String::as_str);
    match same.or_else(|| nearest(name, names.iter().map(String::as_str))) {
        _ if names.is_empty() => {
            fault.hint(format!("this machine has no zone files in {ZONE_FILES}: install tzdata, or use UTC"))
        }
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault.hint("zones have names like Europe/Berlin or UTC"),
    }
}

/// The names of all zones of this machine.
fn names() -> Vec<String> {
    let files = WalkDir::new(ZONE_FILES).into_iter().flatten().filter(|entry| !entry.file_type().is_dir());
    let name = |path: &Path| Some(path.strip_prefix(ZONE_FILES).ok()?.to_str()?.to_owned());
    let is_zone = |name: &String| name.starts_with(|c: char| c.is_ascii_uppercase()) && !name.contains('.');
    files.filter_map(|entry| name(entry.path())).filter(is_zone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;

    #[test]
    fn zone_is_found_by_its_exact_name_and_never_outside_of_the_zone_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("claw.yaml"), "sync: none\n").unwrap();
        let workspace = Workspace::open(World::real().unwrap(), dir.path().to_owned(), true).unwrap();
        let zone = |name: &str| of(&workspace, Some(name)).map_err(|fault| fault.to_string());
        let [berlin, tokyo] = ["Europe/Berlin", "Asia/Tokyo"].map(|name| zone(name).unwrap());
        assert_eq!((berlin.name.as_str(), berlin.data.len()), ("Europe/Berlin", HASH));
        assert_ne!(berlin.data, tokyo.data);
        assert_eq!(berlin.show(Timestamp::UNIX_EPOCH), "1970-01-01 01:00:00 CET");
        assert_eq!(zone("UTC").unwrap().data, "");
        for bad in
            ["", "Europe", "Mars/Base", "../zoneinfo/UTC", "/etc/localtime", "Europe//Berlin", "tzdata.zi", "right/UTC"]
        {
            assert!(zone(bad).unwrap_err().contains("there is no time zone"), "{bad}");
        }
        assert!(zone("Europe/Berln").unwrap_err().contains("did you mean `Europe/Berlin`?"));
    }
}
