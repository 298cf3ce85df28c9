//! An agent's write and an undo, killed at every durable call, and with an error at every one: the file has its old or
//! its new content, the change has its author in git or can still get it, no lock is left that stops the next change,
//! and the repository is whole. So for a note.

use crate::common::proof::{self, Proof};
use crate::common::scenes::{Faults, ID, recover, synced, trusted};
use crate::common::strict::{Answer, Script, Strict};
use crate::common::sweep::{At, Scenario};
use crate::common::{Fixture, skipped};
use serde_json::json;

const TEXT: &str = "script:write";
const FILE: &str = "memories/topics/house.md";
const OLD: &str = "- the NAS is 10.0.0.7\n";
const NEW: &str = "- the NAS is 10.0.0.8\n";

fn script(step: usize, _: &[String]) -> Answer {
    match step {
        0 => ("", vec![("write", json!({"path": FILE, "content": NEW}))]),
        _ => ("Written.", vec![]),
    }
}

const SCRIPTS: &[(&str, Script)] = &[(TEXT, script)];

/// A workspace with a committed note, and an uncommitted line of the owner's in another file.
fn arranged() -> Option<Fixture> {
    let ws = synced();
    if !ws.path(".git").exists() {
        skipped("there is no git");
        return None;
    }
    ws.write(FILE, OLD);
    ws.shell("git config user.name ann && git config user.email a@b && git add -A && git commit -qm first").ok();
    ws.write("memories/topics/own.md", "- the owner's line\n");
    Some(ws)
}

/// The violations after the next note: the repository is whole, everything has its author, nothing is left.
fn broken(ws: &Fixture) -> Vec<String> {
    let mut wrong = Vec::new();
    recover(ws);
    let noted = ws.claw(&["remember", "--topic", "next", "the next note"]);
    if noted.code != 0 {
        wrong.push(format!("the next note fails: {noted:?}"));
    }
    let fsck = ws.shell("git fsck --strict --no-dangling");
    if fsck.code != 0 {
        wrong.push(format!("{fsck:?}"));
    }
    for left in ["index.lock", "HEAD.lock"] {
        if ws.path(".git").join(left).exists() {
            wrong.push(format!("{left} is left"));
        }
    }
    for list in ["begun.jsonl", "pending.jsonl"] {
        let left = std::fs::read_to_string(ws.path(&format!(".claw/memory/{list}"))).unwrap_or_default();
        if !left.trim().is_empty() {
            wrong.push(format!("{list} has {left}"));
        }
    }
    let log = ws.shell("git log --format='%an %s'").out;
    if !log.contains("remember: the next note") || !log.contains("ann edit memories") {
        wrong.push(format!("commits are missing: {log}"));
    }
    let status = ws.shell("git status --porcelain -- memories").out;
    if !status.is_empty() {
        wrong.push(format!("not committed: {status}"));
    }
    wrong
}

/// The author of the commit that has put `text` into the file.
fn author(ws: &Fixture, text: &str) -> String {
    ws.shell(&format!("git log -1 --format='%an %s' -S '{}' -- {FILE}", text.trim())).out
}

/// Whether it is the agent's text. Its line ends with the mark of the sender.
fn is_new(text: &str) -> bool {
    text.starts_with(NEW.trim_end()) && text.lines().count() == 1
}

fn sweep_write(name: &'static str, faults: Faults) {
    let mut proof = Proof::begin(name);
    let server = Strict::start(SCRIPTS);
    let Some(ws) = arranged() else { return };
    server.model(&ws);
    ws.claw(&["send", "--id", ID, "--from", "file:a", TEXT]).ok();
    ws.claw(&["route"]).ok();
    proof.sweep(
        At::Calls(faults),
        &Scenario {
            name: "an agent's write",
            template: &ws,
            copy: trusted,
            command: &["run-agent"],
            prepare: &|| server.forget(),
            judge: &|ws, _| {
                let text = ws.read(FILE);
                let mut wrong: Vec<String> =
                    (text != OLD && !is_new(&text)).then(|| format!("torn: {text}")).into_iter().collect();
                wrong.extend(broken(ws));
                if !is_new(&ws.read(FILE)) || !author(ws, NEW).starts_with("pickle write") {
                    wrong.push(format!("{} is by {}", ws.read(FILE), author(ws, NEW)));
                }
                wrong
            },
        },
    );
    proof.judge(if proof::is_full() { 40 } else { 1 });
}

