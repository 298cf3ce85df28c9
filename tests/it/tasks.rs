//! The shared task list: files that anyone may write, exclusive claims, and agents that it wakes.

use crate::common::proof::{self, Proof};
use crate::common::scenes::{Faults, copy, recover, synced, trusted};
use crate::common::strict::{Answer, Script, Strict};
use crate::common::sweep::{At, Scenario};
use crate::common::tracer;
use crate::common::{Fixture, Ran};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Child;

const STATES: [&str; 3] = ["open", "claimed", "done"];

/// Every file in `tasks/`, except those that keep its folders in git.
fn files(ws: &Fixture) -> Vec<String> {
    let of = |state: &&str| {
        let dir = format!("tasks/{state}");
        ws.list(&dir).into_iter().filter(|name| name != ".gitkeep").map(|name| format!("{state}/{name}")).collect()
    };
    STATES.iter().flat_map(|state| -> Vec<String> { of(state) }).collect()
}

fn tasks(ws: &Fixture) -> Vec<Value> {
    let out = ws.claw(&["tasks", "list", "--all", "--json"]).ok();
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_task_is_a_file_and_its_folder_is_its_state() {
    let ws = Fixture::new();
    assert_eq!(ws.claw(&["tasks"]).ok(), "");
    let id = ws.claw(&["tasks", "add", "Water", "the", "plants"]).ok().trim().to_owned();
    let text = ws.read(&format!("tasks/open/{id}.md"));
    assert!(text.starts_with("---\ntitle: Water the plants\ncreated: ") && text.contains("\nby: cli:ann\n"), "{text}");
    // A file from any editor is a task, too.
    ws.write("tasks/open/buy milk.md", "# Buy milk\n\nTwo of them.\n");
    let listed = ws.claw(&["tasks", "list"]).ok();
    assert!(listed.contains("open     Water the plants\n") && listed.contains("open     Buy milk\n"), "{listed}");
    assert!(ws.claw(&["status"]).ok().contains("tasks   2 open, 0 claimed\n"));

    assert_eq!(ws.claw(&["tasks", "claim", "milk"]).ok(), "buy milk\n");
    assert!(ws.claw(&["tasks", "claim", "milk"]).fails(75).contains("buy milk is claimed by cli:ann"));
    let claimed = ws.read("tasks/claimed/buy milk.md");
    assert!(claimed.starts_with("---\nclaimed_by: cli:ann\nclaimed_at: ") && claimed.ends_with("Two of them.\n"));
    assert_eq!(ws.claw(&["tasks", "release", "tasks/claimed/buy milk.md"]).ok(), "buy milk\n");
    let released = ws.read("tasks/open/buy milk.md");
    assert!(!released.contains("claimed") && released.contains("given_up: 1\n"), "{released}");

    // By mv as well.
    std::fs::rename(ws.path("tasks/open/buy milk.md"), ws.path("tasks/claimed/buy milk.md")).unwrap();
    assert_eq!(tasks(&ws)[1]["state"], "claimed", "it stays until it is released");
    assert_eq!(ws.piped(&["tasks", "done", "--result", "Bought.", "-"], "buy milk\n").ok(), "buy milk\n");
    assert!(ws.claw(&["tasks", "show", "milk"]).ok().ends_with("Two of them.\n\n## Result\n\nBought.\n"));
    assert_eq!(files(&ws), [format!("open/{id}.md"), "done/buy milk.md".to_owned()]);
    assert_eq!(ws.claw(&["check"]).code, 0);

    let more = ws.piped(&["tasks", "add", "-", "--json"], "---\ntitle: Third\ntags: [x]\n---\nBody.\n").ok();
    let more: Value = serde_json::from_str(&more).unwrap();
    assert_eq!((more["title"].as_str(), more["by"].as_str()), (Some("Third"), Some("cli:ann")));
    assert!(ws.read(more["path"].as_str().unwrap()).contains("tags: [x]\n"));
}

#[test]
fn bad_task_is_reported_with_its_place_and_blocks_nothing() {
    let ws = Fixture::new();
    assert!(ws.claw(&["tasks", "claim"]).fails(75).contains("no task is open"));
    assert!(ws.claw(&["tasks", "add", " "]).fails(2).contains("there is no text"));
    ws.write("tasks/open/plants.md", "---\ntitel: Water\n---\n");
    ws.write("tasks/open/broken.md", "---\ntitle: x\n");
    ws.write("tasks/open/a.txt", "x");
    ws.write("tasks/done/plants.md", "x");
    ws.write("agents/deaf/AGENT.md", "---\nname: Deaf\nwatch: tasks\ntools: [read]\n---\nx\n");
    assert!(ws.claw(&["tasks", "done", "plant"]).fails(65).contains("did you mean `plants`?"));
    let listed = ws.claw(&["tasks"]);
    assert_eq!((listed.code, listed.out.lines().count()), (65, 1), "{listed:#?}");
    assert!(ws.claw(&["tasks", "claim", "broken"]).fails(65).contains("no closing `---`"));
    let said = ws.claw(&["check"]).out;
    for what in [
        "tasks/open/plants.md:2:1: warning: unknown key `titel`, did you mean `title`?",
        "tasks/open/broken.md: line 1: the front matter that starts here has no closing `---`",
        "tasks/open/a.txt: warning: not a task: not a .md file",
        "agents/deaf/AGENT.md:3:1: warning: watches tasks, but may not use the tool `tasks`",
        "tasks/done/plants.md: there is another task with this name in tasks/open",
    ] {
        assert!(said.contains(what), "{what}\n{said}");
    }
}

#[test]
fn of_many_concurrent_claims_exactly_one_succeeds() {
    let ws = Fixture::new();
    let (rounds, many) = if proof::is_full() { (20, 32) } else { (2, 12) };
    let start =
        |arguments: &[&str]| -> Vec<Child> { (0..many).map(|_| ws.command(arguments).spawn().unwrap()).collect() };
    let end = |children: Vec<Child>| -> Vec<Ran> {
        children.into_iter().map(|child| child.wait_with_output().unwrap().into()).collect()
    };
    for round in 0..rounds {
        // One task for all of them.
        let one = format!("one-{round}");
        ws.write(&format!("tasks/open/{one}.md"), "x\n");
        let ran = end(start(&["tasks", "claim", &one]));
        let won = ran.iter().filter(|ran| ran.code == 0 && ran.out.trim() == one).count();
        let lost = ran.iter().filter(|ran| ran.code == 75 && ran.err.contains("is claimed by")).count();
        assert_eq!((won, lost), (1, many - 1), "{ran:#?}");
        // Fewer tasks than claimers.
        for n in 0..many - 3 {
            ws.write(&format!("tasks/open/some-{round}-{n}.md"), "x\n");
        }
        let ran = end(start(&["tasks", "claim"]));
        let names: BTreeSet<&str> = ran.iter().filter(|ran| ran.code == 0).map(|ran| ran.out.trim()).collect();
        assert_eq!(names.len(), many - 3, "{ran:#?}");
        assert_eq!(ran.iter().filter(|ran| ran.code == 75).count(), 3);
    }
    assert_eq!(files(&ws).len(), rounds * (many - 2));
}

#[test]
fn a_claim_with_a_command_holds_while_anything_of_it_runs() {
    let ws = Fixture::new();
    ws.write("tasks/open/job.md", "x\n");
    assert_eq!(ws.shell("mkfifo gate").code, 0);
    let command = ["tasks", "claim", "job", "--", "sh", "-c", "echo $CLAW_TASK >begun; read x <gate; exit 3"];
    let child = ws.command(&command).spawn().unwrap();
    ws.eventually("it runs", |ws| std::fs::read_to_string(ws.path("begun")).is_ok_and(|text| text == "job\n"));
    assert!(ws.claw(&["tasks", "claim", "job"]).fails(75).contains("job is claimed by cli:ann"));
    // A killed claimer reports nothing.
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGKILL).unwrap();
    child.wait_with_output().unwrap();
    assert_eq!(ws.claw(&["tasks", "claim", "job", "--", "sh", "-c", "exit 3"]).code, 3);
    // A claimer that finishes by itself.
    let done = ws.shell("claw tasks claim job -- sh -c 'claw tasks done $CLAW_TASK'");
    assert_eq!((done.ok().as_str(), files(&ws)), ("job\n", vec!["done/job.md".to_owned()]));
    assert!(ws.claw(&["tasks", "claim", "nothing", "--", "true"]).fails(65).contains("there is no task"));
}

