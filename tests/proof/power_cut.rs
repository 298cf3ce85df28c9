//! Every stage with a power cut after every operation, in every way that the crash model allows
//! (docs/protocol.md), or in a sample of the ways. Then recovery, and the checker.
//!
//! `CLAW_PROOF=full` tries many more ways.

use crate::common::checker::{delivered, ended, noted, torn, violations};
use crate::common::proof::{Proof, is_first, is_full};
use crate::common::recorder::{self, Data, Disk, Op, Step, Tree};
use crate::common::scenes::{SEND, answered, dropped, routed, sent};
use crate::common::{Fixture, Ran, findings};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

/// A workspace, and the command during which the power is cut.
struct Scenario {
    name: &'static str,
    arrange: fn(&Fixture),
    command: &'static [&'static str],
    /// The acknowledgement of the event.
    accepted: Accepted,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Accepted {
    /// It was accepted and durable before the command ran.
    Before,
    /// Its id was printed.
    Id,
    /// The answer was printed.
    Answer,
    /// It was an invalid drop, and is kept with a reason.
    Never,
}

const ASK: &[&str] = &["ask", "-n", "remember fact"];

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "send", arrange: |_| {}, command: SEND, accepted: Accepted::Id },
    Scenario { name: "drop", arrange: dropped, command: &["route"], accepted: Accepted::Before },
    Scenario { name: "route", arrange: sent, command: &["route"], accepted: Accepted::Before },
    Scenario { name: "run-agent", arrange: routed, command: &["run-agent"], accepted: Accepted::Before },
    Scenario { name: MOODY, arrange: routed_to_a_moody_model, command: &["run-agent"], accepted: Accepted::Before },
    Scenario { name: "deliver", arrange: answered, command: &["deliver"], accepted: Accepted::Before },
    Scenario { name: "exec", arrange: answered_by_program, command: &["deliver"], accepted: Accepted::Before },
    Scenario { name: "remember", arrange: answered, command: &["remember"], accepted: Accepted::Before },
    Scenario { name: "tick", arrange: sent, command: &["tick"], accepted: Accepted::Before },
    Scenario { name: "tick, drop", arrange: dropped, command: &["tick"], accepted: Accepted::Before },
    Scenario { name: "no event", arrange: dropped_badly, command: &["route"], accepted: Accepted::Never },
    Scenario { name: "no agent", arrange: for_nobody, command: &["route"], accepted: Accepted::Never },
    Scenario { name: "no answer", arrange: unanswerable, command: &["run-agent"], accepted: Accepted::Never },
    Scenario { name: "tick, laid out anew", arrange: stripped, command: &["tick"], accepted: Accepted::Before },
    Scenario { name: "ask", arrange: |_| {}, command: ASK, accepted: Accepted::Answer },
    Scenario { name: CRON, arrange: scheduled, command: &["tick"], accepted: Accepted::Before },
];

/// A scheduled job, whose one instant has just passed.
const CRON: &str = "scheduled job";

fn scheduled(ws: &Fixture) {
    let at = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(1);
    let at = at.strftime("%Y-%m-%dT%H:%M:%SZ");
    let head = format!("name: job\nagent: pickle\nat: {at}\nmodel: offline\ndeliver_to: file:a");
    ws.write("crons/job/CRON.md", &format!("---\n{head}\n---\nremember fact\n"));
}

/// The violations after recovery: the instant ran once, its answer was delivered once, and the job has moved away.
fn wrong_schedule(ws: &Fixture, taken: &[String]) -> Vec<String> {
    let mut wrong = ws.pending();
    wrong.extend(ws.list("inbox/failed"));
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(40);
    let mut audit = ws.command(&["crons", "audit", "--json"]);
    let audit: Ran = audit.env("CLAW_NOW", later.to_string()).output().unwrap().into();
    if audit.code != 0 || !audit.out.contains("\"ran\":1,") {
        wrong.push(format!("{audit:?}"));
    }
    let answers: Vec<String> = taken.iter().cloned().chain(delivered(ws)).collect();
    if answers.len() != 1 || noted(ws, "- fact <!--") != 1 {
        wrong.push(format!("delivered {answers:?}, noted {} times", noted(ws, "- fact <!--")));
    }
    if ws.list("crons/.done") != ["job"] || ws.path("crons/job").exists() {
        wrong.push("the job has not moved to crons/.done".to_owned());
    }
    wrong.extend(torn(ws));
    wrong
}

