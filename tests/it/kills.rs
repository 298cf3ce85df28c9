//! Killed workers: a crash loop blames no event, an event that kills its workers ends, and a process that must stop
//! gives its events back.

use crate::common::checker::{check, delivered, ended, noted, replies};
use crate::common::tracer::{self, Fault};
use crate::common::{Fixture, Ran};
use claw::store::lock::Lane;
use claw::store::workspace::mailbox::Mailbox;
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::time::{Duration, Instant};

/// A model whose program kills the worker (the parent of its watcher) for each message with the word "poison".
const POISON: &str =
    "read -r line; case $line in *poison*) kill -9 $(cut -d' ' -f4 /proc/$PPID/stat); sleep 9;; *) echo fine;; esac";

/// A model that appends to `begun` and hangs.
const HANGS: &str = "echo begun >>begun; exec sleep 60";

fn script(ws: &Fixture, text: &str) {
    ws.write("model.sh", text);
    ws.model("script", "provider: command, command: [sh, model.sh]");
}

fn later(minutes: i64) -> String {
    (jiff::Timestamp::now() + jiff::SignedDuration::from_mins(minutes)).to_string()
}

/// The tries in the name of the only event in a folder.
fn tries(ws: &Fixture, folder: &str) -> String {
    let names = ws.list(folder);
    let [name] = &names[..] else { panic!("{folder}: {names:?}, pending {:?}", ws.pending()) };
    name.trim_end_matches(".json").rsplit('~').next().unwrap().to_owned()
}

#[test]
fn storm_of_kills_fails_no_event() {
    let ws = Fixture::new();
    ws.write("claw.yaml", &ws.read("claw.yaml").replace("git: true", "git: false"));
    for n in 0..200 {
        let text = if n % 2 == 0 { format!("remember fact {n}") } else { format!("message {n}") };
        ws.write(
            &format!("inbox/.{n}.md"),
            &format!("---\nreply_to: file:p{}\nsession: s{}\n---\n{text}\n", n % 7, n % 23),
        );
        std::fs::rename(ws.path(&format!("inbox/.{n}.md")), ws.path(&format!("inbox/{n}.md"))).unwrap();
    }
    let begin = Instant::now();
    for _ in 0..60 {
        let mut supervisor = ws.command(&["supervise"]).spawn().unwrap();
        let end = Instant::now() + Duration::from_millis(50);
        while Instant::now() < end && supervisor.try_wait().unwrap().is_none() {
            std::hint::spin_loop();
        }
        supervisor.kill().unwrap();
        supervisor.wait().unwrap();
    }
    eprintln!("60 kills in {:?}", begin.elapsed());
    for minutes in [10, 20, 30] {
        ws.claw(&["tick", "--now", &later(minutes)]).ok();
    }
    let all = ended(&ws);
    assert_eq!((all.len(), ws.list("inbox/failed"), ws.list("outbox/failed")), (200, vec![], vec![]));
    check(&ws, &all);
    assert_eq!(delivered(&ws), replies(&all));
    for n in (0..200).step_by(2) {
        assert_eq!(noted(&ws, &format!("- fact {n} <!--")), 1, "fact {n}");
    }
}

#[test]
fn poison_event_ends_in_failed_and_stops_no_other() {
    let ws = Fixture::new();
    script(&ws, POISON);
    let poison = ws.claw(&["send", "--from", "file:a", "poison"]).ok().trim().to_owned();
    // Twice it kills the worker that handles other events, too. Its watcher holds the lane for a moment.
    let mut killed = 0;
    ws.eventually("it has killed two workers", |ws| {
        killed += usize::from(ws.claw(&["tick"]).code == -9);
        killed == 2
    });
    let good = ws.claw(&["send", "--from", "file:b", "hello"]).ok().trim().to_owned();
    ws.eventually("it is put off, and the others are answered", |ws| {
        ws.claw(&["tick"]).ok();
        delivered(ws) == [format!("{good}.r01.md")] && ws.list("inbox/wait").len() == 1
    });
    assert_eq!(tries(&ws, "inbox/wait"), "2c2");
    for expected in ["3c3b1", "4c4b2"] {
        ws.hurry();
        let err = ws.claw(&["tick"]).fails(75);
        assert!(err.contains("its worker was killed (signal: 9"), "{err}");
        assert_eq!(tries(&ws, "inbox/wait"), expected);
    }
    ws.hurry();
    ws.eventually("it has failed", |ws| {
        assert!(ws.claw(&["tick"]).code >= 0, "the process that waits for it lives");
        ws.path(&format!("inbox/failed/{poison}.reason")).exists()
    });
    assert!(ws.read(&format!("inbox/failed/{poison}.reason")).contains("its worker was killed 3 times"));
    ws.claw(&["tick"]).ok();
    assert_eq!(delivered(&ws).len(), 2, "its sender has a notice");
    assert_eq!(ws.pending(), [""; 0]);
}

