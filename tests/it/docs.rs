//! The documents: every command in them runs, every example of the help texts runs, and the reference is that of the
//! schemas. `CLAW_WRITE_SNAPSHOTS=1 cargo test --test it docs::` writes the reference.

use crate::common::{Fixture, Ran, findings, skipped};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The blocks of a language in a Markdown file.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        match &mut open {
            Some(block) if line == "```" => {
                blocks.push(std::mem::take(block));
                open = None;
            }
            Some(block) => *block += &format!("{line}\n"),
            None if line == format!("```{language}") => open = Some(String::new()),
            None => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// A workspace with programs in the place of those that change this machine.
struct Stage {
    ws: Fixture,
    path: String,
}

impl Stage {
    fn new() -> Self {
        let ws = Fixture::new();
        let bin = ws.dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        for (name, text) in [
            ("systemctl", "exit 0"),
            ("loginctl", "exit 0"),
            ("crontab", "[ \"$1\" = - ] && cat >/dev/null; exit 0"),
            ("make", "exit 0"),
            ("man", "cat >/dev/null"),
            ("vi", "exit 0"),
        ] {
            fs::write(bin.join(name), format!("#!/bin/sh\n{text}\n")).unwrap();
            fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let program = ws.command(&[]).get_program().to_owned();
        let own = Path::new(&program).parent().unwrap().display().to_string();
        let path = format!("{}:{own}:{}", bin.display(), std::env::var("PATH").unwrap());
        Self { ws, path }
    }

    fn shell(&self, text: &str) -> Ran {
        let mut command = self.ws.command(&[]);
        let mut shell = Command::new("timeout");
        shell.args(["-s", "TERM", "20", "bash", "-euo", "pipefail", "-c", text]).current_dir(&self.ws.root).env_clear();
        shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.env("PATH", &self.path).env("OPENAI_API_KEY", "none").env("LANG", "C.UTF-8");
        shell.stdin(std::process::Stdio::null());
        let _ = &mut command;
        shell.output().unwrap().into()
    }
}

fn has_jq() -> bool {
    Command::new("jq").arg("--version").output().is_ok_and(|ran| ran.status.success())
}

#[test]
fn every_block_of_the_guides_runs() {
    if !has_jq() {
        return skipped("there is no jq");
    }
    let mut wrong = Vec::new();
    for (document, least) in [("docs/cookbook.md", 10), ("docs/first.md", 5), ("docs/background.md", 5)] {
        let stage = Stage::new();
        let found = blocks(&read(document), "sh");
        assert!(found.len() >= least, "{document} has {} blocks", found.len());
        for block in found {
            let ran = stage.shell(&block);
            if ran.code != 0 {
                wrong.push(format!("{document}:\n{block}{ran:#?}"));
            }
        }
    }
    findings::none("commands in the documents fail", &wrong);
}

#[test]
fn every_provider_page_has_valid_settings() {
    let mut providers = BTreeSet::new();
    for entry in fs::read_dir(root().join("docs/providers")).unwrap() {
        let path = entry.unwrap().path();
        let found = blocks(&fs::read_to_string(&path).unwrap(), "yaml");
        assert_eq!(found.len(), 1, "{}", path.display());
        let (config, warnings) = claw::core::config::parse(&found[0]).unwrap();
        assert_eq!(warnings, [], "{}", path.display());
        let model = config.models.get(&config.model).unwrap();
        assert_eq!(model.problem(), None, "{}", path.display());
        providers.insert(model.provider.clone().unwrap());
    }
    assert_eq!(providers.into_iter().collect::<Vec<_>>(), ["anthropic", "command", "ollama", "openai"]);
}

/// The commands without `help` and hidden ones, with their paths.
fn commands(command: &clap::Command, above: &str, found: &mut Vec<(String, clap::Command)>) {
    for below in command.get_subcommands().filter(|below| below.get_name() != "help" && !below.is_hide_set()) {
        let path = format!("{above} {}", below.get_name()).trim().to_owned();
        found.push((path.clone(), below.clone()));
        commands(below, &path, found);
    }
}

#[test]
fn every_command_has_examples_and_a_man_page() {
    let program = claw::cli::documented();
    let mut all = Vec::new();
    commands(&program, "", &mut all);
    let mut wrong = Vec::new();
    for (path, command) in &all {
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        if !after.contains("Examples:\n") || !after.contains(&format!("claw {}", path.split(' ').next().unwrap())) {
            wrong.push(format!("{path}: add a line to src/command/examples.rs"));
        }
    }
    findings::none("commands have no examples", &wrong);
    let ws = Fixture::new();
    let help = ws.claw(&["crons", "next", "--help"]).ok();
    assert!(help.ends_with("Examples:\n  claw crons next morning -n 20\n"), "{help}");
    let pages = ws.claw(&["man", "--dir", "man"]).ok();
    let names: BTreeSet<&str> = pages.lines().collect();
    for (path, _) in all.iter().filter(|(path, _)| !path.contains(' ')) {
        assert!(names.contains(&format!("claw-{path}.1")[..]), "{path}");
    }
    assert_eq!(names.len(), ws.list("man").len());
    let page = ws.read("man/claw-crons.1");
    assert!(page.contains("claw crons next") && page.contains("Examples:") && page.is_ascii(), "{page}");
    assert_eq!(ws.claw(&["man", "crons"]).ok(), page);
    if Command::new("man").arg("--version").output().is_ok() {
        for name in names {
            let ran = ws.shell(&format!("LC_ALL=C.UTF-8 man -l --warnings=all man/{name} 2>&1 >/dev/null"));
            assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{name}: {ran:?}");
        }
    }
}

#[test]
fn every_example_runs() {
    const ID: &str = "20261121T004130.123456Z-k7f3q9";
    if !has_jq() {
        return skipped("there is no jq");
    }
    let stage = Stage::new();
    let ws = &stage.ws;
    let home = ws.dir.path();
    for (path, text) in
        [(".openclaw/workspace/MEMORY.md", "- x\n"), (".pickle-bot/agents/a/AGENT.md", "---\nname: A\n---\nx\n")]
    {
        fs::create_dir_all(home.join(path).parent().unwrap()).unwrap();
        fs::write(home.join(path), text).unwrap();
    }
    fs::write(ws.path("notes.txt"), "x\n").unwrap();
    ws.write("memories/topics/house.md", "- the address of the NAS is 10.0.0.7\n");
    let models = "model: stub\nmodels:\n  stub: {provider: command, command: [echo, ok]}\n  gpt: {provider: openai, model: m, api_key_file: .secrets/gpt}\n";
    ws.write("claw.yaml", &ws.read("claw.yaml").replacen("model: offline\n", models, 1));
    ws.claw(&["trust"]).ok();
    ws.write("key.txt", &format!("sk-{}\n", "k1".repeat(24)));
    ws.write(
        "crons/morning/CRON.md",
        "---\nname: Morning\nagent: pickle\nschedule: '0 7 * * *'\nif: test -e notes.txt\n---\nSay hello.\n",
    );
    ws.claw(&["ask", "-n", "-s", "work", "remember that the NAS is 10.0.0.7"]).ok();
    ws.claw(&["ask", "-n", "-s", "old", "hello"]).ok();
    let mut wrong = Vec::new();
    let mut count = 0;
    // These need a platform, a running listener or a history; the tests of these features run them.
    let elsewhere = ["channels", "listen", "memory", "page", "pair"];
    for (command, lines) in claw::command::examples::ROWS.iter().filter(|(command, _)| !elsewhere.contains(command)) {
        for line in *lines {
            // An event that the command can work on; its id is free again after each line.
            let box_of = |command: &str| match command {
                "retry" | "discard" => Some(format!("inbox/failed/{ID}~pickle.file-a~1.json")),
                "run-agent" => Some(format!("inbox/ready/{ID}~pickle.file-a~0.json")),
                "why" => Some(format!("inbox/new/{ID}.json")),
                _ => None,
            };
            let event = format!(
                r#"{{"v":1,"id":"{ID}","kind":"message","from":"file:a","reply_to":"file:a","content":"hi","created_at":"2026-11-21T00:41:30Z"}}"#
            );
            if let Some(path) = box_of(command).filter(|_| line.contains("k7f3q9")) {
                ws.write(&path, &event);
            }
            let settings = ws.read("claw.yaml");
            // Approvals need a model that asks for one; `claw approve` and `claw deny` say that there is none.
            let is_refused = matches!(*command, "approve" | "deny") && line.contains("k7f3q9");
            let ran = match *command {
                "supervise" => stage.shell(&format!("timeout -s TERM 1 {line} || [ $? = 124 ]")),
                // Reading only from a terminal makes no sense here; stdin is empty.
                _ => stage.shell(line),
            };
            let expected = if is_refused { 65 } else { 0 };
            // `claw check` reports this machine; a pipe reports its result.
            let is_check = *command == "check" && matches!(ran.code, 0 | 78);
            if ran.code != expected && !is_check {
                wrong.push(format!("{line}\n{ran:#?}"));
            }
            if *command == "models" {
                ws.write("claw.yaml", &settings);
            }
            for folder in ["failed", "ready", "new", "done", "wait"] {
                let all =
                    ws.shell(&format!("find inbox/{folder} outbox/{folder} -name '*k7f3q9*' -delete 2>/dev/null"));
                let _ = all;
            }
            count += 1;
        }
    }
    findings::none("examples of help texts fail", &wrong);
    assert!(count > 80, "{count}");
}

/// A schema's type in words.
fn kind(schema: &Value, defs: &Value) -> String {
    let list = |values: &[Value], defs: &Value| {
        let mut kinds: Vec<String> = Vec::new();
        for value in values {
            let kind = kind(value, defs);
            if !kinds.contains(&kind) && kind != "null" {
                kinds.push(kind);
            }
        }
        kinds.join(" or ")
    };
    if let Some(to) = schema["$ref"].as_str() {
        return match to.strip_prefix("#/$defs/") {
            Some(name) => kind(&defs[name], defs),
            None => "the same".to_owned(),
        };
    }
    if let Some(value) = schema.get("const") {
        return format!("`{}`", value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned));
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<String> = values
            .iter()
            .filter(|value| !value.is_null())
            .map(|value| format!("`{}`", value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)))
            .collect();
        return values.join(", ");
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(values) = schema[key].as_array() {
            return list(values, defs);
        }
    }
    match &schema["type"] {
        Value::String(one) if one == "array" => match schema.get("items") {
            Some(items) => format!("list of {}", kind(items, defs)),
            None => "list".to_owned(),
        },
        Value::String(one) => one.clone(),
        Value::Array(all) => {
            let kinds: Vec<&str> = all.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect();
            kinds.join(" or ")
        }
        _ => "any".to_owned(),
    }
}