fn dropped_badly(ws: &Fixture) {
    ws.write("inbox/q.md", "---\nfrom: [\n---\nhello\n");
}

fn for_nobody(ws: &Fixture) {
    ws.write("inbox/q.json", r#"{"from": "file:a", "agent": "nobody", "content": "hello"}"#);
}

fn unanswerable(ws: &Fixture) {
    ws.publish(&serde_json::json!({"kind": "approval", "from": "file:a", "content": "yes"}));
    ws.claw(&["route"]).ok();
}

/// Empty folders were removed; folders created in their place must be durable.
fn stripped(ws: &Fixture) {
    sent(ws);
    for folder in ["inbox/ready", "inbox/run", "outbox/ready", "outbox/run", "sessions", "memories"] {
        std::fs::remove_dir_all(ws.path(folder)).unwrap();
    }
}

/// A model that never gives the same answer twice.
const MOODY: &str = "run-agent, moody model";

fn routed_to_a_moody_model(ws: &Fixture) {
    let meta = serde_json::json!({"model": "moody"});
    ws.publish(&serde_json::json!({"kind": "message", "from": "file:a", "meta": meta, "content": "how are you?"}));
    ws.claw(&["route"]).ok();
}

/// Every delivered answer that differs from the session's log.
fn unlogged(ws: &Fixture) -> Vec<String> {
    let log = std::fs::read_to_string(ws.path("sessions/pickle.file-a/log.jsonl")).unwrap_or_default();
    let answer = |name: &String| ws.read(&format!("outbox/files/a/{name}"));
    let is_unlogged = |name: &String| !log.contains(&format!("\"content\":\"{}\"", answer(name).trim_end()));
    delivered(ws).into_iter().filter(is_unlogged).map(|name| format!("another answer is logged: {name}")).collect()
}

fn answered_by_program(ws: &Fixture) {
    ws.claw(&["send", "--from", "exec:say", "remember fact"]).ok();
    for stage in ["route", "run-agent", "route"] {
        ws.claw(&[stage]).ok();
    }
}

/// A workspace whose program `exec:say` writes to a file outside of the tree.
fn template(sync: &str) -> Fixture {
    let ws = Fixture::new();
    std::fs::remove_dir_all(ws.path(".git")).unwrap();
    let text = ws.read("claw.yaml").replace("sync: none\n", "").replace("git: true", "git: false");
    ws.write("claw.yaml", &text);
    ws.write("tools/mood", "read -r question; date +%N\n");
    ws.config("models:\n  moody: {provider: command, command: [sh, tools/mood]}");
    ws.config(&format!("sync: {sync}\nchannels:\n  exec:\n    say: {{command: [sh, tools/say]}}"));
    ws.write("tools/say", "echo \"$CLAW_EVENT_ID $CLAW_MAYBE_REPEATED\" >> \"$HOME/said\"\n");
    ws
}

/// A trusted workspace that holds this tree.
fn made(tree: &Tree, said: &str) -> Fixture {
    let dir = TempDir::new_in(recorder::scratch()).unwrap();
    let root = dir.path().canonicalize().unwrap().join("ws");
    std::fs::create_dir(&root).unwrap();
    recorder::write(&root, tree);
    let ws = Fixture { dir, root };
    let state = ws.dir.path().join(".local/state/claw");
    std::fs::create_dir_all(&state).unwrap();
    std::fs::write(state.join("trusted"), format!("{}\n", ws.root.display())).unwrap();
    if !said.is_empty() {
        std::fs::write(said_in(&ws), said).unwrap();
    }
    ws
}

/// The file outside of the tree: the messages that the program received.
fn said_in(ws: &Fixture) -> PathBuf {
    ws.dir.path().join("said")
}

fn tick(ws: &Fixture, minutes: i64) -> Command {
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(minutes);
    ws.command(&["tick", "--now", &later.to_string()])
}

/// The state after a power cut.
struct State {
    scenario: &'static Scenario,
    place: String,
    tree: Tree,
    said: String,
    printed: String,
    is_over: bool,
}

/// Pseudo-random numbers, the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// The undecided operations on names that survive: some of the choices.
fn choices(disk: &Disk, dice: &mut Dice, is_full: bool) -> Vec<(String, BTreeSet<usize>)> {
    let undecided = disk.undecided();
    let all: BTreeSet<usize> = undecided.iter().map(|(n, ..)| *n).collect();
    let aside: BTreeSet<usize> = undecided.iter().filter(|(.., is_aside)| *is_aside).map(|(n, ..)| *n).collect();
    let core: Vec<usize> = all.difference(&aside).copied().collect();
    let mut chosen = vec![("no name kept".to_owned(), BTreeSet::new()), ("every name kept".to_owned(), all.clone())];
    let mut add = |kept: BTreeSet<usize>| {
        // The shorter half is listed.
        let is_most = kept.len() * 2 > all.len();
        let told = undecided.iter().filter(|(n, ..)| kept.contains(n) != is_most).map(|(_, text, _)| *text);
        let told: Vec<&str> = told.collect();
        chosen.push((format!("names {} {told:?}", if is_most { "lost" } else { "kept" }), kept));
    };
    if let Some(last) = core.last() {
        add([*last].into());
        add(all.iter().copied().filter(|n| n != last).collect());
    }
    if core.len() <= if is_full { 7 } else { 3 } {
        for bits in 0u32..1 << core.len() {
            let kept = core.iter().enumerate().filter(|(at, _)| bits & 1 << at != 0).map(|(_, n)| *n);
            // The temporary file exists or not, at random.
            let aside = if dice.roll().is_multiple_of(2) { &aside } else { &BTreeSet::new() };
            add(kept.chain(aside.iter().copied()).collect());
        }
    } else {
        for lonely in &core {
            add([*lonely].into());
            add(all.iter().copied().filter(|n| n != lonely).collect());
        }
        for _ in 0..if is_full { 100 } else { 4 } {
            let bits = dice.roll();
            add(all.iter().copied().filter(|n| bits >> (n % 61) & 1 != 0).collect());
        }
    }
    chosen
}

/// Every state that a power cut may leave after these steps, of which the first `skipped` were before it could
/// come; each distinct state once.
fn states(
    scenario: &'static Scenario,
    about: &str,
    base: &Tree,
    steps: &[Step],
    skipped: usize,
    is_full: bool,
) -> Vec<State> {
    let mut disk = Disk::new(base);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut known = HashSet::new();
    let mut found = Vec::new();
    let mut printed = String::new();
    for done in 0..=steps.len() {
        if let Some(step) = done.checked_sub(1).map(|last| &steps[last]) {
            disk.apply(&step.op);
            if let Op::Print(text) = &step.op {
                printed += text;
            }
        }
        if done < skipped {
            continue;
        }
        // A program may have run since the last step, or not yet.
        let after = done.checked_sub(1).map(|last| steps[last].after.clone()).unwrap_or_default();
        let before = steps.get(done).map_or_else(|| after.clone(), |step| step.before.clone());
        let said = BTreeSet::from([after, before]);
        for (what, kept) in choices(&disk, &mut dice, is_full) {
            for data in [Some(Data::Kept), Some(Data::Lost), Some(Data::Torn), None] {
                let seed = dice.roll();
                let any = |inode: usize| match (seed >> (inode % 30 * 2)) & 3 {
                    0 => Data::Torn,
                    1 => Data::Lost,
                    _ => Data::Kept,
                };
                let tree = disk.cut(|n| kept.contains(&n), |inode| data.unwrap_or_else(|| any(inode)));
                for said in &said {
                    let mut hasher = DefaultHasher::new();
                    (&tree, said, &printed, done == steps.len()).hash(&mut hasher);
                    if known.insert(hasher.finish()) {
                        let last = done.checked_sub(1).map(|last| short(&steps[last].op)).unwrap_or_default();
                        let place = format!(
                            "{}{about}, after {done} of {} ({last}), {what}, data {}",
                            scenario.name,
                            steps.len(),
                            data.map_or_else(|| "mixed".to_owned(), |data| format!("{data:?}").to_lowercase())
                        );
                        let (tree, said, printed) = (tree.clone(), said.clone(), printed.clone());
                        found.push(State { scenario, place, tree, said, printed, is_over: done == steps.len() });
                    }
                }
            }
        }
    }
    found
}

fn short(op: &Op) -> String {
    match op {
        Op::Write(file, at, bytes) => format!("Write({file}, {} bytes at {at})", bytes.len()),
        other => format!("{other:?}"),
    }
}

/// Recovers, and returns the violations.
fn wrong(state: &State) -> Vec<String> {
    let ws = made(&state.tree, &state.said);
    let mut wrong = Vec::new();
    // The reader of a destination may remove the files as soon as they exist.
    let taken = if state.place.len().is_multiple_of(2) { delivered(&ws) } else { Vec::new() };
    if !taken.is_empty() {
        wrong.extend(torn(&ws));
        std::fs::remove_dir_all(ws.path("outbox/files/a")).unwrap();
    }
    // After two kills an event is put off, once in the inbox and once in the outbox.
    for minutes in [10, 20, 30] {
        if minutes == 30 && ws.pending().is_empty() {
            break;
        }
        let ran = Ran::from(tick(&ws, minutes).output().unwrap());
        // An event may have failed, or be torn; the program itself must not fail.
        let is_told = ran.code == 1 && state.scenario.accepted == Accepted::Never;
        if !matches!(ran.code, 0 | 65 | 69) && !is_told {
            wrong.push(format!("{ran:?}"));
        }
    }
    if state.scenario.name == CRON {
        wrong.extend(wrong_schedule(&ws, &taken));
        return wrong;
    }
    if state.scenario.accepted == Accepted::Never {
        wrong.extend(ws.pending());
        let (reasons, kept): (Vec<_>, Vec<_>) =
            ws.list("inbox/failed").into_iter().partition(|name| name.ends_with(".reason"));
        let is_whole = |name: &String| {
            let reason = ws.read(&format!("inbox/failed/{name}"));
            let says = |what| reason.contains(what);
            let is_said = says("front matter") || says("there is no decision") || says("there is no agent");
            is_said && reason.ends_with('\n')
        };
        if kept.len() != 1 || reasons.len() != 1 || !reasons.iter().all(is_whole) {
            wrong.push(format!("kept: {kept:?}, reasons: {reasons:?}"));
        }
        // The sender of an event gets one notice of its end; a drop has no sender.
        let told = taken.len() + delivered(&ws).len();
        if told != usize::from(state.scenario.name != "no event") {
            wrong.push(format!("told {told} times"));
        }
        return wrong;
    }
    let asked = state.scenario.accepted == Accepted::Answer;
    let fetched = if asked { ws.claw(&["deliver"]).out } else { String::new() };
    let done = ended(&ws);
    let is_accepted = match state.scenario.accepted {
        Accepted::Before | Accepted::Never => true,
        Accepted::Id | Accepted::Answer => !state.printed.is_empty(),
    };
    wrong.extend(violations(&ws, &done).into_iter().filter(|what| {
        // An unacknowledged event may end there, if it is torn.
        is_accepted || !what.starts_with("left: inbox/failed/")
    }));
    let is_one = done.len() == 1 && (state.scenario.accepted != Accepted::Id || done[0] == state.printed.trim());
    if is_accepted && !is_one || done.len() > 1 {
        wrong.push(format!("these events are done: {done:?}, printed was {:?}", state.printed));
    }
    if state.scenario.name == MOODY {
        wrong.extend(unlogged(&ws));
    } else if noted(&ws, "- fact <!--") != done.len() {
        wrong.push(format!("noted {} times", noted(&ws, "- fact <!--")));
    }
    if asked {
        if !done.is_empty() && ![&state.printed, &fetched].iter().any(|out| out.contains("Noted in")) {
            wrong.push("answered nowhere".to_owned());
        }
    } else if state.scenario.name == "exec" {
        // A sending program cannot share a transaction with our disk: it may run again, but then it receives
        // `CLAW_MAYBE_REPEATED=1`, and never after its receipt was synced.
        let said = std::fs::read_to_string(said_in(&ws)).unwrap_or_default();
        let told = |line: &str, is_again: &str| line == format!("{}.r01 {is_again}", done[0]);
        let is_well = match said.lines().collect::<Vec<_>>()[..] {
            [first, ref again @ ..] => {
                (told(first, "0") || told(first, "1")) && again.iter().all(|line| told(line, "1"))
            }
            [] => false,
        };
        let more = said.lines().count() - state.said.lines().count();
        if !is_well || more > usize::from(!state.is_over) {
            wrong.push(format!("said: {said:?}"));
        }
    } else {
        let answers: Vec<String> = done.iter().map(|id| format!("{id}.r01.md")).collect();
        let all: Vec<String> = taken.into_iter().chain(delivered(&ws)).collect();
        if all != answers {
            wrong.push(format!("delivered: {all:?}"));
        }
    }
    wrong.extend(torn(&ws));
    // A conversation keeps its agent: a learned route is durable before an event relies on it.
    let learned = std::fs::read_to_string(ws.path(".claw/routes.jsonl")).unwrap_or_default();
    for session in ["pickle.file-a", "pickle.exec-say"] {
        if ws.path("sessions").join(session).exists() && !learned.contains(session) {
            wrong.push(format!("{session} was not learned"));
        }
    }
    wrong
}

/// The tree at the start of a scenario.
fn arranged(scenario: &Scenario, template: &Tree) -> Tree {
    let ws = made(template, "");
    (scenario.arrange)(&ws);
    recorder::read(&ws.root)
}

/// Records a run, after a first one that was killed before its operation `killed_at`, unless that is 0.
/// Returns the steps, and how many belong to the first run.
fn recorded(scenario: &Scenario, base: &Tree, killed_at: usize) -> (Vec<Step>, usize) {
    let ws = made(base, "");
    let said = said_in(&ws);
    let mut steps = Vec::new();
    if killed_at > 0 {
        steps = recorder::record(ws.command(scenario.command), &ws.root, &said, killed_at).steps;
    }
    let first = steps.len();
    let command = if killed_at > 0 { tick(&ws, 10) } else { ws.command(scenario.command) };
    let run = recorder::record(command, &ws.root, &said, 0);
    assert_eq!(run.code, i32::from(scenario.accepted == Accepted::Never), "{}", scenario.name);
    steps.extend(run.steps);
    // The recorder has missed nothing: its tree equals the real one.
    let mut disk = Disk::new(base);
    for step in &steps {
        disk.apply(&step.op);
    }
    let (known, real) = (disk.seen(), recorder::read(&ws.root));
    let differ: Vec<&String> = known.keys().chain(real.keys()).filter(|p| known.get(*p) != real.get(*p)).collect();
    assert!(differ.is_empty(), "{}: {differ:?}", scenario.name);
    (steps, first)
}

/// Recovers from every state, on both processors, and returns the violations.
fn judge(states: &[State]) -> Vec<String> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(state) = states.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let wrong = wrong(state);
                    if is_first() && !found.lock().unwrap().is_empty() {
                        return;
                    }
                    if !wrong.is_empty() {
                        found.lock().unwrap().push(format!("{}: {}", state.place, wrong.join("; ")));
                    }
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap();
    found.sort();
    found
}

