//! Budgets, with the real binary against a server that counts: never one request over budget, whichever process
//! is killed; an event over budget waits for a day on which it fits, and the owner gets one notice.

use crate::common::Fixture;
use crate::common::proof::Proof;
use crate::common::scenes::{Faults, ID, burnt, copy, standing, synced, trusted};
use crate::common::servers::{OPENAI, STREAM, Server, silence};
use crate::common::strict::{Answer, Script, Strict};
use crate::common::sweep::{At, Scenario};
use crate::common::tracer;
use claw::core::event::entry::{Entry, Tries};
use serde_json::{Value, json};
use std::io::Write;
use std::process::Child;
use std::time::{Duration, Instant};

const TODAY: &str = "2026-11-25T22:00:00Z";
const TOMORROW: &str = "2026-11-26T00:00:01Z";

fn plain(_: usize, _: &[String]) -> Answer {
    ("Fine.", vec![])
}

fn two(step: usize, _: &[String]) -> Answer {
    match step {
        0 => ("", vec![("recall", json!({"query": "NAS"}))]),
        _ => ("Looked.", vec![]),
    }
}

const PLAIN: &str = "script:plain";
const TWO: &str = "script:two";
const SCRIPTS: &[(&str, Script)] = &[(PLAIN, plain), (TWO, two)];

fn workspace(server: &Strict, budget: &str) -> Fixture {
    let ws = Fixture::new();
    server.model(&ws);
    ws.config(&format!("deliver_to: file:owner\nbudget: {budget}\n"));
    ws
}

/// Adds this line to an agent's front matter.
fn agent(ws: &Fixture, id: &str, line: &str) {
    let path = format!("agents/{id}/AGENT.md");
    ws.write(&path, &ws.read(&path).replacen("---\n", &format!("---\n{line}\n"), 1));
}

fn at(ws: &Fixture, now: &str, arguments: &[&str]) -> crate::common::Ran {
    ws.command(arguments).env("CLAW_NOW", now).output().unwrap().into()
}

fn send(ws: &Fixture, now: &str, from: &str, text: &str) {
    at(ws, now, &["send", "--from", from, text]).ok();
    at(ws, now, &["route"]).ok();
}

fn notices(ws: &Fixture) -> Vec<String> {
    let read = |name: String| ws.read(&format!("outbox/ready/{name}"));
    ws.list("outbox/ready").into_iter().map(read).filter(|text| text.contains("\"notice\"")).collect()
}

/// The rows of `claw usage --json`, with `now` as today.
fn usage(ws: &Fixture, now: &str, by: &str) -> Vec<Value> {
    let out = at(ws, now, &["usage", "--json", "--by", by]).ok();
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn fifty_workers_never_exceed_the_budget() {
    const WORKERS: usize = 50;
    const CALLS: usize = 20;
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server, &format!("{{day: {{calls: {CALLS}}}}}\nmax_concurrency: {WORKERS}"));
    let text = ws.read("agents/pickle/AGENT.md").replace("max_concurrency: 2", &format!("max_concurrency: {WORKERS}"));
    ws.write("agents/pickle/AGENT.md", &text);
    for n in 0..WORKERS {
        at(&ws, TODAY, &["send", "--from", &format!("file:w{n}"), PLAIN]).ok();
    }
    at(&ws, TODAY, &["route"]).ok();
    let all_at_once = |now: &str| {
        let start = |n| {
            let session = format!("pickle.file-w{n}");
            ws.command(&["run-agent", "--session", &session]).env("CLAW_NOW", now).spawn().unwrap()
        };
        let workers: Vec<Child> = (0..WORKERS).map(start).collect();
        let codes = workers.into_iter().map(|worker| worker.wait_with_output().unwrap().status.code().unwrap());
        codes.filter(|code| *code == 0).count()
    };
    assert_eq!(all_at_once(TODAY), CALLS);
    assert_eq!(server.asked(PLAIN, 0), CALLS);
    assert_eq!((ws.done("inbox").len(), ws.list("inbox/wait").len()), (CALLS, WORKERS - CALLS));
    // Waiting events count no attempt, and are due at midnight.
    // The mark of the limits stands behind it.
    let is_uncounted = |name: &String| name.starts_with("20261126T000000") && name.contains("~0s");
    assert!(ws.list("inbox/wait").iter().all(is_uncounted), "{:?}", ws.list("inbox/wait"));
    assert_eq!(notices(&ws).len(), 1, "{:#?}", notices(&ws));
    // A worker before midnight finds nothing to do; after midnight as many calls are possible again.
    assert_eq!((all_at_once(TODAY), server.asked(PLAIN, 0)), (WORKERS, CALLS));
    all_at_once(TOMORROW);
    assert_eq!(server.asked(PLAIN, 0), 2 * CALLS);
    assert_eq!(notices(&ws).len(), 2);
    let calls: Vec<Value> = usage(&ws, TOMORROW, "day").into_iter().map(|row| row["calls"].clone()).collect();
    assert_eq!(calls, [CALLS, CALLS]);
    assert_eq!(server.broken(), [""; 0]);
}

