//! Writing notes: duplicates, replaced facts, secrets, the origin of lines, the ways to use the memory, notes before a
//! compaction, and tidying.

use crate::common::Fixture;
use crate::common::strict::{Answer, Script, Strict};
use crate::common::window::{Summary, Window};
use claw::core::text::secret;
use serde_json::{Value, json};
use std::fs;

/// A key in the format of a service, put together here so that no scanner takes this file for a leak.
fn key() -> String {
    ["ghp", "_", "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zAbC12"].concat()
}

/// Every file of the workspace that has the text, besides the logs of sessions.
fn files_with(ws: &Fixture, text: &str) -> Vec<String> {
    let all = walkdir::WalkDir::new(&ws.root).into_iter().flatten().filter(|entry| entry.file_type().is_file());
    let found = all.filter(|entry| {
        fs::read(entry.path()).is_ok_and(|bytes| memchr::memmem::find(&bytes, text.as_bytes()).is_some())
    });
    let names = found.map(|entry| entry.path().strip_prefix(&ws.root).unwrap().to_string_lossy().into_owned());
    names.filter(|name| !name.starts_with("sessions/")).collect()
}

fn facts(ws: &Fixture, file: &str) -> Vec<String> {
    let lines = ws.read(file);
    lines
        .lines()
        .filter(|line| line.starts_with("- "))
        .map(|line| line.split(" <!-- ").next().unwrap().into())
        .collect()
}

#[test]
fn fact_that_is_noted_already_is_reported_and_not_added() {
    let ws = Fixture::new();
    let note = |words: &[&str]| ws.claw(&[&["remember"], words].concat()).ok();
    assert_eq!(note(&["--topic=nas", "The NAS is 10.0.0.7."]), "memories/topics/nas.md:3\n");
    for same in ["the NAS  is 10.0.0.7", "* The NAS is 10.0.0.7", "The NAS is\n10.0.0.7."] {
        assert_eq!(note(&["--topic=nas", same]), "already at memories/topics/nas.md:3\n", "{same:?}");
    }
    assert_eq!(note(&["--project=house", "the NAS is 10.0.0.7"]), "already at memories/topics/nas.md:3\n");
    assert_eq!(facts(&ws, "memories/topics/nas.md"), ["- The NAS is 10.0.0.7."]);
    // A thing may happen again on another day, and a fact of a day may become a topic.
    ws.write("memories/daily-notes/2020-01-01.md", "- slept badly\n");
    assert!(note(&["slept badly"]).starts_with("memories/daily-notes/"));
    assert!(note(&["slept badly"]).starts_with("already at memories/daily-notes/"));
    assert!(note(&["--topic=sleep", "slept badly"]).starts_with("memories/topics/sleep.md:"));
    // The same words in another order, or with more, are another fact.
    assert_eq!(note(&["--topic=nas", "the NAS is 10.0.0.77"]), "memories/topics/nas.md:4\n");
}

#[test]
fn replaced_fact_is_struck_out_in_the_commit_of_the_new_one() {
    let ws = Fixture::empty();
    ws.shell("git init -q . && git config user.name a && git config user.email a@b").ok();
    ws.claw(&["init", "."]).ok();
    ws.write("claw.yaml", &ws.read("claw.yaml").replace("  git: false", "  git: true"));
    ws.write("memories/topics/nas.md", "# NAS\n\n- the NAS is\n  10.0.0.5 <!-- x -->\n- it hums\n");
    ws.shell("git add -A && git commit -qm first").ok();
    let replace = |named: &str, text: &str| ws.claw(&["remember", "--topic=house", "--replaces", named, text]);
    assert_eq!(replace("memories/topics/nas.md:4", "the NAS is 10.0.0.7").ok(), "memories/topics/house.md:3\n");
    let expected = "# NAS\n\n- ~~the NAS is~~\n  ~~10.0.0.5~~ <!-- x -->\n- it hums\n";
    assert_eq!(ws.read("memories/topics/nas.md"), expected);
    let committed = ws.shell("git show --format=%s --name-only | sort").ok();
    assert_eq!(committed, "\nmemories/topics/house.md\nmemories/topics/nas.md\nremember: the NAS is 10.0.0.7\n");
    for (named, why) in [
        ("memories/topics/nas.md:3", "is struck out already"),
        ("memories/topics/nas.md:1", "has no fact"),
        ("memories/topics/nas.md:99", "has no fact"),
        ("memories/topics/none.md:1", "there is no note"),
        ("memories/../claw.yaml:1", "is no note below memories/"),
        ("claw.yaml:1", "is no note below memories/"),
        ("memories/topics/nas.md", "is no line of a note"),
        ("memories/topics/nas.md:0", "is no line of a note"),
    ] {
        let err = replace(named, "another fact").fails(65);
        assert!(err.contains(why), "{named}: {err}");
    }
    assert!(replace("memories/topics/nas.md:5", "It hums.").fails(65).contains("says the same already"));
    assert_eq!(ws.read("memories/topics/nas.md"), expected, "nothing was struck");
    assert_eq!(facts(&ws, "memories/topics/house.md"), ["- the NAS is 10.0.0.7"], "and nothing noted");
    // A struck fact is not known: it may become true again.
    assert!(ws.claw(&["remember", "--topic=nas", "the NAS is 10.0.0.5"]).ok().starts_with("memories/topics/nas.md:"));
}

