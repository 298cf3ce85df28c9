//! Completion of values by the shells, and `claw new` and `claw agents edit`, whose names they complete.

use crate::common::Fixture;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// The candidates that fish would show for a line whose last word is being typed.
fn completed(ws: &Fixture, words: &[&str]) -> Vec<String> {
    let mut command = ws.command(&[]);
    command.arg("--").args(words).env("COMPLETE", "fish");
    let output = command.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

#[test]
fn values_of_every_kind_are_completed() {
    let ws = Fixture::new();
    ws.config("models:\n  fast: {provider: openai, model: m}\n");
    ws.claw(&["new", "cron", "tea", "Make tea."]).ok();
    ws.claw(&["ask", "-n", "-s", "work", "hello"]).ok();
    let task = ws.claw(&["tasks", "add", "Weed."]).ok();
    let id = ws.claw(&["send", "--from", "file:a", "hello"]).ok();
    let short = id.trim().rsplit_once('-').unwrap().1.to_owned();
    for (line, expected) in [
        ("ask -a pi", "pickle"),
        ("chat --agent coo", "cookie"),
        ("agents show co", "cookie"),
        ("agents edit co", "cookie"),
        ("ask -m fa", "fast"),
        ("ask -s wo", "work"),
        ("sessions show pickle.w", "pickle.work"),
        ("skills show tm", "tmux"),
        ("crons next te", "tea"),
        ("tasks show ", task.trim()),
        ("deliver --channel fi", "file"),
        ("why ", &short),
        ("route 20", id.trim()),
        ("ret", "retry"),
    ] {
        let words: Vec<&str> = std::iter::once("claw").chain(line.split(' ')).collect();
        let found = completed(&ws, &words);
        assert!(found.iter().any(|word| word == expected), "{line}: {found:?}");
    }
    let ran = ws.claw(&["ask", "-n", "hello"]).err;
    let name = ran.trim_end().rsplit_once("pickle.").unwrap().1.to_owned();
    assert_eq!(completed(&ws, &["claw", "ask", "-s", "ask-"]), [name], "sessions have their short names");
    // In another folder, by -w; without a workspace nothing, and no error.
    let root = ws.root.to_str().unwrap();
    let mut command = ws.command(&[]);
    command.args(["--", "claw", "-w", root, "ask", "-a", "pi"]).env("COMPLETE", "fish").current_dir("/");
    assert!(String::from_utf8(command.output().unwrap().stdout).unwrap().starts_with("pickle"));
    assert_eq!(completed(&Fixture::empty(), &["claw", "ask", "-a", "pi"]), [""; 0]);
}

#[test]
fn shells_load_the_script_and_complete() {
    let ws = Fixture::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = ws.claw(&["completions", shell]).ok();
        assert!(script.contains("COMPLETE"), "{shell}: {script}");
    }
    if Command::new("bash").arg("--version").output().is_err() {
        return crate::common::skipped("there is no bash");
    }
    let script = "source <(claw completions bash); COMP_WORDS=(claw ask -a pic); COMP_CWORD=3; COMP_TYPE=9; \
                  _clap_complete_claw claw pic -a; echo \"${COMPREPLY[@]}\"";
    let binary = ws.command(&[]).get_program().to_owned();
    let folder = std::path::Path::new(&binary).parent().unwrap().to_owned();
    let path = std::env::var("PATH").unwrap();
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", script]).current_dir(&ws.root).env("PATH", format!("{}:{path}", folder.display()));
    let output = bash.env("HOME", ws.dir.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "pickle", "{output:?}");
}

#[test]
fn new_definitions_are_valid_at_once() {
    let ws = Fixture::new();
    assert_eq!(
        ws.claw(&["new", "agent", "gardener", "--description", "Knows plants", "You are a gardener."]).ok(),
        "agents/gardener/AGENT.md\n"
    );
    assert_eq!(ws.claw(&["new", "agent", "plain"]).ok(), "agents/plain/AGENT.md\n");
    assert_eq!(ws.claw(&["new", "skill", "brew-tea"]).ok(), "skills/brew-tea/SKILL.md\n");
    assert_eq!(ws.claw(&["new", "tool", "shout"]).ok(), "tools/shout\n");
    assert_eq!(ws.claw(&["new", "cron", "tea"]).ok(), "crons/tea/CRON.md\n");
    let check = ws.claw(&["check", "--json"]);
    assert!(
        !check.out.contains("gardener") && !check.out.contains("brew") && !check.out.contains("shout"),
        "{}",
        check.out
    );
    // The tool answers, and is offered to the agent.
    let ran = ws.shell("echo '{\"text\": \"hello\"}' | tools/shout");
    assert_eq!((ran.code, ran.out.as_str()), (0, "shout: hello\n"), "{ran:?}");
    assert!(ws.claw(&["agents", "show", "gardener"]).ok().contains("shout"));
    assert!(ws.claw(&["prompt", "gardener"]).ok().contains("You are a gardener."));
    assert!(ws.claw(&["skills"]).ok().contains("brew-tea"));
    assert_eq!(ws.claw(&["ask", "-n", "-a", "plain", "hello"]).code, 0);

    for (arguments, code, message) in [
        (&["new", "agent", "../x"][..], 65, "`../x` is not an agent id"),
        (&["new", "skill", "../x"], 65, "`../x` is not a name for a skill"),
        (&["new", "skill", "Tea"], 65, "`Tea` is not a name for a skill"),
        (&["new", "tool", "../x"], 65, "`../x` is not a name for a tool"),
        (&["new", "tool", "bash"], 65, "there is a built-in tool `bash`"),
        (&["new", "agent", "plain"], 1, "agents/plain/AGENT.md exists"),
        (&["new", "skill", "brew-tea"], 1, "skills/brew-tea/SKILL.md exists"),
        (&["new", "tool", "shout"], 1, "tools/shout exists"),
        (&["new", "cron", "never", "--schedule", "0 0 30 2 *", "x"], 65, "claw: schedule `0 0 30 2 *` never fires"),
    ] {
        let err = ws.claw(arguments).fails(code);
        assert!(err.contains(message) && !err.contains("CRON.md:"), "{arguments:?}: {err}");
    }
    assert!(!ws.path("crons/never").exists() && !ws.path("x").exists());
}

