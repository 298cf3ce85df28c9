//! The workspace itself: created without overwriting, checked by `check`, beside a foreign git repository, on a
//! read-only or full disk, and pruned.

use crate::common::findings::{files, same_files};
use crate::common::{Fixture, Ran, skipped};
use regex::Regex;
use std::fs;

/// The instant in so many days.
fn days(days: i64) -> String {
    (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days)).to_string()
}

/// An id for now, distinguished by `tail`.
fn id(tail: &str) -> String {
    format!("{}-{tail}", jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S.000000Z"))
}

fn has_git(ws: &Fixture) -> bool {
    let has = ws.shell("git --version").code == 0;
    if !has {
        skipped("there is no git");
    }
    has
}

const GIT: &str = "git -c user.name=ann -c user.email=ann@localhost";

/// The state of a git repository: its commit, its index, its changes.
fn git_state(ws: &Fixture, folder: &str) -> String {
    ws.shell(&format!("cd '{folder}' && git rev-parse HEAD; git ls-files -s; git diff --cached; git diff")).out
}

#[test]
fn init_completes_without_overwriting() {
    let ws = Fixture::empty();
    ws.write("AGENTS.md", "mine\n");
    ws.write("claw.yaml", "model: offline\nkeep: {done_days: 3}\n");
    let ran = ws.claw(&["init", "."]);
    assert!(ran.err.contains("AGENTS.md differs from") && ran.err.contains("claw.yaml differs from"), "{ran:#?}");
    assert!(ran.ok().starts_with("completed "));
    ws.write("agents/pickle/AGENT.md", "---\nname: Mine\n---\nme\n");
    fs::remove_file(ws.path("agents/cookie/SOUL.md")).unwrap();
    let ran = ws.claw(&["init", "."]);
    for kept in ["AGENTS.md", "claw.yaml", "agents/pickle/AGENT.md"] {
        assert!(
            ran.err.contains(&format!("claw: {kept} differs from the default and was not changed")),
            "{kept}: {ran:#?}"
        );
    }
    assert!(ran.err.contains("not trusted"), "completing is no word of trust: {ran:#?}");
    assert_eq!(ran.err.lines().count(), 4, "what is the default is not mentioned: {ran:#?}");
    assert_eq!(ws.read("AGENTS.md"), "mine\n");
    assert_eq!(ws.read("claw.yaml"), "model: offline\nkeep: {done_days: 3}\n");
    assert_eq!(ws.read("agents/pickle/AGENT.md"), "---\nname: Mine\n---\nme\n");
    assert!(ws.path("agents/cookie/SOUL.md").is_file());
}

#[test]
fn init_writes_through_no_link() {
    use std::os::unix::fs::symlink;
    let outside = |ws: &Fixture| fs::read_dir(ws.path("../outside")).unwrap().count();
    for state in ["inbox", ".claw", "outbox/new", "claw.yaml"] {
        let ws = Fixture::empty();
        fs::create_dir_all(ws.path("../outside")).unwrap();
        fs::create_dir_all(ws.path(state).parent().unwrap()).unwrap();
        let target = ws.path("../outside").join(if state == "claw.yaml" { "claw.yaml" } else { "" });
        symlink(target, ws.path(state)).unwrap();
        let ran = ws.claw(&["init", "."]);
        assert_eq!((ran.code == 0, outside(&ws)), (state == "outbox/new", 0), "{state}: {ran:#?}");
    }
    let ws = Fixture::empty();
    fs::create_dir(ws.path("../outside")).unwrap();
    for name in ["agents", "memories", ".git"] {
        symlink("../outside", ws.path(name)).unwrap();
    }
    let ran = ws.claw(&["init", "."]);
    assert!(
        ran.err.contains("agents/pickle/AGENT.md was not written: a part of its path is a symbolic link"),
        "{ran:#?}"
    );
    assert_eq!((ran.code, outside(&ws)), (0, 0), "{ran:#?}");
}

#[test]
fn changed_program_is_refused_until_it_is_trusted() {
    let ws = Fixture::new();
    ws.model("mine", "provider: command, command: [sh, tools/think]");
    ws.config("channels: {exec: {say: {command: [sh, tools/say]}}}");
    ws.write("tools/think", "cat >/dev/null\necho one\n");
    ws.write("tools/say", "cat >>said\n");
    let ask = || ws.claw(&["ask", "-n", "hi"]);
    assert_eq!(ask().ok(), "one\n");
    ws.claw(&["send", "--agent", "pickle", "--reply-to", "exec:say", "hi"]).ok();
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.read("said").lines().count(), 1);
    // The same length, so that only the content differs.
    ws.write("tools/think", "cat >/dev/null\necho two\n");
    for ran in [ask(), ws.claw(&["check"])] {
        let text = ran.out.clone() + &ran.err;
        assert!(text.contains("tools/think has changed since it was trusted"), "{ran:#?}");
        assert!(ran.code == 78 && text.contains("`claw trust -n` shows the change"), "{ran:#?}");
    }
    // Everything else goes on: another model, and the program of the channel.
    assert_eq!(ws.claw(&["ask", "-n", "-m", "offline", "hi"]).code, 0);
    ws.write("outbox/x.md", "---\nreply_to: exec:say\n---\nhello\n");
    ws.claw(&["deliver"]).ok();
    assert_eq!(ws.read("said").lines().count(), 2);
    let shown = ws.claw(&["trust", "-n"]).ok();
    assert!(shown.contains("changed)\n      cat >/dev/null\n    - echo one\n    + echo two\n"), "{shown}");
    ask().fails(78);
    assert!(ws.claw(&["trust"]).ok().starts_with(&shown), "the change is shown before it is trusted");
    assert_eq!(ask().ok(), "two\n");
    // A channel's program is refused in the same way, and its message waits.
    ws.write("tools/say", "cat >/dev/null; touch evil\n");
    ws.write("outbox/y.md", "---\nreply_to: exec:say\n---\nhello\n");
    assert!(ws.claw(&["deliver"]).fails(75).contains("tools/say has changed"));
    assert!(!ws.path("evil").exists());
    assert_eq!(ws.list("outbox/wait").len(), 1);
}

