//! Terminals: the shipped skill, and the example tool by which a sandboxed agent reaches a real tmux.

use crate::common::{Fixture, skipped};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Always makes the call in `call.json`, and then answers `done`.
const MODEL: &str = "if grep -q '\"role\":\"tool\"'; then echo done; else cat call.json; fi";

fn has(program: &str) -> bool {
    Command::new(program).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

fn source(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/tools").join(name)
}

/// A bridge that runs outside, and the terminals behind it; both end with the test.
struct Bridge<'a> {
    ws: &'a Fixture,
    child: Child,
}

impl<'a> Bridge<'a> {
    fn start(ws: &'a Fixture) -> Self {
        let mut bridge = Command::new("python3");
        bridge.arg(source("tmux-bridge")).arg(&ws.root).env("HOME", ws.dir.path()).env("SHELL", "/bin/sh");
        let mut child = bridge.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("terminals for"), "{line}");
        Self { ws, child }
    }
}

impl Drop for Bridge<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = Command::new("tmux").arg("-S").arg(self.ws.path(".claw/tmux")).arg("kill-server").output();
    }
}

/// The result of a call.
fn told(ws: &Fixture, tool: &str, arguments: &Value) -> String {
    ws.write("call.json", &json!({"calls": [{"name": tool, "arguments": arguments}]}).to_string());
    let before = ws.list("sessions");
    assert_eq!(ws.claw(&["ask", "-n", "go"]).ok(), "done\n", "{arguments}");
    let session = ws.list("sessions").into_iter().find(|name| !before.contains(name)).unwrap();
    let log = ws.read(&format!("sessions/{session}/log.jsonl"));
    let records = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.filter_map(|record| record["result"].as_str().map(ToOwned::to_owned)).collect()
}

#[test]
fn the_skill_ships_and_is_offered_where_tmux_is() {
    let ws = Fixture::new();
    let skills = ws.claw(&["skills", "--json"]).ok();
    let tmux = skills.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).find(|s| s["skill"] == "tmux");
    assert_eq!(tmux.unwrap()["offered"], has("tmux"), "{skills}");
    assert_eq!(ws.claw(&["skills", "check", "tmux"]).ok(), "1 skills without problems\n");
    let mut bare = ws.command(&["skills"]);
    let bare = String::from_utf8(bare.env("PATH", "/nowhere").output().unwrap().stdout).unwrap();
    assert!(bare.lines().any(|line| line.contains("tmux") && line.contains("not")), "{bare}");
}

#[test]
fn sandboxed_agent_reaches_a_terminal_by_the_example_tool_only() {
    if let Some(missing) = ["tmux"].into_iter().find(|program| !has(program)).or((!has("python3")).then_some("python3"))
    {
        assert!(std::env::var_os("CLAW_REQUIRE_PEERS").is_none(), "there is no {missing}");
        return skipped(&format!("an agent in a real terminal: there is no {missing}"));
    }
    let ws = Fixture::new();
    ws.write("model.sh", MODEL);
    ws.model("shell", "provider: command, command: [sh, model.sh]");
    let agent = |write: &str| format!("---\nname: Pickle\nwrite: [files{write}]\n---\nWork.\n");
    ws.write("agents/pickle/AGENT.md", &agent(", terminals"));
    for name in ["tmux", "tmux.json"] {
        std::fs::copy(source(name), ws.path(&format!("tools/{name}"))).unwrap();
    }
    let call = |arguments: Value| told(&ws, "tmux", &arguments);
    assert!(call(json!({"action": "list"})).contains("the owner starts them with tmux-bridge"));
    let bridge = Bridge::start(&ws);
    assert_eq!(call(json!({"action": "list"})), "there is no terminal");
    let begun = call(json!({"action": "start", "name": "sums", "text": "echo sum-$((40+2)); cat", "wait": 10}));
    assert!(begun.contains("sum-42"), "{begun}");
    // Turns end, and the terminal lives on.
    assert!(
        call(json!({"action": "type", "name": "sums", "text": "-l $HOME; 'quoted'"})).contains("-l $HOME; 'quoted'")
    );
    let ended = call(json!({"action": "keys", "name": "sums", "keys": ["C-c"]}));
    assert!(ended.contains("^C"), "{ended}");
    let after = call(json!({"action": "type", "name": "sums", "text": "pwd"}));
    assert!(after.contains(&ws.path("files").display().to_string()), "{after}");
    assert!(call(json!({"action": "read", "name": "sums", "lines": 50})).contains("sum-42"));
    for bad in [json!({"action": "start", "name": "a:b"}), json!({"action": "keys", "name": "sums", "keys": ["-t x"]})]
    {
        assert!(call(bad.clone()).starts_with("error: "), "{bad}");
    }
    assert!(call(json!({"action": "stop", "name": "other"})).contains("can't find session"));

    // As the skill says: tmux in the sandbox reaches no server, and has none of its own.
    let own = told(
        &ws,
        "bash",
        &json!({"command": "tmux -S $CLAW_WORKSPACE/.claw/tmux list-sessions; tmux -S $TMPDIR/own new-session -d"}),
    );
    assert!(!own.contains("sums") && own.contains("not permitted") && own.contains("exit code 1"), "{own}");
    // Without write access to the bridge's folder an agent has no terminals.
    ws.write("agents/pickle/AGENT.md", &agent(""));
    assert!(call(json!({"action": "list"})).contains("there are no terminals"));
    assert!(!call(json!({"action": "stop", "name": "sums"})).contains("stopped"));
    drop(bridge);
}
