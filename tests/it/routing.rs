//! Routing: bindings, mentions, kept conversations, and explanations, with the real binary.

use crate::common::Fixture;
use regex::Regex;
use serde_json::Value;

/// A workspace with more agents, and these bindings.
fn town(bindings: &[&str]) -> Fixture {
    let ws = Fixture::new();
    for id in ["brain", "scout"] {
        ws.write(&format!("agents/{id}/AGENT.md"), &format!("---\nname: {id}\n---\nYou are {id}.\n"));
    }
    bind(&ws, bindings);
    ws
}

/// Writes these bindings in place of the old ones.
fn bind(ws: &Fixture, bindings: &[&str]) {
    let text = ws.read("claw.yaml");
    let text = text.split("\nrouting:").next().unwrap();
    let lines: String = bindings.iter().map(|one| format!("    - {{{one}}}\n")).collect();
    ws.write("claw.yaml", &format!("{text}\nrouting:\n  bindings:\n{lines}"));
}

/// Sends, routes, and returns the session.
fn goes(ws: &Fixture, arguments: &[&str]) -> String {
    let before = ws.list("inbox/ready");
    let mut all = vec!["send"];
    all.extend(arguments);
    ws.claw(&all).ok();
    ws.claw(&["route"]).ok();
    let after = ws.list("inbox/ready");
    let new: Vec<&String> = after.iter().filter(|name| !before.contains(name)).collect();
    assert_eq!(new.len(), 1, "{after:#?}");
    new[0].split('~').nth(1).unwrap().to_owned()
}