/// The outcome of a suspect event that is harmless is that of any other event.
#[test]
fn event_whose_workers_were_killed_by_chance_is_answered_by_a_process_of_its_own() {
    let ws = Fixture::new();
    script(&ws, "cut -d' ' -f4 /proc/$PPID/stat >>workers; echo fine");
    let ids =
        ["a", "b"].map(|place| ws.claw(&["send", "--from", &format!("file:{place}"), "hi"]).ok().trim().to_owned());
    ws.claw(&["route"]).ok();
    let [from, to] = ["ready/{}~pickle.file-a~0", "ready/{}~pickle.file-a~9c9"]
        .map(|name| ws.path(&format!("inbox/{}.json", name.replace("{}", &ids[0]))));
    std::fs::rename(from, to).unwrap();
    let worker = ws.command(&["run-agent"]).spawn().unwrap();
    let pid = worker.id().to_string();
    let ran = Ran::from(worker.wait_with_output().unwrap());
    assert_eq!(ran.ok().lines().count(), 2, "both outcomes are reported");
    let workers = ws.read("workers");
    assert_eq!(workers.lines().filter(|worker| **worker == pid).count(), 1, "{workers}, {pid}");
    ws.claw(&["tick"]).ok();
    check(&ws, &ids);
    assert_eq!(delivered(&ws), replies(&ids));
}

#[test]
fn written_note_a_receipt_and_a_reply_count_before_the_kills() {
    let ws = Fixture::new();
    let place = ws.claw(&["remember", "it is done"]).ok();
    let id = ws.done("inbox")[0].trim_end_matches(".json").to_owned();
    let day = &ws.list("inbox/done")[0];
    let [done, run] = [format!("inbox/done/{day}/{id}.json"), format!("inbox/run/{id}~memories~9c9.json")];
    std::fs::rename(ws.path(&done), ws.path(&run)).unwrap();
    assert_eq!(ws.claw(&["remember"]).ok(), place, "it has the same place");
    assert_eq!((ws.path(&done).exists(), noted(&ws, "it is done")), (true, 1));

    ws.claw(&["send", "--from", "file:a", "hello"]).ok();
    ws.claw(&["tick"]).ok();
    let answer = ws.done("outbox")[0].trim_end_matches(".json").to_owned();
    let [done, run] = [format!("outbox/done/{day}/{answer}.json"), format!("outbox/run/{answer}~file-a~9c9.json")];
    std::fs::rename(ws.path(&done), ws.path(&run)).unwrap();
    ws.claw(&["tick"]).ok();
    assert!(ws.path(&done).exists());

    let command = ws.claw(&["send", "--from", "file:a", "/help"]).ok().trim().to_owned();
    ws.claw(&["tick"]).ok();
    let done = format!("inbox/done/{day}/{command}.json");
    let run = format!("inbox/run/{command}~pickle.file-a..control~9c9.json");
    let lane = ws.list(".claw/locks/inbox").into_iter().find(|lane| lane.contains("control"));
    let run = run.replace("pickle.file-a..control", &lane.unwrap());
    std::fs::rename(ws.path(&done), ws.path(&run)).unwrap();
    ws.claw(&["tick"]).ok();
    assert!(ws.path(&done).exists());
    assert_eq!((ws.list("inbox/failed"), ws.list("outbox/failed")), (vec![], vec![]));
}

