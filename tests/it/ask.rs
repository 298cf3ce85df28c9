//! `claw ask` as a user meets it: interrupted, with a busy service, with a stdout that fails, without a wait; and the
//! commands around it.

use crate::common::servers::{JSON, OPENAI, Server, whole};
use crate::common::strict::{Answer, Script, Strict};
use crate::common::{Fixture, Ran};
use serde_json::json;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Stdio};

/// A workspace whose model is a program: it answers `fine`, or hangs on a gate.
fn hanging() -> Fixture {
    let ws = Fixture::new();
    ws.write("model.sh", "cat >request; if grep -q 'hang\"}\\]' request; then : >hangs; read x <gate; fi; echo fine\n");
    ws.model("mock", "provider: command, command: [sh, model.sh]");
    assert_eq!(ws.shell("mkfifo gate").code, 0);
    ws
}

fn begun(ws: &Fixture, arguments: &[&str]) -> Child {
    let child = ws.command(arguments).spawn().unwrap();
    ws.eventually("the turn hangs", |ws| ws.path("hangs").exists() || ws.path("files/hangs").exists());
    child
}

fn signal(ws: &Fixture, name: &str, child: &Child) {
    assert_eq!(ws.shell(&format!("kill -{name} {}", child.id())).code, 0);
}

fn ended(child: Child) -> Ran {
    child.wait_with_output().unwrap().into()
}

/// The rest of stderr, and the exit code, after a line with `text` has come.
fn after(child: &mut Child, text: &str, then: impl FnOnce(&Child)) -> (i32, String) {
    let mut err = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        assert!(err.read_line(&mut line).unwrap() > 0, "no `{text}`");
    }
    then(child);
    let mut rest = String::new();
    err.read_to_string(&mut rest).unwrap();
    (child.wait().unwrap().code().unwrap_or(-1), rest)
}

// ---------------------------------------------------------------- Ctrl-C

fn hello(_: usize, _: &[String]) -> Answer {
    ("Hello.", vec![])
}

fn slow(step: usize, _: &[String]) -> Answer {
    if step == 0 { ("", vec![("recall", json!({"query": "x"})), ("block", json!({}))]) } else { ("Done.", vec![]) }
}

fn trust(step: usize, _: &[String]) -> Answer {
    let call = ("subagent_dispatch", json!({"agent_id": "broken", "task": "hang"}));
    if step == 0 { ("", vec![call]) } else { ("Done.", vec![]) }
}

const SCRIPTS: &[(&str, Script)] = &[("hello", hello), ("slow", slow), ("trust", trust)];

/// A workspace with a tool that hangs on a gate.
fn strict(server: &Strict) -> Fixture {
    let ws = Fixture::new();
    server.model(&ws);
    ws.write("tools/block", "#!/bin/sh\n: >files/hangs; read x <files/gate\n");
    ws.write("tools/block.json", &json!({"description": "Blocks.", "parameters": {"type": "object"}}).to_string());
    assert_eq!(ws.shell("chmod +x tools/block; mkdir -p files; mkfifo files/gate").code, 0);
    ws
}

#[test]
fn ctrl_c_stops_the_turn_and_its_steps_stay_in_the_session() {
    let server = Strict::start(SCRIPTS);
    let ws = strict(&server);
    let turn = begun(&ws, &["ask", "-n", "-s", "t", "slow"]);
    signal(&ws, "INT", &turn);
    let ran = ended(turn);
    assert_eq!((ran.code, &ran.out[..]), (130, ""), "{ran:#?}");
    let said = "claw: stopped; its finished steps stay in the session, and claw ask -c continues it\n\
                claw: session pickle.t\n";
    assert!(ran.err.ends_with(said), "{}", ran.err);
    assert!(ws.read("sessions/pickle.t/log.jsonl").contains("I was stopped after 1 step."));
    // Nothing goes on, and nothing is printed later.
    ws.claw(&["tick"]).ok();
    assert_eq!((ws.claw(&["deliver"]).ok(), ws.pending(), ws.list("inbox/failed")), (String::new(), vec![], vec![]));
    assert_eq!(server.asked("slow", 1), 0);
    assert_eq!(ws.claw(&["ask", "-n", "-c", "hello"]).ok(), "Hello.\n");
    let said = server.last()["messages"].to_string();
    assert!(said.contains("slow") && said.contains("recall") && said.contains("I was stopped after 1 step."), "{said}");
    assert_eq!(server.broken(), [""; 0]);
}

