//! Scheduled jobs, killed at every durable call and with an error at every one: the instant runs once, its answer is
//! delivered once, its end is recorded once, and the audit finds a record of everything.

use crate::common::checker::delivered;
use crate::common::proof::Proof;
use crate::common::scenes::{Faults, synced, trusted};
use crate::common::strict::{Answer, Script, Strict};
use crate::common::sweep::{At, Scenario};
use crate::common::{Fixture, Ran};
use serde_json::Value;

fn hello(_: usize, _: &[String]) -> Answer {
    ("Good morning.", vec![])
}

const SCRIPTS: &[(&str, Script)] = &[("Say hello", hello)];
/// The instant, and the command that finds it due.
const DUE: &str = "2030-01-02T07:00:00Z";
const TICK: &[&str] = &["tick", "--now", DUE];

/// A workspace with a job that was seen the day before.
fn workspace(server: &Strict, fields: &str) -> Fixture {
    let ws = synced();
    server.model(&ws);
    ws.write(
        "crons/job/CRON.md",
        &format!("---\nname: job\nagent: pickle\ndeliver_to: file:a\n{fields}\n---\nSay hello.\n"),
    );
    ws.claw(&["tick", "--now", "2030-01-01T08:00:00Z"]).ok();
    ws
}

fn tick(ws: &Fixture, time: &str) {
    ws.claw(&["tick", "--now", &format!("2030-01-{time}Z")]);
}

fn lines(ws: &Fixture) -> Vec<Value> {
    let text = ws.read(".claw/crons/job.jsonl");
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The violations at that time if so many instants must have run, all of them with an answer.
fn wrong(ws: &Fixture, runs: usize, now: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let of = |kind: &str| lines(ws).into_iter().filter(|line| line["t"] == kind).collect::<Vec<_>>();
    let (fired, ends) = (of("fired"), of("outcome"));
    if fired.len() != runs || ends.len() != runs || ends.iter().any(|end| end["how"] != "done") {
        wrong.push(format!("fired {fired:?}, ended {ends:?}"));
    }
    let answers: Vec<String> = fired.iter().map(|line| format!("{}.r01.md", line["event"].as_str().unwrap())).collect();
    if delivered(ws) != answers {
        wrong.push(format!("delivered: {:?}", delivered(ws)));
    }
    let log = std::fs::read_to_string(ws.path("sessions/pickle.file-a/log.jsonl")).unwrap_or_default();
    if log.matches("\"t\":\"done\"").count() != runs {
        wrong.push(format!("the answer is not part of its reader's session once: {log}"));
    }
    let mut command = ws.command(&["crons", "audit", "--json"]);
    let audit: Ran = command.env("CLAW_NOW", format!("2030-01-{now}Z")).output().unwrap().into();
    if audit.code != 0 || !audit.out.contains(&format!("\"ran\":{runs},")) {
        wrong.push(format!("audit: {audit:?}"));
    }
    wrong.extend(ws.pending());
    wrong.extend(ws.list("inbox/failed"));
    wrong
}

fn sweep(
    name: &'static str,
    template: &Fixture,
    command: &[&str],
    few: usize,
    judge: impl Fn(&Fixture) -> Vec<String>,
) {
    let mut proof = Proof::begin(name);
    proof.sweep(
        At::Calls(Faults::Both(few)),
        &Scenario { name: command[0], template, copy: trusted, command, prepare: &|| {}, judge: &|ws, _| judge(ws) },
    );
    proof.judge(3);
}

#[test]
fn due_instant_runs_once() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server, "schedule: '0 7 * * *'");
    sweep("a scheduled run disturbed at every durable call", &ws, TICK, 6, |ws| {
        for time in ["02T07:20:00", "02T07:40:00", "02T08:00:00"] {
            tick(ws, time);
        }
        [wrong(ws, 1, "02T08:00:00"), server.broken()].concat()
    });
}

#[test]
fn one_off_runs_once_and_moves_away_once() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server, "at: 2030-01-02T07:00");
    sweep("a one-off disturbed at every durable call", &ws, TICK, 6, |ws| {
        for time in ["02T07:20:00", "02T07:40:00", "02T08:00:00"] {
            tick(ws, time);
        }
        let mut wrong = wrong(ws, 1, "02T08:00:00");
        if ws.list("crons/.done") != ["job"] || ws.path("crons/job").exists() {
            wrong.push(format!("{:?} {:?}", ws.list("crons"), ws.list("crons/.done")));
        }
        wrong
    });
}

#[test]
fn pause_holds_until_it_is_resumed() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server, "schedule: '0 7 * * *'");
    sweep("a pause disturbed at every durable call", &ws, &["crons", "pause", "job"], 1, |ws| {
        let mut wrong = Vec::new();
        if ws.claw(&["crons", "pause", "job"]).code != 0 {
            wrong.push("it cannot be repeated".to_owned());
        }
        tick(ws, "02T07:00:00");
        if lines(ws).iter().any(|line| line["t"] == "fired") {
            wrong.push("it runs".to_owned());
        }
        let mut resume = ws.command(&["crons", "resume", "job"]);
        if !resume.env("CLAW_NOW", "2030-01-02T08:00:00Z").status().unwrap().success() {
            wrong.push("it cannot be resumed".to_owned());
        }
        for time in ["03T07:00:00", "03T07:20:00"] {
            tick(ws, time);
        }
        wrong.extend(self::wrong(ws, 1, "03T08:00:00"));
        wrong
    });
}