/// A text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Rows for the fields of an object, and of the objects in it.
fn rows(schema: &Value, defs: &Value, path: &str, seen: &[String], text: &mut String) {
    if let Some(to) = schema["$ref"].as_str() {
        let Some(name) = to.strip_prefix("#/$defs/").map(ToOwned::to_owned) else { return };
        if !seen.contains(&name) {
            rows(&defs[&name], defs, path, &[seen, std::slice::from_ref(&name)].concat(), text);
        }
        return;
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        for below in schema[key].as_array().into_iter().flatten() {
            rows(below, defs, path, seen, text);
        }
    }
    if schema.get("items").is_some_and(Value::is_object) {
        rows(&schema["items"], defs, &format!("{path}[]"), seen, text);
    }
    if schema.get("additionalProperties").is_some_and(Value::is_object) {
        let below = if path.is_empty() { "NAME".to_owned() } else { format!("{path}.NAME") };
        rows(&schema["additionalProperties"], defs, &below, seen, text);
    }
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let at = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let own = field["description"].as_str();
        let named = field["$ref"].as_str().and_then(|to| to.strip_prefix("#/$defs/"));
        let about = own.or_else(|| defs[named?]["description"].as_str()).unwrap_or_default();
        let default = field.get("default").filter(|value| !value.is_null() && *value != &serde_json::json!({}));
        let default = default.filter(|value| value.as_array().is_none_or(|all| !all.is_empty()) && *value != "");
        let default = default.map(|value| format!(" Default: `{value}`.")).unwrap_or_default();
        let mark = if required.contains(&&name[..]) { "" } else { "?" };
        let _ =
            writeln!(text, "| `{at}`{mark} | {} | {} |", cell(&kind(field, defs)), cell(&format!("{about}{default}")));
        rows(field, defs, &at, seen, text);
    }
}

