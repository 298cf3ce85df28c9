//! Any number of processes on one workspace: supervisors, loops, manual changes, and kills at random.

use crate::common::checker::{check, delivered, ended, replies};
use crate::common::proof::{self, Random};
use crate::common::{Fixture, Locked, Ran};
use claw::core::event::entry::Entry;
use claw::core::event::id::Id;
use claw::core::event::stamp::Stamp;
use claw::core::fault::Fault;
use claw::stage::outcome::{EventOutcome, Outcome};
use claw::stage::worker::handler::Handler;
use claw::stage::worker::pool;
use claw::store::fs::watch::{Watch, WatchKind, Woken};
use claw::store::lock::slots::{Group, Reservations, Slots, SlotsTaken};
use claw::store::lock::{Lane, NamedLock};
use claw::store::queue::listing;
use claw::store::queue::spool::Job;
use claw::store::workspace::Workspace;
use claw::store::workspace::mailbox::Mailbox;
use claw::world::World;
use std::time::{Duration, Instant};

#[test]
fn supervisor_answers_and_drains_on_sigterm() {
    let ws = Fixture::new();
    let supervisor = ws.supervise(&[]);
    let id = ws.claw(&["send", "--from", "file:a", "hello"]).ok().trim().to_owned();
    ws.eventually("the answer is delivered", |ws| delivered(ws) == [format!("{id}.r01.md")]);
    ws.write("inbox/.q.md", "---\nfrom: file:a\n---\nagain");
    std::fs::rename(ws.path("inbox/.q.md"), ws.path("inbox/q.md")).unwrap();
    ws.eventually("the drop is answered", |ws| delivered(ws).len() == 2);
    let ran = supervisor.stop();
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("stopped"), "{}", ran.err);
    check(&ws, &[id]);
}

#[test]
fn the_stages_may_run_in_as_many_processes() {
    let ws = Fixture::new();
    let supervisors: Vec<_> = ["route", "run-agent", "deliver", "remember"].map(|s| ws.supervise(&[s])).into();
    let id = ws.claw(&["send", "--from", "file:a", "remember that it works"]).ok().trim().to_owned();
    ws.eventually("delivered and noted", |ws| {
        delivered(ws).len() == 1 && !ws.list("memories/daily-notes").is_empty() && ws.pending().is_empty()
    });
    drop(supervisors);
    check(&ws, &[id]);
}

#[test]
fn stage_with_an_id_waits_for_the_working_process() {
    let ws = Fixture::new();
    let _supervisor = ws.supervise(&[]);
    for n in 0..10 {
        let out = ws
            .shell(&format!(
                "claw send 'remember fact {n}' | claw route - | claw run-agent - | grep r01 | claw deliver -"
            ))
            .ok();
        assert!(out.starts_with("Noted in memories/"), "{n}: {out}");
    }
}

#[test]
fn ask_works_beside_a_supervisor_and_prints_its_own_answer_only() {
    let ws = Fixture::new();
    let _supervisor = ws.supervise(&[]);
    ws.claw(&["send", "not for this terminal"]).ok();
    let asked: Vec<_> =
        (0..6).map(|n| ws.command(&["ask", "-n", "--json", &format!("remember fact {n}")]).spawn().unwrap()).collect();
    for child in asked {
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!(ran.out.lines().count(), 1, "{ran:?}");
        assert!(ran.ok().contains("Noted in"));
    }
    ws.eventually("only the other terminal's answer is left", |ws| {
        ws.pending().iter().all(|name| name.contains("~cli-ann~")) && ws.pending().len() == 1
    });
}

#[test]
fn two_supervisors_and_a_shell_loop_do_everything_once() {
    let ws = Fixture::new();
    let supervisors = [ws.supervise(&[]), ws.supervise(&[])];
    let mut shell = ws.shell_command(
        "while [ ! -e stop ]; do claw tick; claw route | claw run-agent -; claw deliver --channel file; done",
    );
    let mut shell = shell.stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut accepted = Vec::new();
    for n in 0..60 {
        let from = format!("file:p{}", n % 7);
        accepted.push(ws.claw(&["send", "--from", &from, &format!("message {n}")]).ok().trim().to_owned());
    }
    ws.eventually("everything is delivered", |ws| delivered(ws).len() >= 60 && ws.pending().is_empty());
    ws.write("stop", "");
    shell.wait().unwrap();
    for supervisor in supervisors {
        assert_eq!(supervisor.stop().code, 0);
    }
    check(&ws, &accepted);
    assert_eq!(delivered(&ws), replies(&accepted));
}

