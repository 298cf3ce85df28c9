//! Limits of tools: one below, at the limit, and one above.

use crate::common::Fixture;
use serde_json::{Value, json};
use std::fs;

/// Makes the calls in `call.json`, and then answers `done`.
const MODEL: &str = "if grep -q '\"role\":\"tool\"'; then echo done; else cat call.json; fi";

/// The results of these calls, made in one turn.
fn results(ws: &Fixture, calls: &[(&str, Value)]) -> Vec<String> {
    let calls: Vec<Value> =
        calls.iter().map(|(name, arguments)| json!({"name": name, "arguments": arguments})).collect();
    ws.write("call.json", &json!({"calls": calls}).to_string());
    ws.claw(&["ask", "-n", "-s", "t", "go"]).ok();
    let log = ws.read("sessions/pickle.t/log.jsonl");
    let records = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let results: Vec<String> = records.filter_map(|record| record["result"].as_str().map(str::to_owned)).collect();
    assert_eq!(results.len(), calls.len(), "{results:#?}");
    results
}

fn workspace() -> Fixture {
    let ws = Fixture::new();
    ws.write("model.sh", MODEL);
    ws.model("shell", "provider: command, command: [sh, model.sh]");
    ws
}

/// A row: the call with a size, the limit, and the part of the result that shows the limit was exceeded.
type Row = (&'static str, fn(&Fixture, usize) -> Value, usize, &'static str);

const ROWS: &[Row] = &[
    (
        "bash",
        |_, size| json!({"command": format!("head -c {size} /dev/zero | tr '\\0' x")}),
        16 << 10,
        "[cut: 16384 of",
    ),
    (
        "bash",
        |_, size| json!({"command": format!("true {}", "#".repeat(size - 5))}),
        100 << 10,
        "has more than 102400 bytes",
    ),
    ("websearch", |_, size| json!({"query": "q".repeat(size)}), 1000, "a query has 1 to 1000 bytes"),
    ("search", |ws, size| searched(ws, &"y\n".repeat(size), None), 100, "[cut after 100 lines: there are more matches"),
    (
        "search",
        |ws, size| searched(ws, &"y\n".repeat(size), Some(501)),
        500,
        "[cut after 500 lines: there are more matches",
    ),
    ("search", |ws, size| searched(ws, &"y\n".repeat(size), Some(7)), 7, "[cut after 7 lines: there are more matches"),
    ("read", |ws, size| written(ws, &format!("{}\n", "x".repeat(size))), 2000, "bytes are cut"),
    ("read", |ws, size| limited(ws, &"y\n".repeat(size), 3), 3, "continue with offset 4"),
    ("edit", |ws, size| edited(ws, &"y\n".repeat(size)), 20, ", 20, …"),
];

/// Writes a file of its own for each call.
fn written(ws: &Fixture, text: &str) -> Value {
    let path = format!("files/{}", ws.list("files").len());
    ws.write(&path, text);
    json!({"path": path})
}

fn searched(ws: &Fixture, text: &str, limit: Option<usize>) -> Value {
    let mut arguments = written(ws, text);
    arguments["pattern"] = "y".into();
    if let Some(limit) = limit {
        arguments["limit"] = limit.into();
    }
    arguments
}

fn limited(ws: &Fixture, text: &str, lines: usize) -> Value {
    let mut arguments = written(ws, text);
    arguments["limit"] = lines.into();
    arguments
}

fn edited(ws: &Fixture, text: &str) -> Value {
    let mut arguments = written(ws, text);
    arguments["old"] = "y".into();
    arguments["new"] = "z".into();
    arguments["replace_all"] = true.into();
    arguments
}

#[test]
fn limits_of_tools_are_exceeded_by_one_more() {
    let ws = workspace();
    ws.config("web: {search: {provider: searxng, api_base: 'http://127.0.0.1:1'}}\n");
    fs::create_dir_all(ws.path("files")).unwrap();
    let sizes = |limit: usize| [limit - 1, limit, limit + 1];
    let calls: Vec<(&str, Value)> =
        ROWS.iter().flat_map(|(tool, call, limit, _)| sizes(*limit).map(|size| (*tool, call(&ws, size)))).collect();
    let results = results(&ws, &calls);
    for ((tool, _, limit, exceeded), results) in ROWS.iter().zip(results.chunks(3)) {
        let found: Vec<bool> = results.iter().map(|result| result.contains(exceeded)).collect();
        let shown: Vec<&str> = results.iter().map(|result| &result[result.len().saturating_sub(200)..]).collect();
        assert_eq!(found, [false, false, true], "`{tool}` at {limit}: `{exceeded}` is in {shown:#?}");
    }
    // The whole of a long result is saved, and nothing else is.
    let saved = ws.list("files/results");
    assert_eq!(saved.len(), 1, "{saved:?}");
    assert_eq!(ws.read(&format!("files/results/{}", saved[0])).len(), (16 << 10) + 1);
}

#[test]
fn recall_returns_ten_lines_or_fifty_at_most() {
    let ws = workspace();
    for notes in [9, 10, 11, 49, 50, 51] {
        ws.write(&format!("memories/topics/n{notes}.md"), &format!("- word{notes} of a note\n").repeat(notes));
    }
    let call = |notes: usize, more: Value| {
        let mut arguments = json!({"query": format!("word{notes}")});
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ("recall", arguments)
    };
    let few = [9, 10, 11].map(|notes| call(notes, json!({})));
    let many = [49, 50, 51].map(|notes| call(notes, json!({"limit": 99})));
    let found = results(&ws, &[few, many].concat());
    let counts: Vec<usize> = found.iter().map(|result| result.lines().count()).collect();
    assert_eq!(counts, [9, 10, 10, 49, 50, 50]);
}

#[test]
fn manifest_and_name_of_a_tool_have_limits() {
    let ws = workspace();
    let manifest = |size: usize| {
        let text = |pad: usize| json!({"description": "x".repeat(pad), "parameters": {"type": "object"}}).to_string();
        text(size - text(0).len())
    };
    let small = manifest(100);
    for (name, text) in [
        ("below".to_owned(), manifest((64 << 10) - 1)),
        ("at".to_owned(), manifest(64 << 10)),
        ("above".to_owned(), manifest((64 << 10) + 1)),
        ("n".repeat(64), small.clone()),
        ("m".repeat(65), small.clone()),
        ("with space".to_owned(), small),
    ] {
        ws.write(&format!("tools/{name}"), "#!/bin/sh\necho ran\n");
        ws.write(&format!("tools/{name}.json"), &text);
    }
    assert_eq!(ws.shell("chmod +x tools/*").code, 0);
    let names = ["below", "at", "above", &"n".repeat(64), &"m".repeat(65), "with space"];
    let calls: Vec<(&str, Value)> = names.iter().map(|name| (*name, json!({}))).collect();
    let ran: Vec<bool> = results(&ws, &calls).iter().map(|result| result == "ran").collect();
    assert_eq!(ran, [true, true, false, true, false, false], "{names:?}");
    let said = ws.claw(&["check"]);
    let said = said.out + &said.err;
    assert!(said.contains("it has 65537 bytes; at most 65536 are allowed"), "{said}");
    assert_eq!(said.matches("a tool's name is at most 64 of A-Z a-z 0-9 _ -").count(), 2, "{said}");
}
