//! The `git` program, only for the workspace's own repository and for its memories. Hooks, signing, maintenance and
//! submodules are disabled, so that no setting of a repository can run a program: agents may make one below
//! `memories/`. A `.gitattributes` there, which could select a filter or an encoding, counts only as it was committed.

use crate::core::config::Sync;
use crate::core::fault::{Fault, Kind, Result};
use crate::store::fs::durable;
use crate::store::lock::Lane;
use command_fds::{CommandFdExt, FdMapping};
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, UNIX_EPOCH};

/// Commits these files, and only them: staged changes of the owner stay staged. Does nothing where the workspace is
/// not the top of a repository, or the files are unchanged or ignored. Git inherits the lane's lock, so that it can
/// finish after its worker is killed, before another worker starts: killed half-way, it would leave a lock file.
///
/// # Errors
/// `Later` if git fails (because of a lock, for example).
pub fn commit(root: &Path, lane: &Lane, sync: Sync, files: &[&Path], message: &str) -> Result<()> {
    if !root.join(".git").exists() {
        return Ok(());
    }
    remove_stale_locks(root)?;
    let is_filtered = files.iter().any(|file| attributes(root, file).is_some());
    let committed: &[&str] = if is_filtered { &["-c", "attr.tree=HEAD"] } else { &[] };
    let run = |arguments: &[&str]| checked(root, lane.share_all()?, sync, committed, arguments);
    let mut changed = Vec::new();
    for file in files {
        let name = file.to_string_lossy().into_owned();
        let found = run(&["status", "--porcelain", "--ignored", "--ignore-submodules=all", "--", &name])?;
        if !found.is_empty() && !found.starts_with(b"!!") {
            changed.push(name);
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    let changed: Vec<&str> = changed.iter().map(String::as_str).collect();
    // Not `git add`, which enters a repository that an agent may have made at this path.
    run(&[&["update-index", "--add", "--"], &changed[..]].concat())?;
    run(&[&["commit", "--quiet", "--no-verify", "--only", "-m", message, "--"], &changed[..]].concat())?;
    // The index is the one file that git never syncs, even with `core.fsync=all`.
    durable::sync_file(&root.join(".git/index"), sync)
}

/// The first `.gitattributes` between a file of notes and the root, relative to the root; agents may write there.
#[must_use]
pub fn attributes(root: &Path, file: &Path) -> Option<PathBuf> {
    let folders = file.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
    folders.map(|folder| folder.join(".gitattributes")).find(|path| root.join(path).symlink_metadata().is_ok())
}

/// Removes git's lock files from before the machine was started: no process holds them any more.
fn remove_stale_locks(root: &Path) -> Result<()> {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
    let Some(started) = seconds.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds))) else {
        return Ok(());
    };
    for path in ["index.lock", "HEAD.lock"].map(|name| root.join(".git").join(name)) {
        let made = path.symlink_metadata().and_then(|meta| meta.modified()).ok();
        if made.is_some_and(|made| made < started) {
            durable::remove(&path)?;
        }
    }
    Ok(())
}

/// Makes `root` a repository whose first commit has exactly these files.
///
/// # Errors
/// `Failed` if git is not installed, `Later` if it fails.
pub fn init(root: &Path, files: &[String]) -> Result<()> {
    let with = |arguments: &[&'static str]| -> Vec<String> {
        arguments.iter().map(ToString::to_string).chain(files.iter().cloned()).collect()
    };
    let run = |arguments: Vec<String>| {
        checked(root, Vec::new(), Sync::Full, &[], &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    run(vec!["init".to_owned(), "--quiet".to_owned()])?;
    run(with(&["add", "--"]))?;
    run(with(&["commit", "--quiet", "--no-verify", "-m", "claw init", "--"]))?;
    Ok(())
}

/// Whether there is a `git` program.
#[must_use]
pub fn is_installed() -> bool {
    let mut command = Command::new("git");
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|s| s.success())
}

/// The stdout of git, if it succeeds.
fn checked(root: &Path, locks: Vec<OwnedFd>, sync: Sync, settings: &[&str], arguments: &[&str]) -> Result<Vec<u8>> {
    let output = git(root, locks, sync, &[settings, arguments].concat())?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let text = text.trim().lines().next().unwrap_or("no reason given").to_owned();
    Err(Fault::new(Kind::Later, format!("git {} in {}: {text}", arguments[0], root.display())))
}

fn git(root: &Path, locks: Vec<OwnedFd>, sync: Sync, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new("git");
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX"] {
        command.env_remove(name);
    }
    for setting in [
        // By default git does not sync new objects, and a power cut leaves them empty.
        if sync == Sync::Full { "core.fsync=all" } else { "core.fsync=none" },
        "gc.auto=0",
        "maintenance.auto=false",
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        "commit.gpgsign=false",
        "diff.ignoreSubmodules=all",
        "user.name=claw",
        "user.email=claw@localhost",
    ] {
        command.arg("-c").arg(setting);
    }
    let mapped = (3..).zip(locks).map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd }).collect();
    command.fd_mappings(mapped).map_err(|e| Fault::new(Kind::Machine, format!("cannot run git: {e}")))?;
    command
        .arg("-C")
        .arg(root)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| Fault::new(Kind::Failed, format!("cannot run git: {e}")))
}