#[test]
fn kill_9_at_random_loses_nothing_and_doubles_nothing() {
    let ws = Fixture::new();
    // Git outlives its killed parent for a moment, and would keep the running one from the notes.
    ws.write("claw.yaml", &ws.read("claw.yaml").replace("git: true", "git: false"));
    let mut accepted = Vec::new();
    eprintln!("CLAW_TEST_SEED={}", proof::seed());
    let mut random = Random(proof::seed());
    for n in 0..40 {
        let from = format!("file:p{}", n % 5);
        accepted.push(ws.claw(&["send", "--from", &from, &format!("remember fact {n}")]).ok().trim().to_owned());
        ws.write("inbox/.d.md", &format!("---\nfrom: file:d\n---\ndrop {n}"));
        std::fs::rename(ws.path("inbox/.d.md"), ws.path(&format!("inbox/d{n}.md"))).unwrap();
        // A worker is killed after a moment: between none and all of its steps. Every third one lives.
        let stages = [&["tick"][..], &["route"], &["run-agent"], &["deliver", "--channel", "file"], &["remember"]];
        let lives = n % 3 == 2;
        let stage = if lives { stages[0] } else { stages[random.below(5)] };
        let mut child = ws.command(stage).spawn().unwrap();
        let moment = Instant::now() + Duration::from_micros(random.below(9000) as u64);
        while !lives && Instant::now() < moment && child.try_wait().unwrap().is_none() {
            std::hint::spin_loop();
        }
        if !lives {
            let _ = child.kill();
        }
        child.wait().unwrap();
    }
    // However often an event has been interrupted, ticks finish it, a while after the last kill.
    for minutes in 1..=20 {
        let later = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(2 * minutes);
        ws.claw(&["tick", "--now", &later.to_string()]).ok();
    }
    let drops = ended(&ws);
    assert_eq!(drops.len(), 80, "40 sent and 40 dropped");
    assert!(accepted.iter().all(|id| drops.contains(id)));
    check(&ws, &drops);
    assert_eq!(delivered(&ws), replies(&drops));
    let notes: String =
        ws.list("memories/daily-notes").iter().map(|n| ws.read(&format!("memories/daily-notes/{n}"))).collect();
    for n in 0..40 {
        assert_eq!(notes.matches(&format!("- fact {n} <!--")).count(), 1, "fact {n}\n{notes}");
    }
}

/// A person can retry a waiting event early, and a supervisor notices manual changes.
#[test]
fn retry_runs_a_waiting_event_and_discard_frees_the_next() {
    let ws = Fixture::new();
    let mut waiting = Vec::new();
    for place in ["a", "b"] {
        for text in ["first", "second"] {
            let from = format!("file:{place}");
            waiting.push(ws.claw(&["send", "--from", &from, text]).ok().trim().to_owned());
        }
    }
    ws.claw(&["route"]).ok();
    let due = Stamp::from(jiff::Timestamp::now()).plus_seconds(3600);
    for (id, place) in [(&waiting[0], "a"), (&waiting[2], "b")] {
        let ready = ws.path(&format!("inbox/ready/{id}~pickle.file-{place}~0.json"));
        std::fs::rename(ready, ws.path(&format!("inbox/wait/{due}~{id}~pickle.file-{place}~1.json"))).unwrap();
    }
    let _supervisor = ws.supervise(&[]);
    let other = ws.claw(&["send", "--from", "file:c", "hello"]).ok().trim().to_owned();
    ws.eventually("another one is answered", |ws| delivered(ws) == replies(std::slice::from_ref(&other)));
    ws.claw(&["retry", &waiting[0]]).ok();
    ws.eventually("what was retried and what is behind it", |ws| ws.done("inbox").len() == 3);
    ws.claw(&["discard", &waiting[2]]).ok();
    ws.eventually("what is behind the discarded one", |ws| ws.done("inbox").len() == 5);
    ws.eventually("all of it is delivered", |ws| ws.pending().is_empty());
}

