//! Cassettes: a recording against an independent mock server is replayed in another workspace without any server; a
//! different request is reported with every difference, and the file contains no key.

use crate::common::servers::{OPENAI, peer, without_times};
use crate::common::{Fixture, Ran};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;

const KEY: &str = "sk-cassette-0123456789abcdef";

/// The port of the mock server, which speaks all protocols.
fn mock() -> Option<u16> {
    peer(&OPENAI).map(|peer| peer.port)
}

/// Runs with the clock and the randomness fixed, and with a key in the environment.
fn fixed(ws: &Fixture, arguments: &[&str]) -> Ran {
    let mut command = ws.command(arguments);
    command.env("CLAW_NOW", "2026-11-25T12:00:00Z").env("CLAW_SEED", "7").env("CLAW_TEST_KEY", KEY);
    command.output().unwrap().into()
}

fn with_model(fields: &str) -> Fixture {
    let ws = Fixture::new();
    ws.write("memories/topics/house.md", "- the NAS is 10.0.0.7\n");
    ws.model("mock", fields);
    ws
}

/// A workspace whose model is this cassette.
fn replaying(cassette: &Path) -> Fixture {
    with_model(&format!("provider: replay, cassette: '{}'", cassette.display()))
}

fn lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The answer as a document, without durations.
fn document(ran: Ran) -> Value {
    let mut document: Value = serde_json::from_str(&ran.ok()).unwrap();
    document["duration_ms"].take();
    document
}

/// The session's log, without durations.
fn log(ws: &Fixture) -> Vec<Value> {
    let mut records = lines(&ws.path("sessions/pickle.work/log.jsonl"));
    for record in &mut records {
        record.as_object_mut().unwrap().remove("ms");
    }
    records
}

#[test]
fn recording_is_replayed_without_a_server() {
    let Some(port) = mock() else { return };
    for (provider, base) in [("openai", "/v1"), ("anthropic", ""), ("ollama", "")] {
        let base = format!("http://127.0.0.1:{port}{base}");
        let fields =
            format!("provider: {provider}, model: m, temperature: 0.5, api_key_env: CLAW_TEST_KEY, api_base: '{base}'");
        let ws = with_model(&fields);
        let file = ws.dir.path().join("tape.jsonl");
        let record = file.to_str().unwrap();
        let ask = |ws: &Fixture, text: &str, more: &[&str]| {
            fixed(ws, &[&["ask", "-n", "--json", "-s", "work", text], more].concat())
        };
        let tools = document(ask(&ws, "mock:tools", &["--record", record]));
        let hello = document(ask(&ws, "mock:hello", &["--record", record]));
        assert_eq!(tools["content"], "Both were told.", "{provider}");
        let recorded = lines(&file);
        assert_eq!(recorded.len(), 3, "two steps and one");
        assert_eq!(
            recorded[0]["model"],
            json!({"provider": provider, "model": "m", "temperature": 0.5, "api_base": base})
        );
        assert!(recorded.iter().all(|line| line["response"]["chunks"].as_array().is_some_and(|all| all.len() > 1)));
        assert!(!fs::read_to_string(&file).unwrap().contains(KEY));
        // In another place, without a key and without a server.
        let other = replaying(&file);
        assert_eq!(document(ask(&other, "mock:tools", &[])), tools, "{provider}");
        assert!(fixed(&other, &["models"]).ok().contains("2 of 3 exchanges replayed"));
        assert_eq!(document(ask(&other, "mock:hello", &[])), hello, "{provider}");
        let as_replayed: Vec<Value> = log(&ws);
        assert_eq!(log(&other), as_replayed, "{provider}");
        assert_eq!(fixed(&other, &["usage", "--json"]).ok(), "", "nobody was paid");
        // The calls of a new session have the ids of the recorded one, also beside what is left of it.
        fixed(&ws, &["sessions", "rm", "pickle.work"]).ok();
        ws.shell("rm memories/daily-notes/*").ok();
        ws.write("claw.yaml", &other.read("claw.yaml"));
        let again = document(ask(&ws, "mock:tools", &[]));
        assert_eq!((&again["content"], &again["usage"]), (&tools["content"], &tools["usage"]), "{provider}");
        let err = ask(&other, "mock:more", &[]).fails(1);
        let end = format!("claw: model mock: all 3 exchanges of the cassette {record} have been played\n");
        assert!(err.starts_with(&end) && err.contains("to play it from the start: rm "), "{err}");
        let ran = fixed(&other, &["models"]);
        assert!(ran.code == 69 && ran.out.contains("all 3 exchanges are played"), "{ran:#?}");
    }
}

