//! `claw init --from` and `claw export`.

use crate::common::Fixture;
use crate::common::tracer::{self, Fault};
use nix::errno::Errno;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use walkdir::WalkDir;

const KEY: &str = "sk-abcdefghijklmnop12345678";

/// Writes files below a folder beside the workspace, whose folder is empty.
fn source(ws: &Fixture, files: &[(&str, &str)]) -> String {
    let root = ws.dir.path().join("old");
    for (name, text) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root.to_str().unwrap().to_owned()
}

fn lines(values: &[Value]) -> String {
    values.iter().map(|value| value.to_string() + "\n").collect()
}

fn pickle_bot(ws: &Fixture) -> String {
    let call =
        json!([{"id": "c1", "type": "function", "function": {"name": "read", "arguments": "{\"path\": \"a\"}"}}]);
    let messages = [
        json!({"timestamp": "2026-02-13T10:00:00", "role": "user", "content": "Where is the NAS?"}),
        json!({"timestamp": "2026-02-13T10:00:01", "role": "assistant", "content": "", "tool_calls": call}),
        json!({"timestamp": "2026-02-13T10:00:02", "role": "tool", "content": "10.0.0.7", "tool_call_id": "c1"}),
        json!({"timestamp": "2026-02-13T10:00:03", "role": "assistant", "content": "At 10.0.0.7."}),
    ];
    let index =
        json!({"id": "s1", "agent_id": "pickle", "source": "telegram:42", "created_at": "x", "updated_at": "x"});
    let (first, last) = messages.split_at(2);
    source(
        ws,
        &[
            (
                "config.user.yaml",
                &format!(
                    "llm: {{provider: zai, model: zai/glm-4.7, api_key: {KEY}, api_base: 'https://x/v4'}}\ndefault_agent: pickle\nmessagebus: {{telegram: {{bot_token: t0ken}}}}\nrouting: {{bindings: [{{agent: cookie, value: 'platform-telegram:.*'}}]}}\n"
                ),
            ),
            ("agents/pickle/AGENT.md", "---\nname: Pickle\nllm:\n  api_key: topsecret\n---\nYou are Pickle.\r\n\n"),
            ("agents/cookie/AGENT.md", "---\nname: Cookie\n---\nYou keep memories.  \n"),
            ("agents/cookie/notes.txt", "x"),
            ("skills/brew/SKILL.md", "---\nname: brew\ndescription: tea\n---\nBoil.\n"),
            ("skills/brew/scripts/go.sh", "#!/bin/sh\n"),
            ("crons/inbox/CRON.md", "---\nname: Inbox\nagent: pickle\nschedule: \"*/15 * * * *\"\n---\nCheck.\n"),
            ("memories/topics/house.md", "# House\r\n- blue  \n\n"),
            ("memories/topics/bad.md", &format!("one\nkey {KEY}\n")),
            (".history/index.jsonl", &lines(&[index])),
            (".history/sessions/session-s1.1.jsonl", &lines(first)),
            (".history/sessions/session-s1.2.jsonl", &(lines(last) + "{\"role\": \"us")),
            (".history/sessions/empty.jsonl", ""),
            (".logs/x.log", "x"),
            (".env", "X=1"),
            ("notes.txt", "kept"),
            (".git/HEAD", "ref"),
        ],
    )
}

/// Content, type, mode and time of every file.
fn tree(root: &Path, skips: &[&str]) -> BTreeMap<String, (Vec<u8>, u32, i64)> {
    let entries = WalkDir::new(root).into_iter().map(Result::unwrap);
    let named = entries.map(|entry| (entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned(), entry));
    let kept =
        named.filter(|(name, _)| !skips.iter().any(|skip| name == skip || name.starts_with(&format!("{skip}/"))));
    kept.map(|(name, entry)| {
        let meta = entry.path().symlink_metadata().unwrap();
        let content = if meta.is_file() { fs::read(entry.path()).unwrap() } else { Vec::new() };
        (name, (content, meta.permissions().mode(), if meta.is_file() { meta.mtime() } else { 0 }))
    })
    .collect()
}