/// As for one id in `claw retry - < list` after another whose turn has begun.
#[test]
fn retry_and_discard_of_an_idle_event_wait_for_its_busy_lane() {
    let ws = Fixture::new();
    let ids = ["first", "second"].map(|text| ws.claw(&["send", "--from", "file:a", text]).ok().trim().to_owned());
    ws.claw(&["route"]).ok();
    let due = Stamp::from(jiff::Timestamp::now()).plus_seconds(3600);
    for id in &ids {
        let ready = ws.path(&format!("inbox/ready/{id}~pickle.file-a~0.json"));
        std::fs::rename(ready, ws.path(&format!("inbox/wait/{due}~{id}~pickle.file-a~1.json"))).unwrap();
    }
    let workspace = ws.opened();
    for (verb, id) in ["retry", "discard"].into_iter().zip(&ids) {
        let lane = Lane::attempt(&workspace, Mailbox::Inbox, "pickle.file-a").unwrap().unwrap();
        let child = ws.shell_command(&format!("echo {id} | claw {verb} -")).spawn().unwrap();
        ws.until_locked(".claw/locks/inbox/pickle.file-a", Locked::WaitedFor);
        // It holds no other lock meanwhile.
        ws.claw(&["route"]).ok();
        assert_eq!(ws.list("inbox/wait").iter().filter(|name| name.contains(id)).count(), 1);
        lane.release();
        assert_eq!(Ran::from(child.wait_with_output().unwrap()).ok().trim(), id);
    }
    assert_eq!(ws.list("inbox/ready"), [format!("{}~pickle.file-a~0.json", ids[0])]);
    assert_eq!(ws.done("inbox"), [format!("{}.json", ids[1])]);
}

/// A folder is read in pieces: a late file may be in a piece read late, and an earlier one in a piece read before it
/// arrived. The listing of a lane must not have a gap.
#[test]
fn a_lane_that_others_add_to_is_listed_without_a_gap() {
    let ws = Fixture::new();
    let workspace = Workspace::open(World::real().unwrap(), ws.root.clone(), true).unwrap();
    let id = |n: i64| Id::new(Stamp(1_795_221_690_000_000 + n), 0);
    let name = |n: i64| ws.path(&format!("inbox/ready/{}", Entry::fresh(id(n), "pickle.x")));
    let count = 3000;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..count {
                std::fs::write(ws.path("inbox/tmp/next"), "").unwrap();
                std::fs::rename(ws.path("inbox/tmp/next"), name(n)).unwrap();
            }
        });
        let mut listed = 0;
        while listed < count {
            let entries = listing::lane(&workspace, Mailbox::Inbox, "pickle.x").unwrap();
            let ids: Vec<Id> = entries.into_iter().map(|(_, entry)| entry.id).collect();
            listed = i64::try_from(ids.len()).unwrap();
            assert!(ids == (0..listed).map(id).collect::<Vec<_>>(), "of {listed} the last is {:?}", ids.last());
        }
    });
}

/// A process that adds an event to a held lane leaves, relying on the lane's holder.
#[test]
fn message_during_a_one_shot_is_handled_by_it() {
    let ws = Fixture::new();
    let program = "echo + >> turns; read -r go < gate.$(wc -l < turns); echo ok";
    ws.model("slow", &format!("provider: command, command: [sh, -c, \"{program}\"]"));
    ws.shell("mkfifo gate.1 gate.2").ok();
    ws.claw(&["send", "--from", "file:a", "first"]).ok();
    ws.claw(&["route"]).ok();
    let holder = ws.command(&["run-agent"]).spawn().unwrap();
    ws.eventually("the first turn has begun", |ws| ws.path("turns").exists());
    ws.claw(&["send", "--from", "file:a", "second"]).ok();
    ws.claw(&["route"]).ok();
    ws.claw(&["run-agent"]).ok();
    assert_eq!(ws.done("inbox").len(), 0, "it was not waited for");
    ws.shell("echo go > gate.1").ok();
    ws.eventually("the second turn has begun", |ws| ws.read("turns").lines().count() == 2);
    ws.shell("echo go > gate.2").ok();
    assert_eq!(Ran::from(holder.wait_with_output().unwrap()).code, 0);
    assert_eq!(ws.done("inbox").len(), 2);
}

#[test]
fn never_more_turns_at_once_than_the_agent_allows() {
    let ws = Fixture::new();
    ws.write("agents/pickle/AGENT.md", "---\nname: Pickle\nmax_concurrency: 2\n---\nYou are Pickle.\n");
    // Every turn records its begin and end; the log of both shows the overlap.
    ws.model("slow", "provider: command, command: [sh, -c, \"echo + >> turns; sleep 0.05; echo - >> turns; echo ok\"]");
    for n in 0..12 {
        ws.claw(&["send", "--from", &format!("file:p{n}"), "hi"]).ok();
    }
    ws.claw(&["route"]).ok();
    let workers: Vec<_> = (0..4).map(|_| ws.command(&["run-agent"]).spawn().unwrap()).collect();
    for mut worker in workers {
        worker.wait().unwrap();
    }
    ws.claw(&["run-agent"]).ok();
    assert_eq!(ws.done("inbox").len(), 12);
    let mut running = 0;
    let mut most = 0;
    for line in ws.read("turns").lines() {
        running += if line == "+" { 1 } else { -1 };
        most = most.max(running);
    }
    assert_eq!((running, most), (0, 2));
}

