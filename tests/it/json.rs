//! `--json` of every command: one document for one thing, JSON Lines for a list, nothing else on stdout; each document
//! against its schema in `docs/schema/`, with an independent validator.

use crate::common::strict::{Answer, Script, Strict};
use crate::common::{Fixture, Ran, peer};
use clap::CommandFactory;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Every command with `--json`, and the name of its schema.
const SCHEMAS: &[(&str, &str)] = &[
    ("agents", "agents"),
    ("agents edit", "agents"),
    ("agents show", "agents"),
    ("approve", "approve"),
    ("ask", "ask"),
    ("channels", "channels"),
    ("check", "check"),
    ("config get", "config-get"),
    ("crons", "crons"),
    ("crons approve", "crons-approve"),
    ("crons audit", "crons-audit"),
    ("crons list", "crons"),
    ("crons next", "crons-next"),
    ("crons pause", "crons"),
    ("crons resume", "crons"),
    ("crons run", "crons"),
    ("deliver", "deliver"),
    ("init", "init"),
    ("keys list", "keys"),
    ("log", "log"),
    ("models", "models"),
    ("pair", "pair"),
    ("pair approve", "pair"),
    ("pair invite", "pair"),
    ("pair list", "pair"),
    ("pair revoke", "pair"),
    ("prompt", "prompt"),
    ("recall", "recall"),
    ("route", "route"),
    ("sessions", "sessions"),
    ("sessions list", "sessions"),
    ("sessions show", "session-log"),
    ("skills", "skills"),
    ("skills approve", "skills-approve"),
    ("skills check", "check"),
    ("skills show", "skills"),
    ("status", "status"),
    ("tasks", "tasks"),
    ("tasks add", "tasks"),
    ("tasks claim", "tasks"),
    ("tasks done", "tasks"),
    ("tasks list", "tasks"),
    ("tasks release", "tasks"),
    ("tasks show", "tasks"),
    ("usage", "usage"),
    ("why", "why"),
];

fn plan(step: usize, _: &[String]) -> Answer {
    let task = json!({"agent_id": "cookie", "task": "script:look"});
    let later = json!({"agent_id": "cookie", "task": "script:look", "wait": false});
    let note = json!({"text": "the NAS is 10.0.0.7"});
    match step {
        0 => ("", vec![("subagent_dispatch", task), ("subagent_dispatch", later), ("remember", note)]),
        _ => ("It is 10.0.0.7.", vec![]),
    }
}

fn look(_: usize, _: &[String]) -> Answer {
    ("The NAS is 10.0.0.7.", vec![])
}

fn act(_: usize, _: &[String]) -> Answer {
    ("I would.", vec![("act", json!({"line": 1}))])
}

const SCRIPTS: &[(&str, Script)] =
    &[("script:plan", plan), ("script:look", look), ("Result from", look), ("script:act", act)];

fn path(schema: &str) -> String {
    format!("docs/schema/{schema}.json")
}

fn schema_of(command: &str) -> &'static str {
    SCHEMAS.iter().find(|(name, _)| *name == command).unwrap_or_else(|| panic!("no schema for `{command}`")).1
}

/// The documents that commands have printed, by schema, and the commands.
#[derive(Default)]
struct Documents {
    by_schema: BTreeMap<&'static str, Vec<Value>>,
    commands: BTreeSet<String>,
}

impl Documents {
    /// Adds the output of a command: JSON objects, one on each line, at least one.
    #[track_caller]
    fn add(&mut self, command: &str, ran: &Ran) -> Vec<Value> {
        assert!(matches!(ran.code, 0 | 78), "{command}: {ran:#?}");
        let documents: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(!documents.is_empty() && documents.iter().all(Value::is_object), "{command}: {ran:#?}");
        self.commands.insert(command.to_owned());
        self.by_schema.entry(schema_of(command)).or_default().extend(documents.clone());
        documents
    }

    /// Runs a command with `--json` and adds its output.
    #[track_caller]
    fn run(&mut self, ws: &Fixture, command: &str, arguments: &[&str]) -> Vec<Value> {
        let words: Vec<&str> = command.split(' ').chain(["--json"]).chain(arguments.iter().copied()).collect();
        self.add(command, &ws.claw(&words))
    }