#[test]
fn different_request_fails_with_all_differences() {
    let ws = with_model("provider: command, command: [sh, -c, 'cat >/dev/null; echo four'], model: small");
    let file = ws.dir.path().join("tape.jsonl");
    let record = ["--record", file.to_str().unwrap()];
    assert_eq!(fixed(&ws, &[&["ask", "-n", "-s", "work", "2+2"], &record[..]].concat()).ok(), "four\n");
    let other = replaying(&file);
    other.write("claw.yaml", &other.read("claw.yaml").replace("provider: replay", "temperature: 1, provider: replay"));
    let ran = fixed(&other, &["ask", "-n", "-s", "work", "2+3"]);
    assert_eq!((ran.code, &ran.out[..]), (1, ""), "{ran:#?}");
    let said = "claw: model mock: exchange 1 of 1: the request differs from the recorded one:\n  \
                $.messages[0].content: was \"2+2\", now \"2+3\"\n  \
                $.temperature: was missing, now 1.0\n";
    assert!(ran.err.starts_with(said), "{}", ran.err);
    // The right request is answered all the same.
    other.write("claw.yaml", &other.read("claw.yaml").replace("temperature: 1, ", ""));
    other.shell("rm -r sessions/*").ok();
    assert_eq!(fixed(&other, &["ask", "-n", "-s", "work", "2+2"]).ok(), "four\n");
    // The stages report it too, and nothing is tried again.
    let third = replaying(&file);
    fixed(&third, &["send", "2+3"]).ok();
    fixed(&third, &["route"]).ok();
    assert!(fixed(&third, &["run-agent"]).fails(1).contains("$.messages[0].content: was \"2+2"), "run-agent");
    assert_eq!(third.pending().iter().filter(|name| name.starts_with("inbox")).count(), 0);
}

/// A server that always sends this, in these pieces.
fn saying(pieces: &'static [&'static [u8]]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            stream.set_nodelay(true).unwrap();
            let mut head = Vec::new();
            let mut buffer = [0; 4096];
            let length = loop {
                let Ok(n @ 1..) = stream.read(&mut buffer) else { break 0 };
                head.extend_from_slice(&buffer[..n]);
                let text = String::from_utf8_lossy(&head).to_lowercase();
                if let Some((before, _)) = text.split_once("\r\n\r\n") {
                    let body: usize =
                        before.split_once("content-length: ").unwrap().1.lines().next().unwrap().parse().unwrap();
                    break before.len() + 4 + body;
                }
            };
            while head.len() < length {
                let Ok(n @ 1..) = stream.read(&mut buffer) else { break };
                head.extend_from_slice(&buffer[..n]);
            }
            for piece in pieces {
                let _ = stream.write_all(piece);
            }
        }
    });
    port
}