#[test]
fn a_model_that_kills_its_own_watcher_costs_that_turn_only() {
    let ws = Fixture::new();
    let program = "read line; case $line in *poison*) kill -9 $PPID;; *) echo fine;; esac";
    ws.model("hangs", &format!("provider: command, command: [sh, -c, \"{program}\"]"));
    let supervisor = ws.supervise(&[]);
    ws.claw(&["send", "--from", "file:a", "poison"]).ok();
    let good = ws.claw(&["send", "--from", "file:b", "hello"]).ok().trim().to_owned();
    ws.eventually("the other one is answered", |ws| delivered(ws) == [format!("{good}.r01.md")]);
    ws.eventually("the poisoned one waits", |ws| ws.list("inbox/wait").len() == 1);
    assert_eq!(supervisor.stop().code, 0);
}

/// A handler that panics on one event, and handles the others.
struct Panics<'a>(&'a Workspace);

impl Handler for Panics<'_> {
    fn mailbox(&self) -> Mailbox {
        Mailbox::Inbox
    }
    fn handles(&self, _: &str) -> bool {
        true
    }
    fn limit_key<'k>(&self, lane: &'k str) -> &'k str {
        lane
    }
    fn slots(&self, _: &str) -> claw::core::fault::Result<Vec<(String, u32)>> {
        Ok(Vec::new())
    }
    fn run(&self, job: Job, _: &Lane) -> Outcome {
        let event = job.read().unwrap();
        if job.entry.tries.crashes == 3 {
            job.fail("killed 3 times").unwrap();
            return Outcome { id: event.id, state: EventOutcome::Failed(Fault::data("killed 3 times")) };
        }
        assert!(event.content != "poison", "a panic, as in a bad turn");
        let id = event.id;
        job.done().unwrap();
        Outcome { id, state: EventOutcome::Done(vec![self.0.root.display().to_string()]) }
    }
}

#[test]
fn panic_counts_as_a_kill_of_its_event_only() {
    let ws = Fixture::new();
    for (from, text) in [("file:a", "poison"), ("file:a", "behind it"), ("file:b", "hello"), ("file:c", "hello")] {
        ws.claw(&["send", "--from", from, text]).ok();
    }
    ws.claw(&["route"]).ok();
    std::panic::set_hook(Box::new(|_| {}));
    let (mut done, mut failed) = (0, 0);
    let mut report = |outcome: Outcome| match outcome.state {
        EventOutcome::Done(_) => done += 1,
        _ => failed += 1,
    };
    let now = Stamp::from(jiff::Timestamp::now());
    for seconds in [0, 1, 60] {
        let world = World::real().unwrap().at(now.plus_seconds(seconds));
        let workspace = Workspace::open(world, ws.root.clone(), true).unwrap();
        pool::drain(&workspace, &Panics(&workspace), 4, &mut report).unwrap();
        let waiting = ws.list("inbox/wait").iter().filter(|name| name.ends_with("~pickle.file-a~2c2.json")).count();
        assert_eq!(waiting, usize::from(seconds < 60), "it is put off after the second kill");
    }
    let later = World::real().unwrap().at(now.plus_seconds(600));
    let workspace = Workspace::open(later, ws.root.clone(), true).unwrap();
    pool::drain(&workspace, &Panics(&workspace), 4, &mut report).unwrap();
    let _ = std::panic::take_hook();
    assert_eq!((done, failed), (3, 1));
    let failed = ws.list("inbox/failed");
    assert!(failed[1].contains("~pickle.file-a~4c3"), "three lives, then the end: {failed:?}");
    assert_eq!(ws.list("inbox/run"), [""; 0]);
}