/// The same without times, and without folders.
fn contents(root: &Path, skips: &[&str]) -> BTreeMap<String, (Vec<u8>, u32)> {
    let is_file = |name: &String| root.join(name).is_file();
    tree(root, skips)
        .into_iter()
        .filter(|(name, _)| is_file(name))
        .map(|(name, file)| (name, (file.0, file.1)))
        .collect()
}

/// The messages that the next turn of a session sends to a model.
fn continued(ws: &Fixture, session: &str) -> Vec<Value> {
    let text = ws.read("claw.yaml").replacen("model: offline\n", "model: tape\n", 1);
    let entry = "models:\n  tape: {provider: command, command: [sh, -c, 'cat > files/request; echo ok']}\n";
    let text = if text.contains("\nmodels:\n") { text.replacen("models:\n", entry, 1) } else { text + entry };
    ws.write("claw.yaml", &text);
    ws.claw(&["trust"]).ok();
    ws.claw(&["ask", "-n", "-s", session, "And now?"]).ok();
    let request: Value = serde_json::from_str(&ws.read("files/request")).unwrap();
    request["messages"].as_array().unwrap().clone()
}

#[test]
fn workspace_of_the_reference_program_is_imported_and_its_sessions_go_on() {
    let ws = Fixture::empty();
    let from = pickle_bot(&ws);
    let before = tree(Path::new(&from), &[]);
    let plan = ws.claw(&["init", "--from", &from, "--dry-run", "--json"]).ok();
    assert_eq!(ws.list("."), [""; 0], "a dry run writes nothing");
    let mut planned: Vec<String> = Vec::new();
    for item in plan.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let fate = item["fate"].as_str().unwrap();
        assert_eq!(fate == "stays", item["reason"].is_string() && item["targets"] == json!([]), "{item}");
        planned.push(item["source"].as_str().unwrap().to_owned());
    }
    let files: Vec<String> =
        before.iter().filter(|(name, _)| Path::new(&from).join(name).is_file()).map(|(n, _)| n.clone()).collect();
    let expected: Vec<String> =
        files.iter().map(|name| if name == ".git/HEAD" { ".git/".to_owned() } else { name.clone() }).collect();
    assert_eq!(
        {
            planned.sort();
            planned
        },
        {
            let mut e = expected;
            e.sort();
            e
        },
        "every file has a fate"
    );

    let ran = ws.claw(&["init", "--from", &from]);
    assert_eq!((ran.code, tree(Path::new(&from), &[]) == before), (0, true), "{ran:?}");
    for text in [KEY, "topsecret", "t0ken"] {
        assert!(!ran.err.contains(text) && !ran.out.contains(text), "{ran:?}");
        for (name, (content, _)) in contents(&ws.root, &[".git"]) {
            assert!(!String::from_utf8_lossy(&content).contains(text), "{name} has a secret");
        }
    }
    for secret in ["llm.api_key", "messagebus.telegram.bot_token", "memories/topics/bad.md: line 2", ".env"] {
        assert!(ran.err.contains("secret, not copied: ") && ran.err.contains(secret), "{secret}: {}", ran.err);
    }
    for (old, new) in [
        ("agents/cookie/AGENT.md", "agents/cookie/AGENT.md"),
        ("skills/brew/SKILL.md", "skills/brew/SKILL.md"),
        ("memories/topics/house.md", "memories/topics/house.md"),
        ("notes.txt", "imported/notes.txt"),
        ("agents/cookie/notes.txt", "imported/agents/cookie/notes.txt"),
    ] {
        assert_eq!(fs::read(Path::new(&from).join(old)).unwrap(), fs::read(ws.path(new)).unwrap(), "{old}");
    }
    assert_eq!(ws.read("agents/pickle/AGENT.md"), "---\nname: Pickle\nllm:\n---\nYou are Pickle.\r\n\n");
    assert!(!ws.path("agents/pickle/SOUL.md").exists(), "the default personality is of another agent");
    assert!(ws.read("crons/inbox/CRON.md").starts_with("---\nenabled: false\nname: Inbox\n"));
    assert!(ws.claw(&["route", "--explain", "telegram:42"]).ok().contains("cookie"));
    assert_eq!(ws.claw(&["check", "--json"]).out.matches("\"error\"").count(), 0);

    assert!(ws.claw(&["sessions", "--grep", "NAS"]).ok().contains("import:telegram:42"));
    let sent = continued(&ws, "pickle.s1");
    let roles: Vec<&str> = sent.iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "assistant", "user"], "{sent:#?}");
    assert_eq!((&sent[1]["calls"][0]["id"], &sent[2]["content"]), (&sent[2]["call"], &json!("10.0.0.7")));

    let done = tree(&ws.root, &[]);
    let again = ws.claw(&["init", "--from", &from]).ok();
    assert!(again.contains("nothing has changed"), "{again}");
    assert!(tree(&ws.root, &[]) == done, "a second run changes nothing");
}