#[test]
fn refusal_and_interrupted_answer_are_replayed() {
    let cases: [(&[&[u8]], i32); 3] = [
        (&[b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\nset-cookie: a=b\r\nconnection: close\r\n\r\n{\"error\": {\"message\": \"slow down\"}}"], 75),
        (&[b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 999\r\n\r\ndata: {\"choices\": [{\"delta\": {\"content\": \"ha\"}}]}\n\n"], 69),
        (&[b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\ndata: {\"choices\": [{\"delta\": {\"content\": \"caf\xc3", b"\xa9\"}, \"finish_reason\": \"stop\"}]}\n\n"], 0),
    ];
    for (pieces, code) in cases {
        let port = saying(pieces);
        let ws = with_model(&format!("provider: openai, model: m, api_base: 'http://127.0.0.1:{port}/v1'"));
        let file = ws.dir.path().join("tape.jsonl");
        let then = fixed(&ws, &["ask", "-n", "-s", "work", "hello", "--record", file.to_str().unwrap()]);
        assert_eq!(then.code, code, "{then:#?}");
        let now = fixed(&replaying(&file), &["ask", "-n", "-s", "work", "hello"]);
        assert_eq!((now.code, now.out, now.err), (then.code, then.out, then.err));
        assert!(!fs::read_to_string(&file).unwrap().contains("set-cookie"));
    }
}

#[test]
fn key_echoed_by_a_server_is_not_recorded() {
    // Cut in two within the stream, and in the request: a tool has printed it.
    let port = saying(&[
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\ndata: {\"choices\": [{\"delta\": {\"content\": \"your key is sk-cassette-01234",
        b"56789abcdef, ann:s3cret-word\"}, \"finish_reason\": \"stop\"}]}\n\n",
    ]);
    let base = format!("http://ann:s3cret-word@127.0.0.1:{port}/v1");
    let ws = with_model(&format!("provider: openai, model: m, api_key_env: CLAW_TEST_KEY, api_base: '{base}'"));
    let file = ws.dir.path().join("tape.jsonl");
    let text = format!("is {KEY} my key?");
    let out = fixed(&ws, &["ask", "-n", "-s", "work", &text, "--record", file.to_str().unwrap()]).ok();
    assert!(out.starts_with("your key is [hidden]"), "{out}");
    let tape = fs::read_to_string(&file).unwrap();
    assert!(!tape.contains(KEY) && !tape.contains("sk-cassette") && tape.contains("is [hidden] my key?"), "{tape}");
    assert!(!tape.to_lowercase().contains("authorization") && !tape.contains("ann:s3cret-word@"), "{tape}");
    fixed(&replaying(&file), &["ask", "-n", "-s", "work", &text]).ok();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn recording_refuses_a_file_that_is_no_cassette() {
    let ws = with_model("provider: command, command: [echo, four]");
    let before = ws.read("claw.yaml");
    let err = fixed(&ws, &["ask", "-n", "hello", "--record", "claw.yaml"]).fails(78);
    assert!(err.ends_with("claw.yaml is not a cassette, so nothing is recorded into it\n"), "{err}");
    assert_eq!((ws.read("claw.yaml"), ws.pending()), (before, Vec::new()));
    fixed(&ws, &["ask", "-n", "hello", "--record", "nowhere/tape.jsonl"]).fails(1);
    // A torn line after a power cut is reported with its number.
    ws.write("tape.jsonl", "");
    fixed(&ws, &["ask", "-n", "hello", "--record", "tape.jsonl"]).ok();
    ws.write("tape.jsonl", &format!("{}{{\"v\": 1, \"at\"", ws.read("tape.jsonl")));
    fixed(&ws, &["run-agent", "--record", "tape.jsonl"]).ok();
    fixed(&ws, &["ask", "-n", "hello", "--record", "tape.jsonl"]).ok();
    assert_eq!(ws.read("tape.jsonl").lines().count(), 3);
    let other = replaying(&ws.path("tape.jsonl"));
    fixed(&other, &["ask", "-n", "hello"]);
    let err = fixed(&other, &["ask", "-n", "hello"]).fails(65);
    assert!(err.contains("tape.jsonl:2: not a recorded exchange: "), "{err}");
    let missing = replaying(&ws.path("nowhere.jsonl"));
    assert!(fixed(&missing, &["ask", "-n", "hello"]).fails(78).contains("there is no cassette"), "missing");
}

#[test]
fn position_belongs_to_the_contents_of_the_cassette() {
    let ws = with_model("provider: command, command: [sh, -c, 'cat >/dev/null; cat answer']");
    let file = ws.dir.path().join("tape.jsonl");
    let record = |answer: &str| {
        ws.write("answer", answer);
        ws.shell("rm -rf sessions/*").ok();
        fixed(&ws, &["ask", "-n", "-s", "work", "hello", "--record", file.to_str().unwrap()]).ok();
    };
    record("four");
    let other = replaying(&file);
    let ask = || {
        other.shell("rm -rf sessions/*").ok();
        fixed(&other, &["ask", "-n", "-s", "work", "hello"])
    };
    assert_eq!(ask().ok(), "four\n");
    ask().fails(1);
    // It continues if lines are added, and begins anew in another file.
    record("five");
    assert_eq!(ask().ok(), "five\n");
    fs::remove_file(&file).unwrap();
    record("six");
    assert_eq!(ask().ok(), "six\n");
    other.shell("rm .claw/replay/*").ok();
    assert_eq!(ask().ok(), "six\n");
}

#[test]
fn a_supervisor_and_the_stages_record_and_replay_too() {
    let ws = with_model("provider: command, command: [sh, -c, 'cat >/dev/null; echo four']");
    let file = ws.dir.path().join("tape.jsonl");
    let record = file.to_str().unwrap();
    ws.claw(&["send", "one"]).ok();
    ws.claw(&["route"]).ok();
    ws.claw(&["run-agent", "--record", record]).ok();
    ws.claw(&["send", "two"]).ok();
    ws.claw(&["tick", "--record", record]).ok();
    let supervisor = ws.supervise(&["--record", record]);
    ws.claw(&["send", "three"]).ok();
    ws.eventually("three are recorded", |_| fs::read_to_string(&file).is_ok_and(|text| text.lines().count() == 3));
    assert_eq!(supervisor.stop().code, 0);
    let said = |line: &Value| {
        without_times(&line["request"]["body"]["messages"]).as_array().unwrap().last().unwrap()["content"].clone()
    };
    assert_eq!(lines(&file).iter().map(said).collect::<Vec<_>>(), ["one", "two", "three"]);
}
