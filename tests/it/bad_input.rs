//! Bad files in a mailbox, bad arguments, bad settings: each is handled, or refused with a reason, and stops no other
//! work.

use crate::common::{Fixture, Ran, skipped};
use regex::Regex;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Larger than any event may be; sparse, so it is cheap to create.
const HUGE: u64 = 2 << 30;

/// An id for now, distinguished by `tail`.
fn id(tail: &str) -> String {
    format!("{}-{tail}", jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S.000000Z"))
}

/// A valid event.
fn event(id: &str, reply_to: &str) -> String {
    let now = jiff::Timestamp::now();
    format!(
        r#"{{"v":1,"id":"{id}","kind":"message","from":"cli:ann","reply_to":"{reply_to}","content":"hello","created_at":"{now}"}}"#
    )
}

/// Faults of an event's file: its name, the expected words of the reason, and its bytes, made from a
/// valid one.
type Wrong = (&'static str, &'static str, fn(&str) -> Vec<u8>);

const WRONG: &[Wrong] = &[
    ("empty", "empty|no content|EOF", |_| Vec::new()),
    ("torn", "EOF while parsing .* line 1 column", |good| good.as_bytes()[..good.len() / 2].to_vec()),
    ("bytes", "not UTF-8 at byte", |good| [&good.as_bytes()[..good.len() - 4], b"\xff\xfe\"}"].concat()),
    ("type", "invalid type: integer `7`, expected a string", |good| good.replace("\"hello\"", "7").into_bytes()),
    ("future", "event format 9 is newer", |good| good.replace("\"v\":1", "\"v\":9").into_bytes()),
    ("array", "invalid type|not an event", |_| b"[1, 2]".to_vec()),
    ("place", "is not an address", |good| good.replace("cli:ann", "no colon").into_bytes()),
    ("deep", "recursion|not an event", |_| "[".repeat(200_000).into_bytes()),
];

/// Writes every bad event to the path that `name` returns, and a huge one; returns their names, paths and
/// expected reasons.
fn write_all_wrong(
    ws: &Fixture,
    reply_to: &str,
    name: impl Fn(&str) -> (String, String),
) -> Vec<(&'static str, String, String)> {
    let mut written = Vec::new();
    for (wrong, says, bytes) in WRONG {
        let (path, id) = name(wrong);
        fs::write(ws.path(&path), bytes(&event(&id, reply_to))).unwrap();
        written.push((*wrong, path, (*says).to_owned()));
    }
    let (path, _) = name("huge");
    File::create(ws.path(&path)).unwrap().set_len(HUGE).unwrap();
    written.push(("huge", path, format!("{HUGE} bytes exceed the size limit of an event")));
    written
}

/// Runs a line of shell, and asserts that all its programs together have read next to nothing.
fn reads_little(ws: &Fixture, line: &str) -> Ran {
    let ran = ws.shell(&format!("{line}; code=$?; cat /proc/$$/io 2>/dev/null; exit $code"));
    match ran.out.lines().find_map(|l| l.strip_prefix("rchar: ")) {
        Some(read) => assert!(read.trim().parse::<u64>().unwrap() < 64 << 20, "{ran:#?}"),
        None => skipped("the kernel does not count what is read"),
    }
    ran
}

/// The reason in `side`/failed of the file with `key` in its name, which must be beside it.
fn reason(ws: &Fixture, mailbox: &str, key: &str) -> String {
    let names = ws.list(&format!("{mailbox}/failed"));
    let file = names.iter().find(|n| n.contains(key) && !n.ends_with(".reason"));
    let file = file.unwrap_or_else(|| panic!("{key} is not among {names:#?}"));
    ws.read(&format!("{mailbox}/failed/{}.reason", file.split(['~']).next().unwrap().trim_end_matches(".json")))
}

fn assert_reasons(ws: &Fixture, mailbox: &str, written: &[(&str, String, String)]) {
    for (key, path, says) in written {
        let reason = reason(ws, mailbox, key);
        assert!(Regex::new(says).unwrap().is_match(&reason), "{path}: {reason}");
        assert!(!ws.path(path).exists(), "{path}");
    }
    assert_eq!(ws.pending(), [""; 0]);
}

#[test]
fn bad_drops_fail_with_their_reason_and_the_good_one_is_answered() {
    let ws = Fixture::new();
    let written = write_all_wrong(&ws, "file:x", |wrong| (format!("inbox/{wrong}.json"), id(wrong)));
    ws.write("inbox/zz-good.json", r#"{"content":"hello","reply_to":"file:good"}"#);
    reads_little(&ws, "timeout 30 claw tick");
    assert_reasons(&ws, "inbox", &written);
    assert_eq!(ws.list("outbox/files/good").len(), 1);
}

#[test]
fn bad_events_in_new_fail_with_their_reason_and_the_good_one_is_answered() {
    let ws = Fixture::new();
    let name = |wrong: &str| (format!("inbox/new/{}.json", id(wrong)), id(wrong));
    let written = write_all_wrong(&ws, "file:x", name);
    let good = id("zgood");
    ws.write(&format!("inbox/new/{good}.json"), &event(&good, "file:good"));
    reads_little(&ws, "timeout 30 claw tick");
    assert_reasons(&ws, "inbox", &written);
    assert_eq!(ws.list("outbox/files/good").len(), 1);
}

#[test]
fn bad_events_in_ready_fail_and_do_not_block_their_lane() {
    let ws = Fixture::new();
    let name = |id: &str| format!("inbox/ready/{id}~pickle.file-good~0.json");
    let written = write_all_wrong(&ws, "file:good", |wrong| (name(&id(wrong)), id(wrong)));
    let good = id("zgood");
    ws.write(&name(&good), &event(&good, "file:good"));
    let ran = reads_little(&ws, "timeout 30 claw tick");
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert_reasons(&ws, "inbox", &written);
    assert_eq!(ws.list("outbox/files/good").len(), 1);
}

#[test]
fn bad_events_in_the_outbox_fail_and_do_not_block_their_lane() {
    let ws = Fixture::new();
    let name = |id: &str| format!("outbox/ready/{id}~file-good~0.json");
    let written = write_all_wrong(&ws, "file:good", |wrong| (name(&id(wrong)), id(wrong)));
    let good = id("zgood");
    ws.write(&name(&good), &event(&good, "file:good"));
    let ran = reads_little(&ws, "timeout 30 claw tick");
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert_reasons(&ws, "outbox", &written);
    assert_eq!(ws.list("outbox/files/good"), [format!("{good}.md")]);
}

#[test]
fn an_event_in_anothers_file_fails_with_both_ids() {
    let ws = Fixture::new();
    let (mine, other) = (id("mine"), id("other"));
    ws.write(&format!("inbox/new/{mine}.json"), &event(&other, "file:x"));
    assert!(ws.claw(&["route"]).fails(1).contains("mine"));
    let reason = reason(&ws, "inbox", "mine");
    assert!(reason.contains(&mine) && reason.contains(&other), "{reason}");
}

#[test]
fn routing_commands_report_failed_events_and_exit_1() {
    for command in ["route", "tick"] {
        let ws = Fixture::new();
        ws.write(&format!("inbox/new/{}.json", id("bad")), "{}");
        let ran = ws.claw(&[command]);
        assert!(ran.code == 1 && ran.err.contains("bad failed: not an event"), "{command}: {ran:#?}");
    }
}

#[test]
fn drop_taking_commands_report_failed_drops_and_exit_1() {
    for (command, mailbox) in [("route", "inbox"), ("tick", "inbox"), ("deliver", "outbox"), ("tick", "outbox")] {
        let ws = Fixture::new();
        ws.write(&format!("{mailbox}/torn.json"), "{");
        let ran = ws.claw(&[command]);
        assert!(ran.code == 1 && ran.err.contains("torn.json"), "{command}: {ran:#?}");
    }
}

/// Hostile names.
fn nasty() -> Vec<String> {
    let long = "x".repeat(300);
    let words = ["../../etc/passwd", "..", ".", "/etc/passwd", "a/b", "~", "~root", "a~b~c", "🥒", "a b", " ", "$(id)"];
    words.into_iter().map(ToOwned::to_owned).chain([long, "é".repeat(150), "x\ty\nz".to_owned()]).collect()
}

/// Every file of the fixture outside of the workspace.
fn outside(ws: &Fixture) -> Vec<PathBuf> {
    let all = walkdir::WalkDir::new(ws.dir.path()).sort_by_file_name().into_iter().flatten();
    all.map(walkdir::DirEntry::into_path).filter(|p| !p.starts_with(&ws.root)).collect()
}

/// Names below mailboxes, sessions and locks consist of name characters.
fn assert_safe_names(ws: &Fixture) {
    let safe = Regex::new(r"^[A-Za-z0-9._+~-]{1,255}$").unwrap();
    for folder in ["inbox", "outbox", "sessions", ".claw"] {
        for entry in walkdir::WalkDir::new(ws.path(folder)).into_iter().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            assert!(safe.is_match(&name), "{}", entry.path().display());
        }
    }
}

#[test]
fn ids_that_are_none_are_refused_and_make_no_file() {
    let ws = Fixture::new();
    let before = outside(&ws);
    for text in nasty() {
        for id in [text.clone(), format!("20261121T004130.123456Z-{text}")] {
            let fits = id.ends_with("Z-..") || id.ends_with("Z-.");
            let ran = ws.claw(&["send", &format!("--id={id}"), "--reply-to=file:x", "hi"]);
            assert_eq!(ran.code, if fits { 0 } else { 65 }, "{id}: {ran:#?}");
            assert!(fits || ran.err.contains("is not an event id"), "{id}: {ran:#?}");
        }
    }
    assert_eq!(ws.list("inbox/new").len(), 2);
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.list("outbox/files/x").len(), 2);
    assert_eq!(outside(&ws), before);
    assert_safe_names(&ws);
}

