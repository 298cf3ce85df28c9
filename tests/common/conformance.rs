//! The behaviours that every protocol must show, against the independent peer, in each dialect.

use super::servers::{Wire, messages, nothing_left, peer, routed, waiting};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

pub fn plain(wire: &'static Wire) {
    let Some(peer) = peer(wire) else { return };
    let ws = peer.workspace();
    assert_eq!(ws.claw(&["ask", "-n", "-s", "work", "mock:hello one"]).ok(), "Hi there, this is the mock.\n");
    assert_eq!(ws.claw(&["ask", "-n", "-s", "work", "mock:hello two"]).ok(), "Hi there, this is the mock.\n");
    let asked = peer.asked("mock:hello two");
    assert_eq!(asked.len(), 1);
    let said = messages(&asked[0]);
    assert_eq!(said[0].0, "system");
    assert!(said[0].1.contains("Session: pickle.work"), "both parts of the prompt: {}", said[0].1);
    let expected =
        [("user", "mock:hello one"), ("assistant", "Hi there, this is the mock."), ("user", "mock:hello two")];
    assert_eq!(said[1..], expected);
    assert_eq!((&asked[0]["model"], &asked[0]["stream"]), (&"m".into(), &true.into()));
    assert!(asked[0]["tools"].as_array().is_some_and(|tools| tools.len() > 2));
}

pub fn tools(wire: &'static Wire) {
    let Some(peer) = peer(wire) else { return };
    let ws = peer.workspace();
    ws.write("memories/topics/house.md", "- the NAS is 10.0.0.7\n");
    assert_eq!(ws.claw(&["ask", "-n", "-s", "work", "mock:tools"]).ok(), "Both were told.\n");
    assert!(ws.claw(&["recall", "peer"]).ok().contains("the peer was here"));
    let log = ws.read("sessions/pickle.work/log.jsonl");
    let records: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let results: Vec<&str> = records.iter().filter_map(|record| record["result"].as_str()).collect();
    assert_eq!(results.len(), 2, "{log}");
    assert_eq!(results[0], "memories/topics/house.md:1: the NAS is 10.0.0.7");
    assert!(results[1].starts_with("noted in memories/daily-notes/"), "{}", results[1]);
    // Messages and results are sent back correctly, also in a later turn.
    ws.claw(&["ask", "-n", "-s", "work", "mock:hello after tools"]).ok();
    let asked = peer.asked("mock:hello after tools");
    let roles: Vec<&str> = messages(&asked[0]).iter().map(|(role, _)| *role).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "tool", "assistant", "user"]);
}

pub fn thinking(wire: &'static Wire, settings: &str) {
    let Some(peer) = peer(wire) else { return };
    let ws = wire.workspace(peer.port, settings);
    assert_eq!(ws.claw(&["ask", "-n", "-s", "work", "mock:think"]).ok(), "Thought through.\n");
    let log = ws.read("sessions/pickle.work/log.jsonl");
    let records: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let thoughts: Vec<&Value> = records.iter().map(|record| &record["reply"]["thinking"][0]["text"]).collect();
    assert!(thoughts.contains(&&"let me see".into()) && thoughts.contains(&&"now I know".into()), "{log}");
    assert!(!ws.claw(&["log"]).ok().contains("let me see"));
    // Thinking of the last turn does not affect another turn. (The peer reads Anthropic's documentation too strictly
    // and requires it for ever; the service ignores it.)
    if wire.provider == "anthropic" {
        return;
    }
    assert_eq!(ws.claw(&["ask", "-n", "-s", "work", "mock:hello thought"]).ok(), "Hi there, this is the mock.\n");
}

pub fn delays(wire: &'static Wire) {
    let Some(peer) = peer(wire) else { return };
    let ws = peer.workspace();
    assert_eq!(ws.claw(&["ask", "-n", "mock:slow"]).ok(), "abcdefghijklmnopqrst\n");
    assert_eq!(ws.claw(&["ask", "-n", "mock:late"]).ok(), "late answer\n");
    let ws = wire.workspace(peer.port, ", first_token_timeout: 100ms");
    let err = ws.claw(&["ask", "-n", "mock:late"]).fails(69);
    assert!(err.contains("no data from the server for 100ms"), "{err}");
}

pub fn disconnects(wire: &'static Wire) {
    let Some(peer) = peer(wire) else { return };
    for text in ["mock:cut", "mock:cut-now"] {
        let ws = peer.workspace();
        let ran = ws.claw(&["ask", "-n", text]);
        assert_eq!((ran.code, &ran.out[..]), (69, ""), "{ran:#?}");
        assert!(ran.err.starts_with("claw: model mock: "), "{}", ran.err);
        nothing_left(&ws);
    }
}

pub fn errors(wire: &'static Wire) {
    let Some(peer) = peer(wire) else { return };
    let ws = peer.workspace();
    let id = routed(&ws, "mock:429 stages");
    let before = Timestamp::now();
    let err = ws.claw(&["run-agent"]).fails(75);
    assert!(err.contains("HTTP 429: rate limited"), "{err}");
    let (due, waits, rest) = waiting(&ws);
    assert_eq!((waits, rest), (id, "pickle.cli-ann~0.json".to_owned()), "what the server asks for counts nothing");
    let seven = SignedDuration::from_secs(7);
    assert!(before + seven <= due && due <= Timestamp::now() + seven, "{before} {due}");
    ws.claw(&["tick", "--now", &due.to_string()]).fails(75);
    assert_eq!(peer.asked("mock:429 stages").len(), 2);

    let ws = peer.workspace();
    let err = ws.claw(&["ask", "-n", "mock:500"]).fails(69);
    assert!(err.contains("model mock: HTTP 500: boom"), "{err}");
}

pub fn malformed(wire: &'static Wire) {
    let Some(peer) = peer(wire) else { return };
    let cases = [
        ("mock:garbage-body", "invalid response from the server: `"),
        ("mock:garbage-event", "invalid response from the server: `{"),
        ("mock:error-event", "overloaded"),
    ];
    for (text, what) in cases {
        let ws = peer.workspace();
        let ran = ws.claw(&["ask", "-n", text]);
        assert_eq!((ran.code, &ran.out[..]), (69, ""), "{text}: {ran:#?}");
        assert!(ran.err.contains(&format!("claw: model mock: {what}")), "{text}: {}", ran.err);
        nothing_left(&ws);
    }
}

/// The peer refuses, breaks or cuts off an answer at random. A turn ends with the whole answer or with an error, never with
/// something else, and leaves nothing behind.
pub fn chaos(wire: &'static Wire) {
    let Some(peer) = peer(wire) else { return };
    let ws = peer.workspace();
    let mut ends = [0; 2];
    for n in 0..24 {
        let ran = ws.claw(&["ask", "-n", &format!("mock:chaos {n}")]);
        match ran.code {
            0 => assert_eq!(ran.out, "the whole answer of the peer\n"),
            code => assert_eq!((code, &ran.out[..]), (69, ""), "{ran:#?}"),
        }
        ends[usize::from(ran.code != 0)] += 1;
        nothing_left(&ws);
    }
    assert!(ends.iter().all(|count| *count > 0), "whole and failed turns: {ends:?}");
}
