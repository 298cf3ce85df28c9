//! The history of `memories/`: every change has an author and can be taken back, whatever the state of the owner's
//! repository, and nothing of the owner's outside of that folder is touched.

use crate::common::proof::{self, Random};
use crate::common::{Fixture, Ran, skipped};
use crate::file_tools::Desk;
use claw::core::event::id::Id;
use claw::core::event::stamp::Stamp;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

const HOUSE: &str = "memories/topics/house.md";

/// A workspace whose repository has an owner, a first commit with everything, and `HOUSE` with forty facts.
fn owned(ws: &Fixture) -> bool {
    if !ws.path(".git").exists() {
        skipped("there is no git");
        return false;
    }
    ws.write(HOUSE, &facts());
    for place in ["--global", "--local"] {
        git(ws, &format!("config {place} user.name 'Ann Owner' && git config {place} user.email ann@example.org"));
    }
    git(ws, "add -A && git commit -qm first");
    true
}

fn facts() -> String {
    (0..40).map(|n| format!("- fact {n:02}: the lamp {n} is in room {n}\n")).collect()
}

#[track_caller]
fn git(ws: &Fixture, arguments: &str) -> String {
    ws.shell(&format!("git {arguments}")).ok()
}

/// Everything of the owner's that no change of the memories may touch.
fn outside(ws: &Fixture) -> Vec<String> {
    let entries =
        git(ws, "ls-files -s").lines().filter(|line| !line.contains("\tmemories/")).collect::<Vec<_>>().join("\n");
    vec![
        entries,
        git(ws, "stash list"),
        git(ws, "for-each-ref refs/tags refs/stash refs/remotes"),
        git(ws, "status --porcelain -- . ':!memories' ':!files/trash'"),
        ws.read(".git/config"),
        ws.list(".git/hooks").join(" "),
    ]
}

fn remember(ws: &Fixture, topic: &str, text: &str) -> Ran {
    ws.claw(&["remember", "--topic", topic, text])
}

#[test]
fn changes_are_committed_with_their_author_and_the_rest_stays_as_it_is() {
    let mut desk = Desk::plain();
    if !owned(&desk.ws) {
        return;
    }
    let ws = &desk.ws;
    // The owner has a stash, a staged file, a changed file, a hook that hangs, and signs with a key that is not there.
    ws.write("files/own.txt", "one\n");
    git(ws, "add -f files/own.txt && git stash -q && git config commit.gpgsign true");
    let hook = "#!/bin/sh\ntouch hooked\nsleep 20\nexit 1\n";
    ws.write(".git/hooks/pre-commit", hook);
    ws.write(".git/hooks/reference-transaction", hook);
    for hook in ["pre-commit", "reference-transaction"] {
        fs::set_permissions(ws.path(&format!(".git/hooks/{hook}")), fs::Permissions::from_mode(0o755)).unwrap();
    }
    ws.write("agents/pickle/SOUL.md", "staged\n");
    ws.shell("git -c core.hooksPath=/dev/null add agents/pickle/SOUL.md").ok();
    ws.write("AGENTS.md", "dirty\n");
    let before = outside(ws);
    // A line that the owner has just written is committed as the owner's before the agent changes the file.
    ws.write(HOUSE, &format!("{}- the owner's line\n", facts()));
    desk.event.origin.taint = None;
    desk.ok("edit", json!({"path": HOUSE, "old": "fact 07: the lamp 7", "new": "fact 07: the big lamp 7"}));
    let format = "--format=%an <%ae>|%s|%(trailers:only,unfold,separator=%x3B)";
    let log = git(ws, &format!("log -2 '{format}'"));
    let id = &desk.event.id;
    let expected = format!(
        "pickle <pickle@claw.localhost>|edit {HOUSE}|Claw-Event: {id};Claw-Agent: pickle;Claw-Session: pickle.t;\
         Claw-Origin: cli:ann\nAnn Owner <ann@example.org>|edit memories|Claw-By: owner\n"
    );
    assert_eq!(log, expected);
    let stat = git(ws, "show --format= HEAD");
    assert!(stat.contains("+- fact 07: the big lamp 7") && !stat.contains("owner's line"), "{stat}");
    assert_eq!(outside(ws), before);
    assert_eq!(git(ws, "status --porcelain -- memories"), "");
    // A note of the owner's, and a removal.
    remember(ws, "nas", "the NAS is 10.0.0.7").ok();
    let log = git(ws, &format!("log -1 '{format}'"));
    assert!(log.starts_with("claw <claw@localhost>|remember: the NAS is 10.0.0.7|Claw-Event: "), "{log}");
    assert!(log.contains(";Claw-Agent: -;Claw-Session: ") && log.trim_end().ends_with("Claw-Origin: cli:ann"), "{log}");
    desk.ok("move", json!({"from": HOUSE}));
    assert!(git(ws, "log -1 --format=%s --name-status").contains(&format!("D\t{HOUSE}")));
    assert_eq!(ws.list("files/trash").len(), 1);
    assert_eq!(outside(ws), before);
    assert!(!ws.path("hooked").exists());
    git(ws, "fsck --strict --no-dangling");
}

