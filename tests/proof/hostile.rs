//! Two agents whose model makes random hostile calls: shell commands and file tools against the owner's files, keys,
//! mailboxes, repositories and approvals, with links that one agent plants for the other. After each turn nothing of the
//! owner's has changed, no secret is in any file that an agent or a channel reads, no call ran without its approval, and
//! no program is left.

use crate::common::Fixture;
use crate::common::proof::{Proof, Random, is_full, seed};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The contents of every secret file.
const SECRET: &str = "canary-77b0e1c9d4";
/// The name of a program that agents start and that must end with its turn: `sleep` with this number of seconds.
const LEFT: &str = "86399.125";
/// Makes the calls in `call.json`, and then answers `done`. Nested turns make the same calls.
const MODEL: &str = "if grep -q '\"role\":\"tool\"'; then echo done; else cat call.json; fi";
/// The files that agents and stages may change, below the workspace.
const MOVING: [&str; 9] =
    ["files", "projects", "memories", "skills", "crons", "tasks", "sessions", ".claw", "call.json"];
const MAILBOXES: [&str; 2] = ["inbox", "outbox"];

/// Paths that no agent may change; `{out}` is a folder outside of the workspace.
const TARGETS: [&str; 22] = [
    "claw.yaml",
    "./claw.yaml",
    "files/../claw.yaml",
    "projects/cookie/claw.yaml",
    "projects/up/claw.yaml",
    "keys/openai",
    "projects/up/keys/openai",
    ".secrets/token",
    "files/../.secrets/token",
    "agents/pickle/AGENT.md",
    "agents/new/AGENT.md",
    "AGENTS.md",
    "tools/danger",
    ".git/config",
    ".git/hooks/post-commit",
    "inbox/evil.md",
    "inbox/new/evil.json",
    "outbox/ready/evil.json",
    ".claw/approvals/approved/evil.md",
    "{out}/outside",
    "/etc/claw-evil",
    "/proc/1/environ",
];
/// Places in folders of agents.
const OWN: [&str; 6] = ["files/x", "files/d/y", "projects/cookie/x", "projects/up", "projects/inbox", "$TMPDIR/x"];
/// Shell commands: `{t}` is a target, `{o}` an own place.
const COMMANDS: [&str; 30] = [
    "cat {t}",
    "head -c 4096 {t} > {o}",
    "cp -r {t} {o}",
    "cp {o} {t}",
    "mv {t} {o}",
    "mv {o} {t}",
    "ln -sf {t} {o}; cat {o}; echo evil > {o}",
    "ln -sfn .. {o}; ls {o}; echo evil >> {o}/claw.yaml",
    "ln -f {t} {o} && echo evil > {o}",
    "echo evil > {t}",
    "echo evil | tee -a {t}",
    "rm -rf {t}",
    "chmod 777 {t}; chmod u+s {o}",
    "truncate -s 0 {t}; dd if=/dev/zero of={t} count=1",
    "mkdir -p {o} && rm -r {o} && ln -s $PWD {o}",
    "tar cf - {t} | tar xf - -C files",
    "grep -r canary . {t} {out}",
    "find / -name outside -exec cat {} +",
    "exec 9<{t}; cat <&9; cat /proc/self/fd/9",
    "cat /proc/$PPID/environ /proc/$PPID/fd/* /proc/*/cmdline | tr '\\0' ' '",
    "setsid sleep {left} & disown; nohup sleep {left} & sleep {left} &",
    "(trap '' TERM HUP; sleep {left}) &",
    "kill -9 $PPID 1 -1",
    "git init -q {o} && git -C {o} config core.fsmonitor 'echo evil > claw.yaml'",
    "mkfifo {o}; mknod {o}.d c 1 3",
    "unshare -Ur cat {t}; mount --bind files agents",
    "tools/danger; sh tools/danger; bash -c '. tools/danger'",
    "printf 'x' > inbox/evil.md; printf '{}' > outbox/evil.json",
    "touch -d 1999-01-01 {t}; stat {t}",
    "exec 3<>/dev/tcp/127.0.0.1/1; curl -s file://{out}/outside",
];

struct Yard {
    ws: Fixture,
    out: String,
}

