//! The Landlock ruleset of a sandbox: files, TCP, signals and abstract sockets.

use super::Sandbox;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;
use std::cell::Cell;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The oldest version that confines writes: before it (Linux 6.2) a program can truncate files it may not write.
pub(super) const LEAST: ABI = ABI::V3;
/// The version that also confines signals and abstract sockets (Linux 6.12).
pub(super) const WANTED: ABI = ABI::V6;

/// System files that every program may read and run.
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

/// Readable and writable.
const NULL: &str = "/dev/null";
const PROC: &str = "/proc";

impl Sandbox {
    /// The system's files without private paths.
    pub(super) fn system(&self) -> Vec<PathBuf> {
        without(SYSTEM.iter().map(PathBuf::from), &self.private)
    }

    /// All paths that a program sees, except for links; `/proc` is the namespace's own. Empty where one is not UTF-8:
    /// an argument of the watcher cannot carry it.
    pub(super) fn visible(&self, system: Vec<PathBuf>) -> Vec<String> {
        let own = [&self.read, &self.write, &self.list].into_iter().flatten().cloned();
        let all = system.into_iter().chain([PathBuf::from(NULL)]).chain(own).filter(|path| path != Path::new(PROC));
        all.map(|path| path.into_os_string().into_string().ok()).collect::<Option<_>>().unwrap_or_default()
    }

    /// The ruleset of this sandbox, with `system` from [`Sandbox::system`]. Without `is_required` it contains the rules that the kernel supports. The first
    /// error of the machine is left in `failed`.
    pub(super) fn ruleset(
        &self,
        system: &[PathBuf],
        failed: &Cell<Option<Errno>>,
    ) -> Result<RulesetCreated, RulesetError> {
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
            .add_rules(rules(system, read, failed))?
            .add_rules(rules(&[PathBuf::from(NULL)], null, failed))?
            .add_rules(rules(&self.list, AccessFs::ReadDir.into(), failed))?
            .add_rules(rules(&self.read, read, failed))?
            .add_rules(rules(&self.write, write, failed))
    }
}

/// A rule for each path that exists, opened one at a time. A link in a path gets no rule: it was put there after the
/// path was resolved.
fn rules(
    paths: &[PathBuf],
    access: BitFlags<AccessFs>,
    failed: &Cell<Option<Errno>>,
) -> impl Iterator<Item = Result<PathBeneath<OwnedFd>, RulesetError>> {
    paths.iter().filter_map(move |path| {
        let place = match open(path) {
            Ok(place) => place,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS | Errno::PERM | Errno::NAMETOOLONG) => {
                return None;
            }
            Err(error) => {
                failed.set(failed.get().or(Some(error)));
                return None;
            }
        };
        let is_folder = fstat(&place).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir());
        let access = if is_folder { access } else { access & AccessFs::from_file(WANTED) };
        Some(Ok(PathBeneath::new(place, access)))
    })
}

/// The links among the paths of system files, such as `/bin`: place and target.
pub(super) fn system_links() -> Vec<(PathBuf, PathBuf)> {
    let first = |path: &&str| {
        let mut places: Vec<&Path> = Path::new(path).ancestors().collect();
        places.reverse();
        places.into_iter().find_map(|place| Some((place.to_owned(), fs::read_link(place).ok()?)))
    };
    SYSTEM.iter().filter_map(first).collect()
}

/// Adds a rule to a ruleset: everything below `folder` may be read and run.
///
/// # Errors
/// That of the kernel.
pub(super) fn allow_reading(ruleset: &OwnedFd, folder: &OwnedFd) -> io::Result<()> {
    /// `struct landlock_path_beneath_attr` of linux/landlock.h.
    #[repr(C, packed)]
    struct PathBeneathAttribute {
        allowed_access: u64,
        parent_fd: i32,
    }
    const PATH_BENEATH: libc::c_int = 1;
    // The first version has these, and every ruleset of ours handles them.
    let allowed_access = AccessFs::from_read(ABI::V1).bits();
    let rule = PathBeneathAttribute { allowed_access, parent_fd: folder.as_raw_fd() };
    #[expect(unsafe_code, reason = "the library adds rules only to a ruleset that this process has made")]
    // SAFETY: both descriptors are open during the call because they are borrowed, and the kernel only reads `rule`,
    // which has the layout that it expects for this type of rule.
    let result =
        unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset.as_raw_fd(), PATH_BENEATH, &raw const rule, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Confines this process to a Landlock ruleset for good.
///
/// # Errors
/// If the kernel refuses: the program must not be run.
pub(in crate::process) fn restrict(ruleset: &OwnedFd) -> io::Result<()> {
    #[expect(unsafe_code, reason = "the library confines only by a ruleset that this process has made")]
    // SAFETY: the descriptor stays open during the call because `ruleset` is borrowed; the call takes two integers and
    // touches no memory of ours.
    let result = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Opens the place at a real path; `LOOP` if a part of it is a link.
fn open(path: &Path) -> rustix::io::Result<OwnedFd> {
    openat2(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::NO_SYMLINKS)
}

/// Whether this kernel supports Landlock at version `abi`.
pub(super) fn is_supported(abi: ABI) -> bool {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let ruleset = ruleset.handle_access(AccessFs::from_all(abi));
    let ruleset = ruleset.and_then(|r| if abi < ABI::V6 { Ok(r) } else { r.scope(Scope::from_all(abi)) });
    ruleset.and_then(Ruleset::create).is_ok()
}

/// `places` without the private paths below them. A Landlock rule opens a whole tree, and no later rule closes a part
/// of it. So a folder above a private path gets no rule, and its other entries of this moment get one each.
fn without(places: impl Iterator<Item = PathBuf>, private: &[PathBuf]) -> Vec<PathBuf> {
    let mut open = Vec::new();
    let mut rest: Vec<PathBuf> = places.filter_map(|place| fs::canonicalize(place).ok()).collect();
    while let Some(place) = rest.pop() {
        if !private.iter().any(|path| path.starts_with(&place)) {
            open.push(place);
        } else if !private.contains(&place) {
            // A link gets no rule: its target is judged at its own path.
            let inside = fs::read_dir(&place).into_iter().flatten().flatten();
            let inside = inside.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()));
            rest.extend(inside.map(|entry| entry.path()));
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An agent may have put it there after the path was resolved.
    #[test]
    fn path_with_a_link_in_it_gets_no_rule() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir_all(root.join("real/below")).unwrap();
        fs::write(root.join("real/file"), "").unwrap();
        std::os::unix::fs::symlink("real", root.join("link")).unwrap();
        std::os::unix::fs::symlink("file", root.join("real/name")).unwrap();
        let failed = Cell::new(None);
        let count = |path: &str| rules(&[root.join(path)], AccessFs::from_all(WANTED), &failed).count();
        assert_eq!(["real", "real/below", "real/file"].map(count), [1; 3]);
        assert_eq!(["link", "link/below", "link/file", "real/name", "gone", "real/file/x"].map(count), [0; 6]);
        assert_eq!(failed.get(), None, "none of these is an error of the machine");
        // The same path, before and after the folder was exchanged for a link.
        let below = root.join("real/below");
        fs::remove_dir(&below).unwrap();
        std::os::unix::fs::symlink("..", &below).unwrap();
        assert_eq!(count("real/below"), 0);
    }

    #[test]
    fn private_paths_below_a_system_folder_stay_closed() {
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
}
