//! Namespaces around a sandboxed program, where the kernel lets every user make them. The program then sees only its
//! own processes, and only the files that it may reach: others are absent, not only unreadable. Landlock and seccomp
//! decide about access as without namespaces; this only hides names, and a kernel that refuses loses nothing else.
//!
//! Three processes, all forks of the watcher: the first waits for the second one, which is process 1 of the new
//! namespace, makes the mounts, and collects orphans. The third one becomes the program. When process 1 ends, the
//! kernel kills all others of its namespace.

use super::file_rules;
use crate::process::exit_code;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, open_tree, unmount,
};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions};
use rustix::thread::UnshareFlags;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The folder over which the new root is mounted before it replaces the old one. It is needed by none of the mounts.
const MOUNT_POINT: &str = "/proc";
/// Links of `/dev` that shells use.
const DEVICES: [(&str, &str); 4] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// The files that a program sees.
#[derive(Debug)]
pub(in crate::process) struct View {
    /// Real paths of trees and files. Of one inside another the outer one is enough.
    trees: Vec<PathBuf>,
    /// Links of the system: place and target.
    links: Vec<(PathBuf, PathBuf)>,
    /// The working directory. Outside of all trees it is an empty folder.
    dir: PathBuf,
}

impl View {
    /// A view with these trees and the links of the system.
    pub(in crate::process) fn new(trees: &[String], dir: PathBuf) -> Self {
        let mut trees: Vec<PathBuf> = trees.iter().map(PathBuf::from).collect();
        trees.sort();
        trees.dedup_by(|path, outer| path.starts_with(outer));
        Self { trees, links: file_rules::system_links(), dir }
    }

    /// Puts this forked process into new namespaces. Returns only in the process that becomes the program.
    ///
    /// # Errors
    /// If the kernel refuses. Then this process must not become the program: it may be half-way in.
    pub(in crate::process) fn enter(&self, ruleset: Option<&OwnedFd>) -> io::Result<()> {
        let [user, group] = [rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw()];
        let kinds = UnshareFlags::NEWUSER | UnshareFlags::NEWNS | UnshareFlags::NEWIPC | UnshareFlags::NEWPID;
        #[expect(unsafe_code, reason = "namespaces change what a process is")]
        // SAFETY: unsafe only for FILES, which would separate the descriptors of threads; it is not in `kinds`.
        unsafe {
            rustix::thread::unshare_unsafe(kinds)?;
        }
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
        fs::write("/proc/self/gid_map", format!("{group} {group} 1"))?;
        let (mut is_ready, mut ready) =
            pipe_with(PipeFlags::CLOEXEC).map(|(read, write)| (fs::File::from(read), fs::File::from(write)))?;
        if let Some(first) = fork()? {
            drop(ready);
            if is_ready.read(&mut [0])? == 0 {
                return Err(ErrorKind::PermissionDenied.into());
            }
            wait_and_exit(first);
        }
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        if self.mount(ruleset).and_then(|()| ready.write_all(&[1])).is_err() {
            exit(1);
        }
        drop((is_ready, ready));
        if let Some(program) = fork()? {
            wait_and_exit(program);
        }
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // A signal to its group reaches neither of the two others.
        rustix::process::setpgid(None, None)?;
        Ok(())
    }

    /// Replaces the root of this process by one that contains only the view.
    fn mount(&self, ruleset: Option<&OwnedFd>) -> io::Result<()> {
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        let clone = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE
            | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
        let mut trees = Vec::new();
        for path in &self.trees {
            match open_tree(CWD, path, clone) {
                Ok(tree) => trees.push((path, path.is_dir(), tree)),
                // Access rules leave out such paths, too.
                Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::ACCESS) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let [processes, root] = [file_system("proc", &[])?, file_system("tmpfs", &[("mode", "0755"), ("size", "1m")])?];
        attach(&root, Path::new(MOUNT_POINT))?;
        for (path, is_folder, tree) in trees {
            let place = inside(path);
            if is_folder {
                fs::create_dir_all(&place)?;
            } else {
                place.parent().map_or(Ok(()), fs::create_dir_all)?;
                fs::File::create(&place)?;
            }
            attach(&tree, &place)?;
        }
        let devices = DEVICES.map(|(place, target)| (PathBuf::from(place), PathBuf::from(target)));
        for (place, target) in self.links.iter().chain(&devices) {
            let place = inside(place);
            place.parent().map_or(Ok(()), fs::create_dir_all)?;
            match std::os::unix::fs::symlink(target, place) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        fs::create_dir_all(inside(Path::new("/proc")))?;
        attach(&processes, &inside(Path::new("/proc")))?;
        let _ = fs::create_dir_all(inside(&self.dir));
        std::env::set_current_dir(MOUNT_POINT)?;
        rustix::process::pivot_root(".", ".")?;
        unmount(".", UnmountFlags::DETACH)?;
        std::env::set_current_dir(&self.dir)?;
        // The new /proc is another file than the one that the ruleset names.
        let processes = rustix::fs::open("/proc", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        ruleset.map_or(Ok(()), |ruleset| file_rules::allow_reading(ruleset, &processes))
    }
}

/// A new file system, not yet mounted anywhere.
fn file_system(kind: &str, options: &[(&str, &str)]) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (name, value) in options {
        fsconfig_set_string(&context, *name, *value)?;
    }
    fsconfig_create(&context)?;
    let safe = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, safe)?)
}

fn attach(mount: &OwnedFd, place: &Path) -> io::Result<()> {
    Ok(move_mount(mount, "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// The place of a path below the new root, before it is the root.
fn inside(path: &Path) -> PathBuf {
    Path::new(MOUNT_POINT).join(path.strip_prefix("/").unwrap_or(path))
}

/// Forks this process. `None` in the child.
fn fork() -> io::Result<Option<Pid>> {
    #[expect(unsafe_code, reason = "the processes of a namespace are made before the program is run")]
    // SAFETY: this process is the fork of the watcher, which has one thread: no lock is held by a missing thread, so the
    // child may do everything that a process may.
    let pid = unsafe { libc::fork() };
    if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(Pid::from_raw(pid)) }
}

/// Waits for a child, collects others that end before, and ends this process with the child's exit code.
fn wait_and_exit(child: Pid) -> ! {
    #[expect(unsafe_code, reason = "pipes of the program must end with the program")]
    // SAFETY: this process only waits and then ends without running destructors: it uses no descriptor any more.
    unsafe {
        libc::close_range(0, u32::MAX, 0);
    }
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == child => exit(exit_code(status)),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => exit(1),
        }
    }
}

fn exit(code: i32) -> ! {
    #[expect(unsafe_code, reason = "the exit handlers belong to the watcher")]
    // SAFETY: `_exit` runs nothing of this process, and has no conditions.
    unsafe {
        libc::_exit(code)
    }
}
