//! The conditions that a workspace must satisfy when all its events have ended.

use super::{Fixture, findings};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Every accepted event has ended exactly once and well, each session in order, no logged answer was requested
/// again, and nothing is left half-way.
#[track_caller]
pub fn check(ws: &Fixture, accepted: &[String]) {
    let wrong = violations(ws, accepted);
    findings::none("conditions are broken", &wrong);
}

/// All violations of the conditions of [`check`].
pub fn violations(ws: &Fixture, accepted: &[String]) -> Vec<String> {
    violations_with(ws, accepted, &BTreeSet::new())
}

/// The same, where the `late` events have failed and were retried out of order.
pub fn violations_with(ws: &Fixture, accepted: &[String], late: &BTreeSet<String>) -> Vec<String> {
    let mut wrong: Vec<String> = ws.pending().into_iter().map(|name| format!("left: {name}")).collect();
    for dir in ["inbox/tmp", "outbox/tmp", "inbox/failed", "outbox/failed"] {
        wrong.extend(ws.list(dir).into_iter().map(|name| format!("left: {dir}/{name}")));
    }
    let done: HashSet<String> = ws.done("inbox").into_iter().collect();
    wrong
        .extend(accepted.iter().filter(|id| !done.contains(&format!("{id}.json"))).map(|id| format!("not done: {id}")));
    let mut ends: BTreeMap<String, usize> = BTreeMap::new();
    for session in ws.list("sessions").into_iter().filter(|s| ws.path(&format!("sessions/{s}/log.jsonl")).exists()) {
        let log = ws.read(&format!("sessions/{session}/log.jsonl"));
        let mut asked = HashSet::new();
        let mut last = String::new();
        for line in log.lines() {
            let Ok(record) = serde_json::from_str::<serde_json::Value>(line) else {
                wrong.push(format!("{session}: unreadable: {line}"));
                continue;
            };
            match record["t"].as_str() {
                // The calls of a step have ids of their own; the last step has none.
                Some("model") if !asked.insert(format!("{} {}", record["id"], record["reply"]["calls"])) => {
                    wrong.push(format!("{session}: asked twice: {line}"));
                }
                Some("done") => {
                    let id = record["ids"][0].as_str().unwrap_or_default().to_owned();
                    for id in record["ids"].as_array().unwrap() {
                        *ends.entry(id.as_str().unwrap_or_default().to_owned()).or_default() += 1;
                    }
                    if late.contains(&id) {
                        continue;
                    }
                    if id < last {
                        wrong.push(format!("{session}: {id} after {last}"));
                    }
                    last = id;
                }
                _ => {}
            }
        }
    }
    let notes = |id: &str| id.contains(".m") || ws.done("inbox").contains(&format!("{id}.json")) && is_note(ws, id);
    for id in accepted.iter().filter(|id| ends.get(*id) != Some(&1) && !notes(id)) {
        wrong.push(format!("{id} has {} ends", ends.get(id).copied().unwrap_or_default()));
    }
    wrong.extend(ends.iter().filter(|(_, n)| **n != 1).map(|(id, n)| format!("{id} ended {n} times")));
    wrong
}

fn is_note(ws: &Fixture, id: &str) -> bool {
    let days = ws.list("inbox/done");
    let paths = days.iter().map(|day| format!("inbox/done/{day}/{id}.json"));
    paths.filter(|p| ws.path(p).exists()).any(|p| ws.read(&p).contains(r#""kind":"remember""#))
}

/// Every delivered file whose text differs from the message.
pub fn torn(ws: &Fixture) -> Vec<String> {
    let days = ws.list("outbox/done");
    let message = |id: &str| {
        let mut paths = days.iter().map(|day| ws.path(&format!("outbox/done/{day}/{id}.json")));
        let bytes = paths.find_map(|path| std::fs::read(path).ok())?;
        let event: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
        Some(format!("{}\n", event["content"].as_str()?.trim_end()))
    };
    let places = ws.list("outbox/files");
    let paths = places.iter().flat_map(|d| ws.list(&format!("outbox/files/{d}")).into_iter().map(move |n| (d, n)));
    let is_torn = |(dir, name): &(&String, String)| {
        let text = std::fs::read_to_string(ws.path(&format!("outbox/files/{dir}/{name}"))).ok();
        message(name.trim_end_matches(".md")).is_some_and(|whole| text != Some(whole))
    };
    paths.filter(is_torn).map(|(_, name)| format!("torn: {name}")).collect()
}

/// The files that were delivered, over all destinations.
pub fn delivered(ws: &Fixture) -> Vec<String> {
    let places = ws.list("outbox/files");
    let mut names: Vec<String> = places.iter().flat_map(|d| ws.list(&format!("outbox/files/{d}"))).collect();
    names.sort();
    names
}

/// The names of the files that answer these events.
pub fn replies(accepted: &[String]) -> Vec<String> {
    let mut names: Vec<String> = accepted.iter().map(|id| format!("{id}.r01.md")).collect();
    names.sort();
    names
}

/// How often `text` occurs in the notes.
pub fn noted(ws: &Fixture, text: &str) -> usize {
    let days = ws.list("memories/daily-notes");
    let notes = days.iter().filter(|n| n.ends_with(".md")).map(|n| ws.read(&format!("memories/daily-notes/{n}")));
    notes.map(|note| note.matches(text).count()).sum()
}

/// The ids of the events from outside that are done.
pub fn ended(ws: &Fixture) -> Vec<String> {
    let names = ws.done("inbox");
    let own = names.iter().filter(|name| !name.contains(".m0"));
    own.map(|name| name.trim_end_matches(".json").to_owned()).collect()
}
