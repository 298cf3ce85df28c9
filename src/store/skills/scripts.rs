//! The scripts in `skills/`, and their approvals. Agents may write there, so a script is inert until the owner approves
//! its path and content: one line each in `.claw/approved-skills.jsonl`. The last line of a path counts; removing it
//! revokes the approval.
//!
//! A script is every file below a folder `scripts`, and every other executable file. A link is not a script: its target
//! is judged at its own path.

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

/// BLAKE3 hashes of approved scripts, by path.
#[derive(Default)]
struct ScriptHashes(FileCache<String>);

/// A line of the file: an approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Approved {
    at: Timestamp,
    /// The file, relative to the workspace.
    path: String,
    size: u64,
    /// The BLAKE3 hash of its content.
    hash: String,
}

/// A file of a skill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkillFile {
    /// Relative to the workspace.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// Its permitted use.
    pub role: Role,
}

/// The permitted use of a skill's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Not a script: may be read.
    Text,
    /// A script that the owner has approved with this content: may be run.
    Approved,
    /// A link, or a script without approval: may not be run.
    Inert,
}

/// A script with the content to approve.
pub struct ScriptContent {
    /// Relative to the workspace.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// The files of the skill `id` except its SKILL.md, sorted. Links are included, as inert.
#[must_use]
pub fn of(workspace: &Workspace, id: &str) -> Vec<SkillFile> {
    let approved = ApprovedScripts::open(workspace);
    let dir = approved.root.join(skills::FOLDER).join(id);
    let manual = dir.join("SKILL.md");
    let files = walk(&dir).flatten().filter(|entry| entry.path() != manual);
    files.filter_map(|entry| approved.file(&entry)).collect()
}

/// Reads the scripts of the skill `id` whose current content is not approved.
///
/// # Errors
/// If a script cannot be read, or is too long.
pub fn unapproved(workspace: &Workspace, id: &str) -> Result<Vec<ScriptContent>> {
    let files = of(workspace, id).into_iter().filter(|file| file.role == Role::Inert);
    let is_link = |file: &SkillFile| workspace.path(&file.path).is_symlink();
    files
        .filter(|file| !is_link(file))
        .map(|file| {
            let path = workspace.path(&file.path);
            let bytes = contained::read(&workspace.root, Path::new(&file.path), MAX).at("read", &path)?;
            Ok(ScriptContent { path: file.path, bytes })
        })
        .collect()
}

/// Approves these scripts with this content.
///
/// # Errors
/// If the file cannot be written.
pub fn approve(workspace: &Workspace, scripts: &[ScriptContent]) -> Result<()> {
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

/// The hash in an approval.
#[must_use]
pub fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Files and links below `dir`, sorted; links are not followed.
fn walk(dir: &Path) -> impl Iterator<Item = walkdir::Result<DirEntry>> + use<> {
    let entries = WalkDir::new(dir).sort_by_file_name().into_iter();
    entries.filter(|found| found.as_ref().map_or(true, |entry| !entry.file_type().is_dir()))
}

/// The approvals, by path.
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

    fn file(&self, entry: &DirEntry) -> Option<SkillFile> {
        let meta = entry.metadata().ok()?;
        let inside = entry.path().strip_prefix(&self.root).ok()?;
        let path = inside.to_string_lossy().into_owned();
        let mut above = inside.parent()?.components();
        let is_below = above.any(|part| part.as_os_str() == "scripts");
        let is_script = is_below || meta.mode() & 0o111 != 0;
        // On a file system where every file is executable, SKILL.md is still not a script.
        let is_manual = !is_below && entry.file_name() == "SKILL.md" && meta.is_file();
        let role = match is_script && !is_manual {
            false => Role::Text,
            true if meta.is_file() && self.is_approved(&path, meta.len()) => Role::Approved,
            true => Role::Inert,
        };
        Some(SkillFile { path, size: meta.len(), role })
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
    fn changed_or_moved_script_loses_its_approval() {
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
        // Paths are relative to the real root, however the workspace was named.
        let detour = dir.path().join("skills/..");
        let workspace = Workspace::open(World::real().unwrap(), detour, true).unwrap();
        let names = || -> Vec<String> {
            let files = [".b", "a"].into_iter().flat_map(|id| of(&workspace, id));
            let inert = files.filter(|file| file.role == Role::Inert && !root.join(&file.path).is_symlink());
            inert.map(|file| file.path).collect()
        };
        assert_eq!(names(), ["skills/.b/run", "skills/a/scripts/deep/two", "skills/a/scripts/one"]);
        approve(&workspace, &unapproved(&workspace, "a").unwrap()).unwrap();
        assert_eq!(names(), ["skills/.b/run"]);
        write("skills/a/scripts/one", "echo 7\n");
        assert_eq!(names(), ["skills/.b/run", "skills/a/scripts/one"]);
        fs::rename(root.join("skills/a/scripts/deep/two"), root.join("skills/a/scripts/moved")).unwrap();
        assert_eq!(names().last().unwrap(), "skills/a/scripts/one", "{:?}", names());
        assert!(names().contains(&"skills/a/scripts/moved".to_owned()), "only its old path was approved");
    }
}
