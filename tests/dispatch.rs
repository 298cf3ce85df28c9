//! Agents that ask each other: the answer comes back into the same turn, in one process or in many, and nobody
//! waits for ever.

mod common;

use common::strict::{Answer, Script, Strict};
use common::{Fixture, Ran};
use serde_json::{Value, json};

fn ask(agent: &str, task: &str) -> (&'static str, Value) {
    ("subagent_dispatch", json!({"agent_id": agent, "task": task}))
}

/// What came of the last call, word for word.
fn said(results: &[String]) -> &'static str {
    results.last().unwrap().clone().leak()
}

/// Asks cookie, and says what it was told.
fn plan(step: usize, results: &[String]) -> Answer {
    match step {
        0 => ("", vec![ask("cookie", "script:look")]),
        _ => (said(results), vec![]),
    }
}

fn look(_: usize, _: &[String]) -> Answer {
    ("The NAS is 10.0.0.7.", vec![])
}

/// Asks cookie, who asks whoever has asked.
fn ring(step: usize, results: &[String]) -> Answer {
    match step {
        0 => ("", vec![ask("cookie", "script:back")]),
        _ => (said(results), vec![]),
    }
}

fn back(step: usize, results: &[String]) -> Answer {
    match step {
        0 => ("", vec![ask("pickle", "script:look")]),
        _ => (said(results), vec![]),
    }
}

const SCRIPTS: &[(&str, Script)] =
    &[("script:plan", plan), ("script:look", look), ("script:ring", ring), ("script:back", back)];

/// One turn of each agent at once, and one in all.
fn narrow(server: &Strict) -> Fixture {
    let ws = Fixture::new();
    server.model(&ws);
    ws.config("max_concurrency: 1");
    ws.write("agents/pickle/AGENT.md", "---\nname: Pickle\nmax_concurrency: 1\n---\nYou are Pickle.\n");
    ws
}

/// The one session that an agent has for what it was asked.
fn sub(ws: &Fixture, agent: &str) -> String {
    let mut names = ws.list("sessions");
    names.retain(|name| name.starts_with(&format!("{agent}.sub-")));
    assert_eq!(names.len(), 1, "{names:?}");
    names.remove(0)
}

fn told(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn the_answer_of_another_agent_comes_back_into_the_same_turn() {
    let server = Strict::start(SCRIPTS);
    let ws = narrow(&server);
    let answer = told(&ws.claw(&["ask", "-n", "-s", "t", "script:plan"]).ok());
    assert_eq!(answer, json!({"result": "The NAS is 10.0.0.7.", "session_id": sub(&ws, "cookie")}));
    assert_eq!(server.broken(), [""; 0]);
    assert_eq!((ws.pending(), ws.list("inbox/failed"), ws.done("outbox").len()), (vec![], vec![], 1));
}

#[test]
fn it_comes_back_under_a_supervisor_with_one_slot() {
    let server = Strict::start(SCRIPTS);
    let ws = narrow(&server);
    let supervisor = ws.supervise(&[]);
    ws.claw(&["send", "--from", "file:a", "script:plan"]).ok();
    ws.eventually("the answer is delivered", |ws| {
        !common::checker::delivered(ws).is_empty() && ws.pending().is_empty()
    });
    let name = &common::checker::delivered(&ws)[0];
    assert_eq!(told(&ws.read(&format!("outbox/files/a/{name}")))["result"], "The NAS is 10.0.0.7.");
    assert_eq!(supervisor.stop().code, 0);
    assert_eq!(server.broken(), [""; 0]);
}

#[test]
fn whoever_waits_for_an_answer_is_not_asked_for_it() {
    let server = Strict::start(SCRIPTS);
    let ws = narrow(&server);
    let ran: Ran = ws.claw(&["ask", "-n", "script:ring"]);
    let result = told(&ran.ok())["result"].as_str().unwrap().to_owned();
    assert!(result.starts_with("error: pickle waits for this itself (pickle → cookie → pickle)"), "{result}");
    assert_eq!(server.broken(), [""; 0]);
}
