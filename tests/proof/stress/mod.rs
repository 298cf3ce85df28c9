//! The stress proof: many processes, manual changes and kills on one workspace; then nothing is lost, nothing is done
//! twice, every lane is in order, and no limit was exceeded.

mod judge;
mod people;
mod town;
mod units;
mod zoo;

use crate::common::findings;
use crate::common::proof::{self, Proof, Random};
use judge::{Verdict, judge};
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use people::{Said, meddle, speak};
use std::collections::BTreeSet;
use std::io::Write;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use town::Town;
use units::{Ears, UNITS};
use zoo::{Beast, Zoo};

/// The most deliveries that one process holds.
const DELIVERIES: usize = claw::stage::task::DELIVERIES;

/// The kinds of workers, their number, and their longest life in milliseconds.
const BEASTS: &[(usize, Beast)] = &[
    (8, Beast { arguments: &["run-agent"], life: 500, claims: [true, false] }),
    (2, Beast { arguments: &["route"], life: 20, claims: [false, false] }),
    (2, Beast { arguments: &["deliver"], life: 80, claims: [false, true] }),
    (2, Beast { arguments: &["tick"], life: 500, claims: [true, true] }),
];

/// Prints a line past the harness's capture of a passing test.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn begin(name: &'static str) -> (Proof, u64) {
    let mut proof = Proof::begin(name);
    let seed = proof::seed();
    proof.seed = Some(seed);
    say(&format!("CLAW_TEST_SEED={seed}"));
    (proof, seed)
}

#[track_caller]
fn end(mut proof: Proof, points: usize, kills: [usize; 2], verdict: &Verdict, more: &str) {
    let Verdict { wrong, failed, adopted, turns: (begun, cut) } = verdict;
    say(&format!(
        "killed with claims {kills:?}, taken over {adopted:?}, failed after three kills {failed:?}; \
         {begun} turns begun, {cut} cut off; {more}"
    ));
    proof.points = points;
    proof.end(wrong.len());
    findings::none("conditions are broken", wrong);
    assert!(kills[0] > 0 && adopted[0] > 0, "nobody was killed at work, so nothing was shown");
}

#[test]
fn crowd_of_killed_processes_and_moved_files() {
    let (proof, seed) = begin("14 processes are killed at random and started again, people move files");
    let count = if proof::is_full() { 10_000 } else { 600 };
    let patience = if proof::is_full() { Duration::from_mins(20) } else { Duration::from_secs(20) };
    let town = Town::new(20, 200, 6);
    let zoo = Zoo::new(&town.ws);
    let mut said = Said::new();
    let meddled = std::thread::scope(|scope| {
        let closing = Closing(&zoo);
        let beasts = BEASTS.iter().flat_map(|(many, beast)| std::iter::repeat_n(beast, *many));
        for (beast, seed) in beasts.zip(seed + 1..) {
            let zoo = &zoo;
            scope.spawn(move || zoo.keep(*beast, seed));
        }
        let meddler = scope.spawn(|| meddle(&town, &zoo, !seed));
        speak(&town, 0..count, &mut Random(seed), &mut said);
        // The last events are left to the ticks of the judge, without manual changes.
        let end = Instant::now() + patience;
        while Instant::now() < end && town.ws.pending().len() > town.lanes / 10 {
            zoo.rest(Duration::from_millis(100));
        }
        drop(closing);
        meddler.join().unwrap()
    });
    let kills = [&zoo.kills[0], &zoo.kills[1]].map(|kills| kills.load(Ordering::Relaxed));
    let mut verdict = judge(&town, &said, &meddled.forgiven, kills, [town.limit, DELIVERIES]);
    verdict.wrong.extend(meddled.strange);
    let starts = zoo.starts.load(Ordering::Relaxed);
    let more = format!("{starts} processes; moves, copies, edits, locks by hand {:?}", meddled.acts);
    end(proof, count, kills, &verdict, &more);
}

/// Many agents behind bindings of every tier, and as many processes that are killed at random.
const EIGHT: &[(usize, Beast)] = &[
    (4, Beast { arguments: &["run-agent"], life: 500, claims: [true, false] }),
    (1, Beast { arguments: &["route"], life: 20, claims: [false, false] }),
    (1, Beast { arguments: &["deliver"], life: 80, claims: [false, true] }),
    (2, Beast { arguments: &["tick"], life: 500, claims: [true, true] }),
];