#[test]
fn failing_event_with_a_long_message_does_not_block_routing() {
    let ws = Fixture::new();
    ws.config("deliver_to: file:home\n");
    let huge = "a".repeat(2_500_000);
    ws.write("inbox/1.json", &format!(r#"{{"content": "x", "agent": "{huge}"}}"#));
    ws.write("inbox/2.json", &format!(r#"{{"content": "x", "agent": "nobody", "reply_to": "file:{huge}"}}"#));
    ws.write("inbox/3.md", "hello\n");
    // A program of another test may hold a drop open between its fork and its exec, as if it were still written.
    ws.eventually("the drops are taken in", |ws| {
        ws.claw(&["route"]);
        !["1.json", "2.json", "3.md"].iter().any(|name| ws.path(&format!("inbox/{name}")).exists())
    });
    assert_eq!(ws.list("inbox/new"), [""; 0]);
    assert_eq!(ws.list("inbox/ready").len(), 1);
    let reasons: Vec<String> = ws.list("inbox/failed").into_iter().filter(|name| name.ends_with(".reason")).collect();
    assert_eq!(reasons.len(), 2);
    let lengths = reasons.iter().map(|name| ws.read(&format!("inbox/failed/{name}")).len());
    assert!(lengths.max() < Some(20_000));
}

#[test]
fn alternation_matches_whole_addresses_only() {
    let ws = town(&["pattern: \"telegram:1|telegram:2\", agent: brain"]);
    assert_eq!(goes(&ws, &["--from", "telegram:1", "hi"]), "brain.telegram-1");
    assert_eq!(goes(&ws, &["--from", "telegram:2", "hi"]), "brain.telegram-2");
    assert_eq!(goes(&ws, &["--from", "telegram:12", "hi"]), "pickle.telegram-12");
    assert_eq!(goes(&ws, &["--from", "telegram:23", "hi"]), "pickle.telegram-23");
}

#[test]
fn the_agent_that_a_drop_names_by_agent_id_answers_it() {
    let ws = town(&["pattern: \".*\", agent: brain"]);
    ws.write("inbox/x.json", r#"{"source":"ws:1","content":"hi","agent_id":"scout"}"#);
    ws.claw(&["route"]).ok();
    assert!(ws.list("inbox/ready")[0].contains("~scout.ws-1~"), "{:?}", ws.list("inbox/ready"));
}

#[test]
fn every_message_of_one_source_is_in_one_session_also_one_with_a_dot_in_its_name() {
    let ws = town(&[]);
    for place in ["cli:ann", "mail:ann@example.org", "x:a.b"] {
        let first = goes(&ws, &["--from", place, "one"]);
        assert_eq!(goes(&ws, &["--from", place, "two"]), first);
        assert!(first.starts_with("pickle."), "{first}");
    }
    ws.claw(&["run-agent"]).ok();
    assert_eq!(ws.claw(&["check"]).ok(), "no problems\n");
    assert_eq!(ws.list("sessions").len(), 3);
}

#[test]
fn where_answers_go_is_seen_without_a_restart() {
    let ws = town(&[]);
    let supervisor = ws.supervise(&[]);
    ws.config("deliver_to: file:home\n");
    ws.write("inbox/x.md", "hello");
    ws.eventually("the answer is at home", |ws| ws.list("outbox/files/home").len() == 1);
    assert_eq!(supervisor.stop().code, 0);
}

#[test]
fn a_conversation_keeps_its_agent_across_changed_bindings_and_a_repeated_send() {
    let ws = town(&["pattern: \"telegram:.*\", agent: brain"]);
    let id = "20261121T004130.123456Z-tg.1";
    let send = ["send", "--id", id, "--from", "telegram:1", "hi"];
    ws.claw(&send).ok();
    ws.claw(&["route"]).ok();
    ws.claw(&["run-agent"]).ok();
    bind(&ws, &["pattern: \"telegram:.*\", agent: scout"]);
    // The platform sends it once more.
    let done = format!("inbox/done/2026-11-21/{id}.json");
    ws.write(&format!("inbox/new/{id}.json"), &ws.read(&done));
    ws.claw(&["route"]).ok();
    ws.claw(&["run-agent"]).ok();
    assert_eq!(ws.list("sessions"), ["brain.telegram-1"]);
    assert_eq!(ws.read("sessions/brain.telegram-1/log.jsonl").matches("\"done\"").count(), 1);
    assert_eq!(goes(&ws, &["--from", "telegram:1", "more"]), "brain.telegram-1");
    assert_eq!(goes(&ws, &["--from", "telegram:2", "hi"]), "scout.telegram-2");
    let why = ws.claw(&["why", id]).ok();
    assert!(why.contains("route   brain (binding telegram:.*), session brain.telegram-1"), "{why}");
}

#[test]
fn a_platforms_repeated_event_runs_once_across_new_a_changed_binding_and_a_restart() {
    let ws = town(&["pattern: \"file:.*\", agent: brain"]);
    ws.config("owner: ['file:p']\n");
    let ids = ["1", "2"].map(|n| format!("20261121T00413{n}.000000Z-tg.{n}"));
    let say = |id: &str| ws.claw(&["send", "--id", id, "--from", "file:p", &format!("remember {id}")]).ok();
    let is_done = |ws: &Fixture, id: &str| {
        ws.pending().is_empty() && !ws.list("outbox/files/p").is_empty() && {
            ws.list("outbox/files/p").contains(&format!("{id}.r01.md"))
        }
    };
    let steady = ws.supervise(&[]);
    say(&ids[0]);
    ws.eventually("the first is answered", |ws| is_done(ws, &ids[0]));
    let command = ws.claw(&["send", "--from", "file:p", "/new"]).ok().trim().to_owned();
    ws.eventually("a new conversation begins", |ws| is_done(ws, &command));
    bind(&ws, &["pattern: \"file:.*\", agent: scout", "pattern: \"file:p\", agent: scout"]);
    say(&ids[1]);
    ws.eventually("the second is answered", |ws| is_done(ws, &ids[1]));
    // Killed, with its record of finished events gone as well.
    drop(steady);
    std::fs::remove_dir_all(ws.path("inbox/done/2026-11-21")).unwrap();
    let sessions = ws.list("sessions");
    let logs = |ws: &Fixture| ws.list("sessions").iter().map(|s| ws.read(&format!("sessions/{s}/log.jsonl"))).collect();
    let before: Vec<String> = logs(&ws);
    let answers = ws.list("outbox/files/p");
    let steady = ws.supervise(&[]);
    ids.iter().rev().for_each(|id| drop(say(id)));
    let has_ended = |ws: &Fixture, id: &str| ws.list("inbox/done/2026-11-21").contains(&format!("{id}.json"));
    ws.eventually("both copies have ended", |ws| ids.iter().all(|id| has_ended(ws, id)) && ws.pending().is_empty());
    assert_eq!(steady.stop().code, 0);
    assert_eq!((ws.list("sessions"), logs(&ws), ws.list("outbox/files/p")), (sessions, before, answers));
    let notes = ws.shell("cat memories/daily-notes/*.md").ok();
    assert!(ids.iter().all(|id| notes.matches(&format!("- {id} <!--")).count() == 1), "{notes}");
}

#[test]
fn a_call_is_for_this_once_and_the_called_one_does_not_hear_it() {
    let ws = town(&[]);
    assert_eq!(goes(&ws, &["--from", "cli:bob", "--reply-to=file:bob", "hello"]), "pickle.file-bob");
    assert_eq!(
        goes(&ws, &["--from", "cli:bob", "--reply-to=file:bob", "@scout the NAS is 10.0.0.7"]),
        "scout.file-bob"
    );
    assert_eq!(goes(&ws, &["--from", "cli:bob", "--reply-to=file:bob", "@nobody hello"]), "pickle.file-bob");
    ws.claw(&["tick"]).ok();
    let heard = ws.read("sessions/scout.file-bob/log.jsonl");
    assert!(heard.contains("\"content\":\"the NAS is 10.0.0.7\"") && !heard.contains("@scout the"), "{heard}");
    assert!(ws.read("sessions/pickle.file-bob/log.jsonl").contains("@nobody hello"));
    assert!(ws.claw(&["ask", "-n", "@scout", "hello"]).err.contains("session scout.ask-"));
    assert!(ws.claw(&["ask", "-n", "-a", "pickle", "@scout", "hello"]).err.contains("session pickle.ask-"));
}

#[test]
fn session_scope_groups_senders_into_conversations() {
    let ws = town(&[
        "pattern: \"a:.*\", agent: brain, session: sender",
        "pattern: \"b:.*\", agent: pickle, session: main",
        "pattern: \"c:.*\", agent: scout, session: work",
    ]);
    ws.config("deliver_to: file:home\n");
    let says = |from: &str, place: &str| goes(&ws, &["--from", from, "--reply-to", place, "hi"]);
    assert_eq!(says("u:1", "a:x"), "brain.u-1");
    assert_eq!(says("u:2", "a:x"), "brain.u-2");
    assert_eq!(says("u:1", "b:x"), "pickle.file-home");
    assert_eq!(says("u:1", "file:home"), "pickle.file-home");
    assert_eq!(says("u:1", "c:x"), "scout.work");
}

#[test]
fn explain_names_the_answering_agent_and_the_reasons() {
    let ws = town(&[
        "pattern: \".*\", agent: scout",
        "pattern: \"cli:a.*\", agent: brain, from: \"cli:owner\"",
        "pattern: \"cli:ann\", agent: cookie, from: \"cli:owner\"",
        "pattern: \"mail:.*\", agent: cookie",
    ]);
    let explain = |arguments: &[&str]| {
        let mut all = vec!["route", "--json", "--explain"];
        all.extend(arguments);
        serde_json::from_str::<Value>(&ws.claw(&all).ok()).unwrap()
    };
    for arguments in
        [&["cli:ann"][..], &["cli:ann", "--from", "cli:owner"], &["cli:abe", "--from", "cli:owner"], &["x:y"]]
    {
        let said = explain(arguments);
        let mut send = vec!["--reply-to"];
        send.extend(arguments);
        if arguments.len() == 1 {
            send.extend(["--from", arguments[0]]);
        }
        send.push("hi");
        assert_eq!(said["session"], goes(&ws, &send), "{arguments:?}: {said:#}");
        let winners = said["rules"].as_array().unwrap().iter().filter(|rule| rule["selected"] == true);
        assert_eq!(winners.map(|rule| &rule["agent"]).collect::<Vec<_>>(), [&said["agent"]]);
        // The learned route agrees.
        assert_eq!(explain(arguments)["session"], said["session"]);
    }
    let table = ws.claw(&["route", "--explain", "cli:bob", "--text", "@nobody hi"]).ok();
    for line in [
        r"(?m)^cli:bob: scout \(binding \.\*\), session scout\.cli-bob$",
        r"(?m)^  mention +@nobody +nobody +no such agent: treated as text$",
        r"(?m)^→ binding  wildcard \.\* +scout +first match$",
        r"(?m)^  default +everything else +pickle +an earlier rule decides$",
        r"(?m)^  3 bindings with other patterns$",
    ] {
        assert!(Regex::new(line).unwrap().is_match(&table), "{line}\n{table}");
    }
    assert!(ws.list("inbox/new").is_empty(), "no event was made");
    assert!(ws.claw(&["route", "--explain", "nonsense"]).fails(65).contains("not an address"));
}

#[test]
fn check_finds_bindings_that_never_decide_with_their_lines() {
    let ws = town(&[
        "pattern: \"cli:.*\", agent: pickle",
        "pattern: \"cli:.+\", agent: brain",
        "pattern: \"cli:x.*\", agent: scout",
        "pattern: \"a|b\", agent: scout",
        "pattern: \"file:x\", agent: skout",
    ]);
    let first = ws.read("claw.yaml").lines().position(|line| line.starts_with("    - {pattern")).unwrap() + 1;
    let ran = ws.claw(&["check"]);
    assert_eq!(ran.code, 78);
    let at = |n: usize| format!("claw.yaml:{}:", first + n);
    for (n, says) in [(2, "`cli:x.*` is never reached: "), (3, "`a|b` matches no address"), (4, "no agent `skout`")] {
        assert!(ran.out.lines().any(|line| line.starts_with(&at(n)) && line.contains(says)), "{n} {says}: {ran:#?}");
    }
    assert_eq!(ran.out.lines().count(), 4, "the first one is shadowed by the second, which is specific: {ran:#?}");
}

#[test]
fn a_broken_agent_is_named_and_the_others_are_listed() {
    let ws = town(&["pattern: \"a:.*\", agent: brain"]);
    ws.write("agents/broken/AGENT.md", "---\nname: x\nmax_concurrency: many\n---\nx\n");
    let ran = ws.claw(&["agents"]);
    assert_eq!(ran.code, 78);
    let ids: Vec<&str> = ran.out.lines().filter_map(|line| line.get(2..)?.split(' ').next()).collect();
    assert_eq!(ids, ["brain", "cookie", "pickle", "scout"], "{ran:#?}");
    assert!(ran.out.contains("\n* pickle"), "{ran:#?}");
    assert!(ran.err.contains("broken is skipped: agents/broken/AGENT.md:3:18:"), "{ran:#?}");
    let shown = ws.claw(&["agents", "show", "brain"]).ok();
    assert!(shown.contains("You are brain.") && shown.contains("bindings         [\"a:.*\"]"), "{shown}");
    let json: Value = serde_json::from_str(&ws.claw(&["agents", "show", "--json", "pickle"]).ok()).unwrap();
    assert_eq!((&json["default"], &json["model"]), (&Value::from(true), &Value::from("offline")));
    assert_eq!(json["write"], serde_json::json!(["files", "memories", "skills", "crons"]));
    let agent = "---\nname: x\ntools: [recall, bash: {approve: [rm]}, edit: {approve: true}]\nwrite: []\n\
                 budget: {day: {calls: 3}, total: {money: 2.5}}\n---\nx\n";
    ws.write("agents/scout/AGENT.md", agent);
    let json: Value = serde_json::from_str(&ws.claw(&["agents", "show", "--json", "scout"]).ok()).unwrap();
    assert_eq!(json["tools"], serde_json::json!(["edit", "bash", "recall"]));
    assert_eq!(json["approve"], serde_json::json!({"bash": ["rm"], "edit": true}));
    assert_eq!(json["budget"], serde_json::json!({"day": {"calls": "3"}, "total": {"money": "2.50"}}));
    assert_eq!(json["write"], serde_json::json!([]));
    assert!(ws.claw(&["agents", "show", "pickel"]).fails(65).contains("did you mean `pickle`?"));
}

#[test]
fn route_command_moves_conversations_and_is_listed() {
    let ws = town(&["pattern: \"file:x\", agent: brain"]);
    let says = |place: &str, text: &str| {
        ws.claw(&["send", "--from", place, text]).ok();
        ws.claw(&["route"]).ok();
        let at = ws.list("inbox/ready").last().unwrap().split('~').nth(1).unwrap().to_owned();
        ws.claw(&["tick"]).ok();
        at
    };
    assert_eq!(says("file:a", "hello"), "pickle.file-a");
    assert!(says("file:a", "/route file:.* scout").ends_with("+control"));
    assert_eq!(says("file:a", "hello"), "pickle.file-a", "whoever writes there is not the owner");
    let answer = ws.claw(&["ask", "-n", "/route file:.* scout"]).ok();
    assert!(answer.starts_with("scout answers at file:.* from now on"), "{answer}");
    assert_eq!(says("file:a", "hello"), "scout.file-a");
    assert_eq!(says("file:b", "hello"), "scout.file-b");
    assert_eq!(says("file:x", "hello"), "brain.file-x");
    let config = ws.read("claw.yaml");
    let list = ws.claw(&["ask", "-n", "/bindings"]).ok();
    let lines = "file:.*: scout (wildcard, /route)\nfile:x: brain (exact, claw.yaml)\neverything else: pickle\n";
    assert_eq!(list, lines);
    for wrong in ["/route file:[ scout", "/route file:.* skout"] {
        ws.claw(&["ask", "-n", wrong]).fails(65);
    }
    assert_eq!(ws.claw(&["ask", "-n", "/bindings"]).ok(), lines, "nothing was learned of those");
    assert_eq!(ws.read("claw.yaml"), config);
}