#[test]
fn init_twice_changes_nothing_and_loses_no_event() {
    let untouched = Fixture::empty();
    for _ in 0..2 {
        assert!(!untouched.claw(&["init", "."]).err.contains("kept"));
    }
    let ws = Fixture::new();
    // The job that a fixture does without.
    ws.claw(&["init"]).ok();
    ws.claw(&["send", "--reply-to=file:x", "hello"]).ok();
    let state = git_state(&ws, ".");
    ws.claw(&["init"]).ok();
    assert_eq!(git_state(&ws, "."), state);
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.list("outbox/files/x").len(), 1);
}

#[test]
fn init_in_somebodys_repository_leaves_its_commits_and_its_index_alone() {
    let ws = Fixture::empty();
    if !has_git(&ws) {
        return;
    }
    ws.shell(&format!(
        "git init -q && echo a >a && git add a && {GIT} commit -qm a && echo b >b && git add b && echo c >>a"
    ))
    .ok();
    let state = git_state(&ws, ".");
    let out = ws.claw(&["init", "."]).ok();
    assert!(out.contains("your git repository") && ws.read("claw.yaml").contains("  git: false"), "{out}");
    ws.claw(&["remember", "--topic=nas", "the NAS is 10.0.0.7"]).ok();
    assert_eq!(git_state(&ws, "."), state);
    ws.claw(&["init", "deep/down"]).ok();
    ws.claw(&["-w", "deep/down", "remember", "--topic=nas", "the NAS is 10.0.0.7"]).ok();
    assert_eq!(git_state(&ws, "."), state);
    assert!(git_state(&ws, "deep/down").contains("memories/topics/nas.md"), "it has a repository of its own");
}

#[test]
fn init_and_notes_below_a_git_hook_leave_the_hooks_repository_alone() {
    let ws = Fixture::empty();
    if !has_git(&ws) {
        return;
    }
    ws.shell(&format!(
        "git init -q outer && cd outer && echo a >a && git add a && {GIT} commit -qm a && echo b >b && git add b"
    ))
    .ok();
    let state = git_state(&ws, "outer");
    // Variables that git sets for its hooks.
    let hook = format!(
        "cd outer && export GIT_DIR={0}/outer/.git GIT_INDEX_FILE={0}/outer/.git/index GIT_WORK_TREE={0}/outer GIT_PREFIX=",
        ws.root.display()
    );
    ws.shell(&format!("{hook} && claw init ../inner && claw -w ../inner remember --topic=nas 'the NAS is 10.0.0.7'"))
        .ok();
    assert_eq!(git_state(&ws, "outer"), state);
    assert!(git_state(&ws, "inner").contains("memories/topics/nas.md"));
}

#[test]
fn note_is_its_own_commit_and_the_index_stays() {
    let ws = Fixture::new();
    if !has_git(&ws) {
        return;
    }
    ws.shell("echo staged >mine && git add mine && echo changed >>AGENTS.md && echo loose >loose").ok();
    ws.write(".git/hooks/pre-commit", "#!/bin/sh\ntouch hook-ran\nexit 1\n");
    ws.shell("chmod +x .git/hooks/pre-commit").ok();
    ws.claw(&["remember", "--topic=nas", "the NAS is 10.0.0.7"]).ok();
    assert_eq!(
        ws.shell("git show --format=%s --name-only HEAD").ok(),
        "remember: the NAS is 10.0.0.7\n\nmemories/topics/nas.md\n"
    );
    assert_eq!(ws.shell("git diff --cached --name-only").ok(), "mine\n");
    assert_eq!(ws.shell("git diff --name-only -- AGENTS.md").ok(), "AGENTS.md\n");
    assert!(ws.shell("git status --porcelain loose").ok().starts_with("?? loose"));
    assert!(!ws.path("hook-ran").exists());
    ws.claw(&["ask", "-n", "remember that milk is out"]).ok();
    let names = ws.shell("git show --format= --name-only HEAD").ok();
    assert!(names.starts_with("memories/daily-notes/") && names.lines().count() == 1, "{names}");
    assert_eq!(ws.shell("git diff --cached --name-only").ok(), "mine\n");
}

#[test]
fn a_note_can_be_the_first_commit_of_a_repository_with_staged_work() {
    let ws = Fixture::empty();
    if !has_git(&ws) {
        return;
    }
    ws.shell("git init -q && echo staged >mine && git add mine").ok();
    ws.claw(&["init", "."]).ok();
    ws.write("claw.yaml", &ws.read("claw.yaml").replace("  git: false", "  git: true"));
    ws.claw(&["remember", "--topic=nas", "the NAS is 10.0.0.7"]).ok();
    assert_eq!(ws.shell("git show --format= --name-only HEAD").ok(), "memories/topics/nas.md\n");
    // The earlier text is the owner's.
    assert_eq!(ws.shell("git ls-tree -r --name-only HEAD~").ok(), "memories/README.md\n");
    assert_eq!(ws.shell("git diff --cached --name-only").ok(), "mine\n");
}