fn openclaw(ws: &Fixture) -> String {
    let message = |id: &str, parent: Option<&str>, message: Value| json!({"type": "message", "id": id, "parentId": parent, "timestamp": "2026-02-01T00:00:00Z", "message": message});
    let session = lines(&[
        json!({"type": "session", "version": 3, "id": "u1", "timestamp": "2026-02-01T00:00:00Z", "cwd": "/"}),
        message("a", None, json!({"role": "user", "content": [{"type": "text", "text": "hi"}]})),
        message(
            "b",
            Some("a"),
            json!({"role": "assistant", "content": [{"type": "toolCall", "id": "t", "name": "exec", "arguments": {"command": "ls"}}]}),
        ),
    ]);
    let jobs = json!({"version": 1, "jobs": [
        {"id": "j1", "name": "Morning brief", "enabled": true, "schedule": {"kind": "cron", "expr": "0 7 * * *", "tz": "UTC"},
         "sessionTarget": "isolated", "payload": {"kind": "agentTurn", "message": "Good morning."}},
        {"id": "j2", "name": "odd", "schedule": {"kind": "cron", "expr": "0 0 7 * * *"}, "payload": {"message": "x"}},
    ]});
    source(
        ws,
        &[
            (
                "openclaw.json",
                "{ // settings\n agents: { defaults: { model: { primary: 'anthropic/claude-x' } } },\n channels: { telegram: { botToken: 'abc' } } }",
            ),
            ("workspace/AGENTS.md", "# Rules\n"),
            ("workspace/SOUL.md", "Be kind.  \n"),
            ("workspace/IDENTITY.md", "Name: Fred\n"),
            ("workspace/USER.md", "Ann\n"),
            ("workspace/HEARTBEAT.md", "- look\n"),
            ("workspace/MEMORY.md", "- the NAS is 10.0.0.7\n"),
            ("workspace/memory/2026-02-01.md", "- rain\n"),
            ("workspace/memory/plants.md", "- cactus\n"),
            ("workspace/BOOT.md", "boot\n"),
            ("workspace-ops/AGENTS.md", "You watch servers.\n"),
            ("workspace-main/SOUL.md", "Another.\n"),
            ("agents/main/sessions/sessions.json", "{\"agent:main:main\": {\"sessionId\": \"u1\"}}"),
            ("agents/main/sessions/u1.jsonl", &session),
            ("agents/main/agent/auth-profiles.json", "{}"),
            ("cron/jobs.json", &jobs.to_string()),
            ("credentials/x.json", "{}"),
        ],
    )
}

