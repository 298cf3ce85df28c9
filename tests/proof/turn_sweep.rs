//! A turn of three model calls and four tool calls of every class, killed at every durable call, and with an error at
//! every one: one answer, no logged answer requested again, no acting call done twice, and after any kill a valid
//! conversation.

use crate::common::Fixture;
use crate::common::checker::{delivered, ended, noted, violations};
use crate::common::proof::Proof;
use crate::common::scenes::{Faults, ID, burnt, recover, standing, synced, trusted};
use crate::common::strict::{Answer, Script, Strict};
use crate::common::sweep::{At, Scenario};
use serde_json::{Value, json};

const TEXT: &str = "script:sweep";
const STEPS: usize = 3;

/// Reads and acts; saves a note and acts; answers.
fn script(step: usize, _: &[String]) -> Answer {
    let recall = || ("recall", json!({"query": "NAS"}));
    match step {
        0 => ("I look.", vec![recall(), ("act", json!({"line": 1}))]),
        1 => ("", vec![("remember", json!({"text": "fact"})), ("act", json!({"line": 2})), recall()]),
        _ => ("All done.", vec![]),
    }
}

/// Acts, then answers.
fn acts(step: usize, _: &[String]) -> Answer {
    match step {
        0 => ("", vec![("act", json!({"line": 1}))]),
        _ => ("All of it.", vec![]),
    }
}

const SCRIPTS: &[(&str, Script)] = &[(TEXT, script), ("script:several", acts)];

/// An event that waits for its turn, in a workspace with a tool that acts.
fn arranged(server: &Strict) -> Fixture {
    let ws = acting(server);
    ws.claw(&["send", "--id", ID, "--from", "file:a", TEXT]).ok();
    ws.claw(&["route"]).ok();
    ws
}

fn acting(server: &Strict) -> Fixture {
    let ws = synced();
    server.model(&ws);
    ws.write("memories/topics/house.md", "- the NAS is 10.0.0.7\n");
    ws.write("tools/act", "#!/bin/sh\ncat >>files/acted; echo >>files/acted; echo done\n");
    ws.write("tools/act.json", &json!({"description": "Acts.", "parameters": {"type": "object"}}).to_string());
    ws.write("files/.keep", "");
    assert_eq!(ws.shell("chmod +x tools/act").code, 0);
    ws
}

/// The lines of the log of this kind.
fn logged(ws: &Fixture, kind: &str) -> Vec<Value> {
    let log = std::fs::read_to_string(ws.path("sessions/pickle.file-a/log.jsonl")).unwrap_or_default();
    let whole = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter(|record| record["t"] == kind).collect()
}

/// The violations after a disturbed run; `before` is how often each step had been requested then, and `answers` the
/// number of logged answers.
fn wrong(ws: &Fixture, server: &Strict, before: [usize; STEPS], answers: usize) -> Vec<String> {
    let mut wrong = violations(ws, &[ID.to_owned()]);
    wrong.extend(server.broken());
    for (step, before) in before.into_iter().enumerate() {
        let more = server.asked(TEXT, step) - before;
        if more > usize::from(step >= answers) {
            wrong.push(format!("step {step} was asked for {more} times more, with {answers} answers in the log"));
        }
    }
    let acted = std::fs::read_to_string(ws.path("files/acted")).unwrap_or_default();
    let interrupted =
        logged(ws, "tool").iter().filter(|r| r["result"].as_str().unwrap().contains("interrupted")).count();
    for line in 1..=2 {
        let mark = json!({"line": line}).to_string();
        let times = acted.lines().filter(|line| *line == mark).count();
        // The failing write may be the one of its arguments: then it has acted without them.
        let is_blank = acted.lines().any(str::is_empty);
        if times > 1 || times == 0 && interrupted == 0 && !is_blank {
            wrong.push(format!("call {line} acted {times} times, {interrupted} were interrupted"));
        }
    }
    if interrupted > 1 {
        wrong.push(format!("{interrupted} calls were interrupted by one kill"));
    }
    if noted(ws, "- fact <!--") != 1 {
        wrong.push(format!("noted {} times", noted(ws, "- fact <!--")));
    }
    if (ended(ws), delivered(ws)) != (vec![ID.to_owned()], vec![format!("{ID}.r01.md")]) {
        wrong.push(format!("done {:?}, delivered {:?}", ended(ws), delivered(ws)));
    }
    wrong
}