    /// Runs a command whose output is one document.
    #[track_caller]
    fn one(&mut self, ws: &Fixture, command: &str, arguments: &[&str]) -> Value {
        let mut documents = self.run(ws, command, arguments);
        assert_eq!(documents.len(), 1, "{command}: {documents:#?}");
        documents.remove(0)
    }
}

/// A workspace with an agent that needs approval for a tool, and with a skill that has a script.
fn workspace(server: &Strict) -> Fixture {
    let ws = Fixture::new();
    server.model(&ws);
    let noter = r#"noter: {provider: command, command: [echo, '{"content": "Noted.", "remember": ["milk"]}']}"#;
    ws.write("claw.yaml", &ws.read("claw.yaml").replace("\nmodels:\n", &format!("\nmodels:\n  {noter}\n")));
    ws.write("tools/act", "#!/bin/sh\necho done\n");
    ws.write("tools/act.json", &json!({"description": "Acts.", "parameters": {"type": "object"}}).to_string());
    assert_eq!(ws.shell("chmod +x tools/act").code, 0);
    let text = ws.read("agents/cookie/AGENT.md");
    ws.write("agents/cookie/AGENT.md", &text.replacen("---\n", "---\ntools: [recall, act: {approve: true}]\n", 1));
    ws.write(
        "skills/weather/SKILL.md",
        "---\nname: weather\ndescription: Tells the weather.\nrequire: x\n---\nLook.\n",
    );
    ws.write("skills/weather/scripts/look.sh", "#!/bin/sh\necho blue\n");
    ws
}

/// Makes events in many states; returns the ids of those that are not routed.
fn fill(ws: &Fixture, all: &mut Documents) -> Vec<String> {
    all.one(ws, "ask", &["-n", "-s", "work", "script:plan"]);
    all.one(ws, "ask", &["-n", "-m", "noter", "remember the milk"]);
    ws.claw(&["send", "--agent", "cookie", "--from", "file:a", "script:act"]).ok();
    ws.claw(&["send", "--from", "file:b", "script:look"]).ok();
    ws.claw(&["send", "script:look"]).ok();
    ws.claw(&["route"]).ok();
    ws.claw(&["run-agent"]).ok();
    let delivered = all.run(ws, "deliver", &[]);
    assert!(delivered.iter().any(|line| line["event"]["content"] == "The NAS is 10.0.0.7."), "{delivered:#?}");
    assert!(delivered.iter().any(|line| line["receipt"].is_string()), "{delivered:#?}");
    ws.claw(&["tick"]).ok();
    let scheduled = ws.claw(&["send", "--in", "1h", "later"]).ok();
    ws.write("inbox/picture.png", "\u{89}PNG");
    ws.claw(&["tick"]);
    let new = ws.claw(&["send", "script:look"]).ok();
    vec![scheduled.trim().to_owned(), new.trim().to_owned()]
}

