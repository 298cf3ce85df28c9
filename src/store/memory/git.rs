//! The `git` program, only for the workspace's own repository. Hooks, signing, maintenance and submodules are disabled,
//! so that no setting of a repository can run a program. Attributes count only as they were committed.

use crate::core::config::Sync;
use crate::core::fault::{Fault, Kind, Result};
use command_fds::{CommandFdExt, FdMapping};
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

/// Variables of the caller that lead git elsewhere, or change what it does.
const REMOVED: [&str; 19] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_PREFIX",
    "GIT_NAMESPACE",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_EXTERNAL_DIFF",
    "GIT_TRACE",
    "GIT_TRACE2",
    "GIT_ATTR_SOURCE",
    "GIT_LITERAL_PATHSPECS",
    "GIT_GLOB_PATHSPECS",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_ICASE_PATHSPECS",
];

/// Runs git in one repository.
#[derive(Debug)]
pub struct Git<'r> {
    /// The top of the repository.
    pub root: &'r Path,
    /// Whether git syncs what it writes.
    pub sync: Sync,
    /// Locks that git holds until it ends: killed half-way, it would leave a lock file, so it ends by itself.
    pub locks: Vec<OwnedFd>,
}

impl Git<'_> {
    /// The stdout of git, if it succeeds.
    ///
    /// # Errors
    /// `Later`, with the first line that git has printed; `Failed` if git cannot be started.
    pub fn run(&self, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>> {
        let no_git = |e: &dyn std::fmt::Display| Fault::new(Kind::Failed, format!("cannot run git: {e}"));
        let mut command = Command::new("git");
        for name in REMOVED {
            command.env_remove(name);
        }
        // Without optional locks git never refreshes the index on its own. The committer is also that of the reflog.
        command.env("GIT_COMMITTER_NAME", "claw").env("GIT_COMMITTER_EMAIL", "claw@localhost");
        command.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
        let always = [
            // By default git does not sync new objects, and a power cut leaves them empty.
            if self.sync == Sync::Full { "core.fsync=all" } else { "core.fsync=none" },
            "gc.auto=0",
            "maintenance.auto=false",
            "core.hooksPath=/dev/null",
            "core.fsmonitor=false",
            "commit.gpgsign=false",
            "diff.ignoreSubmodules=all",
            "fastimport.unpackLimit=1000",
            // The attributes are those of the last commit: a `.gitattributes` in a folder that agents may write could name
            // a filter, which git runs for every file that it compares.
            "attr.tree=HEAD",
        ];
        for setting in always {
            command.arg("-c").arg(setting);
        }
        let locks = self.locks.iter().map(|lock| lock.as_fd().try_clone_to_owned());
        let locks = locks.collect::<std::io::Result<Vec<_>>>().map_err(|e| no_git(&e))?;
        let mapped = (3..).zip(locks).map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd }).collect();
        command.fd_mappings(mapped).map_err(|e| no_git(&e))?;
        command.arg("-C").arg(self.root).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| no_git(&e))?;
        drop(command);
        let stdin = child.stdin.take();
        let (written, output) = std::thread::scope(|scope| {
            let writer = scope.spawn(move || stdin.map_or(Ok(()), |mut pipe| pipe.write_all(input)));
            let output = child.wait_with_output();
            (writer.join(), output)
        });
        let output = output.map_err(|e| no_git(&e))?;
        match written {
            Ok(Ok(())) => {}
            // Git has ended before it has read everything; its exit code decides.
            Ok(Err(error)) if error.kind() == ErrorKind::BrokenPipe => {}
            // Otherwise git would store a part of a file.
            Ok(Err(error)) => return Err(crate::store::fs::io_fault("write to", Path::new("git"), &error)),
            Err(_) => return Err(no_git(&"its input was not written")),
        }
        if output.status.success() {
            return Ok(output.stdout);
        }
        let text = String::from_utf8_lossy(&output.stderr);
        let text = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no reason given");
        Err(Fault::new(Kind::Later, format!("git {} in {}: {text}", arguments[0], self.root.display())))
    }
}

/// Makes `root` a repository whose first commit has exactly these files.
///
/// # Errors
/// `Failed` if git is not installed, `Later` if it fails.
pub fn init(root: &Path, files: &[String]) -> Result<()> {
    let git = Git { root, sync: Sync::Full, locks: Vec::new() };
    git.run(&["init", "--quiet"], &[])?;
    let named: Vec<&str> = files.iter().map(String::as_str).collect();
    git.run(&[&["add", "--"], &named[..]].concat(), &[])?;
    let commit = ["-c", "user.name=claw", "-c", "user.email=claw@localhost", "commit", "--quiet", "--no-verify", "-m"];
    git.run(&[&commit[..], &["claw init", "--"], &named[..]].concat(), &[])?;
    Ok(())
}

/// Whether there is a `git` program.
#[must_use]
pub fn is_installed() -> bool {
    let mut command = Command::new("git");
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|s| s.success())
}
