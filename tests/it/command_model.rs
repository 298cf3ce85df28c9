//! The provider `command`: the program's input and output, and that none of its processes remains after its time
//! limit, after too much output, or after the death of the caller.

use crate::common::findings;
use crate::common::proof::{self, Proof, Random};
use crate::common::servers::without_times;
use crate::common::{Fixture, Ran};
use claw::provider::MAX_ANSWER;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// A workspace whose model is a shell script. Processes that the script leaves behind are killed when this is
/// dropped, so that a failing test leaves none.
struct Scripted {
    ws: Fixture,
}

impl Scripted {
    fn new(script: &str) -> Self {
        Self::with(script, "")
    }

    /// `more` are further fields of the model.
    fn with(script: &str, more: &str) -> Self {
        let ws = Fixture::new();
        ws.write("model.sh", script);
        ws.model("mock", &format!("provider: command, command: [sh, model.sh]{more}"));
        Self { ws }
    }

    fn ask(&self, text: &str) -> Ran {
        self.ws.claw(&["ask", "-n", text])
    }

    /// All processes in the workspace's folder: those that `claw` has started, whatever their parent is now. Watchers
    /// are about to end are left out, and so are processes without memory: the kernel is about to remove
    /// them.
    fn processes(&self) -> Vec<(u32, String)> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let is_here = fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == self.ws.root);
            if !is_here || pid == std::process::id() {
                continue;
            }
            let line = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default().replace('\0', " ");
            if !line.is_empty() && !line.contains("__watch") {
                found.push((pid, line));
            }
        }
        found
    }

    /// No process of the model is alive at this moment.
    #[track_caller]
    fn is_alone(&self) {
        let alive = self.processes();
        assert!(alive.is_empty(), "still alive: {alive:#?}");
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        for _ in 0..100 {
            let alive = self.processes();
            if alive.is_empty() {
                return;
            }
            for (pid, _) in alive {
                let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).output();
            }
        }
    }
}

/// `ask` must have failed like this: nothing on stdout, and neither a message nor a process left.
#[track_caller]
fn refused(scripted: &Scripted, ran: Ran, code: i32, message: &str) {
    let err = format!("claw: {message}\n");
    assert_eq!((ran.code, ran.out, ran.err), (code, String::new(), err));
    assert_eq!((scripted.ws.pending(), scripted.ws.list("inbox/failed")), (vec![], vec![]));
    scripted.is_alone();
}

// ---------------------------------------------------------------- output

#[test]
fn output_of_the_program_is_the_answer() {
    let scripted = Scripted::new("printf 'four\n\nor so\n\n'");
    let ran = scripted.ask("2+2");
    let session = &scripted.ws.list("sessions")[0];
    let err = format!("claw: session pickle.ask-{}\n", session.rsplit_once('-').unwrap().1);
    assert_eq!((ran.code, ran.out, ran.err), (0, "four\n\nor so\n".to_owned(), err));
    scripted.is_alone();
}

