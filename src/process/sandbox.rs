//! The walls around a program of an agent: what it may read and write (Landlock), which system calls it may
//! make (seccomp), no privileges, and limits. Everything that can fail with words is prepared before the fork;
//! behind it the walls only close.
//!
//! What every program may read of the system is open but for what is private below it, as where the workspace lies
//! in `/opt`: what comes into a folder on the way there is seen by programs that begin later.
//!
//! What is left open, because the kernel has no wall for it: names (not contents) of files outside, the command
//! lines of other processes in `/proc`, modes and times of files that the owner's user owns (`chmod`, `touch`),
//! memory and processor time.

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules,
};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::{fs, io};

/// What is allowed; everything else is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// May be read and run, with what is beneath.
    pub read: Vec<PathBuf>,
    /// May be written too.
    pub write: Vec<PathBuf>,
    /// Folders whose names may be listed, with what is beneath.
    pub list: Vec<PathBuf>,
    /// What stays closed where it lies in a place that every program may read: real paths.
    pub private: Vec<PathBuf>,
    /// TCP and UDP.
    pub network: bool,
    /// The program is not run where the kernel has no such walls.
    pub is_required: bool,
}

/// Without this a program could empty files that it may not write (Linux 6.2).
const LEAST: ABI = ABI::V3;
/// Signals and abstract sockets end at the walls, too (Linux 6.12).
const WANTED: ABI = ABI::V6;
/// The largest file that a program may write, in bytes.
const MAX_FILE: u64 = 1 << 30;
/// How many files it may have open.
const MAX_OPEN: u64 = 4096;

/// Where programs and what they need lie.
const SYSTEM: &[&str] = &[
    "/bin",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/opt",
    "/proc",
    "/sbin",
    "/sys/devices/system/cpu",
    "/usr",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/zero",
    "/etc/alternatives",
    "/etc/bash.bashrc",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/fonts",
    "/etc/group",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/magic",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/pki",
    "/etc/profile",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl",
    "/etc/terminfo",
];

/// Calls that no tool needs, and that lead out or into the depths of the kernel.
const REFUSED: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];
/// Calls whose arguments no filter can see; who is told that they are not there takes the older ones.
const UNKNOWN: &[libc::c_long] = &[libc::SYS_clone3, libc::SYS_io_uring_setup];
/// On x86-64 every call has a second number (the x32 interface).
const X32: i64 = 0x4000_0000;

/// Walls that are ready to close.
pub(super) struct PreparedSandbox {
    ruleset: Option<RulesetCreated>,
    filters: Vec<BpfProgram>,
}

impl Sandbox {
    /// As bytes, never none of them: two flags, and every path as it is, behind a letter that says what it is for
    /// and before a zero.
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

    /// What [`Sandbox::to_bytes`] has made; nothing else.
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

    /// Prepares them, in the process that will fork.
    ///
    /// # Errors
    /// In words, where the kernel cannot and they are required.
    pub(super) fn prepare(&self) -> Result<PreparedSandbox, String> {
        let way_out = "set sandbox.mode to best-effort or off in claw.yaml to run it all the same";
        let ruleset =
            self.ruleset().map_err(|e| format!("this kernel cannot wall it in (needs Linux 6.2): {e}; {way_out}"))?;
        let filters = match self.filters() {
            Err(e) if self.is_required => return Err(format!("its system calls cannot be filtered: {e}; {way_out}")),
            filters => filters.unwrap_or_default(),
        };
        Ok(PreparedSandbox { ruleset: Some(ruleset), filters })
    }

    fn ruleset(&self) -> Result<RulesetCreated, RulesetError> {
        let level = if self.is_required { CompatLevel::HardRequirement } else { CompatLevel::BestEffort };
        let ruleset = Ruleset::default()
            .set_compatibility(level)
            .handle_access(AccessFs::from_all(LEAST))?
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(WANTED))?
            .scope(Scope::from_all(WANTED))?;
        let ruleset = if self.network { ruleset } else { ruleset.handle_access(AccessNet::from_all(WANTED))? };
        let read = AccessFs::from_read(WANTED);
        let devices = AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeSock | AccessFs::IoctlDev;
        let write = AccessFs::from_all(WANTED) & !devices;
        let null: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::WriteFile;
        ruleset
            .create()?
            .add_rules(path_beneath_rules(without(SYSTEM.iter().map(PathBuf::from), &self.private), read))?
            .add_rules(path_beneath_rules(["/dev/null"], null))?
            .add_rules(path_beneath_rules(&self.list, AccessFs::ReadDir))?
            .add_rules(path_beneath_rules(&self.read, read))?
            .add_rules(path_beneath_rules(&self.write, write))
    }

    /// One filter for what is refused, one for what is said not to exist.
    fn filters(&self) -> Result<Vec<BpfProgram>, String> {
        let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|e| e.to_string())?;
        let mut refused: BTreeMap<i64, Vec<SeccompRule>> = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
        // A local socket leads to whoever listens: the service manager, a container engine, an agent of keys.
        let inet = [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK].map(|family| (0, SeccompCmpOp::Ne, family));
        let socket = if self.network { vec![rule(&inet)?] } else { Vec::new() };
        refused.insert(libc::SYS_socket, socket);
        // Limits of another process.
        refused.insert(libc::SYS_prlimit64, vec![rule(&[(0, SeccompCmpOp::Ne, 0)])?]);
        // A name space of one's own is a way to privileges.
        let flags = [libc::CLONE_NEWUSER, libc::CLONE_NEWNS, libc::CLONE_NEWNET, libc::CLONE_NEWPID];
        let masked = |flag: i32| {
            let mask = u64::from(flag.unsigned_abs());
            rule(&[(0, SeccompCmpOp::MaskedEq(mask), flag)])
        };
        refused.insert(libc::SYS_clone, flags.into_iter().map(masked).collect::<Result<_, _>>()?);
        let unknown = UNKNOWN.iter().map(|call| (*call, Vec::new())).collect();
        let compile = |rules: BTreeMap<i64, Vec<SeccompRule>>, errno: i32| -> Result<BpfProgram, String> {
            let errno = SeccompAction::Errno(errno.unsigned_abs());
            let x32 =
                rules.iter().filter(|_| arch == TargetArch::x86_64).map(|(call, rules)| (call | X32, rules.clone()));
            let rules = x32.chain(rules.clone()).collect();
            let filter = SeccompFilter::new(rules, SeccompAction::Allow, errno, arch).map_err(|e| e.to_string())?;
            BpfProgram::try_from(filter).map_err(|e| e.to_string())
        };
        Ok(vec![compile(refused, libc::EPERM)?, compile(unknown, libc::ENOSYS)?])
    }
}

