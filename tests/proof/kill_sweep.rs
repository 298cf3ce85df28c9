//! Every stage, killed before every system call that touches something durable, and made to fail at
//! every one of them; then recovery, and the checker.

use crate::common::checker::{delivered, ended, noted, violations};
use crate::common::proof::{self, Proof};
use crate::common::scenes::{
    Faults, ID, QUEUE, SEND, answered, burnt, copy, dropped, failed, queued, recover, routed, sent, standing, synced,
};
use crate::common::tracer::{self, Fault, Traced};
use crate::common::{Fixture, Ran};
use claw::core::event::entry::Entry;
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
    Scenario { name: "a queue", arrange: queued, command: &["run-agent"], is_accepted: true },
    Scenario { name: "a queue's last", arrange: queued, command: &["run-agent", QUEUE[2]], is_accepted: true },
];

/// All of them; for the quick proof of the two ways to work off a queue the one that stops at trouble.
fn scenarios() -> impl Iterator<Item = &'static Scenario> {
    SCENARIOS.iter().filter(|s| proof::is_full() || s.name != "a queue")
}

impl Scenario {
    /// The ids that must be done in the end, where they are known.
    fn ids(&self) -> &[&str] {
        match self.name {
            "drop" => &[],
            name if name.starts_with("a queue") => &QUEUE,
            _ => &[ID],
        }
    }
}

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

/// Brings everything to its end, and returns what is wrong then, after `traced`.
fn wrong(ws: &Fixture, scenario: &Scenario, traced: &Traced) -> Vec<String> {
    // What a person had wanted to try again, that person tries again.
    if scenario.name == "retry" && ws.list("inbox/failed").iter().any(|name| name.ends_with(".json")) {
        ws.claw(&["retry", ID]);
    }
    recover(ws);
    let done = ended(ws);
    // Whoever was told its id was told that it is accepted.
    let is_accepted = scenario.is_accepted || traced.code == 0 || traced.out.contains(ID);
    if done.is_empty() && !is_accepted {
        return violations(ws, &[]);
    }
    let mut wrong = violations(ws, &done);
    let ids = scenario.ids();
    if done.len() != ids.len().max(1) || !ids.is_empty() && done != ids {
        wrong.push(format!("these events are done: {done:?}"));
    }
    let answers: Vec<String> = done.iter().map(|id| format!("{id}.r01.md")).collect();
    if delivered(ws) != answers {
        wrong.push(format!("delivered: {:?}", delivered(ws)));
    }
    if noted(ws, "- fact") != done.len() {
        wrong.push(format!("noted {} times", noted(ws, "- fact")));
    }
    wrong
}

/// Runs every scenario to each of its durable calls, with each of the faults.
fn sweep(name: &'static str, faults: Faults, expect: impl Fn(&Fixture, &[(String, Entry)], &Traced) -> Option<String>) {
    let mut proof = Proof::begin(name);
    let template = synced();
    let mut found = Vec::new();
    for scenario in scenarios() {
        let arranged = copy(&template);
        (scenario.arrange)(&arranged);
        let before = standing(&arranged);
        let calls = interrupted(&copy(&arranged), scenario, 0, Fault::Kill).calls;
        assert!(calls >= 4, "{} makes only {calls} durable calls", scenario.name);
        // One more than there are: threads may interleave differently.
        for (at, fault) in faults.of(calls + 1) {
            if proof::is_first() && !found.is_empty() {
                break;
            }
            let ws = copy(&arranged);
            let traced = interrupted(&ws, scenario, at, fault);
            let Some(call) = traced.hit else { continue };
            proof.points += 1;
            let place = format!("{} at {call} ({at} of {calls}), {fault:?}", scenario.name);
            found.extend(expect(&ws, &before, &traced).map(|what| format!("{place}: {what}")));
            found.extend(wrong(&ws, scenario, &traced).into_iter().map(|what| format!("{place}: {what}")));
        }
    }
    proof.judge(&found, 100);
}

#[test]
fn killed_before_every_durable_call_nothing_is_lost_and_nothing_is_done_twice() {
    sweep("kill -9 before every durable call", Faults::Kills(1), |_, _, _| None);
}

/// After trouble of the machine every event is as it was, and the exit code says what it is.
fn untouched(ws: &Fixture, before: &[(String, Entry)], traced: &Traced) -> Option<String> {
    let is_told = matches!(traced.code, 0 | 75);
    burnt(ws, before).or_else(|| (!is_told).then(|| format!("exit {}: {}", traced.code, traced.out)))
}