#[test]
fn notes_come_from_stdin_and_from_files() {
    let ws = Fixture::new();
    assert_eq!(ws.piped(&["remember", "--topic=a", "-"], "from stdin\n").ok(), "memories/topics/a.md:3\n");
    ws.write("own.md", "# Old notes\n\n- one\n  more <!-- c -->\n* two\n\nA paragraph.\n- from stdin\n");
    let out = ws.claw(&["remember", "--topic=a", "--file", "own.md"]).ok();
    assert_eq!(
        out,
        "memories/topics/a.md:4\nmemories/topics/a.md:6\nmemories/topics/a.md:7\nalready at memories/topics/a.md:3\n"
    );
    assert_eq!(facts(&ws, "memories/topics/a.md"), ["- from stdin", "- one", "- two", "- A paragraph."]);
    ws.write("bad.md", &format!("- fine\n- the key is {}\n", key()));
    ws.claw(&["remember", "--topic=b", "--file", "bad.md"]).fails(65);
    assert!(!ws.path("memories/topics/b.md").exists(), "one secret refuses all");
    ws.claw(&["remember", "--file", "none.md"]).fails(1);
    ws.write("empty.md", "# x\n");
    ws.claw(&["remember", "--file", "empty.md"]).fails(65);
}

#[test]
fn secret_is_refused_before_a_byte_is_written_and_the_owner_can_insist() {
    let ws = Fixture::new();
    let err = ws.claw(&["remember", &format!("the key is {}", key())]).fails(65);
    assert!(err.contains("it has a secret (a GitHub token)") && !err.contains(&key()), "{err}");
    assert_eq!(files_with(&ws, &key()), [""; 0]);
    let ran = ws.command(&["remember", "the code is plain-4711"]).env("DOOR_KEY", "plain-4711").output().unwrap();
    assert_eq!(ran.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("a key of this workspace"));
    // The built-in model does not note it either, and its session shows the message alone.
    let answer = ws.claw(&["ask", "-n", &format!("remember that the key is {}", key())]).ok();
    assert!(answer.starts_with("I did not note that: it has a secret") && !answer.contains(&key()), "{answer}");
    assert!(files_with(&ws, &key()).iter().all(|name| !name.starts_with("memories/")));
    let place = ws.claw(&["remember", "--anyway", &format!("the key is {}", key())]).ok();
    assert!(place.starts_with("memories/daily-notes/"), "{place}");
    // A drop is not the owner's.
    ws.write(
        "inbox/n.json",
        &json!({"kind": "remember", "content": format!("token {}", key()), "meta": {"anyway": true, "topic": "t"}})
            .to_string(),
    );
    ws.claw(&["tick"]);
    assert!(!ws.path("memories/topics/t.md").exists());
    for text in ["HEARTBEAT_OK", "NO_REPLY", "memories/topics/a.md:3: x"] {
        ws.claw(&["remember", text]).fails(65);
    }
}

fn note_key(step: usize, results: &[String]) -> Answer {
    match step {
        0 => (
            "",
            vec![
                ("remember", json!({"text": format!("the key is {}", key())})),
                ("write", json!({"path": "memories/topics/k.md", "content": format!("- token {}\n", key())})),
                ("write", json!({"path": "memories/topics/fine.md", "content": "- a fact\n"})),
                ("edit", json!({"path": "memories/topics/fine.md", "old": "a fact", "new": key()})),
            ],
        ),
        _ => (results.join("\n").leak(), vec![]),
    }
}

/// A file outside of every workspace, as in the tests of origins.
const OUTSIDE: &str = "/etc/passwd";

fn learn(step: usize, results: &[String]) -> Answer {
    match step {
        0 => ("", vec![("read", json!({"path": OUTSIDE, "limit": 1}))]),
        1 => (
            "",
            vec![
                ("remember", json!({"text": "a strange fact\nof two lines <!-- x from:tool:me -->", "topic": "s"})),
                (
                    "write",
                    json!({"path": "memories/topics/w.md", "content": "# W\n\n- own\n- written <!-- 1 from:web:me.org -->\n"}),
                ),
                ("edit", json!({"path": "memories/topics/old.md", "old": "- own line", "new": "- own line\n- edited"})),
            ],
        ),
        _ => (results.join("\n").leak(), vec![]),
    }
}

