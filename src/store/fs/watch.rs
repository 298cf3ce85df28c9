//! Waiting for file changes (inotify) and for an instant (timerfd), without polling. A file event is only a hint: the
//! caller lists the folders itself, and also at a slow interval, because the kernel drops events.

use crate::core::event::stamp::{SECOND, Stamp};
use crate::core::fault::{Fault, Kind, Result};
use crate::store::fs::At;
use crate::world::World;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The longest wait in seconds, which bounds the delay after a lost event.
const SLOW: i64 = 600;
/// Size of the read buffer in bytes: some hundred events.
const BUFFER: usize = 16 << 10;

/// The kind of changes that are watched in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchKind {
    /// A file that was renamed or linked into the folder, or written and closed.
    Arrivals,
    /// As `Arrivals`, and a file whose mode or owner has changed: it may be readable now.
    Drops,
    /// A released lock: its holder closed the writable descriptor.
    Releases,
    /// As `Arrivals`, and data appended to files that stay open.
    Appends,
    /// Files that a person saves, by any method that editors use. The folder may be removed; when it is created again
    /// below another watched folder, it is watched again.
    Edits,
    /// As `Edits`, in a folder that must stay: its removal is reported as [`Woken::Lost`].
    Required,
}

impl WatchKind {
    /// The inotify flags. Opens and reads are not among them: this process does those itself.
    fn flags(self) -> WatchFlags {
        let gone = WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF;
        let arrivals = WatchFlags::CLOSE_WRITE | WatchFlags::CREATE | WatchFlags::MOVED_TO;
        let edits = arrivals | WatchFlags::DELETE | WatchFlags::MOVED_FROM;
        let changes = match self {
            Self::Edits => return WatchFlags::ONLYDIR | edits,
            Self::Required => edits,
            Self::Arrivals => arrivals,
            Self::Drops => arrivals | WatchFlags::ATTRIB,
            Self::Releases => WatchFlags::CLOSE_WRITE,
            Self::Appends => arrivals | WatchFlags::MODIFY,
        };
        WatchFlags::ONLYDIR | gone | changes
    }
}

/// A change in a watched folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Index of the folder, in the order in which the folders were added.
    pub folder: usize,
    /// The file's name; `None` if any file in the folder may have changed.
    pub name: Option<String>,
}

/// A watched folder.
struct WatchedFolder {
    path: PathBuf,
    kind: WatchKind,
    /// The inotify watch descriptor.
    number: i32,
}

/// Watched folders, and a timer on the real-time clock.
pub struct Watch {
    inotify: OwnedFd,
    folders: Mutex<Vec<WatchedFolder>>,
    /// An eventfd, by which [`Watch::wake`] interrupts a wait.
    wake_fd: OwnedFd,
    timer: OwnedFd,
    /// The watch descriptor and the name of the file that sets the clock in tests.
    clock: Mutex<Option<(i32, String)>>,
    /// When the slow interval ends. File events do not put it off.
    slow: Mutex<Option<Stamp>>,
}

/// Why a wait has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Woken {
    /// These changes, in the order in which they happened.
    Files(Vec<Change>),
    /// The instant has come, the clock was set, or the slow interval has ended.
    Time,
    /// The caller's other descriptor is readable.
    Other,
    /// This watched folder was removed or renamed. A new folder at its path is not watched.
    Lost(PathBuf),
}