#[test]
fn a_note_beside_a_held_git_lock_waits_for_nothing_and_is_committed_once() {
    let ws = Fixture::new();
    if !has_git(&ws) {
        return;
    }
    ws.write(".git/index.lock", "");
    assert_eq!(ws.claw(&["remember", "--topic=nas", "the NAS is 10.0.0.7"]).ok(), "memories/topics/nas.md:3\n");
    fs::remove_file(ws.path(".git/index.lock")).unwrap();
    ws.claw(&["tick", "--now", &days(1)]).ok();
    assert_eq!(
        ws.shell("git log --format=%s -- memories/topics").ok().lines().next().unwrap(),
        "remember: the NAS is 10.0.0.7"
    );
    assert_eq!(ws.read("memories/topics/nas.md").matches("10.0.0.7").count(), 1);
    assert_eq!(ws.pending(), [""; 0]);
}

#[test]
fn a_fresh_workspace_is_in_order() {
    let ws = Fixture::empty();
    ws.claw(&["init", "."]).ok();
    assert_eq!(ws.claw(&["check"]).ok(), "no problems\n");
    ws.claw(&["ask", "-n", "hello"]).ok();
    ws.claw(&["send", "hello"]).ok();
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.claw(&["check"]).ok(), "no problems\n");
}

/// The mistakes: the file and its text (`+` appends), the output of `check` (a pattern), and whether it is an
/// error.
const WRONG: &[(&str, &str, &str, bool)] = &[
    (
        "claw.yaml",
        "+default_agent: pickel\n",
        r"^claw\.yaml:.*default_agent: there is no agent `pickel` \(did you mean `pickle`\?\)$",
        true,
    ),
    ("claw.yaml", "+default_agent: ../x\n", r"^claw\.yaml:\d+:\d+: `\.\./x` is not an agent id$", true),
    (
        "claw.yaml",
        "+models:\n  m: {provider: opnai}\n",
        r"^claw\.yaml:.*models\.m: unknown provider `opnai` \(known: ",
        true,
    ),
    ("claw.yaml", "+models:\n  m: {model: x}\n", r"^claw\.yaml:\d+:\d+: models\.m has no `provider`", true),
    (
        "claw.yaml",
        "+deliver_to: fiel:x\n",
        r"^claw\.yaml:.*deliver_to: there is no channel `fiel` \(did you mean `file`\?\)$",
        true,
    ),
    ("claw.yaml", "+deliver_to: file:../x\n", r"^claw\.yaml:.*deliver_to: `file:\.\./x` names no folder", true),
    ("claw.yaml", "+deliver_to: exec:phone\n", r"^claw\.yaml:.*deliver_to: channels\.exec has no `phone`", true),
    (
        "claw.yaml",
        "+channels:\n  exec:\n    phone: {timeout: 1s}\n",
        r"^claw\.yaml:.*channels\.exec\.phone has no `command`",
        true,
    ),
    ("claw.yaml", "+max_concurrency: 0\n", r"^claw\.yaml:\d+:1: max_concurrency is 0", true),
    (
        "claw.yaml",
        "+max_concurency: 1\n",
        r"^claw\.yaml:\d+:1: warning: unknown key `max_concurency`, did you mean `max_concurrency`\?$",
        false,
    ),
    ("claw.yaml", "+keep:\n  done_days: many\n", r"^claw\.yaml:\d+:14: .*invalid type", true),
    (
        "agents/x/AGENT.md",
        "---\nname: X\nmodel: gtp\n---\nx\n",
        r"^agents/x/AGENT\.md:.*no model is called `gtp`",
        true,
    ),
    ("agents/x/AGENT.md", "hello\n", r"^agents/x/AGENT\.md:1:1: it has no front matter", true),
    ("agents/x/notes.md", "hello\n", r"^agents/x/AGENT\.md: is missing$", true),
    ("agents/ü/AGENT.md", "---\nname: X\n---\nx\n", r"^agents/ü/AGENT\.md:.* is not an agent id", true),
    (
        "crons/x/CRON.md",
        "---\nname: x\nagent: pickle\nschedule: 61 * * * *\n---\nDo.\n",
        r"^crons/x/CRON\.md:.*schedule `61 \* \* \* \*`: ",
        true,
    ),
    (
        "crons/x/CRON.md",
        "---\nname: x\nagent: pickel\nschedule: 0 7 * * *\n---\nDo.\n",
        r"^crons/x/CRON\.md:.*there is no agent `pickel` \(did you mean",
        true,
    ),
    (
        "crons/x/CRON.md",
        "---\nname: x\nagent: pickle\nschedule: 0 7 * * *\n---\n",
        r"^crons/x/CRON\.md: it has no prompt",
        true,
    ),
    (
        "crons/x/CRON.md",
        "---\nname: x\nagent: pickle\nschedule: '* * * * * *'\n---\nDo.\n",
        r"^crons/x/CRON\.md:4:1: schedule `\* \* \* \* \* \*`: it has 6 fields instead of five",
        true,
    ),
    (
        "crons/x/CRON.md",
        "---\nname: x\nagent: pickle\nschedule: */5 * * * *\n---\nDo.\n",
        r"^crons/x/CRON\.md:4:11: YAML needs quotes here",
        true,
    ),
    (
        "crons/x/CRON.md",
        "---\nname: x\nagent: pickle\nevery: 2h\ntimezone: Mars/Base\n---\nDo.\n",
        r"^crons/x/CRON\.md:5:1: there is no time zone `Mars/Base`",
        true,
    ),
    (
        "crons/x/CRON.md",
        "---\nname: x\nagent: pickle\nevery: 2h\ntimezone: europe/berlin\n---\nDo.\n",
        r"^crons/x/CRON\.md:5:1: there is no time zone `europe/berlin` \(did you mean `Europe/Berlin`",
        true,
    ),
    (
        "crons/x/CRON.md",
        "---\nname: x\nagent: pickle\nevery: 2h\nmodel: gtp\n---\nDo.\n",
        r"^crons/x/CRON\.md:5:1: no model is called `gtp`",
        true,
    ),
    (
        "crons/x/CRON.md",
        "---\nname: x\nagent: pickle\nat: 1970-01-01T00:00\n---\nDo.\n",
        r"^crons/x/CRON\.md:4:1: warning: at 1970-01-01T00:00:00 has passed$",
        false,
    ),
    (
        "crons/x/CRON.md",
        "---\nname: x\nagent: pickle\nevery: 2h\ndeliver_to: exec:phone\n---\nDo.\n",
        r"^crons/x/CRON\.md:5:1: deliver_to: channels\.exec has no `phone`",
        true,
    ),
    ("crons/x/CRON.md", "---\nname: x\nagent: pic", r"^crons/x/CRON\.md:1:1: the front matter .* no closing", true),
    ("crons/x/notes.md", "hello\n", r"^crons/x/CRON\.md: is missing$", true),
    ("skills/x/SKILL.md", "---\nname: x\n---\nx\n", r"^skills/x/SKILL\.md:\d+:\d+: `description` is missing", true),
    ("inbox/new/hello.txt", "hello", r"^inbox/new/hello\.txt: warning: the name is not that of an event", false),
    (
        "outbox/ready/20261121T004130.123456Z-k7f3q9.json",
        "{}",
        r"^outbox/ready/2026.*: warning: the name is not that of an event",
        false,
    ),
    ("inbox/.hidden", "hello", r"^inbox/\.hidden: warning: stays where it is: a hidden file$", false),
    (".claw/clock", "00004102444800000000", r"^\.claw/clock: warning: new ids are \d+ s ahead of the clock", false),
    (
        "agents/cookie/AGENT.md",
        "---\nname: x\ntools: [bash, recal]\n---\nx\n",
        r"^agents/cookie/AGENT.md:3:1: warning: tools: unknown tool `recal`, did you mean `recall`\?",
        false,
    ),
    (
        "agents/cookie/AGENT.md",
        "---\nname: x\nwrite: [files, ../x]\n---\nx\n",
        r"^agents/cookie/AGENT.md:3:1: warning: write: `\.\./x` is ignored",
        false,
    ),
    (
        "agents/cookie/AGENT.md",
        "---\nname: x\ntools: [{bash: {aprove: [rm]}}]\n---\n",
        r"^agents/cookie/AGENT.md:3:\d+: tools\[0\]\.bash.*: unknown field `aprove`, expected `approve`",
        true,
    ),
    (
        "agents/cookie/AGENT.md",
        "---\nname: x\ntools: [{bash: {approve: 3}}]\n---\n",
        r"^agents/cookie/AGENT.md:3:\d+: .*`approve` is true, false, `when-tainted` or a list",
        true,
    ),
    ("tools/hello.json", "not json", r"^tools/hello\.json: there is no executable `hello` beside it", true),
    (
        "claw.yaml",
        "+models: {m: {provider: command, command: [./nope]}}",
        r"^claw\.yaml:\d+:\d+: models\.m\.command: there is no executable \./nope",
        true,
    ),
    (
        "claw.yaml",
        "+models: {m: {provider: command, command: []}}",
        r"^claw\.yaml:\d+:\d+: models\.m\.command: it is missing",
        true,
    ),
    (
        "claw.yaml",
        "+models: {m: {provider: openai, model: x, api_key_file: .secrets/m}}",
        r"^claw\.yaml:\d+:\d+: warning: model m: the key file .*No such file",
        false,
    ),
    ("claw.yaml", "+deliver_to: foo", r"^claw\.yaml:([3-9]\d|\d{3}):13: deliver_to: .*`foo`", true),
    (
        "sessions/pickle.x/log.jsonl",
        "not json\n",
        r"^sessions/pickle\.x/log\.jsonl:1:1: warning: this line cannot be read",
        false,
    ),
];

