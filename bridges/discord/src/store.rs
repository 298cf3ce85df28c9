//! The state on disk: `$CLAW_STATE`. Every file is replaced as a whole, and is durable before the function returns.
//!
//! - `since`: the first start, Unix milliseconds
//! - `places/<channel>.json`: kind and mark of a place
//! - `sends/<event>.json`: the parts of a message and how far they are sent

use crate::exit::Exit;
use crate::place::Place;
use crate::wire::{Snowflake, now_millis};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Receipts are kept for so long; claw sends nothing that is older than its `keep`.
const KEEP: Duration = Duration::from_hours(24 * 7);

/// The folder of the state. Only one program at a time uses it.
pub struct Store {
    dir: PathBuf,
    since: u64,
    _lock: File,
}

impl Store {
    /// Opens and locks the folder.
    ///
    /// # Errors
    /// 75 if another program uses it or a file cannot be read or written.
    pub fn open(dir: &Path) -> Result<Self, Exit> {
        let failed = |e: io::Error| Exit::later(format!("{}: {e}", dir.display()));
        fs::create_dir_all(dir.join("places")).and_then(|()| fs::create_dir_all(dir.join("sends"))).map_err(failed)?;
        let lock = File::create(dir.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Exit::later(format!("{}: another claw-discord uses it", dir.display())));
            }
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        let mut store = Self { dir: dir.to_owned(), since: now_millis(), _lock: lock };
        match fs::read_to_string(dir.join("since")) {
            Ok(text) => store.since = text.trim().parse().unwrap_or(store.since),
            Err(_) => store.write("since", &format!("{}\n", store.since)).map_err(failed)?,
        }
        Ok(store)
    }

    /// The instant of the first start, in Unix milliseconds.
    pub fn since(&self) -> u64 {
        self.since
    }

    /// All places.
    ///
    /// # Errors
    /// 75 if one cannot be read: without its mark, messages would be lost or repeated.
    pub fn places(&self) -> Result<BTreeMap<Snowflake, Place>, Exit> {
        let mut places = BTreeMap::new();
        for (name, path) in self.list("places")? {
            let Some(id) = name.strip_suffix(".json").and_then(Snowflake::parse) else { continue };
            let place =
                fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok()).as_ref().and_then(Place::read);
            let place = place
                .ok_or_else(|| Exit::config(format!("{} is damaged; remove it to begin anew there", path.display())))?;
            places.insert(id, place);
        }
        Ok(places)
    }

    /// Stores a place, unless its kind is unknown.
    ///
    /// # Errors
    /// 75 if it is not durable.
    pub fn save(&self, id: Snowflake, place: &Place) -> Result<(), Exit> {
        match place.stored() {
            Some(stored) => self.put(&format!("places/{id}.json"), &stored),
            None => Ok(()),
        }
    }

    /// The stored parts of a message.
    pub fn receipt(&self, event: &str) -> Option<Value> {
        let text = fs::read(self.dir.join(receipt_name(event))).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Stores the parts of a message.
    ///
    /// # Errors
    /// 75 if they are not durable.
    pub fn save_receipt(&self, event: &str, receipt: &Value) -> Result<(), Exit> {
        self.put(&receipt_name(event), receipt)
    }

    /// Removes old receipts.
    pub fn prune(&self) {
        let limit = SystemTime::now() - KEEP;
        for (_, path) in self.list("sends").unwrap_or_default() {
            let changed = fs::metadata(&path).and_then(|data| data.modified());
            if changed.is_ok_and(|changed| changed < limit) {
                let _ = fs::remove_file(path);
            }
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<(String, PathBuf)>, Exit> {
        let dir = self.dir.join(folder);
        let read = || {
            fs::read_dir(&dir)?
                .map(|entry| entry.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())))
                .collect::<io::Result<_>>()
        };
        read().map_err(|e| Exit::later(format!("{}: {e}", dir.display())))
    }

    fn put(&self, name: &str, value: &Value) -> Result<(), Exit> {
        self.write(name, &format!("{value}\n"))
            .map_err(|e| Exit::later(format!("{}: {e}", self.dir.join(name).display())))
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let path = self.dir.join(name);
        let new = path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(path.parent().unwrap_or(&self.dir))?.sync_all()
    }
}

/// The file of a receipt. An event's id is a plain name; any other text gets one.
fn receipt_name(event: &str) -> String {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if !event.is_empty() && event.len() <= 128 && !event.starts_with('.') && event.bytes().all(is_name) {
        return format!("sends/{event}.json");
    }
    format!("sends/x{:016x}.json", crate::receipt::hash(event, 0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_a_receipt_stays_in_its_folder() {
        assert_eq!(receipt_name("20260102T030405.1Z-ab12.r01"), "sends/20260102T030405.1Z-ab12.r01.json");
        for event in ["", "..", "a/b", "../../x", "é"] {
            let name = receipt_name(event);
            assert!(name.starts_with("sends/x") && name.len() == 28, "{name}");
        }
    }
}