#[test]
fn ctrl_c_stops_the_turn_also_where_a_supervisor_runs_a_part_of_it() {
    let server = Strict::start(SCRIPTS);
    let ws = strict(&server);
    let head = "name: Broken\nllm: {provider: command, command: [sh, -c, ': >hangs; read x <files/gate']}";
    ws.write("agents/broken/AGENT.md", &format!("---\n{head}\n---\nYou hang.\n"));
    let _supervisor = ws.supervise(&[]);
    let turn = begun(&ws, &["ask", "-n", "-s", "t", "trust"]);
    signal(&ws, "INT", &turn);
    assert_eq!(ended(turn).code, 130);
    ws.eventually("both are over", |ws| ws.done("inbox").len() == 2 && ws.pending().is_empty());
    let sub = ws.list("sessions").into_iter().find(|name| name.starts_with("broken.")).unwrap();
    assert!(ws.read(&format!("sessions/{sub}/log.jsonl")).contains("I was stopped."));
    assert!(ws.read("sessions/pickle.t/log.jsonl").contains("I was stopped after 1 step."));
}

#[test]
fn second_ctrl_c_leaves_at_once_and_names_the_question() {
    let ws = hanging();
    // Another message of the session is answered first, and Ctrl-C does not stop that one.
    ws.claw(&["send", "--session", "t", "hang"]).ok();
    let mut turn = begun(&ws, &["ask", "-n", "-s", "t", "hello"]);
    signal(&ws, "INT", &turn);
    let (code, rest) = after(&mut turn, "stopping; Ctrl-C again leaves at once", |turn| {
        ws.eventually("the stop is recorded", |ws| ws.list(".claw/stop").iter().any(|name| name.contains('~')));
        signal(&ws, "INT", turn);
    });
    assert_eq!(code, 130, "{rest}");
    let id = ws.list("inbox/ready")[0].split('~').next().unwrap().to_owned();
    assert!(rest.contains(&format!("claw: {id} goes on until it is stopped: claw why ")), "{rest}");
    // No model is asked for it any more.
    ws.replace_program("model.sh", "cat >>requests; echo fine\n");
    ws.eventually("both are answered", |ws| ws.claw(&["tick"]).code == 0 && ws.done("inbox").len() == 2);
    assert!(!ws.read("requests").contains("\"hello\""));
    assert!(ws.read("sessions/pickle.t/log.jsonl").contains("I was stopped."));
}

#[test]
fn ctrl_c_before_the_turn_begins_ends_the_question() {
    let ws = hanging();
    ws.config("max_concurrency: 1");
    let mut other = begun(&ws, &["ask", "-n", "-s", "a", "hang"]);
    for (session, before) in [("b", 0), ("c", 1)] {
        for _ in 0..before {
            ws.claw(&["send", "--session", session, "hello"]).ok();
            ws.claw(&["route"]).ok();
        }
        let turn = ws.command(&["ask", "-n", "-s", session, "hi there"]).spawn().unwrap();
        let lane = format!("~pickle.{session}~");
        ws.eventually("it waits for a slot", |ws| {
            ws.list("inbox/ready").iter().filter(|name| name.contains(&lane)).count() == before + 1
        });
        signal(&ws, "INT", &turn);
        let ran = ended(turn);
        assert_eq!((ran.code, &ran.out[..]), (130, ""), "{ran:#?}");
        assert_eq!(ws.list("inbox/ready").iter().filter(|name| name.contains(&lane)).count(), before);
    }
    assert!(ws.read("sessions/pickle.b/log.jsonl").contains("I was stopped."));
    // A question that is not sent yet is not sent.
    let mut turn = ws.command(&["ask", "-n", "-s", "a", "zebra"]).spawn().unwrap();
    let (code, _) = after(&mut turn, "pickle.a is locked by another process", |turn| signal(&ws, "INT", turn));
    assert_eq!(code, 130);
    other.kill().unwrap();
    other.wait().unwrap();
    ws.replace_program("model.sh", "cat >>requests; echo fine\n");
    ws.eventually("the rest is answered", |ws| ws.claw(&["tick"]).code == 0 && ws.pending().len() == 2);
    assert_eq!(ws.claw(&["deliver"]).ok(), "fine\nfine\n");
    let requests = ws.read("requests");
    assert!(!requests.contains("hi there") && !requests.contains("zebra"), "{requests}");
}

