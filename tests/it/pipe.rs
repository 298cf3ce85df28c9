//! The stages as commands on real files: pipes, ids, order, the script that replaces one of them.

use crate::common::Fixture;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/route.sh");

#[test]
fn one_line_of_shell_is_the_whole_system() {
    let ws = Fixture::new();
    ws.claw(&["remember", "the NAS is 10.0.0.7"]).ok();
    let out = ws.shell("claw send 'where is the NAS?' | claw route - | claw run-agent - | claw deliver -").ok();
    assert!(out.starts_with("the NAS is 10.0.0.7 (memories/daily-notes/"), "{out}");
    assert_eq!(ws.pending(), [""; 0]);
}

#[test]
fn every_stage_prints_the_id_that_the_next_one_reads() {
    let ws = Fixture::new();
    let id = ws.claw(&["send", "hello"]).ok();
    let id = id.trim();
    assert_eq!(ws.list("inbox/new"), [format!("{id}.json")]);
    assert_eq!(ws.claw(&["route"]).ok(), format!("{id}\n"));
    assert_eq!(ws.list("inbox/ready"), [format!("{id}~pickle.cli-ann~0.json")]);
    assert_eq!(ws.claw(&["run-agent"]).ok(), format!("{id}.r01\n"));
    assert_eq!(ws.list("outbox/ready"), [format!("{id}.r01~cli-ann~0.json")]);
    assert_eq!(ws.done("inbox"), [format!("{id}.json")]);
    assert!(ws.claw(&["deliver"]).ok().contains("no note about that"));
    assert_eq!(ws.done("outbox"), [format!("{id}.r01.json")]);
}

#[test]
fn nothing_to_do_is_fine_and_silent() {
    let ws = Fixture::new();
    for stage in ["route", "run-agent", "deliver", "remember", "tick"] {
        let ran = ws.claw(&[stage]);
        assert_eq!((ran.code, &ran.out[..], &ran.err[..]), (0, "", ""), "{stage}");
    }
}

#[test]
fn a_stage_repeated_with_an_id_prints_the_same_line_and_does_nothing() {
    let ws = Fixture::new();
    let id = ws.claw(&["send", "hello"]).ok().trim().to_owned();
    for _ in 0..2 {
        assert_eq!(ws.claw(&["route", &id]).ok(), format!("{id}\n"));
    }
    for _ in 0..2 {
        assert_eq!(ws.claw(&["run-agent", &id]).ok(), format!("{id}.r01\n"));
    }
    assert!(!ws.claw(&["deliver", &format!("{id}.r01")]).ok().is_empty());
    assert_eq!(ws.claw(&["deliver", &format!("{id}.r01")]).ok(), "", "what was printed is not printed again");
    assert_eq!(ws.read("sessions/pickle.cli-ann/log.jsonl").lines().count(), 3);
}

#[test]
fn an_id_may_be_any_unambiguous_end_of_it_or_a_path() {
    let ws = Fixture::new();
    let id = ws.claw(&["send", "hello"]).ok().trim().to_owned();
    let short = id.split_once('-').unwrap().1;
    assert_eq!(ws.claw(&["route", short]).ok(), format!("{id}\n"));
    let path = format!("inbox/ready/{id}~pickle.cli-ann~0.json");
    assert_eq!(ws.claw(&["run-agent", &path]).ok(), format!("{id}.r01\n"));
    ws.claw(&["send", "one"]).ok();
    ws.claw(&["send", "two"]).ok();
    ws.claw(&["why", "nonsense"]).fails(65);
    ws.claw(&["why", ""]).fails(65);
}

#[test]
fn a_kind_an_agent_or_a_session_that_there_is_not_is_no_silent_nothing() {
    let ws = Fixture::new();
    ws.claw(&["ask", "-s", "work", "hello"]).ok();
    let kinds = ws.claw(&["log", "--kind", "nonsense"]).fails(2);
    assert!(kinds.contains("claim") && kinds.contains("unread"), "{kinds}");
    assert!(ws.claw(&["log", "--kind", "truns"]).fails(2).contains("'turn'"));
    assert!(ws.claw(&["log", "--kind", "turn"]).ok().contains("pickle.work"));
    assert_eq!(ws.claw(&["log", "--kind", "expired"]).ok(), "");
    assert!(ws.claw(&["sessions", "-a", "pikle"]).fails(65).contains("did you mean `pickle`?"));
    assert_eq!(ws.claw(&["sessions", "-a", "cookie"]).ok(), "");
    assert!(ws.claw(&["run-agent", "--session", "nope"]).fails(65).contains("there is no session pickle.nope"));
    assert!(ws.claw(&["run-agent", "--session", "nobody.nope"]).fails(65).contains("there is no agent `nobody`"));
    assert_eq!(ws.claw(&["run-agent", "--session", "work"]).ok(), "");
    let id = ws.claw(&["send", "--session", "new", "hello"]).ok();
    ws.claw(&["route"]).ok();
    assert_eq!(ws.claw(&["run-agent", "--session", "new"]).ok(), format!("{}.r01\n", id.trim()));
}