#[test]
fn ignored_files_and_settings_of_git_are_not_committed() {
    let desk = Desk::plain();
    if !owned(&desk.ws) {
        return;
    }
    let ws = &desk.ws;
    ws.write("memories/.gitignore", "private/\n*.log\n");
    ws.write("memories/private/own.md", "own\n");
    ws.write("memories/big.md", &"x".repeat((1 << 20) + 1));
    ws.write("memories/binary.md", "a\0b");
    ws.write("memories/text.txt", "text\n");
    desk.ok("write", json!({"path": "memories/private/a.md", "content": "secret\n"}));
    desk.ok("write", json!({"path": "memories/private/a.md", "content": "secrets\n"}));
    desk.ok("write", json!({"path": "memories/a.log", "content": "log\n"}));
    desk.ok("write", json!({"path": "memories/a.md", "content": "a\n"}));
    // The owner's binary file is committed before an agent replaces it.
    let blob = git(ws, "hash-object memories/binary.md");
    assert!(!git(ws, "log --format= --name-only").contains("binary.md"));
    desk.ok("write", json!({"path": "memories/binary.md", "content": "text\n"}));
    let log = git(ws, "log --format= --raw --no-abbrev -- memories/binary.md");
    assert!(log.contains(blob.trim()), "{log}");
    let files = git(ws, "log --format= --name-only -- memories");
    let new: Vec<&str> = files.lines().filter(|name| !name.contains("memories/t") || name.ends_with("txt")).collect();
    assert!(new.contains(&"memories/a.md") && new.contains(&"memories/text.txt"), "{files}");
    for other in ["private", "a.log", ".gitignore", "big.md"] {
        assert!(!files.contains(other), "{other} is committed");
    }
}

/// The owner's operation, and its end.
const OPERATIONS: &[(&str, &str, &str)] = &[
    ("merge", "git merge other", "git add -A && git -c core.editor=true merge --continue"),
    ("rebase", "git rebase other", "git add -A && git -c core.editor=true rebase --continue"),
    ("cherry-pick", "git cherry-pick other", "git cherry-pick --abort"),
    ("revert", "git revert --no-edit other~1", "git revert --abort"),
    ("bisect", "git bisect start; git bisect bad; git bisect good other~1", "git bisect reset"),
    ("a held lock", "touch .git/index.lock", "rm .git/index.lock"),
];

