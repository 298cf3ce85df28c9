//! What `supervise` goes on through, and what it hears: a clock that is set, folders that are taken away and come
//! back.

mod common;

use common::Fixture;
use common::tracer::{self, Fault};
use nix::errno::Errno;

/// The kernel's word to whoever arms a timer after the clock was set: it is armed, and everything is due anew.
#[test]
fn a_clock_that_is_set_ends_nothing() {
    let ws = Fixture::new();
    let traced = tracer::run_at(&[(libc::SYS_timerfd_settime, "settime")], ws.command(&["supervise"]), |call| {
        if call == 1 {
            ws.write("inbox/q.md", "---\nreply_to: file:x\n---\nhello\n");
        }
        let is_answered = !ws.list("outbox/files/x").is_empty();
        (call == 2).then_some(Fault::Error(Errno::ECANCELED)).or_else(|| is_answered.then_some(Fault::Kill))
    });
    assert_eq!((traced.code, ws.list("outbox/files/x").len()), (137, 1), "{traced:?}");
}
