//! Every stage, killed before every system call on durable data, and with an error at every one of them; then
//! recovery, and the checker.

use crate::common::checker::{delivered, ended, noted, violations};
use crate::common::proof::{self, Proof};
use crate::common::scenes::{
    Faults, ID, QUEUE, SEND, answered, burnt, copy, dropped, failed, queued, recover, routed, sent, standing, synced,
};
use crate::common::sweep::{At, Scenario};
use crate::common::tracer::{self, Fault, Traced};
use crate::common::{Fixture, Ran};
use claw::core::event::entry::Entry;
use nix::errno::Errno;
use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

/// A stage: its workspace and its command.
struct Stage {
    name: &'static str,
    arrange: fn(&Fixture),
    command: &'static [&'static str],
    /// The event was accepted before the command ran.
    is_accepted: bool,
}

const STAGES: &[Stage] = &[
    Stage { name: "send", arrange: |_| {}, command: SEND, is_accepted: false },
    Stage { name: "drop", arrange: dropped, command: &["route"], is_accepted: true },
    Stage { name: "route", arrange: sent, command: &["route"], is_accepted: true },
    Stage { name: "run-agent", arrange: routed, command: &["run-agent"], is_accepted: true },
    Stage { name: "deliver", arrange: answered, command: &["deliver", "--channel", "file"], is_accepted: true },
    Stage { name: "remember", arrange: answered, command: &["remember"], is_accepted: true },
    Stage { name: "tick", arrange: sent, command: &["tick"], is_accepted: true },
    Stage { name: "retry", arrange: failed, command: &["retry", ID], is_accepted: true },
    Stage { name: "recovery", arrange: orphaned, command: &["tick"], is_accepted: true },
    Stage { name: "a queue", arrange: queued, command: &["run-agent"], is_accepted: true },
    Stage { name: "a queue's last", arrange: queued, command: &["run-agent", QUEUE[2]], is_accepted: true },
];

/// All of them; of the two ways to process a queue, the quick proof takes the one that stops at trouble.
fn stages() -> impl Iterator<Item = &'static Stage> {
    STAGES.iter().filter(|s| proof::is_full() || s.name != "a queue")
}

