//! The sandbox of an agent's program: Landlock for files and TCP (`file_rules`), seccomp for system calls
//! (`system_calls`), no privileges, and limits. The worker opens the paths and makes the Landlock ruleset; the watcher
//! gets its descriptor and no names, so that no path is looked up twice. Everything that can fail with a message is
//! prepared before the fork; the child only applies it.
//!
//! Every program may read the system's files, except for private paths below them (a workspace in `/opt`, for
//! example). An entry that appears later in a folder above a private path is readable only by programs started later.
//!
//! Namespaces hide names of files outside and other processes where every user may make them (`namespaces`).
//!
//! Not confined, because the kernel offers no means: names of files where it refuses namespaces, times and (without
//! set-id bits and `o+w`) modes of files of the same user, processor time.

mod file_rules;
mod known_calls;
mod namespaces;
mod system_calls;

use crate::core::fault::{Fault, Kind, Result};
pub(super) use file_rules::restrict;
pub(super) use namespaces::View;
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::BpfProgram;
use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The access that a program has; everything else is denied. Paths are real paths: a path with a link in it is ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// Trees that may be read and run.
    pub read: Vec<PathBuf>,
    /// Trees that may be read and written.
    pub write: Vec<PathBuf>,
    /// Trees whose names may be listed.
    pub list: Vec<PathBuf>,
    /// Real paths that stay closed even below the system's files.
    pub private: Vec<PathBuf>,
    /// Whether TCP and UDP are allowed.
    pub network: bool,
    /// Whether the program must not run where the kernel cannot enforce the sandbox.
    pub is_required: bool,
}

/// The largest file that a program may write, in bytes.
const MAX_FILE: u64 = 1 << 30;
/// The most files that a process may have open.
const MAX_OPEN: u64 = 4096;

/// The way out where the kernel cannot enforce the sandbox.
const WAY_OUT: &str = "set sandbox.mode to best-effort or off in claw.yaml to run it without a full sandbox";

/// A sandbox whose paths are open, for the watcher.
pub(super) struct OpenedSandbox {
    pub(super) watched: WatchedSandbox,
    /// `None` where the kernel has no Landlock and the sandbox is not required.
    pub(super) ruleset: Option<OwnedFd>,
    /// The paths that the program sees where namespaces can be made; empty if it sees everything.
    pub(super) visible: Vec<String>,
}

/// The part of a sandbox that the watcher applies, besides the ruleset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WatchedSandbox {
    network: bool,
    is_required: bool,
    /// Whether the watcher has inherited a ruleset; false only where the kernel has no Landlock and need not have it.
    pub(super) has_ruleset: bool,
}

/// Seccomp filters, compiled for this kernel, and the memory limit in bytes.
pub(super) struct PreparedSandbox {
    filters: Vec<BpfProgram>,
    max_memory: u64,
}

/// The memory that a program and its children may use together, in bytes: half of this machine's.
pub(super) fn max_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok());
    total.map_or(u64::MAX, |total: u64| (total << 10) / 2)
}

impl Sandbox {
    /// Opens the paths and makes the Landlock ruleset, in the worker.
    ///
    /// # Errors
    /// `Config`, where the kernel lacks support and the sandbox is required; `Machine` if a folder cannot be opened for
    /// now: a program that lacks its folders would draw wrong conclusions.
    pub(super) fn open(&self) -> Result<OpenedSandbox> {
        let (failed, system) = (Cell::new(None), self.system());
        let ruleset: Option<OwnedFd> = match self.ruleset(&system, &failed) {
            Ok(ruleset) => ruleset.into(),
            Err(e) => {
                let message = format!("this kernel does not support the sandbox (needs Linux 6.2): {e}; {WAY_OUT}");
                return Err(Fault::config(message));
            }
        };
        // Without a ruleset no descriptor is needed: an old kernel may lack `openat2`, too.
        if let (Some(_), Some(error)) = (&ruleset, failed.get()) {
            return Err(Fault::new(Kind::Machine, format!("cannot open its folders: {}", io::Error::from(error))));
        }
        let (network, is_required) = (self.network, self.is_required);
        let watched = WatchedSandbox { network, is_required, has_ruleset: ruleset.is_some() };
        Ok(OpenedSandbox { watched, ruleset, visible: self.visible(system) })
    }
}

