//! Kills of a delivery to a web client before its durable calls: its line is in the journal exactly once, so that a client
//! that returns with its cursor gets the answer once.

use crate::common::Fixture;
use crate::common::checker::violations;
use crate::common::proof::Proof;
use crate::common::scenes::{Faults, recover, synced, trusted};
use crate::common::sweep::{At, Scenario};
use serde_json::{Value, json};

/// A workspace with an answer to a web client.
fn answered() -> Fixture {
    let ws = synced();
    ws.config("channels:\n  web: {listen: 127.0.0.1:0}\n");
    ws.publish(&json!({"kind": "message", "from": "web:ci", "content": "hello", "origin": {"class": "known"}}));
    ws.claw(&["route"]).ok();
    ws.claw(&["run-agent"]).ok();
    assert_eq!(ws.list("outbox/ready").len(), 1);
    ws
}

fn judge(ws: &Fixture) -> Vec<String> {
    recover(ws);
    ws.hurry();
    let ran = ws.claw(&["deliver"]);
    let mut wrong: Vec<String> =
        (ran.code != 0).then(|| format!("exit {}: {}", ran.code, ran.err)).into_iter().collect();
    let done: Vec<String> = ws.done("inbox").iter().map(|name| name.trim_end_matches(".json").to_owned()).collect();
    wrong.extend(violations(ws, &done));
    let files = ws.list(".claw/journal");
    let text: String = files.iter().map(|name| ws.read(&format!(".claw/journal/{name}"))).collect();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let count = lines.filter(|line| line["what"] == "outbound").count();
    wrong.extend((count != 1).then(|| format!("the journal has {count} lines for the client")));
    wrong
}

#[test]
fn killed_delivery_to_a_web_client_is_in_the_journal_once() {
    let mut proof = Proof::begin("kill -9 of a delivery to a web client before every durable call");
    let template = answered();
    let judge = |ws: &Fixture, _: &crate::common::sweep::Hit| judge(ws);
    let scenario = Scenario {
        name: "deliver",
        template: &template,
        copy: trusted,
        command: &["deliver"],
        prepare: &|| {},
        judge: &judge,
    };
    proof.sweep(At::Calls(Faults::Kills(1)), &scenario);
    proof.judge(4);
}