fn look(step: usize, results: &[String]) -> Answer {
    match step {
        0 => (
            "",
            vec![
                ("read", json!({"path": "memories/topics/old.md"})),
                ("search", json!({"pattern": "line|strange", "path": "memories/topics"})),
                ("recall", json!({"query": "strange", "in": "topics"})),
                ("bash", json!({"command": "cat memories/topics/old.md; echo end"})),
            ],
        ),
        _ => (results.join("\n====\n").leak(), vec![]),
    }
}

/// Rewrites a file without its marks, and moves one of its lines to another file.
fn rearrange(step: usize, results: &[String]) -> Answer {
    match step {
        0 => (
            "",
            vec![
                ("write", json!({"path": "memories/topics/new.md", "content": "- strange line\n"})),
                (
                    "write",
                    json!({"path": "memories/topics/old.md", "content": "# Old\n\n- Strange line.\n- own line\n"}),
                ),
            ],
        ),
        _ => (results.join("\n").leak(), vec![]),
    }
}

fn tidy(step: usize, results: &[String]) -> Answer {
    let write = |lines: &[&str]| ("write", json!({"path": "memories/topics/t.md", "content": lines.join("\n")}));
    match step {
        0 => ("", vec![write(&["- a", "- b", "- c", "- d", "- e", "- f", "- g"])]),
        1 => ("", vec![write(&["- a", "- b", "- c", "- d", "- e", "- f"])]),
        2 => (
            "",
            vec![
                write(&["- a", "- b", "- c", "- d", "- e"]),
                ("write", json!({"path": "memories/topics/u.md", "content": "- f\n"})),
            ],
        ),
        3 => ("", vec![write(&["- a", "- b", "- c", "- d", "- ~~e~~", "- g"])]),
        4 => (
            "",
            vec![
                ("edit", json!({"path": "memories/daily-notes/2020-01-01.md", "old": "slept badly", "new": "slept"})),
                (
                    "edit",
                    json!({"path": "memories/daily-notes/2020-01-01.md", "old": "slept badly", "new": "slept badly\n- more"}),
                ),
                ("move", json!({"from": "memories/topics/u.md"})),
                ("move", json!({"from": "memories/topics/u.md", "to": "memories/topics/v.md"})),
            ],
        ),
        _ => (results.join("\n").leak(), vec![]),
    }
}

/// Makes notes of files in another way than by writing them; the first call has text from outside if the task says so.
fn adopt(step: usize, results: &[String]) -> Answer {
    match step {
        0 => (
            "",
            vec![
                ("move", json!({"from": "files/key.md", "to": "memories/topics/key.md"})),
                ("move", json!({"from": "files/a.md", "to": "memories/topics/a.md"})),
                ("read", json!({"path": OUTSIDE, "limit": 1})),
            ],
        ),
        1 => (
            "",
            vec![
                ("move", json!({"from": "files/b.md", "to": "memories/topics/b.md"})),
                (
                    "write",
                    json!({"path": "memories/topics/c.md", "content": "<!-- run it -->\n- own line <!-- run it -->\n- own\n"}),
                ),
            ],
        ),
        _ => (results.join("\n").leak(), vec![]),
    }
}

fn look_closely(step: usize, results: &[String]) -> Answer {
    match step {
        0 => (
            "",
            vec![
                ("read", json!({"path": "memories/topics/long.md"})),
                ("search", json!({"pattern": "abcabc", "path": "memories/topics"})),
                ("recall", json!({"query": "boiler"})),
                ("recall", json!({"query": "obey me"})),
            ],
        ),
        _ => (results.join("\n====\n").leak(), vec![]),
    }
}

const SCRIPTS: &[(&str, Script)] = &[
    ("script:adopt", adopt),
    ("script:closely", look_closely),
    ("script:key", note_key),
    ("script:learn", learn),
    ("script:look", look),
    ("script:rearrange", rearrange),
    ("script:tidy", tidy),
    ("script:known", known),
];

fn known(step: usize, results: &[String]) -> Answer {
    match step {
        0 => ("", vec![("remember", json!({"text": "The NAS is 10.0.0.7."}))]),
        _ => (results.join("\n").leak(), vec![]),
    }
}

/// A workspace whose programs have no network, so that their output is not from outside.
fn workspace(server: &Strict) -> Fixture {
    let ws = Fixture::new();
    server.model(&ws);
    ws
}

const MARK: &str = "<!-- 20261121T004130.123456Z-k7f3q9 from:web:a.org -->";

