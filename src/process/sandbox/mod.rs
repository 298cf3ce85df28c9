//! The sandbox of an agent's program: Landlock for files and TCP (`file_rules`), seccomp for system calls
//! (`system_calls`), no privileges, and limits. Everything that can fail with a message is prepared before the fork;
//! the child only applies it.
//!
//! Every program may read the system's files, except for private paths below them (a workspace in `/opt`, for
//! example). An entry that appears later in a folder above a private path is readable only by programs started later.
//!
//! Not confined, because the kernel offers no means: names (not contents) of files outside, command lines of other
//! processes in `/proc`, modes and times of files of the same user (`chmod`, `touch`), memory and processor time.

mod file_rules;
mod system_calls;

use landlock::RulesetCreated;
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::BpfProgram;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The access that a program has; everything else is denied.
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

/// A sandbox whose rules are compiled for this kernel.
pub(super) struct PreparedSandbox {
    ruleset: Option<RulesetCreated>,
    filters: Vec<BpfProgram>,
}

impl Sandbox {
    /// The wire format from the worker to the watcher: `network` and `is_required` as `0` or `1`, then for each path
    /// a letter for its list, the path, and a zero byte. Never empty.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = [self.network, self.is_required].map(|is_set| if is_set { b'1' } else { b'0' }).to_vec();
        for (mark, paths) in [(b'r', &self.read), (b'w', &self.write), (b'l', &self.list), (b'p', &self.private)] {
            for path in paths {
                bytes.push(mark);
                bytes.extend_from_slice(path.as_os_str().as_bytes());
                bytes.push(0);
            }
        }
        bytes
    }

    /// The inverse of [`Sandbox::to_bytes`]; `None` for any other bytes.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let [network @ (b'0' | b'1'), is_required @ (b'0' | b'1'), rest @ ..] = bytes else { return None };
        let mut sandbox = Self { network: *network == b'1', is_required: *is_required == b'1', ..Self::default() };
        for part in rest.split_inclusive(|byte| *byte == 0) {
            let [mark, path @ .., 0] = part else { return None };
            let paths = match mark {
                b'r' => &mut sandbox.read,
                b'w' => &mut sandbox.write,
                b'l' => &mut sandbox.list,
                b'p' => &mut sandbox.private,
                _ => return None,
            };
            paths.push(PathBuf::from(OsStr::from_bytes(path)));
        }
        Some(sandbox)
    }

    /// Compiles the rules, in the process that will fork.
    ///
    /// # Errors
    /// A message, where the kernel lacks support and the sandbox is required.
    pub(super) fn prepare(&self) -> Result<PreparedSandbox, String> {
        let way_out = "set sandbox.mode to best-effort or off in claw.yaml to run it without a full sandbox";
        let ruleset = self
            .ruleset()
            .map_err(|e| format!("this kernel does not support the sandbox (needs Linux 6.2): {e}; {way_out}"))?;
        let filters = match self.filters() {
            Err(e) if self.is_required => return Err(format!("system calls cannot be filtered: {e}; {way_out}")),
            filters => filters.unwrap_or_default(),
        };
        Ok(PreparedSandbox { ruleset: Some(ruleset), filters })
    }
}

impl PreparedSandbox {
    /// Confines this process for good, and sets its limits.
    ///
    /// # Errors
    /// If the kernel refuses: the program must not be run.
    pub(super) fn enter(&mut self) -> io::Result<()> {
        // When memory runs out, the kernel kills this program before others.
        let _ = fs::write("/proc/self/oom_score_adj", "500");
        let limit = |n: u64| Rlimit { current: Some(n), maximum: Some(n) };
        setrlimit(Resource::Core, limit(0))?;
        setrlimit(Resource::Fsize, limit(MAX_FILE))?;
        let open = rustix::process::getrlimit(Resource::Nofile).maximum.unwrap_or(MAX_OPEN).min(MAX_OPEN);
        setrlimit(Resource::Nofile, limit(open))?;
        rustix::thread::set_no_new_privs(true)?;
        let none = CapabilitySet::empty();
        rustix::thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
        if let Some(ruleset) = self.ruleset.take() {
            ruleset.restrict_self().map_err(io::Error::other)?;
        }
        self.filters.iter().try_for_each(|filter| seccompiler::apply_filter(filter).map_err(io::Error::other))
    }
}

/// The parts of the sandbox that this kernel supports: the name of each, whether it is available, and its requirement.
#[must_use]
pub fn kernel_support() -> [(&'static str, bool, &'static str); 3] {
    let has_files = file_rules::is_supported(file_rules::LEAST);
    let has_signals = file_rules::is_supported(file_rules::WANTED);
    let has_filters = Sandbox::default().filters().is_ok() && Path::new("/proc/sys/kernel/seccomp").exists();
    [
        ("sandbox: file access (Landlock)", has_files, "Linux 6.2 with Landlock"),
        ("sandbox: signals and abstract sockets (Landlock)", has_signals, "Linux 6.12 with Landlock"),
        ("sandbox: network and system calls (seccomp)", has_filters, "seccomp on x86-64, arm64 or riscv64"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_survives_encoding() {
        let odd = PathBuf::from(OsStr::from_bytes(b"/w/caf\xe9 \n~"));
        let sandbox = Sandbox {
            read: vec!["/w/a".into(), odd.clone()],
            write: vec![odd],
            list: vec!["/w".into()],
            private: vec!["/opt/w".into()],
            ..Sandbox::default()
        };
        for (network, is_required) in [(false, false), (true, false), (false, true)] {
            let sandbox = Sandbox { network, is_required, ..sandbox.clone() };
            assert_eq!(Sandbox::from_bytes(&sandbox.to_bytes()), Some(sandbox));
        }
        assert!(!Sandbox::default().to_bytes().is_empty(), "an empty encoding would mean no sandbox");
        for torn in [&b""[..], b"1", b"01r/w", b"01x/w\0", b"01\0", b"21"] {
            assert_eq!(Sandbox::from_bytes(torn), None, "{torn:?}");
        }
    }
}
