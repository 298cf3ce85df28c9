//! What is runnable in `skills/`, and what of it the owner has approved. Agents may write there, so a script
//! is inert until he has: by its path and its content, in `.claw/approved-skills.jsonl`, a line each. The last
//! line about a path counts, and who takes it out takes the approval back.
//!
//! A script is every file below a folder `scripts`, and every other one that is executable. A link is none:
//! what it leads to is judged where it lies.

use crate::core::config::Sync;
use crate::core::fault::{Fault, Result};
use crate::store::fs::At;
use crate::store::fs::file_cache::FileCache;
use crate::store::fs::{contained, durable};
use crate::store::skills;
use crate::store::workspace::Workspace;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// The file's name in a workspace.
pub const FILE: &str = ".claw/approved-skills.jsonl";
/// The largest script that can be approved, in bytes.
const MAX: u64 = 64 << 20;

/// Hashes of approved scripts, by path.
#[derive(Default)]
struct ScriptHashes(FileCache<String>);

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Approved {
    at: Timestamp,
    /// The file, relative to the workspace.
    path: String,
    size: u64,
    /// BLAKE3 of its content.
    hash: String,
}

/// A file of a skill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Relative to the workspace.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// What may be done with it.
    pub role: Role,
}

/// What may be done with a file of a skill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It may be read.
    Text,
    /// It may be run: the owner has approved what is in it.
    Approved,
    /// It may not be run.
    Inert,
}

/// A script as it was read: what is approved is exactly this.
pub struct Shown {
    /// Relative to the workspace.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// The files of the skill `id` but its SKILL.md, sorted. Links are among them, and inert.
#[must_use]
pub fn of(workspace: &Workspace, id: &str) -> Vec<File> {
    let book = ApprovedScripts::open(workspace);
    let dir = book.root.join(skills::FOLDER).join(id);
    let manual = dir.join("SKILL.md");
    let files = walk(&dir).flatten().filter(|entry| entry.path() != manual);
    files.filter_map(|entry| book.file(&entry)).collect()
}

/// Everything in `skills/` that nobody may run: the scripts that the owner has not approved as they are now,
/// and folders that cannot be looked into. Absolute paths without links; a link is not among them, because
/// what it leads to is judged where it lies.
#[must_use]
pub fn inert(workspace: &Workspace) -> Vec<PathBuf> {
    let book = ApprovedScripts::open(workspace);
    let paths = walk(&book.root.join(skills::FOLDER)).filter_map(|found| match found {
        Ok(entry) if entry.path_is_symlink() => None,
        Ok(entry) if book.file(&entry).is_some_and(|file| file.role != Role::Inert) => None,
        Ok(entry) => Some(entry.into_path()),
        Err(error) => error.path().map(Path::to_path_buf).filter(|path| path.exists()),
    });
    paths.collect()
}

/// Reads the scripts of the skill `id` that are not approved as they are now.
///
/// # Errors
/// Where one cannot be read, or is too long.
pub fn unapproved(workspace: &Workspace, id: &str) -> Result<Vec<Shown>> {
    let files = of(workspace, id).into_iter().filter(|file| file.role == Role::Inert);
    let is_link = |file: &File| workspace.path(&file.path).is_symlink();
    files
        .filter(|file| !is_link(file))
        .map(|file| {
            let path = workspace.path(&file.path);
            let bytes = contained::read(&workspace.root, Path::new(&file.path), MAX).at("read", &path)?;
            Ok(Shown { path: file.path, bytes })
        })
        .collect()
}

/// Approves these scripts, with the content that was read.
///
/// # Errors
/// Where that cannot be written down.
pub fn approve(workspace: &Workspace, scripts: &[Shown]) -> Result<()> {
    let path = workspace.path(FILE);
    // A power cut may have torn the last line.
    let is_torn = fs::read(&path).is_ok_and(|bytes| bytes.last().is_some_and(|last| *last != b'\n'));
    let mut lines = if is_torn { "\n".to_owned() } else { String::new() };
    for script in scripts {
        let line = Approved {
            at: workspace.world.now().timestamp(),
            path: script.path.clone(),
            size: script.bytes.len() as u64,
            hash: hash(&script.bytes),
        };
        lines += &serde_json::to_string(&line).map_err(|error| Fault::data(error.to_string()))?;
        lines.push('\n');
    }
    durable::append(&path, lines.as_bytes(), false, workspace.sync().unwrap_or(Sync::Full))
}

/// The hash that an approval names.
#[must_use]
pub fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Files and links below `dir`, sorted; links are not followed.
fn walk(dir: &Path) -> impl Iterator<Item = walkdir::Result<DirEntry>> + use<> {
    let entries = WalkDir::new(dir).sort_by_file_name().into_iter();
    entries.filter(|found| found.as_ref().map_or(true, |entry| !entry.file_type().is_dir()))
}

/// What was approved, by path.
struct ApprovedScripts<'a> {
    workspace: &'a Workspace,
    /// The workspace's directory, without links.
    root: PathBuf,
    lines: HashMap<String, Approved>,
}