#[test]
fn each_event_is_answered_by_the_agent_that_explain_names_in_its_order_and_never_too_many_at_once() {
    let is_full = proof::is_full();
    let (proof, seed) = begin(if is_full {
        "8 processes are killed at random over 100 agents behind bindings, and 1,000 sources"
    } else {
        "8 processes are killed at random over 10 agents behind bindings, and 50 sources"
    });
    let (agents, lanes, count) = if is_full { (100, 1000, 20_000) } else { (10, 50, 400) };
    let town = Town::bound(agents, lanes, 6);
    let chosen: BTreeSet<&String> = town.explained.iter().collect();
    assert!(chosen.len() > agents / 2, "bindings that choose few agents show little: {chosen:?}");
    let zoo = Zoo::new(&town.ws);
    let mut said = Said::new();
    std::thread::scope(|scope| {
        let _closing = Closing(&zoo);
        let beasts = EIGHT.iter().flat_map(|(many, beast)| std::iter::repeat_n(beast, *many));
        for (beast, seed) in beasts.zip(seed + 1..) {
            let zoo = &zoo;
            scope.spawn(move || zoo.keep(*beast, seed));
        }
        speak(&town, 0..count, &mut Random(seed), &mut said);
        let end = Instant::now() + Duration::from_secs(if is_full { 2400 } else { 15 });
        while Instant::now() < end && town.ws.pending().len() > town.lanes / 5 {
            zoo.rest(Duration::from_millis(100));
        }
    });
    let kills = [&zoo.kills[0], &zoo.kills[1]].map(|kills| kills.load(Ordering::Relaxed));
    let verdict = judge(&town, &said, &BTreeSet::new(), kills, [town.limit, DELIVERIES]);
    let more = format!("{} processes, {} agents chosen", zoo.starts.load(Ordering::Relaxed), chosen.len());
    end(proof, count, kills, &verdict, &more);
}

/// While an event waits in a lane, each process serves any other lane at most twice: once in its current round,
/// and once in the next.
#[test]
fn a_lane_that_waits_is_passed_by_another_one_twice_for_each_process_at_most() {
    let mut proof = Proof::begin("8 processes serve lanes of few events beside lanes that are flooded");
    let (lanes, few, flood, processes) = if proof::is_full() { (100, 20, 1000, 8) } else { (12, 6, 60, 8) };
    let town = Town::new(3, lanes, 4);
    for agent in 0..3 {
        let name = town.agent(agent);
        let text = format!("---\nname: {name}\nmax_concurrency: 4\n---\nx\n");
        town.ws.write(&format!("agents/{name}/AGENT.md"), &text);
    }
    // The two first lanes have many more events than the others, and had them earlier.
    let ids = (0..2).flat_map(|lane| std::iter::repeat_n(lane, flood)).chain((0..few).flat_map(|_| 2..lanes));
    for (n, lane) in ids.enumerate() {
        let from = format!("---\nfrom: file:l{lane}\nagent: {}\n---\nn={n}\n", town.agent(lane));
        town.ws.write(&format!("inbox/{n:05}.md"), &from);
        proof.points += 1;
    }
    town.ws.claw(&["route"]).ok();
    let workers: Vec<_> = (0..processes).map(|_| town.ws.command(&["run-agent"]).spawn().unwrap()).collect();
    for worker in workers {
        assert_eq!(worker.wait_with_output().unwrap().status.code(), Some(0));
    }
    let text = town.ws.read("turns");
    let served: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("+ ")?.split(' ').next()).collect();
    assert_eq!(served.len(), proof.points);
    let most = most_passed(&served);
    proof.end(usize::from(most > 2 * processes));
    say(&format!("a waiting lane was passed by another one {most} times at most"));
    assert!(most <= 2 * processes, "{most}");
}

/// How often a lane was served at most while another one waited, from its last turn to its next.
fn most_passed(served: &[&str]) -> usize {
    let lanes: BTreeSet<&str> = served.iter().copied().collect();
    let gaps = lanes.iter().flat_map(|lane| {
        let own = served.split(move |other| other == lane);
        // After its last event it waits no more.
        let count = served.iter().filter(|other| *other == lane).count();
        own.take(count)
    });
    let most = |gap: &[&str]| lanes.iter().map(|lane| gap.iter().filter(|other| *other == lane).count()).max();
    gaps.filter_map(most).max().unwrap_or_default()
}

