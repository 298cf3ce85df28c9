//! Power cuts on real file systems: ext4 and XFS in images, shut down before every durable system call
//! and under load, mounted again, recovered and checked.
//!
//! Needs root, and runs on request: `CLAW_DISK_IMAGES=1 cargo test --test proof disk_images`.
//! `CLAW_PROOF=full` runs it too, with more points.

use crate::common::checker::{delivered, ended, noted, replies, violations};
use crate::common::image::{self, Image, KINDS, Kind};
use crate::common::proof::{self, Proof, Random};
use crate::common::scenes::{ID, SEND, answered, dropped, failed, routed, sent};
use crate::common::tracer::{self, Fault};
use crate::common::{Fixture, Ran, findings, recorder, skipped};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

const ASK: &[&str] = &["ask", "-n", "remember fact"];

/// A workspace, and the command during which the power is cut.
struct Scenario {
    name: &'static str,
    arrange: fn(&Fixture),
    command: &'static [&'static str],
    /// Its output means that the event is accepted; otherwise it was accepted before.
    is_acknowledging: bool,
}

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "send", arrange: |_| {}, command: SEND, is_acknowledging: true },
    Scenario { name: "drop", arrange: dropped, command: &["route"], is_acknowledging: false },
    Scenario { name: "route", arrange: sent, command: &["route"], is_acknowledging: false },
    Scenario { name: "run-agent", arrange: routed, command: &["run-agent"], is_acknowledging: false },
    Scenario { name: "deliver", arrange: answered, command: &["deliver"], is_acknowledging: false },
    Scenario { name: "remember", arrange: answered, command: &["remember"], is_acknowledging: false },
    Scenario { name: "retry", arrange: failed, command: &["retry", ID], is_acknowledging: false },
    Scenario { name: "tick", arrange: sent, command: &["tick"], is_acknowledging: false },
    Scenario { name: "ask", arrange: |_| {}, command: ASK, is_acknowledging: true },
];

/// A fixture below the fastest folder for temporary trees.
fn fixture(below: &str) -> Fixture {
    let dir = TempDir::new_in(recorder::scratch()).unwrap();
    let root = dir.path().canonicalize().unwrap().join(below);
    Fixture { dir, root }
}

fn template(sync: &str) -> Fixture {
    let ws = fixture("ws");
    std::fs::create_dir(&ws.root).unwrap();
    ws.claw(&["init", "."]).ok();
    std::fs::remove_dir_all(ws.path(".git")).unwrap();
    ws.config(&format!("sync: {sync}\n"));
    ws.write("claw.yaml", &ws.read("claw.yaml").replace("git: true", "git: false"));
    ws
}

/// A copy of this workspace in another place.
fn copy(from: &Fixture, to: &Fixture) {
    let _ = std::fs::remove_dir_all(&to.root);
    let copied = std::process::Command::new("cp").arg("-a").arg(&from.root).arg(&to.root).status().unwrap();
    assert!(copied.success());
}

/// A disk with a workspace on it. The image is unmounted before its folder is removed.
struct Disk {
    image: Image,
    ws: Fixture,
}

impl Disk {
    fn new(kind: &'static Kind) -> Result<Self, String> {
        let ws = fixture("disk/ws");
        Ok(Self { image: Image::new(kind, ws.dir.path())?, ws })
    }

    /// Copies a workspace onto it, durably.
    fn hold(&self, arranged: &Fixture) {
        copy(arranged, &self.ws);
        self.image.sync();
    }
}

/// Whether this machine supports it, and the environment asks for it.
fn is_possible() -> bool {
    if !proof::is_full() && std::env::var("CLAW_DISK_IMAGES").is_err() {
        skipped("power cuts on real file systems: CLAW_DISK_IMAGES=1 cargo test --test disk_images, as root");
        return false;
    }
    let tried = image::own_mounts().and_then(|()| KINDS.iter().try_for_each(|kind| Disk::new(kind).map(drop)));
    if let Err(why) = &tried {
        skipped(&format!("power cuts on real file systems: {why}"));
    }
    tried.is_ok()
}

/// Recovers, and returns forbidden output of the program.
fn recover(ws: &Fixture) -> Vec<String> {
    // A retry that the user had asked for is repeated by the user.
    if !ws.list("inbox/failed").is_empty() {
        ws.claw(&["retry", ID]);
    }
    let later = |minutes| (jiff::Timestamp::now() + jiff::SignedDuration::from_mins(minutes)).to_string();
    let ticks = [10, 20, 30].into_iter().map(|minutes| ws.claw(&["tick", "--now", &later(minutes)]));
    // An event may have failed, or be torn; the program itself must not fail.
    ticks.filter(|ran| !matches!(ran.code, 0 | 65 | 69)).map(|ran| format!("{ran:?}")).collect()
}