fn read(ws: &Fixture, all: &mut Documents, unrouted: &[String]) {
    let old = ws.dir.path().join("old");
    fs::create_dir_all(old.join("memory")).unwrap();
    fs::write(old.join("memory/a.md"), "- a\n").unwrap();
    fs::write(old.join(".env"), "A=1\n").unwrap();
    all.run(ws, "init", &["--dry-run", "--from", "../old"]);
    all.run(ws, "agents", &[]);
    all.one(ws, "agents show", &["cookie"]);
    all.add("agents edit", &ws.shell("EDITOR=true claw agents edit --json cookie"));
    let approval = all.one(ws, "approve", &[]);
    assert_eq!((&approval["agent"], &approval["tool"]), (&json!("cookie"), &json!("act")));
    all.one(ws, "config get", &["model"]);
    all.run(ws, "keys list", &[]);
    all.run(ws, "models", &["--offline"]);
    all.one(ws, "prompt", &["pickle"]);
    all.run(ws, "recall", &["NAS"]);
    all.one(ws, "route", &["--explain", "file:b"]);
    all.run(ws, "sessions", &[]);
    all.run(ws, "sessions list", &[]);
    all.run(ws, "sessions show", &["pickle.work"]);
    all.run(ws, "skills", &[]);
    all.one(ws, "skills show", &["weather"]);
    all.run(ws, "skills check", &[]);
    all.run(ws, "skills approve", &["--dry-run", "weather"]);
    all.run(ws, "skills approve", &["weather"]);
    for rows in ["day", "agent", "session", "model"] {
        all.run(ws, "usage", &["--by", rows]);
    }
    let log = all.run(ws, "log", &[]);
    let ids: BTreeSet<&str> =
        log.iter().filter_map(|line| line["id"].as_str()).chain(unrouted.iter().map(String::as_str)).collect();
    let mut states = BTreeSet::new();
    for id in ids.into_iter().filter(|id| !id.contains(".a")) {
        let report = all.one(ws, "why", &[id]);
        let outgoing = report["outgoing"].as_array().unwrap().iter();
        states.extend(outgoing.chain([&report]).map(|event| event["status"].as_str().unwrap().to_owned()));
    }
    for state in ["done", "failed", "new", "returned", "saved", "scheduled", "sent"] {
        assert!(states.contains(state), "no event is {state}: {states:?}");
    }
}

fn tasks(ws: &Fixture, all: &mut Documents) {
    let id = all.one(ws, "tasks add", &["Water the plants"])["id"].as_str().unwrap().to_owned();
    all.one(ws, "tasks add", &["Another"]);
    assert_eq!(all.one(ws, "tasks claim", &[&id])["state"], "claimed");
    assert_eq!(all.one(ws, "tasks release", &[&id])["state"], "open");
    assert_eq!(all.one(ws, "tasks done", &["--result", "Wet.", &id])["state"], "done");
    all.one(ws, "tasks show", &[&id]);
    all.one(ws, "tasks", &[]);
    assert_eq!(all.run(ws, "tasks list", &["--all"]).len(), 2);
}

fn crons(ws: &Fixture, all: &mut Documents) {
    let file = "---\nname: look\nagent: pickle\nschedule: '0 7 * * *'\nif: cat files/news\n---\nscript:look\n";
    ws.write("crons/look/CRON.md", file);
    ws.write("crons/bad/CRON.md", "x");
    ws.write("files/news", "x");
    ws.claw(&["tick"]);
    for command in ["run", "approve", "pause", "resume"] {
        all.one(ws, &format!("crons {command}"), &["look"]);
        let status = all.one(ws, "status", &[]);
        let (next, paused) = (&status["next_run"]["job"], &status["jobs"][0]["paused"]);
        let expected =
            if command == "pause" { (json!(null), json!("by the owner")) } else { (json!("look"), json!(null)) };
        assert_eq!((next, paused), (&expected.0, &expected.1), "{command}");
    }
    all.run(ws, "crons next", &["look"]);
    ws.claw(&["tick", "--now", "2030-01-01T07:00:00Z"]);
    fs::remove_dir_all(ws.path("crons/bad")).unwrap();
    for command in ["crons", "crons list", "crons audit"] {
        all.one(ws, command, &[]);
    }
    fs::remove_dir_all(ws.path("crons/look")).unwrap();
}

fn channels(ws: &Fixture, all: &mut Documents) {
    let program = r#"printf '{"id": 1, "from": "eve", "text": "hi"}\n'; while read -r line; do
        case $line in
        *ping*) n=${line#*:}; printf '{"pong":%s}\n' "${n%\}}";;
        *send*) id=${line#*\"id\":\"}; printf '{"sent":"%s"}\n' "${id%%\"*}";;
        esac; done"#;
    ws.write("bot.sh", program);
    ws.config(
        "channels:\n  bot: {type: exec, command: [sh, bot.sh], pairing: ask}\n  exec: {phone: {command: [cat]}}\n",
    );
    ws.claw(&["listen", "bot", "--once"]).ok();
    assert_eq!(all.run(ws, "channels", &[]).len(), 2);
    all.one(ws, "pair invite", &["bot"]);
    let pending = all.run(ws, "pair", &[]);
    assert_eq!((&pending[0]["state"], &pending[1]["state"]), (&json!("pending"), &json!("invited")), "{pending:#?}");
    let name = ws.list(".claw/pairing/pending").remove(0);
    let code: Value = serde_json::from_str(&ws.read(&format!(".claw/pairing/pending/{name}"))).unwrap();
    all.one(ws, "pair approve", &[code["code"].as_str().unwrap()]);
    all.run(ws, "pair list", &[]);
    all.one(ws, "pair revoke", &["bot:eve"]);
    fs::remove_file(ws.path(".claw/listeners/bot.json")).unwrap();
    ws.write(
        ".claw/listeners/bot.json",
        r#"{"condition": "crash-loop", "why": "it ends", "since": "2026-11-21T00:00:00Z"}"#,
    );
    assert_eq!(all.one(ws, "status", &[])["channels"][0]["state"], "crash-loop");
}