/// An editor that runs a line of shell on the file `$1`.
fn editor(ws: &Fixture, line: &str) -> Command {
    let path = ws.dir.path().join("editor");
    fs::write(&path, format!("#!/bin/sh\n{line}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = ws.command(&["agents", "edit", "pickle"]);
    command.env("EDITOR", format!("{} --wait", path.display()));
    command
}

#[test]
fn agent_is_saved_only_if_it_is_valid() {
    let ws = Fixture::new();
    let before = ws.read("agents/pickle/AGENT.md");
    let run = |line: &str| crate::common::Ran::from(editor(&ws, line).output().unwrap());
    let ran = run("shift; exit 3");
    assert!(ran.code == 1 && ran.err.contains("ended with exit status: 3"), "{ran:?}");
    let ran = run("true");
    assert!(ran.code == 0 && ran.err.contains("is unchanged"), "{ran:?}");
    let ran = run("echo '---\nname: [' > \"$2\"");
    assert!(
        ran.code == 65 && ran.err.contains("agents/pickle/AGENT.md:") && ran.err.contains("goes on with the draft"),
        "{ran:?}"
    );
    assert_eq!(ws.read("agents/pickle/AGENT.md"), before);
    // The next edit goes on with the draft.
    let ran = run("grep -q 'name: \\[' \"$2\" && printf -- '---\\nname: Pickle\\n---\\nYou are new.\\n' > \"$2\"");
    assert!(ran.code == 0 && ran.err.contains("agents/pickle/AGENT.md is saved"), "{ran:?}");
    assert_eq!(ws.read("agents/pickle/AGENT.md"), "---\nname: Pickle\n---\nYou are new.\n");
    assert_eq!(ws.list(".claw/edit"), [""; 0]);
    assert!(ws.claw(&["agents", "edit", "nobody"]).fails(65).contains("nobody"));
}

#[test]
fn usage_is_drawn_and_exported() {
    let ws = Fixture::new();
    let reply = r#"{"content": "ok", "usage": {"input": 100, "output": 20}}"#;
    ws.write("tools/model", &format!("#!/bin/sh\ncat > /dev/null\necho '{reply}'\n"));
    ws.model("m", "provider: command, command: [sh, tools/model], price: {input: 1, output: 2}");
    ws.claw(&["trust"]).ok();
    let run = |day: &str, arguments: &[&str]| {
        let mut command = ws.command(arguments);
        command.env("CLAW_NOW", format!("2026-11-{day}T12:00:00Z"));
        crate::common::Ran::from(command.output().unwrap()).ok()
    };
    run("19", &["ask", "-n", "hello"]);
    run("21", &["ask", "-n", "-s", "a", "hello"]);
    run("21", &["ask", "-n", "-s", "a", "hello"]);
    let plot = run("21", &["usage", "--plot"]);
    let lines: Vec<&str> = plot.lines().collect();
    assert_eq!(lines.len(), 30, "{plot}");
    assert!(lines[29].starts_with("11-21 Sat  ####") && lines[29].len() <= 80, "{plot}");
    let hashes = |line: &str| line.matches('#').count();
    assert_eq!((hashes(lines[29]) / 2, hashes(lines[28])), (hashes(lines[27]), 0), "{plot}");
    assert_eq!(run("21", &["usage", "--plot", "--since", "2026-11-20"]).lines().count(), 2);
    let csv = run("21", &["usage", "--csv", "--by", "session"]);
    assert!(csv.starts_with("session,calls,input,cached,output,money,currency,estimated_calls\r\n"), "{csv}");
    assert!(csv.contains("\r\npickle.a,2,200,0,40,"), "{csv}");
}
