//! The files in `skills/`, and their approvals. Agents may write there, so a script is inert, and a text is data and no
//! instruction, until the owner approves its path and content: one line each in `.claw/approved-skills.jsonl`. The last
//! line of a path counts; removing it revokes the approval. Texts that this program ships are approved, and all texts
//! where no agent may write them.
//!
//! A script is every file below a folder `scripts`, and every other executable file. A link is not a script: its target
//! is judged at its own path.

use crate::core::config::Sync;
use crate::core::definition::Agent;
use crate::core::fault::{Fault, Result};
use crate::store::agent::definitions;
use crate::store::fs::file_cache::FileCache;
use crate::store::fs::{At, if_there};
use crate::store::fs::{contained, durable};
use crate::store::skills;
use crate::store::workspace::{Workspace, scaffold};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// The file's name in a workspace.
pub const FILE: &str = ".claw/approved-skills.jsonl";
/// The largest file that can be approved, in bytes.
const MAX: u64 = 64 << 20;

/// BLAKE3 hashes of approved files, by path.
#[derive(Default)]
struct FileHashes(FileCache<String>);

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
    /// Not a script, and approved with this content: may be followed.
    Text,
    /// Not a script, and not approved: may be read as data.
    Unapproved,
    /// A script that the owner has approved with this content: may be run.
    Approved,
    /// A link, or a script without approval: may not be run.
    Inert,
}

