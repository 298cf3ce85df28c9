//! Sessions: listed without reading their logs, shown, and removed while the ids of answered messages are kept.

use crate::common::Fixture;
use crate::common::hanging::hanging;
use crate::common::strict::{Answer, Script, Strict};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::FileExt;

fn listed(ws: &Fixture) -> Vec<Value> {
    let out = ws.claw(&["sessions", "--json"]).ok();
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The list, with the session index and without it.
fn listed_twice(ws: &Fixture) -> Vec<Value> {
    let known = listed(ws);
    fs::remove_file(ws.path(INDEX)).unwrap();
    assert_eq!(listed(ws), known);
    known
}

const INDEX: &str = ".claw/sessions.jsonl";

fn titles(ws: &Fixture) -> Vec<String> {
    listed(ws).iter().map(|line| line["title"].as_str().unwrap().to_owned()).collect()
}

fn hello(_: usize, _: &[String]) -> Answer {
    ("Hello.", vec![])
}

fn look(step: usize, _: &[String]) -> Answer {
    match step {
        0 => ("Let me look.", vec![("recall", json!({"query": "x"})), ("bash", json!({"command": "echo a; echo b"}))]),
        _ => ("Found it.", vec![]),
    }
}

const SCRIPTS: &[(&str, Script)] = &[("hello", hello), ("look", look)];

fn ask(ws: &Fixture, session: &str, now: &str, text: &str) {
    let ran: crate::common::Ran =
        ws.command(&["ask", "-n", "-s", session, text]).env("CLAW_NOW", now).output().unwrap().into();
    ran.ok();
}

fn two_sessions(server: &Strict) -> Fixture {
    let ws = Fixture::new();
    server.model(&ws);
    ask(&ws, "old", "2026-11-21T08:00:00Z", "hello,  is the\ncat called Tama? I do believe that she is, or was.");
    ask(&ws, "cookie.new", "2026-11-21T09:00:00Z", "look");
    ws
}

#[test]
fn latest_session_is_first_and_columns_align() {
    let server = Strict::start(SCRIPTS);
    let ws = two_sessions(&server);
    ask(&ws, "old", "2026-11-21T08:30:00Z", "hello");
    let text = ws.claw(&["sessions"]).ok();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "session     source   messages  tokens  last activity        title",
            "cookie.new  cli:ann         1      30  2026-11-21 09:00:00  look",
            "pickle.old  cli:ann         2      30  2026-11-21 08:30:00  hello, is the cat called Tama? I do believe that s",
        ]
    );
    assert_eq!(
        listed_twice(&ws)[1],
        json!({
            "session": "pickle.old", "agent": "pickle", "source": "cli:ann", "messages": 2, "input": 20, "output": 10,
            "title": "hello, is the cat called Tama? I do believe that s",
            "created": "2026-11-21T08:00:00Z", "updated": "2026-11-21T08:30:00Z",
        })
    );
    assert_eq!(ws.claw(&["sessions", "list"]).ok(), text);
    for (arguments, left) in [(["-n", "1"], 2), (["-a", "pickle"], 2), (["-g", "TAMA"], 2), (["-g", "cli:"], 3)] {
        assert_eq!(ws.claw(&[&["sessions"], &arguments[..]].concat()).ok().lines().count(), left, "{arguments:?}");
    }
    assert_eq!(ws.claw(&["sessions", "-g", "nothing"]).ok(), "");
}

#[test]
fn a_log_of_which_all_is_known_is_not_read() {
    let ws = Fixture::new();
    ask(&ws, "a", "2026-11-21T08:00:00Z", "one");
    let log = ws.path("sessions/pickle.a/log.jsonl");
    // The same file of the same size with other contents.
    let text = fs::read_to_string(&log).unwrap().replace("one", "two");
    let file = fs::File::options().write(true).open(&log).unwrap();
    let written = file.metadata().unwrap().modified().unwrap();
    file.write_all_at(text.as_bytes(), 0).unwrap();
    file.set_modified(written).unwrap();
    assert_eq!(titles(&ws), ["one"]);
    // Another file is read, and so are lines after the known part.
    fs::remove_file(&log).unwrap();
    fs::write(&log, text).unwrap();
    assert_eq!(titles(&ws), ["two"]);
}