fn sweep(name: &'static str, at: At, points: usize) {
    let mut proof = Proof::begin(name);
    let server = Strict::start(SCRIPTS);
    let template = arranged(&server);
    let before = standing(&template);
    proof.sweep(
        at,
        &Scenario {
            name: "a turn",
            template: &template,
            copy: trusted,
            command: &["run-agent"],
            prepare: &|| server.forget(),
            judge: &|ws, hit| {
                let asked = [0, 1, 2].map(|step| server.asked(TEXT, step));
                let answers = logged(ws, "model").len();
                let burnt = burnt(ws, &before).filter(|_| !hit.is_kill());
                recover(ws);
                burnt.into_iter().chain(wrong(ws, &server, asked, answers)).collect()
            },
        },
    );
    proof.judge(points);
}

#[test]
fn killed_turn_continues_at_its_step() {
    sweep("kill -9 of a turn with tools before every durable call", At::Calls(Faults::Kills(3)), 20);
}

#[test]
fn turn_continues_after_errors() {
    sweep("an error from every durable call of a turn with tools", At::Calls(Faults::Troubles(5)), 12);
}

/// The openings include the tools' own files, keys to hide, and rules of the prompt.
#[test]
fn turn_continues_after_failed_openings() {
    sweep("an error from every opening in a turn with tools", At::Openings(5), 5);
}

/// Three waiting messages become one turn, one answer, and one `done` line.
fn collected(name: &'static str, faults: Faults) {
    let mut proof = Proof::begin(name);
    let server = Strict::start(SCRIPTS);
    let template = acting(&server);
    let agent = template.read("agents/pickle/AGENT.md").replace("allow_skills", "queue: collect\nallow_skills");
    template.write("agents/pickle/AGENT.md", &agent);
    let ids = ["a", "b", "c"].map(|end| format!("{}{end}", &ID[..ID.len() - 1]));
    for id in &ids {
        template.claw(&["send", "--id", id, "--from", "file:a", &format!("script:several {id}")]).ok();
    }
    template.claw(&["route"]).ok();
    let before = standing(&template);
    proof.sweep(
        At::Calls(faults),
        &Scenario {
            name: "three messages",
            template: &template,
            copy: trusted,
            command: &["run-agent"],
            prepare: &|| {},
            judge: &|ws, hit| {
                let mut wrong: Vec<String> = burnt(ws, &before).filter(|_| !hit.is_kill()).into_iter().collect();
                recover(ws);
                wrong.extend(violations(ws, &ids));
                wrong.extend(server.broken());
                let done: Vec<Vec<String>> =
                    logged(ws, "done").into_iter().map(|r| serde_json::from_value(r["ids"].clone()).unwrap()).collect();
                let answers: Vec<String> = done.iter().map(|ids| format!("{}.r01.md", ids[0])).collect();
                if (done.len(), ended(ws), delivered(ws)) != (1, ids.to_vec(), answers) {
                    wrong.push(format!("answered {done:?}, done {:?}, delivered {:?}", ended(ws), delivered(ws)));
                }
                let acted = std::fs::read_to_string(ws.path("files/acted")).unwrap_or_default();
                if acted.lines().count() > 1 {
                    wrong.push(format!("acted: {acted}"));
                }
                wrong
            },
        },
    );
    proof.judge(10);
}

#[test]
fn killed_collected_messages_are_answered_once() {
    collected("kill -9 of a turn of three collected messages before every durable call", Faults::Kills(5));
}

#[test]
fn collected_messages_are_answered_once_after_errors() {
    collected("an error from every durable call of a turn of three collected messages", Faults::Troubles(7));
}