#[test]
fn refused_call_is_in_the_log_and_hidden_from_people_and_models() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server);
    let answer = ws.claw(&["ask", "-n", "-s", "k", "script:key"]).ok();
    assert_eq!(answer.matches("it has a secret (a GitHub token)").count(), 3, "{answer}");
    assert_eq!(ws.read("memories/topics/fine.md"), "- a fact\n");
    assert_eq!(files_with(&ws, &key()), [""; 0]);
    assert!(ws.read("sessions/pickle.k/log.jsonl").contains(&key()), "the log has the call");
    let request = server.last().to_string();
    assert!(request.contains(secret::HIDDEN) && !request.contains(&key()), "{request}");
    for shown in [
        &["sessions", "show", "pickle.k"][..],
        &["sessions", "show", "--markdown", "pickle.k"],
        &["sessions", "show", "--json", "pickle.k"],
    ] {
        let shown = ws.claw(shown).ok();
        assert!(shown.contains(secret::HIDDEN) && !shown.contains(&key()), "{shown}");
    }
    assert_eq!(server.broken(), [""; 0]);
}

#[test]
fn secret_is_not_shown_for_approval_and_no_model_notes_one() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server);
    ws.write(
        "agents/pickle/AGENT.md",
        "---\nname: P\ntools: [{remember: {approve: true}}, {write: {approve: true}}, edit]\n---\nx\n",
    );
    ws.claw(&["ask", "-n", "-s", "k", "script:key"]).waits();
    let log = ws.read("sessions/pickle.k/log.jsonl");
    assert_eq!(log.matches("so the owner is not asked").count(), 2, "{log}");
    assert_eq!(files_with(&ws, &key()), [""; 0]);
    let ws = Fixture::new();
    let reply = json!({"content": "Noted.", "remember": [format!("the key is {}", key())]});
    ws.model("noter", &format!("provider: command, command: [echo, '{reply}']"));
    ws.claw(&["trust"]).ok();
    let ran = ws.claw(&["ask", "-n", "note it"]);
    assert!(ran.err.contains("no note was made: it has a secret"), "{ran:?}");
    ws.claw(&["tick"]).ok();
    assert!(files_with(&ws, &key()).iter().all(|name| name == "claw.yaml"), "{:?}", files_with(&ws, &key()));
}

#[test]
fn tool_reports_a_known_fact_and_publishes_nothing() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server);
    ws.write("memories/topics/nas.md", "- the NAS is 10.0.0.7\n");
    assert_eq!(ws.claw(&["ask", "-n", "script:known"]).ok(), "already at memories/topics/nas.md:1\n");
    let noted = ws.done("inbox").into_iter().chain(ws.pending()).filter(|name| name.contains(".m01"));
    assert_eq!(noted.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn lines_of_a_tainted_turn_have_its_origin_and_the_model_cannot_set_one() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server);
    ws.write("memories/topics/old.md", &format!("# Old\n\n- strange line {MARK}\n- own line\n"));
    ws.write("agents/pickle/AGENT.md", "---\nname: P\nread: [/etc/passwd]\n---\nx\n");
    ws.claw(&["ask", "-n", "script:learn"]).ok();
    ws.claw(&["tick"]).ok();
    let noted = ws.read("memories/topics/s.md");
    let lines: Vec<&str> = noted.lines().skip(2).collect();
    assert!(
        lines[0].starts_with("- a strange fact <!-- ") && lines[0].ends_with(" from:file:/etc/passwd -->"),
        "{noted}"
    );
    assert!(
        lines[1].starts_with("  of two lines <! -- x from:tool:me -- > <!-- ")
            && lines[1].ends_with(" from:file:/etc/passwd -->"),
        "{noted}"
    );
    let written = ws.read("memories/topics/w.md");
    assert_eq!(written.matches("from:file:/etc/passwd -->").count(), 3, "{written}");
    assert!(!written.contains("me.org"), "{written}");
    let edited = ws.read("memories/topics/old.md");
    assert!(edited.starts_with(&format!("# Old\n\n- strange line {MARK}\n- own line\n- edited <!-- ")), "{edited}");
    assert_eq!(server.broken(), [""; 0]);
}

#[test]
fn content_of_another_sender_has_its_address() {
    let ws = Fixture::new();
    ws.claw(&["send", "--from", "file:a", "remember that the door is red"]).ok();
    ws.claw(&["tick"]).ok();
    let day = &ws.list("memories/daily-notes").into_iter().find(|name| name.ends_with(".md")).unwrap();
    assert!(ws.read(&format!("memories/daily-notes/{day}")).trim_end().ends_with(" from:file:a -->"));
    ws.claw(&["ask", "-n", "remember that the roof is green"]).ok();
    assert!(!ws.read(&format!("memories/daily-notes/{day}")).lines().last().unwrap().contains("from:"));
    let found: Value = serde_json::from_str(&ws.claw(&["recall", "--json", "door"]).ok()).unwrap();
    assert_eq!((&found["source"], &found["passage"]), (&json!("file:a"), &json!("the door is red")));
}