/// The violations of the ledger after a disturbed run and its recovery. Every call must be settled (`is_settled`),
/// unless the disk failed; then a call counts as reserved.
fn wrong(ws: &Fixture, asked: usize, limit: usize, is_settled: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let row = usage(ws, TODAY, "agent").pop().unwrap_or_default();
    let [calls, guesses, input] =
        ["calls", "estimated_calls", "input"].map(|key| row[key].as_u64().unwrap_or_default());
    if asked > limit {
        wrong.push(format!("{asked} requests under a budget of {limit}"));
    }
    if calls < asked as u64 || calls > asked as u64 + 1 {
        wrong.push(format!("{calls} calls were counted of {asked} requests"));
    }
    let is_answered = ws.done("inbox").len() == 1;
    if is_answered && is_settled && (guesses, input % 10) != (0, 0) {
        wrong.push(format!("what was answered is not settled: {row}"));
    }
    if !is_answered && calls < limit as u64 {
        wrong.push(format!("it waits, though {calls} of {limit} calls were made"));
    }
    wrong
}

/// Runs `command` until it has ended or waits for a lock (`flock(2)`) of another process; false if neither happens
/// within a minute.
fn run_until_it_waits<'s>(scope: &'s std::thread::Scope<'s, '_>, mut command: std::process::Command) -> bool {
    let (tell, hear) = std::sync::mpsc::channel();
    // On a thread of its own, because a tracer waits for all children of its thread.
    let worker = scope.spawn(move || {
        let child = command.spawn().unwrap();
        tell.send(child.id()).unwrap();
        child.wait_with_output().unwrap();
    });
    let pid = hear.recv().unwrap();
    let end = Instant::now() + Duration::from_mins(1);
    let is_waiting = || {
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let mut calls =
            threads.map(|thread| std::fs::read_to_string(thread.path().join("syscall")).unwrap_or_default());
        calls.any(|call| call.split(' ').next() == Some(&libc::SYS_flock.to_string()))
    };
    // A panic here would leave the other process stopped, with its lock held.
    while !worker.is_finished() && !is_waiting() && Instant::now() < end {
        std::thread::yield_now();
    }
    Instant::now() < end
}

#[test]
fn another_worker_cannot_pass_between_any_two_calls() {
    let server = Strict::start(SCRIPTS);
    let template = workspace(&server, "{total: {calls: 1}}");
    for place in ["file:a", "file:b"] {
        template.claw(&["send", "--from", place, PLAIN]).ok();
    }
    template.claw(&["route"]).ok();
    let session = |ws: &Fixture, name: &str| ws.command(&["run-agent", "--session", name]);
    let mut number = 1;
    loop {
        let ws = copy(&template);
        ws.claw(&["trust"]).ok();
        server.forget();
        let mut is_clear = true;
        let calls = std::thread::scope(|scope| {
            let traced = tracer::run_with(session(&ws, "pickle.file-a"), |call| {
                if call == number {
                    is_clear = run_until_it_waits(scope, session(&ws, "pickle.file-b"));
                }
                None
            });
            traced.calls
        });
        assert!(is_clear, "the other one neither ended nor waited");
        if number > calls {
            break;
        }
        assert_eq!(server.asked(PLAIN, 0), 1, "another worker at call {number} of {calls}");
        assert_eq!((ws.done("inbox").len(), ws.list("inbox/wait").len()), (1, 1), "call {number} of {calls}");
        number += 1;
    }
    assert!(number > 15, "{number}");
}

