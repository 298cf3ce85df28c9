//! Every place that a key may come from, and every place that it must not get to: agents, their programs and the
//! environment of these, the model, errors, logs, cassettes, the output of commands.

use crate::common::Fixture;
use crate::common::servers::{JSON, OPENAI, Server, whole};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use walkdir::WalkDir;

/// The sources of keys: each has a key of its own, which begins with its name.
const SOURCES: &[&str] = &[
    "variable of the model in use",
    "file of another model",
    "setting of another model",
    "variable of another model",
    "file of an agent's model",
    "setting of an agent's model",
    "variable of an agent's model",
    "search service",
    "bot of a channel",
    "token in the environment",
    "password in the environment",
    "secret in the environment",
];

/// The key of a source, without characters that a header or YAML would change.
fn key(source: &str) -> String {
    format!("{}-5f2c81d07e-tail", source.replace([' ', '\''], "_"))
}

/// The first part of the key: half a key is a secret too.
fn half(source: &str) -> String {
    key(source).split_once("-tail").unwrap().0.to_owned()
}

/// The environment of the owner.
fn variables() -> [(&'static str, String); 7] {
    [
        ("MOCK_VARIABLE", key("variable of the model in use")),
        ("OTHER_VARIABLE", key("variable of another model")),
        ("AGENT_VARIABLE", key("variable of an agent's model")),
        ("SEARCH_VARIABLE", key("search service")),
        ("BANK_TOKEN", key("token in the environment")),
        ("BANK_PASSWORD", key("password in the environment")),
        ("BANK_SECRET", key("secret in the environment")),
    ]
}

/// Files with keys, at places that agents could read otherwise.
const FILES: [&str; 4] = ["model.key", "mine/agent.key", "service/search.key", "bots/bot.token"];

/// The answer of a model: calls, or a text.
fn answer(calls: &[(&str, Value)]) -> String {
    let calls = calls.iter().enumerate().map(|(n, (name, arguments))| {
        json!({"id": format!("c{n}"), "type": "function", "function": {"name": name, "arguments": arguments.to_string()}})
    });
    let calls: Vec<Value> = calls.collect();
    let message = match calls.len() {
        0 => json!({"role": "assistant", "content": "done"}),
        _ => json!({"role": "assistant", "content": "", "tool_calls": calls}),
    };
    let end = if calls.is_empty() { "stop" } else { "tool_calls" };
    whole("200 OK", JSON, &json!({"choices": [{"index": 0, "message": message, "finish_reason": end}]}).to_string())
}

/// The calls of an agent that looks for keys everywhere.
fn calls() -> Vec<(&'static str, Value)> {
    let bash = |command: &str| ("bash", json!({"command": command}));
    let mut calls = vec![
        bash("env | cut -d= -f1 | sort | tr '\\n' ' '"),
        bash(&format!("cat {}", FILES.join(" "))),
        bash("cat files/leak; cat files/leak >&2; exit 3"),
        bash("cat claw.yaml agents/*/AGENT.md; grep -r 5f2c81d07e ."),
        ("leak", json!({})),
        ("fail", json!({})),
        ("read", json!({"path": "files/leak"})),
        ("search", json!({"pattern": "5f2c81d07e"})),
    ];
    calls.extend(FILES.map(|path| ("read", json!({"path": path}))));
    calls.extend(FILES.map(|path| ("search", json!({"path": path, "pattern": "."}))));
    calls
}

/// A workspace with a key in every source; `search` is the setting with the search service's key.
fn workspace(port: u16, search: &str) -> Fixture {
    let ws = OPENAI.workspace(port, ", api_key_env: MOCK_VARIABLE");
    let more = format!(
        "  filed: {{provider: openai, model: m, api_key_file: model.key}}\n  \
         written: {{provider: openai, model: m, api_key: {}}}\n  \
         named: {{provider: openai, model: m, api_key_env: OTHER_VARIABLE}}\n",
        key("setting of another model")
    );
    let yaml = ws.read("claw.yaml").replacen("models:\n", &format!("models:\n{more}"), 1);
    ws.write("claw.yaml", &yaml);
    ws.config(&format!("web: {{search: {{provider: brave, api_base: 'http://127.0.0.1:1', {search}}}}}\n"));
    for (agent, setting) in [
        ("filed", "api_key_file: mine/agent.key".to_owned()),
        ("written", format!("api_key: {}", key("setting of an agent's model"))),
        ("named", "api_key_env: AGENT_VARIABLE".to_owned()),
    ] {
        let head = format!("name: {agent}\nllm: {{provider: openai, model: m, {setting}}}");
        ws.write(&format!("agents/{agent}/AGENT.md"), &format!("---\n{head}\n---\nYou.\n"));
    }
    ws.write("model.key", &key("file of another model"));
    ws.write("mine/agent.key", &key("file of an agent's model"));
    ws.write("service/search.key", &key("search service"));
    ws.write("bots/bot.token", &key("bot of a channel"));
    ws.config("channels: {telegram: {token_file: bots/bot.token}}\n");
    // The owner has pasted all of them into a file that agents may read.
    let leak: String = SOURCES.iter().map(|source| format!("{source}: <{}>\n", key(source))).collect();
    ws.write("files/leak", &leak);
    for (name, program) in [("leak", "cat files/leak"), ("fail", "cat files/leak >&2; exit 3")] {
        ws.write(&format!("tools/{name}"), &format!("#!/bin/sh\n{program}\n"));
        let manifest = json!({"description": "Leaks.", "parameters": {"type": "object"}, "class": "reads"});
        ws.write(&format!("tools/{name}.json"), &manifest.to_string());
    }
    assert_eq!(ws.shell("chmod +x tools/leak tools/fail").code, 0);
    ws
}

/// No key is in this text, and no half of one.
#[track_caller]
fn no_keys(text: &str, place: &str) {
    for source in SOURCES {
        assert!(!text.contains(&half(source)), "{place} contains the key of: {source}");
    }
}

#[test]
fn no_key_of_any_source_gets_to_any_place() {
    for search in [
        "api_key_file: service/search.key".to_owned(),
        "api_key_env: SEARCH_VARIABLE".to_owned(),
        format!("api_key: {}", key("search service")),
    ] {
        let server = Server::start(|number, stream| {
            let _ = stream.write_all(answer(&if number == 0 { calls() } else { vec![] }).as_bytes());
        });
        let ws = workspace(server.port, &search);
        let claw = |arguments: &[&str]| {
            let ran = ws.command(arguments).envs(variables()).output().unwrap();
            let text = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
            no_keys(&text, &format!("the output of {arguments:?}, with {search},"));
            text
        };
        let said = claw(&["ask", "-n", "-s", "t", "--record", "tape.jsonl", "look around"]);
        assert!(said.contains("done"), "{said}");
        let heard = server.heard();
        assert_eq!(heard.len(), 2, "a request for the calls, and one with their results");
        for request in &heard {
            no_keys(&request.body.to_string(), "the request");
        }
        assert!(heard[0].head.contains(&key("variable of the model in use")), "the key in use is sent as a header");
        let messages = heard[1].body["messages"].as_array().unwrap();
        let results: Vec<&str> =
            messages.iter().filter(|m| m["role"] == "tool").map(|m| m["content"].as_str().unwrap()).collect();
        assert_eq!(results.len(), calls().len(), "{results:#?}");
        for (name, _) in variables() {
            assert!(!results[0].split(' ').any(|variable| variable == name), "a program has {name}: {}", results[0]);
        }
        let search_file = usize::from(search.contains("service/search.key"));
        let denied = results[1].matches("Permission denied").count();
        assert_eq!(denied, 2 + search_file, "key files are closed to programs: {}", results[1]);
        // Where a key is in a text that the agent may read, it is hidden: in output, errors, files and matches.
        for (at, times) in [(2, 2), (4, 1), (5, 1), (6, 1)] {
            let hidden = results[at].matches("[hidden]").count();
            let expected = if at == 5 { 1 } else { SOURCES.len() * times };
            assert!(hidden >= expected, "{:?}: {hidden} keys are hidden: {}", calls()[at], results[at]);
        }
        assert!(results[7].matches("[hidden]").count() >= SOURCES.len(), "{}", results[7]);
        for (call, result) in calls().iter().zip(&results).skip(8) {
            let path = call.1["path"].as_str().unwrap();
            let is_key = path != "service/search.key" || search_file == 1;
            assert_eq!(result.starts_with("error: you may not read"), is_key, "{call:?}: {result}");
        }
        for command in [
            &["log"][..],
            &["status"],
            &["check"],
            &["models", "--json"],
            &["sessions", "show", "t"],
            &["agents", "show", "written", "--json"],
            &["agents", "--json"],
            &["prompt", "written"],
            &["usage"],
            &["why"],
        ] {
            claw(command);
        }
        let mut searched = 0;
        let secret = ["claw.yaml", "files/leak", "agents/written/AGENT.md"];
        for entry in WalkDir::new(&ws.root).into_iter().flatten().filter(|entry| entry.file_type().is_file()) {
            let name = entry.path().strip_prefix(&ws.root).unwrap().display().to_string();
            if !FILES.contains(&&name[..]) && !secret.contains(&&name[..]) {
                no_keys(&String::from_utf8_lossy(&fs::read(entry.path()).unwrap()), &name);
                searched += 1;
            }
        }
        assert!(searched > 10 && ws.path("tape.jsonl").exists(), "only {searched} files were searched");
    }
}

/// A shorter value would be hidden in the middle of words.
#[test]
fn value_of_seven_bytes_is_no_key_and_one_of_eight_is() {
    let server = Server::start(|number, stream| {
        let calls = if number == 0 { vec![("bash", json!({"command": "cat files/leak"}))] } else { vec![] };
        let _ = stream.write_all(answer(&calls).as_bytes());
    });
    let ws = OPENAI.workspace(server.port, "");
    ws.write("files/leak", "abcdefg, stuvwxyz, A_NAME\n");
    let variables = [("SHORT_KEY", "abcdefg"), ("LONG_KEY", "stuvwxyz"), ("KEY_NAME", "A_NAME_OF_A_KEY")];
    let ran = ws.command(&["ask", "-n", "look"]).envs(variables).output().unwrap();
    assert!(ran.status.success());
    let body = &server.heard()[1].body;
    let result = body["messages"].as_array().unwrap().last().unwrap()["content"].clone();
    assert_eq!(result, "abcdefg, [hidden], A_NAME");
}