/// So many of the states, evenly chosen; with `CLAW_PROOF=full` that many, and twice as many as in a test run for a
/// search for the first violation.
fn sampled(states: Vec<State>, few: usize, full: usize) -> Vec<State> {
    let count = states.len();
    let few = if is_first() { 2 * few } else { few };
    let most = if is_full() { full } else { few }.min(count);
    let is_chosen = |n: &usize| (n + 1) * most / count > n * most / count;
    (0..).zip(states).filter(|(n, _)| is_chosen(n)).map(|(_, state)| state).collect()
}

/// Fails on any violation. One cause shows in many states: the first of each run is printed.
#[track_caller]
fn nothing(found: &[String]) {
    let run = |place: &String| place.split(", after ").next().map(ToOwned::to_owned);
    let firsts: BTreeMap<_, _> = found.iter().rev().map(|place| (run(place), place)).collect();
    let firsts: Vec<&String> = firsts.into_values().collect();
    findings::none(&format!("of {} violations, the first of each run", found.len()), &firsts);
}

#[test]
fn acknowledged_events_survive_a_power_cut_once() {
    let mut proof = Proof::begin("a power cut after every operation");
    let template = recorder::read(&template("full").root);
    let mut found = Vec::new();
    for scenario in SCENARIOS {
        let base = arranged(scenario, &template);
        let (steps, _) = recorded(scenario, &base, 0);
        let states = sampled(states(scenario, "", &base, &steps, 0, is_full()), 300, usize::MAX);
        proof.points += steps.len() + 1;
        proof.states += states.len();
        found.extend(judge(&states));
    }
    proof.end(found.len());
    nothing(&found);
    assert!(is_first() || proof.points > 100);
}

