//! Weak places that `claw check` and `claw status` report: permissions, settings, and folders.

use crate::common::Fixture;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn set_mode(ws: &Fixture, name: &str, mode: u32) {
    fs::set_permissions(ws.path(name), fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(ws: &Fixture, name: &str) -> u32 {
    fs::metadata(ws.path(name)).unwrap().permissions().mode() & 0o7777
}

#[test]
fn permissions_are_reported_and_corrected() {
    let ws = Fixture::new();
    ws.write("key", "sk-123456789");
    ws.write(
        "agents/x/AGENT.md",
        "---\nname: x\nllm: {provider: openai, model: m, api_key: sk-987654321}\n---\nYou.\n",
    );
    ws.write("tools/a.sh", "");
    ws.config("models: {k: {provider: openai, model: m, api_base: 'http://127.0.0.1:1', api_key_file: key}}\n");
    ws.claw(&["send", "hello"]).ok();
    for (name, mode) in
        [("", 0o777), ("claw.yaml", 0o666), ("key", 0o666), ("tools/a.sh", 0o757), ("inbox/new", 0o1777)]
    {
        set_mode(&ws, name, mode);
    }
    let out = ws.claw(&["check"]).ok();
    for line in [
        ".: warning: mode 0777: every user of this machine may change it; `claw check --fix` sets ",
        "claw.yaml: warning: mode 0666: every user of this machine may change it; `claw check --fix` sets ",
        "tools/a.sh: warning: mode 0757: every user of this machine may change it; `claw check --fix` sets ",
        "inbox/new: warning: mode 1777: every user of this machine may change it; `claw check --fix` sets 17",
        "agents/x/AGENT.md: warning: mode 0644: other users may read the key in it; `claw check --fix` sets ",
        "key: warning: mode 0666: other users may read the key in it; `claw check --fix` sets ",
    ] {
        assert!(out.contains(line), "{line}\n{out}");
    }
    assert!(ws.claw(&["status"]).ok().contains("risks   6 in permissions, settings or folders: claw check"));
    let fixed = ws.claw(&["check", "--fix"]);
    assert!(fixed.err.contains("fixed: claw.yaml has mode 06"), "{fixed:?}");
    assert_eq!(fixed.ok(), "no problems\n");
    // The group's rights stay where the group is the owner's own.
    let left = |name: &str| mode(&ws, name) & 0o707;
    assert_eq!([left(""), left("claw.yaml"), left("key"), left("inbox/new")], [0o705, 0o604, 0o600, 0o705]);
    assert_eq!(mode(&ws, "inbox/new") & 0o1000, 0o1000, "other bits stay");
    assert_eq!(ws.claw(&["check"]).ok(), "no problems\n");
    assert!(!ws.claw(&["status"]).ok().contains("risks"));
}

#[test]
fn settings_that_give_up_protection_are_reported() {
    let ws = Fixture::new();
    let agent = |id: &str, write: &str| {
        ws.write(&format!("agents/{id}/AGENT.md"), &format!("---\nname: {id}\nwrite: [{write}]\n---\nYou.\n"));
    };
    agent("pickle", "files, tools, ./agents/x, .git");
    for path in ["files/think", "bin/send", "files/key"] {
        ws.write(path, "#!/bin/sh\n");
        set_mode(&ws, path, 0o700);
    }
    std::os::unix::fs::symlink("../files/think", ws.path("bin/link")).unwrap();
    ws.config(
        "sandbox: {mode: off}\nmodels:\n  t: {provider: command, command: [sh, files/think]}\n  \
         k: {provider: openai, model: m, api_base: 'http://127.0.0.1:1', api_key_file: files/key}\n\
         channels:\n  exec: {a: {command: [bin/link]}, b: {command: [bin/send]}}\n  \
         telegram: {token_file: files/key}\n  web: {hooks: {ci: {secret_file: files/key}}}\n",
    );
    let ran = ws.claw(&["check"]);
    for line in [
        "warning: sandbox.mode is off: programs of agents run with all your rights",
        "warning: models.t.command: agents may write files/think, which runs outside of the sandbox",
        "warning: channels.exec.a.command: agents may write bin/link, which runs outside of the sandbox",
        "warning: models.k.api_key_file: agents may read and write files/key: move it to .secrets/",
        "warning: channels.telegram.token_file: agents may read and write files/key: move it to .secrets/",
        "warning: channels.web.hooks: agents may read and write files/key: move it to .secrets/",
        "agents/pickle/AGENT.md:3:1: warning: write: `tools`: it may add tools, with network access",
        "agents/pickle/AGENT.md:3:1: warning: write: `./agents/x`: it may give itself and other agents any tool",
        "agents/pickle/AGENT.md:3:1: warning: write: `.git` is ignored",
    ] {
        assert!(ran.out.contains(line), "{line}\n{}", ran.out);
    }
    assert!(!ran.out.contains("bin/send"), "{}", ran.out);
    assert!(ran.err.contains("sandbox: off: programs of agents run with all your rights"), "{ran:?}");
    assert!(!ran.err.contains("no network"), "{ran:?}");
}

#[test]
fn folder_that_cannot_be_written_is_an_error() {
    let ws = Fixture::new();
    ws.claw(&["send", "hello"]).ok();
    let Some(ran) = ws.mounted("mount --bind inbox/new inbox/new && mount -o remount,bind,ro inbox/new", "claw check")
    else {
        return;
    };
    assert!(ran.out.contains("inbox/new: cannot write in "), "{ran:?}");
    ran.fails(78);
    let all = "mount --bind . . && mount -o remount,bind,ro .";
    let ran = ws.mounted(all, "cd .; cd \"$PWD\"; claw check").unwrap();
    assert!(ran.out.contains(".: is on a read-only file system"), "{ran:?}");
    assert!(!ran.out.contains("inbox/new"), "{ran:?}");
    ran.fails(78);
}

#[test]
fn schedule_without_a_date_is_reported() {
    let ws = Fixture::new();
    ws.write("crons/never/CRON.md", "---\nname: x\nagent: pickle\nschedule: 0 0 30 2 *\n---\nDo it.\n");
    ws.write("crons/leap/CRON.md", "---\nname: x\nagent: pickle\nschedule: 0 0 29 2 *\n---\nDo it.\n");
    let ran = ws.claw(&["check"]);
    assert_eq!(ran.code, 78, "{ran:?}");
    let out = ran.out;
    assert!(out.contains("crons/never/CRON.md:4:1: schedule `0 0 30 2 *` never fires"), "{out}");
    assert!(!out.contains("crons/leap"), "{out}");
}

#[test]
fn machine_without_zone_files_is_named_by_the_check() {
    let ws = Fixture::new();
    ws.write("crons/x/CRON.md", "---\nname: x\nagent: pickle\nevery: 2h\ntimezone: Europe/Berlin\n---\nDo it.\n");
    ws.write("crons/utc/CRON.md", "---\nname: x\nagent: pickle\nevery: 2h\ntimezone: UTC\n---\nDo it.\n");
    ws.write("crons/own/CRON.md", "---\nname: x\nagent: pickle\nschedule: 0 7 * * *\n---\nDo it.\n");
    let check = "TZ=Europe/Berlin claw check";
    let Some(ran) = ws.mounted("mount -t tmpfs none /usr/share/zoneinfo", check) else { return };
    assert!(ran.out.contains("crons/own/CRON.md: the owner's time zone: there is no time zone"), "{ran:?}");
    let expected = "crons/x/CRON.md:5:1: there is no time zone `Europe/Berlin` (this machine has no zone files";
    assert!(ran.out.contains(expected) && !ran.out.contains("crons/utc"), "{ran:?}");
}

/// Agents write crons: a pipe, a device or a link there must not block the commands of the owner, or show them a secret.
#[test]
fn definition_of_an_agent_blocks_no_command_and_shows_no_secret() {
    let ws = Fixture::new();
    ws.write(".secrets/token", "canary-5f2c81d07e: [\n");
    for id in ["pipe", "link", "zero"] {
        fs::create_dir_all(ws.path(&format!("crons/{id}"))).unwrap();
    }
    let at = |id: &str| ws.path(&format!("crons/{id}/CRON.md"));
    std::os::unix::fs::symlink(ws.path(".secrets"), ws.path("crons/folder")).unwrap();
    ws.write("crons/latin/CRON.md", "");
    fs::write(at("latin"), b"---\nname: \xe4\n---\n").unwrap();
    ws.write("crons/long/CRON.md", &"x".repeat(1 << 20));
    rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), rustix::fs::Mode::RUSR).unwrap();
    std::os::unix::fs::symlink("../../.secrets/token", at("link")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", at("zero")).unwrap();
    let out = ws.claw(&["check"]).out;
    assert!(out.contains("crons/pipe/CRON.md: cannot be read: not a regular file"), "{out}");
    assert!(out.contains("crons/link/CRON.md: cannot be read: a link"), "{out}");
    assert!(out.contains("crons/folder/CRON.md: cannot be read: a link"), "{out}");
    assert!(out.contains("crons/latin/CRON.md: cannot be read: not valid UTF-8"), "{out}");
    assert!(out.contains("crons/long/CRON.md: cannot be read: larger than 262144 bytes"), "{out}");
    let all = [&["status"][..], &["ask", "-n", "/crons"], &["ask", "-n", "/crons link"], &["ask", "-n", "hello"]];
    for command in all {
        let ran = ws.claw(command);
        assert!(!format!("{ran:?}{out}").contains("canary"), "{ran:?}");
    }
}