#[test]
fn ctrl_c_ends_a_chat_that_reads_a_pipe() {
    let ws = hanging();
    let mut chat = ws.command(&["chat", "-s", "t"]).stdin(Stdio::piped()).spawn().unwrap();
    chat.stdin.take().unwrap().write_all(b"hang\nhello\n").unwrap();
    ws.eventually("the turn hangs", |ws| ws.path("hangs").exists());
    signal(&ws, "INT", &chat);
    let ran = ended(chat);
    assert_eq!((ran.code, &ran.out[..]), (130, "pickle: I was stopped.\n"), "{ran:#?}");
    assert_eq!((ws.done("inbox").len(), ws.pending()), (1, vec![]));
}

#[test]
fn other_signals_keep_the_question() {
    for (name, number) in [("TERM", 15), ("HUP", 1)] {
        let ws = hanging();
        let turn = begun(&ws, &["ask", "-n", "hang"]);
        signal(&ws, name, &turn);
        let err = ended(turn).fails(-number);
        assert!(err.contains("claw: the question is kept: claw tick answers it, and claw deliver shows"), "{err}");
        ws.replace_program("model.sh", "echo four\n");
        ws.eventually("it is answered", |ws| ws.claw(&["tick"]).code == 0 && ws.done("inbox").len() == 1);
        assert_eq!(ws.claw(&["deliver"]).ok(), "four\n");
    }
}

#[test]
fn detached_question_is_answered_by_another_process() {
    let ws = hanging();
    let ran = ws.claw(&["ask", "-n", "-a", "cookie", "-m", "mock", "--detach", "hello"]);
    assert!(ran.err.contains("claw tick answers it, and claw deliver shows the answer"), "{}", ran.err);
    let id = ran.ok().trim().to_owned();
    assert!(!ws.path("request").exists());
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.claw(&["deliver"]).ok(), "fine\n");
    assert!(ws.claw(&["why", &id]).ok().contains("session cookie.ask-"));
    // It is the last session.
    assert!(ws.claw(&["ask", "-n", "-c", "and now?"]).err.contains("session cookie.ask-"));
    let id = ws.claw(&["ask", "-n", "--detach", "hello"]).ok();
    let pipe = format!("echo {} | claw route - | claw run-agent - | claw deliver -", id.trim());
    assert_eq!(ws.shell(&pipe).ok(), "fine\n");
    ws.claw(&["ask", "--detach", "--json", "hello"]).fails(2);
}

// ---------------------------------------------------------------- stdout

/// Runs a command three times, with a stdout that accepts nothing.
fn unprinted(ws: &Fixture, arguments: &[&str], input: &str, check: impl Fn(Ran)) {
    for how in ["full", "closed pipe", "closed"] {
        let mut command = match how {
            "closed" => ws.shell_command(&format!("exec claw {} >&-", arguments.join(" "))),
            _ => ws.command(arguments),
        };
        match how {
            "full" => drop(command.stdout(OpenOptions::new().write(true).open("/dev/full").unwrap())),
            "closed pipe" => drop(command.stdout(std::io::pipe().unwrap().1)),
            _ => {}
        }
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        check(ended(child));
    }
}