/// Finishes all work; some events may have to wait.
fn finish(ws: &Fixture) {
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(10);
    for _ in 0..2 {
        let ran = ws.claw(&["tick", "--now", &later.to_string()]);
        assert!(matches!(ran.code, 0 | 75), "{ran:#?}");
    }
}

/// Disturbs `run-agent`, looks at the counts after trouble, finishes, and judges the result.
fn sweep(
    proof: &mut Proof,
    at: At,
    server: &Strict,
    template: &Fixture,
    burnt: impl Fn(&Fixture) -> Option<String>,
    wrong: impl Fn(&Fixture) -> Vec<String>,
) {
    proof.sweep(
        at,
        &Scenario {
            name: "run-agent",
            template,
            copy: trusted,
            command: &["run-agent"],
            prepare: &|| server.forget(),
            judge: &|ws, hit| {
                let burnt = burnt(ws).filter(|_| !hit.is_kill());
                finish(ws);
                burnt.into_iter().chain(wrong(ws)).collect()
            },
        },
    );
}

/// A workspace over budget, in which an event waits for its turn.
fn spent(server: &Strict) -> Fixture {
    let template = synced();
    server.model(&template);
    template.config("deliver_to: file:owner\nbudget: {total: {calls: 1}}\n");
    template.claw(&["ask", "-n", PLAIN]).ok();
    template.claw(&["send", "--id", ID, "--from", "file:a", PLAIN]).ok();
    template.claw(&["route"]).ok();
    template
}

/// The violations if an event must wait for its budget and the owner must have one notice.
fn told_wrongly(ws: &Fixture, server: &Strict) -> Vec<String> {
    let told = ws.done("outbox").iter().filter(|name| name.contains("-budget-")).count();
    let delivered = ws.list("outbox/files/owner").len();
    let is_waiting = ws.list("inbox/wait").len() == 1;
    if (told, delivered, is_waiting, server.asked(PLAIN, 0)) == (1, 1, true, 0) {
        return Vec::new();
    }
    let asked = server.asked(PLAIN, 0);
    vec![format!("told {told}, delivered {delivered}, waits: {is_waiting}, asked {asked}, pending {:?}", ws.pending())]
}

fn out_of_budget(name: &'static str, faults: Faults) {
    let mut proof = Proof::begin(name);
    let server = Strict::start(SCRIPTS);
    let template = spent(&server);
    // It may be in wait/ already, but must not count as failed.
    let is_burnt = |ws: &Fixture| {
        let is_tried = |entry: &Entry| Tries { limits: None, ..entry.tries } != Tries::default();
        let tried = standing(ws).into_iter().find(|(_, entry)| is_tried(entry));
        tried.map(|(folder, entry)| format!("burnt: {folder}/{entry}"))
    };
    let wrong = |ws: &Fixture| told_wrongly(ws, &server);
    sweep(&mut proof, At::Calls(faults), &server, &template, is_burnt, wrong);
    proof.judge(10);
}

fn under_a_budget(name: &'static str, faults: Faults) {
    let mut proof = Proof::begin(name);
    let server = Strict::start(SCRIPTS);
    // With two calls the killed step is requested again; with one no further request may leave.
    for limit in [1, 2] {
        let template = synced();
        server.model(&template);
        template.config(&format!("deliver_to: file:owner\nbudget: {{total: {{calls: {limit}, tokens: 100000}}}}\n"));
        template.claw(&["send", "--id", ID, "--from", "file:a", PLAIN]).ok();
        template.claw(&["route"]).ok();
        let stood = standing(&template);
        let wrong = |ws: &Fixture| wrong(ws, server.asked(PLAIN, 0), limit, matches!(faults, Faults::Kills(_)));
        sweep(&mut proof, At::Calls(faults), &server, &template, |ws| burnt(ws, &stood), wrong);
    }
    proof.judge(20);
}

#[test]
fn over_budget_the_owner_gets_one_notice_after_any_kill() {
    out_of_budget("kill -9 of a worker that is out of budget before every durable call", Faults::Kills(2));
}

#[test]
fn over_budget_the_owner_gets_one_notice_after_any_error() {
    out_of_budget("an error from every durable call of a worker that is out of budget", Faults::Troubles(2));
}

#[test]
fn killed_worker_loses_no_count() {
    under_a_budget("kill -9 of a turn under a budget before every durable call", Faults::Kills(3));
}

