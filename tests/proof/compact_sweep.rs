//! A turn that compacts its conversation, and `/compact`, killed at every durable call, and with an error at every
//! one: one answer, one compaction, and only valid requests.

use crate::common::Fixture;
use crate::common::checker::{delivered, ended, violations};
use crate::common::proof::Proof;
use crate::common::scenes::{Faults, ID, burnt, recover, standing, synced, trusted};
use crate::common::sweep::{At, Scenario};
use crate::common::window::Window;
use serde_json::Value;
use std::cell::Cell;

/// A long conversation, and an event that waits for its turn in it.
fn arranged(server: &Window, text: &str) -> Fixture {
    let ws = synced();
    server.model(&ws, ", window: 100000");
    // Notes would be further events; they are published like those of a tool.
    ws.config("compact: {remember: false}\n");
    ws.write("memories/topics/places.md", &"- word1 word2: a note about some place\n".repeat(20));
    for n in 0..14 {
        let text = if n % 3 == 0 { format!("look it up, {n}") } else { format!("My number {n} is {n}.") };
        ws.claw(&["send", "--id", &format!("20261101T000000.0000{n:02}Z-before"), "--from", "file:a", &text]).ok();
    }
    ws.claw(&["tick"]).ok();
    let small = ws.read("claw.yaml").replace("window: 100000", "window: 4000");
    ws.write("claw.yaml", &small);
    for side in ["inbox", "outbox"] {
        std::fs::remove_dir_all(ws.path(side).join("done")).unwrap();
        std::fs::create_dir(ws.path(side).join("done")).unwrap();
    }
    std::fs::remove_dir_all(ws.path("outbox/files")).unwrap();
    ws.claw(&["send", "--id", ID, "--from", "file:a", text]).ok();
    ws.claw(&["route"]).ok();
    ws
}

/// The violations after a disturbed run; `before` is the number of answered requests before it.
fn wrong(ws: &Fixture, server: &Window, before: usize) -> Vec<String> {
    let mut wrong = violations(ws, &[ID.to_owned()]);
    server.seen(|seen| {
        wrong.extend(seen.broken.clone());
        let long = seen.requests[before..].iter().map(Vec::len).filter(|sent| *sent > 14);
        wrong.extend(long.map(|sent| format!("{sent} messages were sent")));
    });
    let log = ws.read("sessions/pickle.file-a/log.jsonl");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let compacts: Vec<&Value> = lines.iter().filter(|line| line["t"] == "compact").collect();
    if compacts.len() != 1 || compacts[0]["model"] != "small" {
        wrong.push(format!("compacted {} times", compacts.len()));
    }
    let dones = lines.iter().filter(|line| line["t"] == "done" && line["ids"][0] == ID).count();
    if dones != 1 || (ended(ws), delivered(ws)) != (vec![ID.to_owned()], vec![format!("{ID}.r01.md")]) {
        wrong.push(format!("{dones} done lines, done {:?}, delivered {:?}", ended(ws), delivered(ws)));
    }
    wrong
}

fn sweep(name: &'static str, text: &str, faults: Faults) {
    let mut proof = Proof::begin(name);
    let server = Window::start(100_000, false);
    let template = arranged(&server, text);
    let before = standing(&template);
    let requests = Cell::new(0);
    proof.sweep(
        At::Calls(faults),
        &Scenario {
            name: text,
            template: &template,
            copy: trusted,
            command: &["run-agent"],
            prepare: &|| requests.set(server.seen(|seen| seen.requests.len())),
            judge: &|ws, hit| {
                let burnt = burnt(ws, &before).filter(|_| !hit.is_kill());
                recover(ws);
                burnt.into_iter().chain(wrong(ws, &server, requests.get())).collect()
            },
        },
    );
    proof.judge(10);
}

#[test]
fn killed_turn_compacts_once() {
    sweep("kill -9 of a turn that compacts before every durable call", "hello", Faults::Kills(2));
}

#[test]
fn turn_compacts_once_after_errors() {
    sweep("an error from every durable call of a turn that compacts", "hello", Faults::Troubles(2));
}

#[test]
fn compact_command_compacts_once_after_kills_and_errors() {
    sweep("/compact disturbed at every durable call", "/compact", Faults::Both(2));
}