fn sweep_undo(name: &'static str, faults: Faults) {
    let mut proof = Proof::begin(name);
    let Some(ws) = arranged() else { return };
    ws.claw(&["remember", "--topic", "house", "the door is red"]).ok();
    let event = ws.shell("git log -1 --format='%(trailers:key=Claw-Event,valueonly)'").ok().trim().to_owned();
    let noted = ws.read(FILE);
    ws.write("memories/topics/own.md", "- another line\n");
    proof.sweep(
        At::Calls(faults),
        &Scenario {
            name: "undo",
            template: &ws,
            copy: trusted,
            command: &["memory", "undo", &event],
            prepare: &|| {},
            judge: &|ws, _| {
                let text = ws.read(FILE);
                let mut wrong: Vec<String> =
                    (text != OLD && text != noted).then(|| format!("torn: {text}")).into_iter().collect();
                if text == noted {
                    ws.claw(&["memory", "undo", &event]);
                }
                wrong.extend(broken(ws));
                let by = author(ws, "the door is red");
                if ws.read(FILE) != OLD || !by.starts_with("claw undo") {
                    wrong.push(format!("{} is by {by}", ws.read(FILE)));
                }
                wrong
            },
        },
    );
    proof.judge(if proof::is_full() { 40 } else { 1 });
}

fn sweep_note(name: &'static str, faults: Faults) {
    let mut proof = Proof::begin(name);
    let Some(ws) = arranged() else { return };
    proof.sweep(
        At::Calls(faults),
        &Scenario {
            name: "a note",
            template: &ws,
            copy: trusted,
            command: &["remember", "--topic", "house", "the door is red"],
            prepare: &|| {},
            judge: &|ws, hit| {
                let mut wrong = broken(ws);
                let times = ws.read(FILE).matches("the door is red").count();
                let is_acknowledged = hit.traced.out.contains("house.md:");
                if times > 1 || times == 0 && is_acknowledged || !ws.read(FILE).starts_with(OLD) {
                    wrong.push(format!("noted {times} times, acknowledged: {is_acknowledged}"));
                }
                let by = author(ws, "the door is red");
                if times == 1 && !by.starts_with("claw remember: the door is red") {
                    wrong.push(format!("it is by {by}"));
                }
                wrong
            },
        },
    );
    proof.judge(if proof::is_full() { 40 } else { 1 });
}

#[test]
fn killed_note_is_committed_once() {
    sweep_note("kill -9 of a note and its commit before every durable call", Faults::Kills(29));
}

#[test]
fn note_is_committed_once_after_errors() {
    sweep_note("an error from every durable call of a note and its commit", Faults::Troubles(37));
}

#[test]
fn killed_write_of_an_agent_keeps_its_author() {
    sweep_write("kill -9 of an agent's write below memories/ before every durable call", Faults::Kills(29));
}

#[test]
fn write_of_an_agent_keeps_its_author_after_errors() {
    sweep_write("an error from every durable call of an agent's write below memories/", Faults::Troubles(37));
}

#[test]
fn killed_undo_is_done_or_not_begun() {
    sweep_undo("kill -9 of an undo before every durable call", Faults::Kills(5));
}

#[test]
fn undo_is_done_or_not_begun_after_errors() {
    sweep_undo("an error from every durable call of an undo", Faults::Troubles(7));
}