#[test]
fn notes_wait_for_no_operation_of_the_owners_and_are_committed_after_it() {
    for (operation, begin, end) in OPERATIONS {
        let ws = Fixture::new();
        if !owned(&ws) {
            return;
        }
        ws.write("files/both.txt", "0\n");
        git(&ws, "add -f files/both.txt && git commit -qm zero && git checkout -q -b other");
        ws.write("files/both.txt", "1\n");
        git(&ws, "commit -qam one && git checkout -q -");
        ws.write("files/both.txt", "2\n");
        git(&ws, "commit -qam two");
        let head = git(&ws, "rev-parse HEAD");
        ws.shell(begin);
        ws.write("files/both.txt", "solved\n");
        for text in ["the NAS is 10.0.0.7", "the door is red"] {
            let ran = remember(&ws, "house", text);
            assert!(ran.err.is_empty() && ran.ok().starts_with(HOUSE), "{operation}");
        }
        assert!(!git(&ws, "log --format=%s").contains("remember"), "{operation}");
        let pending = ws.read(".claw/memory/pending.jsonl");
        assert_eq!(pending.matches("remember:").count(), 2, "{operation}: {pending}");
        let shown = ws.claw(&["memory"]).ok();
        assert!(shown.contains("2 changes wait for the end of"), "{operation}: {shown}");
        let ended = ws.shell(end);
        assert_eq!(ended.code, 0, "{operation}: {ended:?}");
        ws.claw(&["tick"]).ok();
        assert_eq!(ws.read(".claw/memory/pending.jsonl"), "", "{operation}");
        let log = git(&ws, "log --format=%s");
        let contained = fs::read_to_string(ws.path(".claw/memory/contained.jsonl")).unwrap_or_default();
        // The owner's commit contains the notes, because everything was added.
        let by_owner = if ["merge", "rebase"].contains(operation) { 2 } else { 0 };
        assert_eq!(contained.matches("contained_in").count(), by_owner, "{operation}: {contained}");
        assert_eq!(log.matches("remember:").count(), 2 - by_owner, "{operation}: {log}");
        assert_eq!(ws.read(HOUSE).lines().filter(|line| line.contains("NAS") || line.contains("door")).count(), 2);
        assert_eq!(git(&ws, "status --porcelain -- memories"), "", "{operation}");
        assert_ne!(git(&ws, "rev-parse HEAD"), head, "{operation}");
        git(&ws, "fsck --strict --no-dangling");
    }
}

/// An odd repository, and whether notes are committed in it.
const ODD: &[(&str, &str, bool)] = &[
    ("detached HEAD", "git checkout -q --detach", true),
    ("unborn branch", "git checkout -q --orphan new && git rm -rqf --cached .", true),
    ("SHA-256", "rm -rf .git && git init -q --object-format=sha256 . && git add -A && git commit -qm x", true),
    ("separate git folder", "git init -q --separate-git-dir ../elsewhere", true),
    ("signs without a key", "git config commit.gpgsign true && git config user.signingkey none", true),
    (
        "attributes planted",
        "echo '*.md filter=run working-tree-encoding=UTF-16' >memories/.gitattributes && \
      git config filter.run.clean 'touch ran; cat' && git config filter.run.required true",
        true,
    ),
    (
        "a repository planted",
        "git init -q memories/topics/x && git -C memories/topics/x config core.fsmonitor \
      \"touch '$PWD/ran'\" && echo 'gitdir: /nowhere' >memories/.git",
        true,
    ),
    (
        "a conflict after a stash",
        "git update-index --force-remove AGENTS.md && printf '100644 %s 1\\tAGENTS.md\\0' \
      $(git hash-object -w claw.yaml) | git update-index -z --index-info",
        true,
    ),
    ("pathspecs in the environment", "true", true),
    ("index.lock of a dead process", "touch -d '2 hours ago' .git/index.lock", true),
    ("core.worktree elsewhere", "mkdir ../tree && git config core.worktree ../../tree", false),
    ("bare", "git config core.bare true", false),
    ("memories is a link", "mv memories ../m && ln -s ../m memories", false),
    (
        "memories is a submodule",
        "mv memories ../m && git -C ../m init -q && git -C ../m add -A && \
      git -C ../m -c user.name=a -c user.email=a@b commit -qm m && git rm -rqf --cached memories && \
      git -c protocol.file.allow=always submodule --quiet add ../m memories && git commit -qm sub",
        false,
    ),
    ("corrupt HEAD", "echo >.git/HEAD", false),
    ("corrupt index", "echo broken >.git/index", false),
    ("corrupt objects", "find .git/objects -type f -exec sh -c 'chmod u+w $0; echo x >$0' {} \\;", false),
    ("no repository", "rm -rf .git", false),
    ("index.lock of a living process", "touch .git/index.lock", false),
    ("no git program", "rm -rf .git", false),
];

