//! Units of systemd: its own tools accept them, and claw works under the filter of their services. No systemd runs where
//! the tests run, so the filter is applied by the tests, and a socket stands for the manager.

use crate::common::strict::{Answer, Script, Strict};
use crate::common::{Fixture, Ran, Supervisor, peer, skipped};
use claw::core::units::CALLS;
use claw::store::memory::git;
use seccompiler::{BpfMap, apply_filter, compile_from_json};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

fn analyze(ws: &Fixture, arguments: &[&str]) -> Ran {
    fs::create_dir_all(ws.dir.path().join("run")).unwrap();
    let mut command = Command::new("systemd-analyze");
    command.args(arguments).env("XDG_RUNTIME_DIR", ws.dir.path().join("run")).env("HOME", ws.dir.path());
    command.output().unwrap().into()
}

fn has_systemd() -> bool {
    let is_there = Command::new("systemd-analyze").arg("--version").output().is_ok_and(|ran| ran.status.success());
    peer::is_there(is_there, "systemd-analyze is not installed")
}

/// Writes the user's units; returns their paths.
fn written(ws: &Fixture) -> Vec<String> {
    ws.claw(&["units", "--user"]).ok().lines().map(ToOwned::to_owned).collect()
}

#[test]
fn units_are_written_once_more_but_not_over_those_of_others() {
    let ws = Fixture::new();
    let paths = written(&ws);
    assert_eq!((paths.len(), written(&ws)), (5, paths.clone()));
    let names: Vec<&str> = paths.iter().map(|path| path.rsplit_once('/').unwrap().1).collect();
    let stem = names[0].strip_suffix(".path").unwrap();
    assert_eq!(
        names[1..],
        [".timer", ".service", "-supervise.service", "-listen@.service"].map(|ending| format!("{stem}{ending}"))
    );
    let printed = ws.claw(&["units", "--user", "--print"]).ok();
    for path in &paths {
        assert!(path.starts_with(ws.dir.path().join(".config/systemd/user").to_str().unwrap()), "{path}");
        assert!(printed.contains(&fs::read_to_string(path).unwrap()), "{path}");
    }
    fs::write(&paths[1], "[Timer]\nOnCalendar=hourly\n").unwrap();
    assert!(ws.claw(&["units", "--user"]).fails(1).contains("was not written by claw units"));
    // Units of the system name the user.
    let system = ws.claw(&["units", "--print"]).ok();
    let user = rustix::process::getuid().as_raw();
    assert!(system.contains(&format!("\nUser={user}\n")) && system.contains("# /etc/systemd/system/claw-"), "{system}");
}

#[test]
fn tools_of_systemd_accept_the_units() {
    if !has_systemd() {
        return;
    }
    let ws = Fixture::new();
    let paths = written(&ws);
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    for manager in ["--user", "--system"] {
        let ran = analyze(&ws, &[&["verify", manager, "--man=no"], &paths[..]].concat());
        assert_eq!((ran.code, ran.err.as_str(), ran.out.as_str()), (0, "", ""), "{manager}");
    }
    for service in &paths[2..] {
        // The exit code says whether the exposure, in tenths, is above the limit.
        let ran = analyze(&ws, &["security", "--user", "--no-pager", "--offline=true", "--threshold=30", service]);
        assert_eq!(ran.code, 0, "{}", ran.out.lines().last().unwrap_or(&ran.err));
    }
}

/// The names of the calls in a filter of systemd, with those of its groups.
fn calls(ws: &Fixture, words: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for word in words.split_whitespace().filter(|word| !word.starts_with('#')) {
        if word.starts_with('@') {
            let group = analyze(ws, &["syscall-filter", "--no-pager", word]).ok();
            let members: String = group
                .lines()
                .skip(1)
                .filter(|line| !line.trim().starts_with('#'))
                .map(|line| format!("{line} "))
                .collect();
            names.extend(calls(ws, &members));
        } else {
            names.insert(word.to_owned());
        }
    }
    names
}

/// The filter of the services, with the calls that this machine has.
fn filter(ws: &Fixture, words: &str) -> BpfMap {
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let compile = |names: &[&String]| {
        let rules: Vec<_> = names.iter().map(|name| json!({"syscall": name})).collect();
        let filter = json!({"services": {"mismatch_action": {"errno": 1}, "match_action": "allow", "filter": rules}});
        compile_from_json(filter.to_string().as_bytes(), arch)
    };
    let names = calls(ws, words);
    let known: Vec<&String> = names.iter().filter(|name| compile(&[name]).is_ok()).collect();
    assert!(known.len() > 250, "{known:?}");
    compile(&known).unwrap()
}

/// Runs a command under a filter, on a thread of its own, because the filter stays.
fn under(filter: &BpfMap, mut command: Command) -> Ran {
    let run = || {
        apply_filter(&filter["services"]).unwrap();
        command.output().unwrap().into()
    };
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}

const SCRIPTS: &[(&str, Script)] = &[("work", |step, results| -> Answer {
    match step {
        0 => ("", vec![("bash", json!({"command": "echo made >files/made; cat ../ws/claw.yaml; cat /etc/hostname"}))]),
        _ if results.iter().any(|result| result.contains("deliver_to") || result.contains("model:")) => {
            ("leaked", vec![])
        }
        _ => ("worked", vec![]),
    }
})];

#[test]
fn services_can_call_models_run_sandboxed_programs_and_commit() {
    if !has_systemd() {
        return;
    }
    let ws = Fixture::new();
    let server = Strict::start(SCRIPTS);
    server.model(&ws);
    if !git::is_installed() {
        return skipped("no git here");
    }
    let filter_of_services = filter(&ws, CALLS);
    let ask = || ws.command(&["ask", "-n", "work"]);
    assert_eq!(under(&filter_of_services, ask()).ok(), "worked\n");
    assert_eq!(ws.read("files/made"), "made\n");
    let noted = under(&filter_of_services, ws.command(&["remember", "the NAS is 10.0.0.7"]));
    assert_eq!(noted.code, 0, "{noted:?}");
    assert_eq!(ws.shell("git log -1 --format=%s").ok(), "remember: the NAS is 10.0.0.7\n", "{noted:?}");
    // The filter is in force, and the calls that it adds are needed.
    let usual = filter(&ws, "@system-service");
    fs::remove_file(ws.path("files/made")).unwrap();
    let ran = under(&usual, ask());
    assert!(!ws.path("files/made").exists(), "{ran:?}");
}

#[test]
fn supervisor_tells_the_manager_that_it_is_ready_alive_and_stopping() {
    let ws = Fixture::new();
    let path = ws.dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let heard = || {
        let mut message = [0; 100];
        let length = socket.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    };
    let mut command = ws.command(&["supervise"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
    let supervisor = Supervisor::started(command);
    assert_eq!(heard(), "READY=1");
    // It is asleep: only the watchdog wakes it.
    for _ in 0..4 {
        assert_eq!(heard(), "WATCHDOG=1");
    }
    supervisor.signal("TERM");
    while heard() == "WATCHDOG=1" {}
    assert_eq!(supervisor.ended().code, 0);
}