/// The violations at the end; `printed` is the output before the power cut.
fn wrong(ws: &Fixture, scenario: &Scenario, printed: &str) -> Vec<String> {
    let mut wrong = recover(ws);
    let is_ask = scenario.command == ASK;
    let fetched = if is_ask { ws.claw(&["deliver"]) } else { Ran { code: 0, out: String::new(), err: String::new() } };
    let done = ended(ws);
    let is_accepted = !scenario.is_acknowledging || !printed.is_empty();
    // An unacknowledged event may end in failed, torn.
    let is_wrong = |what: &String| is_accepted || !what.starts_with("left: inbox/failed/");
    wrong.extend(violations(ws, &done).into_iter().filter(is_wrong));
    let is_named = matches!(scenario.name, "drop" | "ask") || done.iter().all(|id| id == ID);
    if done.len() > 1 || is_accepted && done.is_empty() || !is_named {
        wrong.push(format!("these events are done: {done:?}, printed was {printed:?}"));
    }
    if noted(ws, "- fact <!--") != done.len() {
        wrong.push(format!("noted {} times", noted(ws, "- fact <!--")));
    }
    if is_ask {
        if !done.is_empty() && ![printed, &fetched.out].iter().any(|out| out.contains("Noted in")) {
            wrong.push("answered nowhere".to_owned());
        }
    } else if delivered(ws) != replies(&done) {
        wrong.push(format!("delivered: {:?}", delivered(ws)));
    }
    wrong
}

/// Cuts the power before every durable call of these scenarios (of all, if none is named), and after the last
/// one. At random, the sync of another process commits the journal before one of the calls,
/// or before none.
fn sweep(disk: &Disk, sync: &str, names: &[&str], random: &mut Random, points: &mut usize) -> Vec<String> {
    let Disk { image, ws } = disk;
    let template = template(sync);
    let mut found = Vec::new();
    for scenario in SCENARIOS.iter().filter(|scenario| names.is_empty() || names.contains(&scenario.name)) {
        let arranged = fixture("ws");
        copy(&template, &arranged);
        (scenario.arrange)(&arranged);
        disk.hold(&arranged);
        let calls = tracer::run(ws.command(scenario.command), 0, Fault::Kill).calls;
        assert!(calls >= 2, "{} makes only {calls} durable calls", scenario.name);
        let times = if proof::is_full() { 4 } else { 1 };
        for at in (1..=calls + 1).flat_map(|at| std::iter::repeat_n(at, times)) {
            disk.hold(&arranged);
            let commit = random.below(2) * (1 + random.below(at));
            let traced = tracer::run_with(ws.command(scenario.command), |call| {
                if call == commit {
                    image.commit_journal();
                }
                (call == at).then(|| {
                    image.cut_power();
                    Fault::Kill
                })
            });
            if traced.hit.is_none() {
                image.cut_power();
            }
            image.restart();
            *points += 1;
            let call = traced.hit.unwrap_or("the end");
            let place = format!("{} at {call} ({at} of {calls}), journal at {commit}", scenario.name);
            found.extend(wrong(ws, scenario, &traced.out).into_iter().map(|what| format!("{place}: {what}")));
        }
    }
    found
}

#[test]
fn on_real_file_systems_a_power_cut_at_every_durable_call_loses_nothing() {
    if !is_possible() {
        return;
    }
    let rows = ["ext4: a power cut before every durable call", "ext4, data=writeback: the same", "XFS: the same"];
    for (kind, row) in KINDS.iter().zip(rows) {
        let mut proof = Proof::begin(row);
        proof.seed = Some(proof::seed());
        let found = sweep(&Disk::new(kind).unwrap(), "full", &[], &mut Random(proof::seed()), &mut proof.points);
        proof.end(found.len());
        findings::none(&format!("violations on {}, seed {}", kind.name, proof::seed()), &found);
        assert!(proof.points > 100);
    }
}

