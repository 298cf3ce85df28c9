//! Building a folder beside its final place. The name of the target appears with one rename, so a process that is
//! killed on the way leaves no target, or the finished one.
//!
//! The folder `.NAME.claw-new` beside the target has a lock file and the unfinished `tree`. A later process finds the
//! leftovers of a killed one by the free lock, and removes them.

use crate::core::config::Sync;
use crate::core::fault::{Fault, Kind, Result};
use crate::store::fs::At;
use crate::store::fs::durable;
use crate::store::lock::held::FileLock;
use rustix::fs::FlockOperation;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A folder that is being built. It is removed again if it is dropped unfinished.
#[derive(Debug)]
pub struct Staging {
    target: PathBuf,
    folder: PathBuf,
    _lock: FileLock,
}

impl Staging {
    /// Starts to build the folder `target`, an absolute path whose parent exists.
    ///
    /// # Errors
    /// `Later` if another process builds the same target; those of the file system.
    pub fn begin(target: &Path) -> Result<Self> {
        let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let folder = target.with_file_name(format!(".{name}.claw-new"));
        match fs::create_dir(&folder) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e).at("make", &folder),
            _ => {}
        }
        let busy = || Fault::new(Kind::Later, format!("another process is writing {}", target.display()));
        let lock = FileLock::attempt(&folder.join("lock"), FlockOperation::NonBlockingLockExclusive)?;
        let staging = Self { target: target.to_path_buf(), _lock: lock.ok_or_else(busy)?, folder };
        staging.clear()?;
        fs::create_dir(staging.tree()).at("make", &staging.tree())?;
        Ok(staging)
    }

    /// The folder to write into.
    #[must_use]
    pub fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    /// Makes the tree durable and gives it the name of the target, which must not exist, or be an empty folder.
    ///
    /// # Errors
    /// `Failed` if the target has appeared meanwhile; those of the file system.
    pub fn finish(self) -> Result<()> {
        durable::sync_tree(&self.tree())?;
        durable::place_dir(&self.tree(), &self.target)?;
        durable::sync_dir(self.target.parent().unwrap_or(&self.target), Sync::Full)
    }

    fn clear(&self) -> Result<()> {
        match fs::remove_dir_all(self.tree()) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e).at("remove", &self.tree()),
            _ => Ok(()),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let _ = self.clear();
        let _ = fs::remove_file(self.folder.join("lock"));
        let _ = fs::remove_dir(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_appears_whole_and_an_unfinished_one_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("ws");
        let staging = Staging::begin(&target).unwrap();
        fs::write(staging.tree().join("a"), "1").unwrap();
        let busy = Staging::begin(&target).unwrap_err();
        assert_eq!(busy.kind, Kind::Later);
        drop(staging);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        // A killed process leaves its tree and a free lock.
        fs::create_dir_all(dir.path().join(".ws.claw-new/tree/old")).unwrap();
        // An empty target is replaced.
        fs::create_dir(&target).unwrap();
        let staging = Staging::begin(&target).unwrap();
        fs::write(staging.tree().join("a"), "2").unwrap();
        staging.finish().unwrap();
        assert_eq!(fs::read_to_string(target.join("a")).unwrap(), "2");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(!target.join("old").exists());
        let staging = Staging::begin(&target).unwrap();
        assert_eq!(staging.finish().unwrap_err().kind, Kind::Failed);
        assert_eq!(fs::read_to_string(target.join("a")).unwrap(), "2");
    }
}