/// The same, where a first worker is killed before the power cut, and its successor has begun to rely on files that
/// the first one had not synced.
#[test]
fn successor_syncs_files_of_a_killed_worker() {
    let mut proof = Proof::begin("a worker killed, its heir at work, then a power cut");
    let template = recorder::read(&template("full").root);
    let mut found = Vec::new();
    let stages = ["drop", "no event", "route", "run-agent", "deliver", "exec", "remember"];
    for scenario in SCENARIOS.iter().filter(|s| stages.contains(&s.name)) {
        let base = arranged(scenario, &template);
        let plain = recorded(scenario, &base, 0).0;
        // A successor may wrongly rely on a file that was just created and not synced.
        let is_bare = |at: usize| matches!(plain[at - 2].op, Op::Mkdir(_) | Op::Write(..) | Op::Rename(..));
        for killed_at in (2..=plain.len()).filter(|at| is_full() || is_bare(*at) || at.is_multiple_of(10)) {
            let (steps, first) = recorded(scenario, &base, killed_at);
            let about = format!(", killed before {killed_at}");
            proof.points += steps.len() + 1 - first;
            let left = sampled(states(scenario, &about, &base, &steps, first, is_full()), 30, 1000);
            proof.states += left.len();
            found.extend(judge(&left));
        }
    }
    proof.end(found.len());
    nothing(&found);
}

/// The same checks find the losses without syncs; so they can fail.
#[test]
fn without_syncs_a_power_cut_loses_acknowledged_events() {
    let template = recorder::read(&template("none").root);
    for name in ["send", "run-agent", "deliver", CRON] {
        let scenario = SCENARIOS.iter().find(|s| s.name == name).unwrap();
        let base = arranged(scenario, &template);
        let (steps, _) = recorded(scenario, &base, 0);
        let found = sampled(states(scenario, "", &base, &steps, 0, false), 100, usize::MAX);
        let violations = judge(&found);
        assert!(!violations.is_empty(), "{name}");
    }
}