#[test]
fn second_sigterm_gives_events_back_with_their_old_count() {
    let ws = Fixture::new();
    script(&ws, HANGS);
    for place in ["a", "b"] {
        ws.claw(&["send", "--from", &format!("file:{place}"), "hi"]).ok();
    }
    ws.claw(&["route"]).ok();
    // One of them is handled by a process of its own.
    let suspect = ws.list("inbox/ready").into_iter().find(|name| name.contains("file-b")).unwrap();
    let name = suspect.replace("~0.json", "~4c2.json");
    std::fs::rename(ws.path(&format!("inbox/ready/{suspect}")), ws.path(&format!("inbox/ready/{name}"))).unwrap();
    let before = ws.list("inbox/ready");
    for round in 1..=4 {
        let mut supervisor = ws.supervise(&[]);
        ws.eventually("both turns have begun", |ws| {
            ws.path("begun").exists() && ws.read("begun").lines().count() == 2 * round
        });
        supervisor.signal("TERM");
        supervisor.until_said("stopping");
        supervisor.signal("TERM");
        assert_eq!(supervisor.ended().code, -1, "it ends by the signal");
        assert_eq!((ws.list("inbox/ready"), ws.list("inbox/run")), (before.clone(), vec![]));
    }
}

/// The kernel refuses one new thread after the other.
#[test]
fn supervisor_that_cannot_start_a_thread_ends_at_once() {
    let ws = Fixture::new();
    let calls = [(libc::SYS_clone3, "clone3"), (libc::SYS_clone, "clone")];
    for at in 1..=5 {
        let traced = tracer::run_at(&calls, ws.command(&["supervise"]), |call| {
            (call == at).then_some(Fault::Error(Errno::EAGAIN))
        });
        assert_eq!(traced.code, 75, "at thread {at}: {traced:?}");
    }
}

#[test]
fn supervisor_with_too_few_descriptors_for_one_event_does_not_start() {
    let ws = Fixture::new();
    let told = ws.shell("ulimit -n 25; exec claw supervise").fails(75);
    assert!(told.contains("may have 25 open files, and needs at least 26"), "{told}");
}

#[test]
fn supervisor_with_few_descriptors_answers_one_event_after_the_other() {
    let ws = Fixture::new();
    for n in 0..6 {
        ws.write(&format!("inbox/{n}.md"), &format!("---\nreply_to: file:p{n}\n---\nhello\n"));
    }
    let mut supervisor = ws.shell_command("ulimit -n 30; exec claw supervise").spawn().unwrap();
    ws.eventually("all are answered", |ws| delivered(ws).len() == 6 && ws.pending().is_empty());
    kill(Pid::from_raw(supervisor.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(supervisor.wait().unwrap().code(), Some(0));
}

/// The effect of a slow machine on the death of an event's own process: its program lives on for a while.
#[test]
fn lane_of_a_killed_process_is_held_until_its_programs_are_dead() {
    let ws = Fixture::new();
    let waits = "echo $PPID >.watcher; mv .watcher watcher; until [ -e go ]; do sleep 0.01; done";
    script(&ws, &format!("{waits}; kill -9 $(cut -d' ' -f4 /proc/$PPID/stat); sleep 60"));
    let id = ws.claw(&["send", "--from", "file:a", "hi"]).ok().trim().to_owned();
    ws.claw(&["route"]).ok();
    let [from, to] = ["0", "2c2"].map(|tries| ws.path(&format!("inbox/ready/{id}~pickle.file-a~{tries}.json")));
    std::fs::rename(from, to).unwrap();
    let worker = ws.command(&["run-agent"]).spawn().unwrap();
    ws.eventually("its program runs", |ws| ws.path("watcher").exists());
    let watcher = Pid::from_raw(ws.read("watcher").trim().parse().unwrap());
    // A stopped process would be woken when its parent dies, a traced one is not.
    ptrace::seize(watcher, Options::empty()).unwrap();
    ptrace::interrupt(watcher).unwrap();
    waitpid(watcher, Some(WaitPidFlag::__WALL)).unwrap();
    ws.write("go", "");
    Ran::from(worker.wait_with_output().unwrap()).fails(75);
    assert_eq!(tries(&ws, "inbox/wait"), "3c3b1");
    let workspace = ws.opened();
    let lane = || Lane::attempt(&workspace, Mailbox::Inbox, "pickle.file-a").unwrap();
    assert!(lane().is_none(), "its program is alive");
    ptrace::detach(watcher, None).unwrap();
    ws.eventually("the lane is free", |_| lane().is_some());
}