#[test]
fn errors_lose_no_count() {
    under_a_budget("an error from every durable call of a turn under a budget", Faults::Troubles(3));
}

/// The openings include the ledger's folder, its sums and its days: an unreadable ledger is not an empty one.
#[test]
fn ledger_that_cannot_be_opened_permits_no_request() {
    let mut proof = Proof::begin("an error from every opening in a worker that is out of budget");
    let server = Strict::start(SCRIPTS);
    let template = spent(&server);
    sweep(&mut proof, At::Openings(2), &server, &template, |_| None, |ws| told_wrongly(ws, &server));
    proof.judge(20);
}

#[test]
fn turn_over_budget_continues_at_its_step_on_the_next_day() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server, "{day: {calls: 1}}");
    send(&ws, TODAY, "file:a", TWO);
    let err = at(&ws, TODAY, &["run-agent"]).fails(75);
    assert!(err.contains("1 of 1 calls today (budget.day.calls in claw.yaml)"), "{err}");
    assert!(err.contains("it is renewed 2026-11-26 00:00"), "{err}");
    assert!(at(&ws, TODAY, &["status"]).ok().contains("used    1 of 1 (budget.day.calls in claw.yaml)"));
    // A second event, of another session, causes no second notice.
    send(&ws, TODAY, "file:b", PLAIN);
    at(&ws, TODAY, &["run-agent"]).fails(75);
    let told = notices(&ws);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains("file:owner") && told[0].contains("1 of 1 calls today"), "{told:#?}");
    // Neither does a delivered notice.
    at(&ws, TODAY, &["deliver"]).ok();
    send(&ws, TODAY, "file:c", PLAIN);
    at(&ws, TODAY, &["run-agent"]).fails(75);
    assert_eq!(notices(&ws).len(), 0);
    // Days pass; that is not a failure.
    let later = "2026-12-09T09:00:00Z";
    at(&ws, later, &["run-agent", "--session", "pickle.file-a"]).ok();
    assert_eq!((server.asked(TWO, 0), server.asked(TWO, 1), server.asked(PLAIN, 0)), (1, 1, 0));
    assert_eq!(ws.list("inbox/failed"), [""; 0]);
    assert_eq!(server.broken(), [""; 0]);
}

#[test]
fn over_budget_ask_fails_at_once() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server, "{total: {calls: 1}}");
    assert_eq!(ws.claw(&["ask", "-n", PLAIN]).ok(), "Fine.\n");
    let err = ws.claw(&["ask", "-n", PLAIN]).fails(75);
    assert!(err.contains("the budget is used up: 1 of 1 calls in total (budget.total.calls in claw.yaml)"), "{err}");
    assert!(err.contains("raise it"), "{err}");
    assert_eq!((notices(&ws), ws.list("inbox/failed")), (vec![], vec![]));
    let raised = ws.read("claw.yaml").replace("calls: 1}", "calls: 2}");
    ws.write("claw.yaml", &raised);
    assert_eq!(ws.claw(&["ask", "-n", PLAIN]).ok(), "Fine.\n");
    assert_eq!(server.asked(PLAIN, 0), 2);
}

#[test]
fn agents_budget_applies_to_that_agent_only() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server, "{day: {calls: 3}}");
    agent(&ws, "cookie", "budget: {day: {calls: 1}}");
    let ask = |agent: &str| ws.claw(&["ask", "-n", "-a", agent, PLAIN]);
    ask("cookie").ok();
    assert!(ask("cookie").fails(75).contains("budget.day.calls in agents/cookie/AGENT.md"));
    ask("pickle").ok();
    ask("pickle").ok();
    assert!(ask("pickle").fails(75).contains("3 of 3 calls today (budget.day.calls in claw.yaml)"));
}

#[test]
fn call_that_may_exceed_the_budget_is_not_sent() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server, "{day: {tokens: 1000}}");
    let err = ws.claw(&["ask", "-n", PLAIN]).fails(75);
    assert!(err.contains("one call may use") && err.contains("max_tokens"), "{err}");
    assert_eq!(server.asked(PLAIN, 0), 0);
}

