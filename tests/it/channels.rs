//! The last hop: programs, files, terminals; retries, failures, and notices.

use crate::common::{Fixture, Ran};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::Child;
use std::time::{Duration, Instant};

/// An id for now, distinguished by `tail`.
fn id(tail: &str) -> String {
    format!("{}-{tail}", jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S.000000Z"))
}

/// The instant in so many minutes.
fn minutes(minutes: i64) -> String {
    (jiff::Timestamp::now() + jiff::SignedDuration::from_mins(minutes)).to_string()
}

/// Puts an outgoing event into `folder`, with this lane and these tries, and returns its id.
fn put(ws: &Fixture, folder: &str, tail: &str, reply_to: &str, tries: &str) -> String {
    let (id, now) = (id(tail), jiff::Timestamp::now());
    let lane = reply_to.replacen(':', "-", 1);
    let event = format!(
        r#"{{"v":1,"id":"{id}","kind":"message","from":"agent:pickle","reply_to":"{reply_to}","content":"hello {tail}","created_at":"{now}"}}"#
    );
    ws.write(&format!("{folder}/{id}~{lane}~{tries}.json"), &event);
    id
}

/// A workspace in which `exec:say` runs this script.
fn with_program(script: &str) -> Fixture {
    let ws = Fixture::new();
    ws.write("tools/say", &format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(ws.path("tools/say"), PermissionsExt::from_mode(0o755)).unwrap();
    ws.config("channels:\n  exec:\n    say: {command: [./tools/say]}\n");
    ws
}

/// The file of a delivered event with this ending, on any day.
fn beside(ws: &Fixture, id: &str, ending: &str) -> Option<String> {
    let days = ws.list("outbox/done");
    let names = days.iter().map(|day| format!("outbox/done/{day}/{id}{ending}"));
    names.into_iter().find(|name| ws.path(name).exists()).map(|name| ws.read(&name))
}

/// Writes the receipt of an earlier worker.
fn write_receipt(ws: &Fixture, id: &str, text: &str) {
    ws.write(&format!("outbox/done/{}-{}-{}/{id}.receipt", &id[..4], &id[4..6], &id[6..8]), text);
}

fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

fn lines(ws: &Fixture, name: &str) -> Vec<String> {
    let text = fs::read_to_string(ws.path(name)).unwrap_or_default();
    text.lines().map(ToOwned::to_owned).collect()
}

#[test]
fn program_reads_event_and_attempt_and_prints_the_receipt() {
    let ws = with_program("cat >got.json; env | grep ^CLAW_ | sort >env.txt; echo posted as 17");
    let id = put(&ws, "outbox/ready", "one", "exec:say", "0");
    ws.claw(&["tick"]).ok();
    let got = ws.read("got.json");
    assert!(got.ends_with("}\n") && got.lines().count() == 1, "{got}");
    let event: Value = serde_json::from_str(&got).unwrap();
    assert_eq!((&event["id"], &event["content"]), (&Value::from(&id[..]), &Value::from("hello one")));
    assert_eq!(event["reply_to"], "exec:say");
    let env = lines(&ws, "env.txt");
    for expected in [format!("CLAW_EVENT_ID={id}"), "CLAW_ATTEMPT=1".to_owned(), "CLAW_MAYBE_REPEATED=0".to_owned()] {
        assert!(env.contains(&expected), "{expected}: {env:#?}");
    }
    assert_eq!(beside(&ws, &id, ".receipt").unwrap(), "begun\nsent posted as 17\n");
    assert!(beside(&ws, &id, ".json").is_some());
    assert!(ws.claw(&["log", "--kind", "sent"]).ok().contains("posted as 17"));
    assert_eq!(ws.pending(), [""; 0]);
}

#[test]
fn a_program_need_not_read_or_say_anything() {
    let ws = with_program("exec <&- >&- 2>&-; exit 0");
    let id = put(&ws, "outbox/ready", "one", "exec:say", "0");
    ws.claw(&["tick"]).ok();
    assert_eq!(beside(&ws, &id, ".receipt").unwrap(), "begun\nsent\n");
}

#[test]
fn later_means_waiting_longer_each_time_with_every_attempt_counted() {
    let ws =
        with_program("echo $CLAW_ATTEMPT $CLAW_MAYBE_REPEATED >>attempts; [ -e open ] || { echo shut >&2; exit 75; }");
    let id = put(&ws, "outbox/ready", "one", "exec:say", "0");
    let before = jiff::Timestamp::now();
    assert!(ws.claw(&["tick"]).fails(75).contains("exit 75: shut"));
    let waiting = ws.list("outbox/wait");
    assert!(waiting.len() == 1 && waiting[0].ends_with(&format!("~{id}~exec-say~1.json")), "{waiting:?}");
    let due = waiting[0].split('~').next().unwrap();
    let due = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%S.%fZ", due).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
    let wait = due.unwrap().timestamp().duration_since(before).as_secs_f64();
    assert!((3.9..30.0).contains(&wait), "{wait}");
    ws.claw(&["tick"]).ok();
    assert_eq!(lines(&ws, "attempts"), ["1 0"], "it is not due");
    ws.claw(&["tick", "--now", &minutes(60)]).fails(75);
    assert!(ws.list("outbox/wait")[0].ends_with("~2.json"));
    ws.write("open", "");
    ws.claw(&["tick", "--now", &minutes(180)]).ok();
    assert_eq!(lines(&ws, "attempts"), ["1 0", "2 0", "3 0"]);
    assert!(beside(&ws, &id, ".json").is_some());
    assert_eq!(ws.pending(), [""; 0]);
}

#[test]
fn waiting_delivery_blocks_its_own_destination_only() {
    let ws = with_program("exit 75");
    put(&ws, "outbox/ready", "one", "exec:say", "0");
    put(&ws, "outbox/ready", "two", "exec:say", "0");
    put(&ws, "outbox/ready", "three", "file:x", "0");
    ws.claw(&["tick"]).fails(75);
    assert_eq!(ws.list("outbox/files/x").len(), 1);
    assert!(ws.list("outbox/ready")[0].ends_with("two~exec-say~0.json"), "the second is not tried before the first");
}

#[test]
fn other_exit_code_fails_with_the_programs_message_and_retry_delivers() {
    let ws = with_program("[ -e open ] || { echo first; echo boom >&2; exit 1; }");
    let id = put(&ws, "outbox/ready", "one", "exec:say", "0");
    assert!(ws.claw(&["tick"]).fails(1).contains("exit 1: boom"));
    assert!(ws.read(&format!("outbox/failed/{id}.reason")).starts_with("exec:say: exit 1: boom\n"));
    assert_eq!(beside(&ws, &id, ".receipt").unwrap(), "begun\nnot sent\n");
    ws.write("open", "");
    assert_eq!(ws.claw(&["retry", &id]).ok().trim(), id);
    assert_eq!(ws.list("outbox/ready"), [format!("{id}~exec-say~0r2.json")]);
    ws.claw(&["tick"]).ok();
    assert!(beside(&ws, &id, ".json").is_some());
    assert_eq!(ws.list("outbox/failed"), [""; 0]);
}

/// `deliver_to` is not set, so that there is no other place to tell it.
#[test]
fn ask_reports_a_failed_delivery_of_which_no_notice_was_sent() {
    let ws = with_program("exit 1");
    let ids = ["one", "two"].map(|tail| put(&ws, "outbox/ready", tail, "exec:say", "0"));
    ws.claw(&["tick"]).fails(1);
    assert!(ws.claw(&["status"]).out.matches("outbox: exec:say: exit 1").count() == 2);
    let err = ws.claw(&["ask", "-n", "hello"]).err;
    assert!(
        err.contains("could not be delivered to exec:say: exec:say: exit 1") && err.contains("not the only one"),
        "{err}"
    );
    ws.claw(&["discard", &ids[0], &ids[1]]).ok();
    assert!(!ws.claw(&["ask", "-n", "hello"]).err.contains("could not be delivered"));
    // With a home address of its own, a notice was sent there.
    ws.config("deliver_to: file:home\n");
    put(&ws, "outbox/ready", "three", "exec:say", "0");
    ws.claw(&["tick"]);
    assert!(!ws.claw(&["ask", "-n", "hello"]).err.contains("could not be delivered"));
}

#[test]
fn a_program_that_is_not_there_is_waited_for() {
    let ws = with_program("");
    fs::remove_file(ws.path("tools/say")).unwrap();
    let id = put(&ws, "outbox/ready", "one", "exec:say", "0");
    assert!(ws.claw(&["tick"]).fails(75).contains("cannot run `./tools/say`"));
    ws.write("tools/say", "#!/bin/sh\n");
    fs::set_permissions(ws.path("tools/say"), PermissionsExt::from_mode(0o755)).unwrap();
    ws.claw(&["retry", &id]).ok();
    ws.claw(&["tick"]).ok();
    assert!(beside(&ws, &id, ".json").is_some());
}

#[test]
fn a_program_whose_time_is_up_is_ended_with_all_that_it_started() {
    let ws = with_program("setsid sleep 600 & echo $! >pids; echo $$ >>pids; exec sleep 600");
    let text = ws.read("claw.yaml").replace("[./tools/say]", "[./tools/say], timeout: 1s");
    ws.write("claw.yaml", &text);
    put(&ws, "outbox/ready", "one", "exec:say", "0");
    assert!(ws.claw(&["tick"]).fails(75).contains("did not end within 1s"));
    let pids = lines(&ws, "pids");
    assert_eq!(pids.len(), 2);
    assert!(pids.iter().all(|pid| !is_alive(pid)), "{pids:?}");
    assert_eq!(ws.list("outbox/wait").len(), 1);
}

/// Appends its attempt to `runs`, and hangs until it is killed, or does what the file `then` says.
const HANGS: &str = "echo $$ >>pids; (setsid sleep 600 & echo $! >>pids); echo $CLAW_ATTEMPT $CLAW_MAYBE_REPEATED >>runs; \
                     [ -e then ] && . ./then; exec sleep 600";

/// Kills a `claw deliver` while its program runs, and waits until all its processes are gone.
fn kill_in_the_middle(ws: &Fixture) {
    let before = lines(ws, "runs").len();
    let mut child: Option<Child> = None;
    // The previous one may still hold the lane: then this one has no work, and ends.
    ws.eventually("the program runs", |ws| {
        if child.as_mut().is_none_or(|c| c.try_wait().unwrap().is_some()) {
            child = Some(ws.command(&["deliver"]).spawn().unwrap());
        }
        lines(ws, "runs").len() > before
    });
    let mut child = child.unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let pids = lines(ws, "pids");
    ws.eventually("its program is dead, too", |_| pids.iter().all(|pid| !is_alive(pid)));
}

/// Runs `claw deliver` until it prints or does something.
fn deliver_until(ws: &Fixture, what: &str, is_so: impl Fn(&Fixture) -> bool) {
    ws.eventually(what, |ws| {
        ws.claw(&["deliver"]);
        is_so(ws)
    });
}

#[test]
fn after_a_killed_worker_the_repeat_is_marked() {
    let ws = with_program(HANGS);
    let id = put(&ws, "outbox/ready", "one", "exec:say", "0");
    kill_in_the_middle(&ws);
    assert_eq!(ws.list("outbox/run").len(), 1);
    ws.write("then", "exit 0");
    deliver_until(&ws, "it is delivered", |ws| beside(ws, &id, ".json").is_some());
    assert_eq!(lines(&ws, "runs"), ["1 0", "2 1"]);
    assert_eq!(ws.pending(), [""; 0]);
}

#[test]
fn that_it_may_repeat_is_not_forgotten_while_it_waits() {
    let ws = with_program(HANGS);
    let id = put(&ws, "outbox/ready", "one", "exec:say", "0");
    kill_in_the_middle(&ws);
    ws.write("then", "exit 75");
    deliver_until(&ws, "it waits", |ws| ws.list("outbox/wait").len() == 1);
    ws.write("then", "exit 0");
    ws.claw(&["retry", &id]).ok();
    ws.claw(&["tick"]).ok();
    let runs = lines(&ws, "runs");
    assert!(runs.len() == 3 && runs.iter().skip(1).all(|run| run.ends_with(" 1")), "{runs:?}");
}

#[test]
fn an_event_that_kills_its_workers_fails_and_its_next_round_still_may_repeat() {
    let ws = with_program(HANGS);
    let id = put(&ws, "outbox/ready", "one", "exec:say", "0");
    for _ in 0..2 {
        kill_in_the_middle(&ws);
    }
    // From now on it kills the process that handles only this event, which is the parent of its watcher.
    ws.write("then", "kill -9 $(cut -d' ' -f4 /proc/$PPID/stat); sleep 9");
    deliver_until(&ws, "it fails", |ws| {
        ws.hurry();
        ws.path(&format!("outbox/failed/{id}.reason")).exists()
    });
    assert!(ws.read(&format!("outbox/failed/{id}.reason")).contains("its worker was killed 3 times"));
    assert_eq!(lines(&ws, "runs"), ["1 0", "2 1", "3 1", "4 1", "5 1"], "it is not run a sixth time");
    ws.write("then", "exit 0");
    ws.claw(&["retry", &id]).ok();
    ws.claw(&["tick"]).ok();
    assert!(beside(&ws, &id, ".json").is_some());
    assert_eq!(lines(&ws, "runs").last().unwrap(), "1 1", "what was killed may have arrived");
}

#[test]
fn a_program_whose_receipt_is_there_is_not_run_again() {
    let ws = with_program("echo ran >>runs");
    let id = put(&ws, "outbox/run", "one", "exec:say", "1");
    write_receipt(&ws, &id, "begun\nsent posted as 17\n");
    ws.claw(&["tick"]).ok();
    assert_eq!(lines(&ws, "runs"), [""; 0]);
    assert_eq!(beside(&ws, &id, ".receipt").unwrap(), "begun\nsent posted as 17\n");
    assert!(beside(&ws, &id, ".json").is_some());
}

#[test]
fn lane_is_free_when_the_killed_holders_programs_are_dead() {
    // Killing this many takes a while, and until then the lane is held.
    let ws = with_program("[ -e then ] && exit 0; for n in $(seq 100); do sleep 600 & done; echo >ready; wait");
    let id = put(&ws, "outbox/ready", "one", "exec:say", "0");
    let mut first = ws.command(&["deliver", &id]).spawn().unwrap();
    ws.eventually("the program runs", |ws| ws.path("ready").exists());
    let mut second = ws.command(&["deliver", &id]).spawn().unwrap();
    ws.eventually("the second one waits", |_| watches(second.id()));
    ws.write("then", "");
    first.kill().unwrap();
    first.wait().unwrap();
    let end = Instant::now() + Duration::from_secs(15);
    // The workspace's files change when the second one works; the last check is at the end.
    while second.try_wait().unwrap().is_none() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    let has_ended = second.try_wait().unwrap().is_some();
    second.kill().unwrap();
    let mut err = String::new();
    second.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    second.wait().unwrap();
    assert!(has_ended && beside(&ws, &id, ".json").is_some(), "it sleeps on beside a free lane: {err}");
}

/// Whether a process has an inotify watch and sleeps.
fn watches(pid: u32) -> bool {
    let fds = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
    let has_watch = fds.filter_map(|e| fs::read_to_string(e.path()).ok()).any(|t| t.contains("inotify wd"));
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    has_watch && stat.contains(") S ")
}

/// The possible states after a killed delivery to a file: a name, the receipt, the staged file, and the reader's
/// folder; and the number of files in the reader's folder after recovery.
type Crash = (&'static str, &'static str, Option<&'static str>, Option<&'static str>, usize);

const CRASHES: &[Crash] = &[
    ("before anything", "", None, None, 1),
    ("while the file was staged", "", Some("hel"), None, 1),
    ("before the receipt", "", Some("hello one\n"), None, 1),
    ("in the receipt's first line", "rea", Some("hello one\n"), None, 1),
    ("before the file is handed over", "ready\n", Some("hello one\n"), None, 1),
    ("behind that", "ready\n", None, Some("hello one\n"), 1),
    ("behind that, and the reader has taken it", "ready\n", None, None, 0),
    ("in the receipt's last line", "ready\noutbox/fi", None, None, 0),
    ("before the event moves", "ready\noutbox/files/x/ID.md\n", None, Some("hello one\n"), 1),
    ("before the event moves, and the reader has taken it", "ready\noutbox/files/x/ID.md\n", None, None, 0),
    ("where the move is half durable", "ready\n", Some("hello one\n"), Some("hello one\n"), 1),
];

#[test]
fn a_message_to_a_file_arrives_once_wherever_its_worker_was_killed() {
    for (what, receipt, staged, arrived, expected) in CRASHES {
        let ws = Fixture::new();
        let id = put(&ws, "outbox/run", "one", "file:x", "1");
        if !receipt.is_empty() {
            write_receipt(&ws, &id, &receipt.replace("ID", &id));
        }
        if let Some(text) = staged {
            ws.write(&format!("outbox/tmp/{id}.file"), text);
        }
        if let Some(text) = arrived {
            ws.write(&format!("outbox/files/x/{id}.md"), text);
        }
        ws.claw(&["tick"]).ok();
        let files = ws.list("outbox/files/x");
        assert_eq!(files.len(), *expected, "{what}: {files:?}");
        for name in files {
            assert_eq!(
                (&name[..], &ws.read(&format!("outbox/files/x/{name}"))[..]),
                (&format!("{id}.md")[..], "hello one\n")
            );
        }
        assert!(beside(&ws, &id, ".json").is_some(), "{what}");
        assert_eq!(ws.list("outbox/tmp"), [""; 0], "{what}");
        assert_eq!(ws.pending(), [""; 0], "{what}");
    }
}

#[test]
fn second_copy_of_a_delivered_file_is_not_delivered() {
    let ws = Fixture::new();
    let id = put(&ws, "outbox/ready", "one", "file:x", "0");
    let copy = ws.read(&format!("outbox/ready/{id}~file-x~0.json"));
    ws.claw(&["tick"]).ok();
    fs::remove_file(ws.path(&format!("outbox/files/x/{id}.md"))).unwrap();
    for folder in ["ready", "run"] {
        ws.write(&format!("outbox/{folder}/{id}~file-x~0.json"), &copy);
        ws.claw(&["tick"]).ok();
        assert_eq!(ws.list("outbox/files/x"), [""; 0]);
        assert_eq!(ws.pending(), [""; 0]);
    }
}

/// A later reader must not see work that was not done.
#[test]
fn copy_of_a_finished_event_is_removed() {
    let ws = with_program("cat >/dev/null; echo ran >>runs");
    let claims = |id: &str| {
        let log = ws.claw(&["log", "--json"]).ok();
        log.lines().filter(|line| line.contains(r#""claim""#) && line.contains(&format!(r#""{id}""#))).count()
    };
    let sent = ws.claw(&["send", "--from", "exec:say", "hello"]).ok().trim().to_owned();
    ws.claw(&["route"]).ok();
    let name = ws.list("inbox/ready").remove(0);
    let copy = ws.read(&format!("inbox/ready/{name}"));
    ws.claw(&["tick"]).ok();
    let told = put(&ws, "outbox/ready", "one", "exec:say", "0");
    let second = ws.read(&format!("outbox/ready/{told}~exec-say~0.json"));
    ws.claw(&["tick"]).ok();
    assert_eq!((claims(&sent), claims(&told), lines(&ws, "runs").len()), (1, 1, 2));
    for folder in ["ready", "run"] {
        ws.write(&format!("inbox/{folder}/{name}"), &copy);
        ws.write(&format!("outbox/{folder}/{told}~exec-say~0.json"), &second);
        ws.claw(&["tick"]).ok();
        assert_eq!((claims(&sent), claims(&told), lines(&ws, "runs").len()), (1, 1, 2), "from {folder}");
        assert_eq!(ws.pending(), [""; 0]);
    }
}

#[test]
fn of_two_files_of_one_event_one_is_handled_and_one_removed() {
    let ws = with_program("echo ran >>runs; exit 75");
    let id = put(&ws, "outbox/ready", "one", "exec:say", "0");
    ws.write(&format!("outbox/ready/{id}~exec-say~1.json"), &ws.read(&format!("outbox/ready/{id}~exec-say~0.json")));
    ws.claw(&["tick"]).fails(75);
    let left = ws.pending();
    assert!(
        left.len() == 1 && left[0].starts_with("outbox/wait/"),
        "what waits must not lie there a second time: {left:?}"
    );
    assert_eq!(lines(&ws, "runs").len(), 1);
}

/// Only `claw retry` tries it again, once.
#[test]
fn copy_of_a_failed_event_stays_failed_until_retried() {
    let ws = with_program("echo ran >>runs; [ -e open ] || exit 1");
    let id = put(&ws, "outbox/ready", "one", "exec:say", "0");
    let copy = ws.read(&format!("outbox/ready/{id}~exec-say~0.json"));
    ws.claw(&["tick"]).fails(1);
    ws.write("open", "");
    for folder in ["ready", "run"] {
        ws.write(&format!("outbox/{folder}/{id}~exec-say~0.json"), &copy);
        ws.claw(&["tick"]).ok();
        assert_eq!((lines(&ws, "runs").len(), beside(&ws, &id, ".json")), (1, None), "from {folder}");
        assert_eq!(ws.pending(), [""; 0]);
    }
    ws.claw(&["retry", &id]).ok();
    ws.claw(&["tick"]).ok();
    assert!(lines(&ws, "runs").len() == 2 && beside(&ws, &id, ".json").is_some());
}

#[test]
fn a_reader_that_takes_files_away_meanwhile_gets_every_message_once() {
    let ws = Fixture::new();
    let ids: BTreeSet<String> = (0..60).map(|n| put(&ws, "outbox/ready", &format!("m{n:02}"), "file:x", "0")).collect();
    let workers: Vec<Child> = (0..3).map(|_| ws.command(&["deliver"]).spawn().unwrap()).collect();
    let mut taken = Vec::new();
    ws.eventually("all are delivered", |ws| {
        for name in ws.list("outbox/files/x") {
            fs::remove_file(ws.path(&format!("outbox/files/x/{name}"))).unwrap();
            taken.push(name.trim_end_matches(".md").to_owned());
        }
        taken.len() >= ids.len()
    });
    for worker in workers {
        Ran::from(worker.wait_with_output().unwrap()).ok();
    }
    ws.claw(&["tick"]).ok();
    taken.extend(ws.list("outbox/files/x"));
    assert_eq!(taken.len(), ids.len());
    assert!(taken.is_sorted(), "one destination is first in, first out");
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), ids);
}

#[test]
fn a_file_address_that_is_no_plain_folder_is_refused() {
    for rest in ["../x", "..", ".", ".hidden", "a/b", "/tmp", "a b", "🥒", &"x".repeat(91)] {
        let ws = Fixture::new();
        let sent = ws.claw(&["send", "--reply-to", &format!("file:{rest}"), "hello"]).ok();
        assert_eq!(ws.claw(&["tick"]).code, 1, "{rest}");
        let reason = ws.read(&format!("outbox/failed/{}.r01.reason", sent.trim()));
        assert!(reason.contains("names no folder") && reason.contains("use file:"), "{rest}: {reason}");
        assert_eq!(ws.list("outbox/files"), [""; 0]);
        assert!(!ws.path("outbox/x").exists() && !ws.path("x").exists());
    }
}

#[test]
fn an_unknown_channel_fails_with_a_guess() {
    let ws = with_program("");
    for (number, (address, guess)) in [
        ("fiel:x", "did you mean `file`?"),
        ("exce:x", "did you mean `exec`?"),
        ("pigeon:x", "there are: "),
        ("exec:says", "did you mean `say`?"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = put(&ws, "outbox/ready", &format!("n{number}"), address, "0");
        ws.claw(&["tick"]).fails(1);
        let reason = ws.read(&format!("outbox/failed/{id}.reason"));
        assert!(reason.contains(guess), "{address}: {reason}");
    }
}

/// The contents of the files in a folder, by name without the id's instant.
fn notes(ws: &Fixture, folder: &str) -> Vec<(String, String)> {
    let names = ws.list(folder).into_iter();
    names.map(|n| (n[n.find('-').unwrap() + 1..].to_owned(), ws.read(&format!("{folder}/{n}")))).collect()
}

#[test]
fn sender_gets_one_notice_of_a_failed_answer_per_round() {
    let ws = Fixture::new();
    ws.model("bad", r"provider: command, command: [printf, '\377']");
    let id = ws.claw(&["send", "--reply-to=file:asker", "hello"]).ok().trim().to_owned();
    let short = id.split_once('-').unwrap().1;
    ws.claw(&["tick"]).fails(1);
    ws.claw(&["tick"]).ok();
    let told = notes(&ws, "outbox/files/asker");
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0].0, format!("{short}.n01.md"));
    for words in ["your message could not be answered", "not UTF-8", &format!("claw retry {short}")] {
        assert!(told[0].1.contains(words), "{words}: {told:#?}");
    }
    ws.claw(&["retry", &id]).ok();
    ws.claw(&["tick"]).fails(1);
    ws.claw(&["tick"]).ok();
    let told: Vec<String> = notes(&ws, "outbox/files/asker").into_iter().map(|(name, _)| name).collect();
    assert_eq!(told, [format!("{short}.n01.md"), format!("{short}.n02.md")]);
}

#[test]
fn sender_to_a_missing_agent_gets_one_notice_per_round() {
    let ws = Fixture::new();
    ws.write("inbox/q.json", r#"{"content":"hello","reply_to":"file:asker","agent":"nobody"}"#);
    ws.claw(&["tick"]);
    ws.claw(&["tick"]);
    let told = notes(&ws, "outbox/files/asker");
    assert!(told.len() == 1 && told[0].1.contains("there is no agent `nobody`"), "{told:#?}");
    let failed = ws.list("inbox/failed").into_iter().find(|n| n.ends_with(".json")).unwrap();
    ws.claw(&["retry", failed.trim_end_matches(".json")]).ok();
    ws.claw(&["tick"]);
    ws.claw(&["tick"]);
    assert_eq!(notes(&ws, "outbox/files/asker").len(), 2, "the second round has a word of its own");
}

#[test]
fn a_notice_is_not_doubled_where_its_event_was_cut_off_on_its_way_to_failed() {
    let ws = Fixture::new();
    ws.write("inbox/q.json", r#"{"content":"hello","reply_to":"file:asker","agent":"nobody"}"#);
    ws.claw(&["tick"]);
    let failed = ws.list("inbox/failed").into_iter().find(|n| n.ends_with(".json")).unwrap();
    let id = failed.trim_end_matches(".json");
    // The notice is published, the event is not moved, the reason is not written.
    fs::rename(ws.path(&format!("inbox/failed/{failed}")), ws.path(&format!("inbox/new/{failed}"))).unwrap();
    fs::remove_file(ws.path(&format!("inbox/failed/{id}.reason"))).unwrap();
    ws.claw(&["tick"]);
    assert_eq!(notes(&ws, "outbox/files/asker").len(), 1);
    assert_eq!(ws.list("inbox/failed"), [failed.clone(), format!("{id}.reason")]);
}

#[test]
fn deliver_to_gets_a_notice_of_a_failed_delivery_but_not_of_a_failed_notice() {
    let ws = with_program("exit 1");
    ws.config("deliver_to: file:home\n");
    put(&ws, "outbox/ready", "one", "exec:say", "0");
    ws.claw(&["tick"]).fails(1);
    ws.claw(&["tick"]).ok();
    let told = notes(&ws, "outbox/files/home");
    assert!(told.len() == 1 && told[0].1.contains("could not be delivered: exec:say: exit 1"), "{told:#?}");

    // Its own notice cannot be delivered: that is the end.
    ws.write("inbox/q.json", r#"{"content":"hello","reply_to":"fiel:asker","agent":"nobody"}"#);
    for _ in 0..3 {
        ws.claw(&["tick"]);
    }
    assert_eq!(notes(&ws, "outbox/files/home").len(), 1);
    let failed = ws.list("outbox/failed");
    assert_eq!(failed.iter().filter(|n| n.ends_with(".json")).count(), 2, "{failed:#?}");
    assert_eq!(ws.pending(), [""; 0]);
}

#[test]
fn unreachable_deliver_to_gets_no_notice() {
    let ws = with_program("exit 1");
    ws.config("deliver_to: exec:say\n");
    put(&ws, "outbox/ready", "one", "exec:say", "0");
    for _ in 0..3 {
        ws.claw(&["tick"]);
    }
    assert_eq!(ws.list("outbox/failed").iter().filter(|n| n.ends_with(".json")).count(), 1);
    assert_eq!(ws.pending(), [""; 0]);
}

#[test]
fn expired_event_is_not_sent() {
    let ws = with_program("echo ran >>runs");
    let past = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(1);
    ws.write("outbox/late.json", &format!(r#"{{"content":"x","reply_to":"exec:say","expires_at":"{past}"}}"#));
    assert!(ws.claw(&["tick"]).fails(1).contains("expired"));
    assert_eq!(lines(&ws, "runs"), [""; 0]);
}

#[test]
fn terminal_answer_is_unread_after_a_day_and_stays_readable() {
    let ws = Fixture::new();
    let id = ws.claw(&["send", "--from=cli:ann", "hello"]).ok().trim().to_owned();
    ws.claw(&["tick"]).ok();
    ws.claw(&["tick", "--now", &minutes(23 * 60)]).ok();
    assert_eq!(ws.list("outbox/ready"), [format!("{id}.r01~cli-ann~0.json")], "there is a day to fetch it");
    ws.claw(&["tick", "--now", &minutes(25 * 60)]).ok();
    assert_eq!(ws.pending(), [""; 0]);
    let event: Value = serde_json::from_str(&beside(&ws, &format!("{id}.r01"), ".json").unwrap()).unwrap();
    assert!(event["content"].as_str().unwrap().contains("no note"));
    assert!(ws.claw(&["log", "--kind", "unread"]).ok().contains("r01"));
    assert!(ws.claw(&["why", &format!("{id}.r01")]).ok().contains("unread"));
}

#[test]
fn a_fresh_answer_behind_the_copy_of_an_old_one_is_not_given_up() {
    let ws = Fixture::new();
    let old = "20261121T004130.123456Z-k7f3q9";
    let then = |arguments: &[&str]| {
        let mut command = ws.command(arguments);
        Ran::from(command.env("CLAW_NOW", "2026-11-21T00:41:31Z").output().unwrap()).ok()
    };
    then(&["send", "--id", old, "--from=cli:ann", "hello"]);
    then(&["tick"]);
    assert!(then(&["deliver"]).contains("no note"));
    let done = ws.read(&format!("outbox/done/2026-11-21/{old}.r01.json"));
    let fresh = ws.claw(&["send", "--from=cli:ann", "hello again"]).ok().trim().to_owned();
    ws.claw(&["route"]).ok();
    ws.claw(&["run-agent"]).ok();
    // A worker killed after its commit publishes once more.
    ws.write(&format!("outbox/ready/{old}.r01~cli-ann~0.json"), &done);
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.pending(), [format!("outbox/ready/{fresh}.r01~cli-ann~0.json")]);
}

#[test]
fn terminal_answer_is_printed_once_and_only_on_request() {
    let ws = Fixture::new();
    ws.claw(&["send", "--from=cli:ann", "hello"]).ok();
    let ran = ws.claw(&["tick"]);
    assert_eq!((ran.out.as_str(), ran.code), ("", 0));
    assert!(ws.claw(&["deliver"]).ok().contains("no note"));
    assert_eq!(ws.claw(&["deliver"]).ok(), "");
}

#[test]
fn an_answer_longer_than_an_event_may_be_is_refused_with_a_reason_and_not_called_answered() {
    let ws = Fixture::new();
    ws.model("long", "provider: command, command: [sh, -c, 'yes | head -c 5000000']");
    let ran = ws.claw(&["ask", "-n", "hello"]);
    if ran.code == 0 {
        assert!(ran.out.len() >= 5_000_000 - 2, "{} bytes", ran.out.len());
    } else {
        let why = ws.claw(&["why"]).ok();
        assert!(why.contains("failed: ") && ws.done("outbox").is_empty(), "{why} {}", ran.err);
    }
}