/// Writers of notes beside an editor that commits: every note is there, and the history is linear.
#[test]
fn notes_of_many_writers_have_linear_history() {
    let mut proof = Proof::begin("writers of notes beside an owner who commits");
    let (writers, notes) = if proof::is_full() { (32, 200) } else { (4, 3) };
    let Some(ws) = arranged() else { return };
    ws.write("files/staged.txt", "staged\n");
    ws.shell("git add -f files/staged.txt").ok();
    let entry = ws.shell("git ls-files -s files").ok();
    std::thread::scope(|scope| {
        let ws = &ws;
        for writer in 0..writers {
            scope.spawn(move || {
                for note in 0..notes {
                    ws.claw(&["remember", "--topic", &format!("t{}", writer % 4), &format!("note {writer}.{note}.")])
                        .ok();
                }
            });
        }
        // An editor that saves by renaming, and commits its file only.
        scope.spawn(move || {
            for n in 0..notes {
                ws.write("memories/topics/.own.swp", &format!("- line {n}\n"));
                let own = ws.path("memories/topics/own.md");
                std::fs::rename(ws.path("memories/topics/.own.swp"), own).unwrap_or_default();
                ws.shell("git commit -qm own --only memories/topics/own.md");
            }
        });
        // Another one that saves the writers' file: a note that it has not read is in a commit.
        scope.spawn(move || {
            for n in 0..notes {
                let file = ws.path("memories/topics/t0.md");
                let text = std::fs::read_to_string(&file).unwrap_or_default();
                ws.write("memories/topics/.t0.swp", &format!("{text}- edited {n}\n"));
                std::fs::rename(ws.path("memories/topics/.t0.swp"), &file).unwrap_or_default();
            }
        });
    });
    ws.claw(&["tick"]).ok();
    let text: String = (0..4)
        .map(|n| std::fs::read_to_string(ws.path(&format!("memories/topics/t{n}.md"))).unwrap_or_default())
        .collect();
    let added = ws.shell("git log -p --format= -- memories/topics/t0.md").ok();
    for (writer, note) in (0..writers).flat_map(|writer| (0..notes).map(move |note| (writer, note))) {
        let line = format!("- note {writer}.{note}. ");
        let count = text.matches(&line).count();
        // The editor of this file may have removed it.
        let is_saved_over = writer % 4 == 0 && count == 0 && added.contains(&format!("+{line}"));
        if count != 1 && !is_saved_over {
            proof.found.push(format!("note {writer}.{note} is there {count} times"));
        }
    }
    let trailer = |key| format!("|%(trailers:key=Claw-{key},valueonly,separator=%x2C)");
    let trailers: String = ["Agent", "Session", "Origin", "Event"].map(trailer).concat();
    let log = ws.shell(&format!("git log --format='%P|%s{trailers}'")).ok();
    let commits: Vec<&str> = log.lines().filter(|line| line.contains("|remember: note")).collect();
    let is_linear = log.lines().all(|line| line.split('|').next().is_some_and(|parents| !parents.contains(' ')));
    let has_events = commits.iter().all(|line| {
        let columns: Vec<&str> = line.split('|').collect();
        columns.len() == 6 && columns[2..].iter().all(|column| !column.is_empty() && !column.contains(','))
    });
    let contained = std::fs::read_to_string(ws.path(".claw/memory/contained.jsonl")).unwrap_or_default();
    let contained = contained.lines().filter(|line| !line.is_empty()).count();
    if commits.len() + contained != writers * notes || !is_linear || !has_events {
        proof.found.push(format!("{} commits, {contained} contained, linear: {is_linear}: {log}", commits.len()));
    }
    if ws.shell("git ls-files -s files").ok() != entry {
        proof.found.push("the owner's index has changed".to_owned());
    }
    ws.shell("git fsck --strict --no-dangling").ok();
    proof.points += writers * notes;
    proof.judge(11);
}