#[test]
fn json_that_is_no_reply_is_text() {
    let scripted = Scripted::new(r#"echo '{"sum": 4}'"#);
    assert_eq!(scripted.ask("2+2").ok(), "{\"sum\": 4}\n");
}

#[test]
fn a_json_reply_has_its_tokens_and_its_note_is_committed() {
    let reply = json!({"content": "Noted.", "remember": ["the NAS is 10.0.0.7"], "usage": {"input": 3, "output": 5}});
    let scripted = Scripted::new(&format!("echo '{reply}'"));
    let ws = &scripted.ws;
    let out = ws.claw(&["ask", "-n", "--json", "-s", "work", "remember the NAS"]).ok();
    let mut document: Value = serde_json::from_str(&out).unwrap();
    let id = document["id"].take().as_str().unwrap().to_owned();
    assert!(document["duration_ms"].take().is_u64(), "{out}");
    let expected = json!({
        "id": null, "session": "pickle.work", "agent": "pickle", "model": "mock",
        "content": "Noted.", "usage": {"input": 3, "output": 5}, "cost": null, "duration_ms": null,
        "status": "answered", "approvals": [],
    });
    assert_eq!(document, expected);
    let day = format!("{}-{}-{}", &id[..4], &id[4..6], &id[6..8]);
    let note = ws.read(&format!("memories/daily-notes/{day}.md"));
    assert_eq!(note, format!("# {day}\n\n- the NAS is 10.0.0.7 <!-- {id}.m01 -->\n"));
    let git = "git log -1 --format=%s --name-only; git status --porcelain -- memories";
    assert_eq!(
        ws.shell(git).ok(),
        format!("remember: the NAS is 10.0.0.7\n\nmemories/daily-notes/{day}.md\n"),
        "the note is committed, alone and whole"
    );
    assert_eq!(ws.pending(), [""; 0]);
}

#[test]
fn program_may_save_a_note_without_an_answer() {
    let scripted = Scripted::new(r#"echo '{"content": "", "remember": ["milk"]}'"#);
    assert_eq!(scripted.ask("hello").ok(), "");
    assert!(scripted.ws.claw(&["recall", "milk"]).ok().contains("milk"));
    assert_eq!(scripted.ws.pending(), [""; 0]);
}

#[test]
fn a_program_reads_the_whole_request() {
    let script =
        "pwd >where; echo \"$CLAW_WORKSPACE\" >>where; cat >request.json; echo \"answer $(cat request.json | wc -l)\"";
    let scripted = Scripted::with(script, ", model: small, temperature: 0.5, max_tokens: 9");
    let ws = &scripted.ws;
    let request = |text: &str| -> Value {
        ws.claw(&["ask", "-n", "-s", "work", text]).ok();
        serde_json::from_str(&ws.read("request.json")).unwrap()
    };
    let first = request("one");
    let system = first["system"].as_str().unwrap();
    assert!(system.contains("Agent: pickle\nSession: pickle.work\n"), "{system}");
    let stable = system.find("\n\n## Runtime").unwrap();
    let expected = json!({
        "model": "small", "system": system, "system_stable": stable, "temperature": 0.5, "max_tokens": 9,
        "messages": [{"role": "user", "content": "one"}],
    });
    let mut plain = first.clone();
    plain["messages"] = without_times(&first["messages"]);
    let tools = plain.as_object_mut().unwrap().remove("tools").unwrap();
    assert_eq!(plain, expected);
    let is_whole = |tool: &Value| tool["description"].is_string() && tool["parameters"]["type"] == "object";
    assert!(tools.as_array().is_some_and(|tools| tools.len() > 2 && tools.iter().all(is_whole)), "{tools}");
    let messages = json!([
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "answer 0"},
        {"role": "user", "content": "two"},
    ]);
    assert_eq!(without_times(&request("two")["messages"]), messages);
    let root = ws.root.to_str().unwrap();
    assert_eq!(ws.read("where"), format!("{root}\n{root}\n"));
}

#[test]
fn a_program_need_not_read_its_request() {
    let scripted = Scripted::new("exec <&-; echo four");
    // More than a pipe holds.
    let out = scripted.ws.piped(&["ask", "what is this:"], &"x".repeat(1 << 20));
    assert_eq!(out.ok(), "four\n");
}

#[test]
fn a_program_in_the_background_is_not_waited_for_and_does_not_stay() {
    let scripted = Scripted::new("sleep 60 & setsid sleep 60 & echo $! >started; echo four");
    let begun = Instant::now();
    assert_eq!(scripted.ask("2+2").ok(), "four\n");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_ne!(scripted.ws.read("started"), "");
    scripted.is_alone();
}

// ---------------------------------------------------------------- failures

#[test]
fn a_program_that_is_not_there_is_bad_configuration() {
    let cases = [
        ("./nowhere", "No such file or directory (os error 2)"),
        ("./model.sh", "Permission denied (os error 13)"),
        ("./tools", "Permission denied (os error 13)"),
    ];
    for (program, why) in cases {
        let scripted = Scripted::new("echo four");
        fs::set_permissions(scripted.ws.path("model.sh"), fs::Permissions::from_mode(0o644)).unwrap();
        let text = scripted.ws.read("claw.yaml").replace("[sh, model.sh]", &format!("[{program}]"));
        scripted.ws.write("claw.yaml", &text);
        let ran = scripted.ask("2+2");
        refused(&scripted, ran, 78, &format!("model mock: cannot run `{program}`: {why}"));
    }
}

#[test]
fn an_environment_that_leaves_no_room_for_a_program_is_bad_configuration() {
    let scripted = Scripted::with("echo four", ", env: inherit");
    // As much as the kernel takes, to 64 bytes.
    let most =
        rustix::process::getrlimit(rustix::process::Resource::Stack).current.unwrap_or(u64::MAX).min(24 << 20) / 4;
    let started = (0..1000).find_map(|step| {
        let mut command = scripted.ws.command(&["ask", "-n", "2+2"]);
        let room = usize::try_from(most).unwrap() - step * 64;
        for (number, start) in (0..room).step_by(100_000).enumerate() {
            command.env(format!("FILL{number:03}"), "x".repeat((room - start).min(100_000)));
        }
        command.output().ok()
    });
    let why = "model mock: cannot run `sh`: its arguments and environment are too long";
    refused(&scripted, started.unwrap().into(), 78, why);
}

#[test]
fn failing_program_is_unavailable_with_its_last_line_as_reason() {
    let cases = [
        ("echo half an answer; echo first >&2; printf 'no luck\n\n' >&2; exit 1", 69, "exit 1: no luck"),
        ("echo busy >&2; exit 75", 75, "exit 75: busy"),
        ("echo ouch >&2; kill -KILL $$", 69, "exit 137: ouch"),
        // Exit codes with a meaning for the watcher itself.
        ("echo early >&2; exit 124", 69, "exit 124: early"),
    ];
    for (script, code, what) in cases {
        let scripted = Scripted::new(script);
        let ran = scripted.ask("2+2");
        refused(&scripted, ran, code, &format!("model mock: {what}"));
    }
}

#[test]
fn a_program_that_fails_is_tried_again_later() {
    let scripted = Scripted::new("[ -e fixed ] && echo four && exit; echo broken >&2; exit 1");
    let ws = &scripted.ws;
    let id = ws.claw(&["send", "2+2"]).ok().trim().to_owned();
    ws.claw(&["route"]).ok();
    assert!(ws.claw(&["run-agent"]).fails(75).contains("model mock: exit 1: broken"));
    let waits = ws.list("inbox/wait");
    assert_eq!(waits.len(), 1, "{waits:?}");
    assert!(waits[0].ends_with(&format!("~{id}~pickle.cli-ann~1.json")), "{waits:?}");
    ws.write("fixed", "");
    ws.claw(&["retry", &id]).ok();
    assert_eq!(ws.claw(&["run-agent"]).ok(), format!("{id}.r01\n"));
    assert_eq!(ws.claw(&["deliver"]).ok(), "four\n");
}

#[test]
fn an_answer_that_is_no_text_is_none() {
    let cases = [(r"printf 'caf\351\n'", 1, "invalid answer: not UTF-8"), ("printf ' \n'", 1, "its answer is empty")];
    for (script, code, what) in cases {
        let scripted = Scripted::new(script);
        let ran = scripted.ask("2+2");
        refused(&scripted, ran, code, &format!("model mock: {what}"));
    }
}

/// Asks with 400 MB of address space, for `claw` and all its programs.
fn ask_small(scripted: &Scripted) -> Ran {
    scripted.ws.shell("ulimit -v 400000; exec claw ask -n hello")
}

#[test]
fn a_gigabyte_of_answer_ends_at_the_limit() {
    // A closed pipe alone would not end this one.
    let script = r"trap '' PIPE
for n in $(seq 1000); do
  head -c 1048576 /dev/zero | tr '\0' x
  echo $n >>written
done
sleep 60";
    let scripted = Scripted::with(script, ", timeout: 20s");
    let begun = Instant::now();
    let ran = ask_small(&scripted);
    refused(&scripted, ran, 1, &format!("model mock: `sh` wrote more than {MAX_ANSWER} bytes"));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let written = scripted.ws.read("written").lines().count() as u64;
    assert!(written <= (MAX_ANSWER >> 20) + 1, "{written} MiB were read");
}

#[test]
fn a_long_answer_is_printed_whole_or_refused_whole_and_then_asked_for_again() {
    // In the event of the answer, a control character takes six bytes.
    let cases = [("x", 1_000_000), ("x", 4_100_000), ("x", 4_194_304), ("x", 8_300_000), ("\\001", 1_000_000)];
    for (letter, length) in cases {
        let long = format!("head -c {length} /dev/zero | tr '\\0' '{letter}'");
        let scripted = Scripted::new(&format!("[ -e fixed ] && echo four && exit; {long}"));
        let ran = ask_small(&scripted);
        let ws = &scripted.ws;
        if ran.code == 0 {
            assert_eq!(ran.out.len(), length + 1, "{letter} {length}");
            continue;
        }
        let is_final = matches!(ran.code, 1 | 65);
        assert!(is_final && ran.out.is_empty(), "{letter} {length}: exit {}, {}", ran.code, ran.err);
        assert_eq!((ws.list("inbox/failed"), ws.pending()), (vec![], vec![]), "{letter} {length}");
        assert_eq!(ws.list("outbox/failed"), [""; 0], "{letter} {length}: an answer that nobody can read");
        // An answer that could not be published is not final.
        let id = &crate::common::servers::routed(ws, "hello");
        ws.claw(&["run-agent"]).fails(1);
        assert!(ws.claw(&["deliver"]).ok().starts_with("your message could not be answered: "));
        ws.write("fixed", "");
        ws.claw(&["retry", id]).ok();
        assert_eq!(ws.claw(&["run-agent"]).ok(), format!("{id}.r01\n"), "{letter} {length}");
        assert_eq!(ws.claw(&["deliver"]).ok(), "four\n");
    }
}

#[test]
fn any_amount_of_stderr_is_read_and_its_last_line_reported() {
    let scripted = Scripted::new("yes complaint | head -c 200000000 >&2; echo 'the last one' >&2; exit 1");
    let ran = ask_small(&scripted);
    refused(&scripted, ran, 69, "model mock: exit 1: the last one");
}

// ---------------------------------------------------------------- descendants

/// A model that does not want to end, with children that resist even more: one in a session of its own that writes to
/// a file, and one whose parent is gone. (After a minute all of them end, so that a killed test run leaves none
/// for ever.)
const STUBBORN: &str = r#"trap '' TERM INT HUP
[ -e fixed ] && echo four && exit
setsid sh -c 'trap "" TERM INT HUP; for n in $(seq 6000); do echo beat >>beats; sleep 0.01; done' &
(setsid sleep 60 &)
for n in 1 2 3 4 5 6 7 8 9; do setsid sleep 60 & done
sleep 60
sleep 1
"#;

#[test]
fn when_its_time_is_up_the_program_and_all_its_descendants_are_gone() {
    let scripted = Scripted::with(STUBBORN, ", timeout: 1s");
    let begun = Instant::now();
    let ran = scripted.ask("2+2");
    // No writer is left when `ask` has ended.
    let beats = scripted.ws.read("beats");
    refused(&scripted, ran, 69, "model mock: `sh` did not end within 1s");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(scripted.ws.read("beats"), beats);
}

/// Starts `run-agent` on one event, in a process group of its own, and returns when the model and its children
/// run.
fn at_work(scripted: &Scripted) -> (String, Child) {
    let ws = &scripted.ws;
    let id = ws.claw(&["send", "2+2"]).ok().trim().to_owned();
    assert_eq!(ws.claw(&["route"]).ok(), format!("{id}\n"));
    let claw = ws.command(&["run-agent"]).process_group(0).spawn().unwrap();
    ws.eventually("the model's children are at work", |ws| {
        ws.path("beats").exists() && scripted.processes().iter().filter(|(_, line)| line == "sleep 60 ").count() >= 10
    });
    (id, claw)
}

/// Waits until another process can have the lane of that event, and lists the processes alive then.
#[track_caller]
fn lane_is_free_and_nobody_is_left(scripted: &Scripted, id: &str) {
    let ws = &scripted.ws;
    let lock = File::open(ws.path(".claw/locks/inbox/pickle.cli-ann")).unwrap();
    let (tell, hear) = mpsc::channel();
    thread::spawn(move || {
        lock.lock().unwrap();
        let _ = tell.send(lock);
    });
    let lock = hear.recv_timeout(Duration::from_secs(30)).unwrap();
    let (alive, beats) = (scripted.processes(), ws.read("beats"));
    assert!(alive.is_empty(), "the lane is free, but these are still alive: {alive:#?}");
    assert_eq!(ws.pending(), [format!("inbox/run/{id}~pickle.cli-ann~1.json")], "an orphan");
    drop(lock);
    // The next one finishes the turn, and exactly one answer is sent.
    ws.write("fixed", "");
    assert_eq!(ws.claw(&["run-agent"]).ok(), format!("{id}.r01\n"));
    assert_eq!(ws.claw(&["run-agent"]).ok(), "");
    assert_eq!(ws.pending(), [format!("outbox/ready/{id}.r01~cli-ann~0.json")]);
    assert_eq!(ws.claw(&["deliver"]).ok(), "four\n");
    assert_eq!(ws.read("beats"), beats, "nobody has written beside the second turn");
}

#[test]
fn when_its_starter_is_killed_the_lane_is_free_only_after_the_last_descendant_is_gone() {
    let scripted = Scripted::new(STUBBORN);
    let (id, mut claw) = at_work(&scripted);
    claw.kill().unwrap();
    claw.wait().unwrap();
    lane_is_free_and_nobody_is_left(&scripted, &id);
}

#[test]
fn an_interrupt_from_the_terminal_leaves_no_descendant_beside_a_free_lane() {
    // A terminal sends its signals to the whole process group in the foreground.
    let ignored = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = ignored.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim().to_owned();
    let ignored = u64::from_str_radix(&ignored, 16).unwrap();
    for (signal, number) in [("-INT", libc::SIGINT), ("-HUP", libc::SIGHUP), ("-KILL", libc::SIGKILL)] {
        if ignored >> (number - 1) & 1 == 1 {
            crate::common::skipped(&format!("kill {signal}: it is ignored here, as under nohup or behind `&`"));
            continue;
        }
        let scripted = Scripted::new(STUBBORN);
        let (id, mut claw) = at_work(&scripted);
        let group = format!("-{}", claw.id());
        assert!(Command::new("kill").args([signal, "--", &group]).status().unwrap().success());
        claw.wait().unwrap();
        lane_is_free_and_nobody_is_left(&scripted, &id);
    }
}

/// A model that leaves a process behind in a session of its own, which writes without end, and hangs.
const WRITES_FOR_EVER: &str = r"[ -e fixed ] && echo four && exit
setsid sh -c 'while [ -e model.sh ]; do echo beat >>beats; sleep 0.001; done' >/dev/null 2>&1 </dev/null &
exec sleep 60
";

/// A model that calls a sandboxed tool, which leaves a process behind and hangs as well.
const CALLS: &str = r#"[ -e fixed ] && echo four && exit
echo '{"calls": [{"name": "haunt", "arguments": {}}]}'
"#;
const HAUNTS: &str = r"#!/bin/sh
[ -e fixed ] && exit
setsid sh -c 'while [ -e model.sh ]; do echo beat >>files/beats; sleep 0.001; done' >/dev/null 2>&1 </dev/null &
exec sleep 60
";

/// The running processes at a kill.
struct AtWork {
    scripted: Scripted,
    /// The file that its grandchild writes.
    beats: &'static str,
    /// The longest time until it does, in microseconds.
    begins: usize,
}

impl AtWork {
    fn model() -> Self {
        Self { scripted: Scripted::new(WRITES_FOR_EVER), beats: "beats", begins: 40_000 }
    }

    fn tool() -> Self {
        let scripted = Scripted::new(CALLS);
        let ws = &scripted.ws;
        ws.write("tools/haunt", HAUNTS);
        ws.write("tools/haunt.json", r#"{"description": "Haunts.", "parameters": {"type": "object"}}"#);
        fs::set_permissions(ws.path("tools/haunt"), fs::Permissions::from_mode(0o755)).unwrap();
        Self { scripted, beats: "files/beats", begins: 120_000 }
    }
}

/// Kills the worker or its watcher at a random moment, again and again, and lists each time the processes that are
/// alive and writing when the lane is free.
fn killed_at_random(mut proof: Proof, AtWork { scripted, beats: name, begins }: &AtWork, is_watcher: bool) {
    let rounds = if proof::is_full() { 300 } else { 12 };
    let seed = proof::seed();
    eprintln!("CLAW_TEST_SEED={seed}");
    (proof.points, proof.seed) = (rounds, Some(seed));
    let mut random = Random(seed);
    let mut wrong = Vec::new();
    let mut at_work = 0;
    let ws = &scripted.ws;
    for round in 0..rounds {
        let session = format!("pickle.round-{round}");
        let id = ws.claw(&["send", "--session", &session, "2+2"]).ok().trim().to_owned();
        ws.claw(&["route"]).ok();
        let mut claw = ws.command(&["run-agent"]).spawn().unwrap();
        if round % 2 == 0 {
            ws.eventually("its program is at work", |ws| ws.path(name).exists());
        }
        let moment = Instant::now() + Duration::from_micros(random.below(*begins) as u64);
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        let watcher = is_watcher.then(|| watcher_of(claw.id()));
        at_work += usize::from(ws.path(name).exists());
        let _ = Command::new("kill").args(["-KILL", &watcher.unwrap_or(claw.id()).to_string()]).output();
        claw.wait().unwrap();
        let lock = ws.path(&format!(".claw/locks/inbox/{session}"));
        let lock = File::options().append(true).create(true).open(lock).unwrap();
        let (tell, hear) = mpsc::channel();
        thread::spawn(move || {
            lock.lock().unwrap();
            let _ = tell.send(lock);
        });
        let lock = hear.recv_timeout(Duration::from_secs(30)).expect("the lane is never free");
        let beats = || fs::read_to_string(ws.path(name)).unwrap_or_default().len();
        let (alive, before) = (scripted.processes(), beats());
        drop(lock);
        // The next turn takes a while, in which only its own processes may write.
        ws.write("fixed", "");
        ws.claw(&["retry", &id]);
        assert_eq!(ws.claw(&["run-agent"]).ok(), format!("{id}.r01\n"));
        if !alive.is_empty() || beats() != before {
            wrong.push(format!(
                "round {round}: {} bytes written beside the next turn, alive: {alive:?}",
                beats() - before
            ));
        }
        for (pid, _) in alive {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).output();
        }
        let _ = fs::remove_file(ws.path("fixed"));
        let _ = fs::remove_file(ws.path(name));
    }
    proof.end(wrong.len());
    findings::none("programs outlived their turn", &wrong);
    assert!(at_work > 0, "nobody was ever at work, so nothing was shown");
}

/// The watcher of a worker, as soon as it exists.
fn watcher_of(worker: u32) -> u32 {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let tasks = fs::read_dir(format!("/proc/{worker}/task")).unwrap().flatten();
        let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        if let Some(pid) = children.flat_map(|text| text.trim().parse()).next() {
            return pid;
        }
        assert!(Instant::now() < end, "it has no watcher");
    }
}