/// The same checks find the losses without syncs; so they can fail.
#[test]
fn on_real_file_systems_without_syncs_acknowledged_events_are_lost() {
    if !is_possible() {
        return;
    }
    for kind in &KINDS {
        let mut points = 0;
        let found = sweep(&Disk::new(kind).unwrap(), "none", &["send"], &mut Random(proof::seed()), &mut points);
        assert!(found.iter().any(|what| what.starts_with("send at the end")), "{}: {found:#?}", kind.name);
    }
}

#[test]
fn on_real_file_systems_a_power_cut_leaves_the_notes_repository_whole() {
    if !is_possible() {
        return;
    }
    let mut found = Vec::new();
    for kind in &KINDS {
        let Disk { image, ws } = Disk::new(kind).unwrap();
        std::fs::create_dir(&ws.root).unwrap();
        ws.claw(&["init", "."]).ok();
        ws.claw(&["send", "--from", "file:a", "remember fact"]).ok();
        image.sync();
        ws.claw(&["tick"]).ok();
        assert!(ws.shell("git log").ok().contains("remember: fact"));
        image.commit_journal();
        image.cut_power();
        image.restart();
        let checked = ws.shell("git fsck --no-dangling && git log");
        if checked.code != 0 || !checked.out.contains("remember: fact") {
            found.push(format!("{}: {checked:?}", kind.name));
        }
    }
    findings::none("notes were lost or damaged", &found);
}

const WRITERS: usize = 4;
const EACH: usize = 20;

/// Several writers and a supervisor until so many answers exist; then the power is cut.
fn overload(disk: &Disk, template: &Fixture, random: &mut Random) -> (usize, Vec<String>) {
    let Disk { image, ws } = disk;
    disk.hold(template);
    let (answers, commits) = (random.below(WRITERS * EACH), random.below(2) == 0);
    let acknowledged = Mutex::new(Vec::new());
    let is_over = AtomicBool::new(false);
    let supervisor = ws.supervise(&[]);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (acknowledged, is_over) = (&acknowledged, &is_over);
            scope.spawn(move || {
                for n in 0..EACH {
                    let text = format!("fact {writer}.{n}");
                    let from = format!("file:p{writer}");
                    let ran = ws.claw(&["send", "--from", &from, &format!("remember {text}")]);
                    // Output after the cut proves nothing: XFS lets the sync of a folder succeed then.
                    let mut acknowledged = acknowledged.lock().unwrap();
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    assert_eq!(ran.code, 0, "{ran:?}");
                    acknowledged.push((ran.out.trim().to_owned(), text));
                }
            });
        }
        ws.eventually("so many answers have come", |ws| delivered(ws).len() >= answers);
        if commits {
            image.commit_journal();
        }
        let acknowledged = acknowledged.lock().unwrap();
        is_over.store(true, Ordering::Relaxed);
        drop(acknowledged);
        image.cut_power();
    });
    drop(supervisor);
    image.restart();
    let acknowledged = acknowledged.into_inner().unwrap();
    let mut wrong = recover(ws);
    let done = ended(ws);
    wrong.extend(violations(ws, &done));
    wrong.extend(acknowledged.iter().filter(|(id, _)| !done.contains(id)).map(|(id, _)| format!("lost: {id}")));
    for (id, text) in &acknowledged {
        let times = noted(ws, &format!("- {text} <!--"));
        if times != 1 {
            wrong.push(format!("{id} is noted {times} times"));
        }
    }
    if delivered(ws) != replies(&done) {
        wrong.push(format!("delivered: {:?}", delivered(ws)));
    }
    let place = format!("after {answers} answers, {} acknowledged", acknowledged.len());
    (acknowledged.len(), wrong.into_iter().map(|what| format!("{place}: {what}")).collect())
}

#[test]
fn on_real_file_systems_a_power_cut_under_load_loses_nothing() {
    if !is_possible() {
        return;
    }
    let mut proof = Proof::begin("a power cut of a real ext4 and XFS under load (points: events; states: cuts)");
    proof.seed = Some(proof::seed());
    let mut random = Random(proof::seed());
    let template = template("full");
    let mut found = Vec::new();
    for kind in &KINDS {
        let disk = Disk::new(kind).unwrap();
        for _ in 0..if proof::is_full() { 25 } else { 4 } {
            let (events, wrong) = overload(&disk, &template, &mut random);
            proof.points += events;
            proof.states += 1;
            found.extend(wrong.into_iter().map(|what| format!("{}, {what}", kind.name)));
        }
    }
    proof.end(found.len());
    assert!(found.is_empty(), "seed {}, {} violations\n{found:#?}", proof::seed(), found.len());
}