#[test]
fn check_lists_all_problems_and_exits_78_on_errors() {
    for (file, text, says, is_error) in WRONG {
        let ws = Fixture::new();
        match text.strip_prefix('+') {
            Some(more) => ws.config(more),
            None => ws.write(file, text),
        }
        let ran = ws.claw(&["check"]);
        assert_eq!(ran.code, if *is_error { 78 } else { 0 }, "{file} {text}: {ran:#?}");
        let pattern = Regex::new(says).unwrap();
        assert!(ran.out.lines().any(|line| pattern.is_match(line)), "{file} {text}: {ran:#?}");
        assert!(!ran.out.contains("no problems"), "{ran:#?}");
        assert!(ran.out.lines().all(|l| l.contains("warning: ") != *is_error), "{ran:#?}");
    }
}

#[test]
fn incomplete_tool_is_reported() {
    let ws = Fixture::new();
    ws.write("tools/hello", "#!/bin/sh\n");
    assert_eq!(ws.shell("chmod +x tools/hello").code, 0);
    for (text, says) in [
        ("not json", "tools/hello.json: expected"),
        (r#"{"description": "x", "parameters": {"type": "object"}, "calss": "reads"}"#, "unknown field `calss`"),
    ] {
        ws.write("tools/hello.json", text);
        let ran = ws.claw(&["check"]);
        assert!(ran.code == 78 && ran.out.contains(says), "{ran:#?}");
    }
}

#[test]
fn missing_agent_file_and_bad_default_agent_are_reported() {
    let ws = Fixture::new();
    fs::remove_file(ws.path("agents/pickle/AGENT.md")).unwrap();
    let err = ws.claw(&["ask", "-n", "hello"]).fails(65);
    assert!(err.contains("agents/pickle exists, but has no AGENT.md"), "{err}");
    ws.config("default_agent: nobody");
    let err = ws.claw(&["ask", "-n", "hello"]).fails(65);
    assert!(err.contains("no agent `nobody`, which default_agent in claw.yaml names"), "{err}");
    assert!(err.contains("there are: cookie\n"), "{err}");
    assert!(ws.claw(&["ask", "-n", "-a", "none", "hello"]).fails(65).contains("no agent `none`\n"));
}

#[test]
fn check_gives_the_line_of_a_mistake() {
    let place = Regex::new(r"^[^ :]+:(\d+):\d+: ").unwrap();
    let mut without = Vec::new();
    for (file, text, ..) in WRONG.iter().filter(|(.., is_error)| *is_error) {
        // The last word of the text is the mistake, if it is an existing file.
        let is_there = file.ends_with("claw.yaml") || (file.ends_with(".md") && !text.ends_with("---\n"));
        if !is_there || file.ends_with("notes.md") || file.contains('ü') {
            continue;
        }
        let ws = Fixture::new();
        match text.strip_prefix('+') {
            Some(more) => ws.config(more),
            None => ws.write(file, text),
        }
        let out = ws.claw(&["check"]).out;
        let line = out.lines().find(|l| l.starts_with(file)).unwrap_or_default();
        if !place.is_match(line) {
            without.push(line.to_owned());
        }
    }
    assert_eq!(without, [""; 0], "these have no line");
}

#[test]
fn check_finds_everything_at_once() {
    let ws = Fixture::new();
    ws.config("default_agent: pickel\ndeliver_to: fiel:x\n");
    ws.write("skills/x/SKILL.md", "---\nname: x\n---\nx\n");
    ws.write("inbox/new/hello.txt", "hello");
    let ran = ws.claw(&["check"]);
    assert_eq!((ran.code, ran.out.lines().count()), (78, 4), "{ran:#?}");
    assert!(ran.err.contains("3 errors, 1 warning\n"), "{ran:#?}");
}

#[test]
fn an_unreadable_line_of_a_session_is_passed_over() {
    let ws = Fixture::new();
    ws.claw(&["ask", "-n", "-s", "work", "the NAS is 10.0.0.7"]).ok();
    let log = "sessions/pickle.work/log.jsonl";
    let text = ws.read(log);
    let lines: Vec<&str> = text.lines().collect();
    ws.write(log, &format!("{}\nnot json\n{}\n", lines[..1].join("\n"), lines[1..].join("\n")));
    let said = ws.claw(&["check"]).ok();
    assert!(said.contains("log.jsonl:2:1: warning:"), "{said}");
    assert!(ws.claw(&["ask", "-n", "-s", "work", "where is the NAS?"]).ok().contains("you said: the NAS is 10.0.0.7"));
}

#[test]
fn ids_stay_in_order_when_the_clock_was_ahead() {
    let ws = Fixture::new();
    // 2100-01-01.
    ws.write(".claw/clock", "00004102444800000000");
    let ids: Vec<String> = (0..3).map(|_| ws.claw(&["send", "--reply-to=file:x", "hello"]).ok()).collect();
    assert!(ids.is_sorted() && ids.iter().all(|id| id.starts_with("21000101T000000.0000")), "{ids:?}");
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.list("outbox/files/x").len(), 3);
}

