//! `claw chat`: on a terminal, and without one.

use crate::common::hanging::hanging;
use crate::common::strict::{Answer, Script, Strict};
use crate::common::terminal::Terminal;
use crate::common::{Fixture, Ran};
use regex::Regex;
use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const UP: &str = "\x1b[A";
const PROMPT: &str = "> ";

fn hello(_: usize, _: &[String]) -> Answer {
    ("Hello.", vec![])
}

fn look(step: usize, _: &[String]) -> Answer {
    match step {
        0 => ("Let me look.", vec![("bash", json!({"command": "echo a; echo b"}))]),
        _ => ("Found \u{1b}[31mit.", vec![]),
    }
}

fn want(step: usize, _: &[String]) -> Answer {
    if step == 0 { ("I would.", vec![("bash", json!({"command": ": >files/acted"}))]) } else { ("Thank you.", vec![]) }
}

const SCRIPTS: &[(&str, Script)] = &[("hello", hello), ("look", look), ("want", want), ("I approve", want)];

fn strict(server: &Strict) -> Fixture {
    let ws = Fixture::new();
    server.model(&ws);
    ws
}

fn chat(ws: &Fixture, arguments: &[&str]) -> Terminal {
    let mut terminal = Terminal::start(ws.command(&[&["chat"], arguments].concat()));
    terminal.until(PROMPT);
    terminal
}

/// Types a line, and returns the output up to the next prompt: the line itself, then its result.
fn say(terminal: &mut Terminal, line: &str) -> String {
    terminal.press(&format!("{line}\r"));
    terminal.until("\r\n");
    let shown = terminal.until(PROMPT);
    // Modes that the editor sets, and its clearing of the prompt's line.
    let own = Regex::new(r"\x1b\[(\?[0-9]+[hl]|[0-9]*[JK])|\r").unwrap();
    own.replace_all(shown.trim_end_matches(PROMPT), "").into_owned()
}

#[test]
fn every_line_is_a_turn_of_one_conversation() {
    let server = Strict::start(SCRIPTS);
    let ws = strict(&server);
    let mut terminal = chat(&ws, &[]);
    assert_eq!(say(&mut terminal, "hello"), "pickle: Hello.\n");
    assert_eq!(say(&mut terminal, "hello again"), "pickle: Hello.\n");
    let session = say(&mut terminal, "/session");
    assert!(session.contains("messages: 2, answered: 2") && session.starts_with("session: pickle.chat-"), "{session}");
    terminal.press(CTRL_D);
    let (code, shown) = terminal.ended();
    assert_eq!(code, 0);
    let end = session.lines().next().unwrap().rsplit('-').next().unwrap();
    assert!(shown.contains(&format!("claw: session pickle.chat-{end}")), "{shown}");
    assert_eq!((server.broken(), ws.pending()), (vec![], vec![]));
    // It continues the conversation.
    let mut terminal = chat(&ws, &["-c"]);
    assert_eq!(say(&mut terminal, "hello"), "pickle: Hello.\n");
    assert_eq!(server.last()["messages"].as_array().unwrap().len(), 1 + 5);
    assert_eq!(ws.list("sessions").len(), 1);
    terminal.press("quit\r");
    assert_eq!(terminal.ended().0, 0);
}