#[test]
fn supervisors_a_shell_loop_and_one_shots_on_one_workspace() {
    let (proof, seed) = begin("2 supervisors, one killed again and again, a shell loop and path units");
    let (count, kills) = if proof::is_full() { (3000, 100) } else { (200, 8) };
    let town = Town::new(5, 30, 4);
    let ws = &town.ws;
    let (mut random, mut said) = (Random(seed), Said::new());
    let steady = ws.supervise(&[]);
    let mut shaken = ws.supervise(&[]);
    // If the test fails, the workspace is removed meanwhile.
    let shell = "while [ -e claw.yaml ] && [ ! -e stop ]; do claw tick; claw route | claw run-agent -; claw deliver --channel file; done";
    let mut shell = ws.shell_command(shell).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (ears, hears): (Vec<Ears>, Vec<_>) = UNITS.iter().map(|unit| unit.listen(ws)).unzip();
    let runs: Vec<usize> = std::thread::scope(|scope| {
        let deaf = Deaf(&ears);
        let units: Vec<_> =
            UNITS.iter().zip(hears).map(|(unit, hear)| scope.spawn(move || unit.serve(ws, &hear))).collect();
        for part in 0..kills {
            let numbers = count * part / kills..count * (part + 1) / kills;
            std::thread::scope(|scope| {
                let speaker = scope.spawn(|| speak(&town, numbers, &mut random, &mut said));
                ws.eventually("it is at work, or everything has been said and done", |ws| {
                    !children(shaken.child.id()).is_empty() || speaker.is_finished() && ws.pending().is_empty()
                });
                shaken.child.kill().unwrap();
            });
            shaken.child.wait().unwrap();
            shaken = ws.supervise(&[]);
        }
        ws.eventually("everything has come to its end", |ws| ws.pending().is_empty());
        drop(deaf);
        units.into_iter().map(|unit| unit.join().unwrap()).collect()
    });
    ws.write("stop", "");
    shell.wait().unwrap();
    for supervisor in [steady, shaken] {
        assert_eq!(supervisor.stop().code, 0);
    }
    let verdict = judge(&town, &said, &BTreeSet::new(), [kills; 2], [town.limit, DELIVERIES]);
    end(proof, count, [kills; 2], &verdict, &format!("one-shots {runs:?}"));
}

/// Closes the zoo, also if the test fails: its keepers would never end.
struct Closing<'a>(&'a Zoo<'a>);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Stops the units, also if the test fails.
struct Deaf<'a>(&'a [Ears]);

impl Drop for Deaf<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|ears| ears.tell.send(false).unwrap_or_default());
    }
}

/// The effect of a slow machine on a kill: the killed worker's program lives on for a while.
#[test]
fn a_killed_turn_counts_until_its_program_is_dead() {
    let town = Town::new(1, 2, 6);
    let ws = &town.ws;
    ws.write("model.sh", "echo begun >>turns; [ -e go ] || exec sleep 60; echo fine");
    let mut random = Random(1);
    speak(&town, 0..4, &mut random, &mut Said::new());
    ws.claw(&["route"]).ok();
    let mut worker = ws.command(&["run-agent"]).spawn().unwrap();
    ws.eventually("a turn has begun", |ws| ws.path("turns").exists());
    let watcher = children(worker.id()).pop().unwrap();
    // A stopped process would be woken when its parent dies, a traced one is not.
    ptrace::seize(watcher, Options::empty()).unwrap();
    ptrace::interrupt(watcher).unwrap();
    waitpid(watcher, Some(WaitPidFlag::__WALL)).unwrap();
    worker.kill().unwrap();
    worker.wait().unwrap();
    ws.write("go", "");
    ws.claw(&["run-agent"]);
    let begun = ws.read("turns").lines().count();
    ptrace::detach(watcher, None).unwrap();
    town.drain();
    assert_eq!(begun, 1, "the agent's max_concurrency is 1, and its first turn's program was alive");
}

fn children(pid: u32) -> Vec<Pid> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let listed = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    listed
        .flat_map(|text| text.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .map(Pid::from_raw)
        .collect()
}

/// One process publishes into `new/`, one event after another, while another one lists it.
#[test]
fn earlier_message_is_routed_first() {
    use claw::core::event::Draft;
    use claw::store::queue::publish;
    use claw::store::workspace::{Workspace, clock};
    let ws = crate::common::Fixture::new();
    let workspace = Workspace::open(claw::world::World::real().unwrap(), ws.root.clone(), true).unwrap();
    let publish = |place: &str| {
        let from = Some(claw::core::event::address::Address::parse(place).unwrap());
        let id = clock::next_id(&workspace).unwrap();
        let draft = Draft { from, ..Draft::message("x") };
        publish::inbox(&workspace, &publish::complete(&workspace, draft, id.clone()).unwrap()).unwrap();
        id.to_string()
    };
    let mut missed = Vec::new();
    for _ in 0..10 {
        // More names than the kernel returns at once.
        (0..3000).for_each(|_| drop(publish("file:before")));
        let mut route = ws.command(&["route"]).stdout(Stdio::null()).spawn().unwrap();
        let mut order = Vec::new();
        while route.try_wait().unwrap().is_none() {
            order.push(publish("file:lane"));
        }
        let ready: BTreeSet<String> =
            ws.list("inbox/ready").into_iter().filter_map(|name| Some(name.split_once('~')?.0.to_owned())).collect();
        let routed = order.iter().rposition(|id| ready.contains(id)).map_or(0, |last| last + 1);
        missed.extend(order[..routed].iter().filter(|id| !ready.contains(*id)).cloned());
        ws.claw(&["route"]).ok();
    }
    assert!(missed.is_empty(), "{} events were passed by later ones of their lane", missed.len());
}