#[test]
fn sessions_and_agents_that_are_none_are_refused_and_make_no_file() {
    let ws = Fixture::new();
    let before = outside(&ws);
    for text in nasty() {
        for arguments in [
            vec!["send".to_owned(), format!("--session={text}"), "hi".to_owned()],
            vec!["send".to_owned(), format!("--session=pickle.{text}"), "hi".to_owned()],
            vec!["send".to_owned(), format!("--agent={text}"), "hi".to_owned()],
            vec!["ask".to_owned(), "-n".to_owned(), format!("--session={text}"), "hi".to_owned()],
            vec!["ask".to_owned(), "-n".to_owned(), format!("--agent={text}"), "hi".to_owned()],
            vec!["run-agent".to_owned(), format!("--session={text}")],
            vec!["remember".to_owned(), format!("--topic={text}"), "hi".to_owned()],
        ] {
            let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
            // A topic is a file name; letters of any script are valid.
            if words[0] == "remember" && text.chars().all(char::is_alphanumeric) && text.len() <= 90 {
                continue;
            }
            let ran = ws.claw(&words);
            assert!(matches!(ran.code, 65 | 2), "{words:?}: {ran:#?}");
            assert!(ran.err.contains("is not") || ran.err.contains("no ") || ran.err.contains("longer"), "{ran:#?}");
        }
    }
    assert_eq!(ws.pending(), [""; 0]);
    assert_eq!(outside(&ws), before);
    assert_safe_names(&ws);
}