#[test]
fn answer_that_could_not_be_printed_stays() {
    let stays = |ws: &Fixture, ran: Ran, left: usize| {
        let hint = "      it stays in outbox/ready; claw deliver prints it\n";
        let err = ran.fails(1);
        assert!(err.contains("claw: the answer was not delivered: ") && err.contains("stdout"), "{err}");
        assert!(err.contains(hint), "{err}");
        assert_eq!((ws.pending().len(), ws.list("outbox/failed")), (left, vec![]));
    };
    let ws = hanging();
    for arguments in [&["ask", "-n", "hello"][..], &["ask", "-n", "--json", "hello"]] {
        unprinted(&ws, arguments, "", |ran| {
            stays(&ws, ran, 1);
            assert_eq!(ws.claw(&["deliver"]).ok(), "fine\n");
        });
    }
    // Without a reader no further question is asked.
    unprinted(&ws, &["chat"], "hello\nhello\n", |ran| {
        stays(&ws, ran, 1);
        assert_eq!(ws.claw(&["deliver"]).ok(), "fine\n");
    });
    for session in ["a", "b"] {
        ws.claw(&["send", "--from", &format!("cli:{session}"), "hello"]).ok();
    }
    ws.claw(&["tick"]).ok();
    for arguments in [&["deliver"][..], &["deliver", "--json"]] {
        unprinted(&ws, arguments, "", |ran| stays(&ws, ran, 2));
    }
    assert_eq!(ws.claw(&["deliver"]).ok(), "fine\nfine\n");
    // A list may be cut by its reader.
    assert_eq!(ws.shell("exec claw status >&-").code, 0);
}

// ---------------------------------------------------------------- busy services

fn message(text: &str) -> String {
    json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]})
        .to_string()
}

/// A server that refuses the first requests with these statuses, and answers the rest.
fn busy(statuses: &'static [&'static str], headers: &'static str) -> Server {
    Server::start(move |number, stream| {
        let answer = match statuses.get(number) {
            Some(status) => whole(status, headers, "so it is"),
            None => whole("200 OK", JSON, &message("four")),
        };
        let _ = stream.write_all(answer.as_bytes());
    })
}

#[test]
fn busy_service_is_asked_again_while_the_user_waits() {
    let server = busy(&["429 Too Many Requests", "529 Overloaded"], "Retry-After: 1\r\n");
    let ws = server.workspace(&OPENAI, "");
    let ran = ws.claw(&["ask", "-n", "2+2"]);
    assert_eq!((ran.code, &ran.out[..]), (0, "four\n"), "{ran:#?}");
    assert!(ran.err.starts_with("claw: retrying in 1 s (429)\nclaw: retrying in 1 s (529)\n"), "{}", ran.err);
    let server = busy(&["503 Service Unavailable"], "Retry-After: 1\r\n");
    let ws = server.workspace(&OPENAI, "");
    let ran = ws.piped(&["chat"], "2+2\n3+1\n");
    assert_eq!((ran.code, &ran.out[..]), (0, "pickle: four\npickle: four\n"), "{ran:#?}");
    assert!(ran.err.starts_with("claw: retrying in 1 s (503)\n"), "{}", ran.err);
}

#[test]
fn user_is_not_made_to_wait_for_long() {
    let all = &["503 Service Unavailable"; 9];
    let server = busy(all, "Retry-After: 1\r\n");
    let ws = server.workspace(&OPENAI, "");
    let err = ws.claw(&["ask", "-n", "2+2"]).fails(69);
    assert_eq!((server.heard().len(), err.matches("retrying").count()), (3, 2), "{err}");
    let server = busy(&["429 Too Many Requests"; 9], "Retry-After: 60\r\n");
    let ws = server.workspace(&OPENAI, "");
    let ran = ws.claw(&["ask", "-n", "2+2"]);
    let err = "claw: model mock: HTTP 429: so it is\n      try again in 60 s\n";
    assert_eq!((ran.code, &ran.err[..], server.heard().len()), (75, err, 1));
    // A stage does not wait, and its event is retried when it is due.
    ws.claw(&["send", "2+2"]).ok();
    ws.claw(&["tick"]).fails(75);
    assert_eq!((server.heard().len(), ws.list("inbox/wait").len()), (2, 1));
}