#[test]
fn a_clock_file_beyond_all_time_does_not_stop_or_disorder_anything() {
    for text in
        ["09223372036854775807", "00999999999999999999", "99999999999999999999", "-9223372036854775808", "", "torn"]
    {
        let ws = Fixture::new();
        ws.write(".claw/clock", text);
        let ids: Vec<String> = (0..3).map(|_| ws.claw(&["send", "--reply-to=file:x", "hello"]).ok()).collect();
        assert!(ids.is_sorted() && ids.iter().all(|id| id.as_str() > "2026"), "{text}: {ids:?}");
        ws.claw(&["check"]).ok();
        ws.claw(&["tick"]).ok();
        assert_eq!(ws.list("outbox/files/x").len(), 3, "{text}");
    }
}

#[test]
fn missing_workspace_is_reported_with_the_command_to_create_it() {
    let ws = Fixture::empty();
    for arguments in
        [&["ask", "-n", "hello"][..], &["send", "hello"], &["tick"], &["status"], &["check"], &["supervise"]]
    {
        for name in ["nothing", "."] {
            let ran = Ran::from(ws.command(&["-w", name]).args(arguments).output().unwrap());
            let err = ran.fails(78);
            assert!(err.contains(&format!("no workspace in {name}")) && err.contains("claw init"), "{err}");
        }
        let ran = Ran::from(ws.command(arguments).env("CLAW_WORKSPACE", "nothing").output().unwrap());
        assert!(ran.fails(78).contains("no workspace in nothing"));
    }
    assert_eq!(ws.list("."), [""; 0], "nothing is made");
    ws.write("file", "x");
    let err = Ran::from(ws.command(&["-w", "file", "status"]).output().unwrap()).fails(78);
    assert!(err.contains("file is not a folder") && !err.contains("init"), "{err}");
}