#[test]
fn retry_of_an_unfailed_event_reports_its_state() {
    let ws = Fixture::new();
    let send = |arguments: &[&str]| ws.claw(&[&["send", "hello"], arguments].concat()).ok().trim().to_owned();
    let (due, id) = (send(&["--at", "2099-01-01T09:00"]), send(&[]));
    let retry = |id: &str, said: &str| {
        let err = ws.claw(&["retry", id]).fails(65);
        assert!(err.contains(said), "{err}");
    };
    retry(&due, "has not failed: it is not due until 2099-01-01 09:00:00");
    retry(&due, "and send it again");
    retry(&id, "has not failed: it is ready");
    ws.claw(&["route"]).ok();
    let name = ws.list("inbox/ready").remove(0);
    std::fs::rename(ws.path(&format!("inbox/ready/{name}")), ws.path(&format!("inbox/run/{name}"))).unwrap();
    retry(&id, "the next claw tick continues it");
    ws.claw(&["discard", &id]).ok();
    retry(&id, "is done");
    retry("20260101T000000.000000Z-none", "there is no event");
}

#[test]
fn unknown_id_is_reported_and_the_rest_is_done() {
    let ws = Fixture::new();
    let send = || ws.claw(&["send", "--in", "1h", "hello"]).ok().trim().to_owned();
    let (a, b, c) = (send(), send(), send());
    let ran = ws.piped(&["discard", "nope", "-", &c], &format!("{a}\nnope2\n{b}\n{a}\n"));
    assert_eq!((ran.code, ran.out), (65, format!("{a}\n{b}\n{c}\n")), "{}", ran.err);
    assert_eq!(ran.err.matches("no event has an id that ends with `nope").count(), 2, "{}", ran.err);
    // The worst of the exit codes.
    let d = send();
    assert!(ws.claw(&["route", &d, "nope"]).fails(75).contains("no event has an id that ends with `nope`"));
    let nobody = ws.claw(&["approve", "nope", "nope2"]).fails(65);
    assert_eq!(nobody.matches("no pending approval").count(), 2, "{nobody}");
}

#[test]
fn retry_takes_file_names() {
    let ws = Fixture::new();
    for name in ["a", "b"] {
        ws.write(&format!("inbox/{name}.json"), "{\"content\": 7}");
    }
    ws.claw(&["tick"]).fails(1);
    let files = ws.list("inbox/failed");
    assert_eq!(files.len(), 4, "{files:?}");
    let ran = ws.shell("ls inbox/failed/* | claw retry -");
    assert_eq!((ran.out.lines().count(), &ran.err[..], ran.code), (2, "", 0));
    assert_eq!(ws.list("inbox/failed"), [""; 0]);
}

#[test]
fn an_event_that_is_not_routed_is_not_run() {
    let ws = Fixture::new();
    let id = ws.claw(&["send", "hello"]).ok();
    let err = ws.claw(&["run-agent", id.trim()]).fails(75);
    assert!(err.contains("not routed yet") && err.contains("claw route"), "{err}");
}

