//! Scheduled jobs: due instants become events, each once, and the ledger has a record of every one.

use crate::common::Fixture;
use serde_json::Value;

/// A workspace with a model that repeats the end of each message.
fn workspace() -> Fixture {
    let ws = Fixture::new();
    ws.write(
        "tools/think",
        "#!/bin/sh\ncat >>requests.txt\necho >>requests.txt\ncat files/answer 2>/dev/null || echo Good morning.\n",
    );
    assert_eq!(ws.shell("chmod +x tools/think").code, 0);
    ws.model("think", "provider: command, command: [./tools/think]");
    ws
}

fn job(ws: &Fixture, id: &str, fields: &str) {
    ws.write(&format!("crons/{id}/CRON.md"), &format!("---\nname: {id}\nagent: pickle\n{fields}\n---\nSay hello.\n"));
}

fn tick(ws: &Fixture, time: &str) {
    ws.claw(&["tick", "--now", &format!("2026-12-{time}Z")]).ok();
}

/// The lines of a job's ledger.
fn ledger(ws: &Fixture, id: &str) -> Vec<Value> {
    let text = ws.read(&format!(".claw/crons/{id}.jsonl"));
    text.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The kinds of its lines.
fn kinds(ws: &Fixture, id: &str) -> Vec<String> {
    ledger(ws, id).iter().map(|line| line["t"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn due_instant_runs_once_and_its_answer_is_delivered() {
    let ws = workspace();
    job(&ws, "hello", "schedule: '0 7 * * *'\ndeliver_to: file:answers");
    tick(&ws, "01T08:00:00");
    assert_eq!(kinds(&ws, "hello"), ["seen"]);
    for time in ["02T06:59:00", "02T07:00:10", "02T07:00:20", "02T07:01:00"] {
        tick(&ws, time);
    }
    assert_eq!(kinds(&ws, "hello"), ["seen", "fired", "outcome"]);
    let lines = ledger(&ws, "hello");
    assert_eq!((lines[1]["due"].as_str(), lines[2]["how"].as_str()), (Some("2026-12-02T07:00:00Z"), Some("done")));
    let event = lines[1]["event"].as_str().unwrap();
    assert_eq!(ws.read(&format!("outbox/files/answers/{event}.r01.md")), "Good morning.\n");
    assert!(ws.read("requests.txt").contains("Say hello."));
}
