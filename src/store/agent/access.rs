//! The access of an agent's tools: the paths that they may read and write, absolute. File tools resolve paths beneath
//! them, and the sandbox of programs allows them; no other module decides access.

use crate::core::config::{Config, FILE};
use crate::core::definition::Agent;
use crate::core::fault::Result;
use crate::core::model::settings::Model;
use crate::store::agent::definitions;
use crate::store::fs::At;
use crate::store::workspace::Workspace;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// The folders that an agent may write if its AGENT.md has no `write`.
pub const WRITE: [&str; 4] = ["files", "memories", "skills", "crons"];
/// Top-level names that an agent may read only if its AGENT.md lists them: settings, mailboxes, and conversations. The
/// same holds for names with a leading dot.
const HIDDEN: [&str; 4] = [FILE, "inbox", "outbox", "sessions"];
/// Top-level names that no agent may ever write, besides the settings.
const STATE: [&str; 4] = [".claw", "inbox", "outbox", "sessions"];

/// Program folders. They are never private, even though some system users have one as their home.
const PROGRAMS: [&str; 5] = ["/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin"];

/// The paths that an agent may read and write. Each is absolute; the existing part has no symbolic links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The workspace's root.
    pub root: PathBuf,
    /// Readable trees and files, including the writable ones.
    pub read: Vec<PathBuf>,
    /// Writable trees and files.
    pub write: Vec<PathBuf>,
    /// Private paths: the workspace, key files and the owner's home. Inside of them only `read` and `write` are open.
    pub private: Vec<PathBuf>,
}

impl Access {
    /// The access that `agent` has now. Missing default folders ([`WRITE`]) are made.
    ///
    /// # Errors
    /// If the workspace cannot be read, or a folder cannot be made.
    pub fn of(workspace: &Workspace, agent: &Agent) -> Result<Self> {
        let root = fs::canonicalize(&workspace.root).at("read", &workspace.root)?;
        let usual = WRITE.map(|name| root.join(name));
        let write: Vec<PathBuf> = if let Some(named) = &agent.write {
            named.iter().filter(|name| may_write(name)).map(|name| root.join(name)).collect()
        } else {
            for dir in &usual {
                fs::create_dir_all(dir).at("make", dir)?;
            }
            usual.to_vec()
        };
        let mut read: BTreeSet<PathBuf> = BTreeSet::new();
        let keys = keys(&root, &*workspace.config()?, &definitions::llms(workspace)?);
        for entry in fs::read_dir(&root).at("list", &root)? {
            let entry = entry.at("list", &root)?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_hidden = name.starts_with('.') || HIDDEN.contains(&&*name) || is_copy_of(&name, FILE);
            let is_key = |key: &PathBuf| {
                let beside = key.parent() == Some(&root);
                let key_name = key.file_name().map(|file| file.to_string_lossy());
                key.starts_with(entry.path()) || beside && key_name.is_some_and(|original| is_copy_of(&name, &original))
            };
            // A link at the top is not followed: it could lead to a hidden name.
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            if !is_hidden && !is_link && !keys.iter().any(is_key) {
                read.insert(entry.path());
            }
        }
        read.extend(agent.read.iter().map(|name| root.join(name)));
        read.extend(write.iter().cloned());
        let is_own = |home: &PathBuf| !PROGRAMS.iter().any(|programs| Path::new(programs).starts_with(home));
        let home = workspace.world.var("HOME").map(PathBuf::from).filter(is_own);
        let private = [root.clone()].into_iter().chain(keys).chain(home);
        let private = private.map(|path| fs::canonicalize(&path).unwrap_or(path)).collect();
        // Sorted, so that outer folders come first.
        let open: BTreeSet<PathBuf> = usual.iter().chain(&write).cloned().collect();
        let resolve = |paths: Vec<PathBuf>| paths.iter().filter_map(|path| resolved(path, &open)).collect();
        Ok(Self { read: resolve(read.into_iter().collect()), write: resolve(write), private, root })
    }

    /// The innermost readable root above `path`, which is absolute and without `..`.
    #[must_use]
    pub fn readable_root(&self, path: &Path) -> Option<&Path> {
        innermost(&self.read, path)
    }

    /// The innermost writable root above `path`.
    #[must_use]
    pub fn writable_root(&self, path: &Path) -> Option<&Path> {
        innermost(&self.write, path)
    }
}

/// Whether `write` in an AGENT.md may list this name: a path inside the workspace, but not the settings, the state of
/// claw, or the whole workspace.
#[must_use]
pub fn may_write(name: &str) -> bool {
    let path = Path::new(name);
    let mut parts = path.components().filter(|part| *part != Component::CurDir);
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let first = parts.next().map(|part| part.as_os_str().to_string_lossy().into_owned());
    is_plain && first.is_some_and(|first| first != FILE && !STATE.contains(&first.as_str()))
}