#[test]
fn unsent_request_is_free_and_refused_one_counts() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server, "{day: {calls: 2}}");
    let base = format!("127.0.0.1:{}", server.port);
    let away = ws.read("claw.yaml").replace(&base, "127.0.0.1:1");
    let there = ws.read("claw.yaml");
    ws.write("claw.yaml", &away);
    for _ in 0..3 {
        ws.claw(&["ask", "-n", PLAIN]).fails(69);
    }
    assert_eq!(usage(&ws, TODAY, "agent"), [Value::Null; 0]);
    ws.write("claw.yaml", &there);
    ws.claw(&["ask", "-n", "no script has this name"]).fails(1);
    ws.claw(&["ask", "-n", PLAIN]).ok();
    ws.claw(&["ask", "-n", PLAIN]).fails(75);
    let row = usage(&ws, TODAY, "agent").pop().unwrap();
    assert_eq!((&row["calls"], &row["input"], &row["output"]), (&json!(2), &json!(10), &json!(5)));
}

/// A server that begins an answer, and stops sending.
fn breaking_off() -> Server {
    Server::start(|_, stream| {
        let delta = json!({"choices": [{"delta": {"content": "word ".repeat(900)}}]});
        let _ = write!(stream, "{STREAM}data: {delta}\n\n");
        silence(stream);
    })
}

#[test]
fn interrupted_request_costs_its_reservation() {
    let server = breaking_off();
    let ws = server.workspace(&OPENAI, ", max_tokens: 1000, idle_timeout: 200ms");
    ws.claw(&["send", "--from", "file:a", "hello"]).ok();
    ws.claw(&["tick"]).fails(75);
    let taken = |ws: &Fixture| {
        let row = usage(ws, TODAY, "agent").pop().unwrap();
        row["input"].as_u64().unwrap() + row["output"].as_u64().unwrap()
    };
    // Without a budget nothing is reserved; only the input is recorded.
    let one = taken(&ws) + 1000;
    ws.config(&format!("deliver_to: file:owner\nbudget: {{day: {{tokens: {}}}}}", 4 * one));
    for _ in 0..6 {
        let name = ws.list("inbox/wait").remove(0);
        ws.claw(&["retry", name.split('~').nth(1).unwrap()]).ok();
        ws.claw(&["tick"]).fails(75);
    }
    assert_eq!((server.heard().len(), taken(&ws)), (4, 4 * one - 1000), "the first one was without a budget");
    let told = ws.list("outbox/files/owner");
    assert!(ws.read(&format!("outbox/files/owner/{}", told[0])).contains("the budget has"), "{told:?}");
}

#[test]
fn fallback_keeps_the_charge_of_the_first_model() {
    let first = breaking_off();
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server, "{day: {tokens: 100000}}");
    let broken = format!(
        "models:\n  broken: {{provider: openai, model: m, api_base: 'http://127.0.0.1:{}/v1', max_tokens: 1000, \
         idle_timeout: 200ms, fallback: [strict]}}\n",
        first.port
    );
    let yaml = ws.read("claw.yaml").replacen("models:\n", &broken, 1).replace("model: strict\n", "model: broken\n");
    ws.write("claw.yaml", &yaml);
    send(&ws, TODAY, "file:a", PLAIN);
    at(&ws, TODAY, &["run-agent"]).ok();
    let rows = usage(&ws, TODAY, "model");
    let row = |model: &str| rows.iter().find(|row| row["model"] == model).unwrap();
    assert_eq!((&row("strict")["output"], &row("broken")["output"]), (&json!(5), &json!(1000)), "{rows:?}");
    assert_eq!(row("broken")["estimated_calls"], 1);
}