/// A file with the content to approve.
pub struct FileContent {
    /// Relative to the workspace.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// The files of the skill `id` except its SKILL.md, sorted. Links are included, as inert.
#[must_use]
pub fn of(workspace: &Workspace, id: &str) -> Vec<SkillFile> {
    let approved = ApprovedFiles::open(workspace);
    let dir = approved.root.join(skills::FOLDER).join(id);
    let manual = dir.join("SKILL.md");
    let files = walk(&dir).flatten().filter(|entry| entry.path() != manual);
    files.filter_map(|entry| approved.file(&entry)).collect()
}

/// The SKILL.md of the skill `id`; `None` if it is missing.
#[must_use]
pub fn manual(workspace: &Workspace, id: &str) -> Option<SkillFile> {
    let approved = ApprovedFiles::open(workspace);
    let manual = approved.root.join(skills::FOLDER).join(id).join("SKILL.md");
    walk(&manual).flatten().find_map(|entry| approved.file(&entry))
}

/// Whether agents may follow the SKILL.md of the skill `id`.
///
/// # Errors
/// If it, an agent's file or the list of approvals exists and cannot be read: that is no sign of a change.
pub fn has_approved_manual(workspace: &Workspace, id: &str) -> Result<bool> {
    if !is_agent_writable(workspace)? {
        return Ok(true);
    }
    let (dir, below) = (workspace.path(skills::FOLDER), Path::new(id).join("SKILL.md"));
    let Some(bytes) = if_there(contained::read(&dir, &below, MAX)).at("read", &dir.join(&below))? else {
        return Ok(false);
    };
    let path = format!("{}/{id}/SKILL.md", skills::FOLDER);
    let list = workspace.path(FILE);
    let lines = approvals(&if_there(fs::read(&list)).at("read", &list)?.unwrap_or_default());
    let is_shipped = scaffold::shipped(&path).is_some_and(|text| text.as_bytes() == bytes);
    Ok(is_shipped || lines.get(&path).is_some_and(|line| line.hash == hash(&bytes)))
}

/// Reads the files of the skill `id` whose current content is not approved, its SKILL.md first.
///
/// # Errors
/// If a file cannot be read, or is too long.
pub fn unapproved(workspace: &Workspace, id: &str) -> Result<Vec<FileContent>> {
    let files = manual(workspace, id).into_iter().chain(of(workspace, id));
    let is_link = |file: &SkillFile| workspace.path(&file.path).is_symlink();
    files
        .filter(|file| matches!(file.role, Role::Inert | Role::Unapproved) && !is_link(file))
        .map(|file| {
            let path = workspace.path(&file.path);
            let bytes = contained::read(&workspace.root, Path::new(&file.path), MAX).at("read", &path)?;
            Ok(FileContent { path: file.path, bytes })
        })
        .collect()
}

/// Approves these files with this content.
///
/// # Errors
/// If the list cannot be written.
pub fn approve(workspace: &Workspace, files: &[FileContent]) -> Result<()> {
    let path = workspace.path(FILE);
    // A power cut may have torn the last line.
    let is_torn = fs::read(&path).is_ok_and(|bytes| bytes.last().is_some_and(|last| *last != b'\n'));
    let mut lines = if is_torn { "\n".to_owned() } else { String::new() };
    for file in files {
        let line = Approved {
            at: workspace.world.now().timestamp(),
            path: file.path.clone(),
            size: file.bytes.len() as u64,
            hash: hash(&file.bytes),
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
struct ApprovedFiles<'a> {
    workspace: &'a Workspace,
    /// Whether an agent may write skills.
    is_agent_writable: bool,
    /// The workspace's directory, without links.
    root: PathBuf,
    lines: HashMap<String, Approved>,
}

impl<'a> ApprovedFiles<'a> {
    fn open(workspace: &'a Workspace) -> Self {
        let lines = approvals(&fs::read(workspace.path(FILE)).unwrap_or_default());
        let is_agent_writable = is_agent_writable(workspace).unwrap_or(true);
        Self { workspace, is_agent_writable, root: workspace.real_root(), lines }
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
        let is_approved = || meta.is_file() && self.is_approved(&path, meta.len());
        let role = match is_script && !is_manual {
            false if !self.is_agent_writable || is_approved() || self.is_shipped(&path, meta.len()) => Role::Text,
            false => Role::Unapproved,
            true if is_approved() => Role::Approved,
            true => Role::Inert,
        };
        Some(SkillFile { path, size: meta.len(), role })
    }

    /// Whether this program ships the file with this content.
    fn is_shipped(&self, path: &str, size: u64) -> bool {
        let Some(text) = scaffold::shipped(path).filter(|text| text.len() as u64 == size) else { return false };
        contained::read(&self.workspace.root, Path::new(path), size).is_ok_and(|bytes| bytes == text.as_bytes())
    }

    fn is_approved(&self, path: &str, size: u64) -> bool {
        let Some(line) = self.lines.get(path).filter(|line| line.size == size) else { return false };
        let files = [self.workspace.path(path)];
        let now = self.workspace.world.now();
        let read = || contained::read(&self.workspace.root, Path::new(path), size).map(|bytes| hash(&bytes));
        self.workspace.caches.of::<FileHashes>().0.get(path, &files, now, read).is_ok_and(|hash| hash == line.hash)
    }
}

/// The approvals in the text of the list, by path.
fn approvals(text: &[u8]) -> HashMap<String, Approved> {
    let lines = text.split(|byte| *byte == b'\n');
    let lines = lines.filter_map(|line| serde_json::from_slice::<Approved>(line).ok());
    lines.map(|line| (line.path.clone(), line)).collect()
}

/// Whether some agent may write below `skills/`. An agent whose file is invalid may have been able to.
fn is_agent_writable(workspace: &Workspace) -> Result<bool> {
    let folder = Path::new(skills::FOLDER);
    let is_in = |name: &String| {
        let path: PathBuf = Path::new(name).components().filter(|part| *part != Component::CurDir).collect();
        path.starts_with(folder) || folder.starts_with(&path)
    };
    let may_write = |agent: &Agent| agent.write.as_ref().is_none_or(|names| names.iter().any(is_in));
    let agents = definitions::agents(workspace)?;
    Ok(agents.is_empty() || agents.iter().any(|(_, read)| read.as_ref().map_or(true, |agent| may_write(agent))))
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
        let text = || (manual(&workspace, "a").unwrap().role, of(&workspace, "a")[0].role);
        assert_eq!(text(), (Role::Unapproved, Role::Unapproved));
        approve(&workspace, &unapproved(&workspace, "a").unwrap()).unwrap();
        assert_eq!(names(), ["skills/.b/run"]);
        assert_eq!(text(), (Role::Text, Role::Text));
        write("skills/a/SKILL.md", "---\nname: a\ndescription: e\n---\nx\n");
        assert_eq!(text(), (Role::Unapproved, Role::Text));
        write("skills/a/scripts/one", "echo 7\n");
        assert_eq!(names(), ["skills/.b/run", "skills/a/scripts/one"]);
        fs::rename(root.join("skills/a/scripts/deep/two"), root.join("skills/a/scripts/moved")).unwrap();
        assert_eq!(names().last().unwrap(), "skills/a/scripts/one", "{:?}", names());
        assert!(names().contains(&"skills/a/scripts/moved".to_owned()), "only its old path was approved");
    }

    #[test]
    fn texts_are_approved_where_no_agent_may_write_them_or_this_program_ships_them() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
            fs::write(dir.path().join(name), text).unwrap();
        };
        write("claw.yaml", "sync: none\n");
        write("skills/a/SKILL.md", "---\nname: a\ndescription: d\n---\nx\n");
        let shipped = scaffold::shipped("skills/tmux/SKILL.md").unwrap();
        write("skills/tmux/SKILL.md", shipped);
        let role = |id: &str| {
            let workspace = Workspace::open(World::real().unwrap(), dir.path().to_path_buf(), true).unwrap();
            let role = manual(&workspace, id).unwrap().role;
            assert_eq!(has_approved_manual(&workspace, id).unwrap(), role == Role::Text);
            role
        };
        for (agents, expected) in [
            (&["write: [files]"][..], Role::Text),
            (&["write: [files]", "write: [files, ./skills/b]"], Role::Unapproved),
            (&["write: [files]", "description: x"], Role::Unapproved),
            (&["write: [files]", "tools: 7"], Role::Unapproved),
        ] {
            for (number, line) in agents.iter().enumerate() {
                write(&format!("agents/a{number}/AGENT.md"), &format!("---\nname: a\n{line}\n---\nx\n"));
            }
            assert_eq!(role("a"), expected, "{agents:?}");
            assert_eq!(role("tmux"), Role::Text);
        }
        write("skills/tmux/SKILL.md", &shipped.replacen('e', "i", 1));
        assert_eq!(role("tmux"), Role::Unapproved);
    }
}
