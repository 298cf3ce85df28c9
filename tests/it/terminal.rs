//! Output on a terminal and in a pipe, decisions about calls in place, and the whole way of a newcomer, each screen of
//! which is in `tests/snapshots/newcomer.txt` (`CLAW_WRITE_SNAPSHOTS=1` writes it).

use crate::common::Fixture;
use crate::common::servers::{Heard, JSON, OPENAI, Server, whole};
use crate::common::terminal::Terminal;
use nix::pty::openpty;
use regex::Regex;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;

const ANSWER: &str = "# Hello\n\nI am **here**, see [docs](http://a.b/c):\n\n- one\n- two\n\n```sh\nls -l\n```\n\n\
                      | name | note |\n|---|---|\n| a | two words |\n";

/// A model: greets, writes a file, or answers as the question says.
fn model() -> Server {
    Server::start_with_request(|heard, stream| {
        let message = reply(heard);
        let reason = if message.get("tool_calls").is_some() { "tool_calls" } else { "stop" };
        let usage = json!({"prompt_tokens": 10, "completion_tokens": 3});
        let answer = json!({"choices": [{"message": message, "finish_reason": reason}], "usage": usage});
        let _ = stream.write_all(whole("200 OK", JSON, &answer.to_string()).as_bytes());
    })
}

