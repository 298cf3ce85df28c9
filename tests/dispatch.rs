//! Agents that ask each other: the answer comes back into the same turn, in one process or in many, and nobody
//! waits for ever.

mod common;

use common::Fixture;
use common::checker::{delivered, violations};
use common::strict::{Answer, Script, Strict};
use serde_json::{Value, json};

fn ask(agent: &str, task: &str) -> (&'static str, Value) {
    ("subagent_dispatch", json!({"agent_id": agent, "task": task}))
}

/// What came of the last calls, word for word.
fn said(results: &[String]) -> &'static str {
    results.join("\n").leak()
}

/// Asks once, and says what came of it.
fn once(step: usize, results: &[String], call: fn() -> (&'static str, Value)) -> Answer {
    if step == 0 { ("", vec![call()]) } else { (said(results), vec![]) }
}

fn plan(step: usize, results: &[String]) -> Answer {
    once(step, results, || ask("cookie", "script:look"))
}

fn look(_: usize, _: &[String]) -> Answer {
    ("The NAS is 10.0.0.7.", vec![])
}

fn ring(step: usize, results: &[String]) -> Answer {
    once(step, results, || ask("cookie", "script:back"))
}

fn back(step: usize, results: &[String]) -> Answer {
    once(step, results, || ask("pickle", "script:look"))
}

/// Asks what cannot be asked.
fn wrong(step: usize, results: &[String]) -> Answer {
    let foreign =
        json!({"agent_id": "cookie", "task": "script:look", "context": "the house", "session_id": "cookie.mine"});
    let calls = vec![ask("pickle", "x"), ask("cokie", "x"), ask("cookie", " "), ("subagent_dispatch", foreign)];
    if step == 0 { ("", calls) } else { (said(results), vec![]) }
}

/// Goes on in the session that it has begun.
fn twice(step: usize, results: &[String]) -> Answer {
    match step {
        0 => ("", vec![ask("cookie", "script:look")]),
        1 => {
            let session = told(&results[0])["session_id"].clone();
            let again = json!({"agent_id": "cookie", "task": "script:look again", "session_id": session});
            ("", vec![("subagent_dispatch", again)])
        }
        _ => (said(results), vec![]),
    }
}

/// Does not wait, and says later what came of it.
fn later(step: usize, _: &[String]) -> Answer {
    let call = ("subagent_dispatch", json!({"agent_id": "cookie", "task": "script:look", "wait": false}));
    if step == 0 { ("", vec![call]) } else { ("It is being done.", vec![]) }
}

fn heard(_: usize, _: &[String]) -> Answer {
    ("Cookie says: 10.0.0.7.", vec![])
}

/// Asks the one whose model does not work.
fn trust(step: usize, results: &[String]) -> Answer {
    once(step, results, || ask("broken", "script:look"))
}

const SCRIPTS: &[(&str, Script)] = &[
    ("script:plan", plan),
    ("What came of it", heard),
    ("script:look", look),
    ("script:ring", ring),
    ("script:back", back),
    ("script:wrong", wrong),
    ("script:twice", twice),
    ("script:later", later),
    ("script:trust", trust),
];

/// One turn of each agent at once, and one in all.
fn narrow(server: &Strict) -> Fixture {
    let ws = Fixture::new();
    server.model(&ws);
    ws.config("max_concurrency: 1");
    ws.write("agents/pickle/AGENT.md", "---\nname: Pickle\nmax_concurrency: 1\n---\nYou are Pickle.\n");
    ws
}

/// The sessions that an agent has for what it was asked.
fn subs(ws: &Fixture, agent: &str) -> Vec<String> {
    let mut names = ws.list("sessions");
    names.retain(|name| name.starts_with(&format!("{agent}.sub-")));
    names
}

fn told(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// The texts that were delivered, in the order of their events.
fn texts(ws: &Fixture) -> Vec<String> {
    let names = delivered(ws);
    names.iter().map(|name| ws.read(&format!("outbox/files/a/{name}")).trim_end().to_owned()).collect()
}

/// Nothing is left, and nothing has failed.
fn is_over(ws: &Fixture) -> bool {
    ws.pending().is_empty() && ws.list("inbox/failed").is_empty()
}

#[test]
fn the_answer_of_another_agent_comes_back_into_the_same_turn() {
    let server = Strict::start(SCRIPTS);
    let ws = narrow(&server);
    let answer = told(&ws.claw(&["ask", "-n", "-s", "t", "script:plan"]).ok());
    assert_eq!(answer, json!({"result": "The NAS is 10.0.0.7.", "session_id": subs(&ws, "cookie")[0]}));
    assert_eq!(server.broken(), [""; 0]);
    assert!(is_over(&ws));
    assert_eq!(ws.done("outbox").len(), 1, "what is said to an agent is sent nowhere");
}

#[test]
fn it_comes_back_under_a_supervisor_with_one_slot() {
    let server = Strict::start(SCRIPTS);
    let ws = narrow(&server);
    let supervisor = ws.supervise(&[]);
    ws.claw(&["send", "--from", "file:a", "script:plan"]).ok();
    ws.eventually("the answer is delivered", |ws| delivered(ws).len() == 1 && is_over(ws));
    assert_eq!(told(&texts(&ws)[0])["result"], "The NAS is 10.0.0.7.");
    assert_eq!(supervisor.stop().code, 0);
    assert_eq!(server.broken(), [""; 0]);
}

#[test]
fn agents_that_ask_in_a_ring_are_told_and_do_not_deadlock() {
    let server = Strict::start(SCRIPTS);
    let ws = narrow(&server);
    let result = told(&ws.claw(&["ask", "-n", "script:ring"]).ok())["result"].as_str().unwrap().to_owned();
    assert!(result.starts_with("error: pickle waits for this itself (pickle → cookie → pickle)"), "{result}");
    assert_eq!(server.broken(), [""; 0]);
    assert!(is_over(&ws));
}

#[test]
fn what_cannot_be_asked_is_told_in_words() {
    let server = Strict::start(SCRIPTS);
    let ws = narrow(&server);
    ws.claw(&["ask", "-n", "-a", "cookie", "-s", "mine", "script:look"]).ok();
    let answer = ws.claw(&["ask", "-n", "script:wrong"]).ok();
    let lines: Vec<&str> = answer.lines().collect();
    let expected = [
        "error: you are pickle yourself",
        "error: there is no agent `cokie` (did you mean `cookie`?)",
        "error: there is nothing to do",
        "error: session cookie.mine was not begun by a dispatch of this conversation",
    ];
    assert_eq!(lines.len(), expected.len(), "{answer}");
    assert!(lines.iter().zip(expected).all(|(line, start)| line.starts_with(start)), "{answer}");
    assert_eq!(subs(&ws, "cookie"), [""; 0]);
}

#[test]
fn a_session_with_another_agent_is_gone_on_with() {
    let server = Strict::start(SCRIPTS);
    let ws = narrow(&server);
    let answer = told(&ws.claw(&["ask", "-n", "script:twice"]).ok());
    assert_eq!(json!(subs(&ws, "cookie")), json!([answer["session_id"]]));
    // It was sent what was said before.
    assert_eq!(server.asked("script:look", 0), 2);
    let log = ws.read(&format!("sessions/{}/log.jsonl", answer["session_id"].as_str().unwrap()));
    assert_eq!(log.matches(r#"{"t":"done""#).count(), 2);
    assert_eq!(server.broken(), [""; 0]);
}

#[test]
fn what_is_not_waited_for_comes_later_and_is_answered_where_it_was_asked() {
    let server = Strict::start(SCRIPTS);
    let ws = narrow(&server);
    let id = ws.claw(&["send", "--from", "file:a", "script:later"]).ok().trim().to_owned();
    for _ in 0..3 {
        ws.claw(&["tick"]).ok();
    }
    assert_eq!(texts(&ws), ["Cookie says: 10.0.0.7.", "It is being done."]);
    assert_eq!(delivered(&ws), [format!("{id}.d01.r01.r01.md"), format!("{id}.r01.md")]);
    assert!(is_over(&ws));
    let log = ws.read("sessions/pickle.file-a/log.jsonl");
    let head = format!("What came of it, from cookie in session {}:", subs(&ws, "cookie")[0]);
    assert!(log.contains(&head), "{log}");
    assert_eq!(server.broken(), [""; 0]);
}

#[test]
fn what_another_agent_cannot_do_is_told_and_is_no_end() {
    let server = Strict::start(SCRIPTS);
    let ws = narrow(&server);
    let head = "name: Broken\nllm: {provider: command, command: [sh, -c, 'echo no luck >&2; exit 1']}";
    ws.write("agents/broken/AGENT.md", &format!("---\n{head}\n---\nYou fail.\n"));
    let answer = ws.claw(&["ask", "-n", "script:trust"]).ok();
    assert!(answer.starts_with("error: broken in session broken.sub-") && answer.contains("no luck"), "{answer}");
    assert_eq!(ws.pending(), [""; 0]);
    assert_eq!(ws.list("inbox/failed").len(), 2, "it is kept, with the reason");
    assert_eq!(server.broken(), [""; 0]);
}

#[test]
fn who_takes_too_long_is_not_waited_for() {
    let server = Strict::start(SCRIPTS);
    let ws = narrow(&server);
    let head = "name: Broken\nturn_timeout: 1s\nllm: {provider: command, command: [sleep, '60']}";
    ws.write("agents/broken/AGENT.md", &format!("---\n{head}\n---\nYou sleep.\n"));
    let began = std::time::Instant::now();
    let answer = told(&ws.claw(&["ask", "-n", "script:trust"]).ok());
    assert_eq!(answer["result"], "I stopped after 1s and 0 steps without an answer.");
    assert!(began.elapsed() < std::time::Duration::from_secs(30));
    assert!(is_over(&ws));
}

#[test]
fn a_stop_reaches_whoever_is_asked() {
    let server = Strict::start(SCRIPTS);
    let ws = narrow(&server);
    let head = "name: Broken\nllm: {provider: command, command: [sh, -c, ': >hangs; read x <gate']}";
    ws.write("agents/broken/AGENT.md", &format!("---\n{head}\n---\nYou hang.\n"));
    assert_eq!(ws.shell("mkfifo gate").code, 0);
    let _supervisor = ws.supervise(&[]);
    let id = ws.claw(&["send", "--from", "file:a", "script:trust"]).ok().trim().to_owned();
    ws.eventually("it hangs", |ws| ws.path("hangs").exists());
    ws.claw(&["send", "--from", "file:a", "--reply-to", "file:a", "/stop"]).ok();
    ws.eventually("both are over", |ws| ws.done("inbox").len() == 3 && is_over(ws));
    assert_eq!(texts(&ws)[0], "I was stopped after 1 step.");
    assert!(ws.read(&format!("sessions/{}/log.jsonl", subs(&ws, "broken")[0])).contains("I was stopped."));
    assert_eq!(violations(&ws, &[id.clone(), format!("{id}.d01")]), [""; 0]);
}
