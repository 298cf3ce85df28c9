//! Cache of parsed files. An entry is valid while inode, size, mtime and ctime of its files are unchanged.

use crate::core::event::stamp::{SECOND, Stamp};
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bound on the granularity of file times, in microseconds: a file that changed less than this ago may change again
/// without a new ctime.
const GRANULARITY: i64 = SECOND / 10;

/// Inode, size, mtime and ctime of a file, the times in nanoseconds since 1970; `None` where there is no file.
pub(crate) type Fingerprint = Option<(u64, u64, i128, i128)>;

/// Values made from files, by name.
#[derive(Debug)]
pub struct FileCache<T>(Mutex<HashMap<String, (Vec<Fingerprint>, T)>>);

/// By hand: the values need no default.
impl<T> Default for FileCache<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> FileCache<T> {
    /// The value called `name`, made from these files: the cached one where none of them has changed since it was
    /// made.
    ///
    /// # Errors
    /// Those of `make`; the cached value then stays.
    pub fn get<E>(
        &self,
        name: &str,
        files: &[PathBuf],
        now: Stamp,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let fingerprints: Vec<Fingerprint> = files.iter().map(|path| fingerprint(path)).collect();
        if let Some((_, value)) = self.lock().get(name).filter(|(known, _)| *known == fingerprints) {
            return Ok(value.clone());
        }
        let value = make()?;
        let is_stable = fingerprints.iter().all(|fingerprint| is_stable(*fingerprint, now));
        // An empty list matches no files: the value is made again next time.
        let known = if is_stable { fingerprints } else { Vec::new() };
        self.lock().insert(name.to_owned(), (known, value.clone()));
        Ok(value)
    }

    /// The value that was made last, also where its files have changed since.
    pub fn last(&self, name: &str) -> Option<T> {
        self.lock().get(name).map(|(_, value)| value.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Vec<Fingerprint>, T)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the next change of a file would change its fingerprint.
pub(crate) fn is_stable(fingerprint: Fingerprint, now: Stamp) -> bool {
    fingerprint.is_none_or(|(.., changed)| changed / 1000 + i128::from(GRANULARITY) < i128::from(now.0))
}

pub(crate) fn fingerprint(path: &Path) -> Fingerprint {
    let meta = fs::metadata(path).ok()?;
    let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    let (written, changed) = (nanos(meta.mtime(), meta.mtime_nsec()), nanos(meta.ctime(), meta.ctime_nsec()));
    Some((meta.ino(), meta.size(), written, changed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_is_made_again_when_a_file_is_changed_created_or_removed() {
        let dir = tempfile::tempdir().unwrap();
        let files = [dir.path().join("a"), dir.path().join("b")];
        let cache = FileCache::<String>::default();
        let later = Stamp(i64::MAX);
        let text = |now| {
            let make = || Ok::<_, ()>(files.iter().map(|f| fs::read_to_string(f).unwrap_or_default()).collect());
            cache.get("x", &files, now, make).unwrap()
        };
        fs::write(&files[0], "one").unwrap();
        assert_eq!(text(later), "one");
        assert_eq!(cache.get("x", &files, later, || Err("made again")), Ok("one".to_owned()));
        fs::write(&files[1], "two").unwrap();
        assert_eq!(text(later), "onetwo");
        fs::remove_file(&files[0]).unwrap();
        assert_eq!(text(later), "two");
        // The file is as new as the read, so that its next change may leave its times as they are.
        assert_eq!(text(Stamp(0)), "two");
        fs::write(&files[1], "six").unwrap();
        assert_eq!(text(Stamp(0)), "six");
        assert_eq!(cache.get("x", &files, Stamp(0), || Err("made again")), Err("made again"));
        assert_eq!((cache.last("x"), cache.last("y")), (Some("six".to_owned()), None));
    }

    #[test]
    fn copy_of_the_same_length_and_time_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let (path, copy) = (dir.path().join("a"), dir.path().join("copy"));
        fs::write(&path, "one").unwrap();
        fs::write(&copy, "two").unwrap();
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        fs::File::options().append(true).open(&copy).unwrap().set_modified(written).unwrap();
        let before = fingerprint(&path).unwrap();
        std::process::Command::new("mv").args([&copy, &path]).status().unwrap();
        let after = fingerprint(&path).unwrap();
        assert_eq!((before.1, before.2), (after.1, after.2), "length and time of the change of the text");
        assert_ne!(before, after);
        // Each of the two others is enough by itself.
        assert!(before.0 != after.0 && before.3 != after.3);
    }
}