/// The name in the answer to a claim: the first word of its second line.
fn claimed(results: &[String]) -> String {
    let line = results.first().and_then(|result| result.lines().nth(1)).unwrap_or_default();
    line.split(" (").next().unwrap_or_default().to_owned()
}

/// Claims the announced task, and finishes it.
fn diligent(step: usize, results: &[String]) -> Answer {
    match step {
        0 => ("", vec![("tasks", json!({"action": "claim"}))]),
        1 => ("", vec![("tasks", json!({"action": "done", "id": claimed(results), "text": "Swept."}))]),
        _ => ("All swept.", vec![]),
    }
}

/// Claims it, and never finishes.
fn lazy(step: usize, _: &[String]) -> Answer {
    match step {
        0 => ("", vec![("tasks", json!({"action": "claim"}))]),
        _ => ("Later.", vec![]),
    }
}

/// Claims it, and needs an approval.
fn careful(step: usize, _: &[String]) -> Answer {
    match step {
        0 => ("", vec![("tasks", json!({"action": "claim"}))]),
        1 => ("", vec![("bash", json!({"command": "true"}))]),
        _ => ("Done.", vec![]),
    }
}

/// Adds another task to the list.
fn generous(step: usize, _: &[String]) -> Answer {
    match step {
        0 => ("", vec![("tasks", json!({"action": "add", "text": "Sweep the yard\n\nAll of it."}))]),
        _ => ("Somebody will.", vec![]),
    }
}

