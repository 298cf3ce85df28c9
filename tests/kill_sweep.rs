//! Every stage, killed before every system call that touches something durable, and made to fail at
//! every one of them; then recovery, and the checker.

mod common;

use common::checker::{delivered, ended, noted, violations};
use common::proof::{self, Proof};
use common::scenes::{ID, SEND, answered, copy, dropped, failed, recover, routed, sent, synced};
use common::tracer::{self, Fault, Traced};
use common::{Fixture, Ran};
use nix::errno::Errno;
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

/// A situation, the command that is interrupted in it, and what the end must look like.
struct Scenario {
    name: &'static str,
    arrange: fn(&Fixture),
    command: &'static [&'static str],
    /// The event was accepted before the command ran.
    is_accepted: bool,
}

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "send", arrange: |_| {}, command: SEND, is_accepted: false },
    Scenario { name: "drop", arrange: dropped, command: &["route"], is_accepted: true },
    Scenario { name: "route", arrange: sent, command: &["route"], is_accepted: true },
    Scenario { name: "run-agent", arrange: routed, command: &["run-agent"], is_accepted: true },
    Scenario { name: "deliver", arrange: answered, command: &["deliver", "--channel", "file"], is_accepted: true },
    Scenario { name: "remember", arrange: answered, command: &["remember"], is_accepted: true },
    Scenario { name: "tick", arrange: sent, command: &["tick"], is_accepted: true },
    Scenario { name: "retry", arrange: failed, command: &["retry", ID], is_accepted: true },
    Scenario { name: "recovery", arrange: orphaned, command: &["tick"], is_accepted: true },
];

/// Killed right after the claim, with a torn last line in the log.
fn orphaned(ws: &Fixture) {
    routed(ws);
    let ready = ws.path(&format!("inbox/ready/{ID}~pickle.file-a~0.json"));
    std::fs::rename(ready, ws.path(&format!("inbox/run/{ID}~pickle.file-a~1.json"))).unwrap();
    ws.write("sessions/pickle.file-a/log.jsonl", "{\"t\":\"in\",\"at\":\"2026-");
}

fn interrupted(ws: &Fixture, scenario: &Scenario, at: usize, fault: Fault) -> Traced {
    tracer::run(ws.command(scenario.command), at, fault)
}

/// What is wrong at the end, after `traced`.
fn wrong(ws: &Fixture, scenario: &Scenario, traced: &Traced) -> Vec<String> {
    let done = ended(ws);
    let is_accepted = scenario.is_accepted || traced.code == 0;
    if done.is_empty() && !is_accepted {
        return violations(ws, &[]);
    }
    let mut wrong = violations(ws, &done);
    let is_named = scenario.name == "drop" || done == [ID];
    if done.len() != 1 || !is_named {
        wrong.push(format!("these events are done: {done:?}"));
    }
    let answers: Vec<String> = done.iter().map(|id| format!("{id}.r01.md")).collect();
    if delivered(ws) != answers {
        wrong.push(format!("delivered: {:?}", delivered(ws)));
    }
    if noted(ws, "- fact <!--") != 1 {
        wrong.push(format!("noted {} times", noted(ws, "- fact <!--")));
    }
    wrong
}

/// Runs every scenario to each of its durable calls, with each of the faults that `faults` names for
/// the call of that number.
fn sweep(
    name: &'static str,
    faults: impl Fn(usize) -> Vec<Fault>,
    expect: impl Fn(&Fixture, &Traced) -> Option<String>,
) {
    let mut proof = Proof::begin(name);
    let template = synced();
    let mut found = Vec::new();
    for scenario in SCENARIOS {
        let arranged = copy(&template);
        (scenario.arrange)(&arranged);
        let calls = interrupted(&copy(&arranged), scenario, 0, Fault::Kill).calls;
        assert!(calls >= 4, "{} makes only {calls} durable calls", scenario.name);
        // One more than there are: threads may interleave differently.
        for (at, fault) in (1..=calls + 1).flat_map(|at| faults(at).into_iter().map(move |fault| (at, fault))) {
            if proof::is_first() && !found.is_empty() {
                break;
            }
            let ws = copy(&arranged);
            let traced = interrupted(&ws, scenario, at, fault);
            let Some(call) = traced.hit else { continue };
            proof.points += 1;
            let place = format!("{} at {call} ({at} of {calls}), {fault:?}", scenario.name);
            found.extend(expect(&ws, &traced).map(|what| format!("{place}: {what}")));
            recover(&ws);
            found.extend(wrong(&ws, scenario, &traced).into_iter().map(|what| format!("{place}: {what}")));
        }
    }
    proof.end(found.len());
    assert!(found.is_empty(), "{} violations in {} points\n{found:#?}", found.len(), proof.points);
    assert!(proof::is_first() || proof.points > 100);
}

#[test]
fn killed_before_every_durable_call_nothing_is_lost_and_nothing_is_done_twice() {
    sweep("kill -9 before every durable call", |_| vec![Fault::Kill], |_, _| None);
}

/// What a machine in trouble says.
const TROUBLE: [Errno; 6] = [Errno::ENOSPC, Errno::EIO, Errno::EROFS, Errno::EDQUOT, Errno::EMFILE, Errno::EINTR];

