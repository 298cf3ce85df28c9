//! Folders that this process knows to be durable, so that it syncs each only once.

use crate::core::config::Sync;
use crate::core::fault::Result;
use crate::store::fs::durable;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// Cache of folders that are known to be durable. Inode and birth time identify a folder, so that one created again
/// under the same name does not count.
#[derive(Debug, Default)]
pub struct DurableDirs(Mutex<HashMap<PathBuf, (Identity, Sync)>>);

/// Inode and birth time.
type Identity = (u64, Option<SystemTime>);

impl DurableDirs {
    /// As [`durable::make_dir`], once for each folder.
    ///
    /// # Errors
    /// As [`durable::make_dir`].
    pub fn make(&self, dir: &Path, levels: usize, sync: Sync) -> Result<()> {
        if !self.has(dir, sync) {
            durable::make_dir(dir, levels, sync)?;
            self.add(dir, sync);
        }
        Ok(())
    }

    /// Moves a finished file into the folder of its day, as [`durable::move_or_remove`]. The name of an empty folder may not be
    /// durable, because the process that created it may have been killed before it synced it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn move_into_day(&self, from: &Path, to: &Path, sync: Sync) -> Result<()> {
        let day = to.parent().unwrap_or(to);
        if !self.has(day, sync) {
            if fs::read_dir(day).is_ok_and(|mut entries| entries.next().is_none()) {
                durable::make_dir(day, 1, sync)?;
            }
            durable::move_or_remove(from, to)?;
            self.add(day, sync);
            return Ok(());
        }
        durable::move_or_remove(from, to)
    }

    /// Whether `dir` is known to be durable. With [`Sync::Full`], one created under [`Sync::None`] is not.
    fn has(&self, dir: &Path, sync: Sync) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(dir).copied();
        let known = known.filter(|(_, was)| *was == Sync::Full || sync == Sync::None).map(|(identity, _)| identity);
        known.is_some() && known == identity(dir)
    }

    fn add(&self, dir: &Path, sync: Sync) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(identity(dir).map(|identity| (dir.to_path_buf(), (identity, sync))));
    }
}

fn identity(dir: &Path) -> Option<Identity> {
    let meta = fs::metadata(dir).ok()?;
    Some((meta.ino(), meta.created().ok()))
}