/// Every file below a folder, with its contents.
#[test]
fn on_a_read_only_disk_one_can_look_and_nothing_is_lost() {
    let ws = Fixture::new();
    ws.model("bad", r"provider: command, command: [printf, '\377']");
    let failed = ws.claw(&["send", "--reply-to=cli:ann", "hello"]).ok();
    ws.claw(&["tick"]).fails(1);
    ws.write("claw.yaml", &ws.read("claw.yaml").replacen("model: bad", "model: offline", 1));
    ws.claw(&["remember", "hello is a greeting"]).ok();
    ws.claw(&["send", "--reply-to=file:x", "one"]).ok();
    ws.claw(&["route"]).ok();
    ws.claw(&["run-agent"]).ok();
    ws.claw(&["send", "--reply-to=file:x", "two"]).ok();
    ws.claw(&["route"]).ok();
    ws.claw(&["send", "--reply-to=file:x", "three"]).ok();
    ws.write("inbox/four.md", "---\nreply_to: file:x\n---\nfour\n");
    let before = files(&ws.root, |_| true);
    let looking = ["status", "status --json", "log", "check", "recall hello", "why"];
    let writing = [
        "send hello".to_owned(),
        "ask -n hello".to_owned(),
        "remember hello".to_owned(),
        "route".to_owned(),
        "run-agent".to_owned(),
        "deliver".to_owned(),
        "tick".to_owned(),
        format!("retry {}", failed.trim()),
        format!("discard {}", failed.trim()),
    ];
    let run = |line: &str| format!("echo \"# {line}\" >&2; timeout 20 claw {line} >/dev/null; echo \"{line}=$?\"\n");
    let script: String = looking.into_iter().map(run).chain(writing.iter().map(|l| run(l))).collect();
    let mount = "mount --bind . . && cd \"$PWD\" && mount -o remount,ro,bind .";
    let Some(ran) = ws.mounted(mount, &script) else { return };
    // `check` names the read-only disk as an error.
    let looked = looking.iter().map(|l| format!("{l}={}", if *l == "check" { 78 } else { 0 }));
    let expected: Vec<String> = looked.chain(writing.iter().map(|l| format!("{l}=75"))).collect();
    assert_eq!(ran.out.lines().collect::<Vec<_>>(), expected, "{}", ran.err);
    for part in ran.err.split("# ").filter(|p| writing.iter().any(|l| p.starts_with(&l[..]))) {
        assert!(part.contains("Read-only file system") && part.lines().count() <= 3, "{part}");
    }
    same_files(&before, &files(&ws.root, |_| true), "on a read-only disk");
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.list("outbox/files/x").len(), 4);
}