#[test]
fn killed_worker_leaves_no_writer_beside_a_free_lane() {
    let proof = Proof::begin("a worker is killed, its model's grandchild writes for ever");
    killed_at_random(proof, &AtWork::model(), false);
}

#[test]
fn a_worker_killed_at_any_moment_leaves_nothing_of_a_tool_that_writes_beside_a_free_lane() {
    let proof = Proof::begin("a worker killed, its tool's grandchild writes for ever");
    killed_at_random(proof, &AtWork::tool(), false);
}

#[test]
#[ignore = "known: what a killed watcher had adopted lives on; see docs/reliability.md"]
fn killed_watcher_leaves_no_writer_beside_a_free_lane() {
    let proof = Proof::begin("a watcher is killed, its model's grandchild writes for ever");
    killed_at_random(proof, &AtWork::model(), true);
}

#[test]
fn program_gets_home_path_and_the_variables_that_env_names() {
    let scripted = Scripted::with("env | cut -d= -f1 | sort | tr '\\n' ' '", ", env: [CHOSEN, UNSET]");
    let mut command = scripted.ws.command(&["ask", "-n", "2+2"]);
    let ran = Ran::from(command.env("CHOSEN", "x").env("SECRET", "y").output().unwrap());
    let names: Vec<&str> =
        ran.out.split_whitespace().filter(|name| !["_", "OLDPWD", "PWD", "SHLVL"].contains(name)).collect();
    assert_eq!(names, ["CHOSEN", "CLAW_INSIDE", "CLAW_WORKSPACE", "HOME", "PATH"], "{ran:?}");
}