impl WatchedSandbox {
    /// The argument for the watcher: `-` without a sandbox, else each field as `0` or `1`.
    pub(super) fn to_argument(sandbox: Option<Self>) -> String {
        let Some(Self { network, is_required, has_ruleset }) = sandbox else { return "-".to_owned() };
        [network, is_required, has_ruleset].map(|is_set| if is_set { '1' } else { '0' }).iter().collect()
    }

    /// The inverse of [`WatchedSandbox::to_argument`].
    ///
    /// # Errors
    /// A message for any other text.
    pub(super) fn from_argument(text: &str) -> std::result::Result<Option<Self>, &'static str> {
        let is_set = |byte: u8| if matches!(byte, b'0' | b'1') { Ok(byte == b'1') } else { Err("invalid sandbox") };
        match *text.as_bytes() {
            [b'-'] => Ok(None),
            [a, b, c] => Ok(Some(Self { network: is_set(a)?, is_required: is_set(b)?, has_ruleset: is_set(c)? })),
            _ => Err("invalid sandbox"),
        }
    }

    /// Compiles the filters, in the process that will fork.
    ///
    /// # Errors
    /// A message, where the kernel lacks support and the sandbox is required.
    pub(super) fn prepare(self, max_memory: u64) -> std::result::Result<PreparedSandbox, String> {
        match system_calls::filters(self.network) {
            Err(e) if self.is_required => Err(format!("system calls cannot be filtered: {e}; {WAY_OUT}")),
            filters => Ok(PreparedSandbox { filters: filters.unwrap_or_default(), max_memory }),
        }
    }
}

impl PreparedSandbox {
    /// Sets the limits of this process, and gives up its privileges for good.
    ///
    /// # Errors
    /// If the kernel refuses: the program must not be run.
    pub(super) fn drop_rights(&self) -> io::Result<()> {
        // When memory runs out, the kernel kills this program before others.
        let _ = fs::write("/proc/self/oom_score_adj", "500");
        let lower = |resource: Resource, most: u64| {
            let most = getrlimit(resource).maximum.map_or(most, |maximum| maximum.min(most));
            setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
        };
        lower(Resource::Core, 0)?;
        lower(Resource::Fsize, MAX_FILE)?;
        lower(Resource::Nofile, MAX_OPEN)?;
        // Of one process; the watcher counts all of them.
        lower(Resource::Data, self.max_memory)?;
        // No file of a program is writable for all users, unless the program changes its own umask.
        let own = rustix::process::umask(Mode::empty());
        rustix::process::umask(own | Mode::WOTH);
        rustix::thread::set_no_new_privs(true)?;
        let none = CapabilitySet::empty();
        rustix::thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
        Ok(())
    }

    /// Filters the system calls of this process for good.
    ///
    /// # Errors
    /// If the kernel refuses: the program must not be run.
    pub(super) fn filter_calls(&self) -> io::Result<()> {
        self.filters.iter().try_for_each(|filter| seccompiler::apply_filter(filter).map_err(io::Error::other))
    }
}

/// The parts of the sandbox that this kernel supports: the name of each, whether it is available, and its requirement.
#[must_use]
pub fn kernel_support() -> [(&'static str, bool, &'static str); 3] {
    let has_files = file_rules::is_supported(file_rules::LEAST);
    let has_signals = file_rules::is_supported(file_rules::WANTED);
    let has_filters = system_calls::filters(false).is_ok() && Path::new("/proc/sys/kernel/seccomp").exists();
    [
        ("sandbox: file access (Landlock)", has_files, "Linux 6.2 with Landlock"),
        ("sandbox: signals and abstract sockets (Landlock)", has_signals, "Linux 6.12 with Landlock"),
        ("sandbox: network and system calls (seccomp)", has_filters, "seccomp on x86-64, arm64 or riscv64"),
    ]
}

#[cfg(test)]
mod verdicts;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argument_of_the_watcher_is_read_back() {
        let mut all = vec![None];
        for [network, is_required, has_ruleset] in [[true, false, false], [false, true, false], [false, false, true]] {
            all.push(Some(WatchedSandbox { network, is_required, has_ruleset }));
        }
        for sandbox in all {
            assert_eq!(WatchedSandbox::from_argument(&WatchedSandbox::to_argument(sandbox)), Ok(sandbox));
        }
        for torn in ["", "0", "00", "002", "0000", "--"] {
            assert!(WatchedSandbox::from_argument(torn).is_err(), "{torn:?}");
        }
    }
}
