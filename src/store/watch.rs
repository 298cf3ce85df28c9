//! Sleeping until a file changes or an instant comes, without polling. A file event is a hint: the
//! one who wakes looks at the folders, also at a slow interval, because the kernel drops events.

use crate::core::fault::{Fault, Kind, Result};
use crate::core::stamp::{SECOND, Stamp};
use crate::store::At;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The longest sleep in seconds: a missed hint costs no more.
const SLOW: i64 = 600;
/// More changes than this that nobody has fetched are one change of everything.
const MANY: usize = 4096;

/// What is listened for in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hears {
    /// A file that came, by a rename or a link, or was written and closed.
    Arrivals,
    /// A lock that was let go of: its holder closed the written descriptor.
    Releases,
    /// Lines that are appended to files that stay open.
    Lines,
}

/// Something changed in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The folder's place in the list that was given.
    pub folder: usize,
    /// The file's name; without one anything may have changed.
    pub name: Option<String>,
}

/// Folders being watched, and a timer on the real-time clock.
pub struct Watch {
    _watcher: RecommendedWatcher,
    heard: Arc<Heard>,
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
    /// A folder that was watched is gone; nothing can be heard of another one in its place.
    Lost,
}

/// What the watcher's thread has heard and the sleeper has not fetched.
struct Heard {
    bell: OwnedFd,
    folders: Vec<(PathBuf, Hears)>,
    news: Mutex<News>,
}

#[derive(Default)]
struct News {
    changes: Vec<Change>,
    is_lost: bool,
}

impl Heard {
    fn hear(&self, event: notify::Result<notify::Event>) {
        let mut news = self.news();
        match event {
            Ok(event) if !event.need_rescan() => {
                let is_gone = matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
                if is_gone && event.paths.iter().any(|path| self.folders.iter().any(|(folder, _)| folder == path)) {
                    news.is_lost = true;
                }
                for path in &event.paths {
                    let folder = self.folders.iter().position(|(dir, _)| path.parent() == Some(dir));
                    let name = path.file_name().and_then(|name| name.to_str()).map(ToOwned::to_owned);
                    news.changes.extend(
                        folder.filter(|n| tells(event.kind, self.folders[*n].1)).map(|folder| Change { folder, name }),
                    );
                }
                if news.changes.len() > MANY {
                    news.changes = self.everything();
                }
            }
            _ => news.changes = self.everything(),
        }
        if news.is_lost || !news.changes.is_empty() {
            self.ring();
        }
    }

    fn everything(&self) -> Vec<Change> {
        (0..self.folders.len()).map(|folder| Change { folder, name: None }).collect()
    }

    fn ring(&self) {
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }

    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Watches these folders (not what is below them).
    ///
    /// # Errors
    /// Where the kernel has no watch left.
    pub fn new(folders: Vec<(PathBuf, Hears)>) -> Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).at("watch", Path::new("files"))?;
        let heard = Arc::new(Heard { bell, folders, news: Mutex::default() });
        let ear = Arc::clone(&heard);
        let mut watcher = notify::recommended_watcher(move |event| ear.hear(event)).map_err(|e| unwatchable(&e))?;
        for (folder, _) in &heard.folders {
            watcher.watch(folder, RecursiveMode::NonRecursive).map_err(|e| unwatchable(&e))?;
        }
        let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)
            .at("make", Path::new("a timer"))?;
        Ok(Self { _watcher: watcher, heard, timer, slow: Mutex::default() })
    }

    /// Wakes the sleeper, so that it asks again until when it may sleep.
    pub fn nudge(&self) {
        self.heard.ring();
    }

    /// Sleeps until a file changes, `until` comes, the clock is set, or `other` is readable.
    ///
    /// # Errors
    /// Where the kernel refuses to wait.
    pub fn wait(&self, now: Stamp, until: Option<Stamp>, other: Option<BorrowedFd>) -> Result<Woken> {
        let mut next = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        let slow = *next.get_or_insert(now.plus_seconds(SLOW));
        if slow <= now {
            *next = None;
            return Ok(Woken::Time);
        }
        drop(next);
        let due = until.map_or(slow, |until| until.min(slow));
        let spec =
            |micros: i64| Timespec { tv_sec: micros.div_euclid(SECOND), tv_nsec: micros.rem_euclid(SECOND) * 1000 };
        let value = Itimerspec { it_interval: spec(0), it_value: spec(due.0.max(1)) };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(&self.timer, flags, &value).at("set", Path::new("a timer"))?;
        let mut fds = vec![PollFd::new(&self.heard.bell, PollFlags::IN), PollFd::new(&self.timer, PollFlags::IN)];
        fds.extend(other.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e).at("wait for", Path::new("files")),
        }
        let is_ready = |n: usize| fds.get(n).is_some_and(|fd| !fd.revents().is_empty());
        if is_ready(2) {
            return Ok(Woken::Other);
        }
        if is_ready(0) {
            let mut count = [0u8; 8];
            let _ = rustix::io::read(&self.heard.bell, &mut count);
            let news = std::mem::take(&mut *self.heard.news());
            return Ok(if news.is_lost { Woken::Lost } else { Woken::Files(news.changes) });
        }
        Ok(Woken::Time)
    }
}

/// Opening and reading is what we do ourselves, and tells nobody anything.
fn tells(kind: EventKind, hears: Hears) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => hears != Hears::Releases,
        EventKind::Modify(ModifyKind::Data(_)) => hears == Hears::Lines,
        _ => false,
    }
}

fn unwatchable(error: &notify::Error) -> Fault {
    Fault::new(Kind::Machine, format!("cannot watch files: {error}"))
        .hint("raise fs.inotify.max_user_watches or fs.inotify.max_user_instances")
}
