//! Disturbances that `supervise` survives: a changed clock, folders that are removed and
//! restored.

use crate::common::tracer::{self, Fault};
use crate::common::{Fixture, Supervisor};
use nix::errno::Errno;
use std::fs;

/// The kernel's answer to arming a timer after the clock was set: it is armed, and everything is due again.
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

/// The file of `CLAW_CLOCK`: running processes notice its changes, and so do their timers.
#[test]
fn file_sets_the_clock_of_a_running_supervisor() {
    let ws = Fixture::new();
    let command = |arguments: &[&str]| {
        let mut command = ws.command(arguments);
        command.env("CLAW_CLOCK", ws.dir.path().join("clock"));
        command
    };
    ws.set_clock(0);
    let supervisor = Supervisor::started(command(&["supervise"]));
    for (name, before, after) in [("later", 0, 3700), ("back", -90_000, -86_000), ("again", -86_000, 90_000)] {
        ws.set_clock(before);
        let mut send = command(&["send", "--in", "1h", "--reply-to", &format!("file:{name}"), "hello"]);
        assert!(send.output().unwrap().status.success());
        // Once this is answered, the supervisor has seen that the message waits.
        answered(&ws, &format!("seen-{name}"));
        ws.set_clock(after);
        ws.eventually(name, |ws| !ws.list(&format!("outbox/files/{name}")).is_empty());
    }
    assert_eq!(supervisor.stop().code, 0);
    let mut status = ws.command(&["status"]);
    status.env("CLAW_CLOCK", ws.path("claw.yaml"));
    let ran: crate::common::Ran = status.output().unwrap().into();
    assert!(ran.fails(2).contains("claw.yaml cannot be parsed"));
}

/// Drops a file with this name, and waits for the answer.
fn answered(ws: &Fixture, name: &str) {
    ws.write(&format!("inbox/{name}.md"), &format!("---\nreply_to: file:{name}\n---\nhello\n"));
    ws.eventually(name, |ws| !ws.list(&format!("outbox/files/{name}")).is_empty());
}

/// A supervisor that has processed a notification already.
fn listening(ws: &Fixture) -> Supervisor {
    let supervisor = ws.supervise(&[]);
    answered(ws, "begun");
    supervisor
}

#[test]
fn a_failed_drop_that_is_retried_is_taken_in_at_once() {
    let ws = Fixture::new();
    let supervisor = ws.supervise(&[]);
    for mailbox in ["inbox", "outbox"] {
        ws.write(&format!("{mailbox}/q.md"), "---\nreply_to: nowhere\n---\nhello\n");
        let failed = format!("{mailbox}/failed");
        let drop = |ws: &Fixture| ws.list(&failed).into_iter().find(|name| name.ends_with(".drop"));
        ws.eventually("it fails", |ws| drop(ws).is_some());
        let name = drop(&ws).unwrap();
        ws.write(&format!("{failed}/{name}"), &format!("---\nreply_to: file:{mailbox}\n---\nhello\n"));
        // No other notification wakes the thread that takes in drops.
        ws.claw(&["retry", name.split_once('~').unwrap().0]).ok();
        ws.eventually("it is taken in", |ws| !ws.list(&format!("outbox/files/{mailbox}")).is_empty());
    }
    assert_eq!(supervisor.stop().code, 0);
}

#[test]
fn removed_tmp_folder_stops_no_drop() {
    let ws = Fixture::new();
    let supervisor = listening(&ws);
    for name in ["a", "b"] {
        fs::remove_dir_all(ws.path("inbox/tmp")).unwrap();
        answered(&ws, name);
        fs::remove_dir_all(ws.path("outbox/tmp")).unwrap();
        ws.write(&format!("outbox/{name}.md"), &format!("---\nreply_to: file:out-{name}\n---\nhello\n"));
        ws.eventually("it is delivered", |ws| !ws.list(&format!("outbox/files/out-{name}")).is_empty());
    }
    let ran = supervisor.stop();
    assert_eq!((ran.code, ran.err.contains("tmp")), (0, false), "{}", ran.err);
}

#[test]
fn a_folder_of_tasks_that_comes_back_is_watched_anew() {
    let ws = Fixture::new();
    ws.write("agents/bob/AGENT.md", "---\nname: Bob\nwatch: tasks\n---\nDo it.\n");
    let supervisor = listening(&ws);
    for (n, gone) in ["tasks/open", "tasks"].into_iter().enumerate() {
        fs::remove_dir_all(ws.path(gone)).unwrap();
        // Once this is answered, the earlier notification was processed.
        answered(&ws, &format!("x{n}"));
        for name in ["first", "second"] {
            ws.write(&format!("tasks/open/{name}{n}.md"), "Do something\n");
            ws.eventually("it is told", |ws| ws.list("sessions").contains(&format!("bob.task-{name}{n}")));
        }
    }
    assert_eq!(supervisor.stop().code, 0);
}

#[test]
fn it_ends_where_the_workspace_is_moved_away() {
    let ws = Fixture::new();
    let mut supervisor = listening(&ws);
    fs::rename(&ws.root, ws.dir.path().join("moved")).unwrap();
    let above = Fixture { root: ws.dir.path().to_owned(), dir: tempfile::tempdir().unwrap() };
    above.eventually("it ends", |_| supervisor.child.try_wait().unwrap().is_some());
    let said = supervisor.ended().fails(75);
    assert!(said.contains("ws was removed") && said.contains("where the workspace is now"), "{said}");
}