/// These places without what is private in them. A rule opens a whole tree and no other one closes a part of it
/// again; so a folder on the way to what is private is not opened, but everything else that is in it now.
fn without(places: impl Iterator<Item = PathBuf>, private: &[PathBuf]) -> Vec<PathBuf> {
    let mut open = Vec::new();
    let mut rest: Vec<PathBuf> = places.filter_map(|place| fs::canonicalize(place).ok()).collect();
    while let Some(place) = rest.pop() {
        if !private.iter().any(|path| path.starts_with(&place)) {
            open.push(place);
        } else if !private.contains(&place) {
            // A link opens nothing by being there: where it leads counts.
            let inside = fs::read_dir(&place).into_iter().flatten().flatten();
            let inside = inside.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()));
            rest.extend(inside.map(|entry| entry.path()));
        }
    }
    open
}

/// A rule of which every condition (argument, comparison, value) holds.
fn rule(conditions: &[(u8, SeccompCmpOp, i32)]) -> Result<SeccompRule, String> {
    let condition = |(argument, compare, value): &(u8, SeccompCmpOp, i32)| {
        SeccompCondition::new(*argument, SeccompCmpArgLen::Dword, compare.clone(), u64::from(value.unsigned_abs()))
    };
    let conditions = conditions.iter().map(condition).collect::<Result<_, _>>().map_err(|e| e.to_string())?;
    SeccompRule::new(conditions).map_err(|e| e.to_string())
}

impl PreparedSandbox {
    /// Closes the walls around this process, for good.
    ///
    /// # Errors
    /// Where the kernel refuses: the program must not be run.
    pub(super) fn enter(&mut self) -> io::Result<()> {
        // Where memory runs out, this goes before anybody else's work.
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

/// What this machine can do: what it is for, whether it can, and what it would need.
#[must_use]
pub fn kernel_support() -> [(&'static str, bool, &'static str); 3] {
    let has = |abi: ABI| {
        let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        let ruleset = ruleset.handle_access(AccessFs::from_all(abi));
        let ruleset = ruleset.and_then(|r| if abi < ABI::V6 { Ok(r) } else { r.scope(Scope::from_all(abi)) });
        ruleset.and_then(Ruleset::create).is_ok()
    };
    let filters = Sandbox::default().filters().is_ok() && std::path::Path::new("/proc/sys/kernel/seccomp").exists();
    [
        ("programs reach only the files that are theirs", has(LEAST), "Linux 6.2 with Landlock"),
        ("programs signal and trace nobody outside", has(WANTED), "Linux 6.12 with Landlock"),
        ("programs have no network and no dangerous system calls", filters, "seccomp on x86-64, arm64 or riscv64"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walls_are_handed_over_with_any_path() {
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
        assert!(!Sandbox::default().to_bytes().is_empty(), "nothing to read is no walls");
        for torn in [&b""[..], b"1", b"01r/w", b"01x/w\0", b"01\0", b"21"] {
            assert_eq!(Sandbox::from_bytes(torn), None, "{torn:?}");
        }
    }

    #[test]
    fn what_is_private_below_a_place_of_programs_stays_closed() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        for folder in ["opt/app/ws/files", "opt/app/bin", "opt/app/wsx", "opt/other", "usr/lib"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("opt/app/key"), "").unwrap();
        std::os::unix::fs::symlink("app/ws", root.join("opt/link")).unwrap();
        std::os::unix::fs::symlink("opt/app", root.join("bin")).unwrap();
        let open = |places: &[&str], private: &[&str]| {
            let private: Vec<PathBuf> = private.iter().map(|path| root.join(path)).collect();
            let mut open = without(places.iter().map(|place| root.join(place)), &private);
            open.sort();
            open.iter().map(|path| path.strip_prefix(&root).unwrap().display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(open(&["opt", "usr", "gone"], &["home/ann"]), ["opt", "usr"]);
        let rest = ["opt/app/bin", "opt/app/wsx", "opt/other", "usr"];
        assert_eq!(open(&["opt", "usr"], &["opt/app/ws", "opt/app/key"]), rest);
        assert_eq!(open(&["opt"], &["opt/app/ws", "opt/app"]), ["opt/other"]);
        assert_eq!(open(&["opt", "usr"], &["opt"]), ["usr"]);
        assert_eq!(open(&["bin"], &["opt/app/ws", "opt/app/key"]), rest[..2]);
    }

    #[test]
    fn the_filters_compile_with_and_without_a_network() {
        for network in [false, true] {
            let filters = Sandbox { network, ..Sandbox::default() }.filters().unwrap();
            assert!(filters.iter().all(|filter| filter.len() > 4));
        }
    }
}
