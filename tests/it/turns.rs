//! Turns of many steps, against a model server that refuses every request that breaks a rule.

use crate::common::Fixture;
use crate::common::strict::{Answer, Script, Strict};
use serde_json::{Value, json};

fn call(name: &'static str, arguments: Value) -> (&'static str, Value) {
    (name, arguments)
}

/// Reads, then saves a note and acts, then reports the results.
fn work(step: usize, results: &[String]) -> Answer {
    match step {
        0 => ("I look.", vec![call("recall", json!({"query": "NAS"})), call("recall", json!({"query": "printer"}))]),
        1 => (
            "",
            vec![call("remember", json!({"text": "fact"})), call("act", json!({"line": results[0].lines().count()}))],
        ),
        _ => ("All done.", vec![]),
    }
}

/// Always gives the same answer.
fn stubborn(_: usize, _: &[String]) -> Answer {
    ("", vec![call("recall", json!({"query": "nothing"}))])
}

/// Never ends, but makes a new call every time.
fn endless(step: usize, _: &[String]) -> Answer {
    ("", vec![call("recall", json!({"query": format!("word{step}")}))])
}

/// Makes invalid calls, and ends after the errors.
fn broken(step: usize, results: &[String]) -> Answer {
    match step {
        0 => (
            "",
            vec![
                call("recall", json!("{\"query\": ")),
                call("recall", json!({"qeury": "x"})),
                call("fly", json!({})),
                call("multi_tool_use.parallel", json!({})),
                call("recall", json!({"query": ["x", 7]})),
            ],
        ),
        _ if results.len() == 5 && results.iter().all(|r| r.starts_with("error: ")) => ("I was told.", vec![]),
        _ => ("I was not told.", vec![]),
    }
}

fn long(step: usize, results: &[String]) -> Answer {
    match step {
        0 => ("", vec![call("bash", json!({"command": "seq 1 20000"}))]),
        _ if results[0].len() < 20_000 && results[0].contains("[cut: 16384 of ") => ("It was cut.", vec![]),
        _ => ("It was not cut.", vec![]),
    }
}

fn crash(step: usize, results: &[String]) -> Answer {
    match step {
        0 => ("", vec![call("act", json!({"line": 1}))]),
        _ if results[0].contains("interrupted") => ("It was interrupted.", vec![]),
        _ => ("It went well.", vec![]),
    }
}

/// Acts, without a final text.
fn mute(step: usize, _: &[String]) -> Answer {
    if step == 0 { ("", vec![call("act", json!({"line": 1}))]) } else { (" ", vec![]) }
}

fn absent(_: usize, _: &[String]) -> Answer {
    ("", vec![])
}

const SCRIPTS: &[(&str, Script)] = &[
    ("script:work", work),
    ("script:stubborn", stubborn),
    ("script:endless", endless),
    ("script:broken", broken),
    ("script:long", long),
    ("script:crash", crash),
    ("script:mute", mute),
    ("script:absent", absent),
];

/// A workspace with a tool that appends a line per run.
fn workspace(server: &Strict) -> Fixture {
    let ws = Fixture::new();
    server.model(&ws);
    ws.write("memories/topics/house.md", "- the NAS is 10.0.0.7\n- the printer is upstairs\n");
    ws.write("tools/act", "#!/bin/sh\ncat >>files/acted; echo >>files/acted; echo done\n");
    let manifest = json!({
        "description": "Leaves a line.",
        "parameters": {"type": "object", "properties": {"line": {"type": "integer"}}},
    });
    ws.write("tools/act.json", &manifest.to_string());
    ws.write("files/.keep", "");
    assert!(ws.shell("chmod +x tools/act").code == 0);
    ws
}

fn ask(ws: &Fixture, text: &str) -> String {
    ws.claw(&["ask", "-n", "-s", "t", text]).ok().trim_end().to_owned()
}