const SCRIPTS: &[(&str, Script)] =
    &[("Sweep", diligent), ("Be lazy", lazy), ("Be careful", careful), ("script:add", generous)];

fn watching(server: &Strict, ws: &Fixture, agents: &[&str]) {
    server.model(ws);
    ws.config("deliver_to: file:home\n");
    for agent in agents {
        ws.write(&format!("agents/{agent}/AGENT.md"), &format!("---\nname: {agent}\nwatch: tasks\n---\nDo it.\n"));
    }
}

fn answers(ws: &Fixture) -> Vec<String> {
    ws.list("outbox/files/home").iter().map(|name| ws.read(&format!("outbox/files/home/{name}"))).collect()
}

#[test]
fn an_agent_that_watches_is_woken_once_by_an_open_task() {
    let server = Strict::start(SCRIPTS);
    let ws = Fixture::new();
    watching(&server, &ws, &["bob"]);
    ws.write("tasks/open/floor.md", "Sweep the floor\n");
    ws.claw(&["tick"]).ok();
    assert_eq!(answers(&ws), ["All swept.\n"]);
    assert_eq!(files(&ws), ["done/floor.md"]);
    let done = ws.read("tasks/done/floor.md");
    assert!(done.contains("done_by: agent:bob\n") && done.ends_with("## Result\n\nSwept.\n"), "{done}");
    assert_eq!(ws.list("sessions"), ["bob.task-floor"]);
    // Put back by hand it is not announced again to the agent that finished it, and neither changes.
    assert_eq!(ws.shell("mv tasks/done/floor.md tasks/open/; touch tasks/open/floor.md").code, 0);
    for _ in 0..2 {
        ws.claw(&["tick"]).ok();
    }
    assert_eq!((server.asked("Sweep", 0), files(&ws)), (1, vec!["open/floor.md".to_owned()]));
    assert_eq!(server.broken(), [""; 0]);
}

#[test]
fn of_several_that_watch_one_does_it_and_the_others_are_not_even_asked() {
    let server = Strict::start(SCRIPTS);
    let ws = Fixture::new();
    watching(&server, &ws, &["bob", "eve", "kim"]);
    ws.config("max_concurrency: 1\n");
    ws.claw(&["tasks", "add", "Sweep the floor"]).ok();
    ws.claw(&["tick"]).ok();
    assert_eq!((server.asked("Sweep", 0), ws.done("inbox").len()), (1, 3));
    assert_eq!(answers(&ws).len(), 1);
}

