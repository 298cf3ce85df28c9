//! Sleeping until a file changes or an instant comes, without polling. A file event is a hint: the
//! one who wakes looks at the folders, also at a slow interval, because the kernel drops events.

use crate::core::fault::{Fault, Kind, Result};
use crate::core::stamp::{SECOND, Stamp};
use crate::store::At;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The longest sleep in seconds: a missed hint costs no more.
const SLOW: i64 = 600;

/// Folders being watched, and a timer on the real-time clock.
pub struct Watch {
    _watcher: RecommendedWatcher,
    hint: Arc<OwnedFd>,
    timer: OwnedFd,
    changed: Arc<Mutex<Vec<usize>>>,
    is_lost: Arc<AtomicBool>,
    /// When everything is looked at again, whatever was heard meanwhile.
    slow: Mutex<Option<Stamp>>,
}

/// Why a sleeper woke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Something changed in these folders (their places in the list that was given).
    Files(Vec<usize>),
    /// The instant has come, the clock was set, or the slow interval is over.
    Time,
    /// Another descriptor that was given is readable.
    Other,
    /// A folder that was watched is gone; nothing can be heard of another one in its place.
    Lost,
}

impl Watch {
    /// Watches these folders (not what is below them).
    ///
    /// # Errors
    /// Where the kernel has no watch left.
    pub fn new(folders: &[&Path]) -> Result<Self> {
        let hint =
            Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).at("watch", Path::new("files"))?);
        let changed = Arc::new(Mutex::new(Vec::new()));
        let (bell, list) = (Arc::clone(&hint), Arc::clone(&changed));
        let is_lost = Arc::new(AtomicBool::new(false));
        let gone = Arc::clone(&is_lost);
        let owned: Vec<_> = folders.iter().map(|p| p.to_path_buf()).collect();
        let is_lock: Vec<bool> = owned.iter().map(|p| p.parent().is_some_and(|p| p.ends_with(".claw/locks"))).collect();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let mut touched = Vec::new();
            match &event {
                Ok(event) if event.need_rescan() => touched.extend(0..owned.len()),
                Ok(event) => {
                    let is_gone = matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
                    if is_gone && event.paths.iter().any(|path| owned.contains(path)) {
                        gone.store(true, Ordering::Relaxed);
                        let _ = rustix::io::write(&*bell, &1u64.to_ne_bytes());
                    }
                    for path in &event.paths {
                        let folder = owned.iter().position(|dir| path.parent() == Some(dir));
                        touched.extend(folder.filter(|n| tells(event.kind, is_lock[*n])));
                    }
                }
                Err(_) => touched.extend(0..owned.len()),
            }
            if touched.is_empty() {
                return;
            }
            list.lock().unwrap_or_else(PoisonError::into_inner).extend(touched);
            let _ = rustix::io::write(&*bell, &1u64.to_ne_bytes());
        })
        .map_err(|e| unwatchable(&e))?;
        for folder in folders {
            watcher.watch(folder, RecursiveMode::NonRecursive).map_err(|e| unwatchable(&e))?;
        }
        let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)
            .at("make", Path::new("a timer"))?;
        Ok(Self { _watcher: watcher, hint, timer, changed, is_lost, slow: Mutex::default() })
    }

    /// Wakes the sleeper, so that it asks again until when it may sleep.
    pub fn nudge(&self) {
        let _ = rustix::io::write(&*self.hint, &1u64.to_ne_bytes());
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
        let mut fds = vec![PollFd::new(&self.hint, PollFlags::IN), PollFd::new(&self.timer, PollFlags::IN)];
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
            if self.is_lost.load(Ordering::Relaxed) {
                return Ok(Woken::Lost);
            }
            let mut count = [0u8; 8];
            let _ = rustix::io::read(self.hint.as_fd(), &mut count);
            let mut changed = std::mem::take(&mut *self.changed.lock().unwrap_or_else(PoisonError::into_inner));
            changed.sort_unstable();
            changed.dedup();
            return Ok(Woken::Files(changed));
        }
        Ok(Woken::Time)
    }
}

/// Something has come, or a lock has been let go of: its holder closed the written descriptor. Opening
/// and reading is what we do ourselves, and tells nobody anything.
fn tells(kind: EventKind, is_lock: bool) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(_)) => !is_lock,
        _ => false,
    }
}

fn unwatchable(error: &notify::Error) -> Fault {
    Fault::new(Kind::Machine, format!("cannot watch files: {error}"))
        .hint("raise fs.inotify.max_user_watches or fs.inotify.max_user_instances")
}