impl Yard {
    fn new() -> Self {
        let ws = Fixture::new();
        let out = ws.dir.path().canonicalize().unwrap().display().to_string();
        ws.write("model.sh", MODEL);
        ws.write("keys/openai", SECRET);
        ws.write(".secrets/token", SECRET);
        ws.write("tools/danger", "#!/bin/sh\necho ran > files/danger-ran\n");
        fs::set_permissions(ws.path("tools/danger"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fs::write(ws.dir.path().join("outside"), SECRET).unwrap();
        ws.model("shell", "provider: command, command: [sh, model.sh], api_key_file: keys/openai");
        let tools = "tools: ['*', {danger: {approve: true}}, {bash: {approve: [danger]}}]";
        let agent = |id: &str, write: &str| {
            let head = format!("---\nname: {id}\n{tools}\nwrite: [{write}]\n---\nYou.\n");
            ws.write(&format!("agents/{id}/AGENT.md"), &head);
        };
        agent("pickle", "files, projects, memories, skills, crons");
        agent("cookie", "files, projects/cookie");
        fs::create_dir_all(ws.path("projects/real")).unwrap();
        ws.claw(&["trust"]).ok();
        Self { ws, out }
    }

    fn text(&self, random: &mut Random, template: &str) -> String {
        let mut text = template.replace("{left}", LEFT);
        let mut put = |name: &str, from: &[&str]| {
            while text.contains(name) {
                text = text.replacen(name, from[random.below(from.len())], 1);
            }
        };
        put("{t}", &TARGETS);
        put("{o}", &OWN);
        text.replace("{out}", &self.out)
    }

    fn call(&self, random: &mut Random) -> Value {
        let target = self.text(random, "{t}");
        let own = self.text(random, "{o}").replace("$TMPDIR", "files");
        let (name, arguments) = match random.below(16) {
            0 => ("read", json!({"path": target})),
            1 => ("write", json!({"path": target, "content": "evil"})),
            2 => ("edit", json!({"path": target, "old": "model", "new": "evil"})),
            3 => ("list", json!({"path": Path::new(&target).parent().unwrap_or(Path::new("/"))})),
            4 => ("search", json!({"path": "/", "pattern": "canary"})),
            5 => ("danger", json!({})),
            6 => ("subagent_dispatch", json!({"agent_id": "cookie", "task": "go"})),
            7 => ("write", json!({"path": own, "content": "#!/bin/sh\necho evil > claw.yaml\n"})),
            _ => {
                let mut command = || {
                    let template = COMMANDS[random.below(COMMANDS.len())];
                    self.text(random, template)
                };
                let commands = [command(), command(), command()];
                ("bash", json!({"command": commands.join("\n"), "timeout": 5}))
            }
        };
        json!({"name": name, "arguments": arguments})
    }

    /// The owner's files with their contents; of the mailboxes only what no stage writes.
    fn owned(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let is_moving = |path: &Path| {
            let inside = path.strip_prefix(&self.ws.root).ok();
            inside.is_some_and(|inside| MOVING.iter().chain(&MAILBOXES).any(|moving| inside.starts_with(moving)))
        };
        self.files().filter(|path| !is_moving(path)).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }

    fn files(&self) -> impl Iterator<Item = PathBuf> {
        let walk = walkdir::WalkDir::new(self.ws.dir.path()).into_iter().flatten();
        walk.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path)
    }

    /// The violations after a turn.
    fn wrong(&self, before: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<String> {
        let mut wrong = Vec::new();
        let now = self.owned();
        for path in before.keys().chain(now.keys()) {
            if before.get(path) != now.get(path) {
                wrong.push(format!("{} was changed", path.display()));
            }
        }
        for path in self.files().filter(|path| !before.contains_key(path)) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with("evil") && MAILBOXES.iter().any(|mailbox| path.starts_with(self.ws.path(mailbox))) {
                wrong.push(format!("{} was written into a mailbox", path.display()));
            }
            if String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).contains(SECRET) {
                wrong.push(format!("{} has the secret", path.display()));
            }
        }
        if self.ws.path("files/danger-ran").exists() {
            wrong.push("a call ran without its approval".to_owned());
        }
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            if line.starts_with(b"sleep\0") && String::from_utf8_lossy(&line).contains(LEFT) {
                wrong.push(format!("process {} is left", process.file_name().display()));
            }
        }
        wrong
    }
}

#[test]
fn hostile_model_gets_nowhere() {
    let mut proof = Proof::begin("turns of a hostile model, random attacks");
    proof.seed = Some(seed());
    let mut random = Random(seed());
    let turns = if is_full() { 1_300 } else { 25 };
    let yard = Yard::new();
    let before = yard.owned();
    for turn in 0..turns {
        let calls: Vec<Value> = (0..4).map(|_| yard.call(&mut random)).collect();
        yard.ws.write("call.json", &json!({"calls": calls}).to_string());
        let agent = ["pickle", "cookie"][random.below(2)];
        let ran = yard.ws.claw(&["ask", "-n", "-a", agent, "go"]);
        let mut wrong = yard.wrong(&before);
        if ran.out.contains(SECRET) || ran.err.contains(SECRET) || !matches!(ran.code, 0 | 75) {
            wrong.push(format!("{ran:?}"));
        }
        proof.points += calls.len();
        if !wrong.is_empty() {
            proof.found.push(format!("turn {turn}, {agent}: {wrong:?} after {calls:?}"));
            break;
        }
    }
    proof.judge(turns);
}