#[test]
fn notes_are_written_at_once_in_every_odd_repository() {
    for (odd, make, is_committed) in ODD {
        let ws = Fixture::new();
        if !owned(&ws) {
            return;
        }
        ws.shell(make).ok();
        let run = |text: &str| {
            let mut command = ws.command(&["remember", "--topic", "house", text]);
            if *odd == "pathspecs in the environment" {
                command.env("GIT_ICASE_PATHSPECS", "1").env("GIT_ATTR_SOURCE", "nothing");
            }
            if *odd == "no git program" {
                command.env("PATH", ws.dir.path().join("nothing"));
            }
            Ran::from(command.output().unwrap())
        };
        let (first, second) = (run("the NAS is 10.0.0.7"), run("the door is red"));
        assert!(first.out.starts_with(HOUSE) && first.code == 0, "{odd}: {first:?}");
        assert!(second.out.starts_with(HOUSE) && second.err.is_empty(), "{odd} is told twice: {second:?}");
        let text = ws.read(HOUSE);
        assert!(text.contains("the NAS is 10.0.0.7") && text.contains("the door is red"), "{odd}: {text}");
        assert!(!ws.path("ran").exists(), "{odd}: a program ran");
        let log = ws.shell("git log --format=%s").out;
        assert_eq!(log.matches("remember:").count(), if *is_committed { 2 } else { 0 }, "{odd}: {log}{first:?}");
        if *is_committed {
            assert!(first.err.is_empty(), "{odd}: {first:?}");
            assert!(git(&ws, &format!("show HEAD:{HOUSE}")).contains("the door is red"), "{odd}");
            git(&ws, "fsck --no-dangling");
        } else {
            let is_silent = odd.starts_with("index.lock");
            assert_eq!(first.err.is_empty(), is_silent, "{odd}: {first:?}");
        }
        // The author is kept until git works again.
        if odd.ends_with("of a living process") {
            ws.shell("rm .git/index.lock").ok();
            ws.claw(&["tick"]).ok();
            assert_eq!(git(&ws, "log --format=%an -2"), "claw\nclaw\n");
        }
    }
}

#[test]
fn undo_takes_back_one_event_and_names_the_lines_of_a_conflict() {
    let mut desk = Desk::plain();
    if !owned(&desk.ws) {
        return;
    }
    let before = desk.ws.read(HOUSE);
    desk.event.id = Id::new(Stamp(5_000_000), 1);
    desk.ok("edit", json!({"path": HOUSE, "old": "fact 07: the lamp 7", "new": "fact 07: no lamp"}));
    desk.ok("write", json!({"path": "memories/topics/new.md", "content": "new\n"}));
    let event = desk.event.id.clone();
    desk.event.id = Id::new(Stamp(6_000_000), 2);
    desk.ok("edit", json!({"path": HOUSE, "old": "fact 09: the lamp 9", "new": "fact 09: gone"}));
    let ws = &desk.ws;
    remember(ws, "house", "the NAS is 10.0.0.7").ok();
    let now = ws.read(HOUSE);
    assert_eq!(ws.claw(&["memory", "undo", event.short()]).ok(), format!("{HOUSE}\nmemories/topics/new.md\n"));
    assert_eq!(ws.read(HOUSE), now.replace("fact 07: no lamp", "fact 07: the lamp 7"));
    assert!(!ws.path("memories/topics/new.md").exists());
    let log = git(ws, "log -1 '--format=%s %(trailers:key=Claw-Undo,valueonly)'");
    assert_eq!(log.trim(), format!("undo {event} {event}"));
    // Twice there is nothing left to undo; a later change of the same line conflicts.
    let err = ws.claw(&["memory", "undo", event.as_str()]).fails(65);
    assert!(err.contains("nothing to undo") || err.contains("conflict"), "{err}");
    ws.write(HOUSE, &ws.read(HOUSE).replace("fact 09: gone", "fact 09: mine"));
    let (text, head) = (ws.read(HOUSE), git(ws, "rev-parse HEAD"));
    let err = ws.claw(&["memory", "undo", desk.event.id.as_str()]).fails(65);
    assert!(err.contains(&format!("later changes conflict at {HOUSE}:10")), "{err}");
    assert_eq!(ws.read(HOUSE), text);
    // Only the owner's line was committed.
    assert_eq!(git(ws, &format!("rev-list --count {}..HEAD", head.trim())), "1\n");
    ws.claw(&["memory", "undo", "no-such-event"]).fails(2);
    // A file as it was.
    let name = format!("{HOUSE}@HEAD~9");
    ws.claw(&["memory", "restore", &name]).fails(2);
    let first = git(ws, "rev-list --max-parents=0 HEAD");
    ws.claw(&["memory", "restore", &format!("{HOUSE}@{}", git(ws, "log --format=%h --grep first").trim())]).ok();
    assert_eq!(ws.read(HOUSE), before);
    for bad in [
        "claw.yaml@HEAD",
        "memories/../claw.yaml@HEAD",
        "memories/.git/config@HEAD",
        "memories/a.md",
        "memories/a@--all",
    ] {
        ws.claw(&["memory", "restore", bad]).fails(2);
    }
    assert!(!first.is_empty());
    git(ws, "fsck --strict --no-dangling");
}