#[test]
fn strange_addresses_are_refused_or_made_safe_and_answered() {
    let ws = Fixture::new();
    let before = outside(&ws);
    let mut sent = 0;
    for text in nasty() {
        for option in ["--from", "--reply-to"] {
            // Without a channel it is not an address.
            let ran = ws.claw(&["send", &format!("{option}={text}"), "hi"]);
            assert!(ran.code == 65 && ran.err.contains("is not an address"), "{option}={text}: {ran:#?}");
            let ran = ws.claw(&["send", &format!("{option}=cli:{text}"), "hello there"]);
            let is_fit = !text.trim().is_empty() && !text.chars().any(char::is_control);
            assert_eq!(ran.code, if is_fit { 0 } else { 65 }, "{option}=cli:{text}: {ran:#?}");
            sent += usize::from(is_fit);
        }
    }
    ws.claw(&["tick"]).ok();
    let answers = ws.claw(&["deliver"]).ok();
    assert_eq!(answers.lines().count(), sent, "{answers}");
    assert_eq!(ws.pending(), [""; 0]);
    assert_eq!(outside(&ws), before);
    assert_safe_names(&ws);
}

#[test]
fn the_longest_names_fit_into_every_folder() {
    let ws = Fixture::new();
    ws.model("broken", "provider: command, command: [sh, -c, 'exit 1']");
    let id = format!("{}{}", id("x"), "y".repeat(90 - id("x").len()));
    let session = format!("pickle.{}", "s".repeat(83));
    let place = format!("file:{}", "p".repeat(90));
    ws.claw(&["send", "--id", &id, "--session", &session, "--reply-to", &place, "hi"]).ok();
    ws.claw(&["tick"]).fails(75);
    assert_eq!(ws.list("inbox/wait").len(), 1, "the longest name of all has a due time");
    ws.write("claw.yaml", &ws.read("claw.yaml").replacen("model: broken", "model: offline", 1));
    ws.claw(&["retry", &id]).ok();
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.list(&format!("outbox/files/{}", "p".repeat(90))).len(), 1);
    assert_eq!(ws.pending(), [""; 0]);
}

