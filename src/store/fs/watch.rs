//! Sleeping until a file changes or an instant comes, without polling. A file event is a hint: the
//! one who wakes looks at the folders, also at a slow interval, because the kernel drops events.

use crate::core::event::stamp::{SECOND, Stamp};
use crate::core::fault::{Fault, Kind, Result};
use crate::store::fs::At;
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

/// The longest sleep in seconds: a missed hint costs no more.
const SLOW: i64 = 600;
/// Bytes that are read at once: some hundred events.
const BUFFER: usize = 16 << 10;

/// What is listened for in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchKind {
    /// A file that came, by a rename or a link, or was written and closed.
    Arrivals,
    /// The same, and a file whose mode or owner has changed: it may be readable now.
    Drops,
    /// A lock that was let go of: its holder closed the written descriptor.
    Releases,
    /// Lines that are appended to files that stay open.
    Appends,
    /// Files that a person saves, however an editor does it. The folder may go away; when it has come back, below
    /// one that is watched too, it is watched anew.
    Edits,
    /// The same, in a folder without which nothing goes on.
    Required,
}

impl WatchKind {
    /// Opening and reading is what we do ourselves: the kernel is not even asked for it.
    fn flags(self) -> WatchFlags {
        let gone = WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF;
        let arrivals = WatchFlags::CLOSE_WRITE | WatchFlags::CREATE | WatchFlags::MOVED_TO;
        let edits = arrivals | WatchFlags::DELETE | WatchFlags::MOVED_FROM;
        let heard = match self {
            Self::Edits => return WatchFlags::ONLYDIR | edits,
            Self::Required => edits,
            Self::Arrivals => arrivals,
            Self::Drops => arrivals | WatchFlags::ATTRIB,
            Self::Releases => WatchFlags::CLOSE_WRITE,
            Self::Appends => arrivals | WatchFlags::MODIFY,
        };
        WatchFlags::ONLYDIR | gone | heard
    }
}

/// Something changed in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The folder's place in the list that was given.
    pub folder: usize,
    /// The file's name; without one anything may have changed.
    pub name: Option<String>,
}

/// A folder being watched.
struct WatchedFolder {
    path: PathBuf,
    hears: WatchKind,
    /// The kernel's number of it.
    number: i32,
}

/// Folders being watched, and a timer on the real-time clock.
pub struct Watch {
    kernel: OwnedFd,
    folders: Mutex<Vec<WatchedFolder>>,
    hint: OwnedFd,
    timer: OwnedFd,
    /// When everything is looked at again, whatever was heard meanwhile.
    slow: Mutex<Option<Stamp>>,
}

/// Why a sleeper woke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Woken {
    /// This has changed, in the order in which it did.
    Files(Vec<Change>),
    /// The instant has come, the clock was set, or the slow interval is over.
    Time,
    /// Another descriptor that was given is readable.
    Other,
    /// This folder, which was watched, is gone; nothing can be heard of another one in its place.
    Lost(PathBuf),
}