#[test]
fn list_equals_the_logs_with_any_damage_of_the_index() {
    let ws = hanging();
    let supervisor = ws.supervise(&[]);
    for n in 0..40 {
        ws.claw(&["send", "--reply-to", &format!("file:{}", n % 5), &format!("message {n}")]).ok();
    }
    ws.eventually("all are answered", |ws| ws.done("inbox").len() == 40);
    drop(supervisor);
    // At most one line per turn; none was rewritten.
    let index = ws.read(INDEX);
    assert_eq!(index.lines().filter(|line| !line.is_empty()).count(), 40, "{index}");
    let known = listed_twice(&ws);
    assert_eq!(known.iter().map(|line| line["messages"].as_u64().unwrap()).collect::<Vec<_>>(), [8; 5]);
    // Lost lines, torn lines, lines of other programs, lines twice.
    let lines: Vec<&str> = index.lines().filter(|line| !line.is_empty()).collect();
    for broken in [
        lines[1..].join("\n"),
        lines[..30].join("\n") + "\n{\"s\":\"pickle.fi",
        format!("{index}{index}"),
        format!("{}\n{{}}\nnull\n\0\0\0\n", lines.iter().step_by(2).copied().collect::<Vec<_>>().join("\n")),
    ] {
        ws.write(INDEX, &broken);
        assert_eq!(listed(&ws), known, "{broken}");
        // After that nothing is missing.
        let whole = ws.read(INDEX);
        assert_eq!(listed(&ws), known);
        assert_eq!(ws.read(INDEX), whole);
    }
}

#[test]
fn a_turn_that_runs_or_was_killed_is_listed_as_far_as_it_has_come() {
    let ws = hanging();
    ask(&ws, "a", "2026-11-21T08:00:00Z", "first");
    let mut turn = ws.command(&["ask", "-n", "-s", "a", "then hang"]).spawn().unwrap();
    ws.eventually("the turn hangs", |ws| ws.path("hangs").exists());
    assert_eq!(listed(&ws)[0]["messages"], 2);
    turn.kill().unwrap();
    turn.wait().unwrap();
    ws.replace_program("model.sh", "echo fine\n");
    ws.claw(&["tick"]).ok();
    ask(&ws, "a", "2026-11-21T09:00:00Z", "third");
    assert_eq!(listed_twice(&ws)[0]["messages"], 3);
}

#[test]
fn old_lines_go_when_most_are_old() {
    let ws = Fixture::new();
    ask(&ws, "a", "2026-11-21T08:00:00Z", "one");
    let known = listed(&ws);
    let line = ws.read(INDEX);
    let line = line.trim();
    ws.write(INDEX, &format!("{line}\n").repeat(1100));
    assert_eq!(listed(&ws), known);
    assert_eq!(ws.read(INDEX).trim(), line);
    assert_eq!(ws.list(".claw").iter().filter(|name| name.contains("sessions")).count(), 1);
    // Also without a listing.
    ws.write(INDEX, &format!("{line}\n").repeat(2_100_000 / line.len()));
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.read(INDEX).trim(), line);
}

#[test]
fn a_conversation_is_shown_by_any_end_of_its_name() {
    let server = Strict::start(SCRIPTS);
    let ws = two_sessions(&server);
    let text = ws.claw(&["sessions", "show", "new"]).ok();
    assert_eq!(
        text,
        "cli:ann  2026-11-21 09:00:00\nlook\n\n\
         cookie  2026-11-21 09:00:00, strict\nLet me look.\n\n  recall x\n    nothing found\n  bash echo a; echo b\n    a …\n\n\
         cookie  2026-11-21 09:00:00, strict\nFound it.\n"
    );
    for name in ["cookie.new", "sessions/cookie.new", "sessions/cookie.new/", "./sessions/cookie.new/log.jsonl"] {
        assert_eq!(ws.claw(&["sessions", "show", name]).ok(), text, "{name}");
    }
    // The last one; the default agent's name can be left out.
    assert_eq!(ws.claw(&["sessions", "show"]).ok(), text);
    assert!(ws.claw(&["sessions", "show", "old"]).ok().contains("\nHello.\n"));
    ask(&ws, "bold", "2026-11-21T09:00:00Z", "hello");
    assert!(ws.claw(&["sessions", "show", "ld"]).fails(65).contains("could be pickle."));
    assert!(ws.claw(&["sessions", "show", "none"]).fails(65).contains("there is no session `none`"));
    ws.claw(&["sessions", "show", "../.claw"]).fails(65);
}

