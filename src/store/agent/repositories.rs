//! Git repositories in folders that agents may write. Git runs the programs that a repository's settings and hooks name,
//! as the user who next uses git there; so each such repository is reported.

use crate::core::text::git_config;
use crate::core::text::problem::Problem;
use crate::store::fs::beneath::Beneath;
use rustix::fs::{AtFlags, Dir, FileType, Mode, Stat, statat};
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The most names that a search visits.
const MAX_NAMES: usize = 200_000;
/// The most bytes of a `config` that are read.
const MAX_CONFIG: u64 = 1 << 20;
/// The most problems that a search reports.
const MAX_FOUND: usize = 20;

/// A change time: nanoseconds since 1970, of the kernel's clock for files.
pub type ChangeTime = i128;

/// The result of a search.
#[derive(Debug, Default)]
pub struct Repositories {
    /// The repositories that run programs: a warning each, at its `config` or its folder of hooks.
    pub found: Vec<Problem>,
    /// Whether the search ended before the end of the folders.
    pub is_cut: bool,
}

/// Searches the folders `places` (real paths) for repositories that run programs, and names them relative to `root`. It
/// ends at `until` at the latest. With `since`, only files changed since then are reported.
#[must_use]
pub fn search(root: &Path, places: &[PathBuf], until: Instant, since: Option<ChangeTime>) -> Repositories {
    let mut search = Search { until, since, names: 0, result: Repositories::default() };
    // Each tree once.
    let outer = places.iter().filter(|place| !places.iter().any(|other| other != *place && place.starts_with(other)));
    for place in outer {
        let shown = place.strip_prefix(root).unwrap_or(place);
        if let Ok(folder) = Beneath::open(place, true) {
            search.tree(&folder, shown);
        }
    }
    search.result
}

struct Search {
    until: Instant,
    since: Option<ChangeTime>,
    /// The names visited so far.
    names: usize,
    result: Repositories,
}

impl Search {
    fn tree(&mut self, top: &Beneath, shown: &Path) {
        let mut next = vec![PathBuf::new()];
        while let Some(below) = next.pop() {
            if self.names > MAX_NAMES || Instant::now() >= self.until || self.result.found.len() >= MAX_FOUND {
                self.result.is_cut = true;
                return;
            }
            let Ok(folder) = top.folder(&below) else { continue };
            let entries = entries(&folder);
            self.names += entries.len();
            let has = |name: &str| entries.iter().any(|(entry, _)| entry == name);
            let is_git = has("HEAD") && (has("objects") || has("commondir"));
            if is_git {
                for name in ["config", "config.worktree"].into_iter().filter(|name| has(name)) {
                    self.config(top, &folder, &below.join(name), shown);
                }
                let hooks = statat(&folder, "hooks", AtFlags::SYMLINK_NOFOLLOW);
                let is_link = |stat: &Stat| FileType::from_raw_mode(stat.st_mode).is_symlink();
                if hooks.is_ok_and(|stat| is_link(&stat) && self.is_new(&stat)) {
                    let message =
                        "git runs the hooks where this link leads, as you; remove it before you use git there";
                    self.report(&shown.join(&below).join("hooks"), message);
                }
                self.hooks(top, &below.join("hooks"), shown);
            }
            let inner = entries.into_iter().filter(|(_, kind)| *kind == FileType::Directory);
            // Objects of git are no repositories.
            next.extend(inner.filter(|(name, _)| !is_git || name != "objects").map(|(name, _)| below.join(name)));
        }
    }

