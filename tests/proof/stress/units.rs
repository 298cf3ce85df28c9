//! A service manager with path units: it runs a command once whenever files have changed.

use crate::common::Fixture;
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::sync::mpsc::{Receiver, Sender, channel};

/// `PathChanged=`, and the command of the service.
pub struct Unit {
    folders: &'static [&'static str],
    line: &'static str,
}

pub const UNITS: &[Unit] = &[
    Unit { folders: &["inbox", "inbox/new", "inbox/ready", "outbox", "outbox/ready"], line: "claw tick" },
    Unit { folders: &["inbox", "inbox/new"], line: "claw route && claw run-agent" },
    Unit { folders: &["outbox/ready"], line: "claw deliver --channel file" },
];

/// A unit's channel. A message says whether to go on.
pub struct Ears {
    pub tell: Sender<bool>,
    _watcher: RecommendedWatcher,
}

impl Unit {
    pub fn listen(&self, ws: &Fixture) -> (Ears, Receiver<bool>) {
        let (tell, hear) = channel();
        let ring = tell.clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let is_change = |kind: &EventKind| match kind {
                EventKind::Access(access) => *access == AccessKind::Close(AccessMode::Write),
                _ => true,
            };
            if event.is_ok_and(|event| is_change(&event.kind)) {
                let _ = ring.send(true);
            }
        })
        .unwrap();
        for folder in self.folders {
            watcher.watch(&ws.path(folder), RecursiveMode::NonRecursive).unwrap();
        }
        (Ears { tell, _watcher: watcher }, hear)
    }

    /// Runs the command on every message, one at a time, until it is stopped. Returns how often it
    /// ran.
    pub fn serve(&self, ws: &Fixture, hear: &Receiver<bool>) -> usize {
        let mut runs = 0;
        while hear.recv() == Ok(true) {
            if hear.try_iter().any(|goes_on| !goes_on) {
                break;
            }
            let ran = ws.shell(self.line);
            assert!(!ran.err.contains("panicked"), "{}: {}", self.line, ran.err);
            runs += 1;
        }
        runs
    }
}