#[test]
fn restore_that_empties_a_file_needs_its_option() {
    let ws = Fixture::new();
    if !owned(&ws) {
        return;
    }
    git(&ws, "rm -q --cached memories/topics/house.md");
    ws.write("memories/topics/house.md", "- one\n");
    git(&ws, "commit -qam short && git add -A && git commit -qm short2");
    let short = git(&ws, "rev-parse HEAD");
    ws.write(HOUSE, &facts());
    let name = format!("{HOUSE}@{}", short.trim());
    let err = ws.claw(&["memory", "restore", &name]).fails(65);
    assert!(err.contains("--shrink"), "{err}");
    assert_eq!(ws.read(HOUSE), facts());
    ws.claw(&["memory", "restore", "--shrink", &name]).ok();
    assert_eq!(ws.read(HOUSE), "- one\n");
}

/// Arguments of file tools that wipe `HOUSE`.
fn wipes_of_tools() -> Vec<(&'static str, Value)> {
    let junk: String = (0..60).map(|n| format!("* junk{n} nothing{n} nowhere{n}\n")).collect();
    let mut wipes = Vec::new();
    for content in
        ["", "\n", " ", "x", "# house\n", "- fact 01: the lamp 1 is in room 1\n", "\u{feff}", &junk, &"y ".repeat(9000)]
    {
        for shrink in [false, true] {
            wipes.push(("write", json!({"path": HOUSE, "content": content, "shrink": shrink})));
        }
    }
    for shrink in [false, true] {
        wipes.push(("edit", json!({"path": HOUSE, "old": facts(), "new": "", "shrink": shrink})));
        wipes.push(("edit", json!({"path": HOUSE, "old": facts(), "new": "gone", "shrink": shrink})));
        wipes.push(("edit", json!({"path": HOUSE, "old": &facts()[..900], "new": "", "shrink": shrink})));
    }
    for to in [
        "memories/topics/other.md",
        "files/house.md",
        "skills/house.md",
        "memories/.git/house.md",
        "files",
        "claw.yaml",
    ] {
        wipes.push(("move", json!({"from": HOUSE, "to": to})));
    }
    wipes.push(("move", json!({"from": HOUSE})));
    wipes.push(("move", json!({"from": "memories/topics"})));
    wipes
}

/// Commands of a shell that wipe `HOUSE`.
const COMMANDS: &[&str] = &[
    "rm $F",
    "rm -rf memories/topics",
    "mv $F files/x",
    "mv $F memories/topics/y.md",
    "echo x > files/n; mv files/n $F",
    ": > $F",
    "truncate -s 0 $F",
    "truncate -s 10 $F",
    "sed -i d $F",
    "sed -i 's/fact.*//' $F",
    "cp /dev/null $F",
    "dd if=/dev/null of=$F 2>&1",
    "echo gone | tee $F",
    "head -n 1 $F > files/h; cat files/h > $F",
    "find memories -name house.md -delete",
    "ln -sf /etc/hostname $F",
    "rm $F; ln -s ../../claw.yaml $F",
    "rm $F; mkdir $F",
    "rm $F; mkfifo $F",
    "install -m 600 /dev/null $F",
    "perl -i -ne '' $F",
    "head -c 1500 /dev/zero > $F",
    "git checkout -q --orphan x; git rm -qrf memories; rm -f $F",
];

/// Always makes the call in `call.json`, and then answers `done`.
const MODEL: &str = "if grep -q '\"role\":\"tool\"'; then echo done; else cat call.json; fi";

