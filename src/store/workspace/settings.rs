//! The settings of a running process: `claw.yaml` as it is now, or its last valid version while the file is invalid.

use crate::core::config::{self, Config};
use crate::core::event::stamp::Stamp;
use crate::core::fault::{Fault, Result};
use crate::core::text::problem::Problem;
use crate::store::fs::file_cache::{self, Fingerprint};
use crate::store::fs::lease::{Writers, writers};
use crate::store::fs::unreadable;
use crate::world::World;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Cache of the valid settings.
#[derive(Debug, Default)]
pub struct Settings(Mutex<SettingsState>);

#[derive(Debug, Default)]
struct SettingsState {
    /// The file when it was last read; `None` if it may change without a new mtime.
    fingerprint: Option<Fingerprint>,
    /// The text of `valid`.
    text: String,
    valid: Option<Arc<Config>>,
}

impl Settings {
    /// The settings in `path`, read again when the file has changed. Warnings are printed once per change. While the
    /// file is invalid, the last valid settings stay in force, and its problem is printed.
    ///
    /// # Errors
    /// The problem with the file, or an error of the machine, if this process has never read a valid one.
    pub fn get(&self, path: &Path, world: &World) -> Result<Arc<Config>> {
        let fingerprint = file_cache::fingerprint(path);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(valid) = state.valid.as_ref().filter(|_| state.fingerprint == Some(fingerprint)) {
            return Ok(Arc::clone(valid));
        }
        let before = state.valid.clone();
        let text = match read(path, before.is_some()) {
            Ok(Some(text)) => text,
            Ok(None) => return before.ok_or_else(|| Problem::error(config::FILE, "is being written").into()),
            Err(fault) => return or_before(before, fault, world),
        };
        let is_same = before.is_some() && state.text == text;
        if let Some(valid) = before.clone().filter(|_| is_same) {
            state.fingerprint = if_stable(fingerprint, world.now());
            return Ok(valid);
        }
        match config::parse(&text) {
            Ok((config, warnings)) => {
                for warning in warnings {
                    world.say(&warning.to_string());
                }
                let config = Arc::new(config);
                let fingerprint = if_stable(fingerprint, world.now());
                *state = SettingsState { fingerprint, text, valid: Some(Arc::clone(&config)) };
                Ok(config)
            }
            Err(problem) => {
                // So that it is not read again before it changes.
                if before.is_some() {
                    state.fingerprint = if_stable(fingerprint, world.now());
                }
                or_before(before, problem.into(), world)
            }
        }
    }
}

/// The settings before, with a message about the error, or the error if there were none.
fn or_before(before: Option<Arc<Config>>, fault: Fault, world: &World) -> Result<Arc<Config>> {
    match before {
        Some(before) => {
            world.say(&format!("{fault}; the previous settings stay in force"));
            Ok(before)
        }
        None => Err(fault),
    }
}

fn if_stable(fingerprint: Fingerprint, now: Stamp) -> Option<Fingerprint> {
    file_cache::is_stable(fingerprint, now).then_some(fingerprint)
}

/// The text of the file. If it was valid before: `None` while a process has it open for writing; and an empty file is
/// an error, because a full disk leaves one. A file with only a comment means the defaults.
fn read(path: &Path, was_valid: bool) -> Result<Option<String>> {
    let bad = |e: std::io::Error| unreadable(config::FILE, path, &e);
    let mut file = File::open(path).map_err(bad)?;
    let mut text = String::new();
    let is_written = |file: &File| was_valid && writers(file) == Writers::Some;
    if is_written(&file) {
        return Ok(None);
    }
    file.read_to_string(&mut text).map_err(bad)?;
    // A writer that opened it during the read may have truncated it.
    if is_written(&file) {
        return Ok(None);
    }
    if was_valid && text.is_empty() {
        return Err(Problem::error(config::FILE, "is empty; a comment alone means the defaults").into());
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    fn setup() -> (tempfile::TempDir, World) {
        (tempfile::tempdir().unwrap(), World::real().unwrap())
    }

    #[test]
    fn every_way_of_saving_is_noticed_and_an_invalid_file_changes_nothing() {
        let (dir, world) = setup();
        let path = dir.path().join("claw.yaml");
        let settings = Settings::default();
        let limit = || settings.get(&path, &world).map(|config| config.max_concurrency);
        fs::write(&path, "max_concurrency: many\n").unwrap();
        assert!(limit().is_err(), "no version was valid");
        fs::write(&path, "max_concurrency: 2\n").unwrap();
        assert_eq!(limit(), Ok(2));
        fs::write(&path, "max_concurrency: 3\n").unwrap();
        assert_eq!(limit(), Ok(3), "same size, changed at once");
        for wrong in ["max_concurrency: many\n", "a: [\n", "", "max_concurrency: 0\n"] {
            fs::write(&path, wrong).unwrap();
            assert_eq!(limit(), Ok(3), "{wrong:?}");
        }
        fs::write(dir.path().join("new"), "max_concurrency: 4\n").unwrap();
        fs::rename(dir.path().join("new"), &path).unwrap();
        assert_eq!(limit(), Ok(4));
        fs::remove_file(&path).unwrap();
        assert_eq!(limit(), Ok(4));
        fs::write(&path, "# the defaults\n").unwrap();
        assert_eq!(limit(), Ok(8));
    }

    #[test]
    fn file_open_for_writing_is_not_read() {
        let (dir, world) = setup();
        let path = dir.path().join("claw.yaml");
        let settings = Settings::default();
        fs::write(&path, "max_concurrency: 2\ndefault_agent: cookie\n").unwrap();
        let agent = || settings.get(&path, &world).unwrap().default_agent.clone();
        assert_eq!(agent(), "cookie");
        let mut writer = File::create(&path).unwrap();
        assert_eq!(agent(), "cookie", "the file is empty");
        writer.write_all(b"max_concurrency: 2\n").unwrap();
        assert_eq!(agent(), "cookie", "the file is half written");
        writer.write_all(b"default_agent: brain\n").unwrap();
        drop(writer);
        assert_eq!(agent(), "brain");
    }
}