/// Whether `name` is that of a copy which an editor, `patch` or a person makes of the file `original`: `claw.yaml~`,
/// `claw.yaml.bak`, `claw.yaml.orig`, `#claw.yaml#`, `claw.old.yaml`, `Copy of claw.yaml`.
fn is_copy_of(name: &str, original: &str) -> bool {
    let (name, original) = (name.to_lowercase(), original.to_lowercase());
    let name = name.trim_start_matches("copy of ").trim_start_matches(['#', '~', '_']);
    let ends_a_word = |rest: &str| !rest.starts_with(char::is_alphanumeric);
    let (stem, extension) = original.rsplit_once('.').unwrap_or((&original, ""));
    let is_before_extension = || {
        let middle = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(extension)?.strip_suffix('.'));
        !extension.is_empty() && middle.is_some_and(ends_a_word)
    };
    name.strip_prefix(&original).is_some_and(ends_a_word) || is_before_extension()
}

/// The path with links resolved. `None` if a link lies below one of the `open` folders: an agent may have made it, so
/// it is not followed even if the AGENT.md of the owner lists it.
fn resolved(path: &Path, open: &BTreeSet<PathBuf>) -> Option<PathBuf> {
    let found = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let below = open
        .iter()
        .find_map(|open| Some((open, path.strip_prefix(open).ok().filter(|below| !below.as_os_str().is_empty())?)));
    let Some((open, below)) = below else { return Some(found) };
    let plain = fs::canonicalize(open).unwrap_or_else(|_| open.clone()).join(below);
    (plain == found).then_some(found)
}

fn innermost<'a>(roots: &'a [PathBuf], path: &Path) -> Option<&'a Path> {
    roots.iter().filter(|root| path.starts_with(root)).max_by_key(|root| root.as_os_str().len()).map(PathBuf::as_path)
}

/// All key files: of models in the settings, of agents' own models, and of the search service.
fn keys(root: &Path, config: &Config, llms: &[Arc<Model>]) -> Vec<PathBuf> {
    let models = config.models.values().chain(llms.iter().map(|llm| &**llm));
    let search = config.web.search.as_ref().and_then(|search| search.api_key_file.as_deref());
    models.filter_map(|model| model.api_key_file.as_deref()).chain(search).map(|file| root.join(file)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_setting_cannot_open_settings_or_state() {
        for name in ["notes", "./notes/a", ".git", "agents", "a.yaml"] {
            assert!(may_write(name), "{name}");
        }
        for name in
            ["", ".", "./.", "..", "a/../../b", "/etc", "claw.yaml", "./claw.yaml", ".claw", ".claw/locks", "inbox"]
        {
            assert!(!may_write(name), "{name}");
        }
    }

    #[test]
    fn copies_of_the_settings_are_recognised() {
        for name in [
            "claw.yaml",
            "claw.yaml~",
            "claw.yaml.bak",
            "claw.yaml.orig",
            "claw.yaml.rej",
            "claw.yaml.~1~",
            "claw.yaml.2026-12-01",
            "claw.yaml-old",
            "#claw.yaml#",
            "CLAW.YAML.BAK",
            "claw.bak.yaml",
            "claw (copy).yaml",
            "claw - Copy.yaml",
            "Copy of claw.yaml",
            "_claw.yaml",
        ] {
            assert!(is_copy_of(name, FILE), "{name}");
        }
        for name in ["clawed.yaml", "notes", "claw.md", "my-claw.txt", "yaml", "README.md"] {
            assert!(!is_copy_of(name, FILE), "{name}");
        }
        assert!(is_copy_of("key~", "key") && !is_copy_of("keynote.md", "key"));
    }

    #[test]
    fn copies_of_settings_and_keys_are_not_readable() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let settings = "models: {m: {provider: openai, api_key_file: openai.key}}\n";
        for name in ["claw.yaml", "claw.yaml~", "claw.yaml.bak", "openai.key", "openai.key.orig", "notes.md"] {
            fs::write(root.join(name), settings).unwrap();
        }
        let workspace = Workspace::open(crate::world::World::real().unwrap(), root.clone(), true).unwrap();
        let access = Access::of(&workspace, &Agent::default()).unwrap();
        let files: Vec<&PathBuf> = access.read.iter().filter(|path| path.is_file()).collect();
        assert_eq!(files, [&root.join("notes.md")]);
    }

    #[test]
    fn innermost_root_counts_and_sibling_with_same_prefix_does_not() {
        let access = Access { write: vec!["/w/files".into(), "/w/files/a".into()], ..Access::default() };
        let writes = |path: &str| access.writable_root(Path::new(path)).map(|p| p.display().to_string());
        assert_eq!(writes("/w/files/a/b").as_deref(), Some("/w/files/a"));
        assert_eq!(writes("/w/files/ab").as_deref(), Some("/w/files"));
        assert_eq!(writes("/w/files-evil/a"), None);
    }
}