#[test]
fn strange_fields_of_a_drop_are_refused_or_made_safe() {
    let ws = Fixture::new();
    let before = outside(&ws);
    let (mut number, mut refused) = (0, 0);
    let strange = nasty().into_iter().chain(["a\0b".to_owned(), "\0".to_owned()]);
    for text in strange {
        for field in ["id", "session", "agent", "from", "reply_to", "kind", "in_reply_to", "created_at"] {
            number += 1;
            let channel = if matches!(field, "from" | "reply_to") { "file:" } else { "" };
            let value = serde_json::Value::from(format!("{channel}{text}"));
            let rest = if field == "reply_to" { "" } else { r#","reply_to":"file:fine""# };
            ws.write(&format!("inbox/{number}.json"), &format!(r#"{{"content":"hi","{field}":{value}{rest}}}"#));
            // The pipeline sets these two; here they are only kept aside.
            refused += usize::from(!matches!(field, "id" | "created_at"));
        }
    }
    ws.shell("timeout 60 claw tick");
    let answered = ws.list("outbox/files/fine").iter().filter(|n| n.contains(".r01")).count();
    assert!(answered >= number - refused, "{answered} of {number}");
    let failed: Vec<String> = ws.list("inbox/failed").into_iter().filter(|n| n.ends_with(".reason")).collect();
    let done = ws.done("inbox").len();
    assert_eq!(failed.len() + done, number, "each of them has ended");
    for name in failed {
        let reason = ws.read(&format!("inbox/failed/{name}"));
        assert!(reason.lines().next().unwrap().len() > 10, "{name}: {reason}");
    }
    assert_eq!(outside(&ws), before);
    assert!(ws.list("outbox/files").iter().all(|n| !n.starts_with('.') && !n.contains(['~', '/'])));
}

#[test]
fn arguments_that_are_no_text_are_a_usage_error() {
    let ws = Fixture::new();
    for arguments in [&["ask", "-n"][..], &["send"], &["why"], &[]] {
        let output = ws.command(arguments).arg(OsStr::from_bytes(b"\xff\xfe")).output().unwrap();
        let ran = Ran::from(output);
        assert!(ran.code == 2 && !ran.err.contains("panicked"), "{arguments:?}: {ran:#?}");
    }
    assert_eq!(ws.pending(), [""; 0]);
}

#[test]
fn a_workspace_may_have_any_name() {
    let ws = Fixture::empty();
    for name in [&b"with space"[..], b"-", b"new\nline", b"\xff\xfe", "🥒".as_bytes()] {
        let root = ws.root.join(OsStr::from_bytes(name));
        let run = |arguments: &[&str]| Ran::from(ws.command(&["-w"]).arg(&root).args(arguments).output().unwrap());
        run(&["init"]).ok();
        assert!(run(&["ask", "-n", "hello"]).ok().contains("no note"), "{}", root.display());
        run(&["check"]).ok();
    }
}

#[test]
fn a_closed_stdin_is_an_empty_one() {
    let ws = Fixture::new();
    assert!(ws.shell("claw ask hello <&-").ok().contains("no note"));
    for line in ["claw ask <&-", "claw send - <&-", "claw send <&-", "claw remember - <&-"] {
        assert!(ws.shell(line).fails(2).contains("there is no text"), "{line}");
    }
    for line in ["claw route - <&-", "claw run-agent - <&-", "claw deliver - <&-", "claw tick <&-"] {
        assert_eq!(ws.shell(line).ok(), "", "{line}");
    }
    assert_eq!(ws.pending(), [""; 0]);
}

#[test]
fn too_much_on_stdin_is_refused_unread() {
    let ws = Fixture::new();
    for line in ["claw send -", "claw ask", "claw remember -"] {
        let ran = ws.shell(&format!("yes | timeout 30 {line}"));
        assert!(ran.fails(65).contains("stdin has more than"), "{line}");
    }
    assert!(ws.shell("printf '\\377\\376' | claw ask").fails(65).contains("not UTF-8 at byte 0"));
    assert_eq!(ws.pending(), [""; 0]);
}

#[test]
fn a_question_of_control_characters_that_outgrow_an_event_is_refused_at_once() {
    let ws = Fixture::new();
    // Each becomes six bytes of JSON: under the limit as text, over it as an event.
    let text = "\u{1}".repeat(1 << 20);
    for command in [&["send", "-"][..], &["ask"], &["remember", "-"]] {
        let ran = ws.piped(command, &text);
        assert!(ran.code == 65 && ran.err.contains("bytes"), "{command:?}: {} {}", ran.code, ran.err);
    }
    assert_eq!(ws.pending(), [""; 0]);
}

/// Every command that prints, with output.
const PRINTING: &[&[&str]] = &[
    &["status"],
    &["status", "--json"],
    &["log"],
    &["why"],
    &["check"],
    &["recall", "hello"],
    &["ask", "-n", "hello"],
    &["ask", "-n", "--json", "hello"],
    &["send", "hello"],
    &["route"],
    &["run-agent"],
    &["deliver"],
    &["remember", "hello"],
    &["completions", "bash"],
    &["man"],
];

/// A workspace with output at every stage.
fn talkative() -> Fixture {
    let ws = Fixture::new();
    ws.claw(&["remember", "--topic=greetings", "hello is a greeting"]).ok();
    for place in ["cli:ann", "cli:bob"] {
        ws.claw(&["send", "--from", place, "hello"]).ok();
    }
    ws.claw(&["route"]).ok();
    ws.claw(&["run-agent"]).ok();
    ws.claw(&["send", "--from=cli:cat", "hello"]).ok();
    ws.claw(&["route"]).ok();
    ws.claw(&["send", "--from=cli:dog", "hello"]).ok();
    ws
}

/// The commands that print answers, which must not be lost: `tests/it/ask.rs` has their errors.
const ANSWERING: &[&str] = &["ask", "deliver"];

#[test]
fn a_reader_that_has_gone_ends_every_other_command_quietly() {
    for arguments in PRINTING.iter().filter(|arguments| !ANSWERING.contains(&arguments[0])) {
        let ws = talkative();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ran = Ran::from(ws.command(arguments).stdout(writer).output().unwrap());
        assert_eq!(ran.code, 0, "{arguments:?}: {ran:#?}");
        for word in ["panicked", "roken pipe", "stdout", "failed"] {
            assert!(!ran.err.contains(word), "{arguments:?}: {ran:#?}");
        }
    }
    let ws = talkative();
    assert_eq!(
        ws.shell("for n in $(seq 60); do claw send hello; done >/dev/null; claw log | head -1").ok().lines().count(),
        1
    );
    assert_eq!(ws.shell("claw ask -n hello | true").ok(), "");
}

#[test]
fn a_full_stdout_is_an_error_and_loses_nothing() {
    if !Path::new("/dev/full").exists() {
        return skipped("there is no /dev/full");
    }
    for arguments in PRINTING {
        let ws = talkative();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let ran = Ran::from(ws.command(arguments).stdout(full).output().unwrap());
        let code = if ANSWERING.contains(&arguments[0]) { 1 } else { 75 };
        assert_eq!(ran.code, code, "{arguments:?}: {ran:#?}");
        assert!(ran.err.contains("cannot write to stdout") && !ran.err.contains("panicked"), "{arguments:?}: {ran:#?}");
        // Four were sent, and the next run answers all that were left.
        ws.claw(&["tick"]).ok();
        ws.claw(&["deliver"]).ok();
        let asked = usize::from(matches!(arguments[0], "ask" | "send"));
        assert_eq!(ws.done("outbox").len(), 4 + asked, "{arguments:?}");
        assert_eq!(ws.pending(), [""; 0], "{arguments:?}");
    }
}

#[test]
fn unprintable_answer_is_kept_for_deliver() {
    let ws = Fixture::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(ws.command(&["ask", "-n", "hello"]).stdout(writer).status().unwrap().code(), Some(1));
    let waiting = ws.list("outbox/ready");
    assert!(waiting.len() == 1 && waiting[0].ends_with("~0.json"), "{waiting:?}");
    assert!(ws.claw(&["deliver"]).ok().contains("no note"));
}

#[test]
fn a_loop_over_lines_answers_every_line() {
    let ws = Fixture::new();
    let out = ws.shell("printf 'one\\ntwo\\nthree\\n' | while read l; do claw ask -n \"$l\"; done").ok();
    assert_eq!(out.lines().count(), 3, "{out}");
    assert_eq!(ws.done("inbox").len(), 3);
}

#[test]
fn without_a_home_a_named_workspace_works_and_without_a_name_there_is_a_way_out() {
    let ws = Fixture::new();
    let run = |arguments: &[&str]| {
        let mut command = ws.command(arguments);
        command.env_remove("HOME").current_dir(ws.dir.path());
        Ran::from(command.output().unwrap())
    };
    assert!(run(&["-w", "ws", "ask", "-n", "hello"]).ok().contains("no note"));
    run(&["-w", "ws", "check"]).ok();
    for arguments in [&["ask", "-n", "hello"][..], &["send", "hello"], &["status"], &["check"], &["tick"]] {
        let err = run(arguments).fails(78);
        assert!(err.contains("HOME is not set") && err.contains("-w DIR"), "{arguments:?}: {err}");
    }
}

#[test]
fn without_git_everything_but_commits_works() {
    let ws = Fixture::empty();
    let run = |arguments: &[&str]| {
        let mut command = ws.command(arguments);
        command.env("PATH", ws.dir.path().join("nothing"));
        Ran::from(command.output().unwrap())
    };
    assert!(run(&["init", "."]).ok().contains("(no git, "));
    assert!(!ws.path(".git").exists());
    assert!(ws.read("claw.yaml").contains("git: false"));
    let place = run(&["remember", "--topic=nas", "the NAS is 10.0.0.7"]).ok();
    assert_eq!(place, "memories/topics/nas.md:3\n");
    assert!(run(&["ask", "-n", "where is the NAS?"]).ok().contains("10.0.0.7"));
    run(&["check"]).ok();
}

#[test]
fn a_note_of_any_characters_is_written_and_committed() {
    let ws = Fixture::new();
    if !ws.path(".git").exists() {
        return skipped("there is no git");
    }
    ws.piped(&["remember", "--topic=nas", "-"], "a\0b\u{1b}[2K").ok();
    assert_eq!(ws.shell("git log -1 --format=%s -- memories/topics/nas.md").ok(), "remember: a b [2K\n");
}

#[test]
fn git_lock_older_than_the_boot_is_removed() {
    let ws = Fixture::new();
    if !ws.path(".git").exists() {
        return skipped("there is no git");
    }
    let lock = File::create(ws.path(".git/index.lock")).unwrap();
    lock.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    drop(lock);
    ws.claw(&["remember", "--topic=nas", "the NAS is 10.0.0.7"]).ok();
    assert!(ws.shell("git log --format=%s -- memories/topics/nas.md").ok().contains("remember: the NAS"));
}

/// Attempts of a stranger's claw.yaml. `RUN` is a program that leaves a mark and answers.
const HOSTILE: &[(&str, &str)] = &[
    ("its model", "model: evil\nmodels:\n  evil: {provider: command, command: RUN}\n"),
    ("a model that calls itself offline", "models:\n  offline: {provider: command, command: RUN}\n"),
    (
        "a model that is called offline, too",
        "model: x\nmodels:\n  x: {provider: offline}\n  offline: {provider: command, command: RUN}\n",
    ),
    ("a model behind its agent", "model: offline\n"),
];

/// A stranger's workspace, with a folder as the current one.
fn hostile(yaml: &str) -> Fixture {
    let ws = Fixture::empty();
    let mark = ws.dir.path().join("mark");
    let run = format!("[sh, -c, 'echo ran >> {}; echo owned']", mark.display());
    let channel = "channels:\n  exec:\n    evil: {command: RUN}\ndeliver_to: exec:evil\nsync: none\n";
    ws.write("claw.yaml", &format!("{yaml}{channel}").replace("RUN", &run));
    let llm = if yaml == "model: offline\n" {
        format!("llm: {{provider: command, command: {run}}}\n")
    } else {
        String::new()
    };
    ws.write("agents/pickle/AGENT.md", &format!("---\nname: Pickle\n{llm}---\nYou are Pickle.\n"));
    fs::create_dir_all(ws.path("deep/down")).unwrap();
    ws
}

fn below(ws: &Fixture, arguments: &[&str]) -> Ran {
    ws.command(arguments).current_dir(ws.path("deep/down")).output().unwrap().into()
}

#[test]
fn a_strangers_workspace_runs_nothing_before_it_is_trusted() {
    for (what, yaml) in HOSTILE {
        let ws = hostile(yaml);
        let mark = ws.dir.path().join("mark");
        let ran = below(&ws, &["ask", "-n", "hello"]);
        assert!(!mark.exists(), "{what}: ran before it was trusted\n{ran:#?}");
        // The offline model answers if it is the configured one, and never instead of another one.
        if yaml.contains("model: x") {
            assert!(ran.out.contains("no note") && ran.code == 0, "{what}: offline does not answer\n{ran:#?}");
        } else {
            assert!(ran.out.is_empty() && ran.fails(78).contains("claw trust"), "{what}");
        }
        assert_eq!((below(&ws, &["ask", "-n", "-m", "evil", "hello"]).code, ws.list("inbox/failed")), (78, vec![]));
        below(&ws, &["send", "--reply-to=cli:x", "hello"]).ok();
        ws.write("inbox/evil.json", r#"{"content":"hello","reply_to":"cli:x","meta":{"model":"evil"}}"#);
        ws.write("inbox/offline.json", r#"{"content":"hello","reply_to":"cli:x","meta":{"model":"offline"}}"#);
        for command in ["tick", "deliver", "status", "check"] {
            below(&ws, &[command]);
        }
        assert!(!mark.exists(), "{what}: ran before it was trusted");
        below(&ws, &["trust"]).ok();
        assert_eq!(below(&ws, &["ask", "-n", "hello"]).ok().trim() == "owned", !yaml.contains("model: x"), "{what}");
    }
}

#[test]
fn a_strangers_channel_is_run_only_after_trust() {
    let ws = hostile("model: x\nmodels:\n  x: {provider: offline}\n");
    let mark = ws.dir.path().join("mark");
    below(&ws, &["send", "--reply-to=exec:evil", "hello"]).ok();
    let ran = below(&ws, &["tick"]);
    assert!(ran.fails(75).contains("claw trust"));
    assert!(!mark.exists());
    assert_eq!(ws.list("outbox/wait").len(), 1);
    below(&ws, &["trust"]).ok();
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(5);
    below(&ws, &["tick", "--now", &later.to_string()]).ok();
    assert_eq!(fs::read_to_string(&mark).unwrap(), "ran\n");
    assert_eq!(ws.pending(), [""; 0]);
}

#[test]
fn a_strangers_model_server_is_not_contacted_before_trust() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let at = server.local_addr().unwrap();
    let ws =
        hostile(&format!("model: far\nmodels:\n  far: {{provider: openai, model: m, api_base: 'http://{at}/v1'}}\n"));
    let ran = below(&ws, &["ask", "-n", "hello"]);
    assert!(ran.out.is_empty() && ran.fails(78).contains("claw trust"));
    assert!(below(&ws, &["ask", "-n", "-m", "offline", "hello"]).ok().contains("no note"));
    assert_eq!(server.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_workspace_of_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return skipped("only root can give a file away");
    }
    for name in ["claw.yaml", "."] {
        let ws = Fixture::new();
        std::os::unix::fs::chown(ws.path(name), Some(65_534), None).unwrap();
        for arguments in
            [&["ask", "-n", "hello"][..], &["send", "hello"], &["status"], &["check"], &["tick"], &["trust"]]
        {
            let err = ws.claw(arguments).fails(78);
            assert!(err.contains("belongs to another user"), "{name} {arguments:?}: {err}");
        }
        assert_eq!(ws.list("inbox/new"), [""; 0]);
    }
}

#[test]
fn unknown_key_warns_with_place_and_suggestion() {
    let ws = Fixture::new();
    ws.config("default_agnet: cookie\n");
    let line = ws.read("claw.yaml").lines().position(|l| l.starts_with("default_agnet")).unwrap() + 1;
    let said = format!("claw.yaml:{line}:1: warning: unknown key `default_agnet`, did you mean `default_agent`?");
    let ran = ws.claw(&["ask", "-n", "hello"]);
    assert_eq!(ran.err.matches(&said).count(), 1, "{ran:#?}");
    assert!(ran.ok().contains("no note"));
    let ran = ws.claw(&["check"]);
    assert!(ran.code == 0 && ran.out.contains(&said), "{ran:#?}");
}

#[test]
fn broken_claw_yaml_is_reported_with_line_and_column() {
    let place = Regex::new(r"claw\.yaml:\d+:\d+: ").unwrap();
    for (broken, at_line) in [("keep: [1,\n", None), ("max_concurrency: many\n", Some(2)), ("a: b: c\n", Some(2))] {
        let ws = Fixture::new();
        ws.claw(&["send", "--reply-to=file:x", "one"]).ok();
        ws.claw(&["route"]).ok();
        ws.claw(&["send", "--reply-to=file:x", "two"]).ok();
        ws.write("inbox/three.md", "---\nreply_to: file:x\n---\nthree");
        let good = ws.read("claw.yaml");
        ws.write("claw.yaml", &format!("# mine\n{broken}"));
        for arguments in [
            &["ask", "-n", "hello"][..],
            &["send", "hello"],
            &["route"],
            &["run-agent"],
            &["remember", "hello"],
            &["tick"],
            &["status"],
            &["check"],
            &["supervise"],
        ] {
            let ran = ws.claw(arguments);
            let said = format!("{}{}", ran.out, ran.err);
            assert!(ran.code == 78 && place.is_match(&said), "{broken}{arguments:?}: {ran:#?}");
            assert!(at_line.is_none_or(|n| said.contains(&format!("claw.yaml:{n}:"))), "{broken}{said}");
        }
        ws.write("claw.yaml", &good);
        ws.claw(&["tick"]).ok();
        assert_eq!(ws.list("outbox/files/x").len(), 3, "nothing is lost: {broken}");
    }
}

#[test]
fn a_claw_yaml_that_is_no_text_is_refused() {
    let ws = Fixture::new();
    fs::write(ws.path("claw.yaml"), b"model: \xff\n").unwrap();
    assert!(ws.claw(&["ask", "-n", "hello"]).fails(78).contains("claw.yaml"));
    fs::remove_file(ws.path("claw.yaml")).unwrap();
    fs::create_dir(ws.path("claw.yaml")).unwrap();
    assert!(ws.claw(&["ask", "-n", "hello"]).fails(78).contains("claw.yaml"));
}

/// A workspace in which cookie's file is bad; both agents have a message.
fn with_a_bad_cookie() -> (Fixture, String) {
    let ws = Fixture::new();
    ws.write("agents/cookie/AGENT.md", "---\nname: Cookie\nmax_concurrency: many\n---\nYou are Cookie.\n");
    let id = ws.claw(&["send", "--agent=cookie", "--reply-to=file:cookie", "hello"]).ok();
    ws.claw(&["send", "--agent=pickle", "--reply-to=file:pickle", "hello"]).ok();
    let ran = ws.claw(&["tick"]);
    assert!(ran.fails(75).contains("agents/cookie/AGENT.md:3:18"));
    assert_eq!(ws.list("outbox/files/pickle").len(), 1, "the other agent answers");
    assert_eq!(ws.list("inbox/wait").len(), 1);
    assert_eq!(ws.list("outbox/files/cookie"), [""; 0]);
    (ws, id.trim().to_owned())
}

#[test]
fn a_bad_agent_hides_itself_alone_and_its_events_are_answered_when_it_is_mended() {
    let (ws, _) = with_a_bad_cookie();
    assert!(ws.claw(&["ask", "-n", "-a", "cookie", "hello"]).fails(78).contains("agents/cookie/AGENT.md:3:18"));
    ws.claw(&["ask", "-n", "-a", "pickle", "hello"]).ok();
    ws.write("agents/cookie/AGENT.md", "---\nname: Cookie\n---\nYou are Cookie.\n");
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(5);
    ws.claw(&["tick", "--now", &later.to_string()]).ok();
    assert_eq!(ws.list("outbox/files/cookie").len(), 1);
}

#[test]
fn an_event_for_a_mended_agent_need_not_wait_when_it_is_retried() {
    let (ws, id) = with_a_bad_cookie();
    ws.write("agents/cookie/AGENT.md", "---\nname: Cookie\n---\nYou are Cookie.\n");
    ws.claw(&["retry", &id]).ok();
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.list("outbox/files/cookie").len(), 1);
}

#[test]
fn a_bad_default_agent_does_not_keep_the_others_from_answering() {
    let ws = Fixture::new();
    fs::write(ws.path("agents/pickle/AGENT.md"), b"---\nname: \xff\n---\n").unwrap();
    ws.claw(&["ask", "-n", "-a", "cookie", "hello"]).ok();
    assert!(ws.claw(&["ask", "-n", "hello"]).fails(78).contains("agents/pickle/AGENT.md"));
    let ran = ws.claw(&["check"]);
    assert!(ran.code == 78 && ran.out.contains("agents/pickle/AGENT.md: "), "{ran:#?}");
}

#[test]
fn front_matter_made_to_hang_the_reader_is_over_soon() {
    let ws = Fixture::new();
    let nested = format!("---\na: {}\n---\nhi\n", "[".repeat(15_000));
    let laughs = (1..30).fold("a0: &a0 [x, x]\n".to_owned(), |text, n| {
        format!("{text}a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(", "))
    });
    ws.write("inbox/nested.md", &nested);
    ws.write("inbox/laughs.md", &format!("---\n{laughs}---\nhi\n"));
    ws.write("inbox/zz.md", "---\nreply_to: file:x\n---\nhi\n");
    let ran = ws.shell("timeout 20 claw tick");
    assert_ne!(ran.code, 124, "it hangs");
    assert_eq!(ws.list("outbox/files/x").len(), 1);
    assert!(reason(&ws, "inbox", "nested.md").contains("front matter"));
    assert!(reason(&ws, "inbox", "laughs.md").contains("front matter"));
}

#[test]
fn open_stdin_does_not_block_commands_that_ignore_it() {
    let ws = Fixture::new();
    let (reader, mut writer) = std::io::pipe().unwrap();
    for arguments in [&["ask", "-n", "hello"][..], &["send", "hello"], &["tick"], &["status"]] {
        let mut command = Command::new("timeout");
        let claw = ws.command(arguments);
        command.arg("20").arg(claw.get_program()).args(arguments).current_dir(&ws.root).env("HOME", ws.dir.path());
        command.stdin(reader.try_clone().unwrap()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ran::from(command.output().unwrap()).ok();
    }
    writer.write_all(b"unread").unwrap();
}

/// Every report and message about hostile names, texts and errors, without a control character that a terminal obeys.
#[test]
fn no_control_character_of_a_foreign_text_is_printed() {
    let ws = Fixture::new();
    ws.model("bad", "provider: command, command: [sh, tools/bad]");
    ws.write("tools/bad", "printf '\\033]0;owned\\007\\302\\2332J\\177 claw: fine\\n' >&2; exit 1\n");
    ws.write("inbox/a\u{1b}[2K\u{9b}b.md", "---\nagent: [\n---\nx\n");
    ws.write("inbox/c\u{1b}[2K\u{7f}\nclaw: fine.md", "hi \u{1b}c\u{9b}2J\n");
    ws.write("inbox/\u{1b}[2K~", "x");
    ws.write("agents/e\u{1b}[1m/AGENT.md", "---\nname: [\n---\n");
    ws.write("agents/f/AGENT.md", "---\nname: \"f\\e[1m\"\ndescription: \"\\e[1m\\x9b\"\nreed: \"\\e\"\n---\nx\n");
    ws.write("skills/g\u{1b}[1m/SKILL.md", "---\nname: g\ndescription: \"\\e[1m\"\n---\nx\n");
    ws.write("tasks/open/t\u{1b}c.md", "x\u{9b}\u{1b}\n");
    ws.write("tools/h\u{1b}[1m.json", "{\"\u{9b}\u{1b}");
    ws.claw(&["send", "--reply-to", "file:x", "hi\u{1b}[2J"]);
    ws.claw(&["send", "--reply-to", "exec:\u{202e}x", "hi"]);
    let reports = [
        "tick",
        "route",
        "run-agent",
        "deliver",
        "status",
        "status --json",
        "why",
        "why --json",
        "log",
        "log --json",
        "check",
        "check --json",
        "agents",
        "agents --json",
        "agents show f",
        "skills",
        "skills --json",
        "skills check",
        "tasks",
        "tasks --json",
        "sessions",
        "sessions --json",
        "sessions show pickle.file-x",
        "usage",
        "models",
        "retry \u{1b}[2K\u{9b}",
        "why \u{1b}[2K\u{9b}",
        "approve \u{1b}[2K",
        "ask -n hi\u{1b}[2J",
        "route --explain x:\u{9b}",
    ];
    for line in reports {
        let arguments: Vec<&str> = line.split(' ').collect();
        let ran = ws.claw(&arguments);
        let text = ran.out.clone() + &ran.err;
        let is_raw = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
        assert!(!text.contains(is_raw), "{line}: {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("claw: fine")), "{line}: {text:?}");
    }
    assert!(ws.claw(&["status"]).ok().contains("\\u{1b}[2K\\u{9b}b.md: front matter"));
}