#[test]
fn unfinished_claim_is_reopened_three_times_at_most() {
    let server = Strict::start(SCRIPTS);
    let ws = Fixture::new();
    watching(&server, &ws, &["bob"]);
    ws.write("tasks/open/x.md", "Be lazy\n");
    for round in 1..=5 {
        ws.claw(&["tick"]).ok();
        assert_eq!(files(&ws), ["open/x.md"]);
        assert_eq!(server.asked("Be lazy", 0), round.min(3));
    }
    assert!(ws.read("tasks/open/x.md").contains("given_up: 3\n"));
}

#[test]
fn supervisor_notices_tasks_from_any_source() {
    let server = Strict::start(SCRIPTS);
    let ws = Fixture::new();
    watching(&server, &ws, &["bob"]);
    let supervisor = ws.supervise(&[]);
    ws.write("tasks/open/floor.md", "Sweep the floor\n");
    ws.eventually("the floor is swept", |ws| answers(ws).len() == 1);
    // An agent adds one, and another does it.
    ws.claw(&["send", "--from", "file:a", "script:add"]).ok();
    ws.eventually("the yard is swept", |ws| answers(ws).len() == 2);
    let yard = tasks(&ws).into_iter().find(|task| task["title"] == "Sweep the yard").unwrap();
    assert_eq!((&yard["by"], &yard["done_by"]), (&json!("agent:pickle"), &json!("agent:bob")));
    assert!(yard["id"].as_str().unwrap().ends_with(".t01"), "{yard}");
    // The claim of a killed command is free without a request.
    ws.write("tasks/claimed/cellar.md", "---\nclaimed_by: cli:ann\nprocess: true\n---\nSweep the cellar\n");
    ws.write("tasks/open/attic.md", "Sweep the attic\n");
    ws.eventually("attic and cellar are swept", |ws| answers(ws).len() == 4);
    assert_eq!(supervisor.stop().code, 0);
    assert_eq!(server.broken(), [""; 0]);
}

#[test]
fn a_claim_holds_while_its_turn_can_go_on() {
    let server = Strict::start(SCRIPTS);
    let ws = Fixture::new();
    watching(&server, &ws, &["bob"]);
    let held = "---\nclaimed_by: agent:bob\nsession: bob.task-floor\n---\nSweep the floor\n";
    ws.write("tasks/claimed/floor.md", held);
    // The orphan of a killed worker: the next worker resumes it.
    let id = "20261121T004130.123456Z-floor.bob.w01";
    let event = json!({"v": 1, "id": id, "kind": "message", "from": "task:floor", "reply_to": "file:home", "agent": "bob",
        "session": "bob.task-floor", "content": "Sweep", "created_at": "2026-11-21T00:41:30Z"});
    ws.write(&format!("inbox/run/{id}~bob.task-floor~1.json"), &event.to_string());
    assert!(ws.claw(&["tasks", "claim", "floor"]).fails(75).contains("claimed by agent:bob, in bob.task-floor"));
    ws.claw(&["tasks", "list"]).ok();
    assert_eq!(files(&ws), ["claimed/floor.md"]);
    // No worker continues it.
    ws.claw(&["discard", id]).ok();
    assert_eq!(ws.claw(&["tasks", "claim", "floor"]).ok(), "floor\n");
}

#[test]
fn claim_holds_while_an_approval_is_pending_or_unknown() {
    let server = Strict::start(SCRIPTS);
    let template = Fixture::new();
    watching(&server, &template, &["bob"]);
    let bob = template
        .read("agents/bob/AGENT.md")
        .replace("watch: tasks", "watch: tasks\ntools: [tasks, {bash: {approve: true}}]");
    template.write("agents/bob/AGENT.md", &bob);
    template.write("tasks/open/x.md", "Be careful\n");
    template.claw(&["tick"]);
    assert_eq!((files(&template), server.asked("Be careful", 1)), (vec!["claimed/x.md".to_owned()], 1));
    let run = |at| {
        let ws = trusted(&template);
        let traced = tracer::run_opening(ws.command(&["tasks", "claim", "x"]), &ws.root, at, Errno::EMFILE);
        let text = std::fs::read_to_string(ws.path("tasks/claimed/x.md")).unwrap_or_default();
        assert!(text.contains("claimed_by: agent:bob"), "{} at {at}: {text}", traced.hit.unwrap_or_default());
        traced.calls
    };
    let opened = run(0);
    for at in 1..=opened {
        run(at);
    }
    assert!(opened > 5, "{opened}");
}