#[test]
fn lines_typed_ahead_or_pasted_are_all_answered() {
    let ws = hanging();
    let mut terminal = chat(&ws, &["-s", "t"]);
    terminal.press("one\rtwo\rthree\rfo");
    for _ in 0..3 {
        terminal.until("pickle: fine");
    }
    terminal.press("ur\r");
    terminal.until("pickle: fine");
    // During a turn, too.
    terminal.press("hang\rfive\r");
    ws.eventually("the turn hangs", |ws| ws.path("hangs").exists());
    terminal.press("six\r");
    assert_eq!(ws.shell("echo go >gate").code, 0);
    for _ in 0..3 {
        terminal.until("pickle: fine");
    }
    terminal.until(PROMPT);
    terminal.press(CTRL_D);
    assert_eq!(terminal.ended().0, 0);
    let log = ws.read("sessions/pickle.t/log.jsonl");
    let asked = Regex::new(r#""t":"in".*?"content":"(\w+)""#).unwrap();
    let asked: Vec<&str> = asked.captures_iter(&log).map(|found| found.get(1).unwrap().as_str()).collect();
    assert_eq!(asked, ["one", "two", "three", "four", "hang", "five", "six"]);
}

#[test]
fn tool_steps_are_dim_and_control_characters_escaped() {
    let server = Strict::start(SCRIPTS);
    let ws = strict(&server);
    let mut terminal = chat(&ws, &[]);
    assert_eq!(
        say(&mut terminal, "look"),
        "pickle: Let me look.\n\x1b[2m  bash echo a; echo b\x1b[0m\n\x1b[2m    a …\x1b[0m\npickle: Found \\u{1b}[31mit.\n"
    );
    drop(terminal);
    let mut command = ws.command(&["chat"]);
    command.env("NO_COLOR", "1");
    let mut terminal = Terminal::start(command);
    terminal.until(PROMPT);
    assert!(say(&mut terminal, "look").contains("\n  bash echo a; echo b\n    a …\n"));
}

#[test]
fn text_is_shown_as_it_arrives() {
    let ws = Fixture::new();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    ws.model("slow", &format!("provider: openai, model: m, api_base: 'http://{}/v1'", server.local_addr().unwrap()));
    let mut terminal = chat(&ws, &[]);
    terminal.press("tell me\r");
    let (mut stream, _) = server.accept().unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n").unwrap();
    // The second word is sent after the first one was displayed; a word is displayed once it is complete.
    for (word, shown) in [("once ", "pickle: once"), ("upon ", " upon"), ("a time", " a")] {
        write!(stream, "data: {}\n\n", json!({"choices": [{"delta": {"content": word}}]})).unwrap();
        terminal.until(shown);
    }
    write!(stream, "data: [DONE]\n\n").unwrap();
    drop((stream, reader));
    let rest = terminal.until(PROMPT);
    assert!(rest.contains(" time\r\n") && !rest.contains("once"), "{rest:?}");
}

#[test]
fn ctrl_c_ends_turn_then_line_then_chat() {
    let ws = hanging();
    let mut terminal = chat(&ws, &["-s", "t"]);
    terminal.press("hang\r");
    ws.eventually("the turn hangs", |ws| ws.path("hangs").exists());
    terminal.press(CTRL_C);
    terminal.until("pickle: I was stopped.");
    terminal.until(PROMPT);
    assert_eq!(say(&mut terminal, "go on"), "pickle: fine\n");
    assert!(ws.read("request").contains("I was stopped."));
    terminal.press(&format!("nobody shall read this{CTRL_C}hello\r"));
    terminal.until("pickle: fine");
    terminal.until(PROMPT);
    assert!(ws.read("request").contains("\"hello\"") && !ws.read("request").contains("nobody"));
    terminal.press(CTRL_C);
    assert_eq!(terminal.ended().0, 0);
    assert_eq!(ws.pending(), [""; 0]);
}

#[test]
fn ctrl_c_does_not_wait_for_a_busy_session() {
    let ws = hanging();
    let mut other = ws.command(&["ask", "-n", "-s", "t", "hang"]).spawn().unwrap();
    ws.eventually("the turn hangs", |ws| ws.path("hangs").exists());
    let mut terminal = chat(&ws, &["-s", "t"]);
    terminal.press("hello\r");
    terminal.until("pickle.t is locked by another process; waiting for it");
    terminal.press(CTRL_C);
    terminal.until("the question was not sent");
    terminal.until(PROMPT);
    // Commands do not wait.
    assert!(say(&mut terminal, "/stop").contains(" is stopped"));
    assert!(other.wait().unwrap().success());
    assert_eq!(say(&mut terminal, "hello"), "pickle: fine\n");
}

#[test]
fn commands_and_ids_are_completed() {
    let ws = hanging();
    let mut terminal = chat(&ws, &[]);
    assert_eq!(say(&mut terminal, "/sto\t"), "nothing runs here\n");
    assert_eq!(say(&mut terminal, "/agent coo\t"), "cookie answers here from now on\n");
    assert_eq!(say(&mut terminal, "who are you?"), "cookie: fine\n");
    let agent = say(&mut terminal, "/agent");
    assert!(agent.starts_with("cookie answers here, in session cookie.chat-"), "{agent}");
    assert!(say(&mut terminal, "/agent nobody").contains("claw: there is no agent `nobody`"));
    assert_eq!(say(&mut terminal, "/skills skill-cr\t").lines().nth(1), Some("name: skill-creator"));
    // Several completions are listed.
    terminal.press("/s\t\t");
    let listed = terminal.until("/skills");
    assert!(listed.contains("/stop") && listed.contains("/session"), "{listed}");
}

#[test]
fn new_conversation_begins_on_request() {
    let ws = hanging();
    let mut terminal = chat(&ws, &[]);
    say(&mut terminal, "the cat is Tama");
    assert_eq!(say(&mut terminal, "/new"), "A new conversation begins here, with pickle\n");
    say(&mut terminal, "what is the cat?");
    assert!(!ws.read("request").contains("Tama"));
    assert_eq!(ws.list("sessions").len(), 2);
}

#[test]
fn a_call_is_approved_in_the_chat_that_asks_for_it() {
    let server = Strict::start(SCRIPTS);
    let ws = strict(&server);
    let agent = ws.read("agents/pickle/AGENT.md");
    ws.write("agents/pickle/AGENT.md", &agent.replacen("---\n", "---\ntools: [bash: {approve: true}]\n", 1));
    let mut terminal = chat(&ws, &[]);
    let id = |shown: &str| {
        let rest = shown.split_once("claw approve --run ").unwrap_or_else(|| panic!("{shown}")).1;
        rest.split_once(',').unwrap().0.to_owned()
    };
    // Asked in place, the user leaves it for later.
    terminal.press("want\r");
    terminal.until("Run it?");
    let first = id(&say(&mut terminal, "later"));
    let shown = say(&mut terminal, &format!("/approve {first}"));
    assert!(
        shown.starts_with("approved, it is run now: bash: ") && shown.ends_with("\npickle: Thank you.\n"),
        "{shown}"
    );
    assert!(ws.path("files/acted").exists());
    // Tab completes pending approvals; an approval of an ended chat is answered in the next one.
    std::fs::remove_file(ws.path("files/acted")).unwrap();
    terminal.press("want\r");
    terminal.until("Run it?");
    say(&mut terminal, "later");
    terminal.press(CTRL_D);
    assert_eq!(terminal.ended().0, 0);
    let mut terminal = chat(&ws, &["-c"]);
    let shown = say(&mut terminal, "/approve \t");
    assert!(shown.starts_with("approved") && shown.ends_with("\npickle: Thank you.\n"), "{shown}");
    assert!(ws.path("files/acted").exists());
    assert_eq!((server.broken(), ws.pending()), (vec![], vec![]));
}

#[test]
fn history_excludes_lines_with_a_leading_space() {
    let ws = hanging();
    let mut terminal = chat(&ws, &[]);
    say(&mut terminal, "the first line");
    say(&mut terminal, " a secret");
    drop(terminal);
    assert_eq!(ws.read(".claw/history"), "\"the first line\"\n");
    assert_eq!(std::fs::metadata(ws.path(".claw/history")).unwrap().permissions().mode() & 0o777, 0o600);
    ws.write(".claw/history", &(ws.read(".claw/history") + "torn\n\"a \\\"second\\\" one\"\n"));
    let mut terminal = chat(&ws, &[]);
    terminal.press(&format!("{UP}{UP}\r"));
    terminal.until("pickle: fine");
    assert!(ws.read("request").contains("the first line"));
}

#[test]
fn without_a_terminal_every_line_is_a_turn_and_stdout_has_the_answers() {
    let server = Strict::start(SCRIPTS);
    let ws = strict(&server);
    let ran = ws.piped(&["chat"], "hello\n\n   \n/agent cookie\nlook\r\nexit\nhello\n");
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(ran.out, "pickle: Hello.\ncookie answers here from now on\ncookie: Found \u{1b}[31mit.\n");
    assert!(ran.err.contains("  bash echo a; echo b\n    a …\n") && !ran.err.contains('\u{1b}'), "{}", ran.err);
    // The last line needs no line end.
    assert_eq!(ws.piped(&["chat", "-a", "cookie"], "hello").ok(), "cookie: Hello.\n");
    // No input, no session.
    let sessions = ws.list("sessions").len();
    assert_eq!(ws.piped(&["chat"], "").ok(), "");
    assert_eq!(ws.list("sessions").len(), sessions);
}

#[test]
fn error_is_shown_and_chat_continues() {
    let ws = hanging();
    ws.write("model.sh", "if grep -q 'bad\"}\\]'; then echo no >&2; exit 1; fi; echo fine\n");
    let ran = ws.piped(&["chat"], "bad\ngood\n");
    assert_eq!((ran.code, &ran.out[..]), (69, "pickle: fine\n"), "{ran:#?}");
    assert!(ran.err.contains("claw: model mock: exit 1: no\n"), "{}", ran.err);
    let mut child = ws.command(&["chat"]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"\xff\xfe\ngood\n").unwrap();
    let ran: Ran = child.wait_with_output().unwrap().into();
    assert_eq!((ran.code, &ran.out[..]), (65, "pickle: fine\n"), "{ran:#?}");
    assert!(ran.err.contains("a line is not UTF-8 at byte 0"), "{}", ran.err);
    assert!(ws.claw(&["chat", "-a", "nobody"]).fails(65).contains("there is no agent `nobody`"));
    ws.write("claw.yaml", &ws.read("claw.yaml").replace("model: mock", "model: mokc"));
    assert!(ws.piped(&["chat"], "hello\n").fails(78).contains("mokc"));
}

#[test]
fn messages_have_several_lines_and_files() {
    let server = Strict::start(SCRIPTS);
    let ws = strict(&server);
    ws.write("note.txt", "the note");
    let mut terminal = chat(&ws, &[]);
    terminal.press("hello\\\rtwo\x1b\rthree @note.txt\r");
    terminal.until("Hello.");
    terminal.until(PROMPT);
    terminal.press(CTRL_D);
    terminal.ended();
    let log = ws.read(&format!("sessions/{}/log.jsonl", ws.list("sessions")[0]));
    assert!(log.contains(r#""content":"hello\ntwo\nthree @note.txt\n\n<data-"#), "{log}");
    assert!(log.contains("-1-note.txt") && log.contains("the note"), "{log}");
}

#[test]
fn chat_has_commands_of_its_own() {
    let server = Strict::start(SCRIPTS);
    let ws = strict(&server);
    let editor = ws.dir.path().join("editor");
    std::fs::write(&editor, "#!/bin/sh\nprintf 'hello from the editor' > \"$1\"\n").unwrap();
    std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = ws.command(&["chat"]);
    command.env("EDITOR", &editor);
    let mut terminal = Terminal::start(command);
    terminal.until(PROMPT);
    assert!(say(&mut terminal, "/retry").contains("there is no message to send again"));
    assert!(say(&mut terminal, "/edit draft").contains("Hello."));
    assert!(say(&mut terminal, "/retry").contains("Sending again: hello from the editor"));
    let copied = say(&mut terminal, "/copy");
    assert!(copied.contains("\x1b]52;c;SGVsbG8u\x07Copied 6 characters"), "{copied:?}");
    assert!(say(&mut terminal, "/model").contains("offline"));
    assert!(say(&mut terminal, "/model nothing").contains("nothing"));
    assert!(say(&mut terminal, "/model offline").contains("offline answers from now on"));
    assert!(say(&mut terminal, "/help").contains("/copy"));
    assert!(say(&mut terminal, "/session none").contains("there is no session `none`"));
    let session = ws.list("sessions")[0].clone();
    assert!(say(&mut terminal, &format!("/session {session}")).contains("goes on, with pickle"));
    terminal.press("/mod\t of\t");
    terminal.until("offline");
    terminal.press("\x03");
    terminal.press(CTRL_D);
    terminal.ended();
    let asked = ws.read(&format!("sessions/{session}/log.jsonl")).matches("\"t\":\"in\"").count();
    assert_eq!(asked, 2, "the commands are not messages");
}

#[test]
fn piped_text_attaches_no_file() {
    let server = Strict::start(SCRIPTS);
    let ws = strict(&server);
    ws.write("note.txt", "the note");
    assert_eq!(ws.piped(&["chat"], "hello @note.txt\n").code, 0);
    let log = ws.read(&format!("sessions/{}/log.jsonl", ws.list("sessions")[0]));
    assert!(!log.contains("attachments"), "{log}");
    let ran = ws.piped(&["chat"], "/edit x\n/copy\n");
    assert!(ran.err.contains("/edit needs a terminal") && ran.err.contains("there is no answer to copy"), "{ran:?}");
}
