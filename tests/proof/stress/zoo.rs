//! Processes that are restarted again and again, and killed with `kill -9` at random moments.

use crate::common::Fixture;
use crate::common::proof::Random;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::fs::File;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// The pause before a process that has ended by itself is restarted.
const REST: Duration = Duration::from_millis(60);

/// The state shared by its keepers.
pub struct Zoo<'a> {
    ws: &'a Fixture,
    stopped: AtomicBool,
    /// Notified when it closes.
    bell: (Mutex<()>, Condvar),
    pub starts: AtomicUsize,
    /// Kills of processes that work on the inbox, and of those that work on the outbox.
    pub kills: [AtomicUsize; 2],
}

/// A process that is kept running.
#[derive(Clone, Copy)]
pub struct Beast {
    pub arguments: &'static [&'static str],
    /// It is killed at a random moment before this many milliseconds.
    pub life: usize,
    /// Whether it claims events of the inbox, and of the outbox.
    pub claims: [bool; 2],
}

impl<'a> Zoo<'a> {
    pub fn new(ws: &'a Fixture) -> Self {
        let (starts, kills) = (AtomicUsize::default(), Default::default());
        Self { ws, stopped: AtomicBool::new(false), bell: Default::default(), starts, kills }
    }

    /// Restarts it again and again, and kills two of three, until the zoo closes. In an endless stream of events the
    /// third one ends after a minute, too.
    pub fn keep(&self, beast: Beast, seed: u64) {
        let mut random = Random(seed);
        while !self.is_closed() {
            let mut child = self.start(beast.arguments);
            let moment = Duration::from_micros(random.below(beast.life * 1000) as u64);
            let is_doomed = random.below(3) > 0;
            let has_ended = ends_within(&child, if is_doomed { moment } else { Duration::from_mins(1) });
            if !has_ended {
                for (_, kills) in beast.claims.iter().zip(&self.kills).filter(|(claims, _)| **claims) {
                    kills.fetch_add(1, Ordering::Relaxed);
                }
                child.kill().unwrap();
            }
            let status = child.wait().unwrap();
            assert_ne!(status.code(), Some(101), "{:?} has panicked\n{}", beast.arguments, self.complaints());
            if has_ended {
                self.rest(REST);
            }
        }
    }

    fn start(&self, arguments: &[&str]) -> Child {
        self.starts.fetch_add(1, Ordering::Relaxed);
        let complaints = File::options().append(true).create(true).open(self.complaints_path()).unwrap();
        self.ws.command(arguments).stdout(Stdio::null()).stderr(complaints).spawn().unwrap()
    }

    fn complaints_path(&self) -> std::path::PathBuf {
        self.ws.dir.path().join("complaints")
    }

    /// All their output on stderr.
    pub fn complaints(&self) -> String {
        std::fs::read_to_string(self.complaints_path()).unwrap_or_default()
    }

    /// Waits for this long, unless the zoo closes.
    pub fn rest(&self, limit: Duration) {
        let (lock, bell) = &self.bell;
        drop(bell.wait_timeout_while(lock.lock().unwrap(), limit, |()| !self.is_closed()).unwrap());
    }

    pub fn close(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        let (lock, bell) = &self.bell;
        drop(lock.lock().unwrap());
        bell.notify_all();
    }

    pub fn is_closed(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

/// Whether a process ends by itself in that time.
pub fn ends_within(child: &Child, limit: Duration) -> bool {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).unwrap();
    let limit = Timespec { tv_sec: limit.as_secs().try_into().unwrap(), tv_nsec: limit.subsec_nanos().into() };
    poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit)).is_ok_and(|ready| ready > 0)
}
