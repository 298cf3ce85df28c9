//! What an agent's tools may reach: the folders that they may read and those that they may write, as absolute
//! paths. The file tools resolve beneath them, the walls around programs allow them; nobody else decides.

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

/// What every agent may write where its file does not say otherwise.
pub const WRITE: [&str; 4] = ["files", "memories", "skills", "crons"];
/// What no agent may read unless its file says so, besides names with a dot in front: the machine's own, the
/// settings, and other conversations.
const HIDDEN: [&str; 4] = [FILE, "inbox", "outbox", "sessions"];
/// What no agent may ever write.
const MACHINE: [&str; 4] = [".claw", "inbox", "outbox", "sessions"];

/// Where programs lie, though some users of the system's own have their home there.
const PROGRAMS: [&str; 5] = ["/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin"];

/// What may be read and written. Every path is absolute and without symbolic links, as far as it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The workspace.
    pub root: PathBuf,
    /// What may be read; what may be written is in it.
    pub read: Vec<PathBuf>,
    /// What may be written.
    pub write: Vec<PathBuf>,
    /// What is somebody's, wherever it lies: the workspace, keys and the owner's home. Of these only the above is
    /// open.
    pub private: Vec<PathBuf>,
}

impl Access {
    /// What `agent` may reach now. The usual folders to write are made where they are missing.
    ///
    /// # Errors
    /// Where the workspace cannot be read, or a folder not be made.
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
            let is_hidden = name.starts_with('.') || HIDDEN.contains(&&*name);
            // A link at the top is not followed: it would be a way to what is hidden.
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            if !is_hidden && !is_link && !keys.iter().any(|key| key.starts_with(entry.path())) {
                read.insert(entry.path());
            }
        }
        read.extend(agent.read.iter().map(|name| root.join(name)));
        read.extend(write.iter().cloned());
        let is_own = |home: &PathBuf| !PROGRAMS.iter().any(|programs| Path::new(programs).starts_with(home));
        let home = workspace.world.var("HOME").map(PathBuf::from).filter(is_own);
        let private = [root.clone()].into_iter().chain(keys).chain(home);
        let private = private.map(|path| fs::canonicalize(&path).unwrap_or(path)).collect();
        // In order, so that the outermost comes first.
        let open: BTreeSet<PathBuf> = usual.iter().chain(&write).cloned().collect();
        let resolve = |paths: Vec<PathBuf>| paths.iter().filter_map(|path| resolved(path, &open)).collect();
        Ok(Self { read: resolve(read.into_iter().collect()), write: resolve(write), private, root })
    }

    /// Whether `path`, absolute and without `..`, lies in what may be read.
    #[must_use]
    pub fn readable_root(&self, path: &Path) -> Option<&Path> {
        innermost(&self.read, path)
    }

    /// The folder that may be written in which `path` lies.
    #[must_use]
    pub fn writable_root(&self, path: &Path) -> Option<&Path> {
        innermost(&self.write, path)
    }
}

/// Whether an agent's file may name this as something to write: a path in the workspace that is not the
/// machine's own, nor the settings, nor all of it.
#[must_use]
pub fn may_write(name: &str) -> bool {
    let path = Path::new(name);
    let mut parts = path.components().filter(|part| *part != Component::CurDir);
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let first = parts.next().map(|part| part.as_os_str().to_string_lossy().into_owned());
    is_plain && first.is_some_and(|first| first != FILE && !MACHINE.contains(&first.as_str()))
}

/// Where a path leads: an owner's link is followed. One that an agent can have made, because it lies in one of
/// the `open` folders, leads nowhere, whoever's file names it.
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

/// The files that hold keys, whoever's.
fn keys(root: &Path, config: &Config, llms: &[Arc<Model>]) -> Vec<PathBuf> {
    let models = config.models.values().chain(llms.iter().map(|llm| &**llm));
    let search = config.web.search.as_ref().and_then(|search| search.api_key_file.as_deref());
    models.filter_map(|model| model.api_key_file.as_deref()).chain(search).map(|file| root.join(file)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_file_cannot_open_what_the_machine_relies_on() {
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
    fn the_innermost_folder_counts_and_a_sibling_prefix_does_not() {
        let reach = Access { write: vec!["/w/files".into(), "/w/files/a".into()], ..Access::default() };
        let writes = |path: &str| reach.writable_root(Path::new(path)).map(|p| p.display().to_string());
        assert_eq!(writes("/w/files/a/b").as_deref(), Some("/w/files/a"));
        assert_eq!(writes("/w/files/ab").as_deref(), Some("/w/files"));
        assert_eq!(writes("/w/files-evil/a"), None);
    }
}