    fn config(&mut self, top: &Beneath, folder: &OwnedFd, path: &Path, shown: &Path) {
        let name = path.file_name().unwrap_or_default();
        let is_new = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| self.is_new(&stat));
        if !is_new {
            return;
        }
        let mut text = Vec::new();
        let is_read = top.file(path).is_ok_and(|file| {
            file.metadata().is_ok_and(|meta| meta.is_file()) && file.take(MAX_CONFIG).read_to_end(&mut text).is_ok()
        });
        let keys = if is_read {
            git_config::keys_that_run(&String::from_utf8_lossy(&text))
        } else {
            // A link, which git follows.
            vec!["a link or an unreadable file".to_owned()]
        };
        if !keys.is_empty() {
            let message =
                format!("git runs what is in it, as you: {}; remove it before you use git there", keys.join(", "));
            self.report(&shown.join(path), &message);
        }
    }

    fn hooks(&mut self, top: &Beneath, path: &Path, shown: &Path) {
        let Ok(folder) = top.folder(path) else { return };
        let mut hooks = Vec::new();
        for (name, _) in entries(&folder) {
            let is_sample = name.as_bytes().ends_with(b".sample");
            let runs = |stat: &Stat| match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => {
                    Mode::from_raw_mode(stat.st_mode).intersects(Mode::XUSR | Mode::XGRP | Mode::XOTH)
                }
                kind => kind == FileType::Symlink,
            };
            let stat = statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW);
            if !is_sample && stat.is_ok_and(|stat| runs(&stat) && self.is_new(&stat)) {
                hooks.push(name.to_string_lossy().into_owned());
            }
        }
        if !hooks.is_empty() {
            hooks.sort();
            let message =
                format!("git runs these hooks, as you: {}; remove them before you use git there", hooks.join(", "));
            self.report(&shown.join(path), &message);
        }
    }

    fn is_new(&self, stat: &Stat) -> bool {
        self.since.is_none_or(|since| change_time(stat.st_ctime, stat.st_ctime_nsec) >= since)
    }

    fn report(&mut self, path: &Path, message: &str) {
        let escaped = |text: &str| {
            if text.chars().any(char::is_control) { text.escape_debug().to_string() } else { text.to_owned() }
        };
        self.result.found.push(Problem::warning(&escaped(&path.to_string_lossy()), escaped(message)));
    }
}

/// A change time from its two parts, whose types differ between machines.
pub fn change_time(seconds: impl Into<i128>, nanoseconds: impl Into<i128>) -> ChangeTime {
    seconds.into() * 1_000_000_000 + nanoseconds.into()
}

/// The names in a folder and their types.
fn entries(folder: &OwnedFd) -> Vec<(OsString, FileType)> {
    let listed = Dir::read_from(folder).into_iter().flatten().flatten();
    let entry = |entry: rustix::fs::DirEntry| {
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        let kind = match entry.file_type() {
            FileType::Unknown => statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
                .map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode)),
            known => known,
        };
        (name.to_owned(), kind)
    };
    listed.map(entry).filter(|(name, _)| name != "." && name != "..").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::Duration;

    fn found(root: &Path, since: Option<ChangeTime>) -> Vec<String> {
        let places = [root.join("files"), root.join("files/sub")];
        let end = Instant::now() + Duration::from_mins(1);
        let result = search(root, &places, end, since);
        assert!(!result.is_cut);
        let mut found: Vec<String> = result.found.iter().map(ToString::to_string).collect();
        found.sort();
        found
    }

    #[test]
    fn repositories_that_run_programs_are_found_in_every_form() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        let write = |name: &str, text: &str| {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        };
        let repository = |name: &str, config: &str| {
            write(&format!("{name}/HEAD"), "ref: refs/heads/main\n");
            fs::create_dir_all(root.join(name).join("objects")).unwrap();
            write(&format!("{name}/config"), config);
        };
        repository("files/plain/.git", "[core]\n\tbare = false\n");
        write("files/plain/.git/hooks/pre-commit.sample", "");
        write("files/config", "[core]\nfsmonitor = x\n");
        assert_eq!(found(&root, None), [""; 0]);
        repository("files/sub/a/.git", "[core]\nfsmonitor = ./x\n");
        repository("files/bare", "[core]\nsshCommand = x\n[alias]\nst = !x\n");
        repository("files/plain/.git/modules/m", "[include]\npath = x\n");
        let hook = write("files/plain/.git/hooks/post-checkout", "");
        write("files/plain/.git/hooks/not-executable", "");
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        repository("files/linked", "");
        symlink("../elsewhere", root.join("files/linked/hooks")).unwrap();
        fs::remove_file(root.join("files/linked/config")).unwrap();
        symlink("../config", root.join("files/linked/config")).unwrap();
        // Not below a folder of an agent.
        repository("own/.git", "[core]\nfsmonitor = x\n");
        let all = found(&root, None);
        let paths: Vec<&str> = all.iter().map(|line| line.split(": ").next().unwrap()).collect();
        let expected = [
            "files/bare/config",
            "files/linked/config",
            "files/linked/hooks",
            "files/plain/.git/hooks",
            "files/plain/.git/modules/m/config",
            "files/sub/a/.git/config",
        ];
        assert_eq!(paths, expected, "{all:#?}");
        assert!(all[0].contains("core.sshcommand, alias.st") && all[3].contains("as you: post-checkout;"), "{all:#?}");
        assert_eq!(found(&root, Some(i128::MAX)), [""; 0]);
        let late = search(&root, &[root.join("files")], Instant::now(), None);
        assert!(late.is_cut && late.found.is_empty());
    }
}