/// After trouble of the machine the event is as it was: no attempt is burnt, nothing has failed.
fn untouched(ws: &Fixture, traced: &Traced) -> Option<String> {
    let states = ["inbox/failed", "inbox/wait", "outbox/failed", "outbox/wait"];
    let names = states.iter().flat_map(|d| ws.list(d));
    let touched: Vec<String> = names.filter(|n| !n.contains(".reason") && !n.contains("~1.json")).collect();
    if !touched.is_empty() {
        return Some(format!("{touched:?}"));
    }
    (!matches!(traced.code, 0 | 75)).then(|| format!("exit {}: {}", traced.code, traced.out))
}

#[test]
fn the_machines_trouble_at_every_durable_call_burns_no_attempt_and_loses_nothing() {
    // One kind at each call, another at the next; all of them at every call take six times as long.
    let all = TROUBLE.map(Fault::Error);
    let faults = |at: usize| if proof::is_full() { all.to_vec() } else { vec![all[at % all.len()]] };
    sweep("an error from every durable call", faults, untouched);
}

/// What the files that are appended to hold, by name.
fn appended(ws: &Fixture) -> BTreeMap<PathBuf, String> {
    let files = walkdir::WalkDir::new(&ws.root).into_iter().flatten().map(walkdir::DirEntry::into_path);
    let is_one = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name == "log.jsonl"
            || name == "routes.jsonl"
            || name.ends_with(".receipt")
            || path.parent().is_some_and(|dir| dir.ends_with("memories/daily-notes"))
    };
    let relative = |path: &PathBuf| path.strip_prefix(&ws.root).unwrap().to_path_buf();
    files.filter(|p| p.is_file() && is_one(p)).map(|p| (relative(&p), std::fs::read_to_string(&p).unwrap())).collect()
}

/// The kernel tells of a lost write once; a second sync would say that all is well.
#[test]
fn what_could_not_be_synced_is_cut_off_again() {
    let template = synced();
    let mut files = HashSet::new();
    for scenario in SCENARIOS.iter().filter(|s| ["route", "run-agent", "deliver", "remember"].contains(&s.name)) {
        let arranged = copy(&template);
        (scenario.arrange)(&arranged);
        let calls = interrupted(&copy(&arranged), scenario, 0, Fault::Kill).calls;
        for at in 2..=calls {
            let ws = copy(&arranged);
            let traced = interrupted(&ws, scenario, at, Fault::Error(Errno::EIO));
            if !traced.hit.as_ref().is_some_and(|call| call.contains("fdatasync")) {
                continue;
            }
            // The write before it, and what it has added.
            let [before, written] = [at - 1, at].map(|at| {
                let ws = copy(&arranged);
                interrupted(&ws, scenario, at, Fault::Kill);
                appended(&ws)
            });
            let left = appended(&ws);
            // Lines are counted: what they say of the time differs from run to run.
            let lines = |texts: &BTreeMap<_, String>, file| texts.get(file).map_or(0, |text| text.lines().count());
            for file in written.keys().filter(|file| lines(&written, *file) > lines(&before, *file)) {
                let is_cut = lines(&left, file) <= lines(&before, file);
                assert!(is_cut, "{}: {} keeps what was not synced", scenario.name, file.display());
                files.insert(file.extension().map(ToOwned::to_owned));
            }
        }
    }
    assert_eq!(files.len(), 3, "logs and routes, receipts, notes: {files:?}");
}

#[test]
fn ask_killed_before_every_durable_call_answers_once() {
    let mut proof = Proof::begin("kill -9 of ask before every durable call");
    let template = synced();
    let ask = ["ask", "-n", "remember fact"];
    let calls = tracer::run(copy(&template).command(&ask), 0, Fault::Kill).calls;
    for at in 1..=calls {
        let ws = copy(&template);
        let traced = tracer::run(ws.command(&ask), at, Fault::Kill);
        let Some(call) = traced.hit else { continue };
        proof.points += 1;
        recover(&ws);
        let fetched: Ran = ws.claw(&["deliver"]);
        let done = ended(&ws);
        let wrong = violations(&ws, &done);
        assert!(wrong.is_empty(), "{call} ({at} of {calls}): {wrong:#?}");
        // Either it was never accepted, or it was answered: here or there, and here and there only
        // where it was killed between printing and saying so.
        let printed = [&traced.out, &fetched.out].iter().filter(|out| out.contains("Noted in")).count();
        assert!(done.len() <= 1, "{done:?}");
        assert!(printed >= done.len(), "{call} ({at} of {calls}): answered nowhere");
        assert_eq!(noted(&ws, "- fact <!--"), done.len(), "{call} ({at} of {calls})");
    }
    proof.end(0);
}

#[test]
fn ask_syncs_as_often_as_it_must_and_no_more() {
    let ws = synced();
    ws.claw(&["ask", "-n", "-s", "old", "hello"]).ok();
    let syncs = |arguments: &[&str]| tracer::run(ws.command(arguments), 0, Fault::Kill).syncs;
    // The question and its name, the turn, the answer and its name; a new session's two names.
    assert_eq!(syncs(&["ask", "-n", "-s", "old", "hello"]), 5);
    assert_eq!(syncs(&["ask", "-n", "hello"]), 7);
}
