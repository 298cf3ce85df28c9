//! Commands with an effect, killed at every durable call, and with an error at every one: one answer, one effect, and
//! never an effect on a later turn.

use crate::common::Fixture;
use crate::common::checker::delivered;
use crate::common::proof::Proof;
use crate::common::scenes::{Faults, ID, recover, synced, trusted};
use crate::common::strict::{Answer, Script, Strict};
use crate::common::sweep::{At, Scenario};
use serde_json::json;

/// Two turns before the command; the first one's worker was killed after the start.
const FIRST: &str = "20261121T000000.000001Z-first";
const SECOND: &str = "20261121T000000.000002Z-second";

fn send(ws: &Fixture, text: &str) {
    ws.claw(&["send", "--id", ID, "--from", "cli:ann", "--reply-to", "file:a", text]).ok();
}

/// The state after its worker was killed right after the claim.
fn orphan(ws: &Fixture, id: &str) {
    let ready = ws.path(&format!("inbox/ready/{id}~pickle.file-a~0.json"));
    std::fs::rename(ready, ws.path(&format!("inbox/run/{id}~pickle.file-a~1.json"))).unwrap();
}

fn answer(ws: &Fixture, id: &str) -> String {
    std::fs::read_to_string(ws.path(&format!("outbox/files/file-a/{id}.r01.md")))
        .or_else(|_| std::fs::read_to_string(ws.path(&format!("outbox/files/a/{id}.r01.md"))))
        .unwrap_or_default()
}

/// Disturbs `command` at each of its durable calls; `then` recovers, and returns the violations of its effect.
fn sweep(name: &'static str, template: &Fixture, command: &[&str], then: impl Fn(&Fixture) -> Vec<String>) {
    let mut proof = Proof::begin(name);
    proof.sweep(
        At::Calls(Faults::Both(5)),
        &Scenario {
            name: command[0],
            template,
            copy: trusted,
            command,
            prepare: &|| {},
            judge: &|ws, _| {
                let mut wrong = then(ws);
                let done = format!("{ID}.r01.md");
                if delivered(ws).iter().filter(|name| **name == done).count() != 1 {
                    wrong.push(format!("delivered: {:?}", delivered(ws)));
                }
                wrong.extend(ws.pending().into_iter().filter(|name| !name.contains("~cli-")));
                wrong.extend(ws.list("inbox/failed"));
                wrong
            },
        },
    );
    proof.judge(0);
}

/// The routes that `/new` has added.
fn taught(ws: &Fixture) -> Vec<String> {
    let text = ws.read(".claw/routes.jsonl");
    text.lines().filter(|line| line.contains(&format!("\"since\":\"{ID}\""))).map(ToOwned::to_owned).collect()
}

fn one_new_session(ws: &Fixture) -> Vec<String> {
    recover(ws);
    let lines = taught(ws);
    let session = answer(ws, ID).trim().rsplit(' ').next().unwrap_or_default().to_owned();
    if lines.len() != 1 || !lines[0].contains(&format!("\"session\":\"{session}\"")) || !session.contains('+') {
        return vec![format!("`{session}` by {lines:?}")];
    }
    Vec::new()
}

#[test]
fn new_begins_one_conversation() {
    let ws = synced();
    ws.claw(&["send", "--id", FIRST, "--from", "file:a", "hello"]).ok();
    ws.claw(&["tick"]).ok();
    send(&ws, "/new");
    sweep("/new disturbed on its way to its lane", &ws, &["route"], one_new_session);
    ws.claw(&["route"]).ok();
    sweep("/new disturbed while it is answered", &ws, &["run-agent", ID], one_new_session);
}

#[test]
fn stop_stops_one_turn_and_no_later_one() {
    let ws = synced();
    for id in [FIRST, SECOND] {
        ws.claw(&["send", "--id", id, "--from", "file:a", "hello"]).ok();
    }
    send(&ws, "/stop");
    ws.claw(&["route"]).ok();
    orphan(&ws, FIRST);
    sweep("/stop disturbed", &ws, &["run-agent", ID], |ws| {
        // The first turn ends, the second begins, and only then the command is handled again.
        ws.claw(&["run-agent", FIRST]).ok();
        orphan(ws, SECOND);
        ws.claw(&["run-agent", ID]).ok();
        recover(ws);
        let stopped = [FIRST, SECOND].map(|id| answer(ws, id) == "I was stopped.\n");
        let named = [FIRST, SECOND].map(|id| answer(ws, ID).contains(&id[24..]));
        if stopped.iter().filter(|is| **is).count() == 1 && stopped == named {
            return Vec::new();
        }
        vec![format!("stopped {stopped:?}, said {}", answer(ws, ID))]
    });
}

fn want(step: usize, _: &[String]) -> Answer {
    if step == 0 { ("I would.", vec![("act", json!({}))]) } else { ("Thank you.", vec![]) }
}

const SCRIPTS: &[(&str, Script)] = &[("want", want), ("I approve", want)];

#[test]
fn approve_takes_effect_once() {
    let server = Strict::start(SCRIPTS);
    let ws = synced();
    server.model(&ws);
    ws.write("tools/act", "#!/bin/sh\necho x >>files/acted\n");
    ws.write("tools/act.json", &json!({"description": "Acts.", "parameters": {"type": "object"}}).to_string());
    ws.write("files/.keep", "");
    assert_eq!(ws.shell("chmod +x tools/act").code, 0);
    let agent = ws.read("agents/pickle/AGENT.md");
    ws.write("agents/pickle/AGENT.md", &agent.replacen("---\n", "---\ntools: [act: {approve: true}]\n", 1));
    let said = ws.claw(&["ask", "-n", "-s", "t", "want"]).waits();
    let id = said.lines().find_map(|line| line.strip_prefix("claw approve ")).unwrap().to_owned();
    send(&ws, &format!("/approve {id}"));
    ws.claw(&["route"]).ok();
    sweep("/approve disturbed", &ws, &["run-agent", ID], |ws| {
        recover(ws);
        let acted = std::fs::read_to_string(ws.path("files/acted")).unwrap_or_default();
        let is_right = acted == "x\n" && answer(ws, ID) == "approved, it is run now: act: {}\n";
        if is_right { server.broken() } else { vec![format!("acted {acted:?}, said {}", answer(ws, ID))] }
    });
}
