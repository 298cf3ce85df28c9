//! What was read from files, kept while they are as they were.

use crate::core::event::stamp::{SECOND, Stamp};
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A file that has changed so shortly before may change again without a new time of change.
const GRAIN: i64 = SECOND / 10;

/// By what a file is known again: inode, size, the instants of its last two kinds of change in
/// nanoseconds. Nothing where there is none.
pub(crate) type Fingerprint = Option<(u64, u64, i128, i128)>;

/// Values made of files, by a name.
#[derive(Debug, Default)]
pub struct FileCache<T>(Mutex<HashMap<String, (Vec<Fingerprint>, T)>>);

impl<T: Clone> FileCache<T> {
    /// The value called `name`, made of these files: the one that was made before where none of them
    /// has changed since.
    ///
    /// # Errors
    /// As `make`; then what is kept is the one before.
    pub fn get<E>(
        &self,
        name: &str,
        files: &[PathBuf],
        now: Stamp,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let prints: Vec<Fingerprint> = files.iter().map(|path| fingerprint(path)).collect();
        if let Some((_, value)) = self.lock().get(name).filter(|(known, _)| *known == prints) {
            return Ok(value.clone());
        }
        let value = make()?;
        let is_settled = prints.iter().all(|print| is_settled(*print, now));
        // By no print it is made again.
        let known = if is_settled { prints } else { Vec::new() };
        self.lock().insert(name.to_owned(), (known, value.clone()));
        Ok(value)
    }

    /// The value that was made last, whatever its files are now.
    pub fn last(&self, name: &str) -> Option<T> {
        self.lock().get(name).map(|(_, value)| value.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Vec<Fingerprint>, T)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a file would show that it changes again.
pub(crate) fn is_settled(print: Fingerprint, now: Stamp) -> bool {
    print.is_none_or(|(.., changed)| changed / 1000 + i128::from(GRAIN) < i128::from(now.0))
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
    fn a_value_is_made_again_when_a_file_has_changed_come_or_gone() {
        let dir = tempfile::tempdir().unwrap();
        let files = [dir.path().join("a"), dir.path().join("b")];
        let kept = FileCache::<String>::default();
        let later = Stamp(i64::MAX);
        let text = |now| {
            let make = || Ok::<_, ()>(files.iter().map(|f| fs::read_to_string(f).unwrap_or_default()).collect());
            kept.get("x", &files, now, make).unwrap()
        };
        fs::write(&files[0], "one").unwrap();
        assert_eq!(text(later), "one");
        assert_eq!(kept.get("x", &files, later, || Err("made again")), Ok("one".to_owned()));
        fs::write(&files[1], "two").unwrap();
        assert_eq!(text(later), "onetwo");
        fs::remove_file(&files[0]).unwrap();
        assert_eq!(text(later), "two");
        // A change that its time would not show: the file is as young as the reading of it.
        assert_eq!(text(Stamp(0)), "two");
        fs::write(&files[1], "six").unwrap();
        assert_eq!(text(Stamp(0)), "six");
        assert_eq!(kept.get("x", &files, Stamp(0), || Err("made again")), Err("made again"));
        assert_eq!((kept.last("x"), kept.last("y")), (Some("six".to_owned()), None));
    }
}