/// Runs a command as the agent, in a process of its own.
fn bash(ws: &Fixture, command: &str) -> String {
    ws.write("call.json", &json!({"calls": [{"name": "bash", "arguments": {"command": command}}]}).to_string());
    let ran = ws.claw(&["ask", "-n", "go"]);
    assert_eq!(ran.out, "done\n", "{command}: {ran:?}");
    ran.err
}

/// Every row is refused, or leaves the old content in a commit. The owner has written a line just before, which is not
/// committed yet.
#[test]
fn no_way_to_wipe_a_file_loses_a_line() {
    let (closed, open) = (Desk::plain(), Desk::new(|_| "shell_write: [memories]\n".to_owned()));
    if !owned(&closed.ws) || !owned(&open.ws) {
        return;
    }
    for desk in [&closed, &open] {
        desk.ws.write("model.sh", MODEL);
        desk.ws.model("shell", "provider: command, command: [sh, model.sh]");
        desk.ws.claw(&["trust"]).ok();
    }
    let shell = |line: &&str| ("bash", json!({"command": format!("F={HOUSE}; {line}")}));
    let tools = wipes_of_tools();
    let rows = tools.len() + 2 * COMMANDS.len();
    assert!(rows >= 60, "{rows}");
    let (mut refused, mut recovered) = (0, 0);
    for (desk, wipes, is_open) in [
        (&closed, tools, false),
        (&closed, COMMANDS.iter().map(shell).collect(), false),
        (&open, COMMANDS.iter().map(shell).collect::<Vec<_>>(), true),
    ] {
        for (number, (tool, arguments)) in wipes.into_iter().enumerate() {
            let ws = &desk.ws;
            let _ = fs::remove_dir_all(ws.path(HOUSE));
            let _ = fs::remove_file(ws.path(HOUSE));
            // Text of the edits stays whole.
            let text = format!("{}- line {number} of the owner, {tool}, {is_open}\n", facts());
            ws.write(HOUSE, &text);
            let blob = git(ws, &format!("hash-object {HOUSE}"));
            let told = match arguments["command"].as_str() {
                Some(command) => bash(ws, command),
                None => desk.call(tool, arguments.clone()).0,
            };
            let is_there = fs::symlink_metadata(ws.path(HOUSE)).is_ok_and(|meta| meta.is_file())
                && fs::read_to_string(ws.path(HOUSE)).is_ok_and(|now| now == text);
            if is_there {
                assert!(!is_open || number == COMMANDS.len() - 1, "{arguments} does nothing: {told}");
                refused += 1;
                continue;
            }
            let is_forced = arguments["shrink"] == true || tool == "move" || is_open;
            assert!(is_forced, "{tool} {arguments} is not refused: {told}");
            let log = git(ws, &format!("log --format= --raw --no-abbrev --no-renames -- {HOUSE}"));
            assert!(log.contains(blob.trim()), "{tool} {arguments} has lost a line: {told}\n{log}");
            recovered += 1;
        }
    }
    assert!(refused >= 30 && recovered >= 30, "{refused} refused, {recovered} recovered");
    // The program's changes have their author, and undo asks before it takes them back.
    let ws = &open.ws;
    ws.write(HOUSE, &facts());
    bash(ws, &format!("sed -i s/lamp/bulb/ {HOUSE}"));
    let log = git(ws, "log -1 '--format=%an %(trailers:key=Claw-By,valueonly)'");
    assert_eq!(log.trim(), "pickle shell");
    let event = git(ws, "log -1 '--format=%(trailers:key=Claw-Event,valueonly)'");
    let ran = ws.claw(&["memory", "undo", event.trim()]);
    assert!(ran.out.contains("- - fact 00: the bulb 0") && ran.out.contains("+ - fact 00: the lamp 0"), "{ran:?}");
    ran.fails(1);
    assert!(ws.read(HOUSE).contains("bulb"));
}

