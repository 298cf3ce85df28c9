//! Permissions: files that another user of this machine may change, and keys that another user may read.

use super::{Risk, shown};
use crate::core::config::Config;
use crate::core::text::problem::Problem;
use crate::store::agent::definitions;
use crate::store::workspace::{LAYOUT, Workspace};
use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// Top-level files and folders whose owner decides what agents do; folders of many files count without their contents.
const TOP: [&str; 9] =
    ["", "claw.yaml", "AGENTS.md", "BOOTSTRAP.md", "skills", "crons", "memories", "files", ".claw/approvals"];
/// Folders that count with their contents, and the deepest level.
const TREES: [&str; 2] = ["agents", "tools"];
const DEPTH: usize = 3;
/// The most files that are looked at.
const MAX_FILES: usize = 10_000;
/// Permission bits.
const STICKY: u32 = 0o1000;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;

pub(super) fn of(workspace: &Workspace, config: Option<&Config>) -> Vec<Risk> {
    let mut paths: Vec<PathBuf> = TOP.iter().chain(LAYOUT).map(|name| workspace.path(name)).collect();
    for tree in TREES {
        let entries = WalkDir::new(workspace.path(tree)).max_depth(DEPTH).sort_by_file_name().into_iter().flatten();
        paths.extend(entries.take(MAX_FILES).map(walkdir::DirEntry::into_path));
    }
    let users = Users::of_this_machine();
    let mut risks: Vec<Risk> = paths.iter().filter_map(|path| users.writers(workspace, path)).collect();
    let real = workspace.real_root();
    risks.extend(real.ancestors().skip(1).filter_map(|folder| users.replacers(folder)));
    risks.extend(keys(workspace, config).iter().filter_map(|path| users.readers(workspace, path)));
    risks
}

/// The files that contain keys.
fn keys(workspace: &Workspace, config: Option<&Config>) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    let root = &workspace.root;
    if let Some(config) = config {
        let search = config.web.search.iter();
        let named = config.models.values().filter_map(|model| model.api_key_file.as_ref());
        files.extend(named.chain(search.clone().filter_map(|s| s.api_key_file.as_ref())).map(|file| root.join(file)));
        let channels = config.channels.named.values();
        files.extend(channels.clone().filter_map(|channel| channel.token_file.as_ref()).map(|file| root.join(file)));
        let mut literal = config.models.values().map(|model| &model.api_key).chain(search.map(|s| &s.api_key));
        let mut tokens = channels.map(|channel| &channel.token);
        if literal.any(Option::is_some) || tokens.any(Option::is_some) {
            files.insert(workspace.path("claw.yaml"));
        }
    }
    for id in definitions::folders(workspace, "agents").unwrap_or_default() {
        let file = workspace.path("agents").join(id).join("AGENT.md");
        let llm = crate::core::definition::agent::llm(&fs::read_to_string(&file).unwrap_or_default());
        files.extend(llm.api_key_file.map(|key| root.join(key)));
        files.extend(llm.api_key.map(|_| file));
    }
    files
}

/// The user that runs this process, and the groups that have no other member.
struct Users {
    me: u32,
    private: BTreeSet<u32>,
}

impl Users {
    /// A group is private if it is named like the user and lists no members, as most systems make one for each user.
    fn of_this_machine() -> Self {
        let me = rustix::process::geteuid().as_raw();
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let (users, groups) = (read("/etc/passwd"), read("/etc/group"));
        let rows = |text: &str| -> Vec<Vec<String>> {
            text.lines().map(|line| line.split(':').map(ToOwned::to_owned).collect()).collect()
        };
        let id = |row: &[String]| row.get(2).and_then(|id| id.parse::<u32>().ok());
        let name = rows(&users).into_iter().find(|row| id(row) == Some(me)).and_then(|row| row.first().cloned());
        let is_own = |row: &Vec<String>| {
            row.first() == name.as_ref()
                && row.get(3).is_none_or(|members| members.is_empty() || Some(members) == name.as_ref())
        };
        Self { me, private: rows(&groups).iter().filter(|row| is_own(row)).filter_map(|row| id(row)).collect() }
    }

    /// Other users who may change the file or folder.
    fn writers(&self, workspace: &Workspace, path: &Path) -> Option<Risk> {
        let meta = fs::symlink_metadata(path).ok().filter(|meta| !meta.is_symlink())?;
        let (mode, who) = (meta.mode() & 0o7777, self.who_writes(&meta));
        let shown = shown(workspace, path);
        if meta.uid() != self.me && meta.uid() != 0 {
            let message = format!("belongs to user {}, who may change it: take it over with chown", meta.uid());
            return Some(Problem::warning(&shown, message).into());
        }
        let (who, bits) = who?;
        let message = format!("mode {mode:04o}: {who} may change it; `claw check --fix` sets {:04o}", mode & !bits);
        Some(Risk { problem: Problem::warning(&shown, message), mode: Some((path.to_owned(), mode & !bits)) })
    }

    /// Other users who may rename a folder above the workspace.
    fn replacers(&self, folder: &Path) -> Option<Risk> {
        let meta = fs::symlink_metadata(folder).ok().filter(|meta| meta.mode() & STICKY == 0)?;
        let (who, bits) = self.who_writes(&meta)?;
        let (mode, path) = (meta.mode() & 0o7777, folder.display().to_string());
        let message =
            format!("mode {mode:04o}: {who} may replace the workspace, which is below: chmod {:04o}", mode & !bits);
        Some(Problem::warning(&path, message).into())
    }

    /// Other users who may read the file with a key.
    fn readers(&self, workspace: &Workspace, path: &Path) -> Option<Risk> {
        let meta = fs::metadata(path).ok()?;
        let group = if self.private.contains(&meta.gid()) { 0 } else { 0o070 };
        let (mode, bits) = (meta.mode() & 0o7777, 0o007 | group);
        if mode & bits & 0o044 == 0 {
            return None;
        }
        let safe = mode & !bits;
        let message =
            format!("mode {mode:04o}: other users may read the key in it; `claw check --fix` sets {safe:04o}");
        Some(Risk { problem: Problem::warning(&shown(workspace, path), message), mode: Some((path.to_owned(), safe)) })
    }

    /// Those who may write besides the owner, and the bits that let them.
    fn who_writes(&self, meta: &Metadata) -> Option<(&'static str, u32)> {
        let mode = meta.mode();
        let is_shared = mode & GROUP_WRITES != 0 && !self.private.contains(&meta.gid());
        match (mode & OTHERS_WRITE != 0, is_shared) {
            (true, _) => Some(("every user of this machine", OTHERS_WRITE | if is_shared { GROUP_WRITES } else { 0 })),
            (false, true) => Some(("its group", GROUP_WRITES)),
            (false, false) => None,
        }
    }
}