/// The violations of the list after a disturbed command: there must be one valid file of that name.
fn wrong(ws: &Fixture, name: &str) -> Vec<String> {
    let found: Vec<String> = files(ws).into_iter().filter(|file| !file.contains("/.")).collect();
    let is_one = found.len() == 1 && found[0].ends_with(&format!("/{name}.md"));
    let mut wrong = if is_one { Vec::new() } else { vec![format!("{found:?}")] };
    let checked = ws.claw(&["check"]);
    if checked.out.contains("tasks/") {
        wrong.push(checked.out);
    }
    wrong
}

fn commands(name: &'static str, faults: Faults) {
    let mut proof = Proof::begin(name);
    let template = synced();
    template.write("tasks/open/job.md", "x\n");
    let commands: [&[&str]; 4] = [
        &["tasks", "claim", "job"],
        &["tasks", "claim", "job", "--", "true"],
        &["tasks", "done", "job", "--result", "Fine."],
        &["tasks", "release", "job"],
    ];
    for command in commands {
        let arranged = copy(&template);
        if command[1] == "release" {
            arranged.claw(&["tasks", "claim", "job"]).ok();
        }
        proof.sweep(
            At::Calls(faults),
            &Scenario {
                name: &command.join(" "),
                template: &arranged,
                copy,
                command,
                prepare: &|| {},
                judge: &|ws, _| {
                    recover(ws);
                    let mut found = wrong(ws, "job");
                    // After any disturbance the task can be done now, and has its result once.
                    let done = ws.claw(&["tasks", "done", "job", "--result", "Fine."]);
                    let text = std::fs::read_to_string(ws.path("tasks/done/job.md")).unwrap_or_default();
                    if done.code != 0 || text.matches("Fine.").count() != 1 {
                        found.push(format!("{done:?} {text}"));
                    }
                    found.extend(wrong(ws, "job").into_iter().map(|what| format!("then done: {what}")));
                    found
                },
            },
        );
    }
    proof.judge(20);
}

fn news(name: &'static str, faults: Faults) {
    let mut proof = Proof::begin(name);
    let server = Strict::start(SCRIPTS);
    let template = synced();
    watching(&server, &template, &["bob"]);
    template.write("tasks/open/floor.md", "Sweep the floor\n");
    proof.sweep(
        At::Calls(faults),
        &Scenario {
            name: "an open task",
            template: &template,
            copy: trusted,
            command: &["tick"],
            prepare: &|| server.forget(),
            judge: &|ws, _| {
                recover(ws);
                recover(ws);
                let done = std::fs::read_to_string(ws.path("tasks/done/floor.md")).unwrap_or_default();
                let end = (files(ws), ws.done("inbox").len(), ws.pending(), answers(ws), server.broken());
                let is_well =
                    end == (vec!["done/floor.md".to_owned()], 1, vec![], vec!["All swept.\n".to_owned()], vec![]);
                if is_well && done.matches("Swept.").count() == 1 && ws.list("sessions") == ["bob.task-floor"] {
                    return Vec::new();
                }
                vec![format!("{end:?} {:?} {done}", ws.list("sessions"))]
            },
        },
    );
    proof.judge(20);
}

#[test]
fn after_kills_a_task_is_in_one_place_and_can_be_done() {
    commands("kill -9 of claw tasks before every durable call", Faults::Kills(3));
}

#[test]
fn after_errors_a_task_is_in_one_place_and_can_be_done() {
    commands("an error from every durable call of claw tasks", Faults::Troubles(3));
}

#[test]
fn announcement_and_claiming_turn_happen_once_after_kills() {
    news("kill -9 of news, claim and done before every durable call", Faults::Kills(5));
}

#[test]
fn announcement_and_claiming_turn_happen_once_after_errors() {
    news("an error from every durable call of news, claim and done", Faults::Troubles(5));
}