impl Watch {
    /// Watches these folders, not the folders below them.
    ///
    /// # Errors
    /// If the limit on inotify watches or instances is reached, or a folder is missing.
    pub fn new(folders: &[(PathBuf, WatchKind)]) -> Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(unwatchable)?;
        let add = |(path, kind): &(PathBuf, WatchKind)| {
            let number = inotify::add_watch(&inotify, path, kind.flags());
            number.map(|number| WatchedFolder { path: path.clone(), kind: *kind, number })
        };
        let folders = folders.iter().map(add).collect::<std::result::Result<Vec<_>, _>>().map_err(unwatchable)?;
        let wake_fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).at("make", Path::new("an eventfd"))?;
        let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)
            .at("make", Path::new("a timer"))?;
        let folders = Mutex::new(folders);
        Ok(Self { inotify, folders, wake_fd, timer, clock: Mutex::default(), slow: Mutex::default() })
    }

    /// Watches another folder. Its index follows the others; a folder that is watched already keeps its index. A
    /// missing folder is ignored.
    pub fn add(&self, folder: &Path, kind: WatchKind) {
        let Ok(number) = inotify::add_watch(&self.inotify, folder, kind.flags()) else { return };
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        match folders.iter_mut().find(|known| known.path == folder) {
            Some(known) => known.number = number,
            None => folders.push(WatchedFolder { path: folder.to_path_buf(), kind, number }),
        }
    }

    /// Watches folders again that were removed and created again; any file in them may have changed.
    fn renew(&self, folders: &mut [WatchedFolder]) -> Vec<Change> {
        let mut renewed = Vec::new();
        for (at, folder) in folders.iter_mut().enumerate().filter(|(_, folder)| folder.kind == WatchKind::Edits) {
            let number = inotify::add_watch(&self.inotify, &folder.path, folder.kind.flags());
            if let Ok(number) = number
                && number != folder.number
            {
                folder.number = number;
                renewed.push(Change { folder: at, name: None });
            }
        }
        renewed
    }

    /// Watches the file that sets the clock in tests, if there is one.
    fn watch_clock(&self, world: &World) {
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = world.clock_file().filter(|_| clock.is_none()) else { return };
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // The folder may be watched for other changes too.
        let flags = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::DELETE | WatchFlags::MASK_ADD;
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        *clock = inotify::add_watch(&self.inotify, folder, flags).ok().map(|number| (number, name));
    }

    /// Ends a wait in another thread, so that it computes its next instant again.
    pub fn wake(&self) {
        let _ = rustix::io::write(&self.wake_fd, &1u64.to_ne_bytes());
    }

    /// Reads all pending inotify events.
    fn changes(&self) -> Woken {
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        let mut changes = Vec::new();
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let index = |folders: &[WatchedFolder], number| folders.iter().position(|folder| folder.number == number);
        let mut has_folder = false;
        let clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_clock =
            |number, name: Option<&str>| clock.as_ref().is_some_and(|(own, n)| *own == number && name == Some(n));
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                Err(_) => break,
            };
            let (events, at) = (event.events(), index(&folders, event.wd()));
            if events.intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF) {
                if let Some(gone) = at.and_then(|at| folders.get(at)) {
                    return Woken::Lost(gone.path.clone());
                }
            } else if events.contains(ReadFlags::QUEUE_OVERFLOW)
                || is_clock(event.wd(), event.file_name().and_then(|name| name.to_str().ok()))
            {
                has_folder = true;
                changes.extend((0..folders.len()).map(|folder| Change { folder, name: None }));
            } else {
                has_folder |= events.contains(ReadFlags::ISDIR);
                let name = event.file_name().and_then(|name| name.to_str().ok()).map(ToOwned::to_owned);
                changes.extend(at.map(|folder| Change { folder, name }));
            }
        }
        if has_folder {
            changes.extend(self.renew(&mut folders));
        }
        Woken::Files(changes)
    }

    /// Waits until a file changes, `until` comes, the clock is set, or `other` is readable.
    ///
    /// # Errors
    /// If the timer cannot be set or poll fails.
    pub fn wait(&self, world: &World, until: Option<Stamp>, other: Option<BorrowedFd>) -> Result<Woken> {
        self.watch_clock(world);
        let now = world.now();
        let mut next = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        // An instant further away was computed before the clock was set back.
        let latest = now.plus_seconds(SLOW);
        let slow = next.map_or(latest, |slow| slow.min(latest));
        *next = Some(slow).filter(|slow| *slow > now);
        if next.is_none() {
            return Ok(Woken::Time);
        }
        drop(next);
        let due = until.map_or(slow, |until| until.min(slow));
        let spec =
            |micros: i64| Timespec { tv_sec: micros.div_euclid(SECOND), tv_nsec: micros.rem_euclid(SECOND) * 1000 };
        let value = Itimerspec { it_interval: spec(0), it_value: spec(world.alarm(due).0.max(1)) };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        match timerfd_settime(&self.timer, flags, &value) {
            Ok(_) => {}
            // The timer is set; the clock was set since the last call (timerfd_create(2), notes).
            Err(Errno::CANCELED) => return Ok(Woken::Time),
            Err(e) => return Err(e).at("set", Path::new("a timer")),
        }
        let mut fds = [&self.inotify, &self.wake_fd, &self.timer].map(|fd| PollFd::new(fd, PollFlags::IN)).to_vec();
        fds.extend(other.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e).at("wait for", Path::new("files")),
        }
        let is_ready = |n: usize| fds.get(n).is_some_and(|fd| !fd.revents().is_empty());
        if is_ready(3) {
            return Ok(Woken::Other);
        }
        if is_ready(1) {
            let mut count = [0u8; 8];
            let _ = rustix::io::read(&self.wake_fd, &mut count);
        }
        Ok(if is_ready(0) || is_ready(1) { self.changes() } else { Woken::Time })
    }
}