#[test]
fn a_turn_of_many_steps_ends_with_one_answer() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server);
    assert_eq!(ask(&ws, "script:work"), "All done.");
    assert_eq!(ws.read("files/acted"), "{\"line\":1}\n");
    assert!(ws.claw(&["recall", "fact"]).ok().contains("fact"));
    // The next turn sends all of it, and it is valid.
    assert_eq!(ask(&ws, "script:work again"), "All done.");
    assert_eq!(server.broken(), [""; 0]);
    let roles: Vec<Value> =
        server.last()["messages"].as_array().unwrap().iter().map(|message| message["role"].clone()).collect();
    let exchange = ["user", "assistant", "tool", "tool", "assistant", "tool", "tool", "assistant"];
    let expected: Vec<&str> = ["system"].into_iter().chain(exchange).chain(exchange[..7].iter().copied()).collect();
    assert_eq!(roles, expected);
    assert_eq!(ws.pending(), [""; 0]);
}

#[test]
fn errors_of_a_call_are_reported_to_the_model() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server);
    assert_eq!(ask(&ws, "script:broken"), "I was told.");
    assert_eq!(server.broken(), [""; 0]);
}

#[test]
fn repeating_model_is_warned_then_stopped() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server);
    assert_eq!(ask(&ws, "script:stubborn"), "I stopped after 6 steps without an answer.");
    let last = server.last();
    let told = last["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().to_owned();
    assert!(told.contains("the same result 5 times") && told.contains("Answer now"), "{told}");
    assert_eq!(last["tool_choice"], "none");
    assert_eq!(server.broken(), [""; 0]);
}

#[test]
fn a_turn_has_as_many_steps_as_its_agent_may_take() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server);
    let agent = ws.read("agents/pickle/AGENT.md").replacen("---\n", "---\nmax_steps: 4\n", 1);
    ws.write("agents/pickle/AGENT.md", &agent);
    assert_eq!(ask(&ws, "script:endless"), "I stopped after 4 steps without an answer.");
    assert_eq!((server.asked("script:endless", 3), server.asked("script:endless", 4)), (1, 0));
    assert_eq!(server.broken(), [""; 0]);
}

#[test]
fn a_long_result_is_cut_and_the_rest_is_in_a_file() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server);
    assert_eq!(ask(&ws, "script:long"), "It was cut.");
    let kept = ws.list("files/results");
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(ws.read(&format!("files/results/{}", kept[0])).lines().any(|line| line == "20000"));
}

#[test]
fn empty_answer_after_tool_calls_is_accepted_and_marked() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server);
    assert_eq!(ask(&ws, "script:mute"), "(the model returned no text)");
    assert_eq!((ws.read("files/acted"), server.asked("script:mute", 1)), ("{\"line\":1}\n".to_owned(), 1));
    // The conversation goes on.
    assert_eq!(ask(&ws, "script:work"), "All done.");
    assert_eq!((server.broken(), ws.pending()), (vec![], vec![]));
}

#[test]
fn empty_answer_is_requested_once_more_and_blocks_nothing() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server);
    let id = ws.claw(&["send", "script:absent"]).ok().trim().to_owned();
    ws.claw(&["send", "script:work"]).ok();
    ws.claw(&["route"]).ok();
    let err = ws.claw(&["run-agent"]).fails(1);
    assert!(err.contains("model strict: its answer is empty"), "{err}");
    assert_eq!(server.asked("script:absent", 0), 2);
    assert!(ws.path(&format!("inbox/failed/{id}.reason")).exists());
    let said = ws.claw(&["deliver"]).ok();
    assert!(said.contains("could not be answered") && said.ends_with("All done.\n"), "{said}");
    assert_eq!((server.broken(), ws.list("inbox/wait")), (vec![], vec![]));
}

#[test]
fn background_turn_may_answer_nothing() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server);
    ws.publish(&json!({"kind": "cron", "from": "cron:x", "content": "script:absent"}));
    ws.claw(&["tick"]).ok();
    assert_eq!((server.asked("script:absent", 0), ws.done("inbox").len()), (1, 1));
    assert_eq!((ws.done("outbox"), ws.list("outbox/failed"), ws.pending()), (vec![], vec![], vec![]));
    // The model's text is part of the conversation all the same.
    ws.publish(&json!({"kind": "cron", "from": "cron:x", "content": "script:mute"}));
    ws.claw(&["tick"]).ok();
    assert_eq!((server.broken(), ws.done("inbox").len(), ws.done("outbox")), (vec![], 2, vec![]));
}
