//! A turn that dispatches to another agent, which saves a note and answers, killed at every durable call, and with an
//! error at every one: each of the two is answered once, no logged answer is requested again, and the asking turn finds
//! the result.

use crate::common::Fixture;
use crate::common::checker::{delivered, ended, noted, violations};
use crate::common::proof::Proof;
use crate::common::scenes::{Faults, ID, burnt, recover, standing, synced, trusted};
use crate::common::strict::{Answer, Script, Strict};
use crate::common::sweep::{At, Scenario};
use serde_json::{Value, json};

/// Each turn: its script, its number of steps, and its agent.
const TURNS: [(&str, usize, &str); 2] = [("script:ask", 2, "pickle"), ("script:do", 2, "cookie")];

fn asks(step: usize, results: &[String]) -> Answer {
    match step {
        0 => ("I ask.", vec![("subagent_dispatch", json!({"agent_id": "cookie", "task": "script:do"}))]),
        _ if results[0].contains("It is done.") => ("All done.", vec![]),
        _ => ("It went wrong.", vec![]),
    }
}

fn does(step: usize, _: &[String]) -> Answer {
    match step {
        0 => ("", vec![("remember", json!({"text": "fact"}))]),
        _ => ("It is done.", vec![]),
    }
}

const SCRIPTS: &[(&str, Script)] = &[("script:ask", asks), ("script:do", does)];

fn arranged(server: &Strict) -> Fixture {
    let ws = synced();
    server.model(&ws);
    ws.claw(&["send", "--id", ID, "--from", "file:a", "script:ask"]).ok();
    ws.claw(&["route"]).ok();
    ws
}

/// The number of complete model answers in the logs of an agent.
fn logged(ws: &Fixture, agent: &str) -> usize {
    let sessions = ws.list("sessions").into_iter().filter(|name| name.starts_with(&format!("{agent}.")));
    let logs = sessions.map(|name| std::fs::read_to_string(ws.path(&format!("sessions/{name}/log.jsonl"))));
    let is_answer = |line: &&str| {
        line.ends_with('\n') && serde_json::from_str::<Value>(line).is_ok_and(|record| record["t"] == "model")
    };
    logs.map(|log| log.unwrap_or_default().split_inclusive('\n').filter(is_answer).count()).sum()
}

/// How often each step of each turn was requested, and the number of logged answers.
type Asked = Vec<(Vec<usize>, usize)>;

fn asked(ws: &Fixture, server: &Strict) -> Asked {
    let of = |(script, steps, agent): (&str, usize, &str)| {
        ((0..steps).map(|step| server.asked(script, step)).collect(), logged(ws, agent))
    };
    TURNS.map(of).to_vec()
}

fn wrong(ws: &Fixture, server: &Strict, before: &Asked) -> Vec<String> {
    let both = vec![ID.to_owned(), format!("{ID}.d01")];
    let mut wrong = violations(ws, &both);
    wrong.extend(server.broken());
    for (((script, ..), (steps, answers)), (now, _)) in TURNS.iter().zip(before).zip(asked(ws, server)) {
        for (step, (before, now)) in steps.iter().zip(now).enumerate() {
            if now - before > usize::from(step >= *answers) {
                wrong.push(format!("{script}: step {step} was asked for again, with {answers} answers in the log"));
            }
        }
    }
    if noted(ws, "- fact <!--") != 1 {
        wrong.push(format!("noted {} times", noted(ws, "- fact <!--")));
    }
    let mut done = ended(ws);
    done.sort();
    if (&done, delivered(ws)) != (&both, vec![format!("{ID}.r01.md")]) {
        wrong.push(format!("done {done:?}, delivered {:?}", delivered(ws)));
    } else if ws.read(&format!("outbox/files/a/{ID}.r01.md")) != "All done.\n" {
        wrong.push("what was done was not found".to_owned());
    }
    wrong
}

fn sweep(name: &'static str, faults: Faults) {
    let mut proof = Proof::begin(name);
    let server = Strict::start(SCRIPTS);
    let template = arranged(&server);
    let before = standing(&template);
    proof.sweep(
        At::Calls(faults),
        &Scenario {
            name: "a dispatch",
            template: &template,
            copy: trusted,
            command: &["run-agent"],
            prepare: &|| server.forget(),
            judge: &|ws, hit| {
                let asked = asked(ws, &server);
                let burnt = burnt(ws, &before).filter(|_| !hit.is_kill());
                recover(ws);
                burnt.into_iter().chain(wrong(ws, &server, &asked)).collect()
            },
        },
    );
    proof.judge(25);
}

#[test]
fn killed_turn_finds_the_result_of_its_dispatch() {
    // Every third call; all of them take three times as long.
    sweep("kill -9 of a turn that asks another agent before every durable call", Faults::Kills(3));
}

#[test]
fn turn_with_a_dispatch_continues_after_errors() {
    sweep("an error from every durable call of a turn that asks another agent", Faults::Troubles(3));
}