#[test]
fn lines_from_outside_are_fenced_and_their_neighbours_are_not() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server);
    ws.write("memories/topics/old.md", &format!("# Old\n\n- strange line {MARK}\n- own line\n"));
    let answer = ws.claw(&["ask", "-n", "-s", "l", "script:look"]).ok();
    let results: Vec<&str> = answer.trim().split("\n====\n").collect();
    let fence = |text: &str| {
        let (before, rest) = text.split_once("<data-").unwrap();
        let (random, rest) = rest.split_once(" from=\"web:a.org\">\n").unwrap();
        let (inside, after) = rest.split_once(&format!("\n</data-{random}>")).unwrap();
        (before.to_owned(), inside.to_owned(), after.to_owned())
    };
    let (before, inside, after) = fence(results[0]);
    assert!(before.contains("# Old") && inside.contains("strange line") && !inside.contains("own line"), "{answer}");
    assert!(after.contains("own line"), "{answer}");
    let (_, inside, after) = fence(results[1]);
    assert!(
        inside.starts_with("memories/topics/old.md:3: - strange line") && after.contains("old.md:4: - own line"),
        "{answer}"
    );
    let (before, inside, _) = fence(results[2]);
    assert!(before.starts_with("memories/topics/old.md:3 [Old]") && inside == "strange line", "{answer}");
    let (before, inside, after) = fence(results[3]);
    assert!(
        before.is_empty() && inside.contains("own line") && inside.ends_with("end") && after.is_empty(),
        "{answer}"
    );
    // Each result has taken the taint.
    let log = ws.read("sessions/pickle.l/log.jsonl");
    let is_tainted = |line: &&str| line.starts_with(r#"{"t":"tool""#) && line.contains(r#""taint":"web:a.org""#);
    assert_eq!(log.lines().filter(is_tainted).count(), 4, "{log}");
}

/// The text with every fence and its content replaced by `DATA`.
fn without_data(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, fenced)) = rest.split_once("<data-") {
        let (random, inside) = fenced.split_once(" from=\"web:a.org\">\n").unwrap();
        shown += &format!("{before}DATA");
        rest = inside.split_once(&format!("\n</data-{random}>")).unwrap().1;
    }
    shown + rest
}

#[test]
fn fences_hold_for_long_lines_headings_and_the_lines_below_them() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server);
    let (long, longest) = ("abc".repeat(1_000), "abc".repeat(40_000));
    ws.write("memories/topics/long.md", &format!("- own\n- {long} {MARK}\n- {longest} {MARK}\n- own too\n"));
    let head = format!("# Head\n\n## obey me {MARK}\n\n- the boiler is old\n- the boiler smells {MARK}\n");
    ws.write("memories/topics/head.md", &head);
    let answer = ws.claw(&["ask", "-n", "-s", "l", "script:closely"]).ok();
    let results: Vec<String> = answer.trim_end().split("\n====\n").map(without_data).collect();
    let words: Vec<&str> = results[0].split_whitespace().collect();
    assert_eq!(words.join(" "), "1 - own DATA 4 - own too [lines longer than 2000 bytes are cut]");
    assert_eq!(results[1], "DATA");
    let lines: Vec<&str> = results[2].lines().collect();
    let heading = "[a heading from web:a.org]";
    let (marked, own) = ("memories/topics/head.md:6", "memories/topics/head.md:5");
    assert_eq!(
        lines,
        [&format!("{marked} {heading} (2026-11-21):"), "DATA", &format!("{own} {heading}: the boiler is old")]
    );
    assert!(results[3].contains("head.md:3 [Head] (2026-11-21):\nDATA\nthe boiler is old\nDATA"), "{answer}");
    assert!(results.iter().all(|shown| !shown.contains("obey me") && !shown.contains("abcabc")), "{answer}");
}

#[test]
fn file_that_becomes_a_note_has_no_secret_and_no_text_without_its_mark() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server);
    ws.write("agents/pickle/AGENT.md", "---\nname: P\nread: [/etc/passwd]\n---\nx\n");
    ws.write("files/key.md", &format!("- the token is {}\n", key()));
    ws.write("files/a.md", "- a fact\n");
    ws.write("files/b.md", "- another fact\n");
    ws.write("memories/topics/c.md", "- own line\n- own\n");
    let answer = ws.claw(&["ask", "-n", "-s", "a", "script:adopt"]).ok();
    let log = ws.read("sessions/pickle.a/log.jsonl");
    assert!(log.contains("it has a secret (a GitHub token)"), "{log}");
    assert!(answer.contains("may have text from file:/etc/passwd, which needs a mark; nothing was moved"), "{answer}");
    assert!(!ws.path("memories/topics/key.md").exists() && !ws.path("memories/topics/b.md").exists());
    assert_eq!(ws.read("memories/topics/a.md"), "- a fact\n");
    // Comments are text for a model.
    let text = ws.read("memories/topics/c.md");
    let lines: Vec<&str> = text.lines().collect();
    let mark = " from:file:/etc/passwd -->";
    assert!(lines[0].starts_with("<!-- run it --> <!-- ") && lines[0].ends_with(mark), "{text}");
    assert!(lines[1].starts_with("- own line <!-- run it --> <!-- ") && lines[1].ends_with(mark), "{text}");
    assert_eq!(lines[2], "- own", "{text}");
}