#[test]
fn usage_is_shown_by_day_agent_session_and_model() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server, "{day: {calls: 9, money: 1}}");
    let priced =
        ws.read("claw.yaml").replace("model: m,", "model: m, max_tokens: 100, price: {input: 100, output: 1000},");
    ws.write("claw.yaml", &format!("{priced}currency: EUR\n"));
    at(&ws, TODAY, &["ask", "-n", "-s", "one", TWO]).ok();
    at(&ws, TOMORROW, &["ask", "-n", "-s", "one", PLAIN]).ok();
    at(&ws, TOMORROW, &["ask", "-n", "-s", "two", "-a", "cookie", PLAIN]).ok();
    let row = |by: &str, label: &str, calls: u64| {
        json!({
            by: label, "calls": calls, "input": 10 * calls, "cached": 0, "output": 5 * calls,
            "money": if calls == 2 { json!(0.012) } else { json!(0.006) }, "currency": "EUR", "estimated_calls": 0,
        })
    };
    assert_eq!(usage(&ws, TOMORROW, "day"), [row("day", "2026-11-26", 2), row("day", "2026-11-25", 2)]);
    let all = json!({"model": "strict", "calls": 4, "input": 40, "cached": 0, "output": 20, "money": 0.024,
                     "currency": "EUR", "estimated_calls": 0});
    assert_eq!(usage(&ws, TOMORROW, "model"), [all]);
    let names = |by: &str| usage(&ws, TOMORROW, by).into_iter().map(|row| row[by].clone()).collect::<Vec<_>>();
    assert_eq!(names("agent"), ["pickle", "cookie"]);
    assert_eq!(names("session"), ["pickle.one", "cookie.two"]);
    let text = at(&ws, TOMORROW, &["usage"]).ok();
    let expected = "\
today   2 calls, 30 tokens, 0.012 EUR
left    7 of 9 calls (budget.day.calls in claw.yaml)
left    0.988 of 1.00 EUR (budget.day.money in claw.yaml)

day         calls  input  cached  output    EUR
2026-11-26      2     20       0      10  0.012
2026-11-25      2     20       0      10  0.012
total           4     40       0      20  0.024
";
    assert_eq!(text, expected);
    let since = at(&ws, TOMORROW, &["usage", "--since", "2026-11-26", "--by", "agent"]).ok();
    assert!(since.lines().any(|line| line.starts_with("pickle") && line.contains("0.006")), "{since}");
    assert!(at(&ws, TOMORROW, &["usage", "--since", "yesterday"]).fails(2).contains("is not a date"));
}

#[test]
fn usage_is_recorded_without_a_budget() {
    let server = Strict::start(SCRIPTS);
    let ws = Fixture::new();
    server.model(&ws);
    ws.claw(&["ask", "-n", TWO]).ok();
    let row = usage(&ws, TODAY, "agent").pop().unwrap();
    assert_eq!((&row["calls"], &row["input"], &row["output"]), (&json!(2), &json!(20), &json!(10)));
    // A budget configured later includes it.
    ws.config("budget: {total: {calls: 2}}\n");
    ws.claw(&["ask", "-n", PLAIN]).fails(75);
    assert_eq!(server.asked(PLAIN, 0), 0);
}

#[test]
fn total_survives_removed_ledger_files() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server, "{total: {calls: 3}}");
    at(&ws, TODAY, &["ask", "-n", PLAIN]).ok();
    at(&ws, TOMORROW, &["ask", "-n", PLAIN]).ok();
    at(&ws, TOMORROW, &["ask", "-n", PLAIN]).ok();
    std::fs::remove_file(ws.path(".claw/usage/2026-11-25.jsonl")).unwrap();
    at(&ws, TOMORROW, &["ask", "-n", PLAIN]).fails(75);
    // The cached sums may be lost.
    ws.write(".claw/usage/sums.json", "{torn");
    at(&ws, TOMORROW, &["ask", "-n", PLAIN]).ok();
    at(&ws, TOMORROW, &["ask", "-n", PLAIN]).fails(75);
}

#[test]
fn a_budget_in_money_needs_prices() {
    let server = Strict::start(SCRIPTS);
    let ws = workspace(&server, "{day: {money: 1}}");
    let out = ws.claw(&["check"]);
    assert_eq!(out.code, 78);
    assert!(out.out.contains("model `strict` has no price"), "{}", out.out);
    let err = ws.claw(&["ask", "-n", PLAIN]).fails(78);
    assert!(err.contains("no price") && err.contains("price: {input: 0, output: 0}"), "{err}");
    assert_eq!(server.asked(PLAIN, 0), 0);
    // The built-in model is free.
    ws.claw(&["ask", "-n", "-m", "offline", "hello"]).ok();
}

#[test]
fn misspelt_budget_key_gets_a_suggestion() {
    let ws = Fixture::new();
    ws.config("budget: {day: {tokesn: 5}}\n");
    agent(&ws, "pickle", "budget: {totel: {calls: 1}}");
    let out = ws.claw(&["check"]).ok();
    assert!(out.contains("unknown key `budget.day.tokesn`, did you mean `tokens`?"), "{out}");
    assert!(out.contains("unknown key `budget.totel`, did you mean `total`?"), "{out}");
}