impl Stage {
    /// The ids that must be done in the end, if they are known.
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

fn interrupted(ws: &Fixture, stage: &Stage, at: usize, fault: Fault) -> Traced {
    tracer::run(ws.command(stage.command), at, fault)
}

/// Recovers, and returns the violations after `traced`.
fn wrong(ws: &Fixture, stage: &Stage, traced: &Traced) -> Vec<String> {
    // A retry that the user had asked for is repeated by the user.
    if stage.name == "retry" && ws.list("inbox/failed").iter().any(|name| name.ends_with(".json")) {
        ws.claw(&["retry", ID]);
    }
    recover(ws);
    let done = ended(ws);
    // A printed id acknowledges the event.
    let is_accepted = stage.is_accepted || traced.code == 0 || traced.out.contains(ID);
    if done.is_empty() && !is_accepted {
        return violations(ws, &[]);
    }
    let mut wrong = violations(ws, &done);
    let ids = stage.ids();
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

/// Disturbs every stage; `expect` is evaluated before recovery.
fn sweep(
    name: &'static str,
    at: At,
    points: usize,
    expect: impl Fn(&Fixture, &[(String, Entry)], &Traced) -> Option<String>,
) {
    let mut proof = Proof::begin(name);
    let template = synced();
    for stage in stages() {
        let arranged = copy(&template);
        (stage.arrange)(&arranged);
        let before = standing(&arranged);
        proof.sweep(
            at,
            &Scenario {
                name: stage.name,
                template: &arranged,
                copy,
                command: stage.command,
                prepare: &|| {},
                judge: &|ws, hit| {
                    let early = expect(ws, &before, &hit.traced);
                    early.into_iter().chain(wrong(ws, stage, &hit.traced)).collect()
                },
            },
        );
    }
    proof.judge(points);
}

#[test]
fn killed_stages_lose_nothing_and_repeat_nothing() {
    sweep("kill -9 before every durable call", At::Calls(Faults::Kills(5)), 60, |_, _, _| None);
}

/// After trouble of the machine every event is as it was, and the exit code reports the trouble.
fn untouched(ws: &Fixture, before: &[(String, Entry)], traced: &Traced) -> Option<String> {
    let is_told = matches!(traced.code, 0 | 75);
    burnt(ws, before).or_else(|| (!is_told).then(|| format!("exit {}: {}", traced.code, traced.out)))
}

#[test]
fn errors_count_no_attempt_and_lose_nothing() {
    sweep("an error from every durable call", At::Calls(Faults::Troubles(7)), 40, untouched);
}

/// Listings, locks, logs, settings, agents, events, and folders to be synced: every opening
/// fails once.
#[test]
fn failed_openings_count_no_attempt_and_lose_nothing() {
    sweep("an error from every opening of a file in the workspace", At::Openings(9), 30, untouched);
}

/// The contents of the append-only files, by name.
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

/// The kernel reports a lost write once; a second sync would succeed.
#[test]
fn unsynced_bytes_are_cut_off_again() {
    let template = synced();
    let mut files = HashSet::new();
    for stage in STAGES.iter().filter(|s| ["route", "run-agent", "deliver", "remember"].contains(&s.name)) {
        let arranged = copy(&template);
        (stage.arrange)(&arranged);
        let calls = interrupted(&copy(&arranged), stage, 0, Fault::Kill).calls;
        for at in 2..=calls {
            let ws = copy(&arranged);
            let traced = interrupted(&ws, stage, at, Fault::Error(Errno::EIO));
            if !traced.hit.as_ref().is_some_and(|call| call.contains("fdatasync")) {
                continue;
            }
            // The write before it, and the lines that it added.
            let [before, written] = [at - 1, at].map(|at| {
                let ws = copy(&arranged);
                interrupted(&ws, stage, at, Fault::Kill);
                appended(&ws)
            });
            let left = appended(&ws);
            // Lines are counted, because their times differ from run to run.
            let lines = |texts: &BTreeMap<_, String>, file| texts.get(file).map_or(0, |text| text.lines().count());
            for file in written.keys().filter(|file| lines(&written, *file) > lines(&before, *file)) {
                let is_cut = lines(&left, file) <= lines(&before, file);
                assert!(is_cut, "{}: {} keeps what was not synced", stage.name, file.display());
                files.insert(file.extension().map(ToOwned::to_owned));
            }
        }
    }
    assert_eq!(files.len(), 3, "logs and routes, receipts, notes: {files:?}");
}

const ASK: [&str; 3] = ["ask", "-n", "remember fact"];

/// Recovers, and returns the violations after a disturbed `ask`.
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

/// Disturbs `ask` at every durable call.
fn sweep_ask(name: &'static str, faults: Faults) {
    let mut proof = Proof::begin(name);
    let template = synced();
    let repeats = Cell::new(0);
    proof.sweep(
        At::Calls(faults),
        &Scenario {
            name: "ask",
            template: &template,
            copy,
            command: &ASK,
            prepare: &|| {},
            judge: &|ws, hit| {
                let early = if hit.is_kill() { None } else { untouched(ws, &[], &hit.traced) };
                let is_published = !ws.pending().is_empty() || !ended(ws).is_empty();
                let is_printed = hit.traced.out.contains("Noted in");
                repeats.set(repeats.get() + usize::from(is_printed && hit.is_kill() && hit.traced.code != 0));
                early.into_iter().chain(asked_wrongly(ws, &hit.traced, is_published)).collect()
            },
        },
    );
    proof.judge(0);
    assert!(repeats.get() < 8, "{} calls lie between printing and recording that", repeats.get());
}

#[test]
fn killed_ask_answers_once() {
    sweep_ask("kill -9 of ask before every durable call", Faults::Kills(3));
}

#[test]
fn errors_in_ask_count_no_attempt_and_lose_nothing() {
    sweep_ask("an error from every durable call of ask", Faults::Troubles(5));
}

#[test]
fn ask_syncs_five_or_seven_times() {
    let ws = synced();
    ws.claw(&["ask", "-n", "-s", "old", "hello"]).ok();
    let syncs = |arguments: &[&str]| tracer::run(ws.command(arguments), 0, Fault::Kill).syncs;
    // The message and its name, the turn, the answer and its name; two names of a new session.
    assert_eq!(syncs(&["ask", "-n", "-s", "old", "hello"]), 5);
    assert_eq!(syncs(&["ask", "-n", "hello"]), 7);
}