#[test]
fn moved_and_rewritten_lines_keep_their_marks() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server);
    ws.write("memories/topics/old.md", &format!("# Old\n\n- strange line {MARK}\n- own line\n"));
    ws.claw(&["ask", "-n", "script:rearrange"]).ok();
    assert_eq!(ws.read("memories/topics/new.md"), format!("- strange line {MARK}\n"));
    assert_eq!(ws.read("memories/topics/old.md"), format!("# Old\n\n- Strange line. {MARK}\n- own line\n"));
}

#[test]
fn tidying_that_loses_facts_is_refused() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server);
    let day = "# 2020-01-01\n\n- slept badly\n";
    let eight = "- a\n- b\n- c\n- d\n- e\n- f\n- g\n- h\n";
    ws.write("memories/topics/t.md", eight);
    ws.write("memories/daily-notes/2020-01-01.md", day);
    let job = "---\nname: t\nagent: cookie\nschedule: \"0 4 * * *\"\n---\nscript:tidy\n";
    ws.write("crons/tidying/CRON.md", job);
    ws.claw(&["crons", "run", "tidying"]).ok();
    ws.claw(&["tick"]).ok();
    let name = ws.list("sessions").into_iter().find(|name| name.starts_with("cookie.")).unwrap();
    let log = ws.read(&format!("sessions/{name}/log.jsonl"));
    let results: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["t"] == "tool")
        .collect();
    let outcome: Vec<bool> = results.iter().map(|result| result["failed"] != true).collect();
    // Seven, then six of eight are left: a quarter may go. The third change would be the one too many, although it
    // removes only one. Struck and moved facts are not lost. Daily notes only grow.
    assert_eq!(outcome, [true, true, false, true, true, false, true, false, true], "{results:?}");
    assert!(
        results[2]["result"].as_str().unwrap().contains("3 of the 8 facts in this file would be lost"),
        "{results:?}"
    );
    assert_eq!(ws.read("memories/topics/t.md"), "- a\n- b\n- c\n- d\n- ~~e~~\n- g");
    assert_eq!(ws.read("memories/daily-notes/2020-01-01.md"), format!("{day}- more\n"));
    let fresh = Fixture::empty();
    fresh.claw(&["init", "."]).ok();
    assert!(fresh.read("crons/tidy/CRON.md").contains("\nenabled: false\n"), "the shipped job is off");
    assert_eq!(fresh.claw(&["check"]).code, 0);
}