#[test]
fn session_without_a_name_is_shown_by_a_short_one_and_found_by_the_clock() {
    let ws = Fixture::new();
    let ask = |now: &str, seed: &str, text: &str| {
        let ran = ws.command(&["ask", "-n", text]).env("CLAW_NOW", now).env("CLAW_SEED", seed).output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
        String::from_utf8(ran.stderr).unwrap().lines().last().unwrap().rsplit_once(' ').unwrap().1.to_owned()
    };
    ask("2026-11-20T09:31:00Z", "1", "of yesterday");
    let today = ask("2026-11-21T09:31:10Z", "2", "of today");
    let later = ask("2026-11-21T10:00:00Z", "3", "one");
    ask("2026-11-21T10:00:30Z", "4", "another");
    assert!(today.starts_with("pickle.ask-") && today.len() == "pickle.ask-000000".len(), "{today}");
    let list = ws.claw(&["sessions"]).ok();
    assert!(list.contains(&format!("\n{today}  ")) && !list.contains("20261121T"), "{list}");
    let [why, log, grep] = [&["why"][..], &["log"], &["sessions", "-g", &later]].map(|line| ws.claw(line).ok());
    assert!(!why.contains("ask-2026") && !log.contains("ask-2026"), "{why}\n{log}");
    assert_eq!(grep.lines().count(), 2, "{grep}");
    for name in ["ask-0931", "pickle.ask-0931", &today] {
        assert!(ws.claw(&["sessions", "show", name]).ok().contains("of today"), "{name}");
    }
    assert!(ws.claw(&["ask", "-n", "-s", "ask-0931", "more"]).err.contains(&format!("session {today}\n")));
    assert!(ws.claw(&["ask", "-n", "-s", "ask-1000", "more"]).fails(65).contains("type more of it"));
}

#[test]
fn a_conversation_is_a_document_or_the_lines_of_its_log() {
    let server = Strict::start(SCRIPTS);
    let ws = two_sessions(&server);
    let log = ws.read("sessions/cookie.new/log.jsonl");
    let shown = ws.claw(&["sessions", "show", "--json", "cookie.new"]).ok();
    let parsed = |text: &str| text.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()).collect::<Vec<_>>();
    assert_eq!(parsed(&shown), parsed(&log));
    let document = ws.claw(&["sessions", "show", "--markdown", "cookie.new"]).ok();
    assert!(
        document.starts_with("# cookie.new\n\n## cli:ann, 2026-11-21 09:00:00\n\nlook\n\n## cookie, "),
        "{document}"
    );
    assert!(
        document.contains("### bash\n\n```json\n{\n  \"command\": \"echo a; echo b\"\n}\n```\n\n```\na\nb\n```\n\n## ")
    );
    assert!(document.ends_with("(strict)\n\nFound it.\n"), "{document}");
}

#[test]
fn control_characters_are_escaped() {
    let ws = Fixture::new();
    ask(&ws, "a", "2026-11-21T08:00:00Z", "red \u{1b}[31m\u{202e}");
    for arguments in [&["sessions"][..], &["sessions", "show", "a"]] {
        let text = ws.claw(arguments).ok();
        assert!(text.contains("red \\u{1b}[31m\\u{202e}") && !text.contains('\u{1b}'), "{text}");
    }
}

