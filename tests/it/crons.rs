//! Scheduled jobs: due instants become events, each once, and the ledger has a record of every one.

use crate::common::Fixture;
use crate::common::strict::{Answer, Script, Strict};
use serde_json::{Value, json};

/// A workspace with a model that repeats the end of each message.
fn workspace() -> Fixture {
    let ws = Fixture::new();
    ws.write(
        "tools/think",
        "#!/bin/sh\ncat >>requests.txt\necho >>requests.txt\ncat files/answer 2>/dev/null || echo Good morning.\n",
    );
    assert_eq!(ws.shell("chmod +x tools/think").code, 0);
    ws.model("think", "provider: command, command: [./tools/think]");
    ws
}

fn job(ws: &Fixture, id: &str, fields: &str) {
    ws.write(&format!("crons/{id}/CRON.md"), &format!("---\nname: {id}\nagent: pickle\n{fields}\n---\nSay hello.\n"));
}

fn tick(ws: &Fixture, time: &str) {
    ws.claw(&["tick", "--now", &format!("2026-12-{time}Z")]).ok();
}

/// The lines of a job's ledger.
fn ledger(ws: &Fixture, id: &str) -> Vec<Value> {
    let text = ws.read(&format!(".claw/crons/{id}.jsonl"));
    text.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The kinds of its lines.
fn kinds(ws: &Fixture, id: &str) -> Vec<String> {
    ledger(ws, id).iter().map(|line| line["t"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn due_instant_runs_once_and_its_answer_is_delivered() {
    let ws = workspace();
    job(&ws, "hello", "schedule: '0 7 * * *'\ndeliver_to: file:answers");
    tick(&ws, "01T08:00:00");
    assert_eq!(kinds(&ws, "hello"), ["seen"]);
    for time in ["02T06:59:00", "02T07:00:10", "02T07:00:20", "02T07:01:00"] {
        tick(&ws, time);
    }
    assert_eq!(kinds(&ws, "hello"), ["seen", "fired", "outcome"]);
    let lines = ledger(&ws, "hello");
    assert_eq!((lines[1]["due"].as_str(), lines[2]["how"].as_str()), (Some("2026-12-02T07:00:00Z"), Some("done")));
    let event = lines[1]["event"].as_str().unwrap();
    assert_eq!(ws.read(&format!("outbox/files/answers/{event}.r01.md")), "Good morning.\n");
    assert!(ws.read("requests.txt").contains("Say hello."));
}

/// The notices to the owner.
fn notices(ws: &Fixture) -> Vec<String> {
    ws.list("outbox/files/owner").iter().map(|name| ws.read(&format!("outbox/files/owner/{name}"))).collect()
}

#[test]
fn supervisor_sleeps_until_the_next_instant_and_a_new_job_needs_no_restart() {
    let ws = workspace();
    let supervisor = ws.supervise(&[]);
    job(&ws, "often", "every: 1s\nmissed: all\noverlap: queue");
    ws.eventually("three runs have ended", |ws| {
        let path = ws.path(".claw/crons/often.jsonl");
        std::fs::read_to_string(path).unwrap_or_default().matches("\"t\":\"outcome\"").count() >= 3
    });
    assert_eq!(supervisor.stop().code, 0);
    let audit: Value = serde_json::from_str(&ws.claw(&["crons", "audit", "--json"]).ok()).unwrap();
    assert_eq!((&audit["missing"], &audit["twice"]), (&serde_json::json!([]), &serde_json::json!([])));
    assert!(audit["ran"].as_u64().unwrap() >= 3, "{audit}");
}

#[test]
fn answer_that_says_nothing_is_quiet_and_without_destination_nothing_is_sent() {
    let ws = workspace();
    job(&ws, "quiet", "schedule: '0 7 * * *'\ndeliver_to: file:answers");
    job(&ws, "silent", "schedule: '0 7 * * *'");
    tick(&ws, "01T08:00:00");
    ws.write("files/answer", "NO_REPLY\n");
    tick(&ws, "02T07:00:00");
    let how = |id: &str, line: usize| ledger(&ws, id)[line]["how"].as_str().unwrap().to_owned();
    assert_eq!((how("quiet", 2), how("silent", 2)), ("quiet".into(), "quiet".into()));
    ws.write("files/answer", "Something.\n");
    tick(&ws, "03T07:00:00");
    assert_eq!((how("quiet", 4), how("silent", 4)), ("done".into(), "done".into()));
    assert_eq!(ws.list("outbox/files/answers").len(), 1);
    assert!(ws.list("outbox/ready").is_empty() && ws.list("inbox/failed").is_empty());
}

#[test]
fn owner_is_told_of_two_failures_in_a_row_and_after_ten_the_job_is_paused() {
    let ws = Fixture::new();
    ws.config("deliver_to: file:owner");
    job(&ws, "broken", "schedule: '0 7 * * *'");
    tick(&ws, "01T08:00:00");
    let day = |n: u32| {
        ws.claw(&["tick", "--now", &format!("2026-12-{n:02}T07:00:00Z")]);
        notices(&ws).len()
    };
    assert_eq!([2, 3, 4, 5].map(day), [0, 1, 1, 1]);
    let told = &notices(&ws)[0];
    assert!(told.contains("`broken` has failed 2 times in a row: no model is set up"), "{told}");
    let path = "claw.yaml";
    let (with, without) = (
        ws.read(path).replace(
            "model: offline\n",
            "model: think\nmodels: {think: {provider: command, command: [./tools/think]}}\n",
        ),
        ws.read(path),
    );
    ws.write("tools/think", "#!/bin/sh\necho Fine.\n");
    assert_eq!(ws.shell("chmod +x tools/think").code, 0);
    ws.write(path, &with);
    assert_eq!([6, 7].map(day), [2, 2]);
    assert!(notices(&ws)[1].contains("`broken` works again"));
    ws.write(path, &without);
    assert_eq!(day(8), 2);
    assert_eq!([9, 10, 11, 12, 13, 14, 15, 16].map(day), [3; 8]);
    assert_eq!([17, 18, 19].map(day), [4; 3], "it is paused");
    assert!(notices(&ws)[3].contains("claw crons resume broken"));
    assert_eq!(ws.list("inbox/failed").iter().filter(|name| name.ends_with(".json")).count(), 14);
    let listed = ws.claw(&["crons"]).ok();
    assert!(
        listed.contains("broken  0 7 * * * by pickle; paused after ten failures in a row; last failed 2026-12-17"),
        "{listed}"
    );
    ws.claw(&["crons", "resume", "broken"]).ok();
    ws.write(path, &with);
    tick(&ws, "20T07:00:00");
    assert_eq!(ledger(&ws, "broken").last().unwrap()["how"], "done");
}

#[test]
fn one_off_moves_away_after_its_run_and_a_failed_one_stays() {
    let ws = workspace();
    ws.config("deliver_to: file:owner");
    job(&ws, "once", "at: 2026-12-02T07:00");
    job(&ws, "soon", "at: 2026-12-01T07:59");
    job(&ws, "old", "at: 2026-11-01T07:59");
    tick(&ws, "01T08:00:00");
    assert_eq!(kinds(&ws, "soon"), ["seen", "fired", "outcome"], "it had just passed");
    assert_eq!(ws.list("crons/.done"), ["soon"]);
    assert_eq!(kinds(&ws, "old"), ["seen", "missed"]);
    assert!(notices(&ws)[0].contains("`old` of 2026-11-01 07:59:00 UTC was missed"), "{:?}", notices(&ws));
    ws.write("files/answer", "NO_REPLY\n");
    tick(&ws, "02T07:00:00");
    assert_eq!(ws.list("crons/.done"), ["once", "soon"]);
    // The same name is free again.
    job(&ws, "once", "at: 2026-12-03T07:00");
    tick(&ws, "02T08:00:00");
    tick(&ws, "03T07:00:00");
    assert_eq!(ws.list("crons/.done"), ["once", "once-2", "soon"]);
    job(&ws, "broken", "at: 2026-12-04T07:00\nmodel: offlin");
    tick(&ws, "03T08:00:00");
    ws.claw(&["tick", "--now", "2026-12-04T07:00:00Z"]);
    assert_eq!(ledger(&ws, "broken").last().unwrap()["how"], "failed");
    assert!(ws.path("crons/broken/CRON.md").exists());
    tick(&ws, "04T08:00:00");
    assert_eq!(kinds(&ws, "broken"), ["seen", "fired", "outcome"]);
    assert_eq!(ws.claw(&["crons", "audit"]).code, 0);
}

#[test]
fn run_by_hand_does_not_move_the_schedule_and_a_pause_is_in_the_ledger() {
    let ws = workspace();
    job(&ws, "hello", "schedule: '0 7 * * *'\nsession: main");
    tick(&ws, "01T08:00:00");
    let event = ws.claw(&["crons", "run", "hello"]).ok().trim().to_owned();
    ws.claw(&["tick", "--now", "2026-12-01T09:00:00Z"]).ok();
    assert!(ws.done("inbox").contains(&format!("{event}.json")));
    assert!(ws.claw(&["crons", "run", "helo"]).fails(65).contains("did you mean `hello`?"));
    tick(&ws, "02T07:00:00");
    assert_eq!(kinds(&ws, "hello"), ["seen", "fired", "outcome", "fired", "outcome"]);
    assert_eq!(ledger(&ws, "hello")[3]["session"], "pickle.cli-ann");
    ws.claw(&["crons", "pause", "hello"]).ok();
    ws.claw(&["crons", "pause", "hello"]).ok();
    tick(&ws, "03T07:00:00");
    assert_eq!(kinds(&ws, "hello").len(), 6);
    assert!(ws.claw(&["crons"]).ok().contains("; paused by the owner; "));
    let file = ws.read("crons/hello/CRON.md");
    assert!(!file.contains("paused"));
}

#[test]
fn run_past_its_timeout_is_dead_with_its_programs() {
    let ws = workspace();
    ws.write("tools/think", "#!/bin/sh\nsleep 60 & echo $! >files/pid\nwait\n");
    ws.claw(&["trust"]).ok();
    job(&ws, "slow", "schedule: '0 7 * * *'\ntimeout: 1s");
    tick(&ws, "01T08:00:00");
    ws.claw(&["tick", "--now", "2026-12-02T07:00:00Z"]);
    let last = ledger(&ws, "slow").pop().unwrap();
    assert_eq!((last["how"].as_str(), last["why"].as_str()), (Some("failed"), Some("the run did not end within 1s")));
    let pid = ws.read("files/pid").trim().to_owned();
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "{pid} is alive");
}

#[test]
fn invalid_job_is_an_error_of_that_job_alone() {
    let ws = workspace();
    job(&ws, "bad", "schedule: '99 * * * *'");
    job(&ws, "good", "schedule: '0 7 * * *'");
    job(&ws, "lost", "schedule: '0 7 * * *'");
    let lost = ws.read("crons/lost/CRON.md").replace("agent: pickle", "agent: nobody");
    ws.write("crons/lost/CRON.md", &lost);
    nix::unistd::mkfifo(
        &{
            std::fs::create_dir(ws.path("crons/pipe")).unwrap();
            ws.path("crons/pipe/CRON.md")
        },
        nix::sys::stat::Mode::S_IRWXU,
    )
    .unwrap();
    std::os::unix::fs::symlink("/etc", ws.path("crons/link")).unwrap();
    tick(&ws, "01T08:00:00");
    ws.claw(&["tick", "--now", "2026-12-02T07:00:00Z"]);
    assert_eq!(kinds(&ws, "good"), ["seen", "fired", "outcome"]);
    let listed = ws.claw(&["crons"]);
    assert_eq!(listed.code, 65);
    assert!(listed.out.contains("crons/bad/CRON.md:4:"), "{listed:#?}");
    // The event of the job without an agent has failed on its way; the next look records that.
    tick(&ws, "02T07:01:00");
    assert!(ledger(&ws, "lost")[2]["why"].as_str().unwrap().contains("there is no agent `nobody`"));
}

#[test]
fn status_names_the_next_run_and_the_jobs_that_are_paused_or_fail() {
    let ws = Fixture::new();
    let status = |time: &str, arguments: &[&str]| {
        let mut command = ws.command(&[&["status"][..], arguments].concat());
        String::from_utf8(command.env("CLAW_NOW", format!("2026-12-{time}Z")).output().unwrap().stdout).unwrap()
    };
    let lines = |time: &str| -> Vec<String> {
        let text = status(time, &[]);
        let is_about = |line: &&str| line.starts_with("next ") || line.starts_with("job ");
        text.lines().filter(is_about).map(str::to_owned).collect()
    };
    assert_eq!(lines("01T22:00:00"), [""; 0]);
    job(&ws, "morning", "schedule: '0 7 * * *'\ntimezone: Europe/Berlin");
    job(&ws, "evening", "schedule: '0 19 * * *'");
    job(&ws, "never", "schedule: '0 1 * * *'\nenabled: false");
    job(&ws, "broken", "schedule: '99 * * * *'");
    let next = "next    morning   2026-12-02 07:00:00 CET (in 8 h)";
    assert_eq!(lines("01T22:00:00"), [next], "before the first look");
    ws.claw(&["tick", "--now", "2026-12-01T22:00:00Z"]);
    assert_eq!(lines("01T22:00:00"), [next]);
    // No model is set up, so each run fails.
    ws.claw(&["tick", "--now", "2026-12-02T06:00:00Z"]);
    let found = lines("02T06:00:00");
    assert_eq!(found[0], "next    evening   2026-12-02 19:00:00 UTC (in 13 h)");
    let failing = "job     morning   its last run has failed: no model is set up";
    assert!(found.len() == 2 && found[1].starts_with(failing), "{found:?}");
    ws.claw(&["tick", "--now", "2026-12-03T06:00:00Z"]);
    ws.claw(&["crons", "pause", "evening"]).ok();
    assert_eq!(lines("03T07:00:00")[0], "next    morning   2026-12-04 07:00:00 CET (in 23 h)");
    let json: Value = serde_json::from_str(&status("04T06:00:00", &["--json"])).unwrap();
    let due = json!({"job": "morning", "due_at": "2026-12-04T06:00:00Z", "zone": "Europe/Berlin"});
    assert_eq!(json["next_run"], due);
    assert_eq!((&json["jobs"][0]["job"], &json["jobs"][0]["paused"]), (&json!("evening"), &json!("by the owner")));
    assert_eq!((&json["jobs"][1]["job"], &json["jobs"][1]["failures"]), (&json!("morning"), &json!(2)));
    assert!(lines("04T06:00:01")[0].ends_with(" (due now)"));
}

/// Many jobs are looked at by the index of due times, which is no truth of its own.
#[test]
fn files_take_precedence_over_the_index_of_due_times() {
    let index = ".claw/crons.index";
    let runs = |ws: &Fixture, id: &str| kinds(ws, id).iter().filter(|kind| *kind == "fired").count();
    // The files are older than the times: a change right after a look would go unnoticed otherwise. No model is set up, so
    // the runs fail at once.
    let tick = |ws: &Fixture, time: &str| ws.claw(&["tick", "--now", &format!("2100-12-{time}Z")]);
    let crowd = || {
        let ws = Fixture::new();
        (0..40).for_each(|n| job(&ws, &format!("job-{n}"), "schedule: '0 7 * * *'"));
        tick(&ws, "01T08:00:00");
        assert!(!ws.path(index).exists());
        tick(&ws, "01T08:01:00");
        assert_eq!(ws.read(index).lines().count(), 41);
        ws
    };
    let ws = crowd();
    // A file that was edited, a ledger that was, a clock that was set back, and a new job.
    job(&ws, "job-0", "schedule: '0 9 * * *'");
    ws.claw(&["crons", "pause", "job-1"]).ok();
    job(&ws, "new", "schedule: '30 8 1 12 *'");
    tick(&ws, "01T08:02:00");
    for time in ["01T08:30:00", "01T09:00:00"] {
        tick(&ws, time);
    }
    assert_eq!([runs(&ws, "job-0"), runs(&ws, "new"), runs(&ws, "job-2")], [1, 1, 0]);
    tick(&ws, "02T07:00:00");
    assert_eq!([runs(&ws, "job-0"), runs(&ws, "job-1"), runs(&ws, "job-2"), runs(&ws, "job-39")], [1, 0, 1, 1]);
    let ws = crowd();
    tick(&ws, "01T06:00:00");
    assert_eq!(kinds(&ws, "job-0").last().map(String::as_str), Some("seen"), "the clock was set back");
    tick(&ws, "01T07:00:00");
    assert_eq!(runs(&ws, "job-0"), 1);
    let ws = crowd();
    ws.command(&["tick", "--now", "2100-12-01T08:02:00Z"]).env("TZ", "Asia/Tokyo").output().unwrap();
    assert_eq!(kinds(&ws, "job-0"), ["seen", "seen"], "the owner's zone has changed");
    // An index that is damaged or of another version, and one of another workspace.
    let other = crowd().read(index);
    for text in ["", "x", "claw 0.0.1\n{}\n", &other, &other[..other.len() / 2]] {
        let ws = crowd();
        ws.write(index, text);
        tick(&ws, "02T07:00:00");
        assert_eq!([runs(&ws, "job-0"), runs(&ws, "job-39")], [1, 1], "{text}");
    }
}

#[test]
fn commands_that_only_read_write_nothing() {
    let ws = workspace();
    job(&ws, "hello", "schedule: '0 7 * * *'");
    let all = || {
        let files = walkdir::WalkDir::new(&ws.root).sort_by_file_name().into_iter().flatten();
        files.map(|entry| (entry.path().to_owned(), entry.metadata().unwrap().modified().unwrap())).collect::<Vec<_>>()
    };
    let before = all();
    for command in
        [&["crons"][..], &["crons", "list", "--json"], &["crons", "audit"], &["tick", "--dry-run"], &["status"]]
    {
        ws.claw(command).ok();
    }
    assert_eq!(all(), before);
    let plan = ws.claw(&["tick", "--dry-run"]).ok();
    assert_eq!(plan, "");
    tick(&ws, "01T08:00:00");
    let plan = ws.claw(&["tick", "--dry-run", "--now", "2026-12-03T07:01:00Z"]).ok();
    assert_eq!(
        plan,
        "hello  missed 2026-12-02 07:00:00 UTC: claw was not running in time\nhello  run 2026-12-03 07:00:00 UTC\n"
    );
}

#[test]
fn command_decides_before_any_model_is_asked_and_only_in_its_approved_version() {
    let ws = workspace();
    ws.config("deliver_to: file:owner");
    ws.write("files/check.sh", "cat files/news; exit $(cat files/code)\n");
    ws.write("files/news", "The NAS is full.\n");
    ws.write("files/code", "0");
    job(&ws, "watch", "schedule: '0 7 * * *'\nif: sh files/check.sh");
    tick(&ws, "01T08:00:00");
    let day = |n: u32| {
        ws.claw(&["tick", "--now", &format!("2026-12-{n:02}T07:00:00Z")]);
        ledger(&ws, "watch").into_iter().rfind(|line| line["t"] == "outcome").unwrap()
    };
    let inert = day(2);
    assert!(inert["why"].as_str().unwrap().contains("`if` is not approved"), "{inert}");
    let shown = ws.claw(&["crons", "approve", "watch"]).ok();
    assert!(
        shown.contains("watch, in the sandbox of pickle: sh files/check.sh\n  files/check.sh (39 bytes"),
        "{shown}"
    );
    assert!(!ws.path("requests.txt").exists());
    assert_eq!(day(3)["how"], "done");
    let request = ws.read("requests.txt");
    assert!(
        request.contains("Say hello.") && request.contains("The NAS is full.") && request.contains("from=\\\"if\\\""),
        "{request}"
    );
    ws.write("files/code", "1");
    assert_eq!(day(4)["how"], "quiet");
    ws.write("files/code", "7");
    assert!(day(5)["why"].as_str().unwrap().ends_with("exit code 7"));
    assert_eq!(ws.read("requests.txt"), request, "the model was asked once");
    ws.write("files/check.sh", "rm files/news\n");
    assert!(day(6)["why"].as_str().unwrap().contains("not approved"));
    assert!(ws.path("files/news").exists());
}

fn report(step: usize, results: &[String]) -> Answer {
    match (step, results) {
        (0, _) => (
            "I send it.",
            vec![
                ("post_message", json!({"content": "The NAS is full."})),
                ("post_message", json!({"content": "x", "to": "file:elsewhere"})),
            ],
        ),
        (1, [first, second]) if first == "sent to file:ann" && second.contains("not among the destinations") => {
            ("All sent.", vec![])
        }
        _ => ("unexpected", vec![]),
    }
}

fn agree(_: usize, _: &[String]) -> Answer {
    ("It is empty now.", vec![])
}

const SCRIPTS: &[(&str, Script)] = &[("Say hello", report), ("Empty it", agree)];

#[test]
fn message_of_a_run_is_sent_once_and_its_reader_can_answer_it() {
    let server = Strict::start(SCRIPTS);
    let ws = Fixture::new();
    server.model(&ws);
    job(&ws, "report", "schedule: '0 7 * * *'\ndeliver_to: file:ann");
    tick(&ws, "01T08:00:00");
    tick(&ws, "02T07:00:00");
    let event = ledger(&ws, "report")[1]["event"].as_str().unwrap().to_owned();
    assert_eq!(ws.list("outbox/files/ann"), [format!("{event}.p01.md")], "not its answer, too");
    assert_eq!(ws.list("outbox/files"), ["ann"], "the settings do not list the other destination");
    assert_eq!(ws.read(&format!("outbox/files/ann/{event}.p01.md")), "The NAS is full.\n");
    assert_eq!(ledger(&ws, "report")[2]["how"], "done");
    // The text is part of the reader's conversation, and no model was asked for that.
    ws.claw(&["send", "--from", "file:ann", "Empty it, please"]).ok();
    ws.claw(&["tick"]).ok();
    let messages = server.last()["messages"].clone();
    assert!(
        messages[1]["content"].as_str().unwrap().starts_with("[Not a message of a person: your session pickle.run-")
    );
    assert_eq!(messages[2]["content"], "The NAS is full.");
    // The time may follow the last message.
    assert!(messages[3]["content"].as_str().unwrap().starts_with("Empty it, please"), "{messages}");
    assert_eq!((server.asked("Say hello", 0), server.asked("Say hello", 1), server.broken()), (1, 1, vec![]));
    let tools = |kind: &str| ws.claw(&["prompt", "pickle", "--kind", kind, "--json"]).ok().contains("post_message");
    assert!(tools("cron") && tools("heartbeat") && !tools("message"));
}

fn schedules(step: usize, results: &[String]) -> Answer {
    let file = |fields: &str| format!("---\nname: x\nagent: pickle\n{fields}\n---\nSay hello, from an agent.\n");
    let write =
        |id: &str, fields: &str| ("write", json!({"path": format!("crons/{id}/CRON.md"), "content": file(fields)}));
    let last = results.last().map(String::as_str).unwrap_or_default();
    match step {
        0 => (
            "",
            vec![
                write("mine", "schedule: '0 7 * * *'\ndeliver_to: file:ann"),
                write("often", "every: 1m"),
                write("far", "every: 2h\ndeliver_to: file:bob"),
            ],
        ),
        1 => ("", vec![("bash", json!({"command": "echo x >crons/mine/CRON.md; echo x >crons/y"}))]),
        2 if last.matches("Permission denied").count() == 2 => ("Scheduled.", vec![]),
        _ => ("unexpected", vec![]),
    }
}

const MAKING: &[(&str, Script)] = &[("make a job", schedules), ("Say hello, from an agent", agree)];

#[test]
fn job_that_an_agent_makes_has_its_makers_rights_and_limits() {
    let server = Strict::start(MAKING);
    let ws = Fixture::new();
    server.model(&ws);
    ws.config("known: ['file:ann']");
    ws.claw(&["send", "--from", "file:ann", "make a job"]).ok();
    ws.claw(&["tick", "--now", "2026-12-01T08:00:00Z"]).ok();
    assert_eq!(ws.list("outbox/files/ann").len(), 1);
    let answer = ws.list("outbox/files/ann").pop().unwrap();
    assert_eq!(ws.read(&format!("outbox/files/ann/{answer}")), "Scheduled.\n");
    tick(&ws, "01T08:01:00");
    let listed = ws.claw(&["crons"]);
    assert!(listed.out.contains("made by pickle"), "{listed:#?}");
    assert!(
        listed.out.contains("often  crons/often: made by pickle, but it runs more often than every 10m"),
        "{listed:#?}"
    );
    assert!(
        listed.out.contains("but file:bob is neither where it was made nor an address of the owner"),
        "{listed:#?}"
    );
    tick(&ws, "02T07:00:00");
    let event = ledger(&ws, "mine").into_iter().find(|line| line["t"] == "fired").unwrap()["event"].clone();
    let done: Value =
        serde_json::from_str(&ws.read(&format!("inbox/done/2026-12-02/{}.json", event.as_str().unwrap()))).unwrap();
    assert_eq!(done["origin"]["class"], "known", "{done}");
    assert_eq!(kinds(&ws, "often"), ["made"]);
    assert_eq!(server.broken(), [""; 0]);
}
