//! Threads for work that waits for the disk, so that the thread of the connections does not.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;
use tokio::sync::oneshot;

/// The number of threads: a publication mostly waits for the disk.
const THREADS: usize = 8;

type DiskJob<'w> = Box<dyn FnOnce() + Send + 'w>;

/// The threads. They end when this value is dropped.
pub(super) struct DiskWorkers<'w>(Sender<DiskJob<'w>>);

impl<'w> DiskWorkers<'w> {
    /// Starts the threads.
    pub(super) fn start<'scope>(scope: &'scope Scope<'scope, '_>) -> std::io::Result<Self>
    where
        'w: 'scope,
    {
        let (sender, receiver) = mpsc::channel::<DiskJob<'w>>();
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..THREADS {
            let receiver = Arc::clone(&receiver);
            let next = move || receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let work = move || {
                while let Ok(job) = next() {
                    // The waiting request sees that there is no result.
                    let _ = catch_unwind(AssertUnwindSafe(job));
                }
            };
            std::thread::Builder::new().name(format!("web-{number}")).spawn_scoped(scope, work)?;
        }
        Ok(Self(sender))
    }

    /// The result of `work`; `None` if it has panicked.
    pub(super) async fn run<T: Send + 'w>(&self, work: impl FnOnce() -> T + Send + 'w) -> Option<T> {
        let (sender, result) = oneshot::channel();
        let job = move || drop(sender.send(work()));
        self.0.send(Box::new(job)).ok()?;
        result.await.ok()
    }
}
