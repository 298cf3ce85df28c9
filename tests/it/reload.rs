//! Changes by the owner while a program runs: they apply from the next event on, however they are saved, and
//! mistakes in them stop nothing.

use crate::common::Fixture;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

type Save = fn(&Path, &str);

/// The ways of editors to save a file.
const WAYS: [(&str, Save); 3] = [("rename", by_rename), ("truncate", by_truncating), ("in place", in_place)];

fn by_rename(path: &Path, text: &str) {
    let draft = path.with_extension("new~");
    fs::write(&draft, text).unwrap();
    fs::rename(&draft, path).unwrap();
}

fn by_truncating(path: &Path, text: &str) {
    let mut file = File::create(path).unwrap();
    // In two halves: the first one must not be taken for the whole.
    let (first, second) = text.split_at(text.len() / 2);
    file.write_all(first.as_bytes()).unwrap();
    file.write_all(second.as_bytes()).unwrap();
}

fn in_place(path: &Path, text: &str) {
    let mut file = File::options().write(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.set_len(text.len() as u64).unwrap();
}

/// Asks from a place of its own, and waits for the answer there.
fn answered(ws: &Fixture, place: &str) {
    // By a file: with invalid settings, a starting program reports that and ends.
    ws.write(&format!("inbox/{place}.md"), &format!("---\nfrom: file:{place}\n---\nhello"));
    let folder = format!("outbox/files/{place}");
    ws.eventually(place, |ws| !ws.list(&folder).is_empty());
}

#[test]
fn settings_count_from_the_next_event_however_they_are_saved() {
    let ws = Fixture::new();
    let settings = ws.read("claw.yaml");
    let supervisor = ws.supervise(&[]);
    answered(&ws, "before");
    assert_eq!(ws.list("sessions"), ["pickle.file-before"]);
    for (n, (way, save)) in WAYS.iter().enumerate() {
        for agent in ["cookie", "pickle"] {
            let binding = format!("{{pattern: \"file:{agent}.{n}\", agent: {agent}}}");
            let text = format!("{settings}default_agent: cookie\nrouting:\n  bindings: [{binding}]\n");
            save(&ws.path("claw.yaml"), &text);
            answered(&ws, &format!("{agent}-{n}"));
            let session = format!("{agent}.file-{agent}-{n}");
            assert!(ws.list("sessions").contains(&session), "{way}: {:?}", ws.list("sessions"));
        }
    }
    let ran = supervisor.stop();
    assert_eq!((ran.code, ran.err.contains("stay in force")), (0, false), "{}", ran.err);
}

#[test]
fn an_agent_counts_from_the_next_event_however_it_is_saved() {
    let ws = Fixture::new();
    ws.model("echo", "provider: command, command: [sh, -c, \"grep -o 'I am number [0-9]*' | head -n 1\"]");
    let supervisor = ws.supervise(&[]);
    for (n, (way, save)) in WAYS.iter().enumerate() {
        let identity = format!("I am number {n}.\n");
        save(&ws.path("agents/pickle/AGENT.md"), &format!("---\nname: Pickle\n---\n{identity}"));
        answered(&ws, &format!("x{n}"));
        let answer = ws.list(&format!("outbox/files/x{n}")).remove(0);
        assert!(ws.read(&format!("outbox/files/x{n}/{answer}")).contains(identity.trim_end_matches(".\n")), "{way}");
    }
    // A new one applies at once.
    ws.write("agents/fresh/AGENT.md", "---\nname: Fresh\n---\nI am number 9.\n");
    ws.claw(&["send", "--agent", "fresh", "--from", "file:fresh", "hello"]).ok();
    ws.eventually("the new one answers", |ws| !ws.list("outbox/files/fresh").is_empty());
    assert_eq!(supervisor.stop().code, 0);
}

#[test]
fn invalid_change_keeps_the_last_valid_version_and_is_reported_once() {
    let ws = Fixture::new();
    ws.config("default_agent: cookie\n");
    let (settings, agent) = (ws.read("claw.yaml"), ws.read("agents/cookie/AGENT.md"));
    // Cookie has had no message yet when its file breaks.
    let supervisor = ws.supervise(&[]);
    answered(&ws, "before");
    for (n, (_, save)) in WAYS.iter().enumerate() {
        save(&ws.path("claw.yaml"), &format!("default_agent: pickle\nmax_concurrency: many{n}\n"));
        save(&ws.path("agents/cookie/AGENT.md"), &format!("---\nname: Cookie\nmax_steps: many{n}\n---\nx\n"));
        for place in ["a", "b"] {
            answered(&ws, &format!("{place}{n}"));
            assert!(ws.list("sessions").contains(&format!("cookie.file-{place}{n}")));
        }
    }
    let shown = ws.claw(&["status"]);
    assert_eq!(shown.code, 78);
    for wrong in ["problem claw.yaml:2:18: ", "problem agents/cookie/AGENT.md:3:12: "] {
        assert!(shown.out.contains(wrong), "{wrong}: {shown:#?}");
    }
    ws.write("claw.yaml", &settings.replace("cookie", "pickle"));
    ws.write("agents/cookie/AGENT.md", &agent);
    answered(&ws, "after");
    assert!(ws.list("sessions").contains(&"pickle.file-after".to_owned()));
    let shown = ws.claw(&["status"]).ok();
    assert!(!shown.contains("problem"), "{shown}");
    let ran = supervisor.stop();
    assert_eq!(ran.code, 0);
    for (n, _) in WAYS.iter().enumerate() {
        for wrong in [
            format!("\"many{n}\", expected u32; the previous settings"),
            format!("\"many{n}\", expected u32; the last valid version of cookie"),
        ] {
            assert_eq!(ran.err.matches(&wrong).count(), 1, "{wrong}: {}", ran.err);
        }
    }
}

/// A workspace in which every turn waits at a gate, with these limits.
fn gated(all: u32, agent: u32) -> Fixture {
    let ws = Fixture::new();
    ws.model("gate", "provider: command, command: [sh, -c, \"echo + >> turns; read -r go < gate; echo ok\"]");
    ws.shell("mkfifo gate").ok();
    ws.config(&format!("max_concurrency: {all}\n"));
    limit(&ws, agent);
    ws
}

/// Opens the gate for two turns, as long as the file is held.
fn open(ws: &Fixture) -> File {
    let mut gate = File::options().read(true).write(true).open(ws.path("gate")).unwrap();
    gate.write_all(b"go\ngo\n").unwrap();
    gate
}

fn turns(ws: &Fixture) -> usize {
    fs::read_to_string(ws.path("turns")).unwrap_or_default().lines().count()
}

fn limit(ws: &Fixture, agent: u32) {
    ws.write("agents/pickle/AGENT.md", &format!("---\nname: Pickle\nmax_concurrency: {agent}\n---\nx\n"));
}

#[test]
fn a_limit_that_is_raised_counts_while_others_wait_for_it() {
    for (all, agent) in [(1, 2), (2, 1)] {
        let ws = gated(all, agent);
        let supervisor = ws.supervise(&[]);
        for place in ["file:a", "file:b"] {
            ws.claw(&["send", "--from", place, "hello"]).ok();
        }
        ws.eventually("one turn has begun, the other is routed", |ws| {
            turns(ws) == 1 && ws.list("inbox/new").is_empty() && ws.list("inbox/ready").len() == 1
        });
        if all == 1 {
            ws.write("claw.yaml", &ws.read("claw.yaml").replace("\nmax_concurrency: 1", "\nmax_concurrency: 2"));
        } else {
            limit(&ws, 2);
        }
        ws.eventually("both turns have begun", |ws| turns(ws) == 2);
        let _gate = open(&ws);
        ws.eventually("both are answered", |ws| ws.list("outbox/files").len() == 2);
        assert_eq!(supervisor.stop().code, 0);
    }
}

#[test]
fn a_question_that_waits_for_a_slot_sees_that_there_are_more() {
    let ws = gated(1, 2);
    let ask = |name: &str| ws.command(&["ask", "-n", "-s", name, "hello"]).spawn().unwrap();
    let first = ask("first");
    ws.eventually("the first has begun", |ws| turns(ws) == 1);
    let second = ask("second");
    ws.eventually("the second is routed", |ws| ws.list("inbox/ready").len() == 1 || turns(ws) == 2);
    ws.write("claw.yaml", &ws.read("claw.yaml").replace("\nmax_concurrency: 1", "\nmax_concurrency: 2"));
    ws.eventually("the second has begun", |ws| turns(ws) == 2);
    let _gate = open(&ws);
    for child in [first, second] {
        assert_eq!(crate::common::Ran::from(child.wait_with_output().unwrap()).ok(), "ok\n");
    }
}

/// The name of an event that waits for a budget has a mark of the limits.
#[test]
fn raised_budget_wakes_the_events_that_wait_for_it() {
    let ws = Fixture::new();
    ws.model("script", "provider: command, command: [echo, fine]");
    let settings = ws.read("claw.yaml");
    ws.config("budget: {total: {calls: 1}}\n");
    for place in ["a", "b"] {
        ws.claw(&["send", "--from", &format!("file:{place}"), "hi"]).ok();
        ws.claw(&["tick"]);
    }
    let waiting = ws.list("inbox/wait");
    assert!(waiting.len() == 1 && waiting[0].contains("~pickle.file-b~0s"), "{waiting:?}");
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.list("inbox/wait"), waiting, "it waits while the limits are the same");
    // A tick notices the change, and so does a supervisor.
    ws.write("claw.yaml", &format!("{settings}\nbudget: {{total: {{calls: 2}}}}\n"));
    ws.claw(&["tick"]).ok();
    assert_eq!(ws.list("outbox/files/b").len(), 1);
    let supervisor = ws.supervise(&[]);
    answered_later(&ws, "c");
    ws.write("claw.yaml", &format!("{settings}\nbudget: {{total: {{calls: 3}}}}\n"));
    ws.eventually("it is answered", |ws| ws.list("outbox/files/c").len() == 1);
    ws.write("agents/pickle/AGENT.md", "---\nname: Pickle\nbudget: {total: {calls: 3}}\n---\nx\n");
    ws.write("claw.yaml", &settings);
    answered_later(&ws, "d");
    ws.write("agents/pickle/AGENT.md", "---\nname: Pickle\nbudget: {total: {calls: 9}}\n---\nx\n");
    ws.eventually("it is answered", |ws| ws.list("outbox/files/d").len() == 1);
    assert_eq!(supervisor.stop().code, 0);
}

/// Asks from a place of its own, and returns when the event waits.
fn answered_later(ws: &Fixture, place: &str) {
    ws.write(&format!("inbox/{place}.md"), &format!("---\nfrom: file:{place}\n---\nhello"));
    ws.eventually("it waits", |ws| ws.list("inbox/wait").iter().any(|name| name.contains(&format!("file-{place}~"))));
}