fn unwatchable(error: Errno) -> Fault {
    Fault::new(Kind::Machine, format!("cannot watch files: {error}"))
        .hint("raise fs.inotify.max_user_watches or fs.inotify.max_user_instances")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn clock_set_back_does_not_delay_the_slow_interval() {
        let watch = Watch::new(&[]).unwrap();
        let slow = || *watch.slow.lock().unwrap();
        let at = |now: Stamp| World::real().unwrap().at(now);
        let (then, now) = (Stamp(4_000_000_000 * SECOND), Stamp(1_800_000_000 * SECOND));
        for instant in [then, now] {
            // An instant of 1970 ends the wait at once.
            assert_eq!(watch.wait(&at(instant), Some(Stamp(0)), None).unwrap(), Woken::Time);
            assert_eq!(slow(), Some(instant.plus_seconds(SLOW)));
        }
        watch.wait(&at(now.plus_seconds(SLOW - 1)), Some(Stamp(0)), None).unwrap();
        assert_eq!(slow(), Some(now.plus_seconds(SLOW)), "nor does an earlier wake");
    }

    #[test]
    fn recreated_folder_is_watched_again_and_a_removed_required_folder_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let [top, below] = ["top", "top/below"].map(|name| dir.path().join(name));
        let make = || fs::create_dir_all(&below).unwrap();
        let world = World::real().unwrap();
        make();
        let watch = Watch::new(&[(top.clone(), WatchKind::Required), (below.clone(), WatchKind::Edits)]).unwrap();
        let expect = |change: Change| match watch.wait(&world, None, None).unwrap() {
            Woken::Files(changes) => assert!(changes.contains(&change), "{changes:?}"),
            other => panic!("{other:?}"),
        };
        let created = |name: &str| Change { folder: 1, name: Some(name.to_owned()) };
        for name in ["a", "b"] {
            fs::write(below.join(name), "").unwrap();
            expect(created(name));
            fs::remove_dir_all(&below).unwrap();
            expect(Change { folder: 0, name: Some("below".to_owned()) });
            make();
            fs::write(below.join("unwatched"), "").unwrap();
            expect(Change { folder: 1, name: None });
        }
        fs::rename(&top, dir.path().join("elsewhere")).unwrap();
        assert_eq!(watch.wait(&world, None, None).unwrap(), Woken::Lost(top));
    }
}