#[test]
fn the_machines_trouble_at_every_durable_call_burns_no_attempt_and_loses_nothing() {
    sweep("an error from every durable call", Faults::Troubles(2), untouched);
}

/// Folders that are listed, locks, logs, settings, agents, events, and folders that are synced: everything that is
/// opened cannot be.
#[test]
fn what_cannot_be_opened_for_a_while_burns_no_attempt_and_loses_nothing() {
    let mut proof = Proof::begin("an error from every opening of something in the workspace");
    let template = synced();
    let (kinds, mut found) = ([Errno::EMFILE, Errno::EIO], Vec::new());
    for (n, scenario) in scenarios().enumerate() {
        let arranged = copy(&template);
        (scenario.arrange)(&arranged);
        let before = standing(&arranged);
        let count = |ws: &Fixture| tracer::run_opening(ws.command(scenario.command), &ws.root, 0, kinds[0]).calls;
        let opened = count(&copy(&arranged));
        for (at, errno) in (1..=opened).flat_map(|at| kinds.map(|errno| (at, errno))) {
            // For the quick one each third, another third in the next scenario, and one kind at each.
            if !proof::is_full() && ((at + n) % 3 != 0 || errno != kinds[(at + n) % kinds.len()]) {
                continue;
            }
            let ws = copy(&arranged);
            let traced = tracer::run_opening(ws.command(scenario.command), &ws.root, at, errno);
            let Some(call) = traced.hit else { continue };
            proof.points += 1;
            let place = format!("{} at {call} ({at} of {opened}), {errno:?}", scenario.name);
            found.extend(untouched(&ws, &before, &traced).map(|what| format!("{place}: {what}")));
            found.extend(wrong(&ws, scenario, &traced).into_iter().map(|what| format!("{place}: {what}")));
        }
    }
    proof.judge(&found, 0);
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

const ASK: [&str; 3] = ["ask", "-n", "remember fact"];

/// Brings everything to its end, and returns what is wrong then, where `ask` was disturbed.
fn asked_wrongly(ws: &Fixture, traced: &Traced, is_published: bool) -> Vec<String> {
    recover(ws);
    let fetched: Ran = ws.claw(&["deliver"]);
    let done = ended(ws);
    let mut wrong = violations(ws, &done);
    if done.len() != usize::from(is_published) {
        wrong.push(format!("these events are done: {done:?}"));
    }
    let [here, there] = [&traced.out, &fetched.out].map(|out| out.matches("Noted in").count());
    if here > 1 || there > 1 || here + there < done.len() {
        wrong.push(format!("answered {here} times here and {there} times there"));
    }
    if noted(ws, "- fact <!--") != done.len() {
        wrong.push(format!("noted {} times", noted(ws, "- fact <!--")));
    }
    wrong
}

/// Disturbs `ask` at every durable call with each of the faults.
fn sweep_ask(name: &'static str, faults: Faults) {
    let mut proof = Proof::begin(name);
    let template = synced();
    let (mut found, mut repeats) = (Vec::new(), 0);
    let plain = tracer::run(copy(&template).command(&ASK), 0, Fault::Kill);
    for (at, fault) in faults.of(plain.calls) {
        let ws = copy(&template);
        let traced = tracer::run(ws.command(&ASK), at, fault);
        let Some(call) = traced.hit else { continue };
        proof.points += 1;
        let place = format!("{call} ({at} of {}), {fault:?}", plain.calls);
        if fault != Fault::Kill {
            let what = (!matches!(traced.code, 0 | 75)).then(|| format!("exit {}: {}", traced.code, traced.out));
            found.extend(burnt(&ws, &[]).or(what).map(|what| format!("{place}: {what}")));
        }
        let is_published = !ws.pending().is_empty() || !ended(&ws).is_empty();
        let is_printed = traced.out.contains("Noted in");
        found.extend(asked_wrongly(&ws, &traced, is_published).into_iter().map(|what| format!("{place}: {what}")));
        repeats += usize::from(is_printed && fault == Fault::Kill && traced.code != 0);
    }
    proof.judge(&found, 0);
    assert!(repeats < 8, "{repeats} calls lie between printing and saying so");
}

#[test]
fn ask_killed_before_every_durable_call_answers_once() {
    sweep_ask("kill -9 of ask before every durable call", Faults::Kills(1));
}

#[test]
fn the_machines_trouble_in_ask_burns_no_attempt_and_loses_nothing() {
    sweep_ask("an error from every durable call of ask", Faults::Troubles(2));
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