#[test]
fn output_of_every_command_matches_its_schema() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server);
    let mut all = Documents::default();
    let unrouted = fill(&ws, &mut all);
    read(&ws, &mut all, &unrouted);
    tasks(&ws, &mut all);
    crons(&workspace(&server), &mut all);
    channels(&Fixture::new(), &mut all);
    ws.config("budget: {day: {calls: 1}}\n");
    ws.write("agents/broken/AGENT.md", "---\nname: Broken\nmax_steps: many\n---\nx\n");
    all.run(&ws, "agents", &[]);
    all.run(&ws, "check", &[]);
    let status = all.add("status", &ws.shell("claw tasks claim -- claw status --json")).remove(0);
    for list in ["waiting", "failed", "locks", "limits_reached", "problems"] {
        assert!(!status[list].as_array().unwrap().is_empty(), "{list}: {status:#}");
    }
    assert_eq!(server.broken(), [""; 0]);
    let covered: Vec<&str> = all.commands.iter().map(String::as_str).collect();
    assert_eq!(covered, SCHEMAS.iter().map(|(command, _)| *command).collect::<Vec<_>>(), "commands that were run");
    for (schema, documents) in &all.by_schema {
        let Some(complaints) = peer::complaints(&path(schema), false, documents) else { return };
        assert_eq!(complaints, "", "{schema}: {documents:#?}");
        let mut other = documents[0].clone();
        other["unknown_field"] = json!(1);
        assert_ne!(peer::complaints(&path(schema), false, &[other]).unwrap(), "", "{schema} permits any field");
    }
}

/// The paths of all commands with a flag `--json`.
fn with_json(command: &clap::Command, above: &str, found: &mut BTreeSet<String>) {
    for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
        let name = format!("{above} {}", command.get_name()).trim().to_owned();
        if command.get_arguments().any(|argument| argument.get_long() == Some("json")) {
            found.insert(name.clone());
        }
        with_json(command, &name, found);
    }
}

#[test]
fn every_command_with_json_has_a_schema() {
    let mut command = claw::cli::Cli::command();
    command.build();
    let mut found = BTreeSet::new();
    with_json(&command, "", &mut found);
    let known: BTreeSet<String> = SCHEMAS.iter().map(|(command, _)| (*command).to_owned()).collect();
    assert_eq!(found, known);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema");
    for (command, schema) in SCHEMAS {
        let schema: Value =
            serde_json::from_str(&fs::read_to_string(folder.join(format!("{schema}.json"))).unwrap()).unwrap();
        let title = schema["title"].as_str().unwrap();
        let main = command.split(' ').next().unwrap();
        assert!(title.contains(&format!("claw {main}")), "{command}: {title}");
    }
    for entry in fs::read_dir(folder).unwrap() {
        let schema: Value = serde_json::from_str(&fs::read_to_string(entry.unwrap().path()).unwrap()).unwrap();
        let name = schema["title"].as_str().unwrap_or_default().to_owned();
        let is_output = name.starts_with("claw ") && name.contains("--json");
        let is_used = || SCHEMAS.iter().any(|(command, _)| name.contains(&format!("claw {command}")));
        assert!(!is_output || is_used(), "no command prints `{name}`");
    }
}