impl Watch {
    /// Watches these folders (not what is below them).
    ///
    /// # Errors
    /// Where the kernel has no watch left.
    pub fn new(folders: &[(PathBuf, WatchKind)]) -> Result<Self> {
        let kernel = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(unwatchable)?;
        let add = |(path, hears): &(PathBuf, WatchKind)| {
            let number = inotify::add_watch(&kernel, path, hears.flags());
            number.map(|number| WatchedFolder { path: path.clone(), hears: *hears, number })
        };
        let folders = folders.iter().map(add).collect::<std::result::Result<Vec<_>, _>>().map_err(unwatchable)?;
        let hint = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).at("make", Path::new("a bell"))?;
        let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)
            .at("make", Path::new("a timer"))?;
        let folders = Mutex::new(folders);
        Ok(Self { kernel, folders, hint, timer, slow: Mutex::default() })
    }

    /// Watches a folder more, behind the others; one that is watched already keeps its place. One that is not
    /// there is nothing to be heard of.
    pub fn add(&self, folder: &Path, hears: WatchKind) {
        let Ok(number) = inotify::add_watch(&self.kernel, folder, hears.flags()) else { return };
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        match folders.iter_mut().find(|known| known.path == folder) {
            Some(known) => known.number = number,
            None => folders.push(WatchedFolder { path: folder.to_path_buf(), hears, number }),
        }
    }

    /// Watches those anew that went away and have come back; anything may have changed in them.
    fn renew(&self, folders: &mut [WatchedFolder]) -> Vec<Change> {
        let mut renewed = Vec::new();
        for (at, folder) in folders.iter_mut().enumerate().filter(|(_, folder)| folder.hears == WatchKind::Edits) {
            let number = inotify::add_watch(&self.kernel, &folder.path, folder.hears.flags());
            if let Ok(number) = number
                && number != folder.number
            {
                folder.number = number;
                renewed.push(Change { folder: at, name: None });
            }
        }
        renewed
    }

    /// Wakes the sleeper, so that it asks again until when it may sleep.
    pub fn wake(&self) {
        let _ = rustix::io::write(&self.hint, &1u64.to_ne_bytes());
    }

    /// Everything that the kernel has to tell.
    fn changes(&self) -> Woken {
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut reader = inotify::Reader::new(&self.kernel, &mut buffer);
        let mut changes = Vec::new();
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let place = |folders: &[WatchedFolder], number| folders.iter().position(|folder| folder.number == number);
        let mut has_folder = false;
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                Err(_) => break,
            };
            let (what, at) = (event.events(), place(&folders, event.wd()));
            if what.intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF) {
                if let Some(gone) = at.and_then(|at| folders.get(at)) {
                    return Woken::Lost(gone.path.clone());
                }
            } else if what.contains(ReadFlags::QUEUE_OVERFLOW) {
                has_folder = true;
                changes.extend((0..folders.len()).map(|folder| Change { folder, name: None }));
            } else {
                has_folder |= what.contains(ReadFlags::ISDIR);
                let name = event.file_name().and_then(|name| name.to_str().ok()).map(ToOwned::to_owned);
                changes.extend(at.map(|folder| Change { folder, name }));
            }
        }
        if has_folder {
            changes.extend(self.renew(&mut folders));
        }
        Woken::Files(changes)
    }

    /// Sleeps until a file changes, `until` comes, the clock is set, or `other` is readable.
    ///
    /// # Errors
    /// Where the kernel refuses to wait.
    pub fn wait(&self, now: Stamp, until: Option<Stamp>, other: Option<BorrowedFd>) -> Result<Woken> {
        let mut next = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is further away was reckoned before the clock was set back.
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
        let value = Itimerspec { it_interval: spec(0), it_value: spec(due.0.max(1)) };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        match timerfd_settime(&self.timer, flags, &value) {
            Ok(_) => {}
            // It is set, and the clock was too since the timer was set last (timerfd_create(2), notes).
            Err(Errno::CANCELED) => return Ok(Woken::Time),
            Err(e) => return Err(e).at("set", Path::new("a timer")),
        }
        let mut fds = [&self.kernel, &self.hint, &self.timer].map(|fd| PollFd::new(fd, PollFlags::IN)).to_vec();
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
            let _ = rustix::io::read(&self.hint, &mut count);
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
    fn a_clock_that_is_set_back_does_not_put_off_the_slow_look() {
        let watch = Watch::new(&[]).unwrap();
        let slow = || *watch.slow.lock().unwrap();
        let (then, now) = (Stamp(4_000_000_000 * SECOND), Stamp(1_800_000_000 * SECOND));
        for at in [then, now] {
            // What is due in 1970 wakes at once.
            assert_eq!(watch.wait(at, Some(Stamp(0)), None).unwrap(), Woken::Time);
            assert_eq!(slow(), Some(at.plus_seconds(SLOW)));
        }
        watch.wait(now.plus_seconds(SLOW - 1), Some(Stamp(0)), None).unwrap();
        assert_eq!(slow(), Some(now.plus_seconds(SLOW)), "what is heard meanwhile does not put it off either");
    }

    #[test]
    fn a_folder_that_comes_back_is_watched_anew_and_one_that_must_stay_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let [top, below] = ["top", "top/below"].map(|name| dir.path().join(name));
        let make = || fs::create_dir_all(&below).unwrap();
        make();
        let watch = Watch::new(&[(top.clone(), WatchKind::Required), (below.clone(), WatchKind::Edits)]).unwrap();
        let hears = |what: Change| match watch.wait(Stamp(0), None, None).unwrap() {
            Woken::Files(changes) => assert!(changes.contains(&what), "{changes:?}"),
            other => panic!("{other:?}"),
        };
        let came = |name: &str| Change { folder: 1, name: Some(name.to_owned()) };
        for name in ["a", "b"] {
            fs::write(below.join(name), "").unwrap();
            hears(came(name));
            fs::remove_dir_all(&below).unwrap();
            hears(Change { folder: 0, name: Some("below".to_owned()) });
            make();
            fs::write(below.join("unheard"), "").unwrap();
            hears(Change { folder: 1, name: None });
        }
        fs::rename(&top, dir.path().join("elsewhere")).unwrap();
        assert_eq!(watch.wait(Stamp(0), None, None).unwrap(), Woken::Lost(top));
    }
}
