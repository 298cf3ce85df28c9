//! Real file systems in images, and power cuts on them: the shutdown ioctl of ext4 and XFS, after which
//! nothing reaches the disk, not even the part of the journal that is still in memory.
//!
//! The mounts are made in a mount namespace of the test's own thread: they end with the thread, however the
//! test ends, and so do the loop devices.

use nix::sched::{CloneFlags, unshare};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A kind of file system.
#[derive(Debug)]
pub struct Kind {
    pub name: &'static str,
    mkfs: &'static [&'static str],
    megabytes: u64,
    /// Nothing is written by chance: the journal is committed by a sync, or after an hour.
    options: &'static str,
}

/// mkfs creates everything; the kernel creates nothing later.
const EAGER: &str = "lazy_itable_init=0,lazy_journal_init=0";

pub const KINDS: [Kind; 3] = [
    Kind {
        name: "ext4",
        mkfs: &["mkfs.ext4", "-q", "-F", "-E", EAGER],
        megabytes: 64,
        options: "loop,noatime,commit=3600",
    },
    Kind {
        name: "ext4, data=writeback",
        mkfs: &["mkfs.ext4", "-q", "-F", "-E", EAGER],
        megabytes: 64,
        options: "loop,noatime,commit=3600,data=writeback,noauto_da_alloc",
    },
    Kind { name: "XFS", mkfs: &["mkfs.xfs", "-q", "-f"], megabytes: 320, options: "loop,noatime" },
];

/// Gives the calling thread, and its children, mounts that no other process sees.
///
/// # Errors
/// The reason why that is not possible.
pub fn own_mounts() -> Result<(), String> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(|e| format!("no mounts of our own: {e}"))?;
    run("mount", &["--make-rprivate", "/"])
}

/// A mounted image; unmounted when dropped.
#[derive(Debug)]
pub struct Image {
    kind: &'static Kind,
    file: PathBuf,
    /// Where it is mounted.
    pub dir: PathBuf,
}

impl Image {
    /// Makes the image beside its mount point in the folder `home`.
    ///
    /// # Errors
    /// The feature that this machine lacks.
    pub fn new(kind: &'static Kind, home: &Path) -> Result<Self, String> {
        let image = Self { kind, file: home.join("image"), dir: home.join("disk") };
        fs::create_dir(&image.dir).unwrap();
        File::create(&image.file).unwrap().set_len(kind.megabytes << 20).unwrap();
        let [mkfs, arguments @ ..] = kind.mkfs else { unreachable!() };
        let mut arguments = arguments.to_vec();
        arguments.push(image.file.to_str().unwrap());
        run(mkfs, &arguments)?;
        image.mount()?;
        Ok(image)
    }

    fn mount(&self) -> Result<(), String> {
        run("mount", &["-o", self.kind.options, self.file.to_str().unwrap(), self.dir.to_str().unwrap()])
    }

    /// Syncs all files.
    pub fn sync(&self) {
        rustix::fs::syncfs(File::open(&self.dir).unwrap()).unwrap();
    }

    /// Commits the journal, as a sync of an unrelated file does at any time: names become durable that no
    /// process here has synced, and the data behind them does not.
    pub fn commit_journal(&self) {
        File::create(self.dir.join("other")).unwrap().sync_all().unwrap();
    }

    /// After this call nothing reaches the disk, and every call fails.
    pub fn cut_power(&self) {
        // linux/fs.h, _IOR('X', 125, __u32); 2 means: without flushing the log.
        const GOINGDOWN: libc::Ioctl = libc::_IOR::<u32>(b'X' as u32, 125);
        let (disk, how) = (File::open(&self.dir).unwrap(), 2_u32);
        #[expect(unsafe_code, reason = "no safe interface to this ioctl exists")]
        // SAFETY: the descriptor is open while `disk` lives; ext4 and XFS, the only kinds there are,
        // read one u32 through the pointer during the call, and `how` outlives it.
        let result = unsafe { libc::ioctl(disk.as_raw_fd(), GOINGDOWN, &raw const how) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }

    /// Power returns: the journal is replayed.
    pub fn restart(&self) {
        // A program that another thread is starting holds our descriptors until its exec.
        let end = Instant::now() + Duration::from_secs(10);
        while let Err(why) = run("umount", &[self.dir.to_str().unwrap()]) {
            assert!(Instant::now() < end, "{why}");
        }
        self.mount().unwrap();
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let dir = self.dir.to_str().unwrap();
        // After a failure, a process that still has a file open is killed with its tracer; then the unmount works.
        let _ = run("umount", &[dir]).or_else(|_| run("umount", &["--lazy", dir]));
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let ran = Command::new(program).args(arguments).env("PATH", path).output();
    match ran {
        Ok(ran) if ran.status.success() => Ok(()),
        Ok(ran) => Err(format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr).trim())),
        Err(e) => Err(format!("{program}: {e}")),
    }
}
