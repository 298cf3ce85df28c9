//! The heartbeat: it asks the model only if there is something new, and leaves no trace if it has found nothing.

use crate::common::Fixture;
use crate::common::strict::{Answer, Script, Strict};
use serde_json::{Value, json};

fn beat(_: usize, _: &[String]) -> Answer {
    ("HEARTBEAT_OK All quiet.", vec![])
}

fn alarm(_: usize, _: &[String]) -> Answer {
    ("The NAS is full.", vec![])
}

fn hello(_: usize, _: &[String]) -> Answer {
    ("Hello.", vec![])
}

const SCRIPTS: &[(&str, Script)] = &[("Look for alarms", alarm), ("Look at the NAS", beat), ("hello there", hello)];

fn workspace(server: &Strict) -> Fixture {
    let ws = Fixture::new();
    server.model(&ws);
    ws.config("deliver_to: file:ann\nheartbeat: {every: 30m, active: '08:00-22:00'}");
    ws
}

fn tick(ws: &Fixture, time: &str) {
    ws.claw(&["tick", "--now", &format!("2026-12-{time}:00Z")]).ok();
}

/// The lines of its ledger: `fired`, `outcome quiet`, `missed unchanged`.
fn lines(ws: &Fixture) -> Vec<String> {
    let text = ws.read(".claw/crons/+heartbeat.jsonl");
    let of = |line: Value| {
        let more = line["how"].as_str().or(line["why"].as_str()).map(|more| format!(" {more}"));
        format!("{}{}", line["t"].as_str().unwrap(), more.unwrap_or_default())
    };
    let lines = text.lines().filter(|line| !line.is_empty()).map(|line| of(serde_json::from_str(line).unwrap()));
    lines.filter(|line| line != "beat").collect()
}

#[test]
fn beat_without_news_asks_no_model() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server);
    tick(&ws, "01T10:00");
    tick(&ws, "01T10:30");
    ws.write("HEARTBEAT.md", "# Heartbeat\n\n<!-- nothing -->\n- [ ]\n");
    tick(&ws, "01T11:00");
    assert_eq!(lines(&ws), ["seen", "missed empty", "missed empty"]);
    ws.write("HEARTBEAT.md", "Look at the NAS.\n");
    for time in ["11:30", "12:00", "12:30", "13:00"] {
        tick(&ws, &format!("01T{time}"));
    }
    assert_eq!(lines(&ws)[3..], ["fired", "outcome quiet", "missed unchanged", "missed unchanged", "missed unchanged"]);
    ws.claw(&["tasks", "add", "Water the plants"]).ok();
    tick(&ws, "01T13:30");
    assert_eq!(lines(&ws)[8..], ["fired", "outcome quiet"]);
    tick(&ws, "01T22:00");
    assert_eq!(lines(&ws)[10..], ["missed late", "missed inactive"]);
    for n in 0..48 {
        let minute = 30 * n;
        tick(&ws, &format!("02T{:02}:{:02}", minute / 60, minute % 60));
    }
    assert_eq!((server.asked("Look at the NAS", 0), server.broken()), (2, vec![]));
    assert!(ws.list("outbox/files").is_empty(), "nothing was delivered");
}

#[test]
fn beat_is_marked_and_leaves_no_trace_if_it_found_nothing() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server);
    ws.write("HEARTBEAT.md", "Look at the NAS.\n");
    tick(&ws, "01T10:00");
    tick(&ws, "01T10:30");
    let request = server.last().to_string();
    assert!(request.contains("[Heartbeat: not a message of a person. It agrees to nothing"), "{request}");
    let say = |time: &str| {
        ws.claw(&["send", "--from", "file:ann", "hello there"]).ok();
        tick(&ws, time);
        server.last()["messages"].clone()
    };
    let messages = say("01T10:31");
    assert_eq!(messages.as_array().unwrap().len(), 2, "{messages}");
    assert!(ws.read("sessions/pickle.file-ann/log.jsonl").contains("HEARTBEAT_OK All quiet."));
    // A finding is delivered, and stays, with its mark.
    ws.write("HEARTBEAT.md", "Look for alarms.\n");
    tick(&ws, "01T11:00");
    assert_eq!(lines(&ws).last().unwrap(), "outcome done");
    let files = ws.list("outbox/files/ann");
    assert!(files.iter().any(|name| ws.read(&format!("outbox/files/ann/{name}")) == "The NAS is full.\n"), "{files:?}");
    let messages = say("01T11:01");
    let text = messages[3]["content"].as_str().unwrap();
    assert!(text.starts_with("[Heartbeat: ") && text.contains("Look for alarms."), "{messages}");
    assert_eq!(messages[4], json!({"role": "assistant", "content": "The NAS is full."}));
    assert_eq!(server.broken(), [""; 0]);
}

#[test]
fn refused_model_is_not_asked_again_before_something_changes() {
    let ws = Fixture::new();
    ws.config("heartbeat: {every: 30m, always: true}");
    ws.write("HEARTBEAT.md", "Look at the NAS.\n");
    for time in ["10:00", "10:30", "11:00", "11:30"] {
        ws.claw(&["tick", "--now", &format!("2026-12-01T{time}:00Z")]);
    }
    assert_eq!(lines(&ws), ["seen", "fired", "outcome failed", "missed unchanged", "missed unchanged"]);
    ws.config("heartbeat: {every: 1s}");
    assert!(ws.claw(&["check"]).out.contains("heartbeat"), "two settings of one name");
}