#[test]
fn a_lane_keeps_its_order() {
    let ws = Fixture::new();
    let ids: Vec<String> =
        (0..20).map(|n| ws.claw(&["send", &format!("remember fact {n}")]).ok().trim().to_owned()).collect();
    ws.claw(&["route"]).ok();
    let last = &ids[19];
    // Following the last event handles everything before it in its lane.
    assert_eq!(ws.claw(&["run-agent", last]).ok(), format!("{last}.m01\n{last}.r01\n"));
    let log = ws.read("sessions/pickle.cli-ann/log.jsonl");
    let answered: Vec<&str> = log.lines().filter(|l| l.contains(r#""t":"done""#)).collect();
    assert_eq!(answered.len(), 20);
    for (line, id) in answered.iter().zip(&ids) {
        assert!(line.contains(&id[..]), "{line} is not for {id}");
    }
}

#[test]
fn a_delayed_message_stays_where_it_is_until_it_is_due() {
    let ws = Fixture::new();
    let id = ws.claw(&["send", "--in", "10m", "hello"]).ok().trim().to_owned();
    let due = id.split_once('-').unwrap().0;
    assert_eq!(ws.list("inbox/new"), [format!("{due}~{id}.json")]);
    assert_eq!(ws.claw(&["route"]).ok(), "");
    ws.claw(&["route", &id]).fails(75);
    // An id in the future does not advance the clock.
    let next = ws.claw(&["send", "now"]).ok();
    assert!(next.trim() < id.as_str(), "{next} {id}");
    let now: jiff::Timestamp = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(11);
    ws.claw(&["tick", "--now", &now.to_string()]).ok();
    assert!(ws.done("inbox").contains(&format!("{id}.json")));
}

#[test]
fn the_same_send_twice_is_one_event() {
    let ws = Fixture::new();
    let id = "20261121T004130.123456Z-k7f3q9";
    ws.claw(&["send", "--id", id, "hello"]).ok();
    ws.claw(&["send", "--id", id, "hello"]).ok();
    assert_eq!(ws.list("inbox/new"), [format!("{id}.json")]);
    ws.shell("claw route | claw run-agent -").ok();
    // Also if it was answered long ago, and waits in the outbox.
    ws.claw(&["send", "--id", id, "hello"]).ok();
    assert_eq!(ws.shell("claw route | claw run-agent -").ok(), format!("{id}.r01\n"));
    assert_eq!(ws.list("outbox/ready"), [format!("{id}.r01~cli-ann~0.json")]);
    assert_eq!(ws.read("sessions/pickle.cli-ann/log.jsonl").lines().count(), 3);
    assert_eq!(ws.pending().len(), 1);
}

#[test]
fn a_conversation_keeps_its_agent_when_the_default_changes() {
    let ws = Fixture::new();
    ws.shell("claw send --from file:a one; claw route").ok();
    ws.config("default_agent: cookie\n");
    ws.shell("claw send --from file:a two; claw send --from file:b three; claw route").ok();
    let lanes: Vec<String> = ws.list("inbox/ready").iter().map(|n| n.split('~').nth(1).unwrap().to_owned()).collect();
    assert_eq!(lanes, ["pickle.file-a", "pickle.file-a", "cookie.file-b"]);
}

#[test]
fn an_unknown_agent_is_refused_at_once_with_a_guess() {
    let ws = Fixture::new();
    let err = ws.claw(&["send", "--agent", "pickel", "hi"]).fails(65);
    assert!(err.contains("did you mean `pickle`?"), "{err}");
    assert_eq!(ws.pending(), [""; 0]);
}

#[test]
fn route_can_be_ten_lines_of_shell() {
    let script = std::fs::read_to_string(EXAMPLE).unwrap();
    let code = script.lines().filter(|l| !l.starts_with('#')).count();
    assert!(code <= 10, "{code} lines");
    if std::process::Command::new("flock").arg("--version").output().is_err() {
        return crate::common::skipped("there is no flock(1) here");
    }
    let ws = Fixture::new();
    ws.claw(&["remember", "the NAS is 10.0.0.7"]).ok();
    let late = ws.claw(&["send", "--in", "1h", "later"]).ok();
    let out = ws
        .shell(&format!("claw send 'where is the NAS?' >/dev/null; {EXAMPLE} | claw run-agent - | claw deliver -"))
        .ok();
    assert!(out.starts_with("the NAS is 10.0.0.7 ("), "{out}");
    assert_eq!(ws.pending().len(), 1, "{late} is not due");
}

#[test]
fn ask_reads_piped_stdin_unless_n() {
    let ws = Fixture::new();
    ws.piped(&["ask", "remember"], "the door code is 4711\n").ok();
    assert!(ws.piped(&["ask", "-n", "what is the door code?"], "remember nonsense").ok().contains("4711"));
    assert!(ws.piped(&["ask"], "what is the door code?").ok().contains("4711"));
    ws.claw(&["ask"]).fails(2);
}

#[test]
fn a_dash_alone_is_stdin_and_with_words_it_is_refused() {
    let ws = Fixture::new();
    ws.piped(&["ask", "-"], "the door code is 4711\n").ok();
    assert_eq!(ws.claw(&["sessions", "--json"]).ok().matches("the door code is 4711").count(), 1);
    assert!(!ws.claw(&["sessions", "--json"]).ok().contains("\"title\":\"-"));
    for arguments in [&["ask", "-", "what"][..], &["send", "-", "what"], &["remember", "-", "what"]] {
        assert!(
            ws.piped(arguments, "x").fails(2).contains("`-` (stdin) cannot be combined with other arguments"),
            "{arguments:?}"
        );
    }
    assert!(ws.piped(&["ask", "-n", "-"], "x").fails(2).contains("-n forbids it"));
    assert!(ws.claw(&["ask", "-"]).fails(2).contains("there is no text"));
    ws.claw(&["ask", "5", "-", "3"]).ok();
    assert_eq!(ws.list("inbox/new"), [""; 0]);
}

#[test]
fn named_session_continues_and_new_one_starts_fresh() {
    let ws = Fixture::new();
    ws.claw(&["ask", "-s", "work", "my cat is called Tama"]).ok();
    assert!(ws.claw(&["ask", "-s", "work", "what is my cat called?"]).ok().contains("Tama"));
    assert!(ws.claw(&["ask", "-c", "what is my cat called?"]).ok().contains("Tama"));
    assert!(!ws.claw(&["ask", "what is my cat called?"]).ok().contains("Tama"));
    let sessions = ws.list("sessions");
    assert!(sessions.contains(&"pickle.work".to_owned()) && sessions.len() == 2, "{sessions:?}");
}

#[test]
fn ask_prints_one_json_document_and_nothing_else() {
    let ws = Fixture::new();
    let out = ws.claw(&["ask", "--json", "-a", "cookie", "hello"]).ok();
    let document: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(document["agent"], "cookie");
    assert_eq!(document["model"], "offline");
    assert!(document["session"].as_str().unwrap().starts_with("cookie.ask-"));
    assert_eq!(out.lines().count(), 1);
}

#[test]
fn status_and_why_show_every_state() {
    let ws = Fixture::new();
    let id = ws.claw(&["send", "hello"]).ok();
    let why = |what: &str| {
        let out = ws.claw(&["why", id.trim()]).ok();
        assert!(out.contains(what), "{out}");
    };
    why("not routed yet");
    ws.claw(&["route"]).ok();
    why("ready in pickle.cli-ann");
    let status: serde_json::Value = serde_json::from_str(&ws.claw(&["status", "--json"]).ok()).unwrap();
    assert_eq!(status["mailboxes"]["inbox"]["ready"], 1);
    assert_eq!(status["oldest"]["id"], id.trim());
    ws.claw(&["run-agent"]).ok();
    why("outbox  cli:ann: ready in cli-ann");
    ws.claw(&["discard", &format!("{}.r01", id.trim())]).ok();
    why("done in");
    let log = ws.claw(&["log", "--json", "--kind", "discard"]).ok();
    assert!(log.contains(&format!("{}.r01", id.trim())), "{log}");
}

#[test]
fn the_man_page_and_the_help_name_every_command() {
    let ws = Fixture::new();
    let man = ws.claw(&["man"]).ok();
    let help = ws.claw(&["--help"]).ok();
    for name in
        ["ask", "send", "route", "run-agent", "deliver", "remember", "recall", "tick", "supervise", "status", "why"]
    {
        assert!(man.contains(&format!("claw {}", name.replace('-', "\\-"))), "man: {name}");
        assert!(help.contains(name), "help: {name}");
    }
    for name in ["claw tasks release", "claw sessions show", "claw skills approve", "claw agents show"] {
        assert!(man.contains(&format!(".SS {name}\n")), "man: {name}");
    }
    for text in [
        "claw tasks claim k7f3q9 \\-\\- make report\n",
        "[possible values: open, claimed, done]",
        "Notes and files that an agent has written stay.",
    ] {
        assert!(man.contains(text), "man: {text}");
    }
    assert!(man.is_ascii());
    for text in [&man, &help] {
        assert!(text.contains("78"), "exit codes: {text}");
    }
}
