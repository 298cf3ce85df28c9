//! Running requests on the caller's thread: a runtime for one exchange, deadlines, and cancellation by a descriptor.

use crate::core::fault::{Fault, Kind, Result};
use std::future::poll_fn;
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::net::unix::pipe::Receiver;

/// Runs `work` to its end, or until the pipe `stop_fd` is readable.
///
/// # Errors
/// Those of `work`; `Failed` after a cancellation, and `Machine` without a runtime.
pub fn block_on<T>(stop_fd: Option<BorrowedFd>, work: impl Future<Output = Result<T>>) -> Result<T> {
    let no_runtime = |e: std::io::Error| Fault::new(Kind::Machine, format!("cannot start the network: {e}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_runtime)?;
    let run = || {
        runtime.block_on(async {
            let Some(stop_fd) = stop_fd else { return work.await };
            let stop = stop_fd.try_clone_to_owned().and_then(Receiver::from_owned_fd).map_err(no_runtime)?;
            let (mut work, mut stopped) = (pin!(work), pin!(stop.readable()));
            poll_fn(|context| match work.as_mut().poll(context) {
                Poll::Ready(result) => Poll::Ready(result),
                Poll::Pending => {
                    stopped.as_mut().poll(context).map(|_| Err(Fault::new(Kind::Failed, "the request was cancelled")))
                }
            })
            .await
        })
    };
    let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        // The runtime panics if it cannot start the thread of a name lookup.
        let text = panic.downcast_ref::<String>().map(String::as_str).unwrap_or_default();
        if !text.starts_with("OS can't spawn worker thread") {
            resume_unwind(panic);
        }
        Err(Fault::new(Kind::Machine, "cannot start a thread to look up a name"))
    });
    // A name lookup runs on a thread of its own that cannot be interrupted; it is not waited for.
    runtime.shutdown_background();
    result
}

/// The result of `work`, or `late` after `limit`.
///
/// # Errors
/// Those of `work`, and `late`.
pub async fn within<T>(
    limit: Duration,
    late: impl FnOnce() -> Fault,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(late()))
}

/// Runs a few futures at once and returns their results in order. Every wake polls all that are unfinished.
pub async fn join_all<T>(futures: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    poll_fn(|context| {
        let mut is_finished = true;
        for (future, result) in all.iter_mut().filter(|(_, result)| result.is_none()) {
            match future.as_mut().poll(context) {
                Poll::Ready(value) => *result = Some(value),
                Poll::Pending => is_finished = false,
            }
        }
        if is_finished { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    all.into_iter().filter_map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::os::fd::AsFd;
    use std::pin::Pin;

    async fn never() -> Result<()> {
        std::future::pending().await
    }

    #[test]
    fn readable_stop_descriptor_cancels_pending_work_but_not_finished_work() {
        let (stop, writer) = rustix::pipe::pipe().unwrap();
        rustix::io::write(&writer, b"x").unwrap();
        let stop_fd = Some(stop.as_fd());
        assert_eq!(block_on(stop_fd, never()).unwrap_err().message, "the request was cancelled");
        assert_eq!(block_on(stop_fd, async { Ok(7) }), Ok(7));
    }

    #[test]
    fn late_work_ends_at_its_limit() {
        let late = || Fault::new(Kind::Unavailable, "late");
        let result = block_on(None, within(Duration::from_millis(5), late, never()));
        assert_eq!(result, Err(late()));
        assert_eq!(block_on(None, within(Duration::from_mins(1), late, async { Ok(7) })), Ok(7));
    }

    #[test]
    fn joined_futures_run_at_once_and_keep_their_order() {
        let is_second_done = Cell::new(false);
        let first: Pin<Box<dyn Future<Output = u8>>> = Box::pin(poll_fn(|context| {
            context.waker().wake_by_ref();
            if is_second_done.get() { Poll::Ready(1) } else { Poll::Pending }
        }));
        let second = Box::pin(async {
            is_second_done.set(true);
            2
        });
        let results = block_on(None, async { Ok(join_all([first, second]).await) });
        assert_eq!(results, Ok(vec![1, 2]), "the first one waits for the second one");
    }
}