#[test]
fn full_disk_loses_nothing_and_counts_no_attempt() {
    let ws = Fixture::empty();
    let script = r#"
        exec 2>&1
        claw init . >/dev/null
        claw send --reply-to=file:routed one >/dev/null && claw route >/dev/null
        claw send --reply-to=file:answered two >/dev/null && claw route >/dev/null
        claw run-agent --session file-answered >/dev/null
        claw send --reply-to=file:new three >/dev/null
        printf -- '---\nreply_to: file:dropped\n---\nfour\n' >inbox/drop.md
        # Locks that are there already, so that the work itself begins.
        for lock in inbox/pickle.file-routed inbox/pickle.file-new outbox/file-answered inbox/memories; do
            printf 0000000000000002 >.claw/locks/$lock
        done
        ls inbox/ready outbox/ready >before
        head -c 100M /dev/zero >fill 2>/dev/null
        new=$(ls inbox/new)
        claw send --reply-to=file:refused no; echo "send=$?"
        claw ask -n no; echo "ask=$?"
        claw remember --topic=nas no; echo "remember=$?"
        for n in 1 2 3; do
            claw tick; echo "tick=$?"
            claw run-agent; echo "run-agent=$?"
            claw deliver; echo "deliver=$?"
        done
        echo "== new"; [ "$new" = "$(ls inbox/new)" ] || ls -l inbox/new
        echo "== empty"; find inbox outbox -name '*.json' -size 0
        echo "== waits"; ls inbox/wait inbox/run outbox/wait outbox/run inbox/failed outbox/failed | grep json
        echo "== tried"; ls inbox/ready outbox/ready | grep json | grep -v '~0.json'
        rm fill
        claw tick; echo "tick=$?"
        claw send --reply-to=file:again five >/dev/null; claw tick
        echo "== done"; ls outbox/files/* | grep md | wc -l; ls outbox/files; find inbox outbox -path '*/done/*' -prune -o -path '*/files/*' -prune -o -type f -print
        echo "== end"
    "#;
    let Some(ran) = ws.mounted("mount -t tmpfs -o size=8m tmpfs .", script) else { return };
    let part =
        |name: &str| ran.out.split(&format!("== {name}\n")).nth(1).unwrap().split("== ").next().unwrap().to_owned();
    for line in ["send=75", "ask=75", "remember=75", "tick=75", "run-agent=75", "deliver=75", "No space left"] {
        assert!(ran.out.contains(line), "{line}: {}", ran.out);
    }
    for empty in ["new", "empty", "waits", "tried"] {
        let lines: Vec<String> = part(empty).lines().filter(|l| !l.contains('=')).map(ToOwned::to_owned).collect();
        assert_eq!(lines, [""; 0], "{empty}: {}", ran.out);
    }
    assert!(!ran.out.contains("panicked"), "{}", ran.out);
    let done = part("done");
    assert!(done.starts_with("5\nagain\nanswered\ndropped\nnew\nrouted\n"), "{}", ran.out);
    assert_eq!(done.lines().count(), 6, "something is left: {}", ran.out);
}

#[test]
fn a_note_that_found_the_disk_full_is_there_once_when_there_is_space() {
    let ws = Fixture::empty();
    let script = r#"
        exec 2>&1
        claw init . >/dev/null
        printf '{"content":"the NAS is 10.0.0.7","kind":"remember","meta":{"topic":"nas"}}' >inbox/note.json
        claw route >/dev/null
        printf 0000000000000002 >.claw/locks/inbox/memories
        head -c 100M /dev/zero >fill 2>/dev/null
        claw tick; echo "tick=$?"
        claw remember; echo "remember=$?"
        rm fill
        claw tick; echo "tick=$?"
        echo "== note"; cat memories/topics/nas.md
        echo "== pending"; ls inbox/ready inbox/wait inbox/run inbox/failed | grep json
        echo "== log"; git log --format=%s -- memories/topics/nas.md
        echo "== end"
    "#;
    let Some(ran) = ws.mounted("mount -t tmpfs -o size=8m tmpfs .", script) else { return };
    let part =
        |name: &str| ran.out.split(&format!("== {name}\n")).nth(1).unwrap().split("== ").next().unwrap().to_owned();
    assert!(
        ran.out.contains("tick=75\n") && ran.out.contains("remember=75\n") && ran.out.contains("tick=0\n"),
        "{}",
        ran.out
    );
    let note = Regex::new(r"^# nas\n\n- the NAS is 10\.0\.0\.7 <!-- \S+ -->\n$").unwrap();
    assert!(note.is_match(&part("note")), "{}", ran.out);
    assert_eq!(part("pending"), "", "{}", ran.out);
    assert_eq!(part("log"), "remember: the NAS is 10.0.0.7\n", "{}", ran.out);
}

#[test]
fn finished_events_are_pruned_after_their_days() {
    for (keep, stays, goes) in [("", 6, 9), ("keep: {done_days: 2}\n", 1, 4)] {
        let ws = Fixture::new();
        ws.config(keep);
        ws.claw(&["send", "--reply-to=file:x", "hello"]).ok();
        ws.claw(&["tick"]).ok();
        ws.claw(&["tick", "--now", &days(stays)]).ok();
        assert_eq!((ws.done("inbox").len(), ws.done("outbox").len()), (1, 1), "{keep}");
        ws.claw(&["tick", "--now", &days(goes)]).ok();
        assert_eq!((ws.list("inbox/done"), ws.list("outbox/done")), (Vec::new(), Vec::new()), "{keep}");
        assert_eq!(ws.list("outbox/files/x").len(), 1, "what was delivered is its reader's");
        assert!(ws.path("sessions/pickle.file-x/log.jsonl").exists());
    }
}

#[test]
fn files_and_names_of_people_are_not_pruned() {
    let ws = Fixture::new();
    let own = ["inbox/done/2025/taxes.md", "inbox/done/1 important/note.md", "outbox/done/2025-archive.tar"];
    for path in own {
        ws.write(path, "mine");
    }
    ws.write("outbox/done/2025-01-01", "a file");
    ws.claw(&["send", "--session", "ask-the-doctor", "--reply-to=file:x", "hello"]).ok();
    ws.claw(&["send", "--session", "sub-letting", "--reply-to=file:x", "hello"]).ok();
    ws.claw(&["ask", "-n", "hello"]).ok();
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.list("sessions").len(), 3);
    ws.claw(&["tick", "--now", &days(100)]).ok();
    assert_eq!(ws.list("sessions"), ["pickle.ask-the-doctor", "pickle.sub-letting"]);
    assert_eq!(ws.list("inbox/done"), ["1 important", "2025"]);
    assert_eq!(ws.list("outbox/done"), ["2025-01-01", "2025-archive.tar"]);
    assert!(own.iter().all(|path| ws.read(path) == "mine"));
}

#[test]
fn more_days_than_there_are_keep_everything() {
    let ws = Fixture::new();
    ws.config("keep: {done_days: 4294967295, ask_days: 1000000000, journal_days: 4294967295}\n");
    ws.claw(&["ask", "-n", "hello"]).ok();
    let journal = ws.list(".claw/journal");
    ws.claw(&["tick", "--now", &days(100)]).ok();
    assert_eq!((ws.list("sessions").len(), ws.done("inbox").len(), ws.done("outbox").len()), (1, 1, 1));
    assert!(journal.iter().all(|day| ws.list(".claw/journal").contains(day)));
}

#[test]
fn a_day_with_something_alive_is_kept() {
    let ws = Fixture::new();
    ws.claw(&["send", "--reply-to=file:x", "hello"]).ok();
    ws.claw(&["tick"]).ok();
    let agent = ws.read("agents/cookie/AGENT.md");
    ws.write("agents/cookie/AGENT.md", "torn");
    ws.claw(&["send", "--agent=cookie", "--reply-to=file:y", "hello"]).ok();
    ws.claw(&["tick"]).fails(75);
    ws.claw(&["tick", "--now", &days(20)]).fails(75);
    assert_eq!((ws.done("inbox").len(), ws.done("outbox").len()), (1, 1), "one of that day still waits");
    ws.write("agents/cookie/AGENT.md", &agent);
    ws.claw(&["tick", "--now", &days(21)]).ok();
    ws.claw(&["tick", "--now", &days(21)]).ok();
    assert_eq!((ws.list("inbox/done"), ws.list("outbox/done")), (Vec::new(), Vec::new()));
    assert_eq!(ws.list("outbox/files/y").len(), 1);
}

#[test]
fn failed_events_are_kept_with_their_answers() {
    let ws = Fixture::new();
    let (id, now) = (id("handed"), jiff::Timestamp::now());
    let event = format!(
        r#"{{"v":1,"id":"{id}","kind":"message","from":"agent:pickle","reply_to":"file:x","content":"hello","created_at":"{now}"}}"#
    );
    // Delivered, and its reader has taken it; then its worker was killed once too often.
    ws.write(&format!("outbox/run/{id}~file-x~10c9.json"), &event);
    ws.write(&format!("outbox/done/{}/{id}.receipt", now.strftime("%Y-%m-%d")), "ready\n");
    ws.claw(&["tick"]).fails(1);
    ws.claw(&["tick", "--now", &days(20)]).ok();
    assert!(ws.list("outbox/failed").iter().any(|n| n.ends_with(".json")), "it waits for somebody to act");
    ws.claw(&["retry", &id]).ok();
    ws.claw(&["deliver"]).ok();
    assert_eq!(ws.list("outbox/files/x"), [""; 0], "it is handed over a second time");
}

#[test]
fn ask_sessions_are_pruned_after_a_month_and_named_ones_never() {
    let ws = Fixture::new();
    ws.claw(&["ask", "-n", "hello"]).ok();
    ws.claw(&["ask", "-n", "-s", "work", "hello"]).ok();
    ws.claw(&["ask", "-n", "-s", "asking", "hello"]).ok();
    ws.claw(&["send", "--reply-to=file:x", "hello"]).ok();
    ws.claw(&["tick", "--now", &days(29)]).ok();
    assert_eq!(ws.list("sessions").len(), 4);
    ws.claw(&["tick", "--now", &days(31)]).ok();
    assert_eq!(ws.list("sessions"), ["pickle.asking", "pickle.file-x", "pickle.work"]);
    ws.claw(&["tick", "--now", &days(4000)]).ok();
    assert_eq!(ws.list("sessions").len(), 3);
    assert!(ws.path("sessions/pickle.work/log.jsonl").is_file());
}

#[test]
fn journal_is_pruned_after_its_days() {
    let ws = Fixture::new();
    ws.claw(&["send", "--reply-to=file:x", "hello"]).ok();
    ws.claw(&["tick"]).ok();
    let day = ws.list(".claw/journal");
    assert_eq!(day.len(), 1);
    ws.claw(&["tick", "--now", &days(29)]).ok();
    assert!(ws.list(".claw/journal").contains(&day[0]));
    ws.claw(&["tick", "--now", &days(32)]).ok();
    assert!(!ws.list(".claw/journal").contains(&day[0]));
}

/// The limits have values of their own here, so that none can stand for another. On the last day that each allows its
/// files are there, and two days later they are not.
#[test]
fn each_limit_of_keep_is_its_own() {
    let ws = Fixture::new();
    ws.config("keep: {done_days: 3, ask_days: 10, journal_days: 20}\n");
    ws.claw(&["ask", "-n", "hello"]).ok();
    ws.claw(&["send", "--reply-to=file:x", "hello"]).ok();
    ws.claw(&["tick"]).ok();
    let journal = ws.list(".claw/journal").remove(0);
    let is_kept = |day: i64| {
        ws.claw(&["tick", "--now", &days(day)]).ok();
        let has_session = ws.list("sessions").iter().any(|name| name.contains(".ask-"));
        let done = (!ws.done("inbox").is_empty(), !ws.done("outbox").is_empty());
        (done, has_session, ws.list(".claw/journal").contains(&journal))
    };
    for (day, kept) in [
        (2, ((true, true), true, true)),
        (5, ((false, false), true, true)),
        (9, ((false, false), true, true)),
        (11, ((false, false), false, true)),
        (19, ((false, false), false, true)),
        (22, ((false, false), false, false)),
    ] {
        assert_eq!(is_kept(day), kept, "after {day} days: done (inbox, outbox), session, journal");
    }
}

/// Trust is of one folder: a workspace that lies in it was not looked at, and neither was the one above it.
#[test]
fn trust_does_not_extend_to_a_workspace_below_or_above() {
    let ws = Fixture::new();
    let settings = "model: evil\nmodels:\n  evil: {provider: command, command: [sh, -c, ': >ran; echo owned']}\n";
    for below in ["files/unpacked", "files/unpacked/deep", "ws"] {
        ws.write(&format!("{below}/claw.yaml"), settings);
        ws.write(&format!("{below}/agents/pickle/AGENT.md"), "---\nname: Pickle\n---\nYou are Pickle.\n");
        let claw =
            |arguments: &[&str]| -> Ran { ws.command(arguments).current_dir(ws.path(below)).output().unwrap().into() };
        assert!(claw(&["ask", "-n", "hello"]).fails(78).contains("claw trust"), "{below}");
        assert!(!ws.path(&format!("{below}/ran")).exists(), "{below}");
    }
    // Trusting the innermost one does not trust those around it.
    let inner: Ran = ws.command(&["trust"]).current_dir(ws.path("files/unpacked/deep")).output().unwrap().into();
    inner.ok();
    let outer: Ran = ws.command(&["ask", "-n", "x"]).current_dir(ws.path("files/unpacked")).output().unwrap().into();
    assert!(outer.fails(78).contains("claw trust"));
}

#[test]
fn a_scheduled_message_outlives_every_pruning_before_it_is_due() {
    let ws = Fixture::new();
    ws.claw(&["send", "--reply-to=file:x", "--in=60d", "hello"]).ok();
    ws.claw(&["tick", "--now", &days(59)]).ok();
    assert_eq!(ws.list("inbox/new").len(), 1);
    ws.claw(&["tick", "--now", &days(61)]).ok();
    assert_eq!(ws.list("outbox/files/x").len(), 1);
}