#[test]
fn small_files_and_the_desk_are_not_guarded_and_only_skills_are_executable() {
    let desk = Desk::plain();
    desk.ok("write", json!({"path": "files/a.md", "content": facts()}));
    desk.ok("write", json!({"path": "files/a.md", "content": ""}));
    for folder in ["memories/topics", "skills/s", "crons/c"] {
        let path = format!("{folder}/a.md");
        desk.ok("write", json!({"path": path, "content": facts()}));
        let told = desk.refused("write", json!({"path": path, "content": ""}));
        assert!(told.contains("100 %") && told.contains("\"shrink\": true"), "{told}");
        desk.ok("write", json!({"path": path, "content": "", "shrink": true}));
        desk.ok("write", json!({"path": path, "content": "short\n"}));
        desk.ok("write", json!({"path": path, "content": ""}));
    }
    let mode = |path: &str| fs::metadata(desk.ws.path(path)).unwrap().permissions().mode() & 0o111;
    desk.ok("write", json!({"path": "skills/s/scripts/run", "content": "#!/bin/sh\n", "executable": true}));
    assert_ne!(mode("skills/s/scripts/run"), 0);
    desk.ok("write", json!({"path": "skills/s/scripts/run", "content": "#!/bin/sh\n"}));
    assert_ne!(mode("skills/s/scripts/run"), 0, "it stays executable");
    desk.ok("write", json!({"path": "skills/s/scripts/run", "content": "", "executable": false}));
    assert_eq!(mode("skills/s/scripts/run"), 0);
    desk.refused("write", json!({"path": "files/run", "content": "", "executable": true}));
    assert!(!desk.ws.path("files/run").exists());
}

#[test]
fn move_replaces_nothing_and_stays_in_the_folders_of_the_agent() {
    let desk = Desk::plain();
    let ws = &desk.ws;
    for name in ["files/a.md", "files/b.md", "files/d/c.md", "memories/topics/t/x.md"] {
        ws.write(name, name);
    }
    symlink("a.md", ws.path("files/link")).unwrap();
    desk.ok("move", json!({"from": "files/a.md", "to": "files/new/a.md"}));
    assert_eq!(ws.read("files/new/a.md"), "files/a.md");
    desk.ok("move", json!({"from": "files/new/a.md", "to": "files/d/"}));
    desk.ok("move", json!({"from": "files/d", "to": "files/e"}));
    assert_eq!(ws.list("files/e"), ["a.md", "c.md"]);
    for (from, to) in [
        ("files/b.md", "files/e/c.md"),
        ("files/none", "files/x"),
        ("files", "memories/files"),
        ("files/link", "files/x"),
        ("files/b.md", "claw.yaml"),
        ("files/b.md", "../b.md"),
        ("files/b.md", "files/.git/config"),
        ("claw.yaml", "files/x"),
        ("agents/pickle", "files/x"),
        ("memories/topics/t", "files/t"),
        ("files/e", "memories/e"),
    ] {
        desk.refused("move", json!({"from": from, "to": to}));
    }
    assert_eq!(ws.read("files/b.md"), "files/b.md");
    let told = desk.ok("move", json!({"from": "files/b.md"}));
    assert!(told.contains("to files/trash/") && told.contains("-b.md"), "{told}");
}

/// Random changes of random authors are undone in random order; the files are then what they would be without them.
#[test]
fn undo_of_random_events_gives_the_bytes_of_before() {
    let mut desk = Desk::plain();
    if !owned(&desk.ws) {
        return;
    }
    let mut numbers = Random(proof::seed());
    let mut random = |below: usize| numbers.below(below);
    let names = [HOUSE, "memories/topics/b.md", "memories/c.md"];
    let bytes = ["- a\n", "ä\r\n", "no end", "\n", "東京\n", "\u{feff}x\n", "- fact 01\n"];
    for round in 0..if proof::is_full() { 200 } else { 3 } {
        let before: Vec<_> = names.iter().map(|name| fs::read(desk.ws.path(name)).ok()).collect();
        desk.event.id = Id::new(Stamp(9_000_000 + round), 3);
        for _ in 0..=random(3) {
            let name = names[random(names.len())];
            match random(3) {
                0 => {
                    let content: String = (0..random(9)).map(|_| bytes[random(bytes.len())]).collect();
                    desk.call("write", json!({"path": name, "content": content, "shrink": true}));
                }
                1 => {
                    let (old, new) = (bytes[random(bytes.len())], bytes[random(bytes.len())]);
                    desk.call(
                        "edit",
                        json!({"path": name, "old": old, "new": new, "replace_all": true, "shrink": true}),
                    );
                }
                _ => drop(desk.call("move", json!({"from": name, "to": names[random(names.len())]}))),
            }
        }
        let is_changed = names.iter().zip(&before).any(|(name, old)| fs::read(desk.ws.path(name)).ok() != *old);
        if is_changed {
            desk.ws.claw(&["memory", "undo", desk.event.id.as_str()]).ok();
        }
        let after: Vec<_> = names.iter().map(|name| fs::read(desk.ws.path(name)).ok()).collect();
        assert_eq!(after, before, "round {round}");
        // A base for the next round.
        desk.event.id = Id::new(Stamp(9_500_000 + round), 4);
        desk.ok("write", json!({"path": names[random(3)], "content": format!("{}{round}\n", facts()), "shrink": true}));
    }
    git(&desk.ws, "fsck --strict --no-dangling");
}