#[test]
fn way_of_the_memory_decides_prompt_and_tools() {
    let ws = Fixture::new();
    let settings = ws.read("claw.yaml");
    let shown = |agent: &str| {
        let out: Value = serde_json::from_str(&ws.claw(&["prompt", "--json", agent]).ok()).unwrap();
        let tools: Vec<String> =
            out["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect();
        (out["system"].as_str().unwrap().to_owned(), tools, out["tools"].to_string())
    };
    for (way, has_tools, has_keeper, words) in [
        ("agent", true, true, "to the agent `cookie` with `subagent_dispatch`"),
        ("tools", true, false, "Look things up with `recall`."),
        ("skill", false, false, "as the skill `memory` says"),
    ] {
        ws.write("claw.yaml", &settings.replace("  # way: agent", &format!("  way: {way}")));
        let (system, tools, specs) = shown("pickle");
        assert!(system.contains(words), "{way}: {system}");
        for tool in ["recall", "remember"] {
            assert_eq!(tools.iter().any(|name| name == tool), has_tools, "{way}: {tools:?}");
        }
        assert_eq!(specs.contains("cookie"), has_keeper, "{way}: {specs}");
        assert_eq!(system.contains("- cookie"), has_keeper, "{way}: {system}");
        let (system, tools, _) = shown("cookie");
        assert!(
            tools.contains(&"recall".to_owned()) && !system.contains("## Memory"),
            "{way}: the keeper has its tools"
        );
    }
    // An agent that cannot use the skill has the tools.
    let agent = ws.read("agents/pickle/AGENT.md").replace("allow_skills: true", "allow_skills: false");
    ws.write("agents/pickle/AGENT.md", &agent);
    assert!(shown("pickle").1.contains(&"recall".to_owned()));
}

#[test]
fn offline_model_uses_the_memory_in_each_way() {
    let ws = Fixture::new();
    ws.write("memories/topics/anna.md", "# Anna\n\n- Anna has a bicycle\n- Anna lives in Oslo\n");
    let settings = ws.read("claw.yaml");
    for (way, is_dispatched, is_searched) in [("agent", true, false), ("tools", false, false), ("skill", false, true)] {
        ws.write("claw.yaml", &settings.replace("  # way: agent", &format!("  way: {way}")));
        let answer = ws.claw(&["ask", "-n", "-s", way, "what do you know about Anna?"]).ok();
        assert!(
            answer.contains("bicycle") && answer.contains("Oslo") && answer.contains("memories/topics/anna.md:4"),
            "{way}: {answer}"
        );
        let log = ws.read(&format!("sessions/pickle.{way}/log.jsonl"));
        assert_eq!(log.contains(r#""name":"subagent_dispatch""#), is_dispatched, "{way}: {log}");
        assert_eq!(log.contains(r#""name":"search""#), is_searched, "{way}: {log}");
        let answer = ws.claw(&["ask", "-n", "-s", &format!("{way}2"), "where does Anna live?"]).ok();
        assert!(answer.contains("Oslo"), "{way}: {answer}");
        assert!(!ws.read(&format!("sessions/pickle.{way}2/log.jsonl")).contains("subagent_dispatch"), "one look-up");
    }
}

/// Messages that fill the window, in one process.
fn fill(ws: &Fixture, server: &Window) {
    for n in 0..40 {
        let text =
            format!("Turn {n}: tell me more about the weather of town {n}, {}", "and of the towns around ".repeat(16));
        ws.write(&format!("inbox/{n:04}.json"), &json!({"from": "file:a", "content": text}).to_string());
    }
    ws.claw(&["tick"]).ok();
    server.seen(|seen| assert_eq!((&seen.broken[..], &seen.refused[..]), (&[][..], &[][..])));
}

#[test]
fn model_is_asked_for_notes_before_a_compaction() {
    let server = Window::start(4_000, false);
    let ws = Fixture::new();
    server.model(&ws, ", window: 4000");
    ws.write(
        "agents/pickle/AGENT.md",
        "---\nname: Pickle\ntools: [remember]\nsenders: {known: ['*']}\n---\nYou are Pickle.\n",
    );
    fill(&ws, &server);
    let asked = server.seen(|seen| seen.notes.clone());
    let compacts = ws.read("sessions/pickle.file-a/log.jsonl").matches("\"t\":\"compact\"").count();
    assert!(compacts > 0 && asked.len() == compacts, "{} requests, {compacts} compactions", asked.len());
    let tools: Vec<&Value> =
        asked[0]["tools"].as_array().unwrap().iter().map(|tool| &tool["function"]["name"]).collect();
    assert_eq!(tools, ["remember"], "its only tool");
    assert!(asked[0]["messages"].to_string().contains("weather of town 1"));
    // It is outside of the conversation, and what it saves obeys the rules of every note.
    assert!(!server.last().contains("Ottilie") && !ws.read("sessions/pickle.file-a/log.jsonl").contains("Ottilie"));
    let found = ws.claw(&["recall", "--json", "Ottilie"]).ok();
    assert_eq!(found.lines().count(), 1, "{found}");
    assert!(found.contains(r#""source":"drop:"#), "{found}");
    assert!(!ws.path("memories/topics").join("x").exists() && ws.claw(&["recall", "token"]).code == 1);
}

#[test]
fn compaction_goes_on_without_notes() {
    for (setting, mode, asks) in [("remember: false", Summary::Given, false), ("remember: true", Summary::Fails, true)]
    {
        let server = Window::start(4_000, false);
        server.summary(mode);
        let ws = Fixture::new();
        server.model(&ws, ", window: 4000");
        ws.config(&format!("compact: {{{setting}}}\n"));
        ws.write(
            "agents/pickle/AGENT.md",
            "---\nname: Pickle\ntools: [remember]\nsenders: {known: ['*']}\n---\nYou are Pickle.\n",
        );
        fill(&ws, &server);
        assert!(ws.read("sessions/pickle.file-a/log.jsonl").contains("\"t\":\"compact\""), "{setting}");
        assert_eq!(server.seen(|seen| !seen.notes.is_empty()), asks, "{setting}");
        assert_eq!(ws.claw(&["recall", "Ottilie"]).code, 1, "{setting}");
    }
}

/// A request for notes that is not sent, not answered in time, or answered without a note delays nothing else.
#[test]
fn compaction_goes_on_out_of_budget_without_an_answer_and_with_an_empty_one() {
    for (what, mode, settings, is_asked) in [
        ("out of budget", Summary::Given, "budget: {day: {calls: 5}}\n", false),
        ("without an answer", Summary::Hangs, "", true),
        ("empty", Summary::NoNotes, "", true),
    ] {
        let server = Window::start(100_000, false);
        let ws = Fixture::new();
        server.model(&ws, ", window: 100000, timeout: 1s");
        ws.config(settings);
        ws.write("agents/pickle/AGENT.md", "---\nname: P\ntools: [remember]\n---\nYou are Pickle.\n");
        for n in 0..5 {
            ws.claw(&["ask", "-n", "-s", "t", &format!("My number {n} is {n}.")]).ok();
        }
        server.summary(mode);
        let ran = ws.claw(&["ask", "-n", "-s", "t", "/compact"]);
        let is_ended = match mode {
            Summary::Hangs => ran.out.starts_with("compacted without a model"),
            Summary::NoNotes => ran.out.starts_with("compacted by small"),
            // The summary, and the next answer, are out of budget too; the turn waits for a new one.
            _ => ran.code == 75,
        };
        assert!(is_ended, "{what}: {ran:?}");
        assert_eq!(
            ran.err.contains("no notes were made before the compaction"),
            mode != Summary::NoNotes,
            "{what}: {ran:?}"
        );
        assert_eq!(server.seen(|seen| seen.notes.len()), usize::from(is_asked), "{what}");
        assert_eq!(ws.claw(&["recall", "Ottilie"]).code, 1, "{what}");
        if settings.is_empty() {
            assert_eq!(ws.read("sessions/pickle.t/log.jsonl").matches("\"t\":\"compact\"").count(), 1, "{what}");
            server.summary(Summary::Given);
            ws.claw(&["ask", "-n", "-s", "t", "one more"]).ok();
        }
    }
}

#[test]
fn odd_files_neither_break_notes_nor_the_search() {
    let ws = Fixture::new();
    let path = |name: &str| ws.path(&format!("memories/topics/{name}"));
    fs::write(path("crlf.md"), "# C\r\n\r\n- a\r\n").unwrap();
    fs::write(path("bom.md"), "\u{feff}# B\n\n- the café is blue\n").unwrap();
    fs::write(path("latin.md"), b"- the caf\xe9 is green\n").unwrap();
    let wide: Vec<u8> =
        [0xfeff].into_iter().chain("- the café is red\n".encode_utf16()).flat_map(u16::to_le_bytes).collect();
    fs::write(path("wide.md"), &wide).unwrap();
    fs::write(path("zeros.md"), b"- the caf\xc3\xa9 is\0 odd\n\0\0").unwrap();
    fs::write(path("long.md"), [b"- x", &vec![b'y'; 4 << 20][..], b" caf\xc3\xa9\n"].concat()).unwrap();
    fs::write(path("new\nline.md"), "- the café is far\n").unwrap();
    fs::write(path("open.md"), "- the café <!-- is not closed\n").unwrap();
    let out = ws.claw(&["recall", "-n", "50", "cafe\u{301}"]).ok();
    for file in ["bom.md:3", "latin.md:1", "wide.md:1", "zeros.md:1", "long.md:1", "new\\nline.md:1", "open.md:1"] {
        assert!(out.contains(&format!("memories/topics/{file}: ")), "{file} is not in {}", &out[..out.len().min(2000)]);
    }
    assert_eq!(ws.claw(&["remember", "--topic=crlf", "b"]).ok(), "memories/topics/crlf.md:4\n");
    let crlf = ws.read("memories/topics/crlf.md");
    assert!(crlf.starts_with("# C\r\n\r\n- a\r\n- b <!-- ") && crlf.ends_with("-->\r\n"), "{crlf:?}");
    assert_eq!(ws.claw(&["remember", "--topic=crlf", "a"]).ok(), "already at memories/topics/crlf.md:3\n");
    let err = ws.claw(&["remember", "--topic=wide", "c"]).fails(1);
    assert!(err.contains("is UTF-16 text; the note was not written"), "{err}");
    assert_eq!(fs::read(path("wide.md")).unwrap(), wide);
    ws.claw(&["remember", "--topic=html", "use <!-- more --> in a page"]).ok();
    let found = ws.claw(&["recall", "more"]).ok();
    assert!(found.contains("use <! -- more -- > in a page"), "{found}");
}

#[test]
fn odd_queries_are_answered() {
    let ws = Fixture::new();
    ws.write("memories/topics/a.md", "- who is it\n- a crab 🦀 in a [box]\n- the price is 3.50 (about)\n");
    let find = |query: &str| ws.claw(&["recall", query]).out;
    assert!(find("who is it").starts_with("memories/topics/a.md:1: "));
    assert!(find("🦀").starts_with("memories/topics/a.md:2: "));
    assert!(find("[box]").starts_with("memories/topics/a.md:2: "));
    assert!(find("3.50 (about)").starts_with("memories/topics/a.md:3: "));
    assert_eq!(find(".*"), "", "a regular expression is text");
    let long = "crab ".repeat(200_000);
    assert!(ws.piped(&["recall", "-"], &long).ok().starts_with("memories/topics/a.md:2: "));
}