fn table(schema: &Value, defs: &Value) -> String {
    let mut found = String::new();
    rows(schema, defs, "", &[], &mut found);
    // Alternatives repeat their common fields.
    let mut seen = BTreeSet::new();
    let lines: Vec<&str> = found.lines().filter(|line| seen.insert((*line).to_owned())).collect();
    format!("| field | type | |\n|---|---|---|\n{}\n", lines.join("\n"))
}

fn schema(name: &str) -> Value {
    serde_json::from_str(&read(&format!("docs/schema/{name}.json"))).unwrap()
}

const HEAD: &str = "A field with `?` may be missing. A name with dots is a field within fields, `[]` an item of a list, and `NAME` a name\n\
                    that you choose. This page is generated from";

/// The pages of the reference: path and text.
fn reference() -> Vec<(String, String)> {
    let mut pages = Vec::new();
    for (page, title, name) in
        [("settings", "claw.yaml", "claw.yaml"), ("agent", "AGENT.md", "agent"), ("cron", "CRON.md", "cron")]
    {
        let schema = schema(name);
        let what = if page == "settings" {
            "The settings of a workspace."
        } else {
            "The front matter; the text below it is the prompt."
        };
        let text = format!(
            "# {title}\n\n{what} Editors that know JSON Schema complete them with `docs/schema/{name}.json`.\n\n{HEAD} `docs/schema/{name}.json`.\n\n{}",
            table(&schema, &schema["$defs"])
        );
        pages.push((format!("docs/reference/{page}.md"), text));
    }
    let event = schema("event");
    let text = format!(
        "# The event\n\nOne JSON object, as in the files of `inbox/` and `outbox/` and in the logs of sessions. Unknown \
         fields are kept.\n\n{HEAD} `docs/schema/event.json`.\n\n{}",
        table(&event, &event["$defs"])
    );
    pages.push(("docs/reference/event.md".to_owned(), text));
    let mut text = format!(
        "# JSON output\n\nEvery command with `--json` prints one document for one thing and JSON Lines for a list; nothing else is on stdout.\n\n{HEAD} the schemas in `docs/schema/`.\n"
    );
    let mut names: Vec<String> = fs::read_dir(root().join("docs/schema"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap().trim_end_matches(".json").to_owned())
        .collect();
    names.sort();
    for name in names {
        let schema = schema(&name);
        let title = schema["title"].as_str().unwrap_or_default();
        if let Some((command, about)) =
            title.split_once(": ").filter(|_| title.starts_with("claw ") && title.contains("--json"))
        {
            let _ = write!(
                text,
                "\n## {command}\n\n{}{}: `docs/schema/{name}.json`.\n\n{}",
                about[..1].to_uppercase(),
                &about[1..],
                table(&schema, &schema["$defs"])
            );
        }
    }
    pages.push(("docs/reference/json.md".to_owned(), text));
    pages
}

#[test]
fn reference_is_that_of_the_schemas() {
    for (path, text) in reference() {
        assert!(text.lines().count() > 15, "{path} is nearly empty:\n{text}");
        if std::env::var_os("CLAW_WRITE_SNAPSHOTS").is_some() {
            fs::write(root().join(&path), &text).unwrap();
        }
        let known = fs::read_to_string(root().join(&path)).unwrap_or_default();
        assert!(known == text, "{path} differs from its schema: CLAW_WRITE_SNAPSHOTS=1 writes it anew");
    }
}

/// `docs/session.svg` is drawn from the output of the commands in `docs/draw-session`; clock and ids are fixed.
#[test]
fn picture_shows_the_output_of_the_commands() {
    let ws = Fixture::empty();
    let mut command = ws.command(&[]);
    let mut script = Command::new(root().join("docs/draw-session"));
    let program = command.get_program().to_owned();
    script.arg(&program).arg("-").env_clear();
    script.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(&ws.root);
    let _ = &mut command;
    let Ok(output) = script.output() else { return skipped("there is no python3") };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let drawn = String::from_utf8(output.stdout).unwrap();
    if std::env::var_os("CLAW_WRITE_SNAPSHOTS").is_some() {
        fs::write(root().join("docs/session.svg"), &drawn).unwrap();
    }
    let durations = regex::Regex::new(r"\bin \d+(?:\.\d+)? m?s\b").unwrap();
    let plain = |text: &str| durations.replace_all(text, "TIME").into_owned();
    assert!(plain(&drawn) == plain(&read("docs/session.svg")), "docs/session.svg is not what docs/draw-session draws");
}

/// The words of each simple command of a shell text: comments, redirections and assignments are left out. It knows quotes
/// and substitutions as far as the documents use them.
fn simple_commands(text: &str) -> Vec<Vec<String>> {
    let (mut commands, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let mut chars = text.chars().peekable();
    let mut quote = None;
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '\\') => drop(chars.next()),
            (None, '#') if word.is_none() => while chars.next_if(|c| *c != '\n').is_some() {},
            (None, ' ' | '\t') => words.extend(word.take()),
            (None, '\n' | '|' | ';' | '&' | '(' | ')' | '`') => {
                words.extend(word.take());
                commands.push(std::mem::take(&mut words));
            }
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    commands.push(words);
    for words in &mut commands {
        let begin = words.iter().position(|word| word == "claw").unwrap_or(words.len());
        words.drain(..begin);
        let end = words.iter().position(|word| word.trim_start_matches(['1', '2']).starts_with(['>', '<']));
        words.truncate(end.unwrap_or(words.len()));
    }
    commands.retain(|words| words.len() > 1);
    commands
}

/// The pieces of a document that are typed into a shell: blocks of `sh`, lines of `console` after `$`, and code within
/// text that begins with `claw`, with true.
fn typed(text: &str) -> Vec<(String, bool)> {
    let mut pieces = blocks(text, "sh");
    for block in blocks(text, "console") {
        pieces.extend(block.lines().filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned));
    }
    let mut is_block = false;
    let prose: Vec<&str> = text
        .lines()
        .filter(|line| {
            is_block ^= line.starts_with("```");
            !is_block
        })
        .collect();
    let prose = prose.join(" ");
    let pieces = pieces.into_iter().map(|piece| (piece, false));
    let spans = prose.split('`').skip(1).step_by(2).map(|span| span.split_whitespace().collect::<Vec<_>>().join(" "));
    // `[…]`, `…` and `A|B` describe the syntax.
    let spans = spans.filter(|span| span.starts_with("claw ") && !span.contains(['[', '…', '|', '_']));
    pieces.chain(spans.map(|span| (span, true))).collect()
}