#[test]
fn a_supervisor_that_is_full_or_waits_does_not_spin() {
    let ws = Fixture::new();
    // One turn that hangs on the only worker, other lanes behind it, and one that is due later.
    ws.config("max_concurrency: 1\n");
    ws.model("slow", "provider: command, command: [sh, -c, \"echo begun >> turns; sleep 30\"]");
    ws.write("agents/pickle/AGENT.md", "---\nname: Pickle\nmax_concurrency: 1\n---\nYou are Pickle.\n");
    let send = |place: &str| drop(ws.claw(&["send", "--from", place, "hi"]).ok());
    ["file:a", "file:b", "file:c"].into_iter().for_each(send);
    ws.claw(&["route"]).ok();
    let supervisor = ws.supervise(&[]);
    ws.claw(&["send", "--from", "file:d", "--in", "1h", "later"]).ok();
    ws.eventually("a turn has begun", |ws| ws.path("turns").exists());
    // A new event while an old one has not begun.
    send("file:e");
    ws.eventually("it is routed", |ws| ws.list("inbox/ready").len() == 3);
    let switches = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", supervisor.child.id())).unwrap().flatten();
        let status = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
        let count = |text: String| {
            let line = text.lines().find(|l| l.starts_with("voluntary_ctxt_switches")).unwrap().to_owned();
            line.split_whitespace().last().unwrap().parse::<u64>().unwrap()
        };
        status.map(count).sum::<u64>()
    };
    // A spinning process is switched hundreds of times while another program runs for a second.
    let spent = || {
        let before = switches();
        ws.shell("sleep 1").ok();
        switches() - before
    };
    let spent = spent().min(spent());
    assert!(spent < 10, "{spent} switches in a second");
}

/// A pool takes the next event as soon as a slot is free: a process that sleeps until then would never get one.
#[test]
fn promised_slot_is_left_to_its_waiter() {
    let ws = Fixture::new();
    let workspace = ws.opened();
    let groups = [("agent-a".to_owned(), 1), ("all".to_owned(), 2)];
    let attempt = |groups: &[Group], own: &Reservations| match Slots::attempt(&workspace, groups, own).unwrap() {
        SlotsTaken::All(slots) => Ok(slots),
        SlotsTaken::Full(count) => Err(count),
    };
    let nothing = Reservations::default();
    let holder = attempt(&groups, &nothing).unwrap();
    let mut own = Reservations::default();
    assert_eq!(attempt(&groups, &own).unwrap_err(), 1);
    own.renew(&workspace, &groups[..1]).unwrap();
    drop(holder);
    assert_eq!(attempt(&groups, &nothing).unwrap_err(), 1, "it is promised");
    drop(attempt(&groups[1..], &nothing).unwrap());
    let slots = attempt(&groups, &own).unwrap();
    drop(own);
    assert_eq!(attempt(&groups, &nothing).unwrap_err(), 1, "it is held");
    drop(slots);
    attempt(&groups, &nothing).unwrap();
}

/// Between taking the first slot and finding the second group full, that first one is promised to a sleeping process:
/// the file of the second group is a FIFO here, whose opening waits until the sleeping process exists.
#[test]
fn returning_a_promised_slot_wakes_its_waiter() {
    use rustix::fs::{CWD, FileType, FlockOperation, Mode, OFlags, flock, mknodat, open};
    let ws = Fixture::new();
    let workspace = ws.opened();
    let groups = [("narrow".to_owned(), 1), ("wide".to_owned(), 1)];
    let slots = ws.path(".claw/locks/slots");
    let wide = slots.join("wide.0");
    mknodat(CWD, &wide, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let full = open(&wide, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
    flock(&full, FlockOperation::LockExclusive).unwrap();
    let watch = Watch::new(&[(slots.clone(), WatchKind::Releases)]).unwrap();
    let mut sleeper = Reservations::default();
    std::thread::scope(|scope| {
        let other = scope
            .spawn(|| matches!(Slots::attempt(&workspace, &groups, &Reservations::default()), Ok(SlotsTaken::Full(2))));
        ws.until_locked(".claw/locks/slots/narrow.0", Locked::Held);
        sleeper.renew(&workspace, &groups[..1]).unwrap();
        drop(open(&wide, OFlags::WRONLY, Mode::empty()).unwrap());
        assert!(other.join().unwrap());
    });
    let soon = workspace.world.now().plus_seconds(10);
    loop {
        match watch.wait(&workspace.world, Some(soon), None).unwrap() {
            Woken::Files(changes) if changes.iter().any(|change| change.name.as_deref() == Some("narrow.0")) => break,
            Woken::Files(_) => {}
            other => panic!("nobody was woken: {other:?}"),
        }
    }
}

/// A sweep removes the file while a process waits for its lock: that lock guards nothing any more.
#[test]
fn a_lock_whose_file_was_taken_away_is_taken_anew() {
    let ws = Fixture::new();
    let workspace = ws.opened();
    let first = NamedLock::attempt(&workspace, "swept").unwrap().unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| NamedLock::wait(&workspace, "swept").unwrap());
        ws.until_locked(".claw/locks/swept", Locked::WaitedFor);
        first.release_and_remove();
        let _second = waiter.join().unwrap();
        assert!(NamedLock::attempt(&workspace, "swept").unwrap().is_none(), "two have it");
    });
}
