//! The settings of a running process: `claw.yaml` as it is now, or, while it cannot be read, as it was
//! when it last could.

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

/// The settings that are in force.
#[derive(Debug, Default)]
pub struct Settings(Mutex<SettingsState>);

#[derive(Debug, Default)]
struct SettingsState {
    /// The file as it was when it was last looked at; nothing where it may change without a new time.
    print: Option<Fingerprint>,
    text: String,
    good: Option<Arc<Config>>,
}

impl Settings {
    /// The settings in `path`. They are read again when the file has changed; warnings are said, once.
    /// A file that is wrong changes nothing where there was a good one before, and that is said.
    ///
    /// # Errors
    /// The problem with the file, where it never was good; the machine's trouble.
    pub fn get(&self, path: &Path, world: &World) -> Result<Arc<Config>> {
        let print = file_cache::fingerprint(path);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(good) = state.good.as_ref().filter(|_| state.print == Some(print)) {
            return Ok(Arc::clone(good));
        }
        let was_good = state.good.clone();
        let text = match read(path, was_good.is_some()) {
            Ok(Some(text)) => text,
            // Whoever writes it is not through.
            Ok(None) => return was_good.ok_or_else(|| Problem::error(config::FILE, "is being written").into()),
            Err(fault) => return or_before(was_good, fault, world),
        };
        let is_same = was_good.is_some() && state.text == text;
        if let Some(good) = was_good.clone().filter(|_| is_same) {
            state.print = settled(print, world.now());
            return Ok(good);
        }
        match config::parse(&text) {
            Ok((config, warnings)) => {
                for warning in warnings {
                    world.say(&warning.to_string());
                }
                let config = Arc::new(config);
                *state = SettingsState { print: settled(print, world.now()), text, good: Some(Arc::clone(&config)) };
                Ok(config)
            }
            Err(problem) => {
                // Not looked at again before it changes.
                if was_good.is_some() {
                    state.print = settled(print, world.now());
                }
                or_before(was_good, problem.into(), world)
            }
        }
    }
}

/// What was good before, and a word about what is not.
fn or_before(before: Option<Arc<Config>>, fault: Fault, world: &World) -> Result<Arc<Config>> {
    match before {
        Some(before) => {
            world.say(&format!("{fault}; the settings stay as they were"));
            Ok(before)
        }
        None => Err(fault),
    }
}

fn settled(print: Fingerprint, now: Stamp) -> Option<Fingerprint> {
    file_cache::is_settled(print, now).then_some(print)
}

/// The text of the file. Where it was good before, nothing while somebody has it open for writing, and an
/// empty one is what a full disk leaves: who wants the defaults can say so in a comment.
fn read(path: &Path, was_good: bool) -> Result<Option<String>> {
    let bad = |e: std::io::Error| unreadable(config::FILE, path, &e);
    let mut file = File::open(path).map_err(bad)?;
    let mut text = String::new();
    let is_written = || was_good && writers(&file) == Writers::Some;
    if is_written() {
        return Ok(None);
    }
    file.read_to_string(&mut text).map_err(bad)?;
    // One who opened it meanwhile may have emptied it.
    if was_good && writers(&file) == Writers::Some {
        return Ok(None);
    }
    if was_good && text.is_empty() {
        return Err(Problem::error(config::FILE, "is empty; a comment alone means the defaults").into());
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    fn place() -> (tempfile::TempDir, World) {
        (tempfile::tempdir().unwrap(), World::real().unwrap())
    }

    #[test]
    fn a_change_counts_however_it_is_saved_and_a_wrong_one_changes_nothing() {
        let (dir, world) = place();
        let path = dir.path().join("claw.yaml");
        let settings = Settings::default();
        let limit = || settings.get(&path, &world).map(|config| config.max_concurrency);
        fs::write(&path, "max_concurrency: many\n").unwrap();
        assert!(limit().is_err(), "it never was good");
        fs::write(&path, "max_concurrency: 2\n").unwrap();
        assert_eq!(limit(), Ok(2));
        fs::write(&path, "max_concurrency: 3\n").unwrap();
        assert_eq!(limit(), Ok(3), "the same size, at once");
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
    fn half_a_file_is_not_read_while_its_writer_has_it_open() {
        let (dir, world) = place();
        let path = dir.path().join("claw.yaml");
        let settings = Settings::default();
        fs::write(&path, "max_concurrency: 2\ndefault_agent: cookie\n").unwrap();
        let agent = || settings.get(&path, &world).unwrap().default_agent.clone();
        assert_eq!(agent(), "cookie");
        let mut writer = File::create(&path).unwrap();
        assert_eq!(agent(), "cookie", "it is empty for a moment");
        writer.write_all(b"max_concurrency: 2\n").unwrap();
        assert_eq!(agent(), "cookie", "this is half of it");
        writer.write_all(b"default_agent: brain\n").unwrap();
        drop(writer);
        assert_eq!(agent(), "brain");
    }
}