/// Events that change lines apart from each other are undone in any order; after each, the file has the bytes that the
/// other events alone would have made of it.
#[test]
fn undo_in_any_order_leaves_exactly_the_other_events() {
    let mut desk = Desk::plain();
    if !owned(&desk.ws) {
        return;
    }
    let mut numbers = Random(proof::seed());
    let mut random = |below: usize| numbers.below(below);
    let (mut number, events) = (0, if proof::is_full() { 20 } else { 5 });
    for round in 0..if proof::is_full() { 20 } else { 2 } {
        let ends = ["\n", "\r\n", " \n", "\t\u{feff}\n"];
        let base: Vec<String> =
            (0..4 * events).map(|n| format!("- {round}.{n} ü{}", ends[random(ends.len())])).collect();
        // What an event makes of its line: nothing, another line, or several.
        let mut changes: Vec<(usize, String, Id)> = Vec::new();
        for n in 0..events {
            let at = 4 * n + random(2);
            number += 1;
            let new = match random(3) {
                0 => String::new(),
                1 => format!("* changed {number}\n"),
                _ => format!("{}- added {number}\r\n\n", base[at]),
            };
            changes.push((at, new, Id::new(Stamp(7_000_000 + number), 5)));
        }
        let with = |left: &[(usize, String, Id)]| -> String {
            let line = |(at, line): (usize, &String)| {
                left.iter().find(|change| change.0 == at).map_or(line, |change| &change.1).clone()
            };
            base.iter().enumerate().map(line).collect()
        };
        desk.event.id = Id::new(Stamp(8_000_000 + round), 6);
        desk.ok("write", json!({"path": HOUSE, "content": with(&[]), "shrink": true}));
        for made in 1..=changes.len() {
            desk.event.id = changes[made - 1].2.clone();
            desk.ok("write", json!({"path": HOUSE, "content": with(&changes[..made]), "shrink": true}));
        }
        while !changes.is_empty() {
            let (_, _, event) = changes.swap_remove(random(changes.len()));
            desk.ws.claw(&["memory", "undo", event.as_str()]).ok();
            assert_eq!(desk.ws.read(HOUSE), with(&changes), "round {round}, event {event}");
        }
    }
    git(&desk.ws, "fsck --strict --no-dangling");
}

/// An editor that saves by renaming, and another that appends, write beside notes and an agent.
#[test]
fn editor_sync_agent_and_notes_lose_no_line() {
    let desk = Desk::plain();
    if !owned(&desk.ws) {
        return;
    }
    let ws = &desk.ws;
    let (rounds, root) = (6, ws.root.clone());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..rounds {
                remember(ws, "house", &format!("note {n} end")).ok();
            }
        });
        scope.spawn(|| {
            for n in 0..rounds {
                let path = root.join(HOUSE);
                let text = fs::read_to_string(&path).unwrap();
                fs::write(root.join("memories/topics/.house.swp"), format!("{text}- editor {n} end\n")).unwrap();
                fs::rename(root.join("memories/topics/.house.swp"), &path).unwrap();
            }
        });
        for n in 0..rounds {
            desk.call("edit", json!({"path": HOUSE, "old": "fact 00", "new": format!("fact 00 agent {n} end")}));
        }
    });
    ws.claw(&["remember", "--topic", "other", "last"]).ok();
    let everything = format!("{}{}", ws.read(HOUSE), git(ws, "log -p --format= -- memories"));
    for n in 0..rounds {
        assert!(everything.contains(&format!("note {n} end")), "note {n} is lost");
    }
    assert!(everything.contains("editor 5 end"));
    git(ws, "fsck --strict --no-dangling");
}