#[test]
fn every_command_in_the_documents_is_accepted() {
    let mut paths = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned()];
    for folder in ["docs", "docs/providers"] {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        paths.extend(names.filter(|name| name.ends_with(".md")).map(|name| format!("{folder}/{name}")));
    }
    let (mut wrong, mut count) = (Vec::new(), 0);
    for path in paths {
        for (piece, is_prose) in typed(&read(&path)) {
            for words in simple_commands(&piece) {
                count += 1;
                let shown = words.join(" ");
                let Err(error) = claw::cli::documented().try_get_matches_from(words) else { continue };
                // A text may name a command without its arguments.
                let is_name = is_prose && error.kind() == clap::error::ErrorKind::MissingRequiredArgument;
                if error.use_stderr() && !is_name {
                    wrong.push(format!("{path}: {shown}: {}", error.to_string().lines().next().unwrap_or_default()));
                }
            }
        }
    }
    findings::none("commands in the documents are refused", &wrong);
    assert!(count > 150, "{count}");
}

#[test]
fn shell_texts_are_taken_apart() {
    let text =
        "FOO=1 claw ask \"a | b\" -f x 2>err | claw send - # claw not this\ncd x && claw why \"$(claw send 'y')\"\n";
    let found: Vec<String> = simple_commands(text).iter().map(|words| words.join(" ")).collect();
    assert_eq!(found, ["claw ask a | b -f x", "claw send -", "claw why $(claw send 'y')"]);
}