fn reply(heard: &Heard) -> Value {
    let messages = heard.body["messages"].as_array().cloned().unwrap_or_default();
    let last = messages.last().cloned().unwrap_or_default();
    let text = last["content"].to_string();
    let say = |text: &str| json!({"role": "assistant", "content": text});
    let write = |content: &str| {
        let arguments = json!({"path": "files/list.md", "content": content}).to_string();
        let function = json!({"name": "write", "arguments": arguments});
        json!({"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "type": "function", "function": function}]})
    };
    match () {
        () if last["role"] == "tool" && text.contains("It was not run") => say("I wait."),
        () if last["role"] == "tool" => say("It is **written**."),
        () if text.contains("I do not allow") => say("As you wish."),
        () if text.contains("write") => write("one\ntwo\n"),
        () if text.contains("does not satisfy") && heard.body.to_string().contains("as a word") => say("{\"n\": 2}"),
        () if text.contains("number as a word") => say("two"),
        () if text.contains("number") => say("```json\n{\"n\": 1}\n```"),
        () if text.contains("escape") => say("a \u{1b}[31mred\u{7} **b**"),
        () if text.contains("ready") => say("ready"),
        () if text.contains("briefly") => say("Hello."),
        () => say(ANSWER),
    }
}

/// A workspace with this model, whose agent asks before it writes.
fn workspace(server: &Server) -> Fixture {
    let ws = OPENAI.workspace(server.port, "");
    let agent = ws.read("agents/pickle/AGENT.md");
    ws.write("agents/pickle/AGENT.md", &agent.replacen("---\n", "---\ntools: [read, write: {approve: true}]\n", 1));
    ws
}

fn on_terminal(ws: &Fixture, arguments: &[&str], columns: u16, env: &[(&str, &str)]) -> Terminal {
    let mut command = ws.command(arguments);
    command.env("TERM", "xterm").env("LANG", "C.UTF-8").envs(env.iter().copied());
    Terminal::start_with(command, columns)
}

/// The text of a screen, without the line that shows what is going on.
fn plain(shown: &str) -> String {
    let spinner = Regex::new("\r\x1b\\[K([^\r\n\x1b]* s  [^\r\n\x1b]*\r)?").unwrap();
    spinner.replace_all(shown, "").replace("\r\n", "\n")
}

#[test]
fn markdown_is_laid_out_on_a_terminal_and_raw_in_a_pipe() {
    let server = model();
    let ws = workspace(&server);
    assert_eq!(ws.claw(&["ask", "-n", "hello"]).ok().trim_end(), ANSWER.trim_end());
    assert_eq!(ws.claw(&["ask", "-n", "-o", "md", "hello"]).ok().trim_end(), ANSWER.trim_end());
    let laid_out =
        "Hello\n\nI am here, see docs (http://a.b/c):\n\n• one\n• two\n\n  ls -l\n\nname  note\na     two words\n";
    assert_eq!(ws.claw(&["ask", "-n", "-o", "text", "hello"]).ok(), format!("# {laid_out}"));
    let (code, shown) = on_terminal(&ws, &["ask", "hello"], 80, &[("NO_COLOR", "1")]).ended();
    assert_eq!((code, plain(&shown).contains(&format!("# {laid_out}"))), (0, true), "{shown:?}");
    let (_, shown) = on_terminal(&ws, &["ask", "hello"], 80, &[]).ended();
    assert!(plain(&shown).contains("\x1b[1;4mHello\x1b[0m\n\nI am \x1b[1mhere\x1b[0m,"), "{shown:?}");
    let (_, shown) = on_terminal(&ws, &["--color", "never", "ask", "hello"], 80, &[]).ended();
    assert!(!plain(&shown).contains('\x1b'), "{shown:?}");
}

#[test]
fn poor_terminals_are_enough() {
    let server = model();
    let ws = workspace(&server);
    for env in [&[("TERM", "dumb"), ("LANG", "C")][..], &[("TERM", ""), ("LANG", "C")]] {
        let (code, shown) = on_terminal(&ws, &["ask", "hello"], 20, env).ended();
        let answer = shown.replace("\r\n", "\n");
        assert!(code == 0 && !shown.contains('\x1b') && answer.contains("\n- one\n- two\n"), "{shown:?}");
        let wide = answer.lines().filter(|line| !line.starts_with("claw: ") && line.chars().count() > 20);
        assert_eq!(wide.collect::<Vec<_>>(), [""; 0], "{answer}");
    }
    let (_, shown) = on_terminal(&ws, &["models", "-n"], 20, &[]).ended();
    assert!(shown.contains("name: * mock\r\nprovider: openai\r\n"), "{shown:?}");
    for command in [&["status"][..], &["sessions"], &["why"], &["keys", "list"], &["config", "get"]] {
        assert_eq!(on_terminal(&ws, command, 20, &[]).ended().0, 0, "{command:?}");
    }
    let (_, shown) = on_terminal(&ws, &["ask", "escape"], 80, &[]).ended();
    assert!(shown.contains("a \\u{1b}[31mred\\u{7} \x1b[1mb\x1b[0m"), "{shown:?}");
}

#[test]
fn terminal_that_closes_ends_a_question() {
    let ws = Fixture::new();
    let ends = openpty(None, None).unwrap();
    // Children of other tests must not keep it open.
    for end in [&ends.master, &ends.slave] {
        rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC).unwrap();
    }
    let mut command = ws.command(&["setup"]);
    let mut child = command.stdin(Stdio::from(ends.slave)).stderr(Stdio::piped()).spawn().unwrap();
    drop(command);
    let (mut err, mut shown) = (child.stderr.take().unwrap(), String::new());
    while !shown.contains("Number") {
        let mut bytes = [0; 256];
        let length = err.read(&mut bytes).unwrap();
        assert!(length > 0, "{shown}");
        shown += &String::from_utf8_lossy(&bytes[..length]);
    }
    drop(ends.master);
    err.read_to_string(&mut shown).unwrap();
    assert!(shown.contains("cannot be read") || shown.contains("left without"), "{shown}");
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn answer_can_be_taken_apart() {
    let server = model();
    let ws = workspace(&server);
    let ran = ws.claw(&["ask", "-n", "-x", "-u", "hello"]);
    assert_eq!(ran.out, "ls -l\n");
    assert!(ran.err.starts_with('m') && ran.err.contains(": 10 tokens in, 3 out, "), "{ran:#?}");
    assert!(ws.claw(&["ask", "-n", "-x", "briefly"]).fails(65).contains("the answer has no block of code"));
    let quiet = ws.claw(&["-q", "ask", "-n", "briefly"]);
    assert_eq!((&quiet.out[..], &quiet.err[..]), ("Hello.\n", ""));
    let document: Value = serde_json::from_str(&ws.claw(&["ask", "-n", "-o", "json", "briefly"]).ok()).unwrap();
    assert_eq!((&document["content"], &document["status"]), (&json!("Hello."), &json!("answered")));
    // A session may be named by the end of its short name.
    let err = ws.claw(&["ask", "-n", "briefly"]).err;
    let name = err.lines().find_map(|line| line.strip_prefix("claw: session pickle.")).unwrap();
    assert!(name.starts_with("ask-") && name.len() == 10, "{name}");
    let again = ws.claw(&["ask", "-n", "-s", name, "briefly"]).err;
    assert!(again.contains(&format!("session pickle.{name}\n")), "{again}");
    assert_eq!(ws.claw(&["sessions", "show", name]).ok().matches("briefly").count(), 2);
}

#[test]
fn answer_satisfies_a_schema_or_the_command_fails() {
    let server = model();
    let ws = workspace(&server);
    ws.write("n.json", r#"{"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}"#);
    let ask = |text: &str| ws.claw(&["ask", "-n", "--schema", "n.json", text]);
    assert_eq!(ask("a number").ok(), "{\"n\":1}\n");
    let second = ask("a number as a word");
    assert_eq!(second.out, "{\"n\":2}\n");
    assert!(second.err.contains("asking once more"), "{second:#?}");
    assert!(ask("hello").fails(65).contains("the answer does not satisfy the schema"));
    ws.write("bad.json", r#"{"pattern": "x"}"#);
    let refused = ws.claw(&["ask", "-n", "--schema", "bad.json", "x"]).fails(2);
    assert!(refused.contains("`pattern` is not supported"), "{refused}");
}

#[test]
fn call_is_decided_in_place() {
    let server = model();
    let ws = workspace(&server);
    ws.write("files/list.md", "one\n");
    let mut terminal = on_terminal(&ws, &["ask", "write it"], 100, &[]);
    let shown = terminal.until("Run it?");
    assert!(shown.contains("wants to run this") && shown.contains("+ two"), "{shown}");
    assert!(!shown.contains("I need your approval") && !shown.contains("It was not run"), "said once: {shown}");
    terminal.press("what\n");
    terminal.until("Run it?");
    terminal.press("y\n");
    let (code, rest) = terminal.ended();
    assert!(code == 0 && rest.contains("written"), "{rest}");
    assert_eq!(ws.read("files/list.md"), "one\ntwo\n");
    let mut terminal = on_terminal(&ws, &["ask", "write it"], 100, &[]);
    terminal.until("Run it?");
    terminal.press("n\n");
    let (code, rest) = terminal.ended();
    assert!(code == 0 && rest.contains("As you wish."), "{rest}");
    // Left for later.
    let mut terminal = on_terminal(&ws, &["ask", "write it"], 100, &[]);
    terminal.until("Run it?");
    terminal.press("\u{4}");
    let (code, rest) = terminal.ended();
    assert!(code == 75 && rest.contains("it waits: claw approve --run "), "{rest}");
    let id = ws.claw(&["approve"]).ok().split_whitespace().next().unwrap().to_owned();
    let ran = ws.claw(&["approve", "--run", &id]);
    assert!(ran.code == 0 && ran.out == "It is **written**.\n", "{ran:#?}");
}

#[test]
fn call_may_be_approved_once_and_for_all() {
    let server = model();
    let ws = workspace(&server);
    let waits = ws.claw(&["ask", "-n", "--json", "write it"]);
    let document: Value = serde_json::from_str(&waits.out).unwrap();
    assert_eq!((waits.code, &document["status"]), (75, &json!("approval_pending")));
    assert_eq!(document["approvals"].as_array().unwrap().len(), 1);
    let mut terminal = on_terminal(&ws, &["ask", "write it"], 100, &[]);
    terminal.until("Run it?");
    terminal.press("always\n");
    let (code, rest) = terminal.ended();
    assert!(code == 0 && rest.contains("claw approve --forget"), "{rest}");
    // The file is another one now, so it is not exactly this call.
    assert_eq!(ws.claw(&["ask", "-n", "write it"]).code, 75);
    fs::remove_file(ws.path("files/list.md")).unwrap();
    assert_eq!(ws.claw(&["ask", "-n", "write it"]).ok(), "It is **written**.\n");
    let listed = ws.claw(&["approve", "--always"]).ok();
    let id = listed.split_whitespace().next().unwrap();
    ws.claw(&["approve", "--forget", id]).ok();
    assert_eq!(ws.claw(&["approve", "--forget", id]).code, 65);
    fs::remove_file(ws.path("files/list.md")).unwrap();
    assert_eq!(ws.claw(&["ask", "-n", "write it"]).code, 75);
}

#[test]
fn dashboard_names_the_next_command_of_each_item() {
    let server = model();
    let ws = workspace(&server);
    ws.config("budget: {day: {calls: 100}}\n");
    assert_eq!(ws.claw(&["ask", "-n", "write it"]).code, 75);
    ws.claw(&["send", "--in", "1h", "hello"]).ok();
    ws.claw(&["ask", "-n", "--detach", "briefly"]).ok();
    ws.claw(&["route"]).ok();
    ws.claw(&["run-agent"]).ok();
    let shown = ws.claw(&["status"]).ok();
    for text in [
        "runs    no supervisor: claw supervise, or claw tick once\n",
        ": claw approve ",
        "): scheduled by its sender: claw retry ",
        "answer  1 for your terminal: claw deliver\n",
        " of 100 (",
    ] {
        assert!(shown.contains(text), "{text:?} in {shown}");
    }
    let status: Value = serde_json::from_str(&ws.claw(&["status", "--json"]).ok()).unwrap();
    assert_eq!((status["approvals"].as_array().unwrap().len(), &status["answers"]), (1, &json!(1)));
    assert_eq!((&status["supervisor"], status["orphans"].as_array().unwrap().len()), (&Value::Null, 0));
    let mut watched = on_terminal(&ws, &["status", "--watch"], 100, &[]);
    watched.until("\x1b[33mapprove\x1b[0m");
    watched.until("\x1b[32manswer\x1b[0m");
    ws.claw(&["deliver"]).ok();
    watched.until("\x1b[H\x1b[2J");
}

#[test]
fn timeline_has_steps_and_tools_and_the_log_is_filtered() {
    let server = model();
    let ws = workspace(&server);
    let agent = ws.read("agents/pickle/AGENT.md").replace("write: {approve: true}", "write");
    ws.write("agents/pickle/AGENT.md", &agent);
    ws.claw(&["ask", "-n", "write it"]).ok();
    let shown = ws.claw(&["why"]).ok();
    let kinds: Vec<&str> =
        shown.lines().filter_map(|line| line.split_whitespace().nth(3).filter(|_| line.contains("  +"))).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "model").count(), 2, "{shown}");
    assert!(
        kinds.contains(&"tool") && shown.contains("10 tokens in, 3 out") && shown.contains("files/list.md"),
        "{shown}"
    );
    let id = shown.split_whitespace().next().unwrap();
    ws.claw(&["ask", "-n", "briefly"]).ok();
    let all = ws.claw(&["log"]).ok().lines().count();
    let own = ws.claw(&["log", id]).ok().lines().count();
    assert!(own > 3 && own < all, "{own} of {all}");
    assert_eq!(ws.claw(&["log", "--since", "1h"]).ok().lines().count(), all);
    assert_eq!(ws.claw(&["log", "--since", "2999-01-01"]).ok(), "");
    assert!(ws.claw(&["log", "--since", "soon"]).fails(2).contains("is no time"));
}

/// The screens of a newcomer: no key, then a server, the first real answer, the first job, the first approval.
struct Newcomer {
    ws: Fixture,
    text: String,
    minute: u32,
}

impl Newcomer {
    fn run(&mut self, arguments: &[&str], keys: &[(&str, &str)]) {
        self.minute += 1;
        let now = format!("2026-11-21T08:{:02}:00Z", self.minute);
        let env = [("CLAW_NOW", &now[..]), ("CLAW_SEED", "7"), ("NO_COLOR", "1")];
        let mut terminal = on_terminal(&self.ws, arguments, 80, &env);
        self.text += &format!("$ claw {}\n", arguments.join(" "));
        let mut shown = String::new();
        for (prompt, typed) in keys {
            shown += &terminal.until(prompt);
            terminal.press(typed);
        }
        let (code, rest) = terminal.ended();
        self.text += &plain(&(shown + &rest));
        if code != 0 {
            self.text += &format!("[exit {code}]\n");
        }
        self.text.push('\n');
    }
}

#[test]
fn newcomer_gets_from_nothing_to_an_approved_call() {
    let server = model();
    let url = format!("http://127.0.0.1:{}/v1\n", server.port);
    let mut newcomer = Newcomer { ws: Fixture::empty(), text: String::new(), minute: 0 };
    newcomer.run(&["init"], &[]);
    newcomer.run(&["ask", "remember that the NAS is 10.0.0.7"], &[]);
    newcomer.run(&["ask", "where is the NAS?"], &[]);
    let key = "sk-test-0123456789\r";
    let keys = [("Number", "9\n"), ("Base URL", &url[..]), ("Model", "m\n"), ("no key): ", key), ("Write this", "\n")];
    newcomer.run(&["setup"], &keys);
    newcomer.run(&["ask", "hello"], &[]);
    newcomer.run(&["new", "cron", "morning", "--every", "2h", "greet me briefly"], &[]);
    newcomer.run(&["crons", "run", "morning"], &[]);
    let agent = newcomer.ws.read("agents/pickle/AGENT.md");
    let tools = Regex::new("(?m)^tools: .*$").unwrap();
    let asking = tools.replace(&agent, "tools: [read, write: {approve: true}]");
    newcomer.ws.write("agents/pickle/AGENT.md", &asking);
    newcomer.run(&["ask", "write a list"], &[("Run it?", "y\n")]);
    newcomer.run(&["status"], &[]);
    let home = newcomer.ws.dir.path().display().to_string();
    let text = newcomer.text.replace(&server.port.to_string(), "PORT").replace(&home, "~");
    let text = Regex::new(r"\d+\.\d s\b").unwrap().replace_all(&text, "TIME").into_owned();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/newcomer.txt");
    if std::env::var_os("CLAW_WRITE_SNAPSHOTS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert!(!text.contains("sk-test"), "{text}");
    assert_eq!(text, fs::read_to_string(&path).unwrap_or_default());
}