#[test]
fn a_session_in_use_is_not_forgotten() {
    let ws = hanging();
    ws.config("owner: ['cli:ann']");
    let mut turn = ws.command(&["ask", "-n", "-s", "a", "hang"]).spawn().unwrap();
    ws.eventually("the turn hangs", |ws| ws.path("hangs").exists());
    let log = ws.read("sessions/pickle.a/log.jsonl");
    assert!(ws.claw(&["sessions", "rm", "a"]).fails(75).contains("session pickle.a is in use"));
    turn.kill().unwrap();
    turn.wait().unwrap();
    // Its watcher holds the lane until the model is dead.
    let free = |ws: &Fixture| !ws.claw(&["sessions", "rm", "a"]).fails(75).contains("is in use");
    ws.eventually("the model is dead", free);
    let told = ws.claw(&["sessions", "rm", "a"]).fails(75);
    assert!(told.contains("has unfinished events: ") && told.contains("(run)"), "{told}");
    ws.replace_program("model.sh", "printf '\\377'\n");
    ws.claw(&["run-agent"]).fails(1);
    let told = ws.claw(&["sessions", "rm", "a"]).fails(75);
    assert!(told.contains("(failed)") && told.contains("claw discard ID"), "{told}");
    assert_eq!(ws.read("sessions/pickle.a/log.jsonl"), log);
    let id = ws.list("inbox/failed").into_iter().find(|name| name.contains('~')).unwrap();
    ws.claw(&["discard", id.split('~').next().unwrap()]).ok();
    assert_eq!(ws.claw(&["sessions", "rm", "a"]).ok(), "pickle.a\n");
    assert_eq!(ws.list("sessions"), [""; 0]);
}

#[test]
fn removed_session_answers_no_message_twice() {
    let ws = Fixture::new();
    let old = "20260101T000000.000000Z-old";
    let copy = ["send", "--id", old, "--reply-to", "file:a", "the cat is Tama"];
    ws.claw(&copy).ok();
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.piped(&["sessions", "rm", "-"], "pickle.file-a\n\n").ok(), "pickle.file-a\n");
    assert_eq!((listed(&ws), ws.list("sessions/pickle.file-a")), (vec![], vec!["log.jsonl".to_owned()]));
    let log = ws.read("sessions/pickle.file-a/log.jsonl");
    assert!(log.contains(old) && !log.contains("Tama"), "{log}");
    assert!(ws.claw(&["sessions", "show", "file-a"]).fails(65).contains("has no messages"));
    // The platform repeats the message after everything else about it is gone.
    fs::remove_dir_all(ws.path("inbox/done")).unwrap();
    fs::remove_dir_all(ws.path("outbox/done")).unwrap();
    fs::remove_dir_all(ws.path("outbox/files")).unwrap();
    ws.claw(&copy).ok();
    ws.claw(&["tick"]).ok();
    assert_eq!((ws.list("outbox/files/a"), ws.pending(), ws.list("inbox/failed")), (vec![], vec![], vec![]));
    assert_eq!(ws.read("sessions/pickle.file-a/log.jsonl"), log);
    // The conversation begins anew, without memory of the old one.
    ws.claw(&["send", "--reply-to", "file:a", "what is the cat?"]).ok();
    ws.claw(&["tick"]).ok();
    let name = &ws.list("outbox/files/a")[0];
    assert!(!ws.read(&format!("outbox/files/a/{name}")).contains("Tama"));
    assert_eq!(titles(&ws), ["what is the cat?"]);
    listed_twice(&ws);
    // Removed again, both ids are still known.
    ws.claw(&["sessions", "rm", "pickle.file-a"]).ok();
    let log = ws.read("sessions/pickle.file-a/log.jsonl");
    assert!(log.contains(old) && log.lines().count() == 1 && log.matches('-').count() > 3, "{log}");
}

#[test]
fn removed_session_withdraws_its_approvals() {
    fn want(_: usize, _: &[String]) -> Answer {
        ("I would.", vec![("bash", json!({"command": ":"}))])
    }
    let server = Strict::start(&[("want", want)]);
    let ws = Fixture::new();
    server.model(&ws);
    let agent = ws.read("agents/pickle/AGENT.md");
    ws.write("agents/pickle/AGENT.md", &agent.replacen("---\n", "---\ntools: [bash: {approve: true}]\n", 1));
    ws.claw(&["ask", "-n", "-s", "t", "want"]).waits();
    assert_eq!(ws.list(".claw/approvals/pending").len(), 1);
    ws.claw(&["sessions", "rm", "t"]).ok();
    assert_eq!((ws.list(".claw/approvals/pending").len(), ws.list(".claw/approvals/withdrawn").len()), (0, 1));
    ws.claw(&["ask", "-n", "-c", "hi"]).fails(2);
}