#[test]
fn files_of_openclaw_are_imported() {
    let ws = Fixture::empty();
    let from = openclaw(&ws);
    let ran = ws.claw(&["init", "--from", &from]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for (old, new) in [
        ("AGENTS.md", "AGENTS.md"),
        ("SOUL.md", "agents/main/SOUL.md"),
        ("USER.md", "memories/topics/user.md"),
        ("HEARTBEAT.md", "HEARTBEAT.md"),
        ("MEMORY.md", "memories/topics/MEMORY.md"),
        ("memory/2026-02-01.md", "memories/daily-notes/2026-02-01.md"),
        ("memory/plants.md", "memories/topics/plants.md"),
        ("BOOT.md", "imported/workspace/BOOT.md"),
    ] {
        assert_eq!(
            fs::read(Path::new(&from).join("workspace").join(old)).unwrap(),
            fs::read(ws.path(new)).unwrap(),
            "{old}"
        );
    }
    assert!(ws.read("agents/main/AGENT.md").ends_with("---\n\nName: Fred\n"));
    assert!(ws.read("agents/ops/AGENT.md").contains("You watch servers."));
    // Two agents of one id: the second one is numbered.
    assert_eq!(ws.read("agents/main-2/SOUL.md"), "Another.\n");
    assert!(ran.err.contains("it is `main-2`"), "{}", ran.err);
    assert_eq!(ws.list("agents"), ["main", "main-2", "ops"]);
    let job = ws.read("crons/Morning-brief/CRON.md");
    assert!(job.contains("enabled: false\n") && job.contains("agent: main\n"), "{job}");
    assert!(ran.err.contains("job `odd` is not taken over"), "{}", ran.err);
    assert!(ws.path("imported/cron/jobs.json").exists());
    assert!(ran.err.contains("openclaw.json: channels.telegram.botToken") && ran.err.contains("$ANTHROPIC_API_KEY"));
    assert_eq!(ws.claw(&["check", "--json"]).out.matches("\"error\"").count(), 0);
    assert_eq!(ws.claw(&["recall", "NAS"]).code, 0);
    let sent = continued(&ws, "main.main");
    assert_eq!(sent[1]["calls"][0]["name"], "exec");
    assert_eq!(sent[2]["call"], sent[1]["calls"][0]["id"], "{sent:#?}");
    assert!(ws.read("imported/PLAN.txt").contains("credentials/x.json  stays, because it holds credentials"));
}

#[test]
fn bad_sources_and_targets_are_refused_without_a_trace() {
    let ws = Fixture::empty();
    let from = source(
        &ws,
        &[("agents/a b/AGENT.md", "---\nname: A\n---\nx\n"), ("agents/a-b/AGENT.md", "---\nname: B\n---\nx\n")],
    );
    let root = Path::new(&from);
    symlink("/etc/passwd", root.join("agents/a-b/SOUL.md")).unwrap();
    symlink("/etc", root.join("memories")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    let plan = ws.claw(&["init", "--from", &from, "--dry-run"]).ok();
    assert!(plan.contains("agents/a-b/SOUL.md  stays, because it is a symbolic link (to /etc/passwd)"), "{plan}");
    assert!(plan.contains("memories  stays, because it is a symbolic link (to /etc)"), "{plan}");
    assert!(plan.contains("agents/a b/AGENT.md  becomes agents/a-b/AGENT.md"), "{plan}");
    assert!(plan.contains("agents/a-b/AGENT.md  becomes agents/a-b-2/AGENT.md"), "{plan}");

    ws.write("own.txt", "mine");
    let err = ws.claw(&["init", "--from", &from]).fails(1);
    assert!(err.contains("is not empty"), "{err}");
    assert_eq!(ws.list("."), ["own.txt"]);
    let err = ws.claw(&["init", "--from", &from, &format!("{from}/new")]).fails(2);
    assert!(err.contains("import into a folder outside of the source"), "{err}");
    let err = ws.claw(&["init", "--from", "/nonexistent", "new"]).fails(1);
    assert!(err.contains("cannot find /nonexistent"), "{err}");
    fs::create_dir(ws.dir.path().join("nothing")).unwrap();
    let err = ws.claw(&["init", "--from", "../nothing", "new"]).fails(65);
    assert!(err.contains("is no workspace of a known program"), "{err}");
    assert_eq!(ws.list("."), ["own.txt"]);
}

#[test]
fn killed_or_failed_import_is_as_if_not_begun() {
    let ws = Fixture::empty();
    let from = source(
        &ws,
        &[("MEMORY.md", "- x\n"), ("sessions/a.jsonl", &lines(&[json!({"role": "user", "content": "hi"})]))],
    );
    let command = || {
        let mut command = ws.command(&["init", "--from", &from, "../new"]);
        command.env("PATH", "/nonexistent");
        command
    };
    let target = ws.dir.path().join("new");
    let siblings = || {
        let mut names: Vec<String> =
            fs::read_dir(ws.dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name.contains("new"));
        names
    };
    let calls = tracer::run(command(), 0, Fault::Kill).calls;
    let whole = contents(&target, &[]);
    fs::remove_dir_all(&target).unwrap();
    assert!(calls > 40, "{calls}");
    // Some calls along the way, and the last ones, between which the name appears.
    let along = (1..calls).step_by(calls / 4).zip([Fault::Kill, Fault::Error(Errno::ENOSPC)].into_iter().cycle());
    let last = (calls.saturating_sub(4)..=calls).map(|at| (at, Fault::Kill));
    for (at, fault) in along.chain(last).chain([(calls - 3, Fault::Error(Errno::ENOSPC))]) {
        let traced = tracer::run(command(), at, fault);
        if target.exists() {
            assert!(contents(&target, &[]) == whole, "call {at}: {traced:?}");
        } else if fault != Fault::Kill {
            assert_ne!(traced.code, 0, "call {at}: {traced:?}");
            assert_eq!(siblings(), [""; 0], "call {at}: {traced:?}");
        }
        // A second run removes the leftovers, and completes.
        ws.claw(&["init", "--from", &from, "../new"]).ok();
        assert_eq!(siblings(), ["new"], "call {at}: {traced:?}");
        fs::remove_dir_all(&target).unwrap();
    }
}

#[test]
fn many_sessions_show_a_sample_and_are_all_imported() {
    let ws = Fixture::empty();
    let from = source(&ws, &[("MEMORY.md", "- x\n")]);
    let folder = Path::new(&from).join("sessions");
    fs::create_dir_all(&folder).unwrap();
    let count = 300;
    for n in 0..count {
        let text =
            lines(&[json!({"role": "user", "content": format!("q{n}")}), json!({"role": "assistant", "content": "a"})]);
        fs::write(folder.join(format!("{n}.jsonl")), text).unwrap();
    }
    let plan = ws.claw(&["init", "--from", &from, "--dry-run"]).ok();
    assert!(plan.contains("280 more like these in sessions\n") && plan.lines().count() < 40, "{plan}");
    let ran = ws.claw(&["init", "--from", &from]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ws.list("sessions").len(), count);
    assert_eq!(ws.claw(&["sessions", "--json"]).ok().lines().count(), count);
}

#[test]
fn export_imports_back_to_the_same() {
    let ws = Fixture::new();
    ws.write("tools/hello", "#!/bin/sh\necho hi\n");
    fs::set_permissions(ws.path("tools/hello"), fs::Permissions::from_mode(0o755)).unwrap();
    ws.claw(&["new", "cron", "tea", "Make tea."]).ok();
    fs::remove_dir_all(ws.path("agents/cookie")).unwrap();
    ws.claw(&["ask", "-n", "-s", "work", "remember that the NAS is 10.0.0.7"]).ok();
    ws.config("models:\n  m: {provider: openai, api_key: topsecret, model: m}\n");
    ws.write(".secrets/m", "topsecret");
    symlink("/etc/passwd", ws.path("files/link")).unwrap();
    let ran = ws.claw(&["export", "../out"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("secret, not exported: claw.yaml: line "), "{}", ran.err);
    assert!(ran.err.contains("not exported: files/link: it is a symbolic link"), "{}", ran.err);
    let internal = ["inbox", "outbox", ".claw", ".git", ".secrets", "files/link"];
    let out = ws.dir.path().join("out");
    assert!(
        contents(&out, &[]).iter().all(|(_, (content, _))| !String::from_utf8_lossy(content).contains("topsecret"))
    );
    assert!(ws.claw(&["export", "../out"]).fails(1).contains("is not an empty folder"));
    assert!(ws.claw(&["export", "files/out"]).fails(2).contains("is in the workspace itself"));

    ws.claw(&["init", "--from", "../out", "../back"]).ok();
    let back = ws.dir.path().join("back");
    let text = ws.read("claw.yaml").replace("api_key: topsecret", "api_key: \"\"");
    ws.write("claw.yaml", &text);
    let [was, is] = [&ws.root, &back].map(|root| contents(root, &internal));
    let names = |tree: &BTreeMap<String, _>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&was), names(&is));
    assert!(was.iter().all(|(name, file)| is[name].0 == file.0), "the contents are the same");
    assert_eq!(was["tools/hello"], is["tools/hello"]);
    let run = |arguments: &[&str]| ws.claw(&[&["-w", "../back"], arguments].concat()).ok();
    assert!(run(&["sessions", "show", "work"]).contains("the NAS"));
    run(&["export", "../again"]);
    assert!(contents(&ws.dir.path().join("again"), &[]) == contents(&out, &[]), "a second export is the same");
}
