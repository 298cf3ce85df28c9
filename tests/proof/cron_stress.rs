//! Two supervisors and many ticks on one workspace with scheduled jobs, killed at random, while the clock is set forward
//! and back: every due instant has one record, and every run has one end.

use crate::common::Fixture;
use crate::common::proof::{self, Proof, Random};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};

/// A running supervisor; killed when dropped.
struct Supervisor(Child);

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(ws: &Fixture, arguments: &[&str]) -> Command {
    let mut command = ws.command(arguments);
    command.env("CLAW_CLOCK", ws.dir.path().join("clock")).stderr(Stdio::null()).stdout(Stdio::null());
    command
}

fn supervise(ws: &Fixture) -> Supervisor {
    Supervisor(command(ws, &["supervise"]).spawn().unwrap())
}

fn lines(ws: &Fixture, job: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(ws.path(&format!(".claw/crons/{job}.jsonl"))).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn of<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["t"] == kind).collect()
}

fn write_job(ws: &Fixture, job: &str, enabled: bool) {
    let head = format!(
        "name: {job}\nagent: pickle\nmodel: offline\nevery: 1s\nmissed: all\noverlap: queue\nenabled: {enabled}"
    );
    // As an editor saves it, so that no process reads half of it.
    ws.write(&format!("crons/.{job}"), &format!("---\n{head}\n---\nhello\n"));
    std::fs::create_dir_all(ws.path(&format!("crons/{job}"))).unwrap();
    std::fs::rename(ws.path(&format!("crons/.{job}")), ws.path(&format!("crons/{job}/CRON.md"))).unwrap();
}

/// The violations after everything has ended.
fn wrong(ws: &Fixture, jobs: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    for job in jobs {
        let lines = lines(ws, job);
        let mut dues = BTreeSet::new();
        for fired in of(&lines, "fired") {
            let (due, event) = (fired["due"].as_str().unwrap(), fired["event"].as_str().unwrap());
            if !dues.insert(due.to_owned()) {
                wrong.push(format!("{job}: {due} ran twice"));
            }
            let log = ws.path(&format!("sessions/{}/log.jsonl", fired["session"].as_str().unwrap()));
            let log = std::fs::read_to_string(log).unwrap_or_default();
            let ends = log.lines().filter(|line| line.starts_with("{\"t\":\"done\"")).count();
            let recorded = of(&lines, "outcome").iter().any(|end| end["event"] == event && end["how"] == "done");
            if ends != 1 || !recorded || !ws.done("inbox").contains(&format!("{event}.json")) {
                wrong.push(format!("{job}: {event} has {ends} ends; recorded: {recorded}"));
            }
        }
    }
    wrong
}

#[test]
fn every_instant_has_one_record_whoever_is_killed_and_wherever_the_clock_goes() {
    let mut proof =
        Proof::begin("2 supervisors and ticks killed at random over scheduled jobs, the clock set at random");
    let seed = proof::seed();
    proof.seed = Some(seed);
    let mut random = Random(seed);
    let ws = Fixture::new();
    ws.claw(&["trust"]);
    let (count, rounds) = if proof::is_full() { (10, 200) } else { (4, 40) };
    let jobs: Vec<String> = (0..count).map(|n| format!("job{n}")).collect();
    for job in &jobs {
        write_job(&ws, job, true);
    }
    let mut supervisors = [supervise(&ws), supervise(&ws)];
    for round in 0..rounds {
        match random.below(5) {
            0 | 1 => supervisors[random.below(2)] = supervise(&ws),
            2 => {
                let mut tick = command(&ws, &["tick"]).spawn().unwrap();
                // As long as a command that only reads.
                command(&ws, &["crons"]).status().unwrap();
                let _ = tick.kill();
                tick.wait().unwrap();
            }
            3 if round % 4 == 0 => {
                let offset = [0, 45, -30, 600][random.below(4)];
                std::fs::write(ws.dir.path().join("clock"), format!("{offset}\n")).unwrap();
            }
            _ => drop(command(&ws, &["tick"]).status().unwrap()),
        }
    }
    drop(supervisors);
    for job in &jobs {
        write_job(&ws, job, false);
    }
    for _ in 0..200 {
        ws.hurry();
        command(&ws, &["tick"]).status().unwrap();
        // Events whose workers were killed too often.
        if ws.list("inbox/failed").iter().any(|name| name.ends_with(".json")) {
            command(&ws, &["retry", "--all"]).status().unwrap();
        }
        let is_open = jobs.iter().any(|job| {
            let lines = lines(&ws, job);
            of(&lines, "fired").len() > of(&lines, "outcome").iter().filter(|end| end["how"] == "done").count()
        });
        if ws.pending().is_empty() && !is_open {
            break;
        }
    }
    let audit = command(&ws, &["crons", "audit", "--json"]).stdout(Stdio::piped()).output().unwrap();
    let audits: Vec<Value> =
        String::from_utf8(audit.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(audits.len(), count);
    let sum =
        |key: &str| audits.iter().map(|audit| usize::try_from(audit[key].as_u64().unwrap()).unwrap()).sum::<usize>();
    proof.points = sum("due");
    proof.found = wrong(&ws, &jobs);
    proof.found.extend((!audit.status.success()).then(|| format!("{audits:#?}")));
    proof.found.extend(ws.pending());
    if sum("due") != sum("ran") + sum("missed") + sum("excused") {
        proof.found.push(format!("unexplained instants: {audits:#?}"));
    }
    proof.judge(count * 4);
}