impl<'a> ApprovedScripts<'a> {
    fn open(workspace: &'a Workspace) -> Self {
        let text = fs::read(workspace.path(FILE)).unwrap_or_default();
        let lines = text.split(|byte| *byte == b'\n');
        let lines = lines.filter_map(|line| serde_json::from_slice::<Approved>(line).ok());
        let root = workspace.real_root();
        Self { workspace, root, lines: lines.map(|line| (line.path.clone(), line)).collect() }
    }

    fn file(&self, entry: &DirEntry) -> Option<File> {
        let meta = entry.metadata().ok()?;
        let inside = entry.path().strip_prefix(&self.root).ok()?;
        let path = inside.to_string_lossy().into_owned();
        let mut above = inside.parent()?.components();
        let is_below = above.any(|part| part.as_os_str() == "scripts");
        let is_script = is_below || meta.mode() & 0o111 != 0;
        // Where every file is executable, a manual is none all the same.
        let is_manual = !is_below && entry.file_name() == "SKILL.md" && meta.is_file();
        let role = match is_script && !is_manual {
            false => Role::Text,
            true if meta.is_file() && self.is_approved(&path, meta.len()) => Role::Approved,
            true => Role::Inert,
        };
        Some(File { path, size: meta.len(), role })
    }

    fn is_approved(&self, path: &str, size: u64) -> bool {
        let Some(line) = self.lines.get(path).filter(|line| line.size == size) else { return false };
        let files = [self.workspace.path(path)];
        let now = self.workspace.world.now();
        let read = || contained::read(&self.workspace.root, Path::new(path), size).map(|bytes| hash(&bytes));
        self.workspace.caches.of::<ScriptHashes>().0.get(path, &files, now, read).is_ok_and(|hash| hash == line.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn what_nobody_may_run_is_every_script_that_is_not_approved_as_it_is_now() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let write = |name: &str, text: &str| {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), text).unwrap();
        };
        write("claw.yaml", "sync: none\n");
        write("skills/a/SKILL.md", "---\nname: a\ndescription: d\n---\nx\n");
        write("skills/a/references/text.md", "hello\n");
        write("skills/a/scripts/one", "echo 1\n");
        write("skills/a/scripts/deep/two", "echo 2\n");
        write("skills/.b/run", "echo 3\n");
        write(".claw/keep", "");
        fs::set_permissions(root.join("skills/.b/run"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("one", root.join("skills/a/scripts/link")).unwrap();
        // However the workspace was named, paths are the real ones.
        let detour = dir.path().join("skills/..");
        let workspace = Workspace::open(World::real().unwrap(), detour, true).unwrap();
        let names = || -> Vec<String> {
            let inert = inert(&workspace).into_iter();
            inert.map(|path| path.strip_prefix(&root).unwrap().display().to_string()).collect()
        };
        assert_eq!(names(), ["skills/.b/run", "skills/a/scripts/deep/two", "skills/a/scripts/one"]);
        approve(&workspace, &unapproved(&workspace, "a").unwrap()).unwrap();
        assert_eq!(names(), ["skills/.b/run"]);
        write("skills/a/scripts/one", "echo 7\n");
        assert_eq!(names(), ["skills/.b/run", "skills/a/scripts/one"]);
        fs::rename(root.join("skills/a/scripts/deep/two"), root.join("skills/a/scripts/moved")).unwrap();
        assert_eq!(names().last().unwrap(), "skills/a/scripts/one", "{:?}", names());
        assert!(names().contains(&"skills/a/scripts/moved".to_owned()), "it was approved by another name");
    }
}