#[test]
fn ctrl_c_ends_the_wait_for_a_busy_service() {
    let server = busy(&["429 Too Many Requests"; 9], "Retry-After: 30\r\n");
    let ws = server.workspace(&OPENAI, "");
    let mut turn = ws.command(&["ask", "-n", "-s", "t", "2+2"]).spawn().unwrap();
    let (code, rest) = after(&mut turn, "retrying in 30 s (429)", |turn| signal(&ws, "INT", turn));
    assert_eq!((code, server.heard().len()), (130, 1), "{rest}");
}

#[test]
fn failed_question_leaves_nothing_behind() {
    let server = Server::start(|number, stream| {
        let call = json!({"index": 0, "id": "c", "type": "function", "function": {"name": "recall", "arguments": "{\"query\": \"NAS\"}"}});
        let step = json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": null, "tool_calls": [call]}, "finish_reason": "tool_calls"}]});
        let answer = match number {
            1 => whole("200 OK", JSON, &step.to_string()),
            3 => whole("200 OK", JSON, &message("four")),
            _ => whole("500 Oh", JSON, r#"{"error": {"message": "so it is"}}"#),
        };
        let _ = stream.write_all(answer.as_bytes());
    });
    let ws = server.workspace(&OPENAI, "");
    let clean = |ws: &Fixture| {
        assert_eq!((ws.list("inbox/failed"), ws.list("outbox/failed"), ws.pending()), (vec![], vec![], vec![]));
        assert_eq!(ws.claw(&["deliver"]).ok(), "");
    };
    let ran = ws.claw(&["ask", "-n", "-s", "t", "zebra"]);
    assert_eq!((ran.code, &ran.err[..]), (69, "claw: model mock: HTTP 500: so it is\n"));
    clean(&ws);
    assert!(ws.claw(&["why"]).ok().contains("failed: model mock: HTTP 500: so it is"));
    // Finished steps become a part of the conversation.
    ws.claw(&["ask", "-n", "-s", "t", "second"]).fails(69);
    clean(&ws);
    assert_eq!(ws.claw(&["ask", "-n", "-s", "t", "third"]).ok(), "four\n");
    let sent = server.heard()[3].body["messages"].to_string();
    assert!(sent.contains("second") && sent.contains("recall") && !sent.contains("zebra"), "{sent}");
    assert!(sent.contains("I could not finish: the call of the model failed."), "{sent}");
}

// ---------------------------------------------------------------- after failures

#[test]
fn failed_events_are_retried_and_discarded_together() {
    let ws = hanging();
    ws.replace_program("model.sh", "exit 75\n");
    let waiting = ws.claw(&["send", "--session", "w", "hello"]).ok();
    ws.claw(&["tick"]).fails(75);
    ws.replace_program("model.sh", "printf '\\377'\n");
    let failed: String = ["a", "b"].map(|name| ws.claw(&["send", "--session", name, "hello"]).ok()).concat();
    let later = ws.claw(&["send", "--in", "1h", "hello"]).ok();
    ws.write("inbox/bad.json", "{\"content\": 7}");
    ws.claw(&["tick"]).fails(1);
    assert_eq!((ws.list("inbox/failed").len(), ws.list("inbox/wait").len()), (6, 1));
    let ran = ws.claw(&["retry", "--all"]);
    assert!(ran.out.starts_with(&format!("{waiting}{failed}")) && ran.out.lines().count() == 4, "{ran:#?}");
    assert!(!ran.ok().contains(later.trim()));
    assert_eq!((ws.list("inbox/failed"), ws.list("inbox/wait")), (vec![], vec![]));
    assert_eq!(ws.claw(&["retry", "--all"]).ok(), "");
    ws.claw(&["tick"]).fails(1);
    assert_eq!(ws.list("inbox/failed").len(), 8);
    let ran = ws.claw(&["discard", "--failed"]).ok();
    assert_eq!((ran.lines().count(), ws.list("inbox/failed")), (4, vec![]));
    assert!(ws.list("inbox/new")[0].contains(later.trim()), "{:?}", ws.list("inbox/new"));
    assert_eq!(ws.claw(&["discard", "--failed"]).ok(), "");
    ws.claw(&["retry"]).fails(2);
    ws.claw(&["discard"]).fails(2);
    ws.claw(&["retry", "--all", later.trim()]).fails(2);
}

#[test]
fn retry_waits_for_the_answer() {
    let ws = hanging();
    ws.replace_program("model.sh", "printf '\\377'\n");
    let id = ws.claw(&["send", "hello"]).ok().trim().to_owned();
    let other = ws.claw(&["send", "--session", "x", "--reply-to", "file:a", "hello"]).ok().trim().to_owned();
    ws.claw(&["tick"]).fails(1);
    let err = ws.claw(&["retry", "--wait", &id]).fails(1);
    assert!(err.contains("failed: model mock: invalid answer: not UTF-8"), "{err}");
    ws.replace_program("model.sh", "echo four\n");
    let ran = ws.claw(&["retry", "--wait", &id, &other]);
    assert!(ran.err.contains("is ready for file-a: claw deliver sends it"), "{}", ran.err);
    let out = ran.ok();
    assert!(out.ends_with("four\n"), "{out}");
    ws.claw(&["deliver"]).ok();
    assert!(ws.pending().is_empty() && ws.list("outbox/files/a").contains(&format!("{other}.r01.md")));
    // An invalid drop, corrected in its place.
    ws.write("inbox/q.json", "{\"content\": 7}");
    ws.claw(&["tick"]).fails(1);
    let name = ws.list("inbox/failed").into_iter().find(|name| name.ends_with(".drop")).unwrap();
    ws.write(&format!("inbox/failed/{name}"), "{\"content\": \"hello\", \"reply_to\": \"cli:ann\"}");
    assert_eq!(ws.claw(&["retry", "--wait", &format!("inbox/failed/{name}")]).ok(), "four\n");
}

#[test]
fn model_that_could_not_be_started_costs_nothing() {
    for budget in ["", "budget: {day: {calls: 9, money: 1}}\n"] {
        let ws = Fixture::new();
        ws.model("mock", "provider: command, command: [./missing], price: {input: 1, output: 1}");
        ws.config(budget);
        assert!(ws.claw(&["ask", "-n", "hello"]).fails(78).contains("cannot run `./missing`"));
        let usage = ws.claw(&["usage", "--json"]).ok();
        assert!(!usage.contains("mock") && !usage.contains("\"calls\":1"), "{usage}");
    }
}

#[test]
fn answer_goes_to_the_terminal_of_its_sender_before_deliver_to() {
    let ws = hanging();
    ws.config("deliver_to: file:home\n");
    let pipe = "| claw route - | claw run-agent - | claw deliver -";
    assert_eq!(ws.shell(&format!("claw send hello {pipe}")).ok(), "fine\n");
    assert_eq!(ws.list("outbox/files/home"), [""; 0]);
    // Another sender gets its own answer. Of a later message the user may not be at this terminal.
    ws.shell(&format!("claw send --from file:a hello {pipe}")).ok();
    assert_eq!(ws.list("outbox/files/a").len(), 1);
    let id = ws.claw(&["send", "--in", "1h", "hello"]).ok().trim().to_owned();
    ws.claw(&["tick", "--now", "2099-01-01T00:00:00Z"]).ok();
    assert_eq!(ws.list("outbox/files/home"), [format!("{id}.r01.md")]);
}
